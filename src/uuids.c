/*
 * uuids.c
 *		Ids of runs and of generations.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "uuids.h"

/*
 * A random one.
 */
pg_uuid_t *
NewUuid(void)
{
	return DatumGetUUIDP(OidFunctionCall0(F_GEN_RANDOM_UUID));
}

/*
 * As uuid_out() writes it: 36 characters.
 */
char *
UuidText(const pg_uuid_t *uuid)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(uuid)));
}

static int
HexDigit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/*
 * Read what UuidText() wrote, and nothing else; false for what it cannot have
 * been. For each row that a trigger logs: uuid_in() and sscanf() are slow.
 */
bool
ParseUuid(const char *text, pg_uuid_t *uuid)
{
	for (int i = 0; i < UUID_LEN; i++)
	{
		int			high;
		int			low;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return false;
		high = HexDigit(text[0]);
		low = high < 0 ? -1 : HexDigit(text[1]);
		if (low < 0)
			return false;
		uuid->data[i] = (unsigned char) (high << 4 | low);
		text += 2;
	}
	return *text == '\0';
}
