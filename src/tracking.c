/*
 * tracking.c
 *		Is a run's dataset tracked: the triggers that write the change log.
 *
 * Each run has triggers of its own on its dataset: one for rows, cloned to
 * partitions by PostgreSQL, and one for TRUNCATE on the table and on each of its
 * partitions, since those are not cloned. A base and the log belong together
 * only as long as nothing could write past the triggers. Part of what could, the
 * DDL event trigger logs, in the transaction of who does it; all of it changes
 * the fingerprint that is taken here from the catalogs as they are now, and that
 * the base keeps: another table in the partition tree, new storage (TRUNCATE,
 * CLUSTER, COPY FREEZE and what else snapshots do not see), a trigger made
 * anew, disabled or enabled (its row's xmin), a column of another type.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "filter.h"
#include "tracking.h"
#include "try.h"
#include "uuids.h"

#define ROW_TRIGGER_TYPE (TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE)
#define TRUNCATE_TRIGGER_TYPE TRIGGER_TYPE_TRUNCATE

/*
 * How long compute_similarity() and sync() try to stop writers: first without
 * standing in anybody's way, then in the queue for the lock, where those that
 * come later wait behind us, for a moment at a time.
 */
#define POLITE_ATTEMPTS 20
#define QUEUED_ATTEMPTS 40
#define MS_BETWEEN_ATTEMPTS 100
#define QUEUED_LOCK_TIMEOUT "250ms"

/* How many runs' tracking a session remembers before it forgets some. */
#define MAX_KNOWN 64

/* ---------- names ---------- */

#define TRIGGER_PREFIX "brain_track_"

/*
 * May a trigger of that name be ours?
 */
bool
IsTriggerName(const char *name)
{
	return strncmp(name, TRIGGER_PREFIX, strlen(TRIGGER_PREFIX)) == 0;
}

static char *
TriggerName(const pg_uuid_t *run_id, bool row)
{
	StringInfoData name;

	initStringInfo(&name);
	appendStringInfoString(&name, row ? TRIGGER_PREFIX : TRIGGER_PREFIX "truncate_");
	for (int i = 0; i < UUID_LEN; i++)
		appendStringInfo(&name, "%02x", run_id->data[i]);
	return name.data;
}

static Oid
TriggerFunction(bool row)
{
	return LookupFuncName(list_make2(makeString("brain"),
									 makeString(row ? "_track_changes" : "_track_truncate")),
						  0, NULL, false);
}

/* ---------- the triggers of a table ---------- */

/* A trigger of ours, as pg_trigger has it. */
typedef struct FoundTrigger
{
	Oid			oid;			/* 0: there is none */
	char		enabled;
	TransactionId xmin;			/* raw: freezing does not change it */
	bool		is_frozen;
	bool		is_clone;		/* goes with its parent's */
} FoundTrigger;

typedef struct TableTriggers
{
	FoundTrigger row;
	FoundTrigger truncate;
} TableTriggers;

/*
 * Is it the trigger of a run, with nothing that keeps it from firing but its
 * state?
 */
static bool
IsTriggerOfRun(HeapTuple tuple, TupleDesc desc, Oid function, int16 type, const char *run_id)
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
	bool		no_condition;
	bool		isnull;
	Datum		arguments;

	(void) heap_getattr(tuple, Anum_pg_trigger_tgqual, desc, &no_condition);
	if (form->tgfoid != function || form->tgtype != type || form->tgnargs != 1 ||
		form->tgattr.dim1 != 0 || !no_condition)
		return false;
	arguments = heap_getattr(tuple, Anum_pg_trigger_tgargs, desc, &isnull);
	/* arguments are strings with their zero bytes, one after the other */
	return strcmp(VARDATA_ANY(DatumGetByteaPP(arguments)), run_id) == 0;
}

static void
NoteTrigger(FoundTrigger *found, HeapTuple tuple)
{
	found->oid = ((Form_pg_trigger) GETSTRUCT(tuple))->oid;
	found->enabled = ((Form_pg_trigger) GETSTRUCT(tuple))->tgenabled;
	found->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	found->is_frozen = HeapTupleHeaderXminFrozen(tuple->t_data);
	found->is_clone = OidIsValid(((Form_pg_trigger) GETSTRUCT(tuple))->tgparentid);
}

