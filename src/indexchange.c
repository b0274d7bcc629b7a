/*
 * indexchange.c
 *		add_to_index() and remove_from_index().
 *
 * On a run over a column these write that column, as the caller; on a run
 * without one, brain.embeddings, for whoever may UPDATE the dataset.
 */
#include "postgres.h"

#include <math.h>

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "arguments.h"
#include "index.h"

PG_FUNCTION_INFO_V1(brain_add_to_index);
PG_FUNCTION_INFO_V1(brain_remove_from_index);

/* What add_to_index() and remove_from_index() work on. */
typedef struct IndexChange
{
	Relation	rel;
	Run		   *run;
	Dataset    *dataset;
	SimilarityQuery ids;
	EntryState *states;			/* by position */
	char	  **canonical;		/* by position; NULL: not in the dataset */
	bool	   *repeated;		/* by position: an earlier one has the same id */
	int			n_found;
	int		   *found;			/* positions in the order of their ids */
	MemoryContext context;
} IndexChange;

static void
KeepState(IndexReader *reader, int position, EntryState state, void *arg)
{
	IndexChange *change = arg;
	MemoryContext old = MemoryContextSwitchTo(change->context);

	change->states[position] = state;
	change->canonical[position] = SampleId(&reader->dataset->key, reader->id);
	MemoryContextSwitchTo(old);
}

/*
 * Only who may UPDATE the dataset changes what is stored for it.
 */
static void
RequireUpdate(Relation rel)
{
	AclResult	result = pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), ACL_UPDATE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, get_relkind_objtype(rel->rd_rel->relkind),
					   RelationGetRelationName(rel));
}

static int
ComparePositions(const void *a, const void *b, void *canonical)
{
	int			x = *(const int *) a;
	int			y = *(const int *) b;
	int			order = strcmp(((char **) canonical)[x], ((char **) canonical)[y]);

	CHECK_FOR_INTERRUPTS();
	return order ? order : (x > y) - (x < y);
}

/*
 * Put the ids into order, in which two calls at once do not wait for each other,
 * and find those that come more than once: the last one given is the last done.
 */
static void
OrderIds(IndexChange *change)
{
	change->found = palloc(sizeof(int) * Max(change->ids.n, 1));
	change->repeated = palloc0(sizeof(bool) * Max(change->ids.n, 1));
	change->n_found = 0;
	for (int i = 0; i < change->ids.n; i++)
	{
		if (change->canonical[i])
			change->found[change->n_found++] = i;
	}
	qsort_arg(change->found, change->n_found, sizeof(int), ComparePositions, change->canonical);
	for (int i = 1; i < change->n_found; i++)
		change->repeated[change->found[i]] =
			strcmp(change->canonical[change->found[i - 1]], change->canonical[change->found[i]]) == 0;
}

/*
 * Was an embedding there when the turn came to this id?
 */
static bool
Existed(const IndexChange *change, int position)
{
	return change->states[position] != ENTRY_MISSING || change->repeated[position];
}

/*
 * Does the run have a dimension and an index? Adding the first embeddings
 * changes its record, which needs the stronger lock from the start: two sessions
 * that both wanted more than a shared one would wait for each other.
 */
static bool
IsSettled(const Run *run)
{
	return run->dimensions > 0 && run->has_index;
}

/*
 * Open the run and find out what it holds for the ids. Where nothing of the
 * dataset is going to be updated its rows are locked as if it were, so that row
 * security's UPDATE policies hold and no row is deleted meanwhile. A run that
 * was cleaned up and has no column is filled anew, as in FiftyOne.
 */
