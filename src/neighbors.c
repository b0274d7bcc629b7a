/*
 * neighbors.c
 *		brain.neighbors(): the nearest neighbours of every sample.
 *
 * Works on a matrix: the run's base where that is all that the caller sees, else
 * one of its own, written from the dataset as the caller sees it, and gone with
 * the call. Reading the dataset once is nothing beside all pairs of its rows. Of
 * many samples a Milvus server is asked which are near, where the run has one
 * (collectionneighbors.c); the matrix says how far away they are.
 */
#include "postgres.h"

#include <math.h>

#include "access/relation.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "arguments.h"
#include "basesearch.h"
#include "build.h"
#include "exact/batch.h"
#include "milvus/attach.h"
#include "milvus_brain.h"

PG_FUNCTION_INFO_V1(brain_neighbors);

/* Beside work_mem, which is the result's. */
#define WORKING_MEMORY (48 * 1024 * 1024)

typedef struct Neighbors
{
	Search		search;			/* run, dataset, filter */
	Base	   *base;
	int			k;
	double		max_distance;
	ReturnSetInfo *rsinfo;
} Neighbors;

/* ---------- the matrix ---------- */

/* How many vectors are fetched at once, where a collection has them. */
#define MAX_FETCHED 1000

typedef struct OwnMatrix
{
	MatrixWriter *writer;
	IndexReader reader;
	int			n_ids;			/* whose vectors are still to be fetched */
	char	   *ids[MAX_FETCHED];
	MemoryContext context;		/* owns ids */
} OwnMatrix;

static void
WriteEntry(TupleTableSlot *slot, void *arg)
{
	OwnMatrix  *own = arg;
	IndexReader *reader = &own->reader;

	switch (ReadEntry(reader, slot, 1))
	{
		case ENTRY_OK:
			/* a run without a dimension takes that of the first */
			reader->dimensions = reader->vector.dim;
			AddMatrixRow(own->writer, SampleId(&reader->dataset->key, reader->id),
						 reader->vector.values, reader->vector.dim);
			break;
		case ENTRY_BAD:
			LeaveOut(reader);
			break;
		case ENTRY_MISSING:
			break;
	}
}

static void
WriteFetched(OwnMatrix *own)
{
	IndexReader *reader = &own->reader;
	VectorBuffer *vector = &reader->vector;

	FetchAttachedVectors(reader->attached, own->ids, own->n_ids);
	for (int i = 0; i < own->n_ids; i++)
	{
		VectorFailure failure;

		if (!FindAttachedVector(reader->attached, own->ids[i], vector))
			continue;
		failure = CheckVector(vector, reader->run->metric, reader->dimensions);
		if (failure == VECTOR_OK)
			AddMatrixRow(own->writer, own->ids[i], vector->values, vector->dim);
		else
			LeaveOutSample(reader, own->ids[i], failure, vector->dim);
	}
	own->n_ids = 0;
	MemoryContextReset(own->context);
}

static void
NoteId(TupleTableSlot *slot, void *arg)
{
	OwnMatrix  *own = arg;
	bool		isnull;
	Datum		id = slot_getattr(slot, 1, &isnull);
	MemoryContext old = MemoryContextSwitchTo(own->context);

	if (!isnull)
		own->ids[own->n_ids++] = SampleId(&own->reader.dataset->key, id);
	MemoryContextSwitchTo(old);
	if (own->n_ids == MAX_FETCHED)
		WriteFetched(own);
}

static void
ReadIntoMatrix(OwnMatrix *own, const Search *search)
{
	IndexReader *reader = &own->reader;
	SampleQuery query = {.filter = search->arguments.filter, .read = WriteEntry, .arg = own};

	OpenIndexReader(reader, search->run, search->dataset);
	query.targets = reader->targets;
	if (reader->attached)
	{
		own->context = AllocSetContextCreate(CurrentMemoryContext, "ids to be fetched", ALLOCSET_DEFAULT_SIZES);
		query.read = NoteId;
	}
	ReadSamples(search->dataset, &query);
	if (own->n_ids > 0)
		WriteFetched(own);
	CloseIndexReader(reader);
	WarnOfLeftOut(reader, search->flinfo);
}

/*
 * Write what the caller sees of the dataset into a matrix of our own.
 */
static Base *
WriteOwnMatrix(Neighbors *neighbors)
{
	Search	   *search = &neighbors->search;
	OwnMatrix	own = {0};
	Base	   *base;

	if (!DatasetIsTable(search->rel))
		CheckUniqueIds(search->dataset);
	own.writer = BeginMatrix(&search->run->id, NewUuid(), false, search->run->metric, NULL);
	ReadIntoMatrix(&own, search);
	(void) FinishMatrix(own.writer, NULL);
	base = OpenUnpublished(own.writer);
	if (base == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not make a matrix of \"%s\"", search->dataset->name),
				 errdetail("%s", MatrixFailure(own.writer))));
	AbandonMatrix(own.writer);
	return base;
}

/* ---------- the result ---------- */

static int
CompareIdsOfRows(int64 a, int64 b, void *arg)
{
	Neighbors  *neighbors = arg;

	return strcmp(IdOfRow(neighbors->base, a), IdOfRow(neighbors->base, b));
}

