/*
 * backend.h
 *		What a backend is: the only thing that the files of this directory know
 *		of the folders below it.
 */
#ifndef BRAIN_BACKEND_H
#define BRAIN_BACKEND_H

#include "exact/distance.h"
#include "exact/nearest.h"

/* What a backend can do; brain.capabilities() shows it, searches obey it. */
typedef struct Backend
{
	const char *name;
	int			max_k;			/* 0: no limit */
	bool		reverse;
	bool		post_aggregations;	/* post-mean, post-min, post-max */
	Metric		default_metric;
} Backend;

extern const Backend exact_backend;

#endif							/* BRAIN_BACKEND_H */
