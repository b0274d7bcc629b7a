/*
 * address.c
 *		Addresses of Milvus servers: uris, and the hosts that everybody may name.
 *
 * A host's name is letters, digits, dots, hyphens and underscores, or an address;
 * what else can stand in a URL never reaches libcurl.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "nodes/pg_list.h"
#include "utils/varlena.h"

#include "milvus/address.h"

/* RFC 1035 */
#define MAX_HOST_LENGTH 253

/* brain.allowed_hosts */
char	   *allowed_hosts;

static const AddressProblem no_host = {"it has no host", NULL};
static const AddressProblem bad_host = {
	"its host is neither a name nor an address",
	"Names are letters, digits, dots, hyphens and underscores; an IPv6 address stands in brackets."
};
static const AddressProblem bad_port = {"its port is not a number from 1 to 65535", NULL};
static const AddressProblem has_user = {
	"it contains a user or a password",
	"Give the options user and password, or token: in a user mapping nobody else sees them."
};
static const AddressProblem has_path = {
	"there is something behind host and port",
	"A database is named by the option db_name."
};
static const AddressProblem bad_scheme = {
	"its scheme is not known",
	"It can be http://, https://, tcp://, or none: host:port."
};
static const AddressProblem is_file = {
	"it is a file, and only a server can be asked",
	"A file of milvus-lite is served by: milvus-lite server --data-dir FOLDER --port 19530."
};

/*
 * A name or an address, IPv6 without brackets.
 */
bool
IsHostName(const char *host)
{
	struct in6_addr address;
	size_t		length = strlen(host);

	if (strchr(host, ':'))
		return inet_pton(AF_INET6, host, &address) == 1;
	return length > 0 && length <= MAX_HOST_LENGTH && host[0] != '-' && host[0] != '.' &&
		strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == length;
}

/*
 * 0 for what is none.
 */
int
ParsePort(const char *port, int length)
{
	int			n = 0;

	if (length < 1 || length > 5)
		return 0;
	for (int i = 0; i < length; i++)
	{
		if (port[i] < '0' || port[i] > '9')
			return 0;
		n = n * 10 + (port[i] - '0');
	}
	return n <= 65535 ? n : 0;
}

/*
 * The scheme, and what follows it. False for an unknown one.
 */
static bool
SkipScheme(const char **at, UriScheme *scheme)
{
	static const struct
	{
		const char *name;
		UriScheme	scheme;
	}			schemes[] = {
		{"http://", URI_PLAIN},
		{"tcp://", URI_PLAIN},
		{"https://", URI_TLS},
	};

	*scheme = URI_NO_SCHEME;
	for (size_t i = 0; i < lengthof(schemes); i++)
		if (pg_strncasecmp(*at, schemes[i].name, strlen(schemes[i].name)) == 0)
		{
			*scheme = schemes[i].scheme;
			*at += strlen(schemes[i].name);
			return true;
		}
	return strstr(*at, "://") == NULL;
}

/*
 * A host, and what follows it.
 */
static const AddressProblem *
SkipHost(const char **at, char **host)
{
	bool		in_brackets = **at == '[';
	size_t		length;

	if (in_brackets)
		(*at)++;
	length = strcspn(*at, in_brackets ? "]" : ":/?#");
	if (length == 0)
		return **at == ':' && (*at)[1] == ':' ? &bad_host : &no_host;
	*host = pnstrdup(*at, length);
	*at += length;
	if (in_brackets && *(*at)++ != ']')
		return &bad_host;
	return IsHostName(*host) && in_brackets == (strchr(*host, ':') != NULL) ? NULL : &bad_host;
}

/*
 * http://host, https://host:port, tcp://[IPv6]:port, host:port or host, with or
 * without a slash at the end. NULL when it is one, else what is wrong.
 */
const AddressProblem *
ParseMilvusUri(const char *uri, MilvusAddress *address)
{
	const AddressProblem *problem;
	const char *at = uri;

	address->port = 0;
	if (strchr(uri, '@'))
		return &has_user;
	if (pg_strncasecmp(uri, "unix:", 5) == 0 || uri[0] == '/' || strncmp(uri, "./", 2) == 0 || strncmp(uri, "../", 3) == 0 ||
		(strlen(uri) > 3 && strcmp(uri + strlen(uri) - 3, ".db") == 0))
		return &is_file;
	if (!SkipScheme(&at, &address->scheme))
		return &bad_scheme;
	problem = SkipHost(&at, &address->host);
	if (problem)
		return problem;
	if (*at == ':')
	{
		size_t		length = strcspn(++at, "/?#");

		if (memchr(at, ':', length))
			return &bad_host;	/* IPv6 without brackets */
		address->port = ParsePort(at, length);
		if (address->port == 0)
			return &bad_port;
		at += length;
	}
	if (*at == '/')
		at++;
	return *at ? &has_path : NULL;
}

/* ---------- brain.allowed_hosts ---------- */

/*
 * The setting's check: a list of hosts, with or without a port. May not throw.
 */
bool
CheckAllowedHosts(char **value, void **extra pg_attribute_unused(), GucSource source pg_attribute_unused())
{
	List	   *hosts;
	ListCell   *cell;

	if (!SplitGUCList(pstrdup(*value), ',', &hosts))
	{
		GUC_check_errdetail("List syntax is invalid.");
		return false;
	}
	foreach(cell, hosts)
	{
		MilvusAddress address;
		const AddressProblem *problem = ParseMilvusUri(lfirst(cell), &address);

		if (problem == NULL && address.scheme == URI_NO_SCHEME)
			continue;
		GUC_check_errdetail("It is a list of hosts, such as \"localhost, milvus.example.com:19530, [::1]\".");
		return false;
	}
	return true;
}

/*
 * Is it in brain.allowed_hosts? An entry without a port allows all of them.
 * Names are compared as they are written: what else means the same host is not
 * allowed.
 */
bool
HostIsAllowed(const char *host, int port)
{
	List	   *hosts;
	ListCell   *cell;

	if (!SplitGUCList(pstrdup(allowed_hosts), ',', &hosts))
		return false;
	foreach(cell, hosts)
	{
		MilvusAddress address;

		if (ParseMilvusUri(lfirst(cell), &address) == NULL &&
			pg_strcasecmp(address.host, host) == 0 &&
			(address.port == 0 || address.port == port))
			return true;
	}
	return false;
}
