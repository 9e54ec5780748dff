/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See touched.h. One bitmap; each disk begins at a bit of its own. */
#include "touched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GRANULE_SHIFT 12
#define BITS_MOST (8ull * (8u << 20))

struct tmk_touched {
	unsigned int shift;
	uint64_t first[TMK_DISKS_MAX]; /* bit of each disk's byte 0 */
	uint8_t *bits;
};

static uint64_t granules(uint64_t size, unsigned int shift)
{
	return ((size - 1) >> shift) + 1;
}

static uint64_t bits_needed(const struct tmk_disk_sizes *sizes, unsigned int shift)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < sizes->count; i++)
		bits += granules(sizes->sizes[i], shift);
	return bits;
}

int tmk_touched_new(struct tmk_touched **out, const struct tmk_disk_sizes *sizes)
{
	struct tmk_touched *t = calloc(1, sizeof(*t));

	*out = NULL;
	if (!t)
		return -ENOMEM;
	t->shift = GRANULE_SHIFT;
	while (bits_needed(sizes, t->shift) > BITS_MOST)
		t->shift++;
	for (unsigned int i = 1; i < sizes->count; i++)
		t->first[i] = t->first[i - 1] + granules(sizes->sizes[i - 1], t->shift);
	t->bits = calloc((size_t)(bits_needed(sizes, t->shift) / 8 + 1), 1);
	if (!t->bits) {
		free(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

void tmk_touched_free(struct tmk_touched *t)
{
	if (!t)
		return;
	free(t->bits);
	free(t);
}

/* The bits of a range that lie in one byte. */
static uint8_t mask(uint64_t byte, uint64_t from, uint64_t to)
{
	unsigned int low = from / 8 == byte ? from % 8 : 0, high = to / 8 == byte ? to % 8 : 7;

	return (uint8_t)(0xff << low) & (uint8_t)(0xff >> (7 - high));
}

void tmk_touched_add(struct tmk_touched *t, uint16_t disk, uint64_t offset, uint64_t length)
{
	uint64_t from = t->first[disk] + (offset >> t->shift), to = t->first[disk] + ((offset + length - 1) >> t->shift);

	t->bits[from / 8] |= mask(from / 8, from, to);
	t->bits[to / 8] |= mask(to / 8, from, to);
	if (to / 8 > from / 8 + 1)
		memset(t->bits + from / 8 + 1, 0xff, (size_t)(to / 8 - from / 8 - 1));
}

bool tmk_touched_any(const struct tmk_touched *t, uint16_t disk, uint64_t offset, uint64_t length)
{
	uint64_t from = t->first[disk] + (offset >> t->shift), to = t->first[disk] + ((offset + length - 1) >> t->shift);
	bool any = false;

	for (uint64_t byte = from / 8; !any && byte <= to / 8; byte++)
		any = t->bits[byte] & mask(byte, from, to);
	return any;
}
