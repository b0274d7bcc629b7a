/*
 * matrices.c
 *		Matrices made up for tests and measurements.
 */
#include "postgres.h"

#include <math.h>
#include <sys/mman.h>

#include "matrices.h"

const char *const kind_names[N_KINDS] = {
	"gaussian", "clusters", "low rank", "norms", "extremes", "one large", "equal", "near",
	"integers", "offset", "sparse"
};

static uint64 state = 88172645463325252u;

void
SeedRandom(uint64 seed)
{
	state = seed * 0x9E3779B97F4A7C15u + 88172645463325252u;
	for (int i = 0; i < 16; i++)
		(void) Uniform();
}

/* in [0, 1) */
double
Uniform(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (double) (state >> 11) / 9007199254740992.0;
}

double
Gaussian(void)
{
	return sqrt(-2 * log(Uniform() + 1e-300)) * cos(6.283185307179586 * Uniform());
}

int
Below(int n)
{
	return (int) (Uniform() * n);
}

/*
 * Zeroed memory, in huge pages where the system has them.
 */
void *
AllocPages(Size size)
{
	Size		page = 2 << 20;
	char	   *memory = mmap(NULL, size + 2 * page, PROT_READ | PROT_WRITE,
							  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	memory = (char *) TYPEALIGN(page, memory);
	(void) madvise(memory, size, MADV_HUGEPAGE);
	return memory;
}

static void
FillGaussian(float *row, int dim, double scale)
{
	for (int j = 0; j < dim; j++)
		row[j] = (float) (scale * Gaussian());
}

static void
FillRow(Kind kind, int dim, const float *base, int n_base, int rank, float *row)
{
	const float *centre = base + (Size) Below(n_base) * dim;

	switch (kind)
	{
		case KIND_GAUSSIAN:
			FillGaussian(row, dim, 1);
			return;
		case KIND_CLUSTERS:
			for (int j = 0; j < dim; j++)
				row[j] = (float) (centre[j] + 0.5 * Gaussian());
			return;
		case KIND_LOW_RANK:
			FillGaussian(row, dim, 0.2);
			for (int r = 0; r < rank; r++)
			{
				double		weight = Gaussian() * 4 / sqrt(r + 1);

				for (int j = 0; j < dim; j++)
					row[j] += (float) (weight * base[(Size) r * dim + j] / sqrt(dim));
			}
			return;
		case KIND_NORMS:
			FillGaussian(row, dim, pow(10, 36 * Uniform() - 18));
			return;
		case KIND_EXTREMES:
			for (int j = 0; j < dim; j++)
				row[j] = (float) (Below(2) ? 1 - Uniform() : Uniform() - 1);
			{
				double		scale = pow(10, 82 * Uniform() - 44);

				for (int j = 0; j < dim; j++)
					row[j] = (float) (row[j] * scale);
			}
			/* 1 is at hand where all has become 0, which cosine does not know */
			if (row[0] == 0)
				row[0] = 1e-45f;
			return;
		case KIND_ONE_LARGE:
			FillGaussian(row, dim, 1);
			row[dim / 2] = (float) (1e6 * (1 + 1e-7 * Gaussian()));
			return;
		case KIND_EQUAL:
			memcpy(row, base + (Size) Below(Min(n_base, 5)) * dim, sizeof(float) * dim);
			return;
		case KIND_NEAR:
			for (int j = 0; j < dim; j++)
			{
				row[j] = base[j];
				for (int steps = Below(4); steps > 0; steps--)
					row[j] = nextafterf(row[j], Below(2) ? INFINITY : -INFINITY);
			}
			return;
		case KIND_INTEGERS:
			for (int j = 0; j < dim; j++)
				row[j] = (float) (Below(255) - 127);
			row[Below(dim)] = 127;
			return;
		case KIND_OFFSET:
			for (int j = 0; j < dim; j++)
				row[j] = (float) (100 + 0.01 * Gaussian());
			return;
		case KIND_SPARSE:
			memset(row, 0, sizeof(float) * dim);
			for (int i = 0; i < 1 + dim / 20; i++)
				row[Below(dim)] = (float) Gaussian();
			return;
		case N_KINDS:
			abort();
	}
}

/*
 * Fill n rows of dim values, padded.
 */
void
FillRows(Kind kind, Metric metric, int64 n, int dim, float *rows)
{
	int			stride = MatrixStride(dim);
	int			n_base = 50;
	float	   *base = palloc(sizeof(float) * n_base * dim);

	for (int i = 0; i < n_base; i++)
		FillGaussian(base + (Size) i * dim, dim, 1);
	for (int64 i = 0; i < n; i++)
	{
		float	   *row = rows + (Size) i * stride;
		bool		zero = true;

		FillRow(kind, dim, base, n_base, Min(n_base, Max(1, dim / 8)), row);
		for (int j = 0; j < dim; j++)
			zero = zero && row[j] == 0;
		if (zero && metric == METRIC_COSINE)
			row[0] = 1;
		if (kind == KIND_SPARSE && metric != METRIC_COSINE && i % 7 == 0)
			memset(row, 0, sizeof(float) * dim);
	}
	pfree(base);
}

/*
 * A rotation of m directions that is found in no data: rows orthonormalised.
 */
static void
MakeRotation(int dim, int m, float *rotation, float *error)
{
	int			stride = MatrixStride(dim);
	double	   *v = palloc(sizeof(double) * m * dim);
	double		squares = 0;

	for (int i = 0; i < m; i++)
	{
		double	   *a = v + (Size) i * dim;
		double		norm = 0;

		for (int j = 0; j < dim; j++)
			a[j] = Gaussian();
		for (int pass = 0; pass < 2; pass++)
			for (int l = 0; l < i; l++)
			{
				double	   *b = v + (Size) l * dim;
				double		product = 0;

				for (int j = 0; j < dim; j++)
					product += a[j] * b[j];
				for (int j = 0; j < dim; j++)
					a[j] -= product * b[j];
			}
		for (int j = 0; j < dim; j++)
			norm += a[j] * a[j];
		for (int j = 0; j < dim; j++)
			a[j] /= sqrt(norm);
	}
	memset(rotation, 0, sizeof(float) * m * stride);
	for (int i = 0; i < m; i++)
		for (int j = 0; j < dim; j++)
			rotation[(Size) i * stride + j] = (float) v[(Size) i * dim + j];
	for (int i = 0; i < m; i++)
		for (int l = 0; l < m; l++)
		{
			double		product = i == l ? -1 : 0;

			for (int j = 0; j < dim; j++)
				product += (double) rotation[(Size) i * stride + j] * rotation[(Size) l * stride + j];
			squares += product * product;
		}
	*error = (float) (sqrt(squares) * 1.001 + 1e-9);
	pfree(v);
}

/*
 * Make a part of rows, as the file would have it. m: of an arbitrary rotation;
 * 0: none; -1: as FindRotation() says.
 */
void
MakePart(MatrixPart *part, Metric metric, int64 n, int dim, const float *rows, int m)
{
	int			stride = MatrixStride(dim);
	float	   *rotation = NULL;

	memset(part, 0, sizeof(MatrixPart));
	part->n = n;
	part->dim = dim;
	part->stride = stride;
	part->stride8 = MatrixStride8(dim);
	part->metric = metric;
	part->rows = rows;
	if (m > 0)
	{
		rotation = AllocPages(sizeof(float) * m * stride);
		MakeRotation(dim, m, rotation, &part->rotation_error);
	}
	else if (m < 0 && PrefixLimit(n, dim) > 0)
	{
		int64		sampled = Min(n, 5000);
		float	   *sample = AllocPages(sizeof(float) * sampled * stride);

		for (int64 i = 0; i < sampled; i++)
			memcpy(sample + i * stride, rows + (i * n / sampled) * stride, sizeof(float) * stride);
		rotation = AllocPages(sizeof(float) * PrefixLimit(n, dim) * stride);
		FindRotation(metric, sample, sampled, dim, rotation, &m, &part->rotation_error);
	}
	part->m = Max(m, 0);
	part->stride_prefix = PrefixStride(part->m);
	part->rotation = part->m > 0 ? rotation : NULL;
	part->rows8 = AllocPages((Size) n * part->stride8);
	part->prefix = AllocPages((Size) n * part->stride_prefix);
	part->screens = AllocPages(ScreenBytes(n));
	for (int64 i = 0; i < n; i += SCREEN_ROWS)
		QuantizeRows(metric, (int) Min(SCREEN_ROWS, n - i), dim, rows + i * stride, part->rotation,
					 part->m, part->rotation_error, (int8 *) part->rows8 + i * part->stride8,
					 (int8 *) part->prefix + i * part->stride_prefix,
					 (ScreenBlock *) part->screens + i / SCREEN_ROWS);
}
