/*
 * frames.c
 *		libFuzzer's target for what reads gRPC's frames: src/milvus/grpc.c itself, with
 *		a libcurl that plays an input.
 *
 * An input is a byte of flags and records: what the library calls back with, what
 * is waited for, and how calls end.
 *
 *	byte		kind, see Play() and WaitEventSetWait()
 *	uint16		length, little-endian
 *	bytes
 *
 * Beside the sanitizers' eyes: nothing that a callback does can raise an error;
 * no more is kept than the limit; a failure has an SQLSTATE, a message and words
 * that can be shown; a reply is what came, whole; nothing is sent twice that must
 * not be; the library is entered with all signals blocked; all that it gave is
 * given back.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <dlfcn.h>

#include "milvus/grpc.h"

#include "standin.h"

/* That inputs may come to it. */
#undef GRPC_MAX_REPLY
#define GRPC_MAX_REPLY 4096

static void *FindPlayed(const char *name);

#define dlopen(name, flags) ((void *) 1)
#define dlsym(library, name) FindPlayed(name)
#include "../../src/milvus/grpc.c"
#undef dlopen
#undef dlsym

#define ONCE 1					/* not GRPC_REPEATABLE */
#define BY_TLS 2
#define IDLE 4					/* the connection, before each call */
#define NO_TIME 8				/* for a request */
#define NO_MEMORY 16
#define HTTP1 32
#define REUSE_DEFECT 64

#define MAX_CALLS 4				/* of an input */

#define REQUIRE(condition) \
	do { if (!(condition)) { fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); abort(); } } while (0)

/* ---------- the input ---------- */

typedef struct Record
{
	uint8		kind;
	size_t		length;
	const uint8 *bytes;
} Record;

static const uint8 *input;
static size_t input_left;
static uint8 flags;

/*
 * The next record, or kind 0. Lengths that are too large end with the input.
 */
static Record
NextRecord(const uint8 *at, size_t left)
{
	Record		record = {0};

	if (left < 3)
		return record;
	record.kind = at[0];
	record.length = Min((size_t) (at[1] | at[2] << 8), left - 3);
	record.bytes = at + 3;
	return record;
}

static Record
TakeRecord(void)
{
	Record		record = NextRecord(input, input_left);

	if (record.kind == 0)
		input_left = 0;
	else
	{
		input += 3 + record.length;
		input_left -= 3 + record.length;
	}
	return record;
}

/* ---------- libcurl ---------- */

static struct
{
	/* what it was told */
	curl_write_callback take_body;
	void	   *body_arg;
	curl_write_callback take_header;
	void	   *header_arg;
	curl_prereq_callback before_sending;
	void	   *sending_arg;
	curl_socket_callback watch_socket;
	void	   *socket_arg;
	curl_multi_timer_callback set_timer;
	void	   *timer_arg;
	char	   *error_words;
	const char *url;
	const uint8 *request;
	curl_off_t	request_size;
	long		verify_peer;
	long		verify_host;

	/* the call */
	bool		added;
	bool		over;
	CURLcode	result;
	bool		told;			/* the result */
	CURLMsg		message;
	bool		sent;
	long		http_status;
	bool		trailers;		/* begin */
	char		body[PG_UINT16_MAX];	/* as far as it was taken */
	size_t		body_length;

	/* all calls of a GrpcCall() */
	int			n_performed;
	int			n_sent;			/* of its method */
	const char *first_url;

	int			given;			/* handles and lists, not yet given back */
}			played;

static void
RequireBlockedSignals(void)
{
	sigset_t	blocked;

	sigprocmask(SIG_BLOCK, NULL, &blocked);
	for (int signal = 1; signal < 32; signal++)
		REQUIRE(signal == SIGKILL || signal == SIGSTOP || sigismember(&blocked, signal));
}

static CURLcode
GlobalInit(long what)
{
	RequireBlockedSignals();
	return CURLE_OK;
}

static curl_version_info_data *
VersionInfo(CURLversion version)
{
	static curl_version_info_data info = {.version = "8.0.0",.version_num = 0x080000,.features = CURL_VERSION_HTTP2};

	return &info;
}

static void *
GiveHandle(void)
{
	played.given++;
	return malloc(1);
}

