/* miscadmin.h: see postgres.h */
#define CHECK_FOR_INTERRUPTS() shim_interrupt()
#define IsUnderPostmaster true

/* Milliseconds of the processor at most between two looks for interrupts. */
extern double shim_longest;
extern void shim_interrupt(void);
