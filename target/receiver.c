/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The receiver until chunks flow: see receiver.h. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "ingest.h"
#include "log.h"
#include "message.h"
#include "opening.h"
#include "receiver.h"
#include "util.h"

#define HANDSHAKE_MS 10000
#define FIRST_FRAME_MS 10000
#define VERDICT_MS 110000 /* an older session may have to end, its journal to be recovered, a replica to be made */
#define LINGER_MS 2000

void tmk_receiver_refuse(struct tmk_link *link, enum tmk_refuse code, const char *text)
{
	static uint8_t body[4096];
	struct tmk_frame frame;
	const uint8_t *rest;
	size_t size = tmk_refuse_encode(code, text, body, sizeof(body));
	if (!size || tmk_link_send(link, TMK_FRAME_REFUSE, body, size, NULL, 0) < 0 || tmk_link_flush(link, LINGER_MS, NULL) < 0)
		return;
	uint64_t end = tmk_now_ms() + LINGER_MS;
	for (uint64_t now = tmk_now_ms(); now < end; now = tmk_now_ms())
		if (tmk_link_wait(link, (int)(end - now), &frame, &rest, NULL) < 0)
			return;
}

/* The supervisor's answer, while the connection is watched: a peer that left needs none. */
static int await(int channel, struct tmk_link *link, struct tmk_message *m, struct tmk_error *err)
{
	uint64_t end = tmk_now_ms() + VERDICT_MS;
	for (;;) {
		int bad = tmk_channel_receive(channel, m);
		if (bad != -EAGAIN)
			return bad ? tmk_error_sys(err, bad, "no answer from the supervisor") : 0;
		uint64_t now = tmk_now_ms();
		if (now >= end)
			return tmk_error_set(err, -ETIMEDOUT, "no answer from the supervisor");
		struct pollfd p[2] = {{.fd = channel, .events = POLLIN}, {.fd = tmk_link_fd(link), .events = POLLRDHUP}};
		if (poll(p, 2, (int)(end - now)) < 0 && errno != EINTR)
			return tmk_error_sys(err, -errno, "poll");
		if (p[1].revents)
			return tmk_error_set(err, -EPIPE, "the source left");
	}
}

/* What the supervisor refused, said to the source. */
static void pass_refusal(struct tmk_link *link, const struct tmk_message *m)
{
	char text[1024];
	struct tmk_reader r = tmk_message_reader(m);
	uint16_t code = tmk_get_u16(&r);
	tmk_get_string(&r, text, sizeof(text));
	if (!tmk_reader_done(&r) || !code)
		return;
	tmk_receiver_refuse(link, code, text);
}

static int join(int channel, struct tmk_link *link, const uint8_t *body, size_t size, struct tmk_error *err)
{
	static struct tmk_join request;
	static struct tmk_message answer;
	int bad = tmk_join_decode(body, size, &request, err);
	if (bad) {
		tmk_receiver_refuse(link, bad == -EPROTONOSUPPORT ? TMK_REFUSE_VERSION : TMK_REFUSE_PROTOCOL, err->text);
		return bad;
	}
	bad = tmk_channel_send(channel, TMK_MESSAGE_JOIN, body, size, -1);
	if (bad)
		return tmk_error_sys(err, bad, "cannot ask the supervisor");
	bad = await(channel, link, &answer, err);
	if (bad)
		return bad;
	if (answer.type == TMK_MESSAGE_REFUSE)
		pass_refusal(link, &answer);
	if (answer.type != TMK_MESSAGE_JOINED)
		return 0;
	bad = tmk_link_send(link, TMK_FRAME_JOINED, answer.body, answer.size, NULL, 0);
	return bad ? bad : tmk_link_flush(link, LINGER_MS, err);
}

static int ask(int channel, struct tmk_link *link, const uint8_t *body, size_t size, struct tmk_error *err)
{
	static uint8_t out[TMK_MESSAGE_MAX];
	uint8_t fingerprint[32] = {0};
	struct tmk_writer_buf w = tmk_writer_buf(out, sizeof(out));
	tmk_put_u8(&w, tmk_link_peer(link, fingerprint));
	tmk_put_bytes(&w, fingerprint, sizeof(fingerprint));
	tmk_put_bytes(&w, body, size);
	int bad = w.failed ? -EMSGSIZE : tmk_channel_send(channel, TMK_MESSAGE_HELLO, out, w.at, -1);
	return bad ? tmk_error_sys(err, bad, "cannot ask the supervisor") : 0;
}

static enum tmk_refuse refusal_of(int code)
{
	switch (code) {
	case -EUCLEAN:
		return TMK_REFUSE_BROKEN;
	case -ENOSPC:
		return TMK_REFUSE_SPACE;
	}
	return TMK_REFUSE_TARGET;
}

static int session(int channel, struct tmk_link *link, const struct tmk_hello *hello, struct tmk_message *m,
		   struct tmk_error *err)
{
	struct tmk_opening opening;
	int bad = tmk_opening_journal(channel, m, &opening, err);
	if (bad && bad != -EPIPE) /* without a supervisor there is nothing to say */
		tmk_receiver_refuse(link, refusal_of(bad), err->text);
	else if (!bad)
		bad = tmk_ingest_run(channel, link, hello, &opening, err);
	tmk_opening_close(&opening);
	return bad;
}

static int greet(int channel, struct tmk_link *link, const uint8_t *body, size_t size, struct tmk_error *err)
{
	static struct tmk_hello hello;
	static struct tmk_message answer;
	int bad = tmk_hello_decode(body, size, &hello, err);
	if (bad) {
		tmk_receiver_refuse(link, bad == -EPROTONOSUPPORT ? TMK_REFUSE_VERSION : TMK_REFUSE_PROTOCOL, err->text);
		return bad;
	}
	bad = ask(channel, link, body, size, err);
	if (!bad)
		bad = await(channel, link, &answer, err);
	if (bad)
		return bad;
	if (answer.type == TMK_MESSAGE_ACCEPT)
		return session(channel, link, &hello, &answer, err);
	if (answer.type == TMK_MESSAGE_REFUSE || answer.type == TMK_MESSAGE_STOP)
		pass_refusal(link, &answer);
	return 0;
}

static int converse(int channel, struct tmk_link *link, struct tmk_error *err)
{
	struct tmk_frame frame;
	const uint8_t *body;
	int bad = tmk_link_wait(link, FIRST_FRAME_MS, &frame, &body, err);
	if (bad == -EBADMSG)
		tmk_receiver_refuse(link, TMK_REFUSE_PROTOCOL, err->text);
	if (bad)
		return bad;
	switch (frame.type) {
	case TMK_FRAME_HELLO:
		return greet(channel, link, body, frame.length, err);
	case TMK_FRAME_JOIN:
		return join(channel, link, body, frame.length, err);
	}
	tmk_receiver_refuse(link, TMK_REFUSE_PROTOCOL, "the first frame has to be HELLO or JOIN");
	return tmk_error_set(err, -EBADMSG, "the first frame is of type %u", frame.type);
}

int tmk_receiver_run(int channel, void *context)
{
	struct tmk_receiver *r = context;
	struct tmk_error err = {0};
	struct tmk_link *link = NULL;
	int bad = tmk_sandbox_enter(r->user, r->protections, &err);
	if (!bad) {
		close(r->protections);
		bad = tmk_link_accept(&link, r->fd, r->tls, HANDSHAKE_MS, &err);
	}
	if (!bad)
		bad = converse(channel, link, &err);
	if (bad)
		tmk_log_warning("%s: connection ended: %s", r->peer, err.text);
	tmk_link_free(link);
	return bad ? 1 : 0;
}
