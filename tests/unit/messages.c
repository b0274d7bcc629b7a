/*
 * messages.c
 *		src/milvus' messages, without a server: what is written beside protobuf-c's own
 *		writing of the same, and what is read from real replies, cut and damaged, and
 *		from replies that are wrong in one thing.
 *
 *	messages REPLIES SEED
 *
 * To be built with the sanitizers: a byte read too many is for them to see.
 */
#include "postgres.h"

#include <math.h>

#include "basesearch.h"
#include "milvus/milvus.h"
#include "milvus/retry.h"
#include "milvus/wire.h"

#include "replies.h"
#include "rows.pb-c.h"

static int	failed = 0;
static uint64 random_state;

#define CHECK(condition, ...) \
	do { if (!(condition)) { failed++; fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
		fprintf(stderr, __VA_ARGS__); fputc('\n', stderr); } } while (0)

static uint32
Random(uint32 below)
{
	random_state = random_state * UINT64CONST(6364136223846793005) + UINT64CONST(1442695040888963407);
	return (uint32) (random_state >> 33) % below;
}

static float
RandomFloat(void)
{
	return (float) Random(2000000) / 1000 - 1000;
}

/* ---------- the other end ---------- */

static StringInfoData given;

static GrpcFailure *
Give(const char *method, StringInfo request, StringInfo reply)
{
	GiveReply(reply, given.data, given.len);
	return NULL;
}

static void
BeginReply(void)
{
	initStringInfo(&given);
}

static const char *
DetailOf(const GrpcFailure *failure)
{
	return failure ? failure->detail : "none";
}

static bool
IsProblem(const GrpcFailure *failure, const char *words)
{
	return failure != NULL && failure->sqlstate == ERRCODE_PROTOCOL_VIOLATION &&
		failure->milvus_code == 0 && failure->maybe_done && strstr(failure->detail, words) != NULL &&
		strcmp(failure->message, "Milvus server \"[::1]:19530\" sent a reply that cannot be read") == 0;
}

/* ---------- what is written ---------- */

static void
CompareRequest(const char *method, const ProtobufCMessage *message)
{
	Size		size = protobuf_c_message_get_packed_size(message);
	uint8	   *bytes = palloc(Max(size, 1));

	protobuf_c_message_pack(message, bytes);
	CHECK(strcmp(standin_method, method) == 0, "%s", standin_method);
	CHECK(size == (Size) standin_request.len && memcmp(bytes, standin_request.data, size) == 0,
		  "%s: %zu bytes, %d written", method, size, standin_request.len);
}

static char *
RandomText(void)
{
	static const char *const pieces[] = {"", "a", "\"", "\\", "\n", "\xc3\xa9", "\xf0\x9f\x90\xb3", "'", "000000000000000000000000"};
	StringInfoData text;

	initStringInfo(&text);
	for (int i = Random(Random(10) ? 4 : 200); i > 0; i--)
		appendStringInfoString(&text, pieces[Random(lengthof(pieces))]);
	return text.data;
}

static Rows__FieldData *
KeyColumn(const MilvusRows *rows, const char *name)
{
	Rows__FieldData *column = palloc(sizeof(*column));

	rows__field_data__init(column);
	column->type = rows->texts ? 21 : 5;
	column->field_name = (char *) name;
	column->field_case = ROWS__FIELD_DATA__FIELD_SCALARS;
	column->scalars = palloc(sizeof(Rows__ScalarField));
	rows__scalar_field__init(column->scalars);
	if (rows->texts)
	{
		column->scalars->data_case = ROWS__SCALAR_FIELD__DATA_STRINGS;
		column->scalars->strings = palloc(sizeof(Rows__Strings));
		rows__strings__init(column->scalars->strings);
		column->scalars->strings->n_data = rows->n;
		column->scalars->strings->data = (char **) rows->texts;
	}
	else
	{
		column->scalars->data_case = ROWS__SCALAR_FIELD__DATA_LONGS;
		column->scalars->longs = palloc(sizeof(Rows__Longs));
		rows__longs__init(column->scalars->longs);
		column->scalars->longs->n_data = rows->n;
		column->scalars->longs->data = (int64_t *) rows->numbers;
	}
	return column;
}

static Rows__FieldData *
VectorColumn(const MilvusRows *rows)
{
	Rows__FieldData *column = palloc(sizeof(*column));

	rows__field_data__init(column);
	column->type = 101;
	column->field_name = (char *) rows->vector_field;
	column->field_case = ROWS__FIELD_DATA__FIELD_VECTORS;
	column->vectors = palloc(sizeof(Rows__VectorField));
	rows__vector_field__init(column->vectors);
	column->vectors->dim = rows->dim;
	column->vectors->data_case = ROWS__VECTOR_FIELD__DATA_FLOATS;
	column->vectors->floats = palloc(sizeof(Rows__Floats));
	rows__floats__init(column->vectors->floats);
	column->vectors->floats->n_data = (size_t) rows->n * rows->dim;
	column->vectors->floats->data = (float *) rows->vectors;
	return column;
}

static void
CompareInsert(const MilvusRows *rows, bool upsert)
{
	Rows__InsertRequest request = ROWS__INSERT_REQUEST__INIT;
	Rows__FieldData *columns[3];
	MilvusWritten written;
	GrpcFailure *failure;

	BeginReply();
	WriteVarintField(&given, upsert ? 8 : 6, rows->n);
	WriteVarintField(&given, 9, 77);
	failure = (upsert ? MilvusUpsert : MilvusInsert) (NULL, rows, &written);
	CHECK(failure == NULL && written.count == rows->n && written.timestamp == 77, "%s", DetailOf(failure));
	request.collection_name = (char *) rows->collection;
	request.fields_data = columns;
	columns[request.n_fields_data++] = KeyColumn(rows, rows->key_field);
	if (rows->text_field)
		columns[request.n_fields_data++] = KeyColumn(rows, rows->text_field);
	columns[request.n_fields_data++] = VectorColumn(rows);
	request.num_rows = rows->n;
	CompareRequest(upsert ? "Upsert" : "Insert", &request.base);
	CHECK(MilvusRowsSize(rows) == (Size) standin_request.len, "%d rows of %d", rows->n, rows->dim);
}

