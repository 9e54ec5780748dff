/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. A round against a source, a reader and a stream that are tables: what becomes of reads that fail, what goes as
 * hashes, and when the rest of what was taken is released. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "doubt.h"
#include "piece.h"
#include "round.h"
#include "suite.h"

#define READS 128

static struct tmk_source source;
static struct tmk_stream_state state;
static bool drained;
static unsigned rests, bads, releases, seals;
static uint64_t bad_offset, covered_bytes;
static uint8_t content[TMK_READ_MAX];

/* ---- the source: one extent ---- */
static struct tmk_extent extent;

int tmk_source_take(struct tmk_source *s, struct tmk_take *out, struct tmk_error *err)
{
	(void)s, (void)err;
	*out = (struct tmk_take){.gap = 1, .bytes = extent.length, .position = 4096, .log_gap = 9};
	return 0;
}

/* ---- the log ---- */
static bool log_on;
static uint64_t sealed, held; /* the log is on the stream up to there; and may go no further */
static uint64_t synced_gap, synced_behind;
static unsigned unsynced;
static struct tmk_log the_log;

bool tmk_follow_on(const struct tmk_follow *f)
{
	(void)f;
	return log_on;
}

void tmk_follow_hold(struct tmk_follow *f, uint64_t position)
{
	(void)f;
	held = position;
}

bool tmk_follow_reached(const struct tmk_follow *f, uint64_t position)
{
	(void)f;
	return !log_on || sealed >= position;
}

void tmk_follow_unsynced(struct tmk_follow *f)
{
	(void)f;
	unsynced++;
}

void tmk_follow_synced(struct tmk_follow *f, uint64_t gap, uint64_t behind)
{
	(void)f;
	synced_gap = gap;
	synced_behind = behind;
}

int tmk_follow_switch(struct tmk_follow *f, bool on, struct tmk_error *e)
{
	(void)f, (void)e;
	log_on = on;
	return 0;
}

static bool scratch_kept = true;

int tmk_source_scratch_kept(struct tmk_source *s, bool *kept, char *why, struct tmk_error *e)
{
	(void)s, (void)why, (void)e;
	*kept = scratch_kept;
	return 0;
}

int tmk_follow_look(struct tmk_follow *f, struct tmk_error *e)
{
	(void)f, (void)e;
	return 0;
}

const struct tmk_log *tmk_follow_log(const struct tmk_follow *f)
{
	(void)f;
	return &the_log;
}

static bool fenced; /* a write that was under way at the take still is */

int tmk_source_settled(struct tmk_source *s, const struct tmk_take *take, bool *settled, struct tmk_error *err)
{
	(void)s, (void)err;
	ck_assert_uint_eq(take->gap, 1);
	*settled = !fenced;
	return 0;
}

int tmk_source_extents(struct tmk_source *s, enum tmk_which which, uint16_t disk, uint64_t from, struct tmk_extent *out,
		       size_t max, size_t *count, struct tmk_error *err)
{
	(void)s, (void)disk, (void)max, (void)err;
	ck_assert_int_eq(which, TMK_TAKEN);
	ck_assert(!fenced);
	*count = from <= extent.offset && extent.length ? 1 : 0;
	out[0] = extent;
	return 0;
}

int tmk_source_bad(struct tmk_source *s, uint16_t disk, uint64_t offset, uint64_t length, struct tmk_error *err)
{
	(void)s, (void)disk, (void)err;
	ck_assert_uint_eq(length, 4096);
	bad_offset = offset;
	bads++;
	return 0;
}

int tmk_source_release(struct tmk_source *s, const struct tmk_covered *covered, size_t count, struct tmk_error *err)
{
	(void)s, (void)err;
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(covered->length, 4096);
	releases++;
	return 0;
}

int tmk_source_release_rest(struct tmk_source *s, struct tmk_error *err)
{
	(void)s, (void)err;
	rests++;
	return 0;
}

void tmk_source_good(struct tmk_source *s, uint16_t disk, uint64_t offset, uint64_t length)
{
	(void)s, (void)disk, (void)offset, (void)length;
}

/* ---- the reader: all reads end at once; those that hit `broken` fail with `error` ---- */
static struct tmk_read reads[READS];
static unsigned first, last;
static uint64_t broken;
static int error;

