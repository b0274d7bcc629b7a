/*
 * scan.c
 *		Finding the best rows of a matrix.
 *
 * Rows are screened (screen.c) in up to three stages, each reading more bytes of
 * fewer rows; what is left is computed in double by distance.c, the only place
 * that computes what is returned, and offered to the caller. From the k-th best
 * distance, which the caller tells, follows the similarity that a row must reach.
 *
 * It goes by superblocks. The first stage bounds every row of one, and keeps
 * the upper bounds. The k rows that look best are computed first: they give a
 * threshold that lets few others through. How many get through the stages on
 * a sample of rows decides which stages the superblock's other rows go through:
 * on data that defeats the screens they cost a few percent, not a third.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "exact/batch.h"
#include "exact/lanes.h"
#include "exact/scan.h"

/* Rows of a superblock: their upper bounds fit into the second-level cache. */
#define FIRST_SUPERBLOCK 4096
#define MAX_SUPERBLOCK (256 * 1024)

/* Bytes of float32 rows between two looks for interrupts, and rows at most. */
#define BLOCK_BYTES (1024 * 1024)
#define BLOCK_ROWS SCREEN_ROWS

/* Upper bounds are looked through by so many at a time. */
#define RUN_ROWS 64

/*
 * Random rows cost about twice as much as rows in order, and the few rows of a
 * block that pass do not come in order: a larger share than this, and the next
 * stage reads all rows of the block.
 */
#define DENSE_SHARE 4

/* A row that looks good. */
typedef struct Seed
{
	float		centre;
	int			row;			/* in its superblock */
} Seed;

typedef struct Scan
{
	const ScanQuery *query;
	Target		target;			/* of one query vector, or of the mean of several */
	Batch	   *batch;			/* of several; NULL: target */
	ScanOffer	offer;
	void	   *arg;
	ScanCounts *counts;
	bool		bounded;		/* not every row is computed */
	double		limit;			/* no distance beyond it is wanted */
	float		threshold;		/* the similarity that follows from limit */
	float		float_threshold;	/* the same for STAGE_FLOAT */

	/* of the superblock */
	float	   *upper;
	Seed	   *seeds;
	int			n_seeds;
	int			max_seeds;
	float		worst_seed;		/* the k-th best centre, as far as it is known */

	/* of the part: rows that came into the first stage, and out of each */
	int64		screened;
	int64		kept[STAGE_FLOAT];
} Scan;

/* ---------- rows computed in double ---------- */

static void
SetLimit(Scan *scan, double limit)
{
	if (!scan->query->reverse)
		limit = Min(limit, scan->query->max_distance);
	if (limit == scan->limit || !scan->bounded)
		return;
	scan->limit = limit;
	if (scan->batch)
		scan->threshold = scan->float_threshold = BatchThreshold(scan->batch, limit);
	else
	{
		scan->threshold = TargetThreshold(&scan->target, limit);
		scan->float_threshold = TargetFloatThreshold(&scan->target, limit);
	}
	/* no bound is -infinity but that of a row which is not to be looked at again */
	scan->threshold = Max(scan->threshold, -FLT_MAX);
	scan->float_threshold = Max(scan->float_threshold, -FLT_MAX);
}

/*
 * Compute a row in double, and offer it.
 */
static void
OfferRow(Scan *scan, const MatrixPart *part, int64 row)
{
	const ScanQuery *query = scan->query;
	const float *vector = part->rows + (Size) row * part->stride;
	double		squared_norm = 0;
	double		distance;
	double		score;

	RequireIntact(part, SECTION_ROWS, row, 1);
	scan->counts->exact_rows++;
	if (query->metric == METRIC_COSINE)
		squared_norm = SquaredNorm(vector, query->dim);
	if (query->n > 1)
		AggregateDistances(query, vector, squared_norm, &distance, &score);
	else
	{
		score = Score(query->metric, query->vectors, query->squared_norms[0], vector,
					  squared_norm, query->dim);
		distance = DistanceOfScore(query->metric, score);
	}
	if (distance > query->max_distance)
		return;
	SetLimit(scan, scan->offer(part->first + row, distance, score, scan->arg));
}

static bool
IsDead(const MatrixPart *part, int64 row)
{
	return part->dead && (part->dead[row / 64] >> (row % 64) & 1);
}

/*
 * Compute every row of a part: no bounds, or no use for them.
 */
static void
OfferAllRows(Scan *scan, const MatrixPart *part)
{
	for (int64 row = 0; row < part->n; row++)
	{
		if (row % 64 == 0 || part->dim > 1024)
			CHECK_FOR_INTERRUPTS();
		if (!IsDead(part, row))
			OfferRow(scan, part, row);
	}
}

