/*
 * shim.c
 *		What shim/ declares.
 */
#include <stdarg.h>
#include <time.h>

#include "postgres.h"

#include "exact/scan.h"
#include "miscadmin.h"

int			shim_level;
int			shim_warnings;
double		shim_longest;

int
shim_say(const char *format,...)
{
	va_list		arguments;

	shim_warnings += shim_level == WARNING;
	if (shim_level < WARNING)
		return 0;
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return 0;
}

void
shim_interrupt(void)
{
	static struct timespec last;
	struct timespec now;
	double		passed;

	/* of the processor: others may be running too */
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	passed = (now.tv_sec - last.tv_sec) * 1e3 + (now.tv_nsec - last.tv_nsec) / 1e6;
	/* the first look, and the first after shim_longest was read, have none before */
	if (last.tv_nsec > 0 && shim_longest >= 0)
		shim_longest = Max(shim_longest, passed);
	else if (shim_longest < 0)
		shim_longest = 0;
	last = now;
}

/*
 * Kernels count on the alignment of palloc() and on no more: 8 bytes, and not 16.
 */
void *
palloc(Size size)
{
	char	   *chunk = malloc(size + 24);

	if (chunk == NULL)
		abort();
	memset(chunk, 0x7f, size + 24);
	return chunk + 8;
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

char *
pstrdup(const char *string)
{
	return strcpy(palloc(strlen(string) + 1), string);
}

void
pfree(void *pointer)
{
	free((char *) pointer - 8);
}

/* matrix.c's: here all rows are as they were written. */
void
RequireIntact(const MatrixPart *part, MatrixSection section, int64 first, int64 count)
{
	(void) section;
	Assert(first >= 0 && count >= 0 && first + count <= part->n);
}
