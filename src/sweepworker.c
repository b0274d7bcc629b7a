/*
 * sweepworker.c
 *		Dropping the collections that a transaction has left, as soon as it has
 *		committed.
 *
 * Nothing may be sent to a server before the commit, which might not come, nor by
 * its callbacks, which may not fail. So a transaction that writes to brain.garbage
 * starts a worker that waits for its end, drops what is listed, and exits. One
 * that finds no free worker, or no server, leaves the list to brain.sweep().
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"

#include "bases.h"
#include "collectionsweep.h"
#include "runs.h"
#include "sweepworker.h"

PGDLLEXPORT void brain_sweep_worker(Datum arg);

/* What a worker is told, in bgw_extra. */
typedef struct SweepTask
{
	Oid			database;
	Oid			session_user;	/* who may log in */
	Oid			user;			/* whose user mappings count */
	TransactionId xid;
} SweepTask;

StaticAssertDecl(sizeof(SweepTask) <= BGW_EXTRALEN, "a worker is told too much");

/* Of the transaction at hand: who has written to brain.garbage, InvalidOid: nobody. */
static Oid	garbage_of = InvalidOid;

static void
StartWorker(void)
{
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_name = "milvus_brain sweep",
		.bgw_type = "milvus_brain sweep",
		.bgw_library_name = "milvus_brain",
		.bgw_function_name = "brain_sweep_worker",
	};
	SweepTask	task = {MyDatabaseId, GetSessionUserId(), garbage_of, GetTopTransactionId()};

	memcpy(worker.bgw_extra, &task, sizeof(task));
	if (!RegisterDynamicBackgroundWorker(&worker, NULL))
		ereport(NOTICE,
				(errmsg("no background worker is free to drop a collection of a Milvus server"),
				 errhint("brain.sweep() drops it. You may need to raise max_worker_processes.")));
}

static void
AtTransactionEnd(XactEvent event, void *arg)
{
	(void) arg;
	if (event == XACT_EVENT_PRE_COMMIT)
	{
		if (OidIsValid(garbage_of) && !IsBinaryUpgrade)
			StartWorker();
	}
	else if (event != XACT_EVENT_PRE_PREPARE)
		garbage_of = InvalidOid;
}

/*
 * See to it that what this transaction writes to brain.garbage is swept when it
 * has committed.
 */
void
SweepAfterCommit(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(AtTransactionEnd, NULL);
	registered = true;
	garbage_of = GetUserId();
}

/*
 * A worker's life. While it talks to the servers its transaction has no snapshot
 * and no xid, for which others would wait, and no lock but that of sweeps; its time
 * is bounded by theirs.
 */
void
brain_sweep_worker(Datum arg)
{
	SweepTask	task;
	Oid			user;
	int			security_context;
	bool		has_collections;

	(void) arg;
	memcpy(&task, MyBgworkerEntry->bgw_extra, sizeof(task));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(task.database, task.session_user, 0);
	pgstat_report_activity(STATE_RUNNING, "dropping collections that belong to no brain run");

	StartTransactionCommand();
	XactLockTableWait(task.xid, NULL, NULL, XLTW_None);
	CommitTransactionCommand();

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	GetUserIdAndSecContext(&user, &security_context);
	SetUserIdAndSecContext(task.user, security_context | SECURITY_LOCAL_USERID_CHANGE);
	/* the extension may be gone with its runs */
	has_collections = HasCollections();
	if (has_collections)
		LockSweep();
	PopActiveSnapshot();
	if (has_collections)
		SweepListedCollections();
	SetUserIdAndSecContext(user, security_context);
	CommitTransactionCommand();
	proc_exit(0);
}
