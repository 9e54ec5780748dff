/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Protections at work: see holding.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applying.h"
#include "epochs.h"
#include "holding.h"
#include "layout.h"
#include "ledger.h"
#include "log.h"
#include "opening.h"
#include "passing.h"
#include "replica.h"
#include "session.h"
#include "trouble.h"
#include "util.h"

#define STOP_MS 2000	      /* an older session, to make durable what it has */
#define APPLIER_STOP_MS 10000 /* it ends between two intervals' chunks; killed it does the same work again */
#define RESTART_MS 200
#define RESTART_MOST_MS 30000

struct tmk_holdings {
	struct tmk_holdings_with with;
	struct tmk_holding *first;
	uint64_t mend_at; /* the catalogue, not before; ms */
	bool stopping;
};

static void start_recoverer(struct tmk_holding *h);
static void start_applier(struct tmk_holding *h);

/* ---- the applier ---- */

static void tell_durable(struct tmk_holding *h)
{
	if (h->applier && h->told != h->durable &&
	    !tmk_channel_send_number(tmk_member_channel(h->applier), TMK_MESSAGE_DURABLE, h->durable))
		h->told = h->durable; /* a full channel: again at the next word or tick */
}

static void take_durable(struct tmk_holding *h, uint64_t number)
{
	if (number > h->durable)
		h->durable = number;
	tell_durable(h);
}

static int hear_applied(struct tmk_holding *h, struct tmk_reader *r)
{
	struct tmk_sidecar at = {.state = tmk_get_u16(r)};
	at.applied = tmk_get_u64(r);
	tmk_get_bytes(r, at.applied_hash, sizeof(at.applied_hash));
	at.point = tmk_get_u64(r);
	at.until = tmk_get_u64(r);
	if (!tmk_reader_done(r))
		return -EBADMSG;
	bool moved = at.state != h->at.state || at.point != h->at.point;
	h->at = at;
	if (moved)
		tmk_ledger_moved(h->all->with.catalogue, h);
	if (h->session && h->session_receives)
		tmk_channel_send_number(tmk_member_channel(h->session), TMK_MESSAGE_MOVED, h->at.applied);
	tell_durable(h);
	return 0;
}

static int hear_point(struct tmk_holding *h, struct tmk_reader *r)
{
	struct tmk_point p;
	tmk_channel_get_point(r, &p);
	if (!tmk_reader_done(r))
		return -EBADMSG;
	tmk_ledger_point(h->all->with.catalogue, h, &p);
	return 0;
}

static void stop_session(struct tmk_holding *h, enum tmk_refuse code, const char *text);

static int hear_trouble(struct tmk_holding *h, struct tmk_reader *r)
{
	int bad = tmk_trouble_hear(r, h->row.name, &h->trouble_code, h->trouble);
	if (bad)
		return bad;
	/* What the replica was found to be after a session had begun: its source must not go on as if all were well. */
	if (h->trouble_code == -EUCLEAN)
		stop_session(h, TMK_REFUSE_BROKEN, h->trouble);
	return 0;
}

static int hear_gave_up(struct tmk_holding *h, struct tmk_reader *r)
{
	char text[512];
	int code = tmk_channel_get_code(r);
	tmk_get_string(r, text, sizeof(text));
	if (!tmk_reader_done(r) || !h->gave_up)
		return -EBADMSG;
	void (*gave_up)(struct tmk_holding *, int, const char *, void *) = h->gave_up;
	h->gave_up = NULL;
	gave_up(h, code, text, h->gave_up_context);
	return 0;
}

static int applier_message(struct tmk_member *member, const struct tmk_message *m, void *context)
{
	struct tmk_holding *h = context;
	struct tmk_reader r = tmk_message_reader(m);
	(void)member;
	switch (m->type) {
	case TMK_MESSAGE_APPLIED:
		return hear_applied(h, &r);
	case TMK_MESSAGE_POINT:
		return hear_point(h, &r);
	case TMK_MESSAGE_TROUBLE:
		return hear_trouble(h, &r);
	case TMK_MESSAGE_COMPARED:
		return tmk_passing_compared(h, m);
	case TMK_MESSAGE_DONE:
		return hear_gave_up(h, &r);
	}
	return -EBADMSG;
}

