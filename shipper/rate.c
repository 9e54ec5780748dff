/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See rate.h. */
#include "rate.h"

#define SECOND 1000000000ull

static int64_t capacity(const struct tmk_rate *r)
{
	uint64_t tenth = r->rate / 10;

	return tenth > INT64_MAX / 2 ? INT64_MAX / 2 : tenth ? (int64_t)tenth : 1;
}

static void refill(struct tmk_rate *r, uint64_t now)
{
	uint64_t passed = now > r->then ? now - r->then : 0;
	unsigned __int128 gained = (unsigned __int128)r->rate * passed / SECOND;

	if (!gained)
		return; /* then stays: the fraction is not lost */
	if (gained > (uint64_t)INT64_MAX / 2 || r->tokens + (int64_t)gained >= capacity(r)) {
		r->tokens = capacity(r);
		r->then = now;
		return;
	}
	r->tokens += (int64_t)gained;
	r->then += (uint64_t)(gained * SECOND / r->rate);
}

void tmk_rate_set(struct tmk_rate *r, uint64_t rate, uint64_t now)
{
	bool started = r->rate != 0;

	if (started)
		refill(r, now);
	r->rate = rate;
	r->then = now;
	if (!started || r->tokens > capacity(r))
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
	/* one token more than the debt, less what the time since `then` has earned of it */
	wait = ((unsigned __int128)(uint64_t)(1 - r->tokens) * SECOND + r->rate - 1) / r->rate;
	wait = wait > now - r->then ? wait - (now - r->then) : 0;
	wait = (wait + 999999) / 1000000;
	return wait > 60000 ? 60000 : wait ? (int)wait : 1;
}
