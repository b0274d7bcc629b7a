/*
 * collectionsearch.c
 *		Answering a search from the candidates that a Milvus server names, and the
 *		changes since.
 *
 * The server says which samples are near; the dataset, read by their ids as the
 * caller, which of them there are, whether the filter keeps them, and how far
 * away they are. Where too few are left, twice as many are asked for; where that
 * ends short, or Milvus cannot do what is asked, the table answers. So it does
 * where the planner expects a filter to leave few: to find them is its trade.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "basesearch.h"
#include "testing.h"

/* Distances that float32 cannot tell apart, relatively. */
#define TIE_TOLERANCE 2e-6

/* How far the server's float32 distance may be from ours. */
#define SCORE_TOLERANCE 1e-3

/*
 * Why the collection is not searched; NULL when it is.
 */
const char *
WhyNotCollection(const BaseSearch *bs)
{
	const char *reason = WhyNoCollection(bs->row);
	const Tracking *tracking;

	if (reason)
		return reason;
	tracking = LookAtTracking(bs->search->run, bs->search->rel);
	if (!IsFrozen(bs->search->run, bs->search->rel, tracking) && bs->row->fingerprint != tracking->fingerprint && !Mutated("R6"))
		return _("the dataset was altered since its collection was filled");
	return NULL;
}

/*
 * What Milvus cannot do, or not exactly; NULL: nothing of it is asked.
 */
static const char *
WhyNotByMilvus(const Search *search)
{
	if (search->arguments.k == 0)
		return _("all rows are asked for");
	if (search->arguments.k > MILVUS_MAX_K - SPARE_CANDIDATES)
		return _("k is larger than Milvus allows");
	if (search->arguments.reverse)
		return _("Milvus does not search for the farthest");
	if (search->query.n > 1)
		return _("Milvus does not aggregate");
	if (!IsWithinReach(search->query.squared_norms[0]))
		return _("Milvus does not compute with numbers as small or large as the query's");
	return NULL;
}

/*
 * A server that fails is no reason for a search to fail, unless the user says so.
 */
const char *
ReasonOfFailure(BaseSearch *bs, const GrpcFailure *failure)
{
	static bool told = false;

	if (on_backend_failure == ON_FAILURE_ERROR || bs->search->reader.attached)
		GrpcRaise(failure);
	if (!told)
		ereport(NOTICE,
				(errmsg("brain run \"%s\" of \"%s\" is answered from the table: %s",
						bs->search->run->brain_key, bs->search->dataset->name, failure->message),
				 failure->detail ? errdetail_internal("%s", failure->detail) : 0,
				 errhint("brain.on_backend_failure = error makes it an error.")));
	told = true;
	return failure->message;
}

typedef struct Offer
{
	BaseSearch *bs;
	HTAB	   *asked;
	int64		n_offered;
} Offer;

static void
OfferCandidate(IndexReader *reader, EntryState state, void *arg)
{
	Offer	   *offer = arg;

	if (!HasId(offer->asked, SampleId(&reader->dataset->key, reader->id)))
		return;
	if (state == ENTRY_OK)
		offer->n_offered++;
	OfferEntry(offer->bs->search, reader, state);
}

static bool
Names(const CandidateList *candidates, const char *id)
{
	for (int i = 0; i < candidates->n; i++)
		if (strcmp(candidates->ids[i], id) == 0)
			return true;
	return false;
}

/*
 * Offer the candidates that were not changed, and that the dataset has for the
 * caller; returns how many these are. With them the sample that is the query: it is
 * among the nearest, whether the index has found it or not.
 */
static int64
OfferCandidates(BaseSearch *bs, const CandidateList *candidates)
{
	Search	   *search = bs->search;
	Changes		unchanged = {.ids = palloc(sizeof(char *) * (candidates->n + 1))};
	Offer		offer = {.bs = bs};
	SimilarityQuery ids;

	for (int i = 0; i < candidates->n; i++)
		if (!IsChanged(bs, candidates->ids[i]))
			unchanged.ids[unchanged.n_ids++] = candidates->ids[i];
	if (search->query_id && !IsChanged(bs, search->query_id) && !Names(candidates, search->query_id))
		unchanged.ids[unchanged.n_ids++] = search->query_id;
	offer.asked = CreateIdSet(unchanged.ids, unchanged.n_ids);
	IdsOfChanges(&unchanged, &search->dataset->key, &ids);
	ReadEntriesAmong(&search->reader, ids.n, ids.ids, search->arguments.filter, OfferCandidate, &offer);
	return offer.n_offered;
}

