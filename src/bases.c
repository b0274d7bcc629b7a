/*
 * bases.c
 *		The table brain._bases: which matrix files the base of a run consists of.
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
	BASE_COLUMNS = BASE_REASON
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

	heap_deform_tuple(tuple, desc, values, nulls);
	row->run_id = *DatumGetUUIDP(values[BASE_RUN_ID - 1]);
	row->generation = *DatumGetUUIDP(values[BASE_GENERATION - 1]);
	ReadFiles(values[BASE_FILES - 1], row);
	row->rows = DatumGetInt64(values[BASE_ROWS - 1]);
	row->size = DatumGetInt64(values[BASE_SIZE - 1]);
	row->synced = DatumGetTimestampTz(values[BASE_SYNCED - 1]);
	if (!nulls[BASE_REASON - 1])
		row->reason = TextDatumGetCString(values[BASE_REASON - 1]);
	row->own = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	return row;
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
	values[BASE_REASON - 1] = row->reason ? CStringGetTextDatum(row->reason) : (Datum) 0;
	nulls[BASE_REASON - 1] = row->reason == NULL;
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

static void
ReplaceBaseRow(const pg_uuid_t *run_id, const BaseRow *row)
{
	Relation	rel = table_open(BrainRelation("_bases"), RowExclusiveLock);
	HeapTuple	tuple = row ? TupleOfBaseRow(row, RelationGetDescr(rel)) : NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	old;

	InitUuidKey(&key, BASE_RUN_ID, run_id);
	scan = BeginBrainScan(rel, "_bases_pkey", 1, &key);
	old = systable_getnext(scan);
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
