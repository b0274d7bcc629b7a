/*
 * messages.h
 *		What Milvus is asked, and what it answers: each call as a function.
 *
 * Field numbers and values: milvus-proto, branch 2.3 to 3.0
 * (https://github.com/milvus-io/milvus-proto); milvus.proto has what is used of it.
 * Each function returns NULL when the server has done what it was asked, else the
 * failure, whose milvus_code is the code of the reply's Status. Results are palloc'd
 * in the caller's context, and count for nothing after a failure.
 *
 * Texts here are in the database's encoding. What is wrong on our side is raised
 * before anything is sent: an internal error where the caller should have looked
 * (a wrong dimension kills a server, an empty condition deletes all rows), 22P05
 * for a text that has no UTF-8.
 */
#ifndef BRAIN_MESSAGES_H
#define BRAIN_MESSAGES_H

#include "milvus/grpc.h"

/* Status.code, those that are asked for by name */
#define MILVUS_NOT_READY 1			/* milvus-lite 3: anything */
#define MILVUS_MEMORY_LIMIT 3
#define MILVUS_REQUEST_LIMIT 4
#define MILVUS_DISK_LIMIT 7
#define MILVUS_RATE_LIMIT 8
#define MILVUS_QUOTA_EXCEEDED 9
#define MILVUS_COLLECTION_NOT_FOUND 100
#define MILVUS_COLLECTION_NOT_LOADED 101
#define MILVUS_COLLECTION_NOT_FULLY_LOADED 103
#define MILVUS_SCHEMA_MISMATCH 109
#define MILVUS_INDEX_NOT_FOUND 700
#define MILVUS_DATABASE_NOT_FOUND 800
#define MILVUS_INVALID_PARAMETER 1100
#define MILVUS_NOT_AUTHENTICATED 1400
#define MILVUS_NOT_PERMITTED 1401
#define MILVUS_UNEXPECTED 65535		/* most refusals of 2.3 */

/* What Milvus takes. */
#define MILVUS_MAX_K 16384
#define MILVUS_MAX_QUERIES 16384
#define MILVUS_MAX_TEXT 65535		/* bytes of a VARCHAR */
#define MILVUS_MAX_DIM 32768
#define MILVUS_MAX_NAME 255

typedef struct MilvusServer
{
	char	   *version;		/* "v2.3.5-lite"; "milvus-lite 2.x" where it says nothing */
	bool		is_lite;		/* milvus-lite of any version */
	bool		is_lite2;		/* the C++ one: at most 1 MiB a request, no HNSW, ignores databases */
} MilvusServer;

/* IndexState and LoadState, those that are asked for */
#define MILVUS_INDEX_FINISHED 3
#define MILVUS_INDEX_FAILED 4
#define MILVUS_LOADED 3

typedef enum MilvusType
{
	MILVUS_INT64 = 5,
	MILVUS_VARCHAR = 21,
	MILVUS_FLOAT_VECTOR = 101,
} MilvusType;

typedef enum MilvusLevel
{
	MILVUS_STRONG = 0,
	MILVUS_SESSION = 1,
	MILVUS_BOUNDED = 2,
	MILVUS_EVENTUALLY = 3,
	MILVUS_CUSTOMIZED = 4,
} MilvusLevel;

/* The guarantee that pymilvus' Session gives where its process has written nothing. */
#define MILVUS_ANY_TIMESTAMP 1

typedef struct MilvusPair
{
	const char *key;
	const char *value;
} MilvusPair;

typedef struct MilvusField
{
	char	   *name;
	int			type;			/* a MilvusType, or another number */
	bool		is_primary_key;
	bool		auto_id;
	int			dim;			/* of a vector; 0: not said */
	int			max_length;		/* of a VARCHAR, bytes; 0: not said */
} MilvusField;

typedef struct MilvusCollection
{
	char	   *name;			/* its own, also where it was asked for by an alias */
	char	   *description;
	int			n_fields;
	MilvusField *fields;
	bool		dynamic;
	int64		id;
	int			shards;
	int			level;			/* a MilvusLevel */
	int			n_properties;
	MilvusPair *properties;
} MilvusCollection;

typedef struct MilvusIndex
{
	bool		exists;
	char	   *name;
	char	   *field;
	int			n_params;
	MilvusPair *params;			/* index_type, metric_type, params or flat ones */
	int64		indexed_rows;
	int64		total_rows;
	int64		pending_rows;
	int			state;			/* 3: finished, 4: failed */
	char	   *fail_reason;
} MilvusIndex;

/* Rows to be sent: n keys of either kind, and n x dim vectors. */
typedef struct MilvusRows
{
	const char *collection;
	const char *key_field;
	const char *vector_field;
	const char *text_field;		/* takes the key once more; NULL: none */
	int			n;				/* 0: nothing is sent */
	int			dim;			/* the collection's, from DescribeCollection */
	const char *const *texts;	/* keys of a VARCHAR; NULL when numbers */
	const int64 *numbers;		/* keys of an INT64 */
	const float *vectors;		/* n x dim, finite */
} MilvusRows;

typedef struct MilvusWritten
{
	int64		count;			/* rows, as the server counts them */
	uint64		timestamp;		/* hybrid; 0 from milvus-lite, and of deletes */
} MilvusWritten;