static void
TakeBack(void *handle)
{
	RequireBlockedSignals();
	played.given--;
	free(handle);
}

static CURLMcode
MultiCleanup(CURLM *multi)
{
	TakeBack(multi);
	return CURLM_OK;
}

static CURLcode
EasySetopt(CURL *easy, CURLoption option,...)
{
	va_list		arguments;

	va_start(arguments, option);
	switch ((int) option)
	{
		case CURLOPT_WRITEFUNCTION:
			played.take_body = va_arg(arguments, curl_write_callback);
			break;
		case CURLOPT_WRITEDATA:
			played.body_arg = va_arg(arguments, void *);
			break;
		case CURLOPT_HEADERFUNCTION:
			played.take_header = va_arg(arguments, curl_write_callback);
			break;
		case CURLOPT_HEADERDATA:
			played.header_arg = va_arg(arguments, void *);
			break;
		case CURLOPT_PREREQFUNCTION:
			played.before_sending = va_arg(arguments, curl_prereq_callback);
			break;
		case CURLOPT_PREREQDATA:
			played.sending_arg = va_arg(arguments, void *);
			break;
		case CURLOPT_ERRORBUFFER:
			played.error_words = va_arg(arguments, char *);
			break;
		case CURLOPT_URL:
			free(unconstify(char *, played.url));
			played.url = strdup(va_arg(arguments, char *));
			break;
		case CURLOPT_POSTFIELDS:
			played.request = va_arg(arguments, uint8 *);
			break;
		case CURLOPT_POSTFIELDSIZE_LARGE:
			played.request_size = va_arg(arguments, curl_off_t);
			break;
		case CURLOPT_SSL_VERIFYPEER:
			played.verify_peer = va_arg(arguments, long);
			break;
		case CURLOPT_SSL_VERIFYHOST:
			played.verify_host = va_arg(arguments, long);
			break;
	}
	va_end(arguments);
	return CURLE_OK;
}

static CURLcode
EasyGetinfo(CURL *easy, CURLINFO info,...)
{
	va_list		arguments;
	void	   *value;

	va_start(arguments, info);
	value = va_arg(arguments, void *);
	va_end(arguments);
	switch ((int) info)
	{
		case CURLINFO_RESPONSE_CODE:
			*(long *) value = played.http_status;
			break;
		case CURLINFO_HTTP_VERSION:
			*(long *) value = flags & HTTP1 ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2_0;
			break;
		case CURLINFO_NUM_CONNECTS:
			*(long *) value = 1;
			break;
		case CURLINFO_SIZE_UPLOAD_T:
			*(curl_off_t *) value = played.sent ? (curl_off_t) (input_left / 16) : 0;
			break;
		case CURLINFO_NAMELOOKUP_TIME_T:
			*(curl_off_t *) value = played.sent;
			break;
		default:
			abort();
	}
	return CURLE_OK;
}

static const char *
EasyStrerror(CURLcode code)
{
	return "its words";
}

static const char *
MultiStrerror(CURLMcode code)
{
	return "its words";
}

static CURLMcode
MultiSetopt(CURLM *multi, CURLMoption option,...)
{
	va_list		arguments;

	va_start(arguments, option);
	switch ((int) option)
	{
		case CURLMOPT_SOCKETFUNCTION:
			played.watch_socket = va_arg(arguments, curl_socket_callback);
			break;
		case CURLMOPT_SOCKETDATA:
			played.socket_arg = va_arg(arguments, void *);
			break;
		case CURLMOPT_TIMERFUNCTION:
			played.set_timer = va_arg(arguments, curl_multi_timer_callback);
			break;
		case CURLMOPT_TIMERDATA:
			played.timer_arg = va_arg(arguments, void *);
			break;
	}
	va_end(arguments);
	return CURLM_OK;
}

static struct curl_slist *
SlistAppend(struct curl_slist *list, const char *text)
{
	struct curl_slist *first = GiveHandle();

	free(first);
	first = malloc(sizeof(struct curl_slist));
	first->data = strdup(text);
	first->next = list;
	return first;
}

static void
SlistFreeAll(struct curl_slist *list)
{
	while (list)
	{
		struct curl_slist *next = list->next;

		free(list->data);
		free(list);
		played.given--;
		list = next;
	}
}

