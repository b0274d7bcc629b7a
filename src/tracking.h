/*
 * tracking.h
 *		Is a run's dataset tracked: the triggers that write the change log.
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

extern List *TrackedTables(Relation rel);
extern Problem *CheckTrackable(const Run *run, Relation rel);
extern Tracking *LookAtTracking(const Run *run, Relation rel);
extern bool TrackingIsVisible(const Run *run, Relation rel, Snapshot snapshot);
extern bool IsTriggerName(const char *name);
extern bool IsBeingWritten(const Run *run, Relation rel);
extern bool EnsureTriggers(const Run *run, Relation rel, LOCKMODE runs_mode, uint64 *fingerprint);
extern bool DropTriggers(const pg_uuid_t *run_id, Oid relid);
extern void AddMissingTriggers(const Run *run, Relation rel);
extern List *StrayTriggers(void);

/* A trigger of ours on a table that is no dataset of its run. */
typedef struct StrayTrigger
{
	pg_uuid_t	run_id;
	Oid			relid;
	char	   *name;
} StrayTrigger;


#endif							/* BRAIN_TRACKING_H */
