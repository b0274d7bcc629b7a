/*
 * matrix.c
 *		Reading matrix files.
 *
 * A base's files are mapped once a session and kept, read-only and shared. They
 * are derived: whatever is wrong with one, it is not used, one LOG line says
 * why, and the table answers.
 *
 * Somebody may cut a file while it is mapped, and reading past its end is a
 * SIGBUS. So what reads a mapping runs within WithMapping(), to which the
 * signal's handler, or a wrong checksum, jumps back. What runs there holds
 * nothing but memory of the current context. Checksums are verified when a
 * session first touches what they cover.
 */
#include "postgres.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "exact/layout.h"
#include "exact/matrix.h"
#include "testing.h"
#include "uuids.h"

/* How many bases a session keeps mapped. */
#define MAX_OPEN_BASES 32

int			max_matrix_size = 16 * 1024 * 1024;

struct MatrixFile
{
	char	   *path;
	char	   *map;
	Size		size;
	MatrixHeader header;
	int64		first_checksum[N_SECTIONS];
	uint64	   *verified;		/* a bit a checksum */
	ScanMemory	memory;
};

/* A base that this session has mapped. */
typedef struct OpenedBase
{
	Base		base;			/* must be first */
	MemoryContext context;
	int			pins;
	bool		doomed;			/* to be unmapped when nobody uses it */
	uint64		last_use;
	bool		dead_verified;
} OpenedBase;

static List *opened_bases = NIL;
static uint64 use_counter = 0;

/* Where a fault in a mapping jumps to; NULL outside of WithMapping(). */
static sigjmp_buf *volatile fault_target = NULL;
static OpenedBase *volatile fault_base = NULL;
static struct sigaction old_bus_action;

/* ---------- names and identity ---------- */

char *
MatrixPath(const pg_uuid_t *run_id, const pg_uuid_t *generation, bool by_reader)
{
	return psprintf(MATRIX_DIRECTORY "/%u.%s.%s%s", MyDatabaseId, UuidText(run_id),
					UuidText(generation), by_reader ? ".reader" : "");
}

/*
 * The boot that the machine is in: what was not flushed does not outlive it.
 * Where the system does not say, the start of the server stands in for it.
 */
static const char *
BootId(void)
{
	static char id[BOOT_ID_LENGTH];
	FILE	   *file;

	if (id[0])
		return id;
	file = AllocateFile("/proc/sys/kernel/random/boot_id", "r");
	if (file)
	{
		if (fgets(id, sizeof(id), file))
			id[strcspn(id, "\n")] = '\0';
		FreeFile(file);
	}
	if (id[0] == '\0')
		snprintf(id, sizeof(id), "server start " INT64_FORMAT, (int64) PgStartTime);
	return id;
}

void
FillIdentity(MatrixHeader *header)
{
	TimeLineID	timeline;

	if (RecoveryInProgress())
		(void) GetXLogReplayRecPtr(&timeline);
	else
		timeline = GetWALInsertionTimeLine();
	header->system_identifier = GetSystemIdentifier();
	header->timeline = timeline;
	header->database = MyDatabaseId;
	strlcpy(header->boot_id, BootId(), BOOT_ID_LENGTH);
}

uint32
Checksum(const void *data, Size length)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, length);
	FIN_CRC32C(crc);
	return crc;
}

uint32
HeaderChecksum(const MatrixHeader *header)
{
	MatrixHeader copy = *header;

	copy.crc = 0;
	return Checksum(&copy, sizeof(copy));
}

/* ---------- opening ---------- */

/*
 * Do the sections lie within the file, each as long as the header's numbers say?
 * Everything that later code relies on without looking is looked at here.
 */