static TableTriggers
FindTriggers(const pg_uuid_t *run_id, Oid relid)
{
	TableTriggers triggers = {{0}, {0}};
	char	   *id = UuidText(run_id);
	Oid			row_function = TriggerFunction(true);
	Oid			truncate_function = TriggerFunction(false);
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (IsTriggerOfRun(tuple, RelationGetDescr(rel), row_function, ROW_TRIGGER_TYPE, id))
			NoteTrigger(&triggers.row, tuple);
		else if (IsTriggerOfRun(tuple, RelationGetDescr(rel), truncate_function,
								TRUNCATE_TRIGGER_TYPE, id))
			NoteTrigger(&triggers.truncate, tuple);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return triggers;
}

/*
 * The trigger of brain.embeddings, which the extension's script makes.
 */
static FoundTrigger
FindEmbeddingsTrigger(Oid embeddings)
{
	FoundTrigger found = {0};
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(embeddings));
	ScanKeyInit(&keys[1], Anum_pg_trigger_tgname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("track_changes"));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		NoteTrigger(&found, tuple);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* ---------- can it be tracked at all? ---------- */

/*
 * Types whose output depends on other catalog rows, or on the locale.
 */
static bool
IsRegType(Oid type)
{
	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGTYPEOID:
		case REGROLEOID:
		case REGNAMESPACEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case CASHOID:
			return true;
	}
	return false;
}

/*
 * Can the text of a key change while the row does not? An enum's label can be
 * renamed. Then the ids of a base would be wrong.
 */
static bool
HasLastingText(Oid type)
{
	Oid			element = get_element_type(getBaseType(type));

	if (OidIsValid(element))
		return HasLastingText(element);
	type = getBaseType(type);
	return get_typtype(type) == TYPTYPE_BASE && !IsRegType(type);
}

static Problem *
CheckTrackableTable(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	Problem    *problem = NULL;

	if (!HeapTupleIsValid(tuple))
		return MakeProblem(ERRCODE_UNDEFINED_TABLE,
						   psprintf(_("relation with OID %u does not exist"), relid), NULL);
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relkind != RELKIND_RELATION && form->relkind != RELKIND_PARTITIONED_TABLE)
		problem = MakeProblem(ERRCODE_FEATURE_NOT_SUPPORTED,
							  psprintf(_("\"%s\" is not a table"), NameStr(form->relname)), NULL);
	else if (form->relpersistence != RELPERSISTENCE_PERMANENT)
		problem = MakeProblem(ERRCODE_FEATURE_NOT_SUPPORTED,
							  psprintf(_("table \"%s\" is unlogged"), NameStr(form->relname)), NULL);
	else if (form->relkind == RELKIND_RELATION && form->relam != HEAP_TABLE_AM_OID)
		problem = MakeProblem(ERRCODE_FEATURE_NOT_SUPPORTED,
							  psprintf(_("table \"%s\" is not a heap"), NameStr(form->relname)), NULL);
	ReleaseSysCache(tuple);
	return problem;
}

/*
 * The OIDs of the dataset and all its partitions, parents first.
 */
List *
TrackedTables(Relation rel)
{
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return list_make1_oid(RelationGetRelid(rel));
	return find_all_inheritors(RelationGetRelid(rel), NoLock, NULL);
}

static Problem *
CheckKeyType(const Run *run, Relation rel)
{
	AttrNumber	attno = ResolveColumn(rel, run->id_attno, run->id_field);
	Oid			type;

	if (attno == InvalidAttrNumber)
		return MakeProblem(ERRCODE_UNDEFINED_COLUMN,
						   psprintf(_("column \"%s\" does not exist"), run->id_field), NULL);
	type = TupleDescAttr(RelationGetDescr(rel), attno - 1)->atttypid;
	if (!HasLastingText(type))
		return MakeProblem(ERRCODE_FEATURE_NOT_SUPPORTED,
						   psprintf(_("the text of a key of type %s can change without the row"),
									format_type_be(type)), NULL);
	return NULL;
}

#ifdef ATTRIBUTE_GENERATED_VIRTUAL
/*
 * A virtual column has no value in a trigger.
 */
