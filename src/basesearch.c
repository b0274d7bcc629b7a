/*
 * basesearch.c
 *		Answering a search from the run's base and the changes since.
 *
 * Run, base, log and dataset are read under one snapshot, the statement's. The
 * base's rows of changed ids are left aside, and what the dataset has under those
 * ids now takes part instead. So the answer is that of reading the whole table,
 * which is what happens whenever the base cannot be relied on.
 *
 * A search's filter, and row security, are conditions on the dataset: candidates
 * come from the base, more and more of them, and the dataset says which of them
 * the caller may have. Where few qualify the table is read.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "basesearch.h"
#include "milvus_brain.h"
#include "testing.h"

PG_FUNCTION_INFO_V1(brain_last_search);

bool		use_matrix = true;
bool		screening = true;

/*
 * How many log rows a search goes through: to read a changed sample by its id
 * costs about as much as ten in a row.
 */
#define MIN_CHANGES_LIMIT 1000
#define ROWS_PER_CHANGE 16

/* With a filter, how many candidates are asked for, compared with k. */
#define CANDIDATES_FACTOR 4
#define MIN_CANDIDATES 50
#define ROWS_PER_CANDIDATE 32

/* So many bad rows are looked up in the dataset where a filter could drop them. */
#define MAX_BAD_LOOKUPS 1000

typedef struct BadSample
{
	char	   *id;
	VectorFailure failure;
	int			dim;
} BadSample;

/* How the last search was answered. */
typedef struct LastSearch
{
	bool		any;
	char		reason[256];	/* empty: from the base */
	bool		is_collection;
	char		request[512];	/* empty: none was sent */
	int64		changes;
	int			rounds;
	ScanCounts	counts;
} LastSearch;

static LastSearch last_search;

/* ---------- may the base be used? ---------- */

/*
 * How many log rows a search of a base goes through.
 */
int64
ChangesLimit(const BaseRow *row)
{
	return Max(MIN_CHANGES_LIMIT, (row ? row->rows : 0) / ROWS_PER_CHANGE);
}

/*
 * Say something once a session.
 */
typedef enum Cause
{
	CAUSE_LONG_LOG,
	CAUSE_TRACKING,
	N_CAUSES
} Cause;

static bool
IsNews(Cause cause)
{
	static bool told[N_CAUSES];
	bool		news = !told[cause];

	told[cause] = true;
	return news;
}

static char *
TrackingReason(BaseSearch *bs, const Tracking *tracking, const BaseRow *row)
{
	if (row && DatasetIsTable(bs->search->rel) && tracking->problem->hint && IsNews(CAUSE_TRACKING))
		ereport(NOTICE,
				(errmsg("brain run \"%s\" of \"%s\" is answered from the table: %s",
						bs->search->run->brain_key, bs->search->dataset->name,
						tracking->problem->message),
				 errhint("%s", tracking->problem->hint)));
	return tracking->problem->message;
}

static char *
LongLogReason(BaseSearch *bs)
{
	if (IsNews(CAUSE_LONG_LOG))
		ereport(NOTICE,
				(errmsg("brain run \"%s\" of \"%s\" is answered from the table: its change log is long",
						bs->search->run->brain_key, bs->search->dataset->name),
				 errhint("Call brain.sync(%s) to take the changes in.",
						 quote_literal_cstr(bs->search->dataset->name))));
	return _("its change log is long");
}

static bool
Fits(Base *base, uint64 fingerprint)
{
	return base && (base->fingerprint == fingerprint || Mutated("R6")) &&
		BaseIsFor(base, GetActiveSnapshot());
}

/*
 * Find the base that belongs to a row of brain._bases: a sync's, one that a
 * search has made in its place, or one that this search makes.
 */
