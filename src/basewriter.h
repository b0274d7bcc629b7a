/*
 * basewriter.h
 *		A base that is being written: what a build needs of a backend.
 */
#ifndef BRAIN_BASEWRITER_H
#define BRAIN_BASEWRITER_H

#include "utils/snapshot.h"

#include "bases.h"
#include "runs.h"
#include "vectors.h"

typedef struct BaseWriter BaseWriter;

typedef struct BaseWriterMethods
{
	/* before the first row: make what rows go to; NULL: begin_base has */
	void		(*begin_rows) (BaseWriter *writer);

	/* take a row: a canonical id, and dim finite values */
	void		(*add_row) (BaseWriter *writer, const char *id, const float *values, int dim);

	/* take the id of a row whose embedding cannot be used */
	void		(*add_bad_row) (BaseWriter *writer, const char *id, VectorFailure failure, int dim);

	/*
	 * After the last row; false: what was taken is lost, and all rows have to be
	 * added once more. NULL: that does not happen.
	 */
	bool		(*end_rows) (BaseWriter *writer);

	/* after that; NULL, or why there will be no base. The snapshot is a search's. */
	const char *(*finish) (BaseWriter *writer, Snapshot snapshot);

	/* of so many ids, each another, how many were taken; -1: that cannot be said */
	int64		(*count_taken) (BaseWriter *writer, char **ids, int64 n);
	void		(*for_each_id) (BaseWriter *writer, void (*function) (const char *id, void *arg), void *arg);

	/* what brain._bases says of the base: files or collection, rows, size */
	void		(*describe) (BaseWriter *writer, BaseRow *row);

	/* once the row is there: let searches find the base; NULL, or why they cannot */
	const char *(*publish) (BaseWriter *writer, uint64 fingerprint);

	/* the end: what was not published goes */
	void		(*end) (BaseWriter *writer);

	/*
	 * After an error in the build, before its transaction aborts: remove what the
	 * abort does not. NULL: it removes everything.
	 */
	void		(*abandon) (BaseWriter *writer);

	/* what may be there nevertheless: a HINT, or NULL */
	char	   *(*leftover) (BaseWriter *writer);

	/* for brain._runs.config, after finish; NULL: nothing */
	char	   *(*config) (BaseWriter *writer);
} BaseWriterMethods;

/* Each backend's begins with it. */
struct BaseWriter
{
	const BaseWriterMethods *methods;
};

#endif							/* BRAIN_BASEWRITER_H */
