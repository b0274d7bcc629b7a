/*
 * kernels.c
 *		Do the screens lose a row? Bounds and whole searches, beside brute force.
 *
 * usage: kernels SEED [ROUNDS]
 */
#include "postgres.h"

#include <math.h>

#include "exact/batch.h"
#include "exact/blas.h"
#include "exact/lanes.h"
#include "exact/screen.h"
#include "matrices.h"

#define N_QUERIES 8
#define N_MANY 60

static long checks = 0;
static long failures = 0;

static void
Fail(const char *what, Kind kind, const MatrixPart *part, const char *detail)
{
	if (failures++ < 20)
		printf("not ok: %s: %s, %s, n = %ld, dim = %d, m = %d: %s\n", what, kind_names[kind],
			   MetricName(part->metric), (long) part->n, part->dim, part->m, detail);
}

/* ---------- products ---------- */

/*
 * A product of odd sizes, of which no element is off by more than its bound, and
 * nothing beside it is touched.
 */
static void
CheckProducts(int m, int n, int k)
{
	int			lda = k + Below(5);
	int			ldb = k + Below(5);
	int			ldc = n + Below(5);
	float	   *a = palloc(sizeof(float) * (m * lda + 1));
	float	   *b = palloc(sizeof(float) * (n * ldb + 1));
	float	   *c = palloc(sizeof(float) * (m * ldc + 1));
	bool		right = true;

	for (int i = 0; i < m * lda; i++)
		a[i] = (float) Gaussian();
	for (int i = 0; i < n * ldb; i++)
		b[i] = (float) Gaussian();
	for (int i = 0; i <= m * ldc; i++)
		c[i] = 12345;
	MultiplyTransposed(m, n, k, a, lda, b, ldb, c, ldc);
	for (int i = 0; i < m; i++)
		for (int j = 0; j < ldc; j++)
		{
			double		sum = 0;
			double		sizes = 0;

			for (int l = 0; l < k && j < n; l++)
			{
				sum += (double) a[i * lda + l] * b[j * ldb + l];
				sizes += fabs((double) a[i * lda + l] * b[j * ldb + l]);
			}
			if (j < n)
				right = right && fabs(c[i * ldc + j] - sum) <= (k + 2) * FLOAT_UNIT * sizes;
			else
				right = right && c[i * ldc + j] == 12345;
		}
	checks++;
	if ((!right || c[m * ldc] != 12345) && failures++ < 20)
		printf("not ok: product %d x %d x %d\n", m, n, k);
	pfree(a);
	pfree(b);
	pfree(c);
}

/* ---------- rotations ---------- */

/*
 * A rotation that was found is as orthonormal as it says, in long double; and
 * one is found where it helps, and only there.
 */
static void
CheckRotation(Kind kind, const MatrixPart *part)
{
	long double squares = 0;
	char		detail[100];

	checks++;
	for (int i = 0; i < part->m; i++)
		for (int j = 0; j < part->m; j++)
		{
			long double product = i == j ? -1 : 0;

			for (int l = 0; l < part->dim; l++)
				product += (long double) part->rotation[(Size) i * part->stride + l] *
					part->rotation[(Size) j * part->stride + l];
			squares += product * product;
		}
	if (sqrtl(squares) > part->rotation_error || part->rotation_error > 1e-4)
	{
		snprintf(detail, sizeof detail, "|V V' - 1| is %Lg, not %g", sqrtl(squares), part->rotation_error);
		Fail("rotation", kind, part, detail);
	}
	if ((kind == KIND_GAUSSIAN && part->m > 0) || (kind == KIND_LOW_RANK && part->dim > 300 && part->m == 0))
		Fail("rotation", kind, part, "the length is wrong");
	if (part->m > PrefixLimit(part->n, part->dim))
		Fail("rotation", kind, part, "is too long");
}

/* ---------- bounds ---------- */

/*
 * The similarity that a bound is of, in long double: see Target.
 */
static long double
TrueSimilarity(const Target *target, const float *query, const float *row, Stage stage)
{
	long double product = 0;
	long double row_squares = 0;
	long double difference = 0;
	long double similarity;

	for (int j = 0; j < target->dim; j++)
	{
		product += (long double) row[j] * query[j];
		row_squares += (long double) row[j] * row[j];
		difference += ((long double) row[j] - query[j]) * ((long double) row[j] - query[j]);
	}
	product /= target->g;
	switch (target->metric)
	{
		case METRIC_COSINE:
			similarity = product / sqrtl(row_squares);
			break;
		case METRIC_DOTPRODUCT:
			similarity = product;
			break;
		default:
			similarity = stage == STAGE_FLOAT ? -difference :
				product - row_squares / (2 * (long double) target->g);
	}
	return target->sign * similarity;
}

