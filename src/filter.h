/*
 * filter.h
 *		Conditions on a dataset's row: a run's, kept parsed, and a search's.
 */
#ifndef BRAIN_FILTER_H
#define BRAIN_FILTER_H

#include "lib/stringinfo.h"
#include "nodes/nodes.h"
#include "utils/relcache.h"

extern Node *ParseExpressionText(const char *text);
extern Node *ParseRunFilter(Relation rel, const char *text);
extern void CheckRunFilter(Node *filter);
extern void AddFilterCode(Node *filter, StringInfo facts);
extern char *CodeNotOfSuperuser(Node *filter);
extern bool RunFilterIsIntact(Node *filter, Relation rel);
extern char *RunFilterText(Node *filter, Relation rel);

/* While text is being parsed, errors point into it. */
typedef struct FilterErrorContext
{
	ErrorContextCallback callback;
	const char *text;			/* what positions refer to */
	bool		is_run_filter;
} FilterErrorContext;

extern void PushFilterErrorContext(FilterErrorContext *context, const char *text,
								   bool is_run_filter);
extern void PopFilterErrorContext(FilterErrorContext *context);

#endif							/* BRAIN_FILTER_H */
