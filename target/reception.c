/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Greeting of new connections: see reception.h. In the supervisor's loop; waits for small files only. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "jobs.h"
#include "log.h"
#include "message.h"
#include "receiver.h"
#include "reception.h"
#include "session.h"
#include "util.h"

#define GREETING_MS 30000 /* handshake and first frame; the receiver itself gives up earlier */
#define ANSWERED_MS 10000
#define SIGN_MS 20000
#define WRONG_TOKEN_MS 1000
#define GREETING_MOST 64 /* connections that nobody has vouched for yet */
#define IDLE_MS 1000
#define PEM_MOST 8191

enum state { GREETING, DELAYED, SIGNING, JUDGED, ANSWERED };

struct guest {
	struct guest *next;
	struct tmk_reception *reception;
	struct tmk_member *member;
	enum state state;
	char peer[64];
	char name[TMK_NAME_MAX + 1]; /* JUDGED: of the protection */
	uint8_t epoch[TMK_EPOCH_SIZE];
	uint64_t came;	    /* ms */
	uint64_t refuse_at; /* DELAYED */
	char text[512];
	struct signing *signing;
};

struct signing {
	struct guest *guest; /* NULL: it left */
	struct tmk_reception *reception;
	char host[128];
};

struct tmk_reception {
	struct tmk_reception_with with;
	struct guest *guests;
	unsigned greeting;
	char *authority; /* PEM */
};

/* A state is left once, and never for GREETING again. */
static void enter(struct guest *g, enum state to)
{
	if (g->state == GREETING && to != GREETING)
		g->reception->greeting--;
	g->state = to;
}

static void answer_refusal(struct guest *g, enum tmk_refuse code, const char *text)
{
	enter(g, ANSWERED);
	tmk_channel_send_refuse(tmk_member_channel(g->member), TMK_MESSAGE_REFUSE, code, text);
	tmk_member_kill_in(g->member, ANSWERED_MS);
}

/* ---- HELLO ---- */

static int hear_hello(struct guest *g, const struct tmk_message *m)
{
	const struct tmk_reception_with *with = &g->reception->with;
	static struct tmk_hello hello;
	static struct tmk_verdict verdict;
	uint8_t fingerprint[32];
	struct tmk_reader r = tmk_message_reader(m);
	uint8_t certified = tmk_get_u8(&r);
	tmk_get_bytes(&r, fingerprint, sizeof(fingerprint));
	if (r.failed || certified > 1 || tmk_hello_decode(m->body + r.at, m->size - r.at, &hello, NULL))
		return -EBADMSG;
	const struct tmk_session_court court = {.catalogue = with->catalogue, .root = with->root, .user = with->user};
	tmk_session_judge(&court, certified ? fingerprint : NULL, &hello, &verdict);
	if (verdict.refuse) {
		tmk_log_warning("%s: %s of %s is refused: %s", g->peer, hello.name, hello.host, verdict.text);
		answer_refusal(g, verdict.refuse, verdict.text);
		return 0;
	}
	if (verdict.created)
		tmk_log_info("%s: new protection of %s with %u disks", hello.name, hello.host, hello.disk_count);
	struct tmk_holding *h = tmk_holdings_take(with->holdings, &verdict.row);
	if (!h) {
		answer_refusal(g, TMK_REFUSE_TARGET, "the target has no memory left");
		return 0;
	}
	enter(g, JUDGED);
	memcpy(g->name, hello.name, sizeof(g->name));
	memcpy(g->epoch, hello.epoch, sizeof(g->epoch));
	tmk_holding_offer(h, g->member, hello.host);
	return 0;
}

/* ---- JOIN ---- */

static void delay_refusal(struct guest *g, const char *text)
{
	enter(g, DELAYED);
	g->refuse_at = tmk_now_ms() + WRONG_TOKEN_MS;
	snprintf(g->text, sizeof(g->text), "%s", text);
	tmk_log_warning("%s: join refused: %s", g->peer, text);
}

