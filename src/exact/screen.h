/*
 * screen.h
 *		Bounds of a row's similarity from few bytes: a rotated prefix of it as
 *		int8, the whole row as int8, and float32.
 */
#ifndef BRAIN_SCREEN_H
#define BRAIN_SCREEN_H

#include "exact/scan.h"

typedef enum Stage
{
	STAGE_PREFIX,
	STAGE_INT8,
	STAGE_FLOAT,
} Stage;

/*
 * What makes a row's bound of its integer product and its ScreenBlock: see
 * screen.c. All are rounded up.
 */
typedef struct ScreenBound
{
	float		scale;			/* of the query's codes; the sign is Target's */
	float		square;			/* |x|^2 * square is subtracted */
	float		square_error;	/* relative */
	float		residual;		/* error for each unit of the row's residual */
	float		tail;			/* ... of the norm outside the prefix */
	float		norm;			/* ... of the row's norm */
	float		constant;
} ScreenBound;

/* The same for a float32 product or squared distance. */
typedef struct FloatBound
{
	float		relative;		/* error for each unit of norm (euclidean: of the value) */
	float		constant;
} FloatBound;

/*
 * A query vector q prepared for the stages. Their common scale: the similarity
 * x.q' of dotproduct, x.q' / |x| of cosine, x.q' - |x|^2 / (2 g) of euclidean,
 * with q' = q / g and g a power of two, so that 1 <= |q'| < 2. With reverse,
 * its negative: more is always better.
 */
typedef struct Target
{
	Metric		metric;
	float		sign;			/* -1: the farthest are best */
	int			dim;
	int			stride;			/* MatrixStride(dim) */
	int			stride8;
	double		g;
	double		norm;			/* |q'| */
	double		squared_norm;	/* |q|^2 */
	double		gain;			/* cosine is gain * similarity */
	double		error;			/* of q' itself and of distance.c's sums, for |x| = 1 */
	float	   *vector;			/* q' (euclidean: q), padded to stride */
	float	   *scaled;			/* q', padded to stride */
	int16	   *codes8;			/* q' is about bound8.scale * codes8 */
	ScreenBound bound8;
	int16	   *codes_prefix;	/* of V q', for the part last prepared for */
	ScreenBound bound_prefix;
	FloatBound	bound_float;
	FloatBound	bound_product;	/* of a product by whatever sums: MultiplyTransposed()'s */
} Target;

extern void PrepareTarget(Target *target, Metric metric, bool reverse, int dim,
						  const float *vector, double squared_norm);
extern void PrepareMeanTarget(Target *target, const ScanQuery *query);
extern void PreparePrefix(Target *target, const MatrixPart *part);

extern void BoundProducts(const Target *target, const MatrixPart *part, int64 first, int n,
						  const float *products, float *centre, float *upper);

extern float TargetThreshold(const Target *target, double distance);
extern double DoubleError(int n);
extern float TargetFloatThreshold(const Target *target, double distance);

extern void ScreenRows(const Target *target, const MatrixPart *part, Stage stage,
					   int64 first, int n, float *centre, float *upper);
extern void ScreenListedRows(const Target *target, const MatrixPart *part, Stage stage,
							 int64 first, const int *list, int n, float *upper);

#endif							/* BRAIN_SCREEN_H */
