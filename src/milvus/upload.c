/*
 * upload.c
 *		Making a run's collection: create, send the rows, flush once, index, load,
 *		wait until it answers.
 *
 * In this order, since a server that has an index already, or has the collection
 * loaded, works on each request; and flushes are limited to one in ten seconds.
 * An Insert is not sent twice, since servers check no keys, and keep what came
 * twice, also when it comes late: when its reply is lost, so is the collection, and
 * another is made of all rows, once.
 *
 * The ids that were sent go to a temporary file too: what has vanished from the
 * dataset meanwhile is found out by them (R7).
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bases.h"
#include "milvus/collection.h"
#include "progress.h"
#include "runs.h"
#include "testing.h"
#include "uuids.h"

/* How often a server is asked whether it has finished. */
#define FIRST_POLL 20L
#define LONGEST_POLL 500L

/* ms that a server may go on with a request whose time is over. */
#define GRACE 1000

/* Names that are tried before one is given up: another session may be as fast. */
#define MAX_NAMES 5

struct Upload
{
	MilvusConnection *connection;
	CollectionConfig *config;
	const Run  *run;
	const pg_uuid_t *generation;
	MemoryContext context;		/* of all this; rows come in shorter-lived ones */
	const char *wanted;			/* its name, if that is free */
	bool		is_given;		/* by the user */
	bool		tries_index;	/* before a row is sent */
	bool		created;
	bool		may_be_there;	/* created, or nobody knows; and not dropped, or nobody knows */
	bool		is_lost;		/* nobody knows what it has: rows are not taken any more */
	bool		is_second;		/* the first one was lost */
	TimestampTz lost_until;		/* its last Insert may be done until then */
	Size		batch_bytes;
	int			dim;			/* 0: no row yet */
	int64		n_rows;
	uint64		timestamp;
	TimestampTz started;

	/* the rows that were not sent yet */
	int			n;
	int			capacity;		/* rows that a request takes */
	char	  **ids;
	Size		id_bytes;
	float	   *vectors;
	MemoryContext ids_context;

	BufFile    *sent_ids;
};

/* ---------- waiting ---------- */

static long
NextPoll(long poll)
{
	MilvusSleep(poll);
	return Min(poll * 2, LONGEST_POLL);
}

static void
FlushCollection(Upload *upload)
{
	MilvusFlushing flushing = {0};
	bool		flushed = false;

	GrpcCheck(MilvusFlush(upload->connection->grpc, upload->config->collection_name, &flushing));
	for (long poll = FIRST_POLL;; poll = NextPoll(poll))
	{
		ReportPhase(PROGRESS_FLUSHING, 0, -1);
		GrpcCheck(MilvusFlushState(upload->connection->grpc, upload->config->collection_name,
									  &flushing, &flushed));
		if (flushed)
			return;
	}
}

/* ---------- the index ---------- */

static char *
WithSuffix(const char *name)
{
	return psprintf("%.240s_%.6s", name, UuidText(NewUuid()));
}

static GrpcFailure *
SendIndex(Upload *upload)
{
	MilvusPair	params[] = {
		{"index_type", upload->config->index_type},
		{"metric_type", MilvusMetric(upload->run->metric)},
		{"params", upload->config->index_params},
	};

	return MilvusCreateIndex(upload->connection->grpc, upload->config->collection_name,
							 COLLECTION_VECTOR_FIELD, lengthof(params), params);
}

/*
 * Create the index; a server without HNSW, milvus-lite 2.x, gets what it has.
 */
static void
CreateIndex(Upload *upload)
{
	GrpcFailure *failure = SendIndex(upload);

	if (failure && upload->connection->server.is_lite2 && strcmp(upload->config->index_type, "HNSW") == 0)
	{
		ereport(NOTICE,
				(errmsg("Milvus server \"%s\" has no index of type HNSW: AUTOINDEX is used",
						GrpcNameOf(upload->connection->grpc)),
				 failure->detail ? errdetail_internal("%s", failure->detail) : 0));
		upload->config->index_type = pstrdup("AUTOINDEX");
		upload->config->index_params = pstrdup("{}");
		failure = SendIndex(upload);
	}
	GrpcCheck(failure);
}

/*
 * milvus-lite 3 builds an index of anything, unless there is a row.
 */
