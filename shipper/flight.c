/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The window of unacked chunks: see flight.h. */
#include "flight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int tmk_flight_push(struct tmk_flight *f, struct tmk_packed *packed)
{
	struct tmk_flight_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->packed = packed;
	e->owed = packed->covered_count || packed->hashes || packed->marked;
	if (f->last)
		f->last->next = e;
	else
		f->first = e;
	f->last = e;
	f->bytes += packed->size;
	f->disk_bytes += packed->disk_bytes;
	f->count++;
	f->owed += e->owed;
	return 0;
}

struct tmk_packed *tmk_flight_pop(struct tmk_flight *f, uint64_t number)
{
	struct tmk_flight_entry *e = f->first;
	struct tmk_packed *packed;

	if (!e || e->packed->number > number)
		return NULL;
	packed = e->packed;
	f->first = e->next;
	if (!f->first)
		f->last = NULL;
	f->bytes -= packed->size;
	f->disk_bytes -= packed->disk_bytes;
	f->count--;
	f->owed -= e->owed;
	free(e);
	return packed;
}

const struct tmk_packed *tmk_flight_find(const struct tmk_flight *f, uint64_t number, const uint8_t hash[TMK_HASH_SIZE])
{
	for (const struct tmk_flight_entry *e = f->first; e; e = e->next)
		if (e->packed->number == number)
			return memcmp(e->packed->hash, hash, TMK_HASH_SIZE) ? NULL : e->packed;
	return NULL;
}

void tmk_flight_drop(struct tmk_flight *f)
{
	struct tmk_packed *packed;

	while ((packed = tmk_flight_pop(f, UINT64_MAX)))
		tmk_packed_free(packed);
}
