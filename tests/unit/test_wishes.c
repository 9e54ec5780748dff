/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. Wishes for points: one at a time, what became of the last ones, and none that waits for ever. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "suite.h"
#include "wishes.h"

static struct tmk_wishes w;
static struct tmk_error err;
static uint8_t id[16];

static void setup(void)
{
	memset(&w, 0, sizeof(w));
	memset(id, 0xa1, sizeof(id));
}

static int ask(const char *label)
{
	return tmk_wishes_ask(&w, true, label, id, &err);
}

static int outcome(void)
{
	err.text[0] = 0;
	return tmk_wishes_outcome(&w, id, &err);
}

/* The wish goes through the hands of the thread, and ends so. */
static void make(int rc, const char *why)
{
	struct tmk_outcome o = {.rc = rc};

	ck_assert(tmk_wishes_take(&w, &o.wish));
	tmk_wishes_run(&w, &o.wish);
	snprintf(o.why, sizeof(o.why), "%s", why);
	tmk_wishes_done(&w, &o);
}

START_TEST(from_the_wish_to_the_point)
{
	struct tmk_wish wish;

	ck_assert(!tmk_wishes_take(&w, &wish));
	ck_assert_int_eq(outcome(), -ENOENT);
	ck_assert_int_eq(ask("before the upgrade"), 0);
	ck_assert_int_eq(outcome(), -EAGAIN);
	ck_assert(tmk_wishes_take(&w, &wish));
	ck_assert(wish.app && !wish.automatic);
	ck_assert_str_eq(wish.label, "before the upgrade");
	ck_assert_mem_eq(wish.id, id, sizeof(id));
	tmk_wishes_run(&w, &wish);
	ck_assert(!tmk_wishes_take(&w, &wish));
	ck_assert_int_eq(outcome(), -EAGAIN);
	tmk_wishes_done(&w, &(struct tmk_outcome){.wish = wish});
	ck_assert_int_eq(outcome(), 0);
	id[15]++;
	ck_assert_int_eq(outcome(), -ENOENT);
}
END_TEST

START_TEST(why_there_is_none)
{
	ck_assert_int_eq(ask(""), 0);
	make(-EBUSY, "vfat wrote");
	ck_assert_int_eq(outcome(), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.text, "vfat wrote"));
}
END_TEST

/* An automatic one is no reason to send anybody away. */
START_TEST(one_at_a_time)
{
	struct tmk_wish wish = {.automatic = true};

	tmk_wishes_run(&w, &wish);
	ck_assert_int_eq(ask("one"), 0);
	ck_assert_int_eq(ask("two"), -EBUSY);
	tmk_wishes_done(&w, &(struct tmk_outcome){.wish = wish});
	ck_assert(tmk_wishes_take(&w, &wish));
	ck_assert_str_eq(wish.label, "one");
	tmk_wishes_run(&w, &wish);
	ck_assert_int_eq(ask("two"), -EBUSY);
	tmk_wishes_done(&w, &(struct tmk_outcome){.wish = wish});
	ck_assert_int_eq(ask("two"), 0);
}
END_TEST

START_TEST(labels)
{
	char label[TMK_LABEL_MAX + 2];

	memset(label, 'x', sizeof(label));
	label[TMK_LABEL_MAX + 1] = 0;
	ck_assert_int_eq(ask(label), -EINVAL);
	ck_assert_int_eq(ask("two\nlines"), -EINVAL);
	ck_assert_int_eq(ask("\x7f"), -EINVAL);
	ck_assert(!w.wished);
	label[TMK_LABEL_MAX] = 0;
	ck_assert_int_eq(ask(label), 0);
	make(0, "");
	ck_assert_int_eq(ask("für später"), 0);
}
END_TEST

START_TEST(none_waits_for_ever)
{
	struct tmk_wish wish;

	tmk_wishes_expire(&w, "");
	ck_assert_int_eq(ask(""), 0);
	clock_ms += 120000;
	tmk_wishes_expire(&w, "no session");
	ck_assert_int_eq(outcome(), -EAGAIN);
	clock_ms++;
	tmk_wishes_expire(&w, "no session");
	ck_assert_int_eq(outcome(), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(err.text, "no session"));
	ck_assert(!tmk_wishes_take(&w, &wish));
	id[0]++;
	ck_assert_int_eq(ask(""), 0);
	clock_ms += 120001;
	tmk_wishes_expire(&w, "");
	ck_assert_int_eq(outcome(), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(err.text, "not copied yet"));
}
END_TEST

START_TEST(the_last_ones_are_known)
{
	for (id[0] = 0; id[0] < TMK_OUTCOMES + 2; id[0]++) {
		ck_assert_int_eq(ask(""), 0);
		make(id[0] % 2 ? -EIO : 0, "");
	}
	for (id[0] = 0; id[0] < TMK_OUTCOMES + 2; id[0]++)
		ck_assert_int_eq(outcome(), id[0] < 2 ? -ENOENT : id[0] % 2 ? -EIO : 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wishes");
	TCase *t = tcase_create("wishes");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, from_the_wish_to_the_point);
	tcase_add_test(t, why_there_is_none);
	tcase_add_test(t, one_at_a_time);
	tcase_add_test(t, labels);
	tcase_add_test(t, none_waits_for_ever);
	tcase_add_test(t, the_last_ones_are_known);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
