/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. The proof that a point needs, blocks that cannot be read, what a round's end releases, and what makes a disk
 * go hash first, against a tracker that is an array of bits. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source.h"
#include "suite.h"
#include "util.h"

#define BLOCKS 16
#define DISK ((uint64_t)BLOCKS * 4096)

/* ---- the tracker ---- */
static bool now[2][BLOCKS], taken[2][BLOCKS];
static uint64_t gaps[2], missed, unshown; /* missed: what a poll finds */
static uint32_t block_size;
static int fresh = -1, missing = -1; /* disks */

struct tmk_tracker *tmk_marks_lock(struct tmk_marks *m)
{
	(void)m;
	return NULL;
}

void tmk_marks_unlock(struct tmk_marks *m)
{
	(void)m;
}

int tmk_tracker_poll(struct tmk_tracker *t, struct tmk_error *err)
{
	(void)t, (void)err;
	if (missed)
		memset(now[0], 1, sizeof(now[0]));
	gaps[0] += missed;
	missed = 0;
	return 0;
}

uint64_t tmk_tracker_unshown(const struct tmk_tracker *t)
{
	(void)t;
	return unshown;
}

int tmk_tracker_gap(struct tmk_tracker *t, const int *slots, size_t count, uint64_t *gap, struct tmk_error *err)
{
	(void)t, (void)err;
	*gap = 0;
	for (size_t i = 0; i < count; i++)
		*gap += gaps[slots[i]];
	return 0;
}

int tmk_tracker_extents(struct tmk_tracker *t, int slot, enum tmk_which which, uint64_t from, struct tmk_extent *out, size_t max,
			size_t *count, struct tmk_error *err)
{
	(void)t, (void)err;
	*count = 0;
	for (uint64_t i = from / block_size; i < BLOCKS && *count < max; i++)
		if (which == TMK_NOW ? now[slot][i] : taken[slot][i])
			out[(*count)++] = (struct tmk_extent){i * block_size, block_size};
	return 0;
}

int tmk_tracker_marked(struct tmk_tracker *t, int slot, enum tmk_which which, struct tmk_extent e, bool *marked,
		       struct tmk_error *err)
{
	(void)t, (void)err;
	*marked = false;
	for (uint64_t i = e.offset / block_size; i * block_size < e.offset + e.length; i++)
		*marked |= which == TMK_NOW ? now[slot][i] : taken[slot][i];
	return 0;
}

int tmk_tracker_release(struct tmk_tracker *t, int slot, struct tmk_extent e, struct tmk_error *err)
{
	(void)t, (void)err;
	for (uint64_t i = 0; i < BLOCKS; i++)
		if (e.offset <= i * block_size && e.offset + e.length >= (i + 1) * block_size)
			taken[slot][i] = false;
	return 0;
}

int tmk_tracker_mark(struct tmk_tracker *t, int slot, struct tmk_extent e, struct tmk_error *err)
{
	(void)t, (void)err;
	for (uint64_t i = e.offset / block_size; i * block_size < e.offset + e.length; i++)
		now[slot][i] = true;
	return 0;
}

int tmk_tracker_writer(struct tmk_tracker *t, int slot, struct tmk_writer *out, struct tmk_error *err)
{
	(void)t, (void)slot, (void)err;
	*out = (struct tmk_writer){.pid = 7, .comm = "scribe"};
	return 0;
}

int tmk_tracker_take(struct tmk_tracker *t, const int *slots, size_t count, struct tmk_take *out, struct tmk_error *err)
{
	(void)t, (void)err;
	*out = (struct tmk_take){0};
	for (size_t i = 0; i < count; i++)
		for (uint64_t b = 0; b < BLOCKS; b++) {
			taken[slots[i]][b] |= now[slots[i]][b];
			now[slots[i]][b] = false;
			out->blocks += taken[slots[i]][b];
		}
	out->bytes = out->blocks * block_size;
	out->gap = gaps[0] + gaps[1];
	return 0;
}

int tmk_tracker_attach(struct tmk_tracker *t, const struct tmk_tracker_disk *d, struct tmk_tracker_attached *out,
		       struct tmk_error *err)
{
	int slot = d->key[0];

	(void)t;
	if (slot == missing)
		return tmk_error_set(err, -ENODEV, "gone");
	*out = (struct tmk_tracker_attached){.slot = slot, .fresh = slot == fresh, .block_size = block_size};
	return 0;
}

int tmk_device_find(const char *path, struct tmk_device *out, struct tmk_error *err)
{
	(void)path, (void)err;
	*out = (struct tmk_device){.size = DISK, .whole = true};
	return 0;
}

