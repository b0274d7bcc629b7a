/*
 * exact.h
 *		The exact backend: answers computed in PostgreSQL itself.
 */
#ifndef BRAIN_EXACT_H
#define BRAIN_EXACT_H

#include "basewriter.h"
#include "catalog.h"

extern BaseWriter *BeginMatrixBase(const Run *run, const pg_uuid_t *generation, bool by_reader,
								   const char **reason);

#endif							/* BRAIN_EXACT_H */