static const char *
CheckSections(const MatrixHeader *header, uint64 size)
{
	uint64		n = header->n;
	uint64		lengths[N_SECTIONS];
	uint64		checksums = 0;

	if (header->n < 0 || header->n >= PG_INT32_MAX || header->n_previous < 0 ||
		header->n_previous > (int64) 1 << 40 || header->n_previous % 64 != 0 ||
		header->n_live < 0 || header->n_live > header->n_previous + header->n ||
		header->dim < 0 || header->dim > MAX_DIMENSIONS || header->m < 0 || header->m > header->dim ||
		header->metric > METRIC_EUCLIDEAN)
		return "its header's numbers make no sense";
	lengths[SECTION_ROWS] = n * MatrixStride(header->dim) * sizeof(float);
	lengths[SECTION_ROWS8] = n * MatrixStride8(header->dim);
	lengths[SECTION_PREFIX] = n * PrefixStride(header->m);
	lengths[SECTION_SCREENS] = ScreenBytes(n);
	lengths[SECTION_ROTATION] = (uint64) header->m * MatrixStride(header->dim) * sizeof(float);
	lengths[SECTION_OFFSETS] = n * sizeof(uint64);
	lengths[SECTION_DEAD] = DeadWords((uint64) header->n_previous + n) * sizeof(uint64);
	for (int i = 0; i < N_SECTIONS; i++)
	{
		const SectionPlace *place = &header->sections[i];
		uint64		unit = i == SECTION_SLOTS ? sizeof(uint32) : i == SECTION_BAD ? sizeof(BadRow) :
			i == SECTION_RUNNING ? sizeof(uint64) : 1;

		if (place->offset % MATRIX_PAGE != 0 || place->offset < MATRIX_PAGE ||
			place->length > size || place->offset > size - place->length)
			return "it is shorter than its header says";
		if (i == SECTION_IDS || i == SECTION_SLOTS || i == SECTION_BAD || i == SECTION_RUNNING)
		{
			if (place->length % unit != 0)
				return "a section has no length that it could have";
		}
		else if (i != SECTION_CHECKSUMS && place->length != lengths[i])
			return "a section has another length than its header says";
		if (i != SECTION_CHECKSUMS)
			checksums += SectionBlocks(place->length);
	}
	if (header->sections[SECTION_CHECKSUMS].length != checksums * sizeof(uint32))
		return "it has another number of checksums than its header says";
	if (header->sections[SECTION_SLOTS].length / sizeof(uint32) < n * 2 ||
		(header->sections[SECTION_SLOTS].length / sizeof(uint32) &
		 (header->sections[SECTION_SLOTS].length / sizeof(uint32) - 1)) != 0)
		return "its table of ids has a size that it could not have";
	return NULL;
}

/*
 * Is the header one of ours, of this place, of that run? NULL when it is.
 */
static const char *
CheckHeader(const MatrixHeader *header, const pg_uuid_t *run_id, const pg_uuid_t *generation,
			bool by_reader)
{
	MatrixHeader here = {0};

	if (header->magic != MATRIX_MAGIC)
		return "it is no matrix file";
	if (header->version != MATRIX_VERSION)
		return "it has another format version";
	if (header->crc != HeaderChecksum(header))
		return "its header is damaged";
	FillIdentity(&here);
	if (header->system_identifier != here.system_identifier)
		return "it belongs to another cluster";
	if (header->database != here.database)
		return "it belongs to another database";
	if (header->timeline != here.timeline)
		return "it belongs to another timeline";
	if (strncmp(header->boot_id, here.boot_id, BOOT_ID_LENGTH) != 0)
		return "the machine was restarted since it was written";
	if (memcmp(&header->run_id, run_id, sizeof(pg_uuid_t)) != 0 ||
		memcmp(&header->generation, generation, sizeof(pg_uuid_t)) != 0 ||
		(header->by_reader != 0) != by_reader)
		return "it belongs to another run";
	return NULL;
}

static void
PlaceChecksums(MatrixFile *file)
{
	const SectionPlace *place = &file->header.sections[SECTION_CHECKSUMS];
	int64		n = place->length / sizeof(uint32);
	int64		first = 0;

	for (int i = 0; i < SECTION_CHECKSUMS; i++)
	{
		file->first_checksum[i] = first;
		first += SectionBlocks(file->header.sections[i].length);
	}
	file->verified = palloc0(sizeof(uint64) * (n / 64 + 1));
}

