/*
 * record.c
 *		Makes the calls of src/milvus to a real server, and writes down the replies:
 *		what tests/fuzz/replies.txt has, an input of tests/fuzz_replies a line.
 *
 *	record HOST:PORT NAME >> tests/fuzz/replies.txt
 *
 * How each call ended goes to standard error. See tests/fuzz_replies --record.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <unistd.h>

#include "port/pg_bswap.h"

#include "replies.h"

static const char *address;
static const char *name;
static int	grpc_status;
static StringInfo body;
static InputHead current;
static const char *current_what;
static bool recorded;

static size_t
TakeBody(char *bytes, size_t size, size_t n, void *arg)
{
	(void) arg;
	appendBinaryStringInfo(body, bytes, (int) (size * n));
	return size * n;
}

static size_t
TakeHeader(char *line, size_t size, size_t n, void *arg)
{
	(void) arg;
	if (size * n > 12 && strncasecmp(line, "grpc-status:", 12) == 0)
		grpc_status = atoi(line + 12);
	return size * n;
}

static void
PrintHex(const void *bytes, int length)
{
	for (int i = 0; i < length; i++)
		printf("%02x", ((const uint8 *) bytes)[i]);
}

static void
Save(const StringInfoData *reply)
{
	printf("%s-%s ", name, current_what);
	PrintHex(&current, sizeof(current));
	PrintHex(reply->data, reply->len);
	printf("\n");
}

static GrpcFailure *
Failure(int status, const char *message)
{
	GrpcFailure *failure = palloc0(sizeof(GrpcFailure));

	failure->grpc_status = status;
	failure->message = pstrdup(message);
	return failure;
}

/*
 * A connection a call: nothing here is fast.
 */
static GrpcFailure *
SendByCurl(const char *method, StringInfo request, StringInfo reply)
{
	CURL	   *curl = curl_easy_init();
	struct curl_slist *headers = NULL;
	uint32		length = pg_hton32((uint32) (request->len - GRPC_FRAME_HEAD));
	char		url[512];
	CURLcode	code;

	initStringInfo(reply);
	request->data[0] = 0;
	memcpy(request->data + 1, &length, sizeof(length));
	snprintf(url, sizeof(url), "http://%s/milvus.proto.milvus.MilvusService/%s", address, method);
	headers = curl_slist_append(headers, "content-type: application/grpc");
	headers = curl_slist_append(headers, "te: trailers");
	headers = curl_slist_append(headers, "Expect:");
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->data);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long) request->len);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, TakeBody);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, TakeHeader);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
	grpc_status = -1;
	body = reply;
	code = curl_easy_perform(curl);
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	if (code != CURLE_OK)
		return Failure(-1, curl_easy_strerror(code));
	if (grpc_status != 0)
		return Failure(grpc_status, "gRPC says no");
	reply->len -= GRPC_FRAME_HEAD;
	memmove(reply->data, reply->data + GRPC_FRAME_HEAD, reply->len);
	if (!recorded)
		Save(reply);
	recorded = true;
	return NULL;
}

/* ---------- what is called ---------- */

static Outcome outcome;

static const char *
SqlState(int state)
{
	static char text[6];

	for (int i = 0; i < 5; i++, state >>= 6)
		text[i] = PGUNSIXBIT(state);
	return text;
}

static bool
Make(CallNumber call, const char *what, InputHead head, Subject subject)
{
	GrpcFailure *failure;

	head.call = (uint8) call;
	current = head;
	current_what = what;
	recorded = false;
	failure = RunCall(&head, &subject, &outcome);
	if (failure)
		fprintf(stderr, "%s %s: %s | %s (sqlstate %s)\n", name, what, failure->message,
			   failure->detail ? failure->detail : "", failure->sqlstate ? SqlState(failure->sqlstate) : "");
	else
		fprintf(stderr, "%s %s: yes %d, number %lld\n", name, what, outcome.yes, (long long) outcome.number);
	return failure == NULL;
}

