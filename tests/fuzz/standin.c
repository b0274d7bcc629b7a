/*
 * standin.c
 *		What src/milvus takes from PostgreSQL and from grpc.c, for programs without a
 *		server.
 *
 * Each chunk of memory is malloc's own, so that the sanitizer sees each byte too
 * many; contexts are one. The database is UTF8.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "milvus/retry.h"

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

void *
palloc(Size size)
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
	return palloc(size);
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

sigjmp_buf *standin_errors = NULL;
volatile sig_atomic_t InterruptPending = 0;

bool
errstart(int elevel, const char *domain)
{
	if (elevel >= ERROR && standin_errors != NULL)
		siglongjmp(*standin_errors, 1);
	if (elevel >= ERROR)
		abort();
	return false;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

#define NEVER_CALLED(declaration) declaration { abort(); }
NEVER_CALLED(void errfinish(const char *filename, int line, const char *function))
NEVER_CALLED(void ProcessInterrupts(void))
NEVER_CALLED(int errcode(int sqlstate))
NEVER_CALLED(int errmsg(const char *format,...))
NEVER_CALLED(int errmsg_internal(const char *format,...))

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

/* ---------- calls ---------- */

/*
 * In memory of its size: a StringInfo's own has a byte more, and mostly many.
 */
void
GiveReply(StringInfo reply, const void *bytes, int length)
{
	reply->data = palloc(length);
	reply->len = reply->maxlen = length;
	reply->cursor = 0;
	if (length > 0)
		memcpy(reply->data, bytes, length);
}

StringInfoData standin_request;
char		standin_method[64];
StandinTransport standin_transport = NULL;

void
GrpcBeginRequest(StringInfo request)
{
	initStringInfo(request);
	appendStringInfoSpaces(request, GRPC_FRAME_HEAD);
}

const char *
GrpcNameOf(const GrpcConnection *connection)
{
	return "[::1]:19530";
}

GrpcFailure *
GrpcCall(GrpcConnection *connection, const char *method, StringInfo request,
		 GrpcRepeat repeat, StringInfo reply)
{
	strlcpy(standin_method, method, sizeof(standin_method));
	standin_request.len = request->len - GRPC_FRAME_HEAD;
	standin_request.data = realloc(standin_request.data, standin_request.len + 1);
	memcpy(standin_request.data, request->data + GRPC_FRAME_HEAD, standin_request.len);
	return standin_transport(method, request, reply);
}

bool
WaitToRetry(const GrpcConnection *c, const GrpcFailure *failure, MilvusRetry *retry)
{
	return false;
}
