/*
 * milvus.c
 *		The milvus backend: bases that are collections of a Milvus server.
 *
 * A collection is as good as its last sync. What it has of a sample, PostgreSQL
 * has too, and newer: so it is only asked which samples are near; what they are,
 * and how far away, is read from the dataset.
 */
#include "postgres.h"

#include <ctype.h>
#include <math.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "backend.h"
#include "exact/lanes.h"
#include "milvus/attach.h"
#include "milvus/milvus.h"
#include "milvus/options.h"
#include "testing.h"
#include "try.h"
#include "uuids.h"

int			on_backend_failure = ON_FAILURE_EXACT;

/* Of a request with rows; 4, 8 and 16 MiB are the same to Milvus within noise. */
#define DEFAULT_BATCH_BYTES (4 * 1024 * 1024)
#define MAX_BATCH_BYTES (32 * 1024 * 1024)

/*
 * With the ef of SearchParams(), 64, mean recall@10 of 1,000 queries over the
 * benchmark's 100,000 x 512, on Milvus 2.3.5, all in one segment after
 * ManualCompaction (and how long the index took to build, on a busy machine):
 *
 *	M 8, efConstruction 64		0.930	(ef 128: 0.974)
 *	M 12, efConstruction 100	0.998	46 s
 *	M 16, efConstruction 100	1.000	52 s	(ef 32: 0.991)
 *	M 16, efConstruction 200	1.000	106 s
 *
 * FiftyOne's M = 8 with the server's own ef was measured at 0.71.
 */
#define DEFAULT_INDEX_TYPE "HNSW"
#define DEFAULT_INDEX_PARAMS "{\"M\": 16, \"efConstruction\": 100}"

/*
 * Milvus computes in float32, whose squares and sums of them end at 1e38 and
 * 1e-38: beyond that it takes vectors for zeros or infinities, and finds others.
 */
#define LEAST_SQUARED_NORM 1e-30
#define MOST_SQUARED_NORM 1e30

/*
 * Can Milvus tell how far a vector is from others?
 */
bool
IsWithinReach(double squared_norm)
{
	return squared_norm == 0 || (squared_norm >= LEAST_SQUARED_NORM && squared_norm <= MOST_SQUARED_NORM);
}

/*
 * The largest element without its sign: floats without a sign are in the order of
 * their bits.
 */
BRAIN_KERNEL static float
LargestElement(const float *values, int dim)
{
	uint32		largest = 0;
	float		element;

	for (int i = 0; i < dim; i++)
	{
		uint32		bits;

		memcpy(&bits, values + i, sizeof(bits));
		largest = Max(largest, bits & 0x7fffffff);
	}
	memcpy(&element, &largest, sizeof(element));
	return element;
}

/*
 * The same of a vector. Its largest element, whose square is in its squared norm
 * between once and dim times, is found in an eighth of the time, and tells nearly
 * always.
 */
bool
VectorIsWithinReach(const float *values, int dim)
{
	double		largest = LargestElement(values, dim);

	if (largest * largest >= LEAST_SQUARED_NORM && largest * largest * dim <= MOST_SQUARED_NORM)
		return true;
	return IsWithinReach(SquaredNorm(values, dim));
}

/* ---------- whose collections are ours ---------- */

/*
 * This database, as it is now: a copy of it, a restored one and a promoted standby
 * are others, whose writes must not reach the original's collections. NULL on a
 * standby.
 */
const char *
CollectionOrigin(void)
{
	if (RecoveryInProgress())
		return NULL;
	return psprintf(UINT64_FORMAT "/%u/%u", GetSystemIdentifier(), MyDatabaseId, GetWALInsertionTimeLine());
}

/*
 * Why searches do not use the collection of a row; NULL when they do.
 */
const char *
WhyNoCollection(const BaseRow *row)
{
	const char *origin = CollectionOrigin();

	if (origin == NULL)
		return _("this is a standby");
	if (row == NULL || row->collection == NULL)
		return _("no collection was made yet");
	if (row->origin == NULL || strcmp(row->origin, origin) != 0)
		return _("its collection is that of another cluster, database or timeline");
	return NULL;
}

