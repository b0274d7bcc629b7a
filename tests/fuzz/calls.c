/*
 * calls.c
 *		Each call of src/milvus, with rows and vectors that are made up, and a look at
 *		every byte of what it gives.
 */
#include "postgres.h"

#include "replies.h"

static void
See(Outcome *outcome, const void *bytes, Size length)
{
	for (Size i = 0; i < length; i++)
		outcome->sum = outcome->sum * 31 + ((const uint8 *) bytes)[i];
}

static void
SeeText(Outcome *outcome, const char *text)
{
	See(outcome, text, strlen(text));
}

static void
SeePairs(Outcome *outcome, int n, const MilvusPair *pairs)
{
	for (int i = 0; i < n; i++)
	{
		SeeText(outcome, pairs[i].key);
		SeeText(outcome, pairs[i].value);
	}
}

static void
SeeKeys(Outcome *outcome, const MilvusKeys *keys)
{
	if (keys->numbers != NULL)
		See(outcome, keys->numbers, sizeof(int64) * keys->n);
	for (int i = 0; i < keys->n && keys->texts != NULL; i++)
		SeeText(outcome, keys->texts[i]);
	if (keys->n > 0 && (keys->texts == NULL) == (keys->numbers == NULL))
		abort();
}

static void
SeeCollection(Outcome *outcome, const MilvusCollection *collection)
{
	SeeText(outcome, collection->description);
	for (int i = 0; i < collection->n_fields; i++)
		SeeText(outcome, collection->fields[i].name);
	SeePairs(outcome, collection->n_properties, collection->properties);
	outcome->number = collection->id;
}

static float *
SomeVectors(int n, int dim)
{
	float	   *vectors = palloc(sizeof(float) * Max(n * dim, 1));

	for (int i = 0; i < n * dim; i++)
		vectors[i] = (float) (i * i % 101) - 50;
	return vectors;
}

static GrpcFailure *
CreateCollection(const InputHead *head, const Subject *subject)
{
	MilvusField fields[] = {
		{.name = (char *) "pk",.type = head->numbers ? MILVUS_INT64 : MILVUS_VARCHAR,.is_primary_key = true,.max_length = 64000},
		{.name = (char *) "vector",.type = MILVUS_FLOAT_VECTOR,.dim = head->dim},
		{.name = (char *) "sample_id",.type = MILVUS_VARCHAR,.max_length = 64000},
	};
	MilvusPair	properties[] = {{"milvus_brain.run", "1"}};
	MilvusCollection collection = {.description = (char *) "some words",.n_fields = head->numbers ? 2 : 3,
	.fields = fields,.shards = 1,.level = MILVUS_BOUNDED,.n_properties = 1,.properties = properties};

	return MilvusCreateCollection(NULL, subject->collection, &collection);
}

static GrpcFailure *
Write(const InputHead *head, const Subject *subject, Outcome *outcome)
{
	const char **texts = palloc(sizeof(char *) * Max(head->n, 1));
	int64	   *numbers = palloc(sizeof(int64) * Max(head->n, 1));
	MilvusRows	rows = {.collection = subject->collection,.key_field = "pk",.vector_field = "vector",
		.text_field = head->numbers ? NULL : "sample_id",.n = head->n,.dim = head->dim,
		.texts = head->numbers ? NULL : texts,.numbers = head->numbers ? numbers : NULL,
	.vectors = SomeVectors(head->n, head->dim)};
	MilvusWritten written;
	GrpcFailure *failure;

	for (int i = 0; i < head->n; i++)
	{
		numbers[i] = i - 3;
		texts[i] = psprintf(i == 0 ? "" : i == 1 ? "\"\\'" : i == 2 ? "\xc3\xa9%d" : "%024x", i);
	}
	failure = (head->call == CALL_INSERT ? MilvusInsert : MilvusUpsert) (NULL, &rows, &written);
	outcome->number = (int64) written.timestamp;
	return failure;
}

static GrpcFailure *
Search(const InputHead *head, const Subject *subject, Outcome *outcome)
{
	MilvusSearch search = {.collection = subject->collection,.vector_field = "vector",.metric = "IP",
		.params = subject->params ? subject->params : "{}",.expression = subject->expression,.k = head->k,
	.n_queries = head->n,.dim = head->dim,.queries = SomeVectors(head->n, head->dim)};
	MilvusHits	hits;
	GrpcFailure *failure = MilvusRunSearch(NULL, &search, &hits);
	int			total = 0;

	if (failure != NULL)
		return failure;
	for (int i = 0; i < hits.n_queries; i++)
	{
		total += hits.counts[i];
		if (hits.counts[i] < 0 || hits.counts[i] > head->k)
			abort();
	}
	if (total != hits.keys.n)
		abort();
	SeeKeys(outcome, &hits.keys);
	See(outcome, hits.scores, sizeof(float) * hits.keys.n);
	outcome->number = total;
	return NULL;
}

static GrpcFailure *
Query(const InputHead *head, const Subject *subject, Outcome *outcome)
{
	MilvusQuery query = {.collection = subject->collection,.key_field = "pk",.vector_field = head->k ? "vector" : NULL,
	.expression = subject->expression,.limit = subject->expression ? 0 : 100,.max_rows = 1000,.dim = head->dim};
	MilvusEntries entries;
	GrpcFailure *failure = MilvusRunQuery(NULL, &query, &entries);

	if (failure != NULL)
		return failure;
	if (entries.keys.n > 1000)
		abort();
	SeeKeys(outcome, &entries.keys);
	if (head->k)
		See(outcome, entries.vectors, sizeof(float) * entries.keys.n * head->dim);
	outcome->number = entries.keys.n;
	return NULL;
}

