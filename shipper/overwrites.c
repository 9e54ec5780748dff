/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See overwrites.h: a sorted list of blocks, each with the end of a record that has all of it. */
#include "overwrites.h"

#include <errno.h>
#include <stdlib.h>

#define BLOCK 4096u
#define BLOCKS_MAX 65536u
#define LONGEST (8u << 20) /* what is longer is sent, and makes nothing else unnecessary: it is rare, and would fill the list */

struct tmk_overwrites {
	uint32_t count;
	struct block {
		uint64_t number; /* the disk in its upper bits */
		uint64_t end;
	} blocks[BLOCKS_MAX];
};

static uint64_t number_of(uint16_t disk, uint64_t offset)
{
	return (uint64_t)disk << 56 | offset / BLOCK;
}

int tmk_overwrites_new(struct tmk_overwrites **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void tmk_overwrites_free(struct tmk_overwrites *o)
{
	free(o);
}

void tmk_overwrites_clear(struct tmk_overwrites *o)
{
	o->count = 0;
}

bool tmk_overwrites_add(struct tmk_overwrites *o, uint16_t disk, uint64_t offset, uint64_t length, uint64_t end)
{
	uint64_t first = (offset + BLOCK - 1) / BLOCK * BLOCK, stop = (offset + length) / BLOCK * BLOCK;

	if (length > LONGEST || first >= stop)
		return true;
	if ((stop - first) / BLOCK > BLOCKS_MAX - o->count)
		return false;
	for (; first < stop; first += BLOCK)
		o->blocks[o->count++] = (struct block){number_of(disk, first), end};
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (x->end > y->end) - (x->end < y->end);
}

void tmk_overwrites_sort(struct tmk_overwrites *o)
{
	qsort(o->blocks, o->count, sizeof(o->blocks[0]), compare);
}

/* The end of the last record that has all of the block; 0: there is none. */
static uint64_t last_of(const struct tmk_overwrites *o, uint64_t number)
{
	uint32_t low = 0, high = o->count; /* what is below low is not behind it, what is from high on is */

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (o->blocks[middle].number > number)
			high = middle;
		else
			low = middle + 1;
	}
	return low && o->blocks[low - 1].number == number ? o->blocks[low - 1].end : 0;
}

bool tmk_overwritten(const struct tmk_overwrites *o, uint16_t disk, uint64_t offset, uint64_t *length, uint64_t end, uint64_t *by)
{
	uint64_t at = offset, stop = offset + *length;
	bool gone = false;

	*by = 0;
	if (!o->count || *length > LONGEST)
		return false;
	while (at < stop) {
		uint64_t next = (at / BLOCK + 1) * BLOCK;
		/* of a block that it has in part only, nothing is left out */
		uint64_t last = at % BLOCK || next > stop ? 0 : last_of(o, number_of(disk, at));

		if (at != offset && (last > end) != gone)
			break;
		gone = last > end;
		if (gone && last > *by)
			*by = last;
		at = next < stop ? next : stop;
	}
	*length = at - offset;
	return gone;
}
