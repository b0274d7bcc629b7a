/*
 * settings.c
 *		Which Milvus server a call means, and as whom.
 *
 * Who may make the server speak to whom: a superuser names what he likes. Anybody
 * else uses a foreign server on which he has USAGE, where it is and as it is
 * protected, since its user mapping may hold a secret that is not his (PUBLIC's);
 * or a host of brain.allowed_hosts, with secrets that he gives himself.
 *
 * The environment and brain_config.json hold the secrets of whoever runs the
 * database server. They are asked only for a superuser who names no server: a
 * server's owner could send them to a host of his.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "common/base64.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/numeric.h"
#include "utils/syscache.h"

#include "milvus/address.h"
#include "milvus/connection.h"
#include "milvus/fiftyone.h"
#include "milvus/options.h"

#define FDW_NAME "milvus_fdw"

/* brain.connect_timeout, brain.request_timeout: seconds */
static double connect_timeout;
static double request_timeout;

/* From strong to weak. */
typedef enum Source
{
	FROM_CALL,
	FROM_SERVER,				/* and its user mapping */
	FROM_ENVIRONMENT,
	FROM_FILE,
	FROM_NOWHERE,
} Source;

typedef struct Setting
{
	const char *value;			/* NULL: none */
	Source		source;
	const char *origin;			/* for messages; NULL: the call */
} Setting;

/* What has been gathered so far, from strong to weak. */
typedef struct Gathering
{
	Setting		settings[N_MILVUS_OPTIONS];
	Source		source;			/* that is being read */
} Gathering;

void
DefineMilvusSettings(void)
{
	DefineCustomStringVariable("brain.allowed_hosts",
							   gettext_noop("Sets the hosts of Milvus servers that others than superusers may name in a call."),
							   gettext_noop("A list of hosts, each with or without a port. All others use a foreign server on which they have USAGE."),
							   &allowed_hosts,
							   "",
							   PGC_SUSET, GUC_LIST_INPUT,
							   CheckAllowedHosts, NULL, NULL);
	DefineCustomStringVariable("brain.config_file",
							   gettext_noop("Sets FiftyOne's brain_config.json, where superusers' calls that name no Milvus server find one."),
							   gettext_noop("Empty, none is read. The environment's FIFTYONE_BRAIN_CONFIG_PATH takes the place of the default."),
							   &config_file,
							   DEFAULT_CONFIG_FILE,
							   PGC_SUSET, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
	DefineCustomRealVariable("brain.connect_timeout",
							 gettext_noop("Sets how long connecting to a Milvus server may take."),
							 gettext_noop("Finding its address, connecting, and the TLS handshake."),
							 &connect_timeout,
							 10, 0.001, 86400,
							 PGC_USERSET, GUC_UNIT_S,
							 NULL, NULL, NULL);
	DefineCustomRealVariable("brain.request_timeout",
							 gettext_noop("Sets how long a Milvus server may take to answer a request."),
							 NULL,
							 &request_timeout,
							 60, 0.001, 86400,
							 PGC_USERSET, GUC_UNIT_S,
							 NULL, NULL, NULL);
}

/* ---------- gathering ---------- */

static void
AddSetting(Gathering *gathering, MilvusPlace place, const char *name, const char *value,
		   const char *origin)
{
	MilvusOptionId id = FindMilvusOption(name, place, origin);
	Setting    *setting = &gathering->settings[id];

	if (setting->value)
		return;
	CheckMilvusOption(id, value, origin);
	*setting = (Setting) {value, gathering->source, origin};
}

static void
AddArguments(Gathering *gathering, int n, const MilvusPair *options)
{
	gathering->source = FROM_CALL;
	for (int i = 0; i < n; i++)
	{
		AddSetting(gathering, PLACE_CALL, options[i].key, options[i].value, NULL);
		CheckMayName(FindMilvusOption(options[i].key, PLACE_CALL, NULL));
	}
}

/*
 * Files that a server has were named by who might; its users need not.
 */
static void
AddCatalogOptions(Gathering *gathering, MilvusPlace place, List *options, const char *origin)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		AddSetting(gathering, place, option->defname, defGetString(option), origin);
	}
}

