/*
 * tracker.c
 *		The trigger functions that write the change log.
 *
 * They run for every row that anybody writes into a tracked dataset, so what
 * they need to know of the run is kept from call to call, until the relation
 * cache says that the table, or the run's binding to it, has changed. It is read
 * under the latest snapshot: a transaction that began before the run was made
 * has its triggers all the same, but would not see the run under its own.
 *
 * The argument names the run, and anybody may make a trigger: nothing is logged
 * for a table that is neither the run's dataset nor a partition of it.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "changes.h"
#include "runs.h"
#include "testing.h"
#include "tracking.h"
#include "uuids.h"

PG_FUNCTION_INFO_V1(brain_track_changes);
PG_FUNCTION_INFO_V1(brain_track_truncate);
PG_FUNCTION_INFO_V1(brain_track_embeddings);

typedef struct TrackerKey
{
	pg_uuid_t	run_id;
	Oid			relid;
} TrackerKey;

/* What a run needs to be told of the changes in one table. */
typedef struct Tracker
{
	TrackerKey	key;
	bool		valid;
	Oid			dataset;		/* relid, or its partitioned ancestor */
	MemoryContext context;		/* of the rest; NULL until it is first made */
	bool		logs;			/* false: the table is none of the run's */
	SampleKey  *sample_key;
	AttrNumber	embeddings_attno;	/* 0: none */
	Bitmapset  *filter_columns; /* of the run's filter */
	bool		any_column;		/* the filter may use every column */
} Tracker;

/* How many of them a session keeps before it forgets some. */
#define MAX_TRACKERS 64

static HTAB *trackers = NULL;

static void
InvalidateTrackers(Datum arg pg_attribute_unused(), Oid relid)
{
	HASH_SEQ_STATUS status;
	Tracker    *tracker;

	hash_seq_init(&status, trackers);
	while ((tracker = hash_seq_search(&status)) != NULL)
	{
		if (relid == InvalidOid || relid == tracker->key.relid || relid == tracker->dataset)
			tracker->valid = false;
	}
}

static void
CreateTrackers(void)
{
	HASHCTL		control = {
		.keysize = sizeof(TrackerKey),
		.entrysize = sizeof(Tracker),
		.hcxt = CacheMemoryContext,
	};

	if (trackers)
		return;
	trackers = hash_create("milvus_brain trackers", 16, &control,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(InvalidateTrackers, (Datum) 0);
}

/*
 * A partition has the columns of its parent under other numbers.
 */
static AttrNumber
ColumnOfPartition(Relation rel, Relation dataset, AttrNumber attno)
{
	if (RelationGetRelid(rel) == RelationGetRelid(dataset))
		return attno;
	return get_attnum(RelationGetRelid(rel),
					  NameStr(TupleDescAttr(RelationGetDescr(dataset), attno - 1)->attname));
}

/*
 * The columns that the run's filter uses; any_column where that is not known, or
 * the filter takes the whole row.
 */
static void
FindFilterColumns(Tracker *tracker, const Run *run, Relation rel, Relation dataset)
{
	Bitmapset  *columns = NULL;
	int			column = -1;

	if (run->filter == NULL)
		return;
	if (!run->bound || run->filter_tree == NULL)
	{
		tracker->any_column = true;
		return;
	}
	pull_varattnos(stringToNode(run->filter_tree), 1, &columns);
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		AttrNumber	attno = column + FirstLowInvalidHeapAttributeNumber;

		if (attno <= 0)
			tracker->any_column = true;
		else
			tracker->filter_columns =
				bms_add_member(tracker->filter_columns, ColumnOfPartition(rel, dataset, attno));
	}
}

/*
 * Fill a tracker from the run and its dataset, which may be rel itself.
 */
static void
ReadColumns(Tracker *tracker, const Run *run, Relation rel, Relation dataset)
{
	AttrNumber	key = ResolveColumn(dataset, run->id_attno, run->id_field);
	AttrNumber	embeddings = run->embeddings_field ?
		ResolveColumn(dataset, run->embeddings_attno, run->embeddings_field) : InvalidAttrNumber;

	/*
	 * A run whose column is gone is broken, and where there is another in its
	 * place needs a new base: the log is not asked then. One whose key has lost
	 * its index or NOT NULL is broken too, but may get it back.
	 */
	if (key == InvalidAttrNumber || (run->embeddings_field && embeddings == InvalidAttrNumber) ||
		!CanBeKey(TupleDescAttr(RelationGetDescr(dataset), key - 1)->atttypid))
		return;
	tracker->sample_key = &OpenDataset(rel, ColumnOfPartition(rel, dataset, key),
									   InvalidAttrNumber)->key;
	if (embeddings != InvalidAttrNumber)
		tracker->embeddings_attno = ColumnOfPartition(rel, dataset, embeddings);
	FindFilterColumns(tracker, run, rel, dataset);
	tracker->logs = true;
}

