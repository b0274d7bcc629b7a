/*
 * collectionsweep.c
 *		Dropping the collections that belong to no run.
 *
 * Those that brain.garbage lists; and those that a rolled-back or crashed call has
 * left, which nobody has written down: they bear our marks, their maker's
 * transaction is over, and no run that any snapshot may see has them. What does
 * not bear the marks of this very cluster and database is never touched.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "catalog/pg_foreign_server.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "bases.h"
#include "collectionsweep.h"
#include "milvus/milvus.h"
#include "sweep.h"
#include "try.h"

/* A server that has more is not gone through: names are listed in one reply. */
#define MAX_COLLECTIONS 10000

typedef struct ServerSweep
{
	ReturnSetInfo *rsinfo;
	char	   *server;			/* NULL: the settings of who asks */
	List	   *garbage;		/* all of it */
	bool		listed_only;
	const char *origin;
	MilvusConnection *connection;
} ServerSweep;

/*
 * Between the calls to a server: a snapshot that is kept while a server takes its
 * time would keep syncs from taking in what was committed since.
 */
static void
BeginLook(void)
{
	PushActiveSnapshot(GetLatestSnapshot());
}

static void
EndLook(void)
{
	PopActiveSnapshot();
	InvalidateCatalogSnapshot();
}

static MilvusConnection *
ConnectTo(const char *server)
{
	MilvusSettings *settings;
	MilvusConnection *connection;

	BeginLook();
	settings = FindMilvusSettings(server, 0, NULL);
	EndLook();
	GrpcCheck(MilvusGetConnection(settings, &connection));
	return connection;
}

