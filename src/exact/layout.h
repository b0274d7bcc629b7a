/*
 * layout.h
 *		A matrix file, byte by byte: between what writes it (matrixwrite.c) and
 *		what reads it (matrix.c).
 *
 * A header of one page; then the sections, each beginning at a multiple of 4 kB
 * (some of 64 kB, for speed alone: ALIGNED_FROM in matrixwrite.c) and checked by a
 * CRC-32C for every 64 kB of it (the last one for what is left); the last section
 * holds these checksums, and the header its checksum and its own. Numbers are the
 * machine's: a file never leaves it.
 *
 *	rows		n x stride float32
 *	rows8		n x stride8 int8		the screens' (scan.h), as are the next
 *	prefix		n x stride_prefix int8
 *	screens		one ScreenBlock for each 1024 rows
 *	rotation	m x stride float32
 *	offsets		n x uint64				where a row's id is in the next section
 *	ids			text, each with its zero byte
 *	slots		2^x uint32				a hash table of the ids: row + 1, or 0
 *	dead		uint64					a bit for each row of this and all previous files
 *	bad			BadRow					of this and all previous files
 *	running		uint64					a reader-made file's snapshot: its running xids, sorted
 *	checksums	uint32
 */
#ifndef BRAIN_LAYOUT_H
#define BRAIN_LAYOUT_H

#include "utils/uuid.h"

#define MATRIX_MAGIC UINT64CONST(0x78697274616d6262)	/* "bbmatrix" */

/* Another number for every change of what is written here. */
#define MATRIX_VERSION 2

#define MATRIX_PAGE 4096
#define MATRIX_CHECKED 65536	/* bytes for each checksum */

/* The first ones are MatrixSection's of scan.h. */
enum
{
	SECTION_ROTATION = 4,
	SECTION_OFFSETS,
	SECTION_IDS,
	SECTION_SLOTS,
	SECTION_DEAD,
	SECTION_BAD,
	SECTION_RUNNING,
	SECTION_CHECKSUMS,
	N_SECTIONS
};

typedef struct SectionPlace
{
	uint64		offset;			/* in the file */
	uint64		length;
} SectionPlace;

#define BOOT_ID_LENGTH 40

typedef struct MatrixHeader
{
	uint64		magic;
	uint32		version;
	uint32		crc;			/* of the header, taken with 0 here */

	/* where it is valid */
	uint64		system_identifier;
	uint32		timeline;
	uint32		database;
	char		boot_id[BOOT_ID_LENGTH];	/* it was not flushed: gone with the machine's memory */

	/* what it is */
	pg_uuid_t	run_id;
	pg_uuid_t	generation;
	uint64		fingerprint;	/* of the dataset's tracking */
	uint32		metric;
	uint32		by_reader;
	uint64		xmin;			/* of a reader's snapshot */
	uint64		xmax;

	int64		n;
	int64		n_previous;		/* row numbers of previous files, a multiple of 64 */
	int64		n_live;			/* of all files */
	int32		dim;
	int32		m;
	float		rotation_error;
	uint32		checksums_crc;
	SectionPlace sections[N_SECTIONS];
} MatrixHeader;

#define SectionBlocks(length) (((length) + MATRIX_CHECKED - 1) / MATRIX_CHECKED)

/* Row numbers that a file of n rows takes. */
#define RowNumbers(n) (((n) + 63) / 64 * 64)
#define DeadWords(n) (((n) + 63) / 64)

/* In matrix.c: this machine's, and the boot it is in. */
extern void FillIdentity(MatrixHeader *header);
extern uint64 WidenXid(TransactionId xid);
extern int	CompareXids(const void *a, const void *b);
extern uint32 Checksum(const void *data, Size length);
extern uint32 HeaderChecksum(const MatrixHeader *header);
extern char *MatrixPath(const pg_uuid_t *run_id, const pg_uuid_t *generation, bool by_reader);

/* In closing.c: a file that is removed already. */
extern void CloseRemoved(int fd);

#endif							/* BRAIN_LAYOUT_H */
