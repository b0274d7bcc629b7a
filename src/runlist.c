/*
 * runlist.c
 *		The list of brain runs, as brain.runs and its relatives show it.
 *
 * Nobody is shown a run whose dataset he may not read, nor counts of rows that
 * row security may hide from him, and nobody waits for a dataset that another
 * session has locked.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/timestamp.h"

#include "bases.h"
#include "filter.h"
#include "runs.h"

PG_FUNCTION_INFO_V1(brain_visible_runs);
PG_FUNCTION_INFO_V1(brain_run_config);

static bool
MayReadColumn(Oid relid, AttrNumber attno)
{
	return attno == InvalidAttrNumber ||
		pg_attribute_aclcheck(relid, attno, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

static bool
MayReadFilterColumns(const Run *run, Oid relid)
{
	Bitmapset  *columns = NULL;
	int			column = -1;

	if (!run->bound || run->filter_tree == NULL)
		return false;
	pull_varattnos(stringToNode(run->filter_tree), 1, &columns);
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		AttrNumber	attno = column + FirstLowInvalidHeapAttributeNumber;

		/* a whole row (0) or a system column: who may read the table only */
		if (attno <= 0 || !MayReadColumn(relid, attno))
			return false;
	}
	return true;
}

/*
 * May the current user read the columns that a search of the run reads?
 */
bool
MaySearchRun(const Run *run, Relation rel)
{
	Oid			relid = RelationGetRelid(rel);

	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return true;
	return MayReadColumn(relid, ResolveColumn(rel, run->id_attno, run->id_field)) &&
		(run->embeddings_field == NULL ||
		 MayReadColumn(relid, ResolveColumn(rel, run->embeddings_attno, run->embeddings_field))) &&
		(run->filter == NULL || MayReadFilterColumns(run, relid));
}

/*
 * Counts tell of rows that row security may hide. Below a security_invoker view
 * it is not known whether it does, so only the owner sees them there.
 */
static bool
MaySeeCounts(Relation rel)
{
	if (check_enable_rls(RelationGetRelid(rel), InvalidOid, true) == RLS_ENABLED)
		return false;
	return rel->rd_rel->relkind != RELKIND_VIEW || !RelationHasSecurityInvoker(rel) || OwnsDataset(rel);
}

/* columns of brain._visible_runs() */
enum
{
	SHOW_SAMPLES,
	SHOW_BRAIN_KEY,
	SHOW_TYPE,
	SHOW_METHOD,
	SHOW_BACKEND,
	SHOW_METRIC,
	SHOW_DIMENSIONS,
	SHOW_ID_FIELD,
	SHOW_EMBEDDINGS_FIELD,
	SHOW_PATCHES_FIELD,
	SHOW_SUPPORTS_PROMPTS,
	SHOW_FILTER,
	SHOW_INDEXED,
	SHOW_MISSING,
	SHOW_SKIPPED,
	SHOW_STATE,
	SHOW_REASON,
	SHOW_VERSION,
	SHOW_CREATED,
	SHOW_COLUMNS
};

static void
ShowText(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	if (text)
		values[column] = CStringGetTextDatum(text);
}

static void
ShowCount(Datum *values, bool *nulls, int column, int64 count, bool visible)
{
	nulls[column] = !visible || count == COUNT_UNKNOWN;
	values[column] = Int64GetDatum(count);
}

/*
 * The names of a run's columns now, and its filter's text.
 */
static void
ShowNames(Datum *values, bool *nulls, const Run *run, Relation rel, const Dataset *dataset)
{
	const char *id_field = run->id_field;
	const char *embeddings_field = run->embeddings_field;
	const char *filter = run->filter;

	if (dataset)
	{
		TupleDesc	desc = RelationGetDescr(rel);

		id_field = NameStr(TupleDescAttr(desc, dataset->key.attno - 1)->attname);
		if (embeddings_field)
			embeddings_field = NameStr(TupleDescAttr(desc, dataset->embeddings_attno - 1)->attname);
		if (dataset->filter)
			filter = RunFilterText(dataset->filter, rel);
	}
	ShowText(values, nulls, SHOW_ID_FIELD, id_field);
	ShowText(values, nulls, SHOW_EMBEDDINGS_FIELD, embeddings_field);
	ShowText(values, nulls, SHOW_FILTER, filter);
}

/*
 * Add a run to the result. rel is NULL when its dataset cannot be looked at:
 * then relid is 0 when it is missing.
 */
