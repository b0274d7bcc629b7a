/*
 * post.c
 *		What libcurl needs for sending an upload's bytes: nothing but the posts.
 *
 *		post URL FILE		the frames of gRPC in the file, each the body of a call
 *							of the URL, one after the other on one connection;
 *							prints the number of calls, bytes and seconds
 *
 * The file is in memory, and the connection made, before the time begins.
 */
#include <curl/curl.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FRAME_HEAD 5

static double
Now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void
Check(CURLcode code)
{
	if (code != CURLE_OK)
		errx(1, "libcurl: %s", curl_easy_strerror(code));
}

static uint8_t *
ReadFile(const char *path, size_t *length)
{
	FILE	   *file = fopen(path, "r");
	uint8_t    *data;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0)
		err(1, "%s", path);
	*length = (size_t) ftell(file);
	rewind(file);
	data = malloc(*length);
	if (data == NULL || fread(data, 1, *length, file) != *length)
		err(1, "%s", path);
	fclose(file);
	return data;
}

static size_t
FrameLength(const uint8_t *frame, size_t left)
{
	size_t		length = FRAME_HEAD + ((size_t) frame[1] << 24 | frame[2] << 16 | frame[3] << 8 | frame[4]);

	if (left < FRAME_HEAD || length > left)
		errx(1, "the file ends within a frame");
	return length;
}

static size_t
IgnoreReply(char *data, size_t size, size_t n, void *arg)
{
	(void) data;
	(void) arg;
	return size * n;
}

static size_t
TakeHeader(char *data, size_t size, size_t n, void *arg)
{
	if (size * n > 14 && strncmp(data, "grpc-status: 0", 14) == 0)
		*(int *) arg += 1;
	return size * n;
}

/*
 * As gRPC has it. libcurl 7.88 keeps to the connection only when calls after the
 * first do not ask for HTTP/2 from the start.
 */
static void
Post(CURL *curl, const uint8_t *frame, size_t length)
{
	int			is_well = 0;

	Check(curl_easy_setopt(curl, CURLOPT_HEADERDATA, &is_well));
	Check(curl_easy_setopt(curl, CURLOPT_POSTFIELDS, frame));
	Check(curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) length));
	Check(curl_easy_perform(curl));
	if (is_well != 1)
		errx(1, "the call failed");
	Check(curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS));
}

int
main(int argc, char **argv)
{
	CURL	   *curl = curl_easy_init();
	struct curl_slist *headers = NULL;
	size_t		length;
	uint8_t    *data;
	double		start;
	long		n_connects;
	int			n = 0;

	if (argc != 3 || curl == NULL)
		errx(1, "usage: post URL FILE");
	data = ReadFile(argv[2], &length);
	headers = curl_slist_append(headers, "content-type: application/grpc");
	headers = curl_slist_append(headers, "te: trailers");
	headers = curl_slist_append(headers, "Expect:");
	Check(curl_easy_setopt(curl, CURLOPT_URL, argv[1]));
	Check(curl_easy_setopt(curl, CURLOPT_PROXY, ""));
	Check(curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers));
	Check(curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
	Check(curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, IgnoreReply));
	Check(curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, TakeHeader));
	Post(curl, data, FrameLength(data, length));
	start = Now();
	for (size_t at = 0; at < length; at += FrameLength(data + at, length - at), n++)
		Post(curl, data + at, FrameLength(data + at, length - at));
	printf("%d %zu %.6f\n", n, length, Now() - start);
	Check(curl_easy_getinfo(curl, CURLINFO_NUM_CONNECTS, &n_connects));
	if (n_connects != 0)
		errx(1, "the last call had a connection of its own");
	curl_easy_cleanup(curl);
	return 0;
}