int tmk_reader_submit(struct tmk_reader_ring *r, uint16_t disk, uint64_t offset, uint32_t length, bool hurry,
		      struct tmk_error *err)
{
	bool hit = error && offset <= broken && broken < offset + length;

	(void)r, (void)hurry, (void)err;
	ck_assert_uint_le(length, TMK_READ_MAX);
	if (first == last)
		first = last = 0;
	if (last == READS)
		return -EAGAIN;
	reads[last++] = (struct tmk_read){.disk = disk,
					  .offset = offset,
					  .length = length,
					  .data = content,
					  .unreadable = hit ? 512 : 0,
					  .error = hit ? error : 0};
	return 0;
}

int tmk_reader_next(struct tmk_reader_ring *r, struct tmk_read *out, struct tmk_error *err)
{
	(void)r, (void)err;
	if (first == last)
		return -EAGAIN;
	*out = reads[first++];
	return 0;
}

void tmk_reader_put(struct tmk_reader_ring *r, const struct tmk_read *read)
{
	(void)r, (void)read;
}

unsigned tmk_reader_busy(const struct tmk_reader_ring *r)
{
	(void)r;
	return last - first;
}

void tmk_reader_drain(struct tmk_reader_ring *r)
{
	(void)r;
	first = last;
}

/* ---- the stream ---- */
bool tmk_stream_open(const struct tmk_stream *s)
{
	(void)s;
	return true;
}

bool tmk_stream_drained(const struct tmk_stream *s)
{
	(void)s;
	return drained;
}

/* What was sent, in order; neighbours of a kind are one. */
static struct sent {
	enum tmk_record_type type;
	uint64_t offset, length;
} sent[128];
static size_t sent_count;

static void note(const struct tmk_record *r)
{
	struct sent *before = sent_count ? &sent[sent_count - 1] : NULL;

	if (before && before->type == r->type && before->offset + before->length == r->offset) {
		before->length += r->length;
		return;
	}
	ck_assert_uint_lt(sent_count, sizeof(sent) / sizeof(sent[0]));
	sent[sent_count++] = (struct sent){r->type, r->offset, r->length};
}

int tmk_stream_seal(struct tmk_stream *s, struct tmk_packer *p, const struct tmk_mark *mark, struct tmk_error *err)
{
	static uint8_t raw[TMK_CHUNK_RAW_MAX];
	struct tmk_chain chain = {.number = seals + 1};
	struct tmk_packed *packed;
	struct tmk_record record;
	struct tmk_chunk chunk;
	struct tmk_walk walk;
	const uint8_t *body;

	(void)s;
	ck_assert_int_eq(tmk_packer_seal(p, &chain, mark, &packed, err), 0);
	ck_assert_int_eq(tmk_chunk_header(packed->bytes, &chunk, err), 0);
	ck_assert_int_eq(tmk_chunk_open(&chunk, packed->bytes + TMK_CHUNK_HEADER_SIZE, raw, err), 0);
	for (walk = tmk_walk(&chunk, raw); tmk_walk_next(&walk, &record, &body);)
		note(&record);
	for (uint32_t i = 0; i < packed->covered_count; i++)
		covered_bytes += packed->covered[i].length;
	tmk_packed_free(packed);
	seals++;
	return 0;
}

const struct tmk_stream_state *tmk_stream_state(const struct tmk_stream *s)
{
	(void)s;
	return &state;
}

static struct tmk_round *rounds;
static struct tmk_packer *packer;
static struct tmk_error err;

static void setup(void)
{
	memset(&source, 0, sizeof(source));
	source.spec.disk_count = 1;
	source.block_size[0] = 4096;
	memset(&state, 0, sizeof(state));
	memset(content, 0x5a, sizeof(content));
	extent = (struct tmk_extent){0, 3 * TMK_READ_MAX};
	first = last = rests = bads = releases = seals = 0;
	sent_count = covered_bytes = 0;
	error = 0;
	drained = true;
	ck_assert_int_eq(tmk_packer_new(&packer), 0);
	ck_assert_int_eq(tmk_round_new(&rounds, &source, NULL, NULL, packer, NULL), 0);
	ck_assert_int_eq(tmk_round_begin(rounds, &err), 0);
}

