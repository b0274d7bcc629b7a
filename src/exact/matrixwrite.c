/*
 * matrixwrite.c
 *		Writing a matrix file.
 *
 * The vectors are written as they come, under a temporary name. When all are
 * there they are read back, block by block, for the screens' int8 copies, whose
 * rotation is found from a sample of them; then come the ids, which were spooled
 * meanwhile into a file without a name. All by pwrite(), never through a mapping:
 * a full disk is an error then, not a signal.
 *
 * A file that cannot be written is no error either: what it would hold is in the
 * table. The writer remembers why, and does nothing from there on. So none of
 * PostgreSQL's own temporary files, which raise errors, when the disk or
 * temp_file_limit is full: a search that makes a file would end by one.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "common/file_perm.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "exact/layout.h"
#include "exact/matrix.h"
#include "testing.h"

/* The table of ids has two slots a row or more, and a uint32 numbers them. */
#define MAX_ROWS (1 << 30)

#define ROW_ALIGNMENT 64

/*
 * Where blocks of 64 kB begin at multiples of it the page cache keeps each in one
 * folio, on file systems that can do so: to write them takes two thirds of the
 * time, and to remove the file too. So the rows begin at one, and whatever is
 * behind this place, where the gaps do not count. They are holes.
 */
#define ALIGNED_FROM (16 * 1024 * 1024)

/* How many rows FindRotation() sees. */
#define ROTATION_SAMPLE 5000

/* A section that is being written, by blocks of a checksum each. */
typedef struct SectionWriter
{
	uint64		offset;
	uint64		length;			/* so far, with what is in the buffer */
	Size		used;			/* of the buffer */
	char	   *buffer;			/* MATRIX_CHECKED bytes */
	uint32	   *checksums;
	int64		n_checksums;
	int64		capacity;
} SectionWriter;

typedef struct PendingBad
{
	char	   *id;
	VectorFailure failure;
	int			dim;
} PendingBad;

struct MatrixWriter
{
	MemoryContext context;
	char	   *path;
	char	   *temporary;		/* NULL when there is none to remove */
	int			fd;				/* -1: none */
	char	   *failure;		/* why nothing is written any more */

	MatrixHeader header;
	int			stride;
	int			ids_fd;			/* the ids, each with its zero byte; -1: none */
	uint64		ids_length;		/* so far, with what is in the buffer */
	Size		ids_used;		/* of the buffer */
	char	   *ids_buffer;		/* MATRIX_CHECKED bytes */
	float	   *zeros;			/* a row of them; NULL: there is none yet */
	SectionWriter sections[N_SECTIONS];
	MemoryContextCallback callback;

	uint64	   *dead;
	int64		n_dead_words;
	BadRow	   *bad;
	int64		n_bad;
	List	   *pending_bad;	/* of PendingBad */
	float	   *rotation;		/* given by the previous file; NULL: to be found */
};

/*
 * Not PostgreSQL's transient files: an abort would close them, and wait.
 */
static void
CloseFiles(MatrixWriter *writer)
{
	int		   *fds[] = {&writer->fd, &writer->ids_fd};

	for (size_t i = 0; i < lengthof(fds); i++)
	{
		if (*fds[i] < 0)
			continue;
		CloseRemoved(*fds[i]);
		ReleaseExternalFD();
		*fds[i] = -1;
	}
}

static void
RemoveTemporary(void *arg)
{
	MatrixWriter *writer = arg;

	if (writer->temporary)
		(void) unlink(writer->temporary);
	CloseFiles(writer);
}

/*
 * Stop writing. errno says why, unless a reason is given.
 */
static void
Fail(MatrixWriter *writer, const char *reason)
{
	MemoryContext old;

	if (writer->failure)
		return;
	old = MemoryContextSwitchTo(writer->context);
	writer->failure = reason ? pstrdup(reason) :
		psprintf(_("could not write matrix file \"%s\": %m"), writer->path);
	MemoryContextSwitchTo(old);
}

/*
 * Why nothing was written; NULL when all was.
 */
const char *
MatrixFailure(const MatrixWriter *writer)
{
	return writer->failure;
}

static void
WriteTo(MatrixWriter *writer, int fd, const void *data, Size length, uint64 offset)
{
	const char *bytes = data;

	while (length > 0 && writer->failure == NULL)
	{
		ssize_t		written = pwrite(fd, bytes, length, (off_t) offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			if (written == 0)
				errno = ENOSPC;
			Fail(writer, NULL);
			return;
		}
		bytes += written;
		offset += written;
		length -= written;
	}
}