/*
 * Is a search of a run's collection more than comparing with all that is in it?
 */
bool
HasIndex(const Run *run)
{
	return run->config && strcmp(ReadCollectionConfig(run->config)->index_type, "FLAT") != 0;
}

/* ---------- configuration ---------- */

typedef struct IndexOption
{
	const char *name;
	bool		is_object;
	const char *refused[2];		/* members that would make searches wrong */
} IndexOption;

/* of compute_similarity() */
static const IndexOption index_options[] = {
	{"index_type", false, {NULL}},
	{"index_params", true, {"metric_type", "index_type"}},
	{"search_params", true, {"radius", "range_filter"}},
	{"shards_num", false, {NULL}},
	{"batch_bytes", false, {NULL}},
	{"key_field", false, {NULL}},
	{"vector_field", false, {NULL}},
};

/* of searches */
static const IndexOption search_options[] = {
	{"consistency_level", false, {NULL}},
	{"search_params", true, {"radius", "range_filter"}},
};

static void
RaiseUnknownOption(const char *name, const IndexOption *known, int n)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < n; i++)
		appendStringInfo(&names, "%s%s", i ? ", " : "", known[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown option \"%s\"", name),
			 errhint("The milvus backend has here the options %s, and those of a connection.", names.data)));
}

static void
RaiseOption(const char *name, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\"", name),
			 errhint("%s", hint)));
}

static JsonbValue *
FindMember(JsonbContainer *container, const char *name, JsonbValue *buffer)
{
	return getKeyJsonValueFromContainer(container, name, (int) strlen(name), buffer);
}

static char *
ObjectText(const IndexOption *option, JsonbValue *object)
{
	JsonbValue	buffer;

	for (size_t i = 0; i < lengthof(option->refused); i++)
		if (option->refused[i] && FindMember(object->val.binary.data, option->refused[i], &buffer))
			RaiseOption(option->name,
						psprintf(_("It has no \"%s\": index_type, metric and max_distance are given by themselves."),
								 option->refused[i]));
	return JsonbToCString(NULL, object->val.binary.data, object->val.binary.len);
}

/*
 * A member of a call's options as text; NULL when it is not there.
 */
static char *
OptionText(const Jsonb *options, const IndexOption *option)
{
	JsonbValue	buffer;
	JsonbValue *value = options ? FindMember((JsonbContainer *) &options->root, option->name, &buffer) : NULL;
	bool		is_object = value && value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);

	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (option->is_object != is_object)
		RaiseOption(option->name, option->is_object ? _("It is a JSON object, such as {\"M\": 16}.") :
					_("It is a text or a number."));
	if (is_object)
		return ObjectText(option, value);
	if (value->type == jbvNumeric)
		return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	if (value->type != jbvString)
		RaiseOption(option->name, _("It is a text or a number."));
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static int
OptionNumber(const Jsonb *options, const IndexOption *option, int otherwise, int least, int most)
{
	char	   *text = OptionText(options, option);
	char	   *end;
	long		number;

	if (text == NULL)
		return otherwise;
	errno = 0;
	number = strtol(text, &end, 10);
	if (errno || *end || number < least || number > most)
		RaiseOption(option->name, psprintf(_("It is a whole number from %d to %d."), least, most));
	return (int) number;
}

/*
 * Refuse the options that are neither among n known ones nor a connection's.
 */
static void
CheckOptions(const Jsonb *options, const IndexOption *known, int n)
{
	JsonbIterator *iterator;
	JsonbValue	value;
	JsonbIteratorToken token;

	if (options == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options must be a JSON object")));
	iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &options->root));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *name;
		int			i = 0;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		while (i < n && strcmp(name, known[i].name) != 0)
			i++;
		if (i == n && !IsMilvusOption(name))
			RaiseUnknownOption(name, known, n);
	}
}