/*
 * A call begins.
 */
static CURLMcode
MultiAddHandle(CURLM *multi, CURL *easy)
{
	uint32		length;

	REQUIRE(!played.added);
	REQUIRE(!(flags & BY_TLS) || (played.verify_peer == 1 && played.verify_host == 2));
	memcpy(&length, played.request + 1, sizeof(length));
	REQUIRE(played.request[0] == 0 && pg_ntoh32(length) == played.request_size - GRPC_FRAME_HEAD);
	played.added = true;
	played.over = played.told = played.sent = false;
	played.http_status = 0;
	played.trailers = false;
	played.body_length = 0;
	if (played.n_performed++ == 0)
		played.first_url = strdup(played.url);
	standin_memory = flags & NO_MEMORY ? 64 : GRPC_MAX_REPLY + 1;
	return CURLM_OK;
}

static CURLMcode
MultiRemoveHandle(CURLM *multi, CURL *easy)
{
	played.added = false;
	return CURLM_OK;
}

static void
EndPlayed(CURLcode result)
{
	played.over = true;
	played.result = result;
}

/*
 * The server's words: a copy of their size, as curl has no NUL at the end.
 */
static void
CallBack(curl_write_callback callback, void *arg, const Record *record)
{
	char	   *copy = malloc(record->length);
	size_t		taken;

	memcpy(copy, record->bytes, record->length);
	standin_may_raise = false;
	taken = callback(copy, 1, record->length, arg);
	standin_may_raise = true;
	free(copy);
	if (taken != record->length)
		EndPlayed(CURLE_WRITE_ERROR);
}

static void
PlaySending(int local_port)
{
	int			answer;

	standin_may_raise = false;
	answer = played.before_sending(played.sending_arg, (char *) "::1", (char *) "::1", 19530, local_port);
	standin_may_raise = true;
	if (answer != CURL_PREREQFUNC_OK)
	{
		EndPlayed(CURLE_ABORTED_BY_CALLBACK);
		return;
	}
	/* the library would send it once more, by itself */
	REQUIRE(!played.sent);
	played.sent = true;
	played.n_sent += strstr(played.url, "/GetVersion") == NULL;
}

/*
 * HTTP/2 has the status first, and nothing after what follows on the body.
 */
static void
PlayHeader(const Record *record)
{
	char		digits[4] = "";

	if (played.http_status < 200 && record->length >= 10 && memcmp(record->bytes, "HTTP/2 ", 7) == 0)
	{
		memcpy(digits, record->bytes + 7, 3);
		played.http_status = strtoul(digits, NULL, 10);
	}
	played.trailers = played.body_length > 0;
	if (played.http_status > 0)
		CallBack(played.take_header, played.header_arg, record);
}

static void
PlayBody(const Record *record)
{
	if (played.http_status == 0 || played.trailers)
		return;
	CallBack(played.take_body, played.body_arg, record);
	if (played.over || played.body_length + record->length > sizeof(played.body))
		return;
	memcpy(played.body + played.body_length, record->bytes, record->length);
	played.body_length += record->length;
}

static void
PlayEnd(const Record *record)
{
	size_t		length = record->length > 1 ? Min(record->length - 1, CURL_ERROR_SIZE - 1) : 0;

	EndPlayed((CURLcode) (record->length > 0 ? record->bytes[0] % CURL_LAST : CURLE_OK));
	if (length > 0 && played.result != CURLE_OK)
	{
		memcpy(played.error_words, record->bytes + 1, length);
		played.error_words[length] = '\0';
	}
}

