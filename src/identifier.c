/*
 * identifier.c
 *		What may be a brain key: FiftyOne asks Python's str.isidentifier().
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "identifier.h"

/* FiftyOne has no limit; ours keeps keys fit for messages and indexes. */
#define MAX_BRAIN_KEY_LENGTH 255

typedef struct CharacterRange
{
	pg_wchar	first;
	pg_wchar	last;
} CharacterRange;

#include "identifier_ranges.h"

static bool
InRanges(pg_wchar c, const CharacterRange *ranges, int n)
{
	int			low = 0;
	int			high = n - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (c < ranges[middle].first)
			high = middle - 1;
		else if (c > ranges[middle].last)
			low = middle + 1;
		else
			return true;
	}
	return false;
}

static bool
IsIdentifierCharacter(pg_wchar c, bool first)
{
	if (c < 0x80)
		return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(!first && c >= '0' && c <= '9');
	return first ? InRanges(c, first_characters, lengthof(first_characters)) :
		InRanges(c, later_characters, lengthof(later_characters));
}

static bool
IsIdentifier(const char *text)
{
	unsigned char *utf8 = (unsigned char *) pg_server_to_any(text, strlen(text), PG_UTF8);

	if (*utf8 == '\0')
		return false;
	for (unsigned char *next = utf8; *next; next += pg_utf_mblen(next))
	{
		if (!IsIdentifierCharacter(utf8_to_unicode(next), next == utf8))
			return false;
	}
	return true;
}

/*
 * Error 42602 unless the text can be a brain key.
 */
void
CheckBrainKey(const char *brain_key)
{
	if (strlen(brain_key) > MAX_BRAIN_KEY_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("brain key is too long"),
				 errdetail("At most %d bytes are allowed.", MAX_BRAIN_KEY_LENGTH)));
	if (!IsIdentifier(brain_key))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid brain key \"%s\"", brain_key),
				 errhint("A brain key is an identifier: a letter or underscore, then letters, digits and underscores.")));
}
