/*
 * keptplan.c
 *		Plans of queries that are run again and again.
 *
 * A search by Milvus reads a few samples by their ids. To parse, analyse and plan
 * that query takes as long as to run it, so it is given to PostgreSQL's plan cache,
 * which knows when a plan has to be made anew. It works from texts: a query to
 * which a run's filter is added, as a tree, is not for it.
 */
#include "postgres.h"

#include "nodes/parsenodes.h"
#include "tcop/cmdtag.h"
#include "tcop/tcopprot.h"
#include "utils/resowner.h"

#include "keptplan.h"

/* A dataset has three: by one id, by several, and candidates. */
#define MAX_KEPT_PLANS 16

typedef struct KeptPlan
{
	CachedPlanSource *source;	/* NULL: the place is free */
	uint64		last_used;
} KeptPlan;

static KeptPlan kept_plans[MAX_KEPT_PLANS];

/*
 * The place of a query, or, made free, the one that was not used for longest.
 */
static KeptPlan *
FindPlace(const char *text, Oid param_type)
{
	KeptPlan   *place = &kept_plans[0];

	for (int i = 0; i < MAX_KEPT_PLANS; i++)
	{
		KeptPlan   *kept = &kept_plans[i];

		if (kept->source && kept->source->param_types[0] == param_type &&
			strcmp(kept->source->query_string, text) == 0)
			return kept;
		if (kept->last_used < place->last_used)
			place = kept;
	}
	if (place->source)
		DropCachedPlan(place->source);
	place->source = NULL;
	return place;
}

static CachedPlanSource *
MakeSource(const char *text, const Oid *param_type)
{
	RawStmt    *raw = linitial_node(RawStmt, pg_parse_query(text));
	CachedPlanSource *source = CreateCachedPlan(raw, text, CMDTAG_SELECT);
	Oid			types[] = {*param_type};

	CompleteCachedPlan(source, pg_analyze_and_rewrite_fixedparams(raw, text, types, 1, NULL), NULL,
					   types, 1, NULL, NULL, 0, false);
	SaveCachedPlan(source);
	return source;
}

/*
 * The plan of a query with one parameter, good for any value of it. To be given back
 * with ReleaseCachedPlan(), from the current resource owner.
 */
CachedPlan *
GetKeptPlan(const char *text, const Oid *param_type)
{
	static uint64 n_used = 0;
	KeptPlan   *kept = FindPlace(text, *param_type);

	if (kept->source == NULL)
		kept->source = MakeSource(text, param_type);
	kept->last_used = ++n_used;
	return GetCachedPlan(kept->source, NULL, CurrentResourceOwner, NULL);
}
