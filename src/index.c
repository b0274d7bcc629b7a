/*
 * index.c
 *		What an index holds: the embedding that belongs to a row of a dataset.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/params.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

#include "index.h"

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
	reader->targets = psprintf("%s.%s", dataset->alias, dataset->key.column);
	if (dataset->embeddings_attno > 0)
		reader->targets = psprintf("%s, %s.%s", reader->targets,
								   dataset->alias, dataset->embeddings_column);
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
	if (reader->stored)
	{
		if (reader->id_is_null)
			return ENTRY_BAD;
		if (!FetchEmbedding(reader->stored, SampleId(&reader->dataset->key, reader->id),
							&reader->vector))
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

/*
 * What is wrong with the bad entry that was read last, as a message.
 */
char *
EntryProblem(IndexReader *reader)
{
	if (reader->id_is_null)
		return psprintf(_("a sample of \"%s\" has a NULL id"), reader->dataset->name);
	return psprintf(_("embedding of sample \"%s\" of \"%s\" %s"),
					SampleId(&reader->dataset->key, reader->id), reader->dataset->name,
					VectorFailureText(reader->failure, reader->vector.dim, reader->dimensions));
}

int
EntrySqlState(const IndexReader *reader)
{
	return reader->id_is_null ? ERRCODE_NULL_VALUE_NOT_ALLOWED :
		VectorFailureSqlState(reader->failure);
}

/* ---------- by id ---------- */

/*
 * Read the samples with the given ids, n of the key's type: the slot's first
 * column is the position of the id, what targets names follows. Ids that are
 * not there, or that the caller may not see, do not come.
 */
void
ReadSamplesOfIds(Dataset *dataset, const char *targets, int n, Datum *ids,
				 SampleReader read, void *arg)
{
	SampleKey  *key = &dataset->key;
	ParamListInfo params = makeParamList(1);
	/* what the ids are called must differ from what the dataset is called */
	const char *ids_alias = strcmp(dataset->alias, "ids") == 0 ? "given_ids" : "ids";
	int16		typlen;
	bool		typbyval;
	char		typalign;
	SampleQuery query = {
		.targets = psprintf("%s.position, %s", ids_alias, targets),
		.join = psprintf("JOIN pg_catalog.unnest($1) WITH ORDINALITY AS %s (id, position)"
						 " ON %s.%s %s %s.id",
						 ids_alias, dataset->alias, key->column, key->equals, ids_alias),
		.param_types = &key->array_type,
		.params = params,
		.read = read,
		.arg = arg,
	};

	if (n == 0)
		return;
	get_typlenbyvalalign(key->type, &typlen, &typbyval, &typalign);
	params->params[0].value = PointerGetDatum(construct_array(ids, n, key->type,
															  typlen, typbyval, typalign));
	params->params[0].isnull = false;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = key->array_type;
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
ReadEntriesOfIds(IndexReader *reader, const SimilarityQuery *query,
				 EntryCallback callback, void *arg)
{
	IdReading	reading = {reader, palloc0(sizeof(bool) * Max(query->n, 1)), callback, arg};

	ReadSamplesOfIds(reader->dataset, reader->targets, query->n, query->ids,
					 ReadEntryOfId, &reading);
	pfree(reading.seen);
}
