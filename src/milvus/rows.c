/*
 * rows.c
 *		Writing to a collection: Insert, Upsert and Delete.
 *
 * Vectors are copied once, from where they are into the request's body, whose size
 * is known before. Rows go as columns:
 *
 *	InsertRequest	{3 collection, 5 FieldData of each column, 7 number of rows}
 *	FieldData		{1 type, 2 name, 3 ScalarField or 4 VectorField}
 *	ScalarField		{3 {1 int64s} or 6 {1 strings}}
 *	VectorField		{1 dim, 2 {1 floats}}
 */
#include "postgres.h"

#include "milvus/messages.h"
#include "milvus/retry.h"
#include "milvus/status.h"
#include "milvus/texts.h"
#include "milvus/wire.h"

/* ---------- sizes ---------- */

/* How long each part of the request is, without its head. */
typedef struct RowsLayout
{
	const char *collection;
	const char *key_field;
	const char *vector_field;
	const char *text_field;
	const char **texts;			/* in UTF-8 */
	Size		keys;			/* what is within the innermost of a column */
	Size		key_array;
	Size		scalar;			/* a ScalarField */
	Size		key_column;		/* FieldData */
	Size		text_column;
	Size		floats;
	Size		float_array;
	Size		vector;			/* a VectorField */
	Size		vector_column;
	Size		total;
} RowsLayout;

static void
CheckRows(const MilvusRows *rows)
{
	if (rows->n < 0 || rows->dim < 1 || rows->dim > MILVUS_MAX_DIM)
		elog(ERROR, "%d rows of dimension %d for a Milvus server", rows->n, rows->dim);
	if ((rows->texts == NULL) == (rows->numbers == NULL) || (rows->text_field != NULL && rows->texts == NULL))
		elog(ERROR, "rows for a Milvus server have no keys of one kind");
}

static Size
SizeOfTexts(const MilvusRows *rows, RowsLayout *layout)
{
	Size		size = 0;

	layout->texts = palloc(sizeof(char *) * rows->n);
	for (int i = 0; i < rows->n; i++)
	{
		Size		length;

		layout->texts[i] = TextToServer(rows->texts[i]);
		length = strlen(layout->texts[i]);
		if (length > MILVUS_MAX_TEXT)
			elog(ERROR, "a key of %zu bytes for a Milvus server", length);
		size += BytesFieldSize(1, length);
	}
	return size;
}

static Size
SizeOfNumbers(const MilvusRows *rows)
{
	Size		size = 0;

	for (int i = 0; i < rows->n; i++)
		size += VarintSize((uint64) rows->numbers[i]);
	return size;
}

static void
LayOutRows(const MilvusRows *rows, RowsLayout *layout)
{
	bool		texts = rows->texts != NULL;
	int			type = texts ? MILVUS_VARCHAR : MILVUS_INT64;

	memset(layout, 0, sizeof(RowsLayout));
	layout->collection = TextToServer(rows->collection);
	layout->key_field = TextToServer(rows->key_field);
	layout->vector_field = TextToServer(rows->vector_field);
	layout->keys = texts ? SizeOfTexts(rows, layout) : SizeOfNumbers(rows);
	layout->key_array = texts ? layout->keys : BytesFieldSize(1, layout->keys);
	layout->scalar = BytesFieldSize(texts ? 6 : 3, layout->key_array);
	layout->key_column = VarintFieldSize(1, type) + TextFieldSize(2, layout->key_field) +
		BytesFieldSize(3, layout->scalar);
	layout->floats = (Size) rows->n * rows->dim * sizeof(float);
	layout->float_array = BytesFieldSize(1, layout->floats);
	layout->vector = VarintFieldSize(1, rows->dim) + BytesFieldSize(2, layout->float_array);
	layout->vector_column = VarintFieldSize(1, MILVUS_FLOAT_VECTOR) +
		TextFieldSize(2, layout->vector_field) + BytesFieldSize(4, layout->vector);
	layout->total = TextFieldSize(3, layout->collection) + BytesFieldSize(5, layout->key_column) +
		BytesFieldSize(5, layout->vector_column) + VarintFieldSize(7, rows->n);
	if (rows->text_field != NULL)
	{
		layout->text_field = TextToServer(rows->text_field);
		layout->text_column = VarintFieldSize(1, type) + TextFieldSize(2, layout->text_field) +
			BytesFieldSize(3, layout->scalar);
		layout->total += BytesFieldSize(5, layout->text_column);
	}
}

