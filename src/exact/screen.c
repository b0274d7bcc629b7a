/*
 * screen.c
 *		Bounds of a row's similarity from few bytes.
 *
 * A screen computes, from a few bytes of a row, a centre and an error such that
 * the similarity that the row truly has is at most centre + error. A row whose
 * upper bound is below the threshold of the search is not in the answer; all
 * others go to the next stage, those too whose bound is not a number, as
 * happens when norms leave float32's range. So nothing here can lose a row, as
 * long as each bound holds. They are derived where they are computed, with
 *
 *   u		half a unit in the last place of float32 (FLOAT_UNIT): each float
 *			operation returns its exact result times 1 + t, |t| <= u, plus at
 *			most FLOAT_TINY when it underflows;
 *   x, N	a row (of cosine: divided by its norm) and its norm (1);
 *   q', Q	the query divided by a power of two, and its norm, 1 <= Q < 2.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "exact/blas.h"
#include "exact/lanes.h"
#include "exact/screen.h"

#define MAX_CODE 127			/* of rows; those of queries depend on dim */

/*
 * Coefficients of an error are multiplied by this: the error's own evaluation
 * takes at most ten roundings, and norms are stored rounded (12 u < 1e-6).
 */
#define SLACK (1 + 1e-6)

/* ---------- kernels ---------- */

/*
 * Integer products of int8 rows and an int16 query. No sum leaves int32: see
 * QueryCodes().
 */
BRAIN_KERNEL static void
IntegerProducts(const int8 *rows, int stride, const int16 *codes, int n, int32 *products)
{
	stride = stride / 32 * 32;	/* it is: tells the compiler */
	for (int i = 0; i < n; i++)
	{
		const int8 *row = rows + (Size) i * stride;
		int32		sum = 0;

		for (int j = 0; j < stride; j++)
			sum += (int16) row[j] * codes[j];
		products[i] = sum;
	}
}

BRAIN_KERNEL static void
ListedIntegerProducts(const int8 *rows, int stride, const int16 *codes,
					  const int *list, int n, int32 *products)
{
	stride = stride / 32 * 32;
	for (int i = 0; i < n; i++)
	{
		const int8 *row = rows + (Size) list[i] * stride;
		int32		sum = 0;

		if (i + 2 < n)
			for (int j = 0; j < stride; j += 64)
				__builtin_prefetch(rows + (Size) list[i + 2] * stride + j);
		for (int j = 0; j < stride; j++)
			sum += (int16) row[j] * codes[j];
		products[i] = sum;
	}
}

/*
 * Float products of rows and a query, in 32 lanes: each lane adds up stride /
 * 32 products, and five more additions make one sum of them. So it differs from
 * the exact product by at most (stride / 32 + 10) u sum |x_j q_j|.
 */
#define SumError(stride) (((stride) / 32 + 10) * FLOAT_UNIT * 1.01)

BRAIN_KERNEL static void
FloatProducts(const float *rows, int stride, const float *query,
			  const int *list, int n, float *products)
{
	const Lanes *q = (const Lanes *) query;
	int			n_lanes = stride / LANES_OF_FLOAT;

	for (int i = 0; i < n; i++)
	{
		const Lanes *row = (const Lanes *) (rows + (Size) (list ? list[i] : i) * stride);
		Lanes		even = {0};
		Lanes		odd = {0};
		int			j = 0;

		for (; j + 2 <= n_lanes; j += 2)
		{
			even += row[j] * q[j];
			odd += row[j + 1] * q[j + 1];
		}
		if (j < n_lanes)
			even += row[j] * q[j];
		even += odd;
		AddLanes(even, products[i]);
	}
}

/* Squared distances, likewise. */
BRAIN_KERNEL static void
FloatDistances(const float *rows, int stride, const float *query,
			   const int *list, int n, float *distances)
{
	const Lanes *q = (const Lanes *) query;
	int			n_lanes = stride / LANES_OF_FLOAT;

	for (int i = 0; i < n; i++)
	{
		const Lanes *row = (const Lanes *) (rows + (Size) (list ? list[i] : i) * stride);
		Lanes		even = {0};
		Lanes		odd = {0};
		int			j = 0;

		for (; j + 2 <= n_lanes; j += 2)
		{
			Lanes		a = row[j] - q[j];
			Lanes		b = row[j + 1] - q[j + 1];

			even += a * a;
			odd += b * b;
		}
		if (j < n_lanes)
		{
			Lanes		a = row[j] - q[j];

			even += a * a;
		}
		even += odd;
		AddLanes(even, distances[i]);
	}
}

