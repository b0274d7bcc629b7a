/*
 * postgres.h
 *		As much of PostgreSQL's as the kernels need, for programs without a
 *		server: memory is malloc's and is never given back, errors abort.
 */
#ifndef SHIM_POSTGRES_H
#define SHIM_POSTGRES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef int8_t int8;
typedef int16_t int16;
typedef int32_t int32;
typedef int64_t int64;
typedef uint8_t uint8;
typedef uint16_t uint16;
typedef uint32_t uint32;
typedef uint64_t uint64;
typedef size_t Size;

#define PG_INT32_MAX INT32_MAX
#define PG_INT64_MAX INT64_MAX
#define UINT64CONST(x) (x##UL)
#define PGDLLIMPORT
#define pg_noinline __attribute__((noinline))
#define pg_unreachable() __builtin_unreachable()
#define lengthof(array) (sizeof(array) / sizeof((array)[0]))
#define Min(a, b) ((a) < (b) ? (a) : (b))
#define Max(a, b) ((a) > (b) ? (a) : (b))
#define TYPEALIGN(to, pointer) (((uintptr_t) (pointer) + (to) - 1) & ~((uintptr_t) (to) - 1))
#define pg_strcasecmp strcasecmp

#define Assert(condition) \
	do { if (!(condition)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); abort(); } } while (0)

#define DEBUG1 1
#define WARNING 2
#define ERROR 3
#define errmsg(...) (shim_say(__VA_ARGS__))
#define errmsg_internal(...) (shim_say(__VA_ARGS__))
#define errhint(...) 0
#define ereport(level, rest) \
	do { shim_level = (level); (void) (rest); if ((level) >= ERROR) abort(); } while (0)

extern int	shim_level;
extern int	shim_warnings;
extern int	shim_say(const char *format,...);
extern void *palloc(Size size);
extern void *palloc0(Size size);
extern char *pstrdup(const char *string);
extern void pfree(void *pointer);

typedef void *MemoryContext;
#define CurrentMemoryContext NULL
#define MemoryContextAllocHuge(context, size) palloc(size)

#endif							/* SHIM_POSTGRES_H */
