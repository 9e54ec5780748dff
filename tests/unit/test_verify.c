/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. Verify: what is compared and what is left out, what is a difference and what is none (R11). */
#include "verify_world.h"

/* ---- what is compared ---- */

START_TEST(everything_once)
{
	ck_assert(!tmk_verify_due(verify));
	tmk_verify_ask(verify, 0);
	ck_assert(pass()->asked && !pass()->last.known);
	batch();
	check_all_hashed(1);
	ck_assert_uint_eq(read_bytes, total());
	ck_assert_uint_ge(chunks, 3); /* of at most 64 MiB */
	ck_assert_uint_eq(marked_bytes, 0);
	ck_assert(pass()->last.known && pass()->last.asked);
	ck_assert_uint_eq(pass()->last.different + pass()->last.skipped, 0);
	ck_assert_uint_gt(pass()->last.time, 1795262405000000000ull);
	ck_assert(!pass()->asked && !pass()->done);
	ck_assert_uint_eq(tmk_verify_state(verify)->passes, 1);
	ck_assert(!tmk_verify_due(verify));
	ck_assert_uint_eq(forgets, 0);
}
END_TEST

/* They are sent anyway. In either map, overlapping, at the ends of the disks, and over where a read would end. */
START_TEST(marked_blocks_are_left_out)
{
	static const struct {
		enum tmk_which which;
		uint16_t disk;
		uint64_t offset, length;
	} marks[] = {
		{TMK_TAKEN, 0, 0, BLOCK},	 {TMK_NOW, 0, 10 * BLOCK, 5 * BLOCK},  {TMK_TAKEN, 0, 12 * BLOCK, 5 * BLOCK},
		{TMK_NOW, 0, 40 * BLOCK, BLOCK}, {TMK_TAKEN, 0, 42 * BLOCK, 20 * MIB}, {TMK_NOW, 0, 30 * MIB, 40 * MIB},
		{TMK_NOW, 0, 100 * MIB, 2560},	 {TMK_NOW, 1, 0, 3 * BLOCK},	       {TMK_TAKEN, 2, 28 * MIB - BLOCK, BLOCK},
	};
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		set_marks(marks[i].which, marks[i].disk, marks[i].offset, marks[i].length, true);
	tmk_verify_ask(verify, 0);
	batch();
	for (uint16_t d = 0; d < DISKS; d++)
		for (uint64_t i = 0; i < blocks_of(d); i++) {
			bool marked = maps[TMK_NOW][d][i] || maps[TMK_TAKEN][d][i];
			uint64_t left = source.spec.disks[d].size - i * BLOCK;

			sum += !marked ? 0 : left < BLOCK ? left : BLOCK;
			ck_assert_msg(hashed[d][i] == !marked, "disk %u, block %llu", d, (unsigned long long)i);
		}
	ck_assert_uint_eq(pass()->last.skipped, sum);
	ck_assert_uint_eq(read_bytes, total() - sum);
	ck_assert_uint_eq(marked_bytes, 0);
}
END_TEST

/* Nothing is left to compare: a pass ends nevertheless. */
START_TEST(all_is_marked)
{
	for (uint16_t d = 0; d < DISKS; d++)
		set_marks(TMK_NOW, d, 0, source.spec.disks[d].size, true);
	tmk_verify_ask(verify, 0);
	batch();
	ck_assert_uint_eq(read_bytes, 0);
	ck_assert_uint_eq(pass()->last.skipped, total());
}
END_TEST

START_TEST(swap_is_nobodys)
{
	source.scratch.count = 2;
	source.scratch.ranges[0] = (struct tmk_scratch_range){0, 4096, 10 * MIB};
	source.scratch.ranges[1] = (struct tmk_scratch_range){2, 27 * MIB, MIB};
	tmk_verify_ask(verify, 0);
	batch();
	check_hashed(0, 0, 4096, 1);
	check_hashed(0, 4096, 10 * MIB, 0);
	check_hashed(0, 10 * MIB + 4096, BLOCK, 1);
	check_hashed(2, 27 * MIB, MIB, 0);
	ck_assert_uint_eq(pass()->last.skipped, 0);
}
END_TEST

