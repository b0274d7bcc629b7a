/*
 * search.c
 *		sort_by_similarity() and similar_samples().
 *
 * A search reads its run, the ids it asks for, the change log and the dataset
 * under one snapshot, the calling statement's. It is answered from the run's
 * base and the changes since (basesearch.c), or by computing the distance of
 * every row of the dataset: the same distances of the same rows.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/parse_type.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "arguments.h"
#include "milvus_brain.h"
#include "search.h"

PG_FUNCTION_INFO_V1(brain_sort_by_similarity);
PG_FUNCTION_INFO_V1(brain_explain_similarity);
PG_FUNCTION_INFO_V1(brain_similar_samples);

/* How many rows similar_samples() fetches at once; see RowsPerFetch(). */
#define MIN_ROWS_PER_FETCH 1000
#define MAX_ROWS_PER_FETCH 20000
#define ROWS_MEMORY (64 * 1024 * 1024)

/* ---------- arguments ---------- */

static Aggregation
ParseAggregation(const char *word)
{
	if (word == NULL || strcmp(word, "mean") == 0)
		return AGGREGATE_MEAN;
	if (strcmp(word, "post-mean") == 0)
		return AGGREGATE_POST_MEAN;
	if (strcmp(word, "post-min") == 0)
		return AGGREGATE_POST_MIN;
	if (strcmp(word, "post-max") == 0)
		return AGGREGATE_POST_MAX;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown aggregation \"%s\"", word),
			 errhint("Available aggregations: mean, post-mean, post-min, post-max.")));
}

static SearchArguments
ReadArguments(FunctionCallInfo fcinfo)
{
	SearchArguments arguments;

	RequireArgument(fcinfo, 1, "query");
	arguments.k = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
	if (!PG_ARGISNULL(2) && arguments.k < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k must be at least 1"),
				 errhint("k => NULL returns all samples.")));
	arguments.reverse = BoolArgument(fcinfo, 3, false);
	arguments.aggregation = ParseAggregation(TextArgument(fcinfo, 4));
	arguments.brain_key = TextArgument(fcinfo, 5);
	arguments.filter = TextArgument(fcinfo, 6);
	arguments.max_distance = PG_ARGISNULL(7) ? INFINITY : PG_GETARG_FLOAT8(7);
	if (isnan(arguments.max_distance))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_distance must be a number")));
	arguments.options = JsonbArgument(fcinfo, 8);
	return arguments;
}

/* ---------- which run ---------- */

/*
 * Some drivers send a list of ids as the text '{42,43}', which is a vector.
 */
static const char *
HintIdArray(const SampleKey *key)
{
	return psprintf(_("Ids are given as an array of their type: ARRAY[...]::%s[]."),
					format_type_be(key->type));
}

/*
 * Can a run answer a query? NULL when it can.
 */
static Problem *
FitQuery(const Run *run, Dataset *dataset, Oid type, Datum value, SimilarityQuery *query)
{
	Problem    *problem = ReadQuery(type, value, &dataset->key, query);

	if (problem == NULL && !query->is_ids && run->dimensions > 0 &&
		query->vectors.dim != run->dimensions)
		problem = MakeProblem(ERRCODE_DATA_EXCEPTION,
							  psprintf(ngettext("query vector has %d dimension, brain run \"%s\" has %d",
												"query vector has %d dimensions, brain run \"%s\" has %d",
												query->vectors.dim),
									   query->vectors.dim, run->brain_key, run->dimensions),
							  type == TEXTOID ? HintIdArray(&dataset->key) : NULL);
	return problem;
}

/*
 * The hint for who wrote a brain key where the query belongs; else another one.
 */
static const char *
HintBrainKey(Search *search, const char *text, const char *otherwise)
{
	if (FindRun(search->rel, text, true) == NULL)
		return otherwise;
	return psprintf(_("\"%s\" is a brain key. The query comes second: name the run with brain_key => '%s'."),
					text, text);
}

