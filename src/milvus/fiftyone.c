/*
 * fiftyone.c
 *		What FiftyOne's environment variables and brain_config.json say.
 *
 * Values stay text: FiftyOne guesses types, so that the password 123456 becomes a
 * number, and one with a comma a list. The file may be as FiftyOne's page prints
 * it, with comments, which FiftyOne itself does not read. Both belong to whoever
 * runs the server, and both hold secrets: an error never shows what was read, nor
 * what PostgreSQL's JSON parser says of it, which quotes.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/string.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "compat.h"
#include "milvus/fiftyone.h"
#include "try.h"

#define ENVIRONMENT_PREFIX "FIFTYONE_BRAIN_SIMILARITY_MILVUS_"

/* FiftyOne's have some hundred bytes. */
#define MAX_CONFIG_SIZE (1024 * 1024)

char	   *config_file;

extern char **environ;

/* Parameters of FiftyOne's milvus backend that are no options of a connection. */
static const char *const other_parameters[] = {
	"collection_name", "config_cls", "consistency_level", "embeddings_field", "metric", "model",
	"model_kwargs", "patches_field", "roi_field", "supports_prompts",
};

bool
IsFiftyOneParameter(const char *name)
{
	for (size_t i = 0; i < lengthof(other_parameters); i++)
		if (strcmp(name, other_parameters[i]) == 0)
			return true;
	return false;
}

/* ---------- encodings ---------- */

typedef struct Conversion
{
	const char *text;
	bool		to_server;
	char	   *converted;
} Conversion;

static void
Convert(void *arg)
{
	Conversion *conversion = arg;
	const char *text = conversion->text;

	conversion->converted = conversion->to_server ?
		pg_any_to_server(text, strlen(text), PG_UTF8) :
		pg_server_to_any(text, strlen(text), PG_UTF8);
}

/*
 * NULL for what cannot be converted. PostgreSQL's own error shows bytes of the
 * text.
 */
static char *
TryToConvert(const char *text, bool to_server)
{
	Conversion	conversion = {text, to_server, NULL};

	if (pg_is_ascii(text))
		return pstrdup(text);
	return Try(Convert, &conversion) ? NULL : conversion.converted;
}

/*
 * Text from outside of the database, which is taken for UTF-8.
 */
char *
Utf8ToServer(const char *text, const char *origin)
{
	char	   *converted = TryToConvert(text, true);

	if (converted == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("%s is not UTF-8, or has characters that the encoding \"%s\" does not",
						origin, GetDatabaseEncodingName())));
	return converted;
}

/*
 * Text for Milvus.
 */
char *
ServerToUtf8(const char *text, const char *what)
{
	char	   *converted = TryToConvert(text, false);

	if (converted == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("%s cannot be converted to UTF-8", what)));
	return converted;
}

/* ---------- the environment ---------- */

/*
 * The parameters that the server process's environment has. As for FiftyOne, an
 * empty one and None are none.
 */
void
ReadEnvironment(ParameterReader read, void *arg)
{
	size_t		prefix = strlen(ENVIRONMENT_PREFIX);

	for (char **variable = environ; *variable; variable++)
	{
		char	   *equals = strchr(*variable, '=');
		char	   *name;
		char	   *origin;

		if (equals == NULL || strncmp(*variable, ENVIRONMENT_PREFIX, prefix) != 0 ||
			equals[1] == '\0' || strcmp(equals + 1, "None") == 0)
			continue;
		name = pnstrdup(*variable, equals - *variable);
		origin = psprintf(_("the environment variable %s"), name);
		name += prefix;
		for (char *c = name; *c; c++)
			*c = pg_ascii_tolower((unsigned char) *c);
		read(name, Utf8ToServer(equals + 1, origin), origin, arg);
	}
}

/* ---------- brain_config.json ---------- */

/*
 * The file's path; NULL when none is to be read. named: somebody named it, so it
 * must be there.
 */
static char *
ConfigPath(bool *named)
{
	const char *path = config_file;
	char		home[MAXPGPATH];

	*named = true;
	if (strcmp(path, DEFAULT_CONFIG_FILE) == 0)
	{
		const char *variable = getenv("FIFTYONE_BRAIN_CONFIG_PATH");

		*named = variable && *variable;
		if (*named)
			path = variable;
	}
	if (*path == '\0')
		return NULL;
	if (strncmp(path, "~/", 2) == 0 && get_home_path(home))
		return psprintf("%s/%s", home, path + 2);
	return pstrdup(path);
}

/*
 * Who may not read the server's files is not told which one it is.
 */
static char *
NameOfFile(const char *path)
{
	return superuser() ? psprintf(_("file \"%s\""), path) : pstrdup(_("the file that brain.config_file names"));
}

/*
 * What errcode_for_file_access() would call an internal error is the setting's.
 */
static void
RaiseUnreadable(const char *path)
{
	bool		unusable = errno == ENAMETOOLONG || errno == ELOOP || errno == ENXIO;

	ereport(ERROR,
			(unusable ? errcode(ERRCODE_CONFIG_FILE_ERROR) : errcode_for_file_access(),
			 errmsg("could not read %s: %m", NameOfFile(path)),
			 errhint("brain.config_file names it; the environment's FIFTYONE_BRAIN_CONFIG_PATH does where that is the default.")));
}

