/*
 * server.c
 *		Calls that are about the server: who it is, its databases, its time.
 */
#include "postgres.h"

#include "milvus/call.h"
#include "milvus/texts.h"

/* The version where the server says none. */
#define LITE2_VERSION "milvus-lite 2.x"

static Problem
TakeVersion(const ProtobufCMessage *message, void *result)
{
	const Milvus__VersionReply *reply = (const Milvus__VersionReply *) message;

	*(char **) result = WordsFromServer(reply->version, strlen(reply->version));
	return NULL;
}

static Problem
TakeServer(const ProtobufCMessage *message, void *result)
{
	const Milvus__ConnectReply *reply = (const Milvus__ConnectReply *) message;
	const char *version = reply->server_info ? reply->server_info->build_tags : "";

	*(char **) result = *version ? WordsFromServer(version, strlen(version)) : NULL;
	return NULL;
}

static bool
HasDigit(const char *text)
{
	return strpbrk(text, "0123456789") != NULL;
}

/*
 * What the full server of PyPI calls itself, "v2.3.5-lite", is no milvus-lite:
 * "milvus_lite-3.2.2" is, of which Connect says no number. milvus-lite 2 says
 * nothing, and does not know the other call either.
 */
GrpcFailure *
MilvusConnect(GrpcConnection *c, MilvusServer *server)
{
	static const ReplyKind connect_kind = {&milvus__connect_reply__descriptor, TakeServer};
	static const ReplyKind version_kind = {&milvus__version_reply__descriptor, TakeVersion};
	Milvus__ClientInfo client = MILVUS__CLIENT_INFO__INIT;
	Milvus__ConnectRequest request = MILVUS__CONNECT_REQUEST__INIT;
	Milvus__EmptyRequest empty = MILVUS__EMPTY_REQUEST__INIT;
	GrpcFailure *failure;

	memset(server, 0, sizeof(MilvusServer));
	client.sdk_type = Sent("milvus_brain");
	client.sdk_version = Sent("0.3");
	request.client_info = &client;
	failure = CallMilvus(c, "Connect", GRPC_REPEATABLE, &request.base, &connect_kind, &server->version);
	if (failure == NULL && (server->version == NULL || !HasDigit(server->version)))
	{
		failure = CallMilvus(c, "GetVersion", GRPC_REPEATABLE, &empty.base, &version_kind, &server->version);
		if (failure != NULL && failure->grpc_status == GRPC_UNIMPLEMENTED)
		{
			server->is_lite2 = true;
			server->version = pstrdup(LITE2_VERSION);
			failure = NULL;
		}
	}
	if (failure == NULL)
		server->is_lite = server->is_lite2 || strncmp(server->version, "milvus_lite", 11) == 0;
	return failure;
}

GrpcFailure *
MilvusListDatabases(GrpcConnection *c, int *n, char ***names)
{
	return CallForNames(c, "ListDatabases", n, names);
}

static Problem
TakeTimestamp(const ProtobufCMessage *message, void *result)
{
	*(uint64 *) result = ((const Milvus__TimestampReply *) message)->timestamp;
	return NULL;
}

/*
 * milvus-lite 3 does not know this call: GRPC_UNIMPLEMENTED.
 */
GrpcFailure *
MilvusAllocTimestamp(GrpcConnection *c, uint64 *timestamp)
{
	static const ReplyKind kind = {&milvus__timestamp_reply__descriptor, TakeTimestamp};
	Milvus__EmptyRequest request = MILVUS__EMPTY_REQUEST__INIT;

	return CallMilvus(c, "AllocTimestamp", GRPC_REPEATABLE, &request.base, &kind, timestamp);
}
