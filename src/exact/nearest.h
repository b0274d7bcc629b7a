/*
 * nearest.h
 *		The best k of many candidates.
 */
#ifndef BRAIN_NEAREST_H
#define BRAIN_NEAREST_H

typedef struct Neighbor
{
	double		distance;
	double		score;
	char	   *id;				/* canonical text */
	bool		is_query;		/* the sample that was asked for */
} Neighbor;

/*
 * The best k seen so far: a heap with the worst on top, or with k = 0 all of
 * them, in any order.
 */
typedef struct Nearest
{
	int			k;				/* 0: keep all */
	bool		reverse;		/* the farthest are best */
	int64		n;
	int64		capacity;
	Neighbor   *items;
	MemoryContext context;		/* owns items and their ids */
} Nearest;

extern void InitNearest(Nearest *nearest, int k, bool reverse);
extern bool NearestWants(const Nearest *nearest, double distance);
extern void AddNearest(Nearest *nearest, const Neighbor *candidate);
extern void SortNearest(Nearest *nearest);

#endif							/* BRAIN_NEAREST_H */
