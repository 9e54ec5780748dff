/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chunks in: see ingest.h. Waits in poll(2) and in the journal's flush only. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ingest.h"
#include "log.h"
#include "message.h"
#include "receiver.h"
#include "room.h"
#include "util.h"

#define GROUP_CHUNKS 64
#define GROUP_BYTES (4u << 20)
#define SILENT_MS 300000
#define STALL_POLL_MS 1000
#define STALL_PONG_MS 15000 /* a source that hears nothing gives up */
#define REWIND_QUEUE (4u << 20)
#define REWIND_MS 60000
#define EPOCH_MS 30000
#define TOLD_QUEUE (8u << 20) /* bytes of results that the source does not read */

struct ingest {
	int channel;
	struct tmk_link *link;
	const struct tmk_hello *hello;
	const struct tmk_acceptance *with;
	struct tmk_opening *opening;
	enum tmk_relation relation;
	uint8_t current[TMK_EPOCH_SIZE]; /* the epoch that may continue */
	bool begun;			 /* the first chunk came: `epoch` is the session's */
	uint8_t epoch[TMK_EPOCH_SIZE];
	struct tmk_place end; /* of what is appended */
	struct tmk_room room;
	unsigned group_chunks; /* appended and not durable */
	size_t group_bytes;
	bool stalled, over;
	char trouble[512]; /* of the target's, as the source was told */
	uint64_t heard, ponged;
	uint8_t *held; /* while stalled: the chunk that waits */
	size_t held_size;
	uint8_t raw[TMK_CHUNK_RAW_MAX];
};

/* Ends the session with a reason that the source is told. */
static int refuse(struct ingest *in, enum tmk_refuse code, struct tmk_error *err)
{
	tmk_receiver_refuse(in->link, code, err->text);
	in->over = true;
	return err->code;
}

static int note(struct ingest *in, enum tmk_note level, const char *text)
{
	uint8_t body[1200];
	size_t size = tmk_note_encode(level, text, body, sizeof(body));
	return size ? tmk_link_send(in->link, TMK_FRAME_NOTE, body, size, NULL, 0) : -EMSGSIZE;
}

/* What the supervisor wants the source to know. While stalled that is why, which is told already. */
static int take_trouble(struct ingest *in, const struct tmk_message *m, struct tmk_error *err)
{
	struct tmk_reader r = tmk_message_reader(m);
	int code = tmk_channel_get_code(&r);
	tmk_get_string(&r, in->trouble, sizeof(in->trouble));
	if (!tmk_reader_done(&r))
		return tmk_error_set(err, -EPROTO, "an order that makes no sense");
	int bad = in->stalled ? 0 : note(in, code ? TMK_NOTE_WARNING : TMK_NOTE_OK, in->trouble);
	return bad ? tmk_error_sys(err, bad, "cannot tell what is wrong here") : 0;
}

/* ---- the start ---- */

enum tmk_relation tmk_ingest_relation(const struct tmk_place *acked, const struct tmk_place *end, bool found)
{
	bool same = acked->number == end->number && !memcmp(acked->hash, end->hash, sizeof(end->hash));
	if (!end->number)
		return acked->number ? TMK_BEHIND : TMK_EQUAL;
	if (!acked->number || !found)
		return TMK_BEHIND; /* a source that knows nothing has everything marked: a rewind list is no use to it */
	return same ? TMK_EQUAL : TMK_AHEAD;
}

static int find_relation(struct ingest *in, struct tmk_place *acked, struct tmk_error *err)
{
	bool found = false;
	acked->number = in->hello->acked_number;
	memcpy(acked->hash, in->hello->acked_hash, sizeof(acked->hash));
	int bad = 0;
	if (acked->number && acked->number <= in->end.number)
		bad = tmk_journal_find(in->opening->journal, acked, &found, err);
	if (!bad)
		in->relation = tmk_ingest_relation(acked, &in->end, found);
	return bad;
}

