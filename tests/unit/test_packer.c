/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. The packer: what comes out of its chunks is what went in, byte for byte, in order, and covered. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "packer.h"
#include "piece.h"
#include "reader.h"

#define DISK_SIZE (8u << 20)
#define DISKS 2

static struct tmk_packer *packer;
static struct tmk_chain chain;
static uint8_t *source[DISKS], *replica[DISKS], *raw;
static uint8_t *covered[DISKS]; /* one byte a sector: times covered by sealed chunks */
static uint32_t data_records, zero_records, discard_records, hash_records;
static uint64_t hashed; /* bytes of the last chunk's hashed ranges */
static struct tmk_tagger *tagger;
static uint64_t random_state;

static uint64_t rnd(uint64_t below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (random_state >> 16) % below;
}

static void setup(void)
{
	ck_assert_int_eq(tmk_packer_new(&packer), 0);
	ck_assert_int_eq(tmk_tagger_new(&tagger), 0);
	raw = malloc(TMK_CHUNK_RAW_MAX);
	for (int d = 0; d < DISKS; d++) {
		source[d] = calloc(1, DISK_SIZE);
		replica[d] = malloc(DISK_SIZE);
		memset(replica[d], 0x5a, DISK_SIZE);
		covered[d] = calloc(1, DISK_SIZE / 512);
	}
	memset(&chain, 0, sizeof(chain));
	memset(chain.epoch, 7, sizeof(chain.epoch));
	chain.number = 1;
	chain.generation = 3;
	random_state = 42;
}

static void teardown(void)
{
	tmk_packer_free(packer);
	tmk_tagger_free(tagger);
	free(raw);
	for (int d = 0; d < DISKS; d++) {
		free(source[d]);
		free(replica[d]);
		free(covered[d]);
	}
}

/* Compares the tags with those of the source: of each piece, under the key that the record brings. */
static void compare(const struct tmk_record *r, const uint8_t *body)
{
	uint8_t tag[TMK_TAG_SIZE];

	hash_records++;
	hashed += r->length;
	ck_assert_uint_eq(r->body, tmk_piece_body(r->offset, r->length));
	tmk_tagger_key(tagger, body);
	body += TMK_TAG_KEY;
	for (uint64_t at = r->offset, end = at + r->length, n; at < end; at += n, body += TMK_TAG_SIZE) {
		n = tmk_piece_rest(at, end - at);
		tmk_tagger_tag(tagger, at, source[r->disk] + at, n, tag);
		ck_assert_mem_eq(tag, body, TMK_TAG_SIZE);
	}
}

static void apply(const struct tmk_record *r, const uint8_t *body)
{
	if (r->type == TMK_DATA) {
		data_records++;
		memcpy(replica[r->disk] + r->offset, body, r->length);
	} else if (r->type == TMK_ZERO) {
		zero_records++;
		memset(replica[r->disk] + r->offset, 0, r->length);
	} else if (r->type == TMK_DISCARD) {
		discard_records++;
	} else if (r->type == TMK_HASH) {
		compare(r, body);
	}
}

static void check_chunk(const struct tmk_packed *p, bool marked)
{
	struct tmk_disk_sizes sizes = {.count = TMK_DISKS_MAX};
	uint8_t hash[TMK_HASH_SIZE];
	struct tmk_record record;
	struct tmk_chunk chunk;
	struct tmk_walk walk;
	const uint8_t *body;
	bool has_mark;

	for (int i = 0; i < TMK_DISKS_MAX; i++)
		sizes.sizes[i] = DISK_SIZE;
	ck_assert_int_eq(tmk_chunk_header(p->bytes, &chunk, NULL), 0);
	ck_assert_uint_eq(p->size, TMK_CHUNK_HEADER_SIZE + chunk.stored_length);
	ck_assert_int_eq(tmk_chunk_open(&chunk, p->bytes + TMK_CHUNK_HEADER_SIZE, raw, NULL), 0);
	ck_assert_int_eq(tmk_chunk_check(&chunk, raw, &sizes, &has_mark, NULL), 0);
	ck_assert(has_mark == marked && p->marked == marked);
	ck_assert(!!(chunk.flags & TMK_CHUNK_CONSISTENT) == marked);
	ck_assert_uint_eq(chunk.number, chain.number);
	ck_assert_uint_eq(p->number, chain.number);
	ck_assert_int_eq(memcmp(chunk.epoch, chain.epoch, sizeof(chain.epoch)), 0);
	ck_assert_int_eq(memcmp(p->epoch, chain.epoch, sizeof(chain.epoch)), 0);
	tmk_chunk_hash(p->bytes, hash);
	ck_assert_int_eq(memcmp(p->hash, hash, sizeof(hash)), 0);
	data_records = zero_records = discard_records = hash_records = 0;
	hashed = 0;
	for (walk = tmk_walk(&chunk, raw); tmk_walk_next(&walk, &record, &body);)
		apply(&record, body);
	ck_assert_uint_eq(hash_records, p->hashes);
}

