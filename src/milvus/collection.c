/*
 * collection.c
 *		What a run's row says of its collection on a Milvus server, and by what a
 *		collection is known as ours.
 *
 * The truth about a run is in PostgreSQL. The marks on the collection, in its
 * description and in its properties (each is lost on some server), only say whose
 * it is: a sweep drops what bears our marks and belongs to nobody any more, and
 * a search does not take a collection of the same name for the run's.
 */
#include "postgres.h"

#include "access/rmgr.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "catalog/pg_control.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "milvus/collection.h"
#include "uuids.h"

/* ef of a search, compared with k: recall falls where they are equal. */
#define MIN_EF 64
#define EF_FACTOR 2

static const struct
{
	const char *name;
	MilvusLevel level;
}			level_names[] = {
	{"Strong", MILVUS_STRONG},
	{"Session", MILVUS_SESSION},
	{"Bounded", MILVUS_BOUNDED},
	{"Eventually", MILVUS_EVENTUALLY},
};

const char *
LevelName(MilvusLevel level)
{
	for (size_t i = 0; i < lengthof(level_names); i++)
		if (level_names[i].level == level)
			return level_names[i].name;
	return "Customized";
}

bool
ParseLevel(const char *name, MilvusLevel *level)
{
	for (size_t i = 0; i < lengthof(level_names); i++)
	{
		if (pg_strcasecmp(level_names[i].name, name) != 0)
			continue;
		*level = level_names[i].level;
		return true;
	}
	return false;
}

const char *
MilvusMetric(Metric metric)
{
	switch (metric)
	{
		case METRIC_COSINE:
			return "COSINE";
		case METRIC_DOTPRODUCT:
			return "IP";
		case METRIC_EUCLIDEAN:
			return "L2";
	}
	pg_unreachable();
}

/*
 * What a search for k rows sends: what the run says, else what its kind of index
 * needs.
 */
char *
SearchParams(const CollectionConfig *config, int k)
{
	if (config->search_params)
		return config->search_params;
	if (strcmp(config->index_type, "HNSW") == 0)
		return psprintf("{\"ef\": %d}", Max(MIN_EF, Min(k, MILVUS_MAX_K) * EF_FACTOR));
	return pstrdup("{}");
}

/* ---------- brain._runs.config ---------- */

static char *
TextMember(Jsonb *json, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *value = getKeyJsonValueFromContainer(&json->root, name, (int) strlen(name), &buffer);

	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	if (value->type == jbvNumeric)
		return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	if (value->type == jbvBool)
		return pstrdup(value->val.boolean ? "true" : "false");
	return JsonbToCString(NULL, (JsonbContainer *) value->val.binary.data, value->val.binary.len);
}

static bool
TrueMember(Jsonb *json, const char *name)
{
	char	   *text = TextMember(json, name);

	return text && strcmp(text, "true") == 0;
}

static char *
TextMemberOr(Jsonb *json, const char *name, const char *otherwise)
{
	char	   *text = TextMember(json, name);

	return text ? text : pstrdup(otherwise);
}

/*
 * The config that CollectionConfigText() has written.
 */
CollectionConfig *
ReadCollectionConfig(const char *text)
{
	CollectionConfig *config = palloc0(sizeof(CollectionConfig));
	Jsonb	   *json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	char	   *shards = TextMember(json, "shards_num");

	config->server = TextMember(json, "server");
	config->collection_name = TextMember(json, "collection_name");
	if (!ParseLevel(TextMemberOr(json, "consistency_level", "Session"), &config->consistency_level))
		elog(ERROR, "unknown consistency level in brain._runs");
	config->index_type = TextMemberOr(json, "index_type", "HNSW");
	config->index_params = TextMemberOr(json, "index_params", "{}");
	config->search_params = TextMember(json, "search_params");
	config->shards_num = shards ? atoi(shards) : 1;
	config->key_field = TextMemberOr(json, "key_field", COLLECTION_KEY_FIELD);
	config->vector_field = TextMemberOr(json, "vector_field", COLLECTION_VECTOR_FIELD);
	config->key_is_number = TrueMember(json, "key_is_number");
	config->attached = TrueMember(json, "attached");
	return config;
}

static void
PutMember(StringInfo out, const char *name, const char *value, bool quote)
{
	if (value == NULL)
		return;
	appendStringInfo(out, "%s\"%s\": ", out->len > 1 ? ", " : "", name);
	if (quote)
		escape_json(out, value);
	else
		appendStringInfoString(out, value);
}