static void
InsertOne(Upload *upload, int dim)
{
	const char *id = "1";
	float	   *vector = palloc(sizeof(float) * dim);
	MilvusRows	rows = {
		.collection = upload->config->collection_name,
		.key_field = COLLECTION_KEY_FIELD,
		.vector_field = COLLECTION_VECTOR_FIELD,
		.text_field = COLLECTION_TEXT_FIELD,
		.n = 1,
		.dim = dim,
		.texts = &id,
		.vectors = vector,
	};
	MilvusWritten written = {0};

	for (int i = 0; i < dim; i++)
		vector[i] = 1;
	GrpcCheck(MilvusInsert(upload->connection->grpc, &rows, &written));
	FlushCollection(upload);
}

static GrpcFailure *
SendCollection(Upload *upload, const MilvusCollection *layout)
{
	GrpcFailure *failure;

	upload->may_be_there = true;
	failure = MilvusCreateCollection(upload->connection->grpc, upload->config->collection_name, layout);
	upload->may_be_there = failure == NULL || failure->maybe_done;
	return failure;
}

static void
DropCreated(Upload *upload)
{
	GrpcCheck(MilvusDropCollection(upload->connection->grpc, upload->config->collection_name));
	upload->created = upload->may_be_there = false;
}

/*
 * What the caller has named, a server may not know: that is to be found out before
 * all rows are sent, on another collection.
 */
static void
TryIndex(Upload *upload, const MilvusCollection *layout, int dim)
{
	upload->config->collection_name = WithSuffix(upload->wanted);
	GrpcCheck(SendCollection(upload, layout));
	upload->created = true;
	if (upload->connection->server.is_lite && !upload->connection->server.is_lite2)
		InsertOne(upload, dim);
	CreateIndex(upload);
	DropCreated(upload);
	upload->tries_index = false;
}

/* ---------- creating ---------- */

/*
 * A name as FiftyOne makes it of the dataset's, of what Milvus allows in names.
 */
static char *
Slug(const char *dataset_name)
{
	char	   *name = psprintf("fiftyone_%.180s", dataset_name);

	for (char *c = name; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9')))
			*c = '_';
	return name;
}

/*
 * The collection to be created, in FiftyOne's layout.
 */
static MilvusCollection *
Layout(const Upload *upload, int dim)
{
	MilvusCollection *collection = palloc0(sizeof(MilvusCollection));
	MilvusField *fields = palloc0(sizeof(MilvusField) * 3);
	MilvusPair *mark = palloc(sizeof(MilvusPair));

	fields[0].name = COLLECTION_KEY_FIELD;
	fields[0].type = MILVUS_VARCHAR;
	fields[0].is_primary_key = true;
	fields[0].max_length = COLLECTION_MAX_TEXT;
	fields[1].name = COLLECTION_VECTOR_FIELD;
	fields[1].type = MILVUS_FLOAT_VECTOR;
	fields[1].dim = dim;
	fields[2].name = COLLECTION_TEXT_FIELD;
	fields[2].type = MILVUS_VARCHAR;
	fields[2].max_length = COLLECTION_MAX_TEXT;
	collection->n_fields = 3;
	collection->fields = fields;
	collection->shards = upload->config->shards_num;
	collection->level = upload->config->consistency_level;
	mark->key = MARKS_KEY;
	mark->value = MarksText(&upload->run->id, upload->generation);
	collection->n_properties = 1;
	collection->properties = mark;
	collection->description = psprintf("%s=%s", MARKS_KEY, mark->value);
	return collection;
}

/*
 * Is the collection of that name the one that this upload has made? Servers take
 * a second creation with the same schema for the first.
 */
static bool
IsMine(Upload *upload)
{
	MilvusCollection found = {0};
	CollectionMarks marks;

	GrpcCheck(MilvusDescribeCollection(upload->connection->grpc, upload->config->collection_name, &found));
	return FindMarks(&found, &marks) &&
		memcmp(&marks.generation, upload->generation, sizeof(pg_uuid_t)) == 0;
}

/*
 * The fields of a collection, as text that two of the same layout share. Texts may
 * be of any length.
 */
static char *
FieldsText(const MilvusCollection *collection)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < collection->n_fields; i++)
	{
		const MilvusField *field = &collection->fields[i];

		appendStringInfo(&text, "%s%s ", i ? ", " : "", field->name);
		if (field->type == MILVUS_VARCHAR)
			appendStringInfoString(&text, "VARCHAR");
		else if (field->type == MILVUS_FLOAT_VECTOR)
			appendStringInfo(&text, "FLOAT_VECTOR(%d)", field->dim);
		else
			appendStringInfo(&text, "of type %d", field->type);
		if (field->is_primary_key)
			appendStringInfo(&text, " PRIMARY KEY%s", field->auto_id ? " auto_id" : "");
	}
	return text.data;
}