static void
RaiseQueryProblem(Search *search, Oid type, Datum value, Problem *problem)
{
	const char *hint = type == TEXTOID ?
		HintBrainKey(search, TextDatumGetCString(value), problem->hint) : problem->hint;

	ereport(ERROR,
			(errcode(problem->sqlstate),
			 errmsg_internal("%s", problem->message),
			 hint ? errhint("%s", hint) : 0));
}

static void
RaiseNoRunFits(Search *search, Oid type, Datum value, List *runs, Problem *problem)
{
	const char *name = DatasetName(RelationGetRelid(search->rel));

	if (runs == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("\"%s\" has no brain run", name),
				 errhint("Make one: SELECT * FROM brain.compute_similarity('%s', 'my_key').", name)));
	if (list_length(runs) == 1)
		(void) UseRun(linitial(runs), search->rel);
	if (problem)
		RaiseQueryProblem(search, type, value, problem);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("no brain run of \"%s\" can answer the query", name),
			 errdetail("All are broken or were cleaned up."),
			 errhint("brain.list_brain_runs() shows their states. Compute one again with overwrite => true.")));
}

/*
 * The runs of a dataset that the caller may search: those that he is shown.
 */
static List *
RunsToSearch(Relation rel)
{
	List	   *runs = RunsOfDataset(rel);
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, runs)
	{
		if (MaySearchRun(lfirst(lc), rel))
			result = lappend(result, lfirst(lc));
	}
	if (runs && result == NIL)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(rel->rd_rel->relkind),
					   RelationGetRelationName(rel));
	return result;
}

/*
 * Without a brain key: the first run, in alphabetical order, that can answer.
 */
static void
ChooseRun(Search *search, Oid type, Datum value, SimilarityQuery *query)
{
	Told	   *told = ToldByStatement(search->flinfo);
	List	   *runs = RunsToSearch(search->rel);
	Problem    *first_problem = NULL;
	int			n_fitting = 0;
	ListCell   *lc;

	foreach(lc, runs)
	{
		Run		   *run = lfirst(lc);
		SimilarityQuery as_read;
		Problem    *problem;
		Dataset    *dataset;

		if (!run->has_index)
			continue;
		dataset = ResolveRun(run, search->rel, &problem);
		if (dataset == NULL)
			continue;
		problem = FitQuery(run, dataset, type, value, &as_read);
		if (problem && first_problem == NULL)
			first_problem = problem;
		if (problem || n_fitting++ > 0)
			continue;
		search->run = run;
		search->dataset = dataset;
		*query = as_read;
	}
	if (n_fitting == 0)
		RaiseNoRunFits(search, type, value, runs, first_problem);
	if (n_fitting > 1 && !told->chosen_run)
		ereport(NOTICE,
				(errmsg("using brain run \"%s\" of \"%s\", the first of %d that fit",
						search->run->brain_key, search->dataset->name, n_fitting),
				 errhint("Name one: brain_key => '%s'.", search->run->brain_key)));
	told->chosen_run = true;
	CheckFilterIsTrusted(search->run, search->rel, search->dataset);
}

/*
 * Settle the run, its dataset, and what the query means there.
 */
static void
BeginSearch(Search *search, Oid relid, Oid type, Datum value, SimilarityQuery *query)
{
	Problem    *problem;

	search->rel = OpenSamples(relid);
	if (search->arguments.brain_key == NULL)
	{
		ChooseRun(search, type, value, query);
		return;
	}
	search->run = FindRun(search->rel, search->arguments.brain_key, false);
	search->dataset = UseRun(search->run, search->rel);
	problem = FitQuery(search->run, search->dataset, type, value, query);
	if (problem)
		RaiseQueryProblem(search, type, value, problem);
}

/* ---------- the query's vectors ---------- */