static void teardown(void)
{
	tmk_round_free(rounds);
	tmk_packer_free(packer);
	tmk_doubt_close(source.doubt);
}

static int go(void)
{
	int rc = 0;

	for (int i = 0; i < 1000 && !rc && tmk_round_state(rounds) == TMK_ROUND_READING; i++)
		rc = tmk_round_step(rounds, &err);
	return rc;
}

START_TEST(all_is_read)
{
	ck_assert_int_eq(go(), 0);
	ck_assert_int_eq(tmk_round_state(rounds), TMK_ROUND_READ);
	ck_assert_uint_eq(tmk_round_done(rounds), extent.length);
	ck_assert_uint_eq(bads, 0);
}
END_TEST

/* I4 */
START_TEST(nothing_is_read_before_the_fence)
{
	fenced = true;
	ck_assert_int_eq(tmk_round_begin(rounds, &err), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
		ck_assert(tmk_round_fenced(rounds));
		ck_assert_int_eq(tmk_round_state(rounds), TMK_ROUND_READING);
	}
	fenced = false;
	while (tmk_round_state(rounds) == TMK_ROUND_READING)
		ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	ck_assert(!tmk_round_fenced(rounds));
	ck_assert_uint_eq(tmk_round_done(rounds), extent.length);
}
END_TEST
/* I4: what is read goes behind the log before F, and before all behind it. */
START_TEST(reads_keep_their_place_in_the_log)
{
	log_on = true;
	the_log.size = 1ull << 30;
	sealed = 4095;
	the_log.head = 70000;
	ck_assert_int_eq(tmk_round_begin(rounds, &err), 0);
	ck_assert_uint_eq(held, 4096);
	ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	ck_assert(tmk_round_fenced(rounds));
	ck_assert_uint_eq(unsynced, 0); /* a mark before F may still be good */
	sealed = 4096;
	while (tmk_round_state(rounds) == TMK_ROUND_READING)
		ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	ck_assert_uint_eq(unsynced, 1);
	ck_assert_uint_eq(held, 4096);
	the_log.head = 80000;
	drained = false;
	ck_assert_int_eq(tmk_round_finish(rounds, NULL, &err), 0);
	ck_assert_uint_eq(held, UINT64_MAX);
	the_log.head = 90000;
	ck_assert_uint_eq(synced_gap, 0);
	drained = true;
	ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	ck_assert_uint_eq(synced_gap, 9);
	ck_assert_uint_eq(synced_behind, 80000);
}
END_TEST
/* Zeroes went for swap that is none any more. */
START_TEST(not_in_step_without_scratch)
{
	log_on = true;
	scratch_kept = false;
	sealed = 4096;
	the_log.size = 1ull << 30;
	ck_assert_int_eq(go(), 0);
	ck_assert_int_eq(tmk_round_finish(rounds, NULL, &err), 0);
	ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	ck_assert_int_eq(tmk_round_state(rounds), TMK_ROUND_IDLE);
	ck_assert_uint_eq(synced_gap, 0);
}
END_TEST
/* It would hold the log for longer than that has room. */
START_TEST(a_large_round_gives_the_log_up)
{
	log_on = true;
	the_log.size = extent.length;
	ck_assert_int_eq(tmk_round_begin(rounds, &err), 0);
	ck_assert(!log_on);
	ck_assert_uint_eq(held, 0);
}
END_TEST
START_TEST(an_aborted_round_lets_the_log_go)
{
	log_on = true;
	the_log.size = 1ull << 30;
	sealed = 4096;
	ck_assert_int_eq(tmk_round_begin(rounds, &err), 0);
	ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	tmk_round_abort(rounds);
	ck_assert_uint_eq(held, UINT64_MAX);
	ck_assert_uint_eq(synced_gap, 0);
}
END_TEST
START_TEST(a_bad_block)
{
	error = -EIO;
	broken = TMK_READ_MAX + 5 * 4096 + 512;
	ck_assert_int_eq(go(), 0);
	ck_assert_int_eq(tmk_round_state(rounds), TMK_ROUND_READ);
	ck_assert_uint_eq(bads, 1);
	ck_assert_uint_eq(releases, 1);
	ck_assert_uint_eq(bad_offset, TMK_READ_MAX + 5 * 4096);
	ck_assert_uint_eq(tmk_round_done(rounds), extent.length - 4096);
}
END_TEST

