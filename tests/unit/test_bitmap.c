/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bitmaps of blocks against a plain array of flags. links: shipper */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "suite.h"

#define MOST 400

struct model {
	bool flags[MOST];
	uint64_t words[MOST / 64 + 2];
	struct tmk_bitmap map;
};

/* A word behind the end, to see that it is left alone. */
static void start(struct model *m, uint64_t blocks)
{
	memset(m, 0, sizeof(*m));
	m->words[tmk_bitmap_words(blocks)] = 0x5a5a;
	m->map = (struct tmk_bitmap){.words = m->words, .blocks = blocks};
}

static void set_flags(struct model *m, uint64_t first, uint64_t count, bool value)
{
	for (uint64_t i = first; i < m->map.blocks && i - first < count; i++)
		m->flags[i] = value;
}

static void check_same(const struct model *m)
{
	uint64_t count = 0, differ = 0, first, run, at = 0;
	bool found[MOST] = {};

	for (uint64_t i = 0; i < m->map.blocks; i++) {
		differ += tmk_bitmap_test(&m->map, i) != m->flags[i];
		count += m->flags[i];
	}
	ck_assert_uint_eq(differ, 0);
	ck_assert_uint_eq(tmk_bitmap_count(&m->map), count);
	while (tmk_bitmap_run(&m->map, at, &first, &run)) {
		ck_assert_uint_ge(first, at);
		ck_assert_uint_gt(run, 0);
		/* Whole runs, and none cut in two. */
		ck_assert(first == 0 || first == at || !m->flags[first - 1]);
		ck_assert(first + run == m->map.blocks || !m->flags[first + run]);
		for (uint64_t i = first; i < first + run; i++)
			found[i] = true;
		at = first + run;
	}
	ck_assert_int_eq(memcmp(found, m->flags, sizeof(found)), 0);
	ck_assert_uint_eq(m->words[tmk_bitmap_words(m->map.blocks)], 0x5a5a);
	if (m->map.blocks % 64)
		ck_assert_uint_eq(m->words[m->map.blocks / 64] >> m->map.blocks % 64, 0);
}

START_TEST(every_range)
{
	static const uint64_t sizes[] = {1, 63, 64, 65, 127, 128, 129, 200};
	struct model m;

	for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
		for (uint64_t first = 0; first <= sizes[s]; first += 1 + first % 5)
			for (uint64_t count = 0; count <= sizes[s] + 1 - first; count += 1 + count % 3) {
				start(&m, sizes[s]);
				tmk_bitmap_set(&m.map, first, count);
				set_flags(&m, first, count, true);
				check_same(&m);
				start(&m, sizes[s]);
				tmk_bitmap_set(&m.map, 0, sizes[s]);
				set_flags(&m, 0, sizes[s], true);
				tmk_bitmap_clear(&m.map, first, count);
				set_flags(&m, first, count, false);
				check_same(&m);
			}
}
END_TEST

START_TEST(many_changes)
{
	struct model m;

	srandom(7);
	for (int round = 0; round < 200; round++) {
		start(&m, 1 + random() % MOST);
		for (int i = 0; i < 20; i++) {
			uint64_t first = random() % MOST, count = random() % (random() % 8 ? 20 : MOST);
			bool value = random() % 3;

			(value ? tmk_bitmap_set : tmk_bitmap_clear)(&m.map, first, count);
			set_flags(&m, first, count, value);
			check_same(&m);
		}
	}
}
END_TEST

START_TEST(any_of_a_range)
{
	struct model m;

	for (uint64_t marked = 0; marked < 200; marked += 1 + marked % 7) {
		start(&m, 200);
		tmk_bitmap_set(&m.map, marked, 1);
		for (uint64_t first = 0; first <= 200; first++)
			for (uint64_t count = 0; count < 140; count += 1 + count / 3)
				ck_assert(tmk_bitmap_any(&m.map, first, count) == (first <= marked && marked < first + count));
	}
}
END_TEST

START_TEST(no_overflow)
{
	struct model m;

	start(&m, 100);
	tmk_bitmap_set(&m.map, 90, UINT64_MAX);
	set_flags(&m, 90, 10, true);
	check_same(&m);
	tmk_bitmap_set(&m.map, UINT64_MAX, UINT64_MAX);
	tmk_bitmap_clear(&m.map, 100, 1);
	ck_assert(tmk_bitmap_any(&m.map, 95, UINT64_MAX) && !tmk_bitmap_any(&m.map, UINT64_MAX, UINT64_MAX));
	check_same(&m);
	tmk_bitmap_clear(&m.map, 95, UINT64_MAX);
	set_flags(&m, 95, 5, false);
	check_same(&m);
}
END_TEST

START_TEST(move_unites)
{
	struct model now, taken;

	for (int round = 0; round < 100; round++) {
		uint64_t blocks = 1 + random() % MOST;

		start(&now, blocks);
		start(&taken, blocks);
		for (int i = 0; i < 5; i++) {
			uint64_t a = random() % MOST, b = random() % MOST;

			tmk_bitmap_set(&now.map, a, b % 50);
			set_flags(&now, a, b % 50, true);
			tmk_bitmap_set(&taken.map, b, a % 50);
			set_flags(&taken, b, a % 50, true);
		}
		for (uint64_t i = 0; i < blocks; i++)
			taken.flags[i] |= now.flags[i];
		memset(now.flags, 0, sizeof(now.flags));
		tmk_bitmap_move(&now.map, &taken.map);
		check_same(&now);
		check_same(&taken);
	}
}
END_TEST

/* As a probe does: test, then set. */
static void *set_each_once(void *context)
{
	const struct tmk_bitmap *b = context;

	for (uint64_t i = 0; i < b->blocks; i++) {
		uint64_t block = i * 37 % b->blocks;

		if (!tmk_bitmap_test(b, block))
			tmk_bitmap_set(b, block, 1);
	}
	return NULL;
}

/* Marks set while others are moved are not lost (I2). */
START_TEST(move_races)
{
	enum { BLOCKS = 4096, ROUNDS = 300 };
	uint64_t words[BLOCKS / 64], taken_words[BLOCKS / 64];
	struct tmk_bitmap now = {.words = words, .blocks = BLOCKS}, taken = {.words = taken_words, .blocks = BLOCKS};

	for (int round = 0; round < ROUNDS; round++) {
		pthread_t setter;

		memset(words, 0, sizeof(words));
		memset(taken_words, 0, sizeof(taken_words));
		ck_assert_int_eq(pthread_create(&setter, NULL, set_each_once, &now), 0);
		while (pthread_tryjoin_np(setter, NULL))
			tmk_bitmap_move(&now, &taken);
		tmk_bitmap_move(&now, &taken);
		ck_assert_uint_eq(tmk_bitmap_count(&now), 0);
		ck_assert_uint_eq(tmk_bitmap_count(&taken), BLOCKS);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bitmap");
	TCase *tcase = tcase_create("bitmap");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, every_range);
	tcase_add_test(tcase, many_changes);
	tcase_add_test(tcase, any_of_a_range);
	tcase_add_test(tcase, no_overflow);
	tcase_add_test(tcase, move_unites);
	tcase_add_test(tcase, move_races);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
