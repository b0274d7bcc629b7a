/*
 * options.c
 *		The options of a connection to Milvus: one table for all places they come from.
 *
 * No error here shows a value: it may be a secret, also one that stands in the
 * wrong place.
 */
#include "postgres.h"

#include <math.h>

#include "access/reloptions.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "compat.h"
#include "milvus/address.h"
#include "milvus/options.h"

PG_FUNCTION_INFO_V1(milvus_fdw_validator);

/* Of a value, in bytes. The longest known, tokens of hosted services, have some hundred. */
#define MAX_VALUE_LENGTH 4096

/* Milvus' limit for a database's name */
#define MAX_DATABASE_LENGTH 255

/* A day, for whoever wants no limit. */
#define MAX_SECONDS 86400

static void CheckUri(const MilvusOption *option, const char *value, const char *origin);
static void CheckHost(const MilvusOption *option, const char *value, const char *origin);
static void CheckPort(const MilvusOption *option, const char *value, const char *origin);
static void CheckBoolean(const MilvusOption *option, const char *value, const char *origin);
static void CheckServerName(const MilvusOption *option, const char *value, const char *origin);
static void CheckPath(const MilvusOption *option, const char *value, const char *origin);
static void CheckDatabase(const MilvusOption *option, const char *value, const char *origin);
static void CheckSeconds(const MilvusOption *option, const char *value, const char *origin);

#define ON_SERVER (PLACE_CALL | PLACE_SERVER)
#define ON_MAPPING (PLACE_CALL | PLACE_MAPPING)

const MilvusOption milvus_options[N_MILVUS_OPTIONS] = {
	[MILVUS_URI] = {"uri", ON_SERVER | PLACE_FIFTYONE, CheckUri, true, false},
	[MILVUS_HOST] = {"host", ON_SERVER, CheckHost, true, false},
	[MILVUS_PORT] = {"port", ON_SERVER, CheckPort, true, false},
	[MILVUS_SECURE] = {"secure", ON_SERVER | PLACE_FIFTYONE, CheckBoolean, true, false},
	[MILVUS_SERVER_NAME] = {"server_name", ON_SERVER | PLACE_FIFTYONE, CheckServerName, true, false},
	[MILVUS_CA_PEM_PATH] = {"ca_pem_path", ON_SERVER | PLACE_FIFTYONE, CheckPath, true, true},
	[MILVUS_SERVER_PEM_PATH] = {"server_pem_path", ON_SERVER | PLACE_FIFTYONE, CheckPath, true, true},
	[MILVUS_CLIENT_PEM_PATH] = {"client_pem_path", ON_SERVER | PLACE_FIFTYONE, CheckPath, true, true},
	[MILVUS_CLIENT_KEY_PATH] = {"client_key_path", ON_SERVER | PLACE_FIFTYONE, CheckPath, true, true},
	[MILVUS_DB_NAME] = {"db_name", ON_SERVER | PLACE_FIFTYONE, CheckDatabase, false, false},
	[MILVUS_USER] = {"user", ON_MAPPING | PLACE_FIFTYONE, NULL, false, false},
	[MILVUS_PASSWORD] = {"password", ON_MAPPING | PLACE_FIFTYONE, NULL, false, false},
	[MILVUS_TOKEN] = {"token", ON_MAPPING | PLACE_FIFTYONE, NULL, false, false},
	[MILVUS_CONNECT_TIMEOUT] = {"connect_timeout", ON_SERVER, CheckSeconds, false, false},
	[MILVUS_REQUEST_TIMEOUT] = {"request_timeout", ON_SERVER, CheckSeconds, false, false},
};

/* ---------- names ---------- */

static int
PositionOfOption(const char *name)
{
	for (int i = 0; i < N_MILVUS_OPTIONS; i++)
		if (strcmp(milvus_options[i].name, name) == 0)
			return i;
	return -1;
}

bool
IsMilvusOption(const char *name)
{
	return PositionOfOption(name) >= 0;
}

/*
 * The option of a place that a misspelt name may mean, as postgres_fdw guesses:
 * at most four letters off, and not more than half of it. NULL: none.
 */