static const char *
MapFile(MatrixFile *file, int fd, const pg_uuid_t *run_id, const pg_uuid_t *generation, bool by_reader)
{
	const char *problem;
	struct stat info;
	ssize_t		got = pread(fd, &file->header, sizeof(MatrixHeader), 0);

	if (got < 0 || fstat(fd, &info) != 0)
		return psprintf("could not read it: %m");
	if (got != sizeof(MatrixHeader) || info.st_size < MATRIX_PAGE)
		return "it is cut";
	problem = CheckHeader(&file->header, run_id, generation, by_reader);
	if (problem == NULL)
		problem = CheckSections(&file->header, info.st_size);
	if (problem)
		return problem;
	file->size = info.st_size;
	file->map = mmap(NULL, file->size, PROT_READ, MAP_SHARED, fd, 0);
	if (file->map == MAP_FAILED)
	{
		file->map = NULL;
		return psprintf("could not map it: %m");
	}
	PlaceChecksums(file);
	return NULL;
}

static const char *
OpenFile(MatrixFile *file, const char *path, const pg_uuid_t *run_id, const pg_uuid_t *generation,
		 bool by_reader)
{
	const char *problem;
	int			fd;

	file->path = pstrdup(path);
	fd = OpenTransientFile(file->path, O_RDONLY | PG_BINARY);
	if (fd < 0)
		return errno == ENOENT ? "it is not there" : psprintf("could not open it: %m");
	problem = MapFile(file, fd, run_id, generation, by_reader);
	(void) CloseTransientFile(fd);
	return problem;
}

static void
Unmap(OpenedBase *opened)
{
	for (int i = 0; i < opened->base.n_files; i++)
	{
		MatrixFile *file = opened->base.files[i];

		if (file && file->map)
			(void) munmap(file->map, file->size);
	}
	MemoryContextDelete(opened->context);
}

static void
CloseBase(OpenedBase *opened)
{
	opened_bases = list_delete_ptr(opened_bases, opened);
	if (opened->pins > 0)
		opened->doomed = true;
	else
		Unmap(opened);
}

static const void *
Section(const MatrixFile *file, int number)
{
	return file->map + file->header.sections[number].offset;
}

static void
MakePart(MatrixPart *part, MatrixFile *file)
{
	const MatrixHeader *header = &file->header;

	part->n = header->n;
	part->dim = header->dim;
	part->stride = MatrixStride(header->dim);
	part->stride8 = MatrixStride8(header->dim);
	part->m = header->m;
	part->stride_prefix = PrefixStride(header->m);
	part->metric = header->metric;
	part->rotation_error = header->rotation_error;
	part->rows = Section(file, SECTION_ROWS);
	part->rows8 = Section(file, SECTION_ROWS8);
	part->prefix = Section(file, SECTION_PREFIX);
	part->screens = Section(file, SECTION_SCREENS);
	part->rotation = header->m > 0 ? Section(file, SECTION_ROTATION) : NULL;
	part->first = header->n_previous;
	part->memory = &file->memory;
	part->file = file;
}

/*
 * Do the files fit together?
 */
static const char *
CheckChain(const Base *base)
{
	int64		n = 0;

	for (int i = 0; i < base->n_files; i++)
	{
		const MatrixHeader *header = &base->files[i]->header;
		const MatrixHeader *newest = &base->files[base->n_files - 1]->header;

		if (header->n_previous != n || header->dim != newest->dim ||
			header->metric != newest->metric || header->m != newest->m)
			return "it does not belong to the others";
		n = RowNumbers(n + header->n);
	}
	return NULL;
}

static void
DescribeBase(OpenedBase *opened)
{
	Base	   *base = &opened->base;
	MatrixFile *newest = base->files[base->n_files - 1];

	base->parts = palloc0(sizeof(MatrixPart) * base->n_files);
	for (int i = 0; i < base->n_files; i++)
	{
		MakePart(&base->parts[i], base->files[i]);
		base->size += base->files[i]->size;
	}
	base->fingerprint = newest->header.fingerprint;
	base->metric = newest->header.metric;
	base->dim = newest->header.dim;
	base->n_rows = newest->header.n_previous + newest->header.n;
	base->n_live = newest->header.n_live;
	base->dead = Section(newest, SECTION_DEAD);
	base->bad = Section(newest, SECTION_BAD);
	base->n_bad = newest->header.sections[SECTION_BAD].length / sizeof(BadRow);
	for (int i = 0; i < base->n_files; i++)
		base->parts[i].dead = base->dead + base->parts[i].first / 64;
}

