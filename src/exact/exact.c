/*
 * exact.c
 *		The exact backend: answers computed in PostgreSQL itself.
 */
#include "postgres.h"

#include "backend.h"

const Backend exact_backend = {
	.name = "exact",
	.max_k = 0,
	.reverse = true,
	.post_aggregations = true,
	.default_metric = METRIC_COSINE,
};
