/*
 * runs.c
 *		Brain runs: finding one, using it, and who may change it.
 *
 * A run names columns; whether they are still there and still fit is found out
 * at each use, never stored: a run whose column was dropped is broken with that
 * reason, and works again as soon as the reason is gone.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "bases.h"
#include "changes.h"
#include "filter.h"
#include "identifier.h"
#include "milvus/milvus.h"
#include "runs.h"
#include "sweep.h"
#include "tracking.h"
#include "triggers.h"
#include "try.h"
#include "uuids.h"

PG_FUNCTION_INFO_V1(brain_no_such_run);
PG_FUNCTION_INFO_V1(brain_rename_brain_run);
PG_FUNCTION_INFO_V1(brain_delete_brain_run);
PG_FUNCTION_INFO_V1(brain_delete_brain_runs);
PG_FUNCTION_INFO_V1(brain_cleanup);

pg_noreturn static void RaiseNoSuchRun(Oid relid, const char *brain_key);

static void
RaiseNoSuchRun(Oid relid, const char *brain_key)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("brain run \"%s\" of \"%s\" does not exist", brain_key, DatasetName(relid)),
			 errhint("brain.list_brain_runs() lists the runs of a dataset.")));
}

void
RaiseDuplicateRun(Relation rel, const char *brain_key)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("brain run \"%s\" of \"%s\" exists already",
					brain_key, DatasetName(RelationGetRelid(rel))),
			 errhint("Choose another brain key, delete or rename the run, or compute it anew with overwrite => true.")));
}

/*
 * May the current user read anything of a relation? False when it does not
 * exist: it may be dropped while a list of runs is made.
 */
bool
MayReadSome(Oid relid)
{
	bool		is_missing = false;

	if (pg_class_aclcheck_ext(relid, GetUserId(), ACL_SELECT, &is_missing) == ACLCHECK_OK)
		return true;
	if (is_missing)
		return false;
#if PG_VERSION_NUM >= 170000
	return pg_attribute_aclcheck_all_ext(relid, GetUserId(), ACL_SELECT, ACLMASK_ANY,
										 &is_missing) == ACLCHECK_OK;
#else
	return pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK;
#endif
}

/*
 * How a run is called in a message to somebody who may not know of it.
 */
char *
NameOfOtherRun(const Run *run)
{
	return MayReadSome(run->dataset) ?
		psprintf(_("brain run \"%s\" of \"%s\""), run->brain_key, run->dataset_name) : pstrdup(_("another brain run"));
}

/*
 * Open a dataset for reading, locked until the end of the transaction as any
 * query would. The OID may be anything that a user wrote as regclass. Error
 * 42501 when the caller may read nothing of it: whether it has a run is then
 * none of his business either.
 */
Relation
OpenSamples(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (!MayReadSome(relid))
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(rel->rd_rel->relkind),
					   RelationGetRelationName(rel));
	return rel;
}

/*
 * The run of a dataset by its key, as the active snapshot has it. Error 42704,
 * or NULL, when there is none.
 */
Run *
FindRun(Relation rel, const char *brain_key, bool missing_ok)
{
	ListCell   *lc;

	foreach(lc, RunsOfDataset(rel))
	{
		Run		   *run = lfirst(lc);

		if (strcmp(run->brain_key, brain_key) == 0)
			return run;
	}
	if (!missing_ok)
		RaiseNoSuchRun(RelationGetRelid(rel), brain_key);
	return NULL;
}

/*
 * The same for what changes the run, under LockRuns(). Error 40001 when a
 * transaction that keeps to an older snapshot would change what it cannot see.
 */
Run *
FindRunToChange(Relation rel, const char *brain_key, bool missing_ok)
{
	Run		   *run = FindRun(rel, brain_key, true);

	if (IsolationUsesXactSnapshot())
	{
		Run		   *seen;

		PushActiveSnapshot(GetTransactionSnapshot());
		seen = FindRun(rel, brain_key, true);
		PopActiveSnapshot();
		if ((run == NULL) != (seen == NULL) ||
			(run && memcmp(&run->id, &seen->id, sizeof(pg_uuid_t)) != 0))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent update of brain run \"%s\"",
							brain_key)));
	}
	if (run == NULL && !missing_ok)
		RaiseNoSuchRun(RelationGetRelid(rel), brain_key);
	return run;
}

/*
 * The dataset of a run: by its OID, or, restored and not bound yet, by its name.
 */
