/*
 * call.c
 *		A call whose messages are small: by protobuf-c, from milvus.proto.
 *
 * protobuf-c calls its allocator in the middle of what it does, so that may not
 * raise: it has a budget, says no when that is gone, and takes from a context of
 * the call's own, which goes with the call. A reply's texts end at their first NUL
 * byte, as protobuf-c hands them out. How deep messages nest is milvus.proto's
 * choice, not the server's.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "milvus/call.h"
#include "milvus/retry.h"
#include "milvus/texts.h"

/*
 * A reply's bytes, and what they may become: 65,536 names of collections are
 * 17 MB, an empty submessage of 2 bytes is a hundred in memory.
 */
#define MAX_SMALL_REPLY (32 * 1024 * 1024)
#define MAX_UNPACKED (128 * 1024 * 1024)

/* ---------- a call ---------- */

typedef struct Budget
{
	MemoryContext context;
	Size		left;
	bool		exceeded;
} Budget;

/*
 * May not raise: runs inside protobuf-c.
 */
static void *
Allocate(void *arg, size_t size)
{
	Budget	   *budget = arg;
	void	   *memory = NULL;

	if (size <= budget->left)
		memory = MemoryContextAllocExtended(budget->context, size, MCXT_ALLOC_NO_OOM);
	if (memory == NULL)
		budget->exceeded = true;
	else
		budget->left -= size;
	return memory;
}

static void
Free(void *arg pg_attribute_unused(), void *memory)
{
	if (memory != NULL)
		pfree(memory);
}

static void
PackRequest(StringInfo out, const ProtobufCMessage *request)
{
	Size		size = protobuf_c_message_get_packed_size(request);

	GrpcBeginRequest(out);
	if (size > GRPC_MAX_REQUEST)
		elog(ERROR, "a request of %zu bytes to a Milvus server", size);
	enlargeStringInfo(out, (int) size);
	out->len += (int) protobuf_c_message_pack(request, (uint8_t *) out->data + out->len);
}

/*
 * Each reply has its Status as field 1.
 */
static const ProtobufCBinaryData *
StatusOf(const ProtobufCMessage *reply)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field(reply->descriptor, 1);

	return (const ProtobufCBinaryData *) ((const char *) reply + field->offset);
}

static Problem
ReadReply(const ReplyKind *kind, const StringInfoData *bytes, MemoryContext context,
		  MilvusStatus *status, void *result)
{
	Budget		budget = {.context = context,.left = MAX_UNPACKED};
	ProtobufCAllocator allocator = {.alloc = Allocate,.free = Free,.allocator_data = &budget};
	ProtobufCMessage *reply;
	Problem		problem;

	if (kind->descriptor == NULL)
		return ReadStatus((const uint8 *) bytes->data, bytes->len, status);
	if (bytes->len > MAX_SMALL_REPLY)
		return "The reply is too large.";
	reply = protobuf_c_message_unpack(kind->descriptor, &allocator, bytes->len,
									  (const uint8_t *) bytes->data);
	if (reply == NULL)
		return budget.exceeded ? "The reply is too large." : "The message is damaged.";
	problem = ReadStatus(StatusOf(reply)->data, StatusOf(reply)->len, status);
	if (problem == NULL && status->code == 0)
		problem = kind->take(reply, result);
	return problem;
}

static GrpcFailure *
CallOnce(GrpcConnection *c, const char *method, GrpcRepeat repeat, const ProtobufCMessage *request,
		 const ReplyKind *kind, void *result)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "brain Milvus call",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	MilvusStatus status = {0};
	StringInfoData out;
	StringInfoData in;
	GrpcFailure *failure;

	PackRequest(&out, request);
	MemoryContextSwitchTo(caller);
	failure = GrpcCall(c, method, &out, repeat, &in);
	if (failure == NULL)
	{
		Problem		problem = ReadReply(kind, &in, context, &status, result);

		failure = ReplyFailure(c, method, problem, &status);
		pfree(in.data);
	}
	MemoryContextDelete(context);
	return failure;
}

