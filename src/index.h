/*
 * index.h
 *		What an index holds: the embedding that belongs to a row of a dataset.
 */
#ifndef BRAIN_INDEX_H
#define BRAIN_INDEX_H

#include "fmgr.h"

#include "changes.h"
#include "query.h"
#include "runs.h"

typedef enum EntryState
{
	ENTRY_OK,					/* vector is filled */
	ENTRY_MISSING,				/* the sample has no embedding */
	ENTRY_BAD,					/* it has one that cannot be used */
} EntryState;

/*
 * Reads the embeddings of a run, from a column of the dataset or from
 * brain.embeddings.
 */
typedef struct IndexReader
{
	const Run  *run;
	Dataset    *dataset;
	EmbeddingReader *stored;	/* NULL when there is a column, or a collection has them */
	struct AttachedVectors *attached;	/* NULL: PostgreSQL has the vectors */
	int			dimensions;		/* that embeddings must have; 0: any */
	char	   *targets;		/* what a SampleQuery must select for ReadEntry */
	char	   *embedding;		/* of these, the embedding; NULL when it is stored */

	/* set by ReadEntry */
	VectorBuffer vector;
	bool		id_is_null;
	Datum		id;
	VectorFailure failure;		/* of an ENTRY_BAD whose id is not NULL */

	/* set by LeaveOut */
	int64		left_out;
	char	   *first_problem;
} IndexReader;

/* Of what a statement has been told. */
typedef struct Told
{
	bool		chosen_run;
	bool		left_out;
} Told;

/* Called with the position of an id in the query, counted from 0. */
typedef void (*EntryCallback) (IndexReader *reader, int position, EntryState state, void *arg);

extern void RequireVectors(const Run *run);
extern void OpenIndexReader(IndexReader *reader, const Run *run, Dataset *dataset);
extern void CloseIndexReader(IndexReader *reader);
extern EntryState ReadEntry(IndexReader *reader, TupleTableSlot *slot, int column);
extern char *EntryProblem(IndexReader *reader);
extern int	EntrySqlState(const IndexReader *reader);
extern void LeaveOut(IndexReader *reader);
extern void LeaveOutSample(IndexReader *reader, const char *id, VectorFailure failure, int dim);
extern Told *ToldByStatement(FmgrInfo *flinfo);
extern void WarnOfLeftOut(const IndexReader *reader, FmgrInfo *flinfo);
extern void ReadEntriesOfIds(IndexReader *reader, const SimilarityQuery *query, const char *lock,
							 EntryCallback callback, void *arg);

typedef void (*EntryReader) (IndexReader *reader, EntryState state, void *arg);

extern void ReadSamplesAmong(Dataset *dataset, const char *target, int n, Datum *ids,
							 const char *filter, SampleReader read, void *arg);
extern void ReadEntriesAmong(IndexReader *reader, int n, Datum *ids, const char *filter,
							 EntryReader read, void *arg);

/* Reads rows of a dataset by id: position, key, and the target. */
extern void ReadSamplesOfIds(Dataset *dataset, const char *target, const char *lock,
							 int n, Datum *ids, SampleReader read, void *arg);
extern int	PositionOfSlot(TupleTableSlot *slot);

extern void ReadIdsArgument(FunctionCallInfo fcinfo, int n, const char *name, Dataset *dataset,
							SimilarityQuery *ids);
extern char *ListMissingIds(const SimilarityQuery *ids, char **found, int *n_missing);
extern void ReportMissing(const Run *run, const Dataset *dataset, int64 n, const char *example,
						  bool allow_missing, bool warn_missing);

extern void IdsOfChanges(const Changes *changes, SampleKey *key, SimilarityQuery *ids);

#endif							/* BRAIN_INDEX_H */
