/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See bitmap.h. All atomics are sequentially consistent: tidemark.bpf.c's argument needs a full barrier in each. */
#include "bitmap.h"

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

uint64_t tmk_bitmap_words(uint64_t blocks)
{
	return blocks / 64 + !!(blocks % 64);
}

/* The bits of word number `word` that lie in [first, end). */
static uint64_t mask_of(uint64_t word, uint64_t first, uint64_t end)
{
	uint64_t mask = ~0ull;

	if (word == first / 64)
		mask &= ~0ull << first % 64;
	if (word == (end - 1) / 64)
		mask &= ~0ull >> (63 - (end - 1) % 64);
	return mask;
}

static uint64_t end_of(const struct tmk_bitmap *b, uint64_t first, uint64_t count)
{
	return count < b->blocks - first ? first + count : b->blocks;
}

void tmk_bitmap_set(const struct tmk_bitmap *b, uint64_t first, uint64_t count)
{
	if (first >= b->blocks || !count)
		return;
	uint64_t end = end_of(b, first, count);

	for (uint64_t i = first / 64; i <= (end - 1) / 64; i++)
		__atomic_fetch_or(&b->words[i], mask_of(i, first, end), __ATOMIC_SEQ_CST);
}

void tmk_bitmap_clear(const struct tmk_bitmap *b, uint64_t first, uint64_t count)
{
	if (first >= b->blocks || !count)
		return;
	uint64_t end = end_of(b, first, count);

	for (uint64_t i = first / 64; i <= (end - 1) / 64; i++)
		__atomic_fetch_and(&b->words[i], ~mask_of(i, first, end), __ATOMIC_SEQ_CST);
}

void tmk_bitmap_move(const struct tmk_bitmap *from, const struct tmk_bitmap *to)
{
	for (uint64_t i = 0; i < tmk_bitmap_words(from->blocks); i++) {
		uint64_t word = load(&from->words[i]);

		if (!word)
			continue;
		__atomic_fetch_or(&to->words[i], word, __ATOMIC_SEQ_CST);
		__atomic_fetch_and(&from->words[i], ~word, __ATOMIC_SEQ_CST);
	}
}

bool tmk_bitmap_test(const struct tmk_bitmap *b, uint64_t block)
{
	return block < b->blocks && load(&b->words[block / 64]) >> block % 64 & 1;
}

bool tmk_bitmap_any(const struct tmk_bitmap *b, uint64_t first, uint64_t count)
{
	if (first >= b->blocks || !count)
		return false;
	uint64_t end = end_of(b, first, count);

	for (uint64_t i = first / 64; i <= (end - 1) / 64; i++)
		if (load(&b->words[i]) & mask_of(i, first, end))
			return true;
	return false;
}

/* Word number i with the bits behind the end cut off. */
static uint64_t word_at(const struct tmk_bitmap *b, uint64_t i)
{
	return load(&b->words[i]) & mask_of(i, 0, b->blocks);
}

uint64_t tmk_bitmap_count(const struct tmk_bitmap *b)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < tmk_bitmap_words(b->blocks); i++)
		count += __builtin_popcountll(word_at(b, i));
	return count;
}

/* The first block at or behind `from` whose bit is `value`, or `blocks`. */
static uint64_t find(const struct tmk_bitmap *b, uint64_t from, bool value)
{
	for (uint64_t i = from / 64; i < tmk_bitmap_words(b->blocks); i++) {
		uint64_t word = value ? word_at(b, i) : ~word_at(b, i);

		if (i == from / 64)
			word &= ~0ull << from % 64;
		if (word) {
			uint64_t block = i * 64 + __builtin_ctzll(word);

			return block < b->blocks ? block : b->blocks;
		}
	}
	return b->blocks;
}

bool tmk_bitmap_run(const struct tmk_bitmap *b, uint64_t from, uint64_t *first, uint64_t *count)
{
	*first = from < b->blocks ? find(b, from, true) : b->blocks;
	if (*first == b->blocks)
		return false;
	/* A run may shrink to nothing under a probe or a release between the two searches: not before it was seen once. */
	*count = find(b, *first + 1, false) - *first;
	return true;
}