static Problem *
CheckVirtualColumns(const Run *run, Relation rel)
{
	AttrNumber	embeddings = run->embeddings_field ?
		ResolveColumn(rel, run->embeddings_attno, run->embeddings_field) : InvalidAttrNumber;
	Bitmapset  *columns = NULL;
	bool		any_column = run->filter && run->filter_tree == NULL;

	if (run->filter_tree)
		pull_varattnos(stringToNode(run->filter_tree), 1, &columns);
	any_column |= bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, columns);
	for (int i = 1; i <= RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), i - 1);

		if (attribute->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL &&
			(i == embeddings || any_column ||
			 bms_is_member(i - FirstLowInvalidHeapAttributeNumber, columns)))
			return MakeProblem(ERRCODE_FEATURE_NOT_SUPPORTED,
							   psprintf(_("column \"%s\" is a virtual generated column"),
										NameStr(attribute->attname)), NULL);
	}
	return NULL;
}
#else
#define CheckVirtualColumns(run, rel) NULL
#endif

/*
 * Why a dataset can never be tracked as it is; NULL when it can.
 */
Problem *
CheckTrackable(const Run *run, Relation rel)
{
	Problem    *problem = CheckTrackableTable(RelationGetRelid(rel));
	ListCell   *lc;

	if (problem == NULL)
		problem = CheckKeyType(run, rel);
	if (problem == NULL)
		problem = CheckVirtualColumns(run, rel);
	if (problem)
		return problem;
	foreach(lc, TrackedTables(rel))
	{
		if ((problem = CheckTrackableTable(lfirst_oid(lc))) != NULL)
			return problem;
	}
	return NULL;
}

/* ---------- the fingerprint ---------- */

#define ADD_FACT(buffer, fact) appendBinaryStringInfo((buffer), (const char *) &(fact), sizeof(fact))

static void
AddTrigger(StringInfo facts, const FoundTrigger *trigger)
{
	ADD_FACT(facts, trigger->oid);
	ADD_FACT(facts, trigger->enabled);
	ADD_FACT(facts, trigger->xmin);
}

static void
AddStorage(StringInfo facts, Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;

	ADD_FACT(facts, relid);
	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	ADD_FACT(facts, form->relfilenode);
	ADD_FACT(facts, form->reltablespace);
	ReleaseSysCache(tuple);
}

static void
AddColumn(StringInfo facts, Relation rel, AttrNumber attno)
{
	Form_pg_attribute attribute;

	ADD_FACT(facts, attno);
	if (attno <= 0)
		return;
	attribute = TupleDescAttr(RelationGetDescr(rel), attno - 1);
	ADD_FACT(facts, attribute->atttypid);
	ADD_FACT(facts, attribute->atttypmod);
	ADD_FACT(facts, attribute->attcollation);
}

static Problem *
CheckTriggers(Oid relid, const TableTriggers *triggers, bool *can_mend)
{
	const FoundTrigger *both[] = {&triggers->row, &triggers->truncate};

	for (int i = 0; i < 2; i++)
	{
		*can_mend = both[i]->enabled != TRIGGER_DISABLED;
		if (!OidIsValid(both[i]->oid))
			return MakeProblem(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
							   psprintf(_("a trigger that tracks \"%s\" is missing"), get_rel_name(relid)),
							   _("brain.sync() makes it again."));
		if (both[i]->enabled == TRIGGER_DISABLED)
			return MakeProblem(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
							   psprintf(_("a trigger that tracks \"%s\" is disabled"), get_rel_name(relid)),
							   _("Enable it, then call brain.sync()."));
		if (both[i]->enabled != TRIGGER_FIRES_ALWAYS)
			return MakeProblem(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
							   psprintf(_("a trigger that tracks \"%s\" does not fire always"), get_rel_name(relid)),
							   _("brain.sync() sets it."));
	}
	return NULL;
}

/*
 * What a session knows of the tracking of a run, until the relation cache says
 * that one of the tables has changed.
 */
typedef struct KnownTracking
{
	pg_uuid_t	run_id;
	bool		valid;
	bool		invalidated;	/* also while it is being filled */
	MemoryContext context;
	int			n_members;
	Oid		   *members;
	Tracking	tracking;
} KnownTracking;

