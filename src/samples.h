/*
 * samples.h
 *		A dataset: its key, its embeddings, reading them.
 */
#ifndef BRAIN_SAMPLES_H
#define BRAIN_SAMPLES_H

#include "executor/tuptable.h"
#include "nodes/params.h"
#include "utils/relcache.h"

#include "compat.h"
#include "vectors.h"

/*
 * Something that keeps a dataset from being used: raised by what makes a run,
 * reported as its reason by what lists runs.
 */
typedef struct Problem
{
	int			sqlstate;
	char	   *message;
	char	   *hint;			/* may be NULL */
} Problem;

/* The key column, and its values' one canonical text. */
typedef struct SampleKey
{
	AttrNumber	attno;
	char	   *column;			/* quoted */
	char	   *operand;		/* qualified column, as its base type */
	Oid			type;			/* domains looked through */
	Oid			array_type;		/* arrays of it */
	char	   *equals;			/* its equality operator, qualified */
	char		category;		/* pg_type.typcategory */
	bool		pinned;			/* its text depends on settings */
	bool		by_text;		/* equal values may be different ids */
	FmgrInfo	output;
	Oid			input;
	Oid			ioparam;
} SampleKey;

typedef struct Dataset
{
	Oid			relid;
	char	   *name;			/* for messages, as regclass prints it */
	char	   *from;			/* qualified and quoted */
	char	   *name_in_query;	/* the bare name, quoted */
	char		relkind;
	double		rows;			/* as the last ANALYZE counted; < 0: unknown */
	SampleKey	key;
	AttrNumber	embeddings_attno;	/* 0: embeddings are in brain.embeddings */
	char	   *embeddings_column;	/* quoted */
	Oid			embeddings_type;
	VectorFormat format;
	int			declared_dimensions;	/* of a type such as vector(512); 0: none */
	Node	   *filter;			/* the run's own, parsed; NULL for none */
} Dataset;

/* Called for each row, in a memory context that is reset after it. */
typedef void (*SampleReader) (TupleTableSlot *slot, void *arg);

/*
 * A query on a dataset: SELECT targets FROM dataset [join] WHERE the run's
 * filter AND condition AND the caller's. targets, join and condition are ours and name nothing that a
 * search_path could redirect; filter is the caller's own text.
 */
typedef struct SampleQuery
{
	const char *targets;
	const char *join;
	const char *condition;
	const char *filter;
	int			n_ids;			/* in the array that is the parameter */
	Oid		   *param_types;
	ParamListInfo params;
	SampleReader read;
	void	   *arg;
} SampleQuery;

extern Problem *MakeProblem(int sqlstate, char *message, const char *hint);
pg_noreturn extern void RaiseProblem(const Problem *problem);

extern Problem *CheckDataset(Relation rel);
extern bool CanBeKey(Oid type);
extern Problem *CheckKeyColumn(Relation rel, AttrNumber attno);
extern Problem *CheckEmbeddingsColumn(Relation rel, AttrNumber attno);
extern AttrNumber ColumnNumber(Relation rel, const char *name);
extern AttrNumber PrimaryKeyColumn(Relation rel);
extern List *CandidateEmbeddingsColumns(Relation rel);
extern bool DatasetIsTable(Relation rel);
extern char *ClipText(const char *text);
extern char *DatasetName(Oid relid);

extern Dataset *OpenDataset(Relation rel, AttrNumber key_attno, AttrNumber embeddings_attno);
extern char *SampleId(SampleKey *key, Datum value);
extern char *CanonicalText(Oid type, Datum value);
extern bool ParseSampleId(SampleKey *key, const char *text, Datum *value);
extern void ReadSamples(const Dataset *dataset, const SampleQuery *query);
extern double ExpectedSamples(const Dataset *dataset, const SampleQuery *query);
pg_noreturn extern void RaiseDuplicateId(const Dataset *dataset, const char *id);
extern void CheckUniqueIds(Dataset *dataset);

/* The current user, before BeginAsOwner(). */
typedef struct SavedUser
{
	Oid			user;
	int			security_context;
	int			nest_level;
} SavedUser;

extern void BeginAsOwner(Oid owner, SavedUser *saved);
extern void EndAsOwner(const SavedUser *saved);

extern int	PinSettings(void);
extern int	PinSearchPath(void);
extern int	PinExpressionSettings(void);
extern void UnpinSettings(int nest_level);

#endif							/* BRAIN_SAMPLES_H */
