/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bitmaps of blocks in memory that probes write at the same time. Every change is one atomic operation on a word; nothing else
 * is assumed of the memory. Bits at and behind `blocks` are never set and never looked at.
 */
#ifndef TMK_BITMAP_H
#define TMK_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tmk_bitmap {
	uint64_t *words;
	uint64_t blocks;
};

uint64_t tmk_bitmap_words(uint64_t blocks);
void tmk_bitmap_set(const struct tmk_bitmap *b, uint64_t first, uint64_t count);
void tmk_bitmap_clear(const struct tmk_bitmap *b, uint64_t first, uint64_t count);
/* Moves every mark: set in `to` before it is cleared in `from`, so that a kill in between loses none (I2). */
void tmk_bitmap_move(const struct tmk_bitmap *from, const struct tmk_bitmap *to);
bool tmk_bitmap_test(const struct tmk_bitmap *b, uint64_t block);
bool tmk_bitmap_any(const struct tmk_bitmap *b, uint64_t first, uint64_t count); /* one of these */
uint64_t tmk_bitmap_count(const struct tmk_bitmap *b);
/* The first run of marks at or behind `from`. False: there is none. */
bool tmk_bitmap_run(const struct tmk_bitmap *b, uint64_t from, uint64_t *first, uint64_t *count);

#endif
