/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. Suspects: cut into reads, ripe ten seconds later, put off, looked at, kept. */
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

static bool add(uint16_t disk, uint64_t offset, uint64_t length)
{
	return tmk_suspects_add(&s, &(struct tmk_compared_extent){TMK_DIFFERS, disk, offset, length});
}

static void later(uint16_t disk, uint64_t offset, uint64_t length)
{
	tmk_suspects_later(&s, &(struct tmk_compared_extent){TMK_UNDECIDED, disk, offset, length});
}

START_TEST(cut_into_reads)
{
	uint64_t at = 3 * 4096;

	ck_assert(add(2, at, 2 * TMK_READ_MAX + 512));
	ck_assert_uint_eq(s.count, 3);
	for (size_t i = 0; i < s.count; i++) {
		ck_assert_uint_eq(s.list[i].disk, 2);
		ck_assert_uint_eq(s.list[i].offset, at);
		ck_assert_uint_eq(s.list[i].length, i < 2 ? TMK_READ_MAX : 512);
		ck_assert(!s.list[i].looking);
		at += s.list[i].length;
	}
	ck_assert(add(0, 0, TMK_READ_MAX));
	ck_assert_uint_eq(s.count, 4);
}
END_TEST

START_TEST(all_of_it_or_nothing)
{
	struct tmk_suspects before;

	ck_assert(add(0, 0, (TMK_SUSPECTS_MAX - 2) * (uint64_t)TMK_READ_MAX));
	before = s;
	ck_assert(!add(1, 4096, 2 * TMK_READ_MAX + 512));
	ck_assert(!add(1, 0, INT64_MAX));
	ck_assert_mem_eq(&s, &before, sizeof(s));
	ck_assert(add(1, 4096, 2 * TMK_READ_MAX));
	ck_assert_uint_eq(s.count, TMK_SUSPECTS_MAX);
	ck_assert(!add(1, 0, 512));
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
	ck_assert(tmk_suspect_ripe(&s.list[0]) && !tmk_suspect_ripe(&s.list[1]));
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
		ck_assert_msg(tmk_suspect_ripe(&s.list[i]) == !hit, "%zu", i);
	}
	clock_ms += TMK_SECOND_LOOK_MS;
	ck_assert(tmk_suspect_ripe(&s.list[1]));
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
	tcase_add_test(t, cut_into_reads);
	tcase_add_test(t, all_of_it_or_nothing);
	tcase_add_test(t, ripe_in_their_time);
	tcase_add_test(t, put_off);
	tcase_add_test(t, looked_at);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
