/*
 * collections.c
 *		Calls that are about a collection: making it, describing it, loading it.
 */
#include "postgres.h"

#include "milvus/call.h"

/* ---------- collections ---------- */

static GrpcFailure *
CallForCollection(GrpcConnection *c, const char *method, const char *name, const ReplyKind *kind,
				  void *result)
{
	Milvus__CollectionRequest request = MILVUS__COLLECTION_REQUEST__INIT;

	request.collection = SentName(name);
	return CallMilvus(c, method, GRPC_REPEATABLE, &request.base, kind, result);
}

static Problem
TakeBool(const ProtobufCMessage *message, void *result)
{
	*(bool *) result = ((const Milvus__BoolReply *) message)->value;
	return NULL;
}

GrpcFailure *
MilvusHasCollection(GrpcConnection *c, const char *name, bool *exists)
{
	static const ReplyKind kind = {&milvus__bool_reply__descriptor, TakeBool};

	return CallForCollection(c, "HasCollection", name, &kind, exists);
}

static Milvus__Field *
SentField(const MilvusField *field)
{
	Milvus__Field *sent = palloc(sizeof(Milvus__Field));
	MilvusPair	pair = {NULL, NULL};

	milvus__field__init(sent);
	sent->name = SentName(field->name);
	sent->is_primary_key = field->is_primary_key;
	sent->auto_id = field->auto_id;
	sent->type = field->type;
	if (field->type == MILVUS_FLOAT_VECTOR)
		pair = (MilvusPair) {"dim", psprintf("%d", field->dim)};
	else if (field->type == MILVUS_VARCHAR)
		pair = (MilvusPair) {"max_length", psprintf("%d", field->max_length)};
	if ((field->type == MILVUS_FLOAT_VECTOR && (field->dim < 1 || field->dim > MILVUS_MAX_DIM)) ||
		(field->type == MILVUS_VARCHAR && (field->max_length < 1 || field->max_length > MILVUS_MAX_TEXT)))
		elog(ERROR, "Milvus has no field of %s %s", pair.key, pair.value);
	if (pair.key != NULL)
	{
		sent->n_params = 1;
		sent->params = SentPairs(1, &pair);
	}
	return sent;
}

static Milvus__Schema *
SentSchema(const char *name, const MilvusCollection *collection)
{
	Milvus__Schema *schema = palloc(sizeof(Milvus__Schema));

	milvus__schema__init(schema);
	schema->name = SentName(name);
	schema->description = Sent(collection->description);
	schema->dynamic = collection->dynamic;
	schema->n_fields = collection->n_fields;
	schema->fields = palloc(sizeof(Milvus__Field *) * Max(collection->n_fields, 1));
	for (int i = 0; i < collection->n_fields; i++)
		schema->fields[i] = SentField(&collection->fields[i]);
	schema->n_properties = collection->n_properties;
	schema->properties = SentPairs(collection->n_properties, collection->properties);
	return schema;
}

/*
 * Properties stand in the schema and beside it: milvus-lite 2 keeps the former
 * only, the others the latter.
 */
GrpcFailure *
MilvusCreateCollection(GrpcConnection *c, const char *name, const MilvusCollection *collection)
{
	Milvus__CreateCollectionRequest request = MILVUS__CREATE_COLLECTION_REQUEST__INIT;
	Milvus__Schema *schema = SentSchema(name, collection);

	request.collection = schema->name;
	request.schema.len = milvus__schema__get_packed_size(schema);
	request.schema.data = palloc(request.schema.len);
	milvus__schema__pack(schema, request.schema.data);
	request.shards = collection->shards;
	request.level = collection->level;
	request.n_properties = schema->n_properties;
	request.properties = schema->properties;
	return CallMilvus(c, "CreateCollection", GRPC_ONCE, &request.base, &status_reply, NULL);
}

static Problem
TakeField(const Milvus__Field *sent, MilvusField *field)
{
	field->type = sent->type;
	field->is_primary_key = sent->is_primary_key;
	field->auto_id = sent->auto_id;
	if (!TakeText(sent->name, &field->name))
		return bad_text;
	field->dim = NumberOfPair(sent->n_params, sent->params, "dim", PG_INT32_MAX);
	field->max_length = NumberOfPair(sent->n_params, sent->params, "max_length", PG_INT32_MAX);
	if (field->dim < 0 || field->max_length < 0)
		return "A field's dim or max_length is no number.";
	return NULL;
}

static bool
HasPair(int n, const MilvusPair *pairs, const char *key)
{
	for (int i = 0; i < n; i++)
		if (strcmp(pairs[i].key, key) == 0)
			return true;
	return false;
}

/*
 * The collection's, then those of its schema that are not among them.
 */
static bool
TakeProperties(const Milvus__CollectionReply *reply, MilvusCollection *collection)
{
	const Milvus__Schema *schema = reply->schema;
	int			n_schema;
	MilvusPair *of_schema;
	int			n;
	MilvusPair *all;

	if (!TakePairs(reply->n_properties, reply->properties, &n, &all) ||
		!TakePairs(schema->n_properties, schema->properties, &n_schema, &of_schema))
		return false;
	all = repalloc(all, sizeof(MilvusPair) * Max(n + n_schema, 1));
	collection->n_properties = n;
	for (int i = 0; i < n_schema; i++)
		if (!HasPair(n, all, of_schema[i].key))
			all[collection->n_properties++] = of_schema[i];
	collection->properties = all;
	return true;
}

