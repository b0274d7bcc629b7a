/*
 * transport.c
 *		A Milvus server that is a function, in place of grpc.c.
 */
#include "postgres.h"

#include "milvus/collection.h"

#include "standin.h"

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
GrpcEndpoint standin_endpoint;
long		standin_slept;

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

const GrpcEndpoint *
GrpcEndpointOf(const GrpcConnection *connection)
{
	return &standin_endpoint;
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

/*
 * Takes no time.
 */
void
MilvusSleep(long milliseconds)
{
	standin_slept += milliseconds;
}