static HTAB *known = NULL;

static void
InvalidateKnown(Datum arg pg_attribute_unused(), Oid relid)
{
	HASH_SEQ_STATUS status;
	KnownTracking *entry;

	hash_seq_init(&status, known);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		/* while its members are being found, it may be concerned by everything */
		bool		concerned = relid == InvalidOid || entry->n_members == 0;

		for (int i = 0; !concerned && i < entry->n_members; i++)
			concerned = entry->members[i] == relid;
		if (concerned)
		{
			entry->valid = false;
			entry->invalidated = true;
		}
	}
}

/*
 * Runs come and go: forget those that would have to be looked at again anyway.
 */
static void
ForgetInvalid(const KnownTracking *but)
{
	HASH_SEQ_STATUS status;
	KnownTracking *entry;

	hash_seq_init(&status, known);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry == but || entry->valid)
			continue;
		if (entry->context)
			MemoryContextDelete(entry->context);
		(void) hash_search(known, &entry->run_id, HASH_REMOVE, NULL);
	}
}

/*
 * A function was made anew: one of a filter, perhaps.
 */
static void
InvalidateAllKnown(Datum arg, int cache pg_attribute_unused(), uint32 hash pg_attribute_unused())
{
	InvalidateKnown(arg, InvalidOid);
}

static KnownTracking *
FindKnown(const pg_uuid_t *run_id)
{
	KnownTracking *entry;
	bool		found;

	if (known == NULL)
	{
		HASHCTL		control = {
			.keysize = sizeof(pg_uuid_t),
			.entrysize = sizeof(KnownTracking),
			.hcxt = CacheMemoryContext,
		};

		known = hash_create("milvus_brain tracking", 16, &control,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		CacheRegisterRelcacheCallback(InvalidateKnown, (Datum) 0);
		CacheRegisterSyscacheCallback(PROCOID, InvalidateAllKnown, (Datum) 0);
	}
	entry = hash_search(known, run_id, HASH_ENTER, &found);
	if (!found)
	{
		if (hash_get_num_entries(known) > MAX_KNOWN)
			ForgetInvalid(entry);
		entry->valid = false;
		entry->context = NULL;
		entry->n_members = 0;
	}
	return entry;
}

/*
 * The tables whose changes concern a run. In the entry before anything else is
 * read, so that what changes meanwhile is noticed.
 */
static List *
NoteMembers(KnownTracking *entry, const Run *run, Relation rel)
{
	List	   *members = TrackedTables(rel);
	ListCell   *lc;

	if (run->embeddings_field == NULL)
		members = lappend_oid(members, BrainRelation("embeddings"));
	entry->members = palloc(sizeof(Oid) * list_length(members));
	foreach(lc, members)
		entry->members[foreach_current_index(lc)] = lfirst_oid(lc);
	entry->n_members = list_length(members);
	return members;
}

/*
 * Which partitions there are depends on the snapshot while one is being detached
 * concurrently.
 */
static Problem *
CheckPendingDetach(List *members)
{
	ListCell   *lc;

	foreach(lc, members)
	{
		bool		detaches = false;
		TransactionId xmin;

		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_PARTITIONED_TABLE)
			(void) find_inheritance_children_extended(lfirst_oid(lc), false, NoLock, &detaches, &xmin);
		if (detaches)
			return MakeProblem(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
							   psprintf(_("a partition of \"%s\" is being detached"),
										get_rel_name(lfirst_oid(lc))), NULL);
	}
	return NULL;
}

