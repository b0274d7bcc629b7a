/*
 * attach.c
 *		Runs on collections that were there before, whose vectors PostgreSQL does not
 *		have: FiftyOne's, or anybody's.
 *
 * Such a collection is read and never written, and its run is frozen: what the
 * dataset and the collection have in common is found, with the vectors that the
 * collection has, fetched by key for each search. So its distances are computed
 * as all others are.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "bases.h"
#include "changes.h"
#include "milvus/attach.h"
#include "milvus/milvus.h"

/* Keys in one request for vectors: replies have up to 64 MiB on some servers. */
#define MAX_KEYS_PER_QUERY 1000
#define MAX_BYTES_PER_QUERY (16 * 1024 * 1024)

/* ---------- does it fit? ---------- */

typedef struct Fit
{
	const MilvusCollection *collection;
	const MilvusField *key;
	const MilvusField *vector;
	bool		has_index;
	StringInfoData differences;

	/* the dataset */
	const Dataset *dataset;
	int64		n_samples;
	VectorBuffer embedding;		/* that was read last */
	int			other_dim;		/* of the first embedding, while none fits; else 0 */
	bool		dim_fits;
} Fit;

static void pg_attribute_printf(2, 3)
AddDifference(Fit *fit, const char *format,...)
{
	va_list		args;
	char		text[512];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	appendStringInfo(&fit->differences, "%s%s", fit->differences.len ? "\n" : "", text);
}

/*
 * The primary key, and the one field of vectors or the one that is named.
 */
static void
FindFields(Fit *fit, const char *key_field, const char *vector_field)
{
	int			n_vectors = 0;

	for (int i = 0; i < fit->collection->n_fields; i++)
	{
		const MilvusField *field = &fit->collection->fields[i];

		if (field->is_primary_key)
			fit->key = field;
		if (field->type != MILVUS_FLOAT_VECTOR || (vector_field && strcmp(vector_field, field->name) != 0))
			continue;
		fit->vector = field;
		n_vectors++;
	}
	if (fit->key == NULL || (key_field && strcmp(key_field, fit->key->name) != 0))
		AddDifference(fit, _("Its primary key is \"%s\", not \"%s\"."), fit->key ? fit->key->name : "",
					  key_field ? key_field : "");
	else if (fit->key->type != MILVUS_VARCHAR && fit->key->type != MILVUS_INT64)
		AddDifference(fit, _("Its primary key \"%s\" is neither VARCHAR nor INT64."), fit->key->name);
	if (n_vectors == 0 && vector_field)
		AddDifference(fit, _("It has no field \"%s\" of float vectors."), vector_field);
	else if (n_vectors == 0)
		AddDifference(fit, _("It has no field of float vectors."));
	else if (n_vectors > 1)
	{
		AddDifference(fit, _("It has %d fields of float vectors: name one with the option vector_field."), n_vectors);
		fit->vector = NULL;
	}
}

static void
CountSample(TupleTableSlot *slot, void *arg)
{
	Fit		   *fit = arg;
	bool		isnull;
	Datum		value;

	fit->n_samples++;
	if (fit->dim_fits || fit->vector == NULL || fit->dataset->embeddings_attno == InvalidAttrNumber)
		return;
	value = slot_getattr(slot, 1, &isnull);
	if (isnull || ReadVector(fit->dataset->format, value, &fit->embedding) != VECTOR_OK)
		return;
	fit->dim_fits = fit->embedding.dim == fit->vector->dim;
	if (fit->other_dim == 0)
		fit->other_dim = fit->embedding.dim;
}

/*
 * Count the samples that the dataset has, as the caller, who is its owner, sees
 * them. Where it has embeddings, one must have the collection's dimension: others
 * may be bad.
 */
static void
CompareSamples(Fit *fit, const Run *run)
{
	SampleQuery query = {.targets = "1", .read = CountSample, .arg = fit};

	if (fit->dataset->embeddings_attno != InvalidAttrNumber)
		query.targets = psprintf("%s.%s", fit->dataset->name_in_query, fit->dataset->embeddings_column);
	InitVectorBuffer(&fit->embedding);
	ReadSamples(fit->dataset, &query);
	if (fit->vector == NULL || fit->dim_fits)
		return;
	if (fit->other_dim == 0)
		fit->other_dim = run->dimensions;
	if (fit->other_dim > 0 && fit->other_dim != fit->vector->dim)
		AddDifference(fit, _("Its vectors have %d dimensions, not %d."), fit->vector->dim, fit->other_dim);
}

