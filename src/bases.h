/*
 * bases.h
 *		The table brain._bases: which matrix files, or which collection, the base of
 *		a run consists of.
 */
#ifndef BRAIN_BASES_H
#define BRAIN_BASES_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"
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
	const char *reason;			/* why there is no base; else NULL */

	/* of a base on a Milvus server, which has no files */
	char	   *server;			/* a foreign server; NULL: the settings of who asks */
	char	   *collection;		/* NULL: none */
	bool		attached;		/* the collection is not ours to drop */
	char	   *origin;			/* whose it is: see CollectionOrigin() */
	uint64		fingerprint;	/* of the dataset's tracking, as a file has it */
	uint64		timestamp;		/* that a search must guarantee to see all of it */

	bool		own;			/* written by this very transaction */
} BaseRow;

extern bool HasBases(void);
extern bool HasCollections(void);
extern BaseRow *ReadBaseRow(const pg_uuid_t *run_id);
extern void WriteBaseRow(const BaseRow *row);
extern void DeleteBaseRow(const pg_uuid_t *run_id);
extern List *BaseRowsInUse(void);
extern List *OtherRunsOn(const char *server, const char *collection, const pg_uuid_t *run_id);

/* A row of brain.garbage: a collection that is no run's any more. */
typedef struct Garbage
{
	ItemPointerData tid;
	pg_uuid_t	run_id;
	char	   *server;			/* NULL: the settings of who asks */
	char	   *collection;
	char	   *origin;
	Oid			attached_by;	/* who has told to drop it though it does not bear the run's marks */
	bool		swept;			/* the row can go */
} Garbage;

extern void NoteGarbage(const BaseRow *row);
extern List *ReadGarbage(void);
extern void DeleteGarbage(const Garbage *garbage);

#endif							/* BRAIN_BASES_H */