static void check_quiet(struct tmk_holding *h)
{
	void (*quiet)(struct tmk_holding *, void *) = h->quiet;
	if (quiet && h->quiet_context && !h->session && !h->waiting && !h->applier) {
		void *context = h->quiet_context;
		h->quiet_context = NULL; /* called once; quiet itself stays set until resume: nobody starts meanwhile */
		quiet(h, context);
	}
}

static void applier_gone(struct tmk_member *member, int status, void *context)
{
	struct tmk_holding *h = context;
	(void)member;
	(void)status;
	h->applier = NULL;
	if (h->gave_up) {
		void (*gave_up)(struct tmk_holding *, int, const char *, void *) = h->gave_up;
		h->gave_up = NULL;
		gave_up(h, -EAGAIN, "the applier ended meanwhile: try again", h->gave_up_context);
	}
	if (!h->all->stopping && !h->quiet) {
		if (tmk_now_ms() - h->started_at > RESTART_MOST_MS)
			h->crashes = 0;
		uint64_t wait = h->crashes < 8 ? RESTART_MS << h->crashes : RESTART_MOST_MS;
		h->crashes++;
		h->restart_at = tmk_now_ms() + (wait < RESTART_MOST_MS ? wait : RESTART_MOST_MS);
	}
	check_quiet(h);
}

static const struct tmk_member_ops applier_ops = {.message = applier_message, .gone = applier_gone};

static void start_applier(struct tmk_holding *h)
{
	struct tmk_applying with = {.dir = h->dir, .spare = h->all->with.settings->journal_spare};
	memcpy(with.name, h->row.name, sizeof(with.name));
	struct tmk_child_start start = {
		.title = "tidemark-apply",
		.run = tmk_applying_run,
		.context = &with,
		.keep = {h->dir},
		.keep_count = 1,
	};
	if (h->applier || h->quiet || h->all->stopping || h->dir < 0 || tmk_now_ms() < h->restart_at)
		return;
	h->told = 0;
	h->applier = tmk_crew_start(h->all->with.crew, &start, &applier_ops, h);
	h->started_at = tmk_now_ms();
	h->restart_at = h->applier ? 0 : h->started_at + RESTART_MOST_MS;
	if (!h->applier)
		tmk_log_error("%s: no process for the applier: %s", h->row.name, strerror(errno));
	tell_durable(h);
}

/* ---- the session ---- */

static int send_acceptance(const struct tmk_holding *h, struct tmk_member *member, int journal)
{
	const struct tmk_settings *s = h->all->with.settings;
	static uint8_t body[4096];
	struct tmk_writer_buf w = tmk_writer_buf(body, sizeof(body));
	struct tmk_acceptance a = {
		.generation = h->row.generation,
		.applied = h->given,
		.limit = s->journal_limit,
		.reserve = s->reserve,
		.window = (uint32_t)s->window,
		.growth = tmk_layout_growth(h->dir, h->row.disk_count),
		.holds = tmk_layout_holds(h->dir, h->row.disk_count),
		.sizes.count = h->row.disk_count,
	};
	memcpy(a.name, h->row.name, sizeof(a.name));
	memcpy(a.protection, h->row.protection, sizeof(a.protection));
	memcpy(a.epoch, h->row.epoch, sizeof(a.epoch));
	for (unsigned i = 0; i < a.sizes.count; i++)
		a.sizes.sizes[i] = h->row.disks[i].size;
	tmk_channel_put_acceptance(&w, &a);
	return w.failed ? -EMSGSIZE : tmk_channel_send(tmk_member_channel(member), TMK_MESSAGE_ACCEPT, body, w.at, journal);
}