static void
Collection(InputHead head, const char *prefix, const char *collection, const char *index_type)
{
	Subject		subject = {.collection = collection,.index_type = index_type};
	char	   *some = (char *) (head.numbers ? "pk in [1, 2, 30]" : "pk in [\"\", \"\\\"\\\\'\", \"000000000000000000000005\"]");

#define WHAT(text) psprintf("%s%s", prefix, text)
	Make(CALL_DROP_COLLECTION, WHAT("drop"), head, subject);
	Make(CALL_CREATE_COLLECTION, WHAT("create"), head, subject);
	Make(CALL_CREATE_COLLECTION, WHAT("create-again"), head, subject);
	Make(CALL_HAS_COLLECTION, WHAT("has"), head, subject);
	Make(CALL_DESCRIBE_COLLECTION, WHAT("describe"), head, subject);
	subject.id = outcome.number;
	Make(CALL_SHOW_COLLECTIONS, WHAT("show"), head, subject);
	Make(CALL_DESCRIBE_INDEX, WHAT("no-index"), head, subject);
	Make(CALL_INSERT, WHAT("insert"), head, subject);
	Make(CALL_UPSERT, WHAT("upsert"), head, subject);
	Make(CALL_FLUSH, WHAT("flush"), head, subject);
	subject.flushing = outcome.flushing;
	for (int i = 0; i < 50; i++)
	{
		if (!Make(CALL_FLUSH_STATE, WHAT("flush-state"), head, subject) || outcome.yes)
			break;
		usleep(200000);
	}
	Make(CALL_COUNT_FLUSHED, WHAT("statistics"), head, subject);
	if (!Make(CALL_CREATE_INDEX, WHAT("create-index"), head, subject))
	{
		subject.index_type = "FLAT";
		Make(CALL_CREATE_INDEX, WHAT("create-flat"), head, subject);
	}
	for (int i = 0; i < 50; i++)
	{
		if (!Make(CALL_DESCRIBE_INDEX, WHAT("index"), head, subject) || outcome.number)
			break;
		usleep(200000);
	}
	Make(CALL_SEARCH, WHAT("search-early"), head, subject);
	Make(CALL_LOAD_COLLECTION, WHAT("load"), head, subject);
	for (int i = 0; i < 50; i++)
	{
		if (!Make(CALL_LOAD_STATE, WHAT("load-state"), head, subject) || outcome.number == 3)
			break;
		usleep(200000);
	}
	Make(CALL_LOADING_PROGRESS, WHAT("progress"), head, subject);
	Make(CALL_SEARCH, WHAT("search"), head, subject);
	subject.expression = some;
	Make(CALL_SEARCH, WHAT("search-some"), head, subject);
	Make(CALL_QUERY, WHAT("query-some"), head, subject);
	subject.expression = head.numbers ? "pk in [1000]" : "pk in [\"nobody\"]";
	Make(CALL_SEARCH, WHAT("search-none"), head, subject);
	Make(CALL_QUERY, WHAT("query-none"), head, subject);
	Make(CALL_DELETE, WHAT("delete-none"), head, subject);
	subject.expression = NULL;
	Make(CALL_QUERY, WHAT("query"), head, subject);
	head.k = 0;
	Make(CALL_QUERY, WHAT("query-keys"), head, subject);
	Make(CALL_COUNT, WHAT("count"), head, subject);
	subject.expression = some;
	Make(CALL_DELETE, WHAT("delete"), head, subject);
	Make(CALL_COUNT, WHAT("count-after"), head, subject);
	if (Make(CALL_COMPACT, WHAT("compact"), head, subject))
	{
		subject.id = outcome.number;
		Make(CALL_COMPACTION_STATE, WHAT("compaction-state"), head, subject);
	}
	Make(CALL_RELEASE_COLLECTION, WHAT("release"), head, subject);
	Make(CALL_DROP_COLLECTION, WHAT("drop"), head, subject);
}

int
main(int argc, char **argv)
{
	InputHead	texts = {.k = 5,.n = 8,.dim = 4};
	InputHead	numbers = {.numbers = 1,.k = 3,.n = 6,.dim = 2};
	Subject		missing = {.collection = "missing",.expression = "pk in [\"1\"]"};

	if (argc != 3)
		return 2;
	address = argv[1];
	name = argv[2];
	standin_transport = SendByCurl;
	Make(CALL_CONNECT, "connect", texts, missing);
	fprintf(stderr, "version %s, lite %d, lite 2 %d\n", outcome.server.version, outcome.server.is_lite, outcome.server.is_lite2);
	Make(CALL_LIST_DATABASES, "databases", texts, missing);
	Make(CALL_ALLOC_TIMESTAMP, "timestamp", texts, missing);
	Make(CALL_HAS_COLLECTION, "has-missing", texts, missing);
	Make(CALL_DESCRIBE_COLLECTION, "describe-missing", texts, missing);
	Make(CALL_SEARCH, "search-missing", texts, missing);
	Make(CALL_QUERY, "query-missing", texts, missing);
	Make(CALL_INSERT, "insert-missing", texts, missing);
	Make(CALL_DELETE, "delete-missing", texts, missing);
	Collection(texts, "", "of_texts", "HNSW");
	Collection(numbers, "numbers-", "of_numbers", "FLAT");
	return 0;
}
