/*
 * batch.c
 *		Many query vectors at once: several in one search, or all rows.
 *
 * Several query vectors share what is read: rows stay in the first-level cache
 * while each query's bound is computed, and many are multiplied by OpenBLAS.
 * The bounds are aggregated as the distances will be: the least distance is at
 * least the least lower bound, and so on.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "exact/batch.h"
#include "exact/blas.h"
#include "exact/lanes.h"

/* Bytes of rows that stay in the first-level cache. */
#define CACHED_BYTES (24 * 1024)

/* From so many values of all query vectors on OpenBLAS is faster than a scan. */
#define MIN_PRODUCT_VALUES 16000

/* Rows that are multiplied at once, and floats of their products at most. */
#define PRODUCT_ROWS 512
#define MAX_PRODUCTS (4 * 1024 * 1024)

/* Covers the float operations that make a distance of a similarity. */
#define DISTANCE_ERROR 1e-6f

/* ---------- distances ---------- */

/*
 * The distances to several query vectors as one, and the score that such a
 * distance has.
 */
void
AggregateDistances(const ScanQuery *query, const float *vector, double squared_norm,
				   double *distance, double *score)
{
	double		result = 0;

	for (int i = 0; i < query->n; i++)
	{
		double		each = DistanceOfScore(query->metric,
										   Score(query->metric, query->vectors + (Size) i * query->dim,
												 query->squared_norms[i], vector, squared_norm,
												 query->dim));

		CHECK_FOR_INTERRUPTS();
		if (i == 0)
			result = each;
		else if (query->aggregation == AGGREGATE_POST_MIN)
			result = Min(result, each);
		else if (query->aggregation == AGGREGATE_POST_MAX)
			result = Max(result, each);
		else
			result += each;
	}
	*distance = query->aggregation == AGGREGATE_POST_MEAN ? result / query->n : result;
	*score = ScoreOfDistance(query->metric, *distance);
}

/*
 * Turn bounds of similarities into bounds of distances: negative ones, or with
 * reverse (sign -1) positive ones. What is no number, or beyond float32, bounds
 * nothing: infinity. square: bounds are of squared distances (STAGE_FLOAT).
 */
BRAIN_KERNEL static void
DistanceBounds(Metric metric, bool square, float sign, float g, float gain, float squared_norm,
			   int n, float *bounds)
{
	if (metric == METRIC_DOTPRODUCT)
		for (int i = 0; i < n; i++)
		{
			float		b = g * bounds[i];

			bounds[i] = b + fabsf(b) * DISTANCE_ERROR;
		}
	else if (metric == METRIC_COSINE)
		for (int i = 0; i < n; i++)
		{
			float		b = gain * bounds[i];

			bounds[i] = b - sign + (fabsf(b) + 1) * DISTANCE_ERROR;
		}
	else
		for (int i = 0; i < n; i++)
		{
			/* of the squared distance: a lower bound, or with reverse an upper one */
			float		b = 2 * g * bounds[i];
			float		s = squared_norm - sign * b - sign * (squared_norm + fabsf(b)) * DISTANCE_ERROR;

			s = square ? -sign * bounds[i] : s;
			s = s > 0 ? sqrtf(s) : s <= 0 ? 0 : INFINITY * sign;
			bounds[i] = -sign * s + s * DISTANCE_ERROR;
		}
	for (int i = 0; i < n; i++)
		bounds[i] = bounds[i] >= -FLT_MAX ? bounds[i] : INFINITY;
}

typedef enum Merge
{
	MERGE_LEAST,
	MERGE_GREATEST,
	MERGE_SUM,
} Merge;

BRAIN_KERNEL static void
MergeBounds(Merge merge, int n, const float *bounds, float *merged)
{
	if (merge == MERGE_LEAST)
		for (int i = 0; i < n; i++)
			merged[i] = bounds[i] < merged[i] ? bounds[i] : merged[i];
	else if (merge == MERGE_GREATEST)
		for (int i = 0; i < n; i++)
			merged[i] = bounds[i] > merged[i] ? bounds[i] : merged[i];
	else
		for (int i = 0; i < n; i++)
			merged[i] += bounds[i];
}

/* Bounds are negative distances, unless reverse. */
static Merge
MergeOf(const Batch *batch)
{
	Aggregation aggregation = batch->query->aggregation;

	if (aggregation != AGGREGATE_POST_MIN && aggregation != AGGREGATE_POST_MAX)
		return MERGE_SUM;
	return (aggregation == AGGREGATE_POST_MIN) == batch->query->reverse ? MERGE_LEAST :
		MERGE_GREATEST;
}

/*
 * Take the similarities' bounds of one query vector into those of all.
 */
static void
AddTarget(const Batch *batch, int i, bool square, int n, float *bounds, float *merged)
{
	const Target *target = &batch->targets[i];

	DistanceBounds(target->metric, square, target->sign, (float) target->g, (float) target->gain,
				   (float) target->squared_norm, n, bounds);
	if (i == 0)
		memcpy(merged, bounds, sizeof(float) * n);
	else
		MergeBounds(MergeOf(batch), n, bounds, merged);
}

/*
 * A sum of n floats of one sign is off by at most n u of itself.
 */