/* Seals, checks, applies to the replica and notes what is covered. Returns the disk bytes. */
static uint64_t seal(const struct tmk_mark *mark)
{
	struct tmk_packed *p;
	uint64_t bytes, sum = 0;

	ck_assert_int_eq(tmk_packer_seal(packer, &chain, mark, &p, NULL), 0);
	check_chunk(p, mark != NULL);
	for (uint32_t i = 0; i < p->covered_count; i++) {
		sum += p->covered[i].length;
		for (uint64_t s = 0; s < p->covered[i].length / 512; s++)
			covered[p->covered[i].disk][p->covered[i].offset / 512 + s]++;
	}
	ck_assert_uint_eq(sum, p->disk_bytes);
	memcpy(chain.prev_hash, p->hash, sizeof(chain.prev_hash));
	chain.number++;
	bytes = p->disk_bytes;
	tmk_packed_free(p);
	ck_assert(tmk_packer_empty(packer));
	return bytes;
}

static struct tmk_mark largest_mark(void)
{
	struct tmk_mark m = {.kind = TMK_APP, .gap = 9, .source_time = 1, .disk_count = TMK_DISKS_MAX};

	memset(m.id, 0x11, sizeof(m.id));
	memset(m.label, 'x', TMK_LABEL_MAX);
	for (int i = 0; i < TMK_DISKS_MAX; i++)
		m.sizes[i] = DISK_SIZE;
	return m;
}

static void noise(uint8_t *to, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = (uint8_t)(rnd(255) + 1);
}

START_TEST(whatever_goes_in_comes_out)
{
	uint64_t added = 0, sealed = 0;

	/* zero and other stretches of 512 bytes to 64 KiB */
	for (int d = 0; d < DISKS; d++)
		for (uint64_t at = 0, n; at < DISK_SIZE; at += n) {
			n = (rnd(128) + 1) * 512;
			if (n > DISK_SIZE - at)
				n = DISK_SIZE - at;
			if (rnd(2))
				noise(source[d] + at, n);
		}
	for (int d = 0; d < DISKS; d++)
		for (uint64_t at = 0, n; at < DISK_SIZE; at += n) {
			n = (rnd(TMK_READ_MAX / 512) + 1) * 512;
			if (n > DISK_SIZE - at)
				n = DISK_SIZE - at;
			if (!tmk_packer_add(packer, (uint16_t)d, at, source[d] + at, (uint32_t)n)) {
				sealed += seal(NULL);
				ck_assert(tmk_packer_add(packer, (uint16_t)d, at, source[d] + at, (uint32_t)n));
			}
			added += n;
		}
	sealed += seal(NULL);
	ck_assert_uint_eq(added, sealed);
	ck_assert_uint_eq(added, DISKS * DISK_SIZE);
	ck_assert(chain.number > 4);
	for (int d = 0; d < DISKS; d++) {
		ck_assert_int_eq(memcmp(source[d], replica[d], DISK_SIZE), 0);
		for (uint32_t s = 0; s < DISK_SIZE / 512; s++)
			ck_assert_uint_eq(covered[d][s], 1);
	}
}
END_TEST

START_TEST(one_byte_makes_a_unit_data)
{
	for (uint32_t i = 0; i < 4096; i++) {
		source[0][4096 + i] = 1;
		ck_assert(tmk_packer_add(packer, 0, 0, source[0], 3 * 4096));
		seal(NULL);
		ck_assert_int_eq(memcmp(source[0], replica[0], 3 * 4096), 0);
		ck_assert_uint_eq(data_records, 1);
		ck_assert_uint_eq(zero_records, 2);
		source[0][4096 + i] = 0;
	}
}
END_TEST

