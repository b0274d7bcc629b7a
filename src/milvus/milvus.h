/*
 * milvus.h
 *		The milvus backend: bases that are collections of a Milvus server.
 */
#ifndef BRAIN_MILVUS_H
#define BRAIN_MILVUS_H

#include "bases.h"
#include "catalog.h"
#include "changes.h"
#include "exact/scan.h"
#include "milvus/collection.h"

/* brain.on_backend_failure */
typedef enum OnBackendFailure
{
	ON_FAILURE_EXACT,
	ON_FAILURE_ERROR,
} OnBackendFailure;

extern int	on_backend_failure;

/* The samples of a collection that are nearest to a query. */
typedef struct CandidateList
{
	int			n;
	char	  **ids;			/* as the collection has them, the nearest first */
	double		last_distance;	/* about; of the last one */
	bool		all;			/* there are no more */
	bool		is_short;		/* there are, and the index has not found as many as were asked for */
} CandidateList;

/* Those of each query vector. */
typedef struct Candidates
{
	int			dim;			/* the collection's; another than the query's: nothing was asked */
	CandidateList *lists;
	bool		is_lite;		/* a milvus-lite has named them */
	char	   *request;		/* what the server was asked, for who wants to know */
} Candidates;

extern bool IsWithinReach(double squared_norm);
extern bool VectorIsWithinReach(const float *values, int dim);
extern const char *CollectionOrigin(void);
extern const char *WhyNoCollection(const BaseRow *row);
extern const char *WhyNoServer(const char *server);
extern bool HasIndex(const Run *run);
extern GrpcFailure *FindCandidates(const Run *run, const BaseRow *row, const ScanQuery *query, int n,
								   Candidates *candidates);
extern void RequireCollection(const Run *run);
extern MilvusConnection *RequireConnection(const Run *run, CollectionConfig **config);
extern MilvusLevel ReadLevel(const CollectionConfig *config, const BaseRow *row, uint64 *guarantee_timestamp);
extern GrpcFailure *RequireOwnCollection(MilvusConnection *connection, const CollectionConfig *config,
										 const BaseRow *row, int *dim);

#endif							/* BRAIN_MILVUS_H */
