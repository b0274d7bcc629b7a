/*
 * ddl.c
 *		Event triggers: runs live with their dataset.
 *
 * They run for every ALTER of a table, view or schema, and every DROP, in the
 * name of whoever alters or drops. So they do little where there is nothing to
 * do, and do not fail for what a run's definition has become: an error here
 * would forbid a user's DDL.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "bases.h"
#include "changes.h"
#include "filter.h"
#include "runs.h"
#include "tracking.h"
#include "triggers.h"
#include "try.h"

PG_FUNCTION_INFO_V1(brain_on_ddl_start);
PG_FUNCTION_INFO_V1(brain_on_ddl_end);
PG_FUNCTION_INFO_V1(brain_on_drop);

static bool
BeginEvent(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not called by the event trigger manager")));
	/* pg_upgrade builds the new catalog: nothing is renamed or dropped */
	if (IsBinaryUpgrade)
		return false;
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	return true;
}

/*
 * Look at a run again when nobody else can change it any more: ALTER SCHEMA and
 * ALTER TABLE hold no lock in common. NULL when it is gone.
 */
static Run *
LockRun(const Run *run)
{
	LockRuns(run->dataset, ExclusiveLock);
	return ReadRun(&run->id);
}

/*
 * Bind an unbound run to the relation that has its name, with its columns and
 * its filter.
 */
static void
BindByName(Run *run, Oid relid)
{
	Relation	rel;

	run->dataset = relid;
	run = LockRun(run);
	if (run == NULL || run->bound)
		return;
	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		return;
	run->dataset = relid;
	run->id_attno = ColumnNumber(rel, run->id_field);
	run->embeddings_attno = run->embeddings_field ?
		ColumnNumber(rel, run->embeddings_field) : InvalidAttrNumber;
	run->filter_tree = NULL;
	if (run->filter)
	{
		Problem    *problem;
		Node	   *filter = TryParseRunFilter(rel, run->filter, &problem);

		run->filter_tree = filter ? nodeToString(filter) : NULL;
	}
	if (run->id_attno != InvalidAttrNumber)
		BindRun(run);
	relation_close(rel, NoLock);
}

/*
 * What an ALTER names: a relation, or a schema. Neither: something that changes
 * no name.
 */
static void
ReadTarget(Node *statement, Oid *relid, const char **schema)
{
	RangeVar   *relation = NULL;

	*relid = InvalidOid;
	*schema = NULL;
	if (IsA(statement, RenameStmt))
	{
		relation = ((RenameStmt *) statement)->relation;
		if (((RenameStmt *) statement)->renameType == OBJECT_SCHEMA)
			*schema = ((RenameStmt *) statement)->subname;
	}
	else if (IsA(statement, AlterObjectSchemaStmt))
		relation = ((AlterObjectSchemaStmt *) statement)->relation;
	else if (IsA(statement, AlterTableStmt))
		relation = ((AlterTableStmt *) statement)->relation;
	if (relation)
		*relid = RangeVarGetRelid(relation, NoLock, true);
}

/*
 * SQL: brain._on_ddl_start() returns event_trigger. A restored run is known by
 * name only: bind it before the name can change. Only what the statement names
 * is looked at: statements on other tables have nothing to wait for.
 */
Datum
brain_on_ddl_start(PG_FUNCTION_ARGS)
{
	Oid			target;
	const char *schema;
	ListCell   *lc;

	if (!BeginEvent(fcinfo))
		PG_RETURN_NULL();
	ReadTarget(((EventTriggerData *) fcinfo->context)->parsetree, &target, &schema);
	foreach(lc, OidIsValid(target) || schema ? AllRuns() : NIL)
	{
		Run		   *run = lfirst(lc);
		Oid			namespace = get_namespace_oid(run->dataset_schema, true);
		Oid			relid = OidIsValid(namespace) ?
			get_relname_relid(run->dataset_name, namespace) : InvalidOid;

		if (!run->bound && OidIsValid(relid) &&
			(relid == target || (schema && strcmp(run->dataset_schema, schema) == 0)))
			BindByName(run, relid);
	}
	PopActiveSnapshot();
	PG_RETURN_NULL();
}