static void
AddFiftyOneParameter(const char *name, const char *value, const char *origin, void *arg)
{
	if (!IsFiftyOneParameter(name))
		AddSetting(arg, PLACE_FIFTYONE, name, value, origin);
}

static void
AddFiftyOne(Gathering *gathering)
{
	gathering->source = FROM_ENVIRONMENT;
	ReadEnvironment(AddFiftyOneParameter, gathering);
	gathering->source = FROM_FILE;
	ReadConfigFile(AddFiftyOneParameter, gathering);
}

/*
 * The server of a name. Errors: 42704, 42809 for one of another kind, 42501.
 */
static ForeignServer *
FindServer(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	AclResult	result;

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", name),
				 errhint("CREATE SERVER ... FOREIGN DATA WRAPPER milvus_fdw OPTIONS (uri '...') makes one.")));
	if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, FDW_NAME) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not a server of %s", name, FDW_NAME)));
#if PG_VERSION_NUM >= 160000
	result = object_aclcheck(ForeignServerRelationId, server->serverid, GetUserId(), ACL_USAGE);
#else
	result = pg_foreign_server_aclcheck(server->serverid, GetUserId(), ACL_USAGE);
#endif
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FOREIGN_SERVER, name);
	return server;
}

/*
 * The current user's mapping, else PUBLIC's, else InvalidOid: GetUserMapping()
 * raises an error then, but many servers ask nobody who he is.
 */
static Oid
FindMapping(Oid server, List **options)
{
	HeapTuple	tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(GetUserId()),
										ObjectIdGetDatum(server));
	Oid			mapping;
	Datum		value;
	bool		isnull;

	*options = NIL;
	if (!HeapTupleIsValid(tuple))
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid),
								ObjectIdGetDatum(server));
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	mapping = ((Form_pg_user_mapping) GETSTRUCT(tuple))->oid;
	value = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
		*options = untransformRelOptions(value);
	ReleaseSysCache(tuple);
	return mapping;
}

/*
 * What the catalogs have for a server, into settings too. Error 42501 when a call
 * by an ordinary user has set where it is, or how it is protected.
 */
static void
AddServer(Gathering *gathering, const char *name, MilvusSettings *result)
{
	ForeignServer *server = FindServer(name);
	List	   *options;

	for (int i = 0; i < N_MILVUS_OPTIONS; i++)
		if (milvus_options[i].is_route && gathering->settings[i].value && !superuser())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to change option \"%s\" of server \"%s\"", milvus_options[i].name, name),
					 errhint("Leave it out, or leave the server out.")));
	gathering->source = FROM_SERVER;
	result->server = server->serverid;
	result->mapping = FindMapping(server->serverid, &options);
	AddCatalogOptions(gathering, PLACE_SERVER, server->options, psprintf(_("server \"%s\""), name));
	AddCatalogOptions(gathering, PLACE_MAPPING, options, psprintf(_("the user mapping for server \"%s\""), name));
}

/* ---------- what it comes to ---------- */

/*
 * An option's value; NULL when it is not set, or set to nothing.
 */
static const char *
Value(const Gathering *gathering, MilvusOptionId id)
{
	const char *value = gathering->settings[id].value;

	return value && *value ? value : NULL;
}

/*
 * Where an option comes from. Weaker than all: nowhere.
 */
static Source
SourceOf(const Gathering *gathering, MilvusOptionId id)
{
	return Value(gathering, id) ? gathering->settings[id].source : FROM_NOWHERE;
}

static const char *
OriginOf(const Gathering *gathering, MilvusOptionId id)
{
	return gathering->settings[id].origin;
}