static Base *
FindBase(BaseSearch *bs, const BaseRow *row, uint64 fingerprint)
{
	static pg_uuid_t not_to_be_made;	/* not again in this session */
	ReaderBuild outcome;
	Search	   *search = bs->search;
	const pg_uuid_t *run_id = &search->run->id;
	pg_uuid_t	generation = {{0}};
	Base	   *base;

	if (row)
	{
		generation = row->generation;
		base = OpenBase(run_id, row->files, row->n_files, false);
		if (Fits(base, fingerprint))
			return base;
	}
	base = OpenBase(run_id, &generation, 1, true);
	if (base && base->fingerprint != fingerprint)
	{
		/* another session may have made a new one under the same name */
		ForgetBase(base, NULL);
		base = OpenBase(run_id, &generation, 1, true);
	}
	if (Fits(base, fingerprint))
		return base;
	/* one that was made for an older snapshot than ours is good for others */
	if ((base && base->fingerprint == fingerprint) ||
		memcmp(&not_to_be_made, run_id, sizeof(pg_uuid_t)) == 0)
		return NULL;
	if (base)
		ForgetBase(base, NULL);
	outcome = BuildForReaders(search->run, search->rel, search->dataset, row);
	if (outcome == READER_FAILED)
		not_to_be_made = *run_id;
	if (outcome != READER_PUBLISHED)
		return NULL;
	base = OpenBase(run_id, &generation, 1, true);
	return Fits(base, fingerprint) ? base : NULL;
}

/*
 * May the caller read what a query on the dataset would? Else that query says
 * what he lacks.
 */
static bool
MayReadDataset(const Search *search)
{
	Oid			namespace = RelationGetNamespace(search->rel);

#if PG_VERSION_NUM >= 160000
	if (object_aclcheck(NamespaceRelationId, namespace, GetUserId(), ACL_USAGE) != ACLCHECK_OK)
		return false;
#else
	if (pg_namespace_aclcheck(namespace, GetUserId(), ACL_USAGE) != ACLCHECK_OK)
		return false;
#endif
	return MaySearchRun(search->run, search->rel);
}

/*
 * Is the run there under the latest snapshot too? The triggers of one that is
 * gone log nothing, and that would be missed under an older snapshot that still
 * sees the run.
 */
static bool
RunIsStillThere(const Run *run)
{
	Run		   *now;

	/* there is no latest snapshot for the leader of a parallel query */
	if (IsInParallelMode())
		return false;
	PushActiveSnapshot(GetLatestSnapshot());
	now = ReadRun(&run->id);
	PopActiveSnapshot();
	return now && now->has_index;
}

/*
 * Is the base searched as it was made, since the dataset cannot be tracked?
 */
bool
IsFrozen(const Run *run, Relation rel, const Tracking *tracking)
{
	return tracking->problem && !tracking->can_mend && FindBackend(run->backend)->searches_untracked &&
		CheckTrackable(run, rel) != NULL;
}

/*
 * Why no base may be used, whatever the log says; NULL when one may.
 */
static const char *
WhyNoBase(BaseSearch *bs, const BaseRow *row, const Tracking *tracking)
{
	Search	   *search = bs->search;

	if (row && row->reason)
		return row->reason;
	if (tracking->problem && !IsFrozen(search->run, search->rel, tracking) && !Mutated("R6"))
		return TrackingReason(bs, tracking, row);
	/* rows that the statement has written are not in the log before its end */
	if (DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0)) > 0)
		return _("it is called by a trigger");
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()) && IsBeingWritten(search->run, search->rel))
		return _("the statement may be writing into the dataset");
	if (row && row->own && IsolationUsesXactSnapshot())
		return _("the base was made by this transaction, under a later snapshot");
	if (IsolationUsesXactSnapshot() && !RunIsStillThere(search->run))
		return _("the run was deleted or made anew since the transaction began");
	if (!MayReadDataset(search))
		return _("a privilege is missing");
	return NULL;
}

/*
 * The run's row in brain._bases under the statement's snapshot.
 */
static BaseRow *
FindBaseRow(const Run *run)
{
	BaseRow    *row;

	if (!Mutated("R1"))
		return ReadBaseRow(&run->id);
	PushActiveSnapshot(GetLatestSnapshot());
	row = ReadBaseRow(&run->id);
	PopActiveSnapshot();
	return row;
}

/*
 * Find out what the search can be answered from: the run's base and the changes
 * since. bs->reason says why not, if not.
 */
