/*
 * embeddings.c
 *		get_embeddings(): what an index holds.
 */
#include "postgres.h"

#include "access/relation.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "arguments.h"
#include "index.h"

PG_FUNCTION_INFO_V1(brain_get_embeddings);
PG_FUNCTION_INFO_V1(brain_get_all_embeddings);

static void
PutEmbedding(ReturnSetInfo *rsinfo, char *sample_id, ArrayType *embedding)
{
	Datum		values[3] = {CStringGetTextDatum(sample_id), (Datum) 0, PointerGetDatum(embedding)};
	bool		nulls[3] = {false, true, false};

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

typedef struct KeptEmbeddings
{
	char	  **ids;
	ArrayType **embeddings;
	MemoryContext context;
} KeptEmbeddings;

static void
KeepEmbedding(IndexReader *reader, int position, EntryState state, void *arg)
{
	KeptEmbeddings *kept = arg;
	MemoryContext old;

	if (state != ENTRY_OK)
		return;
	old = MemoryContextSwitchTo(kept->context);
	kept->ids[position] = SampleId(&reader->dataset->key, reader->id);
	kept->embeddings[position] = VectorToArray(reader->vector.values, reader->vector.dim);
	MemoryContextSwitchTo(old);
}

/*
 * SQL: brain.get_embeddings(samples regclass, brain_key text, ids "any",
 * allow_missing boolean, warn_missing boolean) returns table (sample_id text,
 * label_id text, embedding real[]), in the order of the ids. Errors: 42704 no
 * such run; 55000 it cannot be used; P0002 missing ids that are not allowed.
 */
Datum
brain_get_embeddings(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	rel;
	Run		   *run;
	Dataset    *dataset;
	SimilarityQuery ids;
	IndexReader reader;
	KeptEmbeddings kept;
	int64		n_missing = 0;
	const char *example = NULL;

	RequireArgument(fcinfo, 0, "samples");
	RequireArgument(fcinfo, 1, "brain_key");
	InitMaterializedSRF(fcinfo, 0);
	rel = OpenSamples(PG_GETARG_OID(0));
	run = FindRun(rel, TextArgument(fcinfo, 1), false);
	dataset = UseRun(run, rel);
	ReadIdsArgument(fcinfo, 2, "ids", dataset, &ids);

	kept.ids = palloc0(sizeof(char *) * Max(ids.n, 1));
	kept.embeddings = palloc0(sizeof(ArrayType *) * Max(ids.n, 1));
	kept.context = CurrentMemoryContext;
	OpenIndexReader(&reader, run, dataset);
	ReadEntriesOfIds(&reader, &ids, NULL, KeepEmbedding, &kept);
	CloseIndexReader(&reader);
	for (int i = 0; i < ids.n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (kept.embeddings[i])
			PutEmbedding(rsinfo, kept.ids[i], kept.embeddings[i]);
		else if (n_missing++ == 0)
			example = ids.id_texts[i];
	}
	ReportMissing(run, dataset, n_missing, example,
				  BoolArgument(fcinfo, 3, true), BoolArgument(fcinfo, 4, false));
	relation_close(rel, NoLock);
	return (Datum) 0;
}

typedef struct AllEmbeddings
{
	IndexReader reader;
	ReturnSetInfo *rsinfo;
} AllEmbeddings;

static void
PutEntry(TupleTableSlot *slot, void *arg)
{
	AllEmbeddings *all = arg;
	IndexReader *reader = &all->reader;

	switch (ReadEntry(reader, slot, 1))
	{
		case ENTRY_OK:
			PutEmbedding(all->rsinfo, SampleId(&reader->dataset->key, reader->id),
						 VectorToArray(reader->vector.values, reader->vector.dim));
			break;
		case ENTRY_BAD:
			LeaveOut(reader);
			break;
		case ENTRY_MISSING:
			break;
	}
}

/*
 * SQL: brain.get_embeddings(samples regclass, brain_key text) returns table
 * (sample_id text, label_id text, embedding real[]): the whole index.
 */
Datum
brain_get_all_embeddings(PG_FUNCTION_ARGS)
{
	AllEmbeddings all = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo};
	SampleQuery query = {.read = PutEntry, .arg = &all};
	Relation	rel;
	Run		   *run;

	RequireArgument(fcinfo, 0, "samples");
	RequireArgument(fcinfo, 1, "brain_key");
	InitMaterializedSRF(fcinfo, 0);
	rel = OpenSamples(PG_GETARG_OID(0));
	run = FindRun(rel, TextArgument(fcinfo, 1), false);
	RequireVectors(run);
	OpenIndexReader(&all.reader, run, UseRun(run, rel));
	query.targets = all.reader.targets;
	ReadSamples(all.reader.dataset, &query);
	CloseIndexReader(&all.reader);
	WarnOfLeftOut(&all.reader, fcinfo->flinfo);
	relation_close(rel, NoLock);
	return (Datum) 0;
}
