/*
 * collectionneighbors.c
 *		brain.neighbors() of a run whose base is a collection of a Milvus server.
 *
 * The samples, as the caller sees them, are in a matrix already: many of its rows
 * at a time are the query vectors of one request, and what the server names is
 * looked up there, instead of in the dataset. What was changed since the last sync
 * is offered to every sample. A sample whose list ends short is asked for again,
 * with twice as many, and in the end compared with the whole matrix; where that
 * would happen often, or never was worth it, all are.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "basesearch.h"

int			min_server_neighbors = 0;

/*
 * A request: more queries gain nothing more, and a server that takes long for each
 * must answer in time; the bytes of all, and the hits of all together.
 */
#define MAX_QUERIES 100
#define MAX_QUERY_BYTES (4 * 1024 * 1024)
#define MAX_HITS 16384

/* Candidates are asked for up to so many times as many as at first. */
#define MAX_REFILL 16

/* Of so many rows of the collection one must be the caller's. */
#define ROWS_PER_QUALIFYING 4

/*
 * Of so many samples one may have been changed, and one may be compared with the
 * whole matrix: in one go all pairs cost a small part of that, each.
 */
#define SAMPLES_PER_CHANGED 64
#define SAMPLES_PER_SCAN 64

/* Which neighbors are looked for. */
typedef struct NeighborSearch
{
	BaseSearch *bs;
	Base	   *base;			/* the samples */
	int			k;
	double		max_distance;
	NeighborsOfSample emit;
	void	   *arg;

	int			n_candidates;	/* that are asked for at first */
	int64	   *changed;		/* rows of samples that were changed */
	int			n_changed;
	int64		n_scans;
} NeighborSearch;

/* A sample, and its nearest so far. */
typedef struct Sample
{
	int64		row;
	double		squared_norm;
	bool		is_scanned;		/* compared with all, the changed ones among them */
	Nearest		nearest;
} Sample;

/* ---------- one sample ---------- */

static void
OfferNeighbor(const NeighborSearch *search, Sample *sample, int64 row, double distance, double score)
{
	Neighbor	candidate = {.distance = distance,.score = score};

	if (row == sample->row || distance > search->max_distance || !NearestWants(&sample->nearest, distance))
		return;
	candidate.id = unconstify(char *, IdOfRow(search->base, row));
	AddNearest(&sample->nearest, &candidate);
}

static void
OfferRow(const NeighborSearch *search, Sample *sample, int64 row)
{
	const Base *base = search->base;
	const float *vector = VectorOfRow(base, row);
	double		squared_norm = base->metric == METRIC_COSINE ? SquaredNorm(vector, base->dim) : 0;
	double		score = Score(base->metric, VectorOfRow(base, sample->row), sample->squared_norm,
							  vector, squared_norm, base->dim);

	OfferNeighbor(search, sample, row, DistanceOfScore(base->metric, score), score);
}

/*
 * Offer a sample what the server names. False when more may belong to the answer.
 */
static bool
OfferCandidates(const NeighborSearch *search, Sample *sample, const CandidateList *list)
{
	int64		n_offered = 0;

	InitNearest(&sample->nearest, search->k, false);
	for (int i = 0; i < list->n; i++)
	{
		int64		row = IsChanged(search->bs, list->ids[i]) ? -1 : FindRow(search->base, list->ids[i]);

		if (row < 0 || row == sample->row)
			continue;
		OfferRow(search, sample, row);
		n_offered++;
	}
	return IsComplete(list, &sample->nearest, n_offered, search->max_distance);
}

typedef struct SampleScan
{
	const NeighborSearch *search;
	Sample	   *sample;
} SampleScan;

static double
OfferScanned(int64 row, double distance, double score, void *arg)
{
	SampleScan *scan = arg;
	const Nearest *nearest = &scan->sample->nearest;

	OfferNeighbor(scan->search, scan->sample, row, distance, score);
	return nearest->n < nearest->k ? INFINITY : nearest->items[0].distance;
}

/*
 * Compare a sample with all. False when that was done too often.
 */
