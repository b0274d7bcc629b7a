/*
 * progress.h
 *		brain.progress, and NOTICEs for who waits.
 */
#ifndef BRAIN_PROGRESS_H
#define BRAIN_PROGRESS_H

#include "datatype/timestamp.h"

/* The phases of compute_similarity(); brain.progress has their names. */
typedef enum ProgressPhase
{
	PROGRESS_CHECKING_IDS = 1,
	PROGRESS_READING = 2,
	PROGRESS_RECORDING = 3,
	/* of a Milvus server */
	PROGRESS_FLUSHING = 4,
	PROGRESS_INDEXING = 5,
	PROGRESS_LOADING = 6,
} ProgressPhase;

typedef struct Progress
{
	Oid			dataset;
	ProgressPhase phase;
	int64		done;
	int64		total;			/* estimate; -1: none */
	int64		next_look;		/* at the clock, when so many are done */
	int			samples_per_look;
	TimestampTz since;			/* the phase began */
	TimestampTz last_look;
	TimestampTz last_report;
} Progress;

extern void BeginProgress(Progress *progress, Oid dataset, int64 total);
extern void SetProgressPhase(Progress *progress, ProgressPhase phase);
extern void CountProgress(Progress *progress);
extern void ReportPhase(ProgressPhase phase, int64 done, int64 total);
extern void EndProgress(void);

#endif							/* BRAIN_PROGRESS_H */
