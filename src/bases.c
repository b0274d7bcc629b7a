/*
 * bases.c
 *		The table brain._bases: which matrix files, or which collection, the base of
 *		a run consists of.
 *
 * Read under the active snapshot, so that a search finds the base that belongs
 * to the log that it sees; written by syncs, under their lock.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "bases.h"
#include "catalog.h"
#include "milvus/milvus.h"
#include "sweepworker.h"

/* columns of brain._bases */
enum
{
	BASE_RUN_ID = 1,
	BASE_GENERATION,
	BASE_FILES,
	BASE_ROWS,
	BASE_SIZE,
	BASE_SYNCED,
	BASE_REASON,
	BASE_SERVER,				/* from 0.3.0 on, as are the next */
	BASE_COLLECTION,
	BASE_ATTACHED,
	BASE_ORIGIN,
	BASE_FINGERPRINT,
	BASE_TIMESTAMP,
	BASE_COLUMNS = BASE_TIMESTAMP
};

/* columns of brain.garbage */
enum
{
	GARBAGE_RUN_ID = 1,
	GARBAGE_SERVER,
	GARBAGE_COLLECTION,
	GARBAGE_ORIGIN,
	GARBAGE_SINCE,
	GARBAGE_ATTACHED_BY,
	GARBAGE_COLUMNS = GARBAGE_ATTACHED_BY
};

/*
 * Does the database have the table? Not when the library is newer than the
 * extension's SQL there, before 0.2.0.
 */
bool
HasBases(void)
{
	return OidIsValid(get_relname_relid("_bases", get_namespace_oid("brain", false)));
}

/*
 * The same of collections, before 0.3.0.
 */
bool
HasCollections(void)
{
	Oid			schema = get_namespace_oid("brain", true);

	return OidIsValid(schema) && OidIsValid(get_relname_relid("garbage", schema));
}

static void
ReadFiles(Datum value, BaseRow *row)
{
	Datum	   *elements;

	deconstruct_array(DatumGetArrayTypeP(value), UUIDOID, UUID_LEN, false, TYPALIGN_CHAR,
					  &elements, NULL, &row->n_files);
	row->files = palloc(sizeof(pg_uuid_t) * Max(row->n_files, 1));
	for (int i = 0; i < row->n_files; i++)
		row->files[i] = *DatumGetUUIDP(elements[i]);
}

static BaseRow *
BaseRowOfTuple(HeapTuple tuple, TupleDesc desc)
{
	BaseRow    *row = palloc0(sizeof(BaseRow));
	Datum		values[BASE_COLUMNS];
	bool		nulls[BASE_COLUMNS];

	memset(nulls, true, sizeof(nulls));
	heap_deform_tuple(tuple, desc, values, nulls);
	row->run_id = *DatumGetUUIDP(values[BASE_RUN_ID - 1]);
	row->generation = *DatumGetUUIDP(values[BASE_GENERATION - 1]);
	ReadFiles(values[BASE_FILES - 1], row);
	row->rows = DatumGetInt64(values[BASE_ROWS - 1]);
	row->size = DatumGetInt64(values[BASE_SIZE - 1]);
	row->synced = DatumGetTimestampTz(values[BASE_SYNCED - 1]);
	if (!nulls[BASE_REASON - 1])
		row->reason = TextDatumGetCString(values[BASE_REASON - 1]);
	if (!nulls[BASE_SERVER - 1])
		row->server = TextDatumGetCString(values[BASE_SERVER - 1]);
	row->attached = !nulls[BASE_ATTACHED - 1] && DatumGetBool(values[BASE_ATTACHED - 1]);
	if (!nulls[BASE_COLLECTION - 1])
		row->collection = TextDatumGetCString(values[BASE_COLLECTION - 1]);
	if (!nulls[BASE_ORIGIN - 1])
		row->origin = TextDatumGetCString(values[BASE_ORIGIN - 1]);
	if (!nulls[BASE_FINGERPRINT - 1])
		row->fingerprint = (uint64) DatumGetInt64(values[BASE_FINGERPRINT - 1]);
	if (!nulls[BASE_TIMESTAMP - 1])
		row->timestamp = (uint64) DatumGetInt64(values[BASE_TIMESTAMP - 1]);
	row->own = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	return row;
}

