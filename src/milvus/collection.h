/*
 * collection.h
 *		A run's collection on a Milvus server: its making, its filling, its end.
 */
#ifndef BRAIN_COLLECTION_H
#define BRAIN_COLLECTION_H

#include "catalog.h"
#include "milvus/connection.h"

/*
 * What a run's row says of its collection (brain._runs.config): nothing secret,
 * and nothing that is true of one server at one time only.
 */
typedef struct CollectionConfig
{
	char	   *server;			/* a foreign server; NULL: the settings of who asks */
	char	   *collection_name;
	MilvusLevel consistency_level;
	char	   *index_type;
	char	   *index_params;	/* a JSON object */
	char	   *search_params;	/* a JSON object; NULL: by k */
	int			shards_num;
	char	   *key_field;
	char	   *vector_field;
	bool		key_is_number;	/* INT64; else VARCHAR */
	bool		attached;		/* it was there before, and is not ours to drop */
} CollectionConfig;

/* The layout of FiftyOne's collections. */
#define COLLECTION_KEY_FIELD "pk"
#define COLLECTION_VECTOR_FIELD "vector"
#define COLLECTION_TEXT_FIELD "sample_id"
#define COLLECTION_MAX_TEXT 64000

#define MARKS_KEY "milvus_brain"

/* By which a collection is known as ours, on whatever server. */
typedef struct CollectionMarks
{
	pg_uuid_t	run_id;
	pg_uuid_t	generation;
	uint64		system_identifier;
	Oid			database;
	uint32		timeline;		/* of the cluster: a promoted standby is another */
	uint64		maker;			/* full transaction id */
} CollectionMarks;

extern CollectionConfig *ReadCollectionConfig(const char *json);
extern char *CollectionConfigText(const CollectionConfig *config);
extern const char *LevelName(MilvusLevel level);
extern bool ParseLevel(const char *name, MilvusLevel *level);
extern const char *MilvusMetric(Metric metric);
extern char *SearchParams(const CollectionConfig *config, int k);
extern char *MarksText(const pg_uuid_t *run_id, const pg_uuid_t *generation);
extern bool MarksAreOurs(const CollectionMarks *marks);
extern bool FindMarks(const MilvusCollection *collection, CollectionMarks *marks);
extern bool IsAlias(GrpcConnection *grpc, const char *name, const MilvusCollection *found);
extern void MilvusSleep(long milliseconds);
extern void MilvusSleepUntil(TimestampTz until);

/* ---------- making one; failures are raised ---------- */

typedef struct Upload Upload;

extern Upload *BeginUpload(MilvusConnection *connection, CollectionConfig *config, const Run *run,
						   const pg_uuid_t *generation, const char *dataset_name, Size batch_bytes,
						   bool tries_index);
extern void StartUpload(Upload *upload);
extern void UploadRow(Upload *upload, const char *id, const float *values, int dim);
extern bool SendLastRows(Upload *upload);
extern void FinishUpload(Upload *upload);
extern void DropUploaded(Upload *upload);
extern void EndUpload(Upload *upload, bool keep);
extern int64 UploadedRows(const Upload *upload);
extern uint64 UploadTimestamp(const Upload *upload);
extern void ForEachUploadedId(Upload *upload, void (*function) (const char *id, void *arg), void *arg);

extern bool UploadMade(const Upload *upload);
extern bool UploadMayBeThere(const Upload *upload);
extern GrpcFailure *LoadAndWait(MilvusConnection *connection, const char *collection, int limit);
extern bool LoadedAgain(MilvusConnection *connection, const char *collection, GrpcFailure **failure);

#endif							/* BRAIN_COLLECTION_H */
