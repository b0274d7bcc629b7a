/*
 * sink.c
 *		A Milvus server that keeps nothing: it takes an upload as fast as HTTP/2 lets
 *		it, acknowledges each Insert at once, and answers what a build asks besides.
 *
 *		sink [FILE]		prints its port, of 127.0.0.1, serves until its standard
 *						input ends, and writes the Inserts' bodies, frames of
 *						gRPC, into the file
 *
 * One thread serves all connections. There is one collection: the last created.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 16
#define WINDOW (64 << 20)		/* of a connection, and of a call */
#define MAX_KEPT (64 << 10)		/* of a request that is no Insert; replies are not much longer */
#define TAIL 16					/* of an Insert: its number of rows is at the end */
#define FRAME_HEAD 5			/* of gRPC: a flag, and the message's length */

typedef struct Bytes
{
	uint8_t		data[2 * MAX_KEPT];
	size_t		length;
} Bytes;

/* ---------- protobuf ---------- */

static void
Put(Bytes *out, const void *data, size_t length)
{
	if (length > sizeof(out->data) - out->length)
		errx(1, "a message is too long");
	memcpy(out->data + out->length, data, length);
	out->length += length;
}

static void
PutVarint(Bytes *out, uint64_t value)
{
	uint8_t		byte;

	for (; value > 127; value >>= 7)
	{
		byte = (uint8_t) (value | 128);
		Put(out, &byte, 1);
	}
	byte = (uint8_t) value;
	Put(out, &byte, 1);
}

static void
PutNumber(Bytes *out, int field, uint64_t value)
{
	PutVarint(out, (uint64_t) field << 3);
	PutVarint(out, value);
}

static void
PutPart(Bytes *out, int field, const void *data, size_t length)
{
	PutVarint(out, (uint64_t) field << 3 | 2);
	PutVarint(out, length);
	Put(out, data, length);
}

static void
PutText(Bytes *out, int field, const char *text)
{
	PutPart(out, field, text, strlen(text));
}

static uint64_t
TakeVarint(const uint8_t **at, const uint8_t *end)
{
	uint64_t	value = 0;

	for (int shift = 0; *at < end && shift < 64; shift += 7)
	{
		uint8_t		byte = *(*at)++;

		value |= (uint64_t) (byte & 127) << shift;
		if (byte < 128)
			break;
	}
	return value;
}

/*
 * Copy the parts of a message that have a number, under another.
 */
static void
CopyParts(Bytes *out, int as, const Bytes *message, int field)
{
	const uint8_t *at = message->data;
	const uint8_t *end = at + message->length;

	while (at < end)
	{
		uint64_t	key = TakeVarint(&at, end);
		uint64_t	value = TakeVarint(&at, end);	/* or the part's length */

		if ((key & 7) == 0)
			continue;
		if ((key & 7) != 2 || value > (uint64_t) (end - at))
			errx(1, "a message cannot be read");
		if (key >> 3 == (uint64_t) field)
			PutPart(out, as, at, value);
		at += value;
	}
}

/*
 * The number at the end of an Insert: field 7, how many rows it has.
 */
static uint64_t
RowsOf(const uint8_t *tail, int length)
{
	const uint8_t *at = tail + length - 1;

	while (at > tail && at[-1] & 128)
		at--;
	if (at == tail || at[-1] != 7 << 3)
		errx(1, "an Insert does not end with its number of rows");
	return TakeVarint(&at, tail + length);
}

/* ---------- the collection ---------- */

static Bytes creation;			/* CreateCollection's message; empty: there is none */
static uint64_t n_rows;
static uint64_t now = 1ULL << 60;
static FILE *record;

typedef struct Call
{
	char		method[40];
	uint8_t		head[FRAME_HEAD];	/* of the request, which is no Insert */
	int			head_length;
	Bytes		request;
	uint8_t		tail[TAIL];		/* of an Insert */
	int			tail_length;
	Bytes		reply;			/* with its frame's head */
	size_t		sent;
} Call;

static bool
Is(const Call *call, const char *method)
{
	return strcmp(call->method, method) == 0;
}

/*
 * Is a call about the collection that there is?
 */
static bool
IsOfCollection(const Call *call)
{
	Bytes		name = {.length = 0};
	Bytes		created = {.length = 0};

	CopyParts(&name, 3, &call->request, 3);
	CopyParts(&created, 3, &creation, 3);
	return name.length > 0 && name.length == created.length && memcmp(name.data, created.data, name.length) == 0;
}

static void
Describe(const Call *call, Bytes *reply)
{
	Bytes		status = {.length = 0};

	if (!IsOfCollection(call))
	{
		PutNumber(&status, 3, 100);
		PutText(&status, 2, "collection not found");
		PutPart(reply, 1, status.data, status.length);
		return;
	}
	CopyParts(reply, 2, &creation, 4);
	PutNumber(reply, 3, 7);
	PutNumber(reply, 8, 1);
	PutNumber(reply, 11, 1);
	CopyParts(reply, 13, &creation, 7);
}

