/*
 * client.c
 *		What a client waits for, timed where nothing else is: bench.py calls this
 *		through ctypes, whose own time is outside of what is measured.
 */
#include <libpq-fe.h>
#include <time.h>

typedef struct Call
{
	PGconn	   *connection;
	const char *statement;		/* a prepared one */
	int			nparams;
	const char *const *values;	/* binary */
	const int  *lengths;
} Call;

#define MAX_PARAMS 8

static double
Now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/*
 * Execute a prepared statement, binary both ways; *seconds is from sending it to
 * having its whole answer.  The caller clears the result.
 */
extern PGresult *time_call(const Call *call, double *seconds);

PGresult *
time_call(const Call *call, double *seconds)
{
	static const int binary[MAX_PARAMS] = {1, 1, 1, 1, 1, 1, 1, 1};
	PGresult   *result;
	double		start;

	if (call->nparams > MAX_PARAMS)
		return NULL;
	start = Now();
	result = PQexecPrepared(call->connection, call->statement, call->nparams,
							call->values, call->lengths, binary, 1);
	*seconds = Now() - start;
	return result;
}
