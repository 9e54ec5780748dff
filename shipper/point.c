/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making points: see point.h. */
#include "point.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attempt.h"
#include "log.h"
#include "script.h"
#include "sum.h"
#include "util.h"

#define QUIET_ROUNDS 4 /* unproven rounds after which filesystems are frozen, if that is allowed */
#define ATTEMPTS 4
#define SETTLE_MS 120000 /* until filesystems have to be quick to sync and little to be left */

struct tmk_point_maker {
	struct tmk_point_parts parts;
	enum tmk_point_stage stage;
	struct tmk_outcome now; /* the wish under way, and what is known of it */
	struct tmk_mark mark;
	struct tmk_attempt *attempt;
	unsigned rounds, attempts;
	uint8_t cut_id[16]; /* of the last cut: those before it are none any more */
	bool watching;	    /* who writes */
	bool blind;	    /* that cannot be, and was said */
	uint64_t asked_ms;
	char scripts[320], owed[320];
};

int tmk_point_new(struct tmk_point_maker **out, const struct tmk_point_parts *parts)
{
	struct tmk_point_maker *p = calloc(1, sizeof(*p));
	const char *name = parts->source->spec.name;
	int rc;

	if (!p)
		return -ENOMEM;
	p->parts = *parts;
	rc = tmk_path(p->scripts, sizeof(p->scripts), "%s/%s", parts->config->scripts_dir, name);
	if (!rc)
		rc = tmk_path(p->owed, sizeof(p->owed), "%s/%s.post-owed", parts->config->run_dir, name);
	if (rc) {
		free(p);
		return rc;
	}
	*out = p;
	return 0;
}

static void run_post(struct tmk_point_maker *p)
{
	struct tmk_error err;

	if (tmk_script_owed(p->owed) != 1)
		return;
	if (tmk_script_run(p->scripts, "post", p->parts.source->spec.name, (unsigned)p->parts.config->script_limit, &err))
		tmk_log_error("%s: %s", p->parts.source->spec.name, err.text);
	tmk_script_paid(p->owed);
}

static int run_pre(struct tmk_point_maker *p, struct tmk_error *err)
{
	int rc = tmk_script_owe(p->owed, err);

	return rc ? rc
		  : tmk_script_run(p->scripts, "pre", p->parts.source->spec.name, (unsigned)p->parts.config->script_limit, err);
}

static void end_attempt(struct tmk_point_maker *p)
{
	tmk_attempt_end(p->attempt);
	p->attempt = NULL;
	run_post(p);
}

/* Whom to name if there is no point. Without that there can be one all the same. */
static void watch(struct tmk_point_maker *p, bool on)
{
	struct tmk_error err;

	if (p->watching == on)
		return;
	if (!tmk_marks_watch(p->parts.source->marks, on, &err)) {
		p->watching = on;
		p->blind = false;
		return;
	}
	if (!p->blind)
		tmk_log_warning("%s: %s; who writes while a point is made is not named", p->parts.source->spec.name, err.text);
	p->blind = true;
}

void tmk_point_free(struct tmk_point_maker *p)
{
	if (!p)
		return;
	end_attempt(p);
	watch(p, false);
	free(p);
}

enum tmk_point_stage tmk_point_stage(const struct tmk_point_maker *p)
{
	return p->stage;
}

void tmk_point_ask(struct tmk_point_maker *p, const struct tmk_wish *wish)
{
	memset(&p->now, 0, sizeof(p->now));
	p->now.wish = *wish;
	p->rounds = p->attempts = 0;
	p->asked_ms = tmk_now_ms();
	p->stage = TMK_POINT_ASKED;
	watch(p, true);
}

static void end(struct tmk_point_maker *p, int rc, const char *why)
{
	end_attempt(p);
	watch(p, false);
	p->now.rc = rc == -EAGAIN ? -EBUSY : rc; /* -EAGAIN means "not yet" to who asked */
	snprintf(p->now.why, sizeof(p->now.why), "%s", why);
	p->stage = TMK_POINT_NONE;
	p->parts.done(&p->now, p->parts.context);
}