static CURLMcode
Play(const Record *record)
{
	int			first = record->length > 0 ? record->bytes[0] : 0;
	int			second = record->length > 1 ? record->bytes[1] : 0;
	int			answer = 0;

	if (record->length == 0 && (record->kind == 'h' || record->kind == 'b'))
		return CURLM_OK;
	if (!played.sent && (record->kind == 'h' || record->kind == 'b' || record->kind == 's'))
		PlaySending(record->kind == 's' ? first : 1);
	else if (record->kind == 's')
		PlaySending(first);
	if (played.over)
		return CURLM_OK;
	switch (record->kind)
	{
		case 'h':
			PlayHeader(record);
			break;
		case 'b':
			PlayBody(record);
			break;
		case 'e':
			PlayEnd(record);
			break;
		case 'f':
			standin_may_raise = false;
			answer = played.watch_socket(NULL, first, second % 5, played.socket_arg, NULL);
			standin_may_raise = true;
			break;
		case 't':
			standin_may_raise = false;
			answer = played.set_timer(NULL, (signed char) first, played.timer_arg);
			standin_may_raise = true;
			break;
		case 'x':
			return CURLM_INTERNAL_ERROR;
	}
	return answer == 0 ? CURLM_OK : CURLM_ABORTED_BY_CALLBACK;
}

static CURLMcode
MultiSocketAction(CURLM *multi, curl_socket_t socket, int events, int *running)
{
	CURLMcode	code = CURLM_OK;

	RequireBlockedSignals();
	while (played.added && !played.over && code == CURLM_OK)
	{
		Record		record = NextRecord(input, input_left);

		/* the input's end is the reply's; what is to be waited for is not here yet */
		if (record.kind == 'w')
			break;
		record = TakeRecord();
		if (record.kind == 0)
			EndPlayed(CURLE_OK);
		else
			code = Play(&record);
	}
	*running = played.added && !played.over;
	return code;
}

static CURLMsg *
MultiInfoRead(CURLM *multi, int *left)
{
	*left = 0;
	if (!played.over || played.told)
		return NULL;
	played.told = true;
	played.message.msg = CURLMSG_DONE;
	played.message.data.result = played.result;
	return &played.message;
}

static void *
FindPlayed(const char *name)
{
	static const struct
	{
		const char *name;
		void	   *function;
	}			functions[] = {
		{"curl_global_init", GlobalInit}, {"curl_version_info", VersionInfo}, {"curl_easy_init", GiveHandle},
		{"curl_easy_cleanup", TakeBack}, {"curl_easy_setopt", EasySetopt}, {"curl_easy_getinfo", EasyGetinfo},
		{"curl_easy_strerror", EasyStrerror}, {"curl_multi_init", GiveHandle}, {"curl_multi_cleanup", MultiCleanup},
		{"curl_multi_setopt", MultiSetopt}, {"curl_multi_add_handle", MultiAddHandle},
		{"curl_multi_remove_handle", MultiRemoveHandle}, {"curl_multi_socket_action", MultiSocketAction},
		{"curl_multi_info_read", MultiInfoRead}, {"curl_multi_strerror", MultiStrerror},
		{"curl_slist_append", SlistAppend}, {"curl_slist_free_all", SlistFreeAll},
	};

	for (size_t i = 0; i < lengthof(functions); i++)
		if (strcmp(functions[i].name, name) == 0)
			return functions[i].function;
	abort();
}

/* ---------- what of the server grpc.c has to itself ---------- */

struct Latch *MyLatch = NULL;

static MemoryContextCallback *at_end;
static int	external_fds;

/* The sets that there are, and what the one that was made last waits for. */
static int	wait_sets;
static int	n_watched;
static pgsocket watched[MAX_SOCKETS + 2];

void
MemoryContextRegisterResetCallback(MemoryContext context, MemoryContextCallback *callback)
{
	at_end = callback;
}

bool
AcquireExternalFD(void)
{
	external_fds++;
	return true;
}

void
ReleaseExternalFD(void)
{
	external_fds--;
}

WaitEventSet *
CreateWaitEventSet(MemoryContext context, int size)
{
	REQUIRE(size == lengthof(watched));
	wait_sets++;
	n_watched = 0;
	return (WaitEventSet *) malloc(1);
}

void
FreeWaitEventSet(WaitEventSet *set)
{
	wait_sets--;
	free(set);
}

int
AddWaitEventToSet(WaitEventSet *set, uint32 events, pgsocket fd, struct Latch *latch, void *data)
{
	REQUIRE(events != 0 && n_watched < (int) lengthof(watched));
	watched[n_watched] = fd;
	return n_watched++;
}

/*
 * A record 'w' has what came: its bytes say which socket, and whether that can be
 * read or written; or the latch. None of them: a cancel. What is no record: nothing.
 */
