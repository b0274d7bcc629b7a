/*
 * catalog.c
 *		The tables brain._runs, brain._run_bindings and brain.embeddings.
 *
 * brain._runs says everything by name, and is dumped; brain._run_bindings says
 * what the names are here, by OID and column number, and is not.
 *
 * All three are read and written with heap functions, under the active
 * snapshot: a search's is its statement's, so that run and dataset are seen at
 * one moment; what writes pushes the latest first, when it has its lock. No user
 * has privileges on these tables, so none are checked here: the entry points
 * check the caller's rights on the dataset.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "samples.h"

/* columns of brain._runs */
enum
{
	RUN_ID = 1,
	RUN_BRAIN_KEY,
	RUN_DATASET_SCHEMA,
	RUN_DATASET_NAME,
	RUN_ID_FIELD,
	RUN_EMBEDDINGS_FIELD,
	RUN_FILTER,
	RUN_TYPE,
	RUN_BACKEND,
	RUN_METRIC,
	RUN_DIMENSIONS,
	RUN_INDEXED,
	RUN_MISSING,
	RUN_SKIPPED,
	RUN_HAS_INDEX,
	RUN_VERSION,
	RUN_CREATED,
	RUN_CONFIG,					/* from 0.3.0 on */
	RUN_COLUMNS = RUN_CONFIG
};

/* columns of brain._run_bindings */
enum
{
	BINDING_RUN_ID = 1,
	BINDING_SYSTEM_IDENTIFIER,
	BINDING_DATASET,
	BINDING_ID_ATTNUM,
	BINDING_EMBEDDINGS_ATTNUM,
	BINDING_FILTER_TREE,
	BINDING_COLUMNS = BINDING_FILTER_TREE
};

/*
 * The OID of a table or index of ours.
 */
Oid
BrainRelation(const char *name)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid("brain", false));

	if (!OidIsValid(relid))
		elog(ERROR, "relation brain.%s does not exist", name);
	return relid;
}

/*
 * Scan a table of ours by an index of ours (NULL: all of it), under the active
 * snapshot.
 */
SysScanDesc
BeginBrainScan(Relation rel, const char *index, int nkeys, ScanKey keys)
{
	return systable_beginscan(rel, index ? BrainRelation(index) : InvalidOid,
							  index != NULL, GetActiveSnapshot(), nkeys, keys);
}

