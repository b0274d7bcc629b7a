/*
 * compute.c
 *		compute_similarity(), and counting what an index holds.
 *
 * Every embedding is read and checked once, without a lock that anybody notices;
 * then, under the lock on the dataset's runs, the run is recorded.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "build.h"
#include "filter.h"
#include "identifier.h"
#include "index.h"
#include "milvus/milvus.h"
#include "milvus_brain.h"
#include "progress.h"
#include "sweep.h"
#include "triggers.h"

PG_FUNCTION_INFO_V1(brain_compute_similarity);
PG_FUNCTION_INFO_V1(brain_load_brain_results);

/* How many good vectors have so many dimensions. */
typedef struct DimensionCount
{
	int			dim;
	int64		count;
} DimensionCount;

/* Counting what an index holds. */
typedef struct Census
{
	IndexReader reader;
	bool		skip_failures;
	Progress   *progress;		/* NULL: nobody waits for it */
	BaseBuild  *build;			/* NULL: only counted */
	int64		indexed;
	int64		missing;
	int64		skipped;
	List	   *dimension_counts;	/* while the dimension is open */
} Census;

/*
 * Tally a good vector while the run has no dimension yet. When failures are
 * skipped the dimension that most have is the run's: the first sample may be the
 * odd one out.
 */
static void
TallyDimension(Census *census, int dim)
{
	MemoryContext old;
	DimensionCount *count;
	ListCell   *lc;

	foreach(lc, census->dimension_counts)
	{
		count = lfirst(lc);
		if (count->dim == dim)
		{
			count->count++;
			return;
		}
	}
	old = MemoryContextSwitchTo(census->reader.vector.context);
	count = palloc(sizeof(DimensionCount));
	count->dim = dim;
	count->count = 1;
	census->dimension_counts = lappend(census->dimension_counts, count);
	MemoryContextSwitchTo(old);
}

static void
SettleDimension(Census *census)
{
	DimensionCount *best = NULL;
	ListCell   *lc;

	foreach(lc, census->dimension_counts)
	{
		DimensionCount *count = lfirst(lc);

		if (best == NULL || count->count > best->count)
			best = count;
	}
	if (best == NULL)
		return;
	census->reader.dimensions = best->dim;
	census->skipped += census->indexed - best->count;
	census->indexed = best->count;
}

static void
CountEntry(TupleTableSlot *slot, void *arg)
{
	Census	   *census = arg;
	IndexReader *reader = &census->reader;
	EntryState	state = ReadEntry(reader, slot, 1);

	switch (state)
	{
		case ENTRY_OK:
			census->indexed++;
			if (reader->dimensions == 0 && census->skip_failures)
				TallyDimension(census, reader->vector.dim);
			else
				reader->dimensions = reader->vector.dim;
			break;
		case ENTRY_MISSING:
			census->missing++;
			break;
		case ENTRY_BAD:
			if (!census->skip_failures)
				ereport(ERROR,
						(errcode(EntrySqlState(reader)),
						 errmsg_internal("%s", EntryProblem(reader)),
						 errhint("With skip_failures => true such samples are left out and counted.")));
			census->skipped++;
			break;
	}
	if (census->build)
		BuildEntry(census->build, reader, state);
	if (census->progress)
		CountProgress(census->progress);
}

/*
 * Read the whole index of a run and count it.
 */
static void
TakeCensus(Census *census, const Run *run, Dataset *dataset)
{
	SampleQuery query = {.read = CountEntry, .arg = census};

	OpenIndexReader(&census->reader, run, dataset);
	query.targets = census->reader.targets;
	ReadSamples(dataset, &query);
	CloseIndexReader(&census->reader);
	SettleDimension(census);
}

static Datum
CensusResult(FunctionCallInfo fcinfo, const Run *run, instr_time start)
{
	TupleDesc	desc;
	Datum		values[8];
	bool		nulls[8] = {false};
	instr_time	duration;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	values[0] = CStringGetTextDatum(run->brain_key);
	values[1] = CStringGetTextDatum(run->backend);
	values[2] = CStringGetTextDatum(MetricName(run->metric));
	values[3] = Int32GetDatum(run->dimensions);
	nulls[3] = run->dimensions == 0;
	values[4] = Int64GetDatum(run->indexed);
	nulls[4] = run->indexed == COUNT_UNKNOWN;
	values[5] = Int64GetDatum(run->missing);
	nulls[5] = run->missing == COUNT_UNKNOWN;
	values[6] = Int64GetDatum(run->skipped);
	nulls[6] = run->skipped == COUNT_UNKNOWN;
	values[7] = Float8GetDatum(INSTR_TIME_GET_DOUBLE(duration));
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* ---------- what the arguments name ---------- */

static AttrNumber
NamedColumn(Relation rel, const char *name)
{
	AttrNumber	attno = ColumnNumber(rel, name);

	if (attno == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of \"%s\" does not exist",
						name, DatasetName(RelationGetRelid(rel)))));
	return attno;
}