static void
FillTracker(Tracker *tracker, Relation rel)
{
	MemoryContext old;
	Run		   *run;

	tracker->logs = false;
	tracker->embeddings_attno = InvalidAttrNumber;
	tracker->filter_columns = NULL;
	tracker->any_column = false;
	tracker->dataset = InvalidOid;
	if (tracker->context == NULL)
		tracker->context = AllocSetContextCreate(CacheMemoryContext, "milvus_brain tracker",
												 ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(tracker->context);
	/* what invalidates it from here on makes it be filled again next time */
	tracker->valid = true;

	old = MemoryContextSwitchTo(tracker->context);
	PushActiveSnapshot(GetLatestSnapshot());
	run = ReadRun(&tracker->key.run_id);
	PopActiveSnapshot();
	if (run && BelongsTo(RelationGetRelid(rel), tracker->dataset = DatasetOfRun(run)))
	{
		/* locked by whoever writes into the partition */
		Relation	dataset = table_open(tracker->dataset, AccessShareLock);

		ReadColumns(tracker, run, rel, dataset);
		table_close(dataset, NoLock);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Tables and runs come and go: forget those that would have to be read again
 * anyway. Not within another trigger, which may be in use of one of them.
 */
static void
ForgetInvalid(const Tracker *but)
{
	HASH_SEQ_STATUS status;
	Tracker    *tracker;

	if (DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0)) > 1)
		return;
	hash_seq_init(&status, trackers);
	while ((tracker = hash_seq_search(&status)) != NULL)
	{
		if (tracker == but || tracker->valid)
			continue;
		if (tracker->context)
			MemoryContextDelete(tracker->context);
		(void) hash_search(trackers, &tracker->key, HASH_REMOVE, NULL);
	}
}

/*
 * What is known of a table's run; NULL when nothing is to be logged.
 */
static Tracker *
FindTracker(const pg_uuid_t *run_id, Relation rel)
{
	TrackerKey	key = {0};
	Tracker    *tracker;
	bool		found;

	CreateTrackers();
	key.run_id = *run_id;
	key.relid = RelationGetRelid(rel);
	tracker = hash_search(trackers, &key, HASH_ENTER, &found);
	if (!found)
	{
		if (hash_get_num_entries(trackers) > MAX_TRACKERS)
			ForgetInvalid(tracker);
		tracker->valid = false;
		tracker->context = NULL;
	}
	if (!tracker->valid)
	{
		/* an error on the way must not leave half a tracker behind as valid */
		PG_TRY();
		{
			FillTracker(tracker, rel);
		}
		PG_CATCH();
		{
			tracker->valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	return tracker->logs ? tracker : NULL;
}

static bool
RunOfTrigger(const Trigger *trigger, pg_uuid_t *run_id)
{
	return trigger->tgnargs == 1 && ParseUuid(trigger->tgargs[0], run_id);
}

static void
CheckCalledAsTrigger(FunctionCallInfo fcinfo, bool for_row)
{
	TriggerEvent event;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not called by the trigger manager")));
	event = ((TriggerData *) fcinfo->context)->tg_event;
	if (!TRIGGER_FIRED_AFTER(event) || (bool) TRIGGER_FIRED_FOR_ROW(event) != for_row ||
		(!for_row && !TRIGGER_FIRED_BY_TRUNCATE(event)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 for_row ? errmsg("must be fired AFTER INSERT, UPDATE or DELETE, for each row") :
				 errmsg("must be fired AFTER TRUNCATE")));
}

/*
 * Are the values of a column the same in both rows? The bytes of what is stored
 * first: a vector out of line that an UPDATE did not touch has the same pointer.
 */
static bool
SameColumn(TupleTableSlot *old, TupleTableSlot *new, AttrNumber attno)
{
	Form_pg_attribute attribute = TupleDescAttr(old->tts_tupleDescriptor, attno - 1);
	bool		old_is_null;
	bool		new_is_null;
	Datum		old_value = slot_getattr(old, attno, &old_is_null);
	Datum		new_value = slot_getattr(new, attno, &new_is_null);

	if (old_is_null || new_is_null)
		return old_is_null == new_is_null;
	if (datumIsEqual(old_value, new_value, attribute->attbyval, attribute->attlen))
		return true;
	return attribute->attlen == -1 &&
		datum_image_eq(old_value, new_value, attribute->attbyval, attribute->attlen);
}

static bool
SameFilterColumns(const Tracker *tracker, TupleTableSlot *old, TupleTableSlot *new)
{
	int			attno = -1;

	if (tracker->any_column)
	{
		for (attno = 1; attno <= old->tts_tupleDescriptor->natts; attno++)
		{
			if (!TupleDescAttr(old->tts_tupleDescriptor, attno - 1)->attisdropped &&
				!SameColumn(old, new, attno))
				return false;
		}
		return true;
	}
	while ((attno = bms_next_member(tracker->filter_columns, attno)) >= 0)
	{
		if (!SameColumn(old, new, attno))
			return false;
	}
	return true;
}

/*
 * Can a row be in the index? One without embedding cannot; one whose id is NULL
 * is no sample.
 */
static bool
CanBeIndexed(const Tracker *tracker, TupleTableSlot *slot)
{
	return !slot_attisnull(slot, tracker->sample_key->attno) &&
		(tracker->embeddings_attno == InvalidAttrNumber ||
		 !slot_attisnull(slot, tracker->embeddings_attno));
}

static char *
IdOfSlot(const Tracker *tracker, TupleTableSlot *slot)
{
	bool		isnull;

	return SampleId(tracker->sample_key, slot_getattr(slot, tracker->sample_key->attno, &isnull));
}

static void
LogSlot(const Tracker *tracker, TupleTableSlot *slot)
{
	if (CanBeIndexed(tracker, slot))
		LogChange(&tracker->key.run_id, CHANGE_ROW, IdOfSlot(tracker, slot));
}

/*
 * Log an UPDATE that matters. The key's equality is not that of its text: 1.0 and
 * 1.00 are two ids.
 */
static void
LogUpdate(const Tracker *tracker, TupleTableSlot *old, TupleTableSlot *new)
{
	bool		same_key = SameColumn(old, new, tracker->sample_key->attno);

	if (same_key &&
		(tracker->embeddings_attno == InvalidAttrNumber ||
		 SameColumn(old, new, tracker->embeddings_attno)) &&
		SameFilterColumns(tracker, old, new))
		return;
	if (CanBeIndexed(tracker, old))
		LogSlot(tracker, old);
	if (!same_key || !CanBeIndexed(tracker, old))
		LogSlot(tracker, new);
}

/*
 * SQL: brain._track_changes() returns trigger; its argument is the run's id.
 */
Datum
brain_track_changes(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	pg_uuid_t	run_id;
	Tracker    *tracker;

	CheckCalledAsTrigger(fcinfo, true);
	if (Mutated("R2") || !RunOfTrigger(data->tg_trigger, &run_id))
		PG_RETURN_POINTER(NULL);
	tracker = FindTracker(&run_id, data->tg_relation);
	if (tracker == NULL)
		PG_RETURN_POINTER(NULL);
	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		LogUpdate(tracker, data->tg_trigslot, data->tg_newslot);
	else
		LogSlot(tracker, data->tg_trigslot);
	PG_RETURN_POINTER(NULL);
}

/*
 * SQL: brain._track_truncate() returns trigger; its argument is the run's id.
 */
Datum
brain_track_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	pg_uuid_t	run_id;
	Tracker    *tracker;

	CheckCalledAsTrigger(fcinfo, false);
	if (!RunOfTrigger(data->tg_trigger, &run_id))
		PG_RETURN_POINTER(NULL);
	tracker = FindTracker(&run_id, data->tg_relation);
	if (tracker)
		LogChange(&run_id, CHANGE_TRUNCATE, NULL);
	PG_RETURN_POINTER(NULL);
}

/*
 * Log a row of brain.embeddings for the run that it belongs to.
 */
static void
LogEmbedding(TupleTableSlot *slot)
{
	bool		isnull;
	pg_uuid_t  *run_id = DatumGetUUIDP(slot_getattr(slot, EMBEDDING_RUN_ID, &isnull));

	LogChange(run_id, CHANGE_ROW,
			  TextDatumGetCString(slot_getattr(slot, EMBEDDING_SAMPLE_ID, &isnull)));
}

/*
 * SQL: brain._track_embeddings() returns trigger: on brain.embeddings, for all
 * runs without a column of their own. Not kept from call to call: storing an
 * embedding costs a statement each.
 */
Datum
brain_track_embeddings(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	CheckCalledAsTrigger(fcinfo, true);
	if (RelationGetRelid(data->tg_relation) != BrainRelation("embeddings"))
		PG_RETURN_POINTER(NULL);
	LogEmbedding(data->tg_trigslot);
	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		LogEmbedding(data->tg_newslot);
	PG_RETURN_POINTER(NULL);
}
