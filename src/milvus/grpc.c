/*
 * grpc.c
 *		Unary gRPC calls over HTTP/2, by libcurl. The only file that knows curl.
 *
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: a POST of one
 * frame (a byte 0, the length as uint32 big-endian, the message), a reply of one
 * frame, and the result in the trailers grpc-status and grpc-message.
 *
 * A call waits on curl's sockets together with the process latch, so that a
 * cancel, a timeout, a shutdown or another session's DROP DATABASE are served at
 * once in every phase. Whatever is raised meanwhile closes the connection: what
 * is left of a call on it belongs to nobody.
 *
 * Curl's callbacks raise nothing: they note what is wrong in the call and make
 * curl give up. Curl starts a thread to resolve a name, and is therefore never
 * entered but with all signals blocked, which threads inherit; it is told not to
 * wait for that thread.
 *
 * libcurl is not linked but loaded at the first call: with all that it brings
 * along that takes 5 ms, and who has no Milvus need not have it.
 */
#include "postgres.h"

#include <ctype.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_bswap.h"
#include "portability/instr_time.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "milvus/grpc.h"
#include "milvus_brain.h"

/* A name that resolves to both families is tried twice at once; one for the resolver. */
#define MAX_SOCKETS 8

/* How long what the server sends is waited for, in ms, before curl may try to write again. */
#define LONGEST_STALL 20L

/*
 * In ms: how long nothing may come before curl is asked once more. Versions 8 have
 * by then read what ends the call (bytes that are no HTTP/2), and have not said so.
 */
#define LONGEST_SILENCE 1000L

/* Of what the server says in words, and of a page that is no gRPC. */
#define MAX_WORDS 2048

/*
 * Servers ping a connection after a minute and close it ten seconds later, since
 * nobody answers while we are idle. Curl sees a closed one, but not always in
 * time: what must not be sent twice is preceded by a call that may.
 */
#define IDLE_SECONDS 30.0

/* ---------- the library ---------- */

static const char *const library_names[] = {
#ifdef __APPLE__
	"libcurl.4.dylib",
#else
	"libcurl.so.4",
	"libcurl-gnutls.so.4",
#endif
};

static struct
{
	bool		loaded;
	bool		reuse_defect;	/* see ChooseHttpVersion() */
	CURLcode	(*global_init) (long flags);
	curl_version_info_data *(*version_info) (CURLversion version);
	CURL	   *(*easy_init) (void);
	void		(*easy_cleanup) (CURL *easy);
	CURLcode	(*easy_setopt) (CURL *easy, CURLoption option,...);
	CURLcode	(*easy_getinfo) (CURL *easy, CURLINFO info,...);
	const char *(*easy_strerror) (CURLcode code);
	CURLM	   *(*multi_init) (void);
	CURLMcode	(*multi_cleanup) (CURLM *multi);
	CURLMcode	(*multi_setopt) (CURLM *multi, CURLMoption option,...);
	CURLMcode	(*multi_add_handle) (CURLM *multi, CURL *easy);
	CURLMcode	(*multi_remove_handle) (CURLM *multi, CURL *easy);
	CURLMcode	(*multi_socket_action) (CURLM *multi, curl_socket_t socket, int events, int *running);
	CURLMsg    *(*multi_info_read) (CURLM *multi, int *left);
	const char *(*multi_strerror) (CURLMcode code);
	struct curl_slist *(*slist_append) (struct curl_slist *list, const char *text);
	void		(*slist_free_all) (struct curl_slist *list);
}			curl;

static const struct
{
	const char *name;
	void	  **function;
}			library_functions[] = {
	{"curl_global_init", (void **) &curl.global_init},
	{"curl_version_info", (void **) &curl.version_info},
	{"curl_easy_init", (void **) &curl.easy_init},
	{"curl_easy_cleanup", (void **) &curl.easy_cleanup},
	{"curl_easy_setopt", (void **) &curl.easy_setopt},
	{"curl_easy_getinfo", (void **) &curl.easy_getinfo},
	{"curl_easy_strerror", (void **) &curl.easy_strerror},
	{"curl_multi_init", (void **) &curl.multi_init},
	{"curl_multi_cleanup", (void **) &curl.multi_cleanup},
	{"curl_multi_setopt", (void **) &curl.multi_setopt},
	{"curl_multi_add_handle", (void **) &curl.multi_add_handle},
	{"curl_multi_remove_handle", (void **) &curl.multi_remove_handle},
	{"curl_multi_socket_action", (void **) &curl.multi_socket_action},
	{"curl_multi_info_read", (void **) &curl.multi_info_read},
	{"curl_multi_strerror", (void **) &curl.multi_strerror},
	{"curl_slist_append", (void **) &curl.slist_append},
	{"curl_slist_free_all", (void **) &curl.slist_free_all},
};

/* ---------- a connection ---------- */

typedef struct Socket
{
	curl_socket_t fd;
	int			what;			/* CURL_POLL_IN, CURL_POLL_OUT, CURL_POLL_INOUT */
} Socket;

/* What the callbacks of a call note. */
typedef struct Reply
{
	MemoryContext context;
	uint8		head[GRPC_FRAME_HEAD];
	int			n_head;
	char	   *message;		/* of length bytes, and a NUL */
	Size		length;
	Size		n_read;
	bool		too_large;
	bool		out_of_memory;
	bool		compressed;
	bool		overlong;		/* more came than the frame's head says */
	bool		is_grpc;		/* by its content-type */
	int			grpc_status;	/* -1: none seen */
	char		words[MAX_WORDS];	/* grpc-message, or the begin of what is no gRPC */
	int			n_words;
} Reply;

struct GrpcConnection
{
	MemoryContext context;
	MemoryContextCallback at_end;
	GrpcEndpoint endpoint;
	char	   *name;			/* host:port, for messages */
	char	   *url;			/* https://host:port */

