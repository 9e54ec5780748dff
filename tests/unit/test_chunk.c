/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lib: chunks. What goes in comes out; one wrong bit, one byte too few, one field beyond its bounds is refused; and whatever
 * comes, nothing is read or written outside the memory of the chunk (run this with SAN=1).
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "chunk.h"
#include "mutate.h"
#include "suite.h"
#include "sum.h"

static struct tmk_builder *builder;
static uint8_t *sealed, *raw, hash[TMK_HASH_SIZE];
static const struct tmk_disk_sizes sizes = {.count = 2, .sizes = {1 << 20, 2 << 20}};
static struct tmk_chain chain = {.number = 7, .generation = 3, .log_through = 12345};

static void setup(void)
{
	random_state = 42;
	ck_assert_int_eq(tmk_builder_new(&builder), 0);
	sealed = malloc(tmk_chunk_bound());
	raw = malloc(TMK_CHUNK_RAW_MAX);
	memset(chain.epoch, 0xe0, sizeof(chain.epoch));
	memset(chain.prev_hash, 0x11, sizeof(chain.prev_hash));
}

static void teardown(void)
{
	tmk_builder_free(builder);
	free(sealed);
	free(raw);
}

static struct tmk_mark mark_make(void)
{
	struct tmk_mark mark = {.kind = TMK_APP, .gap = 9, .source_time = 1700000000000000000ull, .disk_count = 2};

	memset(mark.id, 0xda, sizeof(mark.id));
	strcpy(mark.label, "before the upgrade");
	memcpy(mark.sizes, sizes.sizes, sizeof(mark.sizes));
	return mark;
}

/* A chunk with one of each. */
static size_t seal_sample(bool marked)
{
	struct tmk_mark mark = mark_make();
	uint8_t *content;

	tmk_builder_reset(builder);
	content = tmk_builder_data(builder, 1, 4096, 1024);
	ck_assert_ptr_nonnull(content);
	for (int i = 0; i < 1024; i++)
		content[i] = i / 100;
	ck_assert_int_eq(tmk_builder_range(builder, TMK_ZERO, 0, 0, 1 << 20), 0);
	ck_assert_int_eq(tmk_builder_range(builder, TMK_DISCARD, 1, 512, 512), 0);
	content = tmk_builder_hash(builder, 1, TMK_PIECE - 512, TMK_PIECE);
	ck_assert_ptr_nonnull(content);
	for (int i = 0; i < TMK_TAG_KEY + 2 * TMK_TAG_SIZE; i++)
		content[i] = i + 100;
	if (marked)
		ck_assert_int_eq(tmk_builder_mark(builder, &mark), 0);
	return tmk_builder_seal(builder, &chain, marked ? TMK_CHUNK_CONSISTENT : 0, sealed, hash);
}

/* One that LZ4 does not make smaller. */
static size_t seal_noise(uint8_t content[4096])
{
	uint8_t *to;

	tmk_builder_reset(builder);
	to = tmk_builder_data(builder, 0, 0, 4096);
	ck_assert_ptr_nonnull(to);
	for (int i = 0; i < 4096; i++)
		to[i] = content[i] = rnd(256);
	return tmk_builder_seal(builder, &chain, TMK_CHUNK_CONSISTENT, sealed, hash);
}

/* All that a receiver does with a chunk: 0, or what refused it. The frame's length is part of it. */
static int receive(const uint8_t *bytes, size_t size, bool *marked, struct tmk_error *err)
{
	struct tmk_chunk chunk;
	int ret;

	if (size < TMK_CHUNK_HEADER_SIZE)
		return -EBADMSG;
	ret = tmk_chunk_header(bytes, &chunk, err);
	if (ret)
		return ret;
	if (chunk.stored_length != size - TMK_CHUNK_HEADER_SIZE)
		return -EBADMSG;
	ret = tmk_chunk_open(&chunk, bytes + TMK_CHUNK_HEADER_SIZE, raw, err);
	return ret ? ret : tmk_chunk_check(&chunk, raw, &sizes, marked, err);
}

