/*
 * vectors.c
 *		One vector: reading every accepted type, checking it.
 *
 * An embedding is its elements rounded to float32. Nothing here raises an error
 * for a bad value: callers decide whether it stops a build, is skipped, or is
 * left out of a search.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "vectors.h"

/*
 * pgvector's storage, from its src/vector.h and src/halfvec.h: a varlena
 * header, the number of dimensions, an unused field, then the elements (float32
 * or IEEE half). The same since its first release.
 */
typedef struct PgVector
{
	int32		vl_len_;
	int16		dim;
	int16		unused;
	char		elements[FLEXIBLE_ARRAY_MEMBER];
} PgVector;

/*
 * Can values of this type be embeddings, and how are they stored? Domains are
 * looked through. pgvector's types are known by their name and by belonging to
 * its extension, wherever that is installed.
 */
bool
VectorFormatOfType(Oid type, VectorFormat *format)
{
	Oid			extension;
	HeapTuple	tuple;
	NameData	name;

	type = getBaseType(type);
	switch (type)
	{
		case FLOAT4ARRAYOID:
			*format = VECTOR_FLOAT4_ARRAY;
			return true;
		case FLOAT8ARRAYOID:
			*format = VECTOR_FLOAT8_ARRAY;
			return true;
		case NUMERICARRAYOID:
			*format = VECTOR_NUMERIC_ARRAY;
			return true;
		case INT2ARRAYOID:
			*format = VECTOR_INT2_ARRAY;
			return true;
		case INT4ARRAYOID:
			*format = VECTOR_INT4_ARRAY;
			return true;
		case INT8ARRAYOID:
			*format = VECTOR_INT8_ARRAY;
			return true;
	}

	if (type < FirstNormalObjectId)
		return false;
	extension = getExtensionOfObject(TypeRelationId, type);
	if (!OidIsValid(extension) || extension != get_extension_oid("vector", true))
		return false;
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		return false;
	name = ((Form_pg_type) GETSTRUCT(tuple))->typname;
	ReleaseSysCache(tuple);
	if (strcmp(NameStr(name), "vector") == 0)
		*format = VECTOR_PGVECTOR;
	else if (strcmp(NameStr(name), "halfvec") == 0)
		*format = VECTOR_HALFVEC;
	else
		return false;
	return true;
}

bool
VectorFormatIsInteger(VectorFormat format)
{
	return format == VECTOR_INT2_ARRAY || format == VECTOR_INT4_ARRAY ||
		format == VECTOR_INT8_ARRAY;
}

bool
VectorFormatIsArray(VectorFormat format)
{
	return format != VECTOR_PGVECTOR && format != VECTOR_HALFVEC;
}

void
InitVectorBuffer(VectorBuffer *buffer)
{
	buffer->values = NULL;
	buffer->dim = 0;
	buffer->capacity = 0;
	buffer->squared_norm = 0;
	buffer->context = CurrentMemoryContext;
}

static void
ReserveElements(VectorBuffer *buffer, int n)
{
	if (n <= buffer->capacity)
		return;
	if (buffer->values)
		pfree(buffer->values);
	buffer->values = MemoryContextAlloc(buffer->context, mul_size(sizeof(float), n));
	buffer->capacity = n;
}

/*
 * Take dim values that are float32 already.
 */
void
TakeVector(VectorBuffer *buffer, const float *values, int dim)
{
	ReserveElements(buffer, dim);
	memcpy(buffer->values, values, sizeof(float) * dim);
	buffer->dim = dim;
}

/*
 * IEEE half to float32; exact.
 */
static float
HalfToFloat(uint16 half)
{
	int			exponent = (half >> 10) & 0x1F;
	int			mantissa = half & 0x3FF;
	float		value;

	if (exponent == 31)
		value = mantissa ? NAN : INFINITY;
	else if (exponent == 0)
		value = ldexpf((float) mantissa, -24);
	else
		value = ldexpf((float) (mantissa | 0x400), exponent - 25);
	return (half & 0x8000) ? -value : value;
}

/*
 * Round to float32. What overflows there is a failure; what underflows becomes
 * 0, as rounding does.
 */
static VectorFailure
RoundElement(double wide, float *value)
{
	*value = (float) wide;
	if (isnan(wide))
		return VECTOR_NAN;
	if (isinf(wide))
		return VECTOR_INFINITE;
	if (isinf(*value))
		return VECTOR_OUT_OF_RANGE;
	return VECTOR_OK;
}