static void
ExamineTracking(KnownTracking *entry, const Run *run, Relation rel)
{
	Tracking   *tracking = &entry->tracking;
	Oid			embeddings = BrainRelation("embeddings");
	List	   *members = NoteMembers(entry, run, rel);
	StringInfoData facts;
	ListCell   *lc;

	initStringInfo(&facts);
	tracking->can_mend = false;
	tracking->problem = CheckTrackable(run, rel);
	if (tracking->problem == NULL)
		tracking->problem = CheckPendingDetach(members);
	AddColumn(&facts, rel, ResolveColumn(rel, run->id_attno, run->id_field));
	if (run->embeddings_field)
		AddColumn(&facts, rel, ResolveColumn(rel, run->embeddings_attno, run->embeddings_field));
	else
	{
		FoundTrigger trigger = FindEmbeddingsTrigger(embeddings);

		AddStorage(&facts, embeddings);
		AddTrigger(&facts, &trigger);
		if (tracking->problem == NULL && trigger.enabled != TRIGGER_FIRES_ALWAYS)
			tracking->problem = MakeProblem(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
											_("the trigger that tracks brain.embeddings does not fire"),
											_("ALTER TABLE brain.embeddings ENABLE ALWAYS TRIGGER track_changes, then call brain.sync()."));
	}
	if (run->filter_tree)
	{
		appendStringInfoString(&facts, run->filter_tree);
		AddFilterCode(stringToNode(run->filter_tree), &facts);
	}
	foreach(lc, members)
	{
		Oid			member = lfirst_oid(lc);
		TableTriggers triggers;

		CHECK_FOR_INTERRUPTS();
		if (member == embeddings)
			continue;
		triggers = FindTriggers(&run->id, member);
		AddStorage(&facts, member);
		AddTrigger(&facts, &triggers.row);
		AddTrigger(&facts, &triggers.truncate);
		if (tracking->problem == NULL)
			tracking->problem = CheckTriggers(member, &triggers, &tracking->can_mend);
	}
	tracking->fingerprint = hash_bytes_extended((unsigned char *) facts.data, facts.len, 0);
}

/*
 * How a run's dataset is tracked now, whatever the active snapshot is. The
 * result lives until the next call for the run. rel is locked.
 */
Tracking *
LookAtTracking(const Run *run, Relation rel)
{
	KnownTracking *entry = FindKnown(&run->id);
	MemoryContext old;

	/* partitions may have changed though the dataset itself is locked */
	AcceptInvalidationMessages();
	if (entry->valid)
		return &entry->tracking;
	if (entry->context == NULL)
		entry->context = AllocSetContextCreate(CacheMemoryContext, "milvus_brain tracking",
											   ALLOCSET_SMALL_SIZES);
	entry->n_members = 0;
	MemoryContextReset(entry->context);
	entry->invalidated = false;
	old = MemoryContextSwitchTo(entry->context);
	ExamineTracking(entry, run, rel);
	MemoryContextSwitchTo(old);
	/* what changed on the way may have been read before: look again next time */
	entry->valid = !entry->invalidated;
	return &entry->tracking;
}

static bool
TriggerIsVisible(const FoundTrigger *trigger, Snapshot snapshot)
{
	return OidIsValid(trigger->oid) &&
		(trigger->is_frozen || !XidInMVCCSnapshot(trigger->xmin, snapshot));
}

static bool
TableIsVisible(Oid relid, Snapshot snapshot)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		visible;

	if (!HeapTupleIsValid(tuple))
		return false;
	visible = HeapTupleHeaderXminFrozen(tuple->t_data) ||
		!XidInMVCCSnapshot(HeapTupleHeaderGetRawXmin(tuple->t_data), snapshot);
	ReleaseSysCache(tuple);
	return visible;
}

/*
 * Had all tables and triggers become what they are by what the snapshot sees as
 * committed? Then whatever it does not see is in the log, and what it does see is
 * in the tables' storage.
 */
bool
TrackingIsVisible(const Run *run, Relation rel, Snapshot snapshot)
{
	ListCell   *lc;

	foreach(lc, TrackedTables(rel))
	{
		TableTriggers triggers = FindTriggers(&run->id, lfirst_oid(lc));

		if (!TriggerIsVisible(&triggers.row, snapshot) ||
			!TriggerIsVisible(&triggers.truncate, snapshot) ||
			!TableIsVisible(lfirst_oid(lc), snapshot))
			return false;
	}
	return true;
}

/* ---------- is it being written? ---------- */

static bool
IsLockedForWriting(Oid relid)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
#if PG_VERSION_NUM >= 180000
	return LockHeldByMe(&tag, RowExclusiveLock, true);
#else
	return LockHeldByMe(&tag, RowExclusiveLock) || LockHeldByMe(&tag, ShareRowExclusiveLock) ||
		LockHeldByMe(&tag, AccessExclusiveLock);