/*
 * The stronger of uri and host, and of what they say of the port.
 */
static void
FindAddress(const Gathering *gathering, MilvusAddress *address)
{
	Source		of_uri = SourceOf(gathering, MILVUS_URI);
	Source		of_host = SourceOf(gathering, MILVUS_HOST);
	const char *port = Value(gathering, MILVUS_PORT);

	if (of_uri != FROM_NOWHERE && (of_uri == of_host || of_uri == SourceOf(gathering, MILVUS_PORT)))
		RaiseSettingProblem(OriginOf(gathering, MILVUS_URI), _("A uri has host and port."),
							_("options \"uri\" and \"host\" or \"port\" cannot be used together"));
	*address = (MilvusAddress) {URI_NO_SCHEME, NULL, 0};
	if (of_uri < of_host)
	{
		ParseMilvusUri(Value(gathering, MILVUS_URI), address);
		if (of_uri < SourceOf(gathering, MILVUS_PORT))
			port = NULL;
	}
	else if (of_host != FROM_NOWHERE)
		address->host = pstrdup(Value(gathering, MILVUS_HOST));
	if (port)
		address->port = ParsePort(port, strlen(port));
}

/*
 * Host, port, and whether TLS is on. A uri that says http:// is meant so, unless
 * secure is said at least as strongly.
 */
static void
ResolveAddress(const Gathering *gathering, GrpcEndpoint *endpoint)
{
	const char *secure = Value(gathering, MILVUS_SECURE);
	MilvusAddress address;

	FindAddress(gathering, &address);
	endpoint->host = address.host ? address.host : pstrdup(MILVUS_DEFAULT_HOST);
	endpoint->port = address.port ? address.port : MILVUS_DEFAULT_PORT;
	endpoint->tls = address.scheme == URI_TLS;
	if (secure == NULL ||
		(address.scheme == URI_PLAIN && SourceOf(gathering, MILVUS_URI) < SourceOf(gathering, MILVUS_SECURE)))
		return;
	parse_bool(secure, &endpoint->tls);
	if (address.scheme == URI_TLS && !endpoint->tls)
		RaiseSettingProblem(OriginOf(gathering, MILVUS_SECURE), _("https:// means that it is on."),
							_("option \"secure\" is off, but the uri is https://"));
}

/*
 * Without TLS nothing looks at a certificate: error 22023 for who relies on it.
 * Weaker settings are meant for another address.
 */
static void
RefuseWithoutTls(const Gathering *gathering)
{
	static const MilvusOptionId of_tls[] = {
		MILVUS_SERVER_NAME, MILVUS_CA_PEM_PATH, MILVUS_SERVER_PEM_PATH,
		MILVUS_CLIENT_PEM_PATH, MILVUS_CLIENT_KEY_PATH,
	};
	Source		of_address = Min(SourceOf(gathering, MILVUS_URI), SourceOf(gathering, MILVUS_HOST));

	of_address = Min(of_address, SourceOf(gathering, MILVUS_SECURE));
	for (size_t i = 0; i < lengthof(of_tls); i++)
	{
		MilvusOptionId id = of_tls[i];

		if (Value(gathering, id) && SourceOf(gathering, id) <= of_address)
			RaiseSettingProblem(OriginOf(gathering, id), _("Set the option secure, or use a uri that begins with https://."),
								_("option \"%s\" is set, but TLS is off"), milvus_options[id].name);
	}
}

static char *
CopyValue(const Gathering *gathering, MilvusOptionId id)
{
	const char *value = Value(gathering, id);

	return value ? pstrdup(value) : NULL;
}

/*
 * As pymilvus: ca_pem_path is for TLS with certificates on both sides,
 * server_pem_path for the server's alone; either is whom we trust.
 */
