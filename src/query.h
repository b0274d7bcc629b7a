/*
 * query.h
 *		What to search for: id, ids, vector, vectors.
 */
#ifndef BRAIN_QUERY_H
#define BRAIN_QUERY_H

#include "samples.h"

/*
 * An argument as a dataset's key makes it out: n ids of the key's type, or n
 * vectors of vectors.dim values, one after the other.
 */
typedef struct SimilarityQuery
{
	bool		ids_only;		/* vectors are no answer */
	bool		is_ids;
	int			n;
	Datum	   *ids;
	char	  **id_texts;		/* as they were given */
	VectorBuffer vectors;
} SimilarityQuery;

extern Problem *ReadQuery(Oid type, Datum value, SampleKey *key, SimilarityQuery *query);
extern Problem *ReadIds(Oid type, Datum value, SampleKey *key, SimilarityQuery *query);

#endif							/* BRAIN_QUERY_H */
