/*
 * collectionsweep.h
 *		Dropping the collections that belong to no run.
 */
#ifndef BRAIN_COLLECTIONSWEEP_H
#define BRAIN_COLLECTIONSWEEP_H

#include "nodes/execnodes.h"

extern void SweepCollections(ReturnSetInfo *rsinfo);
extern void SweepListedCollections(void);

#endif							/* BRAIN_COLLECTIONSWEEP_H */
