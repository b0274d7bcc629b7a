/*
 * limits.c
 *		What the machine can do at most, measured inside a server process: read
 *		mapped memory once, multiply matrices, read a table's vectors.
 *
 * For bench/run only. Every function returns {seconds, a result that keeps the
 * compiler from leaving the work out}.
 */
#include "postgres.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "portability/instr_time.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_sum_file);
PG_FUNCTION_INFO_V1(bench_sgemm);
PG_FUNCTION_INFO_V1(bench_openblas);
PG_FUNCTION_INFO_V1(bench_read_rows);

#if defined(__x86_64__)
#define CLONES __attribute__((noinline, target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CLONES __attribute__((noinline))
#endif

#define LANES 64

/* LANES sums at once: one alone would wait for its own additions. */
CLONES static float
Sum(const float *values, size_t n)
{
	float		sums[LANES] = {0};
	float		sum = 0;
	size_t		i;

	for (i = 0; i + LANES <= n; i += LANES)
		for (int lane = 0; lane < LANES; lane++)
			sums[lane] += values[i + lane];
	for (; i < n; i++)
		sum += values[i];
	for (int lane = 0; lane < LANES; lane++)
		sum += sums[lane];
	return sum;
}

static Datum
Measured(instr_time start, double value)
{
	instr_time	end;
	Datum		elements[2];

	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	elements[0] = Float8GetDatum(INSTR_TIME_GET_DOUBLE(end));
	elements[1] = Float8GetDatum(value);
	return PointerGetDatum(construct_array(elements, 2, FLOAT8OID, sizeof(float8),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * bench_sum_file(path): add up a file of floats. It is mapped at the first call
 * and stays so, as the extension keeps its matrix.
 */
Datum
bench_sum_file(PG_FUNCTION_ARGS)
{
	static char mapped_path[MAXPGPATH];
	static const float *mapped;
	static size_t size;
	char	   *path = text_to_cstring(PG_GETARG_TEXT_PP(0));
	instr_time	start;

	if (strcmp(path, mapped_path) != 0)
	{
		int			fd = open(path, O_RDONLY);
		struct stat status;
		void	   *map;

		if (fd < 0 || fstat(fd, &status) != 0)
			elog(ERROR, "could not open \"%s\": %m", path);
		map = mmap(NULL, status.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
		close(fd);
		if (map == MAP_FAILED)
			elog(ERROR, "could not map \"%s\": %m", path);
		if (mapped)
			munmap((void *) mapped, size);
		mapped = map;
		size = status.st_size;
		strlcpy(mapped_path, path, MAXPGPATH);
	}
	INSTR_TIME_SET_CURRENT(start);
	return Measured(start, Sum(mapped, size / sizeof(float)));
}

/* The library that the extension loads, one thread. */
static void *
OpenBlas(void)
{
	static void *library;

	if (library == NULL)
	{
		void		(*set_threads) (int);

		setenv("OPENBLAS_NUM_THREADS", "1", 1);
		library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
		if (library == NULL)
			elog(ERROR, "%s", dlerror());
		set_threads = (void (*) (int)) dlsym(library, "openblas_set_num_threads");
		set_threads(1);
	}
	return library;
}

/* bench_openblas(): its version and the kernels that it chose. */
Datum
bench_openblas(PG_FUNCTION_ARGS)
{
	char	   *(*config) (void) = (char *(*) (void)) dlsym(OpenBlas(), "openblas_get_config");

	PG_RETURN_TEXT_P(cstring_to_text(config()));
}

/* bench_sgemm(n, d): n vectors by n vectors of d, as "all against all" does it. */
Datum
bench_sgemm(PG_FUNCTION_ARGS)
{
	int			n = PG_GETARG_INT32(0);
	int			d = PG_GETARG_INT32(1);
	Size		nvalues = (Size) n * d;
	float	   *a = palloc_extended(sizeof(float) * nvalues, MCXT_ALLOC_HUGE);
	float	   *b = palloc_extended(sizeof(float) * nvalues, MCXT_ALLOC_HUGE);
	float	   *c = palloc_extended(sizeof(float) * n * n, MCXT_ALLOC_HUGE);
	void		(*sgemm) (int, int, int, int, int, int, float, const float *, int,
						  const float *, int, float, float *, int);
	instr_time	start;

	*(void **) &sgemm = dlsym(OpenBlas(), "cblas_sgemm");
	for (Size i = 0; i < nvalues; i++)
	{
		a[i] = (i * 37 % 101) / 101.0f;
		b[i] = (i * 53 % 97) / 97.0f;
	}
	memset(c, 0, sizeof(float) * n * n);	/* its pages exist */
	INSTR_TIME_SET_CURRENT(start);
	/* row-major, b transposed */
	sgemm(101, 111, 112, n, n, d, 1, a, d, b, d, 0, c, n);
	return Measured(start, c[n / 2]);
}

typedef struct RowSum
{
	DestReceiver receiver;
	int64		rows;
	double		sum;
} RowSum;

static bool
AddRow(TupleTableSlot *slot, DestReceiver *self)
{
	RowSum	   *sum = (RowSum *) self;
	ArrayType  *array;

	slot_getsomeattrs(slot, 2);
	array = DatumGetArrayTypeP(slot->tts_values[1]);
	sum->sum += Sum((float *) ARR_DATA_PTR(array), ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)));
	sum->rows++;
	if (PointerGetDatum(array) != slot->tts_values[1])
		pfree(array);
	return true;
}

static void
StartRows(DestReceiver *self, int operation, TupleDesc desc)
{
	(void) self;
	(void) operation;
	(void) desc;
}

static void
EndRows(DestReceiver *self)
{
	(void) self;
}

/*
 * bench_read_rows(query): read the rows (id, real[]) of a query as the extension
 * reads a dataset, and add up every element.
 */
Datum
bench_read_rows(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	RowSum		sum = {{AddRow, StartRows, EndRows, EndRows, DestNone}, 0, 0};
	SPIExecuteOptions options = {.read_only = true,.dest = &sum.receiver};
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	SPI_connect();
	if (SPI_execute_extended(query, &options) < 0)
		elog(ERROR, "could not execute: %s", query);
	SPI_finish();
	return Measured(start, sum.sum);
}