START_TEST(surely_bad_blocks_are_left_out)
{
	bad = (struct tmk_covered){2, 5 * BLOCK, BLOCK};
	tmk_verify_ask(verify, 0);
	batch();
	check_hashed(2, 0, 5 * BLOCK, 1);
	check_hashed(2, 5 * BLOCK, BLOCK, 0);
	check_hashed(2, 6 * BLOCK, MIB, 1);
	ck_assert_uint_eq(pass()->last.skipped, BLOCK);
	ck_assert_uint_eq(marked_bytes, 0);
}
END_TEST

/* A round finds out which block of the read it is (R30). */
START_TEST(a_read_that_fails)
{
	broken = (struct tmk_covered){2, 5 * BLOCK, BLOCK};
	broken_error = -EIO;
	tmk_verify_ask(verify, 0);
	batch();
	check_hashed(2, 0, TMK_READ_MAX, 0);
	check_hashed(2, TMK_READ_MAX, MIB, 1);
	ck_assert(maps[TMK_NOW][2][0] && maps[TMK_NOW][2][TMK_READ_MAX / BLOCK - 1]);
	ck_assert_uint_eq(marked_bytes, TMK_READ_MAX);
	ck_assert_uint_eq(pass()->last.skipped, TMK_READ_MAX);
	ck_assert_uint_eq(pass()->last.different, 0);
}
END_TEST

START_TEST(not_the_medium)
{
	int rc = 0;

	broken = (struct tmk_covered){2, 5 * BLOCK, BLOCK};
	broken_error = -ENODEV;
	tmk_verify_ask(verify, 0);
	tmk_verify_begin(verify);
	while (!rc && tmk_verify_active(verify))
		rc = tmk_verify_step(verify, false, &err);
	ck_assert_int_eq(rc, -EIO);
	ck_assert_ptr_nonnull(strstr(err.text, "/dev/vdc"));
	ck_assert_uint_eq(marked_bytes, 0);
}
END_TEST

/* Behind what was left out, too: pieces are compared as wholes where they can be. */
START_TEST(reads_end_where_the_grid_does)
{
	set_marks(TMK_NOW, 0, 5 * BLOCK, BLOCK, true);
	tmk_verify_ask(verify, 0);
	tmk_verify_begin(verify);
	step(false);
	ck_assert_uint_eq(reads[0].offset, 0);
	ck_assert_uint_eq(reads[0].length, 5 * BLOCK);
	ck_assert_uint_eq(reads[1].offset, 6 * BLOCK);
	ck_assert_uint_eq(reads[1].length, TMK_READ_MAX - 6 * BLOCK);
	ck_assert_uint_eq(reads[2].offset, TMK_READ_MAX);
	ck_assert_uint_eq(reads[2].length, TMK_READ_MAX);
	tmk_verify_abort(verify);
}
END_TEST

/* ---- what is a difference ---- */

/* Something was taken. */
static void taken(void)
{
	source.takes++;
	ck_assert_int_eq(tmk_verify_taken(verify, &err), 0);
}

/* It is told at the second look, 35 seconds later: only what is suspect is read again. */
START_TEST(a_difference)
{
	first_look(TMK_DIFFERS);
	ck_assert(pass()->asked && pass()->done == total());
	ck_assert(!tmk_verify_due(verify));
	ck_assert_uint_eq(unsynced, 0); /* nobody knows */
	clock_ms += TMK_SECOND_LOOK_MS - 1;
	ck_assert(!tmk_verify_due(verify));
	clock_ms++;
	batch();
	check_hashed(0, 9 * TMK_PIECE, TMK_PIECE, 1);
	check_hashed(0, 0, 9 * TMK_PIECE, 0);
	check_hashed(0, 10 * TMK_PIECE, 90 * MIB, 0);
	check_hashed(2, 0, 28 * MIB, 0);
	ck_assert_uint_eq(marked_bytes, TMK_PIECE);
	ck_assert_uint_eq(unsynced_at_mark, 1); /* I7: the mark raises the log's gap count, which is too late */
	ck_assert(maps[TMK_NOW][0][9 * TMK_PIECE / BLOCK] && maps[TMK_NOW][0][10 * TMK_PIECE / BLOCK - 1]);
	ck_assert(pass()->last.known);
	ck_assert_uint_eq(pass()->last.different, TMK_PIECE);
	ck_assert_uint_eq(pass()->last.skipped, 0);
	ck_assert_uint_eq(tmk_verify_state(verify)->passes, 1);
	ck_assert(!tmk_verify_due(verify));
}
END_TEST