/* What of the replica is applied, and that it is still the catalogue's. */
static int look_at_sidecar(const struct tmk_holding *h, struct tmk_place *applied, struct tmk_error *err)
{
	struct tmk_sidecar s;
	int bad = tmk_sidecar_read(&tmk_io_real, h->dir, &s, err);
	if (!bad)
		bad = tmk_session_agree(&h->row, &s, err);
	if (bad)
		return bad == -ENOENT ? err->code = -EUCLEAN : bad;
	applied->number = s.applied;
	memcpy(applied->hash, s.applied_hash, sizeof(applied->hash));
	return 0;
}

static int give_journal(struct tmk_holding *h, struct tmk_member *member, struct tmk_error *err)
{
	int bad = h->dir < 0 ? tmk_error_set(err, -EUCLEAN, "%.500s", h->unsound) : look_at_sidecar(h, &h->given, err);
	if (bad)
		return bad;
	int journal = tmk_layout_journal(h->dir, err);
	if (journal < 0)
		return journal;
	bad = send_acceptance(h, member, journal);
	close(journal);
	return bad ? tmk_error_sys(err, bad, "%s: cannot hand the journal over", h->row.name) : 0;
}

static void say_refusal(const struct tmk_holding *h, struct tmk_member *member, enum tmk_refuse code, const char *text)
{
	tmk_log_warning("%s: refused: %s", h->row.name, text);
	tmk_channel_send_refuse(tmk_member_channel(member), TMK_MESSAGE_REFUSE, code, text);
	tmk_member_kill_in(member, 10000);
}

static void hold(struct tmk_holding *h, struct tmk_member *member, bool receives)
{
	struct tmk_error err = {0};
	int bad = give_journal(h, member, &err);
	if (bad) {
		if (bad == -EUCLEAN)
			snprintf(h->unsound, sizeof(h->unsound), "%s", err.text);
		say_refusal(h, member, bad == -EUCLEAN ? TMK_REFUSE_BROKEN : TMK_REFUSE_TARGET, err.text);
		return;
	}
	h->session = member;
	h->session_receives = receives;
	h->session_open = h->session_deaf = h->session_ails = false;
	h->full[0] = h->noted[0] = 0;
}

/* A receiver that has the journal open hears STOP; one that recovers it does not, and is waited for: its work has to be done
 * anyway. */
static void stop_session(struct tmk_holding *h, enum tmk_refuse code, const char *text)
{
	if (!h->session || !h->session_receives)
		return;
	tmk_channel_send_refuse(tmk_member_channel(h->session), TMK_MESSAGE_STOP, code, text);
	if (h->session_open)
		tmk_member_kill_in(h->session, STOP_MS);
}

void tmk_holding_refuse(struct tmk_holding *h, enum tmk_refuse code, const char *text)
{
	stop_session(h, code, text);
}

void tmk_holding_offer(struct tmk_holding *h, struct tmk_member *receiver, const char *host)
{
	snprintf(h->host, sizeof(h->host), "%s", host);
	if (h->quiet || h->all->stopping) {
		say_refusal(h, receiver, TMK_REFUSE_TARGET, "an operator is at work on this protection: try again");
		return;
	}
	if (h->trouble_code == -EUCLEAN) {
		say_refusal(h, receiver, TMK_REFUSE_BROKEN, h->trouble);
		return;
	}
	if (!h->session) {
		hold(h, receiver, true);
		return;
	}
	if (h->waiting)
		say_refusal(h, h->waiting, TMK_REFUSE_SUPERSEDED, "a newer session of this protection took over");
	h->waiting = receiver;
	stop_session(h, TMK_REFUSE_SUPERSEDED, "a newer session of this protection took over");
}

