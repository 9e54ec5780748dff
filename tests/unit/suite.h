/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The last line of a test program: return run_suite(s); */
#ifndef TMK_TEST_SUITE_H
#define TMK_TEST_SUITE_H

#include <check.h>
#include <stdlib.h>

static int run_suite(Suite *s)
{
	SRunner *sr = srunner_create(s);
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