static void
ResolveTls(const Gathering *gathering, GrpcEndpoint *endpoint)
{
	bool		has_cert = Value(gathering, MILVUS_CLIENT_PEM_PATH) != NULL;

	if (!endpoint->tls)
	{
		RefuseWithoutTls(gathering);
		return;
	}
	if (has_cert != (Value(gathering, MILVUS_CLIENT_KEY_PATH) != NULL))
		RaiseSettingProblem(OriginOf(gathering, has_cert ? MILVUS_CLIENT_PEM_PATH : MILVUS_CLIENT_KEY_PATH), NULL,
							_("options \"client_pem_path\" and \"client_key_path\" go together"));
	endpoint->server_name = CopyValue(gathering, MILVUS_SERVER_NAME);
	endpoint->ca_file = CopyValue(gathering, MILVUS_CA_PEM_PATH);
	if (endpoint->ca_file == NULL)
		endpoint->ca_file = CopyValue(gathering, MILVUS_SERVER_PEM_PATH);
	endpoint->cert_file = CopyValue(gathering, MILVUS_CLIENT_PEM_PATH);
	endpoint->key_file = CopyValue(gathering, MILVUS_CLIENT_KEY_PATH);
}

static char *
Base64(const char *text)
{
	int			size = pg_b64_enc_len(strlen(text)) + 1;
	char	   *encoded = palloc(size);
	int			length = pg_b64_encode((const void *) text, strlen(text), encoded, size - 1);

	if (length < 0)
		elog(ERROR, "could not encode in base64");
	encoded[length] = '\0';
	return encoded;
}

/*
 * The header's value: user and password, or a token, whichever was said more
 * strongly. NULL: neither.
 */
static char *
ResolveAuthorization(const Gathering *gathering)
{
	const char *user = Value(gathering, MILVUS_USER);
	const char *password = Value(gathering, MILVUS_PASSWORD);
	const char *token = Value(gathering, MILVUS_TOKEN);
	Source		of_user = Min(SourceOf(gathering, MILVUS_USER), SourceOf(gathering, MILVUS_PASSWORD));
	Source		of_token = SourceOf(gathering, MILVUS_TOKEN);

	/* pymilvus takes the token; who has written both here may have meant either */
	if (token && of_token == of_user && of_token <= FROM_SERVER)
		RaiseSettingProblem(OriginOf(gathering, MILVUS_TOKEN), _("A token stands for user and password."),
							_("options \"token\" and \"user\" or \"password\" cannot be used together"));
	if (token && of_token <= of_user)
		return Base64(ServerToUtf8(token, _("the token")));
	if (user == NULL && password == NULL)
		return NULL;
	if (user == NULL || password == NULL)
		RaiseSettingProblem(OriginOf(gathering, user ? MILVUS_USER : MILVUS_PASSWORD), NULL,
							_("options \"user\" and \"password\" go together"));
	if (strchr(user, ':'))
		RaiseSettingProblem(OriginOf(gathering, MILVUS_USER), NULL,
							_("a user's name cannot contain a colon"));
	return Base64(ServerToUtf8(psprintf("%s:%s", user, password), _("user and password")));
}

static int
ResolveTimeout(const Gathering *gathering, MilvusOptionId id, double setting)
{
	const char *value = Value(gathering, id);

	return value ? ParseSeconds(value) : Max(1, (int) (setting * 1000));
}

/*
 * Error 42501 unless the current user may name the host in a call.
 */
static void
CheckHostAllowed(const Gathering *gathering, const GrpcEndpoint *endpoint)
{
	if (superuser() || HostIsAllowed(endpoint->host, endpoint->port))
		return;
	if (Value(gathering, MILVUS_URI) == NULL && Value(gathering, MILVUS_HOST) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to use Milvus without a server"),
				 errhint("Name a foreign server on which you have USAGE: server => '...'.")));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to connect to host \"%s\", port %d", endpoint->host, endpoint->port),
			 errdetail("Only superusers name hosts that are not in brain.allowed_hosts."),
			 errhint("Name a foreign server on which you have USAGE: server => '...'.")));
}