/*
 * Say once a session and generation why a base is not used: what was damaged is
 * missing from then on.
 */
static void
LogProblem(const char *path, const Base *base, const char *problem)
{
	static pg_uuid_t last_run[2];
	static pg_uuid_t last_generation[2];
	int			kind = base->by_reader ? 1 : 0;

	if (memcmp(&last_run[kind], &base->run_id, sizeof(pg_uuid_t)) == 0 &&
		memcmp(&last_generation[kind], &base->generation, sizeof(pg_uuid_t)) == 0)
		return;
	last_run[kind] = base->run_id;
	last_generation[kind] = base->generation;
	ereport(LOG,
			(errmsg("matrix file \"%s\" is not used: %s", path, problem),
			 errdetail("The table answers until the next build.")));
}

static void InstallBusHandler(void);

/*
 * path: of the one file, if it has not its usual name.
 */
static OpenedBase *
MapBase(const pg_uuid_t *run_id, const pg_uuid_t *files, int n_files, bool by_reader,
		const char *path)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "milvus_brain base",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OpenedBase *opened = palloc0(sizeof(OpenedBase));
	Base	   *base = &opened->base;
	const char *problem = NULL;

	InstallBusHandler();
	opened->context = context;
	base->run_id = *run_id;
	base->generation = files[n_files - 1];
	base->by_reader = by_reader;
	base->n_files = n_files;
	base->files = palloc0(sizeof(MatrixFile *) * n_files);
	for (int i = 0; i < n_files && problem == NULL; i++)
	{
		base->files[i] = palloc0(sizeof(MatrixFile));
		problem = OpenFile(base->files[i], path ? path : MatrixPath(run_id, &files[i], by_reader),
						   run_id, &files[i], by_reader);
		if (problem == NULL && i == n_files - 1)
			problem = CheckChain(base);
		/* that there is none made by a search is nothing to tell */
		if (problem && !(by_reader && base->files[i]->header.magic == 0))
			LogProblem(base->files[i]->path, base, problem);
	}
	if (problem == NULL)
		DescribeBase(opened);
	MemoryContextSwitchTo(old);
	if (problem)
	{
		Unmap(opened);
		return NULL;
	}
	return opened;
}

/*
 * Has a base's newest file been removed? Then nobody asks for it again, but for
 * an old snapshot, which finds the table instead.
 */
static bool
IsGone(const OpenedBase *opened)
{
	struct stat info;

	return stat(opened->base.files[opened->base.n_files - 1]->path, &info) != 0 && errno == ENOENT;
}

/*
 * Unmap what is not needed any more: a mapping keeps the disk space of a file
 * that was removed.
 */
static void
CloseGoneBases(void)
{
	List	   *bases = list_copy(opened_bases);
	ListCell   *lc;

	foreach(lc, bases)
	{
		if (IsGone(lfirst(lc)))
			CloseBase(lfirst(lc));
	}
	list_free(bases);
}

static void
MakeRoom(const pg_uuid_t *run_id)
{
	OpenedBase *oldest = NULL;
	ListCell   *lc;

	CloseGoneBases();
	foreach(lc, opened_bases)
	{
		OpenedBase *opened = lfirst(lc);

		/* an earlier generation is seldom asked for again */
		if (memcmp(&opened->base.run_id, run_id, sizeof(pg_uuid_t)) == 0)
		{
			CloseBase(opened);
			return;
		}
		if (oldest == NULL || opened->last_use < oldest->last_use)
			oldest = opened;
	}
	if (list_length(opened_bases) >= MAX_OPEN_BASES)
		CloseBase(oldest);
}

static void
Unpin(void *arg)
{
	OpenedBase *opened = arg;

	if (--opened->pins == 0 && opened->doomed)
		Unmap(opened);
}

