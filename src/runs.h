/*
 * runs.h
 *		Brain runs: finding one, using it, and who may change it.
 */
#ifndef BRAIN_RUNS_H
#define BRAIN_RUNS_H

#include "storage/lock.h"

#include "catalog.h"
#include "samples.h"

extern bool MayReadSome(Oid relid);
extern char *NameOfOtherRun(const Run *run);
extern bool MaySearchRun(const Run *run, Relation rel);
extern Relation TryOpenDataset(Oid relid);
extern bool OwnsTable(Oid relid);
extern bool OwnsDataset(Relation rel);
extern Relation OpenSamples(Oid relid);
extern Run *FindRun(Relation rel, const char *brain_key, bool missing_ok);
extern Run *FindRunToChange(Relation rel, const char *brain_key, bool missing_ok);
extern Oid	DatasetOfRun(const Run *run);
extern Node *TryParseRunFilter(Relation rel, const char *text, Problem **problem);
extern AttrNumber ResolveColumn(Relation rel, AttrNumber attno, const char *name);
extern Dataset *LookAtRun(const Run *run, Relation rel, Problem **problem);
extern Dataset *ResolveRun(const Run *run, Relation rel, Problem **problem);
extern Dataset *UseRunAsOwner(const Run *run, Relation rel);
extern Dataset *UseRun(const Run *run, Relation rel);
extern void CheckFilterIsTrusted(const Run *run, Relation rel, const Dataset *dataset);

extern void BeginWrite(const char *function);
extern void EndWrite(void);
extern void LockRuns(Oid relid, LOCKMODE mode);
extern bool ConditionalLockRuns(Oid relid, LOCKMODE mode);
extern bool TryLockRuns(Oid relid);
extern void UnlockRuns(Oid relid, LOCKMODE mode);
extern void RemoveRun(const Run *run);
extern void LockSync(Oid relid);
extern void LockSweep(void);
extern void LockRunsOfSchema(Oid namespace, LOCKMODE mode);
extern void RequireOwner(Relation rel);
pg_noreturn extern void RaiseDuplicateRun(Relation rel, const char *brain_key);

#endif							/* BRAIN_RUNS_H */
