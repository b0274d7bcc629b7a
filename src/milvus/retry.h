/*
 * retry.h
 *		Asking again, later, what a server had no room for.
 */
#ifndef BRAIN_MILVUS_RETRY_H
#define BRAIN_MILVUS_RETRY_H

#include "portability/instr_time.h"

#include "milvus/grpc.h"

typedef struct MilvusRetry
{
	int			attempts;
	instr_time	begin;
} MilvusRetry;

extern bool WaitToRetry(const GrpcConnection *c, const GrpcFailure *failure, MilvusRetry *retry);

#endif							/* BRAIN_MILVUS_RETRY_H */