static void
WriteAt(MatrixWriter *writer, const void *data, Size length, uint64 offset)
{
	WriteTo(writer, writer->fd, data, length, offset);
}

/* ---------- sections ---------- */

static void
BeginSection(MatrixWriter *writer, int number, uint64 offset)
{
	SectionWriter *section = &writer->sections[number];

	section->offset = TYPEALIGN64(offset < ALIGNED_FROM ? MATRIX_PAGE : MATRIX_CHECKED, offset);
	section->buffer = MemoryContextAlloc(writer->context, MATRIX_CHECKED);
	section->capacity = 64;
	section->checksums = MemoryContextAlloc(writer->context, sizeof(uint32) * section->capacity);
}

static void
FlushSection(MatrixWriter *writer, SectionWriter *section)
{
	if (section->used == 0)
		return;
	CHECK_FOR_INTERRUPTS();
	if (section->n_checksums == section->capacity)
	{
		section->capacity *= 2;
		section->checksums = repalloc_huge(section->checksums, sizeof(uint32) * section->capacity);
	}
	section->checksums[section->n_checksums++] = Checksum(section->buffer, section->used);
	WriteAt(writer, section->buffer, section->used, section->offset + section->length - section->used);
	section->used = 0;
}

static void
Put(MatrixWriter *writer, int number, const void *data, Size length)
{
	SectionWriter *section = &writer->sections[number];
	const char *bytes = data;

	while (length > 0)
	{
		Size		part = Min(length, MATRIX_CHECKED - section->used);

		memcpy(section->buffer + section->used, bytes, part);
		section->used += part;
		section->length += part;
		bytes += part;
		length -= part;
		if (section->used == MATRIX_CHECKED)
			FlushSection(writer, section);
	}
}

/*
 * End a section; returns where the next one may begin.
 */
static uint64
EndSection(MatrixWriter *writer, int number)
{
	SectionWriter *section = &writer->sections[number];

	FlushSection(writer, section);
	pfree(section->buffer);
	writer->header.sections[number].offset = section->offset;
	writer->header.sections[number].length = section->length;
	return section->offset + section->length;
}

/* A section whose bytes are all at hand. */
static uint64
PutSection(MatrixWriter *writer, int number, uint64 offset, const void *data, Size length)
{
	BeginSection(writer, number, offset);
	Put(writer, number, data, length);
	return EndSection(writer, number);
}

/* ---------- rows ---------- */

/*
 * Create a file under the temporary name, over one that is there.
 */
static int
OpenTemporary(MatrixWriter *writer)
{
	int			fd;

	ReserveExternalFD();
	fd = BasicOpenFile(writer->temporary, O_RDWR | O_CREAT | O_TRUNC | PG_BINARY);
	if (fd < 0)
	{
		ReleaseExternalFD();
		Fail(writer, NULL);
	}
	return fd;
}

static void
CreateTemporary(MatrixWriter *writer)
{
	if (mkdir(MATRIX_DIRECTORY, pg_dir_create_mode) < 0 && errno != EEXIST)
	{
		Fail(writer, NULL);
		return;
	}
	if (FaultPoint("create"))
	{
		errno = ENOSPC;
		Fail(writer, NULL);
		return;
	}
	writer->temporary = psprintf("%s.%d.tmp", writer->path, MyProcPid);
	writer->ids_fd = OpenTemporary(writer);
	if (writer->ids_fd >= 0)
		(void) unlink(writer->temporary);	/* it goes when it is closed */
	if (writer->failure == NULL)
		writer->fd = OpenTemporary(writer);
	if (writer->failure)
		writer->temporary = NULL;
}

/*
 * Take from the base that a new file builds on what it carries on. Within
 * WithMapping() of that base.
 */