Oid
DatasetOfRun(const Run *run)
{
	Oid			namespace;

	if (run->bound)
		return run->dataset;
	namespace = get_namespace_oid(run->dataset_schema, true);
	return OidIsValid(namespace) ? get_relname_relid(run->dataset_name, namespace) : InvalidOid;
}

/* ---------- is it usable? ---------- */

static Problem *
MissingColumn(const char *name)
{
	return MakeProblem(ERRCODE_UNDEFINED_COLUMN,
					   psprintf(_("column \"%s\" does not exist"), name), NULL);
}

/*
 * Where a run's column is: by its number as long as it has not been dropped,
 * else by its name.
 */
AttrNumber
ResolveColumn(Relation rel, AttrNumber attno, const char *name)
{
	if (attno > 0 && attno <= RelationGetNumberOfAttributes(rel) &&
		!TupleDescAttr(RelationGetDescr(rel), attno - 1)->attisdropped)
		return attno;
	return ColumnNumber(rel, name);
}

typedef struct FilterParse
{
	Relation	rel;
	const char *text;
	Node	   *filter;
} FilterParse;

/*
 * Reading a literal can run code: a domain's CHECK constraint. Who is above row
 * security runs it as the dataset's owner.
 */
static void
ParseWithoutTrust(void *arg)
{
	FilterParse *parse = arg;
	SavedUser	saved = {0};
	bool		as_owner = has_bypassrls_privilege(GetUserId());

	if (as_owner)
		BeginAsOwner(parse->rel->rd_rel->relowner, &saved);
	(void) PinExpressionSettings();
	parse->filter = ParseRunFilter(parse->rel, parse->text);
	if (as_owner)
		EndAsOwner(&saved);
}

/*
 * Parse a run's filter from its text; a problem instead of an error, since what
 * it uses may be gone.
 */
Node *
TryParseRunFilter(Relation rel, const char *text, Problem **problem)
{
	FilterParse parse = {rel, text, NULL};
	Oid			user;
	int			security_context;
	int			nest_level = NewGUCNestLevel();
	ErrorData  *error;

	GetUserIdAndSecContext(&user, &security_context);
	error = Try(ParseWithoutTrust, &parse);
	/* a subtransaction has undone this already, if there was one */
	SetUserIdAndSecContext(user, security_context);
	AtEOXact_GUC(false, nest_level);
	if (error)
		*problem = MakeProblem(error->sqlerrcode,
							   psprintf(_("its filter cannot be used: %s"), error->message), NULL);
	return parse.filter;
}

/*
 * A run's filter from its tree; NULL when there is none that holds.
 */
static Node *
IntactFilter(const Run *run, Relation rel)
{
	Node	   *filter = run->bound && run->filter_tree ? stringToNode(run->filter_tree) : NULL;

	return filter && RunFilterIsIntact(filter, rel) ? filter : NULL;
}

/*
 * The dataset of a run as its columns are now, or why the run cannot be used.
 * Of its filter only what is known without running anything: for lists.
 */
Dataset *
LookAtRun(const Run *run, Relation rel, Problem **problem)
{
	AttrNumber	key_attno = ResolveColumn(rel, run->id_attno, run->id_field);
	AttrNumber	embeddings_attno = InvalidAttrNumber;
	Dataset    *dataset;

	if ((*problem = CheckDataset(rel)) != NULL)
		return NULL;
	if (key_attno == InvalidAttrNumber)
		*problem = MissingColumn(run->id_field);
	else
		*problem = CheckKeyColumn(rel, key_attno);
	if (*problem)
		return NULL;

	if (run->embeddings_field)
	{
		embeddings_attno = ResolveColumn(rel, run->embeddings_attno, run->embeddings_field);
		if (embeddings_attno == InvalidAttrNumber)
			*problem = MissingColumn(run->embeddings_field);
		else
			*problem = CheckEmbeddingsColumn(rel, embeddings_attno);
		if (*problem)
			return NULL;
	}

	dataset = OpenDataset(rel, key_attno, embeddings_attno);
	if (run->dimensions > 0 && dataset->declared_dimensions > 0 &&
		run->dimensions != dataset->declared_dimensions)
	{
		*problem = MakeProblem(ERRCODE_DATATYPE_MISMATCH,
							   psprintf(_("column \"%s\" holds %d dimensions, the run has %d"),
										run->embeddings_field, dataset->declared_dimensions,
										run->dimensions), NULL);
		return NULL;
	}
	dataset->filter = run->filter ? IntactFilter(run, rel) : NULL;
	/* without a tree it has not been parsed yet: nothing is known */
	if (run->filter && run->bound && run->filter_tree && dataset->filter == NULL)
		*problem = MakeProblem(ERRCODE_UNDEFINED_OBJECT,
							   pstrdup(_("something that its filter uses was dropped or changed")), NULL);
	return dataset;
}