typedef struct QueryVectors
{
	Search	   *search;
	float	  **vectors;		/* by position; NULL: not in the index */
	char	  **ids;			/* canonical */
	MemoryContext context;
} QueryVectors;

static void
KeepQueryVector(IndexReader *reader, int position, EntryState state, void *arg)
{
	QueryVectors *kept = arg;
	Search	   *search = kept->search;
	MemoryContext old;

	if (state != ENTRY_OK)
		return;
	/* a run without a dimension takes that of the first */
	if (reader->dimensions == 0)
		reader->dimensions = reader->vector.dim;
	search->query.dim = reader->vector.dim;
	old = MemoryContextSwitchTo(kept->context);
	kept->vectors[position] = palloc(sizeof(float) * reader->vector.dim);
	memcpy(kept->vectors[position], reader->vector.values, sizeof(float) * reader->vector.dim);
	kept->ids[position] = SampleId(&reader->dataset->key, reader->id);
	MemoryContextSwitchTo(old);
}

static void
RaiseUnknownIds(Search *search, const SimilarityQuery *query, char **found)
{
	const char *first = query->id_texts[0];
	const char *hint = HintBrainKey(search, first,
									first[0] == '[' || first[0] == '{' ||
									(search->dataset->key.type == NUMERICOID && query->n > 1) ?
									_("A vector is given as an array here: ARRAY[...]::real[].") : NULL);
	int			n;
	char	   *list = ListMissingIds(query, found, &n);

	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg_plural("query id is not in brain run \"%s\" of \"%s\": %s",
						   "query ids are not in brain run \"%s\" of \"%s\": %s",
						   n, search->run->brain_key, search->dataset->name, list),
			 hint ? errhint("%s", hint) : 0));
}

/*
 * The vectors of the samples that are the query.
 */
static void
FetchQueryVectors(Search *search, const SimilarityQuery *query)
{
	QueryVectors kept = {.search = search};
	float	   *vectors;

	kept.vectors = palloc0(sizeof(float *) * query->n);
	kept.ids = palloc0(sizeof(char *) * query->n);
	kept.context = CurrentMemoryContext;
	ReadEntriesOfIds(&search->reader, query, NULL, KeepQueryVector, &kept);
	for (int i = 0; i < query->n; i++)
	{
		if (kept.vectors[i] == NULL)
			RaiseUnknownIds(search, query, kept.ids);
	}

	vectors = MemoryContextAllocHuge(CurrentMemoryContext,
									 mul_size(sizeof(float) * search->query.dim, query->n));
	for (int i = 0; i < query->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		memcpy(vectors + (Size) i * search->query.dim, kept.vectors[i],
			   sizeof(float) * search->query.dim);
		pfree(kept.vectors[i]);
	}
	search->query.vectors = vectors;
	if (query->n == 1)
		search->query_id = kept.ids[0];
}

/*
 * Average the query vectors: summed in double, rounded to float32 as every
 * vector is.
 */
static void
AverageVectors(ScanQuery *query)
{
	float	   *mean = palloc(sizeof(float) * query->dim);

	for (int j = 0; j < query->dim; j++)
	{
		double		sum = 0;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < query->n; i++)
			sum += query->vectors[(Size) i * query->dim + j];
		mean[j] = (float) (sum / query->n);
	}
	query->vectors = mean;
	query->n = 1;
}

