/*
 * triggers.c
 *		The triggers that write the change log: finding, making, dropping them.
 *
 * Each run has triggers of its own on its dataset: one for rows, cloned to
 * partitions by PostgreSQL, and one for TRUNCATE on the table and on each of its
 * partitions, since those are not cloned. They are made with writers stopped:
 * whoever writes afterwards fires them.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tracking.h"
#include "triggers.h"
#include "try.h"
#include "uuids.h"

#define ROW_TRIGGER_TYPE (TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE)
#define TRUNCATE_TRIGGER_TYPE TRIGGER_TYPE_TRUNCATE

/*
 * How long compute_similarity() and sync() try to stop writers: first without
 * standing in anybody's way, then in the queue for the lock, where those that
 * come later wait behind us, for a moment at a time.
 */
#define POLITE_ATTEMPTS 20
#define QUEUED_ATTEMPTS 40
#define MS_BETWEEN_ATTEMPTS 100
#define QUEUED_LOCK_TIMEOUT "250ms"

/* ---------- names ---------- */

#define TRIGGER_PREFIX "brain_track_"

/*
 * May a trigger of that name be ours?
 */
bool
IsTriggerName(const char *name)
{
	return strncmp(name, TRIGGER_PREFIX, strlen(TRIGGER_PREFIX)) == 0;
}

static char *
TriggerName(const pg_uuid_t *run_id, bool row)
{
	StringInfoData name;

	initStringInfo(&name);
	appendStringInfoString(&name, row ? TRIGGER_PREFIX : TRIGGER_PREFIX "truncate_");
	for (int i = 0; i < UUID_LEN; i++)
		appendStringInfo(&name, "%02x", run_id->data[i]);
	return name.data;
}

static Oid
TriggerFunction(bool row)
{
	return LookupFuncName(list_make2(makeString("brain"),
									 makeString(row ? "_track_changes" : "_track_truncate")),
						  0, NULL, false);
}

/* ---------- the triggers of a table ---------- */

/*
 * Is it the trigger of a run, with nothing that keeps it from firing but its
 * state?
 */
static bool
IsTriggerOfRun(HeapTuple tuple, TupleDesc desc, Oid function, int16 type, const char *run_id)
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
	bool		no_condition;
	bool		isnull;
	Datum		arguments;

	(void) heap_getattr(tuple, Anum_pg_trigger_tgqual, desc, &no_condition);
	if (form->tgfoid != function || form->tgtype != type || form->tgnargs != 1 ||
		form->tgattr.dim1 != 0 || !no_condition)
		return false;
	arguments = heap_getattr(tuple, Anum_pg_trigger_tgargs, desc, &isnull);
	/* arguments are strings with their zero bytes, one after the other */
	return strcmp(VARDATA_ANY(DatumGetByteaPP(arguments)), run_id) == 0;
}

static void
NoteTrigger(FoundTrigger *found, HeapTuple tuple)
{
	found->oid = ((Form_pg_trigger) GETSTRUCT(tuple))->oid;
	found->enabled = ((Form_pg_trigger) GETSTRUCT(tuple))->tgenabled;
	found->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	found->is_frozen = HeapTupleHeaderXminFrozen(tuple->t_data);
	found->is_clone = OidIsValid(((Form_pg_trigger) GETSTRUCT(tuple))->tgparentid);
}

/*
 * The triggers of a run on a table.
 */
TableTriggers
FindTriggers(const pg_uuid_t *run_id, Oid relid)
{
	TableTriggers triggers = {{0}, {0}};
	char	   *id = UuidText(run_id);
	Oid			row_function = TriggerFunction(true);
	Oid			truncate_function = TriggerFunction(false);
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (IsTriggerOfRun(tuple, RelationGetDescr(rel), row_function, ROW_TRIGGER_TYPE, id))
			NoteTrigger(&triggers.row, tuple);
		else if (IsTriggerOfRun(tuple, RelationGetDescr(rel), truncate_function,
								TRUNCATE_TRIGGER_TYPE, id))
			NoteTrigger(&triggers.truncate, tuple);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return triggers;
}

/*
 * The trigger of brain.embeddings, which the extension's script makes.
 */
FoundTrigger
FindEmbeddingsTrigger(Oid embeddings)
{
	FoundTrigger found = {0};
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(embeddings));
	ScanKeyInit(&keys[1], Anum_pg_trigger_tgname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("track_changes"));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		NoteTrigger(&found, tuple);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* ---------- making them ---------- */

typedef struct WriterStop
{
	Oid			relid;
	LOCKMODE	runs_mode;
} WriterStop;

pg_noreturn static void RaiseNotStopped(Oid relid);

static void
RaiseNotStopped(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not stop writers of \"%s\" for a moment", DatasetName(relid)),
			 errdetail("Some transaction keeps writing, or has not ended."),
			 errhint("Try again when pg_locks shows no long transaction on it.")));
}

