/*
 * grpc.h
 *		Unary gRPC calls over HTTP/2, by libcurl.
 */
#ifndef BRAIN_GRPC_H
#define BRAIN_GRPC_H

#include "lib/stringinfo.h"

#include "compat.h"

/*
 * Where a connection goes, and as whom. A connection is made for one endpoint and
 * is never used for another.
 */
typedef struct GrpcEndpoint
{
	char	   *host;			/* name or address, IPv6 without brackets */
	int			port;
	bool		tls;
	char	   *authorization;	/* the header's value; NULL: none. A secret. */
	char	   *database;		/* the header dbname; NULL: none */
	char	   *server_name;	/* to be found in the certificate; NULL: host */
	char	   *ca_file;		/* NULL: the system's */
	char	   *cert_file;		/* of the client, with key_file; NULL: none */
	char	   *key_file;
	int			connect_timeout;	/* ms, > 0: name, connection, TLS handshake */
	int			request_timeout;	/* ms, > 0: from the first byte sent to the last received */
} GrpcEndpoint;

/* gRPC's statuses that somebody asks for by name. */
#define GRPC_OK 0
#define GRPC_DEADLINE_EXCEEDED 4
#define GRPC_PERMISSION_DENIED 7
#define GRPC_RESOURCE_EXHAUSTED 8
#define GRPC_UNIMPLEMENTED 12
#define GRPC_INTERNAL 13
#define GRPC_UNAVAILABLE 14
#define GRPC_UNAUTHENTICATED 16

/*
 * Why a call has no reply. Failures are values, not errors, since a search may
 * have another way to answer; only cancels, timeouts of statements and the like
 * are raised. Texts are palloc'd in the caller's context and hold no secret.
 */
typedef struct GrpcFailure
{
	int			sqlstate;
	int			grpc_status;	/* that the server gave; -1: none */
	int			milvus_code;	/* Status.code of a reply; 0: none */
	bool		maybe_done;		/* the server may have done what it was asked */
	char	   *message;		/* names the host */
	char	   *detail;			/* NULL: none; the server's or libcurl's own words */
	char	   *hint;			/* NULL: none, where nothing can be done */
} GrpcFailure;

typedef struct GrpcConnection GrpcConnection;

/* A request begins with the frame's head, that GrpcCall() fills. */
#define GRPC_FRAME_HEAD 5

/* Servers take no more (64 MiB), and Milvus 2.3's refusal cannot be seen. */
#define GRPC_MAX_REQUEST (60 * 1024 * 1024)

/* What a reply may have at most. Milvus sends 64 MiB (2.3), 256 MiB at most. */
#define GRPC_MAX_REPLY (256 * 1024 * 1024)

/* May the call be sent again when a kept connection turns out to be dead? */
typedef enum GrpcRepeat
{
	GRPC_REPEATABLE,			/* it changes nothing, or the same when done twice */
	GRPC_ONCE,					/* only when nothing of it can have arrived */
} GrpcRepeat;

extern GrpcConnection *GrpcOpen(const GrpcEndpoint *endpoint, MemoryContext parent);
extern void GrpcClose(GrpcConnection *connection);
extern const GrpcEndpoint *GrpcEndpointOf(const GrpcConnection *connection);
extern const char *GrpcNameOf(const GrpcConnection *connection);
extern int64 GrpcConnectsOf(const GrpcConnection *connection);
extern double GrpcIdleSeconds(const GrpcConnection *connection);
extern void GrpcBeginRequest(StringInfo request);
extern GrpcFailure *GrpcCall(GrpcConnection *connection, const char *method, StringInfo request,
							 GrpcRepeat repeat, StringInfo reply);
pg_noreturn extern void GrpcRaise(const GrpcFailure *failure);
extern void GrpcCheck(const GrpcFailure *failure);

/* Of status.c, which knows what failures mean. */
extern char *GrpcDefaultHint(int sqlstate);

#endif							/* BRAIN_GRPC_H */
