/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. How far a verify is: comes back as it was kept, and only to the protection that kept it. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "progress.h"
#include "suite.h"
#include "util.h"

static char directory[64], path[128];
static struct tmk_spec spec;
static struct tmk_progress full;

static void setup(void)
{
	strcpy(directory, "/tmp/tmk-test-progress-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/web.verify", directory);
	memset(&spec, 0, sizeof(spec));
	strcpy(spec.name, "web");
	memset(spec.protection, 0x5e, sizeof(spec.protection));
	spec.disk_count = 2;
	spec.disks[0].size = (1ull << 61) + 512;
	spec.disks[1].size = 1ull << 62;
	memset(&full, 0, sizeof(full));
	full.asked = true;
	full.done = spec.disks[0].size + spec.disks[1].size - 4096;
	full.different = 1ull << 60;
	full.skipped = 3;
	full.started = clock_ms;
	full.rate = 1ull << 53 | 1; /* no double holds it */
	full.last.known = full.last.asked = true;
	full.last.time = 1795262405000000000ull;
	full.last.different = 5;
	full.last.skipped = 1ull << 53 | 1; /* no double holds it */
}

static void teardown(void)
{
	unlink(path);
	rmdir(directory);
}

static void save(const struct tmk_progress *p)
{
	struct tmk_error err;

	ck_assert_msg(!tmk_progress_save(p, directory, &spec, &err), "%s", err.text);
}

static void same(const struct tmk_progress *want)
{
	struct tmk_progress p;

	memset(&p, 0x77, sizeof(p));
	ck_assert(tmk_progress_load(&p, directory, &spec));
	ck_assert(p.asked == want->asked && p.done == want->done && p.different == want->different);
	ck_assert(p.skipped == want->skipped && p.started == want->started && p.rate == want->rate);
	ck_assert(p.last.known == want->last.known && p.last.asked == want->last.asked && p.last.time == want->last.time);
	ck_assert(p.last.different == want->last.different && p.last.skipped == want->last.skipped);
}

START_TEST(comes_back_as_it_was)
{
	struct tmk_progress p = {.started = 1, .done = 8192}, got;

	ck_assert(!tmk_progress_load(&got, directory, &spec));
	save(&full);
	same(&full);
	save(&p);
	same(&p);
	tmk_progress_remove(directory, "web");
	ck_assert(!tmk_progress_load(&got, directory, &spec));
}
END_TEST

START_TEST(another_protection_under_the_name)
{
	struct tmk_progress got;

	save(&full);
	spec.protection[15] ^= 1;
	ck_assert(!tmk_progress_load(&got, directory, &spec));
	spec.protection[15] ^= 1;
	same(&full);
}
END_TEST

static void put(const char *text, size_t size)
{
	ck_assert_int_eq(tmk_write_file(path, text, size, 0600, NULL), 0);
}

#define ID "\"protection\":\"5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e\","
static const struct {
	const char *text;
	bool good;
} files[] = {
	{"{" ID "\"asked\":true,\"done\":4096,\"different\":0,\"skipped\":0,\"started\":1,\"last\":null}", true},
	{"", false},
	{"[]", false},
	{"null", false},
	{"{}", false},
	{"{\"asked\":true,\"done\":4096,\"different\":0,\"skipped\":0,\"started\":1,\"last\":null}", false},
	{"{" ID "\"asked\":1,\"done\":4096,\"different\":0,\"skipped\":0,\"started\":1,\"last\":null}", false},
	{"{" ID "\"asked\":true,\"done\":-1,\"different\":0,\"skipped\":0,\"started\":1,\"last\":null}", false},
	{"{" ID "\"asked\":true,\"done\":\"1\",\"different\":0,\"skipped\":0,\"started\":1,\"last\":null}", false},
	{"{" ID "\"asked\":true,\"done\":1e3,\"different\":0,\"skipped\":0,\"started\":1,\"last\":null}", false},
	{"{" ID "\"asked\":true,\"done\":9223372036854775808,\"different\":0,\"skipped\":0,\"started\":1,\"last\":null}", false},
	{"{" ID "\"asked\":true,\"done\":4096,\"different\":-1,\"skipped\":0,\"started\":1,\"last\":null}", false},
	{"{" ID "\"asked\":true,\"done\":4096,\"different\":0,\"skipped\":-1,\"started\":1,\"last\":null}", false},
	{"{" ID "\"asked\":true,\"done\":4096,\"different\":0,\"skipped\":0,\"started\":-1,\"last\":null}", false},
	{"{" ID "\"asked\":true,\"done\":4096,\"different\":0,\"skipped\":0,\"started\":1}", false},
	{"{" ID "\"asked\":true,\"done\":4096,\"different\":0,\"skipped\":0,\"started\":1,\"last\":{}}", false},
	{"{" ID "\"asked\":true,\"done\":4096,\"different\":0,\"skipped\":0,\"started\":1,\"last\":7}", false},
	{"{" ID "\"asked\":true,\"done\":4096,\"different\":0,\"skipped\":0,\"started\":1,\"rate\":1048576,\"last\":null}", true},
	{"{" ID "\"asked\":true,\"done\":4096,\"different\":0,\"skipped\":0,\"started\":1,\"rate\":-1,\"last\":null}", false},
	{"{" ID "\"asked\":true,\"done\":4096,\"different\":0,\"skipped\":0,\"started\":1,\"rate\":\"1\",\"last\":null}", false},
	{"{" ID "\"asked\":true,\"done\":4096,\"different\":0,\"skipped\":0,\"started\":1,\"rate\":null,\"last\":null}", false},
	/* of a clock that this machine has not reached: of another boot */
	{"{" ID "\"asked\":true,\"done\":4096,\"different\":0,\"skipped\":0,\"started\":3600001,\"last\":null}", false},
	{"{" ID "\"asked\":true,\"done\":4096,\"different\":0,\"skipped\":0,\"started\":3600000,\"last\":null}", true},
};

