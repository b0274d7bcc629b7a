/*
 * sweep.h
 *		Removing what belongs to no run.
 */
#ifndef BRAIN_SWEEP_H
#define BRAIN_SWEEP_H

#include "nodes/execnodes.h"

extern void PutRemoved(ReturnSetInfo *rsinfo, const char *kind, const char *name);
extern void SweepFiles(ReturnSetInfo *rsinfo);
extern void SweepTriggers(ReturnSetInfo *rsinfo);

#endif							/* BRAIN_SWEEP_H */
