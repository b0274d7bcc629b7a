/*
 * arguments.c
 *		Unpacking the arguments of SQL functions.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "arguments.h"

/*
 * Error 22004 when an argument that has no default meaning is NULL.
 */
void
RequireArgument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be NULL", name)));
}

/*
 * A text argument; NULL when it is NULL.
 */
char *
TextArgument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

bool
BoolArgument(FunctionCallInfo fcinfo, int n, bool if_null)
{
	return PG_ARGISNULL(n) ? if_null : PG_GETARG_BOOL(n);
}

/*
 * A jsonb argument; NULL when it is NULL.
 */
Jsonb *
JsonbArgument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);
}

/*
 * The options argument of a backend that has none: NULL or an empty object.
 * Error 22023 for an option, whose value may be a secret and is not shown.
 */
void
CheckNoOptions(const Jsonb *options)
{
	JsonbIterator *iterator;
	JsonbValue	value;

	if (options == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options must be a JSON object")));
	if (JB_ROOT_COUNT(options) == 0)
		return;
	iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &options->root));
	while (JsonbIteratorNext(&iterator, &value, true) != WJB_KEY)
		;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown option \"%s\"", pnstrdup(value.val.string.val, value.val.string.len)),
			 errhint("The exact backend has no options.")));
}