static void
PutNeighbor(const Neighbors *neighbors, Datum id, int rank, const char *neighbor_id, double distance, double score)
{
	Datum		values[5];
	bool		nulls[5] = {false};

	values[0] = id;
	values[1] = Int32GetDatum(rank);
	values[2] = CStringGetTextDatum(neighbor_id);
	values[3] = Float8GetDatum(distance);
	values[4] = Float8GetDatum(score);
	tuplestore_putvalues(neighbors->rsinfo->setResult, neighbors->rsinfo->setDesc, values, nulls);
	pfree(DatumGetPointer(values[2]));
}

static void
PutNeighborsOfRow(int64 row, const MatrixNeighbor *found, int n, void *arg)
{
	Neighbors  *neighbors = arg;
	Datum		id = CStringGetTextDatum(IdOfRow(neighbors->base, row));

	for (int i = 0; i < n; i++)
		PutNeighbor(neighbors, id, i + 1, IdOfRow(neighbors->base, found[i].row), found[i].distance, found[i].score);
	pfree(DatumGetPointer(id));
}

static void
PutNeighborsOfSample(const char *id, const Nearest *found, void *arg)
{
	Datum		datum = CStringGetTextDatum(id);

	for (int i = 0; i < found->n; i++)
		PutNeighbor(arg, datum, i + 1, found->items[i].id, found->items[i].distance, found->items[i].score);
	pfree(DatumGetPointer(datum));
}

static void
FindAllNeighbors(void *arg)
{
	Neighbors  *neighbors = arg;
	Base	   *base = neighbors->base;

	(void) DeadRows(base);
	if (base->n_live > 0)
		AllNeighbors(base->parts, base->n_files, base->metric, neighbors->k,
					 neighbors->max_distance, WORKING_MEMORY, CompareIdsOfRows, PutNeighborsOfRow, neighbors);
}

/*
 * From the run's base, where that is all that the caller sees.
 */
static bool
FindInWholeBase(Neighbors *neighbors)
{
	neighbors->base = FindWholeBase(&neighbors->search);
	return neighbors->base && WithMapping(neighbors->base, FindAllNeighbors, neighbors);
}

/*
 * Of a run whose base is a collection, from there.
 */
static bool
FindInCollection(Neighbors *neighbors)
{
	return neighbors->search.from_base &&
		NeighborsFromCollection(neighbors->search.from_base, neighbors->base, neighbors->k,
								neighbors->max_distance, PutNeighborsOfSample, neighbors);
}

static void
FindInMapping(void *arg)
{
	Neighbors  *neighbors = arg;

	if (FindInCollection(neighbors))
		return;
	/* some may have been found before that failed, or the base was cut */
	tuplestore_clear(neighbors->rsinfo->setResult);
	FindAllNeighbors(neighbors);
}

/*
 * From a matrix of what the caller sees.
 */
static void
FindInOwnMatrix(Neighbors *neighbors)
{
	neighbors->base = WriteOwnMatrix(neighbors);
	if (!WithMapping(neighbors->base, FindInMapping, neighbors))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a matrix file was damaged while it was in use")));
}

/*
 * SQL: brain.neighbors(samples regclass, brain_key text, k integer, max_distance
 * double precision, filter text, options jsonb) returns table (sample_id text,
 * rank integer, neighbor_id text, distance double precision, score double
 * precision). options are those of a search.
 *
 * Errors: 42704 no such run; 55000 it cannot be used; 22023 other arguments;
 * 21000 an id twice; 53000 there is no room for a matrix; those of a Milvus server
 * under brain.on_backend_failure = error, or where only it has the vectors.
 */
Datum
brain_neighbors(PG_FUNCTION_ARGS)
{
	Neighbors	neighbors = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo};
	Search	   *search = &neighbors.search;

	RequireArgument(fcinfo, 0, "samples");
	RequireArgument(fcinfo, 1, "brain_key");
	RequireArgument(fcinfo, 2, "k");
	neighbors.k = PG_GETARG_INT32(2);
	neighbors.max_distance = PG_ARGISNULL(3) ? INFINITY : PG_GETARG_FLOAT8(3);
	if (neighbors.k < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k must be at least 1")));
	if (isnan(neighbors.max_distance))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_distance must be a number")));
	InitMaterializedSRF(fcinfo, 0);
	search->flinfo = fcinfo->flinfo;
	search->arguments.filter = TextArgument(fcinfo, 4);
	search->rel = OpenSamples(PG_GETARG_OID(0));
	search->run = FindRun(search->rel, TextArgument(fcinfo, 1), false);
	search->dataset = UseRun(search->run, search->rel);
	search->backend = FindBackend(search->run->backend);
	search->backend->check_options(JsonbArgument(fcinfo, 5));
	search->run->options = JsonbArgument(fcinfo, 5);

	if (search->backend->searches_untracked)
		FindSearchBase(search);
	if (search->from_base || !FindInWholeBase(&neighbors))
		FindInOwnMatrix(&neighbors);
	relation_close(search->rel, NoLock);
	return (Datum) 0;
}