static void
BeginIndexChange(IndexChange *change, FunctionCallInfo fcinfo, const char *function)
{
	IndexReader reader;
	bool		settled;
	bool		had_index;

	RequireArgument(fcinfo, 0, "samples");
	RequireArgument(fcinfo, 1, "brain_key");
	BeginWrite(function);
	change->context = CurrentMemoryContext;
	change->rel = OpenSamples(PG_GETARG_OID(0));
	change->run = FindRun(change->rel, TextArgument(fcinfo, 1), false);
	RequireVectors(change->run);
	settled = IsSettled(change->run);
	LockRuns(RelationGetRelid(change->rel), settled ? ShareLock : ExclusiveLock);
	change->run = FindRunToChange(change->rel, TextArgument(fcinfo, 1), false);
	if (settled && !IsSettled(change->run))
	{
		/* made anew while we waited; others may hold the shared lock as we do */
		UnlockRuns(RelationGetRelid(change->rel), ShareLock);
		LockRuns(RelationGetRelid(change->rel), ExclusiveLock);
		change->run = FindRunToChange(change->rel, TextArgument(fcinfo, 1), false);
	}
	had_index = change->run->has_index;
	if (change->run->embeddings_field == NULL)
	{
		RequireUpdate(change->rel);
		change->run->has_index = true;
	}
	change->dataset = UseRun(change->run, change->rel);
	change->run->has_index = had_index;
	ReadIdsArgument(fcinfo, 2, "sample_ids", change->dataset, &change->ids);

	change->states = palloc0(sizeof(EntryState) * Max(change->ids.n, 1));
	change->canonical = palloc0(sizeof(char *) * Max(change->ids.n, 1));
	OpenIndexReader(&reader, change->run, change->dataset);
	ReadEntriesOfIds(&reader, &change->ids,
					 reader.stored && DatasetIsTable(change->rel) ?
					 psprintf("FOR NO KEY UPDATE OF %s", change->dataset->name_in_query) : NULL,
					 KeepState, change);
	CloseIndexReader(&reader);
	OrderIds(change);
}

static void
EndIndexChange(IndexChange *change)
{
	relation_close(change->rel, NoLock);
	EndWrite();
}

/*
 * UPDATE the embeddings column of one sample, as the caller. Returns whether a
 * row was changed. A NULL type writes NULL.
 */
static bool
UpdateColumn(const IndexChange *change, int position, Oid type, Datum value, bool only_if_null)
{
	const Dataset *dataset = change->dataset;
	bool		is_value = OidIsValid(type);
	Oid			types[] = {dataset->key.type, is_value ? type : TEXTOID, TEXTOID};
	Datum		values[] = {
		change->ids.ids[position],
		is_value ? value : CStringGetTextDatum(""),
		CStringGetTextDatum(change->canonical[position])
	};
	StringInfoData sql;
	bool		changed;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s SET %s = %s WHERE %s %s $1",
					 dataset->from, dataset->embeddings_column,
					 is_value ? "$2" : "NULL", dataset->key.operand, dataset->key.equals);
	if (dataset->key.by_text)
		appendStringInfo(&sql, " AND (%s)::pg_catalog.text COLLATE pg_catalog.\"C\""
						 " OPERATOR(pg_catalog.=) $3", dataset->key.operand);
	if (only_if_null || !is_value)
		appendStringInfo(&sql, " AND %s.%s IS %sNULL", dataset->name_in_query,
						 dataset->embeddings_column, is_value ? "" : "NOT ");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql.data, 3, types, values, NULL, false, 0) < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s", sql.data);
	changed = SPI_processed > 0;
	SPI_finish();
	return changed;
}

/*
 * A row that can be read was not updated: row security or a trigger said no.
 */
static void
RaiseNotUpdated(const IndexChange *change, int position)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("sample \"%s\" of \"%s\" was not updated",
					change->ids.id_texts[position], change->dataset->name),
			 errhint("Row security or a trigger kept the row as it was, or it was deleted meanwhile.")));
}

/* ---------- add_to_index ---------- */

/* The vectors of a call, as they are checked and as they are stored. */
typedef struct NewEmbeddings
{
	int			n;
	Oid			type;			/* of each value: what the caller gave */
	Datum	   *values;
	VectorBuffer *vectors;
} NewEmbeddings;

/*
 * The rows of a two-dimensional array, each as an array of its element type: a
 * double precision[] column gets the caller's doubles, not their float32.
 */
static void
SplitArray(ArrayType *array, NewEmbeddings *new)
{
	ArrayIterator iterator = array_create_iterator(array, 1, NULL);
	bool		isnull;

	new->n = ARR_DIMS(array)[0];
	new->values = palloc(sizeof(Datum) * new->n);
	for (int i = 0; array_iterate(iterator, &new->values[i], &isnull); i++)
		CHECK_FOR_INTERRUPTS();
	array_free_iterator(iterator);
}

static void
RaiseNoVectors(Oid type)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("embeddings cannot be of type %s", format_type_be(type)),
			 errhint("Give a vector for one id, a two-dimensional array or an array of vectors for many.")));
}