static void
RaiseTaken(const Upload *upload, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("collection \"%s\" of Milvus server \"%s\" exists already",
					upload->config->collection_name, GrpcNameOf(upload->connection->grpc)),
			 errdetail_internal("%s", detail),
			 errhint("Name another, or one that is empty; or search it as it is: with_data => false.")));
}

/*
 * Drop somebody's collection that has the layout of the run's, and no row.
 */
static void
DropEmpty(Upload *upload, const MilvusCollection *found, const MilvusCollection *layout)
{
	GrpcConnection *grpc = upload->connection->grpc;
	const char *name = upload->config->collection_name;
	char	   *fields = FieldsText(found);
	char	   *wanted = FieldsText(layout);
	int64		n_rows = 0;

	if (strcmp(fields, wanted) != 0)
		RaiseTaken(upload, psprintf(_("Its fields are %s, not %s."), fields, wanted));
	FlushCollection(upload);
	GrpcCheck(MilvusCountFlushed(grpc, name, &n_rows));
	if (n_rows > 0)
		RaiseTaken(upload, psprintf(_("It has rows: %lld, with any that were deleted lately."), (long long) n_rows));
	GrpcCheck(MilvusDropCollection(grpc, name));
}

/*
 * The name that the user gave is a collection's. Is it free then? Not when one of
 * this database's runs has made that: another is made beside it, which is told
 * unless it is for the same run, computed anew. What is somebody's is not taken
 * over, unless it is as good as new.
 */
static bool
FreeGivenName(Upload *upload, const MilvusCollection *layout)
{
	const Run  *run = upload->run;
	const char *name = upload->config->collection_name;
	List	   *others;
	Run		   *other;
	MilvusCollection found = {0};
	CollectionMarks marks;
	bool		is_marked;

	GrpcCheck(MilvusDescribeCollection(upload->connection->grpc, name, &found));
	if (IsAlias(upload->connection->grpc, name, &found))
		RaiseTaken(upload, psprintf(_("It is an alias of collection \"%s\"."), found.name));
	is_marked = FindMarks(&found, &marks);
	others = is_marked ? NIL : OtherRunsOn(upload->config->server, name, &run->id);
	other = is_marked ? ReadRun(&marks.run_id) : others ? linitial(others) : NULL;
	if (is_marked && !MarksAreOurs(&marks))
		RaiseTaken(upload, _("It was made by a brain run of another cluster, database or timeline."));
	if (other && !is_marked)
		RaiseTaken(upload, psprintf(_("It is that of %s."), NameOfOtherRun(other)));
	if (other && (other->dataset != run->dataset || strcmp(other->brain_key, run->brain_key) != 0))
		ereport(NOTICE,
				(errmsg("collection \"%s\" is that of %s: another is made beside it",
						name, NameOfOtherRun(other))));
	if (!is_marked)
		DropEmpty(upload, &found, layout);
	return !is_marked;
}

/*
 * Create the collection, under the name that was given or one that is free.
 */
static void
CreateCollection(Upload *upload, int dim)
{
	const char *wanted = upload->wanted;
	GrpcConnection *grpc = upload->connection->grpc;
	MilvusCollection *layout = Layout(upload, dim);

	if (upload->tries_index)
		TryIndex(upload, layout, dim);
	for (int i = 0; i < MAX_NAMES; i++)
	{
		bool		exists;
		GrpcFailure *failure;

		upload->config->collection_name = i == 0 ? pstrdup(wanted) : WithSuffix(wanted);
		GrpcCheck(MilvusHasCollection(grpc, upload->config->collection_name, &exists));
		if (exists && !(upload->is_given && i == 0 && FreeGivenName(upload, layout)))
			continue;
		failure = SendCollection(upload, layout);
		if (failure && !failure->milvus_code)
			GrpcRaise(failure);
		/*
		 * Another session may have been faster. milvus-lite 3 says no first, and
		 * a little later that the collection is there: once, another name is
		 * tried in any case.
		 */
		if (failure)
		{
			GrpcCheck(MilvusHasCollection(grpc, upload->config->collection_name, &exists));
			if (!exists && i > 0)
				GrpcRaise(failure);
			continue;
		}
		/* what may be another's is not dropped after an error */
		upload->created = IsMine(upload);
		if (upload->created)
			return;
		upload->may_be_there = false;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("no free name for a collection was found, from \"%s\" on", wanted),
			 errhint("Name one with collection_name => 'name'.")));
}

