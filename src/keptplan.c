/*
 * keptplan.c
 *		Plans of queries that are run again and again.
 *
 * A search by Milvus reads a few samples by their ids. To parse, analyse and plan
 * that query takes as long as to run it, so its plan is kept for the session, until
 * something that it depends on changes. PostgreSQL's plan cache would do that for a
 * text alone, without the trees that are added to ours. Who uses a plan has checked
 * that no row security applies to him; privileges are checked at each execution.
 */
#include "postgres.h"

#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "keptplan.h"

/* A dataset has three: by one id, by several, and candidates. */
#define MAX_KEPT_PLANS 16

struct KeptPlan
{
	MemoryContext context;		/* NULL: the place is free */
	char	   *text;			/* names the relation by its schema, too */
	PlannedStmt *plan;
	bool		valid;			/* nothing that it depends on has changed */
	uint64		last_used;
	int			n_uses;			/* now */
};

static KeptPlan kept_plans[MAX_KEPT_PLANS];
static uint64 catalog_changes = 0;
static uint64 n_used = 0;

static void
ForgetPlansOfRelation(Datum arg pg_attribute_unused(), Oid relid)
{
	catalog_changes++;
	for (int i = 0; i < MAX_KEPT_PLANS; i++)
		if (kept_plans[i].valid &&
			(!OidIsValid(relid) || list_member_oid(kept_plans[i].plan->relationOids, relid)))
			kept_plans[i].valid = false;
}

/*
 * A function or a type was changed, or (hash 0) any of them.
 */
static void
ForgetPlansWith(Datum arg pg_attribute_unused(), int cache_id, uint32 hash)
{
	catalog_changes++;
	for (int i = 0; i < MAX_KEPT_PLANS; i++)
	{
		ListCell   *lc;

		if (!kept_plans[i].valid)
			continue;
		foreach(lc, kept_plans[i].plan->invalItems)
		{
			PlanInvalItem *item = lfirst(lc);

			if (item->cacheId == cache_id && (hash == 0 || item->hashValue == hash))
				kept_plans[i].valid = false;
		}
	}
}

static void
ForgetAllPlans(Datum arg pg_attribute_unused(), int cache_id pg_attribute_unused(),
			   uint32 hash pg_attribute_unused())
{
	ForgetPlansOfRelation((Datum) 0, InvalidOid);
}

/*
 * A number that is another when anything was changed that a plan can depend on: what
 * PostgreSQL's plan cache looks at.
 */
uint64
CatalogChanges(void)
{
	static bool watched = false;

	if (!watched)
	{
		CacheRegisterRelcacheCallback(ForgetPlansOfRelation, (Datum) 0);
		CacheRegisterSyscacheCallback(PROCOID, ForgetPlansWith, (Datum) 0);
		CacheRegisterSyscacheCallback(TYPEOID, ForgetPlansWith, (Datum) 0);
		CacheRegisterSyscacheCallback(OPEROID, ForgetAllPlans, (Datum) 0);
		CacheRegisterSyscacheCallback(AMOPOPID, ForgetAllPlans, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, ForgetAllPlans, (Datum) 0);
		watched = true;
	}
	return catalog_changes;
}

/*
 * A place for another plan: a free one, one whose plan is of no use, or the one
 * that was not used for longest. NULL when all are in use.
 */
static KeptPlan *
FindPlace(void)
{
	KeptPlan   *place = NULL;

	for (int i = 0; i < MAX_KEPT_PLANS; i++)
	{
		KeptPlan   *kept = &kept_plans[i];

		if (kept->n_uses > 0)
			continue;
		if (!kept->valid)
			return kept;
		if (place == NULL || kept->last_used < place->last_used)
			place = kept;
	}
	return place;
}

/*
 * Keep a copy of the plan of a query, unless a catalog has changed since its making
 * began.
 */
void
KeepPlan(const char *text, PlannedStmt *plan, uint64 changes_before)
{
	KeptPlan   *place = changes_before == CatalogChanges() ? FindPlace() : NULL;
	MemoryContext old;

	/* that of one who may be somebody else, or until an index may be used */
	if (place == NULL || plan->dependsOnRole || plan->transientPlan)
		return;
	if (place->context)
		MemoryContextDelete(place->context);
	memset(place, 0, sizeof(KeptPlan));
	place->context = AllocSetContextCreate(CacheMemoryContext, "milvus_brain plan", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(place->context);
	place->text = pstrdup(text);
	MemoryContextSetIdentifier(place->context, place->text);
	place->plan = copyObject(plan);
	place->last_used = ++n_used;
	place->valid = true;
	MemoryContextSwitchTo(old);
}

/*
 * Lock what a plan reads, as the parser does for a new one. Changes that were made
 * before are known afterwards.
 */
static void
LockRelationsOfPlan(const PlannedStmt *plan)
{
	ListCell   *lc;

	foreach(lc, plan->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_RELATION)
			LockRelationOid(rte->relid, rte->rellockmode);
	}
}

/*
 * The plan that was kept, until EndUseOfKeptPlan(); NULL when there is none.
 */
KeptPlan *
UseKeptPlan(const char *text)
{
	for (int i = 0; i < MAX_KEPT_PLANS; i++)
	{
		KeptPlan   *kept = &kept_plans[i];

		if (!kept->valid || strcmp(kept->text, text) != 0)
			continue;
		LockRelationsOfPlan(kept->plan);
		if (!kept->valid)
			break;
		kept->last_used = ++n_used;
		kept->n_uses++;
		return kept;
	}
	return NULL;
}

PlannedStmt *
PlanOfKept(const KeptPlan *kept)
{
	return kept->plan;
}

void
EndUseOfKeptPlan(KeptPlan *kept)
{
	kept->n_uses--;
}