static const char *
ClosestOption(const char *name, MilvusPlace place)
{
	int			length = strlen(name);
	int			best = Min(4, length / 2);
	const char *closest = NULL;

	if (length > NAMEDATALEN)
		return NULL;
	for (int i = 0; i < N_MILVUS_OPTIONS; i++)
	{
		const char *candidate = milvus_options[i].name;
		int			distance;

		if (!(milvus_options[i].places & place))
			continue;
		distance = varstr_levenshtein_less_equal(name, length, candidate, strlen(candidate),
												 1, 1, 1, best, true);
		if (distance > best || (closest && distance == best))
			continue;
		best = distance;
		closest = candidate;
	}
	return closest;
}

static char *
ListOptions(MilvusPlace place)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < N_MILVUS_OPTIONS; i++)
		if (milvus_options[i].places & place)
			appendStringInfo(&list, "%s%s", list.len ? ", " : "", milvus_options[i].name);
	return list.data;
}

/*
 * The way out for a name that means nothing in a place.
 */
static char *
HintForName(const char *name, MilvusPlace place)
{
	int			id = PositionOfOption(name);
	const char *closest;

	if (id >= 0 && place == PLACE_SERVER && milvus_options[id].places & PLACE_MAPPING)
		return psprintf(_("\"%s\" is an option of the user mapping: CREATE USER MAPPING FOR ... SERVER ... OPTIONS (...)."), name);
	if (id >= 0 && place == PLACE_MAPPING && milvus_options[id].places & PLACE_SERVER)
		return psprintf(_("\"%s\" is an option of the server: ALTER SERVER ... OPTIONS (...)."), name);
	closest = ClosestOption(name, place);
	if (closest)
		return psprintf(_("Perhaps you meant the option \"%s\". Options here are: %s."), closest, ListOptions(place));
	return psprintf(_("Options here are: %s."), ListOptions(place));
}

/*
 * The option of a name. Error HV00D for a name that means nothing in the place;
 * origin says where it was found, NULL: where the caller knows.
 */
MilvusOptionId
FindMilvusOption(const char *name, MilvusPlace place, const char *origin)
{
	int			id = PositionOfOption(name);

	if (id < 0 || !(milvus_options[id].places & place))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("invalid option \"%s\"", name),
				 origin ? errdetail("It is set by %s.", origin) : 0,
				 errhint("%s", HintForName(name, place))));
	return id;
}

/* ---------- values ---------- */

/*
 * Error 22023, with where the setting comes from.
 */
void
RaiseSettingProblem(const char *origin, const char *hint, const char *message,...)
{
	StringInfoData text;

	initStringInfo(&text);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, message);
		needed = appendStringInfoVA(&text, message, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&text, needed);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg_internal("%s", text.data),
			 origin ? errdetail("It is set by %s.", origin) : 0,
			 hint ? errhint("%s", hint) : 0));
}

static void
CheckUri(const MilvusOption *option, const char *value, const char *origin)
{
	MilvusAddress address;
	const AddressProblem *problem = ParseMilvusUri(value, &address);

	if (problem)
		RaiseSettingProblem(origin, problem->hint, _("invalid %s of a Milvus server: %s"),
							option->name, problem->message);
}

static void
CheckHost(const MilvusOption *option, const char *value, const char *origin)
{
	if (!IsHostName(value))
		RaiseSettingProblem(origin, _("A host is a name or an address; the option uri takes more."),
							_("invalid value for option \"%s\""), option->name);
}

static void
CheckPort(const MilvusOption *option, const char *value, const char *origin)
{
	if (ParsePort(value, strlen(value)) == 0)
		RaiseSettingProblem(origin, _("It is a number from 1 to 65535."),
							_("invalid value for option \"%s\""), option->name);
}

static void
CheckBoolean(const MilvusOption *option, const char *value, const char *origin)
{
	bool		ignored;

	if (!parse_bool(value, &ignored))
		RaiseSettingProblem(origin, _("It is true or false."),
							_("option \"%s\" requires a Boolean value"), option->name);
}

static void
CheckServerName(const MilvusOption *option, const char *value, const char *origin)
{
	if (*value && !IsHostName(value))
		RaiseSettingProblem(origin, _("It is the name in the server's certificate."),
							_("invalid value for option \"%s\""), option->name);
}

