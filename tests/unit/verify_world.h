/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The neighbours of a verify, for the tests of it: marks, scratch and bad blocks in tables, a reader whose reads end at once, and
 * a stream with a target behind it that finds the pieces different or undecided that the test says. Progress is kept in a real
 * file. Sizes are those of real disks, contents are not looked at.
 */
#ifndef TMK_TEST_VERIFY_WORLD_H
#define TMK_TEST_VERIFY_WORLD_H

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "kept_log.h"
#include "piece.h"
#include "suite.h"
#include "suspects.h"
#include "verify.h"

#define MIB (1ull << 20)
#define BLOCK 4096u
#define DISKS 3
#define BLOCKS 65536 /* of the largest disk */
#define PIECES (BLOCKS * BLOCK / TMK_PIECE)

static struct tmk_config config;
static struct tmk_source source;
static struct tmk_packer *packer;
static struct tmk_verify *verify;
static struct tmk_error err;

/* ---- marks ---- */
static bool maps[2][DISKS][BLOCKS]; /* by enum tmk_which */
static uint64_t marked_bytes;	    /* by the verify */
static unsigned unsynced;	    /* how often the log was told that nothing of it is a state */
static unsigned unsynced_at_mark;
static struct tmk_covered bad; /* surely */

static uint64_t blocks_of(uint16_t disk)
{
	return (source.spec.disks[disk].size + BLOCK - 1) / BLOCK;
}

int tmk_source_extents(struct tmk_source *s, enum tmk_which which, uint16_t disk, uint64_t from, struct tmk_extent *out,
		       size_t max, size_t *count, struct tmk_error *e)
{
	uint64_t blocks = blocks_of(disk), size = source.spec.disks[disk].size, end;

	(void)s, (void)e;
	*count = 0;
	for (uint64_t i = from / BLOCK; i < blocks && *count < max; i++) {
		if (!maps[which][disk][i])
			continue;
		out[*count].offset = i * BLOCK > from ? i * BLOCK : from;
		while (i < blocks && maps[which][disk][i])
			i++;
		end = i * BLOCK < size ? i * BLOCK : size;
		out[*count].length = end - out[*count].offset;
		++*count;
	}
	return 0;
}

int tmk_source_marked(struct tmk_source *s, uint16_t disk, struct tmk_extent extent, bool *marked, struct tmk_error *e)
{
	(void)s, (void)e;
	*marked = false;
	for (uint64_t i = extent.offset / BLOCK; i * BLOCK < extent.offset + extent.length; i++)
		*marked |= maps[TMK_NOW][disk][i] || maps[TMK_TAKEN][disk][i];
	return 0;
}

int tmk_source_taken(struct tmk_source *s, uint16_t disk, struct tmk_extent extent, bool *taken, struct tmk_error *e)
{
	(void)s, (void)e;
	*taken = false;
	for (uint64_t i = extent.offset / BLOCK; i * BLOCK < extent.offset + extent.length; i++)
		*taken |= maps[TMK_TAKEN][disk][i];
	return 0;
}

/* What was missed shows in the marks once somebody asks. */
static struct tmk_covered missed;

static void set_marks(enum tmk_which which, uint16_t disk, uint64_t offset, uint64_t length, bool value)
{
	for (uint64_t i = offset / BLOCK; i * BLOCK < offset + length; i++)
		maps[which][disk][i] = value;
}

int tmk_source_poll(struct tmk_source *s, struct tmk_error *e)
{
	(void)s, (void)e;
	set_marks(TMK_NOW, missed.disk, missed.offset, missed.length, true);
	missed.length = 0;
	return 0;
}

int tmk_source_mark(struct tmk_source *s, uint16_t disk, struct tmk_extent extent, struct tmk_error *e)
{
	(void)s, (void)e;
	set_marks(TMK_NOW, disk, extent.offset, extent.length, true);
	marked_bytes += extent.length;
	unsynced_at_mark = unsynced;
	return 0;
}

/* ---- the log ---- */

void tmk_follow_unsynced(struct tmk_follow *f)
{
	(void)f;
	unsynced++;
}

uint64_t tmk_source_size(const struct tmk_source *s)
{
	uint64_t size = 0;

	for (uint16_t i = 0; i < s->spec.disk_count; i++)
		size += s->spec.disks[i].size;
	return size;
}

bool tmk_source_bad_split(const struct tmk_source *s, uint16_t disk, uint64_t offset, uint64_t *length)
{
	(void)s;
	if (!bad.length || bad.disk != disk || bad.offset + bad.length <= offset || bad.offset >= offset + *length)
		return false;
	if (bad.offset > offset)
		*length = bad.offset - offset;
	else if (bad.offset + bad.length - offset < *length)
		*length = bad.offset + bad.length - offset;
	return bad.offset <= offset;
}

