/*
 * health.c
 *		brain.health(): what a call would find that used a Milvus server now.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "funcapi.h"
#include "portability/instr_time.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "milvus/connection.h"

PG_FUNCTION_INFO_V1(brain_health);

/* A legacy server's Status.code of a refused user; others use grpc-status 16. */
#define MILVUS_NOT_AUTHENTICATED 1400

typedef struct Health
{
	char	   *uri;
	bool		reachable;
	char	   *version;		/* NULL: it did not say */
	bool		refused;		/* it does not know us */
	int			n_databases;	/* -1: it did not say */
	char	  **databases;
	double		latency;		/* ms; < 0: unknown */
	GrpcFailure *failure;
} Health;

/*
 * Did the server itself answer? A gateway says UNAVAILABLE for one that is down.
 */
static bool
HasAnswered(const GrpcFailure *failure)
{
	return failure == NULL ||
		(failure->grpc_status >= 0 && failure->grpc_status != GRPC_UNAVAILABLE &&
		 failure->grpc_status != GRPC_DEADLINE_EXCEEDED);
}

/*
 * By a connection of its own: an open one says nothing of names, certificates and
 * passwords that were right when it was opened.
 */
static void
AskServer(const GrpcEndpoint *endpoint, Health *health)
{
	GrpcConnection *grpc = GrpcOpen(endpoint, CurrentMemoryContext);
	MilvusServer server = {0};
	GrpcFailure *failure = MilvusHello(grpc, &server);
	instr_time	start;
	instr_time	time;

	health->uri = psprintf("%s://%s", endpoint->tls ? "https" : "http", GrpcNameOf(grpc));
	health->reachable = HasAnswered(failure);
	health->refused = failure && (failure->grpc_status == GRPC_UNAUTHENTICATED ||
								  failure->milvus_code == MILVUS_NOT_AUTHENTICATED);
	health->failure = failure;
	health->latency = -1;
	health->n_databases = -1;
	if (health->reachable && !health->refused)
	{
		health->version = server.version;
		if (MilvusListDatabases(grpc, &health->n_databases, &health->databases) != NULL)
			health->n_databases = -1;
	}
	if (failure == NULL)
	{
		INSTR_TIME_SET_CURRENT(start);
		if (MilvusConnect(grpc, &server) == NULL)
		{
			INSTR_TIME_SET_CURRENT(time);
			INSTR_TIME_SUBTRACT(time, start);
			health->latency = INSTR_TIME_GET_MILLISEC(time);
		}
	}
	GrpcClose(grpc);
}

static Datum
TextsDatum(int n, char **texts)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elements[i] = CStringGetTextDatum(texts[i]);
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
IntervalDatum(double milliseconds)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = (TimeOffset) (milliseconds * 1000);
	return IntervalPGetDatum(interval);
}

static char *
ProblemText(const GrpcFailure *failure)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, failure->message);
	if (failure->detail)
		appendStringInfo(&text, ": %s", failure->detail);
	if (failure->hint)
		appendStringInfo(&text, " (%s)", failure->hint);
	return text.data;
}

/*
 * SQL: brain.health(server text, options jsonb) returns record
 */
Datum
brain_health(PG_FUNCTION_ARGS)
{
	int			n;
	MilvusPair *options = ConnectionOptions(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), true, &n);
	MilvusSettings *settings = FindMilvusSettings(TextArgument(fcinfo, 0), n, options);
	Health		health = {0};
	TupleDesc	descriptor;
	Datum		values[8];
	bool		nulls[8];

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	AskServer(&settings->endpoint, &health);
	memset(nulls, true, sizeof(nulls));
#define SET_VALUE(i, known, datum) if (known) values[i] = (datum), nulls[i] = false
	SET_VALUE(0, true, CStringGetTextDatum(health.uri));
	SET_VALUE(1, true, BoolGetDatum(health.reachable));
	SET_VALUE(2, health.version, CStringGetTextDatum(health.version));
	SET_VALUE(3, health.reachable, BoolGetDatum(settings->endpoint.authorization && !health.refused));
	SET_VALUE(4, health.reachable, BoolGetDatum(settings->endpoint.tls));
	SET_VALUE(5, health.n_databases >= 0, TextsDatum(health.n_databases, health.databases));
	SET_VALUE(6, health.latency >= 0, IntervalDatum(health.latency));
	SET_VALUE(7, health.failure, CStringGetTextDatum(ProblemText(health.failure)));
#undef SET_VALUE
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}