static void
CountRows(Bytes *reply)
{
	Bytes		number = {.length = 0};
	Bytes		array = {.length = 0};
	Bytes		scalar = {.length = 0};
	Bytes		column = {.length = 0};

	PutVarint(&number, n_rows);
	PutPart(&array, 1, number.data, number.length);
	PutPart(&scalar, 3, array.data, array.length);
	PutNumber(&column, 1, 5);
	PutText(&column, 2, "count(*)");
	PutPart(&column, 3, scalar.data, scalar.length);
	PutPart(reply, 2, column.data, column.length);
}

static void
DescribeIndex(Bytes *reply)
{
	Bytes		index = {.length = 0};

	PutText(&index, 1, "vector");
	PutText(&index, 4, "vector");
	PutNumber(&index, 5, n_rows);
	PutNumber(&index, 6, n_rows);
	PutNumber(&index, 7, 3);
	PutPart(reply, 2, index.data, index.length);
}

static void
Insert(const Call *call, Bytes *reply)
{
	uint64_t	n = RowsOf(call->tail, call->tail_length);

	n_rows += n;
	PutNumber(reply, 6, n);
	PutNumber(reply, 9, ++now);
}

/*
 * What stands in no reply is 0, and well.
 */
static void
Answer(Call *call)
{
	Bytes		reply = {.length = 0};
	Bytes		info = {.length = 0};
	uint32_t	length;

	if (Is(call, "Insert"))
		Insert(call, &reply);
	else if (Is(call, "Connect"))
	{
		PutText(&info, 1, "v2.3.5-sink");
		PutPart(&reply, 2, info.data, info.length);
	}
	else if (Is(call, "GetVersion"))
		PutText(&reply, 2, "v2.3.5-sink");
	else if (Is(call, "HasCollection"))
		PutNumber(&reply, 2, IsOfCollection(call));
	else if (Is(call, "CreateCollection"))
	{
		creation = call->request;
		n_rows = 0;
	}
	else if (Is(call, "DropCollection"))
		creation.length = IsOfCollection(call) ? 0 : creation.length;
	else if (Is(call, "DescribeCollection"))
		Describe(call, &reply);
	else if (Is(call, "ShowCollections"))
		CopyParts(&reply, 2, &creation, 3);
	else if (Is(call, "GetFlushState"))
		PutNumber(&reply, 2, true);
	else if (Is(call, "DescribeIndex"))
		DescribeIndex(&reply);
	else if (Is(call, "GetLoadState"))
		PutNumber(&reply, 2, 3);
	else if (Is(call, "Query"))
		CountRows(&reply);
	else if (!Is(call, "Flush") && !Is(call, "CreateIndex") && !Is(call, "LoadCollection"))
		errx(1, "there is no answer to %s", call->method);
	Put(&call->reply, "", 1);
	length = htonl((uint32_t) reply.length);
	Put(&call->reply, &length, sizeof(length));
	Put(&call->reply, reply.data, reply.length);
}

/* ---------- HTTP/2 ---------- */

#define HEADER(name, value) \
	{(uint8_t *) (name), (uint8_t *) (value), sizeof(name) - 1, sizeof(value) - 1, NGHTTP2_NV_FLAG_NONE}
#define LENGTH_OF(array) (sizeof(array) / sizeof(array[0]))

static void
Check(int code)
{
	if (code < 0)
		errx(1, "nghttp2: %s", nghttp2_strerror(code));
}

static int
BeginCall(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	Call	   *call = calloc(1, sizeof(Call));

	(void) arg;
	if (call == NULL)
		err(1, "calloc");
	Check(nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call));
	return 0;
}

static int
TakeHeader(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
		   const uint8_t *value, size_t length, uint8_t flags, void *arg)
{
	Call	   *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void) flags;
	(void) arg;
	if (name_length == 5 && memcmp(name, ":path", 5) == 0)
	{
		const char *slash = memrchr(value, '/', length);

		if (slash != NULL)
			snprintf(call->method, sizeof(call->method), "%.*s", (int) ((const char *) value + length - slash - 1),
					 slash + 1);
	}
	return 0;
}

static int
Smaller(size_t a, int b)
{
	return a < (size_t) b ? (int) a : b;
}

static void
KeepTail(Call *call, const uint8_t *data, size_t length)
{
	int			newer = Smaller(length, TAIL);
	int			older = Smaller(TAIL - newer, call->tail_length);

	memmove(call->tail, call->tail + call->tail_length - older, older);
	memcpy(call->tail + older, data + length - newer, newer);
	call->tail_length = older + newer;
}

/*
 * An Insert's rows are not even copied.
 */