/* A write that was in flight at the first look. */
START_TEST(equal_at_the_second_look)
{
	first_look(TMK_DIFFERS);
	clock_ms += TMK_SECOND_LOOK_MS;
	verdicts[0][9] = 0;
	batch();
	ck_assert_uint_eq(pass()->last.different + pass()->last.skipped, 0);
	ck_assert_uint_eq(marked_bytes + unsynced, 0);
	ck_assert_uint_eq(tmk_verify_state(verify)->passes, 1);
}
END_TEST

/* Written between the read and its result: of either look, in either map, in any block of it. */
START_TEST(written_meanwhile)
{
	enum tmk_which which = _i % 2 ? TMK_NOW : TMK_TAKEN;
	uint64_t at = 9 * TMK_PIECE + (_i % 4 < 2 ? 0 : TMK_PIECE - BLOCK);

	if (_i < 4) {
		verdicts[0][9] = TMK_DIFFERS;
		tmk_verify_ask(verify, 0);
	} else {
		first_look(TMK_DIFFERS);
		clock_ms += TMK_SECOND_LOOK_MS;
	}
	read_batch();
	set_marks(which, 0, at, BLOCK, true);
	answer();
	step(false);
	ck_assert(!tmk_verify_active(verify));
	ck_assert(pass()->last.known);
	ck_assert_uint_eq(pass()->last.different, 0);
	ck_assert_uint_eq(pass()->last.skipped, TMK_PIECE);
	ck_assert_uint_eq(marked_bytes, 0);
}
END_TEST

/* Taken between the looks: another write may hang at the second one, with its marks taken, shipped and acked (tests/model). */
START_TEST(taken_between_the_looks)
{
	first_look(TMK_DIFFERS);
	taken();
	ck_assert(pass()->asked); /* nothing of it was */
	set_marks(TMK_TAKEN, 0, 10 * TMK_PIECE - BLOCK, BLOCK, true);
	ck_assert_int_eq(tmk_verify_taken(verify, &err), 0);
	ck_assert(pass()->asked); /* nobody took it */
	taken();
	set_marks(TMK_TAKEN, 0, 10 * TMK_PIECE - BLOCK, BLOCK, false);
	clock_ms += TMK_SECOND_LOOK_MS;
	ck_assert(!tmk_verify_due(verify) && !pass()->asked);
	ck_assert(pass()->last.known);
	ck_assert_uint_eq(pass()->last.different, 0);
	ck_assert_uint_eq(pass()->last.skipped, TMK_PIECE);
	ck_assert_uint_eq(marked_bytes, 0);
}
END_TEST

/* Only what was taken of it, and only while no batch looks at it: then nothing is taken. */
START_TEST(taken_beside_suspects)
{
	verdicts[0][9] = verdicts[0][20] = verdicts[2][9] = TMK_DIFFERS;
	tmk_verify_ask(verify, 0);
	batch();
	set_marks(TMK_NOW, 0, 9 * TMK_PIECE, TMK_PIECE, true); /* not taken yet */
	set_marks(TMK_TAKEN, 0, 8 * TMK_PIECE, TMK_PIECE, true);
	set_marks(TMK_TAKEN, 0, 10 * TMK_PIECE, 10 * TMK_PIECE, true);
	set_marks(TMK_TAKEN, 2, 9 * TMK_PIECE, BLOCK, true);
	taken();
	ck_assert_uint_eq(pass()->skipped, TMK_PIECE);
	memset(maps, 0, sizeof(maps));
	clock_ms += TMK_SECOND_LOOK_MS;
	read_batch();
	set_marks(TMK_TAKEN, 0, 9 * TMK_PIECE, TMK_PIECE, true);
	taken();
	set_marks(TMK_TAKEN, 0, 9 * TMK_PIECE, TMK_PIECE, false);
	answer();
	step(false);
	ck_assert_uint_eq(pass()->last.different, 2 * TMK_PIECE);
	ck_assert_uint_eq(pass()->last.skipped, TMK_PIECE);
	ck_assert(maps[TMK_NOW][0][9 * TMK_PIECE / BLOCK] && maps[TMK_NOW][0][20 * TMK_PIECE / BLOCK]);
	ck_assert(!maps[TMK_NOW][2][9 * TMK_PIECE / BLOCK]);
}
END_TEST

