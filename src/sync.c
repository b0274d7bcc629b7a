/*
 * sync.c
 *		brain.sync(): taking the change log into the base.
 *
 * A sync takes its lock, then its snapshot; reads the log and the changed
 * samples under it; writes a file; and in one transaction stores which files the
 * base consists of now and deletes the log rows that it read, no others. Whoever
 * sees that transaction sees whatever the sync saw, and needs no comparison of
 * snapshots; whoever does not goes on with the old base and its log.
 *
 * Few changes go into a small file, a segment, that says which rows of the files
 * before it are dead; many, or what the log cannot name, mean a new base.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "build.h"
#include "changes.h"
#include "collectionsync.h"
#include "exact/matrix.h"
#include "milvus/milvus.h"
#include "milvus_brain.h"
#include "sweep.h"
#include "testing.h"
#include "try.h"

PG_FUNCTION_INFO_V1(brain_sync);

/* With so many files the next sync puts all but the first into one. */
#define MAX_FILES 8

/* A base is made anew when this share of it has changed. */
#define MAX_CHANGED_SHARE 0.1

/* What is done anyway, whatever the share. */
#define MIN_CHANGED_ROWS 1000

typedef struct SyncOutcome
{
	const char *action;
	int64		changes;
	int64		rows;
	const char *reason;
} SyncOutcome;

/* ---------- a segment ---------- */

typedef struct SegmentStart
{
	Base	   *base;
	const Run  *run;
	const pg_uuid_t *generation;
	Changes    *changes;
	MatrixWriter *writer;
} SegmentStart;

static void
StartSegment(void *arg)
{
	SegmentStart *start = arg;

	start->writer = BeginMatrix(&start->run->id, start->generation, false,
								start->run->metric, start->base);
	for (int i = 0; i < start->changes->n_ids; i++)
	{
		int64		row = FindRow(start->base, start->changes->ids[i]);

		CHECK_FOR_INTERRUPTS();
		if (row >= 0)
			KillRow(start->writer, row);
	}
	if (start->base->n_files >= MAX_FILES)
		AbsorbSegments(start->writer, start->base);
}

typedef struct SegmentReading
{
	MatrixWriter *writer;
	HTAB	   *changed_ids;
} SegmentReading;

/*
 * A changed sample. One that equals a changed key and has another text has a log
 * row of its own, or was not changed.
 */
static void
AddChangedEntry(IndexReader *reader, EntryState state, void *arg)
{
	SegmentReading *reading = arg;
	char	   *id = SampleId(&reader->dataset->key, reader->id);

	if (!HasId(reading->changed_ids, id))
		return;
	if (state == ENTRY_OK)
		AddMatrixRow(reading->writer, id, reader->vector.values, reader->vector.dim);
	else if (state == ENTRY_BAD)
		AddBadMatrixRow(reading->writer, id, reader->failure, reader->vector.dim);
}

static void
ReadChangedSamples(MatrixWriter *writer, const Run *run, Relation rel, Dataset *dataset,
				   const Changes *changes, int dim)
{
	SegmentReading reading = {writer, CreateIdSet(changes->ids, changes->n_ids)};
	IndexReader reader;
	SimilarityQuery ids;
	SavedUser	saved;

	BeginAsOwner(rel->rd_rel->relowner, &saved);
	IdsOfChanges(changes, &dataset->key, &ids);
	OpenIndexReader(&reader, run, dataset);
	reader.dimensions = dim;
	ReadEntriesAmong(&reader, ids.n, ids.ids, NULL, AddChangedEntry, &reading);
	CloseIndexReader(&reader);
	EndAsOwner(&saved);
}

/*
 * Write the changed samples into a segment. NULL when that cannot be done, and
 * *base_is_good is false when the base is to blame.
 */
