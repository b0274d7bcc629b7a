/*
 * samplequery.c
 *		Reading a dataset.
 *
 * Datasets are read by the planner and executor, as the current user, under the
 * active snapshot, into a DestReceiver of our own (cursors are four times
 * slower): views, partitions, privileges and row security hold, and one
 * statement sees one state. The query is analysed here rather than by SPI, so
 * that a run's stored filter joins it as a tree, untouched by search_path.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "filter.h"
#include "keptplan.h"
#include "samples.h"

/*
 * Become the owner of a dataset, as REINDEX and REFRESH do: a superuser who works
 * on somebody's dataset does not run that one's functions with his own rights,
 * nor keeps settings that they change. Nothing happens for the owner. Never to be
 * used for who has fewer rights than the owner: through his temporary schema he
 * would run his own code as the owner.
 */
void
BeginAsOwner(Oid owner, SavedUser *saved)
{
	GetUserIdAndSecContext(&saved->user, &saved->security_context);
	saved->nest_level = 0;
	if (owner == saved->user)
		return;
	SetUserIdAndSecContext(owner, saved->security_context | SECURITY_RESTRICTED_OPERATION);
	saved->nest_level = PinSearchPath();
}

void
EndAsOwner(const SavedUser *saved)
{
	if (saved->nest_level > 0)
		AtEOXact_GUC(false, saved->nest_level);
	SetUserIdAndSecContext(saved->user, saved->security_context);
}

typedef struct SampleReceiver
{
	DestReceiver pub;
	SampleReader read;
	void	   *arg;
	MemoryContext row_context;
} SampleReceiver;

static void
ReceiverStartup(DestReceiver *self pg_attribute_unused(),
				int operation pg_attribute_unused(),
				TupleDesc desc pg_attribute_unused())
{
}

static bool
ReceiveRow(TupleTableSlot *slot, DestReceiver *self)
{
	SampleReceiver *receiver = (SampleReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->row_context);

	CHECK_FOR_INTERRUPTS();
	receiver->read(slot, receiver->arg);
	MemoryContextSwitchTo(old);
	MemoryContextReset(receiver->row_context);
	return true;
}

static void
ReceiverShutdown(DestReceiver *self pg_attribute_unused())
{
}

/*
 * Join a condition, such as a run's filter, to a query. The dataset comes first
 * in FROM, so that the stored tree's Vars fit. Who searches must be allowed to
 * read its columns, as if he had written it.
 */
static void
AddCondition(Query *query, Node *condition)
{
	RangeTblEntry *rte = rt_fetch(1, query->rtable);
	Bitmapset **selected;

#if PG_VERSION_NUM >= 160000
	selected = &getRTEPermissionInfo(query->rteperminfos, rte)->selectedCols;
#else
	selected = &rte->selectedCols;
#endif
	pull_varattnos(condition, 1, selected);
	query->jointree->quals = make_and_qual(query->jointree->quals, copyObject(condition));
}

static Query *
AnalyzeText(const char *text, const SampleQuery *query, bool with_params)
{
	FilterErrorContext context;
	RawStmt    *raw;
	Query	   *analyzed;
	int			nparams = with_params && query->params ? query->params->numParams : 0;

	PushFilterErrorContext(&context, text, false);
	raw = linitial_node(RawStmt, raw_parser(text, RAW_PARSE_DEFAULT));
	analyzed = parse_analyze_fixedparams(raw, text, query->param_types, nparams, NULL);
	PopFilterErrorContext(&context);
	return analyzed;
}

/*
 * Parse and analyse a query's text, as the caller's search_path has it, and add
 * the run's filter. Beside a caller's filter our own condition is analysed apart
 * and added as a tree too, so that the filter cannot name its parameter.
 */
static Query *
AnalyzeSampleQuery(const Dataset *dataset, const SampleQuery *query, const char *text)
{
	bool		is_apart = query->condition && query->filter;
	Query	   *analyzed = AnalyzeText(text, query, !is_apart);

	if (dataset->filter)
		AddCondition(analyzed, dataset->filter);
	if (is_apart)
		AddCondition(analyzed,
					 AnalyzeText(psprintf("SELECT FROM %s WHERE %s", dataset->from, query->condition),
								 query, true)->jointree->quals);
	return analyzed;
}

static char *
TextOfSampleQuery(const Dataset *dataset, const SampleQuery *query)
{
	StringInfoData text;

	initStringInfo(&text);
	/* without an alias, a filter may qualify columns by table or by schema too */
	appendStringInfo(&text, "SELECT %s FROM %s", query->targets, dataset->from);
	if (query->join)
		appendStringInfo(&text, " %s", query->join);
	if (query->filter)
	{
		(void) ParseExpressionText(query->filter);
		/* on lines of its own: it may end in a comment */
		appendStringInfo(&text, " WHERE (\n%s\n)", query->filter);
	}
	else if (query->condition)
		appendStringInfo(&text, " WHERE %s", query->condition);
	return text.data;
}

/* ---------- planning ---------- */

/*
 * So many rows in a row are read, at least, in the time in which one is found by
 * its id.
 */
#define ROWS_PER_ID 16

/*
 * Are rows to be found by so few ids that an index is the way, and nothing but the
 * ids says which rows?
 */
static bool
AsksForFewIds(const Dataset *dataset, const SampleQuery *query)
{
	return query->n_ids > 0 && query->filter == NULL &&
		(dataset->relkind == RELKIND_RELATION || dataset->relkind == RELKIND_PARTITIONED_TABLE) &&
		(double) query->n_ids * ROWS_PER_ID <= dataset->rows;
}

/*
 * Does a plan find all rows by indexes?
 */