START_TEST(chunk_round_trip)
{
	size_t size = seal_sample(true);
	struct tmk_mark mark, expected = mark_make();
	struct tmk_record record;
	struct tmk_error err;
	struct tmk_chunk chunk;
	struct tmk_walk walk;
	const uint8_t *body;
	uint8_t again[TMK_HASH_SIZE];
	bool marked;

	ck_assert_int_eq(receive(sealed, size, &marked, &err), 0);
	ck_assert(marked);
	ck_assert_int_eq(tmk_chunk_header(sealed, &chunk, &err), 0);
	ck_assert_uint_eq(chunk.number, 7);
	ck_assert_uint_eq(chunk.generation, 3);
	ck_assert_uint_eq(chunk.log_through, 12345);
	ck_assert_uint_eq(chunk.record_count, 5);
	ck_assert_int_eq(chunk.flags, TMK_CHUNK_CONSISTENT | TMK_CHUNK_LZ4);
	ck_assert_mem_eq(chunk.epoch, chain.epoch, sizeof(chain.epoch));
	ck_assert_mem_eq(chunk.prev_hash, chain.prev_hash, sizeof(chain.prev_hash));
	tmk_chunk_hash(sealed, again);
	ck_assert_mem_eq(again, hash, sizeof(hash));

	walk = tmk_walk(&chunk, raw);
	ck_assert(tmk_walk_next(&walk, &record, &body));
	ck_assert_uint_eq(record.type, TMK_DATA);
	ck_assert_uint_eq(record.disk, 1);
	ck_assert_uint_eq(record.offset, 4096);
	ck_assert_uint_eq(record.length, 1024);
	for (int i = 0; i < 1024; i++)
		ck_assert_uint_eq(body[i], i / 100);
	ck_assert(tmk_walk_next(&walk, &record, &body));
	ck_assert_uint_eq(record.type, TMK_ZERO);
	ck_assert(tmk_walk_next(&walk, &record, &body));
	ck_assert_uint_eq(record.type, TMK_DISCARD);
	ck_assert(tmk_walk_next(&walk, &record, &body));
	ck_assert_uint_eq(record.type, TMK_HASH);
	ck_assert_uint_eq(record.disk, 1);
	ck_assert_uint_eq(record.offset, TMK_PIECE - 512);
	ck_assert_uint_eq(record.length, TMK_PIECE);
	ck_assert_uint_eq(record.body, TMK_TAG_KEY + 2 * TMK_TAG_SIZE);
	for (int i = 0; i < TMK_TAG_KEY + 2 * TMK_TAG_SIZE; i++)
		ck_assert_uint_eq(body[i], i + 100);
	ck_assert(tmk_walk_next(&walk, &record, &body));
	ck_assert_uint_eq(record.type, TMK_MARK);
	ck_assert_int_eq(tmk_mark_decode(body, record.body, &mark, &err), 0);
	ck_assert_mem_eq(mark.id, expected.id, sizeof(mark.id));
	ck_assert_uint_eq(mark.gap, 9);
	ck_assert_uint_eq(mark.source_time, expected.source_time);
	ck_assert_str_eq(mark.label, expected.label);
	ck_assert_uint_eq(mark.disk_count, 2);
	ck_assert_mem_eq(mark.sizes, expected.sizes, sizeof(mark.sizes));
	ck_assert(!tmk_walk_next(&walk, &record, &body));
}

END_TEST

START_TEST(chunk_noise_stays_raw)
{
	uint8_t content[4096];
	size_t size = seal_noise(content);
	struct tmk_record record;
	struct tmk_chunk chunk;
	struct tmk_error err;
	struct tmk_walk walk;
	const uint8_t *body;
	bool marked;

	ck_assert_int_eq(receive(sealed, size, &marked, &err), 0);
	ck_assert(!marked);
	ck_assert_int_eq(tmk_chunk_header(sealed, &chunk, &err), 0);
	ck_assert_int_eq(chunk.flags, TMK_CHUNK_CONSISTENT);
	walk = tmk_walk(&chunk, raw);
	ck_assert(tmk_walk_next(&walk, &record, &body));
	ck_assert_mem_eq(body, content, sizeof(content));
}
END_TEST

