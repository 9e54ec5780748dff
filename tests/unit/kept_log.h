/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a test program logs, to be asked for by the test: keep_log() first. */
#ifndef TMK_TEST_KEPT_LOG_H
#define TMK_TEST_KEPT_LOG_H

#include <check.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int kept_log = -1;

static void keep_log(void)
{
	kept_log = memfd_create("log", MFD_CLOEXEC);
	ck_assert_int_ge(dup2(kept_log, STDERR_FILENO), 0);
}

/* How many lines since then have the text. */
static unsigned logged(const char *text)
{
	static char log[1 << 20];
	ssize_t size = pread(kept_log, log, sizeof(log) - 1, 0);
	unsigned count = 0;

	ck_assert_int_ge(size, 0);
	log[size] = 0;
	for (const char *at = log; at && (at = strstr(at, text)); at = strchr(at, '\n'))
		count++;
	return count;
}

#endif
