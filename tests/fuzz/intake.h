/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A receiver's session in one thread, from WELCOME on: target/ingest.c over a link without TLS, with a real journal in memory and
 * a supervisor that lets every epoch begin. What the source sends lies in the socket when it starts; the source has then left.
 */
#ifndef TMK_FUZZ_INTAKE_H
#define TMK_FUZZ_INTAKE_H

#include "plain.h"

#include "../../target/channel.h"
#include "../../target/receiver.h"
static int answer_epoch(int channel, int timeout_ms, struct tmk_message *out);
static void note_refusal(struct tmk_link *link, enum tmk_refuse code, const char *text); /* the real one waits for the source */
#define tmk_channel_wait answer_epoch
#define tmk_receiver_refuse note_refusal
#include "../../target/ingest.c"
#undef tmk_channel_wait
#undef tmk_receiver_refuse

#include "fuzz.h"

struct session {
	struct tmk_hello hello;
	struct tmk_acceptance acceptance;
	int journal_dir;
	/* what became of it */
	int result;
	uint64_t acked;	      /* the last chunk that the source was told is durable; 0: none, or it had left */
	uint64_t durable;     /* the same, as the supervisor was told */
	unsigned int refused; /* enum tmk_refuse; 0: it was not */
	struct tmk_place end; /* of the journal, opened anew */
};

static int session_supervisor; /* the supervisor's end of the channel */
static uint8_t session_epoch[TMK_EPOCH_SIZE];
static uint64_t session_durable;
static unsigned int session_refused;

static void note_refusal(struct tmk_link *link, enum tmk_refuse code, const char *text)
{
	(void)link;
	REQUIRE(!session_refused && code && text[0]);
	session_refused = code;
}

static void hear_receiver(void);

/* As holding.c: the epoch that may go on, then any that is asked for. */
static int answer_epoch(int channel, int timeout_ms, struct tmk_message *out)
{
	(void)channel, (void)timeout_ms;
	hear_receiver();
	memset(out, 0, offsetof(struct tmk_message, body));
	out->fd = -1;
	out->type = TMK_MESSAGE_EPOCH;
	out->size = TMK_EPOCH_SIZE;
	memcpy(out->body, session_epoch, TMK_EPOCH_SIZE);
	return 0;
}

/* What the receiver told the supervisor so far. */
static void hear_receiver(void)
{
	static struct tmk_message m;

	while (!tmk_channel_receive(session_supervisor, &m)) {
		struct tmk_reader r = tmk_message_reader(&m);
		uint64_t number = tmk_get_u64(&r);

		REQUIRE(m.fd < 0);
		if (m.type == TMK_MESSAGE_EPOCH)
			memcpy(session_epoch, m.body, TMK_EPOCH_SIZE);
		if (m.type != TMK_MESSAGE_DURABLE)
			continue;
		REQUIRE(tmk_reader_done(&r) && number > session_durable);
		session_durable = number;
	}
}

/* Takes the frames that the source got. */
static void hear_target(int fd, struct session *s)
{
	static uint8_t data[1u << 20];
	size_t size = 0, at = 0;
	ssize_t n;

	while (size < sizeof(data) && (n = recv(fd, data + size, sizeof(data) - size, MSG_DONTWAIT)) > 0)
		size += n;
	while (size - at >= TMK_FRAME_SIZE) {
		struct tmk_reader r = tmk_reader(data + at, size - at);
		uint16_t type = tmk_get_u16(&r), flags = tmk_get_u16(&r);
		uint32_t length = tmk_get_u32(&r);
		const uint8_t *body = tmk_get_span(&r, length);

		REQUIRE(body && !flags && length <= tmk_frame_limit(type));
		if (type == TMK_FRAME_ACK)
			REQUIRE(!tmk_ack_decode(body, length, &s->acked, NULL));
		at += r.at;
	}
	REQUIRE(at == size);
}

static int session_journal(const struct session *s, struct tmk_journal **out)
{
	struct tmk_journal_options o = {.io = &tmk_io_real,
					.dir = s->journal_dir,
					.sizes = s->acceptance.sizes,
					.applied = s->acceptance.applied,
					.limit = s->acceptance.limit};

	memcpy(o.protection, s->acceptance.protection, sizeof(o.protection));
	return tmk_journal_open(out, &o, NULL);
}

/* stream: frames behind HELLO. False: the journal could not be opened before, nothing was done. */
static bool session_run(struct session *s, const uint8_t *stream, size_t size)
{
	struct tmk_opening opening = {.acceptance = s->acceptance, .dir = s->journal_dir};
	struct tmk_error err = {0};
	int ends[2], channel[2], room = 1 << 20;
	struct tmk_link *link;

	if (session_journal(s, &opening.journal))
		return false;
	s->acked = session_durable = session_refused = 0;
	memcpy(session_epoch, s->acceptance.epoch, sizeof(session_epoch));
	REQUIRE(!tmk_channel_pair(channel));
	session_supervisor = channel[0];
	REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	REQUIRE(send(ends[0], stream, size, MSG_DONTWAIT) == (ssize_t)size);
	REQUIRE(!shutdown(ends[0], SHUT_WR));
	REQUIRE(!tmk_link_accept(&link, ends[1], NULL, 1000, &err));
	s->result = tmk_ingest_run(channel[1], link, &s->hello, &opening, &err);
	REQUIRE(!s->result || err.text[0]);
	tmk_link_free(link);
	tmk_journal_close(opening.journal);
	hear_target(ends[0], s);
	hear_receiver();
	close(ends[0]);
	close(channel[0]);
	close(channel[1]);
	/* What was acknowledged, the supervisor knows (I5); what is there opens again, and is no more than was acknowledged. */
	s->durable = session_durable;
	s->refused = session_refused;
	REQUIRE(s->acked <= s->durable);
	REQUIRE(!session_journal(s, &opening.journal));
	s->end = tmk_journal_end(opening.journal);
	tmk_journal_close(opening.journal);
	return true;
}

#endif
