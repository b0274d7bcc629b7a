/*
 * collectionsync.c
 *		Taking the change log into a run's collection.
 *
 * Every id that is sent has a log row that each running snapshot sees, so a
 * search under any of them reads that sample from the dataset and does not care
 * what the collection has. That is why only such rows are taken in: those that a
 * running transaction does not see yet wait for the next sync. What is sent is
 * read when it is sent, by id, and written by upserts and deletes, which can be
 * done twice.
 *
 * Only when a search would see all of it without waiting are the log rows deleted,
 * and the timestamp stored that later searches guarantee.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "collectionsync.h"
#include "index.h"
#include "milvus/milvus.h"
#include "pendingwrite.h"
#include "testing.h"

/* Ids in one delete; the server takes 5 to 8 us for each. */
#define IDS_PER_DELETE 1000

/* Rows in one upsert, at most; and bytes. milvus-lite 2.x collapses beyond a MiB. */
#define ROWS_PER_UPSERT 4000
#define BYTES_PER_UPSERT (4 * 1024 * 1024)
#define BYTES_PER_UPSERT_LITE2 (512 * 1024)

typedef struct CollectionSync
{
	MilvusConnection *connection;
	CollectionConfig *config;
	const BaseRow *row;
	int			dim;			/* of the collection */
	HTAB	   *changed_ids;
	HTAB	   *present_ids;	/* those that are searched */
	List	   *refused;		/* of these, those that the server cannot have */
	MemoryContext context;

	/* the next upsert */
	int			capacity;
	int			n;
	char	  **ids;
	float	   *vectors;
} CollectionSync;

/*
 * Was it acknowledged? Only then are log rows forgotten.
 */
static void
CheckWritten(CollectionSync *sync, GrpcFailure *failure)
{
	if (failure && !failure->maybe_done)
		EndPendingWrite(&sync->row->run_id);
	if (!Mutated("R4"))
		GrpcCheck(failure);
}

/*
 * Note how long what is sent now may be done: twice where a connection turns out
 * to be dead.
 */
static void
NoteWrite(CollectionSync *sync)
{
	const GrpcEndpoint *endpoint = GrpcEndpointOf(sync->connection->grpc);

	if (!Mutated("R4"))
		BeginPendingWrite(&sync->row->run_id, 2 * (int64) endpoint->request_timeout + endpoint->connect_timeout);
}

/* ---------- what is visible ---------- */

static int
ComparePositions(const void *a, const void *b, void *ids)
{
	return strcmp(((char **) ids)[*(const int *) a], ((char **) ids)[*(const int *) b]);
}

/*
 * Has the collection these rows? milvus-lite 2.x shows what was written some
 * milliseconds later, whatever it is asked to guarantee.
 */
static bool
ShowsRows(CollectionSync *sync, int n, char **ids, const float *vectors)
{
	MilvusEntries entries = {0};
	MilvusQuery query = {
		.collection = sync->row->collection,
		.key_field = sync->config->key_field,
		.vector_field = vectors ? sync->config->vector_field : NULL,
		.expression = KeysExpression(sync->config->key_field, n, (const char *const *) ids, NULL),
		.max_rows = n,
		.dim = sync->dim,
		.level = MILVUS_STRONG,
	};
	int		   *order = palloc(sizeof(int) * Max(n, 1));
	int			n_same = 0;

	GrpcCheck(MilvusRunQuery(sync->connection->grpc, &query, &entries));
	if (vectors == NULL)
		return entries.keys.n == 0;
	for (int i = 0; i < n; i++)
		order[i] = i;
	qsort_arg(order, n, sizeof(int), ComparePositions, ids);
	for (int i = 0; i < entries.keys.n; i++)
	{
		int			low = 0;
		int			high = n - 1;

		while (low < high)
		{
			int			middle = (low + high) / 2;

			if (strcmp(ids[order[middle]], entries.keys.texts[i]) < 0)
				low = middle + 1;
			else
				high = middle;
		}
		if (memcmp(vectors + (Size) order[low] * sync->dim, entries.vectors + (Size) i * sync->dim,
				   sizeof(float) * sync->dim) == 0)
			n_same++;
	}
	return n_same == n;
}

static void
WaitUntilShown(CollectionSync *sync, int n, char **ids, const float *vectors)
{
	if (!sync->connection->server.is_lite2 || Mutated("R4"))
		return;
	while (!ShowsRows(sync, n, ids, vectors))
		MilvusSleep(10);
}

/*
 * The timestamp that a search must guarantee to see what was written before; 0
 * where the server has none. Asked of the server, as a Delete's reply has none.
 */
static uint64
TimestampOfNow(CollectionSync *sync)
{
	uint64		timestamp = 0;

	if (sync->row->timestamp > 0)
		GrpcCheck(MilvusAllocTimestamp(sync->connection->grpc, &timestamp));
	return timestamp;
}

/* ---------- upserts ---------- */

static void
SendUpsert(CollectionSync *sync)
{
	MilvusRows	rows = {
		.collection = sync->row->collection,
		.key_field = sync->config->key_field,
		.vector_field = sync->config->vector_field,
		.text_field = COLLECTION_TEXT_FIELD,
		.n = sync->n,
		.dim = sync->dim,
		.texts = (const char *const *) sync->ids,
		.vectors = sync->vectors,
	};
	MilvusWritten written = {0};

	if (sync->n == 0)
		return;
	(void) FaultPoint("milvus_upsert");
	NoteWrite(sync);
	CheckWritten(sync, MilvusUpsert(sync->connection->grpc, &rows, &written));
	WaitUntilShown(sync, sync->n, sync->ids, sync->vectors);
	sync->n = 0;
}