static int welcome(struct ingest *in, struct tmk_error *err)
{
	uint8_t body[256];
	struct tmk_welcome w = {
		.version = TMK_WIRE_VERSION,
		.relation = (uint8_t)in->relation,
		.generation = in->with->generation,
		.last_number = in->end.number,
		.window = in->with->window,
		.holds = in->end.number || in->with->holds,
	};
	memcpy(w.last_hash, in->end.hash, sizeof(w.last_hash));
	size_t size = tmk_welcome_encode(&w, body, sizeof(body));
	int bad = size ? tmk_link_send(in->link, TMK_FRAME_WELCOME, body, size, NULL, 0) : -EMSGSIZE;
	return bad ? tmk_error_sys(err, bad, "cannot send WELCOME") : 0;
}

struct rewinding {
	struct ingest *in;
	struct tmk_rewind list;
	uint8_t body[TMK_REWIND_MAX];
	struct tmk_error *err;
};

static int send_rewind(struct rewinding *r, bool more)
{
	r->list.more = more;
	size_t size = tmk_rewind_encode(&r->list, r->body, sizeof(r->body));
	int bad = size ? tmk_link_send(r->in->link, TMK_FRAME_REWIND, r->body, size, NULL, 0) : -EMSGSIZE;
	if (bad)
		return tmk_error_sys(r->err, bad, "cannot send REWIND");
	r->list.count = 0;
	return tmk_link_queued(r->in->link) > REWIND_QUEUE ? tmk_link_flush(r->in->link, REWIND_MS, r->err) : 0;
}

static int add_extent(const struct tmk_rewind_extent *extent, void *context)
{
	struct rewinding *r = context;
	r->list.extents[r->list.count++] = *extent;
	return r->list.count == TMK_REWIND_EXTENTS ? send_rewind(r, true) : 0;
}

/* The extents of what the source did not send or forgot (R3). */
static int rewind_source(struct ingest *in, const struct tmk_place *acked, struct tmk_error *err)
{
	struct rewinding *r = calloc(1, sizeof(*r));
	if (!r)
		return tmk_error_set(err, -ENOMEM, "no memory for the rewind list");
	r->in = in;
	r->err = err;
	int bad = tmk_journal_extents(in->opening->journal, acked, add_extent, r, err);
	if (!bad)
		bad = send_rewind(r, false);
	free(r);
	return bad;
}

static int start(struct ingest *in, struct tmk_error *err)
{
	struct tmk_place acked;
	int bad = find_relation(in, &acked, err);
	if (bad)
		return refuse(in, bad == -EUCLEAN ? TMK_REFUSE_BROKEN : TMK_REFUSE_TARGET, err);
	tmk_log_info("%s: session of %s, acked %llu, target at %llu: %s", in->hello->name, in->hello->host,
		     (unsigned long long)acked.number, (unsigned long long)in->end.number,
		     in->relation == TMK_EQUAL	 ? "equal"
		     : in->relation == TMK_AHEAD ? "the target is ahead"
						 : "the source starts over");
	bad = welcome(in, err);
	if (!bad && in->relation == TMK_AHEAD) {
		bad = rewind_source(in, &acked, err);
		if (bad == -EUCLEAN || bad == -EIO)
			return refuse(in, bad == -EUCLEAN ? TMK_REFUSE_BROKEN : TMK_REFUSE_TARGET, err);
	}
	return bad;
}

/* ---- groups ---- */

static int acknowledge(struct ingest *in, uint64_t number, struct tmk_error *err)
{
	uint8_t body[8];
	/* The supervisor first: what the source knows as safe is known here, whatever happens to this process. */
	int bad = tmk_channel_send_number(in->channel, TMK_MESSAGE_DURABLE, number);
	if (!bad)
		bad = tmk_link_send(in->link, TMK_FRAME_ACK, body, tmk_ack_encode(number, body, sizeof(body)), NULL, 0);
	return bad ? tmk_error_sys(err, bad, "cannot acknowledge") : 0;
}

/* The journal cannot be written: the supervisor shows why. */
static int refuse_ill(struct ingest *in, struct tmk_error *err)
{
	tmk_channel_send_code(in->channel, TMK_MESSAGE_TROUBLE, err->code, err->text);
	return refuse(in, err->code == -ENOSPC ? TMK_REFUSE_SPACE : TMK_REFUSE_TARGET, err);
}

