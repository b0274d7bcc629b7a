/*
 * sweep.c
 *		Removing what belongs to no run: matrix files, triggers, log rows.
 *
 * A rolled-back or crashed build leaves its file; a deleted run leaves triggers
 * where somebody was in the way, and its files, since old snapshots may still be
 * searched in them. Each is removed by whoever finds it when no snapshot, nor
 * any running transaction, can need it any more.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_database.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "bases.h"
#include "changes.h"
#include "collectionsweep.h"
#include "exact/matrix.h"
#include "pendingwrite.h"
#include "runs.h"
#include "sweep.h"
#include "tracking.h"
#include "triggers.h"
#include "uuids.h"

PG_FUNCTION_INFO_V1(brain_sweep);

void
PutRemoved(ReturnSetInfo *rsinfo, const char *kind, const char *name)
{
	Datum		values[2];
	bool		nulls[2] = {false};

	if (rsinfo == NULL)
		return;
	values[0] = CStringGetTextDatum(kind);
	values[1] = CStringGetTextDatum(name);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * Does a base that somebody may see have the file? A reader's stands for all
 * files of its generation, and for nothing once they are those of a later one.
 */
static bool
IsInUse(const MatrixEntry *entry, List *rows)
{
	ListCell   *lc;

	foreach(lc, rows)
	{
		BaseRow    *row = lfirst(lc);

		if (memcmp(&row->run_id, &entry->run_id, sizeof(pg_uuid_t)) != 0)
			continue;
		if (entry->by_reader && memcmp(&row->generation, &entry->generation, sizeof(pg_uuid_t)) == 0)
			return true;
		for (int i = 0; !entry->by_reader && i < row->n_files; i++)
		{
			if (memcmp(&row->files[i], &entry->generation, sizeof(pg_uuid_t)) == 0)
				return true;
		}
	}
	return false;
}

/*
 * A restored run has no base yet: a reader's file stands for none.
 */
static bool
IsOfRunWithoutBase(const MatrixEntry *entry, List *rows)
{
	pg_uuid_t	none = {{0}};
	ListCell   *lc;

	if (memcmp(&entry->generation, &none, sizeof(pg_uuid_t)) != 0 || ReadRun(&entry->run_id) == NULL)
		return false;
	foreach(lc, rows)
	{
		if (memcmp(&((BaseRow *) lfirst(lc))->run_id, &entry->run_id, sizeof(pg_uuid_t)) == 0)
			return false;
	}
	return true;
}

/*
 * Remove the matrix files that nobody needs: of this database, and of databases
 * that are gone. The directory is read before the table: a file gets its name
 * when its row is there. A temporary one goes when its writer has.
 */
void
SweepFiles(ReturnSetInfo *rsinfo)
{
	List	   *entries = ListMatrixFiles();
	List	   *rows = BaseRowsInUse();
	ListCell   *lc;

	foreach(lc, entries)
	{
		MatrixEntry *entry = lfirst(lc);
		bool		needed;

		if (entry->database != MyDatabaseId)
			needed = SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(entry->database));
		else if (entry->writer)
			needed = BackendPidGetProc(entry->writer) != NULL;
		else
			needed = IsInUse(entry, rows) || IsOfRunWithoutBase(entry, rows);
		if (needed)
			continue;
		RemoveMatrixFile(entry);
		PutRemoved(rsinfo, "file", entry->name);
	}
}

/*
 * Drop the triggers of runs that are gone, on datasets that the caller owns, or
 * with rsinfo on all.
 */
void
SweepTriggers(ReturnSetInfo *rsinfo)
{
	ListCell   *lc;

	foreach(lc, StrayTriggers())
	{
		StrayTrigger *stray = lfirst(lc);
		char	   *name = psprintf("%s on %s", stray->name, get_rel_name(stray->relid));

		if (rsinfo == NULL && !OwnsTable(stray->relid))
			continue;
		if (DropTriggers(&stray->run_id, stray->relid))
			PutRemoved(rsinfo, "trigger", name);
	}
}

static void
SweepChanges(ReturnSetInfo *rsinfo)
{
	ListCell   *lc;

	foreach(lc, RunsInChangeLog())
	{
		pg_uuid_t  *run_id = lfirst(lc);
		Run		   *run = ReadRun(run_id);

		/* one that was cleaned up is logged until its triggers go */
		if (run && run->has_index)
			continue;
		DeleteChanges(run_id);
		PutRemoved(rsinfo, "changes", UuidText(run_id));
	}
}

/*
 * SQL: brain.sweep(OUT kind text, OUT name text) returns setof record: what was
 * removed.
 */
Datum
brain_sweep(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	BeginWrite("sweep()");
	LockSweep();
	/* before tables are locked: who uses them must not wait for a server */
	if (HasCollections())
		SweepCollections(rsinfo);
	PopActiveSnapshot();
	PushActiveSnapshot(GetLatestSnapshot());
	SweepFiles(rsinfo);
	SweepPendingWrites();
	SweepTriggers(rsinfo);
	SweepChanges(rsinfo);
	EndWrite();
	return (Datum) 0;
}
