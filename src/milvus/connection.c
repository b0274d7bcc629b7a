/*
 * connection.c
 *		The session's connections to Milvus.
 *
 * A connection is kept for what it was opened with: server, user mapping, address,
 * database, secrets, files, timeouts. Each call resolves these anew, so an altered
 * server or a rotated password never meets an old connection; the callbacks on the
 * catalogs only say which connections are of no more use. A callback may come at
 * any moment, also while a request waits, so it marks, and the next use closes.
 *
 * Whoever has been given a connection may use it to the end of his transaction. A
 * search can run within a build (in a view, in a filter's function), so nothing is
 * closed that was given out in the same transaction.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "storage/proc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "milvus/connection.h"

/* Sockets of one session. One identity on one server is what there is, mostly. */
#define MAX_CONNECTIONS 16

typedef struct CachedConnection
{
	dlist_node	node;			/* the last used one is the first */
	MemoryContext context;		/* has this, and all that it points to */
	MilvusConnection connection;
	Oid			server;
	Oid			mapping;
	uint32		server_hash;	/* of the catalogs' caches */
	uint32		mapping_hash;
	bool		stale;			/* not to be given out any more */
	LocalTransactionId used_in; /* was given out last in this transaction */
} CachedConnection;

static dlist_head connections = DLIST_STATIC_INIT(connections);
static int	n_connections = 0;
static int64 n_opened = 0;

static LocalTransactionId
CurrentTransaction(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProc->vxid.lxid;
#else
	return MyProc->lxid;
#endif
}

/*
 * A server or a user mapping has changed; 0 means that any may have.
 */
static void
MarkConnections(Datum arg pg_attribute_unused(), int cache, uint32 hash)
{
	dlist_iter	iter;

	dlist_foreach(iter, &connections)
	{
		CachedConnection *cached = dlist_container(CachedConnection, node, iter.cur);

		if (hash == 0 || hash == (cache == FOREIGNSERVEROID ? cached->server_hash : cached->mapping_hash))
			cached->stale = true;
	}
}

static void
WatchCatalogs(void)
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, MarkConnections, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, MarkConnections, (Datum) 0);
	watching = true;
}

/*
 * The context's end closes the connection.
 */
static void
CloseConnection(CachedConnection *cached)
{
	dlist_delete(&cached->node);
	n_connections--;
	MemoryContextDelete(cached->context);
}

static void
CloseStaleConnections(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &connections)
	{
		CachedConnection *cached = dlist_container(CachedConnection, node, iter.cur);

		if (cached->stale && cached->used_in != CurrentTransaction())
			CloseConnection(cached);
	}
}

/*
 * Close the one that was not used for longest. Error 53400 when this transaction
 * has been given all of them.
 */
static void
MakeRoom(void)
{
	dlist_node *last;

	if (n_connections < MAX_CONNECTIONS)
		return;
	last = dlist_tail_node(&connections);
	if (dlist_container(CachedConnection, node, last)->used_in == CurrentTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many connections to Milvus in one transaction"),
				 errdetail("There are at most %d, for as many servers, users or databases.", MAX_CONNECTIONS)));
	CloseConnection(dlist_container(CachedConnection, node, last));
}