/*
 * Every bound of every row, against the truth. Returns what share of the bounds
 * is a number.
 */
static double
CheckStage(Kind kind, const MatrixPart *part, const Target *target, const float *query,
		   Stage stage, bool listed)
{
	int64		numbers = 0;

	for (int64 first = 0; first < part->n; first += SCREEN_ROWS)
	{
		int			n = (int) Min(SCREEN_ROWS, part->n - first);
		float		centre[SCREEN_ROWS];
		float		upper[SCREEN_ROWS];
		int			list[SCREEN_ROWS];

		for (int i = 0; i < n; i++)
			list[i] = n - 1 - i;
		if (listed)
			ScreenListedRows(target, part, stage, first, list, n, upper);
		else
			ScreenRows(target, part, stage, first, n, centre, upper);
		for (int i = 0; i < n; i++)
		{
			int			row = listed ? list[i] : i;
			long double truth = TrueSimilarity(target, query, part->rows + (first + row) * part->stride,
											   stage);
			char		detail[200];

			checks++;
			numbers += isfinite(upper[i]);
			if (upper[i] >= truth || isnan(upper[i]))
				continue;
			snprintf(detail, sizeof detail, "stage %d, row %ld: %.9g (centre %.9g) is below %.12Lg",
					 stage, (long) (first + row), upper[i], listed ? 0 : centre[i], truth);
			Fail("bound", kind, part, detail);
		}
	}
	return (double) numbers / Max(1, part->n);
}

static void
CheckBounds(Kind kind, const MatrixPart *part, const float *query, bool reverse)
{
	Target		target = {0};
	double		numbers;

	PrepareTarget(&target, part->metric, reverse, part->dim, query, SquaredNorm(query, part->dim));
	if (part->m > 0)
	{
		PreparePrefix(&target, part);
		(void) CheckStage(kind, part, &target, query, STAGE_PREFIX, false);
	}
	(void) CheckStage(kind, part, &target, query, STAGE_INT8, true);
	numbers = CheckStage(kind, part, &target, query, STAGE_INT8, false);
	if (part->n > 0 && numbers < 1 && kind != KIND_EXTREMES && kind != KIND_NORMS &&
		target.g > 1e-30 && target.g < 1e30)
		Fail("bound", kind, part, "is not a number");
	(void) CheckStage(kind, part, &target, query, STAGE_FLOAT, true);
	(void) CheckStage(kind, part, &target, query, STAGE_FLOAT, false);
}

/* ---------- searches ---------- */

typedef struct Answer
{
	const ScanQuery *query;
	int64		n;
	double	   *distances;		/* by row; NAN: not offered */
	double	   *best;			/* a heap would do; a sorted list does too */
	int64		n_best;
	bool		twice;
} Answer;

static bool
Better(const ScanQuery *query, double a, double b)
{
	return query->reverse ? a > b : a < b;
}

static double
TakeOffer(int64 row, double distance, double score, void *arg)
{
	Answer	   *answer = arg;
	int64		k = answer->query->k;
	int64		i;

	(void) score;
	if (!isnan(answer->distances[row]))
		answer->twice = true;
	answer->distances[row] = distance;
	if (k == 0)
		return answer->query->reverse ? -INFINITY : INFINITY;
	if (answer->n_best < k || Better(answer->query, distance, answer->best[k - 1]))
	{
		i = answer->n_best < k ? answer->n_best++ : k - 1;
		for (; i > 0 && Better(answer->query, distance, answer->best[i - 1]); i--)
			answer->best[i] = answer->best[i - 1];
		answer->best[i] = distance;
	}
	if (answer->n_best < k)
		return answer->query->reverse ? -INFINITY : INFINITY;
	return answer->best[k - 1];
}

static int
CompareDoubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
TrueDistance(const ScanQuery *query, const float *row)
{
	double		distance;
	double		score;

	AggregateDistances(query, row, SquaredNorm(row, query->dim), &distance, &score);
	return distance;
}

/*
 * A search offers every live row that is as good as the k-th best, with the
 * very bits of distance.c, none twice and none that is dead.
 */
