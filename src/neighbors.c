/*
 * neighbors.c
 *		brain.neighbors(): the nearest neighbours of every sample.
 *
 * Works on a matrix: the run's base where that is all that the caller sees, else
 * one of its own, written from the dataset as the caller sees it, and gone with
 * the call. Reading the dataset once is nothing beside all pairs of its rows.
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
#include "build.h"
#include "exact/batch.h"
#include "search.h"

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

typedef struct OwnMatrix
{
	MatrixWriter *writer;
	IndexReader reader;
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

/*
 * Write what the caller sees of the dataset into a matrix of our own.
 */
static Base *
WriteOwnMatrix(Neighbors *neighbors)
{
	Search	   *search = &neighbors->search;
	OwnMatrix	own = {0};
	SampleQuery query = {.filter = search->arguments.filter, .read = WriteEntry, .arg = &own};
	Base	   *base;

	if (!DatasetIsTable(search->rel))
		CheckUniqueIds(search->dataset);
	own.writer = BeginMatrix(&search->run->id, NewUuid(), false, search->run->metric, NULL);
	OpenIndexReader(&own.reader, search->run, search->dataset);
	query.targets = own.reader.targets;
	ReadSamples(search->dataset, &query);
	CloseIndexReader(&own.reader);
	WarnOfLeftOut(&own.reader, search->flinfo);
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
PutNeighbors(int64 row, const MatrixNeighbor *found, int n, void *arg)
{
	Neighbors  *neighbors = arg;
	Datum		id = CStringGetTextDatum(IdOfRow(neighbors->base, row));

	for (int i = 0; i < n; i++)
	{
		Datum		values[5];
		bool		nulls[5] = {false};

		values[0] = id;
		values[1] = Int32GetDatum(i + 1);
		values[2] = CStringGetTextDatum(IdOfRow(neighbors->base, found[i].row));
		values[3] = Float8GetDatum(found[i].distance);
		values[4] = Float8GetDatum(found[i].score);
		tuplestore_putvalues(neighbors->rsinfo->setResult, neighbors->rsinfo->setDesc, values, nulls);
		pfree(DatumGetPointer(values[2]));
	}
	pfree(DatumGetPointer(id));
}

static void
FindAllNeighbors(void *arg)
{
	Neighbors  *neighbors = arg;
	Base	   *base = neighbors->base;

	(void) DeadRows(base);
	if (base->n_live > 0)
		AllNeighbors(base->parts, base->n_files, base->metric, neighbors->k,
					 neighbors->max_distance, WORKING_MEMORY, CompareIdsOfRows, PutNeighbors, neighbors);
}

/*
 * SQL: brain.neighbors(samples regclass, brain_key text, k integer, max_distance
 * double precision, filter text, options jsonb) returns table (sample_id text,
 * rank integer, neighbor_id text, distance double precision, score double
 * precision).
 *
 * Errors: 42704 no such run; 55000 it cannot be used; 22023 other arguments;
 * 21000 an id twice; 53000 there is no room for a matrix.
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
	CheckNoOptions(JsonbArgument(fcinfo, 5));
	InitMaterializedSRF(fcinfo, 0);
	search->flinfo = fcinfo->flinfo;
	search->arguments.filter = TextArgument(fcinfo, 4);
	search->rel = OpenSamples(PG_GETARG_OID(0));
	search->run = FindRun(search->rel, TextArgument(fcinfo, 1), false);
	search->dataset = UseRun(search->run, search->rel);
	RequireVectors(search->run);

	neighbors.base = FindWholeBase(search);
	if (neighbors.base == NULL || !WithMapping(neighbors.base, FindAllNeighbors, &neighbors))
	{
		/* there is none for us, or it was cut on the way */
		tuplestore_clear(neighbors.rsinfo->setResult);
		neighbors.base = WriteOwnMatrix(&neighbors);
		if (!WithMapping(neighbors.base, FindAllNeighbors, &neighbors))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("a matrix file was damaged while it was in use")));
	}
	relation_close(search->rel, NoLock);
	return (Datum) 0;
}