static bool
SameText(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool
IsFor(const CachedConnection *cached, const MilvusSettings *settings)
{
	const GrpcEndpoint *a = GrpcEndpointOf(cached->connection.grpc);
	const GrpcEndpoint *b = &settings->endpoint;

	return cached->server == settings->server && cached->mapping == settings->mapping &&
		SameText(a->host, b->host) && a->port == b->port && a->tls == b->tls &&
		SameText(a->authorization, b->authorization) && SameText(a->database, b->database) &&
		SameText(a->server_name, b->server_name) && SameText(a->ca_file, b->ca_file) &&
		SameText(a->cert_file, b->cert_file) && SameText(a->key_file, b->key_file) &&
		a->connect_timeout == b->connect_timeout && a->request_timeout == b->request_timeout;
}

static CachedConnection *
FindConnection(const MilvusSettings *settings)
{
	dlist_iter	iter;

	dlist_foreach(iter, &connections)
	{
		CachedConnection *cached = dlist_container(CachedConnection, node, iter.cur);

		if (!cached->stale && IsFor(cached, settings))
			return cached;
	}
	return NULL;
}

static uint32
HashOf(int cache, Oid oid)
{
	return OidIsValid(oid) ? GetSysCacheHashValue1(cache, ObjectIdGetDatum(oid)) : 0;
}

/* ---------- opening ---------- */

static GrpcFailure *
NoDatabase(GrpcConnection *grpc, int sqlstate, const char *hint)
{
	GrpcFailure *failure = palloc0(sizeof(GrpcFailure));

	failure->sqlstate = sqlstate;
	failure->grpc_status = GRPC_OK;
	failure->milvus_code = MILVUS_DATABASE_NOT_FOUND;
	failure->message = psprintf(_("Milvus server \"%s\" has no database \"%s\""),
								GrpcNameOf(grpc), GrpcEndpointOf(grpc)->database);
	failure->hint = pstrdup(hint);
	return failure;
}

/*
 * The full Milvus refuses Connect for a database that it does not have;
 * milvus-lite 2.x says nothing and answers from its only one.
 */
static GrpcFailure *
CheckDatabase(GrpcConnection *grpc, const MilvusServer *server)
{
	const char *database = GrpcEndpointOf(grpc)->database;
	GrpcFailure *failure;
	char	  **names;
	int			n;

	if (database == NULL || strcmp(database, "default") == 0 || !server->is_lite)
		return NULL;
	failure = MilvusListDatabases(grpc, &n, &names);
	if (failure && failure->grpc_status == GRPC_UNIMPLEMENTED)
		return NoDatabase(grpc, ERRCODE_FEATURE_NOT_SUPPORTED,
						  _("This kind of server has no databases: leave the option db_name out."));
	if (failure)
		return failure;
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], database) == 0)
			return NULL;
	return NoDatabase(grpc, ERRCODE_UNDEFINED_DATABASE, _("The option db_name names it."));
}

/*
 * The first calls on a connection: does the server know us, what is it, and does
 * it have our database?
 */
GrpcFailure *
MilvusHello(GrpcConnection *grpc, MilvusServer *server)
{
	GrpcFailure *failure = MilvusConnect(grpc, server);

	if (failure == NULL)
		return CheckDatabase(grpc, server);
	if (failure->milvus_code == MILVUS_DATABASE_NOT_FOUND && GrpcEndpointOf(grpc)->database)
		return NoDatabase(grpc, ERRCODE_UNDEFINED_DATABASE, _("The option db_name names it."));
	return failure;
}

/*
 * A new connection, below the current memory context: what fails takes it along.
 */
static GrpcFailure *
OpenConnection(const MilvusSettings *settings, CachedConnection **opened)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "Milvus session", ALLOCSET_SMALL_SIZES);
	CachedConnection *cached = MemoryContextAllocZero(context, sizeof(CachedConnection));
	MilvusConnection *connection = &cached->connection;
	GrpcFailure *failure;

	cached->context = context;
	cached->server = settings->server;
	cached->mapping = settings->mapping;
	cached->server_hash = HashOf(FOREIGNSERVEROID, settings->server);
	cached->mapping_hash = HashOf(USERMAPPINGOID, settings->mapping);
	connection->grpc = GrpcOpen(&settings->endpoint, context);
	failure = MilvusHello(connection->grpc, &connection->server);
	if (failure)
	{
		MemoryContextDelete(context);
		return failure;
	}
	if (connection->server.version)
		connection->server.version = MemoryContextStrdup(context, connection->server.version);
	*opened = cached;
	return NULL;
}

/*
 * The session's connection for these settings, opened when there is none. NULL,
 * or why there can be none.
 */
GrpcFailure *
MilvusGetConnection(const MilvusSettings *settings, MilvusConnection **connection)
{
	CachedConnection *cached;

	WatchCatalogs();
	CloseStaleConnections();
	cached = FindConnection(settings);
	if (cached)
		dlist_move_head(&connections, &cached->node);
	else
	{
		GrpcFailure *failure = OpenConnection(settings, &cached);

		if (failure)
			return failure;
		MakeRoom();
		MemoryContextSetParent(cached->context, TopMemoryContext);
		dlist_push_head(&connections, &cached->node);
		n_connections++;
		n_opened++;
	}
	cached->used_in = CurrentTransaction();
	*connection = &cached->connection;
	return NULL;
}

/*
 * How many the session has now, and how many it has opened.
 */
void
CountMilvusConnections(int *open, int64 *opened)
{
	*open = n_connections;
	*opened = n_opened;
}