	/* curl's; NULL while there is no connection */
	CURL	   *easy;
	CURLM	   *multi;
	struct curl_slist *headers;
	struct curl_slist *connect_to;
	char		curl_words[CURL_ERROR_SIZE];

	int64		n_calls;		/* that were answered on this handle */
	int64		n_connects;		/* since GrpcOpen() */
	bool		answered;		/* at least one call, since GrpcOpen() */
	int			local_port;		/* of the connection that was used last */
	instr_time	last_used;

	/* of the call that runs */
	Socket		sockets[MAX_SOCKETS];
	int			n_sockets;
	bool		sockets_changed;
	bool		write_stalled;	/* what can be written is not to be waited for */
	bool		has_timer;		/* curl wants to be called at timer, at the latest */
	instr_time	timer_set;
	long		timer;			/* ms after timer_set */
	bool		sent;			/* or begun to be, at sent_at */
	instr_time	sent_at;
	bool		refused;		/* curl was not let send it */
	bool		timed_out;
	Reply		reply;
};

/* ---------- failures ---------- */

static GrpcFailure *
Failure(int sqlstate, char *message, const char *detail, const char *hint)
{
	GrpcFailure *failure = palloc0(sizeof(GrpcFailure));

	failure->sqlstate = sqlstate;
	failure->grpc_status = -1;
	failure->message = message;
	failure->detail = detail && detail[0] ? pstrdup(detail) : NULL;
	failure->hint = hint ? pstrdup(hint) : GrpcDefaultHint(sqlstate);
	return failure;
}

/*
 * Raise a failure as an error.
 */
void
GrpcRaise(const GrpcFailure *failure)
{
	ereport(ERROR,
			(errcode(failure->sqlstate),
			 errmsg_internal("%s", failure->message),
			 failure->detail ? errdetail_internal("%s", failure->detail) : 0,
			 failure->hint ? errhint("%s", failure->hint) : 0));
}

/*
 * The same, if there is one.
 */
void
GrpcCheck(const GrpcFailure *failure)
{
	if (failure)
		GrpcRaise(failure);
}

/*
 * Words from outside, as far as they can be shown.
 */
static char *
Readable(const char *words, int length)
{
	char	   *text = pnstrdup(words, length);

	for (char *c = text; *c; c++)
		if (iscntrl((unsigned char) *c))
			*c = ' ';
	/* servers speak English; what is not ASCII may be broken, or of another encoding */
	for (unsigned char *c = (unsigned char *) text; *c; c++)
		if (*c >= 0x80)
			*c = '?';
	return text;
}

/* ---------- signals ---------- */

/*
 * All of them, for a thread that curl may start; BlockSig lets some through, among
 * them SIGQUIT, whose handler is nothing for another thread than the session's.
 */
static void
BlockSignals(sigset_t *old)
{
	sigset_t	all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, old);
}

/* ---------- loading the library ---------- */

static void *
OpenLibrary(void)
{
	void	   *library = NULL;

	for (size_t i = 0; i < lengthof(library_names) && library == NULL; i++)
		library = dlopen(library_names[i], RTLD_NOW | RTLD_LOCAL);
	return library;
}

/*
 * What does not do as it should: a version without HTTP/2, and a function that is
 * not there.
 */
static GrpcFailure *
CheckLibrary(const curl_version_info_data *info)
{
	if (info->features & CURL_VERSION_HTTP2)
		return NULL;
	return Failure(ERRCODE_FEATURE_NOT_SUPPORTED,
				   psprintf(_("libcurl %s has no HTTP/2, which Milvus needs"), info->version), NULL,
				   _("Install a libcurl that was built with nghttp2."));
}

static GrpcFailure *
TryLoadLibrary(void)
{
	void	   *library = OpenLibrary();
	const curl_version_info_data *info;
	GrpcFailure *failure;

	if (library == NULL)
		return Failure(ERRCODE_FEATURE_NOT_SUPPORTED, pstrdup(_("libcurl, which Milvus needs, is not there")),
					   dlerror(), _("Install it; on Debian it is the package libcurl4."));
	for (size_t i = 0; i < lengthof(library_functions); i++)
	{
		*library_functions[i].function = dlsym(library, library_functions[i].name);
		if (*library_functions[i].function == NULL)
			return Failure(ERRCODE_FEATURE_NOT_SUPPORTED,
						   psprintf(_("libcurl has no function %s()"), library_functions[i].name), NULL,
						   _("milvus_brain needs libcurl 7.87 or newer."));
	}
	if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return Failure(ERRCODE_SYSTEM_ERROR, pstrdup(_("libcurl could not be initialised")), NULL, NULL);
	info = curl.version_info(CURLVERSION_NOW);
	if ((failure = CheckLibrary(info)) != NULL)
		return failure;
	/* CURLOPT_QUICK_EXIT */
	if (info->version_num < 0x075700)
		return Failure(ERRCODE_FEATURE_NOT_SUPPORTED,
					   psprintf(_("libcurl %s is too old"), info->version), NULL,
					   _("milvus_brain needs libcurl 7.87 or newer."));
	curl.reuse_defect = info->version_num == 0x075800 || info->version_num == 0x075801;
	/* curl #17122; grpc-go does without the header, C++ servers refuse */
	if (info->version_num >= 0x080c00 && info->version_num < 0x080e00)
		ereport(WARNING,
				(errmsg("libcurl %s drops a header that some Milvus servers insist on", info->version),
				 errhint("Use libcurl 8.14 or newer.")));
	curl.loaded = true;
	return NULL;
}