/*
 * Begin to make the collection of a run, generation its base's. Its config gets
 * the name when it is created. Everything lives in the current memory context, the
 * temporary file in the current resource owner.
 */
Upload *
BeginUpload(MilvusConnection *connection, CollectionConfig *config, const Run *run,
			const pg_uuid_t *generation, const char *dataset_name, Size batch_bytes, bool tries_index)
{
	Upload	   *upload = palloc0(sizeof(Upload));

	upload->context = CurrentMemoryContext;
	upload->started = GetCurrentTimestamp();
	upload->connection = connection;
	upload->config = config;
	upload->run = run;
	upload->generation = generation;
	upload->batch_bytes = connection->server.is_lite2 ? Min(batch_bytes, 1024 * 1024) : batch_bytes;
	upload->ids_context = AllocSetContextCreate(CurrentMemoryContext, "Milvus upload ids", ALLOCSET_DEFAULT_SIZES);
	upload->sent_ids = BufFileCreateTemp(false);
	upload->tries_index = tries_index;
	upload->is_given = config->collection_name != NULL;
	upload->wanted = upload->is_given ? config->collection_name : Slug(dataset_name);
	upload->dim = run->dimensions;
	return upload;
}

/*
 * Before the first row. Collections have a dimension from the start: one of a run
 * that has none yet is created with that row.
 */
void
StartUpload(Upload *upload)
{
	if (upload->dim > 0)
		CreateCollection(upload, upload->dim);
}

/* ---------- sending ---------- */

/*
 * Room for as many rows as a request takes; ids are short, as a rule.
 */
static void
MakeRoom(Upload *upload, int dim)
{
	Size		row = sizeof(float) * dim + 64;

	upload->dim = dim;
	upload->capacity = (int) Max(1, Min(upload->batch_bytes / row, 100000));
	upload->ids = palloc(sizeof(char *) * upload->capacity);
	upload->vectors = palloc_extended(sizeof(float) * dim * upload->capacity, MCXT_ALLOC_HUGE);
}

static void
NoteIds(Upload *upload)
{
	for (int i = 0; i < upload->n; i++)
	{
		uint32		length = (uint32) strlen(upload->ids[i]);

		BufFileWrite(upload->sent_ids, &length, sizeof(length));
		BufFileWrite(upload->sent_ids, upload->ids[i], length);
	}
}

static void
ForgetRows(Upload *upload)
{
	upload->n = 0;
	upload->id_bytes = 0;
	MemoryContextReset(upload->ids_context);
}

/*
 * Nobody knows whether rows are in the collection, or will be.
 */
static void
LoseCollection(Upload *upload, const GrpcFailure *failure)
{
	upload->is_lost = true;
	upload->lost_until = GetCurrentTimestamp() +
		(GrpcEndpointOf(upload->connection->grpc)->request_timeout + GRACE) * INT64CONST(1000);
	ereport(NOTICE,
			(errmsg("Milvus server \"%s\" did not acknowledge an Insert: collection \"%s\" is made once more",
					GrpcNameOf(upload->connection->grpc), upload->config->collection_name),
			 errdetail_internal("%s", failure->message)));
}

static void
SendRows(Upload *upload)
{
	MilvusRows	rows = {
		.collection = upload->config->collection_name,
		.key_field = COLLECTION_KEY_FIELD,
		.vector_field = COLLECTION_VECTOR_FIELD,
		.text_field = COLLECTION_TEXT_FIELD,
		.n = upload->n,
		.dim = upload->dim,
		.texts = (const char *const *) upload->ids,
		.vectors = upload->vectors,
	};
	MilvusWritten written = {0};
	GrpcFailure *failure;
	MemoryContext context;
	MemoryContext old;

	if (upload->n == 0 || upload->is_lost)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "Milvus request", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	(void) FaultPoint("milvus_insert");
	failure = MilvusInsert(upload->connection->grpc, &rows, &written);
	if (failure && failure->maybe_done && failure->milvus_code == 0 && !upload->is_second)
		LoseCollection(upload, failure);
	else
		GrpcCheck(failure);
	NoteIds(upload);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	upload->timestamp = Max(upload->timestamp, written.timestamp);
	upload->n_rows += upload->n;
	ForgetRows(upload);
}

