/*
 * blas.h
 *		Matrix products, by OpenBLAS where it is there and right.
 */
#ifndef BRAIN_BLAS_H
#define BRAIN_BLAS_H

extern PGDLLIMPORT int blas_threads;	/* setting brain.blas_threads */

extern void MultiplyTransposed(int m, int n, int k, const float *a, int lda,
							   const float *b, int ldb, float *c, int ldc);

#endif							/* BRAIN_BLAS_H */
