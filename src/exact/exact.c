/*
 * exact.c
 *		The exact backend: answers computed in PostgreSQL itself.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "arguments.h"
#include "backend.h"
#include "exact/exact.h"
#include "exact/matrix.h"

typedef struct MatrixBase
{
	BaseWriter	writer;
	const pg_uuid_t *generation;
	MatrixWriter *matrix;

	/* for CountTaken() */
	Base	   *written;
	char	  **ids;
	int64		n_ids;
	int64		n_taken;
} MatrixBase;

static void
AddRow(BaseWriter *writer, const char *id, const float *values, int dim)
{
	AddMatrixRow(((MatrixBase *) writer)->matrix, id, values, dim);
}

static void
AddBadRow(BaseWriter *writer, const char *id, VectorFailure failure, int dim)
{
	AddBadMatrixRow(((MatrixBase *) writer)->matrix, id, failure, dim);
}

static const char *
Finish(BaseWriter *writer, Snapshot snapshot)
{
	MatrixWriter *matrix = ((MatrixBase *) writer)->matrix;

	return FinishMatrix(matrix, snapshot) ? NULL : pstrdup(MatrixFailure(matrix));
}

static void
CountWithinMapping(void *arg)
{
	MatrixBase *base = arg;

	for (int64 i = 0; i < base->n_ids; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (FindRow(base->written, base->ids[i]) >= 0)
			base->n_taken++;
	}
}

static int64
CountTaken(BaseWriter *writer, char **ids, int64 n)
{
	MatrixBase *base = (MatrixBase *) writer;

	base->written = OpenUnpublished(base->matrix);
	base->ids = ids;
	base->n_ids = n;
	base->n_taken = 0;
	return base->written && WithMapping(base->written, CountWithinMapping, base) ? base->n_taken : -1;
}

static void
ForEachId(BaseWriter *writer, void (*function) (const char *id, void *arg), void *arg)
{
	ForEachWrittenId(((MatrixBase *) writer)->matrix, function, arg);
}

static void
Describe(BaseWriter *writer, BaseRow *row)
{
	MatrixBase *base = (MatrixBase *) writer;

	row->n_files = 1;
	row->files = palloc(sizeof(pg_uuid_t));
	row->files[0] = *base->generation;
	row->rows = MatrixRows(base->matrix);
	row->size = MatrixSize(base->matrix);
}

static const char *
Publish(BaseWriter *writer, uint64 fingerprint)
{
	MatrixWriter *matrix = ((MatrixBase *) writer)->matrix;

	return PublishMatrix(matrix, fingerprint) ? NULL : pstrdup(MatrixFailure(matrix));
}

static void
End(BaseWriter *writer)
{
	AbandonMatrix(((MatrixBase *) writer)->matrix);
}

static const BaseWriterMethods matrix_methods = {
	.add_row = AddRow,
	.add_bad_row = AddBadRow,
	.finish = Finish,
	.count_taken = CountTaken,
	.for_each_id = ForEachId,
	.describe = Describe,
	.publish = Publish,
	.end = End,
};

/*
 * Begin a matrix file. NULL, with a reason, when that cannot be done; what goes
 * wrong later is told at its end.
 */
BaseWriter *
BeginMatrixBase(const Run *run, const pg_uuid_t *generation, bool by_reader, const char **reason)
{
	MatrixBase *base = palloc0(sizeof(MatrixBase));

	base->writer.methods = &matrix_methods;
	base->generation = generation;
	base->matrix = BeginMatrix(&run->id, generation, by_reader, run->metric, NULL);
	if (MatrixFailure(base->matrix) == NULL)
		return &base->writer;
	*reason = pstrdup(MatrixFailure(base->matrix));
	AbandonMatrix(base->matrix);
	return NULL;
}

static BaseWriter *
BeginBase(const Run *run, const char *dataset_name, const pg_uuid_t *generation, const char **reason)
{
	(void) dataset_name;
	return BeginMatrixBase(run, generation, false, reason);
}

const Backend exact_backend = {
	.name = "exact",
	.max_k = 0,
	.reverse = true,
	.post_aggregations = true,
	.default_metric = METRIC_COSINE,
	.check_options = CheckNoOptions,
	.begin_base = BeginBase,
};
