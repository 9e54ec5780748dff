/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A protection: its thread, what it tells, and what is asked of it. What the thread does is in work.c. */
#include "protection.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"
#include "util.h"
#include "work.h"

/* ---- status ---- */

static void compute_rate(struct tmk_work *w, uint64_t now, uint64_t *rate)
{
	uint64_t acked = tmk_stream_state(w->stream)->acked_disk_bytes;

	if (now - w->rate_at < 1000)
		return;
	*rate = (acked - w->rate_bytes) * 1000 / (now - w->rate_at);
	w->rate_at = now;
	w->rate_bytes = acked;
}

static void snapshot_trackers(struct tmk_protection *p)
{
	struct tmk_work *w = &p->work;
	uint64_t gap = 0, began = tmk_now_ms();
	struct tmk_tracker *t;

	if (began < w->trackers_at)
		return;
	t = tmk_marks_lock(w->source.marks);
	for (uint16_t i = 0; i < p->spec.disk_count; i++) {
		struct tmk_tracker_status *s = &p->status.trackers[i];
		uint64_t before = s->gap;

		tmk_tracker_status(t, w->source.slots[i], s, NULL);
		gap += s->gap;
		if (s->gap != before && s->reason[0])
			tmk_log_warning("%s: %s is in doubt: %s", p->spec.name, p->spec.disks[i].path, s->reason);
	}
	tmk_marks_unlock(w->source.marks);
	w->trackers_at = tmk_work_next_count(began);
	for (uint16_t i = 0; i < p->spec.disk_count && gap == w->point_gap; i++)
		p->status.trackers[i].reason[0] = '\0';
}

static enum tmk_protection_state state_of(const struct tmk_protection *p, const struct tmk_stream_state *s)
{
	if (p->paused)
		return TMK_STATE_PAUSED;
	if (!p->work.stream)
		return TMK_STATE_STARTING;
	if (s->connected)
		return tmk_follow_streaming(p->work.follow) ? TMK_STATE_STREAMING : TMK_STATE_CATCHING_UP;
	return s->refused ? TMK_STATE_FENCED : TMK_STATE_DISCONNECTED;
}

static uint64_t log_bytes(const struct tmk_follow *f)
{
	return tmk_follow_on(f) ? tmk_follow_log(f)->head - tmk_follow_log(f)->tail : 0;
}

static void snapshot_stream(struct tmk_protection *p, uint64_t now)
{
	struct tmk_protection_status *st = &p->status;
	struct tmk_work *w = &p->work;
	const struct tmk_stream_state *s = tmk_stream_state(w->stream);

	st->round_bytes = tmk_round_bytes(w->round);
	st->round_done = tmk_round_done(w->round);
	st->dirty_bytes = w->dirty;
	st->lag_bytes = w->dirty + w->taken + log_bytes(w->follow);
	st->latest_ms = st->state == TMK_STATE_STREAMING && !w->fault[0] ? tmk_follow_latest(w->follow) : 0;
	st->sent_disk_bytes = s->acked_disk_bytes + s->queued_disk_bytes;
	st->sent_wire_bytes = s->sent_wire_bytes;
	st->coalesced_bytes = tmk_follow_saved(w->follow);
	st->acked_chunk = s->acked;
	st->generation = s->generation ? s->generation : w->source.spec.generation;
	st->bad_bytes = tmk_source_bad_bytes(&w->source, false);
	st->verify = *tmk_verify_state(w->verify);
	st->first_copy = w->first_copy;
	snprintf(st->note, sizeof(st->note), "%s", s->connected ? s->reason : "");
	compute_rate(w, now, &st->rate);
}