/*
 * Use a base until the current memory context goes.
 */
static Base *
Pin(OpenedBase *opened)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

	callback->func = Unpin;
	callback->arg = opened;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	opened->pins++;
	opened->last_use = ++use_counter;
	return &opened->base;
}

/*
 * The base of a run that consists of the given files, the oldest first; NULL
 * when one is missing or cannot be used, which the log says. It stays mapped at
 * least until the current memory context is reset.
 */
Base *
OpenBase(const pg_uuid_t *run_id, const pg_uuid_t *files, int n_files, bool by_reader)
{
	OpenedBase *opened;
	MemoryContext old;
	ListCell   *lc;

	if (n_files == 0)
		return NULL;
	foreach(lc, opened_bases)
	{
		opened = lfirst(lc);
		if (memcmp(&opened->base.generation, &files[n_files - 1], sizeof(pg_uuid_t)) == 0 &&
			memcmp(&opened->base.run_id, run_id, sizeof(pg_uuid_t)) == 0 &&
			opened->base.by_reader == by_reader)
			return Pin(opened);
	}
	opened = MapBase(run_id, files, n_files, by_reader, NULL);
	if (opened == NULL)
		return NULL;
	MakeRoom(run_id);
	old = MemoryContextSwitchTo(TopMemoryContext);
	opened_bases = lappend(opened_bases, opened);
	MemoryContextSwitchTo(old);
	return Pin(opened);
}

/*
 * Map a file that belongs to this session alone. It stays mapped until the
 * current memory context is reset.
 */
Base *
OpenPrivateBase(const pg_uuid_t *run_id, const pg_uuid_t *generation, const char *path)
{
	OpenedBase *opened = MapBase(run_id, generation, 1, false, path);

	if (opened == NULL)
		return NULL;
	opened->doomed = true;
	return Pin(opened);
}

int64
SizeOfFile(const Base *base, int file)
{
	return (int64) base->files[file]->size;
}

/*
 * Use a base no more. why: for the log; NULL to say nothing.
 */
void
ForgetBase(Base *base, const char *why)
{
	OpenedBase *opened = (OpenedBase *) base;

	if (why)
		LogProblem(base->files[base->n_files - 1]->path, base, why);
	if (list_member_ptr(opened_bases, opened))
		CloseBase(opened);
}

/* ---------- reading a mapping ---------- */

static bool
IsMapped(const OpenedBase *opened, const char *address)
{
	for (int i = 0; i < opened->base.n_files; i++)
	{
		const MatrixFile *file = opened->base.files[i];

		if (address >= file->map && address < file->map + file->size)
			return true;
	}
	return false;
}

/*
 * A SIGBUS that is not ours does what it did before: the instruction is tried
 * again under the old action.
 */
static void
HandleBus(int number pg_attribute_unused(), siginfo_t *info, void *context pg_attribute_unused())
{
	if (fault_target && fault_base && IsMapped(fault_base, info->si_addr))
		siglongjmp(*fault_target, 1);
	sigaction(SIGBUS, &old_bus_action, NULL);
}

static void
InstallBusHandler(void)
{
	static bool installed = false;
	struct sigaction action = {0};

	if (installed)
		return;
	action.sa_sigaction = HandleBus;
	sigemptyset(&action.sa_mask);
	/* it is left by a jump: the signal must not stay blocked */
	action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;
	sigaction(SIGBUS, &action, &old_bus_action);
	installed = true;
}

/*
 * Call a function that reads a base's mappings; false when they turned out to be
 * cut or damaged, and the base is gone then. Other errors go on as they do.
 */
