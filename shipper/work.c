/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A protection's turn: see work.h. */
#include "work.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "streaming.h"
#include "sum.h"
#include "util.h"

#define ROUND_MS 500	/* between rounds while little is written */
#define BUSY_MS 20	/* between rounds while a point is wished for */
#define FENCE_MS 2	/* between looks whether writes that were under way have completed */
#define FAULT_MS 5000	/* until something local that failed is tried again */
#define BAD_MS 600000	/* until blocks that could not be read are tried again (R30) */
#define STEADY_MS 10000 /* a session that lasted so long, or had a chunk acked, was not in vain */

/* ---- parts ---- */

static void point_done(const struct tmk_outcome *o, void *context)
{
	struct tmk_protection *p = context;
	struct tmk_work *w = &p->work;
	uint64_t now = tmk_now_ms();

	if (o->rc)
		tmk_log_warning("%s: no point: %s", p->spec.name, o->why);
	pthread_mutex_lock(&p->lock);
	tmk_wishes_done(&p->wishes, o);
	if (!o->rc) {
		struct tmk_status_point *sp = &p->status.point;

		*sp = (struct tmk_status_point){
			.known = true, .app = o->wish.app, .cut_time = o->cut_time, .at_ms = now, .frozen_ms = o->frozen_ms};
		memcpy(sp->id, o->wish.id, sizeof(sp->id));
		snprintf(sp->label, sizeof(sp->label), "%s", o->wish.label);
	}
	pthread_mutex_unlock(&p->lock);
	if (!o->rc) /* the mark's own is the log's then */
		w->point_gap = tmk_follow_on(w->follow) ? tmk_round_gap(w->round) : o->gap;
	snprintf(w->point_failed, sizeof(w->point_failed), "%s", o->rc ? o->why : "");
	w->point_at = now + (o->rc && p->config->point_every > FAULT_MS ? FAULT_MS : p->config->point_every);
	if (o->wish.app)
		w->app_at = now + (o->rc && p->config->app_every > 6 * FAULT_MS ? 6 * FAULT_MS : p->config->app_every);
}

static int open_reader(struct tmk_protection *p, struct tmk_error *err)
{
	struct tmk_work *w = &p->work;
	int rc = tmk_reader_open(&w->reader, (unsigned)p->config->read_depth, p->config->read_rate, err);

	for (uint16_t i = 0; i < p->spec.disk_count && !rc; i++)
		rc = tmk_reader_add(w->reader, w->source.devices[i].path, w->source.devices[i].sector, err);
	return rc;
}

void tmk_work_close(struct tmk_work *w)
{
	tmk_verify_free(w->verify);
	tmk_point_free(w->point);
	tmk_round_free(w->round);
	tmk_follow_free(w->follow);
	tmk_packer_free(w->packer);
	tmk_reader_close(w->reader);
	tmk_stream_free(w->stream);
	w->verify = NULL;
	w->point = NULL;
	w->round = NULL;
	w->follow = NULL;
	w->packer = NULL;
	w->reader = NULL;
	w->stream = NULL;
}

static const struct tmk_mark *marked(const uint8_t id[16], bool good, uint64_t gap, uint64_t time, void *context)
{
	struct tmk_work *w = context;

	return tmk_point_marked(id, good, gap, time, w->point);
}

static int open_parts(struct tmk_protection *p, struct tmk_error *err)
{
	struct tmk_work *w = &p->work;
	struct tmk_point_parts parts = {.config = p->config, .source = &w->source, .done = point_done, .context = p};
	int rc = open_reader(p, err);

	if (rc)
		return rc;
	rc = tmk_packer_new(&w->packer);
	if (!rc)
		rc = tmk_stream_new(&w->stream, p->config, &w->source);
	if (!rc)
		rc = tmk_follow_new(&w->follow, &w->source, w->stream, marked, w);
	if (!rc && p->config->coalesce)
		rc = tmk_follow_coalesce(w->follow);
	if (!rc)
		rc = tmk_round_new(&w->round, &w->source, w->stream, w->reader, w->packer, w->follow);
	parts.stream = w->stream;
	parts.reader = w->reader;
	parts.packer = w->packer;
	parts.follow = w->follow;
	if (!rc)
		rc = tmk_point_new(&w->point, &parts);
	if (!rc)
		rc = tmk_verify_new(&w->verify, &(struct tmk_verify_parts){p->config, &w->source, w->stream, w->reader, w->packer,
									   w->follow});
	if (rc)
		return tmk_error_sys(err, rc, "cannot set up the protection");
	w->both = w->streamed = false;
	return tmk_follow_open(w->follow, err);
}