static GrpcFailure *
LoadLibrary(void)
{
	sigset_t	old;
	GrpcFailure *failure;

	if (curl.loaded)
		return NULL;
	BlockSignals(&old);
	failure = TryLoadLibrary();
	sigprocmask(SIG_SETMASK, &old, NULL);
	return failure;
}

/* ---------- callbacks: nothing here may raise ---------- */

/*
 * The begin of a frame: its message's length. False when it cannot be taken.
 */
static bool
BeginMessage(Reply *reply)
{
	uint32		length;

	memcpy(&length, reply->head + 1, sizeof(length));
	reply->length = pg_ntoh32(length);
	reply->compressed = reply->head[0] != 0;
	reply->too_large = reply->length > GRPC_MAX_REPLY;
	if (reply->compressed || reply->too_large)
		return false;
	reply->message = MemoryContextAllocExtended(reply->context, reply->length + 1,
												MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	reply->out_of_memory = reply->message == NULL;
	if (reply->out_of_memory)
		return false;
	reply->message[reply->length] = '\0';
	return true;
}

static size_t
TakeBody(char *bytes, size_t size, size_t n, void *arg)
{
	Reply	   *reply = arg;
	size_t		given = size * n;
	size_t		left = given;

	if (!reply->is_grpc)
	{
		int			part = (int) Min(left, (size_t) (MAX_WORDS - 1 - reply->n_words));

		memcpy(reply->words + reply->n_words, bytes, part);
		reply->n_words += part;
		return reply->n_words < MAX_WORDS - 1 ? given : 0;
	}
	while (left > 0 && reply->n_head < GRPC_FRAME_HEAD)
	{
		reply->head[reply->n_head++] = (uint8) *bytes++;
		left--;
		if (reply->n_head == GRPC_FRAME_HEAD && !BeginMessage(reply))
			return 0;
	}
	if (left == 0)
		return given;
	reply->overlong = left > reply->length - reply->n_read;
	if (reply->overlong)
		return 0;
	memcpy(reply->message + reply->n_read, bytes, left);
	reply->n_read += left;
	return given;
}

static int
HexDigit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * The value of a header's line when it has that name, without the blanks around
 * it; else NULL.
 */
static const char *
HeaderValue(const char *line, size_t length, const char *name, size_t *value_length)
{
	size_t		name_length = strlen(name);

	if (length <= name_length || line[name_length] != ':' || pg_strncasecmp(line, name, name_length) != 0)
		return NULL;
	line += name_length + 1;
	length -= name_length + 1;
	while (length > 0 && (*line == ' ' || *line == '\t'))
		line++, length--;
	while (length > 0 && (line[length - 1] == '\r' || line[length - 1] == '\n' || line[length - 1] == ' '))
		length--;
	*value_length = length;
	return line;
}

/*
 * grpc-message is percent-encoded.
 */
static void
TakeWords(Reply *reply, const char *value, size_t length)
{
	reply->n_words = 0;
	for (size_t i = 0; i < length && reply->n_words < MAX_WORDS - 1; i++)
	{
		char		c = value[i];

		if (c == '%' && i + 2 < length && HexDigit(value[i + 1]) >= 0 && HexDigit(value[i + 2]) >= 0)
		{
			c = (char) (HexDigit(value[i + 1]) * 16 + HexDigit(value[i + 2]));
			i += 2;
		}
		reply->words[reply->n_words++] = c ? c : ' ';
	}
}

static size_t
TakeHeader(char *line, size_t size, size_t n, void *arg)
{
	Reply	   *reply = arg;
	size_t		length = size * n;
	const char *value;
	size_t		value_length;

	if ((value = HeaderValue(line, length, "content-type", &value_length)) != NULL)
		reply->is_grpc = value_length >= 16 && pg_strncasecmp(value, "application/grpc", 16) == 0;
	else if ((value = HeaderValue(line, length, "grpc-status", &value_length)) != NULL)
	{
		int			status = 0;

		/* the defined ones have two digits at most; what is none is "unknown" */
		for (size_t i = 0; i < value_length && i < 3; i++)
			status = value[i] >= '0' && value[i] <= '9' ? status * 10 + (value[i] - '0') : 2;
		reply->grpc_status = value_length > 0 ? status : 2;
	}
	else if ((value = HeaderValue(line, length, "grpc-message", &value_length)) != NULL)
		TakeWords(reply, value, value_length);
	return length;
}

/*
 * Curl's: a socket is to be waited for, or no more.
 */
static int
WatchSocket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	GrpcConnection *c = arg;
	int			i = 0;

	(void) easy;
	(void) of_socket;
	c->sockets_changed = true;
	while (i < c->n_sockets && c->sockets[i].fd != fd)
		i++;
	if (what == CURL_POLL_REMOVE || what == CURL_POLL_NONE)
	{
		if (i < c->n_sockets)
			c->sockets[i] = c->sockets[--c->n_sockets];
		return 0;
	}
	if (i == MAX_SOCKETS)
		return -1;				/* which ends the call */
	c->sockets[i].fd = fd;
	c->sockets[i].what = what;
	c->n_sockets = Max(c->n_sockets, i + 1);
	return 0;
}

static int
SetTimer(CURLM *multi, long timeout, void *arg)
{
	GrpcConnection *c = arg;

	(void) multi;
	c->has_timer = timeout >= 0;
	c->timer = timeout;
	INSTR_TIME_SET_CURRENT(c->timer_set);
	return 0;
}

/*
 * Curl's: it has a connection, and is about to send the request. It would send it
 * once more when a kept connection breaks before anything comes back, though the
 * server may have done it; whether to repeat is the caller's decision. And libcurl
 * 7.88, when it finds a kept h2c connection closed, makes one that speaks HTTP/1:
 * nothing is to be sent there.
 */
