/*
 * arrays.h
 *		Arrays of keys and of floats, in what a server sent.
 */
#ifndef BRAIN_MILVUS_ARRAYS_H
#define BRAIN_MILVUS_ARRAYS_H

#include "milvus/messages.h"
#include "milvus/status.h"
#include "milvus/wire.h"

/* Bytes within a reply. */
typedef struct Part
{
	const uint8 *bytes;			/* NULL: not there */
	Size		length;
} Part;

extern bool TakePart(WireReader *reader, const WireField *field, Part *part);
extern void TakeFloats(WireReader *reader, const WireField *field, float *floats, Size *n);
extern Problem ReadKeys(const Part *message, int number_field, int text_field, Size max, MilvusKeys *keys);

#endif							/* BRAIN_MILVUS_ARRAYS_H */