/*
 * From integer products to bounds; see ScreenError() for why they hold. Of
 * cosine, and of all others: there 0 * c makes what overflowed no bound, but
 * NaN.
 */
BRAIN_KERNEL static void
BoundUnitRows(const int32 *restrict products, const float *restrict scale,
			  const float *restrict residual, const float *restrict tail,
			  const ScreenBound *bound, float sign, int n,
			  float *restrict centre, float *restrict upper)
{
	ScreenBound b = *bound;

	for (int i = 0; i < n; i++)
	{
		float		c = sign * ((float) products[i] * scale[i] * b.scale);

		centre[i] = c;
		upper[i] = c + (residual[i] * b.residual + tail[i] * b.tail + b.constant);
	}
}

BRAIN_KERNEL static void
BoundRows(const int32 *restrict products, const float *restrict scale,
		  const float *restrict residual, const float *restrict tail,
		  const float *restrict norm, const ScreenBound *bound, float sign, int n,
		  float *restrict centre, float *restrict upper)
{
	ScreenBound b = *bound;

	for (int i = 0; i < n; i++)
	{
		/* in this order it underflows only where it does not count */
		float		square = norm[i] * (norm[i] * b.square);
		float		c = sign * ((float) products[i] * scale[i] * b.scale - square);

		centre[i] = c;
		upper[i] = c + (residual[i] * b.residual + tail[i] * b.tail + norm[i] * b.norm +
						square * b.square_error + b.constant) + 0 * c;
	}
}

/*
 * From float products or squared distances to bounds; likewise.
 */
BRAIN_KERNEL static void
BoundFloatRows(Metric metric, const float *restrict values, const float *restrict norm,
			   FloatBound bound, float sign, int n, float *restrict centre,
			   float *restrict upper)
{
	if (metric == METRIC_COSINE)
		for (int i = 0; i < n; i++)
		{
			float		inverse = 1 / norm[i];

			centre[i] = sign * values[i] * inverse;
			upper[i] = centre[i] + (bound.relative + bound.constant * inverse) +
				0 * values[i] + 0 * norm[i];
		}
	else if (metric == METRIC_DOTPRODUCT)
		for (int i = 0; i < n; i++)
		{
			centre[i] = sign * values[i];
			upper[i] = centre[i] + (bound.relative * norm[i] + bound.constant) + 0 * values[i];
		}
	else
		for (int i = 0; i < n; i++)
		{
			centre[i] = -sign * values[i];
			upper[i] = centre[i] + (bound.relative * values[i] + bound.constant) + 0 * values[i];
		}
}

/* The same of euclidean products. */
BRAIN_KERNEL static void
BoundProductRows(const float *restrict products, const float *restrict norm,
				 FloatBound bound, float square, float sign, int n, float *restrict centre,
				 float *restrict upper)
{
	for (int i = 0; i < n; i++)
	{
		float		s = norm[i] * (norm[i] * square);
		float		c = sign * (products[i] - s);

		centre[i] = c;
		upper[i] = c + (norm[i] * bound.relative + s * (float) (12 * FLOAT_UNIT * SLACK) +
						bound.constant) + 0 * products[i] + 0 * s;
	}
}

/* ---------- the query ---------- */

/* What a sum of n products in double may lose, for vectors of norm 1. */
double
DoubleError(int n)
{
	return (n + 32) * (DBL_EPSILON / 2) * 1.01;
}

/*
 * The largest code of a query: so that a sum of dim products with codes of rows
 * fits into an int32.
 */
static int
QueryCodes(int dim)
{
	return Min(32767, PG_INT32_MAX / (MAX_CODE * dim));
}

/*
 * Quantise n values; codes has room for stride of them. Returns the norm of the
 * difference, measured.
 */