static void
LockAgainstWriters(void *arg)
{
	WriterStop *stop = arg;
	int			nest_level = NewGUCNestLevel();

	(void) set_config_option("lock_timeout", QUEUED_LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	LockRelationOid(stop->relid, ShareRowExclusiveLock);
	(void) find_all_inheritors(stop->relid, ShareRowExclusiveLock, NULL);
	if (!ConditionalLockRuns(stop->relid, stop->runs_mode))
		RaiseNotStopped(stop->relid);
	AtEOXact_GUC(false, nest_level);
}

static bool
TryLockAgainstWriters(const WriterStop *stop)
{
	List	   *members;
	int			n_locked = 0;

	if (!ConditionalLockRelationOid(stop->relid, ShareRowExclusiveLock))
		return false;
	members = find_all_inheritors(stop->relid, NoLock, NULL);
	while (n_locked < list_length(members) &&
		   ConditionalLockRelationOid(list_nth_oid(members, n_locked), ShareRowExclusiveLock))
		n_locked++;
	if (n_locked == list_length(members) && ConditionalLockRuns(stop->relid, stop->runs_mode))
		return true;
	for (int i = 0; i < n_locked; i++)
		UnlockRelationOid(list_nth_oid(members, i), ShareRowExclusiveLock);
	UnlockRelationOid(stop->relid, ShareRowExclusiveLock);
	return false;
}

static void
Pause(void)
{
	CHECK_FOR_INTERRUPTS();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 MS_BETWEEN_ATTEMPTS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Stop the writers of a dataset until the end of the transaction, and take the
 * lock on its runs: nothing is waited for while writers wait. Error 55P03 when
 * that takes too long.
 */
static void
StopWriters(Oid relid, LOCKMODE runs_mode)
{
	WriterStop	stop = {relid, runs_mode};

	for (int i = 0; i < POLITE_ATTEMPTS; i++)
	{
		if (TryLockAgainstWriters(&stop))
			return;
		Pause();
	}
	for (int i = 0; i < QUEUED_ATTEMPTS; i++)
	{
		ErrorData  *error = Try(LockAgainstWriters, &stop);

		if (error == NULL)
			return;
		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			ReThrowError(error);
		Pause();
	}
	RaiseNotStopped(relid);
}

static void
CreateOurTrigger(const pg_uuid_t *run_id, Oid relid, bool row)
{
	CreateTrigStmt *statement = makeNode(CreateTrigStmt);
	ObjectAddress trigger;
	ObjectAddress extension;

	statement->trigname = TriggerName(run_id, row);
	statement->relation = makeRangeVar(get_namespace_name(get_rel_namespace(relid)),
									   get_rel_name(relid), -1);
	statement->funcname = list_make2(makeString("brain"),
									 makeString(row ? "_track_changes" : "_track_truncate"));
	statement->args = list_make1(makeString(UuidText(run_id)));
	statement->row = row;
	statement->timing = TRIGGER_TYPE_AFTER;
	statement->events = row ? ROW_TRIGGER_TYPE & ~TRIGGER_TYPE_ROW : TRUNCATE_TRIGGER_TYPE;
	trigger = CreateTriggerFiringOn(statement, NULL, relid, InvalidOid, InvalidOid, InvalidOid,
									InvalidOid, InvalidOid, NULL, false, false,
									TRIGGER_FIRES_ALWAYS);
	/* DROP EXTENSION takes it along, and pg_dump keeps that */
	ObjectAddressSet(extension, ExtensionRelationId, get_extension_oid("milvus_brain", false));
	recordDependencyOn(&trigger, &extension, DEPENDENCY_AUTO_EXTENSION);
	CommandCounterIncrement();
}

/*
 * Set a trigger of ours that fires otherwise to ENABLE ALWAYS.
 */
static void
FireAlways(Oid trigger, Oid relid)
{
	Relation	rel = table_open(TriggerRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(trigger));
	scan = systable_beginscan(rel, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		tuple = heap_copytuple(tuple);
		((Form_pg_trigger) GETSTRUCT(tuple))->tgenabled = TRIGGER_FIRES_ALWAYS;
		CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	}
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
}

static void
MendTrigger(const pg_uuid_t *run_id, Oid relid, const FoundTrigger *found, bool row)
{
	if (!OidIsValid(found->oid))
		CreateOurTrigger(run_id, relid, row);
	else if (found->enabled != TRIGGER_FIRES_ALWAYS && found->enabled != TRIGGER_DISABLED)
		FireAlways(found->oid, relid);
}

/*
 * Make the triggers that are missing, with writers stopped. A partition may
 * belong to somebody else than its parent: who owns the dataset has it tracked
 * whole.
 */
static void
MendTriggers(const Run *run, Relation rel)
{
	List	   *members = TrackedTables(rel);
	Oid			user;
	int			security_context;
	ListCell   *lc;

	GetUserIdAndSecContext(&user, &security_context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, security_context | SECURITY_LOCAL_USERID_CHANGE);
	foreach(lc, members)
	{
		/* those of a parent come first, and are cloned to its partitions */
		TableTriggers triggers = FindTriggers(&run->id, lfirst_oid(lc));

		MendTrigger(&run->id, lfirst_oid(lc), &triggers.row, true);
		MendTrigger(&run->id, lfirst_oid(lc), &triggers.truncate, false);
	}
	SetUserIdAndSecContext(user, security_context);
}

/*
 * See to it that a run's dataset is tracked; true when something had to be done,
 * and writers stay stopped until the end of the transaction then. rel can be
 * tracked. A trigger that somebody has disabled stays so. *fingerprint is set to
 * the new one if nothing but our triggers has changed since it was taken. Not to
 * be called by a statement that is writing into the dataset, which would not fire
 * them: see IsBeingWritten().
 */
bool
EnsureTriggers(const Run *run, Relation rel, LOCKMODE runs_mode, uint64 *fingerprint)
{
	Tracking   *tracking = LookAtTracking(run, rel);
	bool		is_as_it_was;

	if (tracking->problem == NULL || !tracking->can_mend)
		return false;
	StopWriters(RelationGetRelid(rel), runs_mode);
	is_as_it_was = LookAtTracking(run, rel)->fingerprint == *fingerprint;
	MendTriggers(run, rel);
	if (is_as_it_was)
		*fingerprint = LookAtTracking(run, rel)->fingerprint;
	return true;
}

/*
 * Make the triggers that a new partition lacks, in the transaction that made it
 * a partition, which has it locked.
 */
void
AddMissingTriggers(const Run *run, Relation rel)
{
	Tracking   *tracking = LookAtTracking(run, rel);

	/* one that was never tracked is not begun with here */
	if (tracking->problem && tracking->can_mend &&
		OidIsValid(FindTriggers(&run->id, RelationGetRelid(rel)).row.oid))
		MendTriggers(run, rel);
}

/* ---------- dropping them ---------- */

static void
DropTrigger(const FoundTrigger *trigger)
{
	ObjectAddress address;

	if (!OidIsValid(trigger->oid) || trigger->is_clone)
		return;
	ObjectAddressSet(address, TriggerRelationId, trigger->oid);
	performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

/*
 * May the triggers of a table be dropped: nobody uses it, this session included?
 */
static bool
LockUnused(Oid relid)
{
	Relation	rel;
	bool		unused;

	if (!ConditionalLockRelationOid(relid, AccessExclusiveLock))
		return false;
	rel = RelationIdGetRelation(relid);
	if (rel == NULL)
		return false;
	unused = rel->rd_refcnt == 1 && !AfterTriggerPendingOnRel(relid);
	RelationClose(rel);
	return unused;
}

/*
 * Drop the triggers of a run if nobody has to wait: it takes a lock that keeps
 * even readers out, which must not last for a transaction of many statements.
 * Those that stay do nothing, since their run is gone, and the next sync or
 * brain.sweep() finds them. False when some stay.
 */
bool
DropTriggers(const pg_uuid_t *run_id, Oid relid)
{
	List	   *members;
	ListCell   *lc;

	if (IsTransactionBlock() || !LockUnused(relid))
		return false;
	members = find_all_inheritors(relid, NoLock, NULL);
	foreach(lc, members)
	{
		if (!LockUnused(lfirst_oid(lc)))
			return false;
	}
	foreach(lc, members)
	{
		TableTriggers triggers = FindTriggers(run_id, lfirst_oid(lc));

		DropTrigger(&triggers.row);
		DropTrigger(&triggers.truncate);
		CommandCounterIncrement();
	}
	return true;
}

/*
 * Is a table the dataset of a run that there is, or a partition of it?
 */
static bool
IsTrackedFor(const pg_uuid_t *run_id, Oid relid)
{
	Run		   *run = ReadRun(run_id);
	Oid			dataset = run && run->has_index ? DatasetOfRun(run) : InvalidOid;

	return OidIsValid(dataset) && BelongsTo(relid, dataset);
}

/*
 * The triggers of ours whose run is gone, or whose table is none of its dataset
 * any more, but for those that are a partition's
 * copy: a list of StrayTrigger.
 */
List *
StrayTriggers(void)
{
	Oid			functions[] = {TriggerFunction(true), TriggerFunction(false)};
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *found = NIL;
	List	   *strays = NIL;
	ListCell   *lc;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
		StrayTrigger *stray;
		Datum		arguments;
		bool		isnull;

		if ((form->tgfoid != functions[0] && form->tgfoid != functions[1]) ||
			OidIsValid(form->tgparentid) || form->tgnargs != 1)
			continue;
		arguments = heap_getattr(tuple, Anum_pg_trigger_tgargs, RelationGetDescr(rel), &isnull);
		stray = palloc(sizeof(StrayTrigger));
		stray->relid = form->tgrelid;
		stray->name = pstrdup(NameStr(form->tgname));
		if (ParseUuid(VARDATA_ANY(DatumGetByteaPP(arguments)), &stray->run_id))
			found = lappend(found, stray);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	/* no older than what was just read, or a new run's would look stray */
	PushActiveSnapshot(GetLatestSnapshot());
	foreach(lc, found)
	{
		StrayTrigger *stray = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		if (!IsTrackedFor(&stray->run_id, stray->relid))
			strays = lappend(strays, stray);
	}
	PopActiveSnapshot();
	return strays;
}
