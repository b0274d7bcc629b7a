/*
 * matrix.h
 *		Matrix files: a base's vectors and ids, mapped by every session.
 */
#ifndef BRAIN_MATRIX_H
#define BRAIN_MATRIX_H

#include "access/transam.h"
#include "utils/snapshot.h"
#include "utils/uuid.h"

#include "exact/scan.h"
#include "vectors.h"

/* Below the data directory; base backups and pg_rewind leave such names out. */
#define MATRIX_DIRECTORY "pgsql_tmp_milvus_brain"

/* Setting brain.max_matrix_size, in kB. */
extern int	max_matrix_size;

/* A sample whose embedding cannot be used: a row that is never found. */
typedef struct BadRow
{
	int64		row;
	int32		failure;		/* VectorFailure */
	int32		dim;
} BadRow;

typedef struct MatrixFile MatrixFile;

/*
 * What a run is searched in: its newest file, and those that it builds on. Rows
 * are numbered through all files; each file begins at a multiple of 64.
 */
typedef struct Base
{
	pg_uuid_t	run_id;
	pg_uuid_t	generation;
	bool		by_reader;		/* made by a search */
	uint64		fingerprint;
	Metric		metric;
	int			dim;			/* 0: no rows yet */
	int			n_files;
	MatrixFile **files;
	MatrixPart *parts;
	int64		n_rows;			/* numbers given out, in all files */
	int64		n_live;			/* rows that can be found */
	int64		size;			/* bytes of all files */
	const uint64 *dead;			/* a bit a row; in the newest file */
	const BadRow *bad;			/* in the newest file */
	int64		n_bad;
} Base;

/* ---------- reading ---------- */

extern Base *OpenBase(const pg_uuid_t *run_id, const pg_uuid_t *files, int n_files, bool by_reader);
extern Base *OpenPrivateBase(const pg_uuid_t *run_id, const pg_uuid_t *generation, const char *path);
extern bool BaseIsFor(const Base *base, Snapshot snapshot);
extern int64 SizeOfFile(const Base *base, int file);
extern void ForgetBase(Base *base, const char *why);
extern bool WithMapping(Base *base, void (*function) (void *arg), void *arg);
extern bool InMapping(void);

/* Only within WithMapping(): */
extern int64 FindRow(const Base *base, const char *id);
extern bool IsRow(const Base *base, int64 row);
extern const char *IdOfRow(const Base *base, int64 row);
extern const float *VectorOfRow(const Base *base, int64 row);
extern const uint64 *DeadRows(const Base *base);
extern const BadRow *BadRows(const Base *base);

/* ---------- writing ---------- */

typedef struct MatrixWriter MatrixWriter;

extern MatrixWriter *BeginMatrix(const pg_uuid_t *run_id, const pg_uuid_t *generation,
								 bool by_reader, Metric metric, const Base *previous);
extern void AddMatrixRow(MatrixWriter *writer, const char *id, const float *values, int dim);
extern void AddBadMatrixRow(MatrixWriter *writer, const char *id, VectorFailure failure, int dim);
extern void AbsorbSegments(MatrixWriter *writer, const Base *base);
extern void KillRow(MatrixWriter *writer, int64 row);
extern bool FinishMatrix(MatrixWriter *writer, Snapshot snapshot);
extern bool PublishMatrix(MatrixWriter *writer, uint64 fingerprint);
extern Base *OpenUnpublished(MatrixWriter *writer);
extern void AbandonMatrix(MatrixWriter *writer);
extern const char *MatrixFailure(const MatrixWriter *writer);
extern int64 MatrixRows(const MatrixWriter *writer);
extern int64 MatrixSize(const MatrixWriter *writer);
extern void ForEachWrittenId(MatrixWriter *writer, void (*function) (const char *id, void *arg),
							 void *arg);

/* ---------- all files ---------- */

/* A file in the directory. */
typedef struct MatrixEntry
{
	char	   *name;
	Oid			database;
	pg_uuid_t	run_id;
	pg_uuid_t	generation;
	bool		by_reader;
	int			writer;			/* pid, of a temporary file; else 0 */
} MatrixEntry;

extern List *ListMatrixFiles(void);
extern void RemoveMatrixFile(const MatrixEntry *entry);

#endif							/* BRAIN_MATRIX_H */