static AttrNumber
ChooseKeyColumn(Relation rel, const char *id_field)
{
	AttrNumber	attno = id_field ? NamedColumn(rel, id_field) : PrimaryKeyColumn(rel);
	Problem    *problem;

	if (attno == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("\"%s\" has no primary key of one column", DatasetName(RelationGetRelid(rel))),
				 DatasetIsTable(rel) ?
				 errhint("Add one, or name a NOT NULL column with a unique index: id_field => 'column'.") :
				 errhint("Name the column that identifies a row: id_field => 'column'.")));
	if ((problem = CheckKeyColumn(rel, attno)) != NULL)
		RaiseProblem(problem);
	return attno;
}

static void
RaiseNoEmbeddingsColumn(Relation rel, List *candidates)
{
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, candidates)
		appendStringInfo(&names, "%s\"%s\"", names.len ? ", " : "",
						 NameStr(TupleDescAttr(RelationGetDescr(rel), lfirst_int(lc) - 1)->attname));
	if (candidates == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("\"%s\" has no column of vectors", DatasetName(RelationGetRelid(rel))),
				 errhint("Name one with embeddings => 'column', or make an empty run with with_data => false and fill it by brain.add_to_index().")));
	ereport(ERROR,
			(errcode(ERRCODE_AMBIGUOUS_COLUMN),
			 errmsg("\"%s\" has several columns of vectors", DatasetName(RelationGetRelid(rel))),
			 errdetail("Candidates are %s.", names.data),
			 errhint("Name one: embeddings => 'column'.")));
}

/*
 * The column of embeddings; 0 for a run that add_to_index() fills.
 */
static AttrNumber
ChooseEmbeddingsColumn(Relation rel, const char *embeddings, bool with_data)
{
	AttrNumber	attno;
	Problem    *problem;

	if (embeddings == NULL)
	{
		List	   *candidates = with_data ? CandidateEmbeddingsColumns(rel) : NIL;

		if (!with_data)
			return InvalidAttrNumber;
		if (list_length(candidates) != 1)
			RaiseNoEmbeddingsColumn(rel, candidates);
		return linitial_int(candidates);
	}
	attno = NamedColumn(rel, embeddings);
	if ((problem = CheckEmbeddingsColumn(rel, attno)) != NULL)
		RaiseProblem(problem);
	return attno;
}

static char *
NameOfColumn(Relation rel, AttrNumber attno)
{
	return pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel), attno - 1)->attname));
}

/*
 * What the arguments say to the backend. Before 0.3.0 there were only options.
 */
static void
Configure(Run *run, const Backend *backend, Dataset *dataset, bool with_data, FunctionCallInfo fcinfo)
{
	bool		has_names = PG_NARGS() > 11;
	BackendArguments arguments = {
		.metric = TextArgument(fcinfo, 4),
		.options = JsonbArgument(fcinfo, 10),
		.collection_name = has_names ? TextArgument(fcinfo, 11) : NULL,
		.consistency_level = has_names ? TextArgument(fcinfo, 12) : NULL,
		.server = has_names ? TextArgument(fcinfo, 13) : NULL,
		.with_data = with_data,
		.dataset = dataset,
	};

	if (backend->configure)
	{
		backend->configure(run, &arguments);
		return;
	}
	backend->check_options(arguments.options);
	if (arguments.collection_name || arguments.consistency_level || arguments.server)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the %s backend has no collections and no servers", backend->name),
				 errhint("collection_name, consistency_level and server are for backend => 'milvus'.")));
}

/*
 * The run that the arguments describe, not counted yet, and its dataset.
 */
