/*
 * basesearch.h
 *		A search of a base and the changes since: between basesearch.c and what
 *		searches a base.
 */
#ifndef BRAIN_BASESEARCH_H
#define BRAIN_BASESEARCH_H

#include "build.h"
#include "changes.h"
#include "milvus/milvus.h"
#include "search.h"

typedef struct BaseSearch
{
	Search	   *search;
	uint64		fingerprint;	/* of the dataset's tracking */
	Base	   *base;			/* NULL: row's collection */
	BaseRow    *row;
	Changes    *changes;
	HTAB	   *changed_ids;	/* NULL when there are none */
	uint64	   *dead;			/* the base's dead rows and those of changed ids; NULL: the base's */
	Nearest    *nearest;		/* where the scan's rows go */
	ScanCounts	counts;
	int			rounds;
	char	   *request;		/* the last one to a Milvus server; NULL: none */
	List	   *bad;			/* of BadSample */
	const char *reason;			/* why the table must answer */
} BaseSearch;

/* in basesearch.c */
extern bool IsChanged(const BaseSearch *bs, const char *id);
extern void OfferChanges(BaseSearch *bs);
extern void NoteSearch(const BaseSearch *bs);

/* in collectionsearch.c */
extern const char *WhyNotCollection(const BaseSearch *bs);
extern bool AnswerFromCollection(BaseSearch *bs);
extern const char *ReasonOfFailure(BaseSearch *bs, const GrpcFailure *failure);
extern bool IsComplete(const CandidateList *list, const Nearest *nearest, int64 n_offered, double max_distance);

/* More than k: some may be gone, and ranks near k differ by what float32 rounds. */
#define SPARE_CANDIDATES 16

/* in collectionneighbors.c */
typedef void (*NeighborsOfSample) (const char *id, const Nearest *neighbors, void *arg);

extern bool NeighborsFromCollection(BaseSearch *bs, Base *base, int k, double max_distance,
									NeighborsOfSample emit, void *arg);

#endif							/* BRAIN_BASESEARCH_H */
