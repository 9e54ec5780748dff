// SPDX-License-Identifier: GPL-2.0
/*
 * See flight.h. What is in flight lies densely, so that to look through it costs what is in flight and not what could be. The
 * table that finds a request has at least twice as many places; removal moves followers back, so that there are no tombstones.
 *
 * Overlaps are rare, and to look for them at each write would be dear: counters of how many requests touch the 4 KiB that fall
 * onto them say of most writes that nobody can be there.
 */
#include "flight.h"

#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#define NEAR_BITS 13
#define NEAR_SHIFT 3  /* sectors to 4 KiB */
#define NEAR_MOST 256 /* of them in a request; longer ones are wide */

int tmk_flights_init(struct tmk_flights *f, u32 limit)
{
	u32 size = roundup_pow_of_two(limit) * 2;

	*f = (struct tmk_flights){.mask = size - 1, .limit = limit};
	f->live = vzalloc(array_size(limit, sizeof(*f->live)));
	f->table = vzalloc(array_size(size, sizeof(*f->table)));
	f->near = vzalloc(array_size(1u << NEAR_BITS, sizeof(*f->near)));
	if (f->live && f->table && f->near)
		return 0;
	tmk_flights_free(f);
	return -ENOMEM;
}

void tmk_flights_free(struct tmk_flights *f)
{
	vfree(f->live);
	vfree(f->table);
	vfree(f->near);
	*f = (struct tmk_flights){};
}

static u32 home(const struct tmk_flights *f, const struct request *rq)
{
	return hash_ptr(rq, 32) & f->mask;
}

/* Where the table has it, or the free place where it would be. */
static u32 place(const struct tmk_flights *f, const struct request *rq)
{
	u32 i = home(f, rq);

	while (f->table[i] && f->live[f->table[i] - 1].rq != rq)
		i = (i + 1) & f->mask;
	return i;
}

struct tmk_flight *tmk_flights_find(struct tmk_flights *f, const struct request *rq)
{
	u32 at = f->table[place(f, rq)];

	return at ? &f->live[at - 1] : NULL;
}

/* Adds `by` to the counters of a range; true if somebody else may be there. */
static bool near(struct tmk_flights *f, u64 begin, u64 end, int by)
{
	u64 first = begin >> NEAR_SHIFT, last = (end - 1) >> NEAR_SHIFT;
	bool somebody = f->wide;

	if (last - first >= NEAR_MOST) {
		f->wide += by;
		return true;
	}
	for (; first <= last; first++) {
		u32 *n = &f->near[hash_64(first, NEAR_BITS)];

		somebody |= *n;
		*n += by;
	}
	return somebody;
}

static bool tell_overlapped(struct tmk_flights *f, u64 begin, u64 end)
{
	bool any = false;
	u32 i;

	for (i = 0; i < f->count; i++)
		if (f->live[i].begin < end && begin < f->live[i].end)
			any = f->live[i].overlapped = true;
	return any;
}

struct tmk_flight *tmk_flights_add(struct tmk_flights *f, const struct request *rq, u64 begin, u64 end, u64 sequence)
{
	struct tmk_flight *flight = &f->live[f->count];

	if (f->count == f->limit)
		return NULL;
	*flight = (struct tmk_flight){.rq = rq, .sequence = sequence, .begin = begin, .end = end};
	flight->overlapped = near(f, begin, end, 1) && tell_overlapped(f, begin, end);
	f->table[place(f, rq)] = ++f->count;
	return flight;
}

/* Followers whose home is not behind the hole would not be found any more. */
static void close_hole(struct tmk_flights *f, u32 hole)
{
	u32 i = hole;

	for (;;) {
		f->table[hole] = 0;
		do {
			i = (i + 1) & f->mask;
			if (!f->table[i])
				return;
		} while (((i - home(f, f->live[f->table[i] - 1].rq)) & f->mask) < ((i - hole) & f->mask));
		f->table[hole] = f->table[i];
		hole = i;
	}
}

void tmk_flights_remove(struct tmk_flights *f, struct tmk_flight *flight)
{
	struct tmk_flight *last = &f->live[f->count - 1];
	u32 hole = place(f, flight->rq), moved = place(f, last->rq);

	near(f, flight->begin, flight->end, -1);
	f->table[moved] = flight - f->live + 1;
	*flight = *last;
	f->count--;
	close_hole(f, hole);
}

void tmk_flights_clear(struct tmk_flights *f)
{
	memset(f->table, 0, array_size(f->mask + 1, sizeof(*f->table)));
	memset(f->near, 0, array_size(1u << NEAR_BITS, sizeof(*f->near)));
	f->count = f->wide = 0;
}

u64 tmk_flights_oldest(const struct tmk_flights *f, u64 none)
{
	u32 i;

	for (i = 0; i < f->count; i++)
		if (f->live[i].sequence < none)
			none = f->live[i].sequence;
	return none;
}
