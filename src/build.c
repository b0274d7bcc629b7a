/*
 * build.c
 *		Making the base of a run from its dataset.
 *
 * A build does not stop writers: the dataset is read under a snapshot, without
 * a lock that anybody notices. Where it is not tracked yet its writers are
 * stopped then, for the moment in which the triggers are made and the rows that
 * the snapshot had not seen are written to the log. What cannot be built (too
 * large, a full disk) is answered from the table.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xloginsert.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "build.h"
#include "changes.h"
#include "exact/exact.h"
#include "filter.h"
#include "milvus_brain.h"
#include "sweep.h"
#include "testing.h"
#include "triggers.h"
#include "try.h"

/*
 * Why a base cannot be made though the dataset can be tracked; NULL when it can.
 * A base has all rows, whoever makes it.
 */
char *
CheckBuildable(Relation rel)
{
	if (check_enable_rls(RelationGetRelid(rel), rel->rd_rel->relowner, true) == RLS_ENABLED)
		return psprintf(_("row security is forced on the owner of \"%s\""), RelationGetRelationName(rel));
	return NULL;
}

/*
 * A run that cannot follow its dataset says so when it is made.
 */
static void
TellFrozen(const Run *run, const Problem *problem)
{
	ereport(NOTICE,
			(errmsg("brain run \"%s\" of \"%s\" does not follow its dataset: %s",
					run->brain_key, run->dataset_name, problem->message),
			 errdetail("Searches find the samples that it has now; their distances are those of the moment."),
			 errhint("Compute it again, with overwrite => true, to take in others.")));
}

static void
BeginRows(void *arg)
{
	BaseWriter *writer = arg;

	writer->methods->begin_rows(writer);
}

/*
 * Begin a base under the active snapshot, which must be younger than whatever
 * the caller has decided by. Rows follow by BuildEntry(), if the dataset is going
 * to be read.
 */
BaseBuild *
BeginBuild(const Run *run, Relation rel, bool reads)
{
	BaseBuild  *build = palloc0(sizeof(BaseBuild));
	const Backend *backend = FindBackend(run->backend);
	Problem    *problem = CheckTrackable(run, rel);

	build->run = run;
	if (!HasBases())
		return build;
	build->generation = *NewUuid();
	build->frozen = problem && backend->searches_untracked;
	build->reason = problem && !build->frozen ? problem->message : CheckBuildable(rel);
	if (build->reason == NULL && !reads && !run->attached)
		build->reason = _("the dataset was not read: with_data => false");
	if (problem && !build->frozen)
		return build;
	if (build->frozen)
		TellFrozen(run, problem);
	else
		build->fingerprint = LookAtTracking(run, rel)->fingerprint;
	/* what is read must be younger than what the fingerprint was taken of */
	PopActiveSnapshot();
	PushActiveSnapshot(GetLatestSnapshot());
	build->seen = RegisterSnapshot(GetActiveSnapshot());
	if (build->reason == NULL)
		build->writer = backend->begin_base(run, RelationGetRelationName(rel), &build->generation,
											&build->reason);
	if (build->writer && build->writer->methods->begin_rows)
		TryBuild(build, BeginRows, build->writer);
	return build;
}

/*
 * Take in what ReadEntry() has just read.
 */
void
BuildEntry(BaseBuild *build, IndexReader *reader, EntryState state)
{
	build->n_read++;
	if (build->writer == NULL || state == ENTRY_MISSING)
		return;
	if (state == ENTRY_OK)
		build->writer->methods->add_row(build->writer, SampleId(&reader->dataset->key, reader->id),
										reader->vector.values, reader->vector.dim);
	else if (!reader->id_is_null)
		build->writer->methods->add_bad_row(build->writer, SampleId(&reader->dataset->key, reader->id),
											reader->failure, reader->vector.dim);
}

typedef struct BuildReading
{
	BaseBuild  *build;
	IndexReader reader;
} BuildReading;