static void
CheckSearch(Kind kind, const MatrixPart *parts, int n_parts, const ScanQuery *query)
{
	Answer		answer = {.query = query};
	ScanCounts	counts = {0};
	double	   *truth;
	double	   *sorted;
	double		limit = query->reverse ? -INFINITY : INFINITY;
	int64		live = 0;
	char		detail[200];

	for (int p = 0; p < n_parts; p++)
		answer.n += parts[p].n;
	answer.distances = malloc(sizeof(double) * (answer.n + 1));
	answer.best = malloc(sizeof(double) * (query->k + 1));
	truth = malloc(sizeof(double) * (answer.n + 1));
	sorted = malloc(sizeof(double) * (answer.n + 1));
	for (int64 i = 0; i < answer.n; i++)
		answer.distances[i] = NAN;
	for (int p = 0; p < n_parts; p++)
		for (int64 i = 0; i < parts[p].n; i++)
		{
			int64		row = parts[p].first + i;

			truth[row] = NAN;
			if (parts[p].dead && (parts[p].dead[i / 64] >> (i % 64) & 1))
				continue;
			truth[row] = TrueDistance(query, parts[p].rows + i * parts[p].stride);
			if (truth[row] > query->max_distance)
				truth[row] = NAN;
			else
				sorted[live++] = query->reverse ? -truth[row] : truth[row];
		}
	qsort(sorted, live, sizeof(double), CompareDoubles);
	if (query->k > 0 && live >= query->k)
		limit = query->reverse ? -sorted[query->k - 1] : sorted[query->k - 1];

	ScanMatrix(parts, n_parts, query, TakeOffer, &answer, &counts);
	checks++;
	for (int64 i = 0; i < answer.n; i++)
	{
		if (!isnan(answer.distances[i]) && answer.distances[i] != truth[i])
		{
			snprintf(detail, sizeof detail, "row %ld: %.17g for %.17g", (long) i, answer.distances[i], truth[i]);
			Fail("search", kind, parts, detail);
			break;
		}
		if (isnan(answer.distances[i]) && !isnan(truth[i]) && !Better(query, limit, truth[i]))
		{
			snprintf(detail, sizeof detail, "k = %ld%s, screening %d, %d queries, aggregation %d: row %ld is lost: %.17g, the k-th is %.17g",
					 (long) query->k, query->reverse ? ", reverse" : "", query->screening, query->n,
					 query->aggregation, (long) i, truth[i], limit);
			Fail("search", kind, parts, detail);
			break;
		}
	}
	if (answer.twice)
		Fail("search", kind, parts, "a row is offered twice");
	free(answer.distances);
	free(answer.best);
	free(truth);
	free(sorted);
}

/*
 * Searches for the same query vectors with all sorts of arguments.
 */
static void
CheckSearches(Kind kind, MatrixPart *parts, int n_parts, int64 n, const float *queries,
			  int n_queries, Aggregation aggregation)
{
	const MatrixPart *part = parts;
	double		squared_norms[64];
	int64		ks[] = {1, 10, n / 20, n / 8, n / 3, n, 0};

	for (int i = 0; i < n_queries; i++)
		squared_norms[i] = SquaredNorm(queries + (Size) i * part->dim, part->dim);
	for (int i = 0; i < (int) lengthof(ks); i++)
		for (int bits = 0; bits < 8; bits++)
		{
			ScanQuery	query = {
				.metric = part->metric, .reverse = bits & 1, .screening = bits & 2,
				.n = n_queries, .dim = part->dim, .vectors = queries,
				.squared_norms = squared_norms, .aggregation = aggregation,
				.k = ks[i], .max_distance = INFINITY
			};

			if (ks[i] < 1 && i < (int) lengthof(ks) - 1)
				continue;
			/* of several, some */
			if (n_queries > 1 && Below(4) > 0)
				continue;
			if (bits & 4)
			{
				if (n > 0 && part->n > 0)
					query.max_distance = TrueDistance(&query, part->rows + (Size) Below((int) part->n) * part->stride);
				if (Below(8) == 0)
					query.max_distance = -1;
			}
			CheckSearch(kind, parts, n_parts, &query);
		}
}

/* ---------- all pairs ---------- */

typedef struct Pairs
{
	Kind		kind;
	const MatrixPart *parts;
	int			n_parts;
	int			k;
	double		max_distance;
	int64		emitted;
	int64		last;
} Pairs;

/* An order of ids that is not the rows'. */
static int
CompareIds(int64 a, int64 b, void *arg)
{
	uint32		x = (uint32) a * 2654435761u;
	uint32		y = (uint32) b * 2654435761u;

	(void) arg;
	return (x > y) - (x < y);
}