static bool
ScanForSample(NeighborSearch *search, Sample *sample)
{
	const Base *base = search->base;
	SampleScan	scan = {search, sample};
	ScanQuery	query = {
		.metric = base->metric,
		.screening = screening,
		.n = 1,
		.dim = base->dim,
		.vectors = VectorOfRow(base, sample->row),
		.squared_norms = &sample->squared_norm,
		.k = search->k + 1,		/* with itself */
		.max_distance = search->max_distance,
	};

	if (search->n_scans++ > base->n_live / SAMPLES_PER_SCAN)
	{
		search->bs->reason = _("Milvus cannot tell the neighbors of many samples");
		return false;
	}
	sample->is_scanned = true;
	InitNearest(&sample->nearest, search->k, false);
	ScanMatrix(base->parts, base->n_files, &query, OfferScanned, &scan, &search->bs->counts);
	return true;
}

/* ---------- many samples ---------- */

/*
 * Ask the server for n samples at once. Those whose lists end short are put to the
 * front: returns how many; -1, with a reason, when the server cannot answer.
 */
static int
AskForSamples(NeighborSearch *search, Sample **samples, int n, int n_candidates)
{
	BaseSearch *bs = search->bs;
	Size		dim = search->base->dim;
	float	   *vectors = palloc(sizeof(float) * dim * n);
	ScanQuery	query = {.n = n,.dim = (int) dim,.vectors = vectors};
	Candidates	candidates = {0};
	GrpcFailure *failure;
	int			n_short = 0;

	for (int i = 0; i < n; i++)
		memcpy(vectors + i * dim, VectorOfRow(search->base, samples[i]->row), sizeof(float) * dim);
	failure = FindCandidates(bs->search->run, bs->row, &query, n_candidates, &candidates);
	if (failure)
		bs->reason = ReasonOfFailure(bs, failure);
	else if (candidates.dim != query.dim)
		bs->reason = _("the collection has other dimensions");
	else if (candidates.is_lite && min_server_neighbors > 0)
		bs->reason = _("PostgreSQL is faster than milvus-lite");
	if (bs->reason)
		return -1;
	bs->rounds++;
	if (bs->request)
		pfree(bs->request);
	bs->request = MemoryContextStrdup(GetMemoryChunkContext(bs), candidates.request);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		bs->counts.exact_rows += candidates.lists[i].n;
		if (!OfferCandidates(search, samples[i], &candidates.lists[i]))
			samples[n_short++] = samples[i];
	}
	return n_short;
}

static int
QueriesPerRequest(const NeighborSearch *search, int n_candidates)
{
	return (int) Max(1, Min(Min(MAX_QUERIES, MAX_HITS / n_candidates),
							MAX_QUERY_BYTES / (sizeof(float) * search->base->dim)));
}

/*
 * Ask the server for samples, again for those whose lists end short, then compare
 * what is left with all. False, with a reason, when that cannot be done.
 */
static bool
FindNearest(NeighborSearch *search, Sample **samples, int n)
{
	int			n_candidates = search->n_candidates;

	while (n > 0 && n_candidates <= Min(MILVUS_MAX_K, (int64) search->n_candidates * MAX_REFILL))
	{
		int			each = QueriesPerRequest(search, n_candidates);
		int			n_left = 0;

		for (int i = 0; i < n; i += each)
		{
			int			n_short = AskForSamples(search, samples + i, Min(each, n - i), n_candidates);

			if (n_short < 0)
				return false;
			memmove(samples + n_left, samples + i, sizeof(Sample *) * n_short);
			n_left += n_short;
		}
		n = n_left;
		n_candidates *= 2;
	}
	for (int i = 0; i < n; i++)
		if (!ScanForSample(search, samples[i]))
			return false;
	return true;
}

/*
 * The neighbors of n samples, from a row on.
 */
static bool
SearchBatch(NeighborSearch *search, int64 first, int n)
{
	const Base *base = search->base;
	Sample	   *samples = palloc0(sizeof(Sample) * n);
	Sample	  **asked = palloc(sizeof(Sample *) * n);
	int			n_asked = 0;

	for (int i = 0; i < n; i++)
	{
		samples[i].row = first + i;
		samples[i].squared_norm = SquaredNorm(VectorOfRow(base, first + i), base->dim);
		if (IsWithinReach(samples[i].squared_norm))
			asked[n_asked++] = &samples[i];
		else if (!ScanForSample(search, &samples[i]))
			return false;
	}
	if (!FindNearest(search, asked, n_asked))
		return false;
	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < search->n_changed && !samples[i].is_scanned; j++)
		{
			CHECK_FOR_INTERRUPTS();
			OfferRow(search, &samples[i], search->changed[j]);
		}
		SortNearest(&samples[i].nearest);
		search->emit(IdOfRow(base, first + i), &samples[i].nearest, search->arg);
	}
	return true;
}