static void answer_joined(struct guest *g, const char *certificate)
{
	static uint8_t body[TMK_MESSAGE_MAX];
	size_t size = tmk_joined_encode(certificate, g->reception->authority, body, sizeof(body));
	if (!size || tmk_channel_send(tmk_member_channel(g->member), TMK_MESSAGE_JOINED, body, size, -1))
		tmk_member_kill(g->member);
	enter(g, ANSWERED);
	tmk_member_kill_in(g->member, ANSWERED_MS);
}

static int signing_message(struct tmk_member *member, const struct tmk_message *m, void *context)
{
	struct signing *s = context;
	struct tmk_error err = {0};
	char certificate[PEM_MOST + 1], text[512];
	uint8_t fingerprint[32];
	struct tmk_reader r = tmk_message_reader(m);
	(void)member;
	if (m->type == TMK_MESSAGE_DONE) {
		uint32_t code = tmk_get_u32(&r);
		tmk_get_string(&r, text, sizeof(text));
		if (code && s->guest)
			answer_refusal(s->guest, TMK_REFUSE_PROTOCOL, text);
		return tmk_reader_done(&r) ? 0 : -EBADMSG;
	}
	tmk_get_bytes(&r, fingerprint, sizeof(fingerprint));
	tmk_get_string(&r, certificate, sizeof(certificate));
	if (m->type != TMK_MESSAGE_SIGNED || !tmk_reader_done(&r))
		return -EBADMSG;
	if (!s->guest)
		return 0;
	if (tmk_catalogue_certificate_add(s->reception->with.catalogue, fingerprint, s->host, &err)) {
		tmk_log_error("%s", err.text);
		answer_refusal(s->guest, TMK_REFUSE_TARGET, err.text);
		return 0;
	}
	tmk_log_info("%s: %s has joined", s->guest->peer, s->host);
	answer_joined(s->guest, certificate);
	return 0;
}

static void signing_gone(struct tmk_member *member, int status, void *context)
{
	struct signing *s = context;
	(void)member;
	(void)status;
	if (s->guest && s->guest->state == SIGNING)
		answer_refusal(s->guest, TMK_REFUSE_TARGET, "the certificate could not be signed: see the target's log");
	if (s->guest)
		s->guest->signing = NULL;
	free(s);
}

static const struct tmk_member_ops signing_ops = {.message = signing_message, .gone = signing_gone};

/* Another process looks at the request and holds the authority's key. */
static void start_signing(struct guest *g, const struct tmk_join *join)
{
	static struct tmk_job_sign job;
	struct signing *s = calloc(1, sizeof(*s));
	struct tmk_child_start start = {.title = "tidemark-sign", .run = tmk_job_sign_run, .context = &job};
	memset(&job, 0, sizeof(job));
	snprintf(job.pki, sizeof(job.pki), "%s", g->reception->with.pki);
	memcpy(job.host, join->host, sizeof(job.host));
	memcpy(job.request, join->request, sizeof(job.request));
	struct tmk_member *member = s ? tmk_crew_start(g->reception->with.crew, &start, &signing_ops, s) : NULL;
	if (!member) {
		free(s);
		answer_refusal(g, TMK_REFUSE_TARGET, "the target has no process left");
		return;
	}
	tmk_member_kill_in(member, SIGN_MS);
	s->guest = g;
	s->reception = g->reception;
	memcpy(s->host, join->host, sizeof(s->host));
	g->signing = s;
	enter(g, SIGNING);
}

static int hear_join(struct guest *g, const struct tmk_message *m)
{
	static struct tmk_join join;
	struct tmk_token token;
	struct tmk_error err = {0};
	if (tmk_join_decode(m->body, m->size, &join, NULL))
		return -EBADMSG;
	int bad = tmk_token_parse(join.token, &token, &err);
	if (!bad)
		bad = tmk_catalogue_token_use(g->reception->with.catalogue, token.secret, tmk_clock_ns() / 1000000000, &err);
	if (!bad)
		start_signing(g, &join);
	else if (bad == -EACCES || bad == -EINVAL)
		delay_refusal(g, err.text);
	else
		answer_refusal(g, TMK_REFUSE_TARGET, err.text);
	return 0;
}

/* ---- guests ---- */