START_TEST(zeroes_join_over_adds)
{
	for (uint64_t at = 0; at < 4 * TMK_READ_MAX; at += TMK_READ_MAX)
		ck_assert(tmk_packer_add(packer, 0, at, source[0] + at, TMK_READ_MAX));
	ck_assert(tmk_packer_zero(packer, 0, 4 * TMK_READ_MAX, 512));
	ck_assert_uint_eq(seal(NULL), 4 * TMK_READ_MAX + 512);
	ck_assert_uint_eq(zero_records, 1);
	ck_assert_uint_eq(data_records, 0);

	/* a hole between them, another disk, another kind: not joined */
	ck_assert(tmk_packer_zero(packer, 0, 0, 4096));
	ck_assert(tmk_packer_zero(packer, 0, 8192, 4096));
	ck_assert(tmk_packer_zero(packer, 1, 12288, 4096));
	ck_assert(tmk_packer_discard(packer, 1, 16384, 4096));
	ck_assert(tmk_packer_discard(packer, 1, 20480, 4096));
	ck_assert_uint_eq(seal(NULL), 5 * 4096);
	ck_assert_uint_eq(zero_records, 3);
	ck_assert_uint_eq(discard_records, 1);
	/* what lies between is not covered (I2: its mark must stay) */
	ck_assert(covered[0][7] == 2 && covered[0][8] == 1 && covered[0][15] == 1 && covered[0][16] == 2 && covered[0][24] == 1);
	ck_assert(covered[1][23] == 0 && covered[1][24] == 1 && covered[1][47] == 1 && covered[1][48] == 0);
}
END_TEST

/* Units count from the disk's start, not from that of the add: an unaligned add has ragged ends. */
START_TEST(units_are_absolute)
{
	noise(source[0] + 4096, 4096);
	ck_assert(tmk_packer_add(packer, 0, 512, source[0] + 512, 4096 * 3));
	seal(NULL);
	ck_assert_int_eq(memcmp(source[0] + 512, replica[0] + 512, 4096 * 3), 0);
	ck_assert_uint_eq(data_records, 1);
	ck_assert_uint_eq(zero_records, 2);
	ck_assert_uint_eq(replica[0][511], 0x5a);
	ck_assert_uint_eq(replica[0][512 + 4096 * 3], 0x5a);
}
END_TEST

START_TEST(order_is_kept)
{
	noise(source[0], 4096);
	ck_assert(tmk_packer_zero(packer, 0, 0, 4096));
	ck_assert(tmk_packer_add(packer, 0, 0, source[0], 4096));
	seal(NULL);
	ck_assert_int_eq(memcmp(source[0], replica[0], 4096), 0);

	ck_assert(tmk_packer_add(packer, 0, 0, source[0], 4096));
	ck_assert(tmk_packer_zero(packer, 0, 0, 4096));
	seal(NULL);
	ck_assert_uint_eq(replica[0][0], 0);
	ck_assert_uint_eq(replica[0][4095], 0);
}
END_TEST

START_TEST(closes_at_a_mebibyte)
{
	struct tmk_mark mark = largest_mark();
	uint32_t n = 0;

	noise(source[0], 4 * TMK_READ_MAX + 512);
	for (uint64_t at = 0; at < 4 * TMK_READ_MAX; at += TMK_READ_MAX)
		ck_assert(tmk_packer_add(packer, 0, at, source[0] + at, TMK_READ_MAX));
	ck_assert(!tmk_packer_add(packer, 0, 4 * TMK_READ_MAX, source[0] + 4 * TMK_READ_MAX, 512));
	/* ranges without data go on until the records are used up, and the largest mark still fits */
	while (tmk_packer_zero(packer, 1, n * 1024, 512))
		n++;
	ck_assert_uint_eq(n, TMK_CHUNK_RECORDS_MAX - 1 - 4);
	ck_assert(!tmk_packer_zero(packer, 1, n * 1024, 512));
	ck_assert(!tmk_packer_add(packer, 1, DISK_SIZE - 4096, source[1], 4096));
	/* one that joins needs no record */
	ck_assert(tmk_packer_zero(packer, 1, n * 1024 - 512, 512));
	ck_assert_uint_eq(seal(&mark), 4 * TMK_READ_MAX + (uint64_t)(n + 1) * 512);
	ck_assert_uint_eq(data_records, 4);
	ck_assert_uint_eq(zero_records, n);
	ck_assert_uint_eq(covered[0][4 * TMK_READ_MAX / 512], 0);
}
END_TEST

