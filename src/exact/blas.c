/*
 * blas.c
 *		Matrix products, by OpenBLAS where it is there and right.
 *
 * OpenBLAS is not linked but loaded at the first product that is worth it:
 * linked, its threads would start with the library, in every backend, with
 * PostgreSQL's signals unblocked. It is believed only after it has multiplied
 * two matrices of odd sizes as plain C does: old OpenBLAS on a newer processor
 * has been seen not to. Where it is missing or wrong, a kernel of our own
 * answers, at a third of its speed or better.
 *
 * Whoever multiplies: an element is off by at most (k + 2) u sum |a_i b_i|, u
 * half a unit in the last place of float32, whatever the order of summation.
 */
#include "postgres.h"

#include <dlfcn.h>
#include <math.h>
#include <signal.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"

#include "exact/blas.h"
#include "exact/lanes.h"

int			blas_threads = 1;

/* cblas.h's, which need not be there to build us */
#define ROW_MAJOR 101
#define NO_TRANSPOSE 111
#define TRANSPOSE 112

typedef void (*SgemmFunction) (int order, int transpose_a, int transpose_b, int m, int n, int k,
							   float alpha, const float *a, int lda, const float *b, int ldb,
							   float beta, float *c, int ldc);
typedef void (*SetThreadsFunction) (int threads);

static const char *const library_names[] = {
#ifdef BRAIN_OPENBLAS
	BRAIN_OPENBLAS,				/* tests/unit/run: another one, or none */
#elif defined(__APPLE__)
	"libopenblas.0.dylib",
	"libopenblas.dylib",
#else
	"libopenblas.so.0",
#endif
};

/*
 * Of this process: NULL until it was looked for, and where it is not to be used.
 */
static bool looked_for = false;
static SgemmFunction sgemm = NULL;
static SetThreadsFunction set_threads = NULL;
static int	threads_set = 0;

/* About 4 ms at 100 GFLOP/s, 15 by ourselves: nothing can interrupt a product within. */
#define SLICE_FLOPS (400.0 * 1024 * 1024)

/* Below these it is not worth loading a library. */
#define MIN_FLOPS (4.0 * 1024 * 1024)

/* ---------- our own ---------- */

typedef float LooseLanes __attribute__((vector_size(4 * LANES_OF_FLOAT), aligned(4), may_alias));

static inline float
PlainProduct(const float *a, const float *b, int from, int k)
{
	float		sum = 0;

	for (int i = from; i < k; i++)
		sum += a[i] * b[i];
	return sum;
}

/*
 * Four rows of a by two of b: eight sums in registers.
 */
BRAIN_KERNEL static void
MultiplyTile(int k, const float *a, int lda, const float *b, int ldb, float *c, int ldc)
{
	const float *a0 = a;
	const float *a1 = a0 + lda;
	const float *a2 = a1 + lda;
	const float *a3 = a2 + lda;
	const float *b0 = b;
	const float *b1 = b0 + ldb;
	LooseLanes	s00 = {0};
	LooseLanes	s01 = {0};
	LooseLanes	s10 = {0};
	LooseLanes	s11 = {0};
	LooseLanes	s20 = {0};
	LooseLanes	s21 = {0};
	LooseLanes	s30 = {0};
	LooseLanes	s31 = {0};
	int			i = 0;

	for (; i + LANES_OF_FLOAT <= k; i += LANES_OF_FLOAT)
	{
		LooseLanes	x = *(const LooseLanes *) (b0 + i);
		LooseLanes	y = *(const LooseLanes *) (b1 + i);
		LooseLanes	z;

		z = *(const LooseLanes *) (a0 + i);
		s00 += z * x;
		s01 += z * y;
		z = *(const LooseLanes *) (a1 + i);
		s10 += z * x;
		s11 += z * y;
		z = *(const LooseLanes *) (a2 + i);
		s20 += z * x;
		s21 += z * y;
		z = *(const LooseLanes *) (a3 + i);
		s30 += z * x;
		s31 += z * y;
	}
	AddLanes(s00, c[0]);
	AddLanes(s01, c[1]);
	AddLanes(s10, c[ldc]);
	AddLanes(s11, c[ldc + 1]);
	AddLanes(s20, c[2 * (Size) ldc]);
	AddLanes(s21, c[2 * (Size) ldc + 1]);
	AddLanes(s30, c[3 * (Size) ldc]);
	AddLanes(s31, c[3 * (Size) ldc + 1]);
	if (i < k)
		for (int j = 0; j < 4; j++)
		{
			c[j * (Size) ldc] += PlainProduct(a + j * (Size) lda, b0, i, k);
			c[j * (Size) ldc + 1] += PlainProduct(a + j * (Size) lda, b1, i, k);
		}
}

/*
 * A tile at the edges: up to four rows by up to two.
 */
static void
MultiplyEdge(int m, int n, int k, const float *a, int lda, const float *b, int ldb,
			 float *c, int ldc)
{
	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++)
			c[i * (Size) ldc + j] = PlainProduct(a + i * (Size) lda, b + j * (Size) ldb, 0, k);
}

/* Rows of b that stay in the first-level cache while all of a passes. */
#define TILE_BYTES (24 * 1024)

static void
MultiplyOurselves(int m, int n, int k, const float *a, int lda, const float *b, int ldb,
				  float *c, int ldc)
{
	int			step = Max(2, TILE_BYTES / (int) sizeof(float) / Max(k, 1) / 2 * 2);

	for (int first = 0; first < n; first += step)
	{
		int			last = Min(n, first + step);

		for (int i = 0; i < m; i += 4)
			for (int j = first; j < last; j += 2)
			{
				const float *tile_a = a + i * (Size) lda;
				const float *tile_b = b + j * (Size) ldb;
				float	   *tile_c = c + i * (Size) ldc + j;

				if (i + 4 <= m && j + 2 <= n)
					MultiplyTile(k, tile_a, lda, tile_b, ldb, tile_c, ldc);
				else
					MultiplyEdge(Min(4, m - i), Min(2, n - j), k, tile_a, lda, tile_b, ldb,
								 tile_c, ldc);
			}
	}
}