static void
ShowRun(ReturnSetInfo *rsinfo, const Run *run, Oid relid, Relation rel)
{
	Datum		values[SHOW_COLUMNS] = {0};
	bool		nulls[SHOW_COLUMNS] = {0};
	Problem    *problem = NULL;
	Dataset    *dataset = rel ? LookAtRun(run, rel, &problem) : NULL;
	bool		counts = rel && MaySeeCounts(rel);
	const char *state = run->has_index ? "ready" : "cleaned up";

	if (!OidIsValid(relid))
		problem = MakeProblem(ERRCODE_UNDEFINED_TABLE,
							  psprintf(_("dataset \"%s.%s\" does not exist"),
									   run->dataset_schema, run->dataset_name), NULL);
	if (problem)
		state = "broken";
	else if (rel == NULL)
		state = "locked";
	values[SHOW_SAMPLES] = ObjectIdGetDatum(relid);
	nulls[SHOW_SAMPLES] = !OidIsValid(relid);
	ShowText(values, nulls, SHOW_BRAIN_KEY, run->brain_key);
	ShowText(values, nulls, SHOW_TYPE, run->type);
	ShowText(values, nulls, SHOW_METHOD, run->backend);
	ShowText(values, nulls, SHOW_BACKEND, run->backend);
	ShowText(values, nulls, SHOW_METRIC, MetricName(run->metric));
	values[SHOW_DIMENSIONS] = Int32GetDatum(run->dimensions);
	nulls[SHOW_DIMENSIONS] = run->dimensions == 0;
	ShowNames(values, nulls, run, rel, dataset);
	nulls[SHOW_PATCHES_FIELD] = true;
	values[SHOW_SUPPORTS_PROMPTS] = BoolGetDatum(false);
	ShowCount(values, nulls, SHOW_INDEXED,
			  counts && run->has_index && !run->embeddings_field && !run->attached ? CountEmbeddings(run) : run->indexed,
			  counts);
	ShowCount(values, nulls, SHOW_MISSING, run->missing, counts);
	ShowCount(values, nulls, SHOW_SKIPPED, run->skipped, counts);
	ShowText(values, nulls, SHOW_STATE, state);
	ShowText(values, nulls, SHOW_REASON, problem ? problem->message : NULL);
	ShowText(values, nulls, SHOW_VERSION, run->version);
	values[SHOW_CREATED] = TimestampTzGetDatum(run->created);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * Open a dataset unless somebody has locked it: a list of runs waits for nobody.
 */
Relation
TryOpenDataset(Oid relid)
{
	Relation	rel;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return NULL;
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
		UnlockRelationOid(relid, AccessShareLock);
	return rel;
}

/*
 * Show a run, if the caller may search it. A superuser sees those whose dataset
 * is missing too.
 */
static void
ShowRunIfVisible(ReturnSetInfo *rsinfo, const Run *run, Oid relid)
{
	bool		may_read_all;
	bool		is_missing = false;
	Relation	rel;

	if (!OidIsValid(relid))
	{
		if (superuser())
			ShowRun(rsinfo, run, InvalidOid, NULL);
		return;
	}
	if (!MayReadSome(relid))
		return;
	may_read_all = pg_class_aclcheck_ext(relid, GetUserId(), ACL_SELECT, &is_missing) == ACLCHECK_OK;
	rel = TryOpenDataset(relid);
	if ((may_read_all && !is_missing) || (rel && MaySearchRun(run, rel)))
		ShowRun(rsinfo, run, relid, rel);
	if (rel)
		relation_close(rel, AccessShareLock);
}

/*
 * SQL: brain._visible_runs(dataset regclass) returns setof record. The runs of a
 * dataset, or with NULL of all, that the caller may search.
 */
Datum
brain_visible_runs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, AllRuns())
	{
		Run		   *run = lfirst(lc);
		Oid			relid = DatasetOfRun(run);

		CHECK_FOR_INTERRUPTS();
		if (PG_ARGISNULL(0) || (relid == PG_GETARG_OID(0) && OidIsValid(relid)))
			ShowRunIfVisible(rsinfo, run, relid);
	}
	return (Datum) 0;
}

/*
 * SQL: brain._run_config(samples regclass, brain_key text) returns jsonb: with the
 * name of the collection that is searched now.
 */
Datum
brain_run_config(PG_FUNCTION_ARGS)
{
	Relation	rel = OpenSamples(PG_GETARG_OID(0));
	Run		   *run = FindRun(rel, text_to_cstring(PG_GETARG_TEXT_PP(1)), true);
	bool		visible = run && run->config && MaySearchRun(run, rel);
	BaseRow    *row = visible ? ReadBaseRow(&run->id) : NULL;
	Datum		config;
	StringInfoData now;

	relation_close(rel, NoLock);
	if (!visible)
		PG_RETURN_NULL();
	config = DirectFunctionCall1(jsonb_in, CStringGetDatum(run->config));
	if (row == NULL || row->collection == NULL)
		PG_RETURN_DATUM(config);
	initStringInfo(&now);
	appendStringInfoString(&now, "{\"collection_name\": ");
	escape_json(&now, row->collection);
	appendStringInfoChar(&now, '}');
	PG_RETURN_DATUM(DirectFunctionCall2(jsonb_concat, config,
										DirectFunctionCall1(jsonb_in, CStringGetDatum(now.data))));
}