static void snapshot(struct tmk_protection *p)
{
	struct tmk_work *w = &p->work;
	uint64_t now = tmk_now_ms();
	const struct tmk_stream_state *s = w->stream ? tmk_stream_state(w->stream) : NULL;
	const char *reason = w->fault;

	if (now < w->snapshot_at)
		return;
	w->snapshot_at = now + TMK_WORK_SNAPSHOT_MS;
	pthread_mutex_lock(&p->lock);
	p->status.state = state_of(p, s);
	if (s) {
		snapshot_stream(p, now);
		snapshot_trackers(p);
		if (!reason[0] && !s->connected && !p->paused)
			reason = s->reason;
	}
	snprintf(p->status.reason, sizeof(p->status.reason), "%s", reason[0] ? reason : w->slow[0] ? w->slow : w->point_failed);
	pthread_mutex_unlock(&p->lock);
}

/* Last of a turn: the reason is that of the snapshot. */
static void expire_wish(struct tmk_protection *p)
{
	pthread_mutex_lock(&p->lock);
	tmk_wishes_expire(&p->wishes, p->paused ? "the protection is paused" : p->status.reason);
	pthread_mutex_unlock(&p->lock);
}

/* ---- the loop ---- */

static void wait_for_news(struct tmk_protection *p)
{
	struct tmk_work *w = &p->work;
	struct pollfd fds[4] = {{.fd = p->wake, .events = POLLIN}, {.fd = -1}, {.fd = -1}, {.fd = -1}};
	uint64_t count;

	if (w->stream && tmk_now_ms() >= w->fault_until) {
		fds[1] = (struct pollfd){.fd = tmk_stream_fd(w->stream), .events = tmk_stream_events(w->stream)};
		/* Finished reads wait in the ring while the window is full: they are no news then. */
		if ((tmk_round_state(w->round) == TMK_ROUND_READING || tmk_verify_active(w->verify)) &&
		    tmk_stream_open(w->stream))
			fds[2] = (struct pollfd){.fd = tmk_reader_fd(w->reader), .events = POLLIN};
		fds[3] = (struct pollfd){.fd = tmk_point_fd(w->point), .events = POLLIN};
	}
	if (poll(fds, 4, tmk_work_patience(w)) > 0 && fds[0].revents & POLLIN && read(p->wake, &count, sizeof(count)) < 0)
		tmk_log_debug("%s: eventfd: %m", p->spec.name);
}

static void *run(void *context)
{
	struct tmk_protection *p = context;

	while (!p->stop) {
		tmk_work_turn(p);
		snapshot(p);
		expire_wish(p);
		wait_for_news(p);
	}
	tmk_work_close(&p->work);
	return NULL;
}

/* ---- for callers ---- */

static void wake(struct tmk_protection *p)
{
	uint64_t one = 1;

	if (write(p->wake, &one, sizeof(one)) < 0)
		tmk_log_debug("%s: eventfd: %m", p->spec.name);
}

static struct tmk_protection *allocate(const struct tmk_config *config, struct tmk_trackers *trackers,
				       const struct tmk_spec *spec)
{
	struct tmk_protection *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->config = config;
	p->spec = *spec;
	p->paused = spec->paused;
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&p->lock, NULL);
	tmk_source_init(&p->work.source, trackers, spec, config->ring);
	p->work.first_copy = p->status.first_copy = true;
	p->work.rate_at = p->status.started_ms = tmk_now_ms();
	p->work.app_at = p->work.rate_at + config->app_every;
	return p;
}