/* No memory, a device that is gone: nothing is known of the block, so it is not one that a point may do without. */
START_TEST(not_the_medium)
{
	static const int errors[] = {-ENOMEM, -EAGAIN, -ENODEV, -ENXIO, -EINVAL, -ENOLINK};

	error = errors[_i];
	broken = 4096;
	ck_assert_int_eq(go(), -EIO); /* not -EAGAIN, which means later */
	ck_assert_uint_eq(bads, 0);
	ck_assert_uint_eq(releases, 0);
}
END_TEST

START_TEST(the_rest_is_released_when_all_is_acked)
{
	ck_assert_int_eq(go(), 0);
	drained = false;
	ck_assert_int_eq(tmk_round_finish(rounds, NULL, &err), 0);
	ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	ck_assert_int_eq(tmk_round_state(rounds), TMK_ROUND_DRAINING);
	ck_assert_uint_eq(rests, 0);
	drained = true;
	ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	ck_assert_int_eq(tmk_round_state(rounds), TMK_ROUND_IDLE);
	ck_assert_uint_eq(rests, 1);
	ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	ck_assert_uint_eq(rests, 1);
}
END_TEST

START_TEST(a_dropped_window_releases_nothing)
{
	ck_assert_int_eq(go(), 0);
	drained = false;
	ck_assert_int_eq(tmk_round_finish(rounds, NULL, &err), 0);
	state.resets++;
	drained = true;
	ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	ck_assert_uint_eq(rests, 0);
}
END_TEST

START_TEST(an_aborted_round_releases_nothing)
{
	ck_assert_int_eq(go(), 0);
	tmk_round_abort(rounds);
	ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	ck_assert_uint_eq(rests, 0);
}
END_TEST

/* ---- hash first (R11) ---- */

static void in_doubt(uint64_t size, bool holds)
{
	tmk_round_abort(rounds);
	source.spec.disks[0].size = size;
	ck_assert_int_eq(tmk_doubt_open(&source.doubt, "/nonexistent", &source.spec, &err), 0);
	tmk_doubt_all(source.doubt, 0);
	state.holds = holds;
	ck_assert_int_eq(tmk_round_begin(rounds, &err), 0);
}

static void read_all(void)
{
	ck_assert_msg(!go(), "%s", err.text);
	ck_assert_int_eq(tmk_round_state(rounds), TMK_ROUND_READ);
	ck_assert_int_eq(tmk_round_finish(rounds, NULL, &err), 0);
}

static void check_sent(size_t count, const struct sent *want)
{
	ck_assert_uint_eq(sent_count, count);
	for (size_t i = 0; i < count; i++)
		ck_assert_msg(sent[i].type == want[i].type && sent[i].offset == want[i].offset &&
				      sent[i].length == want[i].length,
			      "%zu: %d, %llu bytes at %llu", i, sent[i].type, (unsigned long long)sent[i].length,
			      (unsigned long long)sent[i].offset);
}

/* The pieces of the range that are in doubt still. */
static unsigned doubted(uint64_t offset, uint64_t length)
{
	unsigned count = 0;

	for (uint64_t at = offset, part = TMK_PIECE; at < offset + length; at += TMK_PIECE, part = TMK_PIECE)
		count += tmk_doubt_split(source.doubt, 0, at, &part);
	return count;
}

/* Zeroes too: whether the target has them is not known. And they stay in doubt until there is a result. */
START_TEST(doubt_goes_as_hashes)
{
	in_doubt(extent.length, true);
	memset(content, 0, sizeof(content));
	ck_assert(!tmk_round_hashed(rounds));
	read_all();
	check_sent(1, (struct sent[]){{TMK_HASH, 0, extent.length}});
	ck_assert_uint_eq(covered_bytes, extent.length);
	ck_assert_uint_eq(tmk_round_done(rounds), extent.length);
	ck_assert_uint_eq(doubted(0, extent.length), extent.length / TMK_PIECE);
	ck_assert(tmk_round_hashed(rounds));
	ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	ck_assert_int_eq(tmk_round_state(rounds), TMK_ROUND_IDLE);
	ck_assert(!tmk_round_hashed(rounds));
	ck_assert_uint_eq(rests, 1);
	ck_assert_int_eq(tmk_round_begin(rounds, &err), 0);
	ck_assert(!tmk_round_hashed(rounds));
}
END_TEST

