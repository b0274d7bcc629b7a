/*
 * replies.h
 *		The calls of src/milvus, as a fuzzer and who records for it number them.
 */
#ifndef REPLIES_H
#define REPLIES_H

#include "standin.h"

/* New ones come at the end: the numbers are in the files of tests/fuzz/replies. */
typedef enum CallNumber
{
	CALL_CONNECT,
	CALL_LIST_DATABASES,
	CALL_ALLOC_TIMESTAMP,
	CALL_HAS_COLLECTION,
	CALL_CREATE_COLLECTION,
	CALL_DESCRIBE_COLLECTION,
	CALL_SHOW_COLLECTIONS,
	CALL_DROP_COLLECTION,
	CALL_CREATE_INDEX,
	CALL_DESCRIBE_INDEX,
	CALL_LOAD_COLLECTION,
	CALL_RELEASE_COLLECTION,
	CALL_LOAD_STATE,
	CALL_LOADING_PROGRESS,
	CALL_FLUSH,
	CALL_FLUSH_STATE,
	CALL_COMPACT,
	CALL_COMPACTION_STATE,
	CALL_INSERT,
	CALL_UPSERT,
	CALL_DELETE,
	CALL_SEARCH,
	CALL_QUERY,
	CALL_COUNT,
	CALL_COUNT_FLUSHED,
	N_CALLS
} CallNumber;

/* What begins an input; the reply follows. */
typedef struct InputHead
{
	uint8		call;
	uint8		numbers;		/* keys are int64 */
	uint16		k;				/* of a search; of a query: whether vectors are asked for */
	uint16		n;				/* queries, or rows */
	uint16		dim;
} InputHead;

/* What a call is about, apart from its head. */
typedef struct Subject
{
	const char *collection;
	const char *expression;
	const char *index_type;
	const char *params;			/* of a search */
	int64		id;				/* of a collection, or of a compaction */
	MilvusFlushing flushing;
} Subject;

/* What a call gave, as far as another one needs it; sum depends on all of it. */
typedef struct Outcome
{
	bool		yes;
	int64		number;
	MilvusFlushing flushing;
	MilvusServer server;
	uint64		sum;
} Outcome;

extern GrpcFailure *RunCall(const InputHead *head, const Subject *subject, Outcome *outcome);

#endif							/* REPLIES_H */