/*
 * The dataset of a run that is about to be used, or why it cannot be.
 */
Dataset *
ResolveRun(const Run *run, Relation rel, Problem **problem)
{
	Dataset    *dataset = LookAtRun(run, rel, problem);

	if (dataset == NULL || run->filter == NULL || dataset->filter)
		return dataset;
	*problem = NULL;
	dataset->filter = TryParseRunFilter(rel, run->filter, problem);
	return *problem ? NULL : dataset;
}

/*
 * The dataset of a run that is about to be used. Error 55000 when it was
 * cleaned up or is broken. For what reads it as its owner.
 */
Dataset *
UseRunAsOwner(const Run *run, Relation rel)
{
	const char *name = DatasetName(RelationGetRelid(rel));
	Problem    *problem;
	Dataset    *dataset;

	if (!run->has_index)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("brain run \"%s\" of \"%s\" has no index: it was cleaned up",
						run->brain_key, name),
				 errhint("Compute it again: brain.compute_similarity(..., overwrite => true).")));
	dataset = ResolveRun(run, rel, &problem);
	if (dataset == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("brain run \"%s\" of \"%s\" is broken", run->brain_key, name),
				 errdetail_internal("%s", problem->message),
				 problem->hint ? errhint("%s", problem->hint) :
				 errhint("It works again when that is mended; or compute it again with overwrite => true.")));
	return dataset;
}

/*
 * The same for what reads it as the caller. Error 42501 when that would run code
 * that he should not run.
 */
Dataset *
UseRun(const Run *run, Relation rel)
{
	Dataset    *dataset = UseRunAsOwner(run, rel);

	CheckFilterIsTrusted(run, rel, dataset);
	return dataset;
}

/*
 * A run's filter is evaluated with the rights of who searches, as a row security
 * policy is. Who is above row security is not used to run a table owner's code by
 * reading the table, so a filter may not do that to him either: error 42501.
 */
void
CheckFilterIsTrusted(const Run *run, Relation rel, const Dataset *dataset)
{
	Oid			owner = rel->rd_rel->relowner;
	char	   *code;

	if (dataset->filter == NULL || owner == GetUserId() || superuser_arg(owner) ||
		!has_bypassrls_privilege(GetUserId()))
		return;
	code = CodeNotOfSuperuser(dataset->filter);
	if (code)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the filter of brain run \"%s\" of \"%s\" uses %s, which belongs to an ordinary role",
						run->brain_key, dataset->name, code),
				 errdetail("It would run with your rights."),
				 errhint("Search as the owner of the dataset: SET ROLE %s.",
						 quote_identifier(GetUserNameFromId(owner, false)))));
}

/* ---------- who may change it ---------- */

/*
 * What a function that writes the catalog begins with: the heap functions that
 * do it know nothing of read-only transactions, and an older snapshot than the
 * latest would miss what others have committed.
 */
void
BeginWrite(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	PushActiveSnapshot(GetLatestSnapshot());
}

void
EndWrite(void)
{
	PopActiveSnapshot();
}

/* What LockDatabaseObject() locks: objects of our own making in a class of ours. */
#define LOCK_RUNS_OF_DATASET 0
#define LOCK_RUNS_OF_SCHEMA 1
#define LOCK_SYNC_OF_DATASET 2
#define LOCK_SWEEP 3

static void
LockAndLook(Oid object, uint16 kind, LOCKMODE mode)
{
	LockDatabaseObject(get_namespace_oid("brain", false), object, kind, mode);
	PopActiveSnapshot();
	PushActiveSnapshot(GetLatestSnapshot());
}

/*
 * Keep others from changing the runs of a dataset until this transaction ends:
 * ExclusiveLock to change them, ShareLock to add to their embeddings. Never
 * meets a lock on the dataset itself. Takes a new snapshot in place of the
 * active one, since what was waited for may have changed them.
 */
void
LockRuns(Oid relid, LOCKMODE mode)
{
	LockAndLook(relid, LOCK_RUNS_OF_DATASET, mode);
}

void
UnlockRuns(Oid relid, LOCKMODE mode)
{
	UnlockDatabaseObject(get_namespace_oid("brain", false), relid, LOCK_RUNS_OF_DATASET, mode);
}

/*
 * LockRuns(ExclusiveLock) if that needs no waiting.
 */
bool
TryLockRuns(Oid relid)
{
	if (!ConditionalLockRuns(relid, ExclusiveLock))
		return false;
	LockRuns(relid, ExclusiveLock);
	return true;
}

