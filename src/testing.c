/*
 * testing.c
 *		Builds for tests only: see testing.h.
 */
#include "postgres.h"

#if defined(BRAIN_MUTATE) || defined(BRAIN_FAULTS)

#include <signal.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "arguments.h"
#include "milvus/connection.h"
#include "testing.h"

static char *mutate = NULL;
static char *fault_point = NULL;

void
DefineTestingSettings(void)
{
#ifdef BRAIN_MUTATE
	DefineCustomStringVariable("brain.mutate", "Switches off a rule, R1 to R7. For tests.", NULL,
							   &mutate, "", PGC_USERSET, 0, NULL, NULL, NULL);
#endif
#ifdef BRAIN_FAULTS
	DefineCustomStringVariable("brain.fault_point",
							   "Sets where what goes wrong: 'step:action', or 'step:action:n' for the n-th time. For tests.",
							   NULL, &fault_point, "", PGC_USERSET, 0, NULL, NULL, NULL);
#endif
}

#ifdef BRAIN_MUTATE
bool
Mutated(const char *rule)
{
	return mutate && strcmp(mutate, rule) == 0;
}
#endif

#ifdef BRAIN_FAULTS
/*
 * Is it time for the step's fault? Counts down where the n-th time is asked for.
 */
static bool
IsDue(const char *step, char *action, Size size)
{
	static int	passed = 0;
	static char counted[200] = "";
	char		wanted[64];
	char		what[32];
	int			times = 1;

	if (fault_point == NULL || sscanf(fault_point, "%63[^:]:%31[^:]:%d", wanted, what, &times) < 2 ||
		strcmp(wanted, step) != 0)
		return false;
	if (strcmp(counted, fault_point) != 0)
	{
		strlcpy(counted, fault_point, sizeof(counted));
		passed = 0;
	}
	strlcpy(action, what, size);
	return ++passed == times;
}

/*
 * True when the step is to fail for want of space.
 */
bool
FaultPoint(const char *step)
{
	char		action[32];

	if (!IsDue(step, action, sizeof(action)))
		return false;
	if (strcmp(action, "kill") == 0)
		kill(MyProcPid, SIGKILL);
	else if (strcmp(action, "kill_postmaster") == 0)
		kill(PostmasterPid, SIGKILL);
	else if (strcmp(action, "error") == 0)
		elog(ERROR, "fault at step %s", step);
	else if (strcmp(action, "sleep") == 0)
		pg_usleep(2000000L);
	return strcmp(action, "enospc") == 0;
}

PG_FUNCTION_INFO_V1(brain_test_connection);

/*
 * SQL: brain_test_connection(server text, options jsonb) returns text. Uses the
 * session's connection once; how many are open, how many were opened.
 */
Datum
brain_test_connection(PG_FUNCTION_ARGS)
{
	int			n;
	MilvusPair *options = ConnectionOptions(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), true, &n);
	MilvusSettings *settings = FindMilvusSettings(TextArgument(fcinfo, 0), n, options);
	MilvusConnection *connection;
	MilvusServer server;
	GrpcFailure *failure = MilvusGetConnection(settings, &connection);
	int			open;
	int64		opened;

	if (failure == NULL)
		failure = MilvusConnect(connection->grpc, &server);
	if (failure)
		GrpcRaise(failure);
	CountMilvusConnections(&open, &opened);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d of %lld", open, (long long) opened)));
}
#endif

#endif							/* BRAIN_MUTATE or BRAIN_FAULTS */