static void
FinishMean(const Batch *batch, int n, float *merged)
{
	int			n_queries = batch->query->n;
	float		error = (float) ((n_queries + 8) * FLOAT_UNIT * 1.01);

	if (MergeOf(batch) != MERGE_SUM)
		return;
	for (int i = 0; i < n; i++)
		merged[i] = (merged[i] + fabsf(merged[i]) * error) / n_queries;
}

/* ---------- the queries ---------- */

/*
 * The mean of other than euclidean distances needs no batch: see
 * PrepareMeanTarget().
 */
Batch *
PrepareBatch(const ScanQuery *query)
{
	Batch	   *batch = palloc0(sizeof(Batch));
	int			stride = MatrixStride(query->dim);

	batch->query = query;
	batch->targets = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Target) * query->n);
	memset(batch->targets, 0, sizeof(Target) * query->n);
	for (int i = 0; i < query->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		PrepareTarget(&batch->targets[i], query->metric, query->reverse, query->dim,
					  query->vectors + (Size) i * query->dim, query->squared_norms[i]);
	}
	if ((double) query->n * query->dim < MIN_PRODUCT_VALUES)
		return batch;
	batch->max_rows = Max(16, Min(PRODUCT_ROWS, Min(MAX_PRODUCTS / query->n, MAX_PRODUCTS / stride)));
	batch->queries = AllocAligned(sizeof(float) * query->n * stride);
	batch->rows = AllocAligned(sizeof(float) * batch->max_rows * stride);
	batch->products = AllocAligned(sizeof(float) * batch->max_rows * query->n);
	for (int i = 0; i < query->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		memcpy(batch->queries + (Size) i * stride, batch->targets[i].scaled, sizeof(float) * stride);
	}
	return batch;
}

void
PrepareBatchPrefix(Batch *batch, const MatrixPart *part)
{
	for (int i = 0; i < batch->query->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		PreparePrefix(&batch->targets[i], part);
	}
}

/*
 * The least bound of a row whose aggregated distance is at most the given one
 * (reverse: at least). What distance.c rounds is in the bounds; their mean is
 * rounded too.
 */
float
BatchThreshold(const Batch *batch, double distance)
{
	double		threshold = batch->query->reverse ? distance : -distance;

	return FloatBelow(threshold - fabs(threshold) * DoubleError(batch->query->n));
}

/* ---------- bounds of rows ---------- */

/*
 * Products of n rows with all query vectors by MultiplyTransposed(): from a
 * copy, since mapped memory that is cut would take the process out of OpenBLAS.
 */
static void
MultiplyBatchRows(Batch *batch, const MatrixPart *part, int64 first, int n, float *centre,
				  float *upper)
{
	const ScanQuery *query = batch->query;

	for (int done = 0; done < n;)
	{
		int			rows = Min(n - done, batch->max_rows);

		memcpy(batch->rows, part->rows + (Size) (first + done) * part->stride,
			   sizeof(float) * rows * part->stride);
		MultiplyTransposed(query->n, rows, query->dim, batch->queries, part->stride, batch->rows,
						   part->stride, batch->products, rows);
		for (int i = 0; i < query->n; i++)
		{
			float		c[SCREEN_ROWS];
			float		u[SCREEN_ROWS];

			BoundProducts(&batch->targets[i], part, first + done, rows,
						  batch->products + (Size) i * rows, c, u);
			AddTarget(batch, i, false, rows, c, centre + done);
			AddTarget(batch, i, false, rows, u, upper + done);
			if (i % 16 == 15)
				CHECK_FOR_INTERRUPTS();
		}
		done += rows;
	}
}

/*
 * ScreenRows() for all query vectors: a few rows at a time.
 */
void
ScreenBatchRows(Batch *batch, const MatrixPart *part, Stage stage, int64 first, int n,
				float *centre, float *upper)
{
	int			bytes = stage == STAGE_PREFIX ? part->stride_prefix :
		stage == STAGE_INT8 ? part->stride8 : part->stride * (int) sizeof(float);
	int			step = Max(16, Min(CACHED_BYTES / bytes / 16 * 16, n));

	if (stage == STAGE_FLOAT && batch->queries)
		MultiplyBatchRows(batch, part, first, n, centre, upper);
	else
		for (int done = 0; done < n; done += step)
		{
			int			rows = Min(step, n - done);

			CHECK_FOR_INTERRUPTS();
			for (int i = 0; i < batch->query->n; i++)
			{
				bool		square = stage == STAGE_FLOAT;
				float		c[SCREEN_ROWS];
				float		u[SCREEN_ROWS];

				ScreenRows(&batch->targets[i], part, stage, first + done, rows, c, u);
				AddTarget(batch, i, square, rows, c, centre + done);
				AddTarget(batch, i, square, rows, u, upper + done);
			}
		}
	FinishMean(batch, n, centre);
	FinishMean(batch, n, upper);
}

/*
 * ScreenListedRows() for all query vectors.
 */
void
ScreenBatchListedRows(Batch *batch, const MatrixPart *part, Stage stage, int64 first,
					  const int *list, int n, float *upper)
{
	for (int i = 0; i < batch->query->n; i++)
	{
		float		u[SCREEN_ROWS];

		if (i % 16 == 15)
			CHECK_FOR_INTERRUPTS();
		ScreenListedRows(&batch->targets[i], part, stage, first, list, n, u);
		AddTarget(batch, i, stage == STAGE_FLOAT, n, u, upper);
	}
	FinishMean(batch, n, upper);
}
