/*
 * changes.c
 *		The change log: the table brain.changes.
 *
 * One row for each change of a sample since the base of a run took the sample
 * in. Writers only add rows, in their own transactions, so that a snapshot sees
 * exactly the changes that it should. Only a sync takes rows out, and only those
 * that it has read: a row that was added meanwhile stays. No two sessions ever
 * touch the same row, so nobody waits.
 *
 * Rows of one run are found by an index on its id alone. There is no sequence:
 * a sync tells the rows that it read by where they are, and their order means
 * nothing, since the sample itself is read again.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "changes.h"
#include "testing.h"

/* columns of brain.changes */
enum
{
	CHANGE_RUN_ID = 1,
	CHANGE_KIND,
	CHANGE_SAMPLE_ID,
	CHANGE_CHANGED,
	CHANGE_COLUMNS = CHANGE_CHANGED
};

/*
 * Add a row to the log. sample_id is NULL but for CHANGE_ROW. With heap
 * functions: half of the time that SPI takes, no privileges to be asked for, and
 * the log is the same whatever the writer's search_path is. Nothing is remembered
 * from row to row: the log's index may be made anew meanwhile.
 */
void
LogChange(const pg_uuid_t *run_id, ChangeKind kind, const char *sample_id)
{
	Relation	table = table_open(BrainRelation("changes"), RowExclusiveLock);
	Datum		values[CHANGE_COLUMNS];
	bool		nulls[CHANGE_COLUMNS] = {false};
	HeapTuple	tuple;

	Assert((kind == CHANGE_ROW) == (sample_id != NULL));
	values[CHANGE_RUN_ID - 1] = UUIDPGetDatum(run_id);
	values[CHANGE_KIND - 1] = CharGetDatum((char) kind);
	values[CHANGE_SAMPLE_ID - 1] = sample_id ? CStringGetTextDatum(sample_id) : (Datum) 0;
	nulls[CHANGE_SAMPLE_ID - 1] = sample_id == NULL;
	values[CHANGE_CHANGED - 1] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	tuple = heap_form_tuple(RelationGetDescr(table), values, nulls);
	CatalogTupleInsert(table, tuple);
	heap_freetuple(tuple);
	table_close(table, NoLock);
}

/*
 * Of hash tables whose entries begin with a pointer to an id.
 */
uint32
HashId(const void *key, Size size pg_attribute_unused())
{
	const char *id = *(char *const *) key;

	return hash_bytes((const unsigned char *) id, (int) strlen(id));
}

int
MatchIds(const void *a, const void *b, Size size pg_attribute_unused())
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/*
 * A set of ids, n of which are in it to begin with. It keeps the pointers.
 */
HTAB *
CreateIdSet(char **ids, int n)
{
	HASHCTL		control = {
		.keysize = sizeof(char *),
		.entrysize = sizeof(char *),
		.hash = HashId,
		.match = MatchIds,
		.hcxt = CurrentMemoryContext,
	};
	HTAB	   *set = hash_create("ids", Max(n, 64), &control,
								  HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);

	for (int i = 0; i < n; i++)
		AddId(set, ids[i]);
	return set;
}

void
AddId(HTAB *set, char *id)
{
	(void) hash_search(set, &id, HASH_ENTER, NULL);
}

bool
HasId(HTAB *set, const char *id)
{
	return hash_search(set, &id, HASH_FIND, NULL) != NULL;
}

/*
 * The ids of a set, in an array.
 */
