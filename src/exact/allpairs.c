/*
 * allpairs.c
 *		Each row's nearest other rows.
 *
 * Blocks of rows are multiplied by MultiplyTransposed(); a product chooses the
 * candidates of its two rows, and distance.c computes those. A pair is multiplied
 * once for both, which halves the work, but then a row's neighbours change until
 * the last pair. As many consecutive rows as memory holds the neighbours of are a
 * panel, and panels come one after the other: rows within it are multiplied once
 * for both, rows outside of it for the panel's row alone. 100,000 rows with ten
 * neighbours each are one panel. Where a panel is a small part of all, little is
 * saved; keeping the others' neighbours in a file meanwhile would save the more,
 * at the price of a second way to keep them.
 *
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

/* Rows of the blocks, and bytes at most. */
#define BLOCK_ROWS 512
#define BLOCK_BYTES (8 * 1024 * 1024)

/*
 * Rows of the panel that are multiplied with all blocks at a time: preparing the
 * blocks anew for each is a hundredth of the work.
 */
#define MAX_QUERY_ROWS 2048

/* Products are looked through by so many at a time. */
#define RUN_ROWS 64

/* Where a search for live rows is. */
typedef struct Cursor
{
	int			part;
	int64		row;
	int64		passed;			/* how many it has found */
} Cursor;

/* The neighbours of a row so far, in a heap with the worst on top. */
typedef struct Kept
{
	int			n;				/* -1: nobody has looked at the row yet */
	bool		started;		/* has a threshold of its own: see StartRow() */
} Kept;

/* Live rows, prepared. */
typedef struct RowBlock
{
	int			n;
	int			place;			/* of the first in the panel; outside: behind it */
	Kept	   *kept;			/* theirs; NULL outside of the panel */
	float	   *thresholds;		/* what another row must reach for each */
	float	   *copies;			/* n x stride */
	float	   *norms;			/* at least those of the copies */
	float	   *errors;			/* E |x| */
	float	   *halves;			/* euclidean: |y|^2 / 2, at most; else 0 */
	double	   *squared_norms;	/* of the rows themselves, by SquaredNorm(); cosine only */
	const float **rows;			/* where the rows are */
	int64	   *numbers;
} RowBlock;

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
	int			query_rows;
	int			panel_rows;
	Cursor		panel;			/* its first row */
	Kept	   *kept;			/* of the panel's rows */
	float	   *thresholds;
	MatrixNeighbor *neighbors;	/* k for each */
	float		unreachable[BLOCK_ROWS];	/* thresholds outside of the panel */
	RowBlock	queries;		/* rows of the panel, */
	RowBlock	block;			/* and rows that they are multiplied with */
	float	   *products;
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
			cursor->passed++;
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
	block->errors = palloc(sizeof(float) * n);
	block->halves = palloc(sizeof(float) * n);
	block->squared_norms = palloc(sizeof(double) * n);
	block->rows = palloc(sizeof(float *) * n);
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
 * The least similarity, less E |x| |y|, of a row y whose distance from x, as
 * distance.c computes it, is at most the given one. half: of x.
 */
static float
PairThreshold(const AllPairs *pairs, float half, double distance)
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
			threshold = half * (1 - 1e-6) - distance * distance / 2 * (1 + rounded);
	}
	threshold -= pairs->constant + fabs(threshold) * DBL_EPSILON;
	return Max(FloatBelow(threshold), -FLT_MAX);
}

/*
 * Where the neighbours of a block's rows are kept, and an empty place for those
 * that are seen for the first time.
 */
static void
FindKept(AllPairs *pairs, RowBlock *block)
{
	if (block->place == pairs->panel_rows)
	{
		block->kept = NULL;
		block->thresholds = pairs->unreachable;
		return;
	}
	block->kept = pairs->kept + block->place;
	block->thresholds = pairs->thresholds + block->place;
	for (int i = 0; i < block->n; i++)
		if (block->kept[i].n < 0)
		{
			block->kept[i].n = 0;
			block->kept[i].started = false;
			block->thresholds[i] = PairThreshold(pairs, block->halves[i], pairs->max_distance);
		}
}