static int
BeforeSending(void *arg, char *address, char *local_address, int port, int local_port)
{
	GrpcConnection *c = arg;
	bool		is_http1 = curl.reuse_defect && !c->endpoint.tls && c->n_calls > 0 &&
		local_port != c->local_port;

	(void) address;
	(void) local_address;
	(void) port;
	c->refused = c->sent || is_http1;
	if (c->refused)
		return CURL_PREREQFUNC_ABORT;
	c->sent = true;
	c->local_port = local_port;
	INSTR_TIME_SET_CURRENT(c->sent_at);
	return CURL_PREREQFUNC_OK;
}

/* ---------- handles ---------- */

/*
 * End the connection to the server, if there is one.
 */
static void
CloseHandles(GrpcConnection *c)
{
	sigset_t	old;

	if (c->easy == NULL && c->multi == NULL)
		return;
	BlockSignals(&old);
	if (c->easy && c->multi)
		(void) curl.multi_remove_handle(c->multi, c->easy);
	if (c->easy)
		curl.easy_cleanup(c->easy);
	if (c->multi)
		(void) curl.multi_cleanup(c->multi);
	sigprocmask(SIG_SETMASK, &old, NULL);
	c->easy = NULL;
	c->multi = NULL;
	c->n_sockets = 0;
	c->n_calls = 0;
	ReleaseExternalFD();
}

static bool
AddHeader(GrpcConnection *c, const char *line)
{
	struct curl_slist *list = curl.slist_append(c->headers, line);

	if (list == NULL)
		return false;
	c->headers = list;
	return true;
}

static bool
MakeHeaders(GrpcConnection *c)
{
	bool		ok;
	char	   *timeout = psprintf("grpc-timeout: %dm", Min(c->endpoint.request_timeout, 99999999));
	char	   *agent = psprintf("user-agent: milvus_brain/%s", BRAIN_VERSION);

	if (c->headers)
		return true;
	/* servers route by exactly this content-type; bodies are not to wait for 100-continue */
	ok = AddHeader(c, "content-type: application/grpc") && AddHeader(c, "te: trailers") &&
		AddHeader(c, "Expect:") && AddHeader(c, "Accept:") && AddHeader(c, timeout) &&
		AddHeader(c, agent);
	if (ok && c->endpoint.authorization)
	{
		char	   *line = psprintf("authorization: %s", c->endpoint.authorization);

		ok = AddHeader(c, line);
		explicit_bzero(line, strlen(line));
	}
	if (ok && c->endpoint.database)
		ok = AddHeader(c, psprintf("dbname: %s", c->endpoint.database));
	if (ok && c->endpoint.server_name)
	{
		c->connect_to = curl.slist_append(NULL, psprintf("%s:%d:%s", c->endpoint.server_name,
														 c->endpoint.port, c->name));
		ok = c->connect_to != NULL;
	}
	/* the next call tries again, with all of them */
	if (!ok)
	{
		curl.slist_free_all(c->headers);
		c->headers = NULL;
	}
	return ok;
}

/* Each option by its name in the error, as libcurl's own are. */
#define SET(option, value) \
	do { \
		CURLcode	code_ = curl.easy_setopt(c->easy, option, value); \
		if (code_ != CURLE_OK) \
			return Failure(ERRCODE_SYSTEM_ERROR, \
						   psprintf(_("libcurl refuses the option %s"), #option), \
						   curl.easy_strerror(code_), NULL); \
	} while (0)

static GrpcFailure *
SetTlsOptions(GrpcConnection *c)
{
	const GrpcEndpoint *e = &c->endpoint;

	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	if (e->ca_file)
		SET(CURLOPT_CAINFO, e->ca_file);
	if (e->cert_file)
		SET(CURLOPT_SSLCERT, e->cert_file);
	if (e->key_file)
		SET(CURLOPT_SSLKEY, e->key_file);
	if (c->connect_to)
		SET(CURLOPT_CONNECT_TO, c->connect_to);
	return NULL;
}

static GrpcFailure *
SetOptions(GrpcConnection *c)
{
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_PROTOCOLS_STR, c->endpoint.tls ? "https" : "http");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");		/* nor what the environment names */
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_HTTPHEADER, c->headers);
	SET(CURLOPT_WRITEFUNCTION, TakeBody);
	SET(CURLOPT_WRITEDATA, &c->reply);
	SET(CURLOPT_HEADERFUNCTION, TakeHeader);
	SET(CURLOPT_HEADERDATA, &c->reply);
	SET(CURLOPT_PREREQFUNCTION, BeforeSending);
	SET(CURLOPT_PREREQDATA, c);
	SET(CURLOPT_ERRORBUFFER, c->curl_words);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) c->endpoint.connect_timeout);
	SET(CURLOPT_BUFFERSIZE, 256L * 1024);
	return c->endpoint.tls ? SetTlsOptions(c) : NULL;
}

static GrpcFailure *
OpenHandles(GrpcConnection *c)
{
	GrpcFailure *failure;

	if (!MakeHeaders(c))
		return Failure(ERRCODE_OUT_OF_MEMORY, pstrdup(_("out of memory")), NULL, NULL);
	if (!AcquireExternalFD())
		return Failure(ERRCODE_INSUFFICIENT_RESOURCES,
					   psprintf(_("could not connect to Milvus server \"%s\": too many open files"), c->name),
					   NULL, _("Raise max_files_per_process, or the limits of the operating system."));
	c->easy = curl.easy_init();
	c->multi = curl.multi_init();
	if (c->easy == NULL || c->multi == NULL)
	{
		if (c->easy == NULL && c->multi == NULL)
			ReleaseExternalFD();
		CloseHandles(c);
		return Failure(ERRCODE_OUT_OF_MEMORY, pstrdup(_("out of memory")), NULL, NULL);
	}
	(void) curl.multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, WatchSocket);
	(void) curl.multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	(void) curl.multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, SetTimer);
	(void) curl.multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	failure = SetOptions(c);
	if (failure)
		CloseHandles(c);			/* none that is set up by half is used */
	return failure;
}

