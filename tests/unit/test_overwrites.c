/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. What is overwritten further on, against a table of all blocks. */
#include <check.h>
#include <string.h>

#include "overwrites.h"
#include "suite.h"

#define BLOCKS 64
#define K4 4096u

static struct tmk_overwrites *o;

static void setup(void)
{
	ck_assert_int_eq(tmk_overwrites_new(&o), 0);
}

static void teardown(void)
{
	tmk_overwrites_free(o);
}

static void add(uint16_t disk, uint64_t offset, uint64_t length, uint64_t end)
{
	ck_assert(tmk_overwrites_add(o, disk, offset, length, end));
}

static bool ask(uint16_t disk, uint64_t offset, uint64_t length, uint64_t end, uint64_t want_length, uint64_t want_by)
{
	uint64_t by;
	bool gone = tmk_overwritten(o, disk, offset, &length, end, &by);

	ck_assert_uint_eq(length, want_length);
	ck_assert_uint_eq(by, want_by);
	return gone;
}

START_TEST(later_ones_only)
{
	add(0, 0, 3 * K4, 100);
	add(0, K4, K4, 200);
	add(0, K4, K4, 300);
	tmk_overwrites_sort(o);
	ck_assert(!ask(0, 0, 3 * K4, 100, K4, 0));
	ck_assert(ask(0, K4, 2 * K4, 100, K4, 300));
	ck_assert(!ask(0, 2 * K4, K4, 100, K4, 0));
	ck_assert(ask(0, K4, K4, 200, K4, 300));
	ck_assert(!ask(0, K4, K4, 300, K4, 0)); /* the last one stays */
	ck_assert(!ask(1, K4, K4, 100, K4, 0)); /* another disk */
	tmk_overwrites_clear(o);
	ck_assert(!ask(0, 0, 3 * K4, 0, 3 * K4, 0));
}
END_TEST

START_TEST(whole_blocks_only)
{
	add(0, 512, 2 * K4, 200);
	tmk_overwrites_sort(o);
	ck_assert(!ask(0, 0, 3 * K4, 100, K4, 0));
	ck_assert(ask(0, K4, 2 * K4, 100, K4, 200));
	ck_assert(!ask(0, K4 + 512, K4 - 512, 100, K4 - 512, 0)); /* it has a part of the block */
	ck_assert(!ask(0, 512, K4 + 512, 100, K4 + 512, 0));
	ck_assert(!ask(0, K4, 512, 100, 512, 0));
}
END_TEST

/* Of what lies before the most that is known, nothing more is added. */
START_TEST(full)
{
	uint64_t end = 0;

	while (tmk_overwrites_add(o, 0, end * K4, 1 << 20, end + 1))
		ck_assert_uint_lt(end += 256, 1 << 20);
	tmk_overwrites_sort(o);
	ck_assert(ask(0, 0, K4, 0, K4, 1));
	ck_assert(!ask(0, end * K4, K4, 0, K4, 0));
}
END_TEST

START_TEST(what_is_very_long_is_sent)
{
	add(0, 0, 1ull << 40, 100);
	add(0, 0, K4, 200);
	tmk_overwrites_sort(o);
	ck_assert(!ask(0, 0, 1ull << 40, 100, 1ull << 40, 0));
	ck_assert(!ask(0, K4, K4, 50, K4, 0));
	ck_assert(ask(0, 0, K4, 50, K4, 200));
}
END_TEST

START_TEST(against_a_table)
{
	struct {
		uint64_t first, count;
	} records[60];
	uint64_t seed = (uint64_t)_i;

	for (unsigned i = 0; i < 60; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		records[i].first = (seed >> 33) % BLOCKS;
		records[i].count = 1 + (seed >> 45) % (BLOCKS - records[i].first);
		add(3, records[i].first * K4, records[i].count * K4, i + 1);
	}
	tmk_overwrites_sort(o);
	for (unsigned i = 0; i < 60; i++)
		for (uint64_t at = 0; at < records[i].count;) {
			uint64_t length = (records[i].count - at) * K4, by, last = 0;
			bool gone = tmk_overwritten(o, 3, (records[i].first + at) * K4, &length, i + 1, &by);

			ck_assert_uint_gt(length, 0);
			ck_assert_uint_eq(length % K4, 0);
			for (uint64_t b = records[i].first + at; b < records[i].first + at + length / K4; b++) {
				unsigned later = 0;

				for (unsigned j = i + 1; j < 60; j++)
					if (records[j].first <= b && b < records[j].first + records[j].count)
						later = j + 1;
				ck_assert_int_eq(!!later, gone);
				if (later > last)
					last = later;
			}
			ck_assert_uint_eq(by, last);
			at += length / K4;
		}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("overwrites");
	TCase *t = tcase_create("overwrites");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, later_ones_only);
	tcase_add_test(t, whole_blocks_only);
	tcase_add_test(t, full);
	tcase_add_test(t, what_is_very_long_is_sent);
	tcase_add_loop_test(t, against_a_table, 0, 20);
	suite_add_tcase(s, t);
	return run_suite(s);
}
