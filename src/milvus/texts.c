/*
 * texts.c
 *		Texts on their way between the database's encoding and Milvus' UTF-8, and
 *		as literals in Milvus' expressions.
 *
 * In a database of encoding SQL_ASCII texts are sent as they are if they happen to
 * be UTF-8. Other encodings are converted, for which PostgreSQL wants a
 * transaction to look up the conversion in.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "milvus/messages.h"
#include "milvus/texts.h"

/* How much of a server's words somebody will read. */
#define MAX_WORDS 2048

/* ---------- encodings ---------- */

static bool
IsConverted(void)
{
	return GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII;
}

/*
 * Whole, or NULL.
 */
static char *
Convert(const char *text, Size length, int from, int to)
{
	Oid			proc = FindDefaultConversionProc(from, to);
	Size		size = length * MAX_CONVERSION_GROWTH + 1;
	char	   *converted;

	if (!OidIsValid(proc) || !AllocSizeIsValid(size))
		return NULL;
	converted = palloc(size);
	if (pg_do_encoding_conversion_buf(proc, from, to, (unsigned char *) unconstify(char *, text), (int) length,
									  (unsigned char *) converted, (int) size, true) == (int) length)
		return converted;
	pfree(converted);
	return NULL;
}

static bool
IsUtf8(const char *text, Size length)
{
	return AllocSizeIsValid(length) && pg_verify_mbstr(PG_UTF8, text, (int) length, true);
}

/*
 * In UTF-8: the text itself, or a new one; NULL when it cannot be.
 */
static const char *
ToUtf8(const char *text)
{
	Size		length = strlen(text);

	if (IsConverted())
		return Convert(text, length, GetDatabaseEncoding(), PG_UTF8);
	return IsUtf8(text, length) ? text : NULL;
}

/*
 * Of texts that are not keys, and of keys that MilvusTextProblem() has seen.
 */
const char *
TextToServer(const char *text)
{
	const char *sent = ToUtf8(text);

	if (sent == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("text \"%s\" cannot be sent to a Milvus server, which takes UTF-8", text)));
	return sent;
}

/*
 * In the database's encoding, palloc'd. NULL when it cannot be: a NUL byte is no
 * part of a text here, though it is one in UTF-8.
 */
char *
TextFromServer(const void *bytes, Size length)
{
	/* pg_verify_mbstr() refuses NUL bytes too */
	if (!IsUtf8(bytes, length))
		return NULL;
	if (IsConverted())
		return Convert(bytes, length, PG_UTF8, GetDatabaseEncoding());
	return pnstrdup(bytes, length);
}

/*
 * What somebody will read and nothing depends on: as much as is of use, and
 * question marks for what cannot be shown.
 */
char *
WordsFromServer(const void *bytes, Size length)
{
	const unsigned char *from = bytes;
	char	   *words;

	if (length > MAX_WORDS)
		for (length = MAX_WORDS; length > 0 && (from[length] & 0xc0) == 0x80;)
			length--;
	words = TextFromServer(bytes, length);
	if (words != NULL)
		return words;
	words = palloc(length + 1);
	for (Size i = 0; i < length; i++)
		words[i] = from[i] == '\0' || from[i] >= 0x80 ? '?' : (char) from[i];
	words[length] = '\0';
	return words;
}

/* ---------- keys ---------- */

/*
 * Can this be a key of type VARCHAR(max_length), and can an expression name it?
 * NULL, or what is wrong, to follow on "key ... ".
 */
const char *
MilvusTextProblem(const MilvusServer *server, const char *text, int max_length)
{
	const char *sent = ToUtf8(text);
	const char *problem = NULL;

	if (sent == NULL)
		return gettext_noop("is not UTF-8, which Milvus takes");
	if (strlen(sent) > (Size) Min(max_length, MILVUS_MAX_TEXT))
		problem = gettext_noop("is too long for Milvus");
	/* it stores them, and then neither finds nor deletes nor replaces them */
	else if (server->is_lite2 && strpbrk(sent, "'\n\r") != NULL)
		problem = gettext_noop("has a quote or a line's end, which milvus-lite 2 cannot find again");
	if (sent != text)
		pfree(unconstify(char *, sent));
	return problem;
}

/*
 * Milvus' own rule for names of fields and collections.
 */
static bool
IsMilvusName(const char *name)
{
	Size		length = strlen(name);

	if (length == 0 || length > MILVUS_MAX_NAME || (name[0] >= '0' && name[0] <= '9') || name[0] == '$')
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_$") == length;
}

/* ---------- expressions ---------- */

/*
 * Between double quotes the three servers that we know agree on these escapes
 * only. Other control characters are sent as they are: milvus-lite 3 does not
 * know \x01 or \u0001, and milvus-lite 2 finds no text that has \t. No encoding of
 * a database has one of these bytes within another character.
 */
void
AppendTextLiteral(StringInfo expression, const char *text)
{
	appendStringInfoChar(expression, '"');
	while (*text != '\0')
	{
		Size		plain = strcspn(text, "\\\"\n\r");

		appendBinaryStringInfo(expression, text, (int) plain);
		text += plain;
		if (*text == '\0')
			break;
		appendStringInfoChar(expression, '\\');
		appendStringInfoChar(expression, *text == '\n' ? 'n' : *text == '\r' ? 'r' : *text);
		text++;
	}
	appendStringInfoChar(expression, '"');
}

/*
 * An empty condition deletes every row of milvus-lite 3; blanks are as empty.
 */
void
RequireExpression(const char *expression)
{
	if (strspn(expression, " \t\r\n") == strlen(expression))
		elog(ERROR, "a condition for a Milvus server is empty");
}

static void
AppendTextList(StringInfo expression, const char *field, int n, const char *const *texts)
{
	appendStringInfo(expression, "%s in [", field);
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoString(expression, ", ");
		AppendTextLiteral(expression, texts[i]);
	}
	appendStringInfoChar(expression, ']');
}

/*
 * The least number is in no list: Milvus reads a literal before its sign, which is
 * too large a number then. Nor is a list empty: milvus-lite 2 does not take that.
 */
static void
AppendNumberList(StringInfo expression, const char *field, int n, const int64 *numbers)
{
	const char *before = psprintf("%s in [", field);
	bool		has_least = false;

	for (int i = 0; i < n; i++)
	{
		if (numbers[i] == PG_INT64_MIN)
		{
			has_least = true;
			continue;
		}
		appendStringInfo(expression, "%s" INT64_FORMAT, before, numbers[i]);
		before = ", ";
	}
	if (expression->len > 0)
		appendStringInfoChar(expression, ']');
	if (has_least)
		appendStringInfo(expression, "%s%s < " INT64_FORMAT, expression->len > 0 ? " or " : "", field,
						 (int64) (PG_INT64_MIN + 1));
}

/*
 * The name stands in the expression as it is: nothing but a name may.
 */
char *
KeysExpression(const char *field, int n, const char *const *texts, const int64 *numbers)
{
	StringInfoData expression;

	if (n == 0)
		return NULL;
	if (!IsMilvusName(field))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("\"%s\" cannot be the name of a field in Milvus", field)));
	initStringInfo(&expression);
	if (texts != NULL)
		AppendTextList(&expression, field, n, texts);
	else
		AppendNumberList(&expression, field, n, numbers);
	return expression.data;
}
