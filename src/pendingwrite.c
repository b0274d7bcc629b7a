/*
 * pendingwrite.c
 *		Writes to a collection that may still arrive.
 *
 * A sync that is killed, cancelled or not answered leaves a write of which nobody
 * knows whether, and when, the server does it. Had a later sync written the same
 * sample meanwhile, and forgotten its log rows, the old value would come back and
 * stay. So a sync notes in a file until when what it sends may be done, and takes
 * the note away when all was acknowledged; the run's next sync waits until then.
 *
 * A file, as it must outlive the session, its transaction and a crash of the
 * server, beside the matrix files: neither backups nor clones take it along.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include "exact/matrix.h"
#include "milvus/collection.h"
#include "pendingwrite.h"
#include "uuids.h"

#define SUFFIX ".pending"

/* How long a server works on what it has at hand. */
#define GRACE_SECONDS 1

/* A sweep takes notes that are older. */
#define OLD_SECONDS (2 * SECS_PER_DAY)

typedef struct Note
{
	TimestampTz since;
	TimestampTz until;
} Note;

static char *
NotePath(const pg_uuid_t *run_id)
{
	return psprintf(MATRIX_DIRECTORY "/%u.%s" SUFFIX, MyDatabaseId, UuidText(run_id));
}

static void
RaiseFile(const char *path)
{
	ereport(ERROR,
			(errcode_for_file_access(),
			 errmsg("could not write file \"%s\": %m", path)));
}

/*
 * What is sent from now on may be done for so long. Error when that cannot be
 * noted: nothing may be sent then.
 */
void
BeginPendingWrite(const pg_uuid_t *run_id, int64 milliseconds)
{
	char	   *path = NotePath(run_id);
	Note		note = {.since = GetCurrentTimestamp()};
	int			fd;

	note.until = note.since + milliseconds * 1000;
	if (mkdir(MATRIX_DIRECTORY, pg_dir_create_mode) < 0 && errno != EEXIST)
		RaiseFile(MATRIX_DIRECTORY);
	fd = OpenTransientFile(path, O_WRONLY | O_CREAT | PG_BINARY);
	if (fd < 0)
		RaiseFile(path);
	errno = 0;
	if (pg_pwrite(fd, &note, sizeof(note), 0) != sizeof(note))
	{
		if (errno == 0)
			errno = ENOSPC;
		RaiseFile(path);
	}
	CloseTransientFile(fd);
}

static void
RemoveNote(const char *path)
{
	if (unlink(path) < 0 && errno != ENOENT)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", path)));
}

/*
 * All that was sent is acknowledged, or was never taken.
 */
void
EndPendingWrite(const pg_uuid_t *run_id)
{
	RemoveNote(NotePath(run_id));
}

/*
 * Wait until nothing that an earlier sync has sent is to be done any more; false
 * when there is nothing. Under the lock on syncs. A note that is cut was being
 * written, and nothing had been sent. The clock may have been set back meanwhile.
 */
bool
AwaitPendingWrite(const pg_uuid_t *run_id)
{
	char	   *path = NotePath(run_id);
	int			fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	TimestampTz now = GetCurrentTimestamp();
	Note		note;
	bool		whole;

	if (fd < 0 && errno == ENOENT)
		return false;
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m", path)));
	whole = pg_pread(fd, &note, sizeof(note), 0) == sizeof(note);
	CloseTransientFile(fd);
	if (whole)
		MilvusSleepUntil(now + Min(note.until - now, note.until - note.since));
	return whole;
}

/*
 * After that, when the server has answered something: it may have been silent for
 * so long, and have begun anew just now.
 */
void
AwaitWhatIsAtHand(void)
{
	MilvusSleepUntil(GetCurrentTimestamp() + GRACE_SECONDS * USECS_PER_SEC);
}

/*
 * Remove the notes whose time is long over, of whatever database: their runs may
 * be gone.
 */
void
SweepPendingWrites(void)
{
	DIR		   *directory = AllocateDir(MATRIX_DIRECTORY);
	struct dirent *found;

	if (directory == NULL)
		return;
	while ((found = ReadDirExtended(directory, MATRIX_DIRECTORY, LOG)) != NULL)
	{
		size_t		length = strlen(found->d_name);
		char	   *path = psprintf(MATRIX_DIRECTORY "/%s", found->d_name);
		struct stat st;

		if (length > strlen(SUFFIX) && strcmp(found->d_name + length - strlen(SUFFIX), SUFFIX) == 0 &&
			stat(path, &st) == 0 && st.st_mtime < time(NULL) - OLD_SECONDS)
			RemoveNote(path);
	}
	FreeDir(directory);
}