static MatrixWriter *
WriteSegment(Base *base, const Run *run, Relation rel, Dataset *dataset, Changes *changes,
			 const pg_uuid_t *generation, bool *base_is_good)
{
	SegmentStart start = {base, run, generation, changes, NULL};
	int			dim = base->dim;

	if (!WithMapping(base, StartSegment, &start))
	{
		*base_is_good = false;
		if (start.writer)
			AbandonMatrix(start.writer);
		return NULL;
	}
	ReadChangedSamples(start.writer, run, rel, dataset, changes, dim);
	if (FinishMatrix(start.writer, NULL))
		return start.writer;
	AbandonMatrix(start.writer);
	return NULL;
}

/* ---------- one run ---------- */

/*
 * Does it pay to go on with a base? It cannot if it does not know yet how long
 * its rows are.
 */
static bool
IsWorthContinuing(const Base *base, const Changes *changes)
{
	int64		changed;

	if (changes->n_ids > 0 && base->dim == 0)
		return false;
	/* dead rows, and those of segments, cost every search */
	changed = base->n_rows - base->n_live + (base->n_rows - base->parts[0].n) + changes->n_ids;
	return changed <= MIN_CHANGED_ROWS || changed <= MAX_CHANGED_SHARE * base->parts[0].n;
}

static void
LockRunForSync(const Run *run, Relation rel)
{
	Run		   *now;

	/* what deletes or renames the run waits; adding to its embeddings does not */
	LockRuns(RelationGetRelid(rel), RowShareLock);
	now = ReadRun(&run->id);
	if (now == NULL || !now->has_index)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("brain run \"%s\" was deleted or cleaned up while it was synced",
						run->brain_key)));
}

/*
 * The log rows that the sync read go, in the transaction that stores the base.
 */
static void
ForgetSynced(const Run *run, Changes *changes)
{
	(void) FaultPoint("before_forget");
	if (Mutated("R3"))
		DeleteChanges(&run->id);
	else
		ForgetChanges(changes);
	(void) FaultPoint("after_forget");
}

static bool
SyncBySegment(const Run *run, Relation rel, Dataset *dataset, const BaseRow *old, Base *base,
			  Changes *changes, SyncOutcome *outcome, bool *base_is_good)
{
	uint64		fingerprint = base->fingerprint;
	BaseRow		row = *old;
	MatrixWriter *writer;
	int			n_kept = base->n_files >= MAX_FILES ? 1 : base->n_files;

	row.generation = *NewUuid();
	row.files = palloc(sizeof(pg_uuid_t) * (n_kept + 1));
	memcpy(row.files, old->files, sizeof(pg_uuid_t) * n_kept);
	row.size = 0;
	for (int i = 0; i < n_kept; i++)
		row.size += SizeOfFile(base, i);
	row.files[n_kept] = row.generation;
	row.n_files = n_kept + 1;
	writer = WriteSegment(base, run, rel, dataset, changes, &row.generation, base_is_good);
	if (writer == NULL)
		return false;
	LockRunForSync(run, rel);
	row.rows = MatrixRows(writer);
	row.size += MatrixSize(writer);
	row.synced = GetCurrentTimestamp();
	(void) FaultPoint("before_base_row");
	if (!Mutated("R4"))
		WriteBaseRow(&row);
	(void) FaultPoint("after_base_row");
	if (!PublishMatrix(writer, fingerprint))
		ereport(ERROR,
				(errcode(ERRCODE_DISK_FULL),
				 errmsg("%s", MatrixFailure(writer))));
	AbandonMatrix(writer);
	ForgetSynced(run, changes);
	outcome->action = "segment";
	outcome->changes = changes->n_rows;
	outcome->rows = row.rows;
	return true;
}

typedef struct SyncBuild
{
	const Run  *run;
	Relation	rel;
	Dataset    *dataset;
	BaseBuild  *build;
	bool		old_is_good;
	SyncOutcome *outcome;
} SyncBuild;

