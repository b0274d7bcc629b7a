/*
 * matrices.h
 *		Matrices made up for tests and measurements.
 */
#ifndef UNIT_MATRICES_H
#define UNIT_MATRICES_H

#include "exact/scan.h"

/* What defeats a screen, a rotation or a float sum; and what does not. */
typedef enum Kind
{
	KIND_GAUSSIAN,				/* no structure */
	KIND_CLUSTERS,
	KIND_LOW_RANK,				/* most energy in few directions, not along axes */
	KIND_NORMS,					/* norms from 1e-18 to 1e18 */
	KIND_EXTREMES,				/* from 1e-44 to 3e38 */
	KIND_ONE_LARGE,				/* one coordinate a million times the others */
	KIND_EQUAL,					/* few different vectors */
	KIND_NEAR,					/* one vector, a few units in the last place apart */
	KIND_INTEGERS,				/* int8 holds them exactly */
	KIND_OFFSET,				/* a large common part */
	KIND_SPARSE,				/* mostly zeroes; sometimes all (not for cosine) */
	N_KINDS
} Kind;

extern const char *const kind_names[N_KINDS];

extern void SeedRandom(uint64 seed);
extern double Uniform(void);
extern double Gaussian(void);
extern int	Below(int n);

extern void *AllocPages(Size size);
extern void FillRows(Kind kind, Metric metric, int64 n, int dim, float *rows);
extern void MakePart(MatrixPart *part, Metric metric, int64 n, int dim, const float *rows,
					 int m);

#endif							/* UNIT_MATRICES_H */
