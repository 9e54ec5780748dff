/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: cli. A report has what there is, says what there is not, and prints nothing that a terminal would obey. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "suite.h"

static char root[] = "/tmp/tidemark-report.XXXXXX";

static void put(const char *path, const char *text)
{
	char command[1024], name[256];
	FILE *f;

	snprintf(name, sizeof(name), "%s%s", root, path);
	snprintf(command, sizeof(command), "mkdir -p \"$(dirname '%s')\"", name);
	ck_assert_int_eq(system(command), 0);
	f = fopen(name, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(report)
{
	static const char *const has[] = {
		"\n== /proc/version\nLinux of the test\n",
		"\n== /sys/kernel/debug/tidemark/requests\nwrite 1\n",
		"\n== /sys/kernel/debug/tidemark/state\nprotection ?[31m??m\n",
		"\n== /sys/module/tidemark/version\nis not there\n",
		"\n== /etc/tidemark/shipper.conf\nring = 4M\n",
		"tidemark: a test write was seen",
		"\n== /nowhere/at/all.sock\nno status: no daemon answers\n",
	};
	char command[64], text[8192] = "";
	FILE *out = tmpfile(); /* which a child writes to, too */

	ck_assert_ptr_nonnull(mkdtemp(root));
	put("/proc/version", "Linux of the test\n");
	put("/sys/kernel/debug/tidemark/requests", "write 1\n");
	put("/sys/kernel/debug/tidemark/state", "protection \033[31m\302\233m\n");
	put("/etc/tidemark/shipper.conf", "ring = 4M\n");
	put("/dev/kmsg", "6,1,2,-;tidemark: a test write was seen\n");
	ck_assert_int_eq(tmk_report(out, root, "/nowhere/at/all.sock"), 0);
	rewind(out);
	ck_assert_uint_gt(fread(text, 1, sizeof(text) - 1, out), 0);
	fclose(out);
	for (size_t i = 0; i < sizeof(has) / sizeof(has[0]); i++)
		ck_assert_msg(strstr(text, has[i]), "no '%s' in:\n%s", has[i], text);
	ck_assert_ptr_null(strchr(text, '\033'));
	snprintf(command, sizeof(command), "rm -r %s", root);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("report");
	TCase *t = tcase_create("report");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, report);
	suite_add_tcase(s, t);
	return run_suite(s);
}
