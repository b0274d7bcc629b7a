/*
 * batch.h
 *		Many query vectors at once: several in one search, or all rows.
 */
#ifndef BRAIN_BATCH_H
#define BRAIN_BATCH_H

#include "exact/screen.h"

/*
 * Several query vectors whose distances are aggregated. Bounds are of the
 * aggregated distance itself: its negative, or with reverse itself, so that
 * more is better.
 */
typedef struct Batch
{
	const ScanQuery *query;
	Target	   *targets;		/* query->n */
	float	   *queries;		/* their scaled vectors, n x stride */
	float	   *rows;			/* a copy of some rows, and their products */
	float	   *products;
	int			max_rows;
} Batch;

extern Batch *PrepareBatch(const ScanQuery *query);
extern void PrepareBatchPrefix(Batch *batch, const MatrixPart *part);
extern float BatchThreshold(const Batch *batch, double distance);
extern void ScreenBatchRows(Batch *batch, const MatrixPart *part, Stage stage, int64 first, int n,
							float *centre, float *upper);
extern void ScreenBatchListedRows(Batch *batch, const MatrixPart *part, Stage stage, int64 first,
								  const int *list, int n, float *upper);

typedef struct MatrixNeighbor
{
	int64		row;
	double		distance;
	double		score;
} MatrixNeighbor;

/* Negative when row a's id comes before row b's: the order of equal distances. */
typedef int (*NeighborCompare) (int64 a, int64 b, void *arg);

/* Takes a row's neighbours, in order: called once for each live row, in order. */
typedef void (*NeighborEmit) (int64 row, const MatrixNeighbor *neighbors, int n, void *arg);

/*
 * Each live row's k nearest other live rows, at most max_distance away. Uses
 * about memory bytes, and what the callbacks use.
 */
extern void AllNeighbors(const MatrixPart *parts, int n_parts, Metric metric, int k,
						 double max_distance, Size memory, NeighborCompare compare,
						 NeighborEmit emit, void *arg);

#endif							/* BRAIN_BATCH_H */