START_TEST(chunk_every_bit_counts)
{
	struct tmk_error err;
	bool marked;

	uint8_t content[4096];

	for (int noise = 0; noise < 2; noise++) {
		size_t size = noise ? seal_noise(content) : seal_sample(true);

		for (size_t at = 0; at < size; at++) {
			for (int flip = 1; flip < 256; flip = flip < 128 ? flip << 1 : flip == 128 ? 255 : 256) {
				sealed[at] ^= flip;
				ck_assert_msg(receive(sealed, size, &marked, &err) == -EBADMSG, "byte %zu ^ %02x is accepted", at,
					      flip);
				sealed[at] ^= flip;
			}
		}
		for (size_t cut = 0; cut < size; cut++)
			ck_assert_int_eq(receive(sealed, cut, &marked, &err), -EBADMSG);
		ck_assert_int_eq(receive(sealed, size, &marked, &err), 0);
	}
}
END_TEST

/* ---- headers whose sum is right ---- */

START_TEST(chunk_header_limits)
{
	static const struct {
		size_t at;
		uint8_t width;
		uint64_t value;
		bool good;
	} cases[] = {
		{4, 2, 2, false},
		{6, 2, TMK_CHUNK_LZ4, true},
		{6, 2, 4, false},
		{6, 2, 0x8000, false},
		{24, 8, 0, false},
		{24, 8, UINT64_MAX, true},
		{88, 4, 0, false},
		{88, 4, TMK_CHUNK_RAW_MAX + 1, false},
		{88, 4, UINT32_MAX, false},
		{92, 4, 0, false},
		{92, 4, TMK_CHUNK_RAW_MAX, true},
		{92, 4, TMK_CHUNK_RAW_MAX + 1, false},
		{96, 4, 0, false},
		{96, 4, TMK_CHUNK_RECORDS_MAX, true},
		{96, 4, TMK_CHUNK_RECORDS_MAX + 1, false},
		{100, 4, 1, false},
		{112, 8, 1, false},
	};
	struct tmk_chunk chunk;
	struct tmk_error err;

	seal_sample(false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t header[TMK_CHUNK_HEADER_SIZE];
		struct tmk_writer_buf w = tmk_writer_buf(header + 120, 8);

		memcpy(header, sealed, sizeof(header));
		for (int b = 0; b < cases[i].width; b++)
			header[cases[i].at + b] = cases[i].value >> (8 * b);
		tmk_put_u64(&w, tmk_sum64(header, 120));
		ck_assert_msg(!tmk_chunk_header(header, &chunk, &err) == cases[i].good, "case %zu", i);
	}
	/* Raw, and its lengths differ. */
	ck_assert_int_eq(tmk_chunk_header(sealed, &chunk, &err), 0);
	chunk.flags = 0;
	ck_assert_uint_ne(chunk.stored_length, chunk.raw_length);
	tmk_chunk_encode(&chunk, sealed);
	ck_assert_int_eq(tmk_chunk_header(sealed, &chunk, &err), -EBADMSG);
}
END_TEST

/* The payload's sum is right, but it does not decompress to its length. */
START_TEST(chunk_wrong_raw_length)
{
	struct tmk_chunk chunk;
	struct tmk_error err;
	uint8_t *payload = sealed + TMK_CHUNK_HEADER_SIZE;

	seal_sample(false);
	ck_assert_int_eq(tmk_chunk_header(sealed, &chunk, &err), 0);
	ck_assert_int_eq(tmk_chunk_open(&chunk, payload, raw, &err), 0);
	for (int by = -1; by <= 1; by += 2) {
		struct tmk_chunk wrong = chunk;

		wrong.raw_length += by;
		ck_assert_int_eq(tmk_chunk_open(&wrong, payload, raw, &err), -EBADMSG);
	}
	/* A bomb: more than a payload may hold. */
	memset(payload, 0xff, 8192);
	payload[0] = 0x1f;
	payload[2] = 1;
	payload[3] = 0;
	chunk.stored_length = 8192;
	chunk.raw_length = TMK_CHUNK_RAW_MAX;
	tmk_sum128(payload, 8192, chunk.payload_sum);
	ck_assert_int_eq(tmk_chunk_open(&chunk, payload, raw, &err), -EBADMSG);
}
END_TEST