/*
 * Take the embeddings argument apart: one value, or one for each id.
 */
static void
SplitEmbeddings(Oid type, Datum value, int n_ids, NewEmbeddings *new)
{
	Oid			base = getBaseType(type);
	Oid			element_type = get_element_type(base);
	VectorFormat format;

	new->type = base;
	new->n = 1;
	new->values = palloc(sizeof(Datum));
	new->values[0] = value;
	if (VectorFormatOfType(base, &format))
	{
		int			ndim = VectorFormatIsArray(format) ? ARR_NDIM(DatumGetArrayTypeP(value)) : 1;

		if (ndim == 2)
			SplitArray(DatumGetArrayTypeP(value), new);
		else if (ndim == 0 && n_ids == 0)
			new->n = 0;			/* no embeddings for no ids */
	}
	else if (OidIsValid(element_type) && VectorFormatOfType(element_type, &format))
	{
		int16		typlen;
		bool		typbyval;
		char		typalign;
		bool	   *nulls;

		get_typlenbyvalalign(element_type, &typlen, &typbyval, &typalign);
		deconstruct_array(DatumGetArrayTypeP(value), element_type, typlen, typbyval, typalign,
						  &new->values, &nulls, &new->n);
		for (int i = 0; i < new->n; i++)
		{
			if (nulls[i])
				ereport(ERROR,
						(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						 errmsg("embeddings must not be NULL")));
		}
		new->type = element_type;
	}
	else
		RaiseNoVectors(type);
}

/*
 * Embeddings as text, '[0.1, 0.7]' or '[[…], […]]', become real[].
 */
static void
ParseEmbeddings(const char *text, const SimilarityQuery *ids, NewEmbeddings *new)
{
	VectorBuffer buffer;
	VectorFailure failure;

	InitVectorBuffer(&buffer);
	if (!ParseVectorsText(text, &buffer, &new->n, &failure))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("\"%s\" is not a vector", ClipText(text)),
				 errhint("Vectors look like '[0.1, 0.7]'.")));
	if (failure != VECTOR_OK)
		ereport(ERROR,
				(errcode(VectorFailureSqlState(failure)),
				 ids->n == 1 ?
				 errmsg("embedding of sample \"%s\" %s", ids->id_texts[0],
						VectorFailureText(failure, 0, 0)) :
				 errmsg("embedding %s", VectorFailureText(failure, 0, 0))));
	new->type = FLOAT4ARRAYOID;
	new->values = palloc(sizeof(Datum) * new->n);
	for (int i = 0; i < new->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		new->values[i] = PointerGetDatum(VectorToArray(buffer.values + (Size) i * buffer.dim,
													   buffer.dim));
	}
}

/*
 * An integer column would round what is stored in it.
 */
static void
CheckFitsColumn(const Dataset *dataset, const VectorBuffer *vector, const char *id)
{
	if (dataset->embeddings_attno == InvalidAttrNumber || !VectorFormatIsInteger(dataset->format))
		return;
	for (int i = 0; i < vector->dim; i++)
	{
		if (vector->values[i] != rintf(vector->values[i]))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("embedding of sample \"%s\" has an element that is no integer, but column %s holds integers",
							id, dataset->embeddings_column)));
	}
}

/*
 * What a column's type cannot be assigned from, it is given as real[].
 */
static void
UseRealArrays(NewEmbeddings *new)
{
	new->type = FLOAT4ARRAYOID;
	for (int i = 0; i < new->n; i++)
		new->values[i] = PointerGetDatum(VectorToArray(new->vectors[i].values,
													   new->vectors[i].dim));
}

/*
 * Read the embeddings argument, one vector an id, and check each against the
 * run, whose dimension the first one settles where it is open.
 */