typedef struct MilvusSearch
{
	const char *collection;
	const char *vector_field;
	const char *metric;			/* COSINE, IP, L2 */
	const char *params;			/* JSON object: {"ef": 64} */
	const char *expression;		/* NULL: none */
	int			k;				/* 1 to MILVUS_MAX_K */
	int			n_queries;		/* >= 1 */
	int			dim;
	const float *queries;		/* n_queries x dim, finite */
	int			level;
	uint64		guarantee_timestamp;	/* for MILVUS_SESSION and MILVUS_CUSTOMIZED */
} MilvusSearch;

/* Keys, either kind, in the server's order. */
typedef struct MilvusKeys
{
	int			n;
	char	  **texts;			/* NULL when numbers */
	int64	   *numbers;
} MilvusKeys;

typedef struct MilvusHits
{
	int			n_queries;
	int		   *counts;			/* of each query, <= k; hits of query i follow those of i - 1 */
	MilvusKeys	keys;
	float	   *scores;			/* keys.n; finite */
} MilvusHits;

/* A request to read rows by an expression. */
typedef struct MilvusQuery
{
	const char *collection;
	const char *key_field;
	const char *vector_field;	/* NULL: keys only */
	const char *expression;		/* NULL: none, with a limit; without, nothing is asked */
	int64		limit;			/* 0: none */
	int64		max_rows;		/* more in a reply are refused; 0: the limit, or 4,194,304 */
	int			dim;			/* that vectors must have */
	int			level;
	uint64		guarantee_timestamp;
} MilvusQuery;

typedef struct MilvusEntries
{
	MilvusKeys	keys;
	float	   *vectors;		/* keys.n x dim, as stored: NaN may be; NULL unless asked for */
} MilvusEntries;

extern GrpcFailure *MilvusConnect(GrpcConnection *c, MilvusServer *server);
extern GrpcFailure *MilvusListDatabases(GrpcConnection *c, int *n, char ***names);
extern GrpcFailure *MilvusAllocTimestamp(GrpcConnection *c, uint64 *timestamp);

extern GrpcFailure *MilvusHasCollection(GrpcConnection *c, const char *name, bool *exists);
extern GrpcFailure *MilvusCreateCollection(GrpcConnection *c, const char *name, const MilvusCollection *collection);
extern GrpcFailure *MilvusDescribeCollection(GrpcConnection *c, const char *name, MilvusCollection *collection);
extern GrpcFailure *MilvusShowCollections(GrpcConnection *c, int *n, char ***names);
extern GrpcFailure *MilvusDropCollection(GrpcConnection *c, const char *name);
extern GrpcFailure *MilvusCountFlushed(GrpcConnection *c, const char *name, int64 *count);	/* deleted ones too */
extern GrpcFailure *MilvusCreateIndex(GrpcConnection *c, const char *collection, const char *field,
									  int n_params, const MilvusPair *params);
extern GrpcFailure *MilvusDescribeIndex(GrpcConnection *c, const char *collection, const char *field, MilvusIndex *index);
extern GrpcFailure *MilvusLoadCollection(GrpcConnection *c, const char *name);
extern GrpcFailure *MilvusReleaseCollection(GrpcConnection *c, const char *name);
extern GrpcFailure *MilvusLoadState(GrpcConnection *c, const char *name, int *state);	/* 3: loaded */
extern GrpcFailure *MilvusLoadingProgress(GrpcConnection *c, const char *name, int *percent);

/* What Flush() has begun, for MilvusFlushState(). */
typedef struct MilvusFlushing
{
	int			n_segments;
	int64	   *segments;
	uint64		timestamp;
} MilvusFlushing;

extern GrpcFailure *MilvusFlush(GrpcConnection *c, const char *collection, MilvusFlushing *flushing);
extern GrpcFailure *MilvusFlushState(GrpcConnection *c, const char *collection, const MilvusFlushing *flushing, bool *flushed);
extern GrpcFailure *MilvusCompact(GrpcConnection *c, int64 collection_id, int64 *compaction);
extern GrpcFailure *MilvusCompactionState(GrpcConnection *c, int64 compaction, bool *completed);

extern GrpcFailure *MilvusInsert(GrpcConnection *c, const MilvusRows *rows, MilvusWritten *written);
extern GrpcFailure *MilvusUpsert(GrpcConnection *c, const MilvusRows *rows, MilvusWritten *written);
extern GrpcFailure *MilvusDelete(GrpcConnection *c, const char *collection, const char *expression, MilvusWritten *written);
extern GrpcFailure *MilvusRunSearch(GrpcConnection *c, const MilvusSearch *search, MilvusHits *hits);
extern GrpcFailure *MilvusRunQuery(GrpcConnection *c, const MilvusQuery *query, MilvusEntries *entries);
extern GrpcFailure *MilvusCount(GrpcConnection *c, const char *collection, int level, uint64 guarantee_timestamp, int64 *count);

/* Bytes of a request with these rows, as UTF-8, before it is made. */
extern Size MilvusRowsSize(const MilvusRows *rows);

/*
 * Can a server have this key, and find it again? NULL, or what is wrong, a text to
 * be translated that follows on "key ...". Each key is asked for before it is sent.
 */
extern const char *MilvusTextProblem(const MilvusServer *server, const char *text, int max_length);

/*
 * key_field in ["a", "b"]; NULL when n is 0, with which Delete and RunQuery send
 * nothing. Error: 42602 a field's name that Milvus could not have.
 */
extern void AppendTextLiteral(StringInfo expression, const char *text);
extern char *KeysExpression(const char *field, int n, const char *const *texts, const int64 *numbers);

#endif							/* BRAIN_MESSAGES_H */
