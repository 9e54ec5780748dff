/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * links: target. A journal's directory as somebody left it: recovery, reading, points, rewind. Input: how; the applied chunk;
 * then segments. A segment is made of the input's bytes, or of a good one with edits, and its sums and chain are made right if
 * `how` says so. Nothing crashes; what a journal opens with can be read to its end.
 */
#include <errno.h>

#include "applier.h"
#include "fuzz.h"
#include "io.h"
#include "journal_recover.h"
#include "point_scan.h"
#include "sums.h"

enum how { HOW_SUMS = 15, HOW_ENTRIES = 16, HOW_SEGMENT = 32, HOW_TRUST = 64, HOW_EDITS = 128 };

#define SEGMENT_MOST (64u << 10)
#define CHUNKS 5
#define ENTRY sizeof(struct tmk_entry)

static const uint8_t protection[TMK_UUID_SIZE] = {0x5a, 1, 2};
static const struct tmk_disk_sizes sizes = {.count = 2, .sizes = {1 << 20, 2 << 20}};
static struct link_of_chain chain; /* while segments are made */
static int dir;

/* ---- a good one ---- */

static size_t put_entry(uint8_t *out, struct tmk_builder *b, struct tmk_chain *next, bool marked)
{
	static uint8_t chunk[2 * TMK_CHUNK_RAW_MAX];
	struct tmk_mark mark = {.kind = TMK_CRASH, .disk_count = 2, .sizes = {1 << 20, 2 << 20}, .label = "a"};
	uint64_t n = next->number;
	uint8_t *data = tmk_builder_data(b, n & 1, n * 4096, 512);
	struct tmk_entry entry = {.durable = n - 1, .target_time = n};

	memset(data, (int)n, 512);
	data[7] = 'T', data[8] = 'M', data[9] = 'K', data[10] = 'E';
	REQUIRE(!tmk_builder_range(b, TMK_ZERO, 0, n * 8192, 4096));
	if (marked)
		REQUIRE(!tmk_builder_mark(b, &mark));
	entry.length = tmk_builder_seal(b, next, 0, chunk, next->prev_hash);
	tmk_builder_reset(b);
	next->number++;
	tmk_segment_entry_encode(&entry, out);
	memcpy(out + ENTRY, chunk, entry.length);
	return ENTRY + entry.length;
}

static size_t good_segment(uint8_t *out)
{
	struct tmk_chain next = {.number = 1, .generation = 1, .epoch = {0xe1}};
	struct tmk_builder *b;
	size_t at = TMK_SEGMENT_HEADER;

	REQUIRE(tmk_chunk_bound() <= 2 * TMK_CHUNK_RAW_MAX && !tmk_builder_new(&b));
	memset(out, 0, at);
	for (int i = 1; i <= CHUNKS; i++)
		at += put_entry(out + at, b, &next, i % 2);
	tmk_builder_free(b);
	return at;
}

/* Edits: place (u16), kind, value. */
static size_t edit(struct input *in, uint8_t *out, size_t size)
{
	for (unsigned int edits = take_u8(in) % 16; edits && size; edits--) {
		size_t at = take_u16(in) % size;
		uint8_t kind = take_u8(in) % 6, value = take_u8(in);

		if (kind == 0)
			out[at] ^= 1u << (value & 7);
		else if (kind == 1)
			out[at] = value;
		else if (kind == 2)
			size = at;
		else if (kind == 3)
			memset(out + at, 0, size - at < value ? size - at : value);
		else if (kind == 4 && size - at > value)
			size -= value, memmove(out + at, out + at + value, size - at);
		else if (size + value < SEGMENT_MOST)
			memset(out + size, value, value), size += value;
	}
	return size;
}

/* ---- making it right ---- */

static void fix_segment(uint8_t *out, size_t size, uint64_t first, uint8_t how)
{
	put_le(out, TMK_SEGMENT_MAGIC, 4);
	put_le(out + 4, TMK_SEGMENT_VERSION, 2);
	memset(out + 6, 0, 10);
	memcpy(out + offsetof(struct tmk_segment, protection), protection, TMK_UUID_SIZE);
	memset(out + offsetof(struct tmk_segment, reserved1), 0, 48);
	if (how & SUMS_CHAIN) {
		put_le(out + offsetof(struct tmk_segment, first), first, 8);
		memcpy(out + offsetof(struct tmk_segment, prev_hash), chain.prev_hash, TMK_HASH_SIZE);
	}
	put_le(out + offsetof(struct tmk_segment, sum), tmk_sum64(out, offsetof(struct tmk_segment, sum)), 8);
	(void)size;
}

/* As far as the lengths of entries lead. */
static void fix_entries(uint8_t *out, size_t size, uint8_t how)
{
	for (size_t at = TMK_SEGMENT_HEADER; size - at > TMK_ENTRY_HEADER;) {
		uint64_t length = get_le(out + at + 4, 4);

		if (length <= TMK_CHUNK_HEADER_SIZE || length > size - at - ENTRY)
			break;
		if (how & HOW_SUMS)
			sums_chunk(out + at + ENTRY, length, how & HOW_SUMS, &chain);
		if (how & HOW_TRUST)
			put_le(out + at + 8, chain.number - 2, 8);
		put_le(out + at, TMK_ENTRY_MAGIC, 4);
		put_le(out + at + 24, tmk_sum64(out + at, 24), 8);
		at += ENTRY + length;
	}
}