START_TEST(undecided_is_not_compared)
{
	first_look(TMK_UNDECIDED);
	ck_assert_uint_eq(pass()->last.skipped, TMK_PIECE);
	ck_assert_uint_eq(pass()->last.different, 0);
	ck_assert(pass()->last.known);
}
END_TEST

/* What differed and cannot be told now is asked again: it is not forgotten. */
START_TEST(undecided_at_the_second_look)
{
	first_look(TMK_DIFFERS);
	clock_ms += TMK_SECOND_LOOK_MS;
	verdicts[0][9] = TMK_UNDECIDED;
	batch();
	ck_assert(!pass()->last.known && pass()->asked);
	clock_ms += TMK_SECOND_LOOK_MS - 1;
	ck_assert(!tmk_verify_due(verify));
	clock_ms++;
	verdicts[0][9] = TMK_DIFFERS;
	batch();
	ck_assert_uint_eq(pass()->last.different, TMK_PIECE);
	ck_assert_uint_eq(pass()->last.skipped, 0);
	ck_assert_uint_eq(marked_bytes, TMK_PIECE);
}
END_TEST

/* A second look does not read those that are not ripe. */
START_TEST(each_in_its_time)
{
	config.verify_every = 1;
	clock_ms++;
	verdicts[0][1] = verdicts[2][28 * MIB / TMK_PIECE - 1] = TMK_DIFFERS;
	batch();
	clock_ms += TMK_SECOND_LOOK_MS / 2;
	batch();
	ck_assert_uint_eq(pass()->done, total());
	clock_ms += TMK_SECOND_LOOK_MS / 2;
	memset(hashed, 0, sizeof(hashed));
	batch();
	check_hashed(0, TMK_PIECE, TMK_PIECE, 1);
	check_hashed(2, 0, 28 * MIB, 0);
	ck_assert_uint_eq(pass()->different, TMK_PIECE);
	ck_assert(!pass()->last.known);
	clock_ms += TMK_SECOND_LOOK_MS / 2;
	batch();
	check_hashed(2, 28 * MIB - TMK_PIECE, TMK_PIECE, 1);
	ck_assert_uint_eq(pass()->last.different, 2 * TMK_PIECE);
	ck_assert(!pass()->last.asked);
}
END_TEST

/* What the target tells is joined, what is known is not: one block that was written says nothing of other pieces. */
START_TEST(written_beside_a_difference)
{
	bool second = _i & 1;
	enum tmk_which which = _i & 2 ? TMK_NOW : TMK_TAKEN;

	for (unsigned i = 7; i < 18; i++)
		verdicts[0][i] = TMK_DIFFERS;
	tmk_verify_ask(verify, 0);
	if (second) {
		batch();
		clock_ms += TMK_SECOND_LOOK_MS;
	}
	read_batch();
	set_marks(which, 0, 10 * TMK_PIECE - BLOCK, 2 * BLOCK, true); /* the end of 9, the start of 10 */
	answer();
	step(false);
	if (!second) {
		clock_ms += TMK_SECOND_LOOK_MS;
		batch();
	}
	ck_assert_uint_eq(pass()->last.different, 9 * TMK_PIECE);
	ck_assert_uint_eq(pass()->last.skipped, 2 * TMK_PIECE);
	ck_assert_uint_eq(marked_bytes, 9 * TMK_PIECE);
	for (unsigned i = 0; i < 30; i++)
		ck_assert_msg(maps[TMK_NOW][0][i * (TMK_PIECE / BLOCK) + 3] == (i >= 7 && i < 18 && i != 9 && i != 10), "%u", i);
}
END_TEST

