/*
 * milvus_brain.c
 *		Module start, settings, and what the extension says of itself.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "exact/blas.h"
#include "exact/matrix.h"
#include "milvus/connection.h"
#include "milvus/fiftyone.h"
#include "milvus/milvus.h"
#include "milvus_brain.h"
#include "search.h"
#include "testing.h"
#include "vectors.h"

#if PG_VERSION_NUM < 150000
#error "milvus_brain needs PostgreSQL 15 or newer"
#endif

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(
					.name = "milvus_brain",
					.version = BRAIN_VERSION
);
#else
PG_MODULE_MAGIC;
#endif

PG_FUNCTION_INFO_V1(brain_version);
PG_FUNCTION_INFO_V1(brain_capabilities);
PG_FUNCTION_INFO_V1(brain_metric_name);

/* "sklearn" is FiftyOne's name of its exact backend; "auto" means what FiftyOne would take, else exact */
static const struct config_enum_entry backend_options[] = {
	{"auto", BACKEND_AUTO, false},
	{"exact", BACKEND_EXACT, false},
	{"sklearn", BACKEND_EXACT, true},
	{"milvus", BACKEND_MILVUS, false},
	{NULL, 0, false}
};

static const struct config_enum_entry failure_options[] = {
	{"exact", ON_FAILURE_EXACT, false},
	{"error", ON_FAILURE_ERROR, false},
	{NULL, 0, false}
};

int			default_similarity_backend = BACKEND_AUTO;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	DefineCustomEnumVariable("brain.default_similarity_backend",
							 gettext_noop("Sets the backend of compute_similarity() calls that name none."),
							 gettext_noop("\"auto\" is the one that FiftyOne's environment or brain_config.json names, else exact."),
							 &default_similarity_backend,
							 BACKEND_AUTO,
							 backend_options,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("brain.max_matrix_size",
							gettext_noop("Sets the largest matrix file that is made for a brain run."),
							gettext_noop("Above it searches read the table. 0 makes none."),
							&max_matrix_size,
							16 * 1024 * 1024, 0, MAX_KILOBYTES,
							PGC_SUSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("brain.use_matrix",
							 gettext_noop("Lets searches use matrix files. Off, they read the table."),
							 NULL,
							 &use_matrix, true,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("brain.screening",
							 gettext_noop("Lets searches read rows in eight bits first. Off, they read each row in float32."),
							 NULL,
							 &screening, true,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("brain.blas_threads",
							gettext_noop("Sets how many threads OpenBLAS uses for many queries at once."),
							NULL,
							&blas_threads,
							1, 1, 64,
							PGC_USERSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("brain.min_server_neighbors",
							gettext_noop("Sets from which size of all vectors on brain.neighbors() asks a run's Milvus server."),
							gettext_noop("Below it PostgreSQL compares all pairs. -1 never asks."),
							&min_server_neighbors,
							256 * 1024, -1, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomEnumVariable("brain.on_backend_failure",
							 gettext_noop("Sets what a search does when its Milvus server cannot answer."),
							 gettext_noop("\"exact\" answers from the table, \"error\" raises an error."),
							 &on_backend_failure,
							 ON_FAILURE_EXACT,
							 failure_options,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);
	DefineMilvusSettings();
#if defined(BRAIN_MUTATE) || defined(BRAIN_FAULTS)
	DefineTestingSettings();
#endif
	MarkGUCPrefixReserved("brain");
}

/*
 * What a name means, which origin has given, NULL: the caller. Error 22023 for an
 * unknown one.
 */
static int
BackendOfName(const char *name, const char *origin)
{
	const struct config_enum_entry *option = backend_options;

	while (option->name && (option->val == BACKEND_AUTO || pg_strcasecmp(option->name, name) != 0))
		option++;
	if (option->name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown similarity backend \"%s\"", name),
				 origin ? errdetail("It is set by %s.", origin) : 0,
				 errhint("Available backends: exact, milvus.")));
	return option->val;
}

static int
DefaultBackend(void)
{
	char	   *origin;
	char	   *name;

	if (default_similarity_backend != BACKEND_AUTO)
		return default_similarity_backend;
	name = FiftyOneBackend(&origin);
	return name ? BackendOfName(name, origin) : BACKEND_EXACT;
}

/*
 * The backend that a name means. NULL: the default one. Error 22023 for an unknown
 * name.
 */
const Backend *
FindBackend(const char *name)
{
	int			kind = name ? BackendOfName(name, NULL) : DefaultBackend();

	return kind == BACKEND_MILVUS ? &milvus_backend : &exact_backend;
}

/*
 * SQL: brain.version() returns text
 */
Datum
brain_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(BRAIN_VERSION));
}

/*
 * SQL: brain._metric_name(metric text) returns text: cosine, dotproduct or
 * euclidean; NULL for a word that means none.
 */
Datum
brain_metric_name(PG_FUNCTION_ARGS)
{
	Metric		metric;

	if (!ParseMetric(text_to_cstring(PG_GETARG_TEXT_PP(0)), &metric))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(MetricName(metric)));
}

static Datum
TextArray(const char *const *words, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		elements[i] = CStringGetTextDatum(words[i]);
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * SQL: brain.capabilities() returns setof record, a row for each backend that
 * this library has.
 */
Datum
brain_capabilities(PG_FUNCTION_ARGS)
{
	static const char *const aggregations[] = {"mean", "post-mean", "post-min", "post-max"};
	static const char *const metrics[] = {"cosine", "dotproduct", "euclidean"};
	static const Backend *const backends[] = {&exact_backend, &milvus_backend};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (size_t i = 0; i < lengthof(backends); i++)
	{
		const Backend *backend = backends[i];
		Datum		values[9];
		bool		nulls[9] = {false};

		values[0] = CStringGetTextDatum(backend->name);
		values[1] = Int32GetDatum(backend->max_k);
		nulls[1] = backend->max_k == 0;
		values[2] = BoolGetDatum(backend->reverse);
		values[3] = TextArray(aggregations, backend->post_aggregations ? lengthof(aggregations) : 1);
		values[4] = BoolGetDatum(true);
		values[5] = BoolGetDatum(true);
		values[6] = TextArray(metrics, lengthof(metrics));
		values[7] = CStringGetTextDatum(MetricName(backend->default_metric));
		values[8] = Int32GetDatum(MAX_DIMENSIONS);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
