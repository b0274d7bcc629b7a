/*
 * closing.c
 *		Closing a removed file without waiting until it is gone.
 *
 * Whoever closes a removed file last gives its pages back to the kernel, which
 * takes 0.06 to 0.1 ms a megabyte: after a cancelled build a session would be
 * deaf for as long. ftruncate(), in pieces or not, and fallocate() take the same
 * time, and a file that is left to a later sweep keeps the disk full. So large
 * ones are closed by a thread, which does nothing else: it hears no signal, calls
 * nothing of PostgreSQL's, and ends with the process at the latest.
 */
#include "postgres.h"

#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exact/layout.h"

/* Smaller ones are gone within 2 ms, and leave no thread's stack behind. */
#define LARGE_FILE (32 * 1024 * 1024)

static void *
CloseFile(void *arg)
{
	(void) close((int) (intptr_t) arg);
	return NULL;
}

static bool
StartClosing(int fd)
{
	pthread_attr_t attributes;
	pthread_t	thread;
	sigset_t	all;
	sigset_t	old;
	bool		started;

	if (pthread_attr_init(&attributes) != 0)
		return false;
	(void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	/* the thread inherits it */
	sigfillset(&all);
	(void) pthread_sigmask(SIG_SETMASK, &all, &old);
	started = pthread_create(&thread, &attributes, CloseFile, (void *) (intptr_t) fd) == 0;
	(void) pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void) pthread_attr_destroy(&attributes);
	return started;
}

/*
 * Close a file that is removed already, after whatever else this process has it
 * open or mapped by. May not throw: runs in aborts.
 */
void
CloseRemoved(int fd)
{
	struct stat status;

	if (fstat(fd, &status) != 0 || status.st_size < LARGE_FILE || !StartClosing(fd))
		(void) close(fd);
}
