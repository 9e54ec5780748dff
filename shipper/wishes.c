/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wishes for points: see wishes.h. */
#include "wishes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

#define WISH_MS 120000

/* What the target would refuse in a mark. */
static bool label_ok(const char *label)
{
	if (strlen(label) > TMK_LABEL_MAX)
		return false;
	for (; *label; label++)
		if ((unsigned char)*label < 0x20 || *label == 0x7f)
			return false;
	return true;
}

int tmk_wishes_ask(struct tmk_wishes *w, bool app, const char *label, const uint8_t id[16], struct tmk_error *err)
{
	if (!label_ok(label))
		return tmk_error_set(err, -EINVAL, "a label has at most %d bytes and no control characters", TMK_LABEL_MAX);
	if (w->wished || (w->is_running && !w->running.automatic))
		return tmk_error_set(err, -EBUSY, "another point is being made; try again when it is done");
	w->next = (struct tmk_wish){.app = app};
	memcpy(w->next.id, id, sizeof(w->next.id));
	snprintf(w->next.label, sizeof(w->next.label), "%s", label);
	w->wished = true;
	w->since = tmk_now_ms();
	return 0;
}

bool tmk_wishes_take(struct tmk_wishes *w, struct tmk_wish *out)
{
	bool any = w->wished;

	if (any)
		*out = w->next;
	w->wished = false;
	return any;
}

void tmk_wishes_run(struct tmk_wishes *w, const struct tmk_wish *wish)
{
	w->running = *wish;
	w->is_running = true;
}

void tmk_wishes_done(struct tmk_wishes *w, const struct tmk_outcome *outcome)
{
	w->outcomes[w->count++ % TMK_OUTCOMES] = *outcome;
	w->is_running = false;
}

void tmk_wishes_expire(struct tmk_wishes *w, const char *why)
{
	struct tmk_outcome *o;

	if (!w->wished || tmk_now_ms() - w->since <= WISH_MS)
		return;
	o = &w->outcomes[w->count++ % TMK_OUTCOMES];
	*o = (struct tmk_outcome){.wish = w->next, .rc = -ETIMEDOUT};
	snprintf(o->why, sizeof(o->why), "%s", why[0] ? why : "the disks are not copied yet");
	w->wished = false;
}

int tmk_wishes_outcome(const struct tmk_wishes *w, const uint8_t id[16], struct tmk_error *err)
{
	size_t known = w->count < TMK_OUTCOMES ? w->count : TMK_OUTCOMES;

	if ((w->wished && !memcmp(w->next.id, id, 16)) || (w->is_running && !memcmp(w->running.id, id, 16)))
		return tmk_error_set(err, -EAGAIN, "not yet");
	for (size_t i = 0; i < known; i++) {
		const struct tmk_outcome *o = &w->outcomes[i];

		if (memcmp(o->wish.id, id, 16))
			continue;
		return o->rc ? tmk_error_set(err, o->rc, "no point was made: %s", o->why) : 0;
	}
	return tmk_error_set(err, -ENOENT, "no such point was asked for");
}