static void
ContinueBase(MatrixWriter *writer, const Base *base)
{
	const MatrixPart *first = &base->parts[0];

	writer->header.n_previous = RowNumbers(base->n_rows);
	writer->header.n_live = base->n_live;
	writer->header.dim = base->dim;
	writer->n_dead_words = DeadWords(writer->header.n_previous);
	writer->dead = palloc_extended(sizeof(uint64) * Max(writer->n_dead_words, 1), MCXT_ALLOC_HUGE);
	memcpy(writer->dead, DeadRows(base), sizeof(uint64) * writer->n_dead_words);
	writer->bad = palloc_extended(sizeof(BadRow) * Max(base->n_bad, 1), MCXT_ALLOC_HUGE);
	memcpy(writer->bad, BadRows(base), sizeof(BadRow) * base->n_bad);
	writer->n_bad = base->n_bad;
	writer->header.m = first->m;
	writer->header.rotation_error = first->rotation_error;
	writer->rotation = palloc_extended(sizeof(float) * Max(first->m * first->stride, 1), MCXT_ALLOC_HUGE);
	if (first->m > 0)
		memcpy(writer->rotation, first->rotation, sizeof(float) * first->m * first->stride);
}

/*
 * Begin a file of a run. previous: the base that it builds on (call it within
 * WithMapping() then), or NULL for a whole one. The writer lives in a context of
 * its own below the current one, and removes what it wrote when that goes.
 */
MatrixWriter *
BeginMatrix(const pg_uuid_t *run_id, const pg_uuid_t *generation, bool by_reader,
			Metric metric, const Base *previous)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "milvus_brain matrix writer",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	MatrixWriter *writer = palloc0(sizeof(MatrixWriter));

	writer->context = context;
	writer->fd = -1;
	writer->ids_fd = -1;
	writer->ids_buffer = palloc(MATRIX_CHECKED);
	writer->path = MatrixPath(run_id, generation, by_reader);
	writer->callback.func = RemoveTemporary;
	writer->callback.arg = writer;
	MemoryContextRegisterResetCallback(context, &writer->callback);
	writer->header.run_id = *run_id;
	writer->header.generation = *generation;
	writer->header.by_reader = by_reader;
	writer->header.metric = metric;
	if (previous)
		ContinueBase(writer, previous);
	if (max_matrix_size == 0)
		Fail(writer, _("brain.max_matrix_size is 0"));
	else
		CreateTemporary(writer);
	BeginSection(writer, SECTION_ROWS, MATRIX_CHECKED);
	MemoryContextSwitchTo(old);
	return writer;
}

/*
 * Bytes of a file of n rows, but for their ids.
 */
static uint64
EstimatedSize(const MatrixWriter *writer, int64 n)
{
	return (uint64) n * (sizeof(float) * writer->stride + MatrixStride8(writer->header.dim) +
						 sizeof(ScreenBlock) / SCREEN_ROWS + 24);
}

static void
BeginRows(MatrixWriter *writer, int dim)
{
	writer->header.dim = dim;
	writer->stride = MatrixStride(dim);
	writer->zeros = MemoryContextAllocZero(writer->context, sizeof(float) * writer->stride);
}

static void
FlushIds(MatrixWriter *writer)
{
	WriteTo(writer, writer->ids_fd, writer->ids_buffer, writer->ids_used,
			writer->ids_length - writer->ids_used);
	writer->ids_used = 0;
}

static void
SpoolId(MatrixWriter *writer, const char *id)
{
	Size		length = strlen(id) + 1;

	while (length > 0)
	{
		Size		part = Min(length, MATRIX_CHECKED - writer->ids_used);

		memcpy(writer->ids_buffer + writer->ids_used, id, part);
		writer->ids_used += part;
		writer->ids_length += part;
		id += part;
		length -= part;
		if (writer->ids_used == MATRIX_CHECKED)
			FlushIds(writer);
	}
}

static void
AddRow(MatrixWriter *writer, const char *id, const float *values, int dim)
{
	if (writer->failure)
		return;
	Put(writer, SECTION_ROWS, values, sizeof(float) * dim);
	Put(writer, SECTION_ROWS, writer->zeros, sizeof(float) * (writer->stride - dim));
	SpoolId(writer, id);
	writer->header.n++;
	if (FaultPoint("row"))
	{
		errno = ENOSPC;
		Fail(writer, NULL);
	}
	if (EstimatedSize(writer, writer->header.n) / 1024 > (uint64) max_matrix_size)
		Fail(writer, _("the matrix would be larger than brain.max_matrix_size"));
}

/*
 * Add a sample: dim values, as many as in all other rows.
 */