/* ---- records, put together by hand ---- */

struct line {
	struct tmk_record record;
	uint32_t body; /* bytes that really follow */
};

static int check(const struct line *lines, uint32_t count, uint32_t declared, uint16_t flags, const struct tmk_disk_sizes *bounds,
		 struct tmk_error *err)
{
	struct tmk_chunk chunk = {.number = 1, .flags = flags, .record_count = declared};
	struct tmk_writer_buf w = tmk_writer_buf(raw, TMK_CHUNK_RAW_MAX);
	uint8_t *copy;
	bool marked;
	int ret;

	for (uint32_t i = 0; i < count; i++) {
		tmk_put_u8(&w, lines[i].record.type);
		tmk_put_u8(&w, lines[i].record.reserved0);
		tmk_put_u16(&w, lines[i].record.disk);
		tmk_put_u32(&w, lines[i].record.body);
		tmk_put_u64(&w, lines[i].record.offset);
		tmk_put_u64(&w, lines[i].record.length);
		for (uint32_t b = 0; b < lines[i].body; b++)
			tmk_put_u8(&w, b);
	}
	ck_assert(!w.failed);
	chunk.raw_length = w.at;
	copy = malloc(w.at); /* so that the sanitizer sees a read behind the end */
	memcpy(copy, raw, w.at);
	ret = tmk_chunk_check(&chunk, copy, bounds, &marked, err);
	free(copy);
	return ret;
}