int
WaitEventSetWait(WaitEventSet *set, long timeout, WaitEvent *events, int size, uint32 info)
{
	Record		record = NextRecord(input, input_left);
	int			n = 0;

	REQUIRE(timeout >= 0);
	if (record.kind != 'w')
		return 0;
	record = TakeRecord();
	InterruptPending = record.length == 0;
	for (size_t i = 0; i < record.length && n < Min(size, n_watched); i++)
	{
		int			position = record.bytes[i] / 4 % n_watched;

		events[n].pos = position;
		events[n].fd = watched[position];
		events[n].events = watched[position] != PGINVALID_SOCKET ? (record.bytes[i] % 4) << 1 : position == 0 ? WL_LATCH_SET : 0;
		n += events[n].events != 0;
	}
	return n;
}

void
ResetLatch(struct Latch *latch)
{
}

/* ---------- a call ---------- */

/* How calls ended, for who asks whether the inputs are any good. */
static int	n_answered;
static int	n_failed;
static int	n_raised;

/* of status.c, which is not fuzzed here */
char *
GrpcDefaultHint(int sqlstate)
{
	(void) sqlstate;
	return NULL;
}

static void
PrintEnds(void)
{
	fprintf(stderr, "stat::calls: %d answered, %d failed, %d raised an error\n", n_answered, n_failed, n_raised);
}

static void
RequireReadable(const char *text)
{
	for (; text && *text; text++)
		REQUIRE(*text >= ' ' && *text <= '~');
}

static void
CheckFailure(const GrpcFailure *failure)
{
	REQUIRE(ERRCODE_TO_CATEGORY(failure->sqlstate) != ERRCODE_SUCCESSFUL_COMPLETION);
	REQUIRE(failure->message != NULL && failure->message[0] != '\0');
	RequireReadable(failure->message);
	RequireReadable(failure->detail);
	RequireReadable(failure->hint);
	REQUIRE(failure->sqlstate != ERRCODE_OUT_OF_MEMORY || (flags & NO_MEMORY));
	/* what was sent may have been done, if the server has not said that it was not */
	REQUIRE(played.n_sent == 0 || failure->maybe_done || failure->grpc_status > 0);
}

static void
CheckPlayedReply(const StringInfo reply)
{
	REQUIRE(played.n_sent > 0 && played.http_status == 200 && played.body_length >= GRPC_FRAME_HEAD);
	REQUIRE(reply->len == (int) played.body_length - GRPC_FRAME_HEAD && reply->len <= GRPC_MAX_REPLY);
	REQUIRE(memcmp(reply->data, played.body + GRPC_FRAME_HEAD, reply->len) == 0 && reply->data[reply->len] == '\0');
}

static void
CallOnce(GrpcConnection *c)
{
	StringInfoData request;
	StringInfoData reply;
	GrpcFailure *failure;
	bool		is_idle = c->n_calls > 0 && (flags & IDLE);

	if (is_idle)
		INSTR_TIME_SET_ZERO(c->last_used);
	played.n_performed = played.n_sent = 0;
	GrpcBeginRequest(&request);
	appendStringInfoString(&request, "a message");
	failure = GrpcCall(c, "Insert", &request, flags & ONCE ? GRPC_ONCE : GRPC_REPEATABLE, &reply);
	if (failure)
	{
		CheckFailure(failure);
		n_failed++;
	}
	else
	{
		CheckPlayedReply(&reply);
		pfree(reply.data);
		n_answered++;
	}
	REQUIRE(c->reply.n_words >= 0 && c->reply.n_words < MAX_WORDS);
	REQUIRE(played.n_sent <= (flags & ONCE ? 1 : 2));
	REQUIRE((strstr(played.first_url, "/GetVersion") != NULL) == (is_idle && (flags & ONCE)));
	free(unconstify(char *, played.first_url));
	played.first_url = NULL;
}

/*
 * The call, and what is left when it was cancelled: no connection.
 */
