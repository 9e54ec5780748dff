/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes sums and chain of mutated bytes right again: behind them lies the code that an attacker with the same functions reaches.
 */
#ifndef TMK_FUZZ_SUMS_H
#define TMK_FUZZ_SUMS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sum.h"
#include "wire.h"

enum sums {
	SUMS_HEADER = 1, /* of headers */
	SUMS_PAYLOAD = 2,
	SUMS_CHAIN = 4, /* number, hash of the one before, generation, epoch */
	SUMS_LENGTH = 8,
	SUMS_ALL = 15,
};

static __attribute__((unused)) void put_le(uint8_t *at, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		at[i] = value >> (8 * i);
}

static __attribute__((unused)) uint64_t get_le(const uint8_t *at, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

/* Where a chunk would be in its chain. */
struct link_of_chain {
	uint64_t number, generation;
	uint8_t epoch[TMK_EPOCH_SIZE], prev_hash[TMK_HASH_SIZE];
};

/* size: of header and payload, at least the header's. next becomes the place behind it. */
static __attribute__((unused)) void sums_chunk(uint8_t *chunk, size_t size, unsigned int which, struct link_of_chain *next)
{
	if (which & SUMS_LENGTH) {
		put_le(chunk, TMK_CHUNK_MAGIC, 4);
		put_le(chunk + offsetof(struct tmk_chunk, version), TMK_CHUNK_VERSION, 2);
		put_le(chunk + offsetof(struct tmk_chunk, stored_length), size - TMK_CHUNK_HEADER_SIZE, 4);
	}
	if (which & SUMS_CHAIN && next) {
		put_le(chunk + offsetof(struct tmk_chunk, number), next->number, 8);
		put_le(chunk + offsetof(struct tmk_chunk, generation), next->generation, 8);
		memcpy(chunk + offsetof(struct tmk_chunk, epoch), next->epoch, TMK_EPOCH_SIZE);
		memcpy(chunk + offsetof(struct tmk_chunk, prev_hash), next->prev_hash, TMK_HASH_SIZE);
	}
	if (which & SUMS_PAYLOAD)
		tmk_sum128(chunk + TMK_CHUNK_HEADER_SIZE, size - TMK_CHUNK_HEADER_SIZE,
			   chunk + offsetof(struct tmk_chunk, payload_sum));
	if (which & SUMS_HEADER)
		put_le(chunk + offsetof(struct tmk_chunk, header_sum), tmk_sum64(chunk, offsetof(struct tmk_chunk, header_sum)),
		       8);
	if (next) {
		next->number++;
		tmk_hash(chunk, TMK_CHUNK_HEADER_SIZE, next->prev_hash);
	}
}

#endif
