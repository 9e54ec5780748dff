/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. The address that join takes; and that a refused or failed join leaves an earlier one as it was. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "join.h"
#include "pki.h"
#include "suite.h"
#include "util.h"

static const struct {
	const char *text, *host;
	uint16_t port;
} good[] = {
	{"dr.example", "dr.example", 9443},    {"dr.example:1", "dr.example", 1},
	{"10.0.0.1:65535", "10.0.0.1", 65535}, {"[::1]", "::1", 9443},
	{"[fe80::1]:77", "fe80::1", 77},       {"fe80::1", "fe80::1", 9443},
};
static const char *const bad[] = {
	"",	  ":",	    ":1",      "h:",  "h:0", "h:65536", "h:99999999999999999999", "h:1x", "h:-1", "h: 1", "[::1", "[]",
	"[::1]x", "[::1]:", "[::1]:0", "a b", "a/b", "a\n"};

START_TEST(good_address)
{
	struct tmk_target_address out;
	struct tmk_error err = {0};

	ck_assert_msg(!tmk_join_address(good[_i].text, &out, &err), "%s: %s", good[_i].text, err.text);
	ck_assert_str_eq(out.host, good[_i].host);
	ck_assert_uint_eq(out.port, good[_i].port);
}
END_TEST

START_TEST(bad_address)
{
	struct tmk_target_address out;
	struct tmk_error err = {0};

	ck_assert_msg(tmk_join_address(bad[_i], &out, &err) == -EINVAL, "'%s' was taken", bad[_i]);
}
END_TEST

START_TEST(long_address)
{
	struct tmk_target_address out;
	char text[400];

	memset(text, 'a', sizeof(text));
	text[255] = '\0';
	ck_assert_int_eq(tmk_join_address(text, &out, NULL), 0);
	text[255] = 'a';
	text[256] = '\0';
	ck_assert_int_eq(tmk_join_address(text, &out, NULL), -EINVAL);
}
END_TEST

START_TEST(failure_changes_nothing)
{
	struct tmk_target_address old = {.host = "old.example", .port = 1}, nobody = {.host = "127.0.0.1", .port = 1}, now;
	char directory[] = "/tmp/tmk-test-join-XXXXXX", path[128], token[TMK_TOKEN_MAX];
	struct tmk_error err = {0};
	uint8_t fingerprint[32];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	tmk_token_format(&(struct tmk_token){{1}, {2}}, token);
	ck_assert_int_eq(tmk_store_set_target(directory, &old, &err), 0);
	ck_assert_int_eq(tmk_join(directory, &nobody, token, false, fingerprint, &err), -EEXIST);
	ck_assert_msg(strstr(err.text, "old.example") && strstr(err.text, "--again"), "%s", err.text);
	ck_assert_int_eq(tmk_join(directory, &nobody, "tm1-nonsense", true, fingerprint, &err), -EINVAL);
	ck_assert_int_lt(tmk_join(directory, &nobody, token, true, fingerprint, &err), 0); /* nobody listens there */
	ck_assert_int_eq(tmk_store_target(directory, &now, &err), 0);
	ck_assert_str_eq(now.host, "old.example");
	snprintf(path, sizeof(path), "%s/source.key.new", directory);
	ck_assert_int_ne(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/target.json", directory);
	unlink(path);
	ck_assert_int_eq(rmdir(directory), 0); /* nothing else is left */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("join");
	TCase *t = tcase_create("join");

	tcase_add_loop_test(t, good_address, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(t, bad_address, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(t, long_address);
	tcase_add_test(t, failure_changes_nothing);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
