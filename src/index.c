/*
 * index.c
 *		What an index holds: the embedding that belongs to a row of a dataset.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "arguments.h"
#include "index.h"
#include "milvus/attach.h"

/* How many ids an error lists. */
#define MAX_LISTED_IDS 20

/*
 * Error 0A000 for a run whose vectors PostgreSQL does not have, from a function
 * that needs all of them, or changes them.
 */
void
RequireVectors(const Run *run)
{
	if (run->attached && run->embeddings_field == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the vectors of brain run \"%s\" are in a collection of a Milvus server only",
						run->brain_key),
				 errhint("brain.get_embeddings() reads those of given ids.")));
}

/*
 * Begin to read a run's embeddings. The reader's vector and what ReadEntry
 * leaves in it live in the current memory context.
 */
void
OpenIndexReader(IndexReader *reader, const Run *run, Dataset *dataset)
{
	memset(reader, 0, sizeof(IndexReader));
	reader->run = run;
	reader->dataset = dataset;
	reader->dimensions = run->dimensions;
	InitVectorBuffer(&reader->vector);
	reader->targets = dataset->key.operand;
	if (dataset->embeddings_attno > 0)
	{
		reader->embedding = psprintf("%s.%s", dataset->name_in_query, dataset->embeddings_column);
		reader->targets = psprintf("%s, %s", reader->targets, reader->embedding);
	}
	else if (run->attached)
		reader->attached = OpenAttachedVectors(run);
	else
		reader->stored = OpenEmbeddings(run);
}

void
CloseIndexReader(IndexReader *reader)
{
	if (reader->stored)
		CloseEmbeddings(reader->stored);
}

/*
 * Read the entry of the row in a slot, whose columns from the given one on are
 * the reader's targets. An embedding whose key is NULL is bad: views and foreign
 * tables can have such rows.
 */
EntryState
ReadEntry(IndexReader *reader, TupleTableSlot *slot, int column)
{
	reader->id = slot_getattr(slot, column, &reader->id_is_null);
	reader->failure = VECTOR_OK;
	if (reader->attached)
	{
		if (reader->id_is_null ||
			!FindAttachedVector(reader->attached, SampleId(&reader->dataset->key, reader->id), &reader->vector))
			return ENTRY_MISSING;
	}
	else if (reader->stored)
	{
		if (reader->id_is_null ||
			!FetchEmbedding(reader->stored, SampleId(&reader->dataset->key, reader->id), &reader->vector))
			return ENTRY_MISSING;
	}
	else
	{
		bool		isnull;
		Datum		value = slot_getattr(slot, column + 1, &isnull);

		if (isnull)
			return ENTRY_MISSING;
		if (reader->id_is_null)
			return ENTRY_BAD;
		reader->failure = ReadVector(reader->dataset->format, value, &reader->vector);
	}
	if (reader->failure == VECTOR_OK)
		reader->failure = CheckVector(&reader->vector, reader->run->metric, reader->dimensions);
	return reader->failure == VECTOR_OK ? ENTRY_OK : ENTRY_BAD;
}

static char *
ProblemOfSample(IndexReader *reader, const char *id, VectorFailure failure, int dim)
{
	return psprintf(_("embedding of sample \"%s\" of \"%s\" %s"), id, reader->dataset->name,
					VectorFailureText(failure, dim, reader->dimensions));
}

/*
 * What is wrong with the bad entry that was read last, as a message.
 */
char *
EntryProblem(IndexReader *reader)
{
	if (reader->id_is_null)
		return psprintf(_("a sample of \"%s\" has a NULL id"), reader->dataset->name);
	return ProblemOfSample(reader, SampleId(&reader->dataset->key, reader->id), reader->failure,
						   reader->vector.dim);
}

int
EntrySqlState(const IndexReader *reader)
{
	return reader->id_is_null ? ERRCODE_NULL_VALUE_NOT_ALLOWED :
		VectorFailureSqlState(reader->failure);
}

/*
 * Count the bad entry that was read last, and keep the first one's problem.
 */
void
LeaveOut(IndexReader *reader)
{
	MemoryContext old;

	if (reader->left_out++ > 0)
		return;
	old = MemoryContextSwitchTo(reader->vector.context);
	reader->first_problem = EntryProblem(reader);
	MemoryContextSwitchTo(old);
}

/*
 * The same for a sample that was not read from the dataset.
 */
void
LeaveOutSample(IndexReader *reader, const char *id, VectorFailure failure, int dim)
{
	MemoryContext old;

	if (reader->left_out++ > 0)
		return;
	old = MemoryContextSwitchTo(reader->vector.context);
	reader->first_problem = ProblemOfSample(reader, id, failure, dim);
	MemoryContextSwitchTo(old);
}

/*
 * What the statement that a call belongs to has been told. A function in a join
 * is called for each row and tells it once: fn_extra lives as long as the place
 * of the call in the statement's execution.
 */
