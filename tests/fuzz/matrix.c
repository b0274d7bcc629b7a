/*
 * matrix.c
 *		libFuzzer's target for the reader of matrix files.
 *
 * src/exact/matrix.c itself, with the server's headers, on a stand-in for what it
 * takes from the server. An input is a base:
 *
 *	byte		flags, see below
 *	byte		number of files
 *	uint32		each file's length
 *	the files
 *
 * The flags have the fuzzer's damage repaired in part: a file whose checksums are
 * wrong would never be looked at any further. A file is "mapped" by being copied
 * to memory of exactly its size, so that the sanitizer sees each byte too many.
 */
#include "postgres.h"

#include <sys/mman.h>

static void *MapCopy(void *address, size_t size, int protection, int flags, int fd, off_t offset);
static int	UnmapCopy(void *address, size_t size);

#define mmap MapCopy
#define munmap UnmapCopy
#include "../../src/exact/matrix.c"
#undef mmap
#undef munmap

#include <math.h>
#include <sys/syscall.h>

#define REPAIR_IDENTITY 1		/* what says whose file it is */
#define REPAIR_HEADER 2			/* the header's checksum */
#define REPAIR_CHECKSUMS 4		/* the sections' */
#define CUT_WHEN_MAPPED 8		/* really mapped, and cut then */
#define READERS 16				/* made by a search */

#define MAX_FILES 4
#define MAX_ROWS 100			/* that are looked at */

/* ---------- the stand-in: memory ---------- */

/* All chunks of an input; each knows its neighbours. */
typedef struct Chunk
{
	struct Chunk *next;
	struct Chunk *previous;
	Size		size;
	Size		padding;
} Chunk;

static Chunk chunks = {&chunks, &chunks, 0, 0};
static MemoryContextCallback *callbacks = NULL;

MemoryContext CurrentMemoryContext = NULL;
MemoryContext TopMemoryContext = NULL;

void *
palloc(Size size)
{
	Chunk	   *chunk = malloc(sizeof(Chunk) + size);

	if (chunk == NULL)
		abort();
	*chunk = (Chunk) {chunks.next, &chunks, size, 0};
	chunks.next->previous = chunk;
	chunks.next = chunk;
	return chunk + 1;
}

void
pfree(void *pointer)
{
	Chunk	   *chunk = (Chunk *) pointer - 1;

	chunk->next->previous = chunk->previous;
	chunk->previous->next = chunk->next;
	free(chunk);
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void *
MemoryContextAllocHuge(MemoryContext context pg_attribute_unused(), Size size)
{
	return palloc(size);
}

char *
pstrdup(const char *string)
{
	return strcpy(palloc(strlen(string) + 1), string);
}

char *
psprintf(const char *format,...)
{
	char		text[4096];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return pstrdup(text);
}

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name, Size minimum, Size initial, Size maximum)
{
	return parent;
}

void
MemoryContextDelete(MemoryContext context)
{
}

void
MemoryContextRegisterResetCallback(MemoryContext context, MemoryContextCallback *callback)
{
	callback->next = callbacks;
	callbacks = callback;
}

/* The end of a query, as it were. */
static void
ForgetMemory(void)
{
	for (; callbacks; callbacks = callbacks->next)
		callbacks->func(callbacks->arg);
	while (chunks.next != &chunks)
		pfree(chunks.next + 1);
	opened_bases = NIL;
}

/* ---------- lists, as far as matrix.c has some ---------- */

List *
lappend(List *list, void *datum)
{
	int			n = list_length(list);
	List	   *longer = palloc(offsetof(List, initial_elements) + sizeof(ListCell) * (n + 1));

	longer->type = T_List;
	longer->length = longer->max_length = n + 1;
	longer->elements = longer->initial_elements;
	for (int i = 0; i < n; i++)
		longer->elements[i] = list->elements[i];
	longer->elements[n].ptr_value = datum;
	return longer;
}

List *
list_delete_ptr(List *list, void *datum)
{
	List	   *shorter = NIL;
	ListCell   *lc;

	foreach(lc, list)
	{
		if (lfirst(lc) != datum)
			shorter = lappend(shorter, lfirst(lc));
	}
	return shorter;
}

List *
list_copy(const List *list)
{
	List	   *copy = NIL;
	ListCell   *lc;

	foreach(lc, list)
		copy = lappend(copy, lfirst(lc));
	return copy;
}

bool
list_member_ptr(const List *list, const void *datum)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		if (lfirst(lc) == datum)
			return true;
	}
	return false;
}

