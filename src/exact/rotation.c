/*
 * rotation.c
 *		The directions in which a dataset's embeddings mostly lie.
 *
 * The first m coordinates along them bound a similarity well where the
 * embeddings' energy is in few directions, as it is in real ones: see
 * PreparePrefix(). The bound holds for any orthonormal directions; good ones
 * only make it tight. So they need not be eigenvectors to the last digit, and
 * subspace iteration finds them: a few products of the sample's second moments
 * with the directions so far, which can be cancelled between, where LAPACK
 * would take seconds without a break.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "exact/blas.h"
#include "exact/lanes.h"
#include "exact/scan.h"

/* A prefix is a multiple of it: that many codes are added up at once. */
#define PREFIX_STEP 32

/* Beyond these, finding directions or turning a query costs more than it saves. */
#define MAX_PREFIX 512
#define MAX_PREFIX_DIM 4096
#define MIN_PREFIX_DIM 64
#define MIN_PREFIX_ROWS 4096

/* Rows of the sample that are used, and floats of them. */
#define MIN_SAMPLE_ROWS 2048
#define MAX_SAMPLE (8 * 1024 * 1024)

/*
 * Each iteration multiplies what is not in the directions by the ratio of two
 * eigenvalues; where that is near 1, either direction will do.
 */
#define ITERATIONS 4

/* Rows of the sample on which prefixes of each length are tried. */
#define N_TRIED 24

/* What int8 codes add to a prefix's error, for vectors of norm 1; about. */
#define CODE_ERROR 0.006

/*
 * A prefix is worth its place and the time that it takes to make only if it leaves
 * less than that much of what int8 alone reads.
 */
#define WORTH_IT 0.6

/*
 * The longest prefix that a matrix of n rows may have: with it the file stays
 * within 1.36 times the float32 rows.
 */
int
PrefixLimit(int64 n, int dim)
{
	if (n < MIN_PREFIX_ROWS || dim < MIN_PREFIX_DIM || dim > MAX_PREFIX_DIM)
		return 0;
	return Min(MAX_PREFIX, dim * 2 / 5 / PREFIX_STEP * PREFIX_STEP);
}

/* ---------- the sample ---------- */

typedef struct Sample
{
	Metric		metric;
	int			n;
	int			dim;
	float	   *rows;			/* n x dim: of cosine divided by their norms, else all by one number */
	double	   *squares;		/* of their norms */
} Sample;

/* Eight doubles, not aligned. */
typedef double DoubleLanes __attribute__((vector_size(64), aligned(8), may_alias));

#define AddDoubleLanes(l) (((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7])))

BRAIN_KERNEL static double
SumOfProducts(const double *a, const double *b, int n)
{
	DoubleLanes even = {0};
	DoubleLanes odd = {0};
	double		sum = 0;
	int			i = 0;

	for (; i + 16 <= n; i += 16)
	{
		even += *(const DoubleLanes *) (a + i) * *(const DoubleLanes *) (b + i);
		odd += *(const DoubleLanes *) (a + i + 8) * *(const DoubleLanes *) (b + i + 8);
	}
	for (; i < n; i++)
		sum += a[i] * b[i];
	even += odd;
	return sum + AddDoubleLanes(even);
}

/*
 * Copy up to MAX_SAMPLE floats of n rows, so divided that no square leaves
 * float32's range.
 */
static void
ReadSample(Sample *sample, Metric metric, const float *rows, int64 n, int dim)
{
	int			stride = MatrixStride(dim);
	double		largest = 0;

	sample->metric = metric;
	sample->dim = dim;
	sample->n = (int) Min(n, Min(MAX_SAMPLE / dim, Max(MIN_SAMPLE_ROWS, 2 * dim)));
	sample->rows = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(float) * sample->n * dim);
	sample->squares = palloc(sizeof(double) * sample->n);
	for (int i = 0; i < sample->n; i++)
	{
		sample->squares[i] = SquaredNorm(rows + i * (n / sample->n) * stride, dim);
		largest = Max(largest, sample->squares[i]);
	}
	for (int i = 0; i < sample->n; i++)
	{
		const float *row = rows + i * (n / sample->n) * stride;
		double		divisor = sqrt(metric == METRIC_COSINE ? sample->squares[i] : largest);
		double		factor = divisor > 0 ? 1 / divisor : 0;

		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < dim; j++)
			sample->rows[(Size) i * dim + j] = (float) (row[j] * factor);
		sample->squares[i] *= factor * factor;
	}
}

/*
 * The second moments, dim x dim: products of the sample's columns.
 */
static float *
SecondMoments(const Sample *sample)
{
	int			n = sample->n;
	int			dim = sample->dim;
	float	   *columns = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(float) * n * dim);
	float	   *moments = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(float) * dim * dim);

	/* 16 x 16 at a time: a cache line of each */
	for (int i = 0; i < n; i += 16)
	{
		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < dim; j++)
			for (int l = i; l < Min(i + 16, n); l++)
				columns[(Size) j * n + l] = sample->rows[(Size) l * dim + j];
	}
	MultiplyTransposed(dim, dim, n, columns, n, columns, n, moments, dim);
	pfree(columns);
	return moments;
}