static void
CompareInserts(void)
{
	static const int64 numbers[] = {0, 1, -1, 127, 128, PG_INT64_MAX, PG_INT64_MIN, 1 << 21};

	for (int i = 0; i < 300; i++)
	{
		int			n = 1 + Random(i % 10 == 0 ? 3000 : 20);
		int			dim = 1 + Random(i % 10 == 1 ? 3000 : 40);
		const char **texts = palloc(sizeof(char *) * n);
		int64	   *keys = palloc(sizeof(int64) * n);
		float	   *vectors = palloc(sizeof(float) * n * dim);
		MilvusRows	rows = {.collection = "of_\xc3\xa9",.key_field = "pk",.vector_field = "vector",
		.n = n,.dim = dim,.vectors = vectors};

		for (int j = 0; j < n; j++)
		{
			texts[j] = RandomText();
			keys[j] = numbers[Random(lengthof(numbers))] ^ (int64) Random(3);
		}
		for (int j = 0; j < n * dim; j++)
			vectors[j] = RandomFloat();
		if (i % 2)
			rows.texts = texts;
		else
			rows.numbers = keys;
		rows.text_field = i % 4 == 1 ? "sample_id" : NULL;
		CompareInsert(&rows, i % 3 == 0);
		ForgetMemory();
	}
}

static Rows__Pair *
Pair(const char *key, const char *value)
{
	Rows__Pair *pair = palloc(sizeof(*pair));

	rows__pair__init(pair);
	pair->key = (char *) key;
	pair->value = (char *) value;
	return pair;
}

static void
FillPlaceholders(Rows__SearchRequest *request, const MilvusSearch *search)
{
	Rows__PlaceholderGroup group = ROWS__PLACEHOLDER_GROUP__INIT;
	Rows__Placeholder placeholder = ROWS__PLACEHOLDER__INIT;
	Rows__Placeholder *placeholders = &placeholder;

	placeholder.tag = (char *) "$0";
	placeholder.type = 101;
	placeholder.n_values = search->n_queries;
	placeholder.values = palloc(sizeof(ProtobufCBinaryData) * search->n_queries);
	for (int i = 0; i < search->n_queries; i++)
		placeholder.values[i] = (ProtobufCBinaryData) {sizeof(float) * search->dim, (uint8 *) (search->queries + i * search->dim)};
	group.n_placeholders = 1;
	group.placeholders = &placeholders;
	request->placeholder_group.len = rows__placeholder_group__get_packed_size(&group);
	request->placeholder_group.data = palloc(request->placeholder_group.len);
	rows__placeholder_group__pack(&group, request->placeholder_group.data);
}

/* A reply of so many hits for each query. */
static void
WriteHits(int n_queries, const int *counts, bool packed)
{
	StringInfoData keys;
	StringInfoData ids;
	StringInfoData data;
	Size		counts_size = 0;
	int			n = 0;

	initStringInfo(&keys);
	initStringInfo(&ids);
	initStringInfo(&data);
	for (int i = 0; i < n_queries; i++)
	{
		n += counts[i];
		counts_size += VarintSize(counts[i]);
	}
	WriteVarintField(&data, 1, n_queries);
	if (packed)
		WriteBytesHead(&data, 4, sizeof(float) * n);
	for (int i = 0; i < n && packed; i++)
	{
		float		score = i + 0.5f;

		WriteFloats(&data, &score, 1);
	}
	for (int i = 0; i < n; i++)
	{
		float		score = i + 0.5f;

		WriteTextField(&keys, 1, psprintf("key %d", i));
		if (packed)
			continue;
		WriteTag(&data, 4, WIRE_FIXED32);
		WriteFloats(&data, &score, 1);
	}
	WriteBytesField(&ids, 2, keys.data, keys.len);
	WriteBytesField(&data, 5, ids.data, ids.len);
	if (packed)
		WriteBytesHead(&data, 6, counts_size);
	for (int i = 0; i < n_queries; i++)
	{
		if (!packed)
			WriteTag(&data, 6, WIRE_VARINT);
		WriteVarint(&data, counts[i]);
	}
	BeginReply();
	WriteBytesHead(&given, 1, 0);
	WriteTextField(&given, 99, "of tomorrow");
	WriteBytesField(&given, 2, data.data, data.len);
	WriteTag(&given, 100, WIRE_FIXED64);
	appendBinaryStringInfo(&given, "12345678", 8);
}

static void
CompareSearches(void)
{
	for (int i = 0; i < 100; i++)
	{
		int			n = 1 + Random(30);
		int			dim = 1 + Random(300);
		int			k = 1 + Random(i % 2 ? 10 : MILVUS_MAX_K);
		int		   *counts = palloc(sizeof(int) * n);
		int			n_hits = 0;
		float	   *queries = palloc(sizeof(float) * n * dim);
		MilvusSearch search = {.collection = "of_texts",.vector_field = "vector",.metric = "L2",.params = "{\"ef\": 64}",
			.expression = i % 3 ? NULL : "pk in [\"1\"]",.k = k,.n_queries = n,.dim = dim,.queries = queries,
		.level = i % 5,.guarantee_timestamp = UINT64CONST(470717928953348114)};
		Rows__SearchRequest request = ROWS__SEARCH_REQUEST__INIT;
		Rows__Pair *pairs[] = {Pair("anns_field", "vector"), Pair("topk", psprintf("%d", k)), Pair("params", "{\"ef\": 64}"),
		Pair("metric_type", "L2"), Pair("round_decimal", "-1")};
		MilvusHits	hits;
		GrpcFailure *failure;

		for (int j = 0; j < n * dim; j++)
			queries[j] = RandomFloat();
		for (int j = 0; j < n; j++)
			n_hits += counts[j] = Random(Min(k, i % 3 ? 9 : 200) + 1);
		WriteHits(n, counts, i % 2);
		failure = MilvusRunSearch(NULL, &search, &hits);
		CHECK(failure == NULL, "%s", DetailOf(failure));
		CHECK(hits.n_queries == n && hits.keys.n == n_hits && hits.keys.numbers == NULL, "%d", hits.keys.n);
		CHECK(memcmp(hits.counts, counts, sizeof(int) * n) == 0, "%d queries", n);
		for (int j = 0; j < hits.keys.n; j++)
			CHECK(hits.scores[j] == j + 0.5f && strcmp(hits.keys.texts[j], psprintf("key %d", j)) == 0, "%s", hits.keys.texts[j]);
		request.collection_name = (char *) "of_texts";
		if (search.expression)
			request.dsl = (char *) search.expression;
		FillPlaceholders(&request, &search);
		request.dsl_type = 1;
		request.n_search_params = lengthof(pairs);
		request.search_params = pairs;
		if (search.level == MILVUS_SESSION || search.level == MILVUS_CUSTOMIZED)
			request.guarantee_timestamp = search.guarantee_timestamp;
		request.nq = n;
		request.consistency_level = search.level;
		CompareRequest("Search", &request.base);
		ForgetMemory();
	}
}