static void
CheckSearchOptions(const Jsonb *options)
{
	CheckOptions(options, search_options, lengthof(search_options));
}

static void
CheckCollectionName(const char *name)
{
	size_t		length = strlen(name);
	bool		ok = length > 0 && length <= 255 && (isalpha((unsigned char) name[0]) || name[0] == '_');

	for (const char *c = name; *c && ok; c++)
		ok = isascii((unsigned char) *c) && (isalnum((unsigned char) *c) || *c == '_');
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("\"%s\" is no name of a collection", name),
				 errhint("A letter or underscore, then letters, digits and underscores: at most 255.")));
}

static MilvusLevel
ParsedLevel(const char *name, MilvusLevel otherwise)
{
	MilvusLevel level = otherwise;

	if (name && !ParseLevel(name, &level))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown consistency level \"%s\"", name),
				 errhint("Available levels: Strong, Session, Bounded, Eventually.")));
	return level;
}

/*
 * The metric that FiftyOne's configuration names, of a call that names none.
 */
static void
ConfigureMetric(Run *run)
{
	char	   *metric = MilvusParameter("metric");

	if (metric && !ParseMetric(metric, &run->metric))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown metric \"%s\"", metric),
				 errdetail("It is set by FiftyOne's environment variable or brain_config.json."),
				 errhint("Available metrics: cosine, dotproduct, euclidean.")));
}

/*
 * The build parameters of an index: those that are named, and the default's others.
 */
static char *
WithDefaults(const char *index_type, const char *index_params)
{
	const char *defaults = strcmp(index_type, DEFAULT_INDEX_TYPE) == 0 ? DEFAULT_INDEX_PARAMS : "{}";
	Datum		both;

	if (index_params == NULL)
		return pstrdup(defaults);
	both = DirectFunctionCall2(jsonb_concat, DirectFunctionCall1(jsonb_in, CStringGetDatum(defaults)),
							   DirectFunctionCall1(jsonb_in, CStringGetDatum(index_params)));
	return JsonbToCString(NULL, &DatumGetJsonbP(both)->root, 0);
}

/*
 * Settle a new run's config from what the call says, then from what FiftyOne's
 * configuration says, then by default.
 */
static void
Configure(Run *run, const BackendArguments *arguments)
{
	CollectionConfig config = {0};
	const Jsonb *options = arguments->options;
	const char *level = arguments->consistency_level;

	CheckOptions(options, index_options, lengthof(index_options));
	config.server = arguments->server ? pstrdup(arguments->server) : NULL;
	if (arguments->metric == NULL)
		ConfigureMetric(run);
	config.collection_name = arguments->collection_name ?
		pstrdup(arguments->collection_name) : MilvusParameter("collection_name");
	if (config.collection_name)
		CheckCollectionName(config.collection_name);
	if (level == NULL)
		level = MilvusParameter("consistency_level");
	config.consistency_level = ParsedLevel(level, MILVUS_SESSION);
	config.index_type = OptionText(options, &index_options[0]);
	config.index_params = OptionText(options, &index_options[1]);
	config.search_params = OptionText(options, &index_options[2]);
	config.shards_num = OptionNumber(options, &index_options[3], 1, 1, 16);
	if (config.index_type == NULL)
		config.index_type = pstrdup(DEFAULT_INDEX_TYPE);
	config.index_params = WithDefaults(config.index_type, config.index_params);
	config.key_field = COLLECTION_KEY_FIELD;
	config.vector_field = COLLECTION_VECTOR_FIELD;
	run->options = options;
	run->config = CollectionConfigText(&config);
	if (!arguments->with_data && config.collection_name &&
		AttachCollection(run, &config, arguments, OptionText(options, &index_options[5]),
						 OptionText(options, &index_options[6])))
		run->config = CollectionConfigText(&config);
}

/* ---------- connections ---------- */

/*
 * The connection that a run's config means, or an error.
 */