void
list_free(List *list)
{
}

/* ---------- errors ---------- */

sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;
volatile sig_atomic_t InterruptPending = 0;
bool		IsUnderPostmaster = true;

bool
errstart(int elevel, const char *domain)
{
	if (elevel >= ERROR)
		abort();
	return false;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

void
errfinish(const char *filename, int line, const char *function)
{
}

void
ProcessInterrupts(void)
{
}

void
pg_re_throw(void)
{
	abort();
}

void
ExceptionalCondition(const char *condition, const char *type, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, condition);
	abort();
}

/* Messages are not made: errstart() says that nobody wants them. */
#define NEVER_CALLED(declaration) declaration { abort(); }
NEVER_CALLED(int errmsg(const char *format,...))
NEVER_CALLED(int errmsg_internal(const char *format,...))
NEVER_CALLED(int errdetail(const char *format,...))
NEVER_CALLED(int errhint(const char *format,...))
NEVER_CALLED(int errcode_for_file_access(void))
NEVER_CALLED(DIR *AllocateDir(const char *name))
NEVER_CALLED(struct dirent *ReadDirExtended(DIR *directory, const char *name, int elevel))
NEVER_CALLED(int FreeDir(DIR *directory))

/* ---------- where we are ---------- */

Oid			MyDatabaseId = 5;
TimestampTz PgStartTime = 0;

uint64
GetSystemIdentifier(void)
{
	return 7;
}

bool
RecoveryInProgress(void)
{
	return false;
}

TimeLineID
GetWALInsertionTimeLine(void)
{
	return 1;
}

XLogRecPtr
GetXLogReplayRecPtr(TimeLineID *timeline)
{
	*timeline = 1;
	return 0;
}

FullTransactionId
ReadNextFullTransactionId(void)
{
	return FullTransactionIdFromEpochAndXid(1, 1000);
}

FILE *
AllocateFile(const char *name, const char *mode)
{
	return NULL;
}

int
FreeFile(FILE *file)
{
	return 0;
}

char *
UuidText(const pg_uuid_t *uuid)
{
	return pstrdup("uuid");
}

/* Of names of files, which are not read here. */
bool
ParseUuid(const char *text, pg_uuid_t *uuid)
{
	abort();
}

/* ---------- files ---------- */

static int	fds[MAX_FILES];
static int	next_file;
static int	flags_of_input;
static uint32 cut_at;

int
OpenTransientFile(const char *name, int flags)
{
	return fds[next_file++];
}

int
CloseTransientFile(int fd)
{
	return 0;
}

/* Nor is one removed. */
int
BasicOpenFile(const char *name, int flags)
{
	abort();
}

void
CloseRemoved(int fd)
{
	abort();
}

static void *
MapCopy(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	void	   *copy;

	if (flags_of_input & CUT_WHEN_MAPPED)
	{
		copy = mmap(address, size, protection, flags, fd, offset);
		if (ftruncate(fd, (off_t) (cut_at % (size / MATRIX_PAGE + 1) * MATRIX_PAGE)) != 0)
			abort();
		return copy;
	}
	if (posix_memalign(&copy, 64, size) != 0 || pread(fd, copy, size, 0) != (ssize_t) size)
		abort();
	return copy;
}

static int
UnmapCopy(void *address, size_t size)
{
	if (flags_of_input & CUT_WHEN_MAPPED)
		return munmap(address, size);
	free(address);
	return 0;
}

/* ---------- an input ---------- */

typedef struct Input
{
	int			flags;
	int			n_files;
	uint8	   *files[MAX_FILES];	/* copies */
	uint32		lengths[MAX_FILES];
} Input;

static bool
ReadInput(Input *input, const uint8 *data, size_t size)
{
	size_t		at;

	if (size < 2)
		return false;
	input->flags = data[0];
	input->n_files = 1 + data[1] % MAX_FILES;
	at = 2 + sizeof(uint32) * input->n_files;
	if (size < at)
		return false;
	for (int i = 0; i < input->n_files; i++)
	{
		uint32		length;

		memcpy(&length, data + 2 + sizeof(uint32) * i, sizeof(uint32));
		length = Min(length, size - at);
		input->lengths[i] = length;
		input->files[i] = memcpy(palloc(length + 1), data + at, length);
		at += length;
	}
	return true;
}

/*
 * Make the checksums right, where the sections are within the file and the
 * checksums do not lie on what they are of.
 */