START_TEST(taken_beside_a_difference)
{
	for (unsigned i = 8; i < 16; i++)
		verdicts[0][i] = TMK_DIFFERS;
	tmk_verify_ask(verify, 0);
	batch();
	set_marks(TMK_TAKEN, 0, 11 * TMK_PIECE + BLOCK, BLOCK, true);
	ck_assert_int_eq(tmk_verify_taken(verify, &err), 0);
	ck_assert_uint_eq(pass()->skipped, 0); /* nobody took it */
	taken();
	set_marks(TMK_TAKEN, 0, 11 * TMK_PIECE + BLOCK, BLOCK, false);
	ck_assert_uint_eq(pass()->skipped, TMK_PIECE);
	clock_ms += TMK_SECOND_LOOK_MS;
	memset(hashed, 0, sizeof(hashed));
	batch();
	check_hashed(0, 8 * TMK_PIECE, 3 * TMK_PIECE, 1);
	check_hashed(0, 11 * TMK_PIECE, TMK_PIECE, 0);
	check_hashed(0, 12 * TMK_PIECE, 4 * TMK_PIECE, 1);
	ck_assert_uint_eq(pass()->last.different, 7 * TMK_PIECE);
	ck_assert_uint_eq(pass()->last.skipped, TMK_PIECE);
	ck_assert(!maps[TMK_NOW][0][11 * TMK_PIECE / BLOCK] && maps[TMK_NOW][0][12 * TMK_PIECE / BLOCK]);
}
END_TEST

/* Marks of what was missed are there only once it was asked for. */
START_TEST(a_write_that_was_missed)
{
	first_look(TMK_DIFFERS);
	clock_ms += TMK_SECOND_LOOK_MS;
	read_batch();
	missed = (struct tmk_covered){0, 0, MIB};
	answer();
	step(false);
	ck_assert_uint_eq(pass()->last.different, 0);
	ck_assert_uint_eq(pass()->last.skipped, TMK_PIECE);
}
END_TEST

/* Neighbours are read at once. */
START_TEST(suspects_are_read_together)
{
	for (unsigned i = 8; i < 13; i++)
		verdicts[0][i] = TMK_DIFFERS;
	verdicts[0][14] = TMK_DIFFERS;
	tmk_verify_ask(verify, 0);
	batch();
	clock_ms += TMK_SECOND_LOOK_MS;
	tmk_verify_begin(verify);
	step(false);
	ck_assert_uint_eq(read_count, 2);
	ck_assert_uint_eq(reads[0].offset, 8 * TMK_PIECE);
	ck_assert_uint_eq(reads[0].length, 5 * TMK_PIECE);
	ck_assert_uint_eq(reads[1].offset, 14 * TMK_PIECE);
	ck_assert_uint_eq(reads[1].length, TMK_PIECE);
	tmk_verify_abort(verify);
}
END_TEST

/* A target that says what it was not asked: no difference, and nothing is sent again. */
START_TEST(only_what_was_looked_at_again)
{
	struct tmk_compared c = {.number = 1, .count = 2, .extents = {{TMK_DIFFERS, 0, 0, 100 * MIB}, {TMK_DIFFERS, 2, 0, MIB}}};

	config.verify_every = 1;
	clock_ms++;
	verdicts[0][9] = verdicts[2][9] = TMK_DIFFERS;
	batch();
	clock_ms += TMK_SECOND_LOOK_MS / 2;
	batch();
	clock_ms += TMK_SECOND_LOOK_MS / 2;
	read_batch();
	ck_assert_int_eq(tell(&c, true), 0);
	ck_assert_uint_eq(pass()->different, TMK_PIECE);
	ck_assert_uint_eq(marked_bytes, TMK_PIECE);
	tmk_verify_abort(verify);
}
END_TEST