static void
PrepareQuery(Search *search, const SimilarityQuery *given)
{
	ScanQuery  *query = &search->query;
	double	   *squared_norms;

	query->metric = search->run->metric;
	query->reverse = search->arguments.reverse;
	query->aggregation = search->arguments.aggregation;
	query->k = search->arguments.k;
	query->max_distance = search->arguments.max_distance;
	query->screening = screening;
	query->n = given->n;
	if (given->is_ids)
	{
		if (!VectorsFromBase(search, given))
			FetchQueryVectors(search, given);
	}
	else
	{
		query->vectors = given->vectors.values;
		query->dim = given->vectors.dim;
	}
	search->reader.dimensions = query->dim;
	if (query->n > 1 && query->aggregation == AGGREGATE_MEAN)
		AverageVectors(query);

	squared_norms = palloc(sizeof(double) * query->n);
	for (int i = 0; i < query->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		squared_norms[i] = SquaredNorm(query->vectors + (Size) i * query->dim, query->dim);
		if (query->metric == METRIC_COSINE && squared_norms[i] == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("query vector is the zero vector, which has no cosine")));
	}
	query->squared_norms = squared_norms;
}

/* ---------- the scan ---------- */

/*
 * Is it the sample that was asked for? At distance 0 it comes first.
 */
bool
IsQuerySample(const Search *search, const char *id, double distance)
{
	return distance == 0 && search->query.metric != METRIC_DOTPRODUCT &&
		search->query_id && strcmp(id, search->query_id) == 0;
}

/*
 * Offer what ReadEntry() has just read.
 */
void
OfferEntry(Search *search, IndexReader *reader, EntryState state)
{
	Neighbor	candidate;

	if (state == ENTRY_BAD)
		LeaveOut(reader);
	if (state != ENTRY_OK)
		return;
	if (search->query.n == 1)
	{
		candidate.score = Score(search->query.metric, search->query.vectors,
								search->query.squared_norms[0], reader->vector.values,
								reader->vector.squared_norm, search->query.dim);
		candidate.distance = DistanceOfScore(search->query.metric, candidate.score);
	}
	else
		AggregateDistances(&search->query, reader->vector.values, reader->vector.squared_norm,
						   &candidate.distance, &candidate.score);
	if (candidate.distance > search->arguments.max_distance ||
		!NearestWants(&search->nearest, candidate.distance))
		return;
	candidate.id = SampleId(&search->dataset->key, reader->id);
	candidate.is_query = IsQuerySample(search, candidate.id, candidate.distance);
	AddNearest(&search->nearest, &candidate);
}

static void
ScoreSample(TupleTableSlot *slot, void *arg)
{
	Search	   *search = arg;

	OfferEntry(search, &search->reader, ReadEntry(&search->reader, slot, 1));
}

static int
CompareIds(const void *a, const void *b)
{
	CHECK_FOR_INTERRUPTS();
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/*
 * A view that has an id twice is found out where the answer has; that it has
 * more such ids is believed until compute_similarity() reads it again.
 */
static void
CheckDuplicates(Search *search)
{
	int64		n = search->nearest.n;
	char	  **ids;

	if (DatasetIsTable(search->rel) || n == 0)
		return;
	ids = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(char *) * n);
	for (int64 i = 0; i < n; i++)
		ids[i] = search->nearest.items[i].id;
	qsort(ids, n, sizeof(char *), CompareIds);
	for (int64 i = 1; i < n; i++)
	{
		if (strcmp(ids[i - 1], ids[i]) == 0)
			RaiseDuplicateId(search->dataset, ids[i]);
	}
	pfree(ids);
}

/*
 * What the collection cannot answer, nobody can.
 */
static void
RaiseOnlyInCollection(const Search *search)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("brain run \"%s\" of \"%s\" cannot answer this search: %s", search->run->brain_key,
					search->dataset->name, LastReason()),
			 errdetail("Its vectors are in a collection of a Milvus server, and not in PostgreSQL.")));
}

/*
 * Search: afterwards search->nearest is in order. The dataset stays open.
 */