bool
WithMapping(Base *base, void (*function) (void *arg), void *arg)
{
	sigjmp_buf	target;
	sigjmp_buf *volatile saved_target = fault_target;
	OpenedBase *volatile saved_base = fault_base;
	sigjmp_buf *volatile saved_exception_stack = PG_exception_stack;
	ErrorContextCallback *volatile saved_context_stack = error_context_stack;
	volatile MemoryContext context = CurrentMemoryContext;
	int			fault = sigsetjmp(target, 0);

	if (fault == 0)
	{
		PG_TRY();
		{
			fault_target = &target;
			fault_base = (OpenedBase *) base;
			function(arg);
		}
		PG_FINALLY();
		{
			fault_target = saved_target;
			fault_base = saved_base;
		}
		PG_END_TRY();
		return true;
	}
	fault_target = saved_target;
	fault_base = saved_base;
	PG_exception_stack = saved_exception_stack;
	error_context_stack = saved_context_stack;
	MemoryContextSwitchTo(context);
	for (int i = 0; i < base->n_files; i++)
		(void) unlink(base->files[i]->path);
	ForgetBase(base, fault == 1 ? "it was cut while it was in use" : "it is damaged");
	return false;
}

bool
InMapping(void)
{
	return fault_target != NULL;
}

/*
 * Check what a session has not checked yet of some bytes of a section.
 */
static void
RequireBytes(MatrixFile *file, int section, uint64 first, uint64 length)
{
	const SectionPlace *place = &file->header.sections[section];
	const uint32 *checksums = Section(file, SECTION_CHECKSUMS);

	Assert(InMapping());
	if (length == 0)
		return;
	Assert(first <= place->length && length <= place->length - first);
	for (uint64 i = first / MATRIX_CHECKED; i <= (first + length - 1) / MATRIX_CHECKED; i++)
	{
		int64		number = file->first_checksum[section] + i;
		uint32		crc;

		if ((file->verified[number / 64] >> (number % 64)) & 1)
			continue;
		crc = Checksum(file->map + place->offset + i * MATRIX_CHECKED,
					   Min(MATRIX_CHECKED, place->length - i * MATRIX_CHECKED));
		if (crc != checksums[number])
			siglongjmp(*fault_target, 2);
		file->verified[number / 64] |= UINT64CONST(1) << (number % 64);
	}
}

static void
RequireSection(MatrixFile *file, int section)
{
	RequireBytes(file, section, 0, file->header.sections[section].length);
}

void
RequireIntact(const MatrixPart *part, MatrixSection section, int64 first, int64 count)
{
	uint64		row_size = section == SECTION_ROWS ? sizeof(float) * part->stride :
		section == SECTION_ROWS8 ? (uint64) part->stride8 : (uint64) part->stride_prefix;

	if (section == SECTION_SCREENS)
	{
		row_size = sizeof(ScreenBlock);
		count = (first + count + SCREEN_ROWS - 1) / SCREEN_ROWS - first / SCREEN_ROWS;
		first = first / SCREEN_ROWS;
	}
	RequireBytes(part->file, section, row_size * first, row_size * count);
}

static MatrixFile *
FileOfRow(const Base *base, int64 row, int64 *row_in_file)
{
	int			i = base->n_files - 1;

	Assert(row >= 0 && row < base->n_rows);
	while (base->files[i]->header.n_previous > row)
		i--;
	*row_in_file = row - base->files[i]->header.n_previous;
	return base->files[i];
}

/*
 * Is a number a row's? Between two files there may be some that are not.
 */
bool
IsRow(const Base *base, int64 row)
{
	int64		row_in_file;
	const MatrixFile *file = FileOfRow(base, row, &row_in_file);

	return row_in_file < file->header.n;
}

/*
 * The rows of bad samples are a file's numbers: what asks for their ids relies on
 * them.
 */
static void
RequireBadRows(const Base *base)
{
	for (int64 i = 0; i < base->n_bad; i++)
	{
		BadRow		bad = base->bad[i];

		if (bad.row < 0 || bad.row >= base->n_rows || !IsRow(base, bad.row) ||
			bad.failure <= VECTOR_OK || bad.failure > VECTOR_ZERO)
			siglongjmp(*fault_target, 2);
	}
}

/*
 * Check what every search reads, once: the rows that are dead, the rotation.
 */
