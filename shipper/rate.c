/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See rate.h. */
#include "rate.h"

#define SECOND 1000000000ull
#define LONGEST 60000 /* ms: callers come back to look */

static int64_t capacity(const struct tmk_rate *r)
{
	uint64_t tenth = r->rate / 10;

	return tenth > INT64_MAX / 2 ? INT64_MAX / 2 : tenth ? (int64_t)tenth : 1;
}

static void refill(struct tmk_rate *r, uint64_t now)
{
	uint64_t passed = now > r->then ? now - r->then : 0;
	unsigned __int128 gained = (unsigned __int128)r->rate * passed + r->rest;

	r->then += passed;
	r->rest = (uint64_t)(gained % SECOND);
	gained /= SECOND;
	if (gained >= (unsigned __int128)((__int128)capacity(r) - r->tokens)) {
		r->tokens = capacity(r);
		r->rest = 0;
	} else {
		r->tokens += (int64_t)gained;
	}
}

void tmk_rate_set(struct tmk_rate *r, uint64_t rate, uint64_t now)
{
	bool limited = r->rate != 0, owing;

	if (!limited && !rate) /* a debt goes on being paid */
		return;
	if (limited)
		refill(r, now);
	owing = r->tokens < 0;
	r->rate = rate;
	if (!limited && owing)
		refill(r, now);
	r->then = now;
	r->rest = 0;
	if ((!limited && !owing) || r->tokens > capacity(r))
		r->tokens = capacity(r);
}

bool tmk_rate_take(struct tmk_rate *r, uint64_t bytes, uint64_t now)
{
	if (!r->rate)
		return true;
	refill(r, now);
	if (r->tokens <= 0)
		return false;
	r->tokens -= (int64_t)bytes;
	return true;
}

int tmk_rate_delay(struct tmk_rate *r, uint64_t now)
{
	unsigned __int128 wait;

	if (!r->rate)
		return -1;
	refill(r, now);
	if (r->tokens > 0)
		return -1;
	/* one token more than the debt */
	wait = (unsigned __int128)(uint64_t)(1 - r->tokens) * SECOND - r->rest;
	wait = (wait + r->rate - 1) / r->rate;
	wait = (wait + 999999) / 1000000;
	return wait > LONGEST ? LONGEST : (int)wait;
}