static int commit(struct ingest *in, struct tmk_error *err)
{
	struct tmk_place durable;
	if (!in->group_chunks)
		return 0;
	in->group_chunks = 0;
	in->group_bytes = 0;
	int bad = tmk_journal_commit(in->opening->journal, &durable, err);
	return bad ? refuse_ill(in, err) : acknowledge(in, durable.number, err);
}

/* What came before a fault is good: durable and acknowledged before the source hears of the fault. */
static int fault(struct ingest *in, enum tmk_refuse code, struct tmk_error *err)
{
	struct tmk_error other = {0};
	if (commit(in, &other)) {
		*err = other;
		return err->code;
	}
	return code == TMK_REFUSE_PROTOCOL ? refuse(in, code, err) : refuse_ill(in, err);
}

/* ---- room ---- */

enum room { ROOM, WAIT, NONE };

static enum room look_for_room(const struct ingest *in, size_t size, struct tmk_error *err)
{
	struct statvfs fs;
	char have[32], want[32];
	if (fstatvfs(in->opening->dir, &fs) < 0)
		return ROOM; /* the write will tell */
	uint64_t need = tmk_room_need(&in->room, size), available = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (available >= need)
		return ROOM;
	tmk_error_set(err, -ENOSPC,
		      "the target's disk is nearly full (%s free, %s needed): make space there, or `tidemark drop %s --now` "
		      "there gives up the newest point",
		      tmk_human(available, have), tmk_human(need, want), in->with->name);
	return tmk_room_waits(&in->room) ? WAIT : NONE;
}

static int stall(struct ingest *in, const uint8_t *body, size_t size, const char *why, struct tmk_error *err)
{
	int bad = commit(in, err);
	if (bad || in->stalled)
		return bad;
	in->held = malloc(size);
	if (!in->held)
		return tmk_error_set(err, -ENOMEM, "no memory for a chunk");
	memcpy(in->held, body, size);
	in->held_size = size;
	in->stalled = true;
	in->ponged = tmk_now_ms();
	tmk_log_warning("%s: %s", in->with->name, why);
	bad = tmk_channel_send_code(in->channel, TMK_MESSAGE_FULL, -ENOSPC, why);
	if (!bad)
		bad = note(in, TMK_NOTE_WARNING, why);
	return bad ? tmk_error_sys(err, bad, "cannot tell that the journal is full") : 0;
}

static int unstall(struct ingest *in, struct tmk_error *err)
{
	free(in->held);
	in->held = NULL;
	in->stalled = false;
	in->heard = tmk_now_ms();
	int bad = tmk_channel_send_code(in->channel, TMK_MESSAGE_FULL, 0, "");
	if (!bad)
		bad = note(in, in->trouble[0] ? TMK_NOTE_WARNING : TMK_NOTE_OK, in->trouble);
	return bad ? tmk_error_sys(err, bad, "cannot tell that there is room again") : 0;
}

/* ---- chunks ---- */

/* The supervisor's EPOCH: `answer`, or over if it refuses. */
static int await_epoch(struct ingest *in, uint8_t answer[TMK_EPOCH_SIZE], struct tmk_error *err)
{
	static struct tmk_message m;
	char text[512];
	do {
		int bad = tmk_channel_wait(in->channel, EPOCH_MS, &m);
		if (bad)
			return tmk_error_sys(err, bad, "no answer from the supervisor");
		if (m.fd >= 0)
			close(m.fd);
		if (m.type == TMK_MESSAGE_TROUBLE && take_trouble(in, &m, err))
			return err->code;
	} while (m.type == TMK_MESSAGE_MOVED || m.type == TMK_MESSAGE_TROUBLE);
	struct tmk_reader r = tmk_message_reader(&m);
	if (m.type == TMK_MESSAGE_EPOCH) {
		tmk_get_bytes(&r, answer, TMK_EPOCH_SIZE);
		return tmk_reader_done(&r) ? 0 : tmk_error_set(err, -EPROTO, "no epoch from the supervisor");
	}
	uint16_t code = tmk_get_u16(&r);
	tmk_get_string(&r, text, sizeof(text));
	if ((m.type != TMK_MESSAGE_REFUSE && m.type != TMK_MESSAGE_STOP) || !tmk_reader_done(&r))
		return tmk_error_set(err, -EPROTO, "no answer from the supervisor");
	tmk_error_set(err, -ESTALE, "%s", text);
	in->over = true;
	return code ? refuse(in, code, err) : 0;
}

