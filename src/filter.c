/*
 * filter.c
 *		Conditions on a dataset's row: a run's, kept parsed, and a search's.
 *
 * A run's filter is stored as an expression tree, as a CHECK constraint is, so
 * that it follows renames of what it uses; beside it stands its text, fully
 * qualified, from which it is parsed again where the tree means nothing: after
 * a restore, or when what it used was dropped and made again.
 *
 * A search's filter is the caller's text. It is put between parentheses into
 * the query that reads the dataset, once it is known to be one expression: text
 * that parses alone as one is balanced, so it cannot leave the parentheses.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "filter.h"
#include "samples.h"

/*
 * Bytes of an expression. It is parsed several times a search, and PostgreSQL's
 * parser can neither be cancelled nor, in nested comments, be called linear.
 */
#define MAX_FILTER_LENGTH (64 * 1024)

/*
 * Move an error's position from the client's statement, where it would point
 * anywhere, to the text that was really parsed.
 */
static void
FilterErrorCallback(void *arg)
{
	FilterErrorContext *context = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(context->text);
	}
	if (context->is_run_filter)
		errcontext("filter of a brain run, which may use what a CHECK constraint may");
}

void
PushFilterErrorContext(FilterErrorContext *context, const char *text, bool is_run_filter)
{
	context->text = text;
	context->is_run_filter = is_run_filter;
	context->callback.callback = FilterErrorCallback;
	context->callback.arg = context;
	context->callback.previous = error_context_stack;
	error_context_stack = &context->callback;
}

void
PopFilterErrorContext(FilterErrorContext *context)
{
	error_context_stack = context->callback.previous;
}

static bool
IsBareSelect(SelectStmt *select)
{
	return select->op == SETOP_NONE && list_length(select->targetList) == 1 &&
		select->distinctClause == NIL && select->intoClause == NULL &&
		select->fromClause == NIL && select->whereClause == NULL &&
		select->groupClause == NIL && select->havingClause == NULL &&
		select->windowClause == NIL && select->valuesLists == NIL &&
		select->sortClause == NIL && select->limitOffset == NULL &&
		select->limitCount == NULL && select->lockingClause == NIL &&
		select->withClause == NULL;
}

/*
 * The expression of a statement that is SELECT and one expression; else NULL.
 */
static Node *
ParseSelectedExpression(const char *statement)
{
	FilterErrorContext context;
	List	   *parsed;
	SelectStmt *select;
	ResTarget  *target;

	PushFilterErrorContext(&context, statement, false);
	parsed = raw_parser(statement, RAW_PARSE_DEFAULT);
	PopFilterErrorContext(&context);

	if (list_length(parsed) != 1 || !IsA(linitial_node(RawStmt, parsed)->stmt, SelectStmt))
		return NULL;
	select = (SelectStmt *) linitial_node(RawStmt, parsed)->stmt;
	if (!IsBareSelect(select))
		return NULL;
	target = linitial_node(ResTarget, select->targetList);
	return target->name == NULL && target->indirection == NIL ? target->val : NULL;
}

/*
 * The raw parse tree of a text that must be one expression and nothing else.
 * Errors: 42601 when it is not, 54000 when it is too long.
 */
Node *
ParseExpressionText(const char *text)
{
	Node	   *expression;

	if (strlen(text) > MAX_FILTER_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("filter is too long"),
				 errdetail("At most %d bytes are allowed.", MAX_FILTER_LENGTH)));

	/*
	 * Alone, the text shows whether it is balanced; in parentheses, that it is
	 * no more than an expression: SELECT ALL true leaves no trace of ALL.
	 */
	expression = ParseSelectedExpression(psprintf("SELECT %s", text));
	if (expression)
		expression = ParseSelectedExpression(psprintf("SELECT (\n%s\n)", text));
	if (expression == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("filter is not one expression"),
				 errhint("Give a condition on the dataset's row, such as \"split = 'train'\", without WHERE.")));
	return expression;
}

/*
 * Parse a run's filter: boolean, of one row of rel, without subqueries,
 * aggregates and the like. Column references are Vars of range
 * table entry 1. Names resolve by the current search_path.
 */
Node *
ParseRunFilter(Relation rel, const char *text)
{
	Node	   *raw = ParseExpressionText(text);
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	FilterErrorContext context;
	Node	   *filter;

	pstate->p_sourcetext = psprintf("SELECT (\n%s\n)", text);
	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, false, true);
	addNSItemToQuery(pstate, item, true, true, true);

	PushFilterErrorContext(&context, pstate->p_sourcetext, true);
	filter = transformExpr(pstate, raw, EXPR_KIND_CHECK_CONSTRAINT);
	filter = coerce_to_boolean(pstate, filter, "filter");
	assign_expr_collations(pstate, filter);
	PopFilterErrorContext(&context);

	free_parsestate(pstate);
	return filter;
}

/*
 * Error 42P17 unless a run's filter is immutable. The planner, which adds
 * default arguments, evaluates what is constant: call it as the owner.
 */