/*
 * Read the next rows, at most max of them, and not both of the panel and outside.
 */
static void
ReadBlock(AllPairs *pairs, Cursor *cursor, int max, RowBlock *block)
{
	const MatrixPart *part;
	int64		row;
	int64		place = cursor->passed - pairs->panel.passed;

	if (place < 0)
		max = (int) Min(max, -place);
	else if (place < pairs->panel_rows)
		max = (int) Min(max, pairs->panel_rows - place);
	block->n = 0;
	block->place = place < 0 ? pairs->panel_rows : (int) Min(place, pairs->panel_rows);
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
		block->errors[i] = FloatAbove(pairs->error * block->norms[i]);
		block->halves[i] = pairs->metric == METRIC_EUCLIDEAN ?
			FloatBelow(square / 2 * (1 - 1e-6)) : 0;
		block->rows[i] = vector;
		block->numbers[i] = part->first + row;
	}
	FindKept(pairs, block);
}

/* ---------- the neighbours of a row ---------- */

/*
 * List the rows y of a block that reach the threshold of a row x, or x theirs:
 * the upper bounds do, or are no numbers. Both in one pass over the products, row
 * by row as they lie: a second one by columns would cost more than it compares.
 */
BRAIN_KERNEL static int
ListReaching(int n, const float *restrict products,
			 float error, float threshold, const float *restrict norms, const float *restrict halves,
			 float norm, float half, const float *restrict errors, const float *restrict thresholds,
			 int *restrict list)
{
	int			listed = 0;

	for (int first = 0; first < n; first += RUN_ROWS)
	{
		int			last = Min(first + RUN_ROWS, n);
		int			reaching = 0;

		for (int i = first; i < last; i++)
			reaching += !(products[i] + (error * norms[i] - halves[i]) < threshold) |
				!(products[i] + (errors[i] * norm - half) < thresholds[i]);
		if (reaching == 0)
			continue;
		for (int i = first; i < last; i++)
		{
			list[listed] = i;
			listed += !(products[i] + (error * norms[i] - halves[i]) < threshold) |
				!(products[i] + (errors[i] * norm - half) < thresholds[i]);
		}
	}
	return listed;
}

/*
 * Does row j of y reach the threshold of row i of x?
 */