/* ---------- opening and closing ---------- */

static char *
CopyText(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

static void
EndConnection(void *arg)
{
	GrpcConnection *c = arg;

	CloseHandles(c);
	if (c->headers)
		curl.slist_free_all(c->headers);
	if (c->connect_to)
		curl.slist_free_all(c->connect_to);
	if (c->endpoint.authorization)
		explicit_bzero(c->endpoint.authorization, strlen(c->endpoint.authorization));
}

/*
 * A connection to an endpoint, made at its first call. It lives in a memory
 * context of its own below parent, and ends with that.
 */
GrpcConnection *
GrpcOpen(const GrpcEndpoint *endpoint, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "Milvus connection", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	GrpcConnection *c = palloc0(sizeof(GrpcConnection));
	bool		is_ipv6 = strchr(endpoint->host, ':') != NULL;
	const char *url_host;

	c->context = context;
	c->endpoint = *endpoint;
	c->endpoint.host = pstrdup(endpoint->host);
	c->endpoint.authorization = CopyText(endpoint->authorization);
	c->endpoint.database = CopyText(endpoint->database);
	c->endpoint.server_name = endpoint->tls ? CopyText(endpoint->server_name) : NULL;
	c->endpoint.ca_file = CopyText(endpoint->ca_file);
	c->endpoint.cert_file = CopyText(endpoint->cert_file);
	c->endpoint.key_file = CopyText(endpoint->key_file);
	c->name = psprintf(is_ipv6 ? "[%s]:%d" : "%s:%d", endpoint->host, endpoint->port);
	url_host = c->endpoint.server_name ? psprintf("%s:%d", c->endpoint.server_name, endpoint->port) : c->name;
	c->url = psprintf("%s://%s/milvus.proto.milvus.MilvusService", endpoint->tls ? "https" : "http", url_host);
	c->at_end.func = EndConnection;
	c->at_end.arg = c;
	MemoryContextRegisterResetCallback(context, &c->at_end);
	MemoryContextSwitchTo(old);
	return c;
}

void
GrpcClose(GrpcConnection *connection)
{
	MemoryContextDelete(connection->context);
}

const GrpcEndpoint *
GrpcEndpointOf(const GrpcConnection *connection)
{
	return &connection->endpoint;
}

/*
 * host:port, for messages.
 */
const char *
GrpcNameOf(const GrpcConnection *connection)
{
	return connection->name;
}

/*
 * How often the server was connected to.
 */
int64
GrpcConnectsOf(const GrpcConnection *connection)
{
	return connection->n_connects;
}

/* ---------- waiting ---------- */

static uint32
WaitEventMilvus(void)
{
#if PG_VERSION_NUM >= 170000
	static uint32 event = 0;

	if (event == 0)
		event = WaitEventExtensionNew("MilvusRequest");
	return event;
#else
	return PG_WAIT_EXTENSION;
#endif
}

static WaitEventSet *
WatchSockets(GrpcConnection *c)
{
#if PG_VERSION_NUM >= 170000
	WaitEventSet *set = CreateWaitEventSet(NULL, MAX_SOCKETS + 2);
#else
	WaitEventSet *set = CreateWaitEventSet(c->context, MAX_SOCKETS + 2);
#endif

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < c->n_sockets; i++)
	{
		int			events = 0;

		if (c->sockets[i].what & CURL_POLL_IN)
			events |= WL_SOCKET_READABLE;
		if ((c->sockets[i].what & CURL_POLL_OUT) && !(c->write_stalled && events))
			events |= WL_SOCKET_WRITEABLE;
		AddWaitEventToSet(set, events, c->sockets[i].fd, NULL, NULL);
	}
	c->sockets_changed = false;
	return set;
}

static long
MillisecondsSince(instr_time then)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, then);
	return (long) INSTR_TIME_GET_MILLISEC(now);
}

/*
 * How long there is to wait, in ms. Curl knows only the time for connecting.
 */
static long
TimeToWait(const GrpcConnection *c)
{
	long		wait = c->write_stalled ? LONGEST_STALL : LONGEST_SILENCE;

	if (c->has_timer)
		wait = Min(wait, c->timer - MillisecondsSince(c->timer_set));
	if (c->sent)
		wait = Min(wait, c->endpoint.request_timeout - MillisecondsSince(c->sent_at));
	return Max(0, wait);
}