static void
CollectIds(HTAB *set, Changes *changes)
{
	HASH_SEQ_STATUS status;
	char	  **id;

	changes->n_ids = 0;
	changes->ids = MemoryContextAllocHuge(CurrentMemoryContext,
										  sizeof(char *) * Max(hash_get_num_entries(set), 1));
	hash_seq_init(&status, set);
	while ((id = hash_seq_search(&status)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		changes->ids[changes->n_ids++] = *id;
	}
}

static SysScanDesc
BeginChangeScan(Relation table, const pg_uuid_t *run_id, ScanKey key)
{
	InitUuidKey(key, CHANGE_RUN_ID, run_id);
	return BeginBrainScan(table, "changes_run_id_idx", 1, key);
}

/*
 * The next row of the log.
 */
static void
NoteTid(Changes *changes, int64 *capacity, const ItemPointerData *tid)
{
	if (changes->n_rows == *capacity)
	{
		*capacity = Max(1024, *capacity * 2);
		changes->tids = changes->tids ?
			repalloc_huge(changes->tids, sizeof(ItemPointerData) * *capacity) :
			MemoryContextAllocHuge(CurrentMemoryContext, sizeof(ItemPointerData) * *capacity);
	}
	changes->tids[changes->n_rows] = *tid;
}

static bool
IsSettled(HeapTuple tuple, TransactionId horizon)
{
	TransactionId xmin = HeapTupleHeaderGetXmin(tuple->t_data);

	return !TransactionIdIsNormal(xmin) || TransactionIdPrecedes(xmin, horizon);
}

/*
 * Read what the log has of a run: up to limit rows (0: all). With CHANGES_TIDS
 * the rows can be forgotten later: until then they stay where they are, since
 * the table is kept locked. In a context of its own, as it may be large: without
 * CHANGES_IDS it is 6 to 12 bytes a row, with them a hundred.
 */
Changes *
ReadChanges(const pg_uuid_t *run_id, int64 limit, int wanted)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "milvus_brain changes",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Changes    *changes = palloc0(sizeof(Changes));
	Relation	table = table_open(BrainRelation("changes"),
								   wanted & CHANGES_TIDS ? RowExclusiveLock : AccessShareLock);
	TupleDesc	desc = RelationGetDescr(table);
	HTAB	   *set = NULL;
	TransactionId horizon = InvalidTransactionId;
	int64		capacity = 0;
	ScanKeyData key;
	SysScanDesc scan = BeginChangeScan(table, run_id, &key);
	HeapTuple	tuple;

	changes->context = context;
	if (wanted & CHANGES_SETTLED)
		horizon = GetOldestNonRemovableTransactionId(table);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		char	   *id;

		CHECK_FOR_INTERRUPTS();
		if (limit > 0 && changes->n_rows == limit)
		{
			changes->truncated = true;
			break;
		}
		if (TransactionIdIsValid(horizon) && !IsSettled(tuple, horizon) && !Mutated("R5"))
			continue;
		if (wanted & CHANGES_TIDS)
			NoteTid(changes, &capacity, &tuple->t_self);
		changes->n_rows++;
		if (DatumGetChar(heap_getattr(tuple, CHANGE_KIND, desc, &isnull)) != CHANGE_ROW)
		{
			changes->everything = true;
			continue;
		}
		if (!(wanted & CHANGES_IDS))
			continue;
		if (set == NULL)
			set = CreateIdSet(NULL, 0);
		id = TextDatumGetCString(heap_getattr(tuple, CHANGE_SAMPLE_ID, desc, &isnull));
		AddId(set, id);
	}
	systable_endscan(scan);
	table_close(table, wanted & CHANGES_TIDS ? NoLock : AccessShareLock);
	if (set)
		CollectIds(set, changes);
	MemoryContextSwitchTo(old);
	return changes;
}

void
FreeChanges(Changes *changes)
{
	MemoryContextDelete(changes->context);
}

/*
 * Delete the rows that were read, and no others. Under the lock on the run's
 * sync, without which two could do so.
 */
void
ForgetChanges(const Changes *changes)
{
	Relation	table = table_open(BrainRelation("changes"), RowExclusiveLock);

	for (int64 i = 0; i < changes->n_rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		simple_heap_delete(table, &changes->tids[i]);
	}
	table_close(table, RowExclusiveLock);
	CommandCounterIncrement();
}

/*
 * Delete what the log has of a run that goes away. A sweep may do so at the same
 * time: what is gone already is passed over.
 */
void
DeleteChanges(const pg_uuid_t *run_id)
{
	Changes    *changes = ReadChanges(run_id, 0, CHANGES_TIDS);
	Relation	table = table_open(BrainRelation("changes"), RowExclusiveLock);

	for (int64 i = 0; i < changes->n_rows; i++)
	{
		TM_FailureData failure;
		TM_Result	result = heap_delete(table, &changes->tids[i], GetCurrentCommandId(true),
										 InvalidSnapshot, true, &failure, false);

		CHECK_FOR_INTERRUPTS();
		if (result != TM_Ok && result != TM_Deleted)
			elog(ERROR, "a row of brain.changes cannot be deleted: %d", result);
	}
	table_close(table, RowExclusiveLock);
	CommandCounterIncrement();
}

/*
 * How many rows the log has of a run, and when the oldest was begun.
 */
int64
CountChanges(const pg_uuid_t *run_id, TimestampTz *oldest)
{
	Relation	table = table_open(BrainRelation("changes"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan = BeginChangeScan(table, run_id, &key);
	HeapTuple	tuple;
	int64		n = 0;

	*oldest = DT_NOEND;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		TimestampTz changed = DatumGetTimestampTz(heap_getattr(tuple, CHANGE_CHANGED,
															   RelationGetDescr(table), &isnull));

		CHECK_FOR_INTERRUPTS();
		*oldest = Min(*oldest, changed);
		n++;
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return n;
}

/*
 * The ids of the runs that the log has rows of: a list of pg_uuid_t.
 */
List *
RunsInChangeLog(void)
{
	Relation	table = table_open(BrainRelation("changes"), AccessShareLock);
	SysScanDesc scan = BeginBrainScan(table, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *ids = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		pg_uuid_t  *id = DatumGetUUIDP(heap_getattr(tuple, CHANGE_RUN_ID,
													RelationGetDescr(table), &isnull));
		ListCell   *lc;

		CHECK_FOR_INTERRUPTS();
		foreach(lc, ids)
		{
			if (memcmp(lfirst(lc), id, sizeof(pg_uuid_t)) == 0)
				break;
		}
		if (lc == NULL)
		{
			pg_uuid_t  *copy = palloc(sizeof(pg_uuid_t));

			*copy = *id;
			ids = lappend(ids, copy);
		}
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return ids;
}
