/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Headers of chunks, checking and walking (chunk.h; wire.h says what a valid chunk is). Building is builder.c.
 *
 * A record's fields come from a network or a disk: every comparison is written so that it cannot overflow, and no pointer into
 * a body is made before the body is known to lie inside the payload (I9).
 */
#include "chunk.h"

#include <errno.h>
#include <inttypes.h>
#include <lz4.h>
#include <string.h>

#include "buf.h"
#include "piece.h"
#include "sum.h"

#define HEADER_SUMMED (TMK_CHUNK_HEADER_SIZE - 8)

void tmk_chunk_encode(const struct tmk_chunk *chunk, uint8_t out[TMK_CHUNK_HEADER_SIZE])
{
	struct tmk_writer_buf w = tmk_writer_buf(out, TMK_CHUNK_HEADER_SIZE);

	tmk_put_u32(&w, chunk->magic);
	tmk_put_u16(&w, chunk->version);
	tmk_put_u16(&w, chunk->flags);
	tmk_put_bytes(&w, chunk->epoch, sizeof(chunk->epoch));
	tmk_put_u64(&w, chunk->number);
	tmk_put_bytes(&w, chunk->prev_hash, sizeof(chunk->prev_hash));
	tmk_put_bytes(&w, chunk->payload_sum, sizeof(chunk->payload_sum));
	tmk_put_u64(&w, chunk->log_through);
	tmk_put_u32(&w, chunk->stored_length);
	tmk_put_u32(&w, chunk->raw_length);
	tmk_put_u32(&w, chunk->record_count);
	tmk_put_u32(&w, chunk->reserved0);
	tmk_put_u64(&w, chunk->generation);
	tmk_put_u64(&w, chunk->reserved1);
	tmk_put_u64(&w, tmk_sum64(out, HEADER_SUMMED));
}

void tmk_chunk_hash(const uint8_t bytes[TMK_CHUNK_HEADER_SIZE], uint8_t out[TMK_HASH_SIZE])
{
	tmk_hash(bytes, TMK_CHUNK_HEADER_SIZE, out);
}

static void header_decode(const uint8_t *bytes, struct tmk_chunk *out)
{
	struct tmk_reader r = tmk_reader(bytes, TMK_CHUNK_HEADER_SIZE);

	out->magic = tmk_get_u32(&r);
	out->version = tmk_get_u16(&r);
	out->flags = tmk_get_u16(&r);
	tmk_get_bytes(&r, out->epoch, sizeof(out->epoch));
	out->number = tmk_get_u64(&r);
	tmk_get_bytes(&r, out->prev_hash, sizeof(out->prev_hash));
	tmk_get_bytes(&r, out->payload_sum, sizeof(out->payload_sum));
	out->log_through = tmk_get_u64(&r);
	out->stored_length = tmk_get_u32(&r);
	out->raw_length = tmk_get_u32(&r);
	out->record_count = tmk_get_u32(&r);
	out->reserved0 = tmk_get_u32(&r);
	out->generation = tmk_get_u64(&r);
	out->reserved1 = tmk_get_u64(&r);
	out->header_sum = tmk_get_u64(&r);
}

int tmk_chunk_header(const uint8_t bytes[TMK_CHUNK_HEADER_SIZE], struct tmk_chunk *out, struct tmk_error *err)
{
	header_decode(bytes, out);
	if (out->magic != TMK_CHUNK_MAGIC)
		return tmk_error_set(err, -EBADMSG, "not a chunk: the magic number is %08" PRIx32, out->magic);
	if (out->header_sum != tmk_sum64(bytes, HEADER_SUMMED))
		return tmk_error_set(err, -EBADMSG, "the checksum of a chunk's header is wrong");
	if (out->version != TMK_CHUNK_VERSION)
		return tmk_error_set(err, -EBADMSG, "chunk %" PRIu64 " has version %u, this program knows %u", out->number,
				     out->version, TMK_CHUNK_VERSION);
	if (out->flags & ~(TMK_CHUNK_LZ4 | TMK_CHUNK_CONSISTENT) || out->reserved0 || out->reserved1)
		return tmk_error_set(err, -EBADMSG, "chunk %" PRIu64 " has flags or fields this program does not know",
				     out->number);
	if (!out->number)
		return tmk_error_set(err, -EBADMSG, "a chunk has the number 0; they count from 1");
	if (!out->raw_length || out->raw_length > TMK_CHUNK_RAW_MAX || !out->stored_length ||
	    out->stored_length > TMK_CHUNK_RAW_MAX || !out->record_count || out->record_count > TMK_CHUNK_RECORDS_MAX)
		return tmk_error_set(err, -EBADMSG, "chunk %" PRIu64 " has a length or record count beyond the limits",
				     out->number);
	if (!(out->flags & TMK_CHUNK_LZ4) && out->stored_length != out->raw_length)
		return tmk_error_set(err, -EBADMSG, "chunk %" PRIu64 " is not compressed, but its two lengths differ",
				     out->number);
	return 0;
}