/*
 * Keep a schema's name, with ShareLock, while a run that is being recorded has
 * it; with ExclusiveLock, wait for such runs.
 */
void
LockRunsOfSchema(Oid namespace, LOCKMODE mode)
{
	LockAndLook(namespace, LOCK_RUNS_OF_SCHEMA, mode);
}

/*
 * Keep other syncs of a dataset's runs away until this transaction ends. Takes a
 * new snapshot: one from before the wait would send old values over new ones.
 */
void
LockSync(Oid relid)
{
	LockAndLook(relid, LOCK_SYNC_OF_DATASET, ExclusiveLock);
}

/*
 * Keep other sweeps away until this transaction ends.
 */
void
LockSweep(void)
{
	LockAndLook(InvalidOid, LOCK_SWEEP, ExclusiveLock);
}

/*
 * LockRuns() if that needs no waiting, and without a new snapshot.
 */
bool
ConditionalLockRuns(Oid relid, LOCKMODE mode)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, get_namespace_oid("brain", false), relid,
					   LOCK_RUNS_OF_DATASET);
	return LockAcquire(&tag, mode, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

bool
OwnsTable(Oid relid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, GetUserId());
#else
	return pg_class_ownercheck(relid, GetUserId());
#endif
}

bool
OwnsDataset(Relation rel)
{
	return OwnsTable(RelationGetRelid(rel));
}

/*
 * Error 42501 unless the current user owns the dataset.
 */
void
RequireOwner(Relation rel)
{
	if (!OwnsDataset(rel))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(rel->rd_rel->relkind),
					   RelationGetRelationName(rel));
}

/*
 * SQL: brain._no_such_run(samples regclass, brain_key text) returns jsonb; only
 * raises the error.
 */