/*
 * A numeric goes through its text, as its cast to real does: by way of a double
 * it would be rounded twice.
 */
static VectorFailure
ReadNumericElement(Datum numeric, float *value)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, numeric));

	*value = strtof(text, NULL);
	if (isnan(*value))
		return VECTOR_NAN;
	if (isinf(*value))
		return strstr(text, "Inf") ? VECTOR_INFINITE : VECTOR_OUT_OF_RANGE;
	pfree(text);
	return VECTOR_OK;
}

static VectorFailure
ReadNumericElements(ArrayType *array, float *values)
{
	ArrayIterator iterator = array_create_iterator(array, 0, NULL);
	VectorFailure failure = VECTOR_OK;
	Datum		element;
	bool		isnull;

	while (failure == VECTOR_OK && array_iterate(iterator, &element, &isnull))
	{
		CHECK_FOR_INTERRUPTS();
		failure = ReadNumericElement(element, values++);
	}
	array_free_iterator(iterator);
	return failure;
}

/*
 * Are all values finite? The first loop has no way out, so that it is
 * vectorised: with one, it took longer than the distance.
 */
static VectorFailure
CheckFinite(const float *values, int n)
{
	int			all_finite = 1;

	for (int i = 0; i < n; i++)
		all_finite &= (fabsf(values[i]) <= FLT_MAX);
	if (all_finite)
		return VECTOR_OK;
	for (int i = 0; i < n; i++)
	{
		if (isnan(values[i]))
			return VECTOR_NAN;
	}
	return VECTOR_INFINITE;
}

/*
 * n elements without NULLs from data, which may be unaligned for no type that
 * comes here: array data begin at MAXALIGN, pgvector's at 8 bytes.
 */
static VectorFailure
ReadElements(VectorFormat format, const void *data, int n, float *values)
{
	VectorFailure failure = VECTOR_OK;

	switch (format)
	{
		case VECTOR_FLOAT4_ARRAY:
		case VECTOR_PGVECTOR:
			memcpy(values, data, sizeof(float) * n);
			break;
		case VECTOR_HALFVEC:
			for (int i = 0; i < n; i++)
				values[i] = HalfToFloat(((const uint16 *) data)[i]);
			break;
		case VECTOR_FLOAT8_ARRAY:
			for (int i = 0; i < n && failure == VECTOR_OK; i++)
				failure = RoundElement(((const float8 *) data)[i], &values[i]);
			return failure;
		case VECTOR_INT2_ARRAY:
			for (int i = 0; i < n; i++)
				values[i] = (float) ((const int16 *) data)[i];
			return VECTOR_OK;
		case VECTOR_INT4_ARRAY:
			for (int i = 0; i < n; i++)
				values[i] = (float) ((const int32 *) data)[i];
			return VECTOR_OK;
		case VECTOR_INT8_ARRAY:
			for (int i = 0; i < n; i++)
				values[i] = (float) ((const int64 *) data)[i];
			return VECTOR_OK;
		case VECTOR_NUMERIC_ARRAY:
			pg_unreachable();	/* variable length: ReadNumericElements */
	}

	return CheckFinite(values, n);
}

static VectorFailure
ReadPgVector(VectorFormat format, Datum value, VectorBuffer *buffer)
{
	PgVector   *vector = (PgVector *) PG_DETOAST_DATUM(value);

	buffer->dim = vector->dim;
	if (vector->dim < 1)
		return VECTOR_EMPTY;
	/* an int16 cannot exceed MAX_DIMENSIONS */
	ReserveElements(buffer, vector->dim);
	return ReadElements(format, vector->elements, vector->dim, buffer->values);
}

/*
 * The array's rows (one, when it has one dimension) as count vectors of
 * buffer->dim values each.
 */
static VectorFailure
ReadArray(VectorFormat format, Datum value, int max_rows, VectorBuffer *buffer, int *count)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int			ndim = ARR_NDIM(array);
	int			n;

	*count = 0;
	buffer->dim = 0;
	if (ndim == 0)
		return VECTOR_EMPTY;
	if (ndim > 2 || (ndim == 2 && max_rows == 1))
		return VECTOR_NOT_ONE_DIMENSIONAL;
	*count = (ndim == 2) ? ARR_DIMS(array)[0] : 1;
	buffer->dim = ARR_DIMS(array)[ndim - 1];
	if (buffer->dim > MAX_DIMENSIONS)
		return VECTOR_TOO_LONG;
	if (max_rows > 0 && *count > max_rows)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many vectors in one call: %d", *count),
				 errdetail("At most %d are allowed.", max_rows)));
	if (array_contains_nulls(array))
		return VECTOR_NULL_ELEMENT;

	n = ArrayGetNItems(ndim, ARR_DIMS(array));
	ReserveElements(buffer, n);
	if (format == VECTOR_NUMERIC_ARRAY)
		return ReadNumericElements(array, buffer->values);
	return ReadElements(format, ARR_DATA_PTR(array), n, buffer->values);
}

