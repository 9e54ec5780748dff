// SPDX-License-Identifier: GPL-2.0
/*
 * The two bitmaps of a disk (I2). Everything that changes a bit holds the protection's lock, for a part of the map at a time
 * where the map is long: a probe must not wait for a whole one.
 */
#include <linux/bitmap.h>
#include <linux/vmalloc.h>

#include "core.h"

#define WORDS_AT_ONCE 2048 /* 16 KiB: some microseconds */

static u64 words(const struct tmk_map *m)
{
	return BITS_TO_LONGS(m->blocks);
}

static u64 blocks_of(u64 sectors, u32 block)
{
	u32 shift = ilog2(block) - SECTOR_SHIFT;

	return (sectors + (1ull << shift) - 1) >> shift;
}

u32 tmk_map_block(const struct tmk_map *m)
{
	return 1u << (m->shift + SECTOR_SHIFT);
}

u64 tmk_map_bytes(u64 sectors, u32 block)
{
	return PAGE_ALIGN(BITS_TO_LONGS(blocks_of(sectors, block)) * sizeof(long));
}

int tmk_map_init(struct tmk_map *m, u64 sectors, u32 block)
{
	*m = (struct tmk_map){.shift = ilog2(block) - SECTOR_SHIFT};
	m->blocks = blocks_of(sectors, block);
	m->bytes = tmk_map_bytes(sectors, block);
	m->now = vmalloc_user(m->bytes);
	m->taken = vmalloc_user(m->bytes);
	if (m->now && m->taken)
		return 0;
	tmk_map_free(m);
	return -ENOMEM;
}

void tmk_map_free(struct tmk_map *m)
{
	vfree(m->now);
	vfree(m->taken);
	m->now = m->taken = NULL;
}

void tmk_map_mark(struct tmk_map *m, u64 sector, u64 sectors)
{
	u64 first = sector >> m->shift, last;

	if (!sectors || first >= m->blocks)
		return;
	last = min((sector + sectors - 1) >> m->shift, m->blocks - 1);
	bitmap_set(m->now, first, last - first + 1);
}

void tmk_map_mark_range(struct tmk_map *m, raw_spinlock_t *lock, u64 sector, u64 sectors)
{
	const u64 most = (u64)WORDS_AT_ONCE * BITS_PER_LONG << m->shift;
	u64 count;
	unsigned long flags;

	for (; sectors; sector += count, sectors -= count) {
		count = min(sectors, most);
		raw_spin_lock_irqsave(lock, flags);
		tmk_map_mark(m, sector, count);
		raw_spin_unlock_irqrestore(lock, flags);
		cond_resched();
	}
}

void tmk_map_mark_all(struct tmk_map *m, raw_spinlock_t *lock)
{
	tmk_map_mark_range(m, lock, 0, m->blocks << m->shift);
}

void tmk_map_take(struct tmk_map *m, raw_spinlock_t *lock)
{
	u64 at, end, i;
	unsigned long flags;

	for (at = 0; at < words(m); at = end) {
		end = min_t(u64, words(m), at + WORDS_AT_ONCE);
		raw_spin_lock_irqsave(lock, flags);
		for (i = at; i < end; i++) {
			m->taken[i] |= m->now[i];
			m->now[i] = 0;
		}
		raw_spin_unlock_irqrestore(lock, flags);
		cond_resched();
	}
}

/* Whole blocks inside the range; the last one may be short: `length` is the disk's. */
void tmk_map_release(struct tmk_map *m, raw_spinlock_t *lock, u64 sector, u64 sectors, u64 length)
{
	u64 first = (sector + (1ull << m->shift) - 1) >> m->shift, end = sector + sectors, last, count;
	unsigned long flags;

	last = end >= length ? m->blocks : end >> m->shift;
	for (; first < last; first += count) {
		count = min_t(u64, last - first, WORDS_AT_ONCE * BITS_PER_LONG);
		raw_spin_lock_irqsave(lock, flags);
		bitmap_clear(m->taken, first, count);
		raw_spin_unlock_irqrestore(lock, flags);
		cond_resched();
	}
}

u64 tmk_map_count(const unsigned long *bits, u64 blocks)
{
	u64 i, count = 0;

	for (i = 0; i < BITS_TO_LONGS(blocks); i++) {
		count += hweight_long(bits[i]);
		if (!(i % 65536))
			cond_resched();
	}
	return count;
}
