/*
 * distance.c
 *		Distances between two vectors, in double precision.
 *
 * Whatever finds the candidates of a search, the distances that are returned
 * come from here, so that every path gives the same bits. Sums run in eight
 * lanes whose order is fixed by the code: the compiler may vectorise them at
 * any width without changing a result, and the Makefile forbids fused
 * multiply-adds, which would.
 */
#include "postgres.h"

#include <math.h>

#include "exact/distance.h"
#include "exact/lanes.h"

#define LANES 8

typedef struct MetricWord
{
	const char *word;
	Metric		metric;
} MetricWord;

/*
 * FiftyOne's names first, then Milvus' metric types, then pgvector's operators,
 * operator classes and functions. Compared without case.
 */
static const MetricWord metric_words[] = {
	{"cosine", METRIC_COSINE},
	{"dotproduct", METRIC_DOTPRODUCT},
	{"euclidean", METRIC_EUCLIDEAN},
	{"ip", METRIC_DOTPRODUCT},
	{"l2", METRIC_EUCLIDEAN},
	{"<=>", METRIC_COSINE},
	{"<#>", METRIC_DOTPRODUCT},
	{"<->", METRIC_EUCLIDEAN},
	{"vector_cosine_ops", METRIC_COSINE},
	{"vector_ip_ops", METRIC_DOTPRODUCT},
	{"vector_l2_ops", METRIC_EUCLIDEAN},
	{"halfvec_cosine_ops", METRIC_COSINE},
	{"halfvec_ip_ops", METRIC_DOTPRODUCT},
	{"halfvec_l2_ops", METRIC_EUCLIDEAN},
	{"cosine_distance", METRIC_COSINE},
	{"inner_product", METRIC_DOTPRODUCT},
	{"negative_inner_product", METRIC_DOTPRODUCT},
	{"l2_distance", METRIC_EUCLIDEAN},
};

/*
 * The metric that a word means; false when it means none.
 */
bool
ParseMetric(const char *word, Metric *metric)
{
	for (size_t i = 0; i < lengthof(metric_words); i++)
	{
		if (pg_strcasecmp(word, metric_words[i].word) == 0)
		{
			*metric = metric_words[i].metric;
			return true;
		}
	}
	return false;
}

const char *
MetricName(Metric metric)
{
	switch (metric)
	{
		case METRIC_COSINE:
			return "cosine";
		case METRIC_DOTPRODUCT:
			return "dotproduct";
		case METRIC_EUCLIDEAN:
			return "euclidean";
	}
	pg_unreachable();
}

static double
SumLanes(const double *lane)
{
	return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
		((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

BRAIN_EXACT_KERNEL static double
DotProduct(const float *a, const float *b, int dim)
{
	double		lane[LANES] = {0};
	int			i = 0;

	for (; i + LANES <= dim; i += LANES)
		for (int j = 0; j < LANES; j++)
			lane[j] += (double) a[i + j] * (double) b[i + j];
	for (; i < dim; i++)
		lane[i % LANES] += (double) a[i] * (double) b[i];
	return SumLanes(lane);
}

BRAIN_EXACT_KERNEL static double
SquaredDifference(const float *a, const float *b, int dim)
{
	double		lane[LANES] = {0};
	int			i = 0;

	for (; i + LANES <= dim; i += LANES)
		for (int j = 0; j < LANES; j++)
		{
			double		d = (double) a[i + j] - (double) b[i + j];

			lane[j] += d * d;
		}
	for (; i < dim; i++)
	{
		double		d = (double) a[i] - (double) b[i];

		lane[i % LANES] += d * d;
	}
	return SumLanes(lane);
}

/*
 * sum of a_i^2 over dim values. Finite for every float32 vector of at most
 * MAX_DIMENSIONS, and 0 only for the zero vector: the square of the smallest
 * float32 is a normal double.
 */
double
SquaredNorm(const float *a, int dim)
{
	return DotProduct(a, a, dim);
}

/*
 * The engine's own number for two vectors of dim values, as FiftyOne shows it:
 * cosine a.b / (|a| |b|) in [-1, 1] and dotproduct a.b, larger is closer;
 * euclidean the squared distance. The squared norms are used by cosine only and
 * must not be 0 there; a vector's cosine with itself is exactly 1, since
 * sqrt(n * n) is n.
 */
double
Score(Metric metric, const float *a, double a_squared_norm,
	  const float *b, double b_squared_norm, int dim)
{
	double		cosine;

	switch (metric)
	{
		case METRIC_COSINE:
			cosine = DotProduct(a, b, dim) / sqrt(a_squared_norm * b_squared_norm);
			/* rounding can leave the range; pgvector clamps too */
			return Min(Max(cosine, -1.0), 1.0);
		case METRIC_DOTPRODUCT:
			return DotProduct(a, b, dim);
		case METRIC_EUCLIDEAN:
			return SquaredDifference(a, b, dim);
	}
	pg_unreachable();
}

/*
 * The distance; smaller is closer. pgvector's definitions: cosine 1 - a.b /
 * (|a| |b|), dotproduct -a.b, euclidean sqrt(sum (a_i - b_i)^2).
 */
double
DistanceOfScore(Metric metric, double score)
{
	switch (metric)
	{
		case METRIC_COSINE:
			return 1.0 - score;
		case METRIC_DOTPRODUCT:
			/* 0.0 - x: an orthogonal vector is at 0, not at -0 */
			return 0.0 - score;
		case METRIC_EUCLIDEAN:
			return sqrt(score);
	}
	pg_unreachable();
}

/*
 * The score of a distance that was aggregated from several.
 */
double
ScoreOfDistance(Metric metric, double distance)
{
	return metric == METRIC_EUCLIDEAN ? distance * distance : DistanceOfScore(metric, distance);
}