static void
SetText(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column - 1] = text == NULL;
	values[column - 1] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

static HeapTuple
TupleOfBaseRow(const BaseRow *row, TupleDesc desc)
{
	Datum		values[BASE_COLUMNS];
	bool		nulls[BASE_COLUMNS] = {false};
	Datum	   *files = palloc(sizeof(Datum) * Max(row->n_files, 1));

	for (int i = 0; i < row->n_files; i++)
		files[i] = UUIDPGetDatum(&row->files[i]);
	values[BASE_RUN_ID - 1] = UUIDPGetDatum(&row->run_id);
	values[BASE_GENERATION - 1] = UUIDPGetDatum(&row->generation);
	values[BASE_FILES - 1] = PointerGetDatum(construct_array(files, row->n_files, UUIDOID, UUID_LEN,
															 false, TYPALIGN_CHAR));
	values[BASE_ROWS - 1] = Int64GetDatum(row->rows);
	values[BASE_SIZE - 1] = Int64GetDatum(row->size);
	values[BASE_SYNCED - 1] = TimestampTzGetDatum(row->synced);
	SetText(values, nulls, BASE_REASON, row->reason);
	SetText(values, nulls, BASE_SERVER, row->server);
	SetText(values, nulls, BASE_COLLECTION, row->collection);
	values[BASE_ATTACHED - 1] = BoolGetDatum(row->attached);
	SetText(values, nulls, BASE_ORIGIN, row->origin);
	values[BASE_FINGERPRINT - 1] = Int64GetDatum((int64) row->fingerprint);
	values[BASE_TIMESTAMP - 1] = Int64GetDatum((int64) row->timestamp);
	return heap_form_tuple(desc, values, nulls);
}

/*
 * The base of a run as the active snapshot has it; NULL when it never had one.
 */