static double
QuantizeQuery(const float *values, int n, int stride, int16 *codes, float *scale)
{
	int			limit = QueryCodes(stride);
	float		largest = 0;
	double		squares = 0;

	for (int i = 0; i < n; i++)
		largest = Max(largest, fabsf(values[i]));
	*scale = largest / limit;
	memset(codes, 0, sizeof(int16) * stride);
	for (int i = 0; i < n; i++)
	{
		double		difference;

		if (*scale > 0)
			codes[i] = (int16) Max(-limit, Min(limit, lrintf(values[i] / *scale)));
		difference = (double) values[i] - (double) *scale * codes[i];
		squares += difference * difference;
	}
	return sqrt(squares) * (1 + 1e-9);
}

/*
 * How far the integer product of a row and the query may be from x.q'. Let a be
 * the row's codes times their scale, b the query's, |x - a| <= R (the row's
 * residual) and |q' - b| <= E. Then
 *
 *   |x.q' - a.b| <= |(x - a).q'| + |a.(q' - b)| <= R Q + (N + R) E.
 *
 * In float the integer is rounded and multiplied twice: 3 u |a.b|; then |x|^2 /
 * 2g, which has lost 4 u of itself, is subtracted, and the error added: 2 u of
 * both. With |a.b| <= (N + R)(Q + E), 8 u for the products and 12 u for the
 * squares cover it:
 *
 *   residual	Q + E + 8 u (Q + E)		times R
 *   norm		E + 8 u (Q + E)			times N
 *   square		12 u					times |x|^2 / 2g
 *
 * To norm comes target->error: what distance.c rounds, and what q' is not exactly.
 */
static void
ScreenError(const Target *target, double norm, double quantisation, double other,
			ScreenBound *bound)
{
	double		product = norm + quantisation;
	double		rounding = 8 * FLOAT_UNIT * product;
	double		per_norm = Term(3, quantisation + rounding + other + target->error);

	bound->residual = FloatAbove(Term(1, (product + rounding) * SLACK));
	bound->norm = FloatAbove(per_norm * SLACK);
	bound->tail = 0;
	bound->square = 0;
	/* beyond these, 1 / 2g is no normal float32: then nothing is screened */
	if (target->metric == METRIC_EUCLIDEAN)
		bound->square = target->g > 1e-36 && target->g < 1e36 ? (float) (0.5 / target->g) : NAN;
	bound->square_error = (float) (12 * FLOAT_UNIT * SLACK);
	bound->constant = FLOAT_TINY;
	/* of cosine N is 1 */
	if (target->metric == METRIC_COSINE)
		bound->constant = FloatAbove(bound->norm + FLOAT_TINY);
}

/*
 * The parts of a target that follow from q, its squared norm and
 * target->error, of q itself.
 */
static void
FinishTarget(Target *target, Metric metric, bool reverse, int dim, const double *q,
			 double q_error)
{
	double		squares = 0;
	double		lost = 0;
	double		quantisation;

	target->metric = metric;
	target->sign = reverse ? -1 : 1;
	target->dim = dim;
	target->stride = MatrixStride(dim);
	target->stride8 = MatrixStride8(dim);
	for (int i = 0; i < dim; i++)
		squares += q[i] * q[i];
	target->g = squares > 0 ? ldexp(1, ilogb(sqrt(squares))) : 1;
	target->norm = sqrt(squares) / target->g * (1 + 1e-9);

	target->scaled = AllocAligned(sizeof(float) * target->stride);
	memset(target->scaled, 0, sizeof(float) * target->stride);
	for (int i = 0; i < dim; i++)
	{
		double		difference;

		target->scaled[i] = (float) (q[i] / target->g);
		difference = q[i] / target->g - target->scaled[i];
		lost += difference * difference;
	}
	lost = sqrt(lost) * (1 + 1e-9);
	target->norm += lost;
	target->error = lost + q_error / target->g;
	target->vector = target->scaled;
	if (metric == METRIC_EUCLIDEAN)
	{
		target->vector = AllocAligned(sizeof(float) * target->stride);
		memset(target->vector, 0, sizeof(float) * target->stride);
		for (int i = 0; i < dim; i++)
			target->vector[i] = (float) q[i];
	}

	target->codes8 = AllocAligned(sizeof(int16) * target->stride8);
	quantisation = QuantizeQuery(target->scaled, dim, target->stride8, target->codes8,
								 &target->bound8.scale);
	ScreenError(target, target->norm, quantisation, 0, &target->bound8);
	target->codes_prefix = AllocAligned(sizeof(int16) * target->stride8);

	/*
	 * |float sum - x.q'| <= SumError |x| |q'|; cosine multiplies it by a
	 * reciprocal of a rounded norm (3 u), and the error is added (u). Each
	 * product may underflow. Of the squared distance S each difference, square
	 * and sum is rounded: (SumError + 4 u) S; the error's sum takes 2 u more.
	 */
	if (metric == METRIC_EUCLIDEAN)
		target->bound_float.relative = (SumError(target->stride) + 8 * FLOAT_UNIT) * SLACK;
	else
		target->bound_float.relative =
			FloatAbove(((SumError(target->stride) + 6 * FLOAT_UNIT) * target->norm +
						target->error) * SLACK);
	target->bound_float.relative = Term(4, target->bound_float.relative);
	target->bound_float.constant = FLOAT_TINY + dim * (FLOAT_TINY / 10);

	/*
	 * In any order: (dim + 2) u |x| |q'|. Of the euclidean similarity, x.q' -
	 * |x|^2 / 2g, see ScreenError(); |x.q'| is less than 2 |x|.
	 */
	target->bound_product.relative =
		FloatAbove(Term(4, ((dim + 10) * FLOAT_UNIT * 1.01 * target->norm + target->error) * SLACK));
	target->bound_product.constant = target->bound_float.constant;
}