static void
RepairChecksums(MatrixHeader *header, uint8 *file, uint32 size)
{
	SectionPlace *place = &header->sections[SECTION_CHECKSUMS];
	uint64		at = place->offset;

	for (int i = 0; i < SECTION_CHECKSUMS; i++)
	{
		SectionPlace *section = &header->sections[i];

		if (section->length > size || section->offset > size - section->length)
			return;
		for (uint64 done = 0; done < section->length; done += MATRIX_CHECKED)
		{
			uint32		crc = Checksum(file + section->offset + done, Min(MATRIX_CHECKED, section->length - done));

			if (at < MATRIX_PAGE || at > size || size - at < sizeof(crc))
				return;
			memcpy(file + at, &crc, sizeof(crc));
			at += sizeof(crc);
		}
	}
	if (place->length <= size && place->offset <= size - place->length)
		header->checksums_crc = Checksum(file + place->offset, place->length);
}

static pg_uuid_t
Generation(int i)
{
	return (pg_uuid_t) {{(unsigned char) (i + 1)}};
}

static void
Repair(Input *input, int i)
{
	MatrixHeader header;

	if (input->lengths[i] < sizeof(header))
		return;
	memcpy(&header, input->files[i], sizeof(header));
	if (input->flags & REPAIR_IDENTITY)
	{
		header.magic = MATRIX_MAGIC;
		header.version = MATRIX_VERSION;
		FillIdentity(&header);
		memset(&header.run_id, 0, sizeof(header.run_id));
		header.generation = Generation(i);
		header.by_reader = (input->flags & READERS) != 0;
	}
	if (input->flags & REPAIR_CHECKSUMS)
		RepairChecksums(&header, input->files[i], input->lengths[i]);
	if (input->flags & REPAIR_HEADER)
		header.crc = HeaderChecksum(&header);
	memcpy(input->files[i], &header, sizeof(header));
}

/* ---------- use of a base ---------- */

static volatile double sink;

/* As a search does: an id for each row that it is given. */
static double
Offer(int64 row, double distance, double score, void *arg)
{
	sink += (double) strlen(IdOfRow(arg, row));
	return INFINITY;
}

static void
Search(Base *base, int64 k, bool reverse, bool screening, int n_vectors)
{
	float	   *vectors = palloc(sizeof(float) * base->dim * n_vectors);
	double		norms[2];
	ScanCounts	counts = {0};
	ScanQuery	query = {
		.metric = base->metric,.reverse = reverse,.screening = screening,.n = n_vectors,
		.dim = base->dim,.vectors = vectors,.squared_norms = norms,.aggregation = AGGREGATE_POST_MIN,
		.k = k,.max_distance = INFINITY
	};

	for (int i = 0; i < base->dim * n_vectors; i++)
		vectors[i] = (float) (i % 7 - 3);
	for (int i = 0; i < n_vectors; i++)
		norms[i] = SquaredNorm(vectors + i * base->dim, base->dim);
	ScanMatrix(base->parts, base->n_files, &query, Offer, base, &counts);
}

static void
UseRows(Base *base)
{
	const uint64 *dead = DeadRows(base);
	const BadRow *bad = BadRows(base);

	for (int64 row = 0; row < base->n_rows; row += Max(1, base->n_rows / MAX_ROWS))
	{
		char	   *id;

		sink += (double) ((dead[row / 64] >> (row % 64)) & 1);
		if (!IsRow(base, row))
			continue;
		/* FindRow() may jump away: the id's copy is its own memory */
		id = pstrdup(IdOfRow(base, row));
		sink += (double) FindRow(base, id);
		for (int i = 0; i < base->dim; i++)
			sink += VectorOfRow(base, row)[i];
	}
	for (int64 i = 0; i < Min(base->n_bad, MAX_ROWS); i++)
		sink += (double) strlen(IdOfRow(base, bad[i].row));
	sink += (double) FindRow(base, "no such id");
}

static void
UseBase(void *arg)
{
	Base	   *base = arg;

	UseRows(base);
	if (base->dim == 0 || base->n_rows == 0)
		return;
	Search(base, 3, false, true, 1);
	Search(base, 3, true, true, 1);
	Search(base, 0, false, true, 1);
	Search(base, 3, false, false, 1);
	Search(base, 2, false, true, 2);
}