MilvusSettings *
FindMilvusSettings(const char *fdw_server, int n_options, const MilvusPair *options)
{
	MilvusSettings *result = palloc0(sizeof(MilvusSettings));
	GrpcEndpoint *endpoint = &result->endpoint;
	Gathering	gathering = {0};

	AddArguments(&gathering, n_options, options);
	if (fdw_server)
		AddServer(&gathering, fdw_server, result);
	else if (superuser())
		AddFiftyOne(&gathering);
	ResolveAddress(&gathering, endpoint);
	if (fdw_server == NULL)
		CheckHostAllowed(&gathering, endpoint);
	ResolveTls(&gathering, endpoint);
	endpoint->authorization = ResolveAuthorization(&gathering);
	endpoint->database = CopyValue(&gathering, MILVUS_DB_NAME);
	endpoint->connect_timeout = ResolveTimeout(&gathering, MILVUS_CONNECT_TIMEOUT, connect_timeout);
	endpoint->request_timeout = ResolveTimeout(&gathering, MILVUS_REQUEST_TIMEOUT, request_timeout);
	return result;
}

/* ---------- is it the same? ---------- */

static const char *
ServerOption(const ForeignServer *server, MilvusOptionId id)
{
	ListCell   *cell;

	foreach(cell, server->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, milvus_options[id].name) == 0)
			return defGetString(option);
	}
	return "";
}

bool
MilvusSameServer(const char *a, const char *b)
{
	static const MilvusOptionId of_place[] = {MILVUS_URI, MILVUS_HOST, MILVUS_PORT, MILVUS_DB_NAME};
	ForeignServer *servers[2];

	if (a == NULL || b == NULL || strcmp(a, b) == 0)
		return a == b || (a && b);
	servers[0] = GetForeignServerByName(a, true);
	servers[1] = GetForeignServerByName(b, true);
	for (size_t i = 0; i < lengthof(of_place) && servers[0] && servers[1]; i++)
		if (strcmp(ServerOption(servers[0], of_place[i]), ServerOption(servers[1], of_place[i])) != 0)
			return false;
	return servers[0] && servers[1];
}

/* ---------- for functions with options ---------- */

/*
 * A member's text. Error 22023 for an array or an object.
 */
static char *
OptionText(const char *name, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			RaiseSettingProblem(NULL, NULL, _("value for option \"%s\" must be a text, a number or a Boolean"), name);
	}
}

MilvusPair *
ConnectionOptions(const Jsonb *options, bool all, int *n)
{
	MilvusPair *pairs;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;

	*n = 0;
	if (options == NULL)
		return NULL;
	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options must be a JSON object")));
	pairs = palloc(sizeof(MilvusPair) * Max(JB_ROOT_COUNT(options), 1));
	iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &options->root));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && (all || IsMilvusOption(name)))
		{
			/* an unknown one is refused as such, whatever its value and also as null */
			if (!IsMilvusOption(name))
				FindMilvusOption(name, PLACE_CALL, NULL);
			if (value.type != jbvNull)
				pairs[(*n)++] = (MilvusPair) {name, OptionText(name, &value)};
		}
	}
	return pairs;
}

typedef struct ParameterSearch
{
	const char *name;
	char	   *value;
} ParameterSearch;

static void
FindParameter(const char *name, const char *value, const char *origin pg_attribute_unused(), void *arg)
{
	ParameterSearch *search = arg;

	if (strcmp(name, search->name) == 0 && *value && search->value == NULL)
		search->value = pstrdup(value);
}

char *
MilvusParameter(const char *name)
{
	ParameterSearch search = {name, NULL};

	if (!superuser())
		return NULL;
	ReadEnvironment(FindParameter, &search);
	if (search.value == NULL)
		ReadConfigFile(FindParameter, &search);
	return search.value;
}