static void
FindBaseAndChanges(BaseSearch *bs)
{
	const Tracking *tracking;

	if (!use_matrix)
		bs->reason = _("brain.use_matrix is off");
	else if (!HasBases())
		bs->reason = _("ALTER EXTENSION milvus_brain UPDATE was not called");
	if (bs->reason)
		return;
	bs->row = FindBaseRow(bs->search->run);
	tracking = LookAtTracking(bs->search->run, bs->search->rel);
	bs->reason = WhyNoBase(bs, bs->row, tracking);
	if (bs->reason)
		return;
	bs->changes = ReadChanges(&bs->search->run->id, ChangesLimit(bs->row), CHANGES_IDS);
	if (bs->changes->everything)
		bs->reason = _("the dataset was altered or truncated since the last sync");
	else if (bs->changes->truncated)
		bs->reason = LongLogReason(bs);
	if (bs->reason)
		return;
	bs->fingerprint = tracking->fingerprint;
	if (FindBackend(bs->search->run->backend)->searches_untracked)
		bs->reason = WhyNotCollection(bs);
	else if ((bs->base = FindBase(bs, bs->row, bs->fingerprint)) == NULL)
		bs->reason = _("the base is missing, or not for this snapshot");
	if (bs->reason == NULL && bs->changes->n_ids > 0)
		bs->changed_ids = CreateIdSet(bs->changes->ids, bs->changes->n_ids);
}

/* ---------- the changed ids ---------- */

bool
IsChanged(const BaseSearch *bs, const char *id)
{
	return bs->changed_ids && HasId(bs->changed_ids, id);
}

/*
 * A changed sample, as the dataset has it now. Its key may equal another's that
 * was changed, and have another text: that is none of ours.
 */
static void
OfferChanged(IndexReader *reader, EntryState state, void *arg)
{
	BaseSearch *bs = arg;

	if (IsChanged(bs, SampleId(&reader->dataset->key, reader->id)))
		OfferEntry(bs->search, reader, state);
}

void
OfferChanges(BaseSearch *bs)
{
	SimilarityQuery ids;

	if (bs->changes->n_ids == 0)
		return;
	IdsOfChanges(bs->changes, &bs->search->dataset->key, &ids);
	ReadEntriesAmong(&bs->search->reader, ids.n, ids.ids, bs->search->arguments.filter,
					 OfferChanged, bs);
}

/* ---------- the base ---------- */

/*
 * Leave the base's rows of changed ids aside. Within WithMapping().
 */
static void
MarkChanged(BaseSearch *bs)
{
	const Base *base = bs->base;
	int64		words = (base->n_rows + 63) / 64;
	const uint64 *dead = DeadRows(base);

	if (bs->changes->n_ids == 0 || bs->dead)
		return;
	bs->dead = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(uint64) * Max(words, 1));
	memcpy(bs->dead, dead, sizeof(uint64) * words);
	for (int i = 0; i < bs->changes->n_ids; i++)
	{
		int64		row = FindRow(base, bs->changes->ids[i]);

		CHECK_FOR_INTERRUPTS();
		if (row >= 0)
			bs->dead[row / 64] |= UINT64CONST(1) << (row % 64);
	}
}

/*
 * Note the base's samples that cannot be searched, but for those that were
 * changed. Within WithMapping().
 */
static void
CollectBad(BaseSearch *bs)
{
	const BadRow *bad = BadRows(bs->base);

	if (bs->bad)
		return;
	for (int64 i = 0; i < bs->base->n_bad; i++)
	{
		const char *id = IdOfRow(bs->base, bad[i].row);
		BadSample  *sample;

		CHECK_FOR_INTERRUPTS();
		if (IsChanged(bs, id))
			continue;
		sample = palloc(sizeof(BadSample));
		sample->id = pstrdup(id);
		sample->failure = bad[i].failure;
		sample->dim = bad[i].dim;
		bs->bad = lappend(bs->bad, sample);
	}
}

static double
OfferRow(int64 row, double distance, double score, void *arg)
{
	BaseSearch *bs = arg;
	Nearest    *nearest = bs->nearest;

	if (NearestWants(nearest, distance))
	{
		Neighbor	candidate = {
			.distance = distance,
			.score = score,
			.id = unconstify(char *, IdOfRow(bs->base, row)),
		};

		candidate.is_query = IsQuerySample(bs->search, candidate.id, distance);
		AddNearest(nearest, &candidate);
	}
	if (nearest->k == 0 || nearest->n < nearest->k)
		return nearest->reverse ? -INFINITY : INFINITY;
	return nearest->items[0].distance;
}