static inline bool
Reaches(const RowBlock *x, int i, const RowBlock *y, int j, float product)
{
	return !(product + (x->errors[i] * y->norms[j] - y->halves[j]) < x->thresholds[i]);
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
 * A threshold for row i of x, which has not k neighbours yet: the k-th best lower
 * bound of the first n rows of y. That many are at least as near, so that nothing
 * is lost. Once for a row is enough, the k neighbours that follow know better;
 * where max_distance leaves fewer, its threshold is the one that counts.
 *
 * The products are step apart.
 */
static void
StartRow(AllPairs *pairs, const RowBlock *x, int i, const RowBlock *y, int first, int n,
		 const float *products, int step)
{
	float		values[BLOCK_ROWS];
	float		lower[BLOCK_ROWS];
	int			numbers = 0;
	double		threshold;

	n = Min(n, BLOCK_ROWS);
	if (x->kept[i].started || n < pairs->k)
		return;
	for (int j = 0; j < n; j++)
		values[j] = products[j * (Size) step];
	LowerBounds(n, values, y->norms + first, y->halves + first, x->errors[i], lower);
	for (int j = 0; j < n; j++)
		if (!isnan(lower[j]))
			lower[numbers++] = lower[j];
	if (numbers < pairs->k)
		return;
	threshold = SelectLargest(lower, numbers, pairs->k);
	/* what distance.c rounds of |x - y|^2, where y is next to nothing */
	threshold -= 2 * pairs->constant + x->halves[i] * 8 * DoubleError(pairs->dim);
	x->thresholds[i] = Max(x->thresholds[i], FloatBelow(threshold));
	x->kept[i].started = true;
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
 * Keep a neighbour of row i of x, if it is near enough.
 */
static void
KeepNeighbor(AllPairs *pairs, const RowBlock *x, int i, MatrixNeighbor neighbor)
{
	Kept	   *kept = &x->kept[i];
	MatrixNeighbor *heap = pairs->neighbors + (x->place + i) * (Size) pairs->k;

	if (kept->n < pairs->k)
	{
		heap[kept->n++] = neighbor;
		SiftUp(pairs, heap, kept->n - 1);
	}
	else if (CompareNeighbors(pairs, &neighbor, &heap[0]) < 0)
	{
		heap[0] = neighbor;
		SiftDown(pairs, heap, kept->n);
	}
	else
		return;
	if (kept->n < pairs->k)
		return;
	kept->started = true;
	x->thresholds[i] = Max(x->thresholds[i],
						   PairThreshold(pairs, x->halves[i], heap[0].distance));
}

/*
 * Compute a pair in double, and keep each for the other, where it can be near
 * enough. The distance is the same from both sides: see Score().
 */
static void
ReadPair(AllPairs *pairs, int query, int other, float product)
{
	const RowBlock *queries = &pairs->queries;
	const RowBlock *block = &pairs->block;
	/* the thresholds may have risen since it was listed */
	bool		near_query = Reaches(queries, query, block, other, product);
	bool		near_other = block->kept && Reaches(block, other, queries, query, product);
	MatrixNeighbor neighbor;

	if (!near_query && !near_other)
		return;
	neighbor.score = Score(pairs->metric, queries->rows[query], queries->squared_norms[query],
						   block->rows[other], block->squared_norms[other], pairs->dim);
	neighbor.distance = DistanceOfScore(pairs->metric, neighbor.score);
	if (neighbor.distance > pairs->max_distance)
		return;
	neighbor.row = block->numbers[other];
	if (near_query)
		KeepNeighbor(pairs, queries, query, neighbor);
	neighbor.row = queries->numbers[query];
	if (near_other)
		KeepNeighbor(pairs, block, other, neighbor);
}

/*
 * Look through the products of one query with a block, from its row first on.
 */
static void
ReadProducts(AllPairs *pairs, int query, int first, const float *products)
{
	const RowBlock *queries = &pairs->queries;
	const RowBlock *block = &pairs->block;
	int			n = block->n - first;
	int			list[BLOCK_ROWS];
	int			listed;

	products += first;
	StartRow(pairs, queries, query, block, first, n, products, 1);
	listed = ListReaching(n, products, queries->errors[query], queries->thresholds[query],
						  block->norms + first, block->halves + first, queries->norms[query],
						  queries->halves[query], block->errors + first, block->thresholds + first,
						  list);
	for (int i = 0; i < listed; i++)
	{
		if (i % 16 == 15 || pairs->dim > 1024)
			CHECK_FOR_INTERRUPTS();
		ReadPair(pairs, query, first + list[i], products[list[i]]);
	}
}

static void
EmitNeighbors(AllPairs *pairs, int place, int64 number)
{
	MatrixNeighbor *heap = pairs->neighbors + place * (Size) pairs->k;
	Kept	   *kept = &pairs->kept[place];

	/* the second half of a heap sort */
	for (int n = kept->n - 1; n > 0; n--)
	{
		MatrixNeighbor worst = heap[0];

		heap[0] = heap[n];
		heap[n] = worst;
		SiftDown(pairs, heap, n);
	}
	pairs->emit(number, heap, kept->n, pairs->arg);
}

/* ---------- all ---------- */

/*
 * How many rows are multiplied at once, and how many are a panel: the larger, the
 * more is saved, so that the former take at most a quarter.
 */
static void
DivideMemory(AllPairs *pairs, int64 memory, int64 rows)
{
	int64		block = (int64) sizeof(float) * pairs->block_rows * pairs->stride;
	int64		query = (int64) sizeof(float) * (pairs->stride + pairs->block_rows) + 64;
	int64		kept = sizeof(Kept) + sizeof(float) + (int64) sizeof(MatrixNeighbor) * pairs->k;
	int64		n;

	memory = Max(memory - block, 0);
	n = Min(MAX_QUERY_ROWS, Min(memory / 4 / query, memory / (query + kept)));
	n = Max(n, 16);
	pairs->query_rows = (int) Min(n, rows);
	n = Max(n, (memory - n * query) / kept);
	pairs->panel_rows = (int) Min(n, Min(rows, PG_INT32_MAX));
}

static void
AllocPairs(AllPairs *pairs)
{
	Size		n = pairs->panel_rows;

	AllocBlock(&pairs->queries, pairs->query_rows, pairs->stride);
	AllocBlock(&pairs->block, pairs->block_rows, pairs->stride);
	pairs->products = AllocAligned(sizeof(float) * pairs->query_rows * pairs->block_rows);
	pairs->kept = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Kept) * n);
	pairs->thresholds = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(float) * n);
	pairs->neighbors = MemoryContextAllocHuge(CurrentMemoryContext,
											  sizeof(MatrixNeighbor) * n * pairs->k);
	for (int i = 0; i < BLOCK_ROWS; i++)
		pairs->unreachable[i] = INFINITY;
}

