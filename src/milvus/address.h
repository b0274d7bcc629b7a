/*
 * address.h
 *		Addresses of Milvus servers: uris, and the hosts that everybody may name.
 */
#ifndef BRAIN_MILVUS_ADDRESS_H
#define BRAIN_MILVUS_ADDRESS_H

#include "utils/guc.h"

#define MILVUS_DEFAULT_HOST "localhost"
#define MILVUS_DEFAULT_PORT 19530

typedef enum UriScheme
{
	URI_NO_SCHEME,				/* host or host:port */
	URI_PLAIN,					/* http://, tcp:// */
	URI_TLS,					/* https:// */
} UriScheme;

typedef struct MilvusAddress
{
	UriScheme	scheme;
	char	   *host;			/* IPv6 without brackets */
	int			port;			/* 0: not said */
} MilvusAddress;

/* Why a text is no address: it may hold a password, so neither has a part of it. */
typedef struct AddressProblem
{
	const char *message;
	const char *hint;
} AddressProblem;

extern const AddressProblem *ParseMilvusUri(const char *uri, MilvusAddress *address);
extern bool IsHostName(const char *host);
extern int	ParsePort(const char *port, int length);
extern bool HostIsAllowed(const char *host, int port);
extern bool CheckAllowedHosts(char **value, void **extra, GucSource source);

extern char *allowed_hosts;

#endif							/* BRAIN_MILVUS_ADDRESS_H */