BaseRow *
ReadBaseRow(const pg_uuid_t *run_id)
{
	Relation	rel = table_open(BrainRelation("_bases"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	BaseRow    *row;

	InitUuidKey(&key, BASE_RUN_ID, run_id);
	scan = BeginBrainScan(rel, "_bases_pkey", 1, &key);
	tuple = systable_getnext(scan);
	row = HeapTupleIsValid(tuple) ? BaseRowOfTuple(tuple, RelationGetDescr(rel)) : NULL;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return row;
}

/*
 * The other runs whose bases are that collection of that server (NULL: of the
 * settings of who asks), as the active snapshot has them.
 */
List *
OtherRunsOn(const char *server, const char *collection, const pg_uuid_t *run_id)
{
	Relation	rel = table_open(BrainRelation("_bases"), AccessShareLock);
	SysScanDesc scan = BeginBrainScan(rel, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *runs = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		BaseRow    *row = BaseRowOfTuple(tuple, RelationGetDescr(rel));
		Run		   *run = row->collection && strcmp(row->collection, collection) == 0 &&
			MilvusSameServer(row->server, server) &&
			memcmp(&row->run_id, run_id, sizeof(pg_uuid_t)) != 0 ? ReadRun(&row->run_id) : NULL;

		if (run)
			runs = lappend(runs, run);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return runs;
}

/* ---------- brain.garbage ---------- */

/*
 * Note the collection of a row that is going to have another one, or none. Whoever
 * rolls that back has it still. Who may not reach its server is told that others
 * have to drop it.
 */
void
NoteGarbage(const BaseRow *row)
{
	const char *reason = WhyNoServer(row->server);
	Relation	rel = table_open(BrainRelation("garbage"), RowExclusiveLock);
	Datum		values[GARBAGE_COLUMNS];
	bool		nulls[GARBAGE_COLUMNS] = {false};

	if (reason)
		ereport(NOTICE,
				(errmsg("collection \"%s\" stays until brain.sweep() can drop it", row->collection),
				 errdetail_internal("%s", reason)));
	values[GARBAGE_RUN_ID - 1] = UUIDPGetDatum(&row->run_id);
	SetText(values, nulls, GARBAGE_SERVER, row->server);
	SetText(values, nulls, GARBAGE_COLLECTION, row->collection);
	SetText(values, nulls, GARBAGE_ORIGIN, row->origin);
	values[GARBAGE_SINCE - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[GARBAGE_ATTACHED_BY - 1] = ObjectIdGetDatum(GetUserId());
	nulls[GARBAGE_ATTACHED_BY - 1] = !row->attached;
	CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls));
	table_close(rel, RowExclusiveLock);
	SweepAfterCommit();
}

/*
 * The rows that the active snapshot sees: a list of Garbage.
 */
List *
ReadGarbage(void)
{
	Relation	rel = table_open(BrainRelation("garbage"), AccessShareLock);
	SysScanDesc scan = BeginBrainScan(rel, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *rows = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Garbage    *garbage = palloc0(sizeof(Garbage));
		Datum		values[GARBAGE_COLUMNS];
		bool		nulls[GARBAGE_COLUMNS];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		garbage->tid = tuple->t_self;
		garbage->run_id = *DatumGetUUIDP(values[GARBAGE_RUN_ID - 1]);
		if (!nulls[GARBAGE_SERVER - 1])
			garbage->server = TextDatumGetCString(values[GARBAGE_SERVER - 1]);
		garbage->collection = TextDatumGetCString(values[GARBAGE_COLLECTION - 1]);
		garbage->origin = TextDatumGetCString(values[GARBAGE_ORIGIN - 1]);
		if (!nulls[GARBAGE_ATTACHED_BY - 1])
			garbage->attached_by = DatumGetObjectId(values[GARBAGE_ATTACHED_BY - 1]);
		rows = lappend(rows, garbage);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return rows;
}

void
DeleteGarbage(const Garbage *garbage)
{
	Relation	rel = table_open(BrainRelation("garbage"), RowExclusiveLock);
	ItemPointerData tid = garbage->tid;

	simple_heap_delete(rel, &tid);
	table_close(rel, RowExclusiveLock);
}

/* ---------- writing brain._bases ---------- */

/*
 * Has the old row a collection of its own, and the new one another, or none?
 */
static bool
LeavesGarbage(const BaseRow *old, const BaseRow *new)
{
	return old->collection && !old->attached &&
		!(new && new->collection && strcmp(new->collection, old->collection) == 0);
}

static void
ReplaceBaseRow(const pg_uuid_t *run_id, const BaseRow *row)
{
	Relation	rel = table_open(BrainRelation("_bases"), RowExclusiveLock);
	HeapTuple	tuple = row ? TupleOfBaseRow(row, RelationGetDescr(rel)) : NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	old;
	BaseRow    *old_row;

	InitUuidKey(&key, BASE_RUN_ID, run_id);
	scan = BeginBrainScan(rel, "_bases_pkey", 1, &key);
	old = systable_getnext(scan);
	old_row = HeapTupleIsValid(old) ? BaseRowOfTuple(old, RelationGetDescr(rel)) : NULL;
	if (old_row && LeavesGarbage(old_row, row))
		NoteGarbage(old_row);
	if (HeapTupleIsValid(old) && tuple)
		CatalogTupleUpdate(rel, &old->t_self, tuple);
	else if (HeapTupleIsValid(old))
		CatalogTupleDelete(rel, &old->t_self);
	systable_endscan(scan);
	if (tuple && !HeapTupleIsValid(old))
		CatalogTupleInsert(rel, tuple);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

/*
 * Also over a row that the transaction has just written, which the active
 * snapshot does not see.
 */
void
WriteBaseRow(const BaseRow *row)
{
	PushActiveSnapshot(GetLatestSnapshot());
	ReplaceBaseRow(&row->run_id, row);
	PopActiveSnapshot();
}

void
DeleteBaseRow(const pg_uuid_t *run_id)
{
	ReplaceBaseRow(run_id, NULL);
}

/*
 * The rows that any snapshot may see, those of running transactions included: a
 * list of BaseRow.
 */
List *
BaseRowsInUse(void)
{
	Relation	rel = table_open(BrainRelation("_bases"), AccessShareLock);
	TableScanDesc scan;
	SnapshotData not_vacuumable;
	HeapTuple	tuple;
	List	   *rows = NIL;

	InitNonVacuumableSnapshot(not_vacuumable, GlobalVisTestFor(rel));
	scan = table_beginscan(rel, &not_vacuumable, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		rows = lappend(rows, BaseRowOfTuple(tuple, RelationGetDescr(rel)));
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	return rows;
}