/* ---------- the directions ---------- */

static void
FillRandom(double *values, int n, uint64 *state)
{
	for (int i = 0; i < n; i++)
	{
		*state = *state * UINT64CONST(6364136223846793005) + UINT64CONST(1442695040888963407);
		values[i] = (double) (int64) *state;
	}
}

static void
Scale(double *a, double factor, int n)
{
	for (int i = 0; i < n; i++)
		a[i] *= factor;
}

BRAIN_KERNEL static void
SubtractMultiple(double *restrict a, double factor, const double *restrict b, int n)
{
	for (int i = 0; i < n; i++)
		a[i] -= factor * b[i];
}

/*
 * Take from a direction what it has of n others, which are orthonormal.
 */
static void
SubtractProjections(double *direction, const double *others, int n, int dim)
{
	for (int i = 0; i < n; i++)
	{
		const double *other = others + (Size) i * dim;

		SubtractMultiple(direction, SumOfProducts(direction, other, dim), other, dim);
	}
}

/*
 * Make n directions orthonormal, in double, by Gram and Schmidt; once is enough
 * between iterations, twice in the end. One that depends on those before it, as
 * when the sample has fewer dimensions than asked for, is replaced by an
 * arbitrary one.
 */
static void
Orthonormalise(double *directions, int n, int dim, bool twice, uint64 *state)
{
	for (int i = 0; i < n; i++)
	{
		double	   *direction = directions + (Size) i * dim;
		double		before = SumOfProducts(direction, direction, dim);
		double		after;

		CHECK_FOR_INTERRUPTS();
		for (int attempt = 0; attempt < 3; attempt++)
		{
			if (before > 0)
				Scale(direction, 1 / sqrt(before), dim);
			SubtractProjections(direction, directions, i, dim);
			after = SumOfProducts(direction, direction, dim);
			if (before > 0 && after > 1e-12)
				break;
			FillRandom(direction, dim, state);
			before = SumOfProducts(direction, direction, dim);
		}
		Scale(direction, 1 / sqrt(after), dim);
		if (!twice)
			continue;
		SubtractProjections(direction, directions, i, dim);
		Scale(direction, 1 / sqrt(SumOfProducts(direction, direction, dim)), dim);
	}
}

/*
 * Find n directions of a sample: n x dim floats.
 */
static float *
FindDirections(const Sample *sample, int n)
{
	int			dim = sample->dim;
	Size		size = (Size) n * dim;
	float	   *moments = SecondMoments(sample);
	double	   *directions = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(double) * size);
	float	   *from = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(float) * size);
	float	   *to = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(float) * size);
	uint64		state = 1;

	/* arbitrary directions of so many dimensions are nearly orthogonal */
	FillRandom(directions, (int) size, &state);
	Scale(directions, 1.0 / PG_INT64_MAX, (int) size);
	for (int iteration = 0; iteration < ITERATIONS; iteration++)
	{
		for (Size i = 0; i < size; i++)
			from[i] = (float) directions[i];
		/* the moments are their own transpose */
		MultiplyTransposed(n, dim, dim, from, dim, moments, dim, to, dim);
		for (Size i = 0; i < size; i++)
			directions[i] = to[i];
		Orthonormalise(directions, n, dim, iteration == ITERATIONS - 1, &state);
	}
	for (Size i = 0; i < size; i++)
		from[i] = (float) directions[i];
	pfree(moments);
	pfree(directions);
	pfree(to);
	return from;
}

/*
 * A bound of |V V' - 1|: the Frobenius norm, measured in double.
 */
static double
OrthonormalError(const float *directions, int n, int dim)
{
	double	   *rows = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(double) * n * dim);
	double		squares = 0;

	for (Size i = 0; i < (Size) n * dim; i++)
		rows[i] = directions[i];
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j <= i; j++)
		{
			double		product = SumOfProducts(rows + (Size) i * dim, rows + (Size) j * dim, dim);
			double		error = product - (i == j);

			squares += (i == j ? 1 : 2) * error * error;
		}
	}
	pfree(rows);
	return sqrt(squares) * (1 + 1e-6) + n * dim * DBL_EPSILON;
}

/* ---------- how many ---------- */

typedef struct Trial
{
	const Sample *sample;
	int			tried;			/* the sample's row that is searched for */
	const float *products;		/* with each row of the sample */
	double		threshold;		/* the best other row's similarity */
	double	   *prefix_products;	/* so far */
} Trial;

static double
SimilarityOf(const Sample *sample, double product, int row)
{
	return sample->metric == METRIC_EUCLIDEAN ? product - sample->squares[row] / 2 : product;
}