/*
 * The best rows of the base that were not changed, into bs->nearest.
 */
static void
ScanBase(void *arg)
{
	BaseSearch *bs = arg;
	const Base *base = bs->base;
	ScanQuery	query = bs->search->query;
	MatrixPart *parts = palloc(sizeof(MatrixPart) * base->n_files);

	MarkChanged(bs);
	CollectBad(bs);
	if (base->n_live == 0)
		return;
	memcpy(parts, base->parts, sizeof(MatrixPart) * base->n_files);
	for (int i = 0; bs->dead && i < base->n_files; i++)
		parts[i].dead = bs->dead + parts[i].first / 64;
	query.k = bs->nearest->k;
	ScanMatrix(parts, base->n_files, &query, OfferRow, bs, &bs->counts);
	bs->rounds++;
}

static void
LeaveOutBad(BaseSearch *bs)
{
	ListCell   *lc;

	foreach(lc, bs->bad)
	{
		BadSample  *sample = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		LeaveOutSample(&bs->search->reader, sample->id, sample->failure, sample->dim);
	}
}

/*
 * The whole answer where every row of the base may be in it.
 */
static bool
AnswerPlain(BaseSearch *bs)
{
	bs->nearest = &bs->search->nearest;
	if (!WithMapping(bs->base, ScanBase, bs))
		return false;
	LeaveOutBad(bs);
	OfferChanges(bs);
	return true;
}

/* ---------- with a filter, or row security ---------- */

typedef struct Qualifying
{
	SampleKey  *key;
	HTAB	   *asked;
	HTAB	   *ids;			/* that qualify */
	MemoryContext context;
} Qualifying;

static void
NoteQualifying(TupleTableSlot *slot, void *arg)
{
	Qualifying *qualifying = arg;
	bool		isnull;
	MemoryContext old = MemoryContextSwitchTo(qualifying->context);
	char	   *id = SampleId(qualifying->key, slot_getattr(slot, 1, &isnull));

	if (HasId(qualifying->asked, id))
		AddId(qualifying->ids, id);
	MemoryContextSwitchTo(old);
}

/*
 * Those of n ids whose samples the caller may see, and that his filter keeps.
 */
static HTAB *
AskDataset(BaseSearch *bs, char **ids, int n)
{
	Search	   *search = bs->search;
	Qualifying	qualifying = {
		&search->dataset->key, CreateIdSet(ids, n), CreateIdSet(NULL, 0), CurrentMemoryContext
	};
	Changes		asked = {.n_ids = n, .ids = ids};
	SimilarityQuery values;

	IdsOfChanges(&asked, &search->dataset->key, &values);
	ReadSamplesAmong(search->dataset, search->dataset->key.operand, values.n, values.ids,
					 search->arguments.filter, NoteQualifying, &qualifying);
	return qualifying.ids;
}

/*
 * Take the bad samples that the caller may not see, or his filter drops, out of
 * the list.
 */
static void
KeepQualifyingBad(BaseSearch *bs)
{
	int			n = list_length(bs->bad);
	char	  **ids = palloc(sizeof(char *) * Max(n, 1));
	List	   *kept = NIL;
	HTAB	   *qualifying;
	ListCell   *lc;

	if (n == 0)
		return;
	foreach(lc, bs->bad)
		ids[foreach_current_index(lc)] = ((BadSample *) lfirst(lc))->id;
	qualifying = AskDataset(bs, ids, n);
	foreach(lc, bs->bad)
	{
		BadSample  *sample = lfirst(lc);

		if (HasId(qualifying, sample->id))
			kept = lappend(kept, sample);
	}
	bs->bad = kept;
}

/*
 * Put the candidates that qualify into the answer; returns how many they are.
 */
static int64
OfferQualifying(BaseSearch *bs, const Nearest *candidates)
{
	char	  **ids = MemoryContextAllocHuge(CurrentMemoryContext,
											 sizeof(char *) * Max(candidates->n, 1));
	HTAB	   *qualifying;
	int64		n = 0;

	for (int64 i = 0; i < candidates->n; i++)
		ids[i] = candidates->items[i].id;
	qualifying = AskDataset(bs, ids, (int) candidates->n);
	for (int64 i = 0; i < candidates->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!HasId(qualifying, ids[i]))
			continue;
		AddNearest(&bs->search->nearest, &candidates->items[i]);
		n++;
	}
	return n;
}

