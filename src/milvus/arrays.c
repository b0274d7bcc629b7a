/*
 * arrays.c
 *		Arrays of keys and of floats, in what a server sent.
 *
 * They are counted first, then taken, so that nothing grows by what the server
 * claims. Numbers may be packed or not, whatever we would do.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "milvus/arrays.h"
#include "milvus/texts.h"

/*
 * A field of floats, packed or one of them: count them, and copy them to where n
 * points if there is somewhere to copy to.
 */
void
TakeFloats(WireReader *reader, const WireField *field, float *floats, Size *n)
{
	if (field->type == WIRE_FIXED32)
	{
		uint32		bits = (uint32) field->value;

		if (floats != NULL)
			memcpy(floats + *n, &bits, sizeof(float));
		(*n)++;
		return;
	}
	if (!IsOfType(reader, field, WIRE_BYTES))
		return;
	if (field->length % sizeof(float) != 0)
		reader->bad = true;
	else if (floats != NULL)
		CopyFloats(floats + *n, field->bytes, field->length / sizeof(float));
	*n += field->length / sizeof(float);
}

/*
 * Of a message that may be there once.
 */
bool
TakePart(WireReader *reader, const WireField *field, Part *part)
{
	if (!IsOfType(reader, field, WIRE_BYTES))
		return false;
	if (part->bytes != NULL)
		reader->bad = true;
	*part = (Part) {field->bytes, field->length};
	return !reader->bad;
}

static void
TakeNumber(uint64 value, int64 *numbers, Size *n)
{
	if (numbers != NULL)
		numbers[*n] = (int64) value;
	(*n)++;
}

/*
 * {1 int64s}: how many, and into numbers if there is such.
 */
static bool
ReadNumbers(const Part *array, int64 *numbers, Size *n)
{
	WireReader	reader;
	WireField	field;

	*n = 0;
	InitWireReader(&reader, array->bytes, array->length);
	while (ReadField(&reader, &field))
	{
		WireReader	packed;
		uint64		value;

		if (field.number != 1)
			continue;
		if (field.type == WIRE_VARINT)
			TakeNumber(field.value, numbers, n);
		else if (IsOfType(&reader, &field, WIRE_BYTES))
		{
			InitWireReader(&packed, field.bytes, field.length);
			while (ReadPackedVarint(&packed, &value))
				TakeNumber(value, numbers, n);
			reader.bad = packed.bad;
		}
	}
	return !reader.bad;
}

static Size
CountTexts(const Part *array, bool *bad)
{
	WireReader	reader;
	WireField	field;
	Size		n = 0;

	InitWireReader(&reader, array->bytes, array->length);
	while (ReadField(&reader, &field))
		n += field.number == 1 && IsOfType(&reader, &field, WIRE_BYTES);
	*bad = reader.bad;
	return n;
}

static Problem
TakeTexts(const Part *array, char **texts)
{
	WireReader	reader;
	WireField	field;
	Size		n = 0;

	InitWireReader(&reader, array->bytes, array->length);
	while (ReadField(&reader, &field))
	{
		if (field.number != 1)
			continue;
		CHECK_FOR_INTERRUPTS();
		if (field.length > MILVUS_MAX_TEXT)
			return "A key is too long.";
		texts[n] = TextFromServer(field.bytes, field.length);
		if (texts[n] == NULL)
			return "A key is not UTF-8, has a NUL byte, or has no equivalent in the database's encoding.";
		n++;
	}
	return NULL;
}

/*
 * The keys of IDs or of a ScalarField, whose fields are given. More than max are
 * refused.
 */
Problem
ReadKeys(const Part *message, int number_field, int text_field, Size max, MilvusKeys *keys)
{
	WireReader	reader;
	WireField	field;
	Part		array = {NULL, 0};
	bool		texts = false;
	bool		bad = false;
	Size		n = 0;

	memset(keys, 0, sizeof(MilvusKeys));
	InitWireReader(&reader, message->bytes, message->length);
	while (ReadField(&reader, &field))
	{
		if (field.number != number_field && field.number != text_field)
			continue;
		texts = field.number == text_field;
		TakePart(&reader, &field, &array);
	}
	if (reader.bad)
		return "The keys are damaged, or of two kinds.";
	if (array.bytes == NULL)
		return NULL;
	if (texts)
		n = CountTexts(&array, &bad);
	else
		bad = !ReadNumbers(&array, NULL, &n);
	if (bad)
		return "The keys are damaged.";
	if (n > max)
		return "There are more keys than were asked for.";
	keys->n = (int) n;
	if (texts)
	{
		keys->texts = palloc(sizeof(char *) * Max(n, 1));
		return TakeTexts(&array, keys->texts);
	}
	keys->numbers = palloc(sizeof(int64) * Max(n, 1));
	ReadNumbers(&array, keys->numbers, &n);
	return NULL;
}