static Run *
DescribeRun(FunctionCallInfo fcinfo, Relation rel, char *brain_key, bool with_data,
			Dataset **dataset)
{
	Run		   *run = palloc0(sizeof(Run));
	const Backend *backend = FindBackend(TextArgument(fcinfo, 3));
	char	   *metric = TextArgument(fcinfo, 4);
	char	   *filter = TextArgument(fcinfo, 6);

	run->metric = backend->default_metric;
	if (metric && !ParseMetric(metric, &run->metric))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown metric \"%s\"", metric),
				 errhint("Available metrics: cosine, dotproduct, euclidean.")));

	run->id_attno = ChooseKeyColumn(rel, TextArgument(fcinfo, 5));
	run->embeddings_attno = ChooseEmbeddingsColumn(rel, TextArgument(fcinfo, 2), with_data);
	*dataset = OpenDataset(rel, run->id_attno, run->embeddings_attno);
	if (filter)
	{
		SavedUser	saved;

		(*dataset)->filter = ParseRunFilter(rel, filter);
		BeginAsOwner(rel->rd_rel->relowner, &saved);
		CheckRunFilter((*dataset)->filter);
		EndAsOwner(&saved);
		run->filter = RunFilterText((*dataset)->filter, rel);
		run->filter_tree = nodeToString((*dataset)->filter);
	}

	run->id = *NewUuid();
	run->brain_key = brain_key;
	run->dataset_name = RelationGetRelationName(rel);
	run->id_field = NameOfColumn(rel, run->id_attno);
	run->type = "similarity";
	run->backend = pstrdup(backend->name);
	run->indexed = run->missing = run->skipped = COUNT_UNKNOWN;
	run->has_index = true;
	run->version = BRAIN_VERSION;
	run->created = GetCurrentTimestamp();
	run->bound = true;
	run->dataset = RelationGetRelid(rel);
	if (run->embeddings_attno != InvalidAttrNumber)
	{
		run->embeddings_field = NameOfColumn(rel, run->embeddings_attno);
		run->dimensions = (*dataset)->declared_dimensions;
	}
	else
		run->indexed = run->skipped = 0;
	Configure(run, backend, *dataset, with_data, fcinfo);
	return run;
}

/*
 * Read and check a run's embeddings, as the dataset's owner, and put them into
 * its base on the way. Not where the dimension is settled by the majority: then
 * they are read once more when it is known.
 */
static void
CountRun(Run *run, Relation rel, Dataset *dataset, bool skip_failures, BaseBuild *build)
{
	SavedUser	saved;
	float4		reltuples = rel->rd_rel->reltuples;
	Progress	progress;
	bool		reads_twice = skip_failures && run->dimensions == 0;
	Census		census = {
		.skip_failures = skip_failures,
		.progress = &progress,
		.build = reads_twice ? NULL : build,
	};

	BeginAsOwner(rel->rd_rel->relowner, &saved);
	BeginProgress(&progress, run->dataset, reltuples > 0 ? (int64) reltuples : -1);
	if (!DatasetIsTable(rel))
	{
		SetProgressPhase(&progress, PROGRESS_CHECKING_IDS);
		CheckUniqueIds(dataset);
	}
	SetProgressPhase(&progress, PROGRESS_READING);
	TakeCensus(&census, run, dataset);
	EndAsOwner(&saved);

	run->dimensions = census.reader.dimensions;
	run->indexed = census.indexed;
	run->missing = census.missing;
	run->skipped = census.skipped;
	if (reads_twice && build->writer)
		ReadForBuild(build, rel, dataset);
	else
		EndRows(build, rel, dataset);
	SetProgressPhase(&progress, PROGRESS_RECORDING);
}

/*
 * Put a run on record in the place of old, if that is not NULL.
 */
static void
RecordRun(const Run *run, const Run *old)
{
	if (old)
		RemoveRun(old);
	InsertRun(run);
}

typedef struct ComputeCall
{
	Run		   *run;
	Relation	rel;
	Dataset    *dataset;
	BaseBuild  *build;
	const char *brain_key;
	bool		with_data;
	bool		skip_failures;
	bool		overwrite;
	Run		   *old;			/* that the run takes the place of */
} ComputeCall;

/*
 * Count, index and record the run.
 */
static void
MakeRun(void *arg)
{
	ComputeCall *call = arg;
	Run		   *run = call->run;
	Relation	rel = call->rel;
	BaseBuild  *build = call->build;

	if (call->with_data)
		CountRun(run, rel, call->dataset, call->skip_failures, build);
	LockRunsOfSchema(RelationGetNamespace(rel), ShareLock);
	TrackForBuild(build, rel, ExclusiveLock);
	LockRuns(RelationGetRelid(rel), ExclusiveLock);
	run->dataset_schema = get_namespace_name(RelationGetNamespace(rel));
	call->old = FindRunToChange(rel, call->brain_key, true);
	if (call->old && !call->overwrite)
		RaiseDuplicateRun(rel, call->brain_key);
	if (build->writer && build->writer->methods->config)
		run->config = build->writer->methods->config(build->writer);
	RecordRun(run, call->old);
	(void) RecordBuild(build, rel, call->dataset);
}