static void
ReadBuildEntry(TupleTableSlot *slot, void *arg)
{
	BuildReading *reading = arg;
	EntryState	state = ReadEntry(&reading->reader, slot, 1);

	/* a run without a dimension takes that of the first */
	if (state == ENTRY_OK && reading->reader.dimensions == 0)
		reading->reader.dimensions = reading->reader.vector.dim;
	BuildEntry(reading->build, &reading->reader, state);
}

/*
 * Give each row of the dataset to a build, under the active snapshot, as its owner.
 */
static void
ReadRows(BaseBuild *build, Relation rel, Dataset *dataset)
{
	BuildReading reading = {.build = build};
	SampleQuery query = {.read = ReadBuildEntry, .arg = &reading};
	SavedUser	saved;

	BeginAsOwner(rel->rd_rel->relowner, &saved);
	OpenIndexReader(&reading.reader, build->run, dataset);
	query.targets = reading.reader.targets;
	ReadSamples(dataset, &query);
	CloseIndexReader(&reading.reader);
	EndAsOwner(&saved);
}

/*
 * After the last row. What a backend has lost is read once more, under the active
 * snapshot, which is still that of the first reading.
 */
void
EndRows(BaseBuild *build, Relation rel, Dataset *dataset)
{
	const BaseWriterMethods *methods = build->writer ? build->writer->methods : NULL;

	if (methods == NULL || methods->end_rows == NULL || methods->end_rows(build->writer))
		return;
	build->n_read = 0;
	ReadRows(build, rel, dataset);
	(void) methods->end_rows(build->writer);
}

/*
 * Read the whole dataset into a build.
 */
void
ReadForBuild(BaseBuild *build, Relation rel, Dataset *dataset)
{
	ReadRows(build, rel, dataset);
	EndRows(build, rel, dataset);
}

/*
 * Write the file, and see to it that the dataset is tracked from here on. The
 * lock on the runs, in the given mode, comes with the one on the dataset: with
 * writers stopped nobody is waited for.
 */
void
TrackForBuild(BaseBuild *build, Relation rel, LOCKMODE runs_mode)
{
	if (build->writer)
		build->reason = build->writer->methods->finish(build->writer, NULL);
	if (build->seen && build->reason == NULL && IsBeingWritten(build->run, rel))
		build->reason = psprintf(_("\"%s\" was being used by active queries in the session"),
								 RelationGetRelationName(rel));
	/* without a base nobody needs a log */
	if (build->seen && !build->frozen && build->reason == NULL)
		build->made_triggers = EnsureTriggers(build->run, rel, runs_mode, &build->fingerprint);
	(void) FaultPoint("triggers");
}

/* ---------- what the snapshot had not seen ---------- */

/* So many ids are remembered to find out whether others have vanished. */
#define MAX_KEPT_IDS 100000

typedef struct Unseen
{
	BaseBuild  *build;
	SampleKey  *key;
	TransactionId next_xid;
	int64		n_seen;
	int64		n_unseen;
	char	  **kept;			/* the first ids that were not seen */
	MemoryContext context;
	HTAB	   *ids;			/* hashes of what there is now */
} Unseen;

/*
 * Does the build's snapshot see a row? Those of this transaction were there
 * before it. xmin is raw: what looks like one of the future is that of a row
 * frozen long ago.
 */
static bool
WasSeen(const Unseen *unseen, TransactionId xmin)
{
	return !XidInMVCCSnapshot(xmin, unseen->build->seen) ||
		TransactionIdFollowsOrEquals(xmin, unseen->next_xid) ||
		TransactionIdIsCurrentTransactionId(xmin);
}