static int
CompareNeighbors(const void *a, const void *b)
{
	const MatrixNeighbor *x = a;
	const MatrixNeighbor *y = b;

	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	return CompareIds(x->row, y->row, NULL);
}

static const float *
LiveVector(const Pairs *pairs, int64 number)
{
	for (int p = 0; p < pairs->n_parts; p++)
	{
		const MatrixPart *part = &pairs->parts[p];
		int64		row = number - part->first;

		if (row < 0 || row >= part->n)
			continue;
		return part->dead && (part->dead[row / 64] >> (row % 64) & 1) ? NULL :
			part->rows + row * part->stride;
	}
	return NULL;
}

static int64
RowsOfParts(const MatrixPart *parts, int n_parts)
{
	return parts[n_parts - 1].first + parts[n_parts - 1].n;
}

static void
CheckNeighbors(int64 row, const MatrixNeighbor *neighbors, int n, void *arg)
{
	Pairs	   *pairs = arg;
	const MatrixPart *part = pairs->parts;
	int64		rows = RowsOfParts(pairs->parts, pairs->n_parts);
	MatrixNeighbor *truth = malloc(sizeof(MatrixNeighbor) * (rows + 1));
	const float *vector = LiveVector(pairs, row);
	int			expected = 0;
	char		detail[200];

	checks++;
	if (vector == NULL || row <= pairs->last)
		Fail("neighbors", pairs->kind, part, "a dead row, or rows out of order");
	for (int64 i = 0; i < rows && vector; i++)
	{
		const float *other = LiveVector(pairs, i);
		MatrixNeighbor *t = &truth[expected];

		if (other == NULL || i == row)
			continue;
		t->row = i;
		t->score = Score(part->metric, vector, SquaredNorm(vector, part->dim), other,
						 SquaredNorm(other, part->dim), part->dim);
		t->distance = DistanceOfScore(part->metric, t->score);
		expected += t->distance <= pairs->max_distance;
	}
	qsort(truth, expected, sizeof(MatrixNeighbor), CompareNeighbors);
	expected = Min(expected, pairs->k);
	if (n != expected)
	{
		snprintf(detail, sizeof detail, "k = %d, row %ld: %d for %d", pairs->k, (long) row, n, expected);
		Fail("neighbors", pairs->kind, part, detail);
	}
	for (int i = 0; i < Min(n, expected); i++)
		if (neighbors[i].row != truth[i].row || neighbors[i].distance != truth[i].distance ||
			neighbors[i].score != truth[i].score)
		{
			snprintf(detail, sizeof detail, "k = %d, row %ld, rank %d: %ld at %.17g for %ld at %.17g",
					 pairs->k, (long) row, i, (long) neighbors[i].row, neighbors[i].distance,
					 (long) truth[i].row, truth[i].distance);
			Fail("neighbors", pairs->kind, part, detail);
			break;
		}
	pairs->emitted++;
	pairs->last = row;
	free(truth);
}

static void
CheckAllPairs(Kind kind, const MatrixPart *parts, int n_parts, int k, double max_distance)
{
	Pairs		pairs = {kind, parts, n_parts, k, max_distance, 0, -1};
	int64		live = 0;

	for (int64 i = 0; i < RowsOfParts(parts, n_parts); i++)
		live += LiveVector(&pairs, i) != NULL;
	/* for one panel, or for few rows in each */
	AllNeighbors(parts, n_parts, parts->metric, k, max_distance, (Size) 1 << (14 + Below(12)),
				 CompareIds, CheckNeighbors, &pairs);
	if (pairs.emitted != live)
		Fail("neighbors", kind, parts, "not each row once");
}

/*
 * One matrix: bounds, and searches in it whole and in parts.
 */
