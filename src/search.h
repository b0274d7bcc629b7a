/*
 * search.h
 *		A search, from its arguments to its neighbours.
 */
#ifndef BRAIN_SEARCH_H
#define BRAIN_SEARCH_H

#include "backend.h"
#include "bases.h"
#include "exact/matrix.h"
#include "exact/scan.h"
#include "index.h"
#include "tracking.h"

/* The arguments of a search, after samples and query. */
typedef struct SearchArguments
{
	int			k;				/* 0: all */
	bool		reverse;
	Aggregation aggregation;
	char	   *brain_key;		/* NULL: choose */
	char	   *filter;			/* NULL: none */
	double		max_distance;	/* infinity: no limit */
	const Jsonb *options;		/* for the backend; NULL: none */
} SearchArguments;

typedef struct Search
{
	SearchArguments arguments;
	FmgrInfo   *flinfo;			/* of the SQL function */
	Relation	rel;
	Run		   *run;
	Dataset    *dataset;
	IndexReader reader;

	/* the query: n vectors of dim values, their squared norms */
	ScanQuery	query;
	char	   *query_id;		/* canonical, when it was one id */

	const Backend *backend;
	struct BaseSearch *from_base;	/* what the base is asked */

	Nearest		nearest;
} Search;

/* in search.c */
extern void OfferEntry(Search *search, IndexReader *reader, EntryState state);
extern bool IsQuerySample(const Search *search, const char *id, double distance);

/* in basesearch.c */
extern void FindSearchBase(Search *search);
extern bool VectorsFromBase(Search *search, const SimilarityQuery *given);
extern bool SearchBase(Search *search);
extern const char *LastReason(void);
extern void ExplainLastSearch(Datum *values, bool *nulls);
extern Base *FindWholeBase(Search *search);
extern int64 ChangesLimit(const BaseRow *row);
extern bool IsFrozen(const Run *run, Relation rel, const Tracking *tracking);
extern bool use_matrix;			/* setting brain.use_matrix */
extern bool screening;			/* setting brain.screening */
extern int	min_server_neighbors;	/* setting brain.min_server_neighbors, in kB */

#endif							/* BRAIN_SEARCH_H */