static void fill_mark(struct tmk_point_maker *p, uint64_t gap, uint64_t cut_time)
{
	const struct tmk_source *s = p->parts.source;

	memset(&p->mark, 0, sizeof(p->mark));
	p->mark.kind = p->now.wish.app ? TMK_APP : TMK_CRASH;
	memcpy(p->mark.id, p->now.wish.id, sizeof(p->mark.id));
	p->mark.gap = p->now.gap = gap;
	p->mark.source_time = p->now.cut_time = cut_time;
	snprintf(p->mark.label, sizeof(p->mark.label), "%s", p->now.wish.label);
	p->mark.disk_count = s->spec.disk_count;
	for (uint16_t i = 0; i < s->spec.disk_count; i++)
		p->mark.sizes[i] = s->spec.disks[i].size;
}

/* ---- without freezing ---- */

/* Nothing was written since the round's take, so what was read is the disks at that instant. */
const struct tmk_mark *tmk_point_close_round(struct tmk_point_maker *p, uint64_t gap, struct tmk_error *err)
{
	char why[192];
	bool proven;

	if (p->stage != TMK_POINT_ASKED || p->now.wish.app || tmk_follow_on(p->parts.follow))
		return NULL;
	if (tmk_source_proof(p->parts.source, gap, &proven, why, err))
		return NULL;
	if (proven && tmk_source_scratch_kept(p->parts.source, &proven, why, err))
		return NULL;
	if (!proven) {
		p->rounds++;
		snprintf(p->now.why, sizeof(p->now.why), "while a round was read %s", why);
		return NULL;
	}
	fill_mark(p, gap, tmk_clock_ns());
	p->stage = TMK_POINT_SENT;
	return &p->mark;
}

/* ---- by a mark in the log ---- */

/* What was swap until now and is none any more is not in the log: then the mark will be none, and the next round has it. */
static void cut(struct tmk_point_maker *p)
{
	struct tmk_error err;
	int rc = tmk_source_refresh(p->parts.source, &err);

	tmk_random(p->cut_id, sizeof(p->cut_id));
	if (!rc)
		rc = tmk_follow_cut(p->parts.follow, p->cut_id, &err);
	if (!rc)
		p->stage = TMK_POINT_CUT;
	else
		snprintf(p->now.why, sizeof(p->now.why), "%s", err.text);
}

/* A point that nobody asked for: all that is written behind it is not in the log. */
static bool last_before_a_gap(struct tmk_point_maker *p, const uint8_t id[16])
{
	static const uint8_t own[16];
	struct tmk_wish wish = {.automatic = true};

	if (memcmp(id, own, sizeof(own)))
		return false;
	if (p->stage == TMK_POINT_ASKED) /* who asked did so after this instant */
		return p->now.wish.automatic && !p->now.wish.app;
	if (p->stage != TMK_POINT_NONE)
		return false;
	tmk_random(wish.id, sizeof(wish.id));
	tmk_point_ask(p, &wish);
	return true;
}

const struct tmk_mark *tmk_point_marked(const uint8_t id[16], bool good, uint64_t gap, uint64_t time, void *context)
{
	struct tmk_point_maker *p = context;
	bool ours = p->stage == TMK_POINT_CUT && !memcmp(id, p->cut_id, sizeof(p->cut_id));

	if (good && (ours || last_before_a_gap(p, id))) {
		fill_mark(p, gap, time);
		p->stage = TMK_POINT_SENT;
		return &p->mark;
	}
	if (ours) {
		snprintf(p->now.why, sizeof(p->now.why), "not every write before it was in the log");
		p->stage = TMK_POINT_ASKED;
		if (p->now.wish.app && ++p->attempts == ATTEMPTS) /* scripts and freezes have their cost */
			end(p, -EBUSY, p->now.why);
	}
	return NULL;
}

