/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A monotonic clock that moves only when the test says so. It stands in for the C library's function and not for tmk_now_ms(),
 * which shares its file with functions that are needed as they are. Check measures each test with it, in microseconds that fit
 * into 31 bits: no test moves it by more than half an hour.
 */
#ifndef TMK_TEST_CLOCK_H
#define TMK_TEST_CLOCK_H

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ms = 3600000;

int clock_gettime(clockid_t clock, struct timespec *out)
{
	if (clock != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, clock, out);
	*out = (struct timespec){.tv_sec = (time_t)(clock_ms / 1000), .tv_nsec = (long)(clock_ms % 1000) * 1000000};
	return 0;
}

#endif