int tmk_trackers_choose(struct tmk_trackers *t, enum tmk_tracker_kind kind, struct tmk_chosen *out, struct tmk_error *err)
{
	static struct tmk_marks marks, other;

	(void)t, (void)err;
	*out = (struct tmk_chosen){.kind = kind, .marks = &marks, .other = &other};
	return 0;
}

static unsigned forgotten; /* by the tracker that was not chosen */

void tmk_tracker_forget(struct tmk_tracker *t, const uint8_t key[16])
{
	(void)t, (void)key;
	forgotten++;
}

static unsigned reminded;

int tmk_tracker_remind(struct tmk_tracker *t, int slot, struct tmk_extent e, struct tmk_error *err)
{
	reminded++;
	return tmk_tracker_mark(t, slot, e, err);
}

#define UNUSED(name, ...)                                                                                                        \
	int name(__VA_ARGS__);                                                                                                   \
	int name(__VA_ARGS__)                                                                                                    \
	{                                                                                                                        \
		ck_abort_msg("not asked for here");                                                                              \
		return -ENOSYS;                                                                                                  \
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wredundant-decls"
UNUSED(tmk_tracker_detach, struct tmk_tracker *t, int slot, struct tmk_error *e)
UNUSED(tmk_tracker_settled, struct tmk_tracker *t, const int *slots, size_t count, const struct tmk_take *take, bool *settled,
       struct tmk_error *e)
UNUSED(tmk_tracker_release_log, struct tmk_tracker *t, int slot, uint64_t position, struct tmk_error *e)
UNUSED(tmk_tracker_count, struct tmk_tracker *t, int slot, enum tmk_which which, uint64_t *blocks, struct tmk_error *e)
UNUSED(tmk_tracker_doubt, struct tmk_tracker *t, int slot, const char *reason, struct tmk_error *e)
UNUSED(tmk_tracker_cookie, struct tmk_tracker *t, int slot, struct tmk_cookie *out, struct tmk_error *e)
UNUSED(tmk_tracker_set_cookie, struct tmk_tracker *t, int slot, const struct tmk_cookie *cookie, struct tmk_error *e)
#pragma GCC diagnostic pop

static struct tmk_source source;
static char why[192];

static void setup(void)
{
	block_size = 4096;
	memset(now, 0, sizeof(now));
	memset(taken, 0, sizeof(taken));
	gaps[0] = 3;
	gaps[1] = 4;
	missed = 0;
	fresh = missing = -1;
	memset(&source, 0, sizeof(source));
	source.spec.disk_count = 2;
	for (int i = 0; i < 2; i++) {
		snprintf(source.spec.disks[i].path, sizeof(source.spec.disks[i].path), "/dev/vd%c", 'a' + i);
		source.spec.disks[i].size = (uint64_t)BLOCKS * block_size;
		source.slots[i] = i;
		source.block_size[i] = block_size;
	}
}

static bool proven(void)
{
	struct tmk_error err = {0};
	bool yes;

	why[0] = 0;
	ck_assert_int_eq(tmk_source_proof(&source, 7, &yes, why, &err), 0);
	ck_assert_msg(yes == !why[0], "proven %d, and yet: '%s'", yes, why);
	return yes;
}

START_TEST(nothing_was_written)
{
	ck_assert(proven());
	taken[0][1] = taken[1][2] = true;
	ck_assert(proven());
}
END_TEST

START_TEST(written_on_the_second_disk)
{
	now[1][5] = true;
	ck_assert(!proven());
	ck_assert_ptr_nonnull(strstr(why, "/dev/vdb"));
	ck_assert_ptr_nonnull(strstr(why, "scribe"));
}
END_TEST

/* R4: the map is empty again by then, or was never set. */
START_TEST(the_gap_count_moved)
{
	gaps[1]++;
	ck_assert(!proven());
	ck_assert_ptr_nonnull(strstr(why, "gap count 8, was 7"));
	gaps[1]--;
	ck_assert(proven());
	missed = 1;
	ck_assert(!proven());
}
END_TEST

/* R17: what is under way may be in no map. What was not shown before the take is of no account. */
START_TEST(requests_were_not_shown)
{
	unshown = 5;
	ck_assert(!proven());
	ck_assert_ptr_nonnull(strstr(why, "did not show 5 requests"));
	source.unshown = 5;
	ck_assert(proven());
	unshown = 6;
	ck_assert(!proven());
	unshown = source.unshown = 0;
}
END_TEST

START_TEST(scratch_does_not_count)
{
	source.scratch.count = 1;
	source.scratch.ranges[0] = (struct tmk_scratch_range){0, 4096, 3 * 4096};
	now[0][1] = now[0][3] = true;
	ck_assert(proven());
	now[0][4] = true;
	ck_assert(!proven());
}
END_TEST

static void bad(uint64_t block)
{
	struct tmk_error err = {0};

	ck_assert_int_eq(tmk_source_bad(&source, 0, block * 4096, 4096, &err), 0);
}

/* R30: a point does without a block only once it is sure that nobody can read it: errors pass, and it may hold new data. */
START_TEST(unreadable)
{
	bad(2);
	ck_assert(now[0][2]);
	ck_assert(!proven());
	bad(2);
	ck_assert(!proven());
	ck_assert_uint_eq(tmk_source_bad_bytes(&source, false), 4096);
	ck_assert_uint_eq(tmk_source_bad_bytes(&source, true), 0);
	source.bad[0].since -= 10000;
	bad(2);
	ck_assert(proven());
	ck_assert_uint_eq(tmk_source_bad_bytes(&source, true), 4096);
	now[0][3] = true;
	ck_assert(!proven());
	now[0][3] = false;
	bad(9);
	ck_assert(!proven());
	tmk_source_good(&source, 0, 0, 4 * 4096);
	ck_assert_uint_eq(tmk_source_bad_bytes(&source, false), 4096);
	now[0][9] = false;
	ck_assert(!proven()); /* the other one is read, but marked again since */
}
END_TEST

START_TEST(too_many_unreadable)
{
	struct tmk_error err = {0};

	source.bad_count = TMK_BAD_MAX;
	ck_assert_int_eq(tmk_source_bad(&source, 1, 4096, 4096, &err), -EIO);
}
END_TEST

START_TEST(rest_of_large_blocks)
{
	struct tmk_error err = {0};

	memset(taken, 1, sizeof(taken));
	source.block_size[1] = 8192;
	ck_assert_int_eq(tmk_source_release_rest(&source, &err), 0);
	for (int i = 0; i < BLOCKS; i++)
		ck_assert_msg(taken[0][i] && !taken[1][i], "block %d", i);
}
END_TEST

START_TEST(everything)
{
	struct tmk_error err = {0};

	ck_assert_int_eq(tmk_source_mark_all(&source, &err), 0);
	for (int i = 0; i < BLOCKS; i++)
		ck_assert(now[0][i] && now[1][i]);
}
END_TEST

/* ---- R11: what a verify leaves out, and what goes hash first ---- */

static bool marked(uint16_t disk, uint64_t offset, uint64_t length)
{
	struct tmk_error err = {0};
	bool yes;

	ck_assert_int_eq(tmk_source_marked(&source, disk, (struct tmk_extent){offset, length}, &yes, &err), 0);
	return yes;
}

static bool is_taken(uint16_t disk, uint64_t offset, uint64_t length)
{
	struct tmk_error err = {0};
	bool yes;

	ck_assert_int_eq(tmk_source_taken(&source, disk, (struct tmk_extent){offset, length}, &yes, &err), 0);
	return yes;
}

START_TEST(marked_in_either_map)
{
	bool(*maps[])[BLOCKS] = {now, taken};

	for (int i = 0; i < 2; i++) {
		ck_assert(!marked(1, 0, DISK));
		maps[i][1][5] = true;
		ck_assert(marked(1, 0, DISK));
		ck_assert(marked(1, 5 * 4096, 4096));
		ck_assert(marked(1, 5 * 4096 + 3584, 512));
		ck_assert(marked(1, 4 * 4096, 4096 + 512));
		ck_assert(!marked(1, 0, 5 * 4096));
		ck_assert(!marked(1, 6 * 4096, DISK - 6 * 4096));
		ck_assert(!marked(0, 0, DISK));
		ck_assert(is_taken(1, 5 * 4096 + 3584, 512) == (maps[i] == taken));
		ck_assert(!is_taken(1, 0, 5 * 4096) && !is_taken(1, 6 * 4096, 512));
		maps[i][1][5] = false;
	}
}
END_TEST

/* A write that was missed is no difference: everything is marked, once somebody asks. */
START_TEST(marked_by_a_missed_event)
{
	struct tmk_error err = {0};

	missed = 1;
	ck_assert_int_eq(tmk_source_poll(&source, &err), 0);
	ck_assert(!marked(1, 0, 4096));
	ck_assert(marked(0, DISK - 512, 512));
	ck_assert_uint_eq(missed, 0);
}
END_TEST

/* The verify leaves out what is surely bad: the rounds try it again. */
START_TEST(surely_bad_or_not)
{
	uint64_t length = DISK;

	bad(3);
	ck_assert(!tmk_source_bad_split(&source, 0, 0, &length));
	ck_assert_uint_eq(length, DISK);
	source.bad[0].sure = true;
	ck_assert(!tmk_source_bad_split(&source, 0, 0, &length));
	ck_assert_uint_eq(length, 3 * 4096);
	length = DISK - 3 * 4096;
	ck_assert(tmk_source_bad_split(&source, 0, 3 * 4096, &length));
	ck_assert_uint_eq(length, 4096);
	length = 512;
	ck_assert(tmk_source_bad_split(&source, 0, 3 * 4096 + 512, &length));
	ck_assert_uint_eq(length, 512);
	length = 4096;
	ck_assert(!tmk_source_bad_split(&source, 0, 4 * 4096, &length));
	ck_assert(!tmk_source_bad_split(&source, 1, 3 * 4096, &length));
	ck_assert_uint_eq(length, 4096);
}
END_TEST

static void with_doubt(void)
{
	struct tmk_error err = {0};

	ck_assert_int_eq(tmk_doubt_open(&source.doubt, "/nonexistent", &source.spec, &err), 0);
}

static bool doubted(uint16_t disk)
{
	uint64_t length = DISK;
	bool yes = tmk_doubt_split(source.doubt, disk, 0, &length);

	ck_assert_uint_eq(length, DISK);
	return yes;
}

static void take(void)
{
	struct tmk_error err = {0};
	struct tmk_take t;

	ck_assert_int_eq(tmk_source_take_frozen(&source, &t, &err), 0);
}

/* The disk whose count moved, and only then: with the take of what was marked for it. */
START_TEST(a_gap_brings_doubt)
{
	with_doubt();
	take();
	take();
	ck_assert(!doubted(0) && !doubted(1));
	missed = 2;
	take();
	ck_assert(doubted(0) && !doubted(1));
	tmk_doubt_clear(source.doubt, 0, 0, DISK);
	take();
	ck_assert(!doubted(0));
	gaps[1]--;
	take();
	ck_assert(!doubted(0) && doubted(1));
	tmk_doubt_close(source.doubt);
}
END_TEST

START_TEST(all_marked_is_all_in_doubt)
{
	struct tmk_error err = {0};

	with_doubt();
	ck_assert_int_eq(tmk_source_mark_all(&source, &err), 0);
	ck_assert(doubted(0) && doubted(1));
	tmk_doubt_close(source.doubt);
}
END_TEST

START_TEST(a_fresh_disk_is_in_doubt)
{
	struct tmk_error err = {0};

	with_doubt();
	fresh = 1;
	ck_assert_int_eq(tmk_source_attach(&source, &err), 0);
	ck_assert(source.fresh && !doubted(0) && doubted(1));
	ck_assert_uint_eq(forgotten, 2);
	tmk_doubt_close(source.doubt);
}
END_TEST

/* The other one was attached, and will not be fresh the next time. */
START_TEST(fresh_while_another_is_missing)
{
	struct tmk_error err = {0};

	with_doubt();
	fresh = 0;
	missing = 1;
	ck_assert_int_eq(tmk_source_attach(&source, &err), -ENODEV);
	fresh = missing = -1;
	ck_assert_int_eq(tmk_source_attach(&source, &err), 0);
	ck_assert(source.fresh && doubted(0) && !doubted(1));
	tmk_doubt_close(source.doubt);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("source");
	TCase *t = tcase_create("source");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, nothing_was_written);
	tcase_add_test(t, written_on_the_second_disk);
	tcase_add_test(t, the_gap_count_moved);
	tcase_add_test(t, requests_were_not_shown);
	tcase_add_test(t, scratch_does_not_count);
	tcase_add_test(t, unreadable);
	tcase_add_test(t, too_many_unreadable);
	tcase_add_test(t, rest_of_large_blocks);
	tcase_add_test(t, everything);
	tcase_add_test(t, marked_in_either_map);
	tcase_add_test(t, marked_by_a_missed_event);
	tcase_add_test(t, surely_bad_or_not);
	tcase_add_test(t, a_gap_brings_doubt);
	tcase_add_test(t, all_marked_is_all_in_doubt);
	tcase_add_test(t, a_fresh_disk_is_in_doubt);
	tcase_add_test(t, fresh_while_another_is_missing);
	suite_add_tcase(s, t);
	return run_suite(s);
}