Told *
ToldByStatement(FmgrInfo *flinfo)
{
	if (flinfo->fn_extra == NULL)
		flinfo->fn_extra = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(Told));
	return flinfo->fn_extra;
}

/*
 * Say, once a statement, how many samples were left out, and why one of them.
 */
void
WarnOfLeftOut(const IndexReader *reader, FmgrInfo *flinfo)
{
	Told	   *told = ToldByStatement(flinfo);

	if (reader->left_out == 0 || told->left_out)
		return;
	told->left_out = true;
	ereport(WARNING,
			(errmsg_plural("%lld sample was left out of the search",
						   "%lld samples were left out of the search",
						   (unsigned long) reader->left_out, (long long) reader->left_out),
			 errdetail_internal("%s%s", reader->left_out > 1 ? _("One of them: ") : "",
								reader->first_problem)));
}

/* ---------- by id ---------- */

typedef struct IdMatch
{
	SampleKey  *key;
	Datum	   *ids;
	SampleReader read;
	void	   *arg;
} IdMatch;

/*
 * Pass on a sample that was found by the key type's equality, unless that finds
 * 'ABC' for 'abc': they are two ids.
 */
static void
ReadMatch(TupleTableSlot *slot, void *arg)
{
	IdMatch    *match = arg;

	if (match->key->by_text)
	{
		bool		isnull;
		Datum		id = slot_getattr(slot, 2, &isnull);

		if (strcmp(SampleId(match->key, id),
				   SampleId(match->key, match->ids[PositionOfSlot(slot)])) != 0)
			return;
	}
	match->read(slot, match->arg);
}

static ParamListInfo
IdsParameter(const SampleKey *key, int n, Datum *ids)
{
	ParamListInfo params = makeParamList(1);
	int16		typlen;
	bool		typbyval;
	char		typalign;

	get_typlenbyvalalign(key->type, &typlen, &typbyval, &typalign);
	params->params[0].value = PointerGetDatum(construct_array(ids, n, key->type,
															  typlen, typbyval, typalign));
	params->params[0].isnull = false;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = key->array_type;
	return params;
}

/*
 * Read the samples whose key equals one of n ids of its type, and that the
 * caller's filter keeps. The slot has what target names.
 */
void
ReadSamplesAmong(Dataset *dataset, const char *target, int n, Datum *ids, const char *filter,
				 SampleReader read, void *arg)
{
	SampleKey  *key = &dataset->key;
	SampleQuery query = {
		.targets = target,
		.condition = psprintf("%s %s ANY ($1)", key->operand, key->equals),
		.filter = filter,
		.n_ids = n,
		.param_types = &key->array_type,
		.read = read,
		.arg = arg,
	};

	if (n == 0)
		return;
	query.params = IdsParameter(key, n, ids);
	ReadSamples(dataset, &query);
}

/*
 * Where a collection has the vectors: fetch those of ids that are going to be
 * read.
 */
static void
FetchAttached(IndexReader *reader, int n, Datum *ids)
{
	char	  **texts;
	HTAB	   *seen;
	int			n_texts = 0;

	if (reader->attached == NULL)
		return;
	texts = palloc(sizeof(char *) * Max(n, 1));
	seen = CreateIdSet(NULL, 0);
	for (int i = 0; i < n; i++)
	{
		char	   *id = SampleId(&reader->dataset->key, ids[i]);

		if (HasId(seen, id))
			continue;
		AddId(seen, id);
		texts[n_texts++] = id;
	}
	FetchAttachedVectors(reader->attached, texts, n_texts);
}

typedef struct EntryReading
{
	IndexReader *reader;
	EntryReader read;
	void	   *arg;
} EntryReading;

static void
ReadEntryAmong(TupleTableSlot *slot, void *arg)
{
	EntryReading *reading = arg;
	EntryState	state = ReadEntry(reading->reader, slot, 1);

	reading->read(reading->reader, state, reading->arg);
}

/*
 * Read the entries of such samples.
 */
void
ReadEntriesAmong(IndexReader *reader, int n, Datum *ids, const char *filter, EntryReader read, void *arg)
{
	EntryReading reading = {reader, read, arg};

	FetchAttached(reader, n, ids);
	ReadSamplesAmong(reader->dataset, reader->targets, n, ids, filter, ReadEntryAmong, &reading);
}

/*
 * Read the samples with the given ids, n of the key's type. The slot has the
 * position of the id, the key, and what target names, if anything. Ids that are
 * not there, or that the caller may not see, do not come. lock is a locking
 * clause, or NULL.
 */