/*
 * Prepare one query vector.
 */
void
PrepareTarget(Target *target, Metric metric, bool reverse, int dim, const float *vector,
			  double squared_norm)
{
	double	   *q = palloc(sizeof(double) * dim);

	for (int i = 0; i < dim; i++)
		q[i] = vector[i];
	FinishTarget(target, metric, reverse, dim, q, DoubleError(dim) * sqrt(squared_norm));
	target->squared_norm = squared_norm;
	target->gain = target->g / sqrt(squared_norm);
	pfree(q);
}

/*
 * The mean of several distances, other than euclidean ones, is the distance to
 * the mean of the query vectors (of cosine: divided by their norms). So one
 * target does for all of them. Each distance is rounded, and their sum.
 */
void
PrepareMeanTarget(Target *target, const ScanQuery *query)
{
	double	   *q = palloc0(sizeof(double) * query->dim);
	double		norms = 0;

	Assert(query->metric != METRIC_EUCLIDEAN);
	for (int i = 0; i < query->n; i++)
	{
		const float *vector = query->vectors + (Size) i * query->dim;
		double		norm = sqrt(query->squared_norms[i]);
		double		weight = (query->metric == METRIC_COSINE ? 1 / norm : 1) / query->n;

		for (int j = 0; j < query->dim; j++)
			q[j] += weight * vector[j];
		norms += weight * norm;
	}
	/* three times: the distances, their sum, and q */
	FinishTarget(target, query->metric, query->reverse, query->dim, q,
				 3 * DoubleError(query->dim + 2 * query->n) * norms);
	target->squared_norm = 0;
	target->gain = target->g;
	pfree(q);
}

/*
 * The least similarity of a row whose distance, as distance.c computes it, is at
 * most the given one (reverse: at least).
 */
float
TargetThreshold(const Target *target, double distance)
{
	double		g = target->g;
	double		threshold;
	double		slack;

	if (isinf(distance))
		return (distance > 0) == (target->sign > 0) ? -INFINITY : INFINITY;
	switch (target->metric)
	{
		case METRIC_DOTPRODUCT:
			threshold = -distance / g;
			slack = 0;			/* g is a power of two; the sum's error is in target->error */
			break;
		case METRIC_COSINE:
			threshold = (1 - distance) / target->gain;
			slack = (2 + fabs(distance)) / target->gain * DoubleError(target->dim);
			break;
		default:
			if (distance < 0)
				return target->sign > 0 ? INFINITY : -INFINITY;
			/* -|x - q|^2 = 2 g (x.q' - |x|^2 / 2g) - |q|^2 */
			threshold = (target->squared_norm - distance * distance) / (2 * g);
			slack = (target->squared_norm + distance * distance) / (2 * g) *
				2 * DoubleError(target->dim);
	}
	threshold = target->sign * threshold - slack;
	return isnan(threshold) ? -INFINITY : FloatBelow(threshold - fabs(threshold) * DBL_EPSILON);
}