START_TEST(record_fields)
{
	static const struct {
		struct line line;
		const char *says; /* NULL: good */
	} cases[] = {
		{{{TMK_DATA, 0, 0, 512, 0, 512}, 512}, NULL},
		{{{TMK_DATA, 0, 0, 512, (1 << 20) - 512, 512}, 512}, NULL},
		{{{TMK_DATA, 0, 0, 512, 1 << 20, 512}, 512}, "end of the disk"},
		{{{TMK_DATA, 0, 0, 1024, (1 << 20) - 512, 1024}, 1024}, "end of the disk"},
		{{{TMK_DATA, 0, 1, 512, 1 << 20, 512}, 512}, NULL},
		{{{TMK_DATA, 0, 2, 512, 0, 512}, 512}, "no such disk"},
		{{{TMK_DATA, 0, 65535, 512, 0, 512}, 512}, "no such disk"},
		{{{TMK_DATA, 1, 0, 512, 0, 512}, 512}, "reserved"},
		{{{TMK_DATA, 0, 0, 512, 256, 512}, 512}, "whole sectors"},
		{{{TMK_DATA, 0, 0, 511, 0, 511}, 511}, "whole sectors"},
		{{{TMK_DATA, 0, 0, 0, 0, 0}, 0}, "empty"},
		{{{TMK_DATA, 0, 0, 512, 0, 1024}, 512}, "as long as"},
		{{{TMK_DATA, 0, 0, 512, 0, 0x100000200ull}, 512}, "as long as"},
		{{{TMK_DATA, 0, 0, 1024, 0, 1024}, 512}, "end of the payload"},
		{{{TMK_DATA, 0, 0, 0xfffffe00, 0, 0xfffffe00}, 512}, "end of the payload"},
		{{{TMK_DATA, 0, 0, 512, 0, 512}, 1024}, "more bytes"},
		{{{TMK_ZERO, 0, 0, 0, 0, 1 << 20}, 0}, NULL},
		{{{TMK_ZERO, 0, 0, 0, 0, (1 << 20) + 512}, 0}, "end of the disk"},
		{{{TMK_ZERO, 0, 0, 0, 512, 0xfffffffffffffe00ull}, 0}, "end of the disk"},
		{{{TMK_ZERO, 0, 0, 0, 0xfffffffffffffe00ull, 512}, 0}, "end of the disk"},
		{{{TMK_ZERO, 0, 0, 0, 0xfffffffffffffe00ull, 1024}, 0}, "end of the disk"},
		{{{TMK_ZERO, 0, 0, 512, 0, 512}, 512}, "has content"},
		{{{TMK_DISCARD, 0, 1, 0, 512, 512}, 0}, NULL},
		{{{TMK_DISCARD, 0, 1, 512, 512, 512}, 512}, "has content"},
		{{{TMK_DISCARD, 0, 1, 0, 512, 0}, 0}, "empty"},
		{{{TMK_HASH, 0, 0, 32, 0, 512}, 32}, NULL},
		{{{TMK_HASH, 0, 0, 32, TMK_PIECE, TMK_PIECE}, 32}, NULL},
		{{{TMK_HASH, 0, 0, 48, TMK_PIECE - 512, 1024}, 48}, NULL},
		{{{TMK_HASH, 0, 0, 16 + 32 * 16, 0, 1 << 20}, 16 + 32 * 16}, NULL},
		{{{TMK_HASH, 0, 1, 16 + 33 * 16, 512, 1 << 20}, 16 + 33 * 16}, NULL},
		{{{TMK_HASH, 0, 1, 16 + 33 * 16, 0, (1 << 20) + 512}, 16 + 33 * 16}, "too long a range"},
		{{{TMK_HASH, 0, 1, 16, 0, 0xfffffffffffffe00ull}, 16}, "too long a range"},
		{{{TMK_HASH, 0, 0, 32, TMK_PIECE - 512, 1024}, 32}, "a tag for each piece"},
		{{{TMK_HASH, 0, 0, 48, 0, TMK_PIECE}, 48}, "a tag for each piece"},
		{{{TMK_HASH, 0, 0, 16, 0, 512}, 16}, "a tag for each piece"},
		{{{TMK_HASH, 0, 0, 0, 0, 512}, 0}, "a tag for each piece"},
		{{{TMK_HASH, 0, 0, 32, 512, 0}, 32}, "empty"},
		{{{TMK_HASH, 0, 0, 32, 0, 100}, 32}, "whole sectors"},
		{{{TMK_HASH, 0, 0, 32, 100, 512}, 32}, "whole sectors"},
		{{{TMK_HASH, 0, 0, 32, 1 << 20, 512}, 32}, "end of the disk"},
		{{{TMK_HASH, 0, 0, 32, 0xfffffffffffffe00ull, 512}, 32}, "end of the disk"},
		{{{TMK_HASH, 0, 2, 32, 0, 512}, 32}, "no such disk"},
		{{{TMK_HASH, 1, 0, 32, 0, 512}, 32}, "reserved"},
		{{{TMK_HASH, 0, 0, 32, 0, 512}, 16}, "end of the payload"},
		{{{0, 0, 0, 0, 0, 512}, 0}, "unknown type"},
		{{{6, 0, 0, 0, 0, 512}, 0}, "unknown type"},
		{{{255, 0, 0, 0, 0, 512}, 0}, "unknown type"},
		{{{TMK_MARK, 0, 1, 64, 0, 0}, 64}, "with a disk"},
		{{{TMK_MARK, 0, 0, 64, 512, 0}, 64}, "with a disk"},
		{{{TMK_MARK, 0, 0, 64, 0, 512}, 64}, "with a disk"},
		{{{TMK_MARK, 0, 0, 64, 0, 0}, 64}, "broken body"},
		{{{TMK_MARK, 0, 0, 0, 0, 0}, 0}, "broken body"},
	};
	struct tmk_error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int ret = check(&cases[i].line, 1, 1, TMK_CHUNK_CONSISTENT, &sizes, &err);

		if (!cases[i].says)
			ck_assert_msg(!ret, "case %zu: %s", i, err.text);
		else
			ck_assert_msg(ret == -EBADMSG && strstr(err.text, cases[i].says), "case %zu: %d, %s", i, ret, err.text);
	}
	/* Without sizes nothing may wrap either. */
	ck_assert_int_eq(check(&cases[2].line, 1, 1, 0, NULL, &err), 0);
	ck_assert_int_eq(check(&cases[6].line, 1, 1, 0, NULL, &err), -EBADMSG);
	ck_assert_int_eq(check(&cases[20].line, 1, 1, 0, NULL, &err), -EBADMSG);
}
END_TEST