/*
 * Multiply the queries with the block, and look through the pairs. Of two rows of
 * the panel that is the first one's to do: products for the second are computed
 * only where the block itself is among the queries.
 */
static void
CompareBlock(AllPairs *pairs)
{
	RowBlock   *queries = &pairs->queries;
	RowBlock   *block = &pairs->block;
	int			behind = block->place - queries->place;
	int			rows = (int) Min(queries->n, (int64) behind + block->n);

	MultiplyTransposed(rows, block->n, pairs->dim, queries->copies, pairs->stride,
					   block->copies, pairs->stride, pairs->products, block->n);
	for (int j = 0; j < block->n && block->kept; j++)
	{
		if (j % 64 == 0)
			CHECK_FOR_INTERRUPTS();
		StartRow(pairs, block, j, queries, 0, Min(rows, behind + j), pairs->products + j, block->n);
	}
	for (int i = 0; i < rows; i++)
	{
		if (i % 64 == 0)
			CHECK_FOR_INTERRUPTS();
		ReadProducts(pairs, i, Max(0, i + 1 - behind), pairs->products + (Size) i * block->n);
	}
}

/*
 * Compare the queries, which begin where start is, with all rows but those before
 * them in the panel.
 */
static void
CompareQueries(AllPairs *pairs, const Cursor *start)
{
	Cursor		cursor = {0};

	for (;;)
	{
		if (cursor.passed == pairs->panel.passed)
			cursor = *start;
		ReadBlock(pairs, &cursor, pairs->block_rows, &pairs->block);
		if (pairs->block.n == 0)
			return;
		CompareBlock(pairs);
	}
}

/*
 * The neighbours of the rows of a panel. Moves it to the next; false when there
 * was none.
 */
static bool
FindNeighbors(AllPairs *pairs)
{
	Cursor		cursor = pairs->panel;
	const MatrixPart *part;
	int64		row;

	for (int i = 0; i < pairs->panel_rows; i++)
		pairs->kept[i].n = -1;
	while (cursor.passed < pairs->panel.passed + pairs->panel_rows)
	{
		Cursor		start = cursor;

		ReadBlock(pairs, &cursor, pairs->query_rows, &pairs->queries);
		if (pairs->queries.n == 0)
			break;
		CompareQueries(pairs, &start);
	}
	for (int i = 0; i < pairs->panel_rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!NextRow(pairs, &pairs->panel, &part, &row))
			return false;
		EmitNeighbors(pairs, i, part->first + row);
	}
	return true;
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
	int64		rows = 0;

	for (int i = 0; i < n_parts; i++)
		rows += parts[i].n;
	if (rows == 0)
		return;
	pairs.dim = parts[0].dim;
	pairs.stride = parts[0].stride;
	pairs.k = (int) Min(k, rows);
	pairs.block_rows = Max(16, Min(BLOCK_ROWS, BLOCK_BYTES / (int) sizeof(float) / pairs.stride));
	DivideMemory(&pairs, memory, rows);
	PreparePairs(&pairs);
	AllocPairs(&pairs);
	while (FindNeighbors(&pairs))
		;
}