/*
 * The same for STAGE_FLOAT, which for euclidean knows -|x - q|^2 itself.
 */
float
TargetFloatThreshold(const Target *target, double distance)
{
	double		square = distance * distance;
	double		slack = square * 2 * DoubleError(target->dim);

	if (target->metric != METRIC_EUCLIDEAN || isinf(distance) || distance < 0)
		return TargetThreshold(target, distance);
	return FloatBelow(-target->sign * square - slack);
}

/*
 * How far the product of prefixes may be from x.q'. Let V be the rotation, |V
 * V' - 1| <= e, and W = (V V')^(-1/2) V, which is orthonormal. x.q' is Wx.Wq'
 * plus the product of what lies outside of W, at most tail(x) tail(q'). And
 *
 *   |Wx.Wq' - Vx.Vq'| = |(Vx)' ((V V')^-1 - 1) Vq'| <= e / (1 - e) |Vx| |Vq'|.
 *
 * For |Vx.Vq' - a.b| see ScreenError(), with P = |Vq'| for Q and |Vx| <= (1 + e)
 * N for N. Vq' is computed in float: at most SumError Q |V| away (the Frobenius
 * norm, at most sqrt(m (1 + e))), which comes to the query's quantisation.
 * tail(q')^2 = Q^2 - |Wq'|^2 <= Q^2 - |Vq'|^2 / (1 + e).
 */
void
PreparePrefix(Target *target, const MatrixPart *part)
{
	int			m = part->m;
	double		e = part->rotation_error;
	double		in_float = SumError(target->stride) * target->norm * sqrt(m * (1 + e)) + FLOAT_TINY;
	float	   *p = AllocAligned(sizeof(float) * m);
	double		squares = 0;
	double		norm;
	double		inside;
	double		quantisation;

	FloatProducts(part->rotation, part->stride, target->scaled, NULL, m, p);
	for (int i = 0; i < m; i++)
		squares += (double) p[i] * p[i];
	norm = sqrt(squares) * (1 + 1e-9) + in_float;
	inside = Max(0, sqrt(squares) * (1 - 1e-9) - in_float);
	quantisation = in_float + QuantizeQuery(p, m, part->stride_prefix, target->codes_prefix,
											&target->bound_prefix.scale);
	ScreenError(target, norm, quantisation * (1 + e), (e / (1 - e) * (1 + e) + 8 * FLOAT_UNIT * e) * norm,
				&target->bound_prefix);
	target->bound_prefix.tail =
		FloatAbove(Term(2, sqrt(Max(0, target->norm * target->norm - inside * inside / (1 + e)) +
								1e-12) * SLACK));
}

/* ---------- bounds of rows ---------- */

/*
 * Bounds of n rows of one ScreenBlock, from row first on.
 */
void
ScreenRows(const Target *target, const MatrixPart *part, Stage stage, int64 first, int n,
		   float *centre, float *upper)
{
	const ScreenBlock *screen = &part->screens[first / SCREEN_ROWS];
	int			at = first % SCREEN_ROWS;
	const ScreenBound *bound = stage == STAGE_PREFIX ? &target->bound_prefix : &target->bound8;
	const float *scale = stage == STAGE_PREFIX ? screen->scale_prefix : screen->scale8;
	const float *residual = stage == STAGE_PREFIX ? screen->residual_prefix : screen->residual8;
	int32		products[SCREEN_ROWS];

	Assert(at + n <= SCREEN_ROWS);
	if (stage == STAGE_FLOAT)
	{
		float		values[SCREEN_ROWS];

		if (target->metric == METRIC_EUCLIDEAN)
			FloatDistances(part->rows + (Size) first * part->stride, part->stride,
						   target->vector, NULL, n, values);
		else
			FloatProducts(part->rows + (Size) first * part->stride, part->stride,
						  target->vector, NULL, n, values);
		BoundFloatRows(target->metric, values, screen->norm + at, target->bound_float,
					   target->sign, n, centre, upper);
		return;
	}
	if (stage == STAGE_PREFIX)
		IntegerProducts(part->prefix + (Size) first * part->stride_prefix, part->stride_prefix,
						target->codes_prefix, n, products);
	else
		IntegerProducts(part->rows8 + (Size) first * part->stride8, part->stride8,
						target->codes8, n, products);
	if (target->metric == METRIC_COSINE)
		BoundUnitRows(products, scale + at, residual + at, screen->tail + at, bound,
					  target->sign, n, centre, upper);
	else
		BoundRows(products, scale + at, residual + at, screen->tail + at, screen->norm + at,
				  bound, target->sign, n, centre, upper);
}