/*
 * Let a column's name follow its number; a dropped column keeps the name that
 * it had, by which one that takes its place is found.
 */
static void
FollowColumn(Oid relid, AttrNumber *attno, char **name)
{
	char	   *now = *attno > 0 ? get_attname(relid, *attno, true) : NULL;

	/* get_attnum finds no dropped columns, get_attname does */
	if (now && get_attnum(relid, now) == *attno)
		*name = now;
	else if (*name && get_attnum(relid, *name) > 0)
		*attno = get_attnum(relid, *name);
}

typedef struct FilterDeparse
{
	const Run  *run;
	char	   *text;
} FilterDeparse;

static void
DeparseFilter(void *arg)
{
	FilterDeparse *deparse = arg;
	Relation	rel = relation_open(deparse->run->dataset, NoLock);
	Node	   *filter = stringToNode(deparse->run->filter_tree);

	if (RunFilterIsIntact(filter, rel))
		deparse->text = RunFilterText(filter, rel);
	relation_close(rel, NoLock);
}

/*
 * The text of a bound run's filter as its names are now; what it was when that
 * cannot be told. No waiting for a dataset that somebody else has locked: the
 * one that the statement altered is locked by it.
 */
static char *
FilterText(const Run *run)
{
	FilterDeparse deparse = {run, run->filter};

	if (run->filter_tree && ConditionalLockRelationOid(run->dataset, AccessShareLock))
	{
		(void) Try(DeparseFilter, &deparse);
		UnlockRelationOid(run->dataset, AccessShareLock);
	}
	return deparse.text;
}

static bool
SameText(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/*
 * Let the names of a bound run follow those of its dataset. Returns whether
 * they had to, and writes them then if told to.
 */
static bool
FollowNames(const Run *run, bool write)
{
	Run			now = *run;

	now.dataset_name = get_rel_name(run->dataset);
	if (now.dataset_name == NULL)
		return false;
	now.dataset_schema = get_namespace_name(get_rel_namespace(run->dataset));
	FollowColumn(run->dataset, &now.id_attno, &now.id_field);
	FollowColumn(run->dataset, &now.embeddings_attno, &now.embeddings_field);
	now.filter = FilterText(run);
	if (SameText(now.dataset_schema, run->dataset_schema) &&
		SameText(now.dataset_name, run->dataset_name) &&
		SameText(now.id_field, run->id_field) &&
		SameText(now.embeddings_field, run->embeddings_field) &&
		SameText(now.filter, run->filter) &&
		now.id_attno == run->id_attno && now.embeddings_attno == run->embeddings_attno)
		return false;
	if (write)
	{
		Run		   *orphan = ReadUnboundRun(now.dataset_schema, now.dataset_name, now.brain_key);

		/* of a dataset that is not here, and whose name is taken now */
		if (orphan && memcmp(&orphan->id, &now.id, sizeof(pg_uuid_t)) != 0)
		{
			ereport(NOTICE,
					(errmsg("brain run \"%s\" of a \"%s.%s\" that is not there makes way for the one of \"%s.%s\"",
							now.brain_key, now.dataset_schema, now.dataset_name,
							run->dataset_schema, run->dataset_name)));
			RemoveRun(orphan);
		}
		UpdateRun(&now);
		BindRun(&now);
	}
	return true;
}

/*
 * Run one of the functions that tell an event trigger what happened; its rows
 * are in SPI_tuptable until SPI_finish().
 */
static void
ReadEvents(const char *sql)
{
	int			nest_level = PinSearchPath();

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(sql, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed: %s", sql);
	UnpinSettings(nest_level);
}

static Oid
EventOid(uint64 row)
{
	bool		isnull;

	return DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
										  1, &isnull));
}

/*
 * Parse a run's filter again where its tree does not hold any more: what it uses
 * may have been dropped and made again. Only for who owns the dataset, since
 * parsing may run code of that one's, and without waiting for it.
 */
