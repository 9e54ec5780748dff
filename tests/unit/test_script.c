/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper */
/* Pre and post scripts: how they are run, refused, killed; and the note that one is owed. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "script.h"
#include "suite.h"
#include "util.h"

static char dir[64];
static struct tmk_error err;

static void setup(void)
{
	strcpy(dir, "/tmp/tmk-script-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	memset(&err, 0, sizeof(err));
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static const char *at(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void script(const char *body, mode_t mode)
{
	FILE *f = fopen(at("pre"), "w");

	ck_assert_ptr_nonnull(f);
	fprintf(f, "#!/bin/sh\ncd %s || exit 9\n%s\n", dir, body);
	fclose(f);
	ck_assert_int_eq(chmod(at("pre"), mode), 0);
}

static int run(unsigned timeout_ms)
{
	return tmk_script_run(dir, "pre", "db", timeout_ms, &err);
}

static char *content(const char *name)
{
	char *text;

	ck_assert_msg(!tmk_read_file(at(name), 4096, &text, &err), "%s", err.text);
	return text;
}

START_TEST(runs_with_a_small_environment)
{
	char *text;

	setenv("SECRET", "leaks", 1);
	script("env | sort > out; pwd > /dev/null; ls /proc/self/fd | wc -l > fds; echo hello; echo there >&2", 0700);
	ck_assert_int_eq(run(20000), 0);
	text = content("out");
	ck_assert_ptr_nonnull(strstr(text, "TIDEMARK_PROTECTION=db\n"));
	ck_assert_ptr_null(strstr(text, "SECRET"));
	free(text);
	text = content("fds");
	ck_assert_int_eq(atoi(text), 4); /* 0, 1, 2 and the directory that ls reads: nothing of ours */
	free(text);
}
END_TEST

START_TEST(none_is_fine)
{
	ck_assert_int_eq(run(1000), 0);
}
END_TEST

START_TEST(its_failure_is_ours)
{
	script("exit 3", 0700);
	ck_assert_int_eq(run(20000), -ECANCELED);
	ck_assert_ptr_nonnull(strstr(err.text, "3"));
	script("kill -9 $$", 0700);
	ck_assert_int_eq(run(20000), -ECANCELED);
	ck_assert_ptr_nonnull(strstr(err.text, "signal 9"));
}
END_TEST

START_TEST(refuses_what_others_may_write)
{
	script("touch ran", 0720);
	ck_assert_int_eq(run(20000), -EPERM);
	script("touch ran", 0702);
	ck_assert_int_eq(run(20000), -EPERM);
	script("touch ran", 0600);
	ck_assert_int_eq(run(20000), -EACCES);
	script("touch ran", 0700);
	ck_assert_int_eq(chmod(dir, 0777), 0);
	ck_assert_int_eq(run(20000), -EPERM);
	ck_assert_int_eq(chmod(dir, 0700), 0);
	ck_assert_int_ne(access(at("ran"), F_OK), 0);
	ck_assert_int_eq(run(20000), 0);
	ck_assert_int_eq(access(at("ran"), F_OK), 0);
	if (!geteuid()) {
		ck_assert_int_eq(chown(at("pre"), 65534, 65534), 0);
		ck_assert_int_eq(run(20000), -EPERM);
	}
}
END_TEST

START_TEST(kills_the_whole_group)
{
	char *text;
	pid_t child;

	script("trap '' TERM; (trap '' TERM; exec sleep 1000) & echo $! > child; wait; sleep 1000", 0700);
	ck_assert_int_eq(run(500), -ETIMEDOUT);
	text = content("child");
	child = atoi(text);
	free(text);
	ck_assert_int_gt(child, 0);
	for (int i = 0; i < 1000 && !kill(child, 0); i++) { /* until whoever inherited it has reaped it, or it is a zombie */
		char path[64], *status = NULL;

		snprintf(path, sizeof(path), "/proc/%d/status", child);
		if (!tmk_read_file(path, 65536, &status, NULL) && strstr(status, "State:\tZ")) {
			free(status);
			return;
		}
		free(status);
		usleep(10000);
	}
	ck_assert_int_ne(kill(child, 0), 0);
}
END_TEST

START_TEST(left_behind_output_does_not_hold_it_up)
{
	char *text;

	script("sleep 1000 & echo $! > child; exit 0", 0700);
	ck_assert_int_eq(run(60000), 0); /* the test's own time limit tells if it waited */
	text = content("child");
	kill(atoi(text), SIGKILL);
	free(text);
}
END_TEST

START_TEST(much_output_does_not_block_it)
{
	script("i=0; while [ $i -lt 3000 ]; do echo 'a line of some length that fills the pipe again and again'; i=$((i+1)); "
	       "done",
	       0700);
	ck_assert_int_eq(run(20000), 0);
}
END_TEST

START_TEST(owed)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/owed", dir);
	ck_assert_int_eq(tmk_script_owed(path), 0);
	ck_assert_int_eq(tmk_script_owe(path, &err), 0);
	ck_assert_int_eq(tmk_script_owe(path, &err), 0);
	ck_assert_int_eq(tmk_script_owed(path), 1);
	tmk_script_paid(path);
	ck_assert_int_eq(tmk_script_owed(path), 0);
	tmk_script_paid(path);
	ck_assert_int_eq(tmk_script_owe("/nowhere/owed", &err), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("script");
	TCase *t = tcase_create("script");

	freopen("/dev/null", "w", stderr); /* the log */
	tcase_set_timeout(t, 50);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, runs_with_a_small_environment);
	tcase_add_test(t, none_is_fine);
	tcase_add_test(t, its_failure_is_ours);
	tcase_add_test(t, refuses_what_others_may_write);
	tcase_add_test(t, kills_the_whole_group);
	tcase_add_test(t, left_behind_output_does_not_hold_it_up);
	tcase_add_test(t, much_output_does_not_block_it);
	tcase_add_test(t, owed);
	suite_add_tcase(s, t);
	return run_suite(s);
}
