/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: kmod. The table of requests in flight, against a list (I4, R7): who is there, who overlaps, which is the oldest. */
#include <check.h>
#include <string.h>

#include "../../kmod/flight.h"
#include "suite.h"

#include "../../kmod/flight.c"

#define LIMIT 48
#define ADDRESSES 4096

static struct tmk_flights f;
static struct tmk_flight model[LIMIT];
static unsigned int count;
static uint64_t seed;

static uint64_t roll(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static const struct request *address(uint64_t i)
{
	return (const struct request *)(uintptr_t)(0xffff888100000000ull + i * 448);
}

static int in_model(const struct request *rq)
{
	for (unsigned int i = 0; i < count; i++)
		if (model[i].rq == rq)
			return (int)i;
	return -1;
}

static void same(const struct tmk_flight *want)
{
	const struct tmk_flight *is = tmk_flights_find(&f, want->rq);

	ck_assert_ptr_nonnull(is);
	ck_assert(is->rq == want->rq && is->sequence == want->sequence && is->begin == want->begin && is->end == want->end &&
		  is->overlapped == want->overlapped);
}

static void add(const struct request *rq, uint64_t begin, uint64_t end, uint64_t sequence)
{
	struct tmk_flight new = {.rq = rq, .sequence = sequence, .begin = begin, .end = end};

	if (count == LIMIT) {
		ck_assert_ptr_null(tmk_flights_add(&f, rq, begin, end, sequence));
		return;
	}
	for (unsigned int i = 0; i < count; i++)
		if (model[i].begin < end && begin < model[i].end)
			model[i].overlapped = new.overlapped = true;
	model[count++] = new;
	ck_assert_ptr_nonnull(tmk_flights_add(&f, rq, begin, end, sequence));
}

static void drop(int i)
{
	tmk_flights_remove(&f, tmk_flights_find(&f, model[i].rq));
	model[i] = model[--count];
}

static void compare(void)
{
	uint64_t oldest = UINT64_MAX;

	ck_assert_uint_eq(f.count, count);
	for (unsigned int i = 0; i < count; i++) {
		same(&model[i]);
		oldest = model[i].sequence < oldest ? model[i].sequence : oldest;
	}
	ck_assert_uint_eq(tmk_flights_oldest(&f, UINT64_MAX), oldest);
	ck_assert_uint_eq(tmk_flights_oldest(&f, 3), oldest < 3 ? oldest : 3);
}

/* Few sectors, so that many overlap, or many, and now and then a long one. */
START_TEST(as_a_list_has_it)
{
	const uint64_t sectors = _i % 2 ? 1u << 30 : 2000;

	seed = 0x9e3779b97f4a7c15ull * (uint64_t)(_i + 1);
	count = 0;
	ck_assert_int_eq(tmk_flights_init(&f, LIMIT), 0);
	for (uint64_t n = 1; n < 4000; n++) {
		const struct request *rq = address(roll(ADDRESSES));
		int at = in_model(rq);
		uint64_t begin = roll(sectors), length = roll(40) ? 1 + roll(64) : 1 + roll(1u << 20);

		if (at >= 0)
			drop(at);
		else if (roll(100) < (n / 500 % 2 ? 40 : 60))
			add(rq, begin, begin + length, n);
		else if (count)
			drop((int)roll(count));
		ck_assert_ptr_null(in_model(rq) < 0 ? tmk_flights_find(&f, rq) : NULL);
		compare();
	}
	if (_i < 2) /* all at once, or one by one */
		tmk_flights_clear(&f), count = 0;
	while (count)
		drop(0);
	compare();
	for (unsigned int i = 0; i < 1u << NEAR_BITS; i++)
		ck_assert_uint_eq(f.near[i], 0);
	ck_assert_uint_eq(f.wide, 0);
	for (unsigned int i = 0; i <= f.mask; i++)
		ck_assert_uint_eq(f.table[i], 0);
	tmk_flights_free(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flight");
	TCase *t = tcase_create("flight");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, as_a_list_has_it, 0, 6);
	suite_add_tcase(s, t);
	return run_suite(s);
}
