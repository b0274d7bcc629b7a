/*
 * changes.h
 *		The change log: the table brain.changes.
 */
#ifndef BRAIN_CHANGES_H
#define BRAIN_CHANGES_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"
#include "utils/hsearch.h"
#include "utils/uuid.h"

typedef enum ChangeKind
{
	CHANGE_ROW = 'r',			/* of one sample */
	CHANGE_TRUNCATE = 't',		/* of the dataset or one of its partitions */
	CHANGE_ALL = 'a',			/* everything must be read again */
} ChangeKind;

extern void LogChange(const pg_uuid_t *run_id, ChangeKind kind, const char *sample_id);

/* What is wanted of the log: */
#define CHANGES_IDS 1			/* which samples have changed */
#define CHANGES_TIDS 2			/* where its rows are, to forget them later */
#define CHANGES_SETTLED 4		/* only rows that every running snapshot sees */

/* What the log has of a run, as the active snapshot shows it. */
typedef struct Changes
{
	MemoryContext context;		/* that it lives in */
	int64		n_rows;			/* log rows read */
	bool		truncated;		/* read no further than the limit */
	bool		everything;		/* a TRUNCATE or more: ids say nothing */
	int			n_ids;
	char	  **ids;			/* each once, in no order; none unless asked for */
	ItemPointerData *tids;		/* of the rows; NULL unless asked for */
} Changes;

/* Sets of ids. */
extern uint32 HashId(const void *key, Size size);
extern int	MatchIds(const void *a, const void *b, Size size);
extern HTAB *CreateIdSet(char **ids, int n);
extern void AddId(HTAB *set, char *id);
extern bool HasId(HTAB *set, const char *id);

extern Changes *ReadChanges(const pg_uuid_t *run_id, int64 limit, int wanted);
extern void FreeChanges(Changes *changes);
extern void ForgetChanges(const Changes *changes);
extern void DeleteChanges(const pg_uuid_t *run_id);
extern int64 CountChanges(const pg_uuid_t *run_id, TimestampTz *oldest);
extern List *RunsInChangeLog(void);

#endif							/* BRAIN_CHANGES_H */
