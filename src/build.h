/*
 * build.h
 *		Making the base of a run from its dataset.
 */
#ifndef BRAIN_BUILD_H
#define BRAIN_BUILD_H

#include "backend.h"
#include "bases.h"
#include "index.h"
#include "tracking.h"
#include "uuids.h"

/* A base that is being made. */
typedef struct BaseBuild
{
	const Run  *run;
	BaseWriter *writer;			/* NULL: the dataset cannot be tracked, or there is a reason */
	pg_uuid_t	generation;
	bool		frozen;			/* the dataset cannot be tracked, and the backend does without */
	uint64		fingerprint;	/* before anything was read */
	Snapshot	seen;			/* what the rows were read under */
	int64		n_read;			/* rows of the run that seen shows, with or without embedding */
	bool		made_triggers;
	const char *reason;			/* why there will be no base */
} BaseBuild;

extern char *CheckBuildable(Relation rel);
extern BaseBuild *BeginBuild(const Run *run, Relation rel, bool reads);
extern void BuildEntry(BaseBuild *build, IndexReader *reader, EntryState state);
extern void ReadForBuild(BaseBuild *build, Relation rel, Dataset *dataset);
extern void EndRows(BaseBuild *build, Relation rel, Dataset *dataset);
extern void TrackForBuild(BaseBuild *build, Relation rel, LOCKMODE runs_mode);
extern BaseRow *RecordBuild(BaseBuild *build, Relation rel, Dataset *dataset);
extern void EndBuild(BaseBuild *build);
extern void TryBuild(BaseBuild *build, void (*function) (void *arg), void *arg);
extern void FlushWal(void);

/* What became of a file that a search tried to make. */
typedef enum ReaderBuild
{
	READER_PUBLISHED,
	READER_NOT_NOW,				/* not by this transaction, or somebody else is at it */
	READER_FAILED,				/* it cannot be written */
} ReaderBuild;

extern ReaderBuild BuildForReaders(const Run *run, Relation rel, Dataset *dataset,
								   const BaseRow *row);

#endif							/* BRAIN_BUILD_H */
