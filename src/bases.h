/*
 * bases.h
 *		The table brain._bases: which matrix files the base of a run consists of.
 */
#ifndef BRAIN_BASES_H
#define BRAIN_BASES_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/uuid.h"

typedef struct BaseRow
{
	pg_uuid_t	run_id;
	pg_uuid_t	generation;
	int			n_files;		/* 0: none, see reason */
	pg_uuid_t  *files;			/* the oldest first; the last is the generation's own */
	int64		rows;			/* samples that can be found */
	int64		size;			/* bytes of all files */
	TimestampTz synced;
	char	   *reason;			/* why there are no files; else NULL */
	bool		own;			/* written by this very transaction */
} BaseRow;

extern bool HasBases(void);
extern BaseRow *ReadBaseRow(const pg_uuid_t *run_id);
extern void WriteBaseRow(const BaseRow *row);
extern void DeleteBaseRow(const pg_uuid_t *run_id);
extern List *BaseRowsInUse(void);

#endif							/* BRAIN_BASES_H */