static void
ReadNewEmbeddings(FunctionCallInfo fcinfo, IndexChange *change, NewEmbeddings *new)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 3);
	Datum		value = PG_GETARG_DATUM(3);
	VectorFormat format;
	int			dimensions = change->run->dimensions;

	RequireArgument(fcinfo, 3, "embeddings");
	if (type == UNKNOWNOID)
		ParseEmbeddings(DatumGetCString(value), &change->ids, new);
	else if (TypeCategory(type) == TYPCATEGORY_STRING)
		ParseEmbeddings(CanonicalText(getBaseType(type), value), &change->ids, new);
	else
		SplitEmbeddings(type, value, change->ids.n, new);
	if (new->n != change->ids.n)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d ids were given with %d embeddings", change->ids.n, new->n)));
	if (!VectorFormatOfType(new->type, &format))
		RaiseNoVectors(type);

	new->vectors = palloc(sizeof(VectorBuffer) * Max(new->n, 1));
	for (int i = 0; i < new->n; i++)
	{
		VectorBuffer *vector = &new->vectors[i];
		VectorFailure failure;

		CHECK_FOR_INTERRUPTS();
		InitVectorBuffer(vector);
		failure = ReadVector(format, new->values[i], vector);
		if (failure == VECTOR_OK)
			failure = CheckVector(vector, change->run->metric, dimensions);
		if (failure != VECTOR_OK)
			ereport(ERROR,
					(errcode(VectorFailureSqlState(failure)),
					 errmsg("embedding of sample \"%s\" %s", change->ids.id_texts[i],
							VectorFailureText(failure, vector->dim, dimensions))));
		dimensions = vector->dim;
		CheckFitsColumn(change->dataset, vector, change->ids.id_texts[i]);
	}
	if (change->run->embeddings_field &&
		!can_coerce_type(1, &new->type, &change->dataset->embeddings_type, COERCION_ASSIGNMENT))
		UseRealArrays(new);
}

static void
RaiseUnknownSamples(const IndexChange *change)
{
	int			n;
	char	   *list = ListMissingIds(&change->ids, change->canonical, &n);

	if (n == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg_plural("sample id is not in \"%s\": %s", "sample ids are not in \"%s\": %s",
						   n, change->dataset->name, list),
			 errhint("An embedding belongs to a row of the dataset%s. Insert the row first.",
					 change->dataset->filter ? _(" that fits the run's filter") : "")));
}

/*
 * What FiftyOne's documentation says of ids that exist: replaced; or without
 * overwrite skipped, or where that is not allowed, an error.
 */
static void
RefuseExisting(const IndexChange *change, bool overwrite, bool allow_existing)
{
	int64		n = 0;
	const char *example = NULL;

	if (overwrite || allow_existing)
		return;
	for (int i = 0; i < change->ids.n; i++)
	{
		if (Existed(change, i) && n++ == 0)
			example = change->ids.id_texts[i];
	}
	if (n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg_plural("%lld id is already in brain run \"%s\" of \"%s\", for example \"%s\"",
							   "%lld ids are already in brain run \"%s\" of \"%s\", for example \"%s\"",
							   (unsigned long) n, (long long) n, change->run->brain_key,
							   change->dataset->name, example)));
}

static void
WarnOfExisting(const IndexChange *change, int64 n, bool overwrite)
{
	const char *brain_key = change->run->brain_key;
	const char *name = change->dataset->name;

	if (n == 0)
		return;
	ereport(WARNING,
			(overwrite ?
			 errmsg_plural("overwriting %lld id that already exists in brain run \"%s\" of \"%s\"",
						   "overwriting %lld ids that already exist in brain run \"%s\" of \"%s\"",
						   (unsigned long) n, (long long) n, brain_key, name) :
			 errmsg_plural("skipping %lld id that already exists in brain run \"%s\" of \"%s\"",
						   "skipping %lld ids that already exist in brain run \"%s\" of \"%s\"",
						   (unsigned long) n, (long long) n, brain_key, name)));
}

static StoreResult
AddOne(IndexChange *change, int position, NewEmbeddings *new, bool overwrite)
{
	if (change->run->embeddings_field == NULL)
		return StoreEmbedding(change->run, change->canonical[position],
							  &new->vectors[position], overwrite);
	if (!UpdateColumn(change, position, new->type, new->values[position], !overwrite))
	{
		if (overwrite)
			RaiseNotUpdated(change, position);
		return STORED_NOT;
	}
	return Existed(change, position) ? STORED_OVER : STORED_NEW;
}

/*
 * Record what adding makes of the run: its dimension, and that it has an index.
 */
static void
SettleRun(IndexChange *change, int dimensions)
{
	Run		   *run = change->run;

	if (IsSettled(run))
		return;
	run->dimensions = dimensions;
	run->has_index = true;
	UpdateRun(run);
}