static void
TryCallOnce(GrpcConnection *c)
{
	PG_TRY();
	{
		CallOnce(c);
	}
	PG_CATCH();
	{
		n_raised++;
		REQUIRE(c->easy == NULL && c->multi == NULL && external_fds == 0);
		free(unconstify(char *, played.first_url));
		played.first_url = NULL;
	}
	PG_END_TRY();
	REQUIRE(standin_may_raise && wait_sets == 0 && !played.added);
	REQUIRE(external_fds == (c->easy != NULL));
}

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	GrpcEndpoint endpoint = {.host = (char *) "::1",.port = 19530,.connect_timeout = 1000};
	GrpcConnection *c;

	if (size == 0)
		return 0;
	flags = data[0];
	input = data + 1;
	input_left = size - 1;
	endpoint.tls = flags & BY_TLS;
	endpoint.request_timeout = flags & NO_TIME ? 0 : PG_INT32_MAX;
	endpoint.authorization = endpoint.database = endpoint.server_name = (char *) "a.b";
	if (!curl.loaded)
		atexit(PrintEnds);
	GrpcCheck(LoadLibrary());
	curl.reuse_defect = flags & REUSE_DEFECT;
	c = GrpcOpen(&endpoint, CurrentMemoryContext);
	for (int i = 0; i < MAX_CALLS && (i == 0 || input_left > 0); i++)
		TryCallOnce(c);
	GrpcClose(c);
	at_end->func(at_end->arg);
	REQUIRE(external_fds == 0 && played.given == 0);
	ForgetMemory();
	return 0;
}

/* ---------- damage that is worth a try ---------- */

size_t		LLVMFuzzerMutate(uint8 *data, size_t size, size_t max_size);
size_t		LLVMFuzzerCustomMutator(uint8 *data, size_t size, size_t max_size, unsigned int seed);

#define MAX_MUTATED 6000

static void
WriteRecord(StringInfo out, uint8 kind, const void *bytes, size_t length)
{
	appendStringInfoChar(out, (char) kind);
	appendStringInfoChar(out, (char) (length & 0xff));
	appendStringInfoChar(out, (char) (length >> 8));
	appendBinaryStringInfo(out, bytes, (int) length);
}

static void
WriteMutated(StringInfo out, const Record *record, unsigned int *seed)
{
	uint8		bytes[MAX_MUTATED];
	size_t		length = Min(record->length, sizeof(bytes));
	size_t		cut = length > 0 ? rand_r(seed) % length : 0;

	memcpy(bytes, record->bytes, length);
	switch (rand_r(seed) % 8)
	{
		case 0:					/* lost */
			return;
		case 1:					/* twice */
			WriteRecord(out, record->kind, bytes, length);
			WriteRecord(out, record->kind, bytes, length);
			return;
		case 2:					/* in two parts */
			WriteRecord(out, record->kind, bytes, cut);
			WriteRecord(out, record->kind, bytes + cut, length - cut);
			return;
		case 3:					/* something comes before it */
			WriteRecord(out, (uint8) "hbsweftx"[rand_r(seed) % 8], bytes, rand_r(seed) % 2 ? cut : 0);
			WriteRecord(out, record->kind, bytes, length);
			return;
		default:
			length = LLVMFuzzerMutate(bytes, length, sizeof(bytes));
			WriteRecord(out, record->kind, bytes, length);
	}
}

/*
 * One record is changed, and the others stay where they are.
 */
size_t
LLVMFuzzerCustomMutator(uint8 *data, size_t size, size_t max_size, unsigned int seed)
{
	StringInfoData out;
	Record		record;
	int			n = 0;
	int			chosen;

	for (size_t at = 1; at < size && (record = NextRecord(data + at, size - at)).kind != 0; at += 3 + record.length)
		n++;
	if (n == 0 || rand_r(&seed) % 16 == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	chosen = rand_r(&seed) % n;
	initStringInfo(&out);
	appendStringInfoChar(&out, (char) (data[0] ^ (rand_r(&seed) % 16 ? 0 : 1 << rand_r(&seed) % 7)));
	for (size_t at = 1; n > 0 && at < size; n--, at += 3 + record.length)
	{
		record = NextRecord(data + at, size - at);
		if (chosen-- == 0)
			WriteMutated(&out, &record, &seed);
		else
			WriteRecord(&out, record.kind, record.bytes, record.length);
	}
	size = Min((size_t) out.len, max_size);
	memcpy(data, out.data, size);
	ForgetMemory();
	return size;
}