/*
 * Read one vector. Detoasted copies stay in the current memory context: run
 * this in a short-lived one.
 */
VectorFailure
ReadVector(VectorFormat format, Datum value, VectorBuffer *buffer)
{
	int			count;

	if (!VectorFormatIsArray(format))
		return ReadPgVector(format, value, buffer);
	return ReadArray(format, value, 1, buffer, &count);
}

/*
 * Read one vector, or the rows of a two-dimensional array: count vectors one
 * after the other in buffer->values, at most MAX_QUERY_VECTORS.
 */
VectorFailure
ReadVectors(VectorFormat format, Datum value, VectorBuffer *buffer, int *count)
{
	*count = 1;
	if (!VectorFormatIsArray(format))
		return ReadPgVector(format, value, buffer);
	return ReadArray(format, value, MAX_QUERY_VECTORS, buffer, count);
}

/* State of ParseVectorsText. */
typedef struct VectorParser
{
	const char *next;
	VectorBuffer *buffer;
	int			n;				/* elements read so far */
	VectorFailure failure;
} VectorParser;

static void
SkipSpace(VectorParser *parser)
{
	while (scanner_isspace(*parser->next))
		parser->next++;
}

static bool
ParseElement(VectorParser *parser)
{
	VectorBuffer *buffer = parser->buffer;
	char	   *end;
	double		wide;
	float		value;

	if (pg_strncasecmp(parser->next, "null", 4) == 0)
	{
		parser->next += 4;
		parser->failure = VECTOR_NULL_ELEMENT;
		return true;
	}
	/* strtof rounds once; strtod tells what float32 cannot hold */
	errno = 0;
	wide = strtod(parser->next, &end);
	if (end == parser->next)
		return false;
	if (isinf(wide) && errno == ERANGE)
		wide = FLT_MAX * 2.0;	/* finite, and out of range too */
	value = strtof(parser->next, NULL);
	parser->next = end;
	if (isnan(wide))
		parser->failure = VECTOR_NAN;
	else if (isinf(value))
		parser->failure = isinf(wide) ? VECTOR_INFINITE : VECTOR_OUT_OF_RANGE;

	if (parser->n == buffer->capacity)
	{
		buffer->capacity = Max(64, buffer->capacity * 2);
		buffer->values = buffer->values ?
			repalloc_huge(buffer->values, sizeof(float) * buffer->capacity) :
			MemoryContextAlloc(buffer->context, sizeof(float) * buffer->capacity);
	}
	buffer->values[parser->n++] = value;
	return true;
}

/*
 * '[' elements ']' or '{' elements '}'; sets n_read to the number of elements.
 */
static bool
ParseVector(VectorParser *parser, int *n_read)
{
	char		close = (*parser->next == '[') ? ']' : '}';
	int			before = parser->n;

	if (*parser->next != '[' && *parser->next != '{')
		return false;
	parser->next++;
	SkipSpace(parser);
	if (*parser->next == close)
		parser->failure = VECTOR_EMPTY;
	else
	{
		do
		{
			CHECK_FOR_INTERRUPTS();
			SkipSpace(parser);
			if (!ParseElement(parser))
				return false;
			SkipSpace(parser);
		} while (*parser->next++ == ',' && parser->n - before <= MAX_DIMENSIONS);
		parser->next--;
	}
	if (parser->n - before > MAX_DIMENSIONS)
	{
		parser->failure = VECTOR_TOO_LONG;
		*n_read = parser->n - before;
		return true;
	}
	if (*parser->next != close)
		return false;
	parser->next++;
	SkipSpace(parser);
	*n_read = parser->n - before;
	return true;
}

/*
 * Read the text form of one vector, '[0.1, 0.7]' or '{0.1,0.7}', or of several,
 * '[[…], […]]' or '{{…},{…}}'. False when the text is not of that form at all;
 * else *failure says whether the values can be used.
 */