/* ---------- bounds of blocks ---------- */

/*
 * Rows that dead says are not there get bounds that nothing wants.
 */
static void
HideDead(const MatrixPart *part, int64 first, int n, float *centre, float *upper)
{
	if (part->dead == NULL)
		return;
	for (int i = 0; i < n; i++)
	{
		/* blocks begin at multiples of 16: the word's other bits are of others */
		if ((first + i) % 64 == 0 && i + 64 <= n && part->dead[(first + i) / 64] == 0)
			i += 63;
		else if (IsDead(part, first + i))
			centre[i] = upper[i] = -INFINITY;
	}
}

/*
 * How many of n upper bounds reach the threshold; those that are no numbers do.
 */
BRAIN_KERNEL static int
CountKept(const float *upper, int n, float threshold)
{
	int			kept = 0;

	for (int i = 0; i < n; i++)
		kept += !(upper[i] < threshold);
	return kept;
}

/*
 * List the rows of a block whose upper bounds reach the threshold.
 */
static int
ListKept(const float *upper, int n, float threshold, int *list)
{
	int			listed = 0;

	for (int first = 0; first < n; first += RUN_ROWS)
	{
		int			last = Min(first + RUN_ROWS, n);

		if (CountKept(upper + first, last - first, threshold) == 0)
			continue;
		for (int i = first; i < last; i++)
		{
			list[listed] = i;
			listed += !(upper[i] < threshold);
		}
	}
	return listed;
}

static int64
CountedRows(ScanCounts *counts, Stage stage, int n)
{
	switch (stage)
	{
		case STAGE_PREFIX:
			return counts->prefix_rows += n;
		case STAGE_INT8:
			return counts->int8_rows += n;
		default:
			return counts->float32_rows += n;
	}
}

static void
ScreenBlockRows(Scan *scan, const MatrixPart *part, Stage stage, int64 first, int n,
				float *centre, float *upper)
{
	static const MatrixSection sections[] = {SECTION_PREFIX, SECTION_ROWS8, SECTION_ROWS};

	CHECK_FOR_INTERRUPTS();
	RequireIntact(part, SECTION_SCREENS, first, n);
	RequireIntact(part, sections[stage], first, n);
	(void) CountedRows(scan->counts, stage, n);
	if (scan->batch)
		ScreenBatchRows(scan->batch, part, stage, first, n, centre, upper);
	else
		ScreenRows(&scan->target, part, stage, first, n, centre, upper);
	HideDead(part, first, n, centre, upper);
}

static float
ThresholdOf(const Scan *scan, Stage stage)
{
	return stage == STAGE_FLOAT ? scan->float_threshold : scan->threshold;
}

/*
 * Put a block's listed rows through a stage: those that pass stay in the list,
 * with their bounds. Returns how many.
 */
static int
ScreenListed(Scan *scan, const MatrixPart *part, Stage stage, int64 first, int n,
			 int *list, int listed, float *upper)
{
	int			kept = 0;

	if (listed == 0)
		return 0;
	if (listed > n / DENSE_SHARE)
	{
		float		centre[BLOCK_ROWS];
		float		all[BLOCK_ROWS];

		ScreenBlockRows(scan, part, stage, first, n, centre, all);
		for (int i = 0; i < listed; i++)
			upper[i] = all[list[i]];
	}
	else
	{
		RequireIntact(part, SECTION_SCREENS, first, n);
		for (int i = 0; i < listed; i++)
			RequireIntact(part, stage == STAGE_INT8 ? SECTION_ROWS8 : SECTION_ROWS,
						  first + list[i], 1);
		(void) CountedRows(scan->counts, stage, listed);
		if (scan->batch)
			ScreenBatchListedRows(scan->batch, part, stage, first, list, listed, upper);
		else
			ScreenListedRows(&scan->target, part, stage, first, list, listed, upper);
	}
	for (int i = 0; i < listed; i++)
	{
		list[kept] = list[i];
		upper[kept] = upper[i];
		kept += !(upper[i] < ThresholdOf(scan, stage));
	}
	return kept;
}

/*
 * Compute the listed rows of a block, which have passed all stages. The
 * threshold rises meanwhile.
 */
static void
OfferListed(Scan *scan, const MatrixPart *part, int64 first, const int *list, int listed,
			const float *upper)
{
	for (int i = 0; i < listed; i++)
	{
		if (i % 64 == 63)
			CHECK_FOR_INTERRUPTS();
		if (!(upper[i] < scan->float_threshold))
			OfferRow(scan, part, first + list[i]);
	}
}