int tmk_work_attach(struct tmk_protection *p, struct tmk_error *err)
{
	struct tmk_source *s = &p->work.source;
	int rc = s->doubt ? 0 : tmk_doubt_open(&s->doubt, p->config->run_dir, &p->spec, err);

	if (!rc)
		rc = tmk_source_attach(s, err);
	if (!rc)
		rc = open_parts(p, err);
	if (rc)
		tmk_work_close(&p->work);
	return rc;
}

/* A disk that was away and is back needs a new descriptor. What fails here fails again in the next round, which says so. */
static void reopen_disks(struct tmk_protection *p)
{
	struct tmk_error err;

	for (uint16_t i = 0; i < p->spec.disk_count; i++)
		if (tmk_reader_reopen(p->work.reader, i, p->work.source.devices[i].path, &err))
			tmk_log_debug("%s: %s", p->spec.name, err.text);
}

void tmk_work_fault(struct tmk_protection *p, const struct tmk_error *err)
{
	struct tmk_work *w = &p->work;

	if (strcmp(w->fault, err->text))
		tmk_log_error("%s: %s", p->spec.name, err->text);
	snprintf(w->fault, sizeof(w->fault), "%s", err->text);
	w->fault_until = tmk_now_ms() + FAULT_MS;
	if (w->round) {
		tmk_verify_abort(w->verify);
		tmk_round_abort(w->round);
		tmk_point_fail(w->point, err->code, w->fault);
		reopen_disks(p);
	}
}

/* ---- one turn of the loop ---- */

static bool is_paused(struct tmk_protection *p)
{
	bool paused;

	pthread_mutex_lock(&p->lock);
	paused = p->paused;
	pthread_mutex_unlock(&p->lock);
	return paused;
}

static void put_off(struct tmk_protection *p, uint64_t first)
{
	struct tmk_work *w = &p->work;

	w->backoff = tmk_stream_state(w->stream)->refused ? p->config->backoff_most : w->backoff ? w->backoff * 2 : first;
	if (w->backoff > p->config->backoff_most)
		w->backoff = p->config->backoff_most;
	w->connect_at = tmk_now_ms() + w->backoff;
}

static void connect_now(struct tmk_protection *p)
{
	struct tmk_work *w = &p->work;
	struct tmk_error err;

	if (!tmk_stream_connect(w->stream, &p->stop, &err)) {
		tmk_log_info("%s: connected", p->spec.name);
		w->told = false;
		w->connected_at = tmk_now_ms();
		w->connected_acked = tmk_stream_state(w->stream)->acked;
		return;
	}
	if (p->stop)
		return;
	if (!w->told)
		tmk_log_warning("%s: %s", p->spec.name, err.text);
	w->told = true;
	put_off(p, 500);
}

/* A target that takes the session and ends it at once is not asked for ever in quick succession: each time is logged. */
static void lost(struct tmk_protection *p, const struct tmk_error *err)
{
	struct tmk_work *w = &p->work;

	tmk_log_warning("%s: %s", p->spec.name, err->text);
	if (tmk_stream_state(w->stream)->acked != w->connected_acked || tmk_now_ms() - w->connected_at >= STEADY_MS)
		w->backoff = 0;
	put_off(p, 200);
}

/* The window was dropped: a round or point that is half sent is void. Results were forgotten: what waits for some is void. */
static void follow_resets(struct tmk_work *w)
{
	const struct tmk_stream_state *s = tmk_stream_state(w->stream);
	bool reset = s->resets != w->resets;

	if (s->forgotten != w->forgotten || reset) {
		tmk_verify_abort(w->verify);
		if (reset || tmk_round_hashed(w->round)) {
			w->round_read = false;
			tmk_round_abort(w->round);
		}
	}
	if (reset) {
		w->first_copy = true;
		tmk_point_reset(w->point);
	}
	w->resets = s->resets;
	w->forgotten = s->forgotten;
}

static void pump(struct tmk_protection *p)
{
	struct tmk_work *w = &p->work;
	const struct tmk_stream_state *s = tmk_stream_state(w->stream);
	struct tmk_error err;

	if (!s->connected && tmk_now_ms() >= w->connect_at)
		connect_now(p);
	if (s->connected && tmk_stream_pump(w->stream, &err))
		lost(p, &err);
	follow_resets(w);
}

