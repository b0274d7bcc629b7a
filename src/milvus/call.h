/*
 * call.h
 *		A call whose messages are small: by protobuf-c, from milvus.proto.
 */
#ifndef BRAIN_MILVUS_CALL_H
#define BRAIN_MILVUS_CALL_H

#include <protobuf-c/protobuf-c.h>

#include "milvus/messages.h"
#include "milvus/milvus.pb-c.h"
#include "milvus/status.h"

/* What a reply is, and who takes from it what the caller wants, if it says that all is done. */
typedef struct ReplyKind
{
	const ProtobufCMessageDescriptor *descriptor;	/* NULL: a Status */
	Problem		(*take) (const ProtobufCMessage *reply, void *result);
} ReplyKind;

extern const ReplyKind status_reply;

extern GrpcFailure *CallMilvus(GrpcConnection *c, const char *method, GrpcRepeat repeat,
							   const ProtobufCMessage *request, const ReplyKind *kind, void *result);
extern GrpcFailure *CallForNames(GrpcConnection *c, const char *method, int *n, char ***names);

/* ---------- what goes into requests, in UTF-8 ---------- */

extern char *Sent(const char *text);
extern char *SentName(const char *name);
extern Milvus__Pair **SentPairs(int n, const MilvusPair *pairs);

/* ---------- what is taken from replies; false: bad_text ---------- */

extern const Problem bad_text;

extern bool TakeText(const char *sent, char **text);
extern bool TakePairs(size_t n_sent, Milvus__Pair *const *sent, int *n, MilvusPair **pairs);
extern int	NumberOfPair(size_t n, Milvus__Pair *const *pairs, const char *key, int max);

#endif							/* BRAIN_MILVUS_CALL_H */