/* ---- the reader ---- */
#define READS 16
static struct tmk_read reads[READS];
static unsigned read_count, drains;
static uint64_t rate;
static uint64_t read_bytes;
static struct tmk_covered broken; /* a read of the block fails */
static int broken_error;
static bool rate_says_wait, slow; /* slow: no read ends */
static uint8_t content[TMK_READ_MAX];

int tmk_reader_submit(struct tmk_reader_ring *r, uint16_t disk, uint64_t offset, uint32_t length, bool hurry, struct tmk_error *e)
{
	bool hit = broken.length && broken.disk == disk && offset <= broken.offset && broken.offset < offset + length;

	(void)r, (void)e;
	ck_assert(!hurry);
	ck_assert_uint_eq(offset % BLOCK, 0);
	ck_assert(length && length <= TMK_READ_MAX && offset + length <= source.spec.disks[disk].size);
	if (rate_says_wait || read_count == READS)
		return -EAGAIN;
	reads[read_count++] = (struct tmk_read){.disk = disk,
						.offset = offset,
						.length = length,
						.data = content,
						.unreadable = hit ? 512 : 0,
						.error = hit ? broken_error : 0};
	read_bytes += length;
	return 0;
}

/* The last one first: any order may come. */
int tmk_reader_next(struct tmk_reader_ring *r, struct tmk_read *out, struct tmk_error *e)
{
	(void)r, (void)e;
	if (!read_count || slow)
		return -EAGAIN;
	*out = reads[--read_count];
	return 0;
}

void tmk_reader_put(struct tmk_reader_ring *r, const struct tmk_read *read)
{
	(void)r, (void)read;
}

unsigned tmk_reader_busy(const struct tmk_reader_ring *r)
{
	(void)r;
	return read_count;
}

void tmk_reader_drain(struct tmk_reader_ring *r)
{
	(void)r;
	read_count = 0;
	drains++;
}

void tmk_reader_set_rate(struct tmk_reader_ring *r, uint64_t to)
{
	(void)r;
	rate = to;
}

/* ---- the stream, and the target behind it ---- */
static tmk_stream_heard heard;
static void *heard_context;
static bool closed;	/* the window is full */
static uint64_t chunks; /* sealed */
static unsigned forgets;
static uint8_t verdicts[DISKS][PIECES]; /* enum tmk_comparison; 0: equal */
static uint8_t hashed[DISKS][BLOCKS];	/* how often a block was hashed in chunks that were compared */
static struct range {
	uint64_t number; /* of the chunk */
	uint16_t disk;
	uint64_t offset, length;
} sent[8192]; /* hashed, and not yet compared */
static size_t sent_count;

bool tmk_stream_open(const struct tmk_stream *s)
{
	(void)s;
	return !closed;
}

bool tmk_stream_drained(const struct tmk_stream *s)
{
	(void)s;
	return !sent_count;
}

void tmk_stream_forget(struct tmk_stream *s)
{
	(void)s;
	sent_count = 0;
	forgets++;
}

void tmk_stream_listen(struct tmk_stream *s, tmk_stream_heard to, void *context)
{
	(void)s;
	heard = to;
	heard_context = context;
}

/* A verify's chunk is hashes, and covers nothing: it releases nothing, whatever comes of it. */
int tmk_stream_seal(struct tmk_stream *s, struct tmk_packer *p, const struct tmk_mark *mark, struct tmk_error *e)
{
	static uint8_t raw[TMK_CHUNK_RAW_MAX];
	struct tmk_chain chain = {.number = ++chunks};
	struct tmk_packed *packed;
	struct tmk_record record;
	struct tmk_chunk chunk;
	struct tmk_walk walk;
	const uint8_t *body;

	(void)s;
	ck_assert_ptr_null(mark);
	ck_assert_int_eq(tmk_packer_seal(p, &chain, NULL, &packed, e), 0);
	ck_assert_uint_eq(packed->covered_count, 0);
	ck_assert_int_eq(tmk_chunk_header(packed->bytes, &chunk, e), 0);
	ck_assert_int_eq(tmk_chunk_open(&chunk, packed->bytes + TMK_CHUNK_HEADER_SIZE, raw, e), 0);
	for (walk = tmk_walk(&chunk, raw); tmk_walk_next(&walk, &record, &body);) {
		ck_assert_int_eq(record.type, TMK_HASH);
		ck_assert_uint_lt(sent_count, sizeof(sent) / sizeof(sent[0]));
		sent[sent_count++] = (struct range){chunks, record.disk, record.offset, record.length};
	}
	tmk_packed_free(packed);
	return 0;
}