void
CheckRunFilter(Node *filter)
{
	if (contain_mutable_functions((Node *) expression_planner((Expr *) copyObject(filter))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("functions in the filter of a brain run must be marked IMMUTABLE"),
				 errhint("The filter of a search may use any functions.")));
}

static bool
MissingFunction(Oid function, void *context pg_attribute_unused())
{
	return !SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(function));
}

static bool
MissingType(Oid type)
{
	return OidIsValid(type) && !SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(type));
}

static bool
MissingCollation(Oid collation)
{
	return OidIsValid(collation) && !SearchSysCacheExists1(COLLOID, ObjectIdGetDatum(collation));
}

static bool
MissingOperator(Node *node)
{
	Oid			operator = InvalidOid;

	if (IsA(node, OpExpr) || IsA(node, DistinctExpr) || IsA(node, NullIfExpr))
		operator = ((OpExpr *) node)->opno;
	else if (IsA(node, ScalarArrayOpExpr))
		operator = ((ScalarArrayOpExpr *) node)->opno;
	return OidIsValid(operator) && !SearchSysCacheExists1(OPEROID, ObjectIdGetDatum(operator));
}

/*
 * True when something that the filter uses is gone. Operators first:
 * check_functions_in_node looks their functions up and fails without them.
 */
static bool
FilterIsBrokenWalker(Node *node, void *context)
{
	Relation	rel = context;

	if (node == NULL)
		return false;
	if (IsA(node, List))
		return expression_tree_walker(node, FilterIsBrokenWalker, context);
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;
		Form_pg_attribute attribute;

		if (var->varattno <= 0)
			return false;
		if (var->varattno > RelationGetNumberOfAttributes(rel))
			return true;
		attribute = TupleDescAttr(RelationGetDescr(rel), var->varattno - 1);
		return attribute->attisdropped || attribute->atttypid != var->vartype;
	}
	if (MissingOperator(node) || MissingType(exprType(node)) ||
		MissingCollation(exprCollation(node)) || MissingCollation(exprInputCollation(node)))
		return true;
	if (check_functions_in_node(node, MissingFunction, NULL))
		return true;
	return expression_tree_walker(node, FilterIsBrokenWalker, context);
}

/*
 * Does everything that a stored filter uses still exist, unchanged in type?
 */
bool
RunFilterIsIntact(Node *filter, Relation rel)
{
	return !FilterIsBrokenWalker(filter, rel);
}

/*
 * The filter as text that means the same under PinExpressionSettings() anywhere.
 */
char *
RunFilterText(Node *filter, Relation rel)
{
	int			nest_level = PinExpressionSettings();
	char	   *text = deparse_expression(filter,
										  deparse_context_for(RelationGetRelationName(rel),
															  RelationGetRelid(rel)),
										  false, false);

	UnpinSettings(nest_level);
	return text;
}

/* ---------- whose code is it? ---------- */

static bool
IsNotOfSuperuser(Oid function, void *context)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = !superuser_arg(((Form_pg_proc) GETSTRUCT(tuple))->proowner);
	ReleaseSysCache(tuple);
	if (result)
		*(char **) context = format_procedure(function);
	return result;
}

/*
 * A domain's constraints call functions too; a superuser's domain is believed.
 */
static bool
IsDomainNotOfSuperuser(Oid type, char **name)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_type) GETSTRUCT(tuple);
	result = form->typtype == TYPTYPE_DOMAIN && !superuser_arg(form->typowner);
	ReleaseSysCache(tuple);
	if (result)
		*name = format_type_be(type);
	return result;
}

static bool
CodeNotOfSuperuserWalker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (!IsA(node, List) &&
		(check_functions_in_node(node, IsNotOfSuperuser, context) ||
		 IsDomainNotOfSuperuser(exprType(node), context)))
		return true;
	return expression_tree_walker(node, CodeNotOfSuperuserWalker, context);
}

/*
 * A function or domain that a filter uses and that an ordinary role owns; NULL
 * when there is none.
 */
char *
CodeNotOfSuperuser(Node *filter)
{
	char	   *name = NULL;

	(void) CodeNotOfSuperuserWalker(filter, &name);
	return name;
}

/* ---------- has it changed? ---------- */

static bool
AddFunction(Oid function, void *facts)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	TransactionId xmin;

	if (!HeapTupleIsValid(tuple))
		return false;
	/* raw: freezing does not change it */
	xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	appendBinaryStringInfo(facts, (char *) &function, sizeof(function));
	appendBinaryStringInfo(facts, (char *) &xmin, sizeof(xmin));
	ReleaseSysCache(tuple);
	return false;
}

static bool
AddFunctionsWalker(Node *node, void *facts)
{
	if (node == NULL)
		return false;
	if (!IsA(node, List))
		(void) check_functions_in_node(node, AddFunction, facts);
	return expression_tree_walker(node, AddFunctionsWalker, facts);
}

/*
 * Add the state of the functions that a filter calls to a buffer: other bytes
 * when one was replaced. What those call is not known, as for an index on an
 * expression.
 */
void
AddFilterCode(Node *filter, StringInfo facts)
{
	(void) AddFunctionsWalker(filter, facts);
}
