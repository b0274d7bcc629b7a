/* miscadmin.h: see postgres.h */
#define CHECK_FOR_INTERRUPTS() (shim_interrupts++)
#define IsUnderPostmaster true
extern long shim_interrupts;
