/*
 * query.c
 *		What to search for: id, ids, vector, vectors.
 *
 * The SQL type decides, and where that is text or a number, the dataset's key
 * does: what the key type's input accepts is an id. So '{a0eebc99-…}' is an id
 * of a uuid key and not a vector, and ARRAY[1,2,3] are ids of an integer key,
 * whatever width of integers a driver sends.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "query.h"

/* ids in one call: bounds what an error message or a join has to carry */
#define MAX_IDS 1000000

static bool
IsIntegerLike(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID ||
		type == NUMERICOID || type == OIDOID;
}

static void
AllocateIds(SimilarityQuery *query, int n)
{
	query->is_ids = true;
	query->n = n;
	query->ids = palloc(sizeof(Datum) * n);
	query->id_texts = palloc(sizeof(char *) * n);
}

static Problem *
CheckVectors(VectorFailure failure)
{
	if (failure == VECTOR_OK)
		return NULL;
	return MakeProblem(VectorFailureSqlState(failure),
						psprintf(_("query vector %s"), VectorFailureText(failure, 0, 0)), NULL);
}

/*
 * The input of dates and intervals skips punctuation: to it '[1, 2]' is one.
 */
static bool
IsVectorToDates(const SampleKey *key, const char *text)
{
	while (scanner_isspace(*text))
		text++;
	return (key->category == TYPCATEGORY_DATETIME || key->category == TYPCATEGORY_TIMESPAN) &&
		(*text == '[' || *text == '{');
}

static Problem *
ReadText(char *text, SampleKey *key, SimilarityQuery *query)
{
	VectorFailure failure;

	AllocateIds(query, 1);
	query->id_texts[0] = ClipText(text);
	if (!IsVectorToDates(key, text) && ParseSampleId(key, text, &query->ids[0]))
		return NULL;

	query->is_ids = false;
	if (query->ids_only)
		return MakeProblem(ERRCODE_INVALID_TEXT_REPRESENTATION,
						   psprintf(_("\"%s\" is not an id of type %s"),
									ClipText(text), format_type_be(key->type)), NULL);
	if (ParseVectorsText(text, &query->vectors, &query->n, &failure))
		return CheckVectors(failure);
	return MakeProblem(ERRCODE_INVALID_TEXT_REPRESENTATION,
						psprintf(_("query \"%s\" is neither an id of type %s nor a vector"),
								 ClipText(text), format_type_be(key->type)),
						_("Vectors look like '[0.1, 0.7]'."));
}

/*
 * One id of any scalar type: as it is when that is the key's, else by its text.
 */
static Problem *
ReadId(Oid type, Datum value, SampleKey *key, Datum *id, char **id_text)
{
	char	   *text = CanonicalText(type, value);

	*id_text = ClipText(text);
	if (getBaseType(type) == key->type)
	{
		*id = value;
		return NULL;
	}
	if (ParseSampleId(key, text, id))
		return NULL;
	return MakeProblem(ERRCODE_INVALID_TEXT_REPRESENTATION,
					   psprintf(_("\"%s\" is not an id of type %s"),
								*id_text, format_type_be(key->type)), NULL);
}

static Problem *
ReadIdArray(Oid element_type, ArrayType *array, SampleKey *key, SimilarityQuery *query)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	if (ARR_NDIM(array) > 1)
		return MakeProblem(ERRCODE_ARRAY_SUBSCRIPT_ERROR,
							pstrdup(_("ids must be a one-dimensional array")), NULL);
	get_typlenbyvalalign(element_type, &typlen, &typbyval, &typalign);
	deconstruct_array(array, element_type, typlen, typbyval, typalign, &elements, &nulls, &n);
	if (n > MAX_IDS)
		return MakeProblem(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
							psprintf(_("too many ids in one call: %d, at most %d are allowed"),
									 n, MAX_IDS), NULL);
	AllocateIds(query, n);
	for (int i = 0; i < n; i++)
	{
		Problem    *problem;

		CHECK_FOR_INTERRUPTS();
		if (nulls[i])
			return MakeProblem(ERRCODE_NULL_VALUE_NOT_ALLOWED,
								pstrdup(_("ids must not be NULL")), NULL);
		problem = ReadId(element_type, elements[i], key, &query->ids[i], &query->id_texts[i]);
		if (problem)
			return problem;
	}
	return NULL;
}

/*
 * An array of pgvector's values: several vectors of one dimension.
 */