static Datum
CountsResult(FunctionCallInfo fcinfo, int n, const int64 *counts)
{
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; i < n; i++)
		values[i] = Int64GetDatum(counts[i]);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * SQL: brain.add_to_index(samples regclass, brain_key text, sample_ids "any",
 * embeddings "any", overwrite boolean, allow_existing boolean, warn_existing
 * boolean) returns record (inserted bigint, updated bigint, skipped bigint).
 *
 * Errors: 42704 no such run; 55000 it cannot be used; P0002 ids that are not in
 * the dataset; 23505 existing ids that are not allowed; 22000, 22003, 22004,
 * 2202E, 54000 a bad embedding; 42501 no right to UPDATE.
 */
Datum
brain_add_to_index(PG_FUNCTION_ARGS)
{
	bool		overwrite = BoolArgument(fcinfo, 4, true);
	IndexChange change;
	NewEmbeddings new;
	int64		counts[3] = {0};
	int64		n_existing;

	BeginIndexChange(&change, fcinfo, "add_to_index()");
	ReadNewEmbeddings(fcinfo, &change, &new);
	RaiseUnknownSamples(&change);
	RefuseExisting(&change, overwrite, BoolArgument(fcinfo, 5, true));
	if (new.n > 0)
		SettleRun(&change, new.vectors[0].dim);
	for (int i = 0; i < change.n_found; i++)
	{
		CHECK_FOR_INTERRUPTS();
		counts[AddOne(&change, change.found[i], &new, overwrite)]++;
	}
	n_existing = counts[STORED_OVER] + counts[STORED_NOT];
	if (BoolArgument(fcinfo, 6, false))
		WarnOfExisting(&change, n_existing, overwrite);
	EndIndexChange(&change);
	PG_RETURN_DATUM(CountsResult(fcinfo, 3, counts));
}

/* ---------- remove_from_index ---------- */

/*
 * Remove the embedding of one id; false when it had none.
 */
static bool
RemoveOne(IndexChange *change, int position)
{
	if (change->run->embeddings_field == NULL)
		return RemoveEmbedding(change->run, change->canonical[position]);
	if (UpdateColumn(change, position, InvalidOid, (Datum) 0, false))
		return true;
	if (change->states[position] != ENTRY_MISSING && !change->repeated[position])
		RaiseNotUpdated(change, position);
	return false;
}

/*
 * A stored embedding outlives its sample. It can be removed by who sees all rows
 * there are: for anybody else the sample may just be hidden.
 */
static bool
RemoveLeftOver(IndexChange *change, int position)
{
	SampleKey  *key = &change->dataset->key;

	return change->run->embeddings_field == NULL && DatasetIsTable(change->rel) &&
		check_enable_rls(RelationGetRelid(change->rel), InvalidOid, true) != RLS_ENABLED &&
		RemoveEmbedding(change->run, SampleId(key, change->ids.ids[position]));
}

/*
 * SQL: brain.remove_from_index(samples regclass, brain_key text, sample_ids
 * "any", allow_missing boolean, warn_missing boolean) returns record (removed
 * bigint, missing bigint). Errors as add_to_index(); P0002 missing ids that are
 * not allowed.
 */
Datum
brain_remove_from_index(PG_FUNCTION_ARGS)
{
	IndexChange change;
	int64		counts[2] = {0};	/* removed, missing */
	const char *example = NULL;
	bool	   *removed;

	BeginIndexChange(&change, fcinfo, "remove_from_index()");
	removed = palloc0(sizeof(bool) * Max(change.ids.n, 1));
	for (int i = 0; i < change.n_found; i++)
	{
		CHECK_FOR_INTERRUPTS();
		removed[change.found[i]] = RemoveOne(&change, change.found[i]);
	}
	for (int i = 0; i < change.ids.n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (change.canonical[i] == NULL)
			removed[i] = RemoveLeftOver(&change, i);
		if (!removed[i] && counts[1] == 0)
			example = change.ids.id_texts[i];
		counts[removed[i] ? 0 : 1]++;
	}
	ReportMissing(change.run, change.dataset, counts[1], example,
				  BoolArgument(fcinfo, 3, true), BoolArgument(fcinfo, 4, false));
	EndIndexChange(&change);
	PG_RETURN_DATUM(CountsResult(fcinfo, 2, counts));
}
