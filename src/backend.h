/*
 * backend.h
 *		What a backend is: the only thing that the files of this directory know
 *		of the folders below it.
 */
#ifndef BRAIN_BACKEND_H
#define BRAIN_BACKEND_H

#include "utils/jsonb.h"

#include "basewriter.h"
#include "exact/distance.h"
#include "exact/nearest.h"

/* What a call that makes a run says to its backend; NULL: nothing. */
typedef struct BackendArguments
{
	const char *metric;			/* NULL: run->metric is the backend's default */
	const char *collection_name;
	const char *consistency_level;
	const char *server;
	const Jsonb *options;
	bool		with_data;
	Dataset    *dataset;
} BackendArguments;

/* What a backend can do; brain.capabilities() shows it, searches obey it. */
typedef struct Backend
{
	const char *name;
	int			max_k;			/* 0: no limit */
	bool		reverse;
	bool		post_aggregations;	/* post-mean, post-min, post-max */
	Metric		default_metric;
	bool		searches_untracked; /* a base of a dataset that is not tracked is searched, as it was */

	/* those of a call that searches; what is unknown is an error */
	void		(*check_options) (const Jsonb *options);

	/* settles run->config; NULL: the backend has none */
	void		(*configure) (Run *run, const BackendArguments *arguments);

	/* NULL, with *reason, when there will be none; what the user must know is raised */
	BaseWriter *(*begin_base) (const Run *run, const char *dataset_name,
									  const pg_uuid_t *generation, const char **reason);
} Backend;

extern const Backend exact_backend;
extern const Backend milvus_backend;

#endif							/* BRAIN_BACKEND_H */
