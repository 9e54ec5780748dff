/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Building chunks (chunk.h). All memory is taken and touched in tmk_builder_new(): chunks are filled and sealed between freeze
 * and thaw, where nothing may allocate (R26). LZ4 writes right behind the header in the caller's buffer, into one byte less
 * than the raw payload has, so that "does not fit" means "does not help".
 */
#include <errno.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "chunk.h"
#include "piece.h"
#include "sum.h"

struct tmk_builder {
	uint8_t *raw; /* TMK_CHUNK_RAW_MAX */
	void *lz4;    /* LZ4's state */
	size_t used;
	uint32_t records;
	uint64_t hashed; /* bytes of HASH records' ranges */
	bool marked;	 /* a mark ends its chunk (I3) */
};

int tmk_builder_new(struct tmk_builder **out)
{
	struct tmk_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->raw = malloc(TMK_CHUNK_RAW_MAX);
	b->lz4 = malloc(LZ4_sizeofState());
	if (!b->raw || !b->lz4) {
		tmk_builder_free(b);
		return -ENOMEM;
	}
	/* Not calloc(): the pages must be there, not promised. */
	memset(b->raw, 0xff, TMK_CHUNK_RAW_MAX);
	memset(b->lz4, 0xff, LZ4_sizeofState());
	*out = b;
	return 0;
}

void tmk_builder_free(struct tmk_builder *b)
{
	if (!b)
		return;
	free(b->raw);
	free(b->lz4);
	free(b);
}

void tmk_builder_reset(struct tmk_builder *b)
{
	b->used = 0;
	b->records = 0;
	b->hashed = 0;
	b->marked = false;
}

bool tmk_builder_fits(const struct tmk_builder *b, size_t body)
{
	size_t left = TMK_CHUNK_RAW_MAX - b->used;

	return !b->marked && b->records < TMK_CHUNK_RECORDS_MAX && left >= TMK_RECORD_SIZE && body <= left - TMK_RECORD_SIZE;
}

bool tmk_builder_empty(const struct tmk_builder *b)
{
	return !b->records;
}

/* Room for the record with its body; returns where the body goes. It was asked for with tmk_builder_fits() before. */
static uint8_t *append(struct tmk_builder *b, const struct tmk_record *record)
{
	struct tmk_writer_buf w = tmk_writer_buf(b->raw + b->used, TMK_RECORD_SIZE);

	tmk_put_u8(&w, record->type);
	tmk_put_u8(&w, 0);
	tmk_put_u16(&w, record->disk);
	tmk_put_u32(&w, record->body);
	tmk_put_u64(&w, record->offset);
	tmk_put_u64(&w, record->length);
	b->used += TMK_RECORD_SIZE + record->body;
	b->records++;
	return b->raw + b->used - record->body;
}

static bool range_valid(uint16_t disk, uint64_t offset, uint64_t length)
{
	return disk < TMK_DISKS_MAX && length && !(length % TMK_SECTOR) && !(offset % TMK_SECTOR) && offset <= INT64_MAX &&
	       length <= INT64_MAX - offset;
}

void *tmk_builder_data(struct tmk_builder *b, uint16_t disk, uint64_t offset, uint32_t length)
{
	struct tmk_record record = {.type = TMK_DATA, .disk = disk, .body = length, .offset = offset, .length = length};

	if (!range_valid(disk, offset, length) || !tmk_builder_fits(b, length))
		return NULL;
	return append(b, &record);
}

int tmk_builder_range(struct tmk_builder *b, enum tmk_record_type type, uint16_t disk, uint64_t offset, uint64_t length)
{
	struct tmk_record record = {.type = type, .disk = disk, .offset = offset, .length = length};

	if ((type != TMK_ZERO && type != TMK_DISCARD) || !range_valid(disk, offset, length))
		return -EINVAL;
	if (!tmk_builder_fits(b, 0))
		return -ENOSPC;
	append(b, &record);
	return 0;
}

uint8_t *tmk_builder_hash(struct tmk_builder *b, uint16_t disk, uint64_t offset, uint32_t length)
{
	struct tmk_record record = {.type = TMK_HASH, .disk = disk, .offset = offset, .length = length};

	if (!range_valid(disk, offset, length) || length > TMK_HASH_RANGE_MAX || b->hashed + length > TMK_CHUNK_HASHED_MAX)
		return NULL;
	record.body = (uint32_t)tmk_piece_body(offset, length);
	if (!tmk_builder_fits(b, record.body))
		return NULL;
	b->hashed += length;
	return append(b, &record);
}

int tmk_builder_mark(struct tmk_builder *b, const struct tmk_mark *mark)
{
	struct tmk_record record = {.type = TMK_MARK};
	struct tmk_mark checked;
	uint8_t body[sizeof(struct tmk_mark) + 64];
	struct tmk_writer_buf w = tmk_writer_buf(body, sizeof(body));

	if (mark->disk_count > TMK_DISKS_MAX)
		return -EINVAL;
	tmk_put_u8(&w, mark->kind);
	tmk_put_bytes(&w, mark->id, sizeof(mark->id));
	tmk_put_u64(&w, mark->gap);
	tmk_put_u64(&w, mark->source_time);
	tmk_put_string(&w, mark->label);
	tmk_put_u16(&w, mark->disk_count);
	for (unsigned int i = 0; i < mark->disk_count; i++)
		tmk_put_u64(&w, mark->sizes[i]);
	/* A mark that the target would refuse must not get into the stream. */
	if (w.failed || tmk_mark_decode(body, w.at, &checked, NULL))
		return -EINVAL;
	if (!tmk_builder_fits(b, w.at))
		return -ENOSPC;
	record.body = w.at;
	memcpy(append(b, &record), body, w.at);
	b->marked = true;
	return 0;
}

size_t tmk_chunk_bound(void)
{
	return TMK_CHUNK_HEADER_SIZE + TMK_CHUNK_RAW_MAX;
}

size_t tmk_builder_seal(struct tmk_builder *b, const struct tmk_chain *chain, uint16_t flags, uint8_t *out,
			uint8_t hash[TMK_HASH_SIZE])
{
	struct tmk_chunk chunk = {
		.magic = TMK_CHUNK_MAGIC,
		.version = TMK_CHUNK_VERSION,
		.flags = flags,
		.number = chain->number,
		.log_through = chain->log_through,
		.raw_length = b->used,
		.record_count = b->records,
		.generation = chain->generation,
	};
	uint8_t *payload = out + TMK_CHUNK_HEADER_SIZE;
	int stored = 0;

	memcpy(chunk.epoch, chain->epoch, sizeof(chunk.epoch));
	memcpy(chunk.prev_hash, chain->prev_hash, sizeof(chunk.prev_hash));
	if (b->used > 1)
		stored = LZ4_compress_fast_extState(b->lz4, (const char *)b->raw, (char *)payload, b->used, b->used - 1, 1);
	if (stored > 0) {
		chunk.flags |= TMK_CHUNK_LZ4;
		chunk.stored_length = stored;
	} else {
		memcpy(payload, b->raw, b->used);
		chunk.stored_length = b->used;
	}
	tmk_sum128(payload, chunk.stored_length, chunk.payload_sum);
	tmk_chunk_encode(&chunk, out);
	tmk_chunk_hash(out, hash);
	return TMK_CHUNK_HEADER_SIZE + chunk.stored_length;
}
