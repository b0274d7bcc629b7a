/*
 * measure.c
 *		How fast are the kernels? For tuning; bench/run measures what counts.
 *
 * usage: measure N DIM KIND METRIC [QUERIES [FILE]]
 *
 * KIND and METRIC are numbers: see matrices.h and distance.h. FILE: N x DIM
 * float32 values instead of a made-up matrix.
 */
#include "postgres.h"

#include <math.h>
#include <time.h>

#include "exact/batch.h"
#include "exact/blas.h"
#include "exact/lanes.h"
#include "matrices.h"
#include "miscadmin.h"

#define K 10

static double
Milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

BRAIN_KERNEL static float
SumAll(const float *values, Size n)
{
	Lanes		a = {0};
	Lanes		b = {0};
	Lanes		c = {0};
	Lanes		d = {0};

	for (Size i = 0; i + 64 <= n; i += 64)
	{
		a += *(const Lanes *) (values + i);
		b += *(const Lanes *) (values + i + 16);
		c += *(const Lanes *) (values + i + 32);
		d += *(const Lanes *) (values + i + 48);
	}
	a += b + c + d;
	return a[0] + a[7];
}

typedef struct Best
{
	int64		k;
	int64		n;
	double		distance[1024];
} Best;

static double
Keep(int64 row, double distance, double score, void *arg)
{
	Best	   *best = arg;
	int64		i;

	(void) row;
	(void) score;
	if (best->n == best->k && distance >= best->distance[best->k - 1])
		return best->distance[best->k - 1];
	i = best->n < best->k ? best->n++ : best->k - 1;
	for (; i > 0 && distance < best->distance[i - 1]; i--)
		best->distance[i] = best->distance[i - 1];
	best->distance[i] = distance;
	return best->n < best->k ? INFINITY : best->distance[best->k - 1];
}

static int
CompareDoubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/*
 * One way to search, for several query vectors (apart, or together), beside the
 * sum over the rows.
 */
static void
Measure(const char *name, const MatrixPart *part, ScanQuery *query, const float *queries,
		int n_queries, double sum)
{
	double		times[1000];
	ScanCounts	counts = {0};

	for (int i = 0; i < n_queries; i++)
	{
		Best		best = {.k = query->k};
		double		squared_norms[1000];
		double		begin;

		query->vectors = queries + (Size) i * query->dim * query->n;
		for (int j = 0; j < query->n; j++)
			squared_norms[j] = SquaredNorm(query->vectors + (Size) j * query->dim, query->dim);
		query->squared_norms = squared_norms;
		begin = Milliseconds();
		if (i == 0)
			shim_longest = -1;
		CHECK_FOR_INTERRUPTS();
		ScanMatrix(part, 1, query, Keep, &best, &counts);
		CHECK_FOR_INTERRUPTS();
		times[i] = Milliseconds() - begin;
	}
	printf("%-28s first %8.3f ms", name, times[0]);
	qsort(times, n_queries, sizeof(double), CompareDoubles);
	printf(", min %8.3f, median %8.3f (%5.2f of the sum, %.3f a query); rows prefix %ld, int8 %ld, float32 %ld, exact %ld; %.1f ms uninterruptible\n",
		   times[0], times[n_queries / 2], times[n_queries / 2] / sum, times[n_queries / 2] / query->n,
		   (long) counts.prefix_rows / n_queries, (long) counts.int8_rows / n_queries,
		   (long) counts.float32_rows / n_queries, (long) counts.exact_rows / n_queries,
		   shim_longest);
}

static int
CompareRows(int64 a, int64 b, void *arg)
{
	(void) arg;
	return (a > b) - (a < b);
}

static void
CountNeighbors(int64 row, const MatrixNeighbor *neighbors, int n, void *arg)
{
	(void) row;
	(void) neighbors;
	*(int64 *) arg += n;
}

/*
 * All pairs, and many query vectors, beside the peak of sgemm.
 */
