/*
 * batch.h
 *		Many query vectors at once: several in one search, or all rows.
 */
#ifndef BRAIN_BATCH_H
#define BRAIN_BATCH_H

#include "exact/scan.h"

/* ScanMatrix() for several query vectors. */
extern void ScanBatch(const MatrixPart *parts, int n_parts, const ScanQuery *query,
					  ScanOffer offer, void *arg, ScanCounts *counts);

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