static int tell(struct tmk_compared *c, bool more)
{
	int rc;

	c->more = more;
	rc = heard(c, heard_context, &err);
	c->count = 0;
	return rc;
}

/* One range: the pieces of it that the test says are not equal, joined with their neighbours. */
static void compare(struct tmk_compared *c, const struct range *r)
{
	struct tmk_compared_extent *last = NULL;

	for (uint64_t at = r->offset, end = at + r->length, part; at < end; at += part) {
		uint8_t verdict = verdicts[r->disk][at / TMK_PIECE];

		part = tmk_piece_rest(at, end - at);
		if (!verdict)
			continue;
		if (last && last->verdict == verdict && last->offset + last->length == at) {
			last->length += part;
			continue;
		}
		if (c->count == TMK_COMPARED_EXTENTS)
			ck_assert_int_eq(tell(c, true), 0);
		last = &c->extents[c->count++];
		*last = (struct tmk_compared_extent){verdict, r->disk, at, part};
	}
	for (uint64_t i = r->offset / BLOCK; i * BLOCK < r->offset + r->length; i++)
		hashed[r->disk][i]++;
}

/* The results of all that was sent, chunk by chunk. */
static void answer(void)
{
	static struct tmk_compared c;

	for (size_t i = 0; i < sent_count; i++) {
		c.number = sent[i].number;
		compare(&c, &sent[i]);
		if (i + 1 == sent_count || sent[i + 1].number != c.number)
			ck_assert_int_eq(tell(&c, false), 0);
	}
	sent_count = 0;
}

/* ---- fixture ---- */

static void open_it(void)
{
	struct tmk_verify_parts parts = {.config = &config, .source = &source, .packer = packer};

	ck_assert_int_eq(tmk_verify_new(&verify, &parts), 0);
}

static void setup(void)
{
	memset(&config, 0, sizeof(config));
	strcpy(config.run_dir, "/tmp/tmk-test-verify-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(config.run_dir));
	config.verify_every = 1000000;
	memset(&source, 0, sizeof(source));
	strcpy(source.spec.name, "web");
	source.spec.disk_count = DISKS;
	source.spec.disks[0].size = 100 * MIB + 2560; /* ends in a block, and in a piece */
	source.spec.disks[1].size = 3 * BLOCK;
	source.spec.disks[2].size = 28 * MIB;
	for (int i = 0; i < DISKS; i++)
		snprintf(source.spec.disks[i].path, sizeof(source.spec.disks[i].path), "/dev/vd%c", 'a' + i);
	ck_assert_int_eq(tmk_packer_new(&packer), 0);
	open_it();
}

static void teardown(void)
{
	char command[320];

	tmk_verify_free(verify);
	tmk_packer_free(packer);
	ck_assert_ptr_nonnull(strstr(config.run_dir, "/tmp/tmk-test-verify-"));
	snprintf(command, sizeof(command), "rm -rf '%s'", config.run_dir);
	ck_assert_int_eq(system(command), 0);
}

static const struct tmk_progress *pass(void)
{
	return &tmk_verify_state(verify)->pass;
}

static uint64_t total(void)
{
	return tmk_source_size(&source);
}

static void step(bool hurry)
{
	ck_assert_msg(!tmk_verify_step(verify, hurry, &err), "%s", err.text);
}

/* A batch from its begin to where it waits for results. */
static void read_batch(void)
{
	ck_assert(tmk_verify_due(verify) && !tmk_verify_active(verify));
	tmk_verify_begin(verify);
	ck_assert(tmk_verify_active(verify));
	do
		step(false);
	while (read_count);
}

static void batch(void)
{
	read_batch();
	answer();
	step(false);
	ck_assert(!tmk_verify_active(verify));
}

static void check_hashed(uint16_t disk, uint64_t offset, uint64_t length, unsigned times)
{
	for (uint64_t i = offset / BLOCK; i * BLOCK < offset + length; i++)
		ck_assert_msg(hashed[disk][i] == times, "disk %u, block %llu: %u times", disk, (unsigned long long)i,
			      hashed[disk][i]);
}

static void check_all_hashed(unsigned times)
{
	for (uint16_t i = 0; i < DISKS; i++)
		check_hashed(i, 0, source.spec.disks[i].size, times);
}

/* A pass was asked for, and piece 9 of disk 0 is not equal. */
static void first_look(enum tmk_comparison verdict)
{
	verdicts[0][9] = (uint8_t)verdict;
	tmk_verify_ask(verify, 0);
	batch();
	ck_assert_uint_eq(pass()->different, 0);
	ck_assert_uint_eq(marked_bytes, 0);
	memset(hashed, 0, sizeof(hashed));
}

#endif
