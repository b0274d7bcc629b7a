/*
 * keptplan.h
 *		Plans of queries that are run again and again.
 */
#ifndef BRAIN_KEPTPLAN_H
#define BRAIN_KEPTPLAN_H

#include "utils/plancache.h"

extern CachedPlan *GetKeptPlan(const char *text, const Oid *param_type);

#endif							/* BRAIN_KEPTPLAN_H */
