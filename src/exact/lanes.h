/*
 * lanes.h
 *		How the kernels are compiled.
 *
 * Kernels only choose candidates, within error bounds that hold for any order
 * of summation and with or without fused multiply-adds: unlike distance.c they
 * may differ from processor to processor. gcc makes one version of each for
 * plain x86-64, one for AVX2 and one for AVX-512, and the loader chooses.
 */
#ifndef BRAIN_LANES_H
#define BRAIN_LANES_H

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && __GNUC__ >= 12 && \
	!defined(__clang__) && !defined(BRAIN_NO_CLONES)
#define BRAIN_KERNEL __attribute__((noinline, optimize("O3", "fp-contract=fast"), \
	target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
/* The same where every processor must give the same bits. */
#define BRAIN_EXACT_KERNEL __attribute__((noinline, optimize("O3", "fp-contract=off"), \
	target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define BRAIN_KERNEL pg_noinline
#define BRAIN_EXACT_KERNEL pg_noinline
#endif

/*
 * Sixteen floats, added lane by lane: explicit, since a compiler must not
 * reassociate sums. Rows of a matrix and padded queries are whole Lanes.
 */
#define LANES_OF_FLOAT 16
typedef float Lanes __attribute__((vector_size(4 * LANES_OF_FLOAT), may_alias));

typedef float HalfLanes __attribute__((vector_size(2 * LANES_OF_FLOAT)));
typedef float QuarterLanes __attribute__((vector_size(LANES_OF_FLOAT)));

/*
 * Add up Lanes: four additions deep. A macro, since vectors as arguments have
 * no calling convention that all versions of a kernel share.
 */
#define AddLanes(lanes, sum) \
	do { \
		HalfLanes	half_ = __builtin_shufflevector(lanes, lanes, 0, 1, 2, 3, 4, 5, 6, 7) + \
			__builtin_shufflevector(lanes, lanes, 8, 9, 10, 11, 12, 13, 14, 15); \
		QuarterLanes quarter_ = __builtin_shufflevector(half_, half_, 0, 1, 2, 3) + \
			__builtin_shufflevector(half_, half_, 4, 5, 6, 7); \
		(sum) = (quarter_[0] + quarter_[2]) + (quarter_[1] + quarter_[3]); \
	} while (0)

/* Half the distance from 1 to the next float: the relative error of rounding. */
#define FLOAT_UNIT (1.0 / 16777216)

/*
 * An absolute error well above what underflow takes from a few operations,
 * even where some library made the processor flush denormals to zero.
 */
#define FLOAT_TINY 1e-36

/*
 * Built with -DBRAIN_MUTATE_BOUND=n, one error term is left out: tests/unit/run
 * must notice. 1: of the row's quantisation, 2: outside the prefix, 3: of the
 * query's quantisation and of sums, 4: of float32 sums, 5: of the products of
 * all pairs.
 */
#ifdef BRAIN_MUTATE_BOUND
#define Term(number, value) (BRAIN_MUTATE_BOUND == (number) ? 0.0 : (value))
#else
#define Term(number, value) (value)
#endif

/* palloc() for Lanes */
static inline void *
AllocAligned(Size size)
{
	char	   *chunk = MemoryContextAllocHuge(CurrentMemoryContext, size + 64);

	return (void *) TYPEALIGN(64, chunk);
}

/* The largest float that is not above value; NaN gives NaN. */
static inline float
FloatBelow(double value)
{
	float		f = (float) value;

	return (double) f > value ? nextafterf(f, -INFINITY) : f;
}

/* The smallest float that is not below value; infinity when there is none. */
static inline float
FloatAbove(double value)
{
	return -FloatBelow(-value);
}

#endif							/* BRAIN_LANES_H */