void
ReadSamplesOfIds(Dataset *dataset, const char *target, const char *lock,
				 int n, Datum *ids, SampleReader read, void *arg)
{
	SampleKey  *key = &dataset->key;
	/* what the ids are called must differ from what the dataset is called */
	const char *ids_alias = strcmp(dataset->name_in_query, "ids") == 0 ? "given_ids" : "ids";
	IdMatch		match = {key, ids, read, arg};
	SampleQuery query = {
		.targets = psprintf("%s.position, %s%s%s", ids_alias, key->operand,
							target ? ", " : "", target ? target : ""),
		.join = psprintf("JOIN pg_catalog.unnest($1) WITH ORDINALITY AS %s (id, position)"
						 " ON %s %s %s.id%s%s",
						 ids_alias, key->operand, key->equals, ids_alias,
						 lock ? " " : "", lock ? lock : ""),
		.n_ids = n,
		.param_types = &key->array_type,
		.read = ReadMatch,
		.arg = &match,
	};

	if (n == 0)
		return;
	query.params = IdsParameter(key, n, ids);
	ReadSamples(dataset, &query);
}

/*
 * The position in a slot that ReadSamplesOfIds hands out, counted from 0.
 */
int
PositionOfSlot(TupleTableSlot *slot)
{
	bool		isnull;

	return (int) DatumGetInt64(slot_getattr(slot, 1, &isnull)) - 1;
}

typedef struct IdReading
{
	IndexReader *reader;
	bool	   *seen;
	EntryCallback callback;
	void	   *arg;
} IdReading;

static void
ReadEntryOfId(TupleTableSlot *slot, void *arg)
{
	IdReading  *reading = arg;
	IndexReader *reader = reading->reader;
	int			position = PositionOfSlot(slot);
	EntryState	state = ReadEntry(reader, slot, 2);

	if (reading->seen[position])
		RaiseDuplicateId(reader->dataset, SampleId(&reader->dataset->key, reader->id));
	reading->seen[position] = true;
	reading->callback(reader, position, state, reading->arg);
}

/*
 * Read the entries of ids, in no particular order; those that are not in the
 * dataset do not come. Error 21000 for an id that a view has twice.
 */
void
ReadEntriesOfIds(IndexReader *reader, const SimilarityQuery *query, const char *lock,
				 EntryCallback callback, void *arg)
{
	IdReading	reading = {reader, palloc0(sizeof(bool) * Max(query->n, 1)), callback, arg};

	FetchAttached(reader, query->n, query->ids);
	ReadSamplesOfIds(reader->dataset, reader->embedding, lock, query->n, query->ids,
					 ReadEntryOfId, &reading);
	pfree(reading.seen);
}

/*
 * The changed ids as values of the key's type. A text that is none cannot be in
 * the dataset.
 */
void
IdsOfChanges(const Changes *changes, SampleKey *key, SimilarityQuery *ids)
{
	memset(ids, 0, sizeof(SimilarityQuery));
	ids->is_ids = true;
	ids->ids = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * Max(changes->n_ids, 1));
	ids->id_texts = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(char *) * Max(changes->n_ids, 1));
	for (int i = 0; i < changes->n_ids; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (ParseSampleId(key, changes->ids[i], &ids->ids[ids->n]))
			ids->id_texts[ids->n++] = changes->ids[i];
	}
}

/* ---------- for functions that take ids ---------- */

/*
 * The ids that a SQL function's argument names.
 */
void
ReadIdsArgument(FunctionCallInfo fcinfo, int n, const char *name, Dataset *dataset,
				SimilarityQuery *ids)
{
	Problem    *problem;

	RequireArgument(fcinfo, n, name);
	problem = ReadIds(get_fn_expr_argtype(fcinfo->flinfo, n), PG_GETARG_DATUM(n),
					  &dataset->key, ids);
	if (problem)
		RaiseProblem(problem);
}

/*
 * The ids, as they were given, that have no canonical text in found, which has
 * one for each position: the first MAX_LISTED_IDS of them, for a message.
 */
char *
ListMissingIds(const SimilarityQuery *ids, char **found, int *n_missing)
{
	StringInfoData list;
	int			n = 0;

	initStringInfo(&list);
	for (int i = 0; i < ids->n; i++)
	{
		if (found[i])
			continue;
		if (n < MAX_LISTED_IDS)
			appendStringInfo(&list, "%s%s", n ? ", " : "", ids->id_texts[i]);
		n++;
	}
	if (n > MAX_LISTED_IDS)
		appendStringInfo(&list, _(", and %d more"), n - MAX_LISTED_IDS);
	*n_missing = n;
	return list.data;
}

/*
 * Ids that are not in the index: allowed, warned of, or error P0002.
 */
void
ReportMissing(const Run *run, const Dataset *dataset, int64 n, const char *example,
			  bool allow_missing, bool warn_missing)
{
	if (n == 0 || (allow_missing && !warn_missing))
		return;
	ereport(allow_missing ? WARNING : ERROR,
			(errcode(allow_missing ? ERRCODE_WARNING : ERRCODE_NO_DATA_FOUND),
			 errmsg_plural("%lld id is not in brain run \"%s\" of \"%s\", for example \"%s\"",
						   "%lld ids are not in brain run \"%s\" of \"%s\", for example \"%s\"",
						   (unsigned long) n, (long long) n, run->brain_key, dataset->name, example)));
}