static void
CompareQueries(void)
{
	Rows__QueryRequest request = ROWS__QUERY_REQUEST__INIT;
	Rows__DeleteRequest deleting = ROWS__DELETE_REQUEST__INIT;
	char	   *fields[] = {(char *) "pk", (char *) "vector"};
	Rows__Pair *pairs[] = {Pair("limit", "9223372036854775807")};
	MilvusQuery query = {.collection = "of_texts",.key_field = "pk",.vector_field = "vector",.expression = "pk > \"\xc3\xa9\"",
	.limit = PG_INT64_MAX,.dim = 3,.level = MILVUS_SESSION,.guarantee_timestamp = 5};
	MilvusEntries entries;
	MilvusWritten written;

	BeginReply();
	(void) MilvusRunQuery(NULL, &query, &entries);
	request.collection_name = (char *) "of_texts";
	request.expr = (char *) query.expression;
	request.n_output_fields = 2;
	request.output_fields = fields;
	request.guarantee_timestamp = 5;
	request.n_query_params = 1;
	request.query_params = pairs;
	request.consistency_level = 1;
	CompareRequest("Query", &request.base);
	(void) MilvusDelete(NULL, "of_texts", "pk in [1]", &written);
	deleting.collection_name = (char *) "of_texts";
	deleting.expr = (char *) "pk in [1]";
	CompareRequest("Delete", &deleting.base);
}

/* ---------- what is not written ---------- */

static float one_vector[4] = {1, 2, 3, 4};
static const char *one_text[] = {"a"};
static const MilvusRows good_rows = {.collection = "c",.key_field = "pk",.vector_field = "v",.n = 1,.dim = 4,
.texts = one_text,.vectors = one_vector};
static const MilvusSearch good_search = {.collection = "c",.vector_field = "v",.metric = "IP",.params = "{}",.k = 2,
.n_queries = 1,.dim = 4,.queries = one_vector};

static MilvusHits some_hits;
static MilvusEntries some_entries;
static MilvusWritten some_written;

/* Raises an error, and nothing was sent. */
#define REFUSED(call) \
	do { sigjmp_buf jump; volatile bool raised = true; \
		PG_exception_stack = &jump; standin_method[0] = '\0'; \
		if (sigsetjmp(jump, 0) == 0) { (void) (call); raised = false; } \
		PG_exception_stack = NULL; \
		CHECK(raised && standin_method[0] == '\0', "%s", standin_method); } while (0)

static void
RefuseRows(MilvusRows rows)
{
	REFUSED(MilvusInsert(NULL, &rows, &some_written));
	REFUSED(MilvusUpsert(NULL, &rows, &some_written));
}

static void
RefuseSearch(MilvusSearch search)
{
	REFUSED(MilvusRunSearch(NULL, &search, &some_hits));
}

static void
RefuseRequests(void)
{
	static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
	const char *long_text = psprintf("%065536d", 1);
	const char *not_utf8 = "\xff";
	int64		number = 1;
	MilvusCollection collection = {.n_fields = 1};
	MilvusField field = {.name = (char *) "v",.type = MILVUS_FLOAT_VECTOR,.dim = 0};
	MilvusQuery blank = {.collection = "c",.key_field = "pk",.expression = " \n"};
	MilvusRows	rows;
	MilvusSearch search;

	BeginReply();
	for (size_t i = 0; i < lengthof(bad); i++)
		for (int j = 0; j < 4; j++)
		{
			one_vector[j] = bad[i];
			RefuseRows(good_rows);
			RefuseSearch(good_search);
			one_vector[j] = (float) j;
		}
#define WITH(type, good, change) (type = good, type.change, type)
	RefuseRows(WITH(rows, good_rows, dim = 0));
	RefuseRows(WITH(rows, good_rows, dim = 32769));
	RefuseRows(WITH(rows, good_rows, n = -1));
	RefuseRows(WITH(rows, good_rows, numbers = &number));
	RefuseRows(WITH(rows, good_rows, texts = NULL));
	RefuseRows(WITH(rows, good_rows, texts = &long_text));
	RefuseRows(WITH(rows, good_rows, texts = &not_utf8));
	RefuseRows(WITH(rows, good_rows, collection = not_utf8));
	RefuseSearch(WITH(search, good_search, k = 0));
	RefuseSearch(WITH(search, good_search, k = 16385));
	RefuseSearch(WITH(search, good_search, n_queries = 0));
	RefuseSearch(WITH(search, good_search, n_queries = 16385));
	RefuseSearch(WITH(search, good_search, dim = 0));
	RefuseSearch(WITH(search, good_search, expression = ""));
	REFUSED(MilvusDelete(NULL, "c", "", &some_written));
	REFUSED(MilvusDelete(NULL, "c", " \t", &some_written));
	REFUSED(MilvusRunQuery(NULL, &blank, &some_entries));
	REFUSED(MilvusDropCollection(NULL, ""));
	REFUSED(MilvusDropCollection(NULL, psprintf("%0256d", 1)));
	REFUSED(KeysExpression("pk in [1] or x", 1, one_text, NULL));
	collection.fields = &field;
	REFUSED(MilvusCreateCollection(NULL, "c", &collection));
	/* above 60 MiB */
	rows = good_rows;
	rows.n = 1000;
	rows.dim = 16384;
	rows.texts = palloc(sizeof(char *) * rows.n);
	for (int i = 0; i < rows.n; i++)
		((const char **) rows.texts)[i] = "";
	rows.vectors = palloc0(sizeof(float) * rows.n * rows.dim);
	RefuseRows(rows);
}