static bool
SearchBatches(NeighborSearch *search)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "neighbors of a batch", ALLOCSET_DEFAULT_SIZES);
	int			each = QueriesPerRequest(search, search->n_candidates);
	bool		found = true;

	search->changed = palloc(sizeof(int64) * Max(search->bs->changes->n_ids, 1));
	for (int i = 0; i < search->bs->changes->n_ids; i++)
	{
		search->changed[search->n_changed] = FindRow(search->base, search->bs->changes->ids[i]);
		if (search->changed[search->n_changed] >= 0)
			search->n_changed++;
	}
	for (int64 row = 0; found && row < search->base->n_live; row += each)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		found = SearchBatch(search, row, (int) Min(each, search->base->n_live - row));
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
	return found;
}

/* ---------- all ---------- */

/*
 * Would the server be slower than PostgreSQL? With an index, what it takes for a
 * sample hardly depends on the others; here it grows with their bytes. 100,000 x
 * 512, 200 MB, took 50 s of a CPU here; or 5 s here, and 69 s of Milvus 2.3.5 on
 * all of its CPUs. Without an index a server compares all pairs, too, and each
 * twice; milvus-lite takes five to twenty times as long for 20,000 x 128.
 */
static const char *
WhyNotFaster(const NeighborSearch *search)
{
	const Base *base = search->base;
	double		size = (double) base->n_live * base->dim * sizeof(float) / 1024;

	if (min_server_neighbors == 0)
		return NULL;
	if (min_server_neighbors < 0 || size < min_server_neighbors)
		return _("for so few samples PostgreSQL is faster");
	if (!HasIndex(search->bs->search->run))
		return _("without an index PostgreSQL is faster");
	return NULL;
}

/*
 * Why the server is not asked for the neighbors; NULL when it is.
 */
static const char *
WhyNotByMilvus(const NeighborSearch *search)
{
	const BaseSearch *bs = search->bs;
	const Base *base = search->base;
	const Tracking *tracking;

	if (bs->reason)
		return bs->reason;
	tracking = LookAtTracking(bs->search->run, bs->search->rel);
	if (tracking->fingerprint != bs->fingerprint)
		return _("the dataset was altered meanwhile");
	if (!bs->row->attached && IsFrozen(bs->search->run, bs->search->rel, tracking))
		return _("the dataset is not tracked");
	if (base->n_live == 0 || base->n_live < bs->row->rows / ROWS_PER_QUALIFYING)
		return _("few of the nearest samples qualify");
	if (search->n_candidates > MILVUS_MAX_K)
		return _("k is larger than Milvus allows");
	if (bs->changes->n_ids > base->n_live / SAMPLES_PER_CHANGED)
		return _("many samples were changed since the last sync");
	return WhyNotFaster(search);
}

/*
 * Each sample's k nearest others, at most max_distance away, for all rows of a
 * matrix that was written after FindSearchBase(). False, with a reason in bs, when
 * the matrix has to answer; some may have been emitted then. Within WithMapping():
 * requests are made of copies, so that a fault in the mapping finds none half done.
 */
bool
NeighborsFromCollection(BaseSearch *bs, Base *base, int k, double max_distance,
						NeighborsOfSample emit, void *arg)
{
	NeighborSearch search = {
		.bs = bs, .base = base, .k = k, .max_distance = max_distance, .emit = emit, .arg = arg
	};
	bool		found;

	/* with itself; where some of the collection's rows are not the caller's, more */
	search.n_candidates = Min(k, MILVUS_MAX_K) + 1 + SPARE_CANDIDATES;
	if (bs->row && bs->row->rows > base->n_live && search.n_candidates <= MILVUS_MAX_K)
		search.n_candidates = (int) Min(search.n_candidates * Min(bs->row->rows / Max(base->n_live, 1), ROWS_PER_QUALIFYING),
										MILVUS_MAX_K);
	bs->reason = WhyNotByMilvus(&search);
	found = bs->reason == NULL && SearchBatches(&search);
	NoteSearch(bs);
	return found;
}
