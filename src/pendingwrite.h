/*
 * pendingwrite.h
 *		Writes to a collection that may still arrive.
 */
#ifndef BRAIN_PENDINGWRITE_H
#define BRAIN_PENDINGWRITE_H

#include "utils/uuid.h"

extern void BeginPendingWrite(const pg_uuid_t *run_id, int64 milliseconds);
extern void EndPendingWrite(const pg_uuid_t *run_id);
extern bool AwaitPendingWrite(const pg_uuid_t *run_id);
extern void AwaitWhatIsAtHand(void);
extern void SweepPendingWrites(void);

#endif							/* BRAIN_PENDINGWRITE_H */
