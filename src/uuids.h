/*
 * uuids.h
 *		Ids of runs and of generations.
 */
#ifndef BRAIN_UUIDS_H
#define BRAIN_UUIDS_H

#include "utils/uuid.h"

extern pg_uuid_t *NewUuid(void);
extern char *UuidText(const pg_uuid_t *uuid);
extern bool ParseUuid(const char *text, pg_uuid_t *uuid);

#endif							/* BRAIN_UUIDS_H */
