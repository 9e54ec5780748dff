/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. Points are made also where nobody can be watched writing, which is said once. */
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

bool tmk_follow_on(const struct tmk_follow *f)
{
	(void)f;
	return false;
}

bool tmk_follow_streaming(const struct tmk_follow *f)
{
	(void)f;
	return false;
}

int tmk_follow_cut(struct tmk_follow *f, const uint8_t id[16], struct tmk_error *err)
{
	(void)f, (void)id;
	return tmk_error_set(err, -EAGAIN, "there is no log");
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

int main(void)
{
	Suite *s = suite_create("point");
	TCase *t = tcase_create("point");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, nobody_is_watched);
	suite_add_tcase(s, t);
	return run_suite(s);
}