pg_noreturn static void
RaiseBadFile(const char *path, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("%s is no brain_config.json: %s", NameOfFile(path), problem)));
}

/*
 * The file's text; NULL when it is not there and nobody named it. Opened without
 * waiting: it could be a pipe.
 */
static char *
ReadText(const char *path, bool named)
{
	int			fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | PG_BINARY);
	struct stat status;
	char	   *text;
	ssize_t		length = 0;

	if (fd < 0)
	{
		if ((errno == ENOENT || errno == ENOTDIR) && !named)
			return NULL;
		RaiseUnreadable(path);
	}
	if (fstat(fd, &status) < 0)
		RaiseUnreadable(path);
	if (!S_ISREG(status.st_mode))
		RaiseBadFile(path, _("it is not a regular file"));
	if (status.st_size > MAX_CONFIG_SIZE)
		RaiseBadFile(path, _("it is larger than 1 MB"));
	text = palloc(status.st_size + 1);
	while (length < status.st_size)
	{
		ssize_t		n = read(fd, text + length, status.st_size - length);

		if (n < 0)
			RaiseUnreadable(path);
		if (n == 0)
			break;
		length += n;
	}
	CloseTransientFile(fd);
	text[length] = '\0';
	if (strlen(text) != (size_t) length)
		RaiseBadFile(path, _("it has a zero byte"));
	return text;
}

/*
 * Overwrite comments, from # to the end of the line, with spaces.
 */
static void
BlankComments(char *json)
{
	bool		in_string = false;

	for (char *c = json; *c; c++)
	{
		if (in_string && c[0] == '\\' && c[1])
			c++;
		else if (*c == '"')
			in_string = !in_string;
		else if (*c == '#' && !in_string)
		{
			size_t		length = strcspn(c, "\n");

			memset(c, ' ', length);
			c += length - 1;
		}
	}
}

typedef struct Parsing
{
	char	   *json;
	Jsonb	   *parsed;
} Parsing;

static void
ParseJson(void *arg)
{
	Parsing    *parsing = arg;

	parsing->parsed = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(parsing->json)));
}

/*
 * The file, parsed; NULL when there is none. Its path for messages.
 */
static Jsonb *
ReadConfig(char **path)
{
	Parsing		parsing;
	bool		named;
	char	   *text;

	*path = ConfigPath(&named);
	if (*path == NULL)
		return NULL;
	text = ReadText(*path, named);
	if (text == NULL)
		return NULL;
	if (strncmp(text, "\xEF\xBB\xBF", 3) == 0)
		text += 3;				/* a byte order mark */
	parsing.json = Utf8ToServer(text, NameOfFile(*path));
	BlankComments(parsing.json);
	if (Try(ParseJson, &parsing) != NULL)
		RaiseBadFile(*path, _("it is not valid JSON"));
	if (!JB_ROOT_IS_OBJECT(parsing.parsed))
		RaiseBadFile(*path, _("it is not a JSON object"));
	return parsing.parsed;
}

/*
 * An object's member as an object; NULL when it is not there.
 */
static JsonbContainer *
Member(JsonbContainer *object, const char *key, const char *path)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, key, strlen(key), NULL);

	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		RaiseBadFile(path, psprintf(_("\"%s\" is not an object"), key));
	return value->val.binary.data;
}

/*
 * A value's text; NULL for null, and for arrays and objects.
 */
static char *
TextOfValue(const JsonbValue *value)
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
			return NULL;
	}
}

/*
 * The parameters below similarity_backends, milvus.
 */
void
ReadConfigFile(ParameterReader read, void *arg)
{
	char	   *path;
	Jsonb	   *config = ReadConfig(&path);
	JsonbContainer *object;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;
	char	   *origin;

	object = config ? Member(&config->root, "similarity_backends", path) : NULL;
	object = object ? Member(object, "milvus", path) : NULL;
	if (object == NULL)
		return;
	origin = psprintf(_("the file \"%s\""), path);
	iterator = JsonbIteratorInit(object);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && value.type != jbvNull)
		{
			char	   *text = TextOfValue(&value);

			if (text == NULL && !IsFiftyOneParameter(name))
				RaiseBadFile(path, psprintf(_("\"%s\" is an array or an object"), name));
			read(name, text ? text : "", origin, arg);
		}
	}
}

/* ---------- the default backend ---------- */

/*
 * The default similarity backend that the environment names, else the file, and
 * where; NULL: none. For everybody: it is a word, and no secret.
 */
char *
FiftyOneBackend(char **origin)
{
	const char *variable = getenv("FIFTYONE_BRAIN_DEFAULT_SIMILARITY_BACKEND");
	char	   *path;
	Jsonb	   *config;
	JsonbValue *value;

	if (variable && *variable && strcmp(variable, "None") != 0)
	{
		*origin = pstrdup(_("the environment variable FIFTYONE_BRAIN_DEFAULT_SIMILARITY_BACKEND"));
		return Utf8ToServer(variable, *origin);
	}
	config = ReadConfig(&path);
	if (config == NULL)
		return NULL;
	*origin = NameOfFile(path);
	value = getKeyJsonValueFromContainer(&config->root, "default_similarity_backend",
										 strlen("default_similarity_backend"), NULL);
	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (value->type != jbvString)
		RaiseBadFile(path, _("\"default_similarity_backend\" is not a text"));
	return TextOfValue(value);
}
