/*
 * results.c
 *		Reading from a collection: Search and Query, and what they answer.
 *
 * A reply is believed as far as it is what was asked for: so many queries, so many
 * hits of each, one key and one score a hit, vectors of the dimension.
 *
 *	SearchRequest	{3 collection, 5 expression, 6 PlaceholderGroup, 7 dsl type,
 *					 9 pairs, 11 timestamp, 12 number of queries, 14 level}
 *	SearchResults	{1 status, 2 {1 number of queries, 4 scores, 5 IDs, 6 hits of each}}
 *	IDs				{1 {1 int64s} or 2 {1 strings}}
 *	QueryRequest	{3 collection, 4 expression, 5 fields, 8 timestamp, 9 pairs, 11 level}
 *	QueryResults	{1 status, 2 FieldData of each column}; see rows.c
 */
#include "postgres.h"

#include <math.h>

#include "milvus/arrays.h"
#include "milvus/messages.h"
#include "milvus/status.h"
#include "milvus/texts.h"
#include "milvus/wire.h"

/* Rows of a reply when the caller did not say: 4 bytes a row in 16 MB. */
#define MAX_ROWS (4 * 1024 * 1024)

static const Problem damaged = "The message is damaged.";

/* ---------- what is sent ---------- */

static void
WritePair(StringInfo out, int field, const char *key, const char *value)
{
	WriteBytesHead(out, field, TextFieldSize(1, key) + TextFieldSize(2, value));
	WriteTextField(out, 1, key);
	WriteTextField(out, 2, value);
}

/*
 * Strong is 0, and with a timestamp servers would take it for a level of old.
 */
static uint64
TimestampOfLevel(int level, uint64 timestamp)
{
	return level == MILVUS_SESSION || level == MILVUS_CUSTOMIZED ? timestamp : 0;
}

/*
 * PlaceholderGroup {1 {1 "$0", 2 type, 3 bytes of each query}}
 */
static void
WriteQueries(StringInfo out, const MilvusSearch *search)
{
	Size		floats = (Size) search->dim * sizeof(float);
	Size		values = TextFieldSize(1, "$0") + VarintFieldSize(2, MILVUS_FLOAT_VECTOR) +
		search->n_queries * BytesFieldSize(3, floats);

	WriteBytesHead(out, 6, BytesFieldSize(1, values));
	WriteBytesHead(out, 1, values);
	WriteTextField(out, 1, "$0");
	WriteVarintField(out, 2, MILVUS_FLOAT_VECTOR);
	for (int i = 0; i < search->n_queries; i++)
	{
		WriteBytesHead(out, 3, floats);
		WriteFloats(out, search->queries + (Size) i * search->dim, search->dim);
	}
}

/* DslType of milvus-proto: the expression is one */
#define BOOL_EXPRESSION 1

static void
WriteSearch(StringInfo out, const MilvusSearch *search)
{
	char		k[12];

	if (search->k < 1 || search->k > MILVUS_MAX_K || search->dim < 1 || search->dim > MILVUS_MAX_DIM ||
		search->n_queries < 1 || search->n_queries > MILVUS_MAX_QUERIES ||
		(Size) search->n_queries * search->dim * sizeof(float) > GRPC_MAX_REQUEST)
		elog(ERROR, "%d queries of dimension %d for %d each to a Milvus server", search->n_queries,
			 search->dim, search->k);
	snprintf(k, sizeof(k), "%d", search->k);
	WriteTextField(out, 3, TextToServer(search->collection));
	if (search->expression != NULL)
	{
		RequireExpression(search->expression);
		WriteTextField(out, 5, TextToServer(search->expression));
	}
	WriteQueries(out, search);
	WriteVarintField(out, 7, BOOL_EXPRESSION);
	WritePair(out, 9, "anns_field", TextToServer(search->vector_field));
	WritePair(out, 9, "topk", k);
	WritePair(out, 9, "params", TextToServer(search->params));
	WritePair(out, 9, "metric_type", TextToServer(search->metric));
	WritePair(out, 9, "round_decimal", "-1");
	WriteVarintField(out, 11, TimestampOfLevel(search->level, search->guarantee_timestamp));
	WriteVarintField(out, 12, search->n_queries);
	WriteVarintField(out, 14, search->level);
}

