#include "postgres.h"

#include "miscadmin.h"
#include "exact/batch.h"

/*
 * The distances to several query vectors as one, and the score that such a
 * distance has.
 */
void
AggregateDistances(const ScanQuery *query, const float *vector, double squared_norm,
				   double *distance, double *score)
{
	double		result = 0;

	for (int i = 0; i < query->n; i++)
	{
		double		each = DistanceOfScore(query->metric,
										   Score(query->metric, query->vectors + (Size) i * query->dim,
												 query->squared_norms[i], vector, squared_norm,
												 query->dim));

		CHECK_FOR_INTERRUPTS();
		if (i == 0)
			result = each;
		else if (query->aggregation == AGGREGATE_POST_MIN)
			result = Min(result, each);
		else if (query->aggregation == AGGREGATE_POST_MAX)
			result = Max(result, each);
		else
			result += each;
	}
	*distance = query->aggregation == AGGREGATE_POST_MEAN ? result / query->n : result;
	*score = ScoreOfDistance(query->metric, *distance);
}