static void
UseInput(Input *input)
{
	TransactionId running[] = {700, 800};
	SnapshotData snapshot = {.xmin = 700,.xmax = 900,.xip = running,.xcnt = lengthof(running)};
	pg_uuid_t	run_id = {{0}};
	pg_uuid_t	generations[MAX_FILES];
	Base	   *base;

	for (int i = 0; i < input->n_files; i++)
		generations[i] = Generation(i);
	next_file = 0;
	base = OpenBase(&run_id, generations, input->n_files, (input->flags & READERS) != 0);
	if (base == NULL)
		return;
	if (BaseIsFor(base, &snapshot) && opened_bases)
		(void) WithMapping(base, UseBase, base);
	if (opened_bases)
		ForgetBase(base, NULL);
}

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	Input		input;

	if (!ReadInput(&input, data, size))
		return 0;
	flags_of_input = input.flags;
	cut_at = Checksum(data, Min(size, 64));
	for (int i = 0; i < input.n_files; i++)
	{
		Repair(&input, i);
		fds[i] = (int) syscall(SYS_memfd_create, "matrix", 0);
		if (fds[i] < 0 || write(fds[i], input.files[i], input.lengths[i]) != (ssize_t) input.lengths[i])
			abort();
	}
	UseInput(&input);
	ForgetMemory();
	for (int i = 0; i < input.n_files; i++)
		close(fds[i]);
	return 0;
}

/* ---------- damage that is worth a try ---------- */

size_t		LLVMFuzzerMutate(uint8 *data, size_t size, size_t max_size);
size_t		LLVMFuzzerCustomMutator(uint8 *data, size_t size, size_t max_size, unsigned int seed);

static uint64
NewValue(uint64 old, unsigned int *seed)
{
	static const uint64 values[] = {
		0, 1, 2, 63, 64, 65, 1023, 1024, 1025, 4096, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff,
		UINT64CONST(0x100000000), UINT64CONST(0x10000000000), UINT64CONST(0x7fffffffffffffff), UINT64CONST(0xffffffffffffffff)
	};

	switch (rand_r(seed) % 4)
	{
		case 0:
			return values[rand_r(seed) % lengthof(values)];
		case 1:
			return old + rand_r(seed) % 17 - 8;
		case 2:
			return old ^ (UINT64CONST(1) << rand_r(seed) % 64);
		default:
			return old + (uint64) (rand_r(seed) % 33 - 16) * MATRIX_PAGE;
	}
}

/*
 * Mostly one number in the header or in a section: libFuzzer alone would change
 * float after float.
 */
size_t
LLVMFuzzerCustomMutator(uint8 *data, size_t size, size_t max_size, unsigned int seed)
{
	int			n_files = size < 2 ? 0 : 1 + data[1] % MAX_FILES;
	size_t		at = 2 + sizeof(uint32) * n_files;
	MatrixHeader header;
	uint64		value = 0;
	size_t		width = rand_r(&seed) % 2 ? sizeof(uint64) : sizeof(uint32);

	if (n_files == 0 || rand_r(&seed) % 8 == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	if (rand_r(&seed) % 8 == 0)
		data[0] = (uint8) (rand_r(&seed) % 32 | (rand_r(&seed) % 2 ? 7 : 0));
	for (int i = rand_r(&seed) % n_files; i > 0; i--)
	{
		uint32		length;

		memcpy(&length, data + 2 + sizeof(uint32) * (i - 1), sizeof(uint32));
		at += length;
	}
	if (at > size || size - at < sizeof(header))
		return LLVMFuzzerMutate(data, size, max_size);
	memcpy(&header, data + at, sizeof(header));
	if (rand_r(&seed) % 3 == 0)
	{
		/* what the ids, the rows and the snapshot rely on */
		static const int worth[] = {SECTION_OFFSETS, SECTION_OFFSETS, SECTION_SLOTS, SECTION_SLOTS, SECTION_IDS,
			SECTION_DEAD, SECTION_BAD, SECTION_RUNNING, SECTION_SCREENS, SECTION_ROTATION, SECTION_ROWS};
		SectionPlace *place = &header.sections[worth[rand_r(&seed) % lengthof(worth)]];

		if (place->length >= width && place->offset < size - at)
			at += place->offset + rand_r(&seed) % Min(place->length / width, 4096) * width;
	}
	else
		at += offsetof(MatrixHeader, fingerprint) +
			rand_r(&seed) % ((sizeof(header) - offsetof(MatrixHeader, fingerprint)) / width) * width;
	if (at > size || size - at < width)
		return size;
	memcpy(&value, data + at, width);
	value = NewValue(value, &seed);
	memcpy(data + at, &value, width);
	return size;
}
