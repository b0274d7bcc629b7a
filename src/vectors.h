/*
 * vectors.h
 *		One vector: reading every accepted type, checking it.
 */
#ifndef BRAIN_VECTORS_H
#define BRAIN_VECTORS_H

#include "utils/array.h"

#include "exact/distance.h"

/* pgvector stores up to 16,000; arrays have no limit of their own. */
#define MAX_DIMENSIONS 32768

/* Query vectors in one call: bounds memory, 1,000 x 32,768 floats are 128 MB. */
#define MAX_QUERY_VECTORS 1000

typedef enum VectorFormat
{
	VECTOR_FLOAT4_ARRAY,
	VECTOR_FLOAT8_ARRAY,
	VECTOR_NUMERIC_ARRAY,
	VECTOR_INT2_ARRAY,
	VECTOR_INT4_ARRAY,
	VECTOR_INT8_ARRAY,
	VECTOR_PGVECTOR,			/* pgvector's vector */
	VECTOR_HALFVEC,				/* pgvector's halfvec */
} VectorFormat;

/* Why a value cannot be used as an embedding. */
typedef enum VectorFailure
{
	VECTOR_OK,
	VECTOR_NULL_ELEMENT,
	VECTOR_NAN,
	VECTOR_INFINITE,
	VECTOR_OUT_OF_RANGE,
	VECTOR_NOT_ONE_DIMENSIONAL,
	VECTOR_EMPTY,
	VECTOR_RAGGED,
	VECTOR_TOO_LONG,
	VECTOR_WRONG_DIMENSIONS,
	VECTOR_ZERO,
} VectorFailure;

/*
 * A reusable buffer and the vector last read into it: dim float32 values.
 * On a failure dim is what was found, when that is known, else 0.
 */
typedef struct VectorBuffer
{
	float	   *values;
	int			dim;
	int			capacity;
	double		squared_norm;	/* set by CheckVector for cosine */
	MemoryContext context;		/* owns values */
} VectorBuffer;

extern bool VectorFormatOfType(Oid type, VectorFormat *format);
extern bool VectorFormatIsInteger(VectorFormat format);
extern bool VectorFormatIsArray(VectorFormat format);

extern void InitVectorBuffer(VectorBuffer *buffer);
extern void TakeVector(VectorBuffer *buffer, const float *values, int dim);
extern VectorFailure ReadVector(VectorFormat format, Datum value, VectorBuffer *buffer);
extern VectorFailure ReadVectors(VectorFormat format, Datum value, VectorBuffer *buffer, int *count);
extern bool ParseVectorsText(const char *text, VectorBuffer *buffer, int *count, VectorFailure *failure);
extern VectorFailure CheckVector(VectorBuffer *buffer, Metric metric, int dimensions);

extern int	VectorFailureSqlState(VectorFailure failure);
extern char *VectorFailureText(VectorFailure failure, int dim, int dimensions);
extern ArrayType *VectorToArray(const float *values, int dim);

#endif							/* BRAIN_VECTORS_H */
