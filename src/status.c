/*
 * status.c
 *		brain.sync_status: the bases and change logs of the runs.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "bases.h"
#include "changes.h"
#include "exact/matrix.h"
#include "milvus/milvus.h"
#include "milvus_brain.h"
#include "search.h"
#include "tracking.h"

PG_FUNCTION_INFO_V1(brain_sync_status);

/* columns of brain._sync_status() */
enum
{
	STATUS_SAMPLES,
	STATUS_BRAIN_KEY,
	STATUS_TRACKED,
	STATUS_CHANGES,
	STATUS_OLDEST_CHANGE_AGE,
	STATUS_LAST_SYNC,
	STATUS_GENERATION,
	STATUS_ROWS,
	STATUS_SEGMENTS,
	STATUS_SIZE,
	STATUS_IN_USE,
	STATUS_REASON,
	STATUS_COLUMNS
};

/*
 * The same of a collection, whose log is short. Whether its server answers is not
 * tried.
 */
static const char *
WhyNotSearched(const BaseRow *row, const Tracking *tracking)
{
	const char *reason = WhyNoCollection(row);

	if (reason == NULL && row->fingerprint != tracking->fingerprint && tracking->problem == NULL)
		reason = _("the dataset was altered since its collection was filled");
	return reason ? reason : WhyNoServer(row->server);
}

/*
 * Why searches do not use the base; NULL when they do.
 */
static const char *
WhyNotInUse(const Run *run, Relation rel, const BaseRow *row)
{
	const Tracking *tracking = LookAtTracking(run, rel);
	Problem    *problem;
	pg_uuid_t	none = {{0}};
	Changes    *changes;
	Base	   *base;

	if (!run->has_index)
		return _("it was cleaned up");
	(void) LookAtRun(run, rel, &problem);
	if (problem)
		return problem->message;
	if (row && row->reason)
		return row->reason;
	if (tracking->problem && !IsFrozen(run, rel, tracking))
		return pstrdup(tracking->problem->message);
	changes = ReadChanges(&run->id, ChangesLimit(row), 0);
	if (changes->everything)
		return _("the dataset was altered or truncated since the last sync");
	if (changes->truncated)
		return _("its change log is long");
	if (FindBackend(run->backend)->searches_untracked)
		return WhyNotSearched(row, tracking);
	base = row ? OpenBase(&run->id, row->files, row->n_files, false) : NULL;
	if (base == NULL || base->fingerprint != tracking->fingerprint)
	{
		Base	   *by_reader = OpenBase(&run->id, row ? &row->generation : &none, 1, true);

		base = by_reader ? by_reader : base;
	}
	if (base == NULL)
		return row ? _("a matrix file is missing or cannot be used") : _("no base was made yet");
	if (base->fingerprint != tracking->fingerprint)
		return _("the dataset was altered since the base was made");
	return NULL;
}

static void
PutStatus(ReturnSetInfo *rsinfo, const Run *run, Relation rel)
{
	Datum		values[STATUS_COLUMNS] = {0};
	bool		nulls[STATUS_COLUMNS] = {false};
	BaseRow    *row = ReadBaseRow(&run->id);
	TimestampTz oldest;
	int64		n_changes = CountChanges(&run->id, &oldest);
	bool		tracked = LookAtTracking(run, rel)->problem == NULL;
	const char *reason = WhyNotInUse(run, rel, row);

	values[STATUS_SAMPLES] = ObjectIdGetDatum(RelationGetRelid(rel));
	values[STATUS_BRAIN_KEY] = CStringGetTextDatum(run->brain_key);
	values[STATUS_TRACKED] = BoolGetDatum(tracked);
	values[STATUS_CHANGES] = Int64GetDatum(n_changes);
	nulls[STATUS_OLDEST_CHANGE_AGE] = n_changes == 0;
	if (n_changes > 0)
		values[STATUS_OLDEST_CHANGE_AGE] =
			DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(GetCurrentTimestamp()),
								TimestampTzGetDatum(oldest));
	for (int i = STATUS_LAST_SYNC; i <= STATUS_SIZE; i++)
		nulls[i] = row == NULL;
	if (row)
	{
		values[STATUS_LAST_SYNC] = TimestampTzGetDatum(row->synced);
		values[STATUS_GENERATION] = UUIDPGetDatum(&row->generation);
		values[STATUS_ROWS] = Int64GetDatum(row->rows);
		values[STATUS_SEGMENTS] = Int32GetDatum(Max(row->n_files - 1, 0));
		values[STATUS_SIZE] = Int64GetDatum(row->size);
		/* of a collection the server knows it */
		nulls[STATUS_SIZE] = row->collection != NULL;
		/* counts tell of rows that row security may hide */
		if (check_enable_rls(RelationGetRelid(rel), InvalidOid, true) == RLS_ENABLED)
			nulls[STATUS_ROWS] = nulls[STATUS_SIZE] = true;
	}
	values[STATUS_IN_USE] = BoolGetDatum(reason == NULL);
	nulls[STATUS_REASON] = reason == NULL;
	if (reason)
		values[STATUS_REASON] = CStringGetTextDatum(reason);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * SQL: brain._sync_status(dataset regclass, key text) returns setof record: a
 * row for each run, of the dataset and of the key if given, that the caller may
 * search, but for those whose dataset another session has locked.
 */
Datum
brain_sync_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *key = TextArgument(fcinfo, 1);
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, AllRuns())
	{
		Run		   *run = lfirst(lc);
		Oid			relid = DatasetOfRun(run);
		Relation	rel;

		CHECK_FOR_INTERRUPTS();
		if (!OidIsValid(relid) || !MayReadSome(relid) ||
			(!PG_ARGISNULL(0) && relid != PG_GETARG_OID(0)) ||
			(key && strcmp(run->brain_key, key) != 0))
			continue;
		rel = TryOpenDataset(relid);
		if (rel == NULL)
			continue;
		if (MaySearchRun(run, rel))
			PutStatus(rsinfo, run, rel);
		relation_close(rel, AccessShareLock);
	}
	return (Datum) 0;
}