/*
 * The whole answer where the dataset decides which rows may be in it. False, with
 * a reason, when too few of the candidates qualify.
 */
static bool
AnswerQualified(BaseSearch *bs)
{
	int64		k = bs->search->arguments.k;
	int64		most = Max(MIN_CANDIDATES, bs->base->n_live / ROWS_PER_CANDIDATE);
	Nearest		candidates;

	if (k == 0)
	{
		bs->reason = _("all rows are asked for, of those that qualify");
		return false;
	}
	if (bs->base->n_bad > MAX_BAD_LOOKUPS)
	{
		bs->reason = _("too many samples cannot be searched");
		return false;
	}
	for (int64 n = k * CANDIDATES_FACTOR + MIN_CANDIDATES; n <= Max(most, k * CANDIDATES_FACTOR + MIN_CANDIDATES);
		 n *= CANDIDATES_FACTOR)
	{
		InitNearest(&bs->search->nearest, (int) k, bs->search->arguments.reverse);
		InitNearest(&candidates, (int) Min(n, PG_INT32_MAX), bs->search->arguments.reverse);
		bs->nearest = &candidates;
		if (!WithMapping(bs->base, ScanBase, bs))
			return false;
		SortNearest(&candidates);
		if (OfferQualifying(bs, &candidates) >= k || candidates.n < n)
		{
			KeepQualifyingBad(bs);
			LeaveOutBad(bs);
			OfferChanges(bs);
			return true;
		}
	}
	bs->reason = _("few rows qualify");
	return false;
}

/* ---------- the answer ---------- */

void
NoteSearch(const BaseSearch *bs)
{
	memset(&last_search, 0, sizeof(last_search));
	last_search.any = true;
	last_search.is_collection = bs->reason == NULL && bs->base == NULL;
	if (bs->reason)
		strlcpy(last_search.reason, bs->reason, sizeof(last_search.reason));
	if (bs->request)
		strlcpy(last_search.request, bs->request, sizeof(last_search.request));
	last_search.changes = bs->changes ? bs->changes->n_ids : 0;
	last_search.rounds = bs->rounds;
	last_search.counts = bs->counts;
}

static bool
RowsAreRestricted(const Search *search)
{
	return search->arguments.filter ||
		check_enable_rls(RelationGetRelid(search->rel), InvalidOid, true) == RLS_ENABLED;
}

/*
 * The run's base, when that is exactly what the caller sees; else NULL. Of the
 * search, only its run, dataset and filter.
 */
Base *
FindWholeBase(Search *search)
{
	BaseSearch	bs = {.search = search};

	if (RowsAreRestricted(search))
		return NULL;
	FindBaseAndChanges(&bs);
	return bs.base == NULL || bs.changes->n_ids > 0 || bs.base->n_bad > 0 ? NULL : bs.base;
}

/*
 * Find out what a search can be answered from, before anything else is read.
 */
void
FindSearchBase(Search *search)
{
	search->from_base = palloc0(sizeof(BaseSearch));
	search->from_base->search = search;
	FindBaseAndChanges(search->from_base);
}

typedef struct VectorCopy
{
	BaseSearch *bs;
	int			n;
	char	  **ids;
	float	   *vectors;		/* n x base->dim */
	bool		complete;
} VectorCopy;

static void
CopyVectors(void *arg)
{
	VectorCopy *copy = arg;
	const Base *base = copy->bs->base;
	const uint64 *dead = DeadRows(base);

	for (int i = 0; i < copy->n; i++)
	{
		int64		row = FindRow(base, copy->ids[i]);

		CHECK_FOR_INTERRUPTS();
		if (row < 0 || ((dead[row / 64] >> (row % 64)) & 1))
			return;
		memcpy(copy->vectors + (Size) i * base->dim, VectorOfRow(base, row), sizeof(float) * base->dim);
	}
	copy->complete = true;
}

/*
 * The vectors of the samples that are the query, from the base: the dataset has
 * the same, since none of them has changed. False when one of them is not there,
 * or is not the caller's to see.
 */
