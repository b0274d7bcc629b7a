/*
 * scan.h
 *		Finding the best rows of a matrix: between the file (matrix.c) and the
 *		kernels.
 *
 * Nothing here knows of files, snapshots or ids. A search may be left by a
 * longjmp wherever it reads mapped memory (a file that somebody cut): it holds
 * nothing but memory of the current context.
 */
#ifndef BRAIN_SCAN_H
#define BRAIN_SCAN_H

#include "exact/distance.h"

/*
 * What the screens need of each row, SCREEN_ROWS rows at a time (a file's last
 * block is padded). Of METRIC_COSINE all but norm is of the row divided by its
 * norm. 24 bytes a row.
 */
#define SCREEN_ROWS 1024

typedef struct ScreenBlock
{
	float		norm[SCREEN_ROWS];	/* |x|, rounded */
	float		scale8[SCREEN_ROWS];	/* x is about scale8 * rows8 */
	float		residual8[SCREEN_ROWS]; /* at least |x - scale8 * rows8| */
	float		scale_prefix[SCREEN_ROWS];	/* V x is about scale_prefix * prefix */
	float		residual_prefix[SCREEN_ROWS];	/* at least |V x - scale_prefix * prefix| */
	float		tail[SCREEN_ROWS];	/* at least the norm of x outside V's span */
} ScreenBlock;

/* Bytes from row to row, and of the screens of n rows. */
#define MatrixStride(dim) (((dim) + 15) / 16 * 16)	/* floats, not bytes */
#define MatrixStride8(dim) (((dim) + 31) / 32 * 32)
#define PrefixStride(m) (((m) + 31) / 32 * 32)
#define ScreenBytes(n) ((Size) (((n) + SCREEN_ROWS - 1) / SCREEN_ROWS) * sizeof(ScreenBlock))

/*
 * What is known of how well a part's screens do: the caller's, zero at first,
 * kept from search to search of a session.
 */
typedef struct ScanMemory
{
	int			searches;
	float		prefix_kept;	/* share of the rows that the prefix keeps */
	float		int8_kept;		/* share of the rows that int8 keeps */
} ScanMemory;

/* One file's rows, read-only. Pointers are 64-byte aligned. */
typedef struct MatrixPart
{
	int64		n;				/* rows */
	int			dim;			/* d */
	int			stride;			/* MatrixStride(dim) */
	int			stride8;		/* MatrixStride8(dim) */
	int			m;				/* dimensions of the rotated prefix; 0: none */
	int			stride_prefix;	/* PrefixStride(m) */
	Metric		metric;			/* that the screens were made for */
	float		rotation_error; /* as FindRotation() said */
	const float *rows;			/* n x stride, zero padded */
	const int8 *rows8;			/* n x stride8, zero padded */
	const int8 *prefix;			/* n x stride_prefix, zero padded */
	const ScreenBlock *screens; /* NULL: none, nor rows8 and prefix */
	const float *rotation;		/* V, m x stride: a direction a row; NULL when m = 0 */
	const uint64 *dead;			/* a bit a row: not to be found; NULL: none */
	int64		first;			/* row i of this part is number first + i */
	ScanMemory *memory;			/* NULL: none */
	void	   *file;			/* matrix.c's */
} MatrixPart;

typedef enum MatrixSection
{
	SECTION_ROWS,
	SECTION_ROWS8,
	SECTION_PREFIX,
	SECTION_SCREENS,
} MatrixSection;

/*
 * In matrix.c: the checksums of what holds these rows of a section are right.
 * Cheap when they were found right before in this session; does not return when
 * they are wrong.
 */
extern void RequireIntact(const MatrixPart *part, MatrixSection section,
						  int64 first, int64 count);

typedef enum Aggregation
{
	AGGREGATE_MEAN,				/* of the query vectors, before the search */
	AGGREGATE_POST_MEAN,		/* of the distances to each query vector */
	AGGREGATE_POST_MIN,
	AGGREGATE_POST_MAX,
} Aggregation;

/* What is searched for. */
typedef struct ScanQuery
{
	Metric		metric;
	bool		reverse;		/* the farthest are best */
	bool		screening;		/* false: read every float32 row */
	int			n;				/* query vectors; several: distances are aggregated */
	int			dim;
	const float *vectors;		/* n x dim */
	const double *squared_norms;	/* n, by SquaredNorm() */
	Aggregation aggregation;	/* when n > 1 */
	int64		k;				/* how many are wanted; 0: all */
	double		max_distance;	/* infinity: no limit */
} ScanQuery;

/* Rows read in each form: what a search cost. */
typedef struct ScanCounts
{
	int64		prefix_rows;
	int64		int8_rows;
	int64		float32_rows;
	int64		exact_rows;		/* computed in double */
} ScanCounts;

/*
 * Takes a row's distance and score. Returns the distance beyond which nothing
 * is wanted any more: the k-th best's, or infinity (reverse: -infinity) while
 * fewer than k are kept.
 */
typedef double (*ScanOffer) (int64 row, double distance, double score, void *arg);

extern void ScanMatrix(const MatrixPart *parts, int n_parts, const ScanQuery *query,
					   ScanOffer offer, void *arg, ScanCounts *counts);
extern void AggregateDistances(const ScanQuery *query, const float *vector,
							   double squared_norm, double *distance, double *score);

/*
 * For building. Blocks of at most SCREEN_ROWS rows, in private memory, each
 * beginning at a multiple of it; screens is the one block of theirs. rotation:
 * m x stride.
 */
extern int	PrefixLimit(int64 n, int dim);
extern void FindRotation(Metric metric, const float *sample, int64 n, int dim,
						 float *rotation, int *m, float *error);
extern void QuantizeRows(Metric metric, int n, int dim, const float *rows,
						 const float *rotation, int m, float rotation_error,
						 int8 *rows8, int8 *prefix, ScreenBlock *screens);

#endif							/* BRAIN_SCAN_H */