static void
RequireSmallSections(const Base *base)
{
	OpenedBase *opened = (OpenedBase *) base;
	MatrixFile *newest = base->files[base->n_files - 1];

	if (opened->dead_verified)
		return;
	for (int i = 0; i < base->n_files; i++)
	{
		MatrixFile *file = base->files[i];
		const SectionPlace *place = &file->header.sections[SECTION_CHECKSUMS];

		if (Checksum(file->map + place->offset, place->length) != file->header.checksums_crc)
			siglongjmp(*fault_target, 2);
		RequireSection(file, SECTION_ROTATION);
	}
	RequireSection(newest, SECTION_DEAD);
	RequireSection(newest, SECTION_BAD);
	RequireBadRows(base);
	RequireSection(newest, SECTION_RUNNING);
	opened->dead_verified = true;
}

const uint64 *
DeadRows(const Base *base)
{
	RequireSmallSections(base);
	return base->dead;
}

const BadRow *
BadRows(const Base *base)
{
	RequireSmallSections(base);
	return base->bad;
}

static const char *
IdInFile(MatrixFile *file, int64 row)
{
	const uint64 *offsets = Section(file, SECTION_OFFSETS);
	uint64		end = file->header.sections[SECTION_IDS].length;
	uint64		next = end;

	Assert(row >= 0 && row < file->header.n);
	RequireBytes(file, SECTION_OFFSETS, sizeof(uint64) * row,
				 sizeof(uint64) * (row + 1 < file->header.n ? 2 : 1));
	if (row + 1 < file->header.n)
		next = offsets[row + 1];
	/* the checksum is right, but the numbers are still a file's */
	if (offsets[row] >= next || next > end)
		siglongjmp(*fault_target, 2);
	RequireBytes(file, SECTION_IDS, offsets[row], next - offsets[row]);
	if (((const char *) Section(file, SECTION_IDS))[next - 1] != '\0')
		siglongjmp(*fault_target, 2);
	return (const char *) Section(file, SECTION_IDS) + offsets[row];
}

/*
 * The id of a row.
 */
const char *
IdOfRow(const Base *base, int64 row)
{
	int64		row_in_file;
	MatrixFile *file = FileOfRow(base, row, &row_in_file);

	RequireSmallSections(base);
	return IdInFile(file, row_in_file);
}

/*
 * The vector of a row: base->dim values.
 */
const float *
VectorOfRow(const Base *base, int64 row)
{
	int64		row_in_file;
	MatrixFile *file = FileOfRow(base, row, &row_in_file);
	Size		stride = MatrixStride(file->header.dim);

	RequireSmallSections(base);
	RequireBytes(file, SECTION_ROWS, sizeof(float) * stride * row_in_file, sizeof(float) * stride);
	return (const float *) Section(file, SECTION_ROWS) + stride * row_in_file;
}

static int64
FindInFile(MatrixFile *file, const char *id, uint32 hash)
{
	const uint32 *slots = Section(file, SECTION_SLOTS);
	uint32		mask = file->header.sections[SECTION_SLOTS].length / sizeof(uint32) - 1;
	uint32		slot = hash & mask;

	for (uint32 tries = 0; tries <= mask && file->header.n > 0; tries++)
	{
		uint32		row;

		RequireBytes(file, SECTION_SLOTS, sizeof(uint32) * (uint64) slot, sizeof(uint32));
		row = slots[slot];
		if (row == 0)
			break;
		if (row > file->header.n)
			siglongjmp(*fault_target, 2);
		if (strcmp(IdInFile(file, row - 1), id) == 0)
			return row - 1;
		slot = (slot + 1) & mask;
	}
	return -1;
}

/*
 * The row of an id in the newest file that has it: the only one that may not be
 * dead, or a bad one; -1 when there is none.
 */
int64
FindRow(const Base *base, const char *id)
{
	uint32		hash = hash_bytes((const unsigned char *) id, (int) strlen(id));

	RequireSmallSections(base);
	for (int i = base->n_files - 1; i >= 0; i--)
	{
		int64		row = FindInFile(base->files[i], id, hash);

		if (row >= 0)
			return base->files[i]->header.n_previous + row;
	}
	return -1;
}

/* ---------- whose snapshot ---------- */

/*
 * A transaction id with its epoch, as of now.
 */
uint64
WidenXid(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint64		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return (epoch << 32) | xid;
}

