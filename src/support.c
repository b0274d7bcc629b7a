/*
 * support.c
 *		What the planner should know of a search: its rows and its cost.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_type.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(brain_search_support);

/*
 * What the system catalog estimates of a search's dataset; false when it is not
 * known at planning.
 */
static bool
EstimateDataset(FuncExpr *call, double *rows, double *pages)
{
	Node	   *samples = linitial(call->args);
	Oid			relid;
	HeapTuple	tuple;
	Form_pg_class form;

	if (exprType(samples) != REGCLASSOID)
		relid = typeOrDomainTypeRelid(exprType(samples));
	else if (IsA(samples, Const) && !((Const *) samples)->constisnull)
		relid = DatumGetObjectId(((Const *) samples)->constvalue);
	else
		return false;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	*rows = form->reltuples;
	*pages = form->relpages;
	ReleaseSysCache(tuple);
	return *rows >= 0;
}

/*
 * Rows: k, but not more than there are.
 */
static Node *
EstimateRows(SupportRequestRows *request)
{
	FuncExpr   *call = (FuncExpr *) request->node;
	Node	   *k;
	double		rows;
	double		pages;
	bool		known;

	if (!IsA(call, FuncExpr) || list_length(call->args) < 3)
		return NULL;
	k = lthird(call->args);
	if (!IsA(k, Const))
		return NULL;
	known = EstimateDataset(call, &rows, &pages);
	if (((Const *) k)->constisnull)
	{
		if (!known)
			return NULL;
		request->rows = Max(rows, 1);
		return (Node *) request;
	}
	request->rows = Max(DatumGetInt32(((Const *) k)->constvalue), 1);
	if (known && rows >= 1)
		request->rows = Min(request->rows, rows);
	return (Node *) request;
}

/*
 * Cost: the dataset is read as a sequential scan reads it, and a distance is
 * some hundred operators a row. All of it before the first row comes.
 */
static Node *
EstimateCost(SupportRequestCost *request)
{
	FuncExpr   *call = (FuncExpr *) request->node;
	double		rows;
	double		pages;

	if (call == NULL || !IsA(call, FuncExpr) || !EstimateDataset(call, &rows, &pages))
		return NULL;
	request->startup = 0;
	request->per_tuple = pages * seq_page_cost + rows * (cpu_tuple_cost + 100 * cpu_operator_cost);
	return (Node *) request;
}

/*
 * SQL: brain._search_support(internal) returns internal
 */
Datum
brain_search_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	Node	   *answer = NULL;

	if (IsA(request, SupportRequestRows))
		answer = EstimateRows((SupportRequestRows *) request);
	else if (IsA(request, SupportRequestCost))
		answer = EstimateCost((SupportRequestCost *) request);
	PG_RETURN_POINTER(answer);
}