static bool resting(const struct tmk_work *w)
{
	return tmk_round_state(w->round) == TMK_ROUND_IDLE && !tmk_verify_active(w->verify) && tmk_stream_drained(w->stream);
}

static bool round_due(struct tmk_protection *p)
{
	struct tmk_work *w = &p->work;
	enum tmk_point_stage stage = tmk_point_stage(w->point);
	uint64_t now = tmk_now_ms(), bad = tmk_source_bad_bytes(&w->source, true);
	uint64_t due = w->round_at + (tmk_point_hurried(w->point) && !tmk_follow_on(w->follow) ? BUSY_MS : ROUND_MS);

	if (!resting(w) || stage == TMK_POINT_SHIPPING || !tmk_stream_state(w->stream)->connected)
		return false;
	if (!w->round_read)
		return now >= w->round_at + BUSY_MS;
	if (tmk_follow_on(w->follow) && !tmk_follow_streaming(w->follow))
		return now >= due;
	if (stage == TMK_POINT_ASKED && !tmk_follow_on(w->follow))
		return now >= due;
	if (bad && now >= w->bad_at)
		return true;
	if (w->both && now < w->both_until && tmk_follow_streaming(w->follow)) /* it is marked for the verify, and streamed */
		return false;
	return w->dirty + w->taken > bad && now >= due;
}

static int read_rounds(struct tmk_protection *p, struct tmk_error *err)
{
	struct tmk_work *w = &p->work;
	bool ending;
	int rc = 0;

	if (round_due(p)) {
		w->round_at = tmk_now_ms();
		w->bad_at = w->round_at + BAD_MS;
		rc = tmk_round_begin(w->round, err);
	}
	ending = tmk_round_state(w->round) == TMK_ROUND_DRAINING;
	if (!rc)
		rc = tmk_round_step(w->round, err);
	if (!rc && ending && tmk_round_state(w->round) == TMK_ROUND_IDLE)
		tmk_streaming_round(w);
	return rc;
}

static void wish_now(struct tmk_protection *p)
{
	struct tmk_work *w = &p->work;
	uint64_t now = tmk_now_ms();
	struct tmk_wish wish = {.automatic = true};
	bool ask;

	if (tmk_point_stage(w->point) != TMK_POINT_NONE || !w->round_read || !tmk_stream_state(w->stream)->connected)
		return;
	pthread_mutex_lock(&p->lock);
	ask = tmk_wishes_take(&p->wishes, &wish);
	if (!ask && p->config->app_every && now >= w->app_at)
		ask = wish.app = true;
	if (!ask && p->config->point_every && now >= w->point_at)
		ask = true;
	if (ask && wish.automatic)
		tmk_random(wish.id, sizeof(wish.id));
	if (ask)
		tmk_wishes_run(&p->wishes, &wish);
	pthread_mutex_unlock(&p->lock);
	if (ask)
		tmk_point_ask(w->point, &wish);
}

uint64_t tmk_work_next_count(uint64_t began)
{
	uint64_t now = tmk_now_ms();

	return now + TMK_WORK_SNAPSHOT_MS + 20 * (now - began);
}

static int count_dirty(struct tmk_work *w, struct tmk_error *err)
{
	uint64_t now = tmk_now_ms();
	int rc = now < w->dirty_at ? 0 : tmk_source_dirty(&w->source, &w->dirty, &w->taken, err);

	if (now >= w->dirty_at)
		w->dirty_at = tmk_work_next_count(now);
	return rc;
}

/* A round with hashes is not closed with a mark: what differs shows only with their results. */
static int finish_round(struct tmk_protection *p, struct tmk_error *err)
{
	struct tmk_work *w = &p->work;
	const struct tmk_mark *mark = NULL;
	int rc;

	w->round_read = true;
	wish_now(p);
	if (!tmk_round_hashed(w->round))
		mark = tmk_point_close_round(w->point, tmk_round_gap(w->round), err);
	rc = tmk_round_finish(w->round, mark, err);
	return rc ? rc : tmk_round_step(w->round, err);
}

