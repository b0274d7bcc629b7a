/*
 * standin.h
 *		A server for src/milvus without a server: see standin.c.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <setjmp.h>

#include "milvus/messages.h"

/* The frame's message that was sent last, without its head. */
extern StringInfoData standin_request;
extern char standin_method[64];

/* What GrpcCall() does with a request. */
typedef GrpcFailure *(*StandinTransport) (const char *method, StringInfo request, StringInfo reply);
extern StandinTransport standin_transport;
extern void GiveReply(StringInfo reply, const void *bytes, int length);

/* Where errors jump to; NULL: they abort. */
extern sigjmp_buf *standin_errors;

/* All of it, except for standin_request. */
extern void ForgetMemory(void);

#endif							/* STANDIN_H */