static void
LogUnseen(TupleTableSlot *slot, void *arg)
{
	Unseen	   *unseen = arg;
	bool		isnull;
	char	   *id;

	if (WasSeen(unseen, DatumGetTransactionId(slot_getattr(slot, 2, &isnull))))
	{
		unseen->n_seen++;
		return;
	}
	id = SampleId(unseen->key, slot_getattr(slot, 1, &isnull));
	LogChange(&unseen->build->run->id, CHANGE_ROW, id);
	if (unseen->n_unseen < MAX_KEPT_IDS)
		unseen->kept[unseen->n_unseen] = MemoryContextStrdup(unseen->context, id);
	unseen->n_unseen++;
}

/* ---------- what has vanished ---------- */

/*
 * Is each row that the build has read still there, or another of its id? Then
 * none has vanished.
 */
static bool
AllAreThere(Unseen *unseen)
{
	BaseBuild  *build = unseen->build;
	int64		n_replaced;

	if (unseen->n_seen == build->n_read)
		return true;
	if (unseen->n_unseen > MAX_KEPT_IDS)
		return false;
	n_replaced = build->writer->methods->count_taken(build->writer, unseen->kept, unseen->n_unseen);
	return n_replaced >= 0 && unseen->n_seen + n_replaced == build->n_read;
}

static void
NoteId(TupleTableSlot *slot, void *arg)
{
	Unseen	   *unseen = arg;
	bool		isnull;
	char	   *id = SampleId(unseen->key, slot_getattr(slot, 1, &isnull));
	uint64		hash = hash_bytes_extended((unsigned char *) id, (int) strlen(id), 0);

	(void) hash_search(unseen->ids, &hash, HASH_ENTER, NULL);
}

/*
 * Log an id that is gone. Two ids of one hash would hide that: at 64 bits, never.
 */
static void
LogIfGone(const char *id, void *arg)
{
	Unseen	   *unseen = arg;
	uint64		hash = hash_bytes_extended((const unsigned char *) id, (int) strlen(id), 0);

	if (hash_search(unseen->ids, &hash, HASH_FIND, NULL) == NULL)
		LogChange(&unseen->build->run->id, CHANGE_ROW, id);
}

