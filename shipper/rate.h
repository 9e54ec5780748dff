/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A token bucket: so many bytes a second, at most a tenth of a second's worth at once. What is taken may overdraw it (a read is
 * not divided); then nothing is given until the debt is paid, so that the average holds whatever the sizes. Pure: the caller
 * brings the time, in nanoseconds of a clock that does not go back.
 */
#ifndef TMK_RATE_H
#define TMK_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct tmk_rate {
	uint64_t rate;	/* bytes a second; 0: unlimited */
	int64_t tokens; /* bytes */
	uint64_t rest;	/* of a token: billionths */
	uint64_t then;	/* ns: tokens are counted up to here */
};

/* Starts, or goes on with another rate: a debt is kept, savings beyond the new rate's are not. A debt of before a time without a
 * rate is paid at the new one since. */
void tmk_rate_set(struct tmk_rate *r, uint64_t rate, uint64_t now);
/* Takes the bytes, or says no. */
bool tmk_rate_take(struct tmk_rate *r, uint64_t bytes, uint64_t now);
/* Milliseconds until take() says yes, rounded up, at most a minute; -1: it would now. */
int tmk_rate_delay(struct tmk_rate *r, uint64_t now);

#endif