MilvusConnection *
RequireConnection(const Run *run, CollectionConfig **config)
{
	MilvusConnection *connection;
	int			n = 0;
	MilvusPair *options = run->options ? ConnectionOptions(run->options, false, &n) : NULL;

	*config = ReadCollectionConfig(run->config ? run->config : "{}");
	GrpcCheck(MilvusGetConnection(FindMilvusSettings((*config)->server, n, options), &connection));
	return connection;
}

/* ---------- writing a base ---------- */

typedef struct CollectionBase
{
	BaseWriter	writer;
	const Run  *run;
	CollectionConfig *config;
	Upload	   *upload;			/* NULL: the collection is there, and not ours */
	MemoryContext context;
	List	   *out_of_reach;	/* ids of rows that were not sent */
	bool		published;

	/* for CountTaken() */
	HTAB	   *ids;
	int64		n_taken;
} CollectionBase;

static void
BeginRows(BaseWriter *writer)
{
	CollectionBase *base = (CollectionBase *) writer;

	if (base->upload)
		StartUpload(base->upload);
}

/*
 * A row that Milvus would never find is not sent: its id will be in the log, so
 * that searches read it from the dataset.
 */
static void
AddRow(BaseWriter *writer, const char *id, const float *values, int dim)
{
	CollectionBase *base = (CollectionBase *) writer;
	MemoryContext old;

	if (VectorIsWithinReach(values, dim))
	{
		UploadRow(base->upload, id, values, dim);
		return;
	}
	old = MemoryContextSwitchTo(base->context);
	base->out_of_reach = lappend(base->out_of_reach, pstrdup(id));
	MemoryContextSwitchTo(old);
}

/*
 * A collection knows nothing of rows that cannot be searched: a search that comes
 * across one in the dataset leaves it out.
 */
static void
AddBadRow(BaseWriter *writer, const char *id, VectorFailure failure, int dim)
{
	(void) writer;
	(void) id;
	(void) failure;
	(void) dim;
}

static bool
EndRows(BaseWriter *writer)
{
	CollectionBase *base = (CollectionBase *) writer;

	if (base->upload == NULL || SendLastRows(base->upload))
		return true;
	base->out_of_reach = NIL;
	return false;
}

static const char *
Finish(BaseWriter *writer, Snapshot snapshot)
{
	CollectionBase *base = (CollectionBase *) writer;

	(void) snapshot;
	if (base->upload)
		FinishUpload(base->upload);
	return NULL;
}

static void
CountId(const char *id, void *arg)
{
	CollectionBase *base = arg;

	if (HasId(base->ids, id))
		base->n_taken++;
}

static int64
CountTaken(BaseWriter *writer, char **ids, int64 n)
{
	CollectionBase *base = (CollectionBase *) writer;

	base->ids = CreateIdSet(ids, (int) n);
	base->n_taken = 0;
	ForEachUploadedId(base->upload, CountId, base);
	return base->n_taken;
}

static void
ForEachId(BaseWriter *writer, void (*function) (const char *id, void *arg), void *arg)
{
	ForEachUploadedId(((CollectionBase *) writer)->upload, function, arg);
}

static void
Describe(BaseWriter *writer, BaseRow *row)
{
	CollectionBase *base = (CollectionBase *) writer;

	row->server = base->config->server;
	row->origin = pstrdup(CollectionOrigin());
	row->attached = base->config->attached;
	if (row->attached)
	{
		row->rows = base->run->indexed;
		row->collection = base->config->collection_name;
		return;
	}
	row->rows = UploadedRows(base->upload);
	row->collection = UploadMade(base->upload) ? base->config->collection_name : NULL;
	row->timestamp = UploadTimestamp(base->upload);
	if (row->collection == NULL)
		row->reason = _("there is no embedding yet");
}

static const char *
Publish(BaseWriter *writer, uint64 fingerprint)
{
	CollectionBase *base = (CollectionBase *) writer;
	ListCell   *lc;

	(void) fingerprint;
	foreach(lc, base->out_of_reach)
		LogChange(&base->run->id, CHANGE_ROW, lfirst(lc));
	base->published = true;
	return NULL;
}