static void
CompareIndex(Fit *fit, MilvusConnection *connection, const Run *run, CollectionConfig *config)
{
	MilvusIndex index = {0};
	GrpcFailure *failure;

	if (fit->vector == NULL)
		return;
	failure = MilvusDescribeIndex(connection->grpc, config->collection_name, fit->vector->name, &index);
	if (failure && failure->milvus_code != MILVUS_INDEX_NOT_FOUND)
		GrpcRaise(failure);
	if (failure || !index.exists)
	{
		AddDifference(fit, _("Its field \"%s\" has no index."), fit->vector->name);
		return;
	}
	fit->has_index = true;
	/* how it was built is the server's to know */
	config->index_params = pstrdup("{}");
	for (int i = 0; i < index.n_params; i++)
	{
		MilvusPair *param = &index.params[i];

		if (strcmp(param->key, "index_type") == 0)
			config->index_type = pstrdup(param->value);
		if (strcmp(param->key, "metric_type") == 0 && pg_strcasecmp(param->value, MilvusMetric(run->metric)) != 0)
			AddDifference(fit, _("Its metric is %s, not %s."), param->value, MilvusMetric(run->metric));
	}
}

/*
 * What has no index cannot be loaded, and so not be counted.
 */
static void
CompareCounts(Fit *fit, MilvusConnection *connection, Run *run, const char *collection)
{
	int64		n_rows = 0;
	GrpcFailure *failure;

	if (!fit->has_index)
		return;
	failure = LoadAndWait(connection, collection, 0);
	if (failure == NULL)
		failure = MilvusCount(connection->grpc, collection, MILVUS_STRONG, 0, &n_rows);
	GrpcCheck(failure);
	if (n_rows == 0 || n_rows > fit->n_samples)
		AddDifference(fit, _("It has %lld rows, the dataset has %lld."), (long long) n_rows,
					  (long long) fit->n_samples);
	run->indexed = n_rows;
	run->missing = Max(fit->n_samples - n_rows, 0);
	run->skipped = 0;
}

static void
RaiseDifferences(const Fit *fit, const char *collection, const GrpcConnection *grpc)
{
	if (fit->differences.len == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("collection \"%s\" of Milvus server \"%s\" does not fit the brain run", collection,
					GrpcNameOf(grpc)),
			 errdetail_internal("%s", fit->differences.data)));
}

/*
 * Which other runs have the collection, is told.
 */
static void
TellOtherRuns(const Run *run, const CollectionConfig *config)
{
	const char *collection = config->collection_name;
	ListCell   *lc;

	foreach(lc, OtherRunsOn(config->server, collection, &run->id))
		ereport(NOTICE,
				(errmsg("collection \"%s\" is that of %s too", collection, NameOfOtherRun(lfirst(lc)))));
}

/*
 * Settle that a run is on a collection that is there: its config, dimensions and
 * counts. False when there is none of the name. Error 42804 with all that does
 * not fit.
 */
bool
AttachCollection(Run *run, CollectionConfig *config, const BackendArguments *arguments,
				 const char *key_field, const char *vector_field)
{
	MilvusConnection *connection;
	MilvusCollection found = {0};
	Fit			fit = {.collection = &found, .dataset = arguments->dataset};
	bool		exists;
	GrpcFailure *failure;

	connection = RequireConnection(run, &(CollectionConfig *) {NULL});
	failure = MilvusHasCollection(connection->grpc, config->collection_name, &exists);
	if (failure == NULL && !exists)
		return false;
	if (failure == NULL)
		failure = MilvusDescribeCollection(connection->grpc, config->collection_name, &found);
	GrpcCheck(failure);
	if (IsAlias(connection->grpc, config->collection_name, &found))
	{
		ereport(NOTICE,
				(errmsg("\"%s\" is an alias: the run is attached to collection \"%s\"",
						config->collection_name, found.name)));
		config->collection_name = found.name;
	}
	initStringInfo(&fit.differences);
	FindFields(&fit, key_field, vector_field);
	CompareSamples(&fit, run);
	CompareIndex(&fit, connection, run, config);
	CompareCounts(&fit, connection, run, config->collection_name);
	RaiseDifferences(&fit, config->collection_name, connection->grpc);
	TellOtherRuns(run, config);
	config->attached = true;
	config->key_field = fit.key->name;
	config->key_is_number = fit.key->type == MILVUS_INT64;
	config->vector_field = fit.vector->name;
	run->dimensions = fit.vector->dim;
	run->attached = true;
	return true;
}

/* ---------- its vectors ---------- */