/* What does not fit leaves no trace. */
START_TEST(all_or_nothing)
{
	noise(source[0], 5 * TMK_READ_MAX);
	memset(source[0] + 4 * TMK_READ_MAX, 0, 65536);
	for (uint64_t at = 0; at < 4 * TMK_READ_MAX; at += TMK_READ_MAX)
		ck_assert(tmk_packer_add(packer, 0, at, source[0] + at, TMK_READ_MAX));
	ck_assert(!tmk_packer_add(packer, 0, 4 * TMK_READ_MAX, source[0] + 4 * TMK_READ_MAX, TMK_READ_MAX));
	ck_assert_uint_eq(seal(NULL), 4 * TMK_READ_MAX);
	ck_assert_uint_eq(zero_records, 0);
	ck_assert_uint_eq(replica[0][4 * TMK_READ_MAX], 0x5a);
}
END_TEST

START_TEST(marks_alone_and_nothing_at_all)
{
	struct tmk_mark mark = largest_mark();
	struct tmk_packed *p = NULL;

	ck_assert_int_eq(tmk_packer_seal(packer, &chain, NULL, &p, NULL), -EINVAL);
	ck_assert_ptr_null(p);
	ck_assert_int_eq(tmk_packer_seal(packer, &chain, &mark, &p, NULL), 0);
	check_chunk(p, true);
	ck_assert_uint_eq(p->covered_count, 0);
	ck_assert_int_eq(memcmp(p->mark_id, mark.id, 16), 0);
	tmk_packed_free(p);
	tmk_packed_free(NULL);
}
END_TEST

START_TEST(reset_forgets)
{
	noise(source[0], 4096);
	ck_assert(tmk_packer_add(packer, 0, 0, source[0], 4096));
	ck_assert(tmk_packer_zero(packer, 0, 8192, 4096));
	ck_assert(!tmk_packer_empty(packer));
	tmk_packer_reset(packer);
	ck_assert(tmk_packer_empty(packer));
	ck_assert(tmk_packer_zero(packer, 0, 12288, 4096));
	ck_assert_uint_eq(seal(NULL), 4096);
	ck_assert_uint_eq(zero_records, 1);
	ck_assert_uint_eq(data_records, 0);
	ck_assert_uint_eq(replica[0][8192], 0x5a);
}
END_TEST

/* ---- hashes ---- */

static bool hash(uint16_t disk, uint64_t offset, uint32_t length, bool is_covered)
{
	return tmk_packer_hash(packer, disk, offset, source[disk] + offset, length, is_covered);
}

/* Tags of all pieces, also where a range begins or ends inside one; content that is zero is hashed like other. */
START_TEST(hashes_are_the_contents)
{
	static const struct {
		uint64_t offset;
		uint32_t length;
	} ranges[] = {{0, TMK_READ_MAX},
		      {TMK_READ_MAX, TMK_PIECE},
		      {1 << 20, 512},
		      {(1 << 20) + TMK_PIECE - 512, 1024},
		      {(2 << 20) + 4096, TMK_READ_MAX},
		      {DISK_SIZE - 3 * 512, 3 * 512}};
	uint64_t sum = 0;

	for (int d = 0; d < DISKS; d++)
		noise(source[d], DISK_SIZE);
	memset(source[1], 0, TMK_READ_MAX);
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		for (uint16_t d = 0; d < DISKS; d++) {
			ck_assert(hash(d, ranges[i].offset, ranges[i].length, true));
			sum += ranges[i].length;
		}
	ck_assert_uint_eq(seal(NULL), sum);
	ck_assert_uint_eq(hashed, sum);
	ck_assert_uint_eq(hash_records, DISKS * sizeof(ranges) / sizeof(ranges[0]));
	ck_assert_uint_eq(data_records + zero_records, 0);
	for (int d = 0; d < DISKS; d++)
		for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
			ck_assert_uint_eq(covered[d][ranges[i].offset / 512], 1);
	ck_assert_uint_eq(covered[0][TMK_READ_MAX / 512 + TMK_PIECE / 512], 0);
}
END_TEST