START_TEST(record_counts)
{
	static const struct line lines[] = {
		{{TMK_DATA, 0, 0, 512, 0, 512}, 512},
		{{TMK_ZERO, 0, 0, 0, 0, 512}, 0},
		{{TMK_DATA, 0, 0, 512, 0, 512}, 512},
	};
	struct tmk_error err;

	ck_assert_int_eq(check(lines, 3, 3, 0, &sizes, &err), 0);
	ck_assert_int_eq(check(lines, 3, 2, 0, &sizes, &err), -EBADMSG);
	ck_assert_int_eq(check(lines, 3, 4, 0, &sizes, &err), -EBADMSG);
	ck_assert_int_eq(check(lines, 3, TMK_CHUNK_RECORDS_MAX, 0, &sizes, &err), -EBADMSG);
}
END_TEST

/* What one chunk asks to be read is bounded. */
START_TEST(hashed_bytes)
{
	const struct tmk_disk_sizes large = {.count = 1, .sizes = {1 << 30}};
	struct line lines[66];
	struct tmk_error err;
	unsigned int fits = 0;

	for (int i = 0; i < 66; i++)
		lines[i] = (struct line){{TMK_HASH, 0, 0, 16 + 32 * 16, (uint64_t)i << 20, 1 << 20}, 16 + 32 * 16};
	ck_assert_int_eq(check(lines, 64, 64, 0, &large, &err), 0);
	ck_assert_int_eq(check(lines, 65, 65, 0, &large, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "too much reading"));
	lines[64] = (struct line){{TMK_ZERO, 0, 0, 0, 0, 1 << 30}, 0};
	ck_assert_int_eq(check(lines, 65, 65, 0, &large, &err), 0);

	/* The builder knows, and a new chunk begins anew. */
	for (int round = 0; round < 2; round++) {
		tmk_builder_reset(builder);
		for (fits = 0; fits < 66 && tmk_builder_hash(builder, 0, (uint64_t)fits << 20, 1 << 20); fits++)
			;
		ck_assert_uint_eq(fits, 64);
	}
	ck_assert_int_eq(tmk_builder_range(builder, TMK_ZERO, 0, 0, 512), 0);
	tmk_builder_reset(builder);
	ck_assert_ptr_null(tmk_builder_hash(builder, 0, 0, (1 << 20) + 512));
	ck_assert_ptr_null(tmk_builder_hash(builder, 0, 0, 0));
	ck_assert_ptr_null(tmk_builder_hash(builder, 0, 100, 512));
	ck_assert_ptr_null(tmk_builder_hash(builder, TMK_DISKS_MAX, 0, 512));
	ck_assert(tmk_builder_empty(builder));
}
END_TEST

