/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A protection's thread: connects, runs rounds, makes points, tells how it stands. The thread owns everything in struct tmk_work;
 * the rest of struct tmk_protection is shared with callers and guarded by the lock.
 */
#include "protection.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"
#include "packer.h"
#include "point.h"
#include "reader.h"
#include "round.h"
#include "source.h"
#include "status.h"
#include "stream.h"
#include "sum.h"
#include "util.h"

#define ROUND_MS 500   /* between rounds while little is written */
#define BUSY_MS 20     /* between rounds while a point is wished for */
#define FAULT_MS 5000  /* until something local that failed is tried again */
#define BAD_MS 600000  /* until blocks that could not be read are tried again (R30) */
#define WISH_MS 120000 /* a point that is wished for is given up if it cannot even be begun by then */
#define SNAPSHOT_MS 200
#define STEADY_MS 10000 /* a session that lasted so long, or had a chunk acked, was not in vain */
#define OUTCOMES 16

struct tmk_work {
	struct tmk_source source;
	struct tmk_stream *stream;
	struct tmk_reader_ring *reader;
	struct tmk_packer *packer;
	struct tmk_round *round;
	struct tmk_point_maker *point;
	bool first_copy; /* no round has ended yet since everything was marked and no point known */
	bool round_read; /* a round was read to its end since the session's start: points may be asked for */
	bool rested;	 /* resting(), when last looked at */
	bool told;	 /* why there is no session was logged */
	uint64_t resets; /* of the stream, as last seen */
	uint64_t connect_at, backoff;
	uint64_t connected_at, connected_acked; /* the session's start, and the last acked chunk then */
	uint64_t fault_until, round_at, bad_at, point_at, app_at, snapshot_at;
	uint64_t dirty_at, trackers_at; /* when to count again */
	uint64_t rate_bytes, rate_at;	/* acked bytes when the rate was last computed */
	char fault[512];
	char point_failed[512];
	uint64_t point_gap; /* gap count of the newest point: a doubt that is older is over */
	uint64_t dirty, taken;
};

struct tmk_protection {
	const struct tmk_config *config;
	struct tmk_spec spec;
	pthread_t thread;
	int wake; /* eventfd */
	atomic_bool stop;
	struct tmk_work work;

	pthread_mutex_t lock;
	bool paused, wished;
	struct tmk_wish wish;	 /* the next one, if wished */
	uint64_t wished_ms;	 /* monotonic */
	struct tmk_wish running; /* being made */
	bool is_running;
	struct tmk_outcome outcomes[OUTCOMES]; /* the last ones, a ring */
	size_t outcome_count;
	struct tmk_protection_status status;
};

/* ---- the thread's parts ---- */