static curl_off_t
BytesSent(const GrpcConnection *c)
{
	curl_off_t	sent = 0;

	(void) curl.easy_getinfo(c->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	return sent;
}

/*
 * Let curl do what there is to do; running becomes 0 when the call is over.
 */
static void
Act(GrpcConnection *c, curl_socket_t fd, int events, int *running)
{
	sigset_t	old;
	CURLMcode	code;

	BlockSignals(&old);
	code = curl.multi_socket_action(c->multi, fd, events, running);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (code != CURLM_OK)
		elog(ERROR, "libcurl: %s", curl.multi_strerror(code));
}

/*
 * Curl wants to write even while the server's window is closed (HTTP/2's flow
 * control), and the socket can be written to: waiting for that would spin. When
 * nothing was sent though it could be written, only what comes is waited for: that
 * opens the window.
 */
static void
NoteStall(GrpcConnection *c, bool only_writeable, curl_off_t sent_before)
{
	bool		stalled = only_writeable && c->sent && BytesSent(c) == sent_before;

	if (stalled != c->write_stalled)
		c->sockets_changed = true;
	c->write_stalled = stalled;
}

static void
ActOnEvents(GrpcConnection *c, const WaitEvent *events, int n, int *running)
{
	bool		acted = false;
	bool		only_writeable = true;
	curl_off_t	sent_before = BytesSent(c);

	for (int i = 0; i < n; i++)
	{
		int			ready = 0;

		if (events[i].events & WL_SOCKET_READABLE)
			ready |= CURL_CSELECT_IN;
		if (events[i].events & WL_SOCKET_WRITEABLE)
			ready |= CURL_CSELECT_OUT;
		if (ready == 0)
			continue;
		Act(c, events[i].fd, ready, running);
		acted = true;
		only_writeable &= ready == CURL_CSELECT_OUT;
	}
	if (!acted)
		Act(c, CURL_SOCKET_TIMEOUT, 0, running);
	/* what is left when nothing came, nor a timer of curl's */
	if (n == 0 && *running > 0 && c->n_sockets > 0)
		Act(c, c->sockets[0].fd, 0, running);
	NoteStall(c, acted && only_writeable, sent_before);
}

/*
 * Wait until the call that was started is over. *set is there to be freed by the
 * caller, whatever happens.
 */
static void
WaitForCall(GrpcConnection *c, WaitEventSet *volatile *set)
{
	WaitEvent	events[MAX_SOCKETS + 2];
	int			running = 1;
	int			n = 0;

	c->has_timer = false;
	c->write_stalled = false;
	Act(c, CURL_SOCKET_TIMEOUT, 0, &running);
	while (running > 0)
	{
		if (c->sent && MillisecondsSince(c->sent_at) >= c->endpoint.request_timeout)
		{
			c->timed_out = true;
			return;
		}
		if (c->sockets_changed || *set == NULL)
		{
			if (*set)
				FreeWaitEventSet(*set);
			*set = NULL;
			*set = WatchSockets(c);
		}
		CHECK_FOR_INTERRUPTS();
		n = WaitEventSetWait(*set, TimeToWait(c), events, lengthof(events), WaitEventMilvus());
		for (int i = 0; i < n; i++)
			if (events[i].events & WL_LATCH_SET)
				ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		/* a latch alone is no news for curl */
		if (n == 1 && (events[0].events & WL_LATCH_SET))
			continue;
		ActOnEvents(c, events, n, &running);
	}
}

/* ---------- a call ---------- */

/*
 * libcurl 7.88 fails at each request after the first on a connection that began
 * with prior knowledge (curl #10634); asked for "HTTP/2 over TLS" it goes on with
 * the open connection as it is.
 */
static long
ChooseHttpVersion(const GrpcConnection *c)
{
	if (c->endpoint.tls || (curl.reuse_defect && c->n_calls > 0))
		return CURL_HTTP_VERSION_2TLS;
	return CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
}

static GrpcFailure *
SetRequest(GrpcConnection *c, const char *method, StringInfo request)
{
	uint32		length = pg_hton32((uint32) (request->len - GRPC_FRAME_HEAD));
	char		url[512];

	request->data[0] = 0;
	memcpy(request->data + 1, &length, sizeof(length));
	snprintf(url, sizeof(url), "%s/%s", c->url, method);
	SET(CURLOPT_URL, url);
	SET(CURLOPT_POSTFIELDS, request->data);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->len);
	SET(CURLOPT_HTTP_VERSION, ChooseHttpVersion(c));
	return NULL;
}

static void
BeginReply(GrpcConnection *c, MemoryContext context)
{
	memset(&c->reply, 0, offsetof(Reply, words));
	c->reply.context = context;
	c->reply.grpc_status = -1;
	c->reply.n_words = 0;
	c->curl_words[0] = '\0';
	c->sent = c->refused = c->timed_out = false;
}

/*
 * Send a request and take its reply, once.
 */
static void
Perform(GrpcConnection *c)
{
	WaitEventSet *volatile set = NULL;

	PG_TRY();
	{
		CURLMcode	added = curl.multi_add_handle(c->multi, c->easy);

		if (added != CURLM_OK)
			elog(ERROR, "libcurl: %s", curl.multi_strerror(added));
		WaitForCall(c, &set);
	}
	PG_CATCH();
	{
		if (set)
			FreeWaitEventSet(set);
		CloseHandles(c);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (set)
		FreeWaitEventSet(set);
}

/*
 * What curl says of the call that is over.
 */
static CURLcode
ResultOfCall(GrpcConnection *c)
{
	CURLMsg    *message;
	CURLcode	code = CURLE_FAILED_INIT;
	int			left;
	long		connects = 0;

	while ((message = curl.multi_info_read(c->multi, &left)) != NULL)
		if (message->msg == CURLMSG_DONE)
			code = message->data.result;
	(void) curl.easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connects);
	c->n_connects += connects;
	(void) curl.multi_remove_handle(c->multi, c->easy);
	INSTR_TIME_SET_CURRENT(c->last_used);
	if (c->timed_out)
		code = CURLE_OPERATION_TIMEDOUT;
	if (c->refused)
	{
		code = CURLE_RECV_ERROR;
		c->curl_words[0] = '\0';
	}
	return code;
}

static bool
IsHttp2(const GrpcConnection *c)
{
	long		version = 0;

	(void) curl.easy_getinfo(c->easy, CURLINFO_HTTP_VERSION, &version);
	return version == CURL_HTTP_VERSION_2_0;
}

/*
 * How far the call came before its time was over.
 */
static const char *
Phase(const GrpcConnection *c)
{
	curl_off_t	resolved = 0;

	(void) curl.easy_getinfo(c->easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved);
	if (!c->sent && resolved == 0)
		return _("The name was still being looked up.");
	/* libcurl 7.88 does not say when the connection was there without its TLS */
	if (!c->sent)
		return c->endpoint.tls ? _("The connection was still being made, or its TLS handshake.") :
			_("The connection was still being made.");
	if (c->reply.n_head > 0)
		return _("A part of the reply had come.");
	return _("No reply had come.");
}