bool
VectorsFromBase(Search *search, const SimilarityQuery *given)
{
	BaseSearch *bs = search->from_base;
	VectorCopy	copy = {.bs = bs, .n = given->n};

	if (bs->base == NULL || bs->base->dim == 0 || RowsAreRestricted(search))
		return false;
	copy.ids = palloc(sizeof(char *) * given->n);
	for (int i = 0; i < given->n; i++)
	{
		copy.ids[i] = SampleId(&search->dataset->key, given->ids[i]);
		if (IsChanged(bs, copy.ids[i]))
			return false;
	}
	copy.vectors = MemoryContextAllocHuge(CurrentMemoryContext,
										  mul_size(sizeof(float) * bs->base->dim, given->n));
	if (!WithMapping(bs->base, CopyVectors, &copy))
		bs->reason = _("the matrix file is damaged");
	if (!copy.complete)
		return false;
	search->query.dim = bs->base->dim;
	search->query.vectors = copy.vectors;
	if (given->n == 1)
		search->query_id = copy.ids[0];
	return true;
}

/*
 * Answer a search from the run's base and the changes since, into
 * search->nearest. False when the table has to be read.
 */
bool
SearchBase(Search *search)
{
	BaseSearch *bs = search->from_base;
	bool		answered = false;

	if (bs->base && bs->base->dim != search->query.dim && bs->base->n_live + bs->base->n_bad > 0)
		bs->reason = _("the base has other dimensions");
	if (bs->reason == NULL && bs->base == NULL)
		answered = AnswerFromCollection(bs);
	else if (bs->reason == NULL)
	{
		answered = RowsAreRestricted(search) ? AnswerQualified(bs) : AnswerPlain(bs);
		if (!answered && bs->reason == NULL)
			bs->reason = _("the matrix file is damaged");
	}
	/* a partition may have been truncated between base and changes */
	if (answered && !Mutated("R6") &&
		LookAtTracking(search->run, search->rel)->fingerprint != bs->fingerprint)
	{
		bs->reason = _("the dataset was altered meanwhile");
		answered = false;
	}
	if (!answered)
	{
		/* begin anew */
		InitNearest(&search->nearest, search->arguments.k, search->arguments.reverse);
		search->reader.left_out = 0;
	}
	NoteSearch(bs);
	return answered;
}

/*
 * Why the last search was not answered from a base.
 */
const char *
LastReason(void)
{
	return last_search.reason;
}

static const char *
LastPath(void)
{
	if (last_search.reason[0])
		return "table";
	return last_search.is_collection ? "milvus" : "matrix";
}

/*
 * The last search, as the columns of brain.explain_similarity().
 */
void
ExplainLastSearch(Datum *values, bool *nulls)
{
	values[0] = CStringGetTextDatum(LastPath());
	values[1] = CStringGetTextDatum(last_search.reason);
	nulls[1] = last_search.reason[0] == '\0';
	values[2] = CStringGetTextDatum(last_search.request);
	nulls[2] = last_search.request[0] == '\0';
	values[3] = Int64GetDatum(last_search.counts.exact_rows);
	values[4] = Int32GetDatum(Max(last_search.rounds - 1, 0));
}

/*
 * SQL: brain.last_search() returns jsonb; NULL before the first search of the
 * session.
 */
Datum
brain_last_search(PG_FUNCTION_ARGS)
{
	StringInfoData json;

	if (!last_search.any)
		PG_RETURN_NULL();
	initStringInfo(&json);
	appendStringInfo(&json, "{\"path\": \"%s\", \"reason\": ", LastPath());
	if (last_search.reason[0])
		escape_json(&json, last_search.reason);
	else
		appendStringInfoString(&json, "null");
	appendStringInfo(&json, ", \"changes\": " INT64_FORMAT ", \"rounds\": %d, \"prefix_rows\": " INT64_FORMAT
					 ", \"int8_rows\": " INT64_FORMAT ", \"float32_rows\": " INT64_FORMAT
					 ", \"exact_rows\": " INT64_FORMAT "}",
					 last_search.changes, last_search.rounds, last_search.counts.prefix_rows,
					 last_search.counts.int8_rows, last_search.counts.float32_rows,
					 last_search.counts.exact_rows);
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}
