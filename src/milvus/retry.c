/*
 * retry.c
 *		Asking again, later, what a server had no room for.
 *
 * Only what a server has refused before it did anything, by a code that says so:
 * its limits of rate and of requests. Flush is one of those, once in ten seconds
 * for a collection from 2.4 on.
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "milvus/collection.h"
#include "milvus/retry.h"

/* ms; each wait is between a half and the whole of a doubling time */
#define FIRST_WAIT 20
#define LONGEST_WAIT 2000

/*
 * Is a call to be repeated? Then the time for that has come. retry is zeros at the
 * first failure; all attempts together take no longer than one request may.
 */
bool
WaitToRetry(const GrpcConnection *c, const GrpcFailure *failure, MilvusRetry *retry)
{
	int			wait = Min(LONGEST_WAIT, FIRST_WAIT << Min(retry->attempts, 10));
	instr_time	now;

	if (failure == NULL || (failure->milvus_code != MILVUS_RATE_LIMIT && failure->milvus_code != MILVUS_REQUEST_LIMIT))
		return false;
	INSTR_TIME_SET_CURRENT(now);
	if (retry->attempts++ == 0)
		retry->begin = now;
	INSTR_TIME_SUBTRACT(now, retry->begin);
	wait = wait / 2 + (int) (pg_prng_double(&pg_global_prng_state) * wait / 2);
	if (INSTR_TIME_GET_MILLISEC(now) + wait > GrpcEndpointOf(c)->request_timeout)
		return false;
	MilvusSleep(wait);
	return true;
}