/*
 * What TextToServer() returned for a key is the key or a copy.
 */
static void
FreeLayout(const MilvusRows *rows, RowsLayout *layout)
{
	if (layout->texts == NULL)
		return;
	for (int i = 0; i < rows->n; i++)
		if (layout->texts[i] != rows->texts[i])
			pfree(unconstify(char *, layout->texts[i]));
	pfree(layout->texts);
}

Size
MilvusRowsSize(const MilvusRows *rows)
{
	RowsLayout	layout;

	CheckRows(rows);
	LayOutRows(rows, &layout);
	FreeLayout(rows, &layout);
	return layout.total;
}

/* ---------- writing ---------- */

static void
WriteColumnHead(StringInfo out, Size column, int type, const char *name)
{
	WriteBytesHead(out, 5, column);
	WriteVarintField(out, 1, type);
	WriteTextField(out, 2, name);
}

/*
 * The keys' column, and once more the same as another.
 */
static void
WriteTextColumns(StringInfo out, const MilvusRows *rows, const RowsLayout *layout)
{
	int			first;

	WriteColumnHead(out, layout->key_column, MILVUS_VARCHAR, layout->key_field);
	first = out->len;
	WriteBytesHead(out, 3, layout->scalar);
	WriteBytesHead(out, 6, layout->key_array);
	for (int i = 0; i < rows->n; i++)
		WriteBytesField(out, 1, layout->texts[i], strlen(layout->texts[i]));
	if (layout->text_field != NULL)
	{
		int			length = out->len - first;

		WriteColumnHead(out, layout->text_column, MILVUS_VARCHAR, layout->text_field);
		enlargeStringInfo(out, length);	/* not within, where it would move what is copied */
		appendBinaryStringInfo(out, out->data + first, length);
	}
}

static void
WriteNumberColumn(StringInfo out, const MilvusRows *rows, const RowsLayout *layout)
{
	WriteColumnHead(out, layout->key_column, MILVUS_INT64, layout->key_field);
	WriteBytesHead(out, 3, layout->scalar);
	WriteBytesHead(out, 3, layout->key_array);
	WriteBytesHead(out, 1, layout->keys);
	for (int i = 0; i < rows->n; i++)
		WriteVarint(out, (uint64) rows->numbers[i]);
}

/*
 * Row by row, so that what WriteFloats() has checked is in the cache when copied.
 */
static void
WriteVectorColumn(StringInfo out, const MilvusRows *rows, const RowsLayout *layout)
{
	WriteColumnHead(out, layout->vector_column, MILVUS_FLOAT_VECTOR, layout->vector_field);
	WriteBytesHead(out, 4, layout->vector);
	WriteVarintField(out, 1, rows->dim);
	WriteBytesHead(out, 2, layout->float_array);
	WriteBytesHead(out, 1, layout->floats);
	for (int i = 0; i < rows->n; i++)
		WriteFloats(out, rows->vectors + (Size) i * rows->dim, rows->dim);
}

static void
WriteRows(StringInfo out, const MilvusRows *rows)
{
	RowsLayout	layout;
	int			before = out->len;

	CheckRows(rows);
	LayOutRows(rows, &layout);
	if (layout.total > GRPC_MAX_REQUEST)
		elog(ERROR, "rows of %zu bytes for a Milvus server", layout.total);
	enlargeStringInfo(out, (int) layout.total);
	WriteTextField(out, 3, layout.collection);
	if (rows->texts != NULL)
		WriteTextColumns(out, rows, &layout);
	else
		WriteNumberColumn(out, rows, &layout);
	WriteVectorColumn(out, rows, &layout);
	WriteVarintField(out, 7, rows->n);
	if ((Size) (out->len - before) != layout.total)
		elog(ERROR, "a request of %d bytes instead of %zu for a Milvus server", out->len - before,
			 layout.total);
	FreeLayout(rows, &layout);
}

/* ---------- the reply ---------- */