Datum
brain_no_such_run(PG_FUNCTION_ARGS)
{
	RequireArgument(fcinfo, 0, "samples");
	RequireArgument(fcinfo, 1, "brain_key");
	RaiseNoSuchRun(PG_GETARG_OID(0), text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_NULL();
}

/* ---------- changing a run ---------- */

/*
 * Open the dataset of a function that changes its runs: the caller owns it, and
 * nobody else changes them until the transaction ends.
 */
static Relation
BeginChange(FunctionCallInfo fcinfo, const char *function)
{
	Relation	rel;

	BeginWrite(function);
	rel = OpenSamples(PG_GETARG_OID(0));
	RequireOwner(rel);
	LockRuns(RelationGetRelid(rel), ExclusiveLock);
	return rel;
}

/*
 * Delete what a run is searched in beside its dataset: the base, whose files the
 * next sweep removes, and the log.
 */
static void
DropBase(const pg_uuid_t *run_id)
{
	if (!HasBases())
		return;
	DeleteBaseRow(run_id);
	DeleteChanges(run_id);
}

/*
 * The same for a run that stays. Its row in brain._bases stays too, with a new
 * generation: a file that a search made for the old one, or for none, is not for
 * what comes.
 */
static void
EmptyBase(const pg_uuid_t *run_id)
{
	BaseRow		row = {.run_id = *run_id, .synced = GetCurrentTimestamp()};

	if (!HasBases())
		return;
	row.generation = *NewUuid();
	row.reason = _("no base was made since the run was cleaned up");
	WriteBaseRow(&row);
	DeleteChanges(run_id);
}

/*
 * Delete a run, with what hangs on it but its triggers. DropTriggers() follows,
 * when the dataset is closed.
 */
void
RemoveRun(const Run *run)
{
	DropBase(&run->id);
	DeleteRun(run);
}

/*
 * End a change. The runs in gone, if any, have no use for their triggers any
 * more; they can be dropped only when we do not use the dataset ourselves.
 */
static void
EndChange(Relation rel, List *gone)
{
	Oid			relid = RelationGetRelid(rel);
	ListCell   *lc;

	relation_close(rel, NoLock);
	if (gone && HasBases())
		SweepFiles(NULL);
	foreach(lc, HasBases() ? gone : NIL)
		(void) DropTriggers(&((Run *) lfirst(lc))->id, relid);
	EndWrite();
}

/*
 * SQL: brain.rename_brain_run(samples regclass, brain_key text, new_brain_key
 * text) returns void. Errors: 42704 no such run, 42710 the new key is taken,
 * 42602 it is no identifier, 42501 not the dataset's owner.
 */
Datum
brain_rename_brain_run(PG_FUNCTION_ARGS)
{
	char	   *brain_key;
	char	   *new_key;
	Relation	rel;
	Run		   *run;

	RequireArgument(fcinfo, 0, "samples");
	RequireArgument(fcinfo, 1, "brain_key");
	RequireArgument(fcinfo, 2, "new_brain_key");
	brain_key = text_to_cstring(PG_GETARG_TEXT_PP(1));
	new_key = text_to_cstring(PG_GETARG_TEXT_PP(2));
	rel = BeginChange(fcinfo, "rename_brain_run()");
	run = FindRunToChange(rel, brain_key, false);
	CheckBrainKey(new_key);
	if (FindRun(rel, new_key, true))
		RaiseDuplicateRun(rel, new_key);
	run->brain_key = new_key;
	UpdateRun(run);
	EndChange(rel, NIL);
	PG_RETURN_VOID();
}

/*
 * SQL: brain.delete_brain_run(samples regclass, brain_key text, cleanup boolean)
 * returns void. Vectors that the run itself holds go with its record, as
 * FiftyOne's do, and a column never does: cleanup changes nothing on exact.
 */
Datum
brain_delete_brain_run(PG_FUNCTION_ARGS)
{
	char	   *brain_key;
	Relation	rel;
	Run		   *run;

	RequireArgument(fcinfo, 0, "samples");
	RequireArgument(fcinfo, 1, "brain_key");
	brain_key = text_to_cstring(PG_GETARG_TEXT_PP(1));
	rel = BeginChange(fcinfo, "delete_brain_run()");
	run = FindRunToChange(rel, brain_key, false);
	RemoveRun(run);
	EndChange(rel, list_make1(run));
	PG_RETURN_VOID();
}

/*
 * SQL: brain.delete_brain_runs(samples regclass, cleanup boolean) returns
 * integer: how many.
 */
Datum
brain_delete_brain_runs(PG_FUNCTION_ARGS)
{
	Relation	rel;
	List	   *runs;
	ListCell   *lc;

	RequireArgument(fcinfo, 0, "samples");
	rel = BeginChange(fcinfo, "delete_brain_runs()");
	runs = RunsOfDataset(rel);
	foreach(lc, runs)
		RemoveRun(lfirst(lc));
	EndChange(rel, runs);
	PG_RETURN_INT32(list_length(runs));
}

/*
 * A collection that was attached is dropped only when the caller insists.
 */
static void
CleanUpAttached(const Run *run, bool force)
{
	BaseRow    *row = HasCollections() ? ReadBaseRow(&run->id) : NULL;
	List	   *others;

	if (row == NULL || row->collection == NULL || !row->attached)
		return;
	if (!force)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("collection \"%s\" was there before brain run \"%s\", which is only attached to it",
						row->collection, run->brain_key),
				 errhint("With force => true it is dropped; brain.delete_brain_run() lets go of it.")));
	others = OtherRunsOn(row->server, row->collection, &run->id);
	if (others)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("collection \"%s\" is that of %s too", row->collection, NameOfOtherRun(linitial(others))),
				 errhint("brain.delete_brain_run() lets go of it.")));
	/* what he may not reach he cannot drop: the errors of a connection's settings */
	(void) FindMilvusSettings(row->server, 0, NULL);
	NoteGarbage(row);
}

/*
 * SQL: brain.cleanup(samples regclass, brain_key text, force boolean) returns
 * void. A second call does nothing, as in FiftyOne. Errors: 42704 no such run,
 * 42501 not the dataset's owner, 55000 an attached collection without force;
 * with force 55006 one that another run is on, 42704 its server was dropped,
 * 42501 no USAGE on that.
 */
Datum
brain_cleanup(PG_FUNCTION_ARGS)
{
	char	   *brain_key;
	Relation	rel;
	Run		   *run;

	RequireArgument(fcinfo, 0, "samples");
	RequireArgument(fcinfo, 1, "brain_key");
	brain_key = text_to_cstring(PG_GETARG_TEXT_PP(1));
	rel = BeginChange(fcinfo, "cleanup()");
	run = FindRunToChange(rel, brain_key, false);
	/* before 0.3.0 there were two arguments */
	CleanUpAttached(run, PG_NARGS() > 2 && BoolArgument(fcinfo, 2, false));
	EmptyBase(&run->id);
	DeleteEmbeddings(run);
	run->has_index = false;
	if (run->embeddings_field == NULL)
		run->dimensions = 0;	/* add_to_index() begins anew */
	run->indexed = run->missing = run->skipped = COUNT_UNKNOWN;
	UpdateRun(run);
	EndChange(rel, list_make1(run));
	PG_RETURN_VOID();
}
