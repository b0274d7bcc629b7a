/*
 * standin.h
 *		What src/milvus runs on without a server: standin.c is PostgreSQL,
 *		transport.c the Milvus server.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include "milvus/messages.h"

/* The frame's message that was sent last, without its head. */
extern StringInfoData standin_request;
extern char standin_method[64];

/* What GrpcCall() does with a request. */
typedef GrpcFailure *(*StandinTransport) (const char *method, StringInfo request, StringInfo reply);
extern StandinTransport standin_transport;
extern void GiveReply(StringInfo reply, const void *bytes, int length);

/* Its request_timeout: 0, so that nothing is asked again, if nobody says more. */
extern GrpcEndpoint standin_endpoint;

/* All of MilvusSleep(), in ms. */
extern long standin_slept;

/* False: errors, and memory whose lack were one, abort. So they do without a PG_TRY. */
extern bool standin_may_raise;

/* Bytes that there are for who takes it that there are no more. */
extern Size standin_memory;

/* All of it, except for standin_request. */
extern void ForgetMemory(void);

#endif							/* STANDIN_H */