static int ask_epoch(struct ingest *in, const uint8_t epoch[TMK_EPOCH_SIZE], struct tmk_error *err)
{
	uint8_t answer[TMK_EPOCH_SIZE];
	int bad = tmk_channel_send(in->channel, TMK_MESSAGE_EPOCH, epoch, TMK_EPOCH_SIZE, -1);
	if (bad)
		return tmk_error_sys(err, bad, "no answer from the supervisor");
	bad = await_epoch(in, answer, err);
	if (!bad && !in->over && memcmp(answer, epoch, TMK_EPOCH_SIZE))
		return tmk_error_set(err, -EPROTO, "the supervisor answered for another epoch");
	return bad;
}

/* The epoch of the session's first chunk: the one that goes on, or one that never was before; the supervisor knows, and has
 * recorded it before the chunk is appended. A source that has to start over starts a new one (R3). */
static int begin_epoch(struct ingest *in, const uint8_t epoch[TMK_EPOCH_SIZE], struct tmk_error *err)
{
	static const uint8_t none[TMK_EPOCH_SIZE];
	bool current = !memcmp(epoch, in->current, TMK_EPOCH_SIZE);
	if (!memcmp(epoch, none, sizeof(none)) || (current && in->relation == TMK_BEHIND)) {
		tmk_error_set(err, -EBADMSG, "the first chunk after a new start has to begin a new epoch");
		return refuse(in, TMK_REFUSE_PROTOCOL, err);
	}
	int bad = current ? 0 : ask_epoch(in, epoch, err);
	memcpy(in->epoch, epoch, TMK_EPOCH_SIZE);
	in->begun = !bad && !in->over;
	return bad;
}

static int check_place(const struct ingest *in, const struct tmk_chunk *c, struct tmk_error *err)
{
	if (c->number != in->end.number + 1 || memcmp(c->prev_hash, in->end.hash, sizeof(c->prev_hash)))
		return tmk_error_set(err, -EBADMSG, "chunk %llu does not follow chunk %llu", (unsigned long long)c->number,
				     (unsigned long long)in->end.number);
	if (c->generation != in->with->generation)
		return tmk_error_set(err, -EBADMSG, "chunk %llu is of generation %llu, not %llu", (unsigned long long)c->number,
				     (unsigned long long)c->generation, (unsigned long long)in->with->generation);
	if (in->begun && memcmp(c->epoch, in->epoch, sizeof(c->epoch)))
		return tmk_error_set(err, -EBADMSG, "chunk %llu is of another epoch than the one before it",
				     (unsigned long long)c->number);
	return 0;
}

static int check_chunk(struct ingest *in, const uint8_t *body, size_t size, struct tmk_chunk *c, struct tmk_error *err)
{
	bool marked;
	if (size < TMK_CHUNK_HEADER_SIZE)
		return tmk_error_set(err, -EBADMSG, "a chunk of %zu bytes", size);
	int bad = tmk_chunk_header(body, c, err);
	if (!bad && size - TMK_CHUNK_HEADER_SIZE != c->stored_length)
		bad = tmk_error_set(err, -EBADMSG, "chunk %llu is not as long as its frame", (unsigned long long)c->number);
	if (!bad)
		bad = check_place(in, c, err);
	if (!bad)
		bad = tmk_chunk_open(c, body + TMK_CHUNK_HEADER_SIZE, in->raw, err);
	return bad ? bad : tmk_chunk_check(c, in->raw, &in->with->sizes, &marked, err);
}