/* Lists that are empty ask for nothing. */
static void
SendNothing(void)
{
	MilvusRows	rows = good_rows;
	MilvusQuery query = {.collection = "c",.key_field = "pk"};

	standin_method[0] = '\0';
	rows.n = 0;
	CHECK(MilvusInsert(NULL, &rows, &some_written) == NULL, "not done");
	CHECK(KeysExpression("pk", 0, one_text, NULL) == NULL, "an expression");
	CHECK(MilvusDelete(NULL, "c", NULL, &some_written) == NULL, "not done");
	CHECK(MilvusRunQuery(NULL, &query, &some_entries) == NULL && some_entries.keys.n == 0, "not done");
	CHECK(standin_method[0] == '\0', "%s was called", standin_method);
}

static void
CompareTexts(void)
{
	static const MilvusServer full = {.version = (char *) "v2.3.5-lite"};
	static const MilvusServer lite2 = {.is_lite = true,.is_lite2 = true};
	const char *texts[] = {"a\"b\\c\nd\re\tf'\x01\x7f\xc3\xa9%{x}", ""};
	int64		numbers[] = {-1, PG_INT64_MIN, 5};

	CHECK(strcmp(KeysExpression("_p$1", 2, texts, NULL),
				 "_p$1 in [\"a\\\"b\\\\c\\nd\\re\tf'\x01\x7f\xc3\xa9%{x}\", \"\"]") == 0, "%s", KeysExpression("pk", 2, texts, NULL));
	CHECK(strcmp(KeysExpression("pk", 3, NULL, numbers), "pk in [-1, 5] or pk < -9223372036854775807") == 0, "numbers");
	CHECK(strcmp(KeysExpression("pk", 1, NULL, numbers + 1), "pk < -9223372036854775807") == 0, "the least number");
	CHECK(MilvusTextProblem(&full, texts[0], 100) == NULL, "refused");
	CHECK(MilvusTextProblem(&full, "12345", 4) != NULL, "not refused");
	CHECK(MilvusTextProblem(&full, "\xff", 4) != NULL, "not refused");
	CHECK(MilvusTextProblem(&full, psprintf("%065536d", 1), 100000) != NULL, "not refused");
	CHECK(MilvusTextProblem(&lite2, "it's", 100) != NULL && MilvusTextProblem(&lite2, "a\nb", 100) != NULL &&
		  MilvusTextProblem(&lite2, "a\rb", 100) != NULL && MilvusTextProblem(&lite2, "a\"\\b", 100) == NULL, "milvus-lite 2");
}

/*
 * A search sees what we have written, whatever level it is to have; of what we
 * never write, anything.
 */
static void
ChooseLevels(void)
{
	BaseRow		row = {.timestamp = UINT64CONST(470717928953348114)};
	CollectionConfig config = {.consistency_level = MILVUS_STRONG};
	uint64		guaranteed = 7;

	CHECK(ReadLevel(&config, &row, &guaranteed) == MILVUS_STRONG && guaranteed == 0, "Strong: " UINT64_FORMAT, guaranteed);
	for (config.consistency_level = MILVUS_SESSION; config.consistency_level <= MILVUS_EVENTUALLY; config.consistency_level++)
	{
		row.attached = false;
		CHECK(ReadLevel(&config, &row, &guaranteed) == MILVUS_SESSION && guaranteed == row.timestamp, "ours: " UINT64_FORMAT, guaranteed);
		row.attached = true;
		CHECK(ReadLevel(&config, &row, &guaranteed) == MILVUS_SESSION && guaranteed == MILVUS_ANY_TIMESTAMP, "attached: " UINT64_FORMAT, guaranteed);
	}
	/* a server that has no timestamps */
	row = (BaseRow) {0};
	CHECK(ReadLevel(&config, &row, &guaranteed) == MILVUS_STRONG && guaranteed == 0, "none: " UINT64_FORMAT, guaranteed);
}

/*
 * A list of Milvus' that may have been cut among samples equally near, to float32,
 * is not complete: ties go by id.
 */
static void
CutLists(void)
{
	Neighbor	worst = {.distance = 2};
	Nearest		nearest = {.k = 3,.n = 3,.items = &worst};
	CandidateList list = {.n = 5,.last_distance = 2.1};

	CHECK(IsComplete(&list, &nearest, 3, INFINITY), "farther");
	CHECK(!IsComplete(&list, &nearest, 2, INFINITY), "too few");
	list.last_distance = 2;
	CHECK(!IsComplete(&list, &nearest, 5, INFINITY), "a tie");
	list.last_distance = 2 + 1e-6;
	CHECK(!IsComplete(&list, &nearest, 5, INFINITY), "a tie to float32");
	CHECK(IsComplete(&list, &nearest, 5, 1.9), "beyond max_distance");
	CHECK(!IsComplete(&list, &nearest, 5, 2), "perhaps within max_distance");
	list.all = true;
	CHECK(IsComplete(&list, &nearest, 2, INFINITY), "all that there are");
}

/* ---------- what is read ---------- */

static void
CheckSearchReply(const MilvusSearch *search, const char *data, int length, const char *problem)
{
	GrpcFailure *failure;

	BeginReply();
	WriteBytesField(&given, 2, data, length);
	failure = MilvusRunSearch(NULL, search, &some_hits);
	if (problem == NULL)
		CHECK(failure == NULL, "%s", DetailOf(failure));
	else
		CHECK(IsProblem(failure, problem), "%s instead of %s", DetailOf(failure), problem);
}

#define SEARCH_REPLY(bytes, problem) CheckSearchReply(&good_search, bytes, sizeof(bytes) - 1, problem)
#define SEARCHES_REPLY(bytes, problem) CheckSearchReply(&two_searches, bytes, sizeof(bytes) - 1, problem)

/* Pieces of SearchResultData: one query; scores 1 and 2; ids; hits of each query. */
#define ONE "\x08\x01"
#define SCORES "\x22\x08\0\0\x80\x3f\0\0\0\x40"
#define TEXTS "\x2a\x08\x12\x06\x0a\x01" "a" "\x0a\x01" "b"
#define NUMBERS "\x2a\x06\x0a\x04\x0a\x02\x05\x06"
#define HITS "\x32\x01\x02"