/*
 * SQL: brain.compute_similarity(samples regclass, brain_key text, embeddings
 * text, backend text, metric text, id_field text, filter text, with_data
 * boolean, skip_failures boolean, overwrite boolean, options jsonb,
 * collection_name text, consistency_level text, server text) returns
 * brain.similarity_index.
 *
 * Errors: 42710 the key is taken; 42602 it is no identifier; 42501 not the
 * owner; 42P16, 42703, 42702, 42804, 42883 of the dataset's columns; 0A000, 42809 what
 * cannot be a dataset; 21000 an id twice; 22000, 22003, 22004, 2202E, 54000 a
 * bad embedding; 22023 other arguments; 42P17 a filter that is not immutable.
 */
Datum
brain_compute_similarity(PG_FUNCTION_ARGS)
{
	instr_time	start;
	char	   *brain_key;
	bool		with_data = BoolArgument(fcinfo, 7, true);
	bool		overwrite = BoolArgument(fcinfo, 9, false);
	Relation	rel;
	Problem    *problem;
	Dataset    *dataset;
	Run		   *run;
	Run		   *old;
	BaseBuild  *build;
	ComputeCall call;

	INSTR_TIME_SET_CURRENT(start);
	RequireArgument(fcinfo, 0, "samples");
	RequireArgument(fcinfo, 1, "brain_key");
	brain_key = TextArgument(fcinfo, 1);
	CheckBrainKey(brain_key);
	BeginWrite("compute_similarity()");
	rel = OpenSamples(PG_GETARG_OID(0));
	if ((problem = CheckDataset(rel)) != NULL)
		RaiseProblem(problem);
	RequireOwner(rel);
	if (!overwrite && FindRun(rel, brain_key, true))
		RaiseDuplicateRun(rel, brain_key);
	run = DescribeRun(fcinfo, rel, brain_key, with_data, &dataset);
	build = BeginBuild(run, rel, with_data || run->embeddings_field == NULL);
	call = (ComputeCall) {run, rel, dataset, build, brain_key, with_data, BoolArgument(fcinfo, 8, false), overwrite, NULL};
	TryBuild(build, MakeRun, &call);
	old = call.old;
	EndProgress();
	relation_close(rel, NoLock);
	if (HasBases())
	{
		SweepFiles(NULL);
		if (old)
			(void) DropTriggers(&old->id, run->dataset);
	}
	EndWrite();
	PG_RETURN_DATUM(CensusResult(fcinfo, run, start));
}

/*
 * SQL: brain.load_brain_results(samples regclass, brain_key text, options jsonb)
 * returns brain.similarity_index: the index as the caller may see it now. With
 * options, those of a search, a run's Milvus server is asked for its collection.
 * Errors: 42704 no such run, 55000 it cannot be used, 22023 an option; those of
 * the connection.
 */
Datum
brain_load_brain_results(PG_FUNCTION_ARGS)
{
	instr_time	start;
	Relation	rel;
	Run		   *run;
	Census		census = {.skip_failures = true};

	INSTR_TIME_SET_CURRENT(start);
	RequireArgument(fcinfo, 0, "samples");
	RequireArgument(fcinfo, 1, "brain_key");
	rel = OpenSamples(PG_GETARG_OID(0));
	run = FindRun(rel, TextArgument(fcinfo, 1), false);
	/* before 0.3.0 there were two arguments */
	run->options = PG_NARGS() > 2 ? JsonbArgument(fcinfo, 2) : NULL;
	if (run->options)
	{
		FindBackend(run->backend)->check_options(run->options);
		if (FindBackend(run->backend)->searches_untracked)
			RequireCollection(run);
	}
	if (run->attached && run->embeddings_field == NULL)
	{
		/* its vectors are not ours to go through */
		(void) UseRun(run, rel);
		relation_close(rel, NoLock);
		PG_RETURN_DATUM(CensusResult(fcinfo, run, start));
	}
	TakeCensus(&census, run, UseRun(run, rel));
	relation_close(rel, NoLock);
	run->dimensions = census.reader.dimensions;
	run->indexed = census.indexed;
	run->missing = census.missing;
	run->skipped = census.skipped;
	PG_RETURN_DATUM(CensusResult(fcinfo, run, start));
}