static bool
SameServer(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool
IsOver(uint64 maker)
{
	FullTransactionId xid = FullTransactionIdFromU64(maker);

	return FullTransactionIdPrecedes(xid, ReadNextFullTransactionId()) &&
		!TransactionIdIsInProgress(XidFromFullTransactionId(xid));
}

/*
 * Has that run, or one that is attached, or with NULL any, the collection, in any
 * snapshot? Whatever server its row names: two may be one. Read anew each time, after its maker was seen to
 * be over.
 */
static bool
HasBase(const pg_uuid_t *run_id, const char *collection)
{
	ListCell   *lc;
	bool		found = false;

	BeginLook();
	foreach(lc, BaseRowsInUse())
	{
		BaseRow    *row = lfirst(lc);

		if (row->collection && strcmp(row->collection, collection) == 0 &&
			(run_id == NULL || row->attached || memcmp(&row->run_id, run_id, sizeof(pg_uuid_t)) == 0))
			found = true;
	}
	EndLook();
	return found;
}

/*
 * Does the collection bear marks of this cluster and database, and of no other
 * timeline? What was made before a standby was promoted may be the primary's still.
 * *marks are valid then.
 */
static bool
IsOurs(ServerSweep *sweep, const char *collection, CollectionMarks *marks)
{
	MilvusCollection found = {0};
	GrpcFailure *failure = MilvusDescribeCollection(sweep->connection->grpc, collection, &found);

	if (failure && failure->milvus_code == MILVUS_COLLECTION_NOT_FOUND)
		return false;
	GrpcCheck(failure);
	return FindMarks(&found, marks) && MarksAreOurs(marks);
}

static void
Drop(ServerSweep *sweep, const char *collection)
{
	GrpcCheck(MilvusDropCollection(sweep->connection->grpc, collection));
	PutRemoved(sweep->rsinfo, "collection", collection);
}

/*
 * Is what is listed still there, and this database's to drop? A copy of it lists
 * the original's. What was attached is somebody else's, who told cleanup() to.
 */
static bool
IsGarbage(ServerSweep *sweep, const Garbage *garbage)
{
	CollectionMarks marks;

	return strcmp(garbage->origin, sweep->origin) == 0 &&
		(OidIsValid(garbage->attached_by) ||
		 (IsOurs(sweep, garbage->collection, &marks) &&
		  memcmp(&marks.run_id, &garbage->run_id, sizeof(pg_uuid_t)) == 0));
}

/*
 * Drop somebody's collection by the account of whoever has told to: who sweeps may
 * be allowed more.
 */
static void
DropAttached(void *arg)
{
	const Garbage *garbage = arg;
	MilvusConnection *connection;
	Oid			user;
	int			security_context;

	GetUserIdAndSecContext(&user, &security_context);
	SetUserIdAndSecContext(garbage->attached_by, security_context | SECURITY_LOCAL_USERID_CHANGE);
	connection = ConnectTo(garbage->server);
	SetUserIdAndSecContext(user, security_context);
	GrpcCheck(MilvusDropCollection(connection->grpc, garbage->collection));
}

/*
 * The same, unless that fails: others' are not to wait for it.
 */
static bool
TryToDropAttached(ServerSweep *sweep, Garbage *garbage)
{
	ErrorData  *error = Try(DropAttached, garbage);

	if (error == NULL)
	{
		PutRemoved(sweep->rsinfo, "collection", garbage->collection);
		return true;
	}
	ereport(WARNING,
			(errmsg("collection \"%s\" was not dropped: %s", garbage->collection, error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0));
	return false;
}

/*
 * What is listed as garbage on this server.
 */
static void
SweepGarbage(ServerSweep *sweep)
{
	ListCell   *lc;

	foreach(lc, sweep->garbage)
	{
		Garbage    *garbage = lfirst(lc);

		if (!SameServer(garbage->server, sweep->server))
			continue;
		if (IsGarbage(sweep, garbage))
		{
			/* an older snapshot may see it: it stays listed */
			if (HasBase(OidIsValid(garbage->attached_by) ? NULL : &garbage->run_id, garbage->collection))
				continue;
			if (!OidIsValid(garbage->attached_by))
				Drop(sweep, garbage->collection);
			else if (!TryToDropAttached(sweep, garbage))
				continue;
		}
		garbage->swept = true;
	}
}

/*
 * A collection that was dropped may be listed as one of a server that has another
 * name now.
 */
static void
ForgetGarbage(ServerSweep *sweep, const char *collection, const pg_uuid_t *run_id)
{
	ListCell   *lc;

	foreach(lc, sweep->garbage)
	{
		Garbage    *garbage = lfirst(lc);

		if (strcmp(garbage->collection, collection) == 0 &&
			memcmp(&garbage->run_id, run_id, sizeof(pg_uuid_t)) == 0)
			garbage->swept = true;
	}
}

/*
 * What nobody has listed.
 */
static void
SweepOrphans(ServerSweep *sweep)
{
	int			n = 0;
	char	  **names = NULL;

	GrpcCheck(MilvusShowCollections(sweep->connection->grpc, &n, &names));
	for (int i = 0; i < Min(n, MAX_COLLECTIONS); i++)
	{
		CollectionMarks marks;

		CHECK_FOR_INTERRUPTS();
		if (!IsOurs(sweep, names[i], &marks) || !IsOver(marks.maker) || HasBase(&marks.run_id, names[i]))
			continue;
		Drop(sweep, names[i]);
		ForgetGarbage(sweep, names[i], &marks.run_id);
	}
}

static void
SweepServer(void *arg)
{
	ServerSweep *sweep = arg;

	sweep->connection = ConnectTo(sweep->server);
	SweepGarbage(sweep);
	if (!sweep->listed_only)
		SweepOrphans(sweep);
}

/* ---------- which servers ---------- */

static List *
AddServer(List *servers, char *server)
{
	ListCell   *lc;

	foreach(lc, servers)
		if (SameServer(lfirst(lc), server))
			return servers;
	return lappend(servers, server);
}

static void
LookForDefaultServer(void *arg)
{
	*(bool *) arg = MilvusParameter("uri") || MilvusParameter("host");
}

/*
 * Does FiftyOne's configuration name a server for the current user? A build that
 * has failed on it may have left a collection and no row. If the configuration
 * cannot be read the sweep of that server says so.
 */
static bool
HasDefaultServer(void)
{
	bool		has = true;

	(void) Try(LookForDefaultServer, &has);
	return has;
}

/*
 * The servers of milvus_fdw, the default one, and those of bases and garbage. A
 * list of names, NULL for the settings of who asks.
 */
static List *
ServersToSweep(List *rows, List *garbage)
{
	ForeignDataWrapper *fdw = GetForeignDataWrapperByName("milvus_fdw", true);
	Relation	rel = table_open(ForeignServerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List	   *servers = NIL;
	HeapTuple	tuple;
	ListCell   *lc;

	while (fdw && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_server server = (Form_pg_foreign_server) GETSTRUCT(tuple);

		if (server->srvfdw == fdw->fdwid)
			servers = AddServer(servers, pstrdup(NameStr(server->srvname)));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (HasDefaultServer())
		servers = AddServer(servers, NULL);
	foreach(lc, rows)
		if (((BaseRow *) lfirst(lc))->collection)
			servers = AddServer(servers, ((BaseRow *) lfirst(lc))->server);
	foreach(lc, garbage)
		servers = AddServer(servers, ((Garbage *) lfirst(lc))->server);
	return servers;
}

static void
SweepServers(ReturnSetInfo *rsinfo, List *servers, List *garbage, bool listed_only)
{
	ListCell   *lc;

	foreach(lc, servers)
	{
		ServerSweep sweep = {
			.rsinfo = rsinfo,
			.server = lfirst(lc),
			.garbage = garbage,
			.listed_only = listed_only,
			.origin = CollectionOrigin(),
		};
		ErrorData  *error = Try(SweepServer, &sweep);

		if (error)
			ereport(WARNING,
					(errmsg("Milvus server \"%s\" was not swept: %s",
							sweep.server ? sweep.server : "of the default settings", error->message),
					 error->detail ? errdetail_internal("%s", error->detail) : 0));
	}
	foreach(lc, garbage)
		if (((Garbage *) lfirst(lc))->swept)
			DeleteGarbage(lfirst(lc));
}

/*
 * Drop the collections that nobody needs, on every server that can be reached. The
 * others are told of, and keep theirs until the next sweep.
 */
void
SweepCollections(ReturnSetInfo *rsinfo)
{
	List	   *garbage = ReadGarbage();

	if (CollectionOrigin())
		SweepServers(rsinfo, ServersToSweep(BaseRowsInUse(), garbage), garbage, false);
}

/*
 * Those that are listed, and no others. Called without a snapshot, it has none
 * while it talks to the servers.
 */
void
SweepListedCollections(void)
{
	List	   *garbage;
	List	   *servers = NIL;
	ListCell   *lc;

	BeginLook();
	garbage = ReadGarbage();
	EndLook();
	foreach(lc, garbage)
		servers = AddServer(servers, ((Garbage *) lfirst(lc))->server);
	SweepServers(NULL, servers, garbage, true);
}