int tmk_chunk_open(const struct tmk_chunk *chunk, const uint8_t *payload, uint8_t *raw, struct tmk_error *err)
{
	uint8_t sum[16];
	int n;

	tmk_sum128(payload, chunk->stored_length, sum);
	if (memcmp(sum, chunk->payload_sum, sizeof(sum)))
		return tmk_error_set(err, -EBADMSG, "the checksum of the payload of chunk %" PRIu64 " is wrong", chunk->number);
	if (!(chunk->flags & TMK_CHUNK_LZ4)) {
		memcpy(raw, payload, chunk->raw_length);
		return 0;
	}
	n = LZ4_decompress_safe((const char *)payload, (char *)raw, chunk->stored_length, TMK_CHUNK_RAW_MAX);
	if (n < 0 || (uint32_t)n != chunk->raw_length)
		return tmk_error_set(err, -EBADMSG, "chunk %" PRIu64 " does not decompress to its length", chunk->number);
	return 0;
}

/* ---- records ---- */

static int record_bad(const struct tmk_chunk *chunk, uint32_t index, struct tmk_error *err, const char *what)
{
	return tmk_error_set(err, -EBADMSG, "record %" PRIu32 " of chunk %" PRIu64 ": %s", index, chunk->number, what);
}

static bool record_decode(struct tmk_reader *r, struct tmk_record *out, const uint8_t **body)
{
	out->type = tmk_get_u8(r);
	out->reserved0 = tmk_get_u8(r);
	out->disk = tmk_get_u16(r);
	out->body = tmk_get_u32(r);
	out->offset = tmk_get_u64(r);
	out->length = tmk_get_u64(r);
	*body = tmk_get_span(r, out->body);
	return !r->failed;
}

/* What is wrong with a range, or NULL. Without sizes a range must still fit into an off_t. */
static const char *range_fault(const struct tmk_record *record, const struct tmk_disk_sizes *sizes)
{
	uint64_t end = INT64_MAX;

	if (sizes && record->disk >= sizes->count)
		return "there is no such disk";
	if (record->disk >= TMK_DISKS_MAX)
		return "the disk's index is beyond the limit";
	if (sizes)
		end = sizes->sizes[record->disk];
	if (!record->length || record->length % TMK_SECTOR || record->offset % TMK_SECTOR)
		return "a range that is empty or not in whole sectors";
	if (record->offset > end || record->length > end - record->offset)
		return "the range ends behind the end of the disk";
	return NULL;
}

static const char *record_fault(const struct tmk_record *record, const struct tmk_disk_sizes *sizes)
{
	if (record->reserved0)
		return "a reserved field is not 0";
	switch (record->type) {
	case TMK_DATA:
		if (record->body != record->length)
			return "the content is not as long as its range";
		return range_fault(record, sizes);
	case TMK_ZERO:
	case TMK_DISCARD:
		if (record->body)
			return "a zero or discard record has content";
		return range_fault(record, sizes);
	case TMK_HASH:
		if (record->length > TMK_HASH_RANGE_MAX)
			return "a hash record of too long a range";
		if (record->body != tmk_piece_body(record->offset, record->length))
			return "a hash record without a tag for each piece of its range";
		return range_fault(record, sizes);
	case TMK_MARK:
		return record->disk || record->offset || record->length ? "a mark with a disk or a range" : NULL;
	default:
		return "unknown type";
	}
}