START_TEST(only_what_it_wrote)
{
	struct tmk_progress got;

	put(files[_i].text, strlen(files[_i].text));
	ck_assert_msg(tmk_progress_load(&got, directory, &spec) == files[_i].good, "%s", files[_i].text);
}
END_TEST

/* It is a place on one of the disks, and a block begins there. */
static const struct {
	uint64_t done;
	bool good;
} places[] = {
	{0, true},
	{4096, true},
	{512, false},
	{1, false},
	{(1ull << 61) - 4096, true},
	{1ull << 61, true},
	{(1ull << 61) + 512, true}, /* disk 1 */
	{(1ull << 61) + 4096, false},
	{(1ull << 61) + 512 + 4096, true},
	{(1ull << 61) + 512 + (1ull << 62), false},
	{INT64_MAX, false},
};

START_TEST(only_where_it_can_go_on)
{
	struct tmk_progress got;

	full.done = places[_i].done;
	save(&full);
	ck_assert(tmk_progress_load(&got, directory, &spec) == places[_i].good);
}
END_TEST

START_TEST(not_half_of_it)
{
	struct tmk_progress got;
	char *text;

	save(&full);
	ck_assert_int_eq(tmk_read_file(path, 4096, &text, NULL), 0);
	for (size_t size = strlen(text); size--;) {
		put(text, size);
		ck_assert_msg(!tmk_progress_load(&got, directory, &spec), "%zu bytes", size);
	}
	free(text);
	text = malloc(5000);
	memset(text, ' ', 5000);
	memcpy(text, files[0].text, strlen(files[0].text));
	put(text, 4096);
	ck_assert(tmk_progress_load(&got, directory, &spec));
	put(text, 4097);
	ck_assert(!tmk_progress_load(&got, directory, &spec));
	free(text);
}
END_TEST

/* It costs a verify from the start, and nothing else. */
START_TEST(nowhere_to_keep_it)
{
	char far[600];
	struct tmk_progress got;
	struct tmk_error err;

	ck_assert_int_eq(tmk_progress_save(&full, "/nonexistent/run", &spec, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/run/web.verify: No such file"));
	ck_assert(!tmk_progress_load(&got, "/nonexistent/run", &spec));
	memset(far, 'x', sizeof(far));
	far[0] = '/';
	far[sizeof(far) - 1] = 0;
	ck_assert_int_eq(tmk_progress_save(&full, far, &spec, &err), -ENAMETOOLONG);
	ck_assert(!tmk_progress_load(&got, far, &spec));
	tmk_progress_remove(far, "web");
	tmk_progress_remove("/nonexistent/run", "web");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("progress");
	TCase *t = tcase_create("progress");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, comes_back_as_it_was);
	tcase_add_test(t, another_protection_under_the_name);
	tcase_add_loop_test(t, only_what_it_wrote, 0, sizeof(files) / sizeof(files[0]));
	tcase_add_loop_test(t, only_where_it_can_go_on, 0, sizeof(places) / sizeof(places[0]));
	tcase_add_test(t, not_half_of_it);
	tcase_add_test(t, nowhere_to_keep_it);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
