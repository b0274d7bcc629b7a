/*
 * keptplan.h
 *		Plans of queries that are run again and again.
 */
#ifndef BRAIN_KEPTPLAN_H
#define BRAIN_KEPTPLAN_H

#include "nodes/plannodes.h"

typedef struct KeptPlan KeptPlan;

extern uint64 CatalogChanges(void);
extern void KeepPlan(const char *text, PlannedStmt *plan, uint64 changes_before);
extern KeptPlan *UseKeptPlan(const char *text);
extern PlannedStmt *PlanOfKept(const KeptPlan *kept);
extern void EndUseOfKeptPlan(KeptPlan *kept);

#endif							/* BRAIN_KEPTPLAN_H */