bool
ParseVectorsText(const char *text, VectorBuffer *buffer, int *count, VectorFailure *failure)
{
	VectorParser parser = {text, buffer, 0, VECTOR_OK};
	char		close;
	int			n;

	*count = 0;
	buffer->dim = 0;
	SkipSpace(&parser);
	if (*parser.next != '[' && *parser.next != '{')
		return false;
	close = (*parser.next == '[') ? ']' : '}';
	/* one vector, or the first of several? */
	for (text = parser.next + 1; scanner_isspace(*text); text++)
		;
	if (*text != '[' && *text != '{')
	{
		if (!ParseVector(&parser, &n))
			return false;
		*count = 1;
		buffer->dim = n;
		*failure = parser.failure;
		return n > MAX_DIMENSIONS || *parser.next == '\0';
	}

	do
	{
		parser.next++;
		SkipSpace(&parser);
		if (!ParseVector(&parser, &n))
			return false;
		if (*count > 0 && n != buffer->dim)
			parser.failure = VECTOR_RAGGED;
		buffer->dim = n;
		if (++*count > MAX_QUERY_VECTORS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("too many vectors in one call"),
					 errdetail("At most %d are allowed.", MAX_QUERY_VECTORS)));
	} while (*parser.next == ',' && n <= MAX_DIMENSIONS);
	*failure = parser.failure;
	if (n > MAX_DIMENSIONS)
		return true;
	if (*parser.next++ != close)
		return false;
	SkipSpace(&parser);
	return *parser.next == '\0';
}

/*
 * Does a vector that could be read fit the run? dimensions is 0 while the run
 * has none yet.
 */
VectorFailure
CheckVector(VectorBuffer *buffer, Metric metric, int dimensions)
{
	if (dimensions > 0 && buffer->dim != dimensions)
		return VECTOR_WRONG_DIMENSIONS;
	if (metric != METRIC_COSINE)
		return VECTOR_OK;
	buffer->squared_norm = SquaredNorm(buffer->values, buffer->dim);
	return buffer->squared_norm == 0 ? VECTOR_ZERO : VECTOR_OK;
}

int
VectorFailureSqlState(VectorFailure failure)
{
	switch (failure)
	{
		case VECTOR_NULL_ELEMENT:
			return ERRCODE_NULL_VALUE_NOT_ALLOWED;
		case VECTOR_NAN:
		case VECTOR_INFINITE:
		case VECTOR_OUT_OF_RANGE:
			return ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
		case VECTOR_NOT_ONE_DIMENSIONAL:
		case VECTOR_EMPTY:
		case VECTOR_RAGGED:
			return ERRCODE_ARRAY_SUBSCRIPT_ERROR;
		case VECTOR_TOO_LONG:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case VECTOR_WRONG_DIMENSIONS:
		case VECTOR_ZERO:
		case VECTOR_OK:
			return ERRCODE_DATA_EXCEPTION;
	}
	pg_unreachable();
}

/*
 * What is wrong with a value, as the end of a message: "embedding …". dim is
 * what it has, dimensions what the run has.
 */
char *
VectorFailureText(VectorFailure failure, int dim, int dimensions)
{
	switch (failure)
	{
		case VECTOR_NULL_ELEMENT:
			return pstrdup(_("has a NULL element"));
		case VECTOR_NAN:
			return pstrdup(_("has a NaN element"));
		case VECTOR_INFINITE:
			return pstrdup(_("has an infinite element"));
		case VECTOR_OUT_OF_RANGE:
			return pstrdup(_("has an element out of the range of type real"));
		case VECTOR_NOT_ONE_DIMENSIONAL:
			return pstrdup(_("is not a one-dimensional array"));
		case VECTOR_EMPTY:
			return pstrdup(_("is empty"));
		case VECTOR_RAGGED:
			return pstrdup(_("has rows of different lengths"));
		case VECTOR_TOO_LONG:
			return psprintf(_("has more than %d dimensions"), MAX_DIMENSIONS);
		case VECTOR_WRONG_DIMENSIONS:
			return psprintf(ngettext("has %d dimension, not %d", "has %d dimensions, not %d", dim),
							dim, dimensions);
		case VECTOR_ZERO:
			return pstrdup(_("is the zero vector, which has no cosine"));
		case VECTOR_OK:
			break;
	}
	pg_unreachable();
}

/*
 * real[] of dim values.
 */
ArrayType *
VectorToArray(const float *values, int dim)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(float) * dim;
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = dim;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), values, sizeof(float) * dim);
	return array;
}
