/*
 * tracking.h
 *		Is a run's dataset tracked, and as it was when its base was made?
 */
#ifndef BRAIN_TRACKING_H
#define BRAIN_TRACKING_H

#include "runs.h"

/*
 * A dataset as a run tracks it. The fingerprint is a hash of everything that
 * must be as it was for a base and its log to belong together: the tables that
 * hold the rows, where their storage is, our triggers on them, the columns.
 */
typedef struct Tracking
{
	Problem    *problem;		/* why it is not tracked; NULL when it is */
	bool		can_mend;		/* EnsureTriggers() cures the problem */
	uint64		fingerprint;
} Tracking;

extern bool BelongsTo(Oid relid, Oid dataset);
extern List *TrackedTables(Relation rel);
extern Problem *CheckTrackable(const Run *run, Relation rel);
extern Tracking *LookAtTracking(const Run *run, Relation rel);
extern bool TrackingIsVisible(const Run *run, Relation rel, Snapshot snapshot);
extern bool IsBeingWritten(const Run *run, Relation rel);

#endif							/* BRAIN_TRACKING_H */