GrpcFailure *
CallMilvus(GrpcConnection *c, const char *method, GrpcRepeat repeat, const ProtobufCMessage *request,
		   const ReplyKind *kind, void *result)
{
	MilvusRetry retry = {0};
	GrpcFailure *failure;

	do
		failure = CallOnce(c, method, repeat, request, kind, result);
	while (WaitToRetry(c, failure, &retry));
	return failure;
}

const ReplyKind status_reply = {NULL, NULL};

/* ---------- texts ---------- */

/*
 * protobuf-c has its texts without const, and changes none.
 */
char *
Sent(const char *text)
{
	return text == NULL ? (char *) protobuf_c_empty_string :
		unconstify(char *, TextToServer(text));
}

/*
 * A name that something is called by: none that is empty or that no server has.
 */
char *
SentName(const char *name)
{
	char	   *sent = Sent(name);

	if (*sent == '\0' || strlen(sent) > MILVUS_MAX_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("\"%s\" cannot be a name in Milvus", name ? name : "")));
	return sent;
}

bool
TakeText(const char *sent, char **text)
{
	*text = TextFromServer(sent, strlen(sent));
	return *text != NULL;
}

const Problem bad_text = "A text is not UTF-8, or has no equivalent in the database's encoding.";

/* ---------- pairs of key and value ---------- */

Milvus__Pair **
SentPairs(int n, const MilvusPair *pairs)
{
	Milvus__Pair **sent = palloc(sizeof(Milvus__Pair *) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		sent[i] = palloc(sizeof(Milvus__Pair));
		milvus__pair__init(sent[i]);
		sent[i]->key = Sent(pairs[i].key);
		sent[i]->value = Sent(pairs[i].value);
	}
	return sent;
}

static bool
TakePair(const Milvus__Pair *sent, MilvusPair *pair)
{
	char	   *key;
	char	   *value;

	if (!TakeText(sent->key, &key) || !TakeText(sent->value, &value))
		return false;
	*pair = (MilvusPair) {key, value};
	return true;
}

bool
TakePairs(size_t n_sent, Milvus__Pair *const *sent, int *n, MilvusPair **pairs)
{
	*n = (int) n_sent;
	*pairs = palloc(sizeof(MilvusPair) * Max(n_sent, 1));
	for (size_t i = 0; i < n_sent; i++)
		if (!TakePair(sent[i], &(*pairs)[i]))
			return false;
	return true;
}

/*
 * The number that a pair has as text; 0 when there is no such pair, -1 when it is
 * no number from 1 to max.
 */
int
NumberOfPair(size_t n, Milvus__Pair *const *pairs, const char *key, int max)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(pairs[i]->key, key) == 0)
		{
			const char *text = pairs[i]->value;
			size_t		length = strlen(text);
			int			number;

			if (length == 0 || length > 9 || strspn(text, "0123456789") != length)
				return -1;
			number = atoi(text);
			return number >= 1 && number <= max ? number : -1;
		}
	return 0;
}

/* ---------- names ---------- */

typedef struct Names
{
	int			n;
	char	  **names;
} Names;

static Problem
TakeNames(const ProtobufCMessage *message, void *result)
{
	const Milvus__NamesReply *reply = (const Milvus__NamesReply *) message;
	Names	   *names = result;

	names->n = (int) reply->n_names;
	names->names = palloc(sizeof(char *) * Max(reply->n_names, 1));
	for (int i = 0; i < names->n; i++)
		if (!TakeText(reply->names[i], &names->names[i]))
			return bad_text;
	return NULL;
}

/*
 * A call that asks for nothing in particular and is answered with names.
 */
GrpcFailure *
CallForNames(GrpcConnection *c, const char *method, int *n, char ***names)
{
	static const ReplyKind kind = {&milvus__names_reply__descriptor, TakeNames};
	Milvus__EmptyRequest request = MILVUS__EMPTY_REQUEST__INIT;
	Names		result = {0, NULL};
	GrpcFailure *failure = CallMilvus(c, method, GRPC_REPEATABLE, &request.base, &kind, &result);

	*n = result.n;
	*names = result.names;
	return failure;
}
