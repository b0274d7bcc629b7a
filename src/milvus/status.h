/*
 * status.h
 *		How a call ended, as Milvus says it within a reply.
 */
#ifndef BRAIN_MILVUS_STATUS_H
#define BRAIN_MILVUS_STATUS_H

#include "milvus/grpc.h"

typedef struct MilvusStatus
{
	int			code;			/* 0: done */
	int			legacy_code;
	const uint8 *reason;		/* within the reply */
	Size		reason_length;
} MilvusStatus;

/* What is wrong with a reply, for a DETAIL; NULL: nothing. */
typedef const char *Problem;

extern Problem ReadStatus(const uint8 *bytes, Size length, MilvusStatus *status);
extern GrpcFailure *ReplyFailure(const GrpcConnection *c, const char *method, Problem problem,
								 const MilvusStatus *status);

#endif							/* BRAIN_MILVUS_STATUS_H */