START_TEST(marks)
{
	struct tmk_mark mark = mark_make(), bad;
	struct tmk_chunk chunk;
	struct tmk_error err;
	size_t size, raw_size;
	bool marked;

	/* It ends its chunk: the builder takes nothing more, and a checker no record behind it. */
	size = seal_sample(true);
	ck_assert(!tmk_builder_fits(builder, 0));
	ck_assert_ptr_null(tmk_builder_data(builder, 0, 0, 512));
	ck_assert_int_eq(tmk_builder_range(builder, TMK_ZERO, 0, 0, 512), -ENOSPC);
	ck_assert_int_eq(tmk_builder_mark(builder, &mark), -ENOSPC);
	ck_assert_int_eq(receive(sealed, size, &marked, &err), 0);
	ck_assert(marked);
	ck_assert_int_eq(tmk_chunk_header(sealed, &chunk, &err), 0);
	raw_size = chunk.raw_length;
	memset(raw + raw_size, 0, TMK_RECORD_SIZE);
	raw[raw_size] = TMK_ZERO;
	raw[raw_size + 17] = 2;
	chunk.raw_length += TMK_RECORD_SIZE;
	chunk.record_count++;
	ck_assert_int_eq(tmk_chunk_check(&chunk, raw, &sizes, &marked, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "follows a mark"));

	/* Only at a consistent end. */
	tmk_builder_reset(builder);
	ck_assert(tmk_builder_empty(builder));
	ck_assert_int_eq(tmk_builder_mark(builder, &mark), 0);
	size = tmk_builder_seal(builder, &chain, 0, sealed, hash);
	ck_assert_int_eq(receive(sealed, size, &marked, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "consistent"));

	/* Of these disks. */
	for (int i = 0; i < 2; i++) {
		bad = mark;
		if (i)
			bad.sizes[1] += 512;
		else
			bad.disk_count = 1;
		tmk_builder_reset(builder);
		ck_assert_int_eq(tmk_builder_mark(builder, &bad), 0);
		size = tmk_builder_seal(builder, &chain, TMK_CHUNK_CONSISTENT, sealed, hash);
		ck_assert_int_eq(receive(sealed, size, &marked, &err), -EBADMSG);
	}
	/* What a decoder would refuse is not encoded. */
	tmk_builder_reset(builder);
	bad = mark, bad.kind = 3;
	ck_assert_int_eq(tmk_builder_mark(builder, &bad), -EINVAL);
	bad = mark, bad.disk_count = 0;
	ck_assert_int_eq(tmk_builder_mark(builder, &bad), -EINVAL);
	bad = mark, bad.disk_count = TMK_DISKS_MAX + 1;
	ck_assert_int_eq(tmk_builder_mark(builder, &bad), -EINVAL);
	bad = mark, bad.sizes[0] = 100;
	ck_assert_int_eq(tmk_builder_mark(builder, &bad), -EINVAL);
	bad = mark, bad.label[0] = 27;
	ck_assert_int_eq(tmk_builder_mark(builder, &bad), -EINVAL);
	ck_assert(tmk_builder_empty(builder));
}
END_TEST

START_TEST(builder_limits)
{
	struct tmk_error err;
	uint32_t records = 0;
	size_t size;
	bool marked;

	ck_assert_ptr_null(tmk_builder_data(builder, 0, 100, 512));
	ck_assert_ptr_null(tmk_builder_data(builder, 0, 0, 100));
	ck_assert_ptr_null(tmk_builder_data(builder, TMK_DISKS_MAX, 0, 512));
	ck_assert_int_eq(tmk_builder_range(builder, TMK_DATA, 0, 0, 512), -EINVAL);
	ck_assert_int_eq(tmk_builder_range(builder, TMK_ZERO, 0, 0, 0), -EINVAL);
	ck_assert_int_eq(tmk_builder_range(builder, TMK_ZERO, 0, 512, UINT64_MAX - 511), -EINVAL);
	while (tmk_builder_fits(builder, 0)) {
		ck_assert_int_eq(tmk_builder_range(builder, TMK_ZERO, 0, 512 * (records % 2048), 512), 0);
		records++;
	}
	ck_assert_uint_eq(records, TMK_CHUNK_RECORDS_MAX);
	ck_assert_int_eq(tmk_builder_range(builder, TMK_ZERO, 0, 0, 512), -ENOSPC);
	size = tmk_builder_seal(builder, &chain, 0, sealed, hash);
	ck_assert_int_eq(receive(sealed, size, &marked, &err), 0);

	/* The largest chunk, of noise: it still fits the bound, and comes back. */
	tmk_builder_reset(builder);
	for (uint64_t offset = 0; tmk_builder_fits(builder, 65536); offset += 65536) {
		uint8_t *content = tmk_builder_data(builder, 1, offset % (1 << 20), 65536);

		for (int i = 0; i < 65536; i++)
			content[i] = rnd(256);
	}
	ck_assert_ptr_null(tmk_builder_data(builder, 1, 0, 65536));
	size = tmk_builder_seal(builder, &chain, 0, sealed, hash);
	ck_assert_uint_le(size, tmk_chunk_bound());
	ck_assert_uint_gt(size, 17 * 65536);
	ck_assert_int_eq(receive(sealed, size, &marked, &err), 0);
}
END_TEST