static void
MakeRoom(CollectionSync *sync)
{
	Size		bytes = sync->connection->server.is_lite2 ? BYTES_PER_UPSERT_LITE2 : BYTES_PER_UPSERT;

	sync->capacity = (int) Max(1, Min(bytes / (sizeof(float) * sync->dim + 64), ROWS_PER_UPSERT));
	sync->ids = palloc(sizeof(char *) * sync->capacity);
	sync->vectors = palloc(sizeof(float) * sync->dim * sync->capacity);
}

/*
 * A changed sample that is to be found: as the dataset has it now.
 */
static void
TakeChanged(IndexReader *reader, EntryState state, void *arg)
{
	CollectionSync *sync = arg;
	char	   *id = SampleId(&reader->dataset->key, reader->id);
	MemoryContext old;

	if (state != ENTRY_OK || !HasId(sync->changed_ids, id))
		return;
	old = MemoryContextSwitchTo(sync->context);
	id = pstrdup(id);
	AddId(sync->present_ids, id);
	if (MilvusTextProblem(&sync->connection->server, id, COLLECTION_MAX_TEXT) ||
		!VectorIsWithinReach(reader->vector.values, reader->vector.dim))
	{
		sync->refused = lappend(sync->refused, id);
		MemoryContextSwitchTo(old);
		return;
	}
	if (sync->capacity == 0)
		MakeRoom(sync);
	if (sync->n == sync->capacity)
		SendUpsert(sync);
	memcpy(sync->vectors + (Size) sync->n * sync->dim, reader->vector.values, sizeof(float) * sync->dim);
	sync->ids[sync->n++] = id;
	MemoryContextSwitchTo(old);
}

/* ---------- deletes ---------- */

static void
SendDelete(CollectionSync *sync, char **ids, int n)
{
	MilvusWritten written = {0};

	if (n == 0)
		return;
	(void) FaultPoint("milvus_delete");
	NoteWrite(sync);
	CheckWritten(sync, MilvusDelete(sync->connection->grpc, sync->row->collection,
									KeysExpression(sync->config->key_field, n, (const char *const *) ids, NULL),
									&written));
	WaitUntilShown(sync, n, ids, NULL);
}

/*
 * Delete the changed samples that are not there any more, or cannot be searched.
 */
static void
DeleteAbsent(CollectionSync *sync, const Changes *changes)
{
	char	  **absent = palloc(sizeof(char *) * IDS_PER_DELETE);
	int			n = 0;

	for (int i = 0; i < changes->n_ids; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (HasId(sync->present_ids, changes->ids[i]) ||
			MilvusTextProblem(&sync->connection->server, changes->ids[i], COLLECTION_MAX_TEXT))
			continue;
		absent[n++] = changes->ids[i];
		if (n < IDS_PER_DELETE)
			continue;
		SendDelete(sync, absent, n);
		n = 0;
	}
	SendDelete(sync, absent, n);
}

/* ---------- a sync ---------- */

/*
 * A collection that somebody has released takes writes, and shows none.
 */
static void
RequireLoaded(MilvusConnection *connection, const char *collection)
{
	int			state = 0;
	GrpcFailure *failure = MilvusLoadState(connection->grpc, collection, &state);

	if (failure == NULL && state != MILVUS_LOADED)
		failure = LoadAndWait(connection, collection, GrpcEndpointOf(connection->grpc)->request_timeout);
	GrpcCheck(failure);
}

/*
 * Write the changes into the collection, and fill in what the run's row will say.
 * Under the sync's lock, and the snapshot that the log was read under. Failures
 * are raised: the log is as it was. Returns the ids that the server cannot have,
 * or not find: they have to be in the log still, so that searches read their
 * samples from the dataset.
 */
List *
SyncCollection(const Run *run, Relation rel, Dataset *dataset, const BaseRow *old, const Changes *changes,
			   BaseRow *new)
{
	CollectionSync sync = {.row = old, .context = CurrentMemoryContext};
	IndexReader reader;
	SimilarityQuery ids;
	SavedUser	saved;
	int64		count = 0;
	bool		is_pending;

	is_pending = AwaitPendingWrite(&run->id);
	sync.connection = RequireConnection(run, &sync.config);
	/* each time: nothing must get into what somebody else has put into its place */
	GrpcCheck(RequireOwnCollection(sync.connection, sync.config, old, &sync.dim));
	RequireLoaded(sync.connection, old->collection);
	if (is_pending)
		AwaitWhatIsAtHand();
	sync.changed_ids = CreateIdSet(changes->ids, changes->n_ids);
	sync.present_ids = CreateIdSet(NULL, 0);
	IdsOfChanges(changes, &dataset->key, &ids);

	BeginAsOwner(rel->rd_rel->relowner, &saved);
	OpenIndexReader(&reader, run, dataset);
	/* the run may know of none yet */
	reader.dimensions = sync.dim;
	ReadEntriesAmong(&reader, ids.n, ids.ids, NULL, TakeChanged, &sync);
	CloseIndexReader(&reader);
	EndAsOwner(&saved);
	SendUpsert(&sync);
	DeleteAbsent(&sync, changes);
	EndPendingWrite(&run->id);

	*new = *old;
	if (Mutated("R4"))
		return NIL;
	new->timestamp = TimestampOfNow(&sync);
	/* waits until what was written can be seen, and says how much there is */
	GrpcCheck(MilvusCount(sync.connection->grpc, old->collection, MILVUS_STRONG, 0, &count));
	new->rows = count;
	new->synced = GetCurrentTimestamp();
	return sync.refused;
}