/* Where it begins: behind the one before, or anywhere. */
static void make_segment(struct input *in, uint8_t how)
{
	static uint8_t out[SEGMENT_MOST + 2 * TMK_CHUNK_RAW_MAX];
	uint8_t start = take_u8(in);
	uint64_t first = start < 200 ? chain.number : start == 255 ? 0 : start == 254 ? UINT64_MAX : start - 200u;
	size_t size, n;
	char name[TMK_SEGMENT_NAME];

	if (how & HOW_EDITS) {
		size = edit(in, out, good_segment(out));
	} else {
		const uint8_t *bytes = take_span(in, take_u16(in), &size);

		memcpy(out, bytes, size);
	}
	chain.number = first;
	if (how & HOW_SEGMENT && size >= TMK_SEGMENT_HEADER)
		fix_segment(out, size, first, how);
	if (how & HOW_ENTRIES && size >= TMK_SEGMENT_HEADER)
		fix_entries(out, size, how);
	tmk_segment_name(first, name);
	n = size < SEGMENT_MOST ? size : SEGMENT_MOST;
	file_put(dir, name, out, n);
}

/* ---- what reads it ---- */

static uint64_t points;

static void count_point(const struct tmk_point *p, void *context)
{
	(void)context;
	REQUIRE(p->mark.disk_count == sizes.count);
	points++;
}

static int count_extent(const struct tmk_rewind_extent *e, void *context)
{
	(void)context;
	REQUIRE(e->disk < sizes.count && e->length && e->offset <= sizes.sizes[e->disk]);
	REQUIRE(e->length <= sizes.sizes[e->disk] - e->offset);
	return 0;
}

/* strict: it was opened, so that it can be read up to its end. */
static void read_all(const struct tmk_place *from, const struct tmk_place *end, bool strict)
{
	struct tmk_journal_cursor *cursor;
	struct tmk_journal_chunk chunk;
	struct tmk_error err = {0};
	int ret;

	REQUIRE(!tmk_journal_cursor_open(&cursor, &tmk_io_real, dir, protection, &sizes, from, &err));
	while (!(ret = tmk_journal_cursor_next(cursor, end->number, &chunk, &err)))
		;
	REQUIRE(ret != -EAGAIN || !strict || end->number <= from->number || !memcmp(chunk.hash, end->hash, TMK_HASH_SIZE));
	REQUIRE(ret == -EAGAIN || err.text[0]);
	tmk_journal_cursor_close(cursor);
}

static void open_it(const struct tmk_place *applied)
{
	struct tmk_journal_options o = {.io = &tmk_io_real, .dir = dir, .sizes = sizes, .applied = *applied};
	struct tmk_place end, all = {.number = UINT64_MAX};
	struct tmk_error err = {0};
	struct tmk_journal *j;
	struct tmk_survey survey;
	struct tmk_point point;
	bool found;

	memcpy(o.protection, protection, sizeof(protection));
	int surveyed = tmk_survey(&o, &survey, &err);
	read_all(applied, &all, false);
	tmk_point_scan(&tmk_io_real, dir, protection, &sizes, count_point, NULL, NULL);
	tmk_point_find(&tmk_io_real, dir, protection, &sizes, applied, &point, NULL);
	err.text[0] = 0;
	int bad = tmk_journal_open(&j, &o, &err);
	REQUIRE(!bad == !surveyed && (!bad || err.text[0]));
	if (bad)
		return;
	end = tmk_journal_end(j);
	REQUIRE(end.number == survey.end.number && end.number >= applied->number);
	read_all(applied, &end, true);
	tmk_journal_find(j, applied, &found, &err);
	tmk_journal_extents(j, applied, count_extent, NULL, &err);
	tmk_journal_close(j);
	tmk_journal_trim(&tmk_io_real, dir, end.number, 0, &err);
	err.text[0] = 0;
	bad = tmk_journal_open(&j, &o, &err);
	if (!bad)
		tmk_journal_close(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t how = take_u8(&in), place = take_u8(&in);
	struct tmk_place applied = {0}, here;

	dir = scratch_dir();
	scratch_clear(dir);
	memset(&chain, 0, sizeof(chain));
	chain = (struct link_of_chain){.number = 1, .generation = 1, .epoch = {0xe1}};
	for (int i = 0; i < 4 && in.size; i++) {
		here = (struct tmk_place){.number = chain.number - 1};
		memcpy(here.hash, chain.prev_hash, TMK_HASH_SIZE);
		if (place % 8 == i)
			applied = here;
		make_segment(&in, how);
	}
	here = (struct tmk_place){.number = chain.number - 1};
	memcpy(here.hash, chain.prev_hash, TMK_HASH_SIZE);
	if (place % 8 == 4)
		applied = here;
	applied.number += place / 64;
	open_it(&applied);
	close(dir);
	return 0;
}