static int
TakeData(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t length,
		 void *arg)
{
	Call	   *call = nghttp2_session_get_stream_user_data(session, stream);

	(void) flags;
	(void) arg;
	if (Is(call, "Insert"))
	{
		if (record != NULL && fwrite(data, 1, length, record) != length)
			err(1, "fwrite");
		KeepTail(call, data, length);
		return 0;
	}
	for (; length > 0 && call->head_length < FRAME_HEAD; length--)
		call->head[call->head_length++] = *data++;
	if (call->request.length + length > MAX_KEPT)
		errx(1, "a message of %s is too long", call->method);
	Put(&call->request, data, length);
	return 0;
}

static ssize_t
GiveReply(nghttp2_session *session, int32_t stream, uint8_t *out, size_t room, uint32_t *flags,
		  nghttp2_data_source *source, void *arg)
{
	static const nghttp2_nv trailers[] = {HEADER("grpc-status", "0")};
	Call	   *call = source->ptr;
	size_t		n = call->reply.length - call->sent;

	(void) arg;
	if (n > room)
		n = room;
	memcpy(out, call->reply.data + call->sent, n);
	call->sent += n;
	if (call->sent == call->reply.length)
	{
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		Check(nghttp2_submit_trailer(session, stream, trailers, LENGTH_OF(trailers)));
	}
	return (ssize_t) n;
}

static int
TakeFrame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	static const nghttp2_nv headers[] = {HEADER(":status", "200"), HEADER("content-type", "application/grpc")};
	nghttp2_data_provider provider = {.read_callback = GiveReply};
	Call	   *call;

	(void) arg;
	if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
		!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	Answer(call);
	provider.source.ptr = call;
	Check(nghttp2_submit_response(session, frame->hd.stream_id, headers, LENGTH_OF(headers), &provider));
	return 0;
}

static int
EndCall(nghttp2_session *session, int32_t stream, uint32_t code, void *arg)
{
	(void) code;
	(void) arg;
	free(nghttp2_session_get_stream_user_data(session, stream));
	return 0;
}

/*
 * libcurl 7.88 resets each stream that has ended. gRPC servers do not mind, and
 * nghttp2 would take a thousand of them for an attack.
 */
static nghttp2_session *
BeginSession(void)
{
	nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW};
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	nghttp2_session *session;

	Check(nghttp2_option_new(&option));
	nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX, UINT64_MAX);
	Check(nghttp2_session_callbacks_new(&callbacks));
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, BeginCall);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, TakeHeader);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, TakeData);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, TakeFrame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, EndCall);
	Check(nghttp2_session_server_new2(&session, callbacks, NULL, option));
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	Check(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, &window, 1));
	Check(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, WINDOW));
	return session;
}

/* ---------- sockets ---------- */

static bool
SendAll(int fd, nghttp2_session *session)
{
	const uint8_t *data;
	ssize_t		length;

	while ((length = nghttp2_session_mem_send(session, &data)) > 0)
		while (length > 0)
		{
			ssize_t		sent = send(fd, data, length, MSG_NOSIGNAL);

			if (sent <= 0)
				return false;
			data += sent;
			length -= sent;
		}
	Check((int) length);
	return true;
}

/*
 * Take what has come, and answer; false when the connection is over.
 */
static bool
Serve(int fd, nghttp2_session *session)
{
	static uint8_t buffer[1 << 20];
	ssize_t		length = recv(fd, buffer, sizeof(buffer), 0);

	return length > 0 && nghttp2_session_mem_recv(session, buffer, length) == length && SendAll(fd, session) &&
		(nghttp2_session_want_read(session) || nghttp2_session_want_write(session));
}

static int
Listen(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,.sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t	length = sizeof(address);
	int			fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *) &address, length) != 0 || listen(fd, 8) != 0 ||
		getsockname(fd, (struct sockaddr *) &address, &length) != 0)
		err(1, "listen");
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

int
main(int argc, char **argv)
{
	struct pollfd fds[2 + MAX_CONNECTIONS] = {{.fd = 0,.events = POLLIN}};
	nghttp2_session *sessions[2 + MAX_CONNECTIONS];
	int			n = 2;

	if (argc > 1 && (record = fopen(argv[1], "w")) == NULL)
		err(1, "%s", argv[1]);
	fds[1] = (struct pollfd) {.fd = Listen(),.events = POLLIN};
	while (poll(fds, n, -1) > 0 && fds[0].revents == 0)
	{
		for (int i = n - 1; i > 1; i--)
		{
			if (fds[i].revents == 0 || Serve(fds[i].fd, sessions[i]))
				continue;
			nghttp2_session_del(sessions[i]);
			close(fds[i].fd);
			n--;
			fds[i] = fds[n];
			sessions[i] = sessions[n];
		}
		if (fds[1].revents != 0 && n < 2 + MAX_CONNECTIONS)
		{
			fds[n] = (struct pollfd) {.fd = accept(fds[1].fd, NULL, NULL),.events = POLLIN};
			if (fds[n].fd < 0)
				err(1, "accept");
			setsockopt(fds[n].fd, IPPROTO_TCP, TCP_NODELAY, &(int) {1}, sizeof(int));
			sessions[n++] = BeginSession();
		}
	}
	return record != NULL && fclose(record) != 0;
}
