/*
 * standin.c
 *		What src/milvus takes from PostgreSQL, for programs without a server.
 *
 * Each chunk of memory is malloc's own, so that the sanitizer sees each byte too
 * many; contexts are one. The database is UTF8.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "standin.h"

/* ---------- memory ---------- */

/* All chunks; each knows its neighbours. */
typedef struct Chunk
{
	struct Chunk *next;
	struct Chunk *previous;
	Size		size;
	Size		padding;
} Chunk;

static Chunk chunks = {&chunks, &chunks, 0, 0};

MemoryContext CurrentMemoryContext = NULL;

bool		standin_may_raise = true;
Size		standin_memory = SIZE_MAX;

static void *
Allocate(Size size)
{
	Chunk	   *chunk = malloc(sizeof(Chunk) + size);

	/* what the server's would raise an error for */
	if (chunk == NULL || size > MaxAllocSize)
		abort();
	memset(chunk, 0x7f, sizeof(Chunk) + Min(size, 4096));
	*chunk = (Chunk) {chunks.next, &chunks, size, 0};
	chunks.next->previous = chunk;
	chunks.next = chunk;
	return chunk + 1;
}

void *
palloc(Size size)
{
	if (!standin_may_raise)
		abort();
	return Allocate(size);
}

void
pfree(void *pointer)
{
	Chunk	   *chunk = (Chunk *) pointer - 1;

	chunk->next->previous = chunk->previous;
	chunk->previous->next = chunk->next;
	free(chunk);
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void *
repalloc(void *pointer, Size size)
{
	Chunk	   *chunk = (Chunk *) pointer - 1;
	void	   *copy = palloc(size);

	memcpy(copy, pointer, Min(chunk->size, size));
	pfree(pointer);
	return copy;
}

char *
pnstrdup(const char *string, Size length)
{
	char	   *copy;

	length = length > 0 ? strnlen(string, length) : 0;
	copy = palloc(length + 1);
	if (length > 0)
		memcpy(copy, string, length);
	copy[length] = '\0';
	return copy;
}

char *
pstrdup(const char *string)
{
	return pnstrdup(string, strlen(string));
}

void *
MemoryContextAllocExtended(MemoryContext context, Size size,
						   int flags)
{
	if (!(flags & MCXT_ALLOC_NO_OOM))
		return palloc(size);
	if (size > standin_memory)
		return NULL;
	standin_memory -= size;
	return Allocate(size);
}

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name,
							  Size minimum, Size initial,
							  Size maximum)
{
	return parent;
}

void
MemoryContextDelete(MemoryContext context)
{
}

void
ForgetMemory(void)
{
	while (chunks.next != &chunks)
		pfree(chunks.next + 1);
}

/* ---------- errors ---------- */

sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;
volatile sig_atomic_t InterruptPending = 0;

bool
errstart(int elevel, const char *domain)
{
	if (elevel >= ERROR)
		pg_re_throw();
	return false;
}

void
pg_re_throw(void)
{
	if (PG_exception_stack == NULL || !standin_may_raise)
		abort();
	siglongjmp(*PG_exception_stack, 1);
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

/* A cancel. */
void
ProcessInterrupts(void)
{
	InterruptPending = 0;
	pg_re_throw();
}

#define NEVER_CALLED(declaration) declaration { abort(); }
NEVER_CALLED(void errfinish(const char *filename, int line, const char *function))
NEVER_CALLED(int errcode(int sqlstate))
NEVER_CALLED(int errmsg(const char *format,...))
NEVER_CALLED(int errmsg_internal(const char *format,...))
NEVER_CALLED(int errdetail_internal(const char *format,...))
NEVER_CALLED(int errhint(const char *format,...))

void
ExceptionalCondition(const char *condition, const char *type, const char *file, int line)
{
	(void) type;
	fprintf(stderr, "%s:%d: %s\n", file, line, condition);
	abort();
}

/* ---------- encodings ---------- */

int
GetDatabaseEncoding(void)
{
	return PG_UTF8;
}

bool
pg_verify_mbstr(int encoding, const char *text, int length, bool no_error)
{
	return pg_encoding_verifymbstr(encoding, text, length) == length;
}

NEVER_CALLED(Oid FindDefaultConversionProc(int32 from, int32 to))
NEVER_CALLED(int pg_do_encoding_conversion_buf(Oid proc, int from, int to, unsigned char *source, int source_length, unsigned char *target, int target_length, bool no_error))