/* The journal says that it cannot be opened: true unless the applier went on (and trimmed) since it was handed over. */
static int hear_unsound(struct tmk_holding *h, struct tmk_reader *r)
{
	struct tmk_error err = {0};
	struct tmk_place now;
	char text[512];
	tmk_get_u32(r);
	tmk_get_string(r, text, sizeof(text));
	if (!tmk_reader_done(r))
		return -EBADMSG;
	int bad = look_at_sidecar(h, &now, &err);
	if (!bad && (now.number != h->given.number || memcmp(now.hash, h->given.hash, sizeof(now.hash)))) {
		h->given = now;
		return send_acceptance(h, h->session, -1) ? -EPIPE : 0;
	}
	snprintf(h->unsound, sizeof(h->unsound), "%s", bad ? err.text : text);
	tmk_log_error("%s: %s", h->row.name, h->unsound);
	tmk_channel_send_refuse(tmk_member_channel(h->session), TMK_MESSAGE_REFUSE, TMK_REFUSE_BROKEN, h->unsound);
	return 0;
}

static int hear_opened(struct tmk_holding *h, struct tmk_reader *r, const uint8_t hello[TMK_EPOCH_SIZE])
{
	uint8_t epoch[TMK_EPOCH_SIZE];
	struct tmk_error err = {0};
	uint64_t end = tmk_get_u64(r);
	tmk_get_bytes(r, epoch, sizeof(epoch));
	if (!tmk_reader_done(r) || h->session_open)
		return -EBADMSG;
	int bad = tmk_epochs_found(h->all->with.catalogue, h, epoch, &err);
	h->session_open = true;
	h->session_from = end;
	h->unsound[0] = 0;
	if (h->ailing_code != -ENOSPC || !h->session_receives) /* opening flushes it; if there is room, who writes will see */
		tmk_trouble_over(&h->ailing_code, h->ailing);
	take_durable(h, end);
	if (!h->session_receives)
		return 0;
	return bad ? tmk_epochs_refuse(h, &err) : tmk_epochs_hello(h->all->with.catalogue, h, hello);
}

static int hear_epoch(struct tmk_holding *h, struct tmk_reader *r)
{
	uint8_t epoch[TMK_EPOCH_SIZE];
	tmk_get_bytes(r, epoch, sizeof(epoch));
	return tmk_reader_done(r) ? tmk_epochs_begin(h->all->with.catalogue, h, epoch) : -EBADMSG;
}

static int hear_full(struct tmk_holding *h, struct tmk_reader *r)
{
	char text[512];
	uint32_t code = tmk_get_u32(r);
	tmk_get_string(r, text, sizeof(text));
	if (!tmk_reader_done(r))
		return -EBADMSG;
	snprintf(h->full, sizeof(h->full), "%s", code ? text : "");
	return 0;
}

static int hear_durable(struct tmk_holding *h, struct tmk_reader *r)
{
	uint64_t number = tmk_get_u64(r);
	if (!tmk_reader_done(r))
		return -EBADMSG;
	tmk_trouble_over(&h->ailing_code, h->ailing);
	take_durable(h, number);
	return 0;
}

/* The journal cannot be written: the one who says so ends, and says it once. */
static int hear_ailing(struct tmk_holding *h, struct tmk_reader *r)
{
	if (h->session_ails)
		return -EBADMSG;
	h->session_ails = true;
	h->look_at = tmk_now_ms() + TMK_TROUBLE_MS;
	return tmk_trouble_hear(r, h->row.name, &h->ailing_code, h->ailing);
}

int tmk_holding_hear(struct tmk_holding *h, struct tmk_member *session, const struct tmk_message *m, const uint8_t epoch[16])
{
	struct tmk_reader r = tmk_message_reader(m);
	if (session != h->session)
		return -EBADMSG;
	if (m->type == TMK_MESSAGE_OPENED)
		return hear_opened(h, &r, epoch);
	if (m->type == TMK_MESSAGE_UNSOUND && !h->session_open)
		return hear_unsound(h, &r);
	if (m->type == TMK_MESSAGE_TROUBLE)
		return hear_ailing(h, &r);
	if (!h->session_open || !h->session_receives)
		return -EBADMSG;
	switch (m->type) {
	case TMK_MESSAGE_EPOCH:
		return hear_epoch(h, &r);
	case TMK_MESSAGE_DURABLE:
		return hear_durable(h, &r);
	case TMK_MESSAGE_FULL:
		return hear_full(h, &r);
	}
	return -EBADMSG;
}