static void
CheckPath(const MilvusOption *option, const char *value, const char *origin)
{
	if (*value && !is_absolute_path(value))
		RaiseSettingProblem(origin, _("It is the absolute path of a file on the database server."),
							_("invalid value for option \"%s\""), option->name);
}

/*
 * It becomes a header, so it must be nothing that ends one.
 */
static void
CheckDatabase(const MilvusOption *option, const char *value, const char *origin)
{
	size_t		length = strlen(value);

	if (length > MAX_DATABASE_LENGTH ||
		strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$-.") < length)
		RaiseSettingProblem(origin, _("Milvus' names of databases are letters, digits and underscores, at most 255."),
							_("invalid value for option \"%s\""), option->name);
}

/*
 * A time as the settings of the same names have it, seconds without a unit, in
 * milliseconds. 0 for what is none.
 */
int
ParseSeconds(const char *value)
{
	double		seconds;

	if (!parse_real(value, &seconds, GUC_UNIT_S, NULL) || !(seconds >= 0.001 && seconds <= MAX_SECONDS))
		return 0;
	return (int) rint(seconds * 1000);
}

static void
CheckSeconds(const MilvusOption *option, const char *value, const char *origin)
{
	if (ParseSeconds(value) == 0)
		RaiseSettingProblem(origin, _("It is a number of seconds, or a time such as 500ms, 10s or 1min, up to one day."),
							_("invalid value for option \"%s\""), option->name);
}

/*
 * Error 22023 for a value that an option cannot have.
 */
void
CheckMilvusOption(MilvusOptionId id, const char *value, const char *origin)
{
	const MilvusOption *option = &milvus_options[id];

	if (strlen(value) > MAX_VALUE_LENGTH)
		RaiseSettingProblem(origin, NULL, _("value for option \"%s\" is too long"), option->name);
	if (option->check)
		option->check(option, value, origin);
}

/*
 * Error 42501 unless the current user may give an option at all. A file is read
 * by the server process, so it is named by who may read its files: as file_fdw.
 */
void
CheckMayName(MilvusOptionId id)
{
	const MilvusOption *option = &milvus_options[id];

	if (option->is_file && !has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", option->name),
				 errdetail("Only superusers and members of pg_read_server_files name files of the server.")));
}

/* ---------- CREATE SERVER, CREATE USER MAPPING ---------- */

static bool
HasOption(List *options, MilvusOptionId id)
{
	ListCell   *cell;

	foreach(cell, options)
		if (strcmp(lfirst_node(DefElem, cell)->defname, milvus_options[id].name) == 0)
			return true;
	return false;
}

/*
 * Options of one server or user mapping that say the same thing in two ways.
 */
static void
CheckTogether(List *options)
{
	if (HasOption(options, MILVUS_URI) && (HasOption(options, MILVUS_HOST) || HasOption(options, MILVUS_PORT)))
		RaiseSettingProblem(NULL, _("A uri has host and port."),
							_("options \"uri\" and \"host\" or \"port\" cannot be used together"));
	if (HasOption(options, MILVUS_TOKEN) && (HasOption(options, MILVUS_USER) || HasOption(options, MILVUS_PASSWORD)))
		RaiseSettingProblem(NULL, _("A token stands for user and password."),
							_("options \"token\" and \"user\" or \"password\" cannot be used together"));
}

/*
 * SQL: brain.milvus_fdw_validator(text[], oid) returns void
 */
Datum
milvus_fdw_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	MilvusPlace place = catalog == ForeignServerRelationId ? PLACE_SERVER : PLACE_MAPPING;
	ListCell   *cell;

	if (options != NIL && catalog != ForeignServerRelationId && catalog != UserMappingRelationId)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("invalid option \"%s\"", linitial_node(DefElem, options)->defname),
				 errhint("milvus_fdw has options of servers and user mappings only.")));
	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);
		MilvusOptionId id = FindMilvusOption(option->defname, place, NULL);

		CheckMayName(id);
		CheckMilvusOption(id, defGetString(option), NULL);
	}
	CheckTogether(options);
	PG_RETURN_VOID();
}
