/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. The shipper's configuration: defaults, every key, and what is refused. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "suite.h"
#include "util.h"

static char directory[64], path[128];

static void setup(void)
{
	strcpy(directory, "/tmp/tmk-test-config-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/shipper.conf", directory);
}

static void teardown(void)
{
	unlink(path);
	rmdir(directory);
}

static int read_text(const char *text, struct tmk_config *c, struct tmk_error *err)
{
	tmk_config_defaults(c);
	ck_assert_int_eq(tmk_write_file(path, text, strlen(text), 0600, NULL), 0);
	return tmk_config_read(c, path, err);
}

START_TEST(defaults)
{
	struct tmk_config c;

	tmk_config_defaults(&c);
	ck_assert_str_eq(c.state_dir, "/var/lib/tidemark/source");
	ck_assert_str_eq(c.control, "/run/tidemark/shipper.sock");
	ck_assert_uint_eq(c.read_depth, 16);
	ck_assert(!c.coalesce);
	ck_assert_uint_eq(c.window, 16 << 20);
	ck_assert_uint_eq(c.freeze_limit, 2000);
	ck_assert_uint_eq(c.point_every, 60000);
	ck_assert_uint_eq(c.app_every, 0);
	ck_assert_uint_eq(c.verify_every, 7 * 86400000ull);
	ck_assert_uint_eq(c.verify_rate, 0);
	ck_assert_uint_eq(c.backoff_most, 30000);
	ck_assert(c.freeze);
	ck_assert_int_eq(c.freezer[0], '/');
}
END_TEST

START_TEST(every_key)
{
	struct tmk_error err = {0};
	struct tmk_config c;
	int rc = read_text(
		"state-dir = /a/state\nrun-dir = /a/run\npins = /a/pins\nfreezer = /a/freezer\nscripts-dir = /a/scripts\n"
		"read-depth = 4\nread-rate = 10MiB\ncoalesce = yes\nwindow = 8MiB\nfreeze-limit = 500ms\nfreeze-memory = 64MiB\n"
		"point-every = 10s\napp-every = 1h\nfreeze = yes\nscript-limit = 5s\nverify-every = 14d\n"
		"verify-rate = 50MiB\nbackoff-most = 1m\n",
		&c, &err);

	ck_assert_msg(!rc, "%s", err.text);
	ck_assert_str_eq(c.state_dir, "/a/state");
	ck_assert_str_eq(c.control, "/a/run/shipper.sock"); /* follows run-dir */
	ck_assert_str_eq(c.pins, "/a/pins");
	ck_assert_str_eq(c.freezer, "/a/freezer");
	ck_assert_str_eq(c.scripts_dir, "/a/scripts");
	ck_assert_uint_eq(c.read_depth, 4);
	ck_assert_uint_eq(c.read_rate, 10 << 20);
	ck_assert(c.coalesce);
	ck_assert_uint_eq(c.window, 8 << 20);
	ck_assert_uint_eq(c.freeze_limit, 500);
	ck_assert_uint_eq(c.freeze_memory, 64 << 20);
	ck_assert_uint_eq(c.point_every, 10000);
	ck_assert_uint_eq(c.app_every, 3600000);
	ck_assert_uint_eq(c.script_limit, 5000);
	ck_assert_uint_eq(c.verify_every, 14 * 86400000ull);
	ck_assert_uint_eq(c.verify_rate, 50 << 20);
	ck_assert_uint_eq(c.backoff_most, 60000);
}
END_TEST

START_TEST(points_only_when_asked)
{
	struct tmk_error err = {0};
	struct tmk_config c;
	int rc = read_text("point-every = 0\nfreeze = no\ncontrol = /b/c.sock\n", &c, &err);

	ck_assert_msg(!rc, "%s", err.text);
	ck_assert_uint_eq(c.point_every, 0);
	ck_assert(!c.freeze);
	ck_assert_str_eq(c.control, "/b/c.sock");
}
END_TEST

START_TEST(verify_only_when_asked)
{
	struct tmk_error err = {0};
	struct tmk_config c;

	ck_assert_int_eq(read_text("verify-every = 0\n", &c, &err), 0);
	ck_assert_uint_eq(c.verify_every, 0);
	ck_assert_int_eq(read_text("verify-every = 10s\n", &c, &err), 0);
	ck_assert_uint_eq(c.verify_every, 10000);
	ck_assert_int_eq(read_text("verify-every = 365d\n", &c, &err), 0);
}
END_TEST

static const struct {
	const char *text, *says;
} bad[] = {
	{"read-deep = 4\n", "read-deep"},
	{"read-depth = 0\n", "read-depth"},
	{"read-depth = 65\n", "read-depth"},
	{"read-depth = many\n", "read-depth"},
	{"window = 1MiB\n", "window"},
	{"window = 257MiB\n", "window"},
	{"freeze-limit = 99ms\n", "freeze-limit"},
	{"freeze-limit = 61s\n", "freeze-limit"},
	{"freeze = perhaps\n", "freeze"},
	{"state-dir = relative\n", "state-dir"},
	{"run-dir = relative\n", "run-dir"},
	{"point-every = 10ms\n", "point-every"},
	{"app-every = 10ms\n", "app-every"},
	{"app-every = 1h\nfreeze = no\n", "app-every"},
	{"verify-every = 9s\n", "verify-every"},
	{"verify-every = 366d\n", "verify-every"},
	{"verify-every = -1\n", "verify-every"},
	{"verify-rate = fast\n", "verify-rate"},
	{"verify-rate = -1\n", "verify-rate"},
	{"control = "
	 "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
	 "control"},
};

START_TEST(refused)
{
	struct tmk_error err = {0};
	struct tmk_config c, before;

	tmk_config_defaults(&before);
	ck_assert_int_lt(read_text(bad[_i].text, &c, &err), 0);
	ck_assert_msg(strstr(err.text, bad[_i].says), "'%s' does not name %s", err.text, bad[_i].says);
	ck_assert_msg(strstr(err.text, path), "'%s' does not name the file", err.text);
	ck_assert_str_eq(c.state_dir, before.state_dir);
	ck_assert_uint_eq(c.window, before.window);
	ck_assert_str_eq(c.control, before.control);
}
END_TEST

START_TEST(missing)
{
	struct tmk_error err = {0};
	struct tmk_config c;

	tmk_config_defaults(&c);
	ck_assert_int_eq(tmk_config_read(&c, "/nonexistent/shipper.conf", &err), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *t = tcase_create("config");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, defaults);
	tcase_add_test(t, every_key);
	tcase_add_test(t, points_only_when_asked);
	tcase_add_test(t, verify_only_when_asked);
	tcase_add_loop_test(t, refused, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(t, missing);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
