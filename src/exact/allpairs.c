/*
 * allpairs.c
 *		Each row's nearest other rows.
 *
 * Blocks of rows are multiplied with blocks of all rows by MultiplyTransposed();
 * a product chooses the candidates of its row, and distance.c computes those.
 * Rows are copied for it, so prepared that the products are similarities and no
 * sum leaves float32's range:
 *
 *   cosine		divided by their norms
 *   dotproduct	all divided by one power of two, to norms of at most 2
 *   euclidean	the same, after the mean of all was subtracted: what all rows have
 *				in common would cost the products' digits
 *
 * Let x and y be such rows in exact arithmetic, |x| and |y| their norms. Copies
 * are rounded (u, half a unit in the last place), products summed in any order
 * ((dim + 2) u |x| |y|), and what follows takes a few roundings: 10 u. With
 *
 *   E = (dim + 12) u + what distance.c rounds,
 *
 * x.y is at most the product + E |x| |y|, plus what underflowed; and y is the
 * nearer to x the larger x.y, or of euclidean x.y - |y|^2 / 2.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "exact/batch.h"
#include "exact/blas.h"
#include "exact/lanes.h"

/*
 * Rows of the blocks, and bytes at most; those for which neighbours are looked
 * for are memory's to say.
 */
#define BLOCK_ROWS 512
#define BLOCK_BYTES (8 * 1024 * 1024)
#define MAX_QUERY_ROWS 4096

/* Products are looked through by so many at a time. */
#define RUN_ROWS 64

/* Where a search for live rows is. */
typedef struct Cursor
{
	int			part;
	int64		row;
} Cursor;

/* Live rows, prepared. */
typedef struct RowBlock
{
	int			n;
	float	   *copies;			/* n x stride */
	float	   *norms;			/* at least those of the copies */
	float	   *halves;			/* euclidean: |y|^2 / 2, at most; else 0 */
	double	   *squared_norms;	/* of the rows themselves, by SquaredNorm(); cosine only */
	const float **rows;			/* where the rows are */
	const MatrixPart **parts;
	int64	   *numbers;
} RowBlock;

/* The neighbours of a row so far: a heap with the worst on top. */
typedef struct Kept
{
	MatrixNeighbor *neighbors;
	int			n;
	float		threshold;		/* what another row must reach */
} Kept;

typedef struct AllPairs
{
	const MatrixPart *parts;
	int			n_parts;
	Metric		metric;
	int			dim;
	int			stride;
	int			k;
	double		max_distance;
	NeighborCompare compare;
	NeighborEmit emit;
	void	   *arg;

	double		factor;			/* that rows are multiplied by; cosine: 0 */
	double	   *mean;			/* euclidean; else NULL */
	double		error;			/* E */
	double		constant;		/* what underflow may take */
	int			block_rows;
	RowBlock	queries;
	RowBlock	block;
	float	   *products;
	Kept	   *kept;			/* of the queries */
} AllPairs;

/* ---------- live rows ---------- */

/*
 * The next live row; false when there is none.
 */
static bool
NextRow(const AllPairs *pairs, Cursor *cursor, const MatrixPart **part, int64 *row)
{
	for (; cursor->part < pairs->n_parts; cursor->part++, cursor->row = 0)
	{
		*part = &pairs->parts[cursor->part];
		for (; cursor->row < (*part)->n; cursor->row++)
		{
			if ((*part)->dead && ((*part)->dead[cursor->row / 64] >> (cursor->row % 64) & 1))
				continue;
			*row = cursor->row++;
			return true;
		}
	}
	return false;
}

/* Called for each live row once; arg is the sum or the largest so far. */
typedef void (*RowVisit) (AllPairs *pairs, const float *vector, double *arg);

static int64
VisitRows(AllPairs *pairs, RowVisit visit, double *arg)
{
	Cursor		cursor = {0};
	const MatrixPart *part;
	int64		row;
	int64		n = 0;

	while (NextRow(pairs, &cursor, &part, &row))
	{
		if (n++ % 256 == 0 || pairs->dim > 1024)
			CHECK_FOR_INTERRUPTS();
		RequireIntact(part, SECTION_ROWS, row, 1);
		visit(pairs, part->rows + (Size) row * part->stride, arg);
	}
	return n;
}