static int guest_message(struct tmk_member *member, const struct tmk_message *m, void *context)
{
	struct guest *g = context;
	if (g->state == GREETING && m->type == TMK_MESSAGE_HELLO)
		return hear_hello(g, m);
	if (g->state == GREETING && m->type == TMK_MESSAGE_JOIN)
		return hear_join(g, m);
	struct tmk_holding *h = g->state == JUDGED ? tmk_holdings_find(g->reception->with.holdings, g->name) : NULL;
	return h ? tmk_holding_hear(h, member, m, g->epoch) : -EBADMSG;
}

static void guest_gone(struct tmk_member *member, int status, void *context)
{
	struct guest *g = context, **at = &g->reception->guests;
	enum state state = g->state;
	enter(g, ANSWERED);
	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	if (g->signing)
		g->signing->guest = NULL;
	struct tmk_holding *h = state == JUDGED ? tmk_holdings_find(g->reception->with.holdings, g->name) : NULL;
	if (h)
		tmk_holding_left(h, member, status);
	free(g);
}

static const struct tmk_member_ops guest_ops = {.message = guest_message, .gone = guest_gone};

static void name_peer(int fd, char *out, size_t size)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	char host[48] = "?", port[8] = "?";
	if (getpeername(fd, (struct sockaddr *)&address, &length) == 0)
		getnameinfo((struct sockaddr *)&address, length, host, sizeof(host), port, sizeof(port),
			    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(out, size, "%s:%s", host, port);
}

static struct guest *receive(struct tmk_reception *r, int fd)
{
	struct guest *g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->reception = r;
	g->came = tmk_now_ms();
	name_peer(fd, g->peer, sizeof(g->peer));
	struct tmk_receiver context = {.fd = fd, .tls = r->with.tls, .user = r->with.user, .protections = r->with.protections};
	memcpy(context.peer, g->peer, sizeof(context.peer));
	const struct tmk_child_start start = {
		.title = "tidemark-recv",
		.run = tmk_receiver_run,
		.context = &context,
		.keep = {fd, r->with.protections},
		.keep_count = 2,
	};
	g->member = tmk_crew_start(r->with.crew, &start, &guest_ops, g);
	if (g->member)
		return g;
	free(g);
	return NULL;
}

void tmk_reception_connect(struct tmk_reception *r, int fd)
{
	struct guest *g = r->greeting < GREETING_MOST ? receive(r, fd) : NULL;
	close(fd);
	if (!g) {
		tmk_log_warning("a connection was turned away: too many at once, or no process left");
		return;
	}
	g->next = r->guests;
	r->guests = g;
	r->greeting++;
}

uint64_t tmk_reception_tick(struct tmk_reception *r)
{
	uint64_t now = tmk_now_ms(), next = IDLE_MS;
	for (struct guest *g = r->guests; g; g = g->next) {
		if (g->state == GREETING && now - g->came > GREETING_MS)
			tmk_member_kill(g->member);
		if (g->state != DELAYED)
			continue;
		if (g->refuse_at <= now)
			answer_refusal(g, TMK_REFUSE_TOKEN, g->text);
		else if (g->refuse_at - now < next)
			next = g->refuse_at - now;
	}
	return next;
}

void tmk_reception_stop(struct tmk_reception *r)
{
	for (struct guest *g = r->guests; g; g = g->next)
		if (g->state != JUDGED)
			tmk_member_kill(g->member);
}

int tmk_reception_new(struct tmk_reception **out, const struct tmk_reception_with *with, struct tmk_error *err)
{
	char path[PATH_MAX];
	struct tmk_reception *r = calloc(1, sizeof(*r));
	*out = NULL;
	if (!r)
		return tmk_error_set(err, -ENOMEM, "no memory");
	r->with = *with;
	int bad = tmk_path(path, sizeof(path), "%s/authority.pem", with->pki);
	if (!bad)
		bad = tmk_read_file(path, PEM_MOST, &r->authority, err);
	if (bad)
		free(r);
	else
		*out = r;
	return bad;
}

void tmk_reception_free(struct tmk_reception *r)
{
	if (!r)
		return;
	for (struct guest *g = r->guests, *next; g; g = next) {
		next = g->next;
		free(g->signing);
		free(g);
	}
	free(r->authority);
	free(r);
}