static void
WriteQuery(StringInfo out, const MilvusQuery *query)
{
	WriteTextField(out, 3, TextToServer(query->collection));
	if (query->expression != NULL)
		WriteTextField(out, 4, TextToServer(query->expression));
	WriteTextField(out, 5, TextToServer(query->key_field));
	if (query->vector_field != NULL)
		WriteTextField(out, 5, TextToServer(query->vector_field));
	WriteVarintField(out, 8, TimestampOfLevel(query->level, query->guarantee_timestamp));
	if (query->limit > 0)
	{
		char		limit[24];

		snprintf(limit, sizeof(limit), INT64_FORMAT, query->limit);
		WritePair(out, 9, "limit", limit);
	}
	WriteVarintField(out, 11, query->level);
}

/*
 * A call whose reply the caller reads.
 */
static GrpcFailure *
CallToRead(GrpcConnection *c, const char *method, StringInfo request, StringInfo reply)
{
	GrpcFailure *failure;

	if (request->len > GRPC_MAX_REQUEST)
		elog(ERROR, "a request of %d bytes to a Milvus server", request->len);
	failure = GrpcCall(c, method, request, GRPC_REPEATABLE, reply);
	pfree(request->data);
	return failure;
}

/* ---------- hits ---------- */

/* SearchResultData as it is read, twice: to count, and to take. */
typedef struct HitsReader
{
	const MilvusSearch *search;
	int		   *counts;			/* n_queries */
	int			n_counts;
	Size		total;			/* of counts */
	uint64		n_queries;		/* as the server says */
	Size		n_scores;
	float	   *scores;			/* NULL when counting */
	Part		ids;
} HitsReader;

static void
TakeCount(WireReader *reader, HitsReader *hits, uint64 count)
{
	if (hits->n_counts >= hits->search->n_queries || count > (uint64) hits->search->k)
	{
		reader->bad = true;
		return;
	}
	hits->counts[hits->n_counts++] = (int) count;
	hits->total += (Size) count;
}

static void
TakeCounts(WireReader *reader, const WireField *field, HitsReader *hits)
{
	WireReader	packed;
	uint64		count;

	if (field->type == WIRE_VARINT)
	{
		TakeCount(reader, hits, field->value);
		return;
	}
	if (!IsOfType(reader, field, WIRE_BYTES))
		return;
	InitWireReader(&packed, field->bytes, field->length);
	while (ReadPackedVarint(&packed, &count))
		TakeCount(&packed, hits, count);
	reader->bad = packed.bad;
}

static bool
ReadHitsOnce(const Part *data, HitsReader *hits)
{
	WireReader	reader;
	WireField	field;

	hits->n_counts = 0;
	hits->total = hits->n_scores = hits->n_queries = 0;
	hits->ids = (Part) {NULL, 0};
	InitWireReader(&reader, data->bytes, data->length);
	while (!reader.bad && ReadField(&reader, &field))
		switch (field.number)
		{
			case 1:
				if (IsOfType(&reader, &field, WIRE_VARINT))
					hits->n_queries = field.value;
				break;
			case 4:
				TakeFloats(&reader, &field, hits->scores, &hits->n_scores);
				break;
			case 5:
				TakePart(&reader, &field, &hits->ids);
				break;
			case 6:
				TakeCounts(&reader, &field, hits);
				break;
		}
	return !reader.bad;
}

/*
 * Servers that found nothing at all still say so for each query.
 */
static Problem
ReadHits(const Part *data, const MilvusSearch *search, MilvusHits *hits)
{
	HitsReader	reader = {.search = search};
	Problem		problem;

	memset(hits, 0, sizeof(MilvusHits));
	hits->n_queries = search->n_queries;
	hits->counts = reader.counts = palloc0(sizeof(int) * search->n_queries);
	if (!ReadHitsOnce(data, &reader))
		return "The hits are damaged, or more than were asked for.";
	if (reader.n_counts != search->n_queries || reader.n_queries != (uint64) search->n_queries)
		return "The hits are not those of as many queries.";
	if (reader.n_scores != reader.total)
		return "There are not as many scores as hits.";
	problem = ReadKeys(&reader.ids, 1, 2, reader.total, &hits->keys);
	if (problem != NULL)
		return problem;
	if ((Size) hits->keys.n != reader.total)
		return "There are not as many keys as hits.";
	hits->scores = reader.scores = palloc(sizeof(float) * Max(reader.total, 1));
	ReadHitsOnce(data, &reader);
	for (Size i = 0; i < reader.total; i++)
		if (!isfinite(hits->scores[i]))
			return "A score is not finite.";
	return NULL;
}