#endif
}

/*
 * Has this session a table open more often than expected, and locked for
 * writing?
 */
static bool
IsOpenForWriting(Oid relid, int expected)
{
	Relation	rel;
	bool		is_open;

	if (!IsLockedForWriting(relid) || (rel = RelationIdGetRelation(relid)) == NULL)
		return false;
	is_open = rel->rd_refcnt > expected + 1;
	RelationClose(rel);
	return is_open;
}

/*
 * Is a statement that this call belongs to writing into the dataset? A volatile
 * function that it calls sees the rows that it has written, but its triggers
 * fire at its end. It has the table open, and locked for writing; one that only
 * reads the table, in a transaction that has written into it before, is taken
 * for one too. rel is open once by our own doing.
 */
bool
IsBeingWritten(const Run *run, Relation rel)
{
	const KnownTracking *entry = FindKnown(&run->id);
	ListCell   *lc;

	if (IsOpenForWriting(RelationGetRelid(rel), 1))
		return true;
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return false;
	if (entry->valid)
	{
		for (int i = 0; i < entry->n_members; i++)
		{
			if (entry->members[i] != RelationGetRelid(rel) && IsOpenForWriting(entry->members[i], 0))
				return true;
		}
		return false;
	}
	foreach(lc, TrackedTables(rel))
	{
		if (lfirst_oid(lc) != RelationGetRelid(rel) && IsOpenForWriting(lfirst_oid(lc), 0))
			return true;
	}
	return false;
}

/* ---------- making them ---------- */

typedef struct WriterStop
{
	Oid			relid;
	LOCKMODE	runs_mode;
} WriterStop;

pg_noreturn static void RaiseNotStopped(Oid relid);

static void
RaiseNotStopped(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not stop writers of \"%s\" for a moment", DatasetName(relid)),
			 errdetail("Some transaction keeps writing, or has not ended."),
			 errhint("Try again when pg_locks shows no long transaction on it.")));
}