/* ---------- OpenBLAS ---------- */

/*
 * Load it. Threads that it starts at once, if it does in spite of the
 * environment, inherit that every signal is blocked.
 */
static void *
LoadLibrary(void)
{
	char	   *before = getenv("OPENBLAS_NUM_THREADS");
	sigset_t	all;
	sigset_t	old;
	void	   *library = NULL;

	before = before ? pstrdup(before) : NULL;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	setenv("OPENBLAS_NUM_THREADS", "1", 1);
	for (size_t i = 0; library == NULL && i < lengthof(library_names); i++)
		library = dlopen(library_names[i], RTLD_NOW | RTLD_LOCAL);
	if (before)
		setenv("OPENBLAS_NUM_THREADS", before, 1);
	else
		unsetenv("OPENBLAS_NUM_THREADS");
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return library;
}

/* Odd sizes: kernels have edges of their own, above and below their tiles. */
#define CHECK_M 67
#define CHECK_N 53
#define CHECK_K 131

/*
 * Does it multiply as plain C does? Both are within (k + 2) u sum |a_i b_i| of
 * the truth, or OpenBLAS is wrong.
 */
static bool
MultipliesRight(SgemmFunction function)
{
	float	   *a = palloc(sizeof(float) * CHECK_M * CHECK_K);
	float	   *b = palloc(sizeof(float) * CHECK_N * CHECK_K);
	float	   *c = palloc(sizeof(float) * CHECK_M * CHECK_N);
	uint32		random = 1;
	bool		right = true;

	for (int i = 0; i < CHECK_M * CHECK_K; i++)
	{
		random = random * 1664525 + 1013904223;
		a[i] = (float) (int32) random / (1 << 20);
	}
	for (int i = 0; i < CHECK_N * CHECK_K; i++)
	{
		random = random * 1664525 + 1013904223;
		b[i] = (float) (int32) random / (1 << 24);
	}
	for (int i = 0; i < CHECK_M * CHECK_N; i++)
		c[i] = NAN;
	function(ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE, CHECK_M, CHECK_N, CHECK_K, 1, a, CHECK_K,
			 b, CHECK_K, 0, c, CHECK_N);
#ifdef BRAIN_WRONG_BLAS			/* tests/unit/run: one that is */
	c[CHECK_N - 1] += fabsf(c[CHECK_N - 1]) * 1e-3f;
#endif
	for (int i = 0; i < CHECK_M; i++)
		for (int j = 0; j < CHECK_N; j++)
		{
			double		sum = 0;
			double		sizes = 0;

			for (int l = 0; l < CHECK_K; l++)
			{
				double		product = (double) a[i * CHECK_K + l] * b[j * CHECK_K + l];

				sum += product;
				sizes += fabs(product);
			}
			if (!(fabs(c[i * CHECK_N + j] - sum) <= (CHECK_K + 3) * FLOAT_UNIT * sizes))
				right = false;
		}
	pfree(a);
	pfree(b);
	pfree(c);
	return right;
}

/*
 * Once a process, never in the postmaster.
 */
static void
FindOpenBlas(void)
{
	void	   *library;
	SgemmFunction function;

	looked_for = true;
	library = LoadLibrary();
	if (library == NULL)
	{
		ereport(DEBUG1,
				(errmsg_internal("OpenBLAS is not there: %s", dlerror())));
		return;
	}
	function = (SgemmFunction) dlsym(library, "cblas_sgemm");
	set_threads = (SetThreadsFunction) dlsym(library, "openblas_set_num_threads");
	if (function == NULL)
		return;
	if (set_threads)
		set_threads(1);
	threads_set = 1;
	if (!MultipliesRight(function))
	{
		ereport(WARNING,
				(errmsg("OpenBLAS multiplies wrongly on this processor and is not used"),
				 errhint("A newer OpenBLAS, or another OPENBLAS_CORETYPE in the server's environment, may be right.")));
		return;
	}
	sgemm = function;
}

static void
SetThreads(void)
{
	if (set_threads == NULL || threads_set == blas_threads)
		return;
	set_threads(blas_threads);
	threads_set = blas_threads;
}

/*
 * c = a b': a is m x k, b n x k, c m x n, rows lda, ldb and ldc apart. In slices
 * of about 10 ms, with a look for interrupts between. Private memory only:
 * nothing may leave OpenBLAS by a longjmp.
 */
void
MultiplyTransposed(int m, int n, int k, const float *a, int lda, const float *b, int ldb,
				   float *c, int ldc)
{
	double		flops = 2.0 * n * k;
	int			slice = (int) Min(m, Max(1, SLICE_FLOPS / Max(flops, 1)));

	if (!looked_for && flops * m >= MIN_FLOPS && IsUnderPostmaster)
		FindOpenBlas();
	if (sgemm)
		SetThreads();
	for (int i = 0; i < m; i += slice)
	{
		CHECK_FOR_INTERRUPTS();
		if (sgemm)
			sgemm(ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE, Min(slice, m - i), n, k, 1,
				  a + i * (Size) lda, lda, b, ldb, 0, c + i * (Size) ldc, ldc);
		else
			MultiplyOurselves(Min(slice, m - i), n, k, a + i * (Size) lda, lda, b, ldb,
							  c + i * (Size) ldc, ldc);
	}
}