static void
RunSearch(Search *search, Oid relid, Oid type, Datum value)
{
	SimilarityQuery query;
	SampleQuery scan = {.read = ScoreSample, .arg = search};

	BeginSearch(search, relid, type, value, &query);
	search->backend = FindBackend(search->run->backend);
	search->backend->check_options(search->arguments.options);
	search->run->options = search->arguments.options;
	OpenIndexReader(&search->reader, search->run, search->dataset);
	FindSearchBase(search);
	PrepareQuery(search, &query);
	InitNearest(&search->nearest, search->arguments.k, search->arguments.reverse);
	scan.targets = search->reader.targets;
	scan.filter = search->arguments.filter;
	if (!SearchBase(search))
	{
		if (search->reader.attached)
			RaiseOnlyInCollection(search);
		ReadSamples(search->dataset, &scan);
	}
	CloseIndexReader(&search->reader);
	SortNearest(&search->nearest);
	CheckDuplicates(search);
	WarnOfLeftOut(&search->reader, search->flinfo);
}

/* ---------- SQL ---------- */

/*
 * SQL: brain.sort_by_similarity(samples regclass, query text or "any", k
 * integer, reverse boolean, aggregation text, brain_key text, filter text,
 * max_distance double precision, options jsonb) returns table (rank integer,
 * sample_id text, label_id text, distance double precision, score double
 * precision).
 *
 * Errors: 42704 no such run; 55000 it cannot be used; P0002 ids that are not in
 * it; 22P02 a query that is neither id nor vector; 22000, 22003, 22004, 2202E,
 * 54000 a bad query vector; 22023 other arguments; 21000 an id twice; those of
 * a query with the caller's filter.
 */