static void
MendFilter(Run *run)
{
	Problem    *problem = NULL;
	Dataset    *dataset;
	Node	   *filter = NULL;
	Relation	rel;

	if (run->filter == NULL || !ConditionalLockRelationOid(run->dataset, AccessShareLock))
		return;
	rel = try_relation_open(run->dataset, NoLock);
	if (rel)
	{
		dataset = OwnsDataset(rel) ? LookAtRun(run, rel, &problem) : NULL;
		if (dataset && dataset->filter == NULL)
			filter = TryParseRunFilter(rel, run->filter, &problem);
		relation_close(rel, NoLock);
	}
	UnlockRelationOid(run->dataset, AccessShareLock);

	if (filter && TryLockRuns(run->dataset) &&
		(run = ReadRun(&run->id)) != NULL && run->bound)
	{
		run->filter_tree = nodeToString(filter);
		BindRun(run);
	}
}

static int
CompareDatasets(const ListCell *a, const ListCell *b)
{
	Oid			x = ((Run *) lfirst(a))->dataset;
	Oid			y = ((Run *) lfirst(b))->dataset;

	return (x > y) - (x < y);
}

/*
 * Is the dataset of a run what the statement altered?
 */
static bool
IsAltered(const Run *run)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		if (EventOid(i) == run->dataset)
			return true;
	}
	return false;
}

/*
 * Does a statement change a table's rows, or what tracks them, without a trigger
 * firing? Much of it changes the tracking's fingerprint as well; in the log it
 * is seen by exactly those snapshots that see the statement.
 */
static bool
BypassesTriggers(Node *statement)
{
	ListCell   *lc;

	if (!IsA(statement, AlterTableStmt))
		return false;
	foreach(lc, ((AlterTableStmt *) statement)->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, lc);

		switch (command->subtype)
		{
			case AT_EnableTrig:
			case AT_EnableAlwaysTrig:
			case AT_EnableReplicaTrig:
			case AT_DisableTrig:
				if (IsTriggerName(command->name))
					return true;
				break;
			case AT_AlterColumnType:
			case AT_EnableTrigAll:
			case AT_DisableTrigAll:
			case AT_EnableTrigUser:
			case AT_DisableTrigUser:
			case AT_AttachPartition:
			case AT_DetachPartition:
			case AT_SetUnLogged:
			case AT_SetLogged:
			case AT_DropExpression:
#if PG_VERSION_NUM >= 170000
			case AT_SetExpression:
#endif
				return true;
			default:
				break;
		}
	}
	return false;
}

/*
 * Does a statement make a table a partition? Others must not make triggers: the
 * statements of a dump make them themselves.
 */
static bool
MakesPartition(Node *statement)
{
	ListCell   *lc;

	if (IsA(statement, CreateStmt))
		return ((CreateStmt *) statement)->partbound != NULL;
	if (!IsA(statement, AlterTableStmt))
		return false;
	foreach(lc, ((AlterTableStmt *) statement)->cmds)
	{
		if (lfirst_node(AlterTableCmd, lc)->subtype == AT_AttachPartition)
			return true;
	}
	return false;
}

/*
 * Keep the log of a run true after a statement that altered its dataset or a
 * partition of it, or made one. Without a base there is nothing that the log
 * would belong to.
 */
static void
FollowTracking(const Run *run, Node *statement)
{
	Relation	rel;

	if (!HasBases())
		return;
	if (BypassesTriggers(statement) && ReadBaseRow(&run->id))
		LogChange(&run->id, CHANGE_ALL, NULL);
	/* what has the dataset locked would wait for us in turn: sync() mends it then */
	if (!MakesPartition(statement) || !ConditionalLockRelationOid(run->dataset, AccessShareLock))
		return;
	rel = try_relation_open(run->dataset, NoLock);
	if (rel == NULL)
		return;
	if (CheckTrackable(run, rel) == NULL)
		AddMissingTriggers(run, rel);
	relation_close(rel, NoLock);
}