/*
 * Is a distance of the server's surely greater than one of ours? Of a dot product
 * the error goes with the norms, which the numbers are no less than.
 */
static bool
IsBeyond(double distance, double limit)
{
	return distance > limit + SCORE_TOLERANCE * (1 + fabs(limit) + fabs(distance));
}

/*
 * May there be more samples that are as near as the k-th? The server has cut its
 * list somewhere among them then, and ties go by id.
 */
static bool
CutWithinTie(const Nearest *nearest, const CandidateList *list)
{
	double		worst = nearest->items[0].distance;

	return nearest->n >= nearest->k && list->last_distance <= worst + TIE_TOLERANCE * (1 + fabs(worst));
}

/*
 * Has the server named all samples of the collection that belong to an answer? So
 * many of those on its list were offered.
 */
bool
IsComplete(const CandidateList *list, const Nearest *nearest, int64 n_offered, double max_distance)
{
	return list->all || (!list->is_short && IsBeyond(list->last_distance, max_distance)) ||
		(n_offered >= nearest->k && !CutWithinTie(nearest, list));
}

/* ---------- how many to ask for ---------- */

/*
 * The rows that the planner expects of the search's own query on the table.
 */
static double
ExpectedRows(const Search *search, const char *filter)
{
	SampleQuery query = {.targets = search->reader.targets, .filter = filter};

	return ExpectedSamples(search->dataset, &query);
}

/*
 * Of how many candidates one is expected to pass the filter. The collection has
 * fewer rows than the dataset where not all have an embedding, and more where row
 * security hides some from the caller.
 */
static double
CandidatesPerSample(const BaseSearch *bs, double expected)
{
	double		rows = Max(ExpectedRows(bs->search, NULL), (double) bs->row->rows);

	return Max(rows / Max(expected, 1), 1);
}

/*
 * How many candidates to begin with: as many as are expected to have k that
 * qualify, and some more, as chance has it. Where the table had better answer,
 * bs->reason says why.
 */
static int
FirstCandidates(BaseSearch *bs)
{
	const Search *search = bs->search;
	/* the table has none of the vectors of an attached collection */
	bool		has_table = search->reader.attached == NULL;
	double		k = search->arguments.k;
	double		expected;
	double		per_sample;

	if (search->arguments.filter == NULL)
		return (int) k + SPARE_CANDIDATES;
	expected = ExpectedRows(search, search->arguments.filter);
	if (has_table && expected < MILVUS_MAX_K)
	{
		bs->reason = psprintf(_("fewer than %d samples are expected to pass the filter"), MILVUS_MAX_K);
		return 0;
	}
	per_sample = CandidatesPerSample(bs, expected);
	if (has_table && k * per_sample > MILVUS_MAX_K)
	{
		bs->reason = psprintf(_("of %d candidates fewer than k are expected to pass the filter"), MILVUS_MAX_K);
		return 0;
	}
	return (int) Min((k + SPARE_CANDIDATES + 2 * sqrt(k)) * per_sample, MILVUS_MAX_K);
}

/*
 * The whole answer. False, with a reason, when the table has to give it.
 */
bool
AnswerFromCollection(BaseSearch *bs)
{
	Search	   *search = bs->search;
	const SearchArguments *arguments = &search->arguments;
	int			n = 0;

	bs->reason = WhyNotByMilvus(search);
	if (bs->reason == NULL)
		n = FirstCandidates(bs);
	while (bs->reason == NULL)
	{
		Candidates	candidates = {0};
		const CandidateList *list;
		GrpcFailure *failure;
		int64		n_offered;

		n = Min(n, MILVUS_MAX_K);
		failure = FindCandidates(search->run, bs->row, &search->query, n, &candidates);
		if (failure)
		{
			bs->reason = ReasonOfFailure(bs, failure);
			break;
		}
		if (candidates.dim != search->query.dim)
		{
			bs->reason = _("the collection has other dimensions");
			break;
		}
		list = &candidates.lists[0];
		bs->rounds++;
		bs->request = candidates.request;
		bs->counts.exact_rows += list->n;
		InitNearest(&search->nearest, arguments->k, false);
		search->reader.left_out = 0;
		n_offered = OfferCandidates(bs, list);
		if (IsComplete(list, &search->nearest, n_offered, arguments->max_distance))
		{
			OfferChanges(bs);
			return true;
		}
		if (list->is_short)
			bs->reason = _("the collection's index does not find as many samples");
		else if (n == MILVUS_MAX_K)
			bs->reason = n_offered >= arguments->k ? _("too many samples are equally near") :
				_("few of the nearest samples qualify");
		n *= 2;
	}
	return false;
}