static const char *
HintOfTransport(const GrpcConnection *c, CURLcode code)
{
	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			return _("Check the host's name.");
		case CURLE_COULDNT_CONNECT:
			return _("Check that Milvus runs there and takes gRPC on that port, usually 19530.");
		case CURLE_SSL_CONNECT_ERROR:
			return _("The server may not use TLS: check secure, and http:// or https:// in the uri.");
		case CURLE_PEER_FAILED_VERIFICATION:
			return _("Name the certificate of its authority with ca_pem_path, and the name in its certificate with server_name.");
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CERTPROBLEM:
			return _("Check the files that ca_pem_path, client_pem_path and client_key_path name: the server process reads them.");
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
			if (c->endpoint.tls && !c->answered)
				return _("The server may want a certificate of the client: client_pem_path and client_key_path.");
			/* FALLTHROUGH */
		case CURLE_PARTIAL_FILE:
		case CURLE_HTTP2:
		case CURLE_HTTP2_STREAM:
		case CURLE_GOT_NOTHING:
		case CURLE_UNSUPPORTED_PROTOCOL:
			if (!c->answered)
				return c->endpoint.tls ?
					_("Check that this is the port on which Milvus takes gRPC, usually 19530.") :
					_("Check that this is the port on which Milvus takes gRPC, usually 19530, and whether it wants TLS (secure, or https:// in the uri).");
			return NULL;
		default:
			return NULL;
	}
}

/*
 * What went wrong below gRPC.
 */
static GrpcFailure *
TransportFailure(const GrpcConnection *c, CURLcode code)
{
	const char *words = c->curl_words[0] ? c->curl_words : curl.easy_strerror(code);
	const char *hint = HintOfTransport(c, code);
	bool		sent = c->sent;		/* something of the request can have arrived */
	char	   *detail = Readable(words, (int) strlen(words));
	GrpcFailure *failure;

	if (code == CURLE_OPERATION_TIMEDOUT)
		failure = Failure(sent ? ERRCODE_CONNECTION_FAILURE : ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
						  psprintf(_("Milvus server \"%s\" did not answer in time"), c->name), Phase(c),
						  sent ? _("brain.request_timeout, or the option request_timeout, says how long to wait.") :
						  _("brain.connect_timeout, or the option connect_timeout, says how long to wait."));
	else if (!sent)
		failure = Failure(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
						  psprintf(_("could not connect to Milvus server \"%s\""), c->name), detail, hint);
	else
		failure = Failure(ERRCODE_CONNECTION_FAILURE,
						  psprintf(_("the connection to Milvus server \"%s\" broke"), c->name), detail, hint);
	failure->maybe_done = sent;
	return failure;
}

static int
SqlStateOfGrpc(int status)
{
	switch (status)
	{
		case GRPC_UNAUTHENTICATED:
			return ERRCODE_INVALID_PASSWORD;
		case GRPC_PERMISSION_DENIED:
			return ERRCODE_INSUFFICIENT_PRIVILEGE;
		case GRPC_RESOURCE_EXHAUSTED:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case GRPC_UNIMPLEMENTED:
			return ERRCODE_FEATURE_NOT_SUPPORTED;
		case GRPC_DEADLINE_EXCEEDED:
		case GRPC_UNAVAILABLE:
			return ERRCODE_CONNECTION_FAILURE;
		default:
			return ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
	}
}

static const char *
HintOfGrpc(int status)
{
	switch (status)
	{
		case GRPC_DEADLINE_EXCEEDED:
			return _("brain.request_timeout, or the option request_timeout, says how long to wait.");
		default:
			return NULL;
	}
}

/*
 * What the server said instead of a reply.
 */
static GrpcFailure *
StatusFailure(const GrpcConnection *c, const char *method)
{
	const Reply *reply = &c->reply;
	GrpcFailure *failure;

	failure = Failure(SqlStateOfGrpc(reply->grpc_status),
					  reply->grpc_status == GRPC_UNAUTHENTICATED ?
					  psprintf(_("Milvus server \"%s\" refuses the user or the password"), c->name) :
					  psprintf(_("Milvus server \"%s\" refuses %s"), c->name, method),
					  psprintf("gRPC status %d: %s", reply->grpc_status, Readable(reply->words, reply->n_words)),
					  HintOfGrpc(reply->grpc_status));
	failure->grpc_status = reply->grpc_status;
	failure->maybe_done = reply->grpc_status == GRPC_DEADLINE_EXCEEDED || reply->grpc_status == GRPC_UNAVAILABLE;
	return failure;
}

static GrpcFailure *
ProtocolFailure(const GrpcConnection *c, const char *detail, const char *hint)
{
	GrpcFailure *failure = Failure(ERRCODE_PROTOCOL_VIOLATION,
								   psprintf(_("Milvus server \"%s\" sent a reply that cannot be read"), c->name),
								   detail, hint);

	failure->maybe_done = true;
	return failure;
}

/*
 * What makes a reply unreadable though the transport works; NULL: nothing.
 */