static Problem
ReadSearchReply(const StringInfoData *reply, const MilvusSearch *search, MilvusStatus *status,
				MilvusHits *hits)
{
	WireReader	reader;
	WireField	field;
	Part		data = {NULL, 0};
	Problem		problem = NULL;

	InitWireReader(&reader, reply->data, reply->len);
	while (problem == NULL && ReadField(&reader, &field))
	{
		if (field.number == 1 && IsOfType(&reader, &field, WIRE_BYTES))
			problem = ReadStatus(field.bytes, field.length, status);
		else if (field.number == 2)
			TakePart(&reader, &field, &data);
	}
	if (reader.bad)
		return damaged;
	if (problem != NULL || status->code != 0)
		return problem;
	return ReadHits(&data, search, hits);
}

GrpcFailure *
MilvusRunSearch(GrpcConnection *c, const MilvusSearch *search, MilvusHits *hits)
{
	MilvusStatus status = {0};
	StringInfoData request;
	StringInfoData reply;
	GrpcFailure *failure;

	GrpcBeginRequest(&request);
	WriteSearch(&request, search);
	failure = CallToRead(c, "Search", &request, &reply);
	if (failure == NULL)
	{
		Problem		problem = ReadSearchReply(&reply, search, &status, hits);

		failure = ReplyFailure(c, "Search", problem, &status);
		pfree(reply.data);
	}
	return failure;
}

/* ---------- entries ---------- */

/* A column of a query's results. */
typedef struct Column
{
	const char *name;			/* as sent; NULL: none is asked for */
	Part		scalars;
	Part		vectors;
	bool		found;
} Column;

static bool
NameIs(const Part *name, const char *wanted)
{
	return wanted != NULL && name->length == strlen(wanted) && memcmp(name->bytes, wanted, name->length) == 0;
}

/*
 * FieldData: keep what is in it in the column of its name, if that is asked for.
 */
static bool
ReadColumn(const WireField *message, int n_columns, Column *columns)
{
	WireReader	reader;
	WireField	field;
	Part		name = {NULL, 0};
	Column		column = {.found = true};

	InitWireReader(&reader, message->bytes, message->length);
	while (ReadField(&reader, &field))
	{
		if (field.number == 2)
			TakePart(&reader, &field, &name);
		else if (field.number == 3)
			TakePart(&reader, &field, &column.scalars);
		else if (field.number == 4)
			TakePart(&reader, &field, &column.vectors);
	}
	for (int i = 0; i < n_columns && !reader.bad && name.bytes != NULL; i++)
		if (NameIs(&name, columns[i].name))
		{
			if (columns[i].found)
				return false;
			column.name = columns[i].name;
			columns[i] = column;
		}
	return !reader.bad;
}

static Problem
ReadColumns(const StringInfoData *reply, MilvusStatus *status, int n_columns, Column *columns)
{
	WireReader	reader;
	WireField	field;
	Problem		problem = NULL;

	InitWireReader(&reader, reply->data, reply->len);
	while (problem == NULL && ReadField(&reader, &field))
	{
		if (field.number == 1 && IsOfType(&reader, &field, WIRE_BYTES))
			problem = ReadStatus(field.bytes, field.length, status);
		else if (field.number == 2 && IsOfType(&reader, &field, WIRE_BYTES) &&
				 !ReadColumn(&field, n_columns, columns))
			problem = "A column is damaged, or there twice.";
	}
	return reader.bad ? damaged : problem;
}

static bool
ReadFloatArray(const Part *array, float *floats, Size *n)
{
	WireReader	reader;
	WireField	field;

	*n = 0;
	InitWireReader(&reader, array->bytes, array->length);
	while (!reader.bad && ReadField(&reader, &field))
		if (field.number == 1)
			TakeFloats(&reader, &field, floats, n);
	return !reader.bad;
}

/*
 * A VectorField of n vectors.
 */
static Problem
ReadVectors(const Part *message, int n, int dim, float **vectors)
{
	WireReader	reader;
	WireField	field;
	Part		array = {NULL, 0};
	uint64		sent_dim = 0;
	Size		n_floats;

	InitWireReader(&reader, message->bytes, message->length);
	while (ReadField(&reader, &field))
	{
		if (field.number == 1 && IsOfType(&reader, &field, WIRE_VARINT))
			sent_dim = field.value;
		else if (field.number == 2)
			TakePart(&reader, &field, &array);
	}
	if (reader.bad || !ReadFloatArray(&array, NULL, &n_floats))
		return "The vectors are damaged.";
	if (n > 0 && sent_dim != (uint64) dim)
		return psprintf("The vectors have dimension " UINT64_FORMAT " instead of %d.", sent_dim, dim);
	if (n_floats != (Size) n * dim)
		return "There are not as many vectors as keys.";
	*vectors = palloc(sizeof(float) * Max(n_floats, 1));
	ReadFloatArray(&array, *vectors, &n_floats);
	return NULL;
}

