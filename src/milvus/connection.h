/*
 * connection.h
 *		Which Milvus server a call means, as whom, and the session's connection to it.
 */
#ifndef BRAIN_CONNECTION_H
#define BRAIN_CONNECTION_H

#include "milvus/grpc.h"
#include "milvus/messages.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/*
 * What the settings say, from strong to weak: a call's own arguments; a server
 * and its user mapping, or, where no server is named, the environment and
 * FiftyOne's brain_config.json; defaults.
 */
typedef struct MilvusSettings
{
	GrpcEndpoint endpoint;
	Oid			server;			/* the foreign server; InvalidOid: none */
	Oid			mapping;		/* its user mapping; InvalidOid: none */
} MilvusSettings;

/* A collection that was found to be a base's. */
typedef struct SeenCollection
{
	pg_uuid_t	generation;
	int			dim;
	TimestampTz seen;
} SeenCollection;

#define SEEN_COLLECTIONS 64

/* A session's connection, checked by Connect when it was opened. */
typedef struct MilvusConnection
{
	GrpcConnection *grpc;
	MilvusServer server;
	SeenCollection collections[SEEN_COLLECTIONS];
} MilvusConnection;

/*
 * Arguments of a call, already text: names as in brain_config.json (uri, user,
 * password, token, secure, db_name, ...); fdw_server is the SQL argument server.
 * Errors: 42704 unknown server, 42501 may not use it or its host, 22023 a setting
 * that cannot be, HV00D an unknown one.
 */
extern MilvusSettings *FindMilvusSettings(const char *fdw_server, int n_options,
										  const MilvusPair *options);

/*
 * Those members of a SQL function's options that are options of a connection, in
 * *n; all of them, so that FindMilvusSettings() refuses the others, with all.
 */
extern MilvusPair *ConnectionOptions(const Jsonb *options, bool all, int *n);

/*
 * A parameter that FiftyOne's environment variables or brain_config.json give the
 * milvus backend and that is none of a connection: collection_name, metric,
 * consistency_level. NULL: none, or none for the current user.
 */
extern char *MilvusParameter(const char *name);

/*
 * Do two names of foreign servers (NULL: the settings of who asks) stand for one
 * Milvus database, as far as their names or their options show it?
 */
extern bool MilvusSameServer(const char *a, const char *b);

/*
 * The session's connection for these settings, opened when there is none. A new
 * one is checked by MilvusHello(). It stays open to the end of the
 * transaction, whatever is altered or opened meanwhile, and may be closed then:
 * the pointer must not be kept any longer.
 */
extern GrpcFailure *MilvusGetConnection(const MilvusSettings *settings, MilvusConnection **connection);

extern void CountMilvusConnections(int *open, int64 *opened);

/*
 * The first calls on a connection of one's own: Connect, and whether the database
 * is there. What is known of the server is in *server, also after a failure.
 */
extern GrpcFailure *MilvusHello(GrpcConnection *grpc, MilvusServer *server);

/* brain.allowed_hosts, brain.config_file, brain.connect_timeout, brain.request_timeout */
extern void DefineMilvusSettings(void);

#endif							/* BRAIN_CONNECTION_H */