static void
MeasureProducts(const MatrixPart *part, ScanQuery *query, const float *queries)
{
	static const int several[] = {8, 64, 1000};
	int			size = 1024;
	float	   *a = AllocPages(sizeof(float) * size * part->stride);
	float	   *c = AllocPages(sizeof(float) * size * size);
	double		begin;
	double		best = 1e9;
	double		flops = 2.0 * part->n * part->dim;
	int64		count = 0;

	memcpy(a, part->rows, sizeof(float) * size * part->stride);
	for (int i = 0; i < 20; i++)
	{
		begin = Milliseconds();
		MultiplyTransposed(size, size, part->dim, a, part->stride, a, part->stride, c, size);
		best = Min(best, Milliseconds() - begin);
	}
	best = 2.0 * size * size * part->dim / best;
	printf("products %.1f GFLOP/s\n", best / 1e6);
	for (int aggregation = AGGREGATE_POST_MEAN; aggregation <= AGGREGATE_POST_MAX; aggregation++)
		for (int i = 0; i < 3; i++)
		{
			char		name[100];

			query->n = several[i];
			query->aggregation = aggregation;
			snprintf(name, sizeof name, "%d queries, aggregation %d", query->n, aggregation);
			Measure(name, part, query, queries, i == 0 ? 9 : 1, flops / best);
		}
	if (part->n > 30000)
		return;
	shim_longest = -1;
	begin = Milliseconds();
	AllNeighbors(part, 1, part->metric, K, INFINITY, 32 << 20, CompareRows, CountNeighbors, &count);
	begin = Milliseconds() - begin;
	printf("neighbors: %.0f ms, %.2f of the peak; %.1f ms uninterruptible\n", begin,
		   flops * part->n / best / begin, shim_longest);
}

int
main(int argc, char **argv)
{
	int64		n = atol(argv[1]);
	int			dim = atoi(argv[2]);
	Kind		kind = atoi(argv[3]);
	Metric		metric = atoi(argv[4]);
	int			n_queries = argc > 5 ? atoi(argv[5]) : 50;
	int			stride = MatrixStride(dim);
	float	   *rows = AllocPages(sizeof(float) * n * stride);
	float	   *queries = malloc(sizeof(float) * 9000 * dim);
	MatrixPart	part;
	ScanMemory	memory = {0};
	ScanQuery	query = {.metric = metric, .n = 1, .dim = dim, .k = K, .max_distance = INFINITY};
	double		sum = 1e9;
	double		begin;

	if (argc > 6)
	{
		FILE	   *file = fopen(argv[6], "rb");

		for (int64 i = 0; i < n; i++)
			if (fread(rows + i * stride, sizeof(float) * dim, 1, file) != 1)
				return 1;
	}
	else
		FillRows(kind, metric, n, dim, rows);
	for (int i = 0; i < 9000; i++)
		memcpy(queries + (Size) i * dim, rows + (int64) ((i * 2654435761u) % (unsigned) n) * stride,
			   sizeof(float) * dim);
	shim_longest = -1;
	begin = Milliseconds();
	MakePart(&part, metric, n, dim, rows, -1);
	printf("%ld x %d %s, %s: m = %d, made in %.0f ms; %.1f ms uninterruptible\n", (long) n, dim, kind_names[kind], MetricName(metric),
		   part.m, Milliseconds() - begin, shim_longest);
	for (int i = 0; i < 20; i++)
	{
		volatile float total;

		begin = Milliseconds();
		total = SumAll(rows, (Size) n * stride);
		(void) total;
		sum = Min(sum, Milliseconds() - begin);
	}
	printf("sum over float32 %.3f ms\n", sum);
	Measure("float32", &part, &query, queries, n_queries, sum);
	query.screening = true;
	Measure("screens, nothing remembered", &part, &query, queries, n_queries, sum);
	part.memory = &memory;
	Measure("screens", &part, &query, queries, n_queries, sum);
	query.k = 100;
	Measure("screens, k = 100", &part, &query, queries, n_queries, sum);
	query.k = K;
	MeasureProducts(&part, &query, queries);
	query.n = 1;
	part.m = 0;
	memory.searches = 0;
	Measure("int8 only", &part, &query, queries, n_queries, sum);
	return 0;
}
