/*
 * tracking.c
 *		Is a run's dataset tracked, and as it was when its base was made?
 *
 * A base and the log belong together only as long as nothing could write past
 * the triggers (triggers.c). Part of what could, the DDL event trigger logs, in
 * the transaction of who does it; all of it changes the fingerprint that is taken
 * here from the catalogs as they are now, and that the base keeps: another table
 * in the partition tree, new storage (TRUNCATE, CLUSTER, COPY FREEZE and what
 * else snapshots do not see), a trigger made anew, disabled or enabled (its row's
 * xmin), a column of another type.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "filter.h"
#include "tracking.h"
#include "triggers.h"

/* How many runs' tracking a session remembers before it forgets some. */
#define MAX_KNOWN 64
#define MAX_KNOWN_VALID 256

/*
 * Is a table the dataset, or a partition of it?
 */
bool
BelongsTo(Oid relid, Oid dataset)
{
	return relid == dataset ||
		(get_rel_relispartition(relid) && list_member_oid(get_partition_ancestors(relid), dataset));
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
	Problem    *problem = run->attached ?
		MakeProblem(ERRCODE_FEATURE_NOT_SUPPORTED, _("its collection is not its own"), NULL) :
		CheckTrackableTable(RelationGetRelid(rel));
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
 * Runs come and go: forget those that would have to be looked at again anyway,
 * and those that are known too if they are many: a run that could not be made is
 * never heard of again.
 */
static void
ForgetInvalid(const KnownTracking *but)
{
	HASH_SEQ_STATUS status;
	KnownTracking *entry;

	hash_seq_init(&status, known);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry == but ||
			(entry->valid && hash_get_num_entries(known) <= MAX_KNOWN_VALID))
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