void tmk_holding_left(struct tmk_holding *h, struct tmk_member *receiver, int status)
{
	if (receiver == h->waiting)
		h->waiting = NULL;
	if (receiver != h->session) {
		check_quiet(h);
		return;
	}
	bool recover = h->session_receives && WIFSIGNALED(status);
	h->session = NULL;
	h->session_open = false;
	h->full[0] = 0;
	if (h->waiting && !h->quiet && !h->all->stopping) {
		struct tmk_member *next = h->waiting;
		h->waiting = NULL;
		hold(h, next, true);
	} else if (recover) {
		start_recoverer(h); /* what it appended and did not tell is worth having */
	}
	check_quiet(h);
}

static int recoverer_message(struct tmk_member *member, const struct tmk_message *m, void *context)
{
	static const uint8_t none[TMK_EPOCH_SIZE];
	return tmk_holding_hear(context, member, m, none);
}

static void recoverer_gone(struct tmk_member *member, int status, void *context)
{
	tmk_holding_left(context, member, status);
}

static const struct tmk_member_ops recoverer_ops = {.message = recoverer_message, .gone = recoverer_gone};

static void start_recoverer(struct tmk_holding *h)
{
	const struct tmk_holdings_with *with = &h->all->with;
	struct tmk_recoverer context = {.user = with->user, .protections = with->protections};
	struct tmk_child_start start = {
		.title = "tidemark-look",
		.run = tmk_recoverer_run,
		.context = &context,
		.keep = {with->protections},
		.keep_count = 1,
	};
	if (h->session || h->quiet || h->all->stopping || h->dir < 0)
		return;
	struct tmk_member *member = tmk_crew_start(with->crew, &start, &recoverer_ops, h);
	if (member)
		hold(h, member, false);
	else
		tmk_log_error("%s: no process to look through the journal: %s", h->row.name, strerror(errno));
}

/* ---- all of them ---- */

struct tmk_holding *tmk_holdings_first(struct tmk_holdings *all)
{
	return all->first;
}

struct tmk_holding *tmk_holdings_find(struct tmk_holdings *all, const char *name)
{
	for (struct tmk_holding *h = all->first; h; h = h->next)
		if (!strcmp(h->row.name, name))
			return h;
	return NULL;
}

static void open_directory(struct tmk_holding *h)
{
	struct tmk_error err = {0};
	h->dir = tmk_layout_open(h->all->with.root, h->row.name, &err);
	if (h->dir < 0) {
		if (strcmp(err.text, h->unsound))
			tmk_log_error("%s: protections: %s", h->row.name, err.text);
		h->restart_at = tmk_now_ms() + TMK_TROUBLE_MS;
	}
	memcpy(h->unsound, err.text, sizeof(h->unsound));
}

/* Its directory may be mounted late, its journal's disk come back: nobody has to say so. */
static void look_again(struct tmk_holding *h)
{
	uint64_t now = tmk_now_ms();
	bool missing = h->dir < 0 && now >= h->restart_at;
	if (missing)
		open_directory(h);
	if (!missing && (!h->ailing_code || now < h->look_at))
		return;
	h->look_at = now + TMK_TROUBLE_MS;
	start_recoverer(h);
}

struct tmk_holding *tmk_holdings_take(struct tmk_holdings *all, const struct tmk_catalogued *row)
{
	struct tmk_holding *h = tmk_holdings_find(all, row->name);
	if (h) {
		h->row = *row;
		if (h->dir < 0)
			open_directory(h);
		start_applier(h);
		return h;
	}
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->all = all;
	h->row = *row;
	h->next = all->first;
	all->first = h;
	open_directory(h);
	start_applier(h);
	return h;
}

static int take_row(const struct tmk_catalogued *row, void *context)
{
	struct tmk_holding *h = tmk_holdings_take(context, row);
	if (!h)
		return -ENOMEM;
	start_recoverer(h);
	return 0;
}

int tmk_holdings_new(struct tmk_holdings **out, const struct tmk_holdings_with *with, struct tmk_error *err)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return tmk_error_set(err, -ENOMEM, "no memory");
	(*out)->with = *with;
	return tmk_catalogue_protections(with->catalogue, take_row, *out, err);
}