typedef struct RunningCheck
{
	const Base *base;
	Snapshot	snapshot;
	bool		covered;
} RunningCheck;

int
CompareXids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return (x > y) - (x < y);
}

/*
 * Is every transaction that the snapshot has not seen, of those that the file's
 * could have seen, one that the file has not seen either?
 */
static void
CheckRunning(void *arg)
{
	RunningCheck *check = arg;
	Snapshot	snapshot = check->snapshot;
	MatrixFile *file = check->base->files[0];
	const uint64 *running = Section(file, SECTION_RUNNING);
	Size		n_running = file->header.sections[SECTION_RUNNING].length / sizeof(uint64);
	const TransactionId *xids = snapshot->takenDuringRecovery ? snapshot->subxip : snapshot->xip;
	int			n = snapshot->takenDuringRecovery ? snapshot->subxcnt : (int) snapshot->xcnt;

	RequireSmallSections(check->base);
	check->covered = true;
	for (int i = 0; i < n && check->covered; i++)
	{
		uint64		xid = WidenXid(xids[i]);

		if (xid < file->header.xmax &&
			bsearch(&xid, running, n_running, sizeof(uint64), CompareXids) == NULL)
			check->covered = false;
	}
}

/*
 * May a snapshot use a base? A sync's is seen by those only that see all that
 * the sync saw. A reader's can be older or newer than the snapshot; it must have
 * seen nothing that the snapshot has not.
 */
bool
BaseIsFor(const Base *base, Snapshot snapshot)
{
	const MatrixHeader *header = &base->files[0]->header;
	RunningCheck check = {base, snapshot, false};

	if (!base->by_reader || Mutated("R5"))
		return true;
	if (header->xmax <= WidenXid(snapshot->xmin))
		return true;
	if (WidenXid(snapshot->xmax) < header->xmax)
		return false;
	return WithMapping((Base *) base, CheckRunning, &check) && check.covered;
}

/* ---------- the directory ---------- */

/*
 * What a file's name says; false for a name that is not ours.
 */
static bool
ParseName(const char *name, MatrixEntry *entry)
{
	unsigned int database;
	char		run[37];
	char		generation[37];
	int			length = 0;
	const char *rest;

	if (sscanf(name, "%u.%36[0-9a-f-].%36[0-9a-f-]%n", &database, run, generation, &length) != 3 ||
		length == 0 || strlen(run) != 36 || strlen(generation) != 36 ||
		!ParseUuid(run, &entry->run_id) || !ParseUuid(generation, &entry->generation))
		return false;
	entry->name = pstrdup(name);
	entry->database = database;
	entry->writer = 0;
	rest = name + length;
	entry->by_reader = strncmp(rest, ".reader", 7) == 0;
	if (entry->by_reader)
		rest += 7;
	if (*rest == '\0')
		return true;
	return sscanf(rest, ".%d.tmp", &entry->writer) == 1 && entry->writer > 0;
}

/*
 * The files in the directory that have names of ours: a list of MatrixEntry.
 */
List *
ListMatrixFiles(void)
{
	List	   *entries = NIL;
	DIR		   *directory = AllocateDir(MATRIX_DIRECTORY);
	struct dirent *found;

	if (directory == NULL)
		return NIL;
	while ((found = ReadDirExtended(directory, MATRIX_DIRECTORY, LOG)) != NULL)
	{
		MatrixEntry *entry = palloc0(sizeof(MatrixEntry));

		CHECK_FOR_INTERRUPTS();
		if (ParseName(found->d_name, entry))
			entries = lappend(entries, entry);
	}
	FreeDir(directory);
	return entries;
}

void
RemoveMatrixFile(const MatrixEntry *entry)
{
	char	   *path = psprintf(MATRIX_DIRECTORY "/%s", entry->name);
	int			fd = BasicOpenFile(path, O_RDONLY | O_NONBLOCK | PG_BINARY);

	if (unlink(path) < 0 && errno != ENOENT)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not remove matrix file \"%s\": %m", path)));
	CloseGoneBases();
	if (fd >= 0)
		CloseRemoved(fd);
}