static void point_done(const struct tmk_outcome *o, void *context)
{
	struct tmk_protection *p = context;
	struct tmk_work *w = &p->work;
	uint64_t now = tmk_now_ms();

	if (o->rc)
		tmk_log_warning("%s: no point: %s", p->spec.name, o->why);
	pthread_mutex_lock(&p->lock);
	p->outcomes[p->outcome_count++ % OUTCOMES] = *o;
	p->is_running = false;
	if (!o->rc) {
		struct tmk_status_point *sp = &p->status.point;

		*sp = (struct tmk_status_point){
			.known = true, .app = o->wish.app, .cut_time = o->cut_time, .at_ms = now, .frozen_ms = o->frozen_ms};
		memcpy(sp->id, o->wish.id, sizeof(sp->id));
		snprintf(sp->label, sizeof(sp->label), "%s", o->wish.label);
	}
	pthread_mutex_unlock(&p->lock);
	if (!o->rc)
		w->point_gap = o->gap;
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

static void close_parts(struct tmk_work *w)
{
	tmk_point_free(w->point);
	tmk_round_free(w->round);
	tmk_packer_free(w->packer);
	tmk_reader_close(w->reader);
	tmk_stream_free(w->stream);
	w->point = NULL;
	w->round = NULL;
	w->packer = NULL;
	w->reader = NULL;
	w->stream = NULL;
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
		rc = tmk_round_new(&w->round, &w->source, w->stream, w->reader, w->packer);
	parts.stream = w->stream;
	parts.reader = w->reader;
	parts.packer = w->packer;
	if (!rc)
		rc = tmk_point_new(&w->point, &parts);
	return rc ? tmk_error_sys(err, rc, "cannot set up the protection") : 0;
}

/* Finds and attaches the disks, opens what works on them. */
static int attach(struct tmk_protection *p, struct tmk_error *err)
{
	int rc = tmk_source_attach(&p->work.source, err);

	if (!rc)
		rc = open_parts(p, err);
	if (rc)
		close_parts(&p->work);
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

static void fault(struct tmk_protection *p, const struct tmk_error *err)
{
	struct tmk_work *w = &p->work;

	if (strcmp(w->fault, err->text))
		tmk_log_error("%s: %s", p->spec.name, err->text);
	snprintf(w->fault, sizeof(w->fault), "%s", err->text);
	w->fault_until = tmk_now_ms() + FAULT_MS;
	if (w->round) {
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

/* The window was dropped: a round or point that is half sent is void. */
static void follow_resets(struct tmk_work *w)
{
	uint64_t resets = tmk_stream_state(w->stream)->resets;

	if (resets == w->resets)
		return;
	w->resets = resets;
	w->round_read = false;
	w->first_copy = true;
	tmk_round_abort(w->round);
	tmk_point_reset(w->point);
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
	return tmk_round_state(w->round) == TMK_ROUND_IDLE && tmk_stream_drained(w->stream);
}

static bool round_due(struct tmk_protection *p)
{
	struct tmk_work *w = &p->work;
	enum tmk_point_stage stage = tmk_point_stage(w->point);
	uint64_t now = tmk_now_ms(), bad = tmk_source_bad_bytes(&w->source, true);
	uint64_t due = w->round_at + (tmk_point_hurried(w->point) ? BUSY_MS : ROUND_MS);

	if (!resting(w) || stage == TMK_POINT_SHIPPING || !tmk_stream_state(w->stream)->connected)
		return false;
	if (!w->round_read)
		return now >= w->round_at + BUSY_MS;
	if (stage == TMK_POINT_ASKED)
		return now >= due;
	if (bad && now >= w->bad_at)
		return true;
	return w->dirty + w->taken > bad && now >= due;
}

static int read_rounds(struct tmk_protection *p, struct tmk_error *err)
{
	struct tmk_work *w = &p->work;
	int rc = 0;

	if (round_due(p)) {
		w->round_at = tmk_now_ms();
		w->bad_at = w->round_at + BAD_MS;
		rc = tmk_round_begin(w->round, err);
	}
	return rc ? rc : tmk_round_step(w->round, err);
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
	ask = p->wished;
	if (ask)
		wish = p->wish;
	p->wished = false;
	if (!ask && p->config->app_every && now >= w->app_at)
		ask = wish.app = true;
	if (!ask && p->config->point_every && now >= w->point_at)
		ask = true;
	if (ask && wish.automatic)
		tmk_random(wish.id, sizeof(wish.id));
	p->running = wish;
	p->is_running = ask;
	pthread_mutex_unlock(&p->lock);
	if (ask)
		tmk_point_ask(w->point, &wish);
}

/* Counting looks at every bit of the maps, which may be hundreds of MiB: at most a twentieth of the time goes into it. */
static uint64_t next_count(uint64_t began)
{
	uint64_t now = tmk_now_ms();

	return now + SNAPSHOT_MS + 20 * (now - began);
}

static int count_dirty(struct tmk_work *w, struct tmk_error *err)
{
	uint64_t now = tmk_now_ms();
	int rc = now < w->dirty_at ? 0 : tmk_source_dirty(&w->source, &w->dirty, &w->taken, err);

	if (now >= w->dirty_at)
		w->dirty_at = next_count(now);
	return rc;
}

static int work_on(struct tmk_protection *p, struct tmk_error *err)
{
	struct tmk_work *w = &p->work;
	int rc = read_rounds(p, err);

	if (rc)
		return rc;
	if (tmk_round_state(w->round) == TMK_ROUND_READ) {
		w->round_read = true;
		wish_now(p);
		rc = tmk_round_finish(w->round, tmk_point_close_round(w->point, tmk_round_gap(w->round), err), err);
		if (rc)
			return rc;
		tmk_round_step(w->round, err);
	}
	if (w->round_read && resting(w))
		w->first_copy = false;
	wish_now(p);
	tmk_point_step(w->point, resting(w));
	if (resting(w) && !w->rested)
		w->dirty_at = 0;
	w->rested = resting(w);
	return count_dirty(w, err);
}

static void turn(struct tmk_protection *p)
{
	struct tmk_work *w = &p->work;
	uint64_t now = tmk_now_ms();
	struct tmk_error err;

	if (now < w->fault_until)
		return;
	if (!w->stream && attach(p, &err)) {
		fault(p, &err);
		return;
	}
	if (is_paused(p)) {
		if (tmk_stream_state(w->stream)->connected)
			tmk_stream_disconnect(w->stream);
		tmk_point_fail(w->point, -ECANCELED, "the protection was paused");
		if (count_dirty(w, &err))
			fault(p, &err);
		return;
	}
	pump(p);
	if (work_on(p, &err))
		fault(p, &err);
	else
		w->fault[0] = '\0';
}

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
		tmk_tracker_status(t, w->source.slots[i], &p->status.trackers[i], NULL);
		gap += p->status.trackers[i].gap;
	}
	tmk_marks_unlock(w->source.marks);
	w->trackers_at = next_count(began);
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
		return TMK_STATE_CATCHING_UP;
	return s->refused ? TMK_STATE_FENCED : TMK_STATE_DISCONNECTED;
}

static void snapshot_stream(struct tmk_protection *p, uint64_t now)
{
	struct tmk_protection_status *st = &p->status;
	struct tmk_work *w = &p->work;
	const struct tmk_stream_state *s = tmk_stream_state(w->stream);

	st->round_bytes = tmk_round_bytes(w->round);
	st->round_done = tmk_round_done(w->round);
	st->dirty_bytes = w->dirty;
	st->lag_bytes = w->dirty + w->taken;
	st->sent_disk_bytes = s->acked_disk_bytes + s->queued_disk_bytes;
	st->sent_wire_bytes = s->sent_wire_bytes;
	st->acked_chunk = s->acked;
	st->generation = s->generation ? s->generation : w->source.spec.generation;
	st->bad_bytes = tmk_source_bad_bytes(&w->source, false);
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
	w->snapshot_at = now + SNAPSHOT_MS;
	pthread_mutex_lock(&p->lock);
	p->status.state = state_of(p, s);
	if (s) {
		snapshot_stream(p, now);
		snapshot_trackers(p);
		if (!reason[0] && !s->connected && !p->paused)
			reason = s->reason;
	}
	snprintf(p->status.reason, sizeof(p->status.reason), "%s", reason[0] ? reason : w->point_failed);
	pthread_mutex_unlock(&p->lock);
}

/* Nobody waits for ever for a point that no session carries. Last of a turn: the reason is that of the snapshot. */
static void expire_wish(struct tmk_protection *p)
{
	struct tmk_outcome *o;

	pthread_mutex_lock(&p->lock);
	if (p->wished && tmk_now_ms() - p->wished_ms > WISH_MS) {
		o = &p->outcomes[p->outcome_count++ % OUTCOMES];
		*o = (struct tmk_outcome){.wish = p->wish, .rc = -ETIMEDOUT};
		snprintf(o->why, sizeof(o->why), "%s", p->paused ? "the protection is paused" : p->status.reason);
		if (!o->why[0])
			snprintf(o->why, sizeof(o->why), "the disks are not copied yet");
		p->wished = false;
	}
	pthread_mutex_unlock(&p->lock);
}

/* ---- the loop ---- */

/* How long nothing but the descriptors can bring news, in ms. */
static int patience(const struct tmk_work *w)
{
	enum tmk_point_stage stage;
	int delay;

	if (!w->stream || tmk_now_ms() < w->fault_until)
		return SNAPSHOT_MS;
	stage = tmk_point_stage(w->point);
	if (stage != TMK_POINT_NONE && stage != TMK_POINT_SENT)
		return BUSY_MS;
	delay = tmk_reader_delay(w->reader);
	return delay >= 0 && delay < SNAPSHOT_MS ? delay + 1 : SNAPSHOT_MS;
}

static void wait_for_news(struct tmk_protection *p)
{
	struct tmk_work *w = &p->work;
	struct pollfd fds[4] = {{.fd = p->wake, .events = POLLIN}, {.fd = -1}, {.fd = -1}, {.fd = -1}};
	uint64_t count;

	if (w->stream && tmk_now_ms() >= w->fault_until) {
		fds[1] = (struct pollfd){.fd = tmk_stream_fd(w->stream), .events = tmk_stream_events(w->stream)};
		/* Finished reads wait in the ring while the window is full: they are no news then. */
		if (tmk_round_state(w->round) == TMK_ROUND_READING && tmk_stream_open(w->stream))
			fds[2] = (struct pollfd){.fd = tmk_reader_fd(w->reader), .events = POLLIN};
		fds[3] = (struct pollfd){.fd = tmk_point_fd(w->point), .events = POLLIN};
	}
	if (poll(fds, 4, patience(w)) > 0 && fds[0].revents & POLLIN && read(p->wake, &count, sizeof(count)) < 0)
		tmk_log_debug("%s: eventfd: %m", p->spec.name);
}

static void *run(void *context)
{
	struct tmk_protection *p = context;

	while (!p->stop) {
		turn(p);
		snapshot(p);
		expire_wish(p);
		wait_for_news(p);
	}
	close_parts(&p->work);
	return NULL;
}

/* ---- for callers ---- */

static void wake(struct tmk_protection *p)
{
	uint64_t one = 1;

	if (write(p->wake, &one, sizeof(one)) < 0)
		tmk_log_debug("%s: eventfd: %m", p->spec.name);
}

static struct tmk_protection *allocate(const struct tmk_config *config, struct tmk_marks *marks, const struct tmk_spec *spec)
{
	struct tmk_protection *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->config = config;
	p->spec = *spec;
	p->paused = spec->paused;
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&p->lock, NULL);
	tmk_source_init(&p->work.source, marks, spec);
	p->work.first_copy = p->status.first_copy = true;
	p->work.rate_at = p->status.started_ms = tmk_now_ms();
	p->work.app_at = p->work.rate_at + config->app_every;
	return p;
}

static void release(struct tmk_protection *p)
{
	close_parts(&p->work);
	if (p->wake >= 0)
		close(p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int tmk_protection_start(struct tmk_protection **out, const struct tmk_config *config, struct tmk_marks *marks,
			 const struct tmk_spec *spec, bool patient, struct tmk_error *err)
{
	struct tmk_protection *p = allocate(config, marks, spec);
	int rc;

	if (!p || p->wake < 0) {
		rc = tmk_error_set(err, -ENOMEM, "no memory or descriptor for another protection");
		goto free_it;
	}
	rc = attach(p, err);
	if (rc && !patient)
		goto detach;
	if (rc)
		fault(p, err);
	rc = pthread_create(&p->thread, NULL, run, p);
	if (rc) {
		rc = tmk_error_sys(err, -rc, "cannot start a thread");
		goto detach;
	}
	*out = p;
	return 0;
detach:
	if (!patient)
		tmk_source_detach(&p->work.source);
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
		tmk_source_detach(&p->work.source);
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

int tmk_protection_mark(struct tmk_protection *p, bool app, const char *label, const uint8_t id[16], struct tmk_error *err)
{
	int rc = 0;

	if (label && !label_ok(label))
		return tmk_error_set(err, -EINVAL, "a label has at most %d bytes and no control characters", TMK_LABEL_MAX);
	pthread_mutex_lock(&p->lock);
	if (p->wished || (p->is_running && !p->running.automatic))
		rc = tmk_error_set(err, -EBUSY, "another point is being made; try again when it is done");
	else if (app && p->status.first_copy)
		rc = tmk_error_set(err, -EAGAIN,
				   "the first copy is still under way; no application is stopped for that long (R19)");
	else if (p->paused)
		rc = tmk_error_set(err, -EAGAIN, "%s is paused; run: tidemark resume %s", p->spec.name, p->spec.name);
	if (!rc) {
		p->wish = (struct tmk_wish){.app = app};
		memcpy(p->wish.id, id, sizeof(p->wish.id));
		snprintf(p->wish.label, sizeof(p->wish.label), "%s", label ? label : "");
		p->wished = true;
		p->wished_ms = tmk_now_ms();
	}
	pthread_mutex_unlock(&p->lock);
	wake(p);
	return rc;
}

static int find_outcome(struct tmk_protection *p, const uint8_t id[16], struct tmk_error *err)
{
	size_t known = p->outcome_count < OUTCOMES ? p->outcome_count : OUTCOMES;

	for (size_t i = 0; i < known; i++) {
		const struct tmk_outcome *o = &p->outcomes[i];

		if (memcmp(o->wish.id, id, 16))
			continue;
		return o->rc ? tmk_error_set(err, o->rc, "no point was made: %s", o->why) : 0;
	}
	return tmk_error_set(err, -ENOENT, "no such point was asked for");
}

int tmk_protection_marked(struct tmk_protection *p, const uint8_t id[16], struct tmk_error *err)
{
	int rc;

	pthread_mutex_lock(&p->lock);
	if ((p->wished && !memcmp(p->wish.id, id, 16)) || (p->is_running && !memcmp(p->running.id, id, 16)))
		rc = tmk_error_set(err, -EAGAIN, "not yet");
	else
		rc = find_outcome(p, id, err);
	pthread_mutex_unlock(&p->lock);
	return rc;
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