static void
MakeBase(void *arg)
{
	SyncBuild  *call = arg;
	const Run  *run = call->run;
	BaseBuild  *build = call->build;
	SyncOutcome *outcome = call->outcome;
	/* under the snapshot that the dataset is read under */
	Changes    *changes = ReadChanges(&run->id, 0, CHANGES_TIDS);
	BaseRow    *row;

	if (build->writer && build->reason == NULL)
		ReadForBuild(build, call->rel, call->dataset);
	TrackForBuild(build, call->rel, RowShareLock);
	if (build->reason && call->old_is_good)
	{
		ereport(LOG,
				(errmsg("brain run \"%s\" of \"%s\" keeps its matrix: a new one was not made: %s",
						run->brain_key, call->dataset->name, build->reason)));
		outcome->action = "skipped";
		outcome->reason = build->reason;
		EndBuild(build);
		return;
	}
	LockRunForSync(run, call->rel);
	(void) FaultPoint("before_base_row");
	row = RecordBuild(build, call->rel, call->dataset);
	(void) FaultPoint("after_base_row");
	ForgetSynced(run, changes);
	outcome->action = row->reason ? "skipped" : "build";
	outcome->reason = row->reason;
	outcome->changes = changes->n_rows;
	outcome->rows = row->rows;
}

/*
 * Make a whole new base. If that cannot be, an old one that is still good stays,
 * with its log.
 */
static void
SyncByBuild(const Run *run, Relation rel, Dataset *dataset, bool old_is_good, SyncOutcome *outcome)
{
	BaseBuild  *build = BeginBuild(run, rel, true);
	SyncBuild	call = {run, rel, dataset, build, old_is_good, outcome};

	if (build->seen)
	{
		TryBuild(build, MakeBase, &call);
		return;
	}
	outcome->action = "skipped";
	outcome->reason = build->reason;
}

/*
 * Samples that the server cannot have are found in the dataset, by the log. In the
 * transaction that has taken its rows out: nobody sees neither.
 */
static void
KeepLogged(const Run *run, const List *refused, SyncOutcome *outcome)
{
	ListCell   *lc;

	foreach(lc, refused)
		LogChange(&run->id, CHANGE_ROW, lfirst(lc));
	if (refused)
		outcome->reason = psprintf(_("Milvus cannot have, or not find, sample \"%s\" and any other that stays in the log"),
								   (char *) linitial(refused));
}

/*
 * Take a log into a collection, where that is not to be filled anew. Whatever else
 * there is in the log waits: see collectionsync.c.
 */
static bool
SyncByWrites(const Run *run, Relation rel, Dataset *dataset, const BaseRow *old, SyncOutcome *outcome)
{
	Changes    *changes = ReadChanges(&run->id, 0, CHANGES_IDS | CHANGES_TIDS | CHANGES_SETTLED);
	BaseRow		row;
	List	   *refused;

	if (changes->everything || changes->n_ids > Max(MIN_CHANGED_ROWS, old->rows / 2))
		return false;
	outcome->action = "none";
	outcome->rows = old->rows;
	if (changes->n_rows == 0)
	{
		outcome->reason = WhyNoServer(old->server);
		return true;
	}
	/* what is sent must not be lost with a crash of ours */
	FlushWal();
	refused = SyncCollection(run, rel, dataset, old, changes, &row);
	LockRunForSync(run, rel);
	(void) FaultPoint("before_base_row");
	WriteBaseRow(&row);
	(void) FaultPoint("after_base_row");
	ForgetSynced(run, changes);
	KeepLogged(run, refused, outcome);
	outcome->action = "upsert";
	outcome->changes = changes->n_rows;
	outcome->rows = row.rows;
	return true;
}

/*
 * Is the collection that of the dataset as it is tracked? What was changed before
 * the fingerprint was taken a second time is in the log.
 */
static bool
IsGoodCollection(const Run *run, Relation rel, const BaseRow *row, uint64 fingerprint)
{
	const Tracking *tracking = LookAtTracking(run, rel);

	return row && row->collection && tracking->problem == NULL &&
		row->fingerprint == fingerprint && tracking->fingerprint == fingerprint;
}

