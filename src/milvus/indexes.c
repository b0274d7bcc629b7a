/*
 * indexes.c
 *		Calls that are about an index, and about what makes it whole: flushing and
 *		compaction.
 */
#include "postgres.h"

#include "milvus/call.h"
#include "milvus/texts.h"

/* ---------- indexes ---------- */

GrpcFailure *
MilvusCreateIndex(GrpcConnection *c, const char *collection, const char *field, int n_params,
				  const MilvusPair *params)
{
	Milvus__CreateIndexRequest request = MILVUS__CREATE_INDEX_REQUEST__INIT;

	request.collection = SentName(collection);
	request.field = SentName(field);
	request.n_params = n_params;
	request.params = SentPairs(n_params, params);
	return CallMilvus(c, "CreateIndex", GRPC_ONCE, &request.base, &status_reply, NULL);
}

static Problem
TakeIndex(const Milvus__Index *sent, MilvusIndex *index)
{
	if (sent->indexed_rows < 0 || sent->total_rows < 0 || sent->pending_rows < 0)
		return "A number of rows is negative.";
	index->exists = true;
	index->indexed_rows = sent->indexed_rows;
	index->total_rows = sent->total_rows;
	index->pending_rows = sent->pending_rows;
	index->state = sent->state;
	index->fail_reason = WordsFromServer(sent->fail_reason, strlen(sent->fail_reason));
	if (!TakeText(sent->name, &index->name) ||
		!TakePairs(sent->n_params, sent->params, &index->n_params, &index->params))
		return bad_text;
	return NULL;
}

/* index->field is what was asked for, the other fields are filled in. */
static Problem
TakeIndexes(const ProtobufCMessage *message, void *result)
{
	const Milvus__IndexesReply *reply = (const Milvus__IndexesReply *) message;
	MilvusIndex *index = result;

	for (size_t i = 0; i < reply->n_indexes; i++)
	{
		char	   *field;

		if (!TakeText(reply->indexes[i]->field, &field))
			return bad_text;
		if (strcmp(field, index->field) == 0)
			return TakeIndex(reply->indexes[i], index);
	}
	return NULL;
}

/*
 * No index is said by a code of its own, or by an empty list (milvus-lite 2).
 */
GrpcFailure *
MilvusDescribeIndex(GrpcConnection *c, const char *collection, const char *field, MilvusIndex *index)
{
	static const ReplyKind kind = {&milvus__indexes_reply__descriptor, TakeIndexes};
	Milvus__DescribeIndexRequest request = MILVUS__DESCRIBE_INDEX_REQUEST__INIT;
	GrpcFailure *failure;

	memset(index, 0, sizeof(MilvusIndex));
	index->field = pstrdup(field);
	request.collection = SentName(collection);
	request.field = SentName(field);
	failure = CallMilvus(c, "DescribeIndex", GRPC_REPEATABLE, &request.base, &kind, index);
	return failure != NULL && failure->milvus_code == MILVUS_INDEX_NOT_FOUND ? NULL : failure;
}

/* ---------- flushing and compaction ---------- */

typedef struct FlushOf
{
	const char *collection;		/* as sent */
	MilvusFlushing *flushing;
} FlushOf;

static void
TakeSegments(const Milvus__Segments *sent, MilvusFlushing *flushing)
{
	flushing->n_segments = (int) sent->n_ids;
	flushing->segments = palloc(sizeof(int64) * Max(sent->n_ids, 1));
	for (size_t i = 0; i < sent->n_ids; i++)
		flushing->segments[i] = sent->ids[i];
}

static Problem
TakeFlushing(const ProtobufCMessage *message, void *result)
{
	const Milvus__FlushReply *reply = (const Milvus__FlushReply *) message;
	FlushOf    *of = result;

	memset(of->flushing, 0, sizeof(MilvusFlushing));
	for (size_t i = 0; i < reply->n_segments; i++)
		if (strcmp(reply->segments[i]->collection, of->collection) == 0 && reply->segments[i]->segments != NULL)
			TakeSegments(reply->segments[i]->segments, of->flushing);
	for (size_t i = 0; i < reply->n_timestamps; i++)
		if (strcmp(reply->timestamps[i]->collection, of->collection) == 0)
			of->flushing->timestamp = reply->timestamps[i]->timestamp;
	return NULL;
}

GrpcFailure *
MilvusFlush(GrpcConnection *c, const char *collection, MilvusFlushing *flushing)
{
	static const ReplyKind kind = {&milvus__flush_reply__descriptor, TakeFlushing};
	Milvus__FlushRequest request = MILVUS__FLUSH_REQUEST__INIT;
	char	   *name = SentName(collection);
	FlushOf		result = {name, flushing};

	request.n_collections = 1;
	request.collections = &name;
	return CallMilvus(c, "Flush", GRPC_REPEATABLE, &request.base, &kind, &result);
}

static Problem
TakeFlushed(const ProtobufCMessage *message, void *result)
{
	*(bool *) result = ((const Milvus__FlushStateReply *) message)->flushed;
	return NULL;
}

GrpcFailure *
MilvusFlushState(GrpcConnection *c, const char *collection, const MilvusFlushing *flushing, bool *flushed)
{
	static const ReplyKind kind = {&milvus__flush_state_reply__descriptor, TakeFlushed};
	Milvus__FlushStateRequest request = MILVUS__FLUSH_STATE_REQUEST__INIT;

	request.n_segments = flushing->n_segments;
	request.segments = (int64_t *) flushing->segments;
	request.timestamp = flushing->timestamp;
	request.collection = SentName(collection);
	return CallMilvus(c, "GetFlushState", GRPC_REPEATABLE, &request.base, &kind, flushed);
}

static Problem
TakeCompaction(const ProtobufCMessage *message, void *result)
{
	*(int64 *) result = ((const Milvus__CompactReply *) message)->compaction;
	return NULL;
}

GrpcFailure *
MilvusCompact(GrpcConnection *c, int64 collection_id, int64 *compaction)
{
	static const ReplyKind kind = {&milvus__compact_reply__descriptor, TakeCompaction};
	Milvus__CompactRequest request = MILVUS__COMPACT_REQUEST__INIT;

	request.collection_id = collection_id;
	return CallMilvus(c, "ManualCompaction", GRPC_REPEATABLE, &request.base, &kind, compaction);
}

/* CompactionState of milvus-proto */
#define COMPACTION_COMPLETED 2

static Problem
TakeCompleted(const ProtobufCMessage *message, void *result)
{
	*(bool *) result = ((const Milvus__CompactionStateReply *) message)->state == COMPACTION_COMPLETED;
	return NULL;
}

GrpcFailure *
MilvusCompactionState(GrpcConnection *c, int64 compaction, bool *completed)
{
	static const ReplyKind kind = {&milvus__compaction_state_reply__descriptor, TakeCompleted};
	Milvus__CompactionStateRequest request = MILVUS__COMPACTION_STATE_REQUEST__INIT;

	request.compaction = compaction;
	return CallMilvus(c, "GetCompactionState", GRPC_REPEATABLE, &request.base, &kind, completed);
}