static int
RowsOfBlock(const MatrixPart *part)
{
	int			rows = BLOCK_BYTES / (int) sizeof(float) / part->stride / 16 * 16;

	return Max(16, Min(BLOCK_ROWS, rows));
}

/* The block from row on: it ends with the ScreenBlock, or at last. */
static int
BlockLength(const MatrixPart *part, int64 row, int64 last)
{
	int64		end = Min(last, row + RowsOfBlock(part));

	return (int) (Min(end, (row / SCREEN_ROWS + 1) * SCREEN_ROWS) - row);
}

/*
 * The rows from first on, before last, from float32.
 */
static void
ScanFloats(Scan *scan, const MatrixPart *part, int64 first, int64 last)
{
	float		centre[BLOCK_ROWS];
	float		upper[BLOCK_ROWS];
	int			list[BLOCK_ROWS];

	for (int64 row = first; row < last;)
	{
		int			n = BlockLength(part, row, last);
		int			listed;

		ScreenBlockRows(scan, part, STAGE_FLOAT, row, n, centre, upper);
		listed = ListKept(upper, n, scan->float_threshold, list);
		for (int i = 0; i < listed; i++)
			upper[i] = upper[list[i]];
		OfferListed(scan, part, row, list, listed, upper);
		row += n;
	}
}

/* ---------- seeds ---------- */

static inline void
SwapSeeds(Seed *a, Seed *b)
{
	Seed		seed = *a;

	*a = *b;
	*b = seed;
}

/*
 * Put the k of n seeds that look best first (quickselect).
 */
static void
SelectSeeds(Seed *seeds, int64 n, int64 k)
{
	int64		low = 0;
	int64		high = n - 1;

	while (low < high)
	{
		float		pivot = seeds[low + (high - low) / 2].centre;
		int64		i = low;
		int64		j = high;

		while (i <= j)
		{
			while (seeds[i].centre > pivot)
				i++;
			while (seeds[j].centre < pivot)
				j--;
			if (i <= j)
				SwapSeeds(&seeds[i++], &seeds[j--]);
		}
		if (k - 1 <= j)
			high = j;
		else if (k - 1 >= i)
			low = i;
		else
			return;
	}
}

static void
KeepBestSeeds(Scan *scan)
{
	int64		k = scan->query->k;

	if (scan->n_seeds < k)
		return;
	SelectSeeds(scan->seeds, scan->n_seeds, k);
	scan->n_seeds = k;
	for (int64 i = 0; i < k; i++)
		scan->worst_seed = i == 0 ? scan->seeds[i].centre : Min(scan->worst_seed, scan->seeds[i].centre);
}

/*
 * Remember the rows of a block that look best. There is room for several times
 * k of them: then choosing costs little however the rows are ordered.
 */
static void
CollectSeeds(Scan *scan, const float *centre, const float *upper, int row, int n)
{
	for (int first = 0; first < n; first += RUN_ROWS)
	{
		int			last = Min(first + RUN_ROWS, n);

		if (CountKept(centre + first, last - first, scan->worst_seed) == 0)
			continue;
		for (int i = first; i < last; i++)
		{
			if (!(centre[i] > scan->worst_seed) || upper[i] < scan->threshold)
				continue;
			if (scan->n_seeds == scan->max_seeds)
				KeepBestSeeds(scan);
			scan->seeds[scan->n_seeds++] = (Seed) {centre[i], row + i};
		}
	}
}

static int
CompareSeedRows(const void *a, const void *b)
{
	int			row_a = ((const Seed *) a)->row;
	int			row_b = ((const Seed *) b)->row;

	return (row_a > row_b) - (row_a < row_b);
}

/*
 * Compute the seeds of the superblock that begins at row first.
 */
static void
OfferSeeds(Scan *scan, const MatrixPart *part, int64 first)
{
	KeepBestSeeds(scan);
	qsort(scan->seeds, scan->n_seeds, sizeof(Seed), CompareSeedRows);
	for (int64 i = 0; i < scan->n_seeds; i++)
	{
		int			row = scan->seeds[i].row;

		if (i % 64 == 63)
			CHECK_FOR_INTERRUPTS();
		if (scan->upper[row] < scan->threshold)
			continue;
		OfferRow(scan, part, first + row);
		scan->upper[row] = -INFINITY;
	}
	scan->n_seeds = 0;
}

/* ---------- superblocks ---------- */

/*
 * Bound the rows of a superblock by its first stage. Seeds are collected.
 */