static GrpcFailure *
DescribeIndex(const Subject *subject, Outcome *outcome)
{
	MilvusIndex index;
	GrpcFailure *failure = MilvusDescribeIndex(NULL, subject->collection, "vector", &index);

	if (failure != NULL)
		return failure;
	outcome->yes = index.exists;
	outcome->number = index.state == 3 && index.pending_rows == 0;
	if (!index.exists)
		return NULL;
	SeeText(outcome, index.name);
	SeeText(outcome, index.field);
	SeeText(outcome, index.fail_reason);
	SeePairs(outcome, index.n_params, index.params);
	return NULL;
}

static GrpcFailure *
CreateIndex(const Subject *subject)
{
	MilvusPair	params[] = {{"index_type", subject->index_type ? subject->index_type : "FLAT"}, {"metric_type", "IP"},
	{"params", "{\"M\": 8, \"efConstruction\": 64}"}};

	return MilvusCreateIndex(NULL, subject->collection, "vector", lengthof(params), params);
}

static GrpcFailure *
Names(const InputHead *head, Outcome *outcome)
{
	int			n;
	char	  **names;
	GrpcFailure *failure = head->call == CALL_LIST_DATABASES ?
		MilvusListDatabases(NULL, &n, &names) : MilvusShowCollections(NULL, &n, &names);

	for (int i = 0; i < n && failure == NULL; i++)
		SeeText(outcome, names[i]);
	return failure;
}

static GrpcFailure *
Number(const InputHead *head, const Subject *subject, Outcome *outcome)
{
	int			number = 0;
	uint64		timestamp = 0;
	GrpcFailure *failure;

	switch (head->call)
	{
		case CALL_LOAD_STATE:
			failure = MilvusLoadState(NULL, subject->collection, &number);
			break;
		case CALL_LOADING_PROGRESS:
			failure = MilvusLoadingProgress(NULL, subject->collection, &number);
			break;
		case CALL_ALLOC_TIMESTAMP:
			failure = MilvusAllocTimestamp(NULL, &timestamp);
			number = timestamp > 0;
			break;
		case CALL_COMPACT:
			return MilvusCompact(NULL, subject->id, &outcome->number);
		case CALL_COUNT_FLUSHED:
			return MilvusCountFlushed(NULL, subject->collection, &outcome->number);
		default:
			return MilvusCount(NULL, subject->collection, MILVUS_STRONG, 0, &outcome->number);
	}
	outcome->number = number;
	return failure;
}

static GrpcFailure *
Flush(const Subject *subject, Outcome *outcome)
{
	GrpcFailure *failure = MilvusFlush(NULL, subject->collection, &outcome->flushing);

	if (failure == NULL)
		See(outcome, outcome->flushing.segments, sizeof(int64) * outcome->flushing.n_segments);
	return failure;
}

GrpcFailure *
RunCall(const InputHead *head, const Subject *subject, Outcome *outcome)
{
	MilvusCollection collection;
	MilvusWritten written;
	GrpcFailure *failure;

	memset(outcome, 0, sizeof(Outcome));
	switch ((CallNumber) head->call)
	{
		case CALL_CONNECT:
			failure = MilvusConnect(NULL, &outcome->server);
			if (failure == NULL)
				SeeText(outcome, outcome->server.version);
			return failure;
		case CALL_LIST_DATABASES:
		case CALL_SHOW_COLLECTIONS:
			return Names(head, outcome);
		case CALL_HAS_COLLECTION:
			return MilvusHasCollection(NULL, subject->collection, &outcome->yes);
		case CALL_CREATE_COLLECTION:
			return CreateCollection(head, subject);
		case CALL_DESCRIBE_COLLECTION:
			failure = MilvusDescribeCollection(NULL, subject->collection, &collection);
			if (failure == NULL)
				SeeCollection(outcome, &collection);
			return failure;
		case CALL_DROP_COLLECTION:
			return MilvusDropCollection(NULL, subject->collection);
		case CALL_CREATE_INDEX:
			return CreateIndex(subject);
		case CALL_DESCRIBE_INDEX:
			return DescribeIndex(subject, outcome);
		case CALL_LOAD_COLLECTION:
			return MilvusLoadCollection(NULL, subject->collection);
		case CALL_RELEASE_COLLECTION:
			return MilvusReleaseCollection(NULL, subject->collection);
		case CALL_FLUSH:
			return Flush(subject, outcome);
		case CALL_FLUSH_STATE:
			return MilvusFlushState(NULL, subject->collection, &subject->flushing, &outcome->yes);
		case CALL_COMPACTION_STATE:
			return MilvusCompactionState(NULL, subject->id, &outcome->yes);
		case CALL_INSERT:
		case CALL_UPSERT:
			return Write(head, subject, outcome);
		case CALL_DELETE:
			failure = MilvusDelete(NULL, subject->collection, subject->expression, &written);
			outcome->number = written.count;
			return failure;
		case CALL_SEARCH:
			return Search(head, subject, outcome);
		case CALL_QUERY:
			return Query(head, subject, outcome);
		case CALL_LOAD_STATE:
		case CALL_LOADING_PROGRESS:
		case CALL_ALLOC_TIMESTAMP:
		case CALL_COMPACT:
		case CALL_COUNT:
		case CALL_COUNT_FLUSHED:
			return Number(head, subject, outcome);
		case N_CALLS:
			break;
	}
	abort();
}