/* A replica that is wrong all over: what there is no room for is not called a difference, since it was not looked at twice. It is
 * sent at once. */
START_TEST(more_suspects_than_there_is_room_for)
{
	const unsigned count = 3000, first = 3;
	uint64_t unlooked = (count - TMK_SUSPECTS_MAX) * (uint64_t)TMK_PIECE;

	for (unsigned i = 0; i < count; i++)
		verdicts[0][i + first] = TMK_DIFFERS;
	tmk_verify_ask(verify, 0);
	batch();
	ck_assert_uint_eq(pass()->different, 0);
	ck_assert_uint_eq(pass()->skipped, unlooked);
	ck_assert_uint_eq(marked_bytes, unlooked);
	ck_assert_uint_gt(unsynced_at_mark, 0);
	memset(verdicts, 0, sizeof(verdicts)); /* they were writes in flight */
	verdicts[0][first + 100] = TMK_DIFFERS;
	clock_ms += TMK_SECOND_LOOK_MS;
	batch();
	ck_assert_uint_eq(pass()->last.different, TMK_PIECE);
	ck_assert_uint_eq(pass()->last.skipped, unlooked);
	ck_assert_uint_eq(marked_bytes, unlooked + TMK_PIECE);
}
END_TEST

/* Looked at twice or not, nothing that differs is left alone, and it is told once a batch. */
START_TEST(all_that_differs_is_sent)
{
	const unsigned count = 3000, first = 3;

	keep_log();
	for (unsigned i = 0; i < count; i++)
		verdicts[0][i + first] = TMK_DIFFERS;
	tmk_verify_ask(verify, 0);
	batch();
	ck_assert_uint_eq(logged("the replica seems to differ in 31195136 bytes, the first at byte"), 1);
	ck_assert_uint_eq(logged("differ"), 1);
	clock_ms += TMK_SECOND_LOOK_MS;
	batch();
	ck_assert_uint_eq(logged("the replica differs in 67108864 bytes, the first at byte 98304 of /dev/vda, which"), 1);
	ck_assert_uint_eq(logged("the replica"), 2);
	ck_assert_uint_eq(pass()->last.different, TMK_SUSPECTS_MAX * (uint64_t)TMK_PIECE);
	ck_assert_uint_eq(marked_bytes, count * (uint64_t)TMK_PIECE);
	for (unsigned i = 0; i < BLOCKS; i++)
		ck_assert(maps[TMK_NOW][0][i] == (i >= first * (TMK_PIECE / BLOCK) && i < (first + count) * (TMK_PIECE / BLOCK)));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("verify");
	TCase *t = tcase_create("verify");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, everything_once);
	tcase_add_test(t, marked_blocks_are_left_out);
	tcase_add_test(t, all_is_marked);
	tcase_add_test(t, swap_is_nobodys);
	tcase_add_test(t, surely_bad_blocks_are_left_out);
	tcase_add_test(t, a_read_that_fails);
	tcase_add_test(t, not_the_medium);
	tcase_add_test(t, reads_end_where_the_grid_does);
	tcase_add_test(t, a_difference);
	tcase_add_test(t, equal_at_the_second_look);
	tcase_add_loop_test(t, written_meanwhile, 0, 8);
	tcase_add_test(t, undecided_is_not_compared);
	tcase_add_test(t, undecided_at_the_second_look);
	tcase_add_test(t, taken_between_the_looks);
	tcase_add_test(t, taken_beside_suspects);
	tcase_add_test(t, each_in_its_time);
	tcase_add_loop_test(t, written_beside_a_difference, 0, 4);
	tcase_add_test(t, taken_beside_a_difference);
	tcase_add_test(t, a_write_that_was_missed);
	tcase_add_test(t, suspects_are_read_together);
	tcase_add_test(t, only_what_was_looked_at_again);
	tcase_add_test(t, more_suspects_than_there_is_room_for);
	tcase_add_test(t, all_that_differs_is_sent);
	suite_add_tcase(s, t);
	return run_suite(s);
}