static void
LogVanished(Unseen *unseen, Dataset *dataset)
{
	HASHCTL		control = {.keysize = sizeof(uint64), .entrysize = sizeof(uint64), .hcxt = CurrentMemoryContext};
	SampleQuery query = {.targets = unseen->key->operand, .read = NoteId, .arg = unseen};

	unseen->ids = hash_create("sample ids", Max(unseen->build->n_read, 1024), &control,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ReadSamples(dataset, &query);
	unseen->build->writer->methods->for_each_id(unseen->build->writer, LogIfGone, unseen);
	hash_destroy(unseen->ids);
}

static bool
SameSnapshot(Snapshot a, Snapshot b)
{
	return a->xmax == b->xmax && a->xcnt == b->xcnt &&
		(a->xcnt == 0 || memcmp(a->xip, b->xip, sizeof(TransactionId) * a->xcnt) == 0);
}

/*
 * With writers stopped: write to the log what has happened to the dataset since
 * the build's snapshot was taken. Under the active snapshot, a fresh one. Where
 * anything at all was committed meanwhile that takes a scan of the dataset's
 * rows, and a second one of its keys where some were deleted.
 */
static void
LogMissed(BaseBuild *build, Relation rel, Dataset *dataset)
{
	Unseen		unseen = {.build = build, .key = &dataset->key, .context = CurrentMemoryContext};
	SampleQuery query = {.read = LogUnseen, .arg = &unseen};
	SavedUser	saved;

	if (Mutated("R7") || SameSnapshot(build->seen, GetActiveSnapshot()))
		return;
	unseen.next_xid = ReadNextTransactionId();
	unseen.kept = palloc(sizeof(char *) * MAX_KEPT_IDS);
	query.targets = psprintf("%s, %s.xmin", dataset->key.operand, dataset->name_in_query);
	BeginAsOwner(rel->rd_rel->relowner, &saved);
	ReadSamples(dataset, &query);
	if (!AllAreThere(&unseen))
		LogVanished(&unseen, dataset);
	EndAsOwner(&saved);
}

/*
 * End a build; a file that was not published goes.
 */
void
EndBuild(BaseBuild *build)
{
	if (build->writer)
		build->writer->methods->end(build->writer);
	UnregisterSnapshot(build->seen);
}

/*
 * Record a base: its row, then its file under its name, so that whoever finds
 * the file finds the row. Under the locks on the run, and a fresh snapshot.
 */
BaseRow *
RecordBuild(BaseBuild *build, Relation rel, Dataset *dataset)
{
	BaseRow    *row = palloc0(sizeof(BaseRow));

	if (build->seen == NULL)
		return NULL;
	if (build->writer && build->reason == NULL && build->made_triggers)
		LogMissed(build, rel, dataset);
	(void) FaultPoint("missed");
	row->run_id = build->run->id;
	row->generation = build->generation;
	row->synced = GetCurrentTimestamp();
	if (build->writer && build->reason == NULL)
	{
		build->writer->methods->describe(build->writer, row);
		row->fingerprint = build->fingerprint;
		WriteBaseRow(row);
		(void) FaultPoint("build_row");
		build->reason = build->writer->methods->publish(build->writer, build->fingerprint);
	}
	if (build->reason)
	{
		row->n_files = 0;
		row->rows = row->size = 0;
		row->reason = build->reason;
		WriteBaseRow(row);
		ereport(LOG,
				(errmsg("brain run \"%s\" of \"%s\" has no matrix: %s", build->run->brain_key,
						dataset->name, build->reason),
				 errdetail("The table answers until the next build.")));
	}
	EndBuild(build);
	return row;
}

/*
 * Remove what the abort of a build does not. A cancel is not kept waiting for
 * that, and one that comes meanwhile is the error from there on. What else goes
 * wrong is not told: the first error is.
 */
static ErrorData *
AbandonBuild(BaseBuild *build, ErrorData *error)
{
	const BaseWriterMethods *methods = build->writer->methods;
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile last = error;

	if (methods->abandon == NULL || IsInterruption(error))
		return error;
	PG_TRY();
	{
		methods->abandon(build->writer);
	}
	PG_CATCH();
	{
		ErrorData  *second;

		MemoryContextSwitchTo(context);
		second = CopyErrorData();
		FlushErrorState();
		if (IsInterruption(second))
			last = second;
	}
	PG_END_TRY();
	return last;
}

/*
 * Say what is left, beside any other hint of the error.
 */
static void
HintAtLeftover(BaseBuild *build, ErrorData *error)
{
	const BaseWriterMethods *methods = build->writer->methods;
	char	   *leftover = methods->leftover ? methods->leftover(build->writer) : NULL;

	if (leftover)
		error->hint = error->hint ? psprintf("%s %s", error->hint, leftover) : leftover;
}

/*
 * Call what makes a build; when that raises an error, what the abort does not
 * remove is removed first, and what may be left is told: brain.sweep() finds it.
 */
void
TryBuild(BaseBuild *build, void (*function) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		function(arg);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		if (build->writer)
		{
			error = AbandonBuild(build, error);
			HintAtLeftover(build, error);
		}
		ReThrowError(error);
	}
	PG_END_TRY();
}

/* ---------- by a search that finds the base missing ---------- */

/*
 * One reader at a time builds; the others read the table. Not a lock on an
 * object: those are not to be had on a standby.
 */
static void
SetReaderTag(LOCKTAG *tag, const pg_uuid_t *run_id)
{
	uint32		parts[2];

	memcpy(parts, run_id->data, sizeof(parts));
	/* 1 and 2 in the last field are the advisory locks of users */
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, parts[0], parts[1], 3);
}

/*
 * May a search publish what it reads? Only what others can rely on: nothing of
 * its own transaction; all rows, read as the owner without running an ordinary
 * owner's code for somebody else; and triggers that were there before its
 * snapshot, so that whatever it does not see is logged.
 */