static int append(struct ingest *in, const struct tmk_chunk *c, const uint8_t *body, size_t size, struct tmk_error *err)
{
	enum room room = look_for_room(in, size, err);
	if (room == NONE)
		return fault(in, TMK_REFUSE_SPACE, err);
	if (room == WAIT)
		return stall(in, body, size, err->text, err);
	int bad = tmk_journal_append(in->opening->journal, body, body + TMK_CHUNK_HEADER_SIZE, c->stored_length, tmk_clock_ns(),
				     err);
	if (bad == -EFBIG) {
		char limit[32], text[400];
		snprintf(text, sizeof(text),
			 "the journal of %s has reached its limit of %s before a point could close it: raise journal-limit on "
			 "the target, or `tidemark drop %s --now` there gives up the newest point",
			 in->with->name, tmk_human(in->with->limit, limit), in->with->name);
		return stall(in, body, size, text, err);
	}
	if (bad)
		return fault(in,
			     bad == -ENOSPC    ? TMK_REFUSE_SPACE
			     : bad == -EBADMSG ? TMK_REFUSE_PROTOCOL
					       : TMK_REFUSE_TARGET,
			     err);
	in->end.number = c->number;
	tmk_chunk_hash(body, in->end.hash);
	in->group_chunks++;
	in->group_bytes += size;
	if (tmk_room_append(&in->room, c->number, c->raw_length))
		return tmk_error_set(err, -ENOMEM, "no memory for a session");
	if (in->stalled)
		bad = unstall(in, err);
	if (!bad && (in->group_chunks >= GROUP_CHUNKS || in->group_bytes >= GROUP_BYTES))
		bad = commit(in, err);
	return bad;
}

static int take_chunk(struct ingest *in, const uint8_t *body, size_t size, struct tmk_error *err)
{
	struct tmk_chunk c;
	int bad = check_chunk(in, body, size, &c, err);
	if (bad)
		return fault(in, TMK_REFUSE_PROTOCOL, err);
	if (!in->begun)
		bad = begin_epoch(in, c.epoch, err);
	return bad || in->over ? bad : append(in, &c, body, size, err);
}

static int take_frame(struct ingest *in, const struct tmk_frame *frame, const uint8_t *body, struct tmk_error *err)
{
	in->heard = tmk_now_ms();
	switch (frame->type) {
	case TMK_FRAME_CHUNK:
		return take_chunk(in, body, frame->length, err);
	case TMK_FRAME_PING:
		return tmk_link_send(in->link, TMK_FRAME_PONG, NULL, 0, NULL, 0);
	case TMK_FRAME_BYE:
		in->over = true;
		return 0;
	}
	tmk_error_set(err, -EBADMSG, "a frame of type %u in the middle of a session", frame->type);
	return fault(in, TMK_REFUSE_PROTOCOL, err);
}

/* ---- the loop ---- */

/* Everything that came whole; a group ends where nothing more is there. */
static int take_frames(struct ingest *in, struct tmk_error *err)
{
	struct tmk_frame frame;
	const uint8_t *body;
	int bad = 0;
	while (!bad && !in->over && !in->stalled && tmk_link_next(in->link, &frame, &body))
		bad = take_frame(in, &frame, body, err);
	return bad ? bad : commit(in, err);
}

static int retry_held(struct ingest *in, struct tmk_error *err)
{
	struct tmk_chunk c;
	if (tmk_now_ms() - in->ponged > STALL_PONG_MS) {
		tmk_link_send(in->link, TMK_FRAME_PONG, NULL, 0, NULL, 0);
		in->ponged = tmk_now_ms();
	}
	int bad = tmk_chunk_header(in->held, &c, err);
	return bad ? bad : append(in, &c, in->held, in->held_size, err);
}

/* Behind the ACK of its chunk, which was queued before this process looked for orders again. */
static int pass_compared(struct ingest *in, const struct tmk_message *m, struct tmk_error *err)
{
	if (tmk_link_queued(in->link) > TOLD_QUEUE)
		return tmk_error_set(err, -EPIPE, "the source does not read what came of its hashes");
	int bad = tmk_link_send(in->link, TMK_FRAME_COMPARED, m->body, m->size, NULL, 0);
	return bad ? tmk_error_sys(err, bad, "cannot tell what was compared") : 0;
}

