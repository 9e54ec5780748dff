/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reserved space: see room.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "room.h"
#include "wire.h"

#define UNPACKED 3 /* times what is stored, at most, for chunks that were not looked into: LZ4 reaches about 2 on disks */

void tmk_room_init(struct tmk_room *r, uint64_t reserve, uint64_t growth, uint64_t applied, uint64_t end, uint64_t journal_bytes)
{
	*r = (struct tmk_room){.reserve = reserve, .growth = growth, .applied = applied};
	if (end <= applied)
		return;
	r->before_first = applied;
	r->before_last = end;
	r->before_bytes = journal_bytes * UNPACKED;
	if (r->before_bytes / TMK_CHUNK_RAW_MAX > end - applied)
		r->before_bytes = (end - applied) * TMK_CHUNK_RAW_MAX;
}

void tmk_room_free(struct tmk_room *r)
{
	free(r->chunks);
	r->chunks = NULL;
}

static int grow(struct tmk_room *r)
{
	if (r->first) {
		memmove(r->chunks, r->chunks + r->first, r->count * sizeof(*r->chunks));
		r->first = 0;
	}
	if (r->count < r->size)
		return 0;
	size_t size = r->size ? 2 * r->size : 1024;
	void *more = realloc(r->chunks, size * sizeof(*r->chunks));
	if (!more)
		return -ENOMEM;
	r->chunks = more;
	r->size = size;
	return 0;
}

int tmk_room_append(struct tmk_room *r, uint64_t number, uint64_t bytes)
{
	if (r->first + r->count == r->size && grow(r))
		return -ENOMEM;
	r->chunks[r->first + r->count++] = (struct tmk_room_chunk){number, bytes};
	r->bytes += bytes;
	return 0;
}

void tmk_room_apply(struct tmk_room *r, uint64_t number)
{
	if (number <= r->applied)
		return;
	r->applied = number;
	for (; r->count && r->chunks[r->first].number <= number; r->count--)
		r->bytes -= r->chunks[r->first++].bytes;
}

/* Of the chunks before this session, the part that is not applied. */
static uint64_t before(const struct tmk_room *r)
{
	if (r->applied >= r->before_last)
		return 0;
	double part = (double)(r->before_last - r->applied) / (double)(r->before_last - r->before_first);
	return (uint64_t)((double)r->before_bytes * part);
}

uint64_t tmk_room_need(const struct tmk_room *r, uint64_t size)
{
	uint64_t unapplied = before(r) + r->bytes;
	return r->reserve + size + (unapplied < r->growth ? unapplied : r->growth);
}

int tmk_room_waits(const struct tmk_room *r)
{
	return r->count || r->applied < r->before_last;
}