static void
CheckId(const Upload *upload, const char *id)
{
	const char *problem = MilvusTextProblem(&upload->connection->server, id, COLLECTION_MAX_TEXT);

	if (problem)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("Milvus server \"%s\" cannot have the sample id \"%s\"",
						GrpcNameOf(upload->connection->grpc), id),
				 errdetail("A key %s.", problem),
				 errhint("The exact backend takes every id.")));
}

/*
 * Take one row, of a canonical id and dim finite values.
 */
void
UploadRow(Upload *upload, const char *id, const float *values, int dim)
{
	Size		length = strlen(id);
	MemoryContext old;

	if (upload->is_lost)
		return;
	old = MemoryContextSwitchTo(upload->context);
	CheckId(upload, id);
	if (!upload->created)
		CreateCollection(upload, dim);
	if (upload->capacity == 0)
		MakeRoom(upload, dim);
	if (upload->n == upload->capacity || upload->id_bytes + 2 * length > upload->batch_bytes)
		SendRows(upload);
	upload->ids[upload->n] = MemoryContextStrdup(upload->ids_context, id);
	memcpy(upload->vectors + (Size) upload->n * dim, values, sizeof(float) * dim);
	upload->id_bytes += 2 * length;
	upload->n++;
	MemoryContextSwitchTo(old);
}

/* ---------- after the last row ---------- */

/*
 * Throw a lost collection away, and make another, which a request that is still on
 * its way must not find: it has another name, or comes when that request's time is
 * over.
 */
static void
BeginAgain(Upload *upload)
{
	DropCreated(upload);
	upload->is_lost = false;
	upload->is_second = true;
	ForgetRows(upload);
	upload->n_rows = 0;
	upload->timestamp = 0;
	BufFileClose(upload->sent_ids);
	upload->sent_ids = BufFileCreateTemp(false);
	if (upload->is_given)
		MilvusSleepUntil(upload->lost_until);
	else
		upload->wanted = WithSuffix(upload->wanted);
	CreateCollection(upload, upload->dim);
}

/*
 * Send what was not sent yet. False: all rows have to be given once more.
 */
bool
SendLastRows(Upload *upload)
{
	SendRows(upload);
	if (!upload->is_lost)
		return true;
	BeginAgain(upload);
	return false;
}

static void
AwaitIndex(Upload *upload)
{
	for (long poll = FIRST_POLL;; poll = NextPoll(poll))
	{
		MilvusIndex index = {0};

		GrpcCheck(MilvusDescribeIndex(upload->connection->grpc, upload->config->collection_name,
										 COLLECTION_VECTOR_FIELD, &index));
		ReportPhase(PROGRESS_INDEXING, index.indexed_rows, index.total_rows);
		if (index.state == MILVUS_INDEX_FAILED)
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("Milvus server \"%s\" could not build the index of collection \"%s\"",
							GrpcNameOf(upload->connection->grpc), upload->config->collection_name),
					 index.fail_reason ? errdetail_internal("%s", index.fail_reason) : 0));
		if (index.exists && index.state == MILVUS_INDEX_FINISHED && index.pending_rows == 0)
			return;
	}
}

static GrpcFailure *
NotLoadedYet(MilvusConnection *connection, const char *collection)
{
	GrpcFailure *failure = palloc0(sizeof(GrpcFailure));

	failure->sqlstate = ERRCODE_CONNECTION_FAILURE;
	failure->message = psprintf(_("Milvus server \"%s\" has not loaded collection \"%s\" in time"),
								GrpcNameOf(connection->grpc), collection);
	failure->hint = pstrdup(_("brain.request_timeout, or the option request_timeout, says how long to wait."));
	return failure;
}

/*
 * Have a collection loaded, within so many milliseconds; 0: however long it takes.
 * Failures come back, as a search may do without.
 */
GrpcFailure *
LoadAndWait(MilvusConnection *connection, const char *collection, int limit)
{
	TimestampTz begin = GetCurrentTimestamp();
	GrpcFailure *failure = MilvusLoadCollection(connection->grpc, collection);
	int			state = 0;

	for (long poll = FIRST_POLL; failure == NULL; poll = NextPoll(poll))
	{
		ReportPhase(PROGRESS_LOADING, 0, -1);
		failure = MilvusLoadState(connection->grpc, collection, &state);
		if (failure == NULL && state == MILVUS_LOADED)
			return NULL;
		if (failure == NULL && limit > 0 && TimestampDifferenceExceeds(begin, GetCurrentTimestamp(), limit))
			failure = NotLoadedYet(connection, collection);
	}
	return failure;
}

