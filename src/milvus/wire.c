/*
 * wire.c
 *		Protocol Buffers as bytes: writing fields, and reading what may be damaged.
 *
 * Fields are written in the order of the calls; what is zero or empty is not, as
 * proto3 has it. Reading never goes past the end, whatever the bytes are, and
 * takes no memory. Groups, which nobody sends, are damage.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"
#include "utils/memutils.h"

#include "milvus/wire.h"

#define MAX_VARINT 10
#define MAX_FIELD ((1 << 29) - 1)

/* ---------- writing ---------- */

int
VarintSize(uint64 value)
{
	return value == 0 ? 1 : pg_leftmost_one_pos64(value) / 7 + 1;
}

int
TagSize(int field)
{
	return VarintSize((uint64) field << 3);
}

Size
VarintFieldSize(int field, uint64 value)
{
	return value == 0 ? 0 : TagSize(field) + VarintSize(value);
}

Size
BytesFieldSize(int field, Size length)
{
	return TagSize(field) + VarintSize(length) + length;
}

Size
TextFieldSize(int field, const char *text)
{
	return text == NULL || *text == '\0' ? 0 : BytesFieldSize(field, strlen(text));
}

void
WriteVarint(StringInfo out, uint64 value)
{
	enlargeStringInfo(out, MAX_VARINT);
	while (value >= 0x80)
	{
		out->data[out->len++] = (char) (value | 0x80);
		value >>= 7;
	}
	out->data[out->len++] = (char) value;
	out->data[out->len] = '\0';
}

void
WriteTag(StringInfo out, int field, WireType type)
{
	WriteVarint(out, (uint64) field << 3 | type);
}

void
WriteVarintField(StringInfo out, int field, uint64 value)
{
	if (value == 0)
		return;
	WriteTag(out, field, WIRE_VARINT);
	WriteVarint(out, value);
}

void
WriteBytesHead(StringInfo out, int field, Size length)
{
	WriteTag(out, field, WIRE_BYTES);
	WriteVarint(out, length);
}

void
WriteBytesField(StringInfo out, int field, const void *bytes, Size length)
{
	/* enlargeStringInfo() takes an int, and refuses what is near its end. */
	if (length >= MaxAllocSize)
		elog(ERROR, "a field of %zu bytes for a Milvus server", length);
	WriteBytesHead(out, field, length);
	appendBinaryStringInfo(out, bytes, (int) length);
}

void
WriteTextField(StringInfo out, int field, const char *text)
{
	if (text != NULL && *text != '\0')
		WriteBytesField(out, field, text, strlen(text));
}

/*
 * All ones in the exponent: compilers make vectors of this, and not of isfinite().
 */
static bool
AreFinite(const float *floats, int n)
{
	uint32		not_finite = 0;

	for (int i = 0; i < n; i++)
	{
		uint32		bits;

		memcpy(&bits, floats + i, sizeof(bits));
		not_finite |= (bits & 0x7f800000) == 0x7f800000;
	}
	return !not_finite;
}

/*
 * On the wire floats are little-endian. A server that stores a NaN answers wrongly
 * from then on.
 */
void
WriteFloats(StringInfo out, const float *floats, int n)
{
	if (n < 0 || (Size) n >= MaxAllocSize / sizeof(float) || !AreFinite(floats, n))
		elog(ERROR, "%d floats for a Milvus server are too many, or not finite", n);
#ifdef WORDS_BIGENDIAN
	for (int i = 0; i < n; i++)
	{
		uint32		bits;

		memcpy(&bits, floats + i, sizeof(bits));
		bits = pg_bswap32(bits);
		appendBinaryStringInfo(out, (char *) &bits, sizeof(bits));
	}
#else
	appendBinaryStringInfo(out, (const char *) floats, n * (int) sizeof(float));
#endif
}

/* ---------- reading ---------- */

void
InitWireReader(WireReader *reader, const void *bytes, Size length)
{
	reader->at = bytes;
	reader->end = length > 0 ? reader->at + length : reader->at;	/* NULL of protobuf-c */
	reader->bad = false;
}

static bool
Bad(WireReader *reader)
{
	reader->bad = true;
	return false;
}

static bool
ReadVarint(WireReader *reader, uint64 *value)
{
	*value = 0;
	for (int shift = 0; reader->at < reader->end && shift < 7 * MAX_VARINT; shift += 7)
	{
		uint64		byte = *reader->at++;

		/* the tenth has one bit that a number of 64 bits has place for */
		if (shift == 63 && byte > 1)
			break;
		*value |= (byte & 0x7f) << shift;
		if (byte < 0x80)
			return true;
	}
	return Bad(reader);
}

static bool
ReadFixed(WireReader *reader, int size, uint64 *value)
{
	if (reader->end - reader->at < size)
		return Bad(reader);
	*value = 0;
	for (int i = 0; i < size; i++)
		*value |= (uint64) reader->at[i] << (8 * i);
	reader->at += size;
	return true;
}

static bool
ReadBytes(WireReader *reader, WireField *field)
{
	uint64		length;

	if (!ReadVarint(reader, &length))
		return false;
	if (length > (uint64) (reader->end - reader->at))
		return Bad(reader);
	field->bytes = reader->at;
	field->length = (Size) length;
	reader->at += length;
	return true;
}

bool
ReadField(WireReader *reader, WireField *field)
{
	uint64		tag;

	if (reader->bad || reader->at == reader->end || !ReadVarint(reader, &tag))
		return false;
	if (tag >> 3 == 0 || tag >> 3 > MAX_FIELD)
		return Bad(reader);
	field->number = (int) (tag >> 3);
	field->type = (WireType) (tag & 7);
	switch (field->type)
	{
		case WIRE_VARINT:
			return ReadVarint(reader, &field->value);
		case WIRE_FIXED64:
			return ReadFixed(reader, 8, &field->value);
		case WIRE_BYTES:
			return ReadBytes(reader, field);
		case WIRE_FIXED32:
			return ReadFixed(reader, 4, &field->value);
	}
	return Bad(reader);
}

/*
 * The next of the numbers that follow each other in a packed field.
 */
bool
ReadPackedVarint(WireReader *reader, uint64 *value)
{
	return !reader->bad && reader->at < reader->end && ReadVarint(reader, value);
}

/*
 * Is a field that we know of the type that we know? It is damage else.
 */
bool
IsOfType(WireReader *reader, const WireField *field, WireType type)
{
	return field->type == type || Bad(reader);
}

void
CopyFloats(float *floats, const uint8 *bytes, Size n)
{
	memcpy(floats, bytes, n * sizeof(float));
#ifdef WORDS_BIGENDIAN
	for (Size i = 0; i < n; i++)
	{
		uint32		bits;

		memcpy(&bits, floats + i, sizeof(bits));
		bits = pg_bswap32(bits);
		memcpy(floats + i, &bits, sizeof(bits));
	}
#endif
}