/* A key is drawn for each record: equal contents do not show as equal. */
START_TEST(keys_differ)
{
	uint8_t first[TMK_TAG_KEY];
	struct tmk_packed *p;
	struct tmk_record record;
	struct tmk_chunk chunk;
	struct tmk_walk walk;
	const uint8_t *body;

	ck_assert(hash(0, 0, 4096, true) && hash(0, 0, 4096, true));
	ck_assert_int_eq(tmk_packer_seal(packer, &chain, NULL, &p, NULL), 0);
	ck_assert_int_eq(tmk_chunk_header(p->bytes, &chunk, NULL), 0);
	ck_assert_int_eq(tmk_chunk_open(&chunk, p->bytes + TMK_CHUNK_HEADER_SIZE, raw, NULL), 0);
	walk = tmk_walk(&chunk, raw);
	ck_assert(tmk_walk_next(&walk, &record, &body));
	memcpy(first, body, sizeof(first));
	ck_assert(tmk_walk_next(&walk, &record, &body));
	ck_assert_mem_ne(first, body, sizeof(first));
	tmk_packed_free(p);
}
END_TEST

/* What is not covered releases nothing, whatever becomes of it. */
START_TEST(not_covered)
{
	ck_assert(hash(0, 0, TMK_READ_MAX, false));
	ck_assert(!tmk_packer_empty(packer));
	ck_assert_uint_eq(seal(NULL), 0);
	ck_assert_uint_eq(hash_records, 1);
	for (uint32_t i = 0; i < TMK_READ_MAX / 512; i++)
		ck_assert_uint_eq(covered[0][i], 0);
}
END_TEST

START_TEST(hashed_bytes_have_a_limit)
{
	for (uint64_t at = 0; at < TMK_CHUNK_HASHED_MAX; at += TMK_READ_MAX)
		ck_assert(hash(0, at % DISK_SIZE, TMK_READ_MAX, false));
	ck_assert(!hash(0, 0, 512, false));
	ck_assert(!hash(1, 0, 512, true));
	ck_assert(tmk_packer_zero(packer, 1, 4096, 4096)); /* others still fit */
	ck_assert_uint_eq(seal(NULL), 4096);
	ck_assert_uint_eq(hashed, TMK_CHUNK_HASHED_MAX);
	ck_assert_uint_eq(covered[1][0], 0);
	ck_assert(hash(1, 0, 512, true));
	ck_assert_uint_eq(seal(NULL), 512);
}
END_TEST

START_TEST(hashes_leave_room_for_a_mark)
{
	struct tmk_mark mark = largest_mark();
	uint32_t n = 0;

	while (hash(0, (uint64_t)n * 1024, 512, true))
		n++;
	ck_assert_uint_eq(n, TMK_CHUNK_RECORDS_MAX - 1);
	ck_assert(!tmk_packer_zero(packer, 1, 0, 512));
	ck_assert_uint_eq(seal(&mark), n * 512ull);
	ck_assert_uint_eq(hash_records, n);
}
END_TEST

/* A chunk that is full of content has no room for tags; nothing of what did not fit is left in it. */
START_TEST(tags_are_content_too)
{
	struct tmk_mark mark = largest_mark();

	noise(source[0], DISK_SIZE);
	for (uint64_t at = 0; at < 3 * TMK_READ_MAX; at += TMK_READ_MAX)
		ck_assert(tmk_packer_add(packer, 0, at, source[0] + at, TMK_READ_MAX));
	ck_assert(tmk_packer_add(packer, 0, 3 * TMK_READ_MAX, source[0] + 3 * TMK_READ_MAX, TMK_READ_MAX - 512));
	ck_assert(hash(0, 1 << 20, TMK_READ_MAX, true)); /* 144 bytes */
	ck_assert(hash(0, (1 << 20) + TMK_READ_MAX, TMK_READ_MAX, true));
	ck_assert(hash(0, (1 << 20) + 2 * TMK_READ_MAX, TMK_READ_MAX, true));
	ck_assert(!hash(0, (1 << 20) + 3 * TMK_READ_MAX, TMK_READ_MAX, true));
	ck_assert_uint_eq(seal(&mark), 7 * TMK_READ_MAX - 512);
	ck_assert_uint_eq(hash_records, 3);
	ck_assert_uint_eq(covered[0][((1 << 20) + 3 * TMK_READ_MAX) / 512], 0);
}
END_TEST

