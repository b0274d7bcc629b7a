/*
 * collectionsync.h
 *		Taking the change log into a run's collection.
 */
#ifndef BRAIN_COLLECTIONSYNC_H
#define BRAIN_COLLECTIONSYNC_H

#include "bases.h"
#include "changes.h"
#include "runs.h"

extern List *SyncCollection(const Run *run, Relation rel, Dataset *dataset, const BaseRow *old,
							const Changes *changes, BaseRow *new);

#endif							/* BRAIN_COLLECTIONSYNC_H */
