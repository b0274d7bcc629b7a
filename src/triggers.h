/*
 * triggers.h
 *		The triggers that write the change log: finding, making, dropping them.
 */
#ifndef BRAIN_TRIGGERS_H
#define BRAIN_TRIGGERS_H

#include "runs.h"

/* A trigger of ours, as pg_trigger has it. */
typedef struct FoundTrigger
{
	Oid			oid;			/* 0: there is none */
	char		enabled;
	TransactionId xmin;			/* raw: freezing does not change it */
	bool		is_frozen;
	bool		is_clone;		/* goes with its parent's */
} FoundTrigger;

typedef struct TableTriggers
{
	FoundTrigger row;
	FoundTrigger truncate;
} TableTriggers;

/* A trigger of ours on a table that is no dataset of its run. */
typedef struct StrayTrigger
{
	pg_uuid_t	run_id;
	Oid			relid;
	char	   *name;
} StrayTrigger;

extern bool IsTriggerName(const char *name);
extern TableTriggers FindTriggers(const pg_uuid_t *run_id, Oid relid);
extern FoundTrigger FindEmbeddingsTrigger(Oid embeddings);
extern bool EnsureTriggers(const Run *run, Relation rel, LOCKMODE runs_mode, uint64 *fingerprint);
extern void AddMissingTriggers(const Run *run, Relation rel);
extern bool DropTriggers(const pg_uuid_t *run_id, Oid relid);
extern List *StrayTriggers(void);

#endif							/* BRAIN_TRIGGERS_H */