void
InitUuidKey(ScanKey key, AttrNumber attno, const pg_uuid_t *id)
{
	ScanKeyInit(key, attno, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
}

static void
InitTextKey(ScanKey key, AttrNumber attno, const char *text)
{
	ScanKeyEntryInitialize(key, 0, attno, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, CStringGetTextDatum(text));
}

/* ---------- brain._runs and brain._run_bindings: reading ---------- */

static char *
TextOrNull(Datum value, bool isnull)
{
	return isnull ? NULL : TextDatumGetCString(value);
}

static int64
CountOrUnknown(Datum value, bool isnull)
{
	return isnull ? COUNT_UNKNOWN : DatumGetInt64(value);
}

static void
ReadConfig(Run *run, Jsonb *config)
{
	JsonbValue	buffer;
	JsonbValue *attached = getKeyJsonValueFromContainer(&config->root, "attached", strlen("attached"), &buffer);

	run->config = JsonbToCString(NULL, &config->root, 0);
	run->attached = attached && attached->type == jbvBool && attached->val.boolean;
}

static Run *
RunOfTuple(HeapTuple tuple, TupleDesc desc)
{
	Run		   *run = palloc0(sizeof(Run));
	Datum		v[RUN_COLUMNS + 1];
	bool		n[RUN_COLUMNS + 1];
	char	   *metric;

	/* attribute numbers start at 1; older SQL than ours has fewer */
	memset(n, true, sizeof(n));
	for (int i = 1; i <= Min(RUN_COLUMNS, desc->natts); i++)
		v[i] = heap_getattr(tuple, i, desc, &n[i]);
	run->id = *DatumGetUUIDP(v[RUN_ID]);
	run->brain_key = TextDatumGetCString(v[RUN_BRAIN_KEY]);
	run->dataset_schema = TextDatumGetCString(v[RUN_DATASET_SCHEMA]);
	run->dataset_name = TextDatumGetCString(v[RUN_DATASET_NAME]);
	run->id_field = TextDatumGetCString(v[RUN_ID_FIELD]);
	run->embeddings_field = TextOrNull(v[RUN_EMBEDDINGS_FIELD], n[RUN_EMBEDDINGS_FIELD]);
	run->filter = TextOrNull(v[RUN_FILTER], n[RUN_FILTER]);
	run->type = TextDatumGetCString(v[RUN_TYPE]);
	run->backend = TextDatumGetCString(v[RUN_BACKEND]);
	metric = TextDatumGetCString(v[RUN_METRIC]);
	if (!ParseMetric(metric, &run->metric))
		elog(ERROR, "unknown metric \"%s\" in brain._runs", metric);
	run->dimensions = n[RUN_DIMENSIONS] ? 0 : DatumGetInt32(v[RUN_DIMENSIONS]);
	run->indexed = CountOrUnknown(v[RUN_INDEXED], n[RUN_INDEXED]);
	run->missing = CountOrUnknown(v[RUN_MISSING], n[RUN_MISSING]);
	run->skipped = CountOrUnknown(v[RUN_SKIPPED], n[RUN_SKIPPED]);
	run->has_index = DatumGetBool(v[RUN_HAS_INDEX]);
	run->version = TextDatumGetCString(v[RUN_VERSION]);
	run->created = DatumGetTimestampTz(v[RUN_CREATED]);
	if (!n[RUN_CONFIG])
		ReadConfig(run, DatumGetJsonbP(v[RUN_CONFIG]));
	return run;
}

/*
 * Does a binding belong to this cluster? pg_upgrade carries the table along,
 * but function OIDs and the form of trees change under it.
 */
static bool
BindingCounts(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;

	return DatumGetInt64(heap_getattr(tuple, BINDING_SYSTEM_IDENTIFIER, desc, &isnull)) ==
		(int64) GetSystemIdentifier();
}

/*
 * Add what brain._run_bindings knows of a run.
 */
static void
ReadBinding(Run *run)
{
	Relation	rel = table_open(BrainRelation("_run_bindings"), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	InitUuidKey(&key, BINDING_RUN_ID, &run->id);
	scan = BeginBrainScan(rel, "_run_bindings_pkey", 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple) && BindingCounts(tuple, desc))
	{
		Datum		value;
		bool		isnull;

		run->dataset = DatumGetObjectId(heap_getattr(tuple, BINDING_DATASET, desc, &isnull));
		/* a table can be dropped while event triggers are off */
		run->bound = SearchSysCacheExists1(RELOID, ObjectIdGetDatum(run->dataset));
		run->id_attno = DatumGetInt16(heap_getattr(tuple, BINDING_ID_ATTNUM, desc, &isnull));
		value = heap_getattr(tuple, BINDING_EMBEDDINGS_ATTNUM, desc, &isnull);
		run->embeddings_attno = isnull ? InvalidAttrNumber : DatumGetInt16(value);
		value = heap_getattr(tuple, BINDING_FILTER_TREE, desc, &isnull);
		run->filter_tree = TextOrNull(value, isnull);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * The runs that a scan of brain._runs finds, with their bindings.
 */
static List *
ScanRuns(const char *index, int nkeys, ScanKey keys)
{
	Relation	rel = table_open(BrainRelation("_runs"), AccessShareLock);
	SysScanDesc scan = BeginBrainScan(rel, index, nkeys, keys);
	HeapTuple	tuple;
	List	   *runs = NIL;
	ListCell   *lc;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		runs = lappend(runs, RunOfTuple(tuple, RelationGetDescr(rel)));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	foreach(lc, runs)
		ReadBinding(lfirst(lc));
	return runs;
}

/*
 * All brain runs of the database: a list of Run.
 */
List *
AllRuns(void)
{
	return ScanRuns(NULL, 0, NULL);
}

/*
 * The run of an id; NULL when there is none.
 */
Run *
ReadRun(const pg_uuid_t *id)
{
	ScanKeyData key;
	List	   *runs;

	InitUuidKey(&key, RUN_ID, id);
	runs = ScanRuns("_runs_pkey", 1, &key);
	return runs ? linitial(runs) : NULL;
}

/*
 * The run of a dataset's name and a key that is bound to nothing; NULL when
 * there is none.
 */
Run *
ReadUnboundRun(const char *schema, const char *name, const char *brain_key)
{
	ScanKeyData keys[3];
	List	   *runs;

	InitTextKey(&keys[0], RUN_DATASET_SCHEMA, schema);
	InitTextKey(&keys[1], RUN_DATASET_NAME, name);
	InitTextKey(&keys[2], RUN_BRAIN_KEY, brain_key);
	runs = ScanRuns("_runs_dataset_schema_dataset_name_brain_key_key", 3, keys);
	return runs && !((Run *) linitial(runs))->bound ? linitial(runs) : NULL;
}

/* The ids of the runs that are bound to a dataset: a list of pg_uuid_t. */
static List *
IdsOfBoundRuns(Oid dataset)
{
	Relation	rel = table_open(BrainRelation("_run_bindings"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *ids = NIL;

	ScanKeyInit(&key, BINDING_DATASET, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(dataset));
	scan = BeginBrainScan(rel, "_run_bindings_dataset_idx", 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));
		bool		isnull;

		if (!BindingCounts(tuple, RelationGetDescr(rel)))
			continue;
		*id = *DatumGetUUIDP(heap_getattr(tuple, BINDING_RUN_ID, RelationGetDescr(rel), &isnull));
		ids = lappend(ids, id);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return ids;
}

static int
CompareRuns(const ListCell *a, const ListCell *b)
{
	return strcmp(((Run *) lfirst(a))->brain_key, ((Run *) lfirst(b))->brain_key);
}

/*
 * The runs of a dataset, sorted by key: those bound to its OID, and those that
 * are bound to nothing and have its name.
 */
List *
RunsOfDataset(Relation dataset)
{
	List	   *runs = NIL;
	ScanKeyData keys[2];
	ListCell   *lc;

	foreach(lc, IdsOfBoundRuns(RelationGetRelid(dataset)))
	{
		Run		   *run = ReadRun(lfirst(lc));

		if (run)
			runs = lappend(runs, run);
	}

	InitTextKey(&keys[0], RUN_DATASET_SCHEMA, get_namespace_name(RelationGetNamespace(dataset)));
	InitTextKey(&keys[1], RUN_DATASET_NAME, RelationGetRelationName(dataset));
	foreach(lc, ScanRuns("_runs_dataset_schema_dataset_name_brain_key_key", 2, keys))
	{
		Run		   *run = lfirst(lc);

		if (!run->bound)
			runs = lappend(runs, run);
	}
	list_sort(runs, CompareRuns);
	return runs;
}

/* ---------- brain._runs and brain._run_bindings: writing ---------- */

static void
SetText(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column - 1] = text == NULL;
	values[column - 1] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

static void
SetCount(Datum *values, bool *nulls, int column, int64 count)
{
	nulls[column - 1] = count == COUNT_UNKNOWN;
	values[column - 1] = Int64GetDatum(count);
}

static HeapTuple
TupleOfRun(const Run *run, TupleDesc desc)
{
	Datum		values[RUN_COLUMNS] = {0};
	bool		nulls[RUN_COLUMNS] = {0};

	values[RUN_ID - 1] = UUIDPGetDatum(&run->id);
	SetText(values, nulls, RUN_BRAIN_KEY, run->brain_key);
	SetText(values, nulls, RUN_DATASET_SCHEMA, run->dataset_schema);
	SetText(values, nulls, RUN_DATASET_NAME, run->dataset_name);
	SetText(values, nulls, RUN_ID_FIELD, run->id_field);
	SetText(values, nulls, RUN_EMBEDDINGS_FIELD, run->embeddings_field);
	SetText(values, nulls, RUN_FILTER, run->filter);
	SetText(values, nulls, RUN_TYPE, run->type);
	SetText(values, nulls, RUN_BACKEND, run->backend);
	SetText(values, nulls, RUN_METRIC, MetricName(run->metric));
	values[RUN_DIMENSIONS - 1] = Int32GetDatum(run->dimensions);
	nulls[RUN_DIMENSIONS - 1] = run->dimensions == 0;
	SetCount(values, nulls, RUN_INDEXED, run->indexed);
	SetCount(values, nulls, RUN_MISSING, run->missing);
	SetCount(values, nulls, RUN_SKIPPED, run->skipped);
	values[RUN_HAS_INDEX - 1] = BoolGetDatum(run->has_index);
	SetText(values, nulls, RUN_VERSION, run->version);
	values[RUN_CREATED - 1] = TimestampTzGetDatum(run->created);
	nulls[RUN_CONFIG - 1] = run->config == NULL;
	if (run->config)
		values[RUN_CONFIG - 1] = DirectFunctionCall1(jsonb_in, CStringGetDatum(run->config));
	return heap_form_tuple(desc, values, nulls);
}

static HeapTuple
TupleOfBinding(const Run *run, TupleDesc desc)
{
	Datum		values[BINDING_COLUMNS] = {0};
	bool		nulls[BINDING_COLUMNS] = {0};

	values[BINDING_RUN_ID - 1] = UUIDPGetDatum(&run->id);
	values[BINDING_SYSTEM_IDENTIFIER - 1] = Int64GetDatum((int64) GetSystemIdentifier());
	values[BINDING_DATASET - 1] = ObjectIdGetDatum(run->dataset);
	values[BINDING_ID_ATTNUM - 1] = Int16GetDatum(run->id_attno);
	values[BINDING_EMBEDDINGS_ATTNUM - 1] = Int16GetDatum(run->embeddings_attno);
	nulls[BINDING_EMBEDDINGS_ATTNUM - 1] = run->embeddings_attno == InvalidAttrNumber;
	SetText(values, nulls, BINDING_FILTER_TREE, run->filter_tree);
	return heap_form_tuple(desc, values, nulls);
}

/*
 * Put a tuple into the place of those that a key finds on the index: insert
 * where there are none, delete where the tuple is NULL.
 */
static void
ReplaceTuples(Relation rel, const char *index, ScanKey key, HeapTuple tuple)
{
	SysScanDesc scan = BeginBrainScan(rel, index, 1, key);
	HeapTuple	old;

	while (HeapTupleIsValid(old = systable_getnext(scan)))
	{
		CHECK_FOR_INTERRUPTS();
		if (tuple)
		{
			CatalogTupleUpdate(rel, &old->t_self, tuple);
			break;
		}
		CatalogTupleDelete(rel, &old->t_self);
	}
	systable_endscan(scan);
	if (tuple && !HeapTupleIsValid(old))
		CatalogTupleInsert(rel, tuple);
}

/*
 * Replace or insert the row of a run in a table keyed by run id.
 */
static void
WriteRow(const char *table, const char *index, const Run *run,
		 HeapTuple (*form) (const Run *, TupleDesc))
{
	Relation	rel = table_open(BrainRelation(table), RowExclusiveLock);
	ScanKeyData key;

	InitUuidKey(&key, 1, &run->id);
	ReplaceTuples(rel, index, &key, form ? form(run, RelationGetDescr(rel)) : NULL);
	table_close(rel, RowExclusiveLock);
	/* triggers remember what they know of a run as long as its dataset is as it was */
	if (OidIsValid(run->dataset) && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(run->dataset)))
		CacheInvalidateRelcacheByRelid(run->dataset);
	/* the rest of the statement sees it, under its next snapshot */
	CommandCounterIncrement();
}

/*
 * Record a new run and its binding. Its id must be fresh.
 */
void
InsertRun(const Run *run)
{
	UpdateRun(run);
	BindRun(run);
}

void
UpdateRun(const Run *run)
{
	WriteRow("_runs", "_runs_pkey", run, TupleOfRun);
}

void
BindRun(const Run *run)
{
	WriteRow("_run_bindings", "_run_bindings_pkey", run, TupleOfBinding);
}

/*
 * Delete a run's record, with what hangs on it.
 */
void
DeleteRun(const Run *run)
{
	DeleteEmbeddings(run);
	WriteRow("_run_bindings", "_run_bindings_pkey", run, NULL);
	WriteRow("_runs", "_runs_pkey", run, NULL);
}

/* ---------- brain.embeddings ---------- */

void
DeleteEmbeddings(const Run *run)
{
	WriteRow("embeddings", "embeddings_pkey", run, NULL);
}

/*
 * How many embeddings a run holds, of samples that may have been deleted since.
 */
int64
CountEmbeddings(const Run *run)
{
	Relation	rel = table_open(BrainRelation("embeddings"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	int64		count = 0;

	InitUuidKey(&key, EMBEDDING_RUN_ID, &run->id);
	scan = BeginBrainScan(rel, "embeddings_pkey", 1, &key);
	while (HeapTupleIsValid(systable_getnext(scan)))
	{
		CHECK_FOR_INTERRUPTS();
		count++;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return count;
}

struct EmbeddingReader
{
	Relation	rel;
	const Run  *run;
};

EmbeddingReader *
OpenEmbeddings(const Run *run)
{
	EmbeddingReader *reader = palloc(sizeof(EmbeddingReader));

	reader->rel = table_open(BrainRelation("embeddings"), AccessShareLock);
	reader->run = run;
	return reader;
}

/*
 * Read a sample's embedding; false when it has none. Uses the current memory
 * context, which should be short-lived.
 */
bool
FetchEmbedding(EmbeddingReader *reader, const char *sample_id, VectorBuffer *buffer)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	InitUuidKey(&keys[0], EMBEDDING_RUN_ID, &reader->run->id);
	InitTextKey(&keys[1], EMBEDDING_SAMPLE_ID, sample_id);
	scan = BeginBrainScan(reader->rel, "embeddings_pkey", 2, keys);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, EMBEDDING_EMBEDDING,
										 RelationGetDescr(reader->rel), &isnull);

		if (ReadVector(VECTOR_FLOAT4_ARRAY, value, buffer) != VECTOR_OK)
			elog(ERROR, "damaged embedding of sample \"%s\" in brain.embeddings", sample_id);
	}
	systable_endscan(scan);
	return found;
}

void
CloseEmbeddings(EmbeddingReader *reader)
{
	table_close(reader->rel, AccessShareLock);
	pfree(reader);
}

static Oid
OwnerOfEmbeddings(void)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(BrainRelation("embeddings")));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation brain.embeddings");
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * Run a statement on brain.embeddings as its owner. It goes through the
 * executor, unlike the writes above: ON CONFLICT settles what two sessions do
 * at once. Returns the number of rows; *result is the first row's first column,
 * a boolean, when there is one.
 */
static uint64
ExecuteAsOwner(const char *sql, int nargs, Oid *types, Datum *values, bool *result)
{
	Oid			user;
	int			security_context;
	int			nest_level = PinSearchPath();
	uint64		processed;

	GetUserIdAndSecContext(&user, &security_context);
	SetUserIdAndSecContext(OwnerOfEmbeddings(),
						   security_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql, nargs, types, values, NULL, false, 0) < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s", sql);
	processed = SPI_processed;
	if (processed > 0 && result)
	{
		bool		isnull;

		*result = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
											 1, &isnull));
	}
	SPI_finish();
	SetUserIdAndSecContext(user, security_context);
	UnpinSettings(nest_level);
	return processed;
}