/* ---- with freezing ---- */

static void begin_attempt(struct tmk_point_maker *p)
{
	struct tmk_error err;
	int rc = p->now.wish.app ? run_pre(p, &err) : 0;

	if (!rc)
		rc = tmk_attempt_begin(&p->attempt, p->parts.config, p->parts.source, &err);
	if (rc) {
		end(p, rc, err.text);
		return;
	}
	p->stage = TMK_POINT_SETTLING;
}

static bool overdue(const struct tmk_point_maker *p)
{
	return tmk_now_ms() - p->asked_ms > SETTLE_MS;
}

static void step_asked(struct tmk_point_maker *p, bool resting)
{
	bool may_freeze = p->parts.config->freeze || !p->now.wish.automatic, on = tmk_follow_on(p->parts.follow);

	if (overdue(p))
		end(p, -EBUSY, p->now.why[0] ? p->now.why : "the disks could not be copied in time");
	else if (p->now.wish.app && resting && (!on || tmk_follow_streaming(p->parts.follow)))
		begin_attempt(p);
	else if (!p->now.wish.app && tmk_follow_streaming(p->parts.follow))
		cut(p);
	else if (p->rounds >= QUIET_ROUNDS && may_freeze && resting && !on)
		begin_attempt(p);
}

/* Little enough is left that it is copied well within the bound. */
static int little_left(struct tmk_point_maker *p, bool *little, struct tmk_error *err)
{
	uint64_t now, taken;
	int rc = tmk_source_dirty(p->parts.source, &now, &taken, err);

	*little = !rc && now + taken <= p->parts.config->freeze_memory / 2;
	return rc;
}

/* The filesystems are flushed and frozen, the mark goes into the log, and they are thawed. */
static void cut_frozen(struct tmk_point_maker *p)
{
	struct tmk_error err;
	char why[256];
	bool proven;
	int rc = tmk_source_refresh(p->parts.source, &err);

	tmk_random(p->cut_id, sizeof(p->cut_id));
	if (!rc)
		rc = tmk_attempt_cut(p->attempt, p->parts.follow, p->cut_id, &proven, why, &err);
	p->now.frozen_ms = tmk_attempt_frozen_ms(p->attempt);
	if (rc) {
		end(p, rc, err.text);
		return;
	}
	end_attempt(p);
	if (!proven)
		snprintf(p->now.why, sizeof(p->now.why), "%s", why);
	if (proven)
		p->stage = TMK_POINT_CUT;
	else if (++p->attempts == ATTEMPTS)
		end(p, -EBUSY, why);
	else
		p->stage = TMK_POINT_ASKED;
}

static void copy(struct tmk_point_maker *p)
{
	struct tmk_error err;
	char why[256];
	bool proven;
	int rc = tmk_attempt_copy(p->attempt, p->parts.reader, &proven, why, &err);

	p->now.frozen_ms = tmk_attempt_frozen_ms(p->attempt);
	if (rc) {
		end(p, rc, err.text);
		return;
	}
	if (proven) {
		run_post(p);
		tmk_packer_reset(p->parts.packer);
		fill_mark(p, tmk_attempt_gap(p->attempt), tmk_attempt_cut_time(p->attempt));
		p->stage = TMK_POINT_SHIPPING;
		return;
	}
	snprintf(p->now.why, sizeof(p->now.why), "%s", why);
	if (++p->attempts == ATTEMPTS)
		end(p, -EBUSY, why);
	else if (tmk_attempt_sync(p->attempt, &err))
		end(p, err.code, err.text);
}