void
AddMatrixRow(MatrixWriter *writer, const char *id, const float *values, int dim)
{
	if (writer->zeros == NULL)
		BeginRows(writer, dim);
	if (dim != writer->header.dim)
		elog(ERROR, "matrix row has %d dimensions, not %d", dim, writer->header.dim);
	AddRow(writer, id, values, dim);
	writer->header.n_live++;
}

static void
SetDead(MatrixWriter *writer, int64 row)
{
	int64		words = DeadWords(row + 1);

	if (words > writer->n_dead_words)
	{
		int64		capacity = Max(words, writer->n_dead_words * 2);
		uint64	   *dead = MemoryContextAllocExtended(writer->context, sizeof(uint64) * capacity,
													  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

		if (writer->dead)
		{
			memcpy(dead, writer->dead, sizeof(uint64) * writer->n_dead_words);
			pfree(writer->dead);
		}
		writer->dead = dead;
		writer->n_dead_words = capacity;
	}
	writer->dead[row / 64] |= UINT64CONST(1) << (row % 64);
}

/*
 * Add a sample whose embedding cannot be used: searches count it. Such rows come
 * last, since the first good one tells how long rows are.
 */
void
AddBadMatrixRow(MatrixWriter *writer, const char *id, VectorFailure failure, int dim)
{
	MemoryContext old;
	PendingBad *pending;

	if (writer->failure)
		return;
	old = MemoryContextSwitchTo(writer->context);
	pending = palloc(sizeof(PendingBad));
	pending->id = pstrdup(id);
	pending->failure = failure;
	pending->dim = dim;
	writer->pending_bad = lappend(writer->pending_bad, pending);
	MemoryContextSwitchTo(old);
}

static void
PutBadRows(MatrixWriter *writer)
{
	int64		total = writer->n_bad + list_length(writer->pending_bad);
	BadRow	   *bad = palloc_extended(sizeof(BadRow) * Max(total, 1), MCXT_ALLOC_HUGE);
	ListCell   *lc;

	if (writer->n_bad > 0)
		memcpy(bad, writer->bad, sizeof(BadRow) * writer->n_bad);
	writer->bad = bad;
	if (writer->zeros == NULL)
		BeginRows(writer, writer->header.dim);
	foreach(lc, writer->pending_bad)
	{
		PendingBad *pending = lfirst(lc);
		int64		row = writer->header.n_previous + writer->header.n;

		SetDead(writer, row);
		bad[writer->n_bad++] = (BadRow) {row, pending->failure, pending->dim};
		AddRow(writer, pending->id, writer->zeros, writer->header.dim);
	}
}

/*
 * A row of a previous file is not to be found any more.
 */
void
KillRow(MatrixWriter *writer, int64 row)
{
	Assert(row >= 0 && row < writer->header.n_previous);
	if ((writer->dead[row / 64] >> (row % 64)) & 1)
	{
		/* a bad one, perhaps: then it is not counted any more */
		for (int64 i = 0; i < writer->n_bad; i++)
		{
			if (writer->bad[i].row == row)
				writer->bad[i] = writer->bad[--writer->n_bad];
		}
		return;
	}
	SetDead(writer, row);
	writer->header.n_live--;
}

/*
 * Take the rows of all previous files but the first into this one, which then
 * builds on that alone. Before any row is added; within WithMapping() of the
 * base.
 */
void
AbsorbSegments(MatrixWriter *writer, const Base *base)
{
	int64		kept = base->n_files > 1 ? base->parts[1].first : base->n_rows;
	const uint64 *dead = writer->dead;
	int64		n_bad = 0;

	writer->header.n_previous = RowNumbers(kept);
	for (int64 row = kept; row < base->n_rows; row++)
	{
		CHECK_FOR_INTERRUPTS();
		/* numbers between two files belong to no row */
		if (!IsRow(base, row) || ((dead[row / 64] >> (row % 64)) & 1))
			continue;
		AddMatrixRow(writer, IdOfRow(base, row), VectorOfRow(base, row), base->dim);
		writer->header.n_live--;
	}
	for (int64 i = 0; i < writer->n_bad; i++)
	{
		BadRow		bad = writer->bad[i];

		if (bad.row < kept)
			writer->bad[n_bad++] = bad;
		else
			AddBadMatrixRow(writer, IdOfRow(base, bad.row), bad.failure, bad.dim);
	}
	writer->n_bad = n_bad;
	(void) FaultPoint("absorbed");
	/* the numbers from here on are given out anew */
	memset(writer->dead + writer->header.n_previous / 64, 0,
		   sizeof(uint64) * (writer->n_dead_words - writer->header.n_previous / 64));
}

int64
MatrixRows(const MatrixWriter *writer)
{
	return writer->header.n_live;
}

/* ---------- the rest of the file ---------- */

static bool
ReadFrom(MatrixWriter *writer, int fd, void *data, Size length, uint64 offset)
{
	char	   *to = data;

	while (length > 0)
	{
		ssize_t		got = pread(fd, to, length, (off_t) offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
		{
			if (got == 0)
				errno = EIO;	/* what was written is not there */
			Fail(writer, NULL);
			return false;
		}
		to += got;
		offset += got;
		length -= got;
	}
	return true;
}

static bool
ReadRows(MatrixWriter *writer, int64 first, int n, float *rows)
{
	Size		row_size = sizeof(float) * writer->stride;

	return ReadFrom(writer, writer->fd, rows, row_size * n,
					writer->sections[SECTION_ROWS].offset + row_size * (uint64) first);
}

/*
 * Room for n rows, aligned as in a mapping, which the kernels may rely on.
 */
static float *
AllocateRows(const MatrixWriter *writer, int64 n)
{
	char	   *memory = palloc_extended(sizeof(float) * writer->stride * n + ROW_ALIGNMENT, MCXT_ALLOC_HUGE);

	return (float *) TYPEALIGN(ROW_ALIGNMENT, memory);
}

/*
 * Find the rotation from rows of every part of the file, or take the previous
 * files'.
 */
static void
ChooseRotation(MatrixWriter *writer)
{
	MatrixHeader *header = &writer->header;
	int64		n = Min(header->n, ROTATION_SAMPLE);
	float	   *sample;

	if (writer->rotation)
		return;
	header->m = 0;
	if (PrefixLimit(header->n, header->dim) == 0)
		return;
	sample = AllocateRows(writer, n);
	for (int64 i = 0; i < n; i++)
	{
		if (!ReadRows(writer, header->n * i / n, 1, sample + i * writer->stride))
			return;
	}
	writer->rotation = palloc_extended(sizeof(float) * writer->stride *
									   PrefixLimit(header->n, header->dim), MCXT_ALLOC_HUGE);
	(void) FaultPoint("rotation");
	FindRotation(header->metric, sample, n, header->dim, writer->rotation, &header->m,
				 &header->rotation_error);
}

static uint64
PutScreens(MatrixWriter *writer, uint64 offset)
{
	MatrixHeader *header = &writer->header;
	Size		stride8 = MatrixStride8(header->dim);
	Size		stride_prefix = PrefixStride(header->m);
	float	   *rows = AllocateRows(writer, SCREEN_ROWS);
	int8	   *rows8 = palloc(stride8 * SCREEN_ROWS);
	int8	   *prefix = palloc(Max(stride_prefix * SCREEN_ROWS, 1));
	ScreenBlock *screens = palloc(sizeof(ScreenBlock));

	BeginSection(writer, SECTION_ROWS8, offset);
	BeginSection(writer, SECTION_PREFIX, writer->sections[SECTION_ROWS8].offset + stride8 * header->n);
	BeginSection(writer, SECTION_SCREENS,
				 writer->sections[SECTION_PREFIX].offset + stride_prefix * header->n);
	for (int64 first = 0; first < header->n; first += SCREEN_ROWS)
	{
		int			n = (int) Min(SCREEN_ROWS, header->n - first);

		CHECK_FOR_INTERRUPTS();
		if (!ReadRows(writer, first, n, rows))
			break;
		QuantizeRows(header->metric, n, header->dim, rows, writer->rotation, header->m,
					 header->rotation_error, rows8, prefix, screens);
		Put(writer, SECTION_ROWS8, rows8, stride8 * n);
		Put(writer, SECTION_PREFIX, prefix, stride_prefix * n);
		Put(writer, SECTION_SCREENS, screens, sizeof(ScreenBlock));
		if (FaultPoint("screens"))
		{
			errno = ENOSPC;
			Fail(writer, NULL);
		}
	}
	(void) EndSection(writer, SECTION_ROWS8);
	(void) EndSection(writer, SECTION_PREFIX);
	return EndSection(writer, SECTION_SCREENS);
}

/*
 * Hand out the ids in the order of their rows.
 */
void
ForEachWrittenId(MatrixWriter *writer, void (*function) (const char *id, void *arg), void *arg)
{
	StringInfoData id;
	char	   *chunk = palloc(MATRIX_CHECKED);

	initStringInfo(&id);
	if (writer->failure == NULL)
		FlushIds(writer);
	for (uint64 offset = 0; offset < writer->ids_length; offset += MATRIX_CHECKED)
	{
		Size		length = Min(MATRIX_CHECKED, writer->ids_length - offset);

		CHECK_FOR_INTERRUPTS();
		if (writer->failure || !ReadFrom(writer, writer->ids_fd, chunk, length, offset))
			break;
		for (Size i = 0; i < length; i++)
		{
			if (chunk[i] != '\0')
			{
				appendStringInfoChar(&id, chunk[i]);
				continue;
			}
			function(id.data, arg);
			resetStringInfo(&id);
		}
	}
	pfree(chunk);
	pfree(id.data);
}

typedef struct IdPutting
{
	MatrixWriter *writer;
	uint64		offset;
	uint32	   *slots;
	uint32		mask;
	uint32		row;
} IdPutting;

static void
PutId(const char *id, void *arg)
{
	IdPutting  *putting = arg;
	Size		length = strlen(id) + 1;
	uint32		slot = hash_bytes((const unsigned char *) id, (int) length - 1) & putting->mask;

	Put(putting->writer, SECTION_OFFSETS, &putting->offset, sizeof(uint64));
	Put(putting->writer, SECTION_IDS, id, length);
	putting->offset += length;
	while (putting->slots[slot] != 0)
		slot = (slot + 1) & putting->mask;
	putting->slots[slot] = ++putting->row;
}

static uint64
PutIds(MatrixWriter *writer, uint64 offset)
{
	int64		n = writer->header.n;
	IdPutting	putting = {.writer = writer};
	uint32		n_slots = 1;

	while (n_slots < (uint64) n * 2)
		n_slots *= 2;
	putting.mask = n_slots - 1;
	putting.slots = MemoryContextAllocExtended(writer->context, sizeof(uint32) * (Size) n_slots,
											   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	BeginSection(writer, SECTION_OFFSETS, offset);
	BeginSection(writer, SECTION_IDS, writer->sections[SECTION_OFFSETS].offset + sizeof(uint64) * n);
	ForEachWrittenId(writer, PutId, &putting);
	if (FaultPoint("ids"))
	{
		errno = ENOSPC;
		Fail(writer, NULL);
	}
	(void) EndSection(writer, SECTION_OFFSETS);
	offset = EndSection(writer, SECTION_IDS);
	offset = PutSection(writer, SECTION_SLOTS, offset, putting.slots, sizeof(uint32) * (Size) n_slots);
	pfree(putting.slots);
	return offset;
}

/*
 * The snapshot of a reader: what it had not seen. On a standby all running
 * transactions are in subxip, on a primary the top ones, which are enough, in
 * xip.
 */
static uint64
PutSnapshot(MatrixWriter *writer, uint64 offset, Snapshot snapshot)
{
	int			n = 0;
	uint64	   *running = NULL;

	if (snapshot)
	{
		const TransactionId *xids = snapshot->takenDuringRecovery ? snapshot->subxip : snapshot->xip;

		n = snapshot->takenDuringRecovery ? snapshot->subxcnt : (int) snapshot->xcnt;
		running = palloc(sizeof(uint64) * Max(n, 1));
		for (int i = 0; i < n; i++)
			running[i] = WidenXid(xids[i]);
		qsort(running, n, sizeof(uint64), CompareXids);
		writer->header.xmin = WidenXid(snapshot->xmin);
		writer->header.xmax = WidenXid(snapshot->xmax);
	}
	return PutSection(writer, SECTION_RUNNING, offset, running, sizeof(uint64) * n);
}

static void
PutChecksums(MatrixWriter *writer, uint64 offset)
{
	pg_crc32c	crc;
	uint64		length = 0;

	offset = TYPEALIGN64(MATRIX_PAGE, offset);
	INIT_CRC32C(crc);
	for (int i = 0; i < SECTION_CHECKSUMS; i++)
	{
		SectionWriter *section = &writer->sections[i];
		Size		bytes = sizeof(uint32) * section->n_checksums;

		WriteAt(writer, section->checksums, bytes, offset + length);
		COMP_CRC32C(crc, section->checksums, bytes);
		length += bytes;
	}
	FIN_CRC32C(crc);
	writer->header.checksums_crc = crc;
	writer->header.sections[SECTION_CHECKSUMS].offset = offset;
	writer->header.sections[SECTION_CHECKSUMS].length = length;
}

static void
PutHeader(MatrixWriter *writer, uint64 fingerprint)
{
	MatrixHeader *header = &writer->header;
	char		page[MATRIX_PAGE] = {0};

	header->magic = MATRIX_MAGIC;
	header->version = MATRIX_VERSION;
	header->fingerprint = fingerprint;
	FillIdentity(header);
	header->crc = HeaderChecksum(header);
	StaticAssertStmt(sizeof(MatrixHeader) <= MATRIX_PAGE, "a matrix file's header fits into a page");
	memcpy(page, header, sizeof(MatrixHeader));
	WriteAt(writer, page, MATRIX_PAGE, 0);
}

/*
 * As many words of dead rows as there are rows.
 */
static uint64
PutDead(MatrixWriter *writer, uint64 offset)
{
	int64		words = DeadWords(writer->header.n_previous + writer->header.n);
	uint64	   *dead = palloc_extended(sizeof(uint64) * Max(words, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	if (writer->n_dead_words > 0)
		memcpy(dead, writer->dead, sizeof(uint64) * Min(words, writer->n_dead_words));
	return PutSection(writer, SECTION_DEAD, offset, dead, sizeof(uint64) * words);
}

/*
 * Write what comes after the rows, but for the header. snapshot: a reader's,
 * else NULL. False when there is no file: see MatrixFailure().
 */
bool
FinishMatrix(MatrixWriter *writer, Snapshot snapshot)
{
	MatrixHeader *header = &writer->header;
	MemoryContext old = MemoryContextSwitchTo(writer->context);
	uint64		offset;

	if (header->n > MAX_ROWS)
		Fail(writer, _("too many rows"));
	if (writer->failure == NULL)
	{
		PutBadRows(writer);
		offset = EndSection(writer, SECTION_ROWS);
		ChooseRotation(writer);
		offset = PutScreens(writer, offset);
		offset = PutSection(writer, SECTION_ROTATION, offset, writer->rotation,
							sizeof(float) * header->m * writer->stride);
		offset = PutIds(writer, offset);
		offset = PutDead(writer, offset);
		offset = PutSection(writer, SECTION_BAD, offset, writer->bad, sizeof(BadRow) * writer->n_bad);
		offset = PutSnapshot(writer, offset, snapshot);
		PutChecksums(writer, offset);
		(void) FaultPoint("finished");
	}
	MemoryContextSwitchTo(old);
	return writer->failure == NULL;
}

int64
MatrixSize(const MatrixWriter *writer)
{
	const SectionPlace *last = &writer->header.sections[SECTION_CHECKSUMS];

	return (int64) (last->offset + last->length);
}

/*
 * Write the header and give the file its name: from here on it can be found.
 * fingerprint: of the dataset's tracking. False when that failed.
 */
bool
PublishMatrix(MatrixWriter *writer, uint64 fingerprint)
{
	int			fd;

	if (FaultPoint("header"))
	{
		errno = ENOSPC;
		Fail(writer, NULL);
	}
	PutHeader(writer, fingerprint);
	if (writer->failure)
		return false;
	(void) FaultPoint("before_rename");
	fd = writer->fd;
	writer->fd = -1;
	ReleaseExternalFD();
	if (close(fd) != 0 || rename(writer->temporary, writer->path) != 0)
	{
		Fail(writer, NULL);
		return false;
	}
	writer->temporary = NULL;
	(void) FaultPoint("after_rename");
	return true;
}

/*
 * Map a file that is not to be found by others; it lasts as long as the current
 * memory context. NULL when there is none: see MatrixFailure().
 */
Base *
OpenUnpublished(MatrixWriter *writer)
{
	Base	   *base;

	PutHeader(writer, 0);
	if (writer->failure)
		return NULL;
	base = OpenPrivateBase(&writer->header.run_id, &writer->header.generation, writer->temporary);
	if (base == NULL)
		Fail(writer, _("the matrix file could not be mapped"));
	return base;
}

/*
 * End a writer; a file that was not published goes.
 */
void
AbandonMatrix(MatrixWriter *writer)
{
	MemoryContextDelete(writer->context);
}