static void
CheckMatrix(Kind kind, Metric metric, int64 n, int dim, int m)
{
	int			stride = MatrixStride(dim);
	int			n_parts = 1 + Below(4);
	float	   *rows = AllocPages(sizeof(float) * (n + 1) * stride);
	float	   *queries = palloc(sizeof(float) * N_QUERIES * dim);
	MatrixPart	parts[4];
	ScanMemory	memory[4] = {0};
	int64		first = 0;

	FillRows(kind, metric, n, dim, rows);
	for (int i = 0; i < N_QUERIES; i++)
	{
		/* a row; or another vector of this kind */
		if (n > 0 && i % 2 == 0)
			memcpy(queries + (Size) i * dim, rows + (Size) Below((int) n) * stride, sizeof(float) * dim);
		else
		{
			float	   *other = palloc0(sizeof(float) * stride);

			FillRows(i % 4 == 1 ? kind : (Kind) Below(N_KINDS), metric, 1, dim, other);
			memcpy(queries + (Size) i * dim, other, sizeof(float) * dim);
			pfree(other);
		}
	}
	for (int p = 0; p < n_parts; p++)
	{
		int64		part_n = p == n_parts - 1 ? n - first : Below((int) Min(n - first, 5000) + 1);
		uint64	   *dead = AllocPages(sizeof(uint64) * (part_n / 64 + 1));

		MakePart(&parts[p], metric, part_n, dim, rows + first * stride, m);
		if (m < 0)
			CheckRotation(kind, &parts[p]);
		for (int64 i = 0; i < part_n; i++)
			if (Below(p == 0 ? 1000 : 3) == 0)
				dead[i / 64] |= (uint64) 1 << (i % 64);
		parts[p].first = first;
		parts[p].dead = Below(2) ? dead : NULL;
		parts[p].memory = &memory[p];
		/* rows without screens: what changed since */
		if (n_parts > 1 && p == 1 && Below(3) == 0)
			parts[p].screens = NULL;
		first += part_n;
	}
	for (int p = 0; p < n_parts; p++)
		for (int i = 0; i < N_QUERIES && parts[p].screens; i++)
			CheckBounds(kind, &parts[p], queries + (Size) i * dim, i % 3 == 2);
	for (int i = 0; i < N_QUERIES; i += 3)
		CheckSearches(kind, parts, n_parts, n, queries + (Size) i * dim, 1, AGGREGATE_MEAN);
	CheckSearches(kind, parts, n_parts, n, queries, 2 + Below(N_QUERIES - 1),
				  AGGREGATE_POST_MEAN + Below(3));
	if (n > 0 && n < 1500)
	{
		MatrixPart *part = &parts[Below(n_parts)];
		double		max_distance = INFINITY;
		double		score;

		if (Below(2) && part->n > 1)
		{
			score = Score(metric, part->rows, SquaredNorm(part->rows, dim), part->rows + stride,
						  SquaredNorm(part->rows + stride, dim), dim);
			max_distance = DistanceOfScore(metric, score);
		}
		CheckAllPairs(kind, parts, n_parts, 1 + Below(12), max_distance);
		if (n < 300)
			CheckAllPairs(kind, parts, n_parts, (int) n, max_distance);
	}
	/* enough for a matrix product */
	if (n < 2000)
	{
		float	   *many = palloc(sizeof(float) * N_MANY * dim);

		for (int i = 0; i < N_MANY; i++)
			memcpy(many + (Size) i * dim, queries + (Size) Below(N_QUERIES) * dim, sizeof(float) * dim);
		CheckSearches(kind, parts, n_parts, n, many, N_MANY, AGGREGATE_POST_MEAN + Below(3));
		pfree(many);
	}
}

int
main(int argc, char **argv)
{
	static const int dims[] = {1, 2, 3, 7, 16, 17, 31, 32, 33, 64, 96, 100, 127, 128, 200, 384, 513};
	uint64		seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	int			rounds = argc > 2 ? atoi(argv[2]) : 30;

	for (int round = 0; round < rounds; round++)
	{
		int			dim;
		int64		n;
		int			m;
		Kind		kind;
		Metric		metric;

		SeedRandom(seed * 1000 + round);
		kind = round % N_KINDS;
		metric = Below(3);
		dim = dims[Below(lengthof(dims))];
		n = Below(8) == 0 ? Below(3) : 50 + Below(Below(4) == 0 ? 12000 : 2500);
		m = dim >= 64 && Below(2) ? Below(3) ? 32 : 1 + Below(dim / 2) : 0;
		/* the rotation is to be found */
		if (dim >= 64 && n >= 4096 && Below(2))
			m = -1;
		CheckMatrix(kind, metric, n, dim, m);
		for (int i = 0; i < 3; i++)
			CheckProducts(1 + Below(100), 1 + Below(100), 1 + Below(i == 2 ? 2000 : 100));
	}
	/* more than one slice */
	CheckProducts(2500, 499, 501);
	printf("%s: seed %lu, %ld checks, %ld failures\n", failures ? "not ok" : "ok",
		   (unsigned long) seed, checks, failures);
	return failures ? 1 : 0;
}