typedef struct AttachedVector
{
	const char *id;				/* hash key */
	const float *values;
} AttachedVector;

struct AttachedVectors
{
	const Run  *run;
	CollectionConfig *config;
	BaseRow    *row;
	MilvusConnection *connection;
	MemoryContext context;
	HTAB	   *vectors;		/* those that were fetched last */
};

/*
 * Begin to read vectors of a run's collection. Errors of the server are raised:
 * nobody else has them.
 */
AttachedVectors *
OpenAttachedVectors(const Run *run)
{
	AttachedVectors *vectors = palloc0(sizeof(AttachedVectors));
	const char *reason;

	vectors->run = run;
	vectors->row = ReadBaseRow(&run->id);
	vectors->context = AllocSetContextCreate(CurrentMemoryContext, "attached vectors", ALLOCSET_DEFAULT_SIZES);
	if ((reason = WhyNoCollection(vectors->row)) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the vectors of brain run \"%s\" cannot be read: %s", run->brain_key, reason),
				 errhint("They are in a collection of a Milvus server, and nowhere else.")));
	vectors->connection = RequireConnection(run, &vectors->config);
	return vectors;
}

static void
Keep(AttachedVectors *vectors, const MilvusEntries *entries)
{
	for (int i = 0; i < entries->keys.n; i++)
	{
		const char *id = entries->keys.texts ? entries->keys.texts[i] :
			psprintf(INT64_FORMAT, entries->keys.numbers[i]);
		AttachedVector *entry = hash_search(vectors->vectors, &id, HASH_ENTER, NULL);

		entry->values = entries->vectors + (Size) i * vectors->run->dimensions;
	}
}

static void
FetchSome(AttachedVectors *vectors, char **ids, int n)
{
	int64	   *numbers = vectors->config->key_is_number ? palloc(sizeof(int64) * n) : NULL;
	int			n_keys = 0;
	MilvusEntries entries = {0};
	MilvusQuery query = {
		.collection = vectors->row->collection,
		.key_field = vectors->config->key_field,
		.vector_field = vectors->config->vector_field,
		.max_rows = n,
		.dim = vectors->run->dimensions,
	};
	GrpcFailure *failure;

	for (int i = 0; i < n && numbers; i++)
	{
		char	   *end;

		errno = 0;
		numbers[n_keys] = strtoll(ids[i], &end, 10);
		/* what is no such number is no key of the collection */
		if (errno == 0 && *end == '\0' && end != ids[i])
			n_keys++;
	}
	query.level = ReadLevel(vectors->config, vectors->row, &query.guarantee_timestamp);
	query.expression = KeysExpression(vectors->config->key_field, numbers ? n_keys : n,
									  numbers ? NULL : (const char *const *) ids, numbers);
	failure = MilvusRunQuery(vectors->connection->grpc, &query, &entries);
	if (LoadedAgain(vectors->connection, query.collection, &failure))
		failure = MilvusRunQuery(vectors->connection->grpc, &query, &entries);
	GrpcCheck(failure);
	Keep(vectors, &entries);
}

/*
 * Fetch the vectors of n ids, each another, in place of those fetched before. Ids
 * that the collection does not have are not found then.
 */
void
FetchAttachedVectors(AttachedVectors *vectors, char **ids, int n)
{
	HASHCTL		control = {
		.keysize = sizeof(char *),
		.entrysize = sizeof(AttachedVector),
		.hash = HashId,
		.match = MatchIds,
	};
	int			per_query = (int) Max(1, Min(MAX_KEYS_PER_QUERY, MAX_BYTES_PER_QUERY / (sizeof(float) * vectors->run->dimensions)));
	MemoryContext old;

	MemoryContextReset(vectors->context);
	old = MemoryContextSwitchTo(vectors->context);
	control.hcxt = vectors->context;
	vectors->vectors = hash_create("attached vectors", Max(n, 64), &control,
								   HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	for (int i = 0; i < n; i += per_query)
	{
		CHECK_FOR_INTERRUPTS();
		FetchSome(vectors, ids + i, Min(per_query, n - i));
	}
	MemoryContextSwitchTo(old);
}

/*
 * The vector of an id that was fetched; false: the collection has none.
 */
bool
FindAttachedVector(AttachedVectors *vectors, const char *id, VectorBuffer *buffer)
{
	AttachedVector *entry = vectors->vectors ? hash_search(vectors->vectors, &id, HASH_FIND, NULL) : NULL;

	if (entry == NULL)
		return false;
	TakeVector(buffer, entry->values, vectors->run->dimensions);
	return true;
}