static void
ReadWrongHits(void)
{
	SEARCH_REPLY(ONE SCORES TEXTS HITS, NULL);
	CHECK(some_hits.keys.n == 2 && strcmp(some_hits.keys.texts[1], "b") == 0 && some_hits.scores[1] == 2 && some_hits.counts[0] == 2, "hits");
	SEARCH_REPLY(ONE SCORES NUMBERS HITS, NULL);
	CHECK(some_hits.keys.texts == NULL && some_hits.keys.numbers[1] == 6, "numbers");
	SEARCH_REPLY(HITS TEXTS SCORES ONE, NULL);
	SEARCH_REPLY(ONE "\x25\0\0\x80\x3f" "\x22\x04\0\0\0\x40" TEXTS "\x30\x02", NULL);
	SEARCH_REPLY(ONE SCORES "\x2a\x06\x0a\x04\x08\x05\x08\x06" HITS, NULL);
	SEARCH_REPLY(ONE "\x32\x01\x00", NULL);
	SEARCH_REPLY("", "as many queries");
	SEARCH_REPLY(ONE, "as many queries");
	SEARCH_REPLY("\x08\x02" SCORES TEXTS HITS, "as many queries");
	SEARCH_REPLY(SCORES TEXTS HITS, "as many queries");
	SEARCH_REPLY(ONE SCORES TEXTS "\x32\x02\x01\x01", "more than were asked for");
	SEARCH_REPLY(ONE SCORES TEXTS "\x32\x01\x03", "more than were asked for");
	SEARCH_REPLY(ONE SCORES TEXTS "\x32\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "more than were asked for");
	SEARCH_REPLY(ONE SCORES TEXTS "\x32\x01\x01", "as many scores");
	SEARCH_REPLY(ONE "\x22\x04\0\0\x80\x3f" TEXTS HITS, "as many scores");
	SEARCH_REPLY(ONE "\x22\x07\0\0\x80\x3f\0\0\0" TEXTS HITS, "damaged");
	SEARCH_REPLY(ONE "\x22\x08\0\0\x80\x3f\0\0\xc0\x7f" TEXTS HITS, "not finite");
	SEARCH_REPLY(ONE "\x22\x08\0\0\x80\x3f\0\0\x80\xff" TEXTS HITS, "not finite");
	SEARCH_REPLY(ONE SCORES HITS, "as many keys");
	SEARCH_REPLY(ONE SCORES "\x2a\x05\x12\x03\x0a\x01" "a" HITS, "as many keys");
	SEARCH_REPLY(ONE SCORES "\x2a\x0b\x12\x09\x0a\x01" "a" "\x0a\x01" "b" "\x0a\x01" "c" HITS, "more keys");
	SEARCH_REPLY(ONE SCORES "\x2a\x08\x0a\x06\x0a\x04\x05\x06\x07\x08" HITS, "more keys");
	SEARCH_REPLY(ONE SCORES "\x2a\x0c\x12\x03\x0a\x01" "a" "\x0a\x05\x0a\x03\x05\x06\x07" HITS, "two kinds");
	SEARCH_REPLY(ONE SCORES TEXTS TEXTS HITS, "damaged");
	SEARCH_REPLY(ONE SCORES "\x2a\x08\x12\x06\x0a\x01\xff\x0a\x01" "b" HITS, "not UTF-8");
	SEARCH_REPLY(ONE SCORES "\x2a\x08\x12\x06\x0a\x01\0\x0a\x01" "b" HITS, "NUL");
	SEARCH_REPLY(ONE SCORES "\x2a\x06\x12\x04\x08\x01\x08\x02" HITS, "damaged");
	SEARCH_REPLY(ONE SCORES "\x2a\x06\x0a\x04\x0a\x02\x05\xff" HITS, "damaged");
	SEARCH_REPLY("\x0a\x01\x01" SCORES TEXTS HITS, "damaged");
	SEARCH_REPLY(ONE SCORES TEXTS "\x35\x02\0\0\0", "damaged");
	SEARCH_REPLY(ONE SCORES TEXTS HITS "\x0b\x0c", "damaged");
	SEARCH_REPLY(ONE SCORES TEXTS HITS "\x07", "damaged");
	SEARCH_REPLY(ONE SCORES TEXTS HITS "\x00\x01", "damaged");
	SEARCH_REPLY(ONE SCORES TEXTS HITS "\x9a\x06\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "damaged");
	SEARCH_REPLY(ONE SCORES TEXTS HITS "\x98\x06\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "damaged");
}

/* Two lists of at most two hits: three scores and ids. */
#define TWO "\x08\x02"
#define THREE_SCORES "\x22\x0c\0\0\x80\x3f\0\0\0\x40\0\0\x80\x3f"
#define THREE_TEXTS "\x2a\x0b\x12\x09\x0a\x01" "a" "\x0a\x01" "b" "\x0a\x01" "a"

static void
ReadWrongLists(void)
{
	static const float vectors[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	MilvusSearch two_searches = good_search;

	two_searches.n_queries = 2;
	two_searches.queries = vectors;
	SEARCHES_REPLY(TWO THREE_SCORES THREE_TEXTS "\x32\x02\x02\x01", NULL);
	CHECK(some_hits.n_queries == 2 && some_hits.counts[0] == 2 && some_hits.counts[1] == 1 && some_hits.keys.n == 3 && strcmp(some_hits.keys.texts[2], "a") == 0, "two lists");
	SEARCHES_REPLY(TWO THREE_SCORES THREE_TEXTS "\x32\x01\x01" "\x30\x02", NULL);
	CHECK(some_hits.counts[0] == 1 && some_hits.counts[1] == 2, "two lists");
	SEARCHES_REPLY(TWO "\x32\x02\x00\x00", NULL);
	SEARCHES_REPLY(TWO SCORES TEXTS "\x32\x02\x00\x02", NULL);
	SEARCHES_REPLY(ONE THREE_SCORES THREE_TEXTS "\x32\x02\x02\x01", "as many queries");
	SEARCHES_REPLY(TWO SCORES TEXTS HITS, "as many queries");
	SEARCHES_REPLY(TWO SCORES TEXTS "\x32\x03\x01\x01\x00", "more than were asked for");
	SEARCHES_REPLY(TWO THREE_SCORES THREE_TEXTS "\x32\x02\x03\x00", "more than were asked for");
	SEARCHES_REPLY(TWO THREE_SCORES THREE_TEXTS "\x32\x02\x02\x02", "as many scores");
	SEARCHES_REPLY(TWO THREE_SCORES THREE_TEXTS "\x32\x02\x01\x01", "as many scores");
	SEARCHES_REPLY(TWO THREE_SCORES TEXTS "\x32\x02\x02\x01", "as many keys");
	SEARCHES_REPLY(TWO SCORES THREE_TEXTS "\x32\x02\x01\x01", "more keys");
}

static void
ReadLongKeys(void)
{
	for (int length = MILVUS_MAX_TEXT; length <= MILVUS_MAX_TEXT + 1; length++)
	{
		char	   *text = psprintf("%0*d", length, 0);
		StringInfoData data;

		initStringInfo(&data);
		appendBinaryStringInfo(&data, ONE "\x22\x04\0\0\x80\x3f" "\x32\x01\x01", 11);
		WriteBytesHead(&data, 5, BytesFieldSize(2, BytesFieldSize(1, length)));
		WriteBytesHead(&data, 2, BytesFieldSize(1, length));
		WriteBytesField(&data, 1, text, length);
		CheckSearchReply(&good_search, data.data, data.len, length > MILVUS_MAX_TEXT ? "too long" : NULL);
	}
}

static void
CheckQueryReply(const char *bytes, int length, const char *problem)
{
	MilvusQuery query = {.collection = "c",.key_field = "p",.vector_field = "v",.expression = "p > 1",.max_rows = 2,.dim = 1};
	GrpcFailure *failure;

	BeginReply();
	appendBinaryStringInfo(&given, bytes, length);
	failure = MilvusRunQuery(NULL, &query, &some_entries);
	if (problem == NULL)
		CHECK(failure == NULL, "%s", DetailOf(failure));
	else
		CHECK(IsProblem(failure, problem), "%s instead of %s", DetailOf(failure), problem);
}

#define QUERY_REPLY(bytes, problem) CheckQueryReply(bytes, sizeof(bytes) - 1, problem)

/* Columns p and v of two rows. */
#define P "\x12\x0d\x12\x01p\x1a\x08\x32\x06\x0a\x01" "a" "\x0a\x01" "b"
#define V(dim) "\x12\x13\x12\x01v\x22\x0e\x08" dim "\x12\x0a\x0a\x08\0\0\x80\x3f\0\0\0\x40"

static void
ReadWrongEntries(void)
{
	QUERY_REPLY(P V("\x01"), NULL);
	CHECK(some_entries.keys.n == 2 && some_entries.vectors[1] == 2, "entries");
	QUERY_REPLY(V("\x01") P, NULL);
	QUERY_REPLY("\x12\x05\x12\x01p\x1a\0" "\x12\x05\x12\x01v\x22\0", NULL);
	QUERY_REPLY("", "not there");
	QUERY_REPLY(P, "not there");
	QUERY_REPLY(V("\x01"), "not there");
	QUERY_REPLY(P P V("\x01"), "twice");
	QUERY_REPLY(P V("\x02"), "dimension 2 instead of 1");
	QUERY_REPLY(P V("\x01") "\x12\x05\x12\x01z\x1a\0", NULL);
	QUERY_REPLY("\x12\x0d\x12\x01p\x1a\x08\x32\x06\x0a\x01" "a" "\x08\x01\x01" V("\x01"), "damaged");
	QUERY_REPLY("\x12\x0a\x12\x01p\x1a\x05\x32\x03\x0a\x01" "a" V("\x01"), "as many vectors");
	QUERY_REPLY("\x12\x05\x12\x01p\x1a\0" V("\x01"), "as many vectors");
	QUERY_REPLY("\x12\x10\x12\x01p\x1a\x0b\x32\x09\x0a\x01" "a" "\x0a\x01" "b" "\x0a\x01" "c" V("\x01"), "more keys");
}

static void
ReadStatuses(void)
{
	static const struct
	{
		int			code,
					legacy,
					expected,
					sqlstate;
	}			cases[] = {
		{100, 4, 100, ERRCODE_UNDEFINED_OBJECT}, {100, 0, 100, ERRCODE_UNDEFINED_OBJECT}, {0, 4, 100, ERRCODE_UNDEFINED_OBJECT},
		{800, 1, 800, ERRCODE_INVALID_CATALOG_NAME}, {8, 49, 8, ERRCODE_INSUFFICIENT_RESOURCES}, {0, 49, 8, ERRCODE_INSUFFICIENT_RESOURCES},
		{0, 25, 700, ERRCODE_EXTERNAL_ROUTINE_EXCEPTION}, {0, 5, 1100, ERRCODE_EXTERNAL_ROUTINE_EXCEPTION}, {0, 48, 9, ERRCODE_INSUFFICIENT_RESOURCES},
		{0, 56, 1, ERRCODE_EXTERNAL_ROUTINE_EXCEPTION}, {0, 62, 109, ERRCODE_EXTERNAL_ROUTINE_EXCEPTION}, {0, 1, 65535, ERRCODE_EXTERNAL_ROUTINE_EXCEPTION},
		{1, 0, 1, ERRCODE_EXTERNAL_ROUTINE_EXCEPTION}, {-1, 0, -1, ERRCODE_EXTERNAL_ROUTINE_EXCEPTION}, {1401, 0, 1401, ERRCODE_INSUFFICIENT_PRIVILEGE},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		GrpcFailure *failure;

		BeginReply();
		WriteVarintField(&given, 1, (uint64) cases[i].legacy);
		WriteTextField(&given, 2, "its words");
		WriteVarintField(&given, 3, (uint64) (int64) cases[i].code);
		failure = MilvusDropCollection(NULL, "c");
		CHECK(failure != NULL && failure->milvus_code == cases[i].expected && failure->sqlstate == cases[i].sqlstate &&
			  strcmp(failure->detail, psprintf("its words (code %d)", cases[i].expected)) == 0, "%zu: %s", i, DetailOf(failure));
	}
	BeginReply();
	CHECK(MilvusDropCollection(NULL, "c") == NULL, "an empty Status is success");
	/* words that are long, end within a character, and have what cannot be shown */
	WriteVarintField(&given, 3, 1);
	WriteTextField(&given, 2, psprintf("%02047d\xc3\xa9", 0));
	CHECK(strlen(DetailOf(MilvusDropCollection(NULL, "c"))) == 2047 + strlen(" (code 1)"), "too long");
	BeginReply();
	WriteVarintField(&given, 3, 1);
	WriteBytesField(&given, 2, "a\0b\xff", 4);
	CHECK(strcmp(DetailOf(MilvusDropCollection(NULL, "c")), "a?b? (code 1)") == 0, "not shown as it should be");
}

/* The server has no room at first. */
static int	refusals;

static GrpcFailure *
GiveLater(const char *method, StringInfo request, StringInfo reply)
{
	BeginReply();
	if (refusals-- > 0)
		WriteVarintField(&given, 3, MILVUS_RATE_LIMIT);
	return Give(method, request, reply);
}

/*
 * What the server has no room for is asked again, for as long as one request may
 * take. MilvusSleep() takes no time here: so the begin is put back.
 */
static void
AskAgain(void)
{
	GrpcFailure failure = {.milvus_code = MILVUS_RATE_LIMIT};
	MilvusRetry retry = {0};
	int			n = 0;

	CHECK(!WaitToRetry(NULL, &failure, &retry) && standin_slept == 0, "slept %ld ms of 0", standin_slept);
	standin_endpoint.request_timeout = 60000;
	retry.attempts = 0;
	for (long slept = 0; n < 1000 && WaitToRetry(NULL, &failure, &retry); n++)
	{
		CHECK(standin_slept > slept && standin_slept - slept <= 2000, "slept %ld ms", standin_slept - slept);
		retry.begin.tv_sec -= standin_slept / 1000 - slept / 1000;
		slept = standin_slept;
	}
	CHECK(n > 0 && standin_slept <= 61000, "%d times, slept %ld ms", n, standin_slept);
	failure.milvus_code = 1;
	retry.attempts = 0;
	CHECK(!WaitToRetry(NULL, &failure, &retry) && !WaitToRetry(NULL, NULL, &retry), "asked again");

	standin_transport = GiveLater;
	refusals = 3;
	CHECK(MilvusDropCollection(NULL, "c") == NULL && refusals == -1, "%d refusals left", refusals);
	standin_transport = Give;
	standin_endpoint.request_timeout = 0;
}

static void
ReadWrongCounts(void)
{
	int64		count;

	BeginReply();
	WriteVarintField(&given, 6, 2);
	CHECK(IsProblem(MilvusInsert(NULL, &good_rows, &some_written), "2 of 1"), "a wrong count");
	BeginReply();
	WriteVarintField(&given, 6, 1);
	WriteTextField(&given, 4, "\x01");
	CHECK(IsProblem(MilvusInsert(NULL, &good_rows, &some_written), "refused"), "refused rows");
	BeginReply();
	WriteVarintField(&given, 7, (uint64) -1);
	CHECK(IsProblem(MilvusDelete(NULL, "c", "x", &some_written), "negative"), "a negative count");
	BeginReply();
	CHECK(IsProblem(MilvusCount(NULL, "c", MILVUS_STRONG, 0, &count), "no count"), "no count");
	appendBinaryStringInfo(&given, "\x12\x0e\x12\x08" "count(*)\x1a\x02\x1a\0", 16);
	CHECK(IsProblem(MilvusCount(NULL, "c", MILVUS_STRONG, 0, &count), "no count"), "an empty count");
	BeginReply();
	appendBinaryStringInfo(&given, "\x12\x11\x12\x08" "count(*)\x1a\x05\x1a\x03\x0a\x01\0", 19);
	CHECK(MilvusCount(NULL, "c", MILVUS_STRONG, 0, &count) == NULL && count == 0, "no rows");
}

static void
ReadWrongCollections(void)
{
	static const char *const dims[] = {"0", "-1", "", "4x", "99999999999"};
	MilvusCollection collection;
	int			percent;

	BeginReply();
	CHECK(IsProblem(MilvusDescribeCollection(NULL, "c", &collection), "no schema"), "no schema");
	for (size_t i = 0; i < lengthof(dims); i++)
	{
		int			pair = 5 + 2 + (int) strlen(dims[i]);	/* Schema {4 Field {6 Pair}} */

		BeginReply();
		WriteBytesHead(&given, 2, BytesFieldSize(4, BytesFieldSize(6, pair)));
		WriteBytesHead(&given, 4, BytesFieldSize(6, pair));
		WriteBytesHead(&given, 6, pair);
		WriteTextField(&given, 1, "dim");
		WriteBytesField(&given, 2, dims[i], strlen(dims[i]));
		CHECK(IsProblem(MilvusDescribeCollection(NULL, "c", &collection), "is no number"), "dim %s", dims[i]);
	}
	for (int i = -1; i <= 101; i += 102)
	{
		BeginReply();
		WriteVarintField(&given, 2, (uint64) i);
		CHECK(IsProblem(MilvusLoadingProgress(NULL, "c", &percent), "percentage"), "%d", i);
	}
}

static void
ReadWrongStatistics(void)
{
	static const char *const counts[] = {"", "-1", "4x", " 4", "9999999999999999999"};
	int64		count = -1;

	BeginReply();
	CHECK(IsProblem(MilvusCountFlushed(NULL, "c", &count), "no number of rows"), "no statistics");
	for (size_t i = 0; i < lengthof(counts) + 1; i++)
	{
		const char *value = i < lengthof(counts) ? counts[i] : "17";

		BeginReply();
		WriteBytesHead(&given, 2, BytesFieldSize(1, strlen("row_count")) + BytesFieldSize(2, strlen(value)));
		WriteTextField(&given, 1, "row_count");
		WriteBytesField(&given, 2, value, strlen(value));
		if (i < lengthof(counts))
			CHECK(IsProblem(MilvusCountFlushed(NULL, "c", &count), "number of rows is none"), "row_count %s", value);
	}
	CHECK(MilvusCountFlushed(NULL, "c", &count) == NULL && count == 17, "17 rows");
}

/* As milvus-lite 2: Connect says nothing, and GetVersion is not known. */
static GrpcFailure *
GiveLite2(const char *method, StringInfo request, StringInfo reply)
{
	GrpcFailure *failure = palloc0(sizeof(GrpcFailure));

	GiveReply(reply, NULL, 0);
	failure->grpc_status = GRPC_UNIMPLEMENTED;
	return strcmp(method, "GetVersion") == 0 ? failure : NULL;
}

/* As milvus-lite 3: Connect says no number. */
static GrpcFailure *
GiveLite3(const char *method, StringInfo request, StringInfo reply)
{
	if (strcmp(method, "GetVersion") == 0)
		GiveReply(reply, "\x12\x11" "milvus_lite-3.2.2", 19);
	else
		GiveReply(reply, "\x12\x0d\x0a\x0b" "milvus_lite", 15);
	return NULL;
}

static void
RecogniseServers(void)
{
	MilvusServer server;

	standin_transport = GiveLite2;
	CHECK(MilvusConnect(NULL, &server) == NULL && server.is_lite && server.is_lite2 &&
		  strcmp(server.version, "milvus-lite 2.x") == 0, "milvus-lite 2");
	standin_transport = GiveLite3;
	CHECK(MilvusConnect(NULL, &server) == NULL && server.is_lite && !server.is_lite2 &&
		  strcmp(server.version, "milvus_lite-3.2.2") == 0, "milvus-lite 3");
	standin_transport = Give;
	BeginReply();
	appendBinaryStringInfo(&given, "\x12\x0d\x0a\x0b" "v2.3.5-lite", 15);
	CHECK(MilvusConnect(NULL, &server) == NULL && !server.is_lite && !server.is_lite2, "Milvus 2.3.5");
}

/*
 * 16 million names of 2 bytes each would be gigabytes.
 */
static void
ReadTooMuch(void)
{
	int			n;
	char	  **names;

	BeginReply();
	enlargeStringInfo(&given, 40 * 1024 * 1024);
	for (given.len = 0; given.len < 30 * 1024 * 1024; given.len += 2)
		memcpy(given.data + given.len, "\x12", 2);
	CHECK(IsProblem(MilvusListDatabases(NULL, &n, &names), "too large"), "many names");
	given.len = 33 * 1024 * 1024;
	memset(given.data, 0, given.len);
	CHECK(IsProblem(MilvusListDatabases(NULL, &n, &names), "too large"), "a large reply");
	ForgetMemory();
}

/* ---------- real replies ---------- */

typedef struct Recorded
{
	char		name[64];
	InputHead	head;
	uint8		bytes[16384];
	int			length;
} Recorded;

static bool
ReadRecorded(FILE *file, Recorded *recorded)
{
	static char hex[2 * sizeof(recorded->bytes)];
	uint8		all[sizeof(recorded->bytes)];
	int			n;

	if (fscanf(file, "%63s %32767s", recorded->name, hex) != 2)
		return false;
	n = (int) strlen(hex) / 2;
	for (int i = 0; i < n; i++)
	{
		unsigned int byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			abort();
		all[i] = (uint8) byte;
	}
	memcpy(&recorded->head, all, sizeof(InputHead));
	recorded->length = n - (int) sizeof(InputHead);
	memcpy(recorded->bytes, all + sizeof(InputHead), recorded->length);
	return true;
}

static GrpcFailure *
RunRecorded(const Recorded *recorded, const uint8 *bytes, int length)
{
	Subject		subject = {.collection = recorded->head.numbers ? "of_numbers" : "of_texts",.expression = "pk in [\"1\"]"};
	Outcome		outcome;

	given.data = palloc(Max(length, 1));
	if (length > 0)
		memcpy(given.data, bytes, length);
	given.len = length;
	return RunCall(&recorded->head, &subject, &outcome);
}

/* Failures that were recorded: of things that are not there, and of milvus-lite. */
static bool
IsFailure(const char *name)
{
	return (strstr(name, "-missing") && !strstr(name, "has-missing")) || strstr(name, "create-again") ||
		strstr(name, "-early") || strstr(name, "lite-2.5.1-upsert") || strstr(name, "lite-2.5.1-delete") ||
		strstr(name, "lite-2.5.1-create-index");
}

static void
ReadReal(const char *path)
{
	FILE	   *file = fopen(path, "r");
	Recorded	recorded;
	int			n = 0;

	if (file == NULL)
		abort();
	for (; ReadRecorded(file, &recorded); n++)
	{
		GrpcFailure *failure = RunRecorded(&recorded, recorded.bytes, recorded.length);

		if (failure != NULL)
			CHECK(IsFailure(recorded.name) && failure->milvus_code != 0, "%s: %s", recorded.name, failure->detail);
		ForgetMemory();
		for (int i = 0; i < recorded.length; i++)
		{
			(void) RunRecorded(&recorded, recorded.bytes, i);
			ForgetMemory();
		}
		for (int i = 0; i < 300 && recorded.length > 0; i++)
		{
			uint8		damaged[sizeof(recorded.bytes)];

			memcpy(damaged, recorded.bytes, recorded.length);
			for (int j = 1 + Random(3); j > 0; j--)
				damaged[Random(recorded.length)] = Random(2) ? (uint8) Random(256) :
					recorded.bytes[Random(recorded.length)] + 1;
			(void) RunRecorded(&recorded, damaged, recorded.length);
			ForgetMemory();
		}
	}
	CHECK(n >= 100, "%d replies only", n);
	fclose(file);
}

int
main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	random_state = strtoul(argv[2], NULL, 10);
	standin_transport = Give;
	CompareInserts();
	CompareSearches();
	CompareQueries();
	CompareTexts();
	ChooseLevels();
	CutLists();
	RefuseRequests();
	SendNothing();
	ReadStatuses();
	AskAgain();
	ReadWrongHits();
	ReadWrongLists();
	ReadLongKeys();
	ReadWrongEntries();
	ReadWrongCounts();
	ReadWrongCollections();
	ReadWrongStatistics();
	RecogniseServers();
	ReadTooMuch();
	ReadReal(argv[1]);
	printf(failed ? "not ok: seed %s\n" : "ok: seed %s\n", argv[2]);
	return failed != 0;
}