static bool
ReadsByIndex(const Plan *plan)
{
	ListCell   *lc;

	switch (nodeTag(plan))
	{
		case T_IndexScan:
		case T_IndexOnlyScan:
		case T_BitmapHeapScan:
		case T_FunctionScan:	/* the ids */
			return true;
		case T_NestLoop:
			return ReadsByIndex(outerPlan(plan)) && ReadsByIndex(innerPlan(plan));
		case T_LockRows:
			return ReadsByIndex(outerPlan(plan));
		case T_Append:
			foreach(lc, ((const Append *) plan)->appendplans)
				if (!ReadsByIndex(lfirst(lc)))
					return false;
			return true;
		default:
			return false;
	}
}

/*
 * For a few ids the planner is not told how many they are, which it takes for ten:
 * told, it reads a whole table of short rows for a hundredth of them, which takes
 * five times as long. So the plan is good for as few other ones, too, and is kept,
 * where the text is all of the query.
 */
static bool
MayKeepPlan(const Dataset *dataset, const SampleQuery *query)
{
	return AsksForFewIds(dataset, query) && dataset->filter == NULL;
}

static PlannedStmt *
PlanSampleQuery(const Dataset *dataset, const SampleQuery *query, const char *text)
{
	List	   *rewritten = QueryRewrite(AnalyzeSampleQuery(dataset, query, text));

	if (list_length(rewritten) != 1 || linitial_node(Query, rewritten)->commandType != CMD_SELECT)
		elog(ERROR, "unexpected rewrite result");
	if (AsksForFewIds(dataset, query) && !MayKeepPlan(dataset, query))
	{
		PlannedStmt *plan = pg_plan_query(copyObject(linitial_node(Query, rewritten)), text, 0, NULL);

		if (ReadsByIndex(plan->planTree))
			return plan;
	}
	return pg_plan_query(linitial_node(Query, rewritten), text, CURSOR_OPT_PARALLEL_OK, query->params);
}

/* ---------- running ---------- */

static void
RunPlan(PlannedStmt *plan, const char *text, ParamListInfo params, DestReceiver *receiver)
{
	QueryDesc  *desc = CreateQueryDesc(plan, text, GetActiveSnapshot(), InvalidSnapshot,
									   receiver, params, NULL, 0);

	ExecutorStart(desc, 0);
#if PG_VERSION_NUM >= 180000
	ExecutorRun(desc, ForwardScanDirection, 0);
#else
	ExecutorRun(desc, ForwardScanDirection, 0, true);
#endif
	ExecutorFinish(desc);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
}

/*
 * False when the plan that is kept is none for a few ids.
 */
static bool
RunKeptPlan(const SampleQuery *query, const char *text, DestReceiver *receiver)
{
	CachedPlan *kept = GetKeptPlan(text, query->param_types);
	PlannedStmt *plan = linitial_node(PlannedStmt, kept->stmt_list);
	bool		by_index = ReadsByIndex(plan->planTree);

	if (by_index)
		RunPlan(plan, text, query->params, receiver);
	ReleaseCachedPlan(kept, CurrentResourceOwner);
	return by_index;
}

/*
 * Run a query on a dataset and hand each row to its reader. The dataset's name
 * in the query is dataset->name_in_query. Needs an active snapshot; the current user
 * needs SELECT on the columns that are named.
 */
void
ReadSamples(const Dataset *dataset, const SampleQuery *query)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "milvus_brain query",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SampleReceiver receiver = {
		.pub = {ReceiveRow, ReceiverStartup, ReceiverShutdown, ReceiverShutdown, DestNone},
		.read = query->read,
		.arg = query->arg,
	};
	char	   *text = TextOfSampleQuery(dataset, query);

	receiver.row_context = AllocSetContextCreate(context, "milvus_brain sample",
												 ALLOCSET_DEFAULT_SIZES);
	if (!MayKeepPlan(dataset, query) || !RunKeptPlan(query, text, &receiver.pub))
		RunPlan(PlanSampleQuery(dataset, query, text), text, query->params, &receiver.pub);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * How many rows the planner expects of a query on a dataset, for the current user.
 */
double
ExpectedSamples(const Dataset *dataset, const SampleQuery *query)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "milvus_brain plan",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	double		rows = PlanSampleQuery(dataset, query, TextOfSampleQuery(dataset, query))->planTree->plan_rows;

	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return rows;
}

/*
 * Error 21000: only a view, a materialised view or a foreign table can have an
 * id twice.
 */
void
RaiseDuplicateId(const Dataset *dataset, const char *id)
{
	ereport(ERROR,
			(errcode(ERRCODE_CARDINALITY_VIOLATION),
			 errmsg("sample id \"%s\" is not unique in \"%s\"", id, dataset->name),
			 errhint("Each row of a dataset is one sample with an id of its own.")));
}

static void
ReadDuplicateId(TupleTableSlot *slot, void *arg)
{
	Dataset    *dataset = arg;
	bool		isnull;
	Datum		id = slot_getattr(slot, 1, &isnull);

	if (isnull)
		return;
	RaiseDuplicateId(dataset, dataset->key.by_text ? TextDatumGetCString(id) :
					 SampleId(&dataset->key, id));
}

/*
 * Error 21000 when a dataset without unique index has an id twice.
 */
void
CheckUniqueIds(Dataset *dataset)
{
	SampleKey  *key = &dataset->key;
	SampleQuery query = {
		.targets = key->by_text ?
			psprintf("(%s)::pg_catalog.text COLLATE pg_catalog.\"C\"", key->operand) : key->operand,
		.join = "GROUP BY 1 HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 1",
		.read = ReadDuplicateId,
		.arg = dataset,
	};

	ReadSamples(dataset, &query);
}