static int mark_check(const struct tmk_chunk *chunk, uint32_t index, const uint8_t *body, size_t size,
		      const struct tmk_disk_sizes *sizes, struct tmk_error *err)
{
	struct tmk_mark mark;

	if (tmk_mark_decode(body, size, &mark, err)) {
		tmk_error_prefix(err, "record %" PRIu32 " of chunk %" PRIu64, index, chunk->number);
		return -EBADMSG;
	}
	if (!(chunk->flags & TMK_CHUNK_CONSISTENT))
		return record_bad(chunk, index, err, "a mark in a chunk whose end is not a consistent state (I7)");
	if (!sizes)
		return 0;
	if (mark.disk_count != sizes->count || memcmp(mark.sizes, sizes->sizes, mark.disk_count * sizeof(*mark.sizes)))
		return record_bad(chunk, index, err, "the mark's disks are not those of the protection, or their sizes differ");
	return 0;
}

int tmk_chunk_check(const struct tmk_chunk *chunk, const uint8_t *raw, const struct tmk_disk_sizes *sizes, bool *marked,
		    struct tmk_error *err)
{
	struct tmk_reader r = tmk_reader(raw, chunk->raw_length);
	struct tmk_record record;
	const uint8_t *body;
	const char *fault;
	uint64_t hashed = 0;
	int ret;

	*marked = false;
	for (uint32_t i = 0; i < chunk->record_count; i++) {
		if (*marked)
			return record_bad(chunk, i, err, "it follows a mark, which ends its chunk (I3)");
		if (!record_decode(&r, &record, &body))
			return record_bad(chunk, i, err, "it ends behind the end of the payload");
		fault = record_fault(&record, sizes);
		if (fault)
			return record_bad(chunk, i, err, fault);
		if (record.type == TMK_HASH && (hashed += record.length) > TMK_CHUNK_HASHED_MAX)
			return record_bad(chunk, i, err, "the hash records of one chunk ask for too much reading");
		if (record.type != TMK_MARK)
			continue;
		ret = mark_check(chunk, i, body, record.body, sizes, err);
		if (ret)
			return ret;
		*marked = true;
	}
	if (!tmk_reader_done(&r)) {
		*marked = false;
		return tmk_error_set(err, -EBADMSG, "chunk %" PRIu64 " has more bytes than its records", chunk->number);
	}
	return 0;
}

struct tmk_walk tmk_walk(const struct tmk_chunk *chunk, const uint8_t *raw)
{
	return (struct tmk_walk){.raw = raw, .size = chunk->raw_length};
}

bool tmk_walk_next(struct tmk_walk *w, struct tmk_record *record, const uint8_t **body)
{
	struct tmk_reader r = {.data = w->raw, .size = w->size, .at = w->at};

	if (r.at == r.size || !record_decode(&r, record, body))
		return false;
	w->at = r.at;
	return true;
}

static bool sizes_decode(struct tmk_reader *r, struct tmk_mark *out)
{
	bool good = true;

	out->disk_count = tmk_get_u16(r);
	if (!out->disk_count || out->disk_count > TMK_DISKS_MAX)
		return false;
	for (unsigned int i = 0; i < out->disk_count; i++) {
		out->sizes[i] = tmk_get_u64(r);
		if (!out->sizes[i] || out->sizes[i] > INT64_MAX || out->sizes[i] % TMK_SECTOR)
			good = false;
	}
	return good;
}

int tmk_mark_decode(const uint8_t *body, size_t size, struct tmk_mark *out, struct tmk_error *err)
{
	struct tmk_reader r = tmk_reader(body, size);
	bool sizes_good;

	memset(out, 0, sizeof(*out));
	out->kind = tmk_get_u8(&r);
	tmk_get_bytes(&r, out->id, sizeof(out->id));
	out->gap = tmk_get_u64(&r);
	out->source_time = tmk_get_u64(&r);
	tmk_get_string(&r, out->label, sizeof(out->label));
	sizes_good = sizes_decode(&r, out);
	if (!sizes_good || !tmk_reader_done(&r))
		return tmk_error_set(err, -EBADMSG, "a mark with a broken body");
	if (out->kind != TMK_CRASH && out->kind != TMK_APP)
		return tmk_error_set(err, -EBADMSG, "a mark of the unknown kind %u", out->kind);
	return 0;
}
