/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Points that people ask for, one at a time, and what became of the last ones. Guarded by its owner's lock; no I/O. */
#ifndef TMK_WISHES_H
#define TMK_WISHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "point.h"

#define TMK_OUTCOMES 16

struct tmk_wishes {
	bool wished, is_running;
	struct tmk_wish next;			   /* if wished */
	uint64_t since;				   /* ms, monotonic */
	struct tmk_wish running;		   /* being made, if is_running */
	struct tmk_outcome outcomes[TMK_OUTCOMES]; /* a ring */
	size_t count;				   /* of outcomes ever */
};

/* -EBUSY: another one is wished for, or being made. -EINVAL: the label. */
int tmk_wishes_ask(struct tmk_wishes *w, bool app, const char *label, const uint8_t id[16], struct tmk_error *err);
/* The next one, if there is one. */
bool tmk_wishes_take(struct tmk_wishes *w, struct tmk_wish *out);
/* It is being made now. */
void tmk_wishes_run(struct tmk_wishes *w, const struct tmk_wish *wish);
/* What became of the one that was being made. */
void tmk_wishes_done(struct tmk_wishes *w, const struct tmk_outcome *outcome);
/* Nobody waits for ever for a point that no session carries: a wish that is two minutes old comes to nothing, with the reason. */
void tmk_wishes_expire(struct tmk_wishes *w, const char *why);
/* What became of it: -EAGAIN not yet, 0 durable at the target, else why not; -ENOENT: not asked for. */
int tmk_wishes_outcome(const struct tmk_wishes *w, const uint8_t id[16], struct tmk_error *err);

#endif
