/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. Suspects: ripe some time later, read together, put off, looked at, kept. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "reader.h"
#include "suite.h"
#include "suspects.h"

static struct tmk_suspects s;

static void setup(void)
{
	memset(&s, 0, sizeof(s));
}

static bool add(uint16_t disk, uint64_t offset, uint32_t length)
{
	return tmk_suspects_add(&s, disk, offset, length);
}

static void later(uint16_t disk, uint64_t offset, uint64_t length)
{
	tmk_suspects_later(&s, &(struct tmk_compared_extent){TMK_UNDECIDED, disk, offset, length});
}

static bool ripe(size_t i)
{
	size_t next = i;

	return tmk_suspects_run(&s, &next) && next == i;
}

/* Those that are ripe and follow each other, as far as a read goes. */
START_TEST(runs)
{
	static const struct {
		size_t next, want, count;
	} rows[] = {{0, 0, 8}, {8, 8, 2}, {10, 10, 1}, {11, 11, 1}, {12, 13, 2}, {15, 16, 0}};

	for (unsigned i = 0; i < 10; i++)
		ck_assert(add(1, i * TMK_PIECE, TMK_PIECE));
	ck_assert(add(1, 11 * TMK_PIECE, TMK_PIECE));
	ck_assert(add(2, 12 * TMK_PIECE, TMK_PIECE));
	for (unsigned i = 12; i < 16; i++)
		ck_assert(add(2, (i + 1) * TMK_PIECE, i == 14 ? 512 : TMK_PIECE));
	clock_ms += TMK_SECOND_LOOK_MS;
	s.list[12].since++;
	s.list[15].since++;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t next = rows[i].next;

		ck_assert_uint_eq(tmk_suspects_run(&s, &next), rows[i].count);
		ck_assert_uint_eq(next, rows[i].want);
	}
}
END_TEST

START_TEST(no_more_than_there_is_room_for)
{
	struct tmk_suspects before;
	size_t next = 0, count, sum = 0;

	for (uint64_t i = 0; i < TMK_SUSPECTS_MAX; i++)
		ck_assert(add(1, i * TMK_PIECE, TMK_PIECE));
	before = s;
	ck_assert(!add(1, TMK_SUSPECTS_MAX * (uint64_t)TMK_PIECE, 512));
	ck_assert_mem_eq(&s, &before, sizeof(s));
	clock_ms += TMK_SECOND_LOOK_MS;
	for (; (count = tmk_suspects_run(&s, &next)); next += count)
		sum += count;
	ck_assert_uint_eq(sum, TMK_SUSPECTS_MAX);
	ck_assert_uint_eq(next, TMK_SUSPECTS_MAX);
}
END_TEST

START_TEST(ripe_in_their_time)
{
	ck_assert(!tmk_suspects_ripe(&s));
	ck_assert(add(0, 0, 4096));
	clock_ms += 4000;
	ck_assert(add(0, 8192, 4096));
	clock_ms += TMK_SECOND_LOOK_MS - 4001;
	ck_assert(!tmk_suspects_ripe(&s));
	clock_ms++;
	ck_assert(tmk_suspects_ripe(&s));
	ck_assert(ripe(0) && !ripe(1));
}
END_TEST

/* Only those in the range: neither neighbours nor another disk. */
START_TEST(put_off)
{
	for (uint64_t i = 0; i < 4; i++)
		ck_assert(add(0, i * 4096, 4096));
	ck_assert(add(1, 4096, 4096));
	for (size_t i = 0; i < s.count; i++)
		s.list[i].looking = true;
	clock_ms += TMK_SECOND_LOOK_MS;
	later(0, 4096 + 512, 4096);
	for (size_t i = 0; i < s.count; i++) {
		bool hit = i == 1 || i == 2;

		ck_assert_msg(s.list[i].looking == !hit, "%zu", i);
		ck_assert_msg(ripe(i) == !hit, "%zu", i);
	}
	clock_ms += TMK_SECOND_LOOK_MS;
	ck_assert(ripe(1));
}
END_TEST

START_TEST(looked_at)
{
	for (uint64_t i = 0; i < 5; i++)
		ck_assert(add(0, i * 4096, 4096));
	s.list[0].looking = s.list[2].looking = s.list[3].looking = true;
	tmk_suspects_looked(&s);
	ck_assert_uint_eq(s.count, 2);
	ck_assert_uint_eq(s.list[0].offset, 4096);
	ck_assert_uint_eq(s.list[1].offset, 4 * 4096);
	s.list[1].looking = true;
	tmk_suspects_unlook(&s);
	tmk_suspects_looked(&s);
	ck_assert_uint_eq(s.count, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("suspects");
	TCase *t = tcase_create("suspects");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, runs);
	tcase_add_test(t, no_more_than_there_is_room_for);
	tcase_add_test(t, ripe_in_their_time);
	tcase_add_test(t, put_off);
	tcase_add_test(t, looked_at);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