/* Milvus has 64 fields at most, and hardly more properties. */
#define MAX_FIELDS 1024
#define MAX_PROPERTIES 1024

static Problem
TakeCollection(const ProtobufCMessage *message, void *result)
{
	const Milvus__CollectionReply *reply = (const Milvus__CollectionReply *) message;
	const Milvus__Schema *schema = reply->schema;
	MilvusCollection *collection = result;

	if (schema == NULL)
		return "There is no schema.";
	if (schema->n_fields > MAX_FIELDS ||
		schema->n_properties > MAX_PROPERTIES || reply->n_properties > MAX_PROPERTIES)
		return "There are too many fields or properties.";
	memset(collection, 0, sizeof(MilvusCollection));
	collection->dynamic = schema->dynamic;
	collection->id = reply->id;
	collection->shards = reply->shards;
	collection->level = reply->level;
	collection->n_fields = (int) schema->n_fields;
	collection->fields = palloc0(sizeof(MilvusField) * Max(schema->n_fields, 1));
	for (int i = 0; i < collection->n_fields; i++)
	{
		Problem		problem = TakeField(schema->fields[i], &collection->fields[i]);

		if (problem != NULL)
			return problem;
	}
	/* 2.3.5 repeats the name that was asked for in the reply's collection_name */
	if (!TakeText(schema->name, &collection->name) ||
		!TakeText(schema->description, &collection->description) || !TakeProperties(reply, collection))
		return bad_text;
	return NULL;
}

GrpcFailure *
MilvusDescribeCollection(GrpcConnection *c, const char *name, MilvusCollection *collection)
{
	static const ReplyKind kind = {&milvus__collection_reply__descriptor, TakeCollection};

	return CallForCollection(c, "DescribeCollection", name, &kind, collection);
}

GrpcFailure *
MilvusShowCollections(GrpcConnection *c, int *n, char ***names)
{
	return CallForNames(c, "ShowCollections", n, names);
}

GrpcFailure *
MilvusDropCollection(GrpcConnection *c, const char *name)
{
	return CallForCollection(c, "DropCollection", name, &status_reply, NULL);
}

static Problem
TakeRowCount(const ProtobufCMessage *message, void *result)
{
	const Milvus__StatisticsReply *reply = (const Milvus__StatisticsReply *) message;

	for (size_t i = 0; i < reply->n_statistics; i++)
	{
		const char *value = reply->statistics[i]->value;
		size_t		length = strlen(value);

		if (strcmp(reply->statistics[i]->key, "row_count") != 0)
			continue;
		if (length == 0 || length > 18 || strspn(value, "0123456789") != length)
			return "The number of rows is none.";
		*(int64 *) result = atoll(value);
		return NULL;
	}
	return "There is no number of rows.";
}

/*
 * How many rows a collection has, which need not be loaded: of those that were
 * flushed, with what was deleted and not compacted away yet.
 */
GrpcFailure *
MilvusCountFlushed(GrpcConnection *c, const char *name, int64 *count)
{
	static const ReplyKind kind = {&milvus__statistics_reply__descriptor, TakeRowCount};

	return CallForCollection(c, "GetCollectionStatistics", name, &kind, count);
}

/* ---------- loading ---------- */

GrpcFailure *
MilvusLoadCollection(GrpcConnection *c, const char *name)
{
	Milvus__LoadCollectionRequest request = MILVUS__LOAD_COLLECTION_REQUEST__INIT;

	request.collection = SentName(name);
	request.replicas = 1;
	return CallMilvus(c, "LoadCollection", GRPC_REPEATABLE, &request.base, &status_reply, NULL);
}

GrpcFailure *
MilvusReleaseCollection(GrpcConnection *c, const char *name)
{
	return CallForCollection(c, "ReleaseCollection", name, &status_reply, NULL);
}

static GrpcFailure *
CallForLoad(GrpcConnection *c, const char *method, const char *name, const ReplyKind *kind, int *result)
{
	Milvus__LoadRequest request = MILVUS__LOAD_REQUEST__INIT;

	request.collection = SentName(name);
	return CallMilvus(c, method, GRPC_REPEATABLE, &request.base, kind, result);
}

static Problem
TakeLoadState(const ProtobufCMessage *message, void *result)
{
	*(int *) result = ((const Milvus__LoadStateReply *) message)->state;
	return NULL;
}

GrpcFailure *
MilvusLoadState(GrpcConnection *c, const char *name, int *state)
{
	static const ReplyKind kind = {&milvus__load_state_reply__descriptor, TakeLoadState};

	return CallForLoad(c, "GetLoadState", name, &kind, state);
}

static Problem
TakePercent(const ProtobufCMessage *message, void *result)
{
	const Milvus__LoadingProgressReply *reply = (const Milvus__LoadingProgressReply *) message;

	if (reply->percent < 0 || reply->percent > 100)
		return "The progress is no percentage.";
	*(int *) result = (int) reply->percent;
	return NULL;
}

GrpcFailure *
MilvusLoadingProgress(GrpcConnection *c, const char *name, int *percent)
{
	static const ReplyKind kind = {&milvus__loading_progress_reply__descriptor, TakePercent};

	return CallForLoad(c, "GetLoadingProgress", name, &kind, percent);
}