static void release(struct tmk_protection *p)
{
	tmk_work_close(&p->work);
	tmk_doubt_close(p->work.source.doubt);
	if (p->wake >= 0)
		close(p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* Nothing of it stays in run-dir, either. */
static void forget_all(struct tmk_protection *p)
{
	tmk_work_close(&p->work);
	tmk_source_detach(&p->work.source);
	tmk_verify_remove(p->config->run_dir, p->spec.name);
	tmk_doubt_remove(p->config->run_dir, p->spec.name);
}

int tmk_protection_start(struct tmk_protection **out, const struct tmk_config *config, struct tmk_trackers *trackers,
			 const struct tmk_spec *spec, bool patient, struct tmk_error *err)
{
	struct tmk_protection *p = allocate(config, trackers, spec);
	int rc;

	if (!p || p->wake < 0) {
		rc = tmk_error_set(err, -ENOMEM, "no memory or descriptor for another protection");
		goto free_it;
	}
	rc = tmk_work_attach(p, err);
	if (rc && !patient)
		goto detach;
	if (rc)
		tmk_work_fault(p, err);
	rc = pthread_create(&p->thread, NULL, run, p);
	if (rc) {
		rc = tmk_error_sys(err, -rc, "cannot start a thread");
		goto detach;
	}
	*out = p;
	return 0;
detach:
	if (!patient)
		forget_all(p);
free_it:
	if (p)
		release(p);
	return rc;
}

void tmk_protection_stop(struct tmk_protection *p, bool forget)
{
	if (!p)
		return;
	p->stop = true;
	wake(p);
	pthread_join(p->thread, NULL);
	if (forget)
		forget_all(p);
	release(p);
}

const char *tmk_protection_name(const struct tmk_protection *p)
{
	return p->spec.name;
}

void tmk_protection_pause(struct tmk_protection *p, bool paused)
{
	pthread_mutex_lock(&p->lock);
	p->paused = paused;
	pthread_mutex_unlock(&p->lock);
	wake(p);
}

int tmk_protection_mark(struct tmk_protection *p, bool app, const char *label, const uint8_t id[16], struct tmk_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	if (app && p->status.first_copy)
		rc = tmk_error_set(err, -EAGAIN,
				   "the first copy is still under way; no application is stopped for that long (R19)");
	else if (p->paused)
		rc = tmk_error_set(err, -EAGAIN, "%s is paused; run: tidemark resume %s", p->spec.name, p->spec.name);
	if (!rc)
		rc = tmk_wishes_ask(&p->wishes, app, label ? label : "", id, err);
	pthread_mutex_unlock(&p->lock);
	wake(p);
	return rc;
}

int tmk_protection_marked(struct tmk_protection *p, const uint8_t id[16], struct tmk_error *err)
{
	int rc;

	pthread_mutex_lock(&p->lock);
	rc = tmk_wishes_outcome(&p->wishes, id, err);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

int tmk_protection_verify(struct tmk_protection *p, uint64_t rate, struct tmk_verify_state *before, struct tmk_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	if (p->verify == BEGIN || p->status.verify.pass.asked)
		rc = tmk_error_set(err, -EBUSY,
				   "a verify of %s is under way; tidemark status shows how far it is, tidemark verify "
				   "%s --cancel ends it",
				   p->spec.name, p->spec.name);
	else if (p->paused)
		rc = tmk_error_set(err, -EAGAIN, "%s is paused; run: tidemark resume %s", p->spec.name, p->spec.name);
	if (!rc) {
		p->verify = BEGIN;
		p->verify_rate = rate;
		p->verify_wishes++;
	}
	*before = p->status.verify;
	pthread_mutex_unlock(&p->lock);
	wake(p);
	return rc;
}

int tmk_protection_verify_cancel(struct tmk_protection *p, struct tmk_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	if (p->verify == BEGIN || p->status.verify.pass.asked)
		p->verify = CANCEL, p->verify_wishes++;
	else
		rc = tmk_error_set(err, -ENOENT, "no verify of %s is under way that somebody asked for", p->spec.name);
	pthread_mutex_unlock(&p->lock);
	wake(p);
	return rc;
}

void tmk_protection_verified(struct tmk_protection *p, struct tmk_verify_state *out, bool *waits)
{
	pthread_mutex_lock(&p->lock);
	*out = p->status.verify;
	*waits = p->verify == BEGIN;
	pthread_mutex_unlock(&p->lock);
}

json_t *tmk_protection_status(struct tmk_protection *p)
{
	struct tmk_protection_status *copy = malloc(sizeof(*copy));
	json_t *o;

	if (!copy)
		return json_null();
	pthread_mutex_lock(&p->lock);
	*copy = p->status;
	pthread_mutex_unlock(&p->lock);
	o = tmk_status_json(copy, &p->spec);
	free(copy);
	return o;
}