/* A replica that holds nothing has nothing to compare with; nor is what is left of it in doubt if the session is lost half way,
 * and the next one finds that the replica holds something. */
START_TEST(nothing_held_goes_as_data)
{
	in_doubt(extent.length, false);
	state.holds = true;
	read_all();
	check_sent(1, (struct sent[]){{TMK_DATA, 0, extent.length}});
	ck_assert(!tmk_round_hashed(rounds));
	ck_assert_uint_eq(doubted(0, extent.length), 0);
	ck_assert_uint_eq(covered_bytes, extent.length);
}
END_TEST

START_TEST(each_part_its_way)
{
	in_doubt(extent.length, true);
	tmk_doubt_clear(source.doubt, 0, 3 * TMK_PIECE, 2 * TMK_PIECE);
	tmk_doubt_clear(source.doubt, 0, 20 * TMK_PIECE, 4 * TMK_PIECE);
	read_all();
	check_sent(4, (struct sent[]){{TMK_HASH, 0, 3 * TMK_PIECE},
				      {TMK_DATA, 3 * TMK_PIECE, 2 * TMK_PIECE},
				      {TMK_HASH, 5 * TMK_PIECE, 15 * TMK_PIECE},
				      {TMK_DATA, 20 * TMK_PIECE, 4 * TMK_PIECE}});
	ck_assert_uint_eq(doubted(0, extent.length), 18);
	ck_assert(tmk_round_hashed(rounds));
}
END_TEST

/* Of a piece that was not read as a whole no result would hold: it goes as data, and is in doubt no longer. */
START_TEST(parts_of_pieces_go_as_data)
{
	in_doubt(8 * TMK_READ_MAX, true);
	extent = (struct tmk_extent){TMK_PIECE + 4096, 2 * TMK_READ_MAX};
	read_all();
	check_sent(3, (struct sent[]){{TMK_DATA, TMK_PIECE + 4096, TMK_PIECE - 4096},
				      {TMK_HASH, 2 * TMK_PIECE, 2 * TMK_READ_MAX - TMK_PIECE},
				      {TMK_DATA, 2 * TMK_READ_MAX + TMK_PIECE, 4096}});
	ck_assert_uint_eq(doubted(0, 2 * TMK_PIECE), 1);
	ck_assert_uint_eq(doubted(2 * TMK_PIECE, 2 * TMK_READ_MAX - TMK_PIECE), 15);
	ck_assert_uint_eq(doubted(2 * TMK_READ_MAX + TMK_PIECE, 2 * TMK_PIECE), 1);
}
END_TEST

/* What became doubtful between the read and its packing was not cut into pieces. */
START_TEST(doubted_after_it_was_read)
{
	in_doubt(8 * TMK_READ_MAX, true);
	tmk_doubt_none(source.doubt, 0);
	extent = (struct tmk_extent){0, TMK_READ_MAX - 4096};
	ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	tmk_doubt_all(source.doubt, 0);
	read_all();
	check_sent(1, (struct sent[]){{TMK_DATA, 0, TMK_READ_MAX - 4096}});
	ck_assert_uint_eq(doubted(0, TMK_READ_MAX), 0);
}
END_TEST

/* The end of the disk is the end of a piece. */
START_TEST(the_last_piece_is_short)
{
	in_doubt(2 * TMK_READ_MAX + 512, true);
	extent = (struct tmk_extent){0, 2 * TMK_READ_MAX + 512};
	read_all();
	check_sent(1, (struct sent[]){{TMK_HASH, 0, 2 * TMK_READ_MAX + 512}});
}
END_TEST

