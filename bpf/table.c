/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See table.h. */
#include "table.h"

#include <errno.h>
#include <stddef.h>

#define FULL(list) ((list) >> 8 * (TMK_BPF_SLOTS_PER_DISK - 1))

static void store(__u64 *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static bool is_disk(const struct tmk_bpf_disk *place)
{
	return place->who != TMK_BPF_FREE_PLACE && place->who != TMK_BPF_LEFT_PLACE;
}

/* None of the places before it is free, so that a search comes as far. */
static struct tmk_bpf_disk *find_room(struct tmk_bpf_disk *table, uint32_t dev)
{
	for (uint32_t n = 0; n < TMK_BPF_PROBES; n++) {
		struct tmk_bpf_disk *place = &table[tmk_bpf_place(dev, n)];

		if (!is_disk(place))
			return place;
	}
	return NULL;
}

static bool listed(uint64_t list, int slot)
{
	for (; list; list >>= 8)
		if ((list & 0xff) == (uint64_t)slot + 1)
			return true;
	return false;
}

static uint64_t without(uint64_t list, int slot)
{
	uint64_t rest = 0;

	for (int at = 0; list; list >>= 8)
		if ((list & 0xff) != (uint64_t)slot + 1)
			rest |= (list & 0xff) << 8 * at++;
	return rest;
}

/* The list first: a probe that finds the disk finds its slots. */
int tmk_table_add(struct tmk_bpf_disk *table, uint32_t dev, enum tmk_bpf_kind kind, int slot, struct tmk_error *err)
{
	struct tmk_bpf_disk *place = tmk_bpf_find(table, dev);
	uint64_t list = place ? place->slots : 0;

	if (!listed(list, slot) && FULL(list))
		return tmk_error_set(err, -ENOSPC, "%d parts of one disk are protected already: protect the whole disk instead",
				     TMK_BPF_SLOTS_PER_DISK);
	if (!place)
		place = find_room(table, dev);
	if (!place)
		return tmk_error_set(
			err, -ENOSPC,
			"no place is left for the disk %u:%u in the tracker's table, by its number: unprotect another "
			"disk, or attach this one anew, so that it gets another number",
			dev >> 20, dev & 0xfffff);
	if (!listed(list, slot))
		store(&place->slots, list << 8 | (uint64_t)(slot + 1));
	store(&place->who, (uint64_t)dev << 32 | kind);
	return 0;
}

/* A place must not look free while a search may have to go on behind it. In front of a free one none has to, and so backwards. */
static void vacate(struct tmk_bpf_disk *table, uint32_t i)
{
	store(&table[i].who, TMK_BPF_LEFT_PLACE);
	while (table[i].who == TMK_BPF_LEFT_PLACE && table[(i + 1) % TMK_BPF_PLACES].who == TMK_BPF_FREE_PLACE) {
		store(&table[i].who, TMK_BPF_FREE_PLACE);
		i = (i + TMK_BPF_PLACES - 1) % TMK_BPF_PLACES;
	}
}

void tmk_table_remove(struct tmk_bpf_disk *table, int slot)
{
	for (uint32_t i = 0; i < TMK_BPF_PLACES; i++) {
		struct tmk_bpf_disk *place = &table[i];

		if (listed(place->slots, slot))
			store(&place->slots, without(place->slots, slot));
		if (is_disk(place) && !place->slots)
			vacate(table, i);
	}
}

bool tmk_table_has(struct tmk_bpf_disk *table, uint32_t dev, int slot)
{
	const struct tmk_bpf_disk *place = tmk_bpf_find(table, dev);

	return place && listed(place->slots, slot);
}
