/*
 * wire.h
 *		Protocol Buffers as bytes: writing fields, and reading what may be damaged.
 *		https://protobuf.dev/programming-guides/encoding/
 */
#ifndef BRAIN_WIRE_H
#define BRAIN_WIRE_H

#include "lib/stringinfo.h"

typedef enum WireType
{
	WIRE_VARINT = 0,
	WIRE_FIXED64 = 1,
	WIRE_BYTES = 2,
	WIRE_FIXED32 = 5,
} WireType;

/* ---------- writing: sizes are what the function of that name will write ---------- */

extern int	VarintSize(uint64 value);
extern int	TagSize(int field);
extern Size VarintFieldSize(int field, uint64 value);
extern Size BytesFieldSize(int field, Size length); /* tag, length and what follows */
extern Size TextFieldSize(int field, const char *text);
extern void WriteVarint(StringInfo out, uint64 value);
extern void WriteTag(StringInfo out, int field, WireType type);
extern void WriteVarintField(StringInfo out, int field, uint64 value);	/* nothing for 0 */
extern void WriteBytesField(StringInfo out, int field, const void *bytes, Size length);
extern void WriteTextField(StringInfo out, int field, const char *text);	/* nothing for NULL or "" */
extern void WriteBytesHead(StringInfo out, int field, Size length); /* length bytes must follow */
extern void WriteFloats(StringInfo out, const float *floats, int n);	/* no head; finite */

/* ---------- reading ---------- */

/* What is left of a message; bad from the first byte on that cannot be. */
typedef struct WireReader
{
	const uint8 *at;
	const uint8 *end;
	bool		bad;
} WireReader;

/* A field that was read: a number, or bytes within the message. */
typedef struct WireField
{
	int			number;
	WireType	type;
	uint64		value;			/* WIRE_VARINT, WIRE_FIXED64, WIRE_FIXED32 */
	const uint8 *bytes;			/* WIRE_BYTES */
	Size		length;
} WireField;

extern void InitWireReader(WireReader *reader, const void *bytes, Size length);
extern bool ReadField(WireReader *reader, WireField *field);	/* false: end, or bad */
extern bool ReadPackedVarint(WireReader *reader, uint64 *value);
extern bool IsOfType(WireReader *reader, const WireField *field, WireType type);	/* else bad */
extern void CopyFloats(float *floats, const uint8 *bytes, Size n);

#endif							/* BRAIN_WIRE_H */