static void
End(BaseWriter *writer)
{
	CollectionBase *base = (CollectionBase *) writer;

	if (base->upload)
		EndUpload(base->upload, base->published);
}

static void
Abandon(BaseWriter *writer)
{
	CollectionBase *base = (CollectionBase *) writer;

	if (base->upload)
		DropUploaded(base->upload);
}

static char *
Leftover(BaseWriter *writer)
{
	CollectionBase *base = (CollectionBase *) writer;

	if (base->upload == NULL || !UploadMayBeThere(base->upload))
		return NULL;
	return psprintf(_("Collection \"%s\" may be left on the Milvus server: brain.sweep() drops it."),
					base->config->collection_name);
}

static char *
ConfigText(BaseWriter *writer)
{
	return CollectionConfigText(((CollectionBase *) writer)->config);
}

static const BaseWriterMethods collection_methods = {
	.begin_rows = BeginRows,
	.add_row = AddRow,
	.add_bad_row = AddBadRow,
	.end_rows = EndRows,
	.finish = Finish,
	.count_taken = CountTaken,
	.for_each_id = ForEachId,
	.describe = Describe,
	.publish = Publish,
	.end = End,
	.abandon = Abandon,
	.leftover = Leftover,
	.config = ConfigText,
};

static BaseWriter *
BeginBase(const Run *run, const char *dataset_name, const pg_uuid_t *generation, const char **reason)
{
	CollectionBase *base = palloc0(sizeof(CollectionBase));
	MilvusConnection *connection = RequireConnection(run, &base->config);
	Size		batch_bytes = OptionNumber(run->options, &index_options[4], DEFAULT_BATCH_BYTES,
										   64 * 1024, MAX_BATCH_BYTES);

	(void) reason;
	base->writer.methods = &collection_methods;
	base->run = run;
	base->context = CurrentMemoryContext;
	if (!base->config->attached)
		base->upload = BeginUpload(connection, base->config, run, generation, dataset_name, batch_bytes,
								   OptionText(run->options, &index_options[0]) ||
								   OptionText(run->options, &index_options[1]));
	return &base->writer;
}

/* ---------- searching ---------- */

/* How long a search believes what an earlier one has seen. */
#define SEEN_FOR USECS_PER_SEC

static double
DistanceOfMilvus(Metric metric, float score)
{
	switch (metric)
	{
		case METRIC_COSINE:
			return 1 - (double) score;
		case METRIC_DOTPRODUCT:
			return -(double) score;
		case METRIC_EUCLIDEAN:
			return sqrt(Max((double) score, 0));
	}
	pg_unreachable();
}

static GrpcFailure *
MakeFailure(int sqlstate, char *message, const char *hint)
{
	GrpcFailure *failure = palloc0(sizeof(GrpcFailure));

	failure->sqlstate = sqlstate;
	failure->grpc_status = -1;
	failure->message = message;
	failure->hint = hint ? pstrdup(hint) : NULL;
	return failure;
}

typedef struct SettingsSearch
{
	const char *server;
	int			n_options;		/* of the call */
	MilvusPair *options;
	MilvusSettings *found;
} SettingsSearch;

static void
FindSettings(void *arg)
{
	SettingsSearch *search = arg;

	search->found = FindMilvusSettings(search->server, search->n_options, search->options);
}

/*
 * Why the current user has no connection to a server (NULL: by his own settings),
 * as far as that is known without trying; NULL: nothing is against it.
 */
const char *
WhyNoServer(const char *server)
{
	SettingsSearch search = {.server = server};
	ErrorData  *error = Try(FindSettings, &search);

	return error ? error->message : NULL;
}

/*
 * The connection for a search, which the table can answer: that the run's server
 * was dropped, is not for the caller, or has options that do not go together, is a
 * failure as others are. What the call's own options are to blame for is an error.
 */