static void
BeginTrial(Trial *trial, const Sample *sample, int tried, const float *products)
{
	trial->sample = sample;
	trial->tried = tried;
	trial->products = products;
	trial->threshold = -INFINITY;
	trial->prefix_products = palloc0(sizeof(double) * sample->n);
	for (int i = 0; i < sample->n; i++)
	{
		double		similarity = SimilarityOf(sample, products[i], i);

		/* copies of the row are no others */
		if (i != tried && memcmp(sample->rows + (Size) i * sample->dim,
								 sample->rows + (Size) tried * sample->dim,
								 sizeof(float) * sample->dim) != 0)
			trial->threshold = Max(trial->threshold, similarity);
	}
}

static double
StepProduct(const float *a, const float *b)
{
	float		lane[8] = {0};

	for (int i = 0; i < PREFIX_STEP; i += 8)
		for (int l = 0; l < 8; l++)
			lane[l] += a[i + l] * b[i + l];
	return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/*
 * What share of the sample a prefix keeps that is PREFIX_STEP longer than the
 * one before. inside: squares of the rows' norms within it.
 */
static double
KeptShare(Trial *trial, const float *prefixes, int stride, int m, const double *inside)
{
	const Sample *sample = trial->sample;
	const float *query = prefixes + (Size) trial->tried * stride;
	double		query_tail = sqrt(Max(0, sample->squares[trial->tried] - inside[trial->tried]));
	double		query_norm = sqrt(sample->squares[trial->tried]);
	int			kept = 0;

	for (int i = 0; i < sample->n; i++)
	{
		const float *row = prefixes + (Size) i * stride;
		double		tail = sqrt(Max(0, sample->squares[i] - inside[i]));
		double		error = tail * query_tail + CODE_ERROR * query_norm * sqrt(sample->squares[i]);

		trial->prefix_products[i] += StepProduct(row + m - PREFIX_STEP, query + m - PREFIX_STEP);
		kept += SimilarityOf(sample, trial->prefix_products[i], i) + error >= trial->threshold;
	}
	return (double) kept / sample->n;
}

/*
 * The length of the prefix with which searches for rows of the sample read the
 * fewest bytes of int8: 0 when none saves enough.
 */
static int
ChooseLength(const Sample *sample, const float *directions, int limit)
{
	int			n = sample->n;
	int			dim = sample->dim;
	int			n_tried = Min(N_TRIED, n);
	double		int8_bytes = MatrixStride8(dim) + 12;
	double		best = WORTH_IT * int8_bytes;
	int			length = 0;
	Trial		trials[N_TRIED];
	float	   *prefixes = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(float) * n * limit);
	float	   *products = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(float) * n_tried * n);
	double	   *inside = palloc0(sizeof(double) * n);

	MultiplyTransposed(n, limit, dim, sample->rows, dim, directions, dim, prefixes, limit);
	MultiplyTransposed(n_tried, n, dim, sample->rows, (n / n_tried) * dim, sample->rows, dim,
					   products, n);
	for (int t = 0; t < n_tried; t++)
		BeginTrial(&trials[t], sample, t * (n / n_tried), products + (Size) t * n);
	for (int m = PREFIX_STEP; m <= limit; m += PREFIX_STEP)
	{
		double		bytes = 0;

		for (int i = 0; i < n; i++)
			for (int j = m - PREFIX_STEP; j < m; j++)
				inside[i] += (double) prefixes[(Size) i * limit + j] * prefixes[(Size) i * limit + j];
		for (int t = 0; t < n_tried; t++)
		{
			double		kept = KeptShare(&trials[t], prefixes, limit, m, inside);

			CHECK_FOR_INTERRUPTS();
			/* random rows cost twice as much; a search leaves out a prefix that costs more */
			bytes += Min(m + 16 + Min(1, 2 * kept) * int8_bytes, int8_bytes * 1.02);
		}
		if (bytes / n_tried < best)
		{
			best = bytes / n_tried;
			length = m;
		}
	}
	for (int t = 0; t < n_tried; t++)
		pfree(trials[t].prefix_products);
	pfree(prefixes);
	pfree(products);
	pfree(inside);
	return length;
}

/*
 * Find the rotation of a dataset from n rows of it, padded to MatrixStride: m
 * directions, 0 when they would not help. There is room for PrefixLimit().
 */
void
FindRotation(Metric metric, const float *sample_rows, int64 n, int dim, float *rotation, int *m,
			 float *error)
{
	int			stride = MatrixStride(dim);
	int			limit = PrefixLimit(n, dim);
	Sample		sample;
	float	   *directions;

	*m = 0;
	*error = 0;
	if (limit == 0)
		return;
	ReadSample(&sample, metric, sample_rows, n, dim);
	directions = FindDirections(&sample, limit);
	*m = ChooseLength(&sample, directions, limit);
	*error = FloatAbove(OrthonormalError(directions, *m, dim));
	memset(rotation, 0, sizeof(float) * *m * stride);
	for (int i = 0; i < *m; i++)
		memcpy(rotation + (Size) i * stride, directions + (Size) i * dim, sizeof(float) * dim);
	pfree(sample.rows);
	pfree(sample.squares);
	pfree(directions);
}
