/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. Points are made also where nobody can be watched writing, which is said once. Which mark of the log becomes
 * which point. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kept_log.h"
#include "point.h"
#include "suite.h"

/* ---- the tracker behind its lock ---- */
static const char *no_watch; /* why; NULL: it can be watched */
static int watched;

int tmk_marks_watch(struct tmk_marks *m, bool on, struct tmk_error *err)
{
	(void)m;
	if (no_watch)
		return tmk_error_set(err, -EPERM, "%s", no_watch);
	watched += on ? 1 : -1;
	return 0;
}

struct tmk_tracker *tmk_marks_lock(struct tmk_marks *m)
{
	(void)m;
	return NULL;
}

void tmk_marks_unlock(struct tmk_marks *m)
{
	(void)m;
}

static bool streaming;
static uint8_t last_cut[16];
static unsigned cuts;

bool tmk_follow_on(const struct tmk_follow *f)
{
	(void)f;
	return streaming;
}

bool tmk_follow_streaming(const struct tmk_follow *f)
{
	(void)f;
	return streaming;
}

int tmk_follow_cut(struct tmk_follow *f, const uint8_t id[16], struct tmk_error *err)
{
	(void)f;
	if (!streaming)
		return tmk_error_set(err, -EAGAIN, "there is no log");
	memcpy(last_cut, id, 16);
	cuts++;
	return 0;
}

/* ---- */
static struct tmk_config config;
static struct tmk_source source;
static struct tmk_point_maker *point;
static unsigned ended;

static void done(const struct tmk_outcome *o, void *context)
{
	(void)context;
	ck_assert_int_eq(o->rc, -ECANCELED);
	ended++;
}

static void setup(void)
{
	struct tmk_point_parts parts = {.config = &config, .source = &source, .done = done};

	strcpy(config.scripts_dir, "/nonexistent");
	strcpy(config.run_dir, "/nonexistent");
	strcpy(source.spec.name, "web");
	keep_log();
	ck_assert_int_eq(tmk_point_new(&point, &parts), 0);
}

static void teardown(void)
{
	tmk_point_free(point);
	ck_assert_int_eq(watched, 0);
}

static void ask_and_fail(void)
{
	unsigned before = ended;

	tmk_point_ask(point, &(struct tmk_wish){.automatic = true});
	ck_assert_int_eq(tmk_point_stage(point), TMK_POINT_ASKED);
	ck_assert_int_eq(watched, !no_watch);
	tmk_point_fail(point, -ECANCELED, "the protection was paused");
	ck_assert_int_eq(tmk_point_stage(point), TMK_POINT_NONE);
	ck_assert_uint_eq(ended, before + 1);
	ck_assert_int_eq(watched, 0);
}

START_TEST(nobody_is_watched)
{
	no_watch = "no room for the probe";
	for (int i = 0; i < 5; i++)
		ask_and_fail();
	ck_assert_uint_eq(logged("no room for the probe"), 1);
	no_watch = NULL;
	ask_and_fail();
	ck_assert_uint_eq(logged("is not named"), 1);
	no_watch = "no room again";
	ask_and_fail();
	ask_and_fail();
	ck_assert_uint_eq(logged("no room again"), 1);
	ck_assert_uint_eq(logged("is not named"), 2);
	no_watch = NULL;
}
END_TEST

/* A wish while it streams: its mark is put into the log. */
static void ask_streaming(bool automatic)
{
	streaming = true;
	tmk_point_ask(point, &(struct tmk_wish){.automatic = automatic, .id = "a wish"});
	tmk_point_step(point, true);
	ck_assert_int_eq(tmk_point_stage(point), TMK_POINT_CUT);
}

START_TEST(a_mark_of_the_log)
{
	const struct tmk_mark *mark;

	ask_streaming(false);
	mark = tmk_point_marked(last_cut, true, 17, 1234, point);
	ck_assert_ptr_nonnull(mark);
	ck_assert_int_eq(mark->kind, TMK_CRASH);
	ck_assert_str_eq((const char *)mark->id, "a wish");
	ck_assert_uint_eq(mark->gap, 17);
	ck_assert_uint_eq(mark->source_time, 1234); /* when it was cut, not when it was read */
	ck_assert_int_eq(tmk_point_stage(point), TMK_POINT_SENT);
}
END_TEST

/* R4. It is asked for once more, and the first mark is none for ever: it may lie where nobody froze anything. */
START_TEST(a_mark_that_is_none)
{
	uint8_t first[16];

	ask_streaming(false);
	memcpy(first, last_cut, 16);
	ck_assert_ptr_null(tmk_point_marked(first, false, 17, 1234, point));
	ck_assert_int_eq(tmk_point_stage(point), TMK_POINT_ASKED);
	tmk_point_step(point, true);
	ck_assert_uint_eq(cuts, 2);
	ck_assert_ptr_null(tmk_point_marked(first, true, 17, 1234, point));
	ck_assert_int_eq(tmk_point_stage(point), TMK_POINT_CUT);
	ck_assert_ptr_nonnull(tmk_point_marked(last_cut, true, 17, 1235, point));
}
END_TEST

/* R32: the module's own, the last one before a gap, is a point that nobody asked for; but not for somebody who asked after it. */
START_TEST(the_last_one_before_a_gap)
{
	static const uint8_t own[16];
	const struct tmk_mark *mark;

	ck_assert_ptr_null(tmk_point_marked(own, false, 17, 1234, point));
	tmk_point_ask(point, &(struct tmk_wish){.automatic = false});
	ck_assert_ptr_null(tmk_point_marked(own, true, 17, 1234, point));
	ck_assert_int_eq(tmk_point_stage(point), TMK_POINT_ASKED);
	tmk_point_fail(point, -ECANCELED, "");
	mark = tmk_point_marked(own, true, 17, 1234, point);
	ck_assert_ptr_nonnull(mark);
	ck_assert_uint_eq(mark->source_time, 1234);
	ck_assert_int_eq(tmk_point_stage(point), TMK_POINT_SENT);
}
END_TEST

/* The log was given up with it. */
START_TEST(cut_and_given_up)
{
	ask_streaming(true);
	streaming = false;
	tmk_point_step(point, true);
	ck_assert_int_eq(tmk_point_stage(point), TMK_POINT_ASKED);
	tmk_point_fail(point, -ECANCELED, "");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("point");
	TCase *t = tcase_create("point");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, nobody_is_watched);
	tcase_add_test(t, a_mark_of_the_log);
	tcase_add_test(t, a_mark_that_is_none);
	tcase_add_test(t, the_last_one_before_a_gap);
	tcase_add_test(t, cut_and_given_up);
	suite_add_tcase(s, t);
	return run_suite(s);
}