/*
 * A config as JSON, with FiftyOne's names where it has them.
 */
char *
CollectionConfigText(const CollectionConfig *config)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	PutMember(&out, "server", config->server, true);
	PutMember(&out, "collection_name", config->collection_name, true);
	PutMember(&out, "consistency_level", LevelName(config->consistency_level), true);
	PutMember(&out, "index_type", config->index_type, true);
	PutMember(&out, "index_params", config->index_params, false);
	PutMember(&out, "search_params", config->search_params, false);
	PutMember(&out, "shards_num", psprintf("%d", config->shards_num), false);
	PutMember(&out, "key_field", config->key_field, true);
	PutMember(&out, "vector_field", config->vector_field, true);
	PutMember(&out, "key_is_number", config->key_is_number ? "true" : "false", false);
	PutMember(&out, "attached", config->attached ? "true" : "false", false);
	appendStringInfoChar(&out, '}');
	return out.data;
}

/* ---------- marks ---------- */

/*
 * Have WAL on disk that names this transaction, which may have written none. Else
 * its number were given to another one after a crash, and a sweep would take what
 * it has left for what is being made.
 */
static void
KeepTransactionNumber(void)
{
	static char nothing[1];

	/* a record has the subtransaction's, which is larger */
	(void) GetCurrentTransactionId();
	XLogBeginInsert();
	XLogRegisterData(nothing, sizeof(nothing));
	XLogFlush(XLogInsert(RM_XLOG_ID, XLOG_NOOP));
}

/*
 * The marks of a collection that this transaction makes, as one word.
 */
char *
MarksText(const pg_uuid_t *run_id, const pg_uuid_t *generation)
{
	FullTransactionId maker = GetTopFullTransactionId();

	KeepTransactionNumber();
	return psprintf("%s/%s/" UINT64_FORMAT "/%u/%u/" UINT64_FORMAT, UuidText(run_id), UuidText(generation),
					GetSystemIdentifier(), MyDatabaseId, GetWALInsertionTimeLine(), U64FromFullTransactionId(maker));
}

static bool
ParseMarks(const char *text, CollectionMarks *marks)
{
	char		run_id[37];
	char		generation[37];

	return sscanf(text, "%36[0-9a-f-]/%36[0-9a-f-]/" UINT64_FORMAT "/%u/%u/" UINT64_FORMAT, run_id, generation,
				  &marks->system_identifier, &marks->database, &marks->timeline, &marks->maker) == 6 &&
		ParseUuid(run_id, &marks->run_id) && ParseUuid(generation, &marks->generation);
}

/*
 * Does a collection come from this very database, as it is now? See
 * CollectionOrigin(). Not on a standby.
 */
bool
MarksAreOurs(const CollectionMarks *marks)
{
	return marks->system_identifier == GetSystemIdentifier() && marks->database == MyDatabaseId &&
		marks->timeline == GetWALInsertionTimeLine();
}

/*
 * The marks that a collection bears; false when it is none of ours.
 */
bool
FindMarks(const MilvusCollection *collection, CollectionMarks *marks)
{
	const char *mark;

	for (int i = 0; i < collection->n_properties; i++)
		if (strcmp(collection->properties[i].key, MARKS_KEY) == 0 &&
			ParseMarks(collection->properties[i].value, marks))
			return true;
	if (collection->description == NULL || (mark = strstr(collection->description, MARKS_KEY "=")) == NULL)
		return false;
	return ParseMarks(mark + strlen(MARKS_KEY "="), marks);
}

/*
 * Is the name by which a collection was found an alias, which may be another's
 * tomorrow? A schema that says another name is believed when a collection has that
 * and is the same: a renamed one may have kept its old schema.
 */
bool
IsAlias(GrpcConnection *grpc, const char *name, const MilvusCollection *found)
{
	MilvusCollection same = {0};
	GrpcFailure *failure;

	if (*found->name == '\0' || strcmp(found->name, name) == 0)
		return false;
	failure = MilvusDescribeCollection(grpc, found->name, &same);
	if (failure && failure->milvus_code == MILVUS_COLLECTION_NOT_FOUND)
		return false;
	GrpcCheck(failure);
	return same.id == found->id;
}

/* ---------- waiting ---------- */

/*
 * Wait between two questions to a server.
 */
void
MilvusSleep(long milliseconds)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
MilvusSleepUntil(TimestampTz until)
{
	TimestampTz now;

	while ((now = GetCurrentTimestamp()) < until)
		MilvusSleep(Min((long) ((until - now) / 1000) + 1, 1000));
}
