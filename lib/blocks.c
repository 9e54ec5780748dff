/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See blocks.h. */
#include "blocks.h"

bool tmk_blocks_inside(const struct tmk_blocks *b, uint64_t offset, uint64_t length)
{
	return offset <= b->length && length <= b->length - offset;
}

bool tmk_blocks_next(const struct tmk_blocks *b, uint64_t from, uint64_t *offset, uint64_t *length)
{
	uint64_t first, count, end;

	if (!tmk_bitmap_run(&b->bits, from / b->size, &first, &count))
		return false;
	end = (first + count) * b->size < b->length ? (first + count) * b->size : b->length;
	*offset = first * b->size > from ? first * b->size : from;
	*length = end - *offset;
	return *offset < end;
}

/* The blocks that an extent touches. */
static void touched(const struct tmk_blocks *b, uint64_t offset, uint64_t length, uint64_t *first, uint64_t *count)
{
	*first = offset / b->size;
	*count = (offset + length - 1) / b->size - *first + 1;
}

bool tmk_blocks_any(const struct tmk_blocks *b, uint64_t offset, uint64_t length)
{
	uint64_t first, count;

	touched(b, offset, length, &first, &count);
	return tmk_bitmap_any(&b->bits, first, count);
}

void tmk_blocks_set(const struct tmk_blocks *b, uint64_t offset, uint64_t length)
{
	uint64_t first, count;

	touched(b, offset, length, &first, &count);
	tmk_bitmap_set(&b->bits, first, count);
}

void tmk_blocks_clear(const struct tmk_blocks *b, uint64_t offset, uint64_t length)
{
	uint64_t end = offset + length, first = (offset + b->size - 1) / b->size;
	uint64_t last = end == b->length ? b->bits.blocks : end / b->size;

	if (first < last)
		tmk_bitmap_clear(&b->bits, first, last - first);
}

uint64_t tmk_blocks_bytes(const struct tmk_blocks *b, uint64_t blocks)
{
	uint64_t missing = b->bits.blocks * b->size - b->length;

	return blocks * b->size - (tmk_bitmap_test(&b->bits, b->bits.blocks - 1) ? missing : 0);
}