static void
SyncRunOfCollection(const Run *run, Relation rel, Dataset *dataset, uint64 fingerprint, SyncOutcome *outcome)
{
	BaseRow    *row = ReadBaseRow(&run->id);
	const char *reason = row && row->collection ? WhyNoCollection(row) : NULL;
	bool		is_good;

	if (reason)
	{
		outcome->reason = reason;
		return;
	}
	is_good = IsGoodCollection(run, rel, row, fingerprint);
	if (!is_good || !SyncByWrites(run, rel, dataset, row, outcome))
		SyncByBuild(run, rel, dataset, is_good, outcome);
}

/*
 * Take a run's log into its base. Under LockSync() and the snapshot that it took.
 */
static void
SyncRun(const Run *run, Relation rel, SyncOutcome *outcome)
{
	Dataset    *dataset = UseRunAsOwner(run, rel);
	Problem    *problem = CheckTrackable(run, rel);
	Tracking   *tracking;
	uint64		fingerprint;
	BaseRow    *row;
	Base	   *base;
	Changes    *changes;
	bool		base_is_good;

	outcome->action = "skipped";
	outcome->reason = problem ? problem->message : CheckBuildable(rel);
	if (outcome->reason)
		return;
	tracking = LookAtTracking(run, rel);
	if (tracking->problem && !tracking->can_mend)
	{
		outcome->reason = pstrdup(tracking->problem->message);
		return;
	}
	fingerprint = tracking->fingerprint;
	PopActiveSnapshot();
	PushActiveSnapshot(GetLatestSnapshot());
	if (FindBackend(run->backend)->searches_untracked)
	{
		SyncRunOfCollection(run, rel, dataset, fingerprint, outcome);
		return;
	}
	row = ReadBaseRow(&run->id);
	changes = ReadChanges(&run->id, 0, CHANGES_IDS | CHANGES_TIDS);
	(void) FaultPoint("after_log_read");
	base = row ? OpenBase(&run->id, row->files, row->n_files, false) : NULL;
	tracking = LookAtTracking(run, rel);
	base_is_good = base && tracking->problem == NULL &&
		base->fingerprint == tracking->fingerprint && base->fingerprint == fingerprint &&
		!changes->everything;
	if (base_is_good && IsWorthContinuing(base, changes))
	{
		outcome->action = "none";
		outcome->rows = base->n_live;
		if (changes->n_rows == 0 ||
			SyncBySegment(run, rel, dataset, row, base, changes, outcome, &base_is_good))
			return;
	}
	/* as large as the log, and an abort would have to give it back */
	FreeChanges(changes);
	SyncByBuild(run, rel, dataset, base_is_good, outcome);
}

/* ---------- SQL ---------- */