/*
 * Is the dataset of a run what the statement altered, or does it contain that?
 */
static bool
ContainsAltered(const Run *run)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		if (BelongsTo(EventOid(i), run->dataset))
			return true;
	}
	return false;
}

/*
 * SQL: brain._on_ddl_end() returns event_trigger. Whatever was altered or made,
 * names are found in the caches. A run is waited for only if the statement is
 * about its dataset, which is locked then, or about the dataset's schema, in the
 * order of their OIDs; a run that somebody else is changing otherwise is followed
 * by the next such statement.
 */
Datum
brain_on_ddl_end(PG_FUNCTION_ARGS)
{
	Node	   *statement;
	Oid			target;
	const char *schema;
	List	   *runs;
	ListCell   *lc;

	statement = CALLED_AS_EVENT_TRIGGER(fcinfo) ?
		((EventTriggerData *) fcinfo->context)->parsetree : NULL;
	/* of new tables only partitions concern us: temporary ones are made often */
	if (statement && IsA(statement, CreateStmt) && !MakesPartition(statement))
		PG_RETURN_NULL();
	if (!BeginEvent(fcinfo))
		PG_RETURN_NULL();
	ReadTarget(statement, &target, &schema);
	if (schema)
		LockRunsOfSchema(get_namespace_oid(((RenameStmt *) statement)->newname, false), ExclusiveLock);
	ReadEvents("SELECT DISTINCT objid FROM pg_event_trigger_ddl_commands()"
			   " WHERE classid = 'pg_class'::regclass");
	runs = AllRuns();
	list_sort(runs, CompareDatasets);
	foreach(lc, runs)
	{
		Run		   *run = lfirst(lc);

		if (!run->bound)
			continue;
		if (FollowNames(run, false) &&
			(schema || IsAltered(run) || TryLockRuns(run->dataset)) &&
			(run = LockRun(run)) != NULL && run->bound)
			FollowNames(run, true);
		if (run && run->bound)
			MendFilter(run);
		if (run && run->bound && run->has_index && ContainsAltered(run))
			FollowTracking(run, statement);
	}
	SPI_finish();
	PopActiveSnapshot();
	PG_RETURN_NULL();
}

/*
 * Was the run's dataset this dropped relation?
 */
static bool
IsDatasetOf(const Run *run, uint64 row)
{
	HeapTuple	tuple = SPI_tuptable->vals[row];
	TupleDesc	desc = SPI_tuptable->tupdesc;

	if (run->bound || run->dataset == EventOid(row))
		return run->dataset == EventOid(row);
	return SameText(run->dataset_schema, SPI_getvalue(tuple, desc, 2)) &&
		SameText(run->dataset_name, SPI_getvalue(tuple, desc, 3));
}

static void
DeleteDroppedRun(Run *run)
{
	run = LockRun(run);
	if (run)
		RemoveRun(run);
}

/*
 * SQL: brain._on_drop() returns event_trigger. A dropped dataset takes its runs
 * along. A dropped column is reported with its table's OID and a sub-id, a
 * table's row type with an OID that may equal some table's: neither is a table.
 */
Datum
brain_on_drop(PG_FUNCTION_ARGS)
{
	List	   *runs;
	ListCell   *lc;

	if (!BeginEvent(fcinfo))
		PG_RETURN_NULL();
	ReadEvents("SELECT objid, schema_name, object_name FROM pg_event_trigger_dropped_objects()"
			   " WHERE classid = 'pg_class'::regclass AND objsubid = 0"
			   "   AND object_type IN ('table', 'view', 'materialized view', 'foreign table')");
	runs = SPI_processed > 0 ? AllRuns() : NIL;
	foreach(lc, runs)
	{
		bool		dropped = false;

		for (uint64 i = 0; i < SPI_processed; i++)
			dropped |= IsDatasetOf(lfirst(lc), i);
		if (dropped)
			DeleteDroppedRun(lfirst(lc));
	}
	SPI_finish();
	PopActiveSnapshot();
	PG_RETURN_NULL();
}