static Size
MaxRows(const MilvusQuery *query)
{
	int64		max = query->limit > 0 ? query->limit : MAX_ROWS;

	return (Size) (query->max_rows > 0 ? Min(max, query->max_rows) : max);
}

static Problem
ReadEntries(const StringInfoData *reply, const MilvusQuery *query, MilvusStatus *status,
			MilvusEntries *entries)
{
	Column		columns[2] = {{.name = TextToServer(query->key_field)},
	{.name = query->vector_field ? TextToServer(query->vector_field) : NULL}};
	Problem		problem = ReadColumns(reply, status, 2, columns);

	memset(entries, 0, sizeof(MilvusEntries));
	if (problem != NULL || status->code != 0)
		return problem;
	if (!columns[0].found || (query->vector_field != NULL && !columns[1].found))
		return "A column is not there.";
	problem = ReadKeys(&columns[0].scalars, 3, 6, MaxRows(query), &entries->keys);
	if (problem != NULL)
		return problem;
	if (query->vector_field != NULL)
		problem = ReadVectors(&columns[1].vectors, entries->keys.n, query->dim, &entries->vectors);
	return problem;
}

/*
 * Without a condition and without a limit, which is what KeysExpression() gives for
 * no keys, nothing is asked: milvus-lite 2 fails for an empty list.
 */
GrpcFailure *
MilvusRunQuery(GrpcConnection *c, const MilvusQuery *query, MilvusEntries *entries)
{
	MilvusStatus status = {0};
	StringInfoData request;
	StringInfoData reply;
	GrpcFailure *failure;

	memset(entries, 0, sizeof(MilvusEntries));
	if (query->expression == NULL && query->limit <= 0)
		return NULL;
	if (query->vector_field != NULL && (query->dim < 1 || query->dim > MILVUS_MAX_DIM))
		elog(ERROR, "vectors of dimension %d from a Milvus server", query->dim);
	if (query->expression != NULL)
		RequireExpression(query->expression);
	GrpcBeginRequest(&request);
	WriteQuery(&request, query);
	failure = CallToRead(c, "Query", &request, &reply);
	if (failure == NULL)
	{
		Problem		problem = ReadEntries(&reply, query, &status, entries);

		failure = ReplyFailure(c, "Query", problem, &status);
		pfree(reply.data);
	}
	return failure;
}

/* ---------- counting ---------- */

#define COUNT_COLUMN "count(*)"

static Problem
ReadCount(const StringInfoData *reply, MilvusStatus *status, int64 *count)
{
	Column		column = {.name = COUNT_COLUMN};
	Problem		problem = ReadColumns(reply, status, 1, &column);
	MilvusKeys	numbers;

	if (problem != NULL || status->code != 0)
		return problem;
	problem = ReadKeys(&column.scalars, 3, 6, 1, &numbers);
	if (problem != NULL)
		return problem;
	if (numbers.n != 1 || numbers.numbers == NULL || numbers.numbers[0] < 0)
		return "There is no count.";
	*count = numbers.numbers[0];
	return NULL;
}

/*
 * Rows as the server sees them: two of one key count twice. (The statistics are of
 * flushed rows only, deleted ones included.)
 */
GrpcFailure *
MilvusCount(GrpcConnection *c, const char *collection, int level, uint64 guarantee_timestamp, int64 *count)
{
	MilvusQuery query = {.collection = collection,.key_field = COUNT_COLUMN,.level = level,
	.guarantee_timestamp = guarantee_timestamp};
	MilvusStatus status = {0};
	StringInfoData request;
	StringInfoData reply;
	GrpcFailure *failure;

	GrpcBeginRequest(&request);
	WriteQuery(&request, &query);
	failure = CallToRead(c, "Query", &request, &reply);
	if (failure == NULL)
	{
		Problem		problem = ReadCount(&reply, &status, count);

		failure = ReplyFailure(c, "Query", problem, &status);
		pfree(reply.data);
	}
	return failure;
}