static void step_settling(struct tmk_point_maker *p, bool resting)
{
	struct tmk_error err;
	bool quick, little;
	int rc = tmk_attempt_settled(p->attempt, &quick, &err);

	if (rc && rc != -EAGAIN) {
		end(p, rc, err.text);
		return;
	}
	if (overdue(p)) {
		end(p, -EBUSY, p->now.why[0] ? p->now.why : "filesystems did not become quick to sync, or too much is written");
		return;
	}
	if (rc || !quick || !resting)
		return;
	if (tmk_follow_on(p->parts.follow)) {
		if (tmk_follow_streaming(p->parts.follow))
			cut_frozen(p);
		return;
	}
	rc = little_left(p, &little, &err);
	if (!rc && little) {
		copy(p);
		return;
	}
	if (!rc)
		rc = tmk_attempt_sync(p->attempt, &err);
	if (rc)
		end(p, rc, err.text);
}

static void step_shipping(struct tmk_point_maker *p)
{
	struct tmk_error err;
	int rc = tmk_attempt_ship(p->attempt, p->parts.packer, p->parts.stream, &p->mark, &err);

	if (rc == -EAGAIN)
		return;
	if (rc) {
		end(p, rc, err.text);
		return;
	}
	end_attempt(p);
	p->stage = TMK_POINT_SENT;
}

static void step_sent(struct tmk_point_maker *p, bool resting)
{
	if (tmk_stream_marked(p->parts.stream, p->now.wish.id))
		end(p, 0, "");
	else if (resting)
		tmk_point_reset(p);
}

/* Its record comes, however long that takes, unless the log is given up with it. Nobody waits for ever: it goes on as a point
 * that nobody asked for. */
static void step_cut(struct tmk_point_maker *p)
{
	struct tmk_wish wish = {.automatic = true};

	if (!tmk_follow_on(p->parts.follow)) {
		p->stage = TMK_POINT_ASKED;
	} else if (overdue(p) && !p->now.wish.automatic) {
		end(p, -EBUSY, "the target is more than two minutes behind; the point will be made, without the label");
		tmk_random(wish.id, sizeof(wish.id));
		tmk_point_ask(p, &wish);
		p->stage = TMK_POINT_CUT;
	}
}

void tmk_point_step(struct tmk_point_maker *p, bool resting)
{
	switch (p->stage) {
	case TMK_POINT_NONE:
		return;
	case TMK_POINT_ASKED:
		step_asked(p, resting);
		return;
	case TMK_POINT_CUT:
		step_cut(p);
		return;
	case TMK_POINT_SETTLING:
		step_settling(p, resting);
		return;
	case TMK_POINT_SHIPPING:
		step_shipping(p);
		return;
	case TMK_POINT_SENT:
		step_sent(p, resting);
		return;
	}
}

void tmk_point_reset(struct tmk_point_maker *p)
{
	if (p->stage != TMK_POINT_SHIPPING && p->stage != TMK_POINT_SENT)
		return;
	if (p->attempt)
		end_attempt(p);
	tmk_packer_reset(p->parts.packer);
	if (++p->attempts == ATTEMPTS) {
		end(p, -ECONNRESET, "the session was lost again and again while the point was sent");
		return;
	}
	p->rounds = 0;
	p->stage = TMK_POINT_ASKED;
}

void tmk_point_fail(struct tmk_point_maker *p, int rc, const char *why)
{
	if (p->stage == TMK_POINT_SENT && tmk_stream_marked(p->parts.stream, p->now.wish.id))
		end(p, 0, "");
	else if (p->stage != TMK_POINT_NONE && p->stage != TMK_POINT_SENT)
		end(p, rc, why);
}

/* Not for as long as a disk is busy and may not be frozen: that would send its hot blocks fifty times a second. */
bool tmk_point_hurried(const struct tmk_point_maker *p)
{
	return p->stage == TMK_POINT_SETTLING || (p->stage == TMK_POINT_ASKED && p->rounds <= QUIET_ROUNDS);
}

int tmk_point_fd(const struct tmk_point_maker *p)
{
	return p->attempt ? tmk_attempt_sync_fd(p->attempt) : -1;
}