static GrpcFailure *
CheckReply(const GrpcConnection *c)
{
	const Reply *reply = &c->reply;
	GrpcFailure *failure;
	long		http_status = 0;

	(void) curl.easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &http_status);
	if (http_status != 0 && (http_status != 200 || !reply->is_grpc))
		return ProtocolFailure(c, psprintf("HTTP status %ld: %s", http_status, Readable(reply->words, Min(reply->n_words, 200))),
							   _("Check that this is the port on which Milvus takes gRPC, usually 19530, and that no proxy is between."));
	if (reply->too_large)
		return ProtocolFailure(c, psprintf(_("The reply has %zu bytes, which is more than the %d that are taken."),
										   reply->length, GRPC_MAX_REPLY), NULL);
	if (reply->out_of_memory)
	{
		failure = Failure(ERRCODE_OUT_OF_MEMORY, pstrdup(_("out of memory")),
						  psprintf(_("A reply of %zu bytes did not fit."), reply->length), NULL);
		failure->maybe_done = true; /* the server has answered */
		return failure;
	}
	if (reply->compressed)
		return ProtocolFailure(c, _("The reply is compressed."), NULL);
	if (reply->overlong)
		return ProtocolFailure(c, _("The reply is longer than it says."), NULL);
	return NULL;
}

/*
 * What is missing of a reply that came to an end; NULL: nothing.
 */
static GrpcFailure *
CheckWholeReply(const GrpcConnection *c, const char *method)
{
	const Reply *reply = &c->reply;

	if (reply->grpc_status < 0)
		return ProtocolFailure(c, _("The reply ended without a gRPC status."),
							   _("A proxy that does not pass HTTP/2 trailers may be between."));
	if (reply->grpc_status != GRPC_OK)
		return StatusFailure(c, method);
	if (reply->n_head < GRPC_FRAME_HEAD || reply->n_read < reply->length)
		return ProtocolFailure(c, _("The reply is cut."), NULL);
	return NULL;
}

/*
 * A part of a reply is of no use to anybody.
 */
static void
ForgetMessage(GrpcConnection *c)
{
	if (c->reply.message)
		pfree(c->reply.message);
	c->reply.message = NULL;
}

/*
 * One attempt. *dead: the failure is that of a kept connection that had ended
 * before, and the call may be sent again.
 */
static GrpcFailure *
TryCall(GrpcConnection *c, const char *method, StringInfo request, GrpcRepeat repeat, bool *dead)
{
	bool		kept = c->n_calls > 0;
	GrpcFailure *failure;
	CURLcode	code;

	*dead = false;
	if (c->easy == NULL && (failure = OpenHandles(c)) != NULL)
		return failure;
	if ((failure = SetRequest(c, method, request)) != NULL)
		return failure;
	BeginReply(c, CurrentMemoryContext);
	Perform(c);
	code = ResultOfCall(c);
	if (code == CURLE_OK && !IsHttp2(c))
		code = CURLE_UNSUPPORTED_PROTOCOL;
	/* Milvus and proxies may end a call by a trailer before they have read all of it */
	if ((failure = CheckReply(c)) == NULL && code != CURLE_OK && c->reply.grpc_status <= 0)
	{
		failure = TransportFailure(c, code);
		*dead = kept && code != CURLE_OPERATION_TIMEDOUT && c->reply.n_head == 0 &&
			(repeat == GRPC_REPEATABLE || !failure->maybe_done);
	}
	/* libcurl 7.88 loses the trailers when the server says, before, that it will close */
	if (failure == NULL && c->reply.grpc_status < 0)
	{
		code = CURLE_RECV_ERROR;
		*dead = kept && repeat == GRPC_REPEATABLE;
	}
	if (failure == NULL)
		failure = CheckWholeReply(c, method);
	if (code != CURLE_OK || (failure && failure->grpc_status < 0))
		CloseHandles(c);
	else
	{
		c->n_calls++;
		c->answered = true;
	}
	if (failure)
		ForgetMessage(c);
	return failure;
}

/*
 * Seconds since the last call, 0 when there is no connection to lose.
 */
double
GrpcIdleSeconds(const GrpcConnection *connection)
{
	instr_time	now;

	if (connection->n_calls == 0)
		return 0;
	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, connection->last_used);
	return INSTR_TIME_GET_DOUBLE(now);
}

/*
 * Find out whether a connection that was idle is still there. What is answered
 * does not matter.
 */
static GrpcFailure *
WakeUp(GrpcConnection *c)
{
	StringInfoData request;
	bool		dead;
	GrpcFailure *failure;

	GrpcBeginRequest(&request);
	failure = TryCall(c, "GetVersion", &request, GRPC_REPEATABLE, &dead);
	return failure && failure->grpc_status < 0 && !dead ? failure : NULL;
}

/*
 * Start a request: the message is appended to it.
 */
void
GrpcBeginRequest(StringInfo request)
{
	initStringInfo(request);
	appendStringInfoSpaces(request, GRPC_FRAME_HEAD);
}

/*
 * Call a method of Milvus. The reply is the message alone, palloc'd in the current
 * context. NULL, or why there is none.
 */
GrpcFailure *
GrpcCall(GrpcConnection *connection, const char *method, StringInfo request,
		 GrpcRepeat repeat, StringInfo reply)
{
	GrpcFailure *failure = LoadLibrary();
	bool		dead = false;

	if (failure)
		return failure;
	if (request->len > GRPC_MAX_REQUEST)
		return Failure(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
					   psprintf(_("a request to Milvus server \"%s\" is too large"), connection->name),
					   psprintf(_("It has %d bytes; servers take no more than %d."), request->len, GRPC_MAX_REQUEST), NULL);
	if (repeat == GRPC_ONCE && GrpcIdleSeconds(connection) > IDLE_SECONDS &&
		(failure = WakeUp(connection)) != NULL)
		return failure;
	failure = TryCall(connection, method, request, repeat, &dead);
	if (dead)
	{
		bool		maybe_done = failure->maybe_done;

		failure = TryCall(connection, method, request, repeat, &dead);
		if (failure)
			failure->maybe_done |= maybe_done;
	}
	if (failure)
		return failure;
	reply->data = connection->reply.message;
	reply->len = (int) connection->reply.length;
	reply->maxlen = reply->len + 1;
	reply->cursor = 0;
	return NULL;
}