static int take_order(struct ingest *in, const struct tmk_message *m, struct tmk_error *err)
{
	struct tmk_reader r = tmk_message_reader(m);
	char text[512];
	if (m->type == TMK_MESSAGE_MOVED) {
		uint64_t applied = tmk_get_u64(&r);
		if (tmk_reader_done(&r))
			tmk_room_apply(&in->room, applied);
		return 0;
	}
	if (m->type == TMK_MESSAGE_COMPARED)
		return pass_compared(in, m, err);
	if (m->type == TMK_MESSAGE_TROUBLE)
		return take_trouble(in, m, err);
	if (m->type != TMK_MESSAGE_STOP)
		return 0;
	uint16_t code = tmk_get_u16(&r);
	tmk_get_string(&r, text, sizeof(text));
	in->over = true;
	int bad = commit(in, err);
	if (!bad && code) {
		tmk_error_set(err, -ESTALE, "%s", text);
		bad = refuse(in, code, err);
	}
	return bad;
}

static int take_orders(struct ingest *in, struct tmk_error *err)
{
	static struct tmk_message m;
	for (;;) {
		int bad = tmk_channel_receive(in->channel, &m);
		if (bad == -EAGAIN)
			return 0;
		if (bad)
			return tmk_error_sys(err, bad, "the supervisor is gone");
		if (m.fd >= 0)
			close(m.fd);
		bad = take_order(in, &m, err);
		if (bad || in->over)
			return bad;
	}
}

static int wait_for_more(struct ingest *in, struct tmk_error *err)
{
	/* While stalled nothing more is read: the source's window, and TCP behind it, hold it back. */
	short events = in->stalled ? (short)((tmk_link_queued(in->link) ? POLLOUT : 0) | POLLRDHUP) : tmk_link_events(in->link);
	struct pollfd p[2] = {{.fd = in->channel, .events = POLLIN}, {.fd = tmk_link_fd(in->link), .events = events}};
	uint64_t quiet = tmk_now_ms() - in->heard;
	if (!in->stalled && quiet >= SILENT_MS)
		return tmk_error_set(err, -ETIMEDOUT, "the source has been silent for %d s", SILENT_MS / 1000);
	if (poll(p, 2, in->stalled ? STALL_POLL_MS : (int)(SILENT_MS - quiet)) < 0 && errno != EINTR)
		return tmk_error_sys(err, -errno, "poll");
	if (!(p[1].revents & (POLLIN | POLLOUT | POLLHUP | POLLERR | POLLRDHUP)))
		return 0;
	int bad = tmk_link_pump(in->link, err);
	if (!bad && in->stalled && p[1].revents & (POLLHUP | POLLERR | POLLRDHUP))
		return tmk_error_set(err, -EPIPE, "the source left while the journal was full");
	return bad;
}

static int step(struct ingest *in, struct tmk_error *err)
{
	int pumped = wait_for_more(in, err);
	if (pumped == -ETIMEDOUT)
		return pumped;
	struct tmk_error first = *err;
	int bad = take_orders(in, err);
	if (!bad && !in->over && in->stalled)
		bad = retry_held(in, err);
	if (!bad && !in->over)
		bad = take_frames(in, err);
	if (bad || in->over || !pumped)
		return bad;
	*err = first;
	return pumped == -EBADMSG ? refuse(in, TMK_REFUSE_PROTOCOL, err) : pumped;
}

int tmk_ingest_run(int channel, struct tmk_link *link, const struct tmk_hello *hello, struct tmk_opening *opening,
		   struct tmk_error *err)
{
	struct ingest *in = calloc(1, sizeof(*in));
	if (!in)
		return tmk_error_set(err, -ENOMEM, "no memory for a session");
	in->channel = channel;
	in->link = link;
	in->hello = hello;
	in->with = &opening->acceptance;
	in->opening = opening;
	in->end = tmk_journal_end(opening->journal);
	tmk_room_init(&in->room, in->with->reserve, in->with->growth, in->with->applied.number, in->end.number,
		      tmk_journal_bytes(opening->journal));
	in->heard = tmk_now_ms();
	int bad = await_epoch(in, in->current, err);
	if (!bad && !in->over)
		bad = start(in, err);
	while (!bad && !in->over)
		bad = step(in, err);
	if (!bad)
		tmk_link_flush(link, 2000, NULL);
	tmk_room_free(&in->room);
	free(in->held);
	free(in);
	return bad;
}
