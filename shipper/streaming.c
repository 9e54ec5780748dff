/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the log is on: see streaming.h. */
#include "streaming.h"

#include <stdio.h>

#include "log.h"
#include "util.h"

/* Of the ring: with so little left for a round it is switched on, with so much it is given up. */
#define ON_PART 8
#define OFF_PART 2
#define VAIN_MOST 8 /* rounds, one after the other, that did not end in streaming: the log is given up for a while */
#define OFF_MS 60000
#define SCRATCH_MS 1000
#define VERIFY_MS 10000 /* for so long a batch may take to begin, and to end, before a round is due */

static uint64_t left(const struct tmk_work *w)
{
	uint64_t all = w->dirty + w->taken, bad = tmk_source_bad_bytes(&w->source, true);

	return all > bad ? all - bad : 0;
}

/* The round that comes next is the first one that can end in streaming. */
static int switch_on(struct tmk_protection *p, struct tmk_error *err)
{
	struct tmk_work *w = &p->work;
	int rc = tmk_follow_switch(w->follow, true, err);

	if (!rc)
		w->round_at = 0;
	return rc;
}

static int switch_off(struct tmk_protection *p, struct tmk_error *err)
{
	struct tmk_work *w = &p->work;

	w->both = false;
	w->vain = 0;
	w->dirty_at = 0;
	tmk_log_info("%s: %llu bytes are dirty; the log is off", p->spec.name, (unsigned long long)left(w));
	return tmk_follow_switch(w->follow, false, err);
}

static int choose(struct tmk_protection *p, bool resting, struct tmk_error *err)
{
	struct tmk_work *w = &p->work;
	uint64_t size = tmk_follow_log(w->follow)->size;

	if (!resting || !tmk_stream_state(w->stream)->connected)
		return 0;
	if (!tmk_follow_on(w->follow) && tmk_now_ms() >= w->off_until)
		return w->round_read && !w->first_copy && w->rested && left(w) <= size / ON_PART ? switch_on(p, err) : 0;
	if (!tmk_follow_on(w->follow))
		return 0;
	if (w->vain >= VAIN_MOST) {
		snprintf(w->slow, sizeof(w->slow),
			 "cannot converge: not all that is written is in the log or fits into it (%s); sent in rounds",
			 tmk_follow_log(w->follow)->reason);
		tmk_log_warning("%s: %s", p->spec.name, w->slow);
		w->off_until = tmk_now_ms() + OFF_MS;
		return switch_off(p, err);
	}
	return left(w) > size / OFF_PART ? switch_off(p, err) : 0;
}

static void tell(struct tmk_protection *p)
{
	struct tmk_work *w = &p->work;
	bool streaming = tmk_follow_streaming(w->follow);

	if (streaming != w->streamed)
		tmk_log_info("%s: %s%s", p->spec.name,
			     streaming ? "streaming" : "catching up: ", streaming ? "" : tmk_follow_log(w->follow)->reason);
	w->streamed = streaming;
	if (!streaming)
		return;
	w->vain = 0;
	w->slow[0] = '\0';
}

/* Where nothing is taken nobody else sees it. */
static int watch_scratch(struct tmk_work *w, struct tmk_error *err)
{
	uint64_t now = tmk_now_ms();

	if (!tmk_follow_streaming(w->follow) || now < w->scratch_at)
		return 0;
	w->scratch_at = now + SCRATCH_MS;
	return tmk_source_refresh(&w->source, err);
}

int tmk_streaming_step(struct tmk_protection *p, bool resting, struct tmk_error *err)
{
	struct tmk_work *w = &p->work;
	int rc;

	if (!tmk_follow_has_log(w->follow))
		return 0;
	rc = tmk_follow_look(w->follow, err);
	tell(p);
	if (!rc)
		rc = watch_scratch(w, err);
	if (!rc)
		rc = choose(p, resting, err);
	return rc ? rc : tmk_follow_step(w->follow, err);
}

void tmk_streaming_round(struct tmk_work *w)
{
	w->vain = tmk_follow_on(w->follow) ? w->vain + 1 : 0;
}

/* ---- a verify ---- */

static int begin_both(struct tmk_work *w, struct tmk_error *err)
{
	int rc = tmk_follow_both(w->follow, true, err);

	if (!rc)
		rc = tmk_follow_look(w->follow, err);
	if (rc)
		return rc;
	w->both = true;
	w->both_until = tmk_now_ms() + VERIFY_MS;
	w->gate = (struct tmk_take){.position = tmk_follow_log(w->follow)->head, .fence = tmk_follow_log(w->follow)->sequence};
	return 0;
}

int tmk_streaming_verify_may(struct tmk_work *w, bool *open, struct tmk_error *err)
{
	int rc;

	*open = !tmk_follow_on(w->follow);
	if (*open) {
		w->both = false; /* it was given up: switched on again, it begins without */
		return 0;
	}
	rc = w->both ? 0 : begin_both(w, err);
	if (rc || !tmk_follow_reached(w->follow, w->gate.position))
		return rc;
	return tmk_source_settled(&w->source, &w->gate, open, err);
}

int tmk_streaming_verify_over(struct tmk_work *w, struct tmk_error *err)
{
	if (!w->both)
		return 0;
	w->both = false;
	return tmk_follow_on(w->follow) ? tmk_follow_both(w->follow, false, err) : 0;
}
