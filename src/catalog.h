/*
 * catalog.h
 *		The tables brain._runs, brain._run_bindings and brain.embeddings.
 */
#ifndef BRAIN_CATALOG_H
#define BRAIN_CATALOG_H

#include "access/genam.h"
#include "access/skey.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/relcache.h"
#include "utils/uuid.h"

#include "vectors.h"

/* A count that is not known. */
#define COUNT_UNKNOWN (-1)

/* A row of brain._runs, with its row of brain._run_bindings if that counts. */
typedef struct Run
{
	pg_uuid_t	id;
	char	   *brain_key;
	char	   *dataset_schema;
	char	   *dataset_name;
	char	   *id_field;
	char	   *embeddings_field;	/* NULL: vectors are in brain.embeddings */
	char	   *filter;			/* NULL: none */
	char	   *type;
	char	   *backend;
	Metric		metric;
	int			dimensions;		/* 0: not known yet */
	int64		indexed;
	int64		missing;
	int64		skipped;
	bool		has_index;		/* false after cleanup() */
	char	   *version;
	TimestampTz created;
	char	   *config;			/* JSON, what only its backend understands; NULL: none */
	bool		attached;		/* to a collection that is not ours; says config */
	const Jsonb *options;	/* of the call at hand, never stored; NULL: none */

	bool		bound;			/* the rest is valid */
	Oid			dataset;		/* also when it was just dropped */
	AttrNumber	id_attno;
	AttrNumber	embeddings_attno;	/* 0: none */
	char	   *filter_tree;	/* NULL: none */
} Run;

/* columns of brain.embeddings */
enum
{
	EMBEDDING_RUN_ID = 1,
	EMBEDDING_SAMPLE_ID,
	EMBEDDING_EMBEDDING
};

/* For the files that keep a table of their own. */
extern Oid	BrainRelation(const char *name);
extern SysScanDesc BeginBrainScan(Relation rel, const char *index, int nkeys, ScanKey keys);
extern void InitUuidKey(ScanKey key, AttrNumber attno, const pg_uuid_t *id);

extern List *AllRuns(void);
extern List *RunsOfDataset(Relation dataset);
extern Run *ReadRun(const pg_uuid_t *id);
extern Run *ReadUnboundRun(const char *schema, const char *name, const char *brain_key);
extern void InsertRun(const Run *run);
extern void UpdateRun(const Run *run);
extern void DeleteRun(const Run *run);
extern void BindRun(const Run *run);
extern void DeleteEmbeddings(const Run *run);
extern int64 CountEmbeddings(const Run *run);

/* A reader of brain.embeddings, by sample id. */
typedef struct EmbeddingReader EmbeddingReader;

extern EmbeddingReader *OpenEmbeddings(const Run *run);
extern bool FetchEmbedding(EmbeddingReader *reader, const char *sample_id, VectorBuffer *buffer);
extern void CloseEmbeddings(EmbeddingReader *reader);

/* How an embedding was stored. */
typedef enum StoreResult
{
	STORED_NEW,
	STORED_OVER,
	STORED_NOT,					/* one was there, and was not to be replaced */
} StoreResult;

extern StoreResult StoreEmbedding(const Run *run, const char *sample_id,
								  const VectorBuffer *vector, bool overwrite);
extern bool RemoveEmbedding(const Run *run, const char *sample_id);

#endif							/* BRAIN_CATALOG_H */
