/*
 * testing.h
 *		Builds for tests only: rules that can be switched off, and places where
 *		something can be made to go wrong.
 *
 * -DBRAIN_MUTATE adds the setting brain.mutate: the name of a rule, R1 to R7,
 * that the code then breaks, so that tests/checker can show that it would be
 * found. -DBRAIN_FAULTS adds brain.fault_point, 'step:action': at that step the
 * session is killed, the postmaster is, an error is raised, the disk is full, or
 * nothing happens for a while.
 */
#ifndef BRAIN_TESTING_H
#define BRAIN_TESTING_H

#ifdef BRAIN_MUTATE
extern bool Mutated(const char *rule);
#else
#define Mutated(rule) false
#endif

/*
 * FaultPoint() returns true where the step is to fail as if the disk were full.
 * The steps: see the calls.
 */
#ifdef BRAIN_FAULTS
extern bool FaultPoint(const char *step);
#else
#define FaultPoint(step) false
#endif

#if defined(BRAIN_MUTATE) || defined(BRAIN_FAULTS)
extern void DefineTestingSettings(void);
#endif

#endif							/* BRAIN_TESTING_H */