/*
 * The same for the n rows first + list[i] of one ScreenBlock.
 */
void
ScreenListedRows(const Target *target, const MatrixPart *part, Stage stage, int64 first,
				 const int *list, int n, float *upper)
{
	const ScreenBlock *screen = &part->screens[first / SCREEN_ROWS];
	int			at = first % SCREEN_ROWS;
	int32		products[SCREEN_ROWS];
	float		values[SCREEN_ROWS];
	float		centre[SCREEN_ROWS];
	float		scale[SCREEN_ROWS];
	float		residual[SCREEN_ROWS];
	float		norm[SCREEN_ROWS];

	Assert(stage != STAGE_PREFIX);
	for (int i = 0; i < n; i++)
	{
		scale[i] = screen->scale8[at + list[i]];
		residual[i] = screen->residual8[at + list[i]];
		norm[i] = screen->norm[at + list[i]];
	}
	if (stage == STAGE_FLOAT)
	{
		const float *rows = part->rows + (Size) first * part->stride;

		if (target->metric == METRIC_EUCLIDEAN)
			FloatDistances(rows, part->stride, target->vector, list, n, values);
		else
			FloatProducts(rows, part->stride, target->vector, list, n, values);
		BoundFloatRows(target->metric, values, norm, target->bound_float, target->sign, n,
					   centre, upper);
		return;
	}
	ListedIntegerProducts(part->rows8 + (Size) first * part->stride8, part->stride8,
						  target->codes8, list, n, products);
	if (target->metric == METRIC_COSINE)
		BoundUnitRows(products, scale, residual, residual, &target->bound8, target->sign, n,
					  centre, upper);
	else
		BoundRows(products, scale, residual, residual, norm, &target->bound8, target->sign, n,
				  centre, upper);
}

/*
 * The same from float products x.q' of n rows, by whatever sums. Of euclidean,
 * too, it is the similarity that the screens have.
 */
void
BoundProducts(const Target *target, const MatrixPart *part, int64 first, int n,
			  const float *products, float *centre, float *upper)
{
	const float *norm = part->screens[first / SCREEN_ROWS].norm + first % SCREEN_ROWS;

	if (target->metric == METRIC_EUCLIDEAN)
		BoundProductRows(products, norm, target->bound_product, target->bound8.square,
						 target->sign, n, centre, upper);
	else
		BoundFloatRows(target->metric, products, norm, target->bound_product, target->sign, n,
					   centre, upper);
}

/* ---------- building ---------- */

typedef double DoubleLanes __attribute__((vector_size(64)));
typedef int32 IntLanes __attribute__((vector_size(4 * LANES_OF_FLOAT), may_alias));

/* What is quantised, and the codes, are where palloc() has put them. */
typedef float LooseHalfLanes __attribute__((vector_size(2 * LANES_OF_FLOAT), aligned(4), may_alias));
typedef int8 LooseCodeLanes __attribute__((vector_size(LANES_OF_FLOAT), aligned(1), may_alias));

/* Rows whose rotation is computed at once. */
#define SLICE_ROWS 128

/* The squares are added up in double. n: a multiple of 16. */
BRAIN_KERNEL static double
Squares(const float *values, int n)
{
	DoubleLanes even = {0};
	DoubleLanes odd = {0};

	for (int i = 0; i < n; i += 16)
	{
		DoubleLanes a = __builtin_convertvector(*(const LooseHalfLanes *) (values + i), DoubleLanes);
		DoubleLanes b = __builtin_convertvector(*(const LooseHalfLanes *) (values + i + 8), DoubleLanes);

		even += a * a;
		odd += b * b;
	}
	even += odd;
	return ((even[0] + even[4]) + (even[2] + even[6])) + ((even[1] + even[5]) + (even[3] + even[7]));
}