static const uint8_t *next_of(struct tmk_walk *walk, uint8_t type, uint64_t offset, uint64_t length)
{
	struct tmk_record record;
	const uint8_t *body;

	ck_assert(tmk_walk_next(walk, &record, &body));
	ck_assert_uint_eq(record.type, type);
	ck_assert_uint_eq(record.offset, offset);
	ck_assert_uint_eq(record.length, length);
	return body;
}

/* Zeroes that wait to be joined go before a hash of what may be the same place (I4). */
START_TEST(of_every_kind_in_order)
{
	struct tmk_mark mark = largest_mark();
	struct tmk_packed *p;
	struct tmk_chunk chunk;
	struct tmk_walk walk;

	noise(source[0] + 65536, 4096);
	ck_assert(tmk_packer_add(packer, 0, 65536, source[0] + 65536, 4096));
	ck_assert(tmk_packer_zero(packer, 0, 0, 4096));
	ck_assert(hash(0, 0, 32768, true));
	ck_assert(tmk_packer_zero(packer, 0, 4096, 4096)); /* joins nothing over the hash */
	ck_assert(hash(0, 98304, 4096, false));
	ck_assert_int_eq(tmk_packer_seal(packer, &chain, &mark, &p, NULL), 0);
	check_chunk(p, true);
	ck_assert_uint_eq(p->hashes, 2);
	ck_assert_uint_eq(p->disk_bytes, 4096 + 4096 + 32768 + 4096);
	ck_assert_uint_eq(p->covered_count, 4);
	ck_assert_int_eq(tmk_chunk_header(p->bytes, &chunk, NULL), 0);
	walk = tmk_walk(&chunk, raw);
	next_of(&walk, TMK_DATA, 65536, 4096);
	next_of(&walk, TMK_ZERO, 0, 4096);
	next_of(&walk, TMK_HASH, 0, 32768);
	next_of(&walk, TMK_ZERO, 4096, 4096);
	next_of(&walk, TMK_HASH, 98304, 4096);
	next_of(&walk, TMK_MARK, 0, 0);
	tmk_packed_free(p);
	ck_assert(tmk_packer_zero(packer, 0, 0, 4096)); /* the next one has no hashes */
	ck_assert_int_eq(tmk_packer_seal(packer, &chain, NULL, &p, NULL), 0);
	ck_assert_uint_eq(p->hashes, 0);
	tmk_packed_free(p);
	ck_assert(hash(0, 0, 4096, true));
	tmk_packer_reset(packer);
	ck_assert(tmk_packer_empty(packer));
	ck_assert(tmk_packer_zero(packer, 0, 8192, 4096));
	ck_assert_uint_eq(seal(NULL), 4096);
	ck_assert_uint_eq(hash_records, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("packer");
	TCase *tc = tcase_create("packer");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, whatever_goes_in_comes_out);
	tcase_add_test(tc, one_byte_makes_a_unit_data);
	tcase_add_test(tc, zeroes_join_over_adds);
	tcase_add_test(tc, units_are_absolute);
	tcase_add_test(tc, order_is_kept);
	tcase_add_test(tc, closes_at_a_mebibyte);
	tcase_add_test(tc, all_or_nothing);
	tcase_add_test(tc, marks_alone_and_nothing_at_all);
	tcase_add_test(tc, reset_forgets);
	tcase_add_test(tc, hashes_are_the_contents);
	tcase_add_test(tc, keys_differ);
	tcase_add_test(tc, not_covered);
	tcase_add_test(tc, hashed_bytes_have_a_limit);
	tcase_add_test(tc, hashes_leave_room_for_a_mark);
	tcase_add_test(tc, tags_are_content_too);
	tcase_add_test(tc, of_every_kind_in_order);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
