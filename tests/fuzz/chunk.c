/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A chunk as it comes, lib/chunk.c: header, payload, records, mark. The first byte says which sums are made right before. */
#include "chunk.h"
#include "fuzz.h"
#include "piece.h"
#include "sums.h"

static const struct tmk_disk_sizes sizes = {.count = 2, .sizes = {1 << 20, 2 << 20}};
static uint8_t raw[TMK_CHUNK_RAW_MAX];

static void walk(const struct tmk_chunk *chunk, bool marked, bool bounded)
{
	struct tmk_walk w = tmk_walk(chunk, raw);
	struct tmk_record record;
	struct tmk_mark mark;
	const uint8_t *body;
	uint32_t records = 0;
	uint64_t hashed = 0;
	bool ended = false;
	unsigned int sum = 0;

	while (tmk_walk_next(&w, &record, &body)) {
		REQUIRE(!ended);
		records++;
		for (uint32_t i = 0; i < record.body; i++)
			sum += body[i];
		ended = record.type == TMK_MARK;
		if (ended) {
			REQUIRE(!tmk_mark_decode(body, record.body, &mark, NULL));
			continue;
		}
		REQUIRE(record.length && !(record.offset % TMK_SECTOR) && !(record.length % TMK_SECTOR));
		REQUIRE(record.length <= INT64_MAX && record.offset <= INT64_MAX - record.length);
		REQUIRE(record.type != TMK_DATA || record.body == record.length);
		hashed += record.type == TMK_HASH ? record.length : 0;
		REQUIRE(record.type != TMK_HASH ||
			(record.length <= TMK_HASH_RANGE_MAX && record.body == tmk_piece_body(record.offset, record.length)));
		REQUIRE(!bounded || (record.disk < sizes.count && record.offset + record.length <= sizes.sizes[record.disk]));
	}
	REQUIRE(records == chunk->record_count && ended == marked && hashed <= TMK_CHUNK_HASHED_MAX);
	__asm__ volatile("" ::"r"(sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t header[TMK_CHUNK_HEADER_SIZE];
	struct tmk_error err = {0};
	struct tmk_chunk chunk;
	bool marked, bounded;

	if (size < 1 + TMK_CHUNK_HEADER_SIZE || size > TMK_CHUNK_RAW_MAX)
		return 0;
	uint8_t which = data[0], *bytes = exact(data + 1, --size);
	bounded = which & 16;
	sums_chunk(bytes, size, which, NULL);
	if (!tmk_chunk_header(bytes, &chunk, &err)) {
		tmk_chunk_encode(&chunk, header);
		REQUIRE(!memcmp(header, bytes, sizeof(header)));
		if (chunk.stored_length == size - TMK_CHUNK_HEADER_SIZE &&
		    !tmk_chunk_open(&chunk, bytes + TMK_CHUNK_HEADER_SIZE, raw, &err) &&
		    !tmk_chunk_check(&chunk, raw, bounded ? &sizes : NULL, &marked, &err))
			walk(&chunk, marked, bounded);
	}
	free(bytes);
	return 0;
}
