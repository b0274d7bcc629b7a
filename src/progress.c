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

/* the view's param11 to param14, param19 and param20, counted from 0 */
#define PARAM_PHASE 10
#define PARAM_DONE 11
#define PARAM_TOTAL 12
#define PARAM_SINCE 13
#define PARAM_MAGIC_1 18
#define PARAM_MAGIC_2 19

#define MAGIC_1 1112686921		/* "BRAI" */
#define MAGIC_2 1313427015		/* "NING" */

/* looking at the clock costs as much as a short vector; a view's row may take seconds */
#define MAX_SAMPLES_PER_LOOK 256
#define LOOK_MILLISECONDS 20
#define REPORT_MILLISECONDS 100
#define NOTICE_MILLISECONDS 2000

/* Of the session. */
static TimestampTz last_notice = 0;

static void
ReportProgress(const Progress *progress)
{
	const int	index[] = {PARAM_PHASE, PARAM_DONE, PARAM_TOTAL, PARAM_SINCE, PARAM_MAGIC_1, PARAM_MAGIC_2};
	const int64 values[] = {progress->phase, progress->done, progress->total, progress->since, MAGIC_1, MAGIC_2};

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
	progress->since = progress->last_look = progress->last_report = last_notice = GetCurrentTimestamp();
}

void
SetProgressPhase(Progress *progress, ProgressPhase phase)
{
	progress->phase = phase;
	progress->since = GetCurrentTimestamp();
	ReportProgress(progress);
}

static void
NoticeReading(int64 done, int64 total, double seconds)
{
	double		rate = done / Max(seconds, 0.001);

	if (total > done)
		ereport(NOTICE,
				(errmsg("compute_similarity: %lld of about %lld samples read, %.0f a second, %.0f s left",
						(long long) done, (long long) total, rate, (total - done) / Max(rate, 0.001))));
	else
		ereport(NOTICE,
				(errmsg("compute_similarity: %lld samples read, %.0f a second", (long long) done, rate)));
}

/*
 * Every two seconds tell who waits.
 */
static void
NoticeProgress(ProgressPhase phase, int64 done, int64 total, TimestampTz since, TimestampTz now)
{
	if (!TimestampDifferenceExceeds(last_notice, now, NOTICE_MILLISECONDS))
		return;
	last_notice = now;
	if (phase == PROGRESS_FLUSHING)
		ereport(NOTICE, (errmsg("compute_similarity: the Milvus server flushes the collection")));
	else if (phase == PROGRESS_INDEXING)
		ereport(NOTICE,
				(errmsg("compute_similarity: %lld of %lld samples are in the Milvus server's index",
						(long long) done, (long long) total)));
	else if (phase == PROGRESS_LOADING)
		ereport(NOTICE, (errmsg("compute_similarity: the Milvus server loads the collection")));
	else if (phase == PROGRESS_READING)
		NoticeReading(done, total, (double) (now - since) / USECS_PER_SEC);
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
	NoticeProgress(progress->phase, progress->done, progress->total, progress->since, now);
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
 * What a backend does after the last row, for a call whose progress is reported;
 * else, as in a sync, nothing is. total -1: unknown.
 */
void
ReportPhase(ProgressPhase phase, int64 done, int64 total)
{
	const int	index[] = {PARAM_PHASE, PARAM_DONE, PARAM_TOTAL, PARAM_SINCE};
	TimestampTz now = GetCurrentTimestamp();
	const volatile PgBackendStatus *status = MyBEEntry;
	bool		is_new;
	int64		values[] = {phase, done, total, now};

	if (status == NULL || status->st_progress_command != PROGRESS_COMMAND_COPY ||
		status->st_progress_param[PARAM_MAGIC_1] != MAGIC_1)
		return;
	is_new = status->st_progress_param[PARAM_PHASE] != phase;
	pgstat_progress_update_multi_param(is_new ? 4 : 3, index, values);
	NoticeProgress(phase, done, total, now, now);
}

/*
 * An error ends the report by itself.
 */
void
EndProgress(void)
{
	pgstat_progress_end_command();
}
