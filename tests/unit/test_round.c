/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. A round against a source, a reader and a stream that are tables: what becomes of reads that fail, and when the
 * rest of what was taken is released. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "round.h"

#define READS 128

static struct tmk_source source;
static struct tmk_stream_state state;
static bool drained;
static unsigned rests, bads, releases, seals;
static uint64_t bad_offset;
static uint8_t content[TMK_READ_MAX];

/* ---- the source: one extent ---- */
static struct tmk_extent extent;

int tmk_source_take(struct tmk_source *s, struct tmk_take *out, struct tmk_error *err)
{
	(void)s, (void)err;
	*out = (struct tmk_take){.gap = 1, .bytes = extent.length};
	return 0;
}

int tmk_source_extents(struct tmk_source *s, enum tmk_which which, uint16_t disk, uint64_t from, struct tmk_extent *out,
		       size_t max, size_t *count, struct tmk_error *err)
{
	(void)s, (void)disk, (void)max, (void)err;
	ck_assert_int_eq(which, TMK_TAKEN);
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

int tmk_stream_seal(struct tmk_stream *s, struct tmk_packer *packer, const struct tmk_mark *mark, struct tmk_error *err)
{
	(void)s, (void)mark, (void)err;
	tmk_packer_reset(packer);
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
	error = 0;
	drained = true;
	ck_assert_int_eq(tmk_packer_new(&packer), 0);
	ck_assert_int_eq(tmk_round_new(&rounds, &source, NULL, NULL, packer), 0);
	ck_assert_int_eq(tmk_round_begin(rounds, &err), 0);
}

static void teardown(void)
{
	tmk_round_free(rounds);
	tmk_packer_free(packer);
}

static int go(void)
{
	int rc = 0;

	for (int i = 0; i < 10 && !rc && tmk_round_state(rounds) == TMK_ROUND_READING; i++)
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

int main(void)
{
	Suite *s = suite_create("round");
	TCase *t = tcase_create("round");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, all_is_read);
	tcase_add_test(t, a_bad_block);
	tcase_add_loop_test(t, not_the_medium, 0, 6);
	tcase_add_test(t, the_rest_is_released_when_all_is_acked);
	tcase_add_test(t, a_dropped_window_releases_nothing);
	tcase_add_test(t, an_aborted_round_releases_nothing);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