BRAIN_KERNEL static void
Multiply(const float *values, int n, double factor, float *result)
{
	for (int i = 0; i < n; i++)
		result[i] = (float) (values[i] * factor);
}

/*
 * The largest absolute value of n, a multiple of 16. Without their signs floats
 * are in the order of their bits, NaN above all; of integers gcc makes one
 * instruction, of floats, one by one, four for each.
 */
BRAIN_KERNEL static float
Largest(const float *values, int n)
{
	IntLanes	largest = {0};
	int32		bits = 0;
	float		result;

	for (int i = 0; i < n; i += LANES_OF_FLOAT)
	{
		IntLanes	size = *(const IntLanes *) (values + i) & PG_INT32_MAX;
		IntLanes	larger = size > largest;

		largest = (size & larger) | (largest & ~larger);
	}
	for (int l = 0; l < LANES_OF_FLOAT; l++)
		bits = Max(bits, largest[l]);
	memcpy(&result, &bits, sizeof(float));
	return result;
}

/*
 * Round n values (a multiple of 32) to codes. Returns the sum of the squares of
 * what rounding took. A float to which 1.5 * 2^23 is added has no digits behind
 * the point left.
 */
BRAIN_KERNEL static float
RoundToCodes(const float *values, int n, float scale, int8 *codes)
{
	const float point = 12582912.0f;
	Lanes		squares = {0};
	float		inverse = 1 / scale;
	float		sum;

	for (int i = 0; i < n; i += LANES_OF_FLOAT)
	{
		Lanes		value = *(const Lanes *) (values + i);
		Lanes		rounded = (value * inverse + point) - point;
		Lanes		difference = value - scale * rounded;

		IntLanes	integers = __builtin_convertvector(rounded, IntLanes);

		*(LooseCodeLanes *) (codes + i) = __builtin_convertvector(integers, LooseCodeLanes);
		squares += difference * difference;
	}
	AddLanes(squares, sum);
	return sum;
}

/*
 * Quantise n values of norm at most 2, a multiple of 32: they are about scale *
 * codes. Returns a bound of the norm of the difference t: the sum of its
 * squares is off by SumError of itself (less than 2 SumError of 16 lanes) and
 * what underflowed, each t by u of the value and 2 u of itself.
 */
static double
QuantizeValues(const float *values, int n, double norm, int8 *codes, float *scale)
{
	float		largest = Largest(values, n);
	float		squares;

	*scale = largest / MAX_CODE;
	/* the reciprocal, too, must be a number */
	if (*scale < 1e-30f)
	{
		memset(codes, 0, n);
		*scale = 0;
		return norm;
	}
	squares = RoundToCodes(values, n, *scale, codes);
	return sqrt(squares) * (1 + 2 * SumError(n)) + 4 * FLOAT_UNIT * norm + 1e-15;
}

/*
 * Store a scale and a residual, both times the row's power of two. A scale that
 * is then no float32 screens nothing.
 */
static void
StoreScale(float *stored_scale, float *stored_residual, float scale, double residual,
		   double power)
{
	*stored_scale = (float) (scale * power);
	*stored_residual = FloatAbove(residual * power * SLACK);
	if ((double) *stored_scale != scale * power || isinf(*stored_scale) || isnan(residual))
	{
		*stored_scale = 0;
		*stored_residual = INFINITY;
	}
}

/*
 * Quantise one row's prefix y, computed in float from the row b of norm b_norm.
 * With e and V as in PreparePrefix(): each y_j is off by at most (dim + 2) u |b|
 * |V_j| in whatever order it was added up, y by that times the Frobenius norm;
 * and b itself by u. tail^2 = |b|^2 - |Wb|^2 <= |b|^2 - |Vb|^2 / (1 + e).
 */