/* ---- mutations: nothing may crash; the memory is exactly as large as the chunk ---- */

#define ROOM 8192

/* Mutated payloads get right sums, so that they come as far as LZ4 and the records. */
START_TEST(mutated_chunks)
{
	unsigned int opened = 0, good = 0;
	struct tmk_chunk chunk, changed;
	struct tmk_error err;

	for (unsigned int i = 0; i < 20000; i++) {
		uint8_t *payload = malloc(ROOM), *exact;
		uint8_t header[TMK_CHUNK_HEADER_SIZE];
		struct tmk_record record;
		struct tmk_walk walk;
		const uint8_t *body;
		bool marked;

		seal_sample(i & 2);
		ck_assert_int_eq(tmk_chunk_header(sealed, &chunk, &err), 0);
		memcpy(payload, sealed + TMK_CHUNK_HEADER_SIZE, chunk.stored_length);
		if (i & 1) {
			ck_assert_int_eq(tmk_chunk_open(&chunk, payload, raw, &err), 0);
			memcpy(payload, raw, chunk.raw_length);
			chunk.stored_length = chunk.raw_length;
			chunk.flags &= ~TMK_CHUNK_LZ4;
		}
		changed = chunk;
		changed.stored_length = mutate(payload, chunk.stored_length, ROOM);
		if (rnd(8) == 0)
			changed.raw_length = rnd(2 * chunk.raw_length);
		if (rnd(8) == 0)
			changed.record_count = rnd(10);
		if (!(changed.flags & TMK_CHUNK_LZ4))
			changed.raw_length = changed.stored_length;
		tmk_sum128(payload, changed.stored_length, changed.payload_sum);
		tmk_chunk_encode(&changed, header);
		if (rnd(16) == 0)
			header[rnd(sizeof(header))] ^= 1 << rnd(8);
		if (!tmk_chunk_header(header, &changed, &err) && changed.stored_length <= ROOM) {
			exact = malloc(changed.stored_length);
			memcpy(exact, payload, changed.stored_length);
			if (!tmk_chunk_open(&changed, exact, raw, &err)) {
				uint8_t *records = malloc(changed.raw_length);

				opened++;
				memcpy(records, raw, changed.raw_length);
				good += !tmk_chunk_check(&changed, records, &sizes, &marked, &err);
				walk = tmk_walk(&changed, records);
				while (tmk_walk_next(&walk, &record, &body))
					;
				free(records);
			}
			free(exact);
		}
		free(payload);
	}
	/* The mutations came through to the records, and most did not come further. */
	ck_assert_uint_gt(opened, 5000);
	ck_assert_uint_gt(good, 0);
	ck_assert_uint_lt(good, opened);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("chunk");
	TCase *chunks = tcase_create("chunks");

	tcase_set_timeout(chunks, 100);
	tcase_add_checked_fixture(chunks, setup, teardown);
	tcase_add_test(chunks, chunk_round_trip);
	tcase_add_test(chunks, chunk_noise_stays_raw);
	tcase_add_test(chunks, chunk_every_bit_counts);
	tcase_add_test(chunks, chunk_header_limits);
	tcase_add_test(chunks, chunk_wrong_raw_length);
	tcase_add_test(chunks, record_fields);
	tcase_add_test(chunks, record_counts);
	tcase_add_test(chunks, hashed_bytes);
	tcase_add_test(chunks, marks);
	tcase_add_test(chunks, builder_limits);
	tcase_add_test(chunks, mutated_chunks);
	suite_add_tcase(suite, chunks);
	return run_suite(suite);
}