Datum
brain_sort_by_similarity(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Search		search = {.flinfo = fcinfo->flinfo};

	RequireArgument(fcinfo, 0, "samples");
	search.arguments = ReadArguments(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	RunSearch(&search, PG_GETARG_OID(0), get_fn_expr_argtype(fcinfo->flinfo, 1),
			  PG_GETARG_DATUM(1));
	for (int64 i = 0; i < search.nearest.n; i++)
	{
		Neighbor   *neighbor = &search.nearest.items[i];
		Datum		values[5];
		bool		nulls[5] = {false, false, true, false, false};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum((int32) (i + 1));
		values[1] = CStringGetTextDatum(neighbor->id);
		values[2] = (Datum) 0;
		values[3] = Float8GetDatum(neighbor->distance);
		values[4] = Float8GetDatum(neighbor->score);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		pfree(DatumGetPointer(values[1]));
	}
	relation_close(search.rel, NoLock);
	return (Datum) 0;
}

/*
 * SQL: brain.explain_similarity(as sort_by_similarity()) returns record (plan text,
 * why text, request text, candidates bigint, refills integer): searches, and says
 * how. Errors as there.
 */
Datum
brain_explain_similarity(PG_FUNCTION_ARGS)
{
	Search		search = {.flinfo = fcinfo->flinfo};
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	RequireArgument(fcinfo, 0, "samples");
	search.arguments = ReadArguments(fcinfo);
	RunSearch(&search, PG_GETARG_OID(0), get_fn_expr_argtype(fcinfo->flinfo, 1), PG_GETARG_DATUM(1));
	relation_close(search.rel, NoLock);
	ExplainLastSearch(values, nulls);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

typedef struct RowFetch
{
	const Search *search;
	const Neighbor *neighbors;
	TupleDesc	row_desc;		/* of the dataset's rows */
	Datum	   *rows;
	bool	   *found;
	MemoryContext context;
} RowFetch;

/*
 * A row of the dataset from its columns, which are the slot's from the third on;
 * dropped ones are not among them. Asked for whole rows, a scan would flatten
 * each row that it reads, wanted or not.
 */
static Datum
FormRow(TupleDesc desc, TupleTableSlot *slot)
{
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	int			column = 2;

	slot_getallattrs(slot);
	for (int i = 0; i < desc->natts; i++)
	{
		nulls[i] = TupleDescAttr(desc, i)->attisdropped || slot->tts_isnull[column];
		if (!TupleDescAttr(desc, i)->attisdropped)
			values[i] = slot->tts_values[column++];
	}
	return heap_copy_tuple_as_datum(heap_form_tuple(desc, values, nulls), desc);
}

static void
KeepRow(TupleTableSlot *slot, void *arg)
{
	RowFetch   *fetch = arg;
	int			position = PositionOfSlot(slot);
	MemoryContext old = MemoryContextSwitchTo(fetch->context);

	if (fetch->found[position])
		RaiseDuplicateId(fetch->search->dataset, fetch->neighbors[position].id);
	fetch->rows[position] = FormRow(fetch->row_desc, slot);
	fetch->found[position] = true;
	MemoryContextSwitchTo(old);
}

/*
 * How many rows to fetch at once: each time costs a scan where the dataset has
 * no index, and they are kept in memory meanwhile.
 */
static int
RowsPerFetch(const Search *search)
{
	Size		row_size = sizeof(float) * search->query.dim + 256;

	return Max(MIN_ROWS_PER_FETCH, Min(MAX_ROWS_PER_FETCH, ROWS_MEMORY / row_size));
}

/*
 * Put n neighbours with their rows into the result, from the given rank on.
 */
static void
PutRows(Search *search, Oid row_type, int64 first, int n, ReturnSetInfo *rsinfo)
{
	SampleKey  *key = &search->dataset->key;
	Neighbor   *neighbors = search->nearest.items + first;
	RowFetch	fetch = {
		search, neighbors, RelationGetDescr(search->rel),
		palloc(sizeof(Datum) * n), palloc0(sizeof(bool) * n), CurrentMemoryContext
	};
	Datum	   *ids = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!ParseSampleId(key, neighbors[i].id, &ids[i]))
			elog(ERROR, "sample id \"%s\" is not of its own type", neighbors[i].id);
	}
	ReadSamplesOfIds(search->dataset, psprintf("%s.*", search->dataset->name_in_query), NULL,
					 n, ids, KeepRow, &fetch);
	for (int i = 0; i < n; i++)
	{
		Datum		values[4];
		bool		nulls[4] = {false, false, false, !fetch.found[i]};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum((int32) (first + i + 1));
		values[1] = Float8GetDatum(neighbors[i].distance);
		values[2] = Float8GetDatum(neighbors[i].score);
		values[3] = fetch.rows[i];
		if (get_typtype(row_type) == TYPTYPE_DOMAIN)
			domain_check(values[3], nulls[3], row_type, NULL, CurrentMemoryContext);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/*
 * The dataset that a row type belongs to. Error 42809 for other types.
 */
static Oid
DatasetOfRowType(Oid type)
{
	Oid			relid = typeOrDomainTypeRelid(type);

	if (!OidIsValid(relid) || get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not the row type of a table or view", format_type_be(type)),
				 errhint("Name the dataset by a NULL of its row type: NULL::images.")));
	return relid;
}

/*
 * SQL: brain.similar_samples(samples anyelement, query text or "any", …) returns
 * setof record (rank integer, distance double precision, score double precision,
 * sample anyelement). As sort_by_similarity(); the first argument only names
 * the dataset by its row type.
 */
Datum
brain_similar_samples(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			row_type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Search		search = {.flinfo = fcinfo->flinfo};
	MemoryContext context;
	int			rows_per_fetch;

	search.arguments = ReadArguments(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	RunSearch(&search, DatasetOfRowType(row_type),
			  get_fn_expr_argtype(fcinfo->flinfo, 1), PG_GETARG_DATUM(1));
	context = AllocSetContextCreate(CurrentMemoryContext, "milvus_brain rows", ALLOCSET_DEFAULT_SIZES);
	rows_per_fetch = RowsPerFetch(&search);
	for (int64 first = 0; first < search.nearest.n; first += rows_per_fetch)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		PutRows(&search, row_type, first, (int) Min(rows_per_fetch, search.nearest.n - first), rsinfo);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	relation_close(search.rel, NoLock);
	return (Datum) 0;
}