/* Not under the lock: what is under way is given up, which may wait for a disk. */
static void take_verify_wish(struct tmk_protection *p)
{
	struct tmk_work *w = &p->work;
	uint64_t rate, number;
	int wish;

	pthread_mutex_lock(&p->lock);
	wish = p->verify;
	rate = p->verify_rate;
	number = p->verify_wishes;
	pthread_mutex_unlock(&p->lock);
	if (wish == LEAVE)
		return;
	if (wish == BEGIN)
		tmk_verify_ask(w->verify, rate);
	else
		tmk_verify_cancel(w->verify);
	pthread_mutex_lock(&p->lock);
	p->status.verify = *tmk_verify_state(w->verify);
	if (p->verify_wishes == number) /* else there is another one */
		p->verify = LEAVE;
	pthread_mutex_unlock(&p->lock);
}

/* In the place of rounds: while there is nothing else to do, or in turns with them. */
static int verify(struct tmk_protection *p, struct tmk_error *err)
{
	struct tmk_work *w = &p->work;
	bool dirty = w->dirty > tmk_source_bad_bytes(&w->source, true), wanted = tmk_point_stage(w->point) != TMK_POINT_NONE;
	bool may, open = false;
	int rc;

	take_verify_wish(p);
	may = !tmk_verify_active(w->verify) && resting(w) && w->round_read && !wanted && !round_due(p) &&
	      tmk_stream_state(w->stream)->connected && tmk_verify_due(w->verify);
	rc = may || tmk_verify_active(w->verify) ? tmk_streaming_verify_may(w, &open, err) : tmk_streaming_verify_over(w, err);
	if (rc)
		return rc;
	if (may && open)
		tmk_verify_begin(w->verify);
	return tmk_verify_step(w->verify, (dirty && !w->both) || wanted, err);
}

static int all_work(struct tmk_protection *p, struct tmk_error *err)
{
	struct tmk_work *w = &p->work;
	/* the copy of a frozen disk goes on the stream before what is written since */
	bool free = resting(w) && tmk_point_stage(w->point) != TMK_POINT_SHIPPING;
	int rc = tmk_streaming_step(p, free, err);

	if (!rc)
		rc = verify(p, err);
	if (!rc)
		rc = read_rounds(p, err);
	if (rc)
		return rc;
	if (tmk_round_state(w->round) == TMK_ROUND_READ)
		rc = finish_round(p, err);
	if (rc)
		return rc;
	if (w->round_read && resting(w))
		w->first_copy = false;
	wish_now(p);
	tmk_point_step(w->point, resting(w));
	rc = tmk_verify_taken(w->verify, err); /* by a round, or by a point */
	if (rc)
		return rc;
	if (resting(w) && !w->rested)
		w->dirty_at = 0;
	w->rested = resting(w);
	return count_dirty(w, err);
}

static int work_on(struct tmk_protection *p, struct tmk_error *err)
{
	uint64_t passes = tmk_verify_state(p->work.verify)->passes;
	int rc = all_work(p, err);

	if (tmk_verify_state(p->work.verify)->passes != passes)
		p->work.snapshot_at = 0; /* somebody waits */
	return rc;
}

void tmk_work_turn(struct tmk_protection *p)
{
	struct tmk_work *w = &p->work;
	uint64_t now = tmk_now_ms();
	struct tmk_error err;

	if (now < w->fault_until)
		return;
	if (!w->stream && tmk_work_attach(p, &err)) {
		tmk_work_fault(p, &err);
		return;
	}
	if (is_paused(p)) {
		if (tmk_stream_state(w->stream)->connected)
			tmk_stream_disconnect(w->stream);
		tmk_point_fail(w->point, -ECANCELED, "the protection was paused");
		if (count_dirty(w, &err))
			tmk_work_fault(p, &err);
		return;
	}
	pump(p);
	if (work_on(p, &err))
		tmk_work_fault(p, &err);
	else
		w->fault[0] = '\0';
}

int tmk_work_patience(const struct tmk_work *w)
{
	enum tmk_point_stage stage;
	int delay, follow;

	if (!w->stream || tmk_now_ms() < w->fault_until)
		return TMK_WORK_SNAPSHOT_MS;
	if (tmk_round_fenced(w->round) && tmk_stream_state(w->stream)->connected)
		return FENCE_MS;
	stage = tmk_point_stage(w->point);
	if (stage != TMK_POINT_NONE && stage != TMK_POINT_SENT)
		return BUSY_MS;
	delay = tmk_reader_delay(w->reader);
	delay = delay >= 0 && delay < TMK_WORK_SNAPSHOT_MS ? delay + 1 : TMK_WORK_SNAPSHOT_MS;
	follow = tmk_follow_patience(w->follow);
	return follow >= 0 && follow < delay ? follow : delay;
}