static void
BoundSuperblock(Scan *scan, const MatrixPart *part, Stage stage, int64 first, int64 last)
{
	float		centre[BLOCK_ROWS];

	for (int64 row = first; row < last;)
	{
		int			n = BlockLength(part, row, last);
		float	   *upper = scan->upper + (row - first);

		ScreenBlockRows(scan, part, stage, row, n, centre, upper);
		CollectSeeds(scan, centre, upper, (int) (row - first), n);
		row += n;
	}
}

/*
 * Put what the first stage has left of a superblock through the others. Where
 * int8 keeps most of what the prefix kept, it is left out from there on.
 */
static void
FinishSuperblock(Scan *scan, const MatrixPart *part, Stage stage, int64 first, int64 last)
{
	int64		into_int8 = 0;
	int64		out_of_int8 = 0;

	for (int64 row = first; row < last;)
	{
		int			n = BlockLength(part, row, last);
		int			list[BLOCK_ROWS];
		float		upper[BLOCK_ROWS];
		int			listed = ListKept(scan->upper + (row - first), n, scan->threshold, list);

		scan->kept[stage] += listed;
		if (stage == STAGE_PREFIX && !(into_int8 > 2 * BLOCK_ROWS && out_of_int8 > into_int8 / 2))
		{
			into_int8 += listed;
			listed = ScreenListed(scan, part, STAGE_INT8, row, n, list, listed, upper);
			out_of_int8 += listed;
			scan->kept[STAGE_INT8] += listed;
		}
		listed = ScreenListed(scan, part, STAGE_FLOAT, row, n, list, listed, upper);
		OfferListed(scan, part, row, list, listed, upper);
		if (listed == 0 && row / (64 * BLOCK_ROWS) != (row + n) / (64 * BLOCK_ROWS))
			CHECK_FOR_INTERRUPTS();
		row += n;
	}
	if (stage == STAGE_PREFIX && into_int8 > 2 * BLOCK_ROWS && out_of_int8 > into_int8 / 2)
		scan->kept[STAGE_INT8] = Max(scan->kept[STAGE_INT8], scan->kept[STAGE_PREFIX] / 2);
	scan->screened += last - first;
}

/*
 * What reading a share of the rows costs, all of them costing 1.
 */
static double
ReadCost(double share)
{
	return share > 1.0 / DENSE_SHARE ? 1 : 2 * share;
}

/*
 * Through which stage the rows of a superblock go first: the way that reads the
 * fewest bytes, if all are like its first block.
 */
static Stage
CheapestStage(Scan *scan, const MatrixPart *part, int64 first, int64 last)
{
	int			n = BlockLength(part, first, last);
	double		float_bytes = 4.0 * part->stride;
	double		by_int8;
	double		by_prefix;
	double		kept;
	float		centre[BLOCK_ROWS];
	float		upper[BLOCK_ROWS];
	float		upper8[BLOCK_ROWS];

	/* what its screens need of a row is read too */
	ScreenBlockRows(scan, part, STAGE_INT8, first, n, centre, upper8);
	kept = CountKept(upper8, n, scan->threshold) / (double) n;
	by_int8 = part->stride8 + 12 + ReadCost(kept) * float_bytes;
	if (part->m > 0)
	{
		ScreenBlockRows(scan, part, STAGE_PREFIX, first, n, centre, upper);
		by_prefix = part->stride_prefix + 16 + ReadCost(kept) * float_bytes +
			ReadCost(CountKept(upper, n, scan->threshold) / (double) n) * part->stride8;
		if (by_prefix < Min(by_int8, float_bytes))
			return STAGE_PREFIX;
	}
	return by_int8 < float_bytes ? STAGE_INT8 : STAGE_FLOAT;
}

static Stage
FirstStage(const MatrixPart *part)
{
	return part->m > 0 ? STAGE_PREFIX : STAGE_INT8;
}

/*
 * The way for the first superblock, when nothing is known of where the k-th
 * best will be: as it went in earlier searches.
 */
static Stage
RememberedStage(const MatrixPart *part)
{
	const ScanMemory *memory = part->memory;

	if (memory && memory->searches > 0 && memory->int8_kept > 1.0 / DENSE_SHARE)
		return STAGE_FLOAT;
	if (memory && memory->searches > 0 && memory->prefix_kept > 0.5)
		return STAGE_INT8;
	return FirstStage(part);
}

/*
 * Will the first way do for all? Else the first superblock is small, and what
 * gets through decides for the others.
 */
static bool
ScreensWorked(const MatrixPart *part)
{
	const ScanMemory *memory = part->memory;

	return memory && memory->searches > 0 && memory->int8_kept < 0.05 &&
		(part->m == 0 || memory->prefix_kept < 0.25);
}

/*
 * What this search has shown counts as much as all before it.
 */
