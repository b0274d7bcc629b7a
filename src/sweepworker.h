/*
 * sweepworker.h
 *		Dropping collections as soon as a transaction has committed.
 */
#ifndef BRAIN_SWEEPWORKER_H
#define BRAIN_SWEEPWORKER_H

extern void SweepAfterCommit(void);

#endif							/* BRAIN_SWEEPWORKER_H */