/* MutationResult: 1 status, 4 rows not taken, 6 to 8 counts, 9 timestamp */
#define INSERTED 6
#define DELETED 7
#define UPSERTED 8

static Problem
ReadWritten(const StringInfoData *reply, int which, MilvusStatus *status, MilvusWritten *written)
{
	WireReader	reader;
	WireField	field;
	Problem		problem = NULL;
	bool		refused = false;

	memset(written, 0, sizeof(MilvusWritten));
	InitWireReader(&reader, reply->data, reply->len);
	while (problem == NULL && ReadField(&reader, &field))
	{
		if (field.number == 1 && IsOfType(&reader, &field, WIRE_BYTES))
			problem = ReadStatus(field.bytes, field.length, status);
		else if (field.number == 4)
			refused = field.type != WIRE_BYTES || field.length > 0;
		else if (field.number == which && IsOfType(&reader, &field, WIRE_VARINT))
			written->count = (int64) field.value;
		else if (field.number == 9 && IsOfType(&reader, &field, WIRE_VARINT))
			written->timestamp = field.value;
	}
	if (reader.bad)
		return "The message is damaged.";
	if (problem != NULL || status->code != 0)
		return problem;
	if (refused)
		return "It says that rows were refused.";
	return written->count < 0 ? "A number of rows is negative." : NULL;
}

static GrpcFailure *
CallToWrite(GrpcConnection *c, const char *method, GrpcRepeat repeat, StringInfo request, int which,
			int64 expected, MilvusWritten *written)
{
	MilvusRetry retry = {0};
	GrpcFailure *failure;

	do
	{
		MilvusStatus status = {0};
		StringInfoData reply;
		Problem		problem;

		failure = GrpcCall(c, method, request, repeat, &reply);
		if (failure)
			break;
		problem = ReadWritten(&reply, which, &status, written);
		if (problem == NULL && status.code == 0 && expected >= 0 && written->count != expected)
			problem = psprintf("It counts " INT64_FORMAT " of " INT64_FORMAT " rows.",
							   written->count, expected);
		failure = ReplyFailure(c, method, problem, &status);
		pfree(reply.data);
	} while (WaitToRetry(c, failure, &retry));
	pfree(request->data);
	return failure;
}

static GrpcFailure *
WriteToCollection(GrpcConnection *c, const char *method, GrpcRepeat repeat, const MilvusRows *rows,
				  int which, MilvusWritten *written)
{
	StringInfoData request;

	memset(written, 0, sizeof(MilvusWritten));
	if (rows->n == 0)
		return NULL;
	GrpcBeginRequest(&request);
	WriteRows(&request, rows);
	return CallToWrite(c, method, repeat, &request, which, rows->n, written);
}

/*
 * Servers keep both of two rows with one key.
 */
GrpcFailure *
MilvusInsert(GrpcConnection *c, const MilvusRows *rows, MilvusWritten *written)
{
	return WriteToCollection(c, "Insert", GRPC_ONCE, rows, INSERTED, written);
}

/*
 * They do so for two rows of one request here too; the caller has no such rows.
 */
GrpcFailure *
MilvusUpsert(GrpcConnection *c, const MilvusRows *rows, MilvusWritten *written)
{
	return WriteToCollection(c, "Upsert", GRPC_REPEATABLE, rows, UPSERTED, written);
}

/*
 * An empty expression would delete every row of milvus-lite 3. The count is of the
 * keys asked for or of the rows found, by server; there is no timestamp.
 */
GrpcFailure *
MilvusDelete(GrpcConnection *c, const char *collection, const char *expression, MilvusWritten *written)
{
	StringInfoData request;

	memset(written, 0, sizeof(MilvusWritten));
	if (expression == NULL)
		return NULL;
	RequireExpression(expression);
	GrpcBeginRequest(&request);
	WriteTextField(&request, 3, TextToServer(collection));
	WriteTextField(&request, 5, TextToServer(expression));
	if (request.len > GRPC_MAX_REQUEST)
		elog(ERROR, "a request of %d bytes to a Milvus server", request.len);
	return CallToWrite(c, "Delete", GRPC_REPEATABLE, &request, DELETED, -1, written);
}