static void
LockAgainstWriters(void *arg)
{
	WriterStop *stop = arg;
	int			nest_level = NewGUCNestLevel();

	(void) set_config_option("lock_timeout", QUEUED_LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	LockRelationOid(stop->relid, ShareRowExclusiveLock);
	(void) find_all_inheritors(stop->relid, ShareRowExclusiveLock, NULL);
	if (!ConditionalLockRuns(stop->relid, stop->runs_mode))
		RaiseNotStopped(stop->relid);
	AtEOXact_GUC(false, nest_level);
}

static bool
TryLockAgainstWriters(const WriterStop *stop)
{
	List	   *members;
	int			n_locked = 0;

	if (!ConditionalLockRelationOid(stop->relid, ShareRowExclusiveLock))
		return false;
	members = find_all_inheritors(stop->relid, NoLock, NULL);
	while (n_locked < list_length(members) &&
		   ConditionalLockRelationOid(list_nth_oid(members, n_locked), ShareRowExclusiveLock))
		n_locked++;
	if (n_locked == list_length(members) && ConditionalLockRuns(stop->relid, stop->runs_mode))
		return true;
	for (int i = 0; i < n_locked; i++)
		UnlockRelationOid(list_nth_oid(members, i), ShareRowExclusiveLock);
	UnlockRelationOid(stop->relid, ShareRowExclusiveLock);
	return false;
}

static void
Pause(void)
{
	CHECK_FOR_INTERRUPTS();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 MS_BETWEEN_ATTEMPTS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Stop the writers of a dataset until the end of the transaction, and take the
 * lock on its runs: nothing is waited for while writers wait. Error 55P03 when
 * that takes too long.
 */
static void
StopWriters(Oid relid, LOCKMODE runs_mode)
{
	WriterStop	stop = {relid, runs_mode};

	for (int i = 0; i < POLITE_ATTEMPTS; i++)
	{
		if (TryLockAgainstWriters(&stop))
			return;
		Pause();
	}
	for (int i = 0; i < QUEUED_ATTEMPTS; i++)
	{
		ErrorData  *error = Try(LockAgainstWriters, &stop);

		if (error == NULL)
			return;
		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			ReThrowError(error);
		Pause();
	}
	RaiseNotStopped(relid);
}

static void
CreateOurTrigger(const pg_uuid_t *run_id, Oid relid, bool row)
{
	CreateTrigStmt *statement = makeNode(CreateTrigStmt);
	ObjectAddress trigger;
	ObjectAddress extension;

	statement->trigname = TriggerName(run_id, row);
	statement->relation = makeRangeVar(get_namespace_name(get_rel_namespace(relid)),
									   get_rel_name(relid), -1);
	statement->funcname = list_make2(makeString("brain"),
									 makeString(row ? "_track_changes" : "_track_truncate"));
	statement->args = list_make1(makeString(UuidText(run_id)));
	statement->row = row;
	statement->timing = TRIGGER_TYPE_AFTER;
	statement->events = row ? ROW_TRIGGER_TYPE & ~TRIGGER_TYPE_ROW : TRUNCATE_TRIGGER_TYPE;
	trigger = CreateTriggerFiringOn(statement, NULL, relid, InvalidOid, InvalidOid, InvalidOid,
									InvalidOid, InvalidOid, NULL, false, false,
									TRIGGER_FIRES_ALWAYS);
	/* DROP EXTENSION takes it along, and pg_dump keeps that */
	ObjectAddressSet(extension, ExtensionRelationId, get_extension_oid("milvus_brain", false));
	recordDependencyOn(&trigger, &extension, DEPENDENCY_AUTO_EXTENSION);
	CommandCounterIncrement();
}

/*
 * Set a trigger of ours that fires otherwise to ENABLE ALWAYS.
 */
static void
FireAlways(Oid trigger, Oid relid)
{
	Relation	rel = table_open(TriggerRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(trigger));
	scan = systable_beginscan(rel, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		tuple = heap_copytuple(tuple);
		((Form_pg_trigger) GETSTRUCT(tuple))->tgenabled = TRIGGER_FIRES_ALWAYS;
		CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	}
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
}

static void
MendTrigger(const pg_uuid_t *run_id, Oid relid, const FoundTrigger *found, bool row)
{
	if (!OidIsValid(found->oid))
		CreateOurTrigger(run_id, relid, row);
	else if (found->enabled != TRIGGER_FIRES_ALWAYS && found->enabled != TRIGGER_DISABLED)
		FireAlways(found->oid, relid);
}

/*
 * Make the triggers that are missing, with writers stopped. A partition may
 * belong to somebody else than its parent: who owns the dataset has it tracked
 * whole.
 */
static void
MendTriggers(const Run *run, Relation rel)
{
	List	   *members = TrackedTables(rel);
	Oid			user;
	int			security_context;
	ListCell   *lc;

	GetUserIdAndSecContext(&user, &security_context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, security_context | SECURITY_LOCAL_USERID_CHANGE);
	foreach(lc, members)
	{
		/* those of a parent come first, and are cloned to its partitions */
		TableTriggers triggers = FindTriggers(&run->id, lfirst_oid(lc));

		MendTrigger(&run->id, lfirst_oid(lc), &triggers.row, true);
		MendTrigger(&run->id, lfirst_oid(lc), &triggers.truncate, false);
	}
	SetUserIdAndSecContext(user, security_context);
}

/*
 * See to it that a run's dataset is tracked; true when something had to be done,
 * and writers stay stopped until the end of the transaction then. rel can be
 * tracked. A trigger that somebody has disabled stays so. *fingerprint is set to
 * the new one if nothing but our triggers has changed since it was taken. Not to
 * be called by a statement that is writing into the dataset, which would not fire
 * them: see IsBeingWritten().
 */
bool
EnsureTriggers(const Run *run, Relation rel, LOCKMODE runs_mode, uint64 *fingerprint)
{
	Tracking   *tracking = LookAtTracking(run, rel);
	bool		is_as_it_was;

	if (tracking->problem == NULL || !tracking->can_mend)
		return false;
	StopWriters(RelationGetRelid(rel), runs_mode);
	is_as_it_was = LookAtTracking(run, rel)->fingerprint == *fingerprint;
	MendTriggers(run, rel);
	if (is_as_it_was)
		*fingerprint = LookAtTracking(run, rel)->fingerprint;
	return true;
}

/*
 * Make the triggers that a new partition lacks, in the transaction that made it
 * a partition, which has it locked.
 */
void
AddMissingTriggers(const Run *run, Relation rel)
{
	Tracking   *tracking = LookAtTracking(run, rel);

	/* one that was never tracked is not begun with here */
	if (tracking->problem && tracking->can_mend &&
		OidIsValid(FindTriggers(&run->id, RelationGetRelid(rel)).row.oid))
		MendTriggers(run, rel);
}

/* ---------- dropping them ---------- */

static void
DropTrigger(const FoundTrigger *trigger)
{
	ObjectAddress address;

	if (!OidIsValid(trigger->oid) || trigger->is_clone)
		return;
	ObjectAddressSet(address, TriggerRelationId, trigger->oid);
	performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

/*
 * May the triggers of a table be dropped: nobody uses it, this session included?
 */
static bool
LockUnused(Oid relid)
{
	Relation	rel;
	bool		unused;

	if (!ConditionalLockRelationOid(relid, AccessExclusiveLock))
		return false;
	rel = RelationIdGetRelation(relid);
	if (rel == NULL)
		return false;
	unused = rel->rd_refcnt == 1 && !AfterTriggerPendingOnRel(relid);
	RelationClose(rel);
	return unused;
}

/*
 * Drop the triggers of a run if nobody has to wait: it takes a lock that keeps
 * even readers out, which must not last for a transaction of many statements.
 * Those that stay do nothing, since their run is gone, and the next sync or
 * brain.sweep() finds them. False when some stay.
 */
bool
DropTriggers(const pg_uuid_t *run_id, Oid relid)
{
	List	   *members;
	ListCell   *lc;

	if (IsTransactionBlock() || !LockUnused(relid))
		return false;
	members = find_all_inheritors(relid, NoLock, NULL);
	foreach(lc, members)
	{
		if (!LockUnused(lfirst_oid(lc)))
			return false;
	}
	foreach(lc, members)
	{
		TableTriggers triggers = FindTriggers(run_id, lfirst_oid(lc));

		DropTrigger(&triggers.row);
		DropTrigger(&triggers.truncate);
		CommandCounterIncrement();
	}
	return true;
}

/*
 * Is a table the dataset of a run that there is, or a partition of it?
 */
static bool
IsTrackedFor(const pg_uuid_t *run_id, Oid relid)
{
	Run		   *run = ReadRun(run_id);
	Oid			dataset = run && run->has_index ? DatasetOfRun(run) : InvalidOid;

	return OidIsValid(dataset) &&
		(relid == dataset ||
		 (get_rel_relispartition(relid) && list_member_oid(get_partition_ancestors(relid), dataset)));
}

/*
 * The triggers of ours whose run is gone, or whose table is none of its dataset
 * any more, but for those that are a partition's
 * copy: a list of StrayTrigger.
 */
List *
StrayTriggers(void)
{
	Oid			functions[] = {TriggerFunction(true), TriggerFunction(false)};
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *found = NIL;
	List	   *strays = NIL;
	ListCell   *lc;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
		StrayTrigger *stray;
		Datum		arguments;
		bool		isnull;

		if ((form->tgfoid != functions[0] && form->tgfoid != functions[1]) ||
			OidIsValid(form->tgparentid) || form->tgnargs != 1)
			continue;
		arguments = heap_getattr(tuple, Anum_pg_trigger_tgargs, RelationGetDescr(rel), &isnull);
		stray = palloc(sizeof(StrayTrigger));
		stray->relid = form->tgrelid;
		stray->name = pstrdup(NameStr(form->tgname));
		if (ParseUuid(VARDATA_ANY(DatumGetByteaPP(arguments)), &stray->run_id))
			found = lappend(found, stray);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	/* no older than what was just read, or a new run's would look stray */
	PushActiveSnapshot(GetLatestSnapshot());
	foreach(lc, found)
	{
		StrayTrigger *stray = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		if (!IsTrackedFor(&stray->run_id, stray->relid))
			strays = lappend(strays, stray);
	}
	PopActiveSnapshot();
	return strays;
}