/*
 * After a call that reads a collection: true when it failed because somebody has
 * released that, or the server was started anew, and it is loaded again, so that the
 * call can be made once more. *failure is NULL then; else that of the call, or of
 * the loading. NULL is no failure.
 */
bool
LoadedAgain(MilvusConnection *connection, const char *collection, GrpcFailure **failure)
{
	if (*failure == NULL || ((*failure)->milvus_code != MILVUS_COLLECTION_NOT_LOADED &&
							 (*failure)->milvus_code != MILVUS_COLLECTION_NOT_FULLY_LOADED))
		return false;
	*failure = LoadAndWait(connection, collection, GrpcEndpointOf(connection->grpc)->request_timeout);
	return *failure == NULL;
}

/*
 * Wait until searches with a guarantee of that timestamp see what was written,
 * without waiting themselves. milvus-lite 2.x has no timestamps and shows a row
 * some milliseconds late: until it counts as many rows as it has been sent.
 */
static void
WaitUntilCounted(Upload *upload)
{
	for (long poll = FIRST_POLL;; poll = NextPoll(poll))
	{
		int64		count = 0;

		GrpcCheck(MilvusCount(upload->connection->grpc, upload->config->collection_name,
								 MILVUS_STRONG, 0, &count));
		if (count >= upload->n_rows)
			return;
	}
}

/*
 * Where the time of a build goes, to be told at DEBUG1; the benchmark reads it.
 */
static void
TellPhase(const Upload *upload, const char *what)
{
	ereport(DEBUG1,
			(errmsg_internal("collection \"%s\": %s after %.1f ms", upload->config->collection_name, what,
							 (double) (GetCurrentTimestamp() - upload->started) / 1000)));
}

/*
 * Everything after SendLastRows(), until the collection answers searches. A run
 * without a row has no collection yet.
 */
void
FinishUpload(Upload *upload)
{
	if (!upload->created)
		return;
	TellPhase(upload, "rows sent");
	if (upload->n_rows > 0)
		FlushCollection(upload);
	(void) FaultPoint("milvus_flushed");
	TellPhase(upload, "flushed");
	ReportPhase(PROGRESS_INDEXING, 0, upload->n_rows);
	CreateIndex(upload);
	AwaitIndex(upload);
	(void) FaultPoint("milvus_indexed");
	TellPhase(upload, "indexed");
	GrpcCheck(LoadAndWait(upload->connection, upload->config->collection_name, 0));
	WaitUntilCounted(upload);
	ReportPhase(PROGRESS_RECORDING, upload->n_rows, upload->n_rows);
	(void) FaultPoint("milvus_loaded");
	TellPhase(upload, "loaded");
}

/*
 * Drop what was made, as far as that can be done now; the rest is a sweep's.
 */
void
DropUploaded(Upload *upload)
{
	if (upload->created &&
		MilvusDropCollection(upload->connection->grpc, upload->config->collection_name) == NULL)
		upload->may_be_there = false;
	upload->created = false;
}

/*
 * The end of an upload, whose collection is kept or not.
 */
void
EndUpload(Upload *upload, bool keep)
{
	BufFileClose(upload->sent_ids);
	if (!keep)
		DropUploaded(upload);
}

int64
UploadedRows(const Upload *upload)
{
	return upload->n_rows;
}

bool
UploadMade(const Upload *upload)
{
	return upload->created;
}

/*
 * May there be a collection that this upload has made?
 */
bool
UploadMayBeThere(const Upload *upload)
{
	return upload->may_be_there;
}

/*
 * What a search must guarantee to see all rows; 0 on servers without timestamps.
 */
uint64
UploadTimestamp(const Upload *upload)
{
	return upload->timestamp;
}

/*
 * Call a function for each id that was sent.
 */
void
ForEachUploadedId(Upload *upload, void (*function) (const char *id, void *arg), void *arg)
{
	char	   *id = palloc(COLLECTION_MAX_TEXT + 1);
	uint32		length;

	if (BufFileSeek(upload->sent_ids, 0, 0, SEEK_SET) != 0)
		elog(ERROR, "could not rewind a temporary file");
	while (BufFileRead(upload->sent_ids, &length, sizeof(length)) == sizeof(length))
	{
		CHECK_FOR_INTERRUPTS();
		if (length > COLLECTION_MAX_TEXT || BufFileRead(upload->sent_ids, id, length) != length)
			elog(ERROR, "a temporary file is damaged");
		id[length] = '\0';
		function(id, arg);
	}
	pfree(id);
}