/* Swap goes as zeroes, in doubt or not; the pieces that it cuts go as data. */
START_TEST(swap_in_doubt)
{
	in_doubt(extent.length, true);
	source.scratch.count = 1;
	source.scratch.ranges[0] = (struct tmk_scratch_range){0, 4096, TMK_READ_MAX};
	read_all();
	ck_assert_uint_eq(covered_bytes, extent.length);
	ck_assert(tmk_round_hashed(rounds));
	for (size_t i = 0; i < sent_count; i++)
		switch (sent[i].type) {
		case TMK_ZERO:
			ck_assert(sent[i].offset == 4096 && sent[i].length == TMK_READ_MAX);
			break;
		case TMK_DATA:
			ck_assert((sent[i].offset == 0 && sent[i].length == 4096) ||
				  (sent[i].offset == 4096 + TMK_READ_MAX && sent[i].length == TMK_PIECE - 4096));
			break;
		default:
			ck_assert_int_eq(sent[i].type, TMK_HASH);
			ck_assert(sent[i].offset == TMK_READ_MAX + TMK_PIECE && sent[i].length == 2 * TMK_READ_MAX - TMK_PIECE);
		}
	ck_assert_uint_eq(sent_count, 4);
}
END_TEST

/* A piece that cannot be read as a whole goes block by block, but for the bad one. */
START_TEST(a_bad_block_in_doubt)
{
	in_doubt(extent.length, true);
	error = -EIO;
	broken = TMK_READ_MAX + 5 * 4096;
	read_all();
	ck_assert_uint_eq(bads, 1);
	ck_assert_uint_eq(bad_offset, broken);
	ck_assert_uint_eq(covered_bytes, extent.length - 4096);
	for (size_t i = 0; i < sent_count; i++)
		ck_assert((sent[i].type == TMK_HASH) == (sent[i].offset < TMK_READ_MAX || sent[i].offset >= 2 * TMK_READ_MAX));
	ck_assert_uint_eq(doubted(TMK_READ_MAX, TMK_READ_MAX), 0);
	ck_assert_uint_eq(doubted(0, TMK_READ_MAX), 8);
}
END_TEST

START_TEST(more_than_a_chunk_of_hashes)
{
	extent.length = TMK_CHUNK_HASHED_MAX + 3 * TMK_READ_MAX;
	in_doubt(extent.length, true);
	read_all();
	check_sent(1, (struct sent[]){{TMK_HASH, 0, extent.length}});
	ck_assert_uint_eq(seals, 2);
	ck_assert_uint_eq(covered_bytes, extent.length);
}
END_TEST

/* What these were to release stays in `taken`: all of it, and not only blocks that came in parts. */
START_TEST(forgotten_results_release_nothing)
{
	in_doubt(extent.length, true);
	drained = false;
	read_all();
	state.forgotten++;
	drained = true;
	ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	ck_assert_int_eq(tmk_round_state(rounds), TMK_ROUND_IDLE);
	ck_assert_uint_eq(rests, 0);
	/* what was forgotten before a round is none of its business */
	first = last = 0;
	ck_assert_int_eq(tmk_round_begin(rounds, &err), 0);
	read_all();
	ck_assert_int_eq(tmk_round_step(rounds, &err), 0);
	ck_assert_uint_eq(rests, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("round");
	TCase *t = tcase_create("round");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, all_is_read);
	tcase_add_test(t, nothing_is_read_before_the_fence);
	tcase_add_test(t, reads_keep_their_place_in_the_log);
	tcase_add_test(t, an_aborted_round_lets_the_log_go);
	tcase_add_test(t, not_in_step_without_scratch);
	tcase_add_test(t, a_large_round_gives_the_log_up);
	tcase_add_test(t, a_bad_block);
	tcase_add_loop_test(t, not_the_medium, 0, 6);
	tcase_add_test(t, the_rest_is_released_when_all_is_acked);
	tcase_add_test(t, a_dropped_window_releases_nothing);
	tcase_add_test(t, an_aborted_round_releases_nothing);
	tcase_add_test(t, doubt_goes_as_hashes);
	tcase_add_test(t, nothing_held_goes_as_data);
	tcase_add_test(t, each_part_its_way);
	tcase_add_test(t, parts_of_pieces_go_as_data);
	tcase_add_test(t, doubted_after_it_was_read);
	tcase_add_test(t, the_last_piece_is_short);
	tcase_add_test(t, swap_in_doubt);
	tcase_add_test(t, a_bad_block_in_doubt);
	tcase_add_test(t, more_than_a_chunk_of_hashes);
	tcase_add_test(t, forgotten_results_release_nothing);
	suite_add_tcase(s, t);
	return run_suite(s);
}