static Problem *
ReadVectorArray(Oid element_type, VectorFormat format, ArrayType *array, SimilarityQuery *query)
{
	VectorBuffer one;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	get_typlenbyvalalign(element_type, &typlen, &typbyval, &typalign);
	deconstruct_array(array, element_type, typlen, typbyval, typalign, &elements, &nulls, &n);
	if (n == 0)
		return CheckVectors(VECTOR_EMPTY);
	if (n > MAX_QUERY_VECTORS)
		return MakeProblem(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
							psprintf(_("too many vectors in one call: %d, at most %d are allowed"),
									 n, MAX_QUERY_VECTORS), NULL);
	InitVectorBuffer(&one);
	for (int i = 0; i < n; i++)
	{
		VectorFailure failure = nulls[i] ? VECTOR_NULL_ELEMENT :
			ReadVector(format, elements[i], &one);

		if (failure == VECTOR_OK && i > 0 && one.dim != query->vectors.dim)
			return MakeProblem(ERRCODE_DATA_EXCEPTION,
								psprintf(_("query vectors have %d and %d dimensions"),
										 query->vectors.dim, one.dim), NULL);
		if (failure != VECTOR_OK)
			return CheckVectors(failure);
		if (i == 0)
		{
			query->vectors.dim = one.dim;
			query->vectors.values = palloc(mul_size(sizeof(float) * one.dim, n));
		}
		memcpy(query->vectors.values + (Size) i * one.dim, one.values, sizeof(float) * one.dim);
	}
	query->n = n;
	return NULL;
}

/*
 * Arrays of integers are ids of every integer-like key, arrays of the key's own
 * type are ids of any. So where the key is numeric ARRAY[0.1, 0.7] means ids, and
 * an error if it was meant as a vector; the other way array_agg(id) would be
 * taken for a vector without one.
 */
static bool
IsArrayOfIds(VectorFormat format, Oid element_type, ArrayType *array, const SampleKey *key)
{
	if (ARR_NDIM(array) > 1)
		return false;
	if (VectorFormatIsInteger(format))
		return IsIntegerLike(key->type);
	return element_type == key->type;
}

static Problem *
ReadArrayQuery(Oid type, Datum value, SampleKey *key, SimilarityQuery *query)
{
	Oid			element_type = get_element_type(type);
	ArrayType  *array = DatumGetArrayTypeP(value);
	VectorFormat format;

	if (VectorFormatOfType(element_type, &format))
		return ReadVectorArray(element_type, format, array, query);
	if (VectorFormatOfType(type, &format) && !IsArrayOfIds(format, element_type, array, key))
		return CheckVectors(ReadVectors(format, value, &query->vectors, &query->n));
	return ReadIdArray(element_type, array, key, query);
}

static bool
IsTextLike(Oid type)
{
	char		category;
	bool		is_preferred;

	get_type_category_preferred(type, &category, &is_preferred);
	return category == TYPCATEGORY_STRING || type == JSONOID || type == JSONBOID;
}

static Problem *
ReadAnyQuery(Oid type, Datum value, SampleKey *key, SimilarityQuery *query)
{
	Oid			base = getBaseType(type);
	VectorFormat format;

	/* a literal without a type reaches "any" as a C string */
	if (type == UNKNOWNOID)
		return ReadText(pstrdup(DatumGetCString(value)), key, query);
	if (base == key->type)
	{
		AllocateIds(query, 1);
		return ReadId(base, value, key, &query->ids[0], &query->id_texts[0]);
	}
	if (IsTextLike(base))
		return ReadText(CanonicalText(base, value), key, query);
	if (OidIsValid(get_element_type(base)))
		return ReadArrayQuery(base, value, key, query);
	if (VectorFormatOfType(base, &format))
		return CheckVectors(ReadVectors(format, value, &query->vectors, &query->n));
	if (get_typtype(base) == TYPTYPE_COMPOSITE || base == RECORDOID)
		return MakeProblem(ERRCODE_DATATYPE_MISMATCH,
							psprintf(_("a query cannot be of type %s"), format_type_be(type)),
							_("Give an id, an array of ids, or a vector."));
	AllocateIds(query, 1);
	return ReadId(base, value, key, &query->ids[0], &query->id_texts[0]);
}

/*
 * Make out a query of any SQL type for a dataset with this key. Returns the
 * problem if it cannot be one; the query then means nothing.
 */
Problem *
ReadQuery(Oid type, Datum value, SampleKey *key, SimilarityQuery *query)
{
	Problem    *problem;

	memset(query, 0, sizeof(SimilarityQuery));
	InitVectorBuffer(&query->vectors);
	problem = ReadAnyQuery(type, value, key, query);
	if (problem == NULL && query->n == 0)
		return MakeProblem(ERRCODE_INVALID_PARAMETER_VALUE,
							pstrdup(_("query is empty")), _("Give at least one id or vector."));
	return problem;
}

/*
 * The same where only ids make sense, and none at all is fine.
 */
Problem *
ReadIds(Oid type, Datum value, SampleKey *key, SimilarityQuery *query)
{
	Problem    *problem;

	memset(query, 0, sizeof(SimilarityQuery));
	InitVectorBuffer(&query->vectors);
	query->ids_only = true;
	problem = ReadAnyQuery(type, value, key, query);
	if (problem == NULL && !query->is_ids && query->n > 0)
		return MakeProblem(ERRCODE_DATATYPE_MISMATCH,
							psprintf(_("ids of type %s were expected, not vectors"),
									 format_type_be(key->type)), NULL);
	return problem;
}