/*
 * Store a sample's embedding. The vector was checked.
 */
StoreResult
StoreEmbedding(const Run *run, const char *sample_id, const VectorBuffer *vector, bool overwrite)
{
	Oid			types[] = {UUIDOID, TEXTOID, FLOAT4ARRAYOID};
	Datum		values[] = {
		UUIDPGetDatum(&run->id),
		CStringGetTextDatum(sample_id),
		PointerGetDatum(VectorToArray(vector->values, vector->dim))
	};
	bool		is_new;

	/* xmax of a tuple that was just inserted is 0, of one updated it is not */
	if (ExecuteAsOwner(overwrite ?
					   "INSERT INTO brain.embeddings VALUES ($1, $2, $3)"
					   " ON CONFLICT (run_id, sample_id) DO UPDATE SET embedding = EXCLUDED.embedding"
					   " RETURNING xmax = 0" :
					   "INSERT INTO brain.embeddings VALUES ($1, $2, $3)"
					   " ON CONFLICT (run_id, sample_id) DO NOTHING"
					   " RETURNING true",
					   3, types, values, &is_new) == 0)
		return STORED_NOT;
	return is_new ? STORED_NEW : STORED_OVER;
}

/*
 * Remove a sample's embedding; false when it had none.
 */
bool
RemoveEmbedding(const Run *run, const char *sample_id)
{
	Oid			types[] = {UUIDOID, TEXTOID};
	Datum		values[] = {UUIDPGetDatum(&run->id), CStringGetTextDatum(sample_id)};

	return ExecuteAsOwner("DELETE FROM brain.embeddings WHERE run_id = $1 AND sample_id = $2",
						  2, types, values, NULL) > 0;
}