static void
PutOutcome(ReturnSetInfo *rsinfo, Oid relid, const Run *run, const SyncOutcome *outcome,
		   instr_time start)
{
	Datum		values[7];
	bool		nulls[7] = {false};
	instr_time	duration;

	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	values[0] = ObjectIdGetDatum(relid);
	values[1] = CStringGetTextDatum(run->brain_key);
	values[2] = CStringGetTextDatum(outcome->action);
	values[3] = Int64GetDatum(outcome->changes);
	values[4] = Int64GetDatum(outcome->rows);
	nulls[4] = strcmp(outcome->action, "skipped") == 0;
	values[5] = Float8GetDatum(INSTR_TIME_GET_DOUBLE(duration));
	values[6] = outcome->reason ? CStringGetTextDatum(outcome->reason) : (Datum) 0;
	nulls[6] = outcome->reason == NULL;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

typedef struct SyncCall
{
	const Run  *run;
	Relation	rel;
	SyncOutcome *outcome;
} SyncCall;

/*
 * On top of a snapshot of its own, which goes when it fails.
 */
static void
TrySyncRun(void *arg)
{
	SyncCall   *call = arg;

	PushActiveSnapshot(GetLatestSnapshot());
	SyncRun(call->run, call->rel, call->outcome);
	PopActiveSnapshot();
}

/*
 * Sync one of many runs: what is wrong with it does not keep the others from
 * being synced.
 */
static void
SyncOneOfMany(const Run *run, Relation rel, SyncOutcome *outcome)
{
	SyncCall	call = {run, rel, outcome};
	ErrorData  *error;

	if (!run->has_index)
	{
		outcome->action = "skipped";
		outcome->reason = _("it was cleaned up");
		return;
	}
	error = Try(TrySyncRun, &call);
	if (error)
	{
		memset(outcome, 0, sizeof(SyncOutcome));
		outcome->action = "skipped";
		outcome->reason = error->detail ? psprintf("%s: %s", error->message, error->detail) :
			error->message;
	}
}

/*
 * Sync the runs of a dataset, or the one of a key.
 */
static void
SyncDataset(ReturnSetInfo *rsinfo, Relation rel, const char *brain_key)
{
	List	   *runs;
	ListCell   *lc;

	LockSync(RelationGetRelid(rel));
	runs = brain_key ? list_make1(FindRun(rel, brain_key, false)) : RunsOfDataset(rel);
	foreach(lc, runs)
	{
		Run		   *run = lfirst(lc);
		SyncOutcome outcome = {0};
		instr_time	start;

		INSTR_TIME_SET_CURRENT(start);
		if (brain_key)
			SyncRun(run, rel, &outcome);
		else
			SyncOneOfMany(run, rel, &outcome);
		PutOutcome(rsinfo, RelationGetRelid(rel), run, &outcome, start);
	}
}

/*
 * The datasets with runs that the caller owns, each once.
 */
static List *
OwnDatasets(void)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, AllRuns())
	{
		Run		   *run = lfirst(lc);
		Oid			relid = DatasetOfRun(run);
		Relation	rel = OidIsValid(relid) ? try_relation_open(relid, AccessShareLock) : NULL;

		if (rel == NULL)
			continue;
		if (OwnsDataset(rel))
			relids = list_append_unique_oid(relids, relid);
		relation_close(rel, AccessShareLock);
	}
	list_sort(relids, list_oid_cmp);
	return relids;
}

/*
 * SQL: brain.sync(samples regclass, brain_key text) returns setof
 * brain.sync_result: of one run, of a dataset's, or, with NULL, of all datasets
 * that the caller owns.
 *
 * Errors: 42704 no such run; 42501 not the dataset's owner; 55000 the run cannot
 * be used; 25001 in a transaction that keeps an older snapshot; 25006 in a
 * read-only one; 55P03 writers could not be stopped; 53100 the disk is full.
 */
Datum
brain_sync(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *brain_key = TextArgument(fcinfo, 1);
	List	   *relids;
	ListCell   *lc;

	if (PG_ARGISNULL(0) && brain_key)
		RequireArgument(fcinfo, 0, "samples");
	InitMaterializedSRF(fcinfo, 0);
	BeginWrite("sync()");
	if (IsolationUsesXactSnapshot() && !Mutated("R3"))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("sync() cannot run in a transaction of isolation level %s",
						XactIsoLevel == XACT_SERIALIZABLE ? "serializable" : "repeatable read"),
				 errhint("Call it in a transaction of its own, READ COMMITTED.")));
	relids = PG_ARGISNULL(0) ? OwnDatasets() : list_make1_oid(PG_GETARG_OID(0));
	foreach(lc, relids)
	{
		Relation	rel = PG_ARGISNULL(0) ? TryOpenDataset(lfirst_oid(lc)) :
			OpenSamples(lfirst_oid(lc));

		/* of many, one that somebody has locked or dropped is passed over */
		if (rel == NULL)
			continue;
		RequireOwner(rel);
		SyncDataset(rsinfo, rel, brain_key);
		relation_close(rel, NoLock);
	}
	(void) FaultPoint("before_sweep");
	SweepFiles(NULL);
	SweepTriggers(NULL);
	(void) FaultPoint("before_commit");
	EndWrite();
	return (Datum) 0;
}