static void
QuantizePrefix(const float *y, int dim, int m, double e, double b_norm, double power,
			   int8 *prefix, ScreenBlock *screens, int at)
{
	double		in_float = ((dim + 2) * sqrt(m * (1 + e)) + 2) * FLOAT_UNIT * 1.01 * b_norm + 1e-15;
	double		norm = sqrt(Squares(y, PrefixStride(m)));
	double		inside = Max(0, norm * (1 - 1e-9) - in_float);
	double		outside = Max(0, b_norm * b_norm - inside * inside / (1 + e));
	float		scale;
	double		residual = QuantizeValues(y, PrefixStride(m), norm, prefix, &scale) + in_float;

	StoreScale(&screens->scale_prefix[at], &screens->residual_prefix[at], scale, residual, power);
	screens->tail[at] = FloatAbove(sqrt(outside + 1e-12 * b_norm * b_norm) * power * SLACK);
}

/*
 * Quantise up to SLICE_ROWS rows. b has room for them, padded as rows8 are, y
 * for their prefixes.
 */
static void
QuantizeSlice(Metric metric, int n, int dim, const float *rows, const float *rotation, int m,
			  double e, int8 *rows8, int8 *prefix, ScreenBlock *screens, int at, float *b,
			  float *y)
{
	int			stride = MatrixStride(dim);
	int			stride8 = MatrixStride8(dim);
	int			stride_prefix = PrefixStride(m);
	double		norm[SLICE_ROWS];
	double		power[SLICE_ROWS];

	for (int i = 0; i < n; i++)
	{
		const float *row = rows + (Size) i * stride;
		float	   *scaled = b + (Size) i * stride8;
		float		scale;
		double		residual;

		/* the norm comes to be 1, or by a power of two, which is exact, 1 to 2 */
		norm[i] = sqrt(Squares(row, stride));
		power[i] = norm[i] > 0 ? ldexp(1, ilogb(norm[i])) : 1;
		screens->norm[at + i] = norm[i] > FLT_MAX ? INFINITY : (float) norm[i];
		if (metric == METRIC_COSINE)
		{
			/* a float's reciprocal, too, must be a normal float */
			if (norm[i] < 1e-30 || norm[i] > 1e38)
				screens->norm[at + i] = INFINITY;
			Multiply(row, stride, norm[i] > 0 ? 1 / norm[i] : 0, scaled);
			norm[i] = power[i] = 1;
		}
		else
		{
			Multiply(row, stride, 1 / power[i], scaled);
			norm[i] *= (1 + 1e-9) / power[i];
		}
		memset(scaled + stride, 0, sizeof(float) * (stride8 - stride));
		residual = QuantizeValues(scaled, stride8, norm[i], rows8 + (Size) i * stride8, &scale);
		StoreScale(&screens->scale8[at + i], &screens->residual8[at + i], scale, residual, power[i]);
	}
	if (m == 0)
		return;
	memset(y, 0, sizeof(float) * n * stride_prefix);
	MultiplyTransposed(n, m, dim, b, stride8, rotation, stride, y, stride_prefix);
	for (int i = 0; i < n; i++)
		QuantizePrefix(y + (Size) i * stride_prefix, dim, m, e, norm[i], power[i],
					   prefix + (Size) i * stride_prefix, screens, at + i);
}

/*
 * Make rows8, prefix and screens of up to SCREEN_ROWS rows (padded to
 * MatrixStride).
 */
void
QuantizeRows(Metric metric, int n, int dim, const float *rows, const float *rotation, int m,
			 float rotation_error, int8 *rows8, int8 *prefix, ScreenBlock *screens)
{
	int			slice = Min(SLICE_ROWS, Max(1, (1 << 20) / dim));
	Size		b_size = (Size) slice * MatrixStride8(dim);
	char	   *chunk = palloc(sizeof(float) * (b_size + (Size) slice * PrefixStride(m)) + 64);
	float	   *b = (float *) TYPEALIGN(64, chunk);

	Assert(n <= SCREEN_ROWS);
	memset(screens, 0, sizeof(ScreenBlock));
	for (int i = 0; i < n; i += slice)
	{
		CHECK_FOR_INTERRUPTS();
		QuantizeSlice(metric, Min(slice, n - i), dim, rows + (Size) i * MatrixStride(dim),
					  rotation, m, rotation_error, rows8 + (Size) i * MatrixStride8(dim),
					  m == 0 ? NULL : prefix + (Size) i * PrefixStride(m), screens, i, b, b + b_size);
	}
	pfree(chunk);
}
