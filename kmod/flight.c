// SPDX-License-Identifier: GPL-2.0
/*
 * Requests of a disk that were issued and have not completed: who is found again at completion, which writes a fence waits for,
 * which overlap (R7). All under the protection's lock, but init and free.
 *
 * Open addressing with linear probing, twice as many places as there can be requests; removal moves followers back, so that there
 * are no tombstones. Overlaps are rare, and to look through the table for each write would be dear: counters of how many requests
 * touch the 4 KiB that fall onto them say for most writes that nobody can be there.
 */
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/vmalloc.h>

#include "core.h"

#define NEAR_BITS 13
#define NEAR_SHIFT 3  /* sectors to 4 KiB */
#define NEAR_MOST 256 /* of a request; longer ones are counted as wide */

int tmk_flights_init(struct tmk_flights *f, u32 limit)
{
	u32 size = roundup_pow_of_two(limit) * 2;

	*f = (struct tmk_flights){.mask = size - 1, .limit = limit};
	f->table = vzalloc(array_size(size, sizeof(*f->table)));
	f->near = vzalloc(array_size(1u << NEAR_BITS, sizeof(*f->near)));
	if (f->table && f->near)
		return 0;
	tmk_flights_free(f);
	return -ENOMEM;
}

void tmk_flights_free(struct tmk_flights *f)
{
	vfree(f->table);
	vfree(f->near);
	f->table = NULL;
	f->near = NULL;
}

static u32 home(const struct tmk_flights *f, const struct request *rq)
{
	return hash_ptr(rq, 32) & f->mask;
}

struct tmk_flight *tmk_flights_find(struct tmk_flights *f, const struct request *rq)
{
	u32 i;

	for (i = home(f, rq); f->table[i].rq; i = (i + 1) & f->mask)
		if (f->table[i].rq == rq)
			return &f->table[i];
	return NULL;
}

/* Adds `by` to the counters of a range; true if one of them was not 0 before. */
static bool near(struct tmk_flights *f, u64 begin, u64 end, int by)
{
	u64 first = begin >> NEAR_SHIFT, last = (end - 1) >> NEAR_SHIFT;
	bool somebody = f->wide;

	if (last - first >= NEAR_MOST) {
		f->wide += by;
		return f->count;
	}
	for (; first <= last; first++) {
		u16 *n = &f->near[hash_64(first, NEAR_BITS)];

		somebody |= *n;
		*n += by;
	}
	return somebody;
}

static bool mark_overlaps(struct tmk_flights *f, u64 begin, u64 end)
{
	bool any = false;
	u32 i;

	for (i = 0; i <= f->mask; i++) {
		struct tmk_flight *other = &f->table[i];

		if (other->rq && other->begin < end && begin < other->end)
			any = other->overlapped = true;
	}
	return any;
}

struct tmk_flight *tmk_flights_add(struct tmk_flights *f, const struct request *rq, u64 begin, u64 end, u64 sequence)
{
	struct tmk_flight *flight;
	bool overlapped;
	u32 i = home(f, rq);

	if (f->count == f->limit)
		return NULL;
	overlapped = near(f, begin, end, 1) && mark_overlaps(f, begin, end);
	while (f->table[i].rq)
		i = (i + 1) & f->mask;
	flight = &f->table[i];
	*flight = (struct tmk_flight){.rq = rq, .sequence = sequence, .begin = begin, .end = end, .overlapped = overlapped};
	f->count++;
	return flight;
}

void tmk_flights_remove(struct tmk_flights *f, struct tmk_flight *flight)
{
	u32 hole = flight - f->table, i = hole;

	near(f, flight->begin, flight->end, -1);
	f->count--;
	for (;;) {
		i = (i + 1) & f->mask;
		if (!f->table[i].rq)
			break;
		/* Does its home lie behind the hole? Then it is found where it is. */
		if (((i - home(f, f->table[i].rq)) & f->mask) < ((i - hole) & f->mask))
			continue;
		f->table[hole] = f->table[i];
		hole = i;
	}
	f->table[hole].rq = NULL;
}

u64 tmk_flights_oldest(const struct tmk_flights *f, u64 none)
{
	u32 i;

	for (i = 0; f->count && i <= f->mask; i++)
		if (f->table[i].rq && f->table[i].sequence < none)
			none = f->table[i].sequence;
	return none;
}