static void
Remember(const Scan *scan, const MatrixPart *part)
{
	ScanMemory *memory = part->memory;
	double		prefix_kept = (double) scan->kept[STAGE_PREFIX] / Max(1, scan->screened);
	double		int8_kept = (double) scan->kept[STAGE_INT8] / Max(1, scan->screened);

	/* several query vectors are another matter */
	if (memory == NULL || scan->batch)
		return;
	if (memory->searches == 0)
	{
		memory->prefix_kept = prefix_kept;
		memory->int8_kept = int8_kept;
	}
	memory->prefix_kept = (memory->prefix_kept + prefix_kept) / 2;
	memory->int8_kept = (memory->int8_kept + int8_kept) / 2;
	memory->searches = Min(memory->searches + 1, 1000000);
}

/*
 * Search a part through the screens.
 */
static void
ScanScreened(Scan *scan, const MatrixPart *part)
{
	int64		size = Max(FIRST_SUPERBLOCK, 16 * scan->query->k);
	Stage		stage = scan->batch ? FirstStage(part) : RememberedStage(part);

	if (part->m > 0 && scan->batch)
		PrepareBatchPrefix(scan->batch, part);
	else if (part->m > 0)
		PreparePrefix(&scan->target, part);
	if (scan->batch == NULL && ScreensWorked(part))
		size = MAX_SUPERBLOCK;
	scan->kept[STAGE_PREFIX] = scan->kept[STAGE_INT8] = scan->screened = 0;
	for (int64 first = 0; first < part->n;)
	{
		int64		last = Min(part->n, first + Min(size, MAX_SUPERBLOCK));

		if (scan->threshold > -FLT_MAX && last - first >= FIRST_SUPERBLOCK)
			stage = CheapestStage(scan, part, first, last);
		if (stage != STAGE_PREFIX)
			scan->kept[STAGE_PREFIX] += last - first;
		if (stage == STAGE_FLOAT)
		{
			scan->kept[STAGE_INT8] += last - first;
			scan->screened += last - first;
			ScanFloats(scan, part, first, last);
		}
		else
		{
			BoundSuperblock(scan, part, stage, first, last);
			OfferSeeds(scan, part, first);
			FinishSuperblock(scan, part, stage, first, last);
		}
		first = last;
		size *= 4;
	}
	Remember(scan, part);
}

/* ---------- the search ---------- */

static void
PrepareScan(Scan *scan)
{
	const ScanQuery *query = scan->query;

	if (query->n == 1)
		PrepareTarget(&scan->target, query->metric, query->reverse, query->dim,
					  query->vectors, query->squared_norms[0]);
	else if (query->aggregation == AGGREGATE_POST_MEAN && query->metric != METRIC_EUCLIDEAN)
		PrepareMeanTarget(&scan->target, query);
	else
		scan->batch = PrepareBatch(query);
	scan->limit = NAN;
	SetLimit(scan, query->reverse ? -INFINITY : INFINITY);
}

static void
AllocSuperblock(Scan *scan, const MatrixPart *parts, int n_parts)
{
	int64		rows = 0;

	for (int i = 0; i < n_parts; i++)
		rows = Max(rows, parts[i].n);
	scan->upper = AllocAligned(sizeof(float) * Min(rows, MAX_SUPERBLOCK));
	scan->max_seeds = (int) Max(BLOCK_ROWS, 4 * scan->query->k);
	scan->seeds = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Seed) * scan->max_seeds);
	scan->worst_seed = -INFINITY;
}

/*
 * Offer every row that can be among the best query->k, those included that are
 * as far as the k-th.
 */
void
ScanMatrix(const MatrixPart *parts, int n_parts, const ScanQuery *query, ScanOffer offer,
		   void *arg, ScanCounts *counts)
{
	Scan		scan = {.query = query, .offer = offer, .arg = arg, .counts = counts};
	int64		rows = 0;
	bool		screening;

	for (int i = 0; i < n_parts; i++)
		rows += parts[i].n;
	/* bounds that would keep most rows only cost */
	scan.bounded = query->k > 0 && query->k <= rows / 2;
	screening = scan.bounded && query->screening && query->k <= rows / 8;
	if (scan.bounded)
		PrepareScan(&scan);
	if (screening)
		AllocSuperblock(&scan, parts, n_parts);
	for (int i = 0; i < n_parts; i++)
	{
		if (!scan.bounded || parts[i].screens == NULL)
			OfferAllRows(&scan, &parts[i]);
		else if (screening)
			ScanScreened(&scan, &parts[i]);
		else
			ScanFloats(&scan, &parts[i], 0, parts[i].n);
	}
}
