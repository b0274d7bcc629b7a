/*
 * progress.c
 *		brain.progress, and NOTICEs for who waits.
 *
 * PostgreSQL has no progress command for extensions, so ours is a COPY with two
 * magic numbers in parameters that COPY leaves unused; pg_stat_progress_copy
 * shows a COPY for as long. It is sent whole each time, and again as soon as a
 * nested ANALYZE or a rolled-back subtransaction has wiped it.
 */
#include "postgres.h"

#include "commands/progress.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"
#include "utils/timestamp.h"

#include "progress.h"

/* the view's param11 to param13, param19 and param20, counted from 0 */
#define PARAM_PHASE 10
#define PARAM_DONE 11
#define PARAM_TOTAL 12
#define PARAM_MAGIC_1 18
#define PARAM_MAGIC_2 19

#define MAGIC_1 1112686921		/* "BRAI" */
#define MAGIC_2 1313427015		/* "NING" */

/* looking at the clock costs as much as a short vector; a view's row may take seconds */
#define MAX_SAMPLES_PER_LOOK 256
#define LOOK_MILLISECONDS 20
#define REPORT_MILLISECONDS 100
#define NOTICE_MILLISECONDS 2000

static void
ReportProgress(const Progress *progress)
{
	const int	index[] = {PARAM_PHASE, PARAM_DONE, PARAM_TOTAL, PARAM_MAGIC_1, PARAM_MAGIC_2};
	const int64 values[] = {progress->phase, progress->done, progress->total, MAGIC_1, MAGIC_2};

	pgstat_progress_start_command(PROGRESS_COMMAND_COPY, progress->dataset);
	pgstat_progress_update_multi_param(lengthof(index), index, values);
}

void
BeginProgress(Progress *progress, Oid dataset, int64 total)
{
	progress->dataset = dataset;
	progress->done = 0;
	progress->total = total;
	progress->next_look = progress->samples_per_look = 1;
	progress->last_look = progress->last_report = progress->last_notice = GetCurrentTimestamp();
}

void
SetProgressPhase(Progress *progress, ProgressPhase phase)
{
	progress->phase = phase;
	ReportProgress(progress);
}

static void
NoticeProgress(const Progress *progress)
{
	if (progress->total > 0)
		ereport(NOTICE,
				(errmsg("compute_similarity: %lld of about %lld samples read",
						(long long) progress->done, (long long) progress->total)));
	else
		ereport(NOTICE,
				(errmsg("compute_similarity: %lld samples read", (long long) progress->done)));
}

static void
LookAtClock(Progress *progress)
{
	TimestampTz now = GetCurrentTimestamp();

	if (TimestampDifferenceExceeds(progress->last_look, now, LOOK_MILLISECONDS))
		progress->samples_per_look = Max(progress->samples_per_look / 2, 1);
	else
		progress->samples_per_look = Min(progress->samples_per_look * 2, MAX_SAMPLES_PER_LOOK);
	progress->next_look = progress->done + progress->samples_per_look;
	progress->last_look = now;
	if (TimestampDifferenceExceeds(progress->last_report, now, REPORT_MILLISECONDS))
	{
		ReportProgress(progress);
		progress->last_report = now;
	}
	if (TimestampDifferenceExceeds(progress->last_notice, now, NOTICE_MILLISECONDS))
	{
		NoticeProgress(progress);
		progress->last_notice = now;
	}
}

/*
 * One more sample was read.
 */
void
CountProgress(Progress *progress)
{
	progress->done++;
	if (MyBEEntry && MyBEEntry->st_progress_command != PROGRESS_COMMAND_COPY)
		ReportProgress(progress);
	if (progress->done >= progress->next_look)
		LookAtClock(progress);
}

/*
 * An error ends the report by itself.
 */
void
EndProgress(void)
{
	pgstat_progress_end_command();
}