static bool
MayPublish(const Run *run, Relation rel, Dataset *dataset)
{
	if (Mutated("R5"))
		return true;
#if PG_VERSION_NUM < 170000
	/* no subtransaction to catch the owner's errors in */
	if (IsInParallelMode())
		return false;
#endif
	return !TransactionIdIsValid(GetTopTransactionIdIfAny()) &&
		CheckTrackable(run, rel) == NULL && CheckBuildable(rel) == NULL &&
		(rel->rd_rel->relowner == GetUserId() || dataset->filter == NULL ||
		 CodeNotOfSuperuser(dataset->filter) == NULL) &&
		TrackingIsVisible(run, rel, GetActiveSnapshot());
}

/*
 * Flush all WAL that there is. At the beginning of a page the insert position is
 * behind the page's header, which is not there before its first record.
 */
void
FlushWal(void)
{
	XLogRecPtr	end = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD)
		end -= SizeOfXLogLongPHD;
	else if (end % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		end -= SizeOfXLogShortPHD;
	XLogFlush(end);
}

static bool
WriteForReaders(const Run *run, Relation rel, Dataset *dataset, const pg_uuid_t *generation)
{
	BaseBuild	build = {.run = run};
	uint64		fingerprint = LookAtTracking(run, rel)->fingerprint;
	const char *reason = NULL;

	build.writer = BeginMatrixBase(run, generation, true, &reason);
	if (build.writer)
		ReadForBuild(&build, rel, dataset);
	/* what an asynchronous commit has not flushed may yet be lost */
	if (!RecoveryInProgress())
		FlushWal();
	(void) FaultPoint("reader_before_publish");
	if (build.writer)
		reason = build.writer->methods->finish(build.writer, GetActiveSnapshot());
	if (reason == NULL)
		reason = build.writer->methods->publish(build.writer, fingerprint);
	if (reason)
		ereport(LOG,
				(errmsg("brain run \"%s\" of \"%s\" has no matrix: %s", run->brain_key,
						dataset->name, reason)));
	if (build.writer)
		build.writer->methods->end(build.writer);
	return reason == NULL;
}

typedef struct ReaderCall
{
	const Run  *run;
	Relation	rel;
	Dataset    *dataset;
	const pg_uuid_t *generation;
	bool		published;
} ReaderCall;

/*
 * The owner may not be able to read what the caller can: that is no reason for a
 * search to fail.
 */
static void
TryWriteForReaders(void *arg)
{
	ReaderCall *call = arg;

	call->published = WriteForReaders(call->run, call->rel, call->dataset, call->generation);
}

/*
 * Make the file that a search found missing, for this search and others whose
 * snapshots see no less.
 */
ReaderBuild
BuildForReaders(const Run *run, Relation rel, Dataset *dataset, const BaseRow *row)
{
	pg_uuid_t	none = {{0}};
	ReaderCall	call = {run, rel, dataset, NULL, false};
	Oid			user;
	int			security_context;
	int			nest_level;
	LOCKTAG		tag;
	ErrorData  *error;

	if (!MayPublish(run, rel, dataset))
		return READER_NOT_NOW;
	SetReaderTag(&tag, &run->id);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return READER_NOT_NOW;
	call.generation = row ? &row->generation : &none;
	GetUserIdAndSecContext(&user, &security_context);
	nest_level = NewGUCNestLevel();
	error = Try(TryWriteForReaders, &call);
	/* a subtransaction has undone this already, if there was one */
	SetUserIdAndSecContext(user, security_context);
	AtEOXact_GUC(false, nest_level);
	if (error)
		ereport(LOG,
				(errmsg("brain run \"%s\" of \"%s\" has no matrix: %s", run->brain_key,
						dataset->name, error->message)));
	(void) LockRelease(&tag, ExclusiveLock, false);
	/* on a standby nobody else does */
	if (call.published)
		SweepFiles(NULL);
	return call.published ? READER_PUBLISHED : READER_FAILED;
}