static void free_holding(struct tmk_holding *h)
{
	if (h->dir >= 0)
		close(h->dir);
	free(h);
}

void tmk_holdings_free(struct tmk_holdings *all)
{
	if (!all)
		return;
	for (struct tmk_holding *h = all->first, *next; h; h = next) {
		next = h->next;
		free_holding(h);
	}
	free(all);
}

void tmk_holdings_tick(struct tmk_holdings *all)
{
	for (struct tmk_holding *h = all->first; h; h = h->next) {
		look_again(h);
		start_applier(h);
		tell_durable(h);
		tmk_passing_tick(h);
		tmk_ledger_tick(all->with.catalogue, h);
		tmk_trouble_tell(h, tmk_catalogue_trouble(all->with.catalogue));
	}
	tmk_ledger_mend(all->with.catalogue, &all->mend_at);
}

static void stop_applier(struct tmk_holding *h)
{
	if (!h->applier)
		return;
	tmk_channel_send_refuse(tmk_member_channel(h->applier), TMK_MESSAGE_STOP, 0, "");
	tmk_member_kill_in(h->applier, APPLIER_STOP_MS);
}

void tmk_holdings_stop(struct tmk_holdings *all)
{
	all->stopping = true;
	for (struct tmk_holding *h = all->first; h; h = h->next) {
		stop_session(h, 0, "");
		if (h->session && !h->session_open)
			tmk_member_kill(h->session);
		if (h->waiting)
			tmk_member_kill(h->waiting);
		stop_applier(h);
	}
}

/* ---- for operators ---- */

const char *tmk_holding_broken(const struct tmk_holding *h)
{
	if (h->trouble_code == -EUCLEAN)
		return h->trouble;
	return h->unsound[0] ? h->unsound : NULL;
}

int tmk_holding_quiesce(struct tmk_holding *h, void (*quiet)(struct tmk_holding *h, void *context), void *context)
{
	if (h->quiet || h->all->stopping)
		return -EBUSY;
	h->quiet = quiet;
	h->quiet_context = context;
	stop_session(h, TMK_REFUSE_TARGET, "an operator starts this protection over");
	if (h->session)
		tmk_member_kill_in(h->session, STOP_MS);
	if (h->waiting)
		say_refusal(h, h->waiting, TMK_REFUSE_TARGET, "an operator starts this protection over");
	if (h->applier)
		tmk_member_kill(h->applier);
	check_quiet(h);
	return 0;
}

void tmk_holding_resume(struct tmk_holding *h)
{
	h->quiet = NULL;
	h->quiet_context = NULL;
	h->crashes = 0;
	h->restart_at = 0;
	start_applier(h);
	start_recoverer(h);
}

void tmk_holding_emptied(struct tmk_holding *h)
{
	struct tmk_error err = {0};
	h->durable = h->told = 0;
	memset(&h->at, 0, sizeof(h->at));
	h->trouble[0] = h->unsound[0] = h->ailing[0] = h->full[0] = 0;
	h->trouble_code = h->ailing_code = 0;
	tmk_ledger_forget(h);
	if (tmk_catalogue_points_drop(h->all->with.catalogue, h->row.name, &err))
		tmk_log_error("%s: %s", h->row.name, err.text);
}

int tmk_holding_give_up(struct tmk_holding *h, void (*gave_up)(struct tmk_holding *h, int code, const char *text, void *context),
			void *context)
{
	if (h->gave_up || h->quiet)
		return -EBUSY;
	if (!h->applier || tmk_channel_send(tmk_member_channel(h->applier), TMK_MESSAGE_GIVE_UP, NULL, 0, -1))
		return -EAGAIN;
	h->gave_up = gave_up;
	h->gave_up_context = context;
	return 0;
}

void tmk_holding_forget(struct tmk_holding *h)
{
	struct tmk_holding **at = &h->all->first;
	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	free_holding(h);
}
