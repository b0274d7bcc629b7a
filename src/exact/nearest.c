/*
 * nearest.c
 *		The best k of many candidates.
 *
 * Order: by distance (descending when the least similar are asked for); among
 * equal distances the query sample itself first, then ids byte by byte, as
 * under COLLATE "C". An id's text is needed only for candidates that are kept:
 * callers ask NearestWants() before they make it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "exact/nearest.h"

#define FIRST_CAPACITY 64

void
InitNearest(Nearest *nearest, int k, bool reverse)
{
	nearest->k = k;
	nearest->reverse = reverse;
	nearest->n = 0;
	nearest->capacity = 0;
	nearest->items = NULL;
	nearest->context = CurrentMemoryContext;
}

/*
 * Negative when a comes before b.
 */
static int
CompareNeighbors(const Neighbor *a, const Neighbor *b, bool reverse)
{
	if (a->distance != b->distance)
		return ((a->distance < b->distance) != reverse) ? -1 : 1;
	if (a->is_query != b->is_query && !reverse)
		return a->is_query ? -1 : 1;
	return strcmp(a->id, b->id);
}

/*
 * Could a candidate of this distance still be kept? True also for ties with
 * the worst, which its id decides.
 */
bool
NearestWants(const Nearest *nearest, double distance)
{
	if (nearest->k == 0 || nearest->n < nearest->k)
		return true;
	return nearest->reverse ? distance >= nearest->items[0].distance :
		distance <= nearest->items[0].distance;
}

static void
Grow(Nearest *nearest)
{
	int64		capacity = Max(FIRST_CAPACITY, nearest->capacity * 2);

	if (nearest->items == NULL)
		nearest->items = MemoryContextAlloc(nearest->context, sizeof(Neighbor) * capacity);
	else
		nearest->items = repalloc_huge(nearest->items, sizeof(Neighbor) * capacity);
	nearest->capacity = capacity;
}

static void
SiftUp(Nearest *nearest, int64 i)
{
	Neighbor   *items = nearest->items;
	Neighbor	item = items[i];

	while (i > 0 && CompareNeighbors(&items[(i - 1) / 2], &item, nearest->reverse) < 0)
	{
		items[i] = items[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	items[i] = item;
}

static void
SiftDown(Nearest *nearest)
{
	Neighbor   *items = nearest->items;
	Neighbor	item = items[0];
	int64		i = 0;

	for (;;)
	{
		int64		child = 2 * i + 1;

		if (child >= nearest->n)
			break;
		if (child + 1 < nearest->n &&
			CompareNeighbors(&items[child + 1], &items[child], nearest->reverse) > 0)
			child++;
		if (CompareNeighbors(&items[child], &item, nearest->reverse) <= 0)
			break;
		items[i] = items[child];
		i = child;
	}
	items[i] = item;
}

/*
 * Offer a candidate; the id is copied if it is kept.
 */
void
AddNearest(Nearest *nearest, const Neighbor *candidate)
{
	Neighbor	item = *candidate;

	Assert(nearest->k == 0 || nearest->n <= nearest->k);
	if (nearest->k == 0 || nearest->n < nearest->k)
	{
		if (nearest->n == nearest->capacity)
			Grow(nearest);
		item.id = MemoryContextStrdup(nearest->context, candidate->id);
		nearest->items[nearest->n++] = item;
		if (nearest->k > 0)
			SiftUp(nearest, nearest->n - 1);
		return;
	}
	if (CompareNeighbors(&item, &nearest->items[0], nearest->reverse) >= 0)
		return;
	pfree(nearest->items[0].id);
	item.id = MemoryContextStrdup(nearest->context, candidate->id);
	nearest->items[0] = item;
	SiftDown(nearest);
}

static int
CompareForSort(const void *a, const void *b, void *reverse)
{
	/* millions of neighbours take seconds: our memory, so it may throw */
	CHECK_FOR_INTERRUPTS();
	return CompareNeighbors(a, b, *(bool *) reverse);
}

/*
 * Put what was kept in order, the best first. Nothing can be added after it.
 */
void
SortNearest(Nearest *nearest)
{
	if (nearest->n > 1)
		qsort_arg(nearest->items, nearest->n, sizeof(Neighbor), CompareForSort,
				  &nearest->reverse);
}