static GrpcFailure *
GetSearchConnection(const Run *run, const CollectionConfig *config, MilvusConnection **connection)
{
	SettingsSearch search = {.server = config->server};
	ErrorData  *error;
	GrpcFailure *failure;

	if (run->options)
		search.options = ConnectionOptions(run->options, false, &search.n_options);
	error = Try(FindSettings, &search);
	if (error == NULL)
		return MilvusGetConnection(search.found, connection);
	if (search.n_options > 0)
	{
		search.n_options = 0;
		if (Try(FindSettings, &search) == NULL)
			ReThrowError(error);
	}
	failure = MakeFailure(error->sqlerrcode, error->message, error->hint);
	failure->detail = error->detail;
	return failure;
}

static int
DimensionOf(const MilvusCollection *collection, const char *vector_field)
{
	for (int i = 0; i < collection->n_fields; i++)
		if (strcmp(collection->fields[i].name, vector_field) == 0)
			return collection->fields[i].dim;
	return 0;
}

/*
 * Is the collection of that name still the base's? Somebody may have dropped it,
 * and made another of the same name: a rolled-back build of the same run, too.
 * *dim is the dimension that it has.
 */
GrpcFailure *
RequireOwnCollection(MilvusConnection *connection, const CollectionConfig *config, const BaseRow *row, int *dim)
{
	MilvusCollection found = {0};
	CollectionMarks marks;
	GrpcFailure *failure = MilvusDescribeCollection(connection->grpc, row->collection, &found);

	if (failure)
		return failure;
	*dim = DimensionOf(&found, config->vector_field);
	if (*dim > 0 && (row->attached ||
					 (FindMarks(&found, &marks) && memcmp(&marks.run_id, &row->run_id, sizeof(pg_uuid_t)) == 0 &&
					  memcmp(&marks.generation, &row->generation, sizeof(pg_uuid_t)) == 0)))
		return NULL;
	return MakeFailure(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					   psprintf(_("collection \"%s\" of Milvus server \"%s\" is not the run's"),
								row->collection, GrpcNameOf(connection->grpc)),
					   _("Somebody has put another into its place. Compute the run anew with overwrite => true."));
}

/*
 * The same for who only reads: what was seen on the connection is good for a while.
 */
static GrpcFailure *
ExpectOwnCollection(MilvusConnection *connection, const CollectionConfig *config, const BaseRow *row, int *dim)
{
	SeenCollection *seen = &connection->collections[row->generation.data[0] % SEEN_COLLECTIONS];
	TimestampTz now = GetCurrentTimestamp();
	GrpcFailure *failure;

	if (memcmp(&seen->generation, &row->generation, sizeof(pg_uuid_t)) != 0 ||
		now < seen->seen || now - seen->seen > SEEN_FOR)
	{
		seen->seen = 0;
		failure = RequireOwnCollection(connection, config, row, &seen->dim);
		if (failure)
			return failure;
		seen->generation = row->generation;
		seen->seen = now;
	}
	*dim = seen->dim;
	return NULL;
}

/*
 * Error unless the run's server can be reached, by the options of the call too, and
 * has its collection: 55000, or the connection's.
 */
void
RequireCollection(const Run *run)
{
	BaseRow    *row = ReadBaseRow(&run->id);
	const char *reason = WhyNoCollection(row);
	CollectionConfig *config;
	MilvusConnection *connection;
	int			dim;

	if (reason)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("brain run \"%s\" cannot be used on its Milvus server", run->brain_key),
				 errdetail_internal("%s", reason)));
	connection = RequireConnection(run, &config);
	GrpcCheck(RequireOwnCollection(connection, config, row, &dim));
}

/*
 * What a level of a run's or a call's asks of a search, beyond what our syncs have
 * written: that it sees always. Strong takes no timestamp, and sees all, but waits
 * for it (0.2 s). Of an attached collection, which we never write, nothing is known
 * that would have to be seen.
 */
MilvusLevel
ReadLevel(const CollectionConfig *config, const BaseRow *row, uint64 *guarantee_timestamp)
{
	uint64		timestamp = row->attached ? MILVUS_ANY_TIMESTAMP : row->timestamp;

	*guarantee_timestamp = 0;
	if (config->consistency_level == MILVUS_STRONG || timestamp == 0)
		return MILVUS_STRONG;
	*guarantee_timestamp = timestamp;
	return MILVUS_SESSION;
}

