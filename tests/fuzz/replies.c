/*
 * replies.c
 *		libFuzzer's target for what reads Milvus' replies.
 *
 * An input is an InputHead and a reply, which every call that it makes gets. Each
 * byte of what comes out is looked at; memory is chunks of malloc, so that the
 * sanitizer sees each byte too many.
 */
#include "postgres.h"

#include "milvus/wire.h"

#include "replies.h"

static const uint8 *reply_bytes;
static size_t reply_size;
static volatile uint64 sink;

static GrpcFailure *
Give(const char *method, StringInfo request, StringInfo reply)
{
	GiveReply(reply, reply_bytes, (int) reply_size);
	return NULL;
}

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	Subject		subject = {.collection = "of_texts",.expression = "pk in [\"1\"]"};
	Outcome		outcome;
	InputHead	head;
	GrpcFailure *failure;

	if (size < sizeof(head))
		return 0;
	memcpy(&head, data, sizeof(head));
	/* what the calls refuse, and what takes time and finds nothing */
	head.call %= N_CALLS;
	head.numbers &= 1;
	head.k = Max(head.k % 1024, head.call == CALL_SEARCH);
	head.n = Max(head.n % 128, 1);
	head.dim = Max(head.dim % 128, 1);
	reply_bytes = data + sizeof(head);
	reply_size = size - sizeof(head);
	standin_transport = Give;
	failure = RunCall(&head, &subject, &outcome);
	if (failure != NULL)
		sink += strlen(failure->message) + strlen(failure->detail) + failure->sqlstate;
	sink += outcome.sum;
	ForgetMemory();
	return 0;
}

/* ---------- damage that is worth a try ---------- */

size_t		LLVMFuzzerMutate(uint8 *data, size_t size, size_t max_size);
size_t		LLVMFuzzerCustomMutator(uint8 *data, size_t size, size_t max_size, unsigned int seed);

#define MAX_MUTATED 4096

static void
WriteField(StringInfo out, const WireField *field)
{
	if (field->type == WIRE_BYTES)
	{
		WriteBytesField(out, field->number, field->bytes, field->length);
		return;
	}
	WriteTag(out, field->number, field->type);
	if (field->type == WIRE_VARINT)
		WriteVarint(out, field->value);
	else
		appendBinaryStringInfo(out, (const char *) &field->value, field->type == WIRE_FIXED64 ? 8 : 4);
}

static int
CountFields(const uint8 *bytes, size_t length)
{
	WireReader	reader;
	WireField	field;
	int			n = 0;

	InitWireReader(&reader, bytes, length);
	while (ReadField(&reader, &field))
		n++;
	return reader.bad ? 0 : n;
}

static void
WriteMutatedBytes(StringInfo out, WireField *field)
{
	uint8		bytes[MAX_MUTATED];
	size_t		length = Min(field->length, sizeof(bytes));

	if (length > 0)
		memcpy(bytes, field->bytes, length);
	field->bytes = bytes;
	field->length = LLVMFuzzerMutate(bytes, length, sizeof(bytes));
	WriteField(out, field);
}

static void
WriteMutatedNumber(StringInfo out, WireField *field, unsigned int *seed)
{
	static const uint64 values[] = {0, 1, 2, 3, 127, 128, 16384, PG_INT32_MAX, PG_UINT32_MAX, PG_INT64_MAX, PG_UINT64_MAX};

	field->value = rand_r(seed) % 2 ? values[rand_r(seed) % lengthof(values)] : field->value + rand_r(seed) % 5 - 2;
	WriteField(out, field);
}

/*
 * One field of a message, or of one within, is changed, lost, repeated, or of
 * another number, and the lengths around it are right: else hardly anything of
 * what libFuzzer tries would be looked at.
 */
static void
WriteMutated(StringInfo out, const uint8 *bytes, size_t length, unsigned int *seed)
{
	int			chosen = rand_r(seed) % CountFields(bytes, length);
	WireReader	reader;
	WireField	field;

	InitWireReader(&reader, bytes, length);
	for (int i = 0; ReadField(&reader, &field); i++)
	{
		int			what = rand_r(seed) % 16;

		if (i != chosen)
			WriteField(out, &field);
		else if (field.type == WIRE_BYTES && what > 4 && CountFields(field.bytes, field.length) > 0)
		{
			StringInfoData inner;

			initStringInfo(&inner);
			WriteMutated(&inner, field.bytes, field.length, seed);
			WriteBytesField(out, field.number, inner.data, inner.len);
		}
		else if (what == 0)
			continue;
		else if (what == 1)
		{
			WriteField(out, &field);
			WriteField(out, &field);
		}
		else if (what == 2)
		{
			field.number = 1 + rand_r(seed) % 12;
			WriteField(out, &field);
		}
		else if (field.type == WIRE_BYTES)
			WriteMutatedBytes(out, &field);
		else
			WriteMutatedNumber(out, &field, seed);
	}
}

size_t
LLVMFuzzerCustomMutator(uint8 *data, size_t size, size_t max_size, unsigned int seed)
{
	StringInfoData out;

	if (rand_r(&seed) % 4 == 0 || size < sizeof(InputHead) ||
		CountFields(data + sizeof(InputHead), size - sizeof(InputHead)) == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	initStringInfo(&out);
	WriteMutated(&out, data + sizeof(InputHead), size - sizeof(InputHead), &seed);
	size = Min((size_t) out.len, max_size - sizeof(InputHead));
	memcpy(data + sizeof(InputHead), out.data, size);
	ForgetMemory();
	return sizeof(InputHead) + size;
}