BRAIN_KERNEL static void
AddTo(int dim, const float *vector, double *sum)
{
	for (int i = 0; i < dim; i++)
		sum[i] += vector[i];
}

static void
VisitSum(AllPairs *pairs, const float *vector, double *arg)
{
	AddTo(pairs->dim, vector, arg);
}

BRAIN_KERNEL static double
SquaredNormAround(int dim, const float *vector, const double *mean)
{
	double		lane[8] = {0};
	int			i = 0;

	for (; i + 8 <= dim; i += 8)
		for (int l = 0; l < 8; l++)
		{
			double		difference = vector[i + l] - (mean ? mean[i + l] : 0);

			lane[l] += difference * difference;
		}
	for (; i < dim; i++)
		lane[0] += (vector[i] - (mean ? mean[i] : 0)) * (vector[i] - (mean ? mean[i] : 0));
	return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static void
VisitLargest(AllPairs *pairs, const float *vector, double *arg)
{
	*arg = Max(*arg, SquaredNormAround(pairs->dim, vector, pairs->mean));
}

/*
 * Settle what rows are prepared with.
 */
static void
PreparePairs(AllPairs *pairs)
{
	double		largest = 0;

	pairs->error = Term(5, ((pairs->dim + 12) * FLOAT_UNIT + 2 * DoubleError(pairs->dim)) * 1.01);
	pairs->constant = FLOAT_TINY + pairs->dim * (FLOAT_TINY / 10);
	if (pairs->metric == METRIC_COSINE)
		return;
	if (pairs->metric == METRIC_EUCLIDEAN)
	{
		double	   *mean = palloc0(sizeof(double) * pairs->dim);
		int64		n = VisitRows(pairs, VisitSum, mean);

		for (int i = 0; i < pairs->dim; i++)
			mean[i] /= Max(n, 1);
		pairs->mean = mean;
	}
	(void) VisitRows(pairs, VisitLargest, &largest);
	pairs->factor = largest > 0 ? ldexp(1, -ilogb(sqrt(largest))) : 1;
}

/* ---------- blocks ---------- */

static void
AllocBlock(RowBlock *block, int n, int stride)
{
	block->copies = AllocAligned(sizeof(float) * n * stride);
	block->norms = palloc(sizeof(float) * n);
	block->halves = palloc(sizeof(float) * n);
	block->squared_norms = palloc(sizeof(double) * n);
	block->rows = palloc(sizeof(float *) * n);
	block->parts = palloc(sizeof(MatrixPart *) * n);
	block->numbers = palloc(sizeof(int64) * n);
}

BRAIN_KERNEL static void
PrepareRow(int dim, const float *row, const double *mean, double factor, float *copy)
{
	if (mean)
		for (int i = 0; i < dim; i++)
			copy[i] = (float) ((row[i] - mean[i]) * factor);
	else
		for (int i = 0; i < dim; i++)
			copy[i] = (float) (row[i] * factor);
}

/*
 * Read the next rows, at most max of them.
 */
static void
ReadBlock(const AllPairs *pairs, Cursor *cursor, int max, RowBlock *block)
{
	const MatrixPart *part;
	int64		row;

	block->n = 0;
	while (block->n < max && NextRow(pairs, cursor, &part, &row))
	{
		int			i = block->n++;
		const float *vector = part->rows + (Size) row * part->stride;
		float	   *copy = block->copies + (Size) i * pairs->stride;
		double		factor = pairs->factor;
		double		square;

		if (i % 64 == 0 || pairs->dim > 1024)
			CHECK_FOR_INTERRUPTS();
		RequireIntact(part, SECTION_ROWS, row, 1);
		block->squared_norms[i] = 0;
		if (pairs->metric == METRIC_COSINE)
		{
			block->squared_norms[i] = SquaredNorm(vector, pairs->dim);
			factor = 1 / sqrt(block->squared_norms[i]);
		}
		PrepareRow(pairs->dim, vector, pairs->mean, factor, copy);
		memset(copy + pairs->dim, 0, sizeof(float) * (pairs->stride - pairs->dim));
		square = pairs->metric == METRIC_COSINE ? 1 : SquaredNormAround(pairs->dim, copy, NULL);
		block->norms[i] = FloatAbove(sqrt(square) * (1 + 1e-6));
		block->halves[i] = pairs->metric == METRIC_EUCLIDEAN ?
			FloatBelow(square / 2 * (1 - 1e-6)) : 0;
		block->rows[i] = vector;
		block->parts[i] = part;
		block->numbers[i] = part->first + row;
	}
}

/* ---------- the neighbours of a row ---------- */

/*
 * The least similarity, less E |x| |y|, of a row y whose distance from query i,
 * as distance.c computes it, is at most the given one.
 */
static float
PairThreshold(const AllPairs *pairs, int i, double distance)
{
	double		rounded = 2 * DoubleError(pairs->dim);
	double		threshold;

	if (distance == INFINITY)
		return -FLT_MAX;
	switch (pairs->metric)
	{
		case METRIC_COSINE:
			threshold = 1 - distance - (2 + fabs(distance)) * rounded;
			break;
		case METRIC_DOTPRODUCT:
			threshold = -distance * pairs->factor * pairs->factor;
			break;
		default:
			if (distance < 0)
				return FLT_MAX;
			/* x.y - |y|^2 / 2 = (|x|^2 - |x - y|^2) / 2; halves are less by 1e-6 too */
			distance *= pairs->factor;
			threshold = pairs->queries.halves[i] * (1 - 1e-6) -
				distance * distance / 2 * (1 + rounded);
	}
	threshold -= pairs->constant + fabs(threshold) * DBL_EPSILON;
	return Max(FloatBelow(threshold), -FLT_MAX);
}

/*
 * List the rows of a block whose upper bounds reach the threshold; those whose
 * bounds are no numbers, too.
 */
BRAIN_KERNEL static int
ListReaching(int n, const float *restrict products, const float *restrict norms,
			 const float *restrict halves, float error, float threshold, int *restrict list)
{
	int			listed = 0;

	for (int first = 0; first < n; first += RUN_ROWS)
	{
		int			last = Min(first + RUN_ROWS, n);
		int			reaching = 0;

		for (int i = first; i < last; i++)
			reaching += !(products[i] + (error * norms[i] - halves[i]) < threshold);
		if (reaching == 0)
			continue;
		for (int i = first; i < last; i++)
		{
			list[listed] = i;
			listed += !(products[i] + (error * norms[i] - halves[i]) < threshold);
		}
	}
	return listed;
}

BRAIN_KERNEL static void
LowerBounds(int n, const float *restrict products, const float *restrict norms,
			const float *restrict halves, float error, float *restrict lower)
{
	/* halves are at most 2e-6 of themselves less than what they are of */
	for (int i = 0; i < n; i++)
		lower[i] = products[i] - (error * norms[i] + halves[i] * 1.000004f);
}

/*
 * The k-th largest of n values, which are put into another order.
 */
static float
SelectLargest(float *values, int n, int k)
{
	int			low = 0;
	int			high = n - 1;

	while (low < high)
	{
		float		pivot = values[low + (high - low) / 2];
		int			i = low;
		int			j = high;

		while (i <= j)
		{
			while (values[i] > pivot)
				i++;
			while (values[j] < pivot)
				j--;
			if (i <= j)
			{
				float		value = values[i];

				values[i++] = values[j];
				values[j--] = value;
			}
		}
		if (k - 1 <= j)
			high = j;
		else if (k - 1 >= i)
			low = i;
		else
			break;
	}
	return values[k - 1];
}

/*
 * A threshold for a row that has not k neighbours yet: the k-th best lower bound
 * in the block. That many rows are at least as near, so that nothing is lost.
 */
static float
FirstThreshold(const AllPairs *pairs, int query, const float *products, float error)
{
	const RowBlock *block = &pairs->block;
	float		lower[BLOCK_ROWS];
	int			n = 0;
	double		threshold;

	LowerBounds(block->n, products, block->norms, block->halves, error, lower);
	for (int i = 0; i < block->n; i++)
	{
		if (block->numbers[i] == pairs->queries.numbers[query] || isnan(lower[i]))
			continue;
		lower[n++] = lower[i];
	}
	if (n < pairs->k)
		return -FLT_MAX;
	threshold = SelectLargest(lower, n, pairs->k);
	/* what distance.c rounds of |x - y|^2, where y is next to nothing */
	threshold -= 2 * pairs->constant + pairs->queries.halves[query] * 8 * DoubleError(pairs->dim);
	return Max(FloatBelow(threshold), -FLT_MAX);
}

static int
CompareNeighbors(const AllPairs *pairs, const MatrixNeighbor *a, const MatrixNeighbor *b)
{
	if (a->distance != b->distance)
		return a->distance < b->distance ? -1 : 1;
	return pairs->compare(a->row, b->row, pairs->arg);
}

static void
SiftDown(const AllPairs *pairs, MatrixNeighbor *heap, int n)
{
	MatrixNeighbor item = heap[0];
	int			i = 0;

	for (;;)
	{
		int			child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && CompareNeighbors(pairs, &heap[child + 1], &heap[child]) > 0)
			child++;
		if (CompareNeighbors(pairs, &heap[child], &item) <= 0)
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = item;
}

static void
SiftUp(const AllPairs *pairs, MatrixNeighbor *heap, int i)
{
	MatrixNeighbor item = heap[i];

	while (i > 0 && CompareNeighbors(pairs, &heap[(i - 1) / 2], &item) < 0)
	{
		heap[i] = heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	heap[i] = item;
}

/*
 * Compute a candidate of a query in double, and keep it if it is near enough.
 */
static void
KeepCandidate(AllPairs *pairs, int query, int candidate)
{
	const RowBlock *queries = &pairs->queries;
	const RowBlock *block = &pairs->block;
	Kept	   *kept = &pairs->kept[query];
	MatrixNeighbor neighbor = {.row = block->numbers[candidate]};

	neighbor.score = Score(pairs->metric, queries->rows[query], queries->squared_norms[query],
						   block->rows[candidate], block->squared_norms[candidate], pairs->dim);
	neighbor.distance = DistanceOfScore(pairs->metric, neighbor.score);
	if (neighbor.distance > pairs->max_distance)
		return;
	if (kept->n < pairs->k)
	{
		kept->neighbors[kept->n++] = neighbor;
		SiftUp(pairs, kept->neighbors, kept->n - 1);
	}
	else if (CompareNeighbors(pairs, &neighbor, &kept->neighbors[0]) < 0)
	{
		kept->neighbors[0] = neighbor;
		SiftDown(pairs, kept->neighbors, kept->n);
	}
	else
		return;
	if (kept->n == pairs->k)
		kept->threshold = Max(kept->threshold,
							  PairThreshold(pairs, query, kept->neighbors[0].distance));
}

/*
 * Look through the products of one query with a block.
 */
static void
ReadProducts(AllPairs *pairs, int query, const float *products)
{
	const RowBlock *block = &pairs->block;
	Kept	   *kept = &pairs->kept[query];
	float		error = FloatAbove(pairs->error * pairs->queries.norms[query]);
	int			list[BLOCK_ROWS];
	int			listed;

	if (kept->n < pairs->k)
		kept->threshold = Max(kept->threshold, FirstThreshold(pairs, query, products, error));
	listed = ListReaching(block->n, products, block->norms, block->halves, error,
						  kept->threshold, list);
	for (int i = 0; i < listed; i++)
	{
		int			candidate = list[i];

		if (i % 64 == 63)
			CHECK_FOR_INTERRUPTS();
		/* the threshold rises meanwhile */
		if (products[candidate] + (error * block->norms[candidate] - block->halves[candidate]) <
			kept->threshold ||
			block->numbers[candidate] == pairs->queries.numbers[query])
			continue;
		KeepCandidate(pairs, query, candidate);
	}
}

static void
EmitNeighbors(AllPairs *pairs, int query)
{
	Kept	   *kept = &pairs->kept[query];
	MatrixNeighbor *heap = kept->neighbors;

	/* the second half of a heap sort */
	for (int n = kept->n - 1; n > 0; n--)
	{
		MatrixNeighbor worst = heap[0];

		heap[0] = heap[n];
		heap[n] = worst;
		SiftDown(pairs, heap, n);
	}
	pairs->emit(pairs->queries.numbers[query], heap, kept->n, pairs->arg);
}

/* ---------- all ---------- */

/*
 * How many rows' neighbours are looked for at once: all rows are read for each
 * such block.
 */
static int
QueryRows(const AllPairs *pairs, Size memory)
{
	Size		fixed = sizeof(float) * pairs->block_rows * (Size) pairs->stride;
	Size		each = sizeof(float) * (pairs->stride + pairs->block_rows) + sizeof(Kept) + 64 +
		sizeof(MatrixNeighbor) * (Size) pairs->k;

	if (memory < fixed + 16 * each)
		return 16;
	return (int) Min(MAX_QUERY_ROWS, (memory - fixed) / each);
}

/*
 * The neighbours of a block of rows.
 */
static void
FindNeighbors(AllPairs *pairs)
{
	RowBlock   *queries = &pairs->queries;
	RowBlock   *block = &pairs->block;
	Cursor		cursor = {0};

	for (int i = 0; i < queries->n; i++)
	{
		pairs->kept[i].n = 0;
		pairs->kept[i].threshold = PairThreshold(pairs, i, pairs->max_distance);
	}
	for (;;)
	{
		ReadBlock(pairs, &cursor, pairs->block_rows, block);
		if (block->n == 0)
			break;
		MultiplyTransposed(queries->n, block->n, pairs->dim, queries->copies, pairs->stride,
						   block->copies, pairs->stride, pairs->products, block->n);
		for (int i = 0; i < queries->n; i++)
		{
			if (i % 64 == 0)
				CHECK_FOR_INTERRUPTS();
			ReadProducts(pairs, i, pairs->products + (Size) i * block->n);
		}
	}
	for (int i = 0; i < queries->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		EmitNeighbors(pairs, i);
	}
}

/*
 * Each live row's k nearest other live rows, at most max_distance away, the
 * nearest first; rows in their order.
 */
void
AllNeighbors(const MatrixPart *parts, int n_parts, Metric metric, int k, double max_distance,
			 Size memory, NeighborCompare compare, NeighborEmit emit, void *arg)
{
	AllPairs	pairs = {
		.parts = parts, .n_parts = n_parts, .metric = metric, .k = k,
		.max_distance = max_distance, .compare = compare, .emit = emit, .arg = arg
	};
	Cursor		cursor = {0};
	int64		rows = 0;
	int			query_rows;

	for (int i = 0; i < n_parts; i++)
		rows += parts[i].n;
	if (rows == 0)
		return;
	pairs.dim = parts[0].dim;
	pairs.stride = parts[0].stride;
	pairs.k = (int) Min(k, rows);
	pairs.block_rows = Max(16, Min(BLOCK_ROWS, BLOCK_BYTES / (int) sizeof(float) / pairs.stride));
	query_rows = (int) Min(QueryRows(&pairs, memory), rows);
	PreparePairs(&pairs);
	AllocBlock(&pairs.queries, query_rows, pairs.stride);
	AllocBlock(&pairs.block, pairs.block_rows, pairs.stride);
	pairs.products = AllocAligned(sizeof(float) * query_rows * pairs.block_rows);
	pairs.kept = palloc(sizeof(Kept) * query_rows);
	for (int i = 0; i < query_rows; i++)
		pairs.kept[i].neighbors = MemoryContextAllocHuge(CurrentMemoryContext,
														 sizeof(MatrixNeighbor) * pairs.k);
	for (;;)
	{
		ReadBlock(&pairs, &cursor, query_rows, &pairs.queries);
		if (pairs.queries.n == 0)
			break;
		FindNeighbors(&pairs);
	}
}