/*
 * The hits of each query, n asked for. An index may end before its collection does:
 * a graph with many equal vectors, lists that were not looked into. How much there
 * is of an attached collection is not known.
 */
static void
TakeHits(const MilvusHits *hits, const Run *run, const BaseRow *row, int n, Candidates *candidates)
{
	char	  **ids = hits->keys.texts;
	const float *scores = hits->scores;

	if (ids == NULL)
	{
		ids = palloc(sizeof(char *) * Max(hits->keys.n, 1));
		for (int i = 0; i < hits->keys.n; i++)
			ids[i] = psprintf(INT64_FORMAT, hits->keys.numbers[i]);
	}
	candidates->lists = palloc0(sizeof(CandidateList) * hits->n_queries);
	for (int i = 0; i < hits->n_queries; i++)
	{
		CandidateList *list = &candidates->lists[i];

		list->n = hits->counts[i];
		list->ids = ids;
		list->all = list->n < n && (row->attached || list->n >= row->rows);
		list->is_short = list->n < n && !list->all;
		if (list->n > 0)
			list->last_distance = DistanceOfMilvus(run->metric, scores[list->n - 1]);
		ids += list->n;
		scores += list->n;
	}
}

/*
 * The n samples that the run's collection has nearest to each query vector. A
 * collection that somebody has released is loaded again, once.
 */
GrpcFailure *
FindCandidates(const Run *run, const BaseRow *row, const ScanQuery *query, int n, Candidates *candidates)
{
	CollectionConfig *config = ReadCollectionConfig(run->config ? run->config : "{}");
	char	   *params = OptionText(run->options, &search_options[1]);
	MilvusConnection *connection;
	GrpcFailure *failure = GetSearchConnection(run, config, &connection);
	MilvusSearch search = {
		.collection = row->collection,
		.vector_field = config->vector_field,
		.metric = MilvusMetric(run->metric),
		.params = params ? params : SearchParams(config, n),
		.k = n,
		.n_queries = query->n,
		.dim = query->dim,
		.queries = query->vectors,
	};
	MilvusHits	hits = {0};

	if (failure == NULL)
		failure = ExpectOwnCollection(connection, config, row, &candidates->dim);
	if (failure || candidates->dim != query->dim)
		return failure;
	config->consistency_level = ParsedLevel(OptionText(run->options, &search_options[0]), config->consistency_level);
	search.level = ReadLevel(config, row, &search.guarantee_timestamp);
	candidates->is_lite = connection->server.is_lite;
	candidates->request = psprintf("%s: topk %d, %s, params %s, consistency level %s", search.collection, n,
								   search.metric, search.params, LevelName(search.level));
	failure = MilvusRunSearch(connection->grpc, &search, &hits);
	if (LoadedAgain(connection, row->collection, &failure))
		failure = MilvusRunSearch(connection->grpc, &search, &hits);
	if (failure)
		return failure;
	if (hits.keys.n > 0 && (hits.keys.texts == NULL) != config->key_is_number)
		return MakeFailure(ERRCODE_PROTOCOL_VIOLATION,
						   psprintf(_("Milvus server \"%s\" has sent keys of another kind than collection \"%s\" has"),
									GrpcNameOf(connection->grpc), row->collection),
						   GrpcDefaultHint(ERRCODE_PROTOCOL_VIOLATION));
	TakeHits(&hits, run, row, n, candidates);
	return NULL;
}

const Backend milvus_backend = {
	.name = "milvus",
	.max_k = 0,					/* the table answers beyond MILVUS_MAX_K */
	.reverse = true,
	.post_aggregations = true,
	.default_metric = METRIC_DOTPRODUCT,
	.searches_untracked = true,
	.check_options = CheckSearchOptions,
	.configure = Configure,
	.begin_base = BeginBase,
};
