/*
 * distance.h
 *		Distances between two vectors, in double precision.
 */
#ifndef BRAIN_DISTANCE_H
#define BRAIN_DISTANCE_H

typedef enum Metric
{
	METRIC_COSINE,
	METRIC_DOTPRODUCT,
	METRIC_EUCLIDEAN,
} Metric;

extern bool ParseMetric(const char *word, Metric *metric);
extern const char *MetricName(Metric metric);

extern double SquaredNorm(const float *a, int dim);
extern double Score(Metric metric, const float *a, double a_squared_norm,
					const float *b, double b_squared_norm, int dim);
extern double DistanceOfScore(Metric metric, double score);
extern double ScoreOfDistance(Metric metric, double distance);

#endif							/* BRAIN_DISTANCE_H */
