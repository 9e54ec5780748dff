/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The chain, its window and its session: see stream.h. */
#include "stream.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "flight.h"
#include "link.h"
#include "log.h"
#include "message.h"
#include "session.h"
#include "sum.h"
#include "util.h"

#define BLOCK 4096u	/* what is read, and hashed, is whole blocks */
#define AWAITING_MAX 16 /* chunks with hashes: up to 64 MiB of disk each */
#define PING_MS 20000
#define SILENT_MS 300000 /* a target with a full journal does not read, and so does not answer PING */

struct tmk_stream {
	const struct tmk_config *config;
	struct tmk_source *source;
	struct tmk_link *link;
	struct tmk_tls *tls; /* outlives the link */
	struct tmk_flight flight;
	struct tmk_flight awaiting;    /* acked, with hashes that were not compared yet */
	struct tmk_compared *compared; /* room for one */
	tmk_stream_heard heard;
	void *heard_context;
	struct tmk_stream_state state;
	bool placed;		 /* cookie and chain were taken from the tracker */
	struct tmk_cookie acked; /* last acked chunk, current epoch */
	uint64_t number;	 /* of the last chunk made */
	uint8_t hash[TMK_HASH_SIZE];
	uint64_t log_through;		/* of the chunks that are made from now on */
	uint8_t marked[16];		/* id of the last mark acked */
	uint32_t window;		/* chunks under way at most, as the target says */
	uint64_t sent_before;		/* bytes on the wire in sessions before this one */
	uint64_t last_sent, last_heard; /* ms */
};

int tmk_stream_new(struct tmk_stream **out, const struct tmk_config *config, struct tmk_source *source)
{
	struct tmk_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->compared = malloc(sizeof(*s->compared));
	if (!s->compared) {
		free(s);
		return -ENOMEM;
	}
	s->config = config;
	s->source = source;
	*out = s;
	return 0;
}

void tmk_stream_free(struct tmk_stream *s)
{
	if (!s)
		return;
	tmk_stream_disconnect(s);
	tmk_flight_drop(&s->flight);
	free(s->compared);
	free(s);
}

void tmk_stream_listen(struct tmk_stream *s, tmk_stream_heard heard, void *context)
{
	s->heard = heard;
	s->heard_context = context;
}

/* What is in the window still goes to the target, where it has its place in the chain. */
void tmk_stream_forget(struct tmk_stream *s)
{
	bool any = s->awaiting.count;

	tmk_flight_drop(&s->awaiting);
	for (const struct tmk_flight_entry *e = s->flight.first; e; e = e->next) {
		any |= e->packed->hashes;
		if (e->packed->hashes)
			e->packed->covered_count = e->packed->hashes = 0;
	}
	s->state.forgotten += any;
}

static void count_traffic(struct tmk_stream *s)
{
	uint64_t sent = 0, received;

	if (s->link)
		tmk_link_traffic(s->link, &sent, &received);
	s->state.sent_wire_bytes = s->sent_before + sent;
	s->state.queued_bytes = s->flight.bytes;
	s->state.queued_disk_bytes = s->flight.disk_bytes;
	s->state.acked = s->acked.number;
	s->state.connected = s->link != NULL;
}

void tmk_stream_disconnect(struct tmk_stream *s)
{
	struct tmk_error err;

	if (!s->link)
		return;
	tmk_stream_forget(s);
	tmk_link_send(s->link, TMK_FRAME_BYE, NULL, 0, NULL, 0);
	tmk_link_flush(s->link, 0, &err);
	count_traffic(s);
	s->sent_before = s->state.sent_wire_bytes;
	tmk_link_free(s->link);
	s->link = NULL;
	tmk_tls_free(s->tls);
	s->tls = NULL;
	count_traffic(s);
}

/* The epoch is in the tracker before a chunk of it is on the wire: a shipper that is killed then does not come back under one
 * that this one superseded. */
static int set_cookie(struct tmk_stream *s, struct tmk_error *err)
{
	return tmk_source_set_cookie(s->source, &s->acked, err);
}

static int new_epoch(struct tmk_stream *s, struct tmk_error *err)
{
	tmk_random(s->acked.epoch, sizeof(s->acked.epoch));
	return set_cookie(s, err);
}

/* Where this source stands, from the tracker: once, after the disks are attached. Without a cookie HELLO says that it knows of no
 * chunk, which promises that everything is marked. Only the first disk, which keeps the cookie, is sure to be. */
static int place(struct tmk_stream *s, struct tmk_error *err)
{
	static const uint8_t none[TMK_EPOCH_SIZE];
	bool known;
	int rc;

	if (s->placed)
		return 0;
	rc = tmk_source_cookie(s->source, &s->acked, err);
	if (rc)
		return rc;
	s->number = s->acked.number;
	memcpy(s->hash, s->acked.hash, sizeof(s->hash));
	known = memcmp(s->acked.epoch, none, sizeof(none));
	if (!known)
		rc = tmk_source_mark_all(s->source, err);
	if (!rc && (s->source->fresh || !known))
		rc = new_epoch(s, err);
	s->placed = !rc;
	s->source->fresh = s->source->fresh && rc;
	return rc;
}

/* Host names, paths and serial numbers come from elsewhere and may hold what no string on the wire may. */
static void put_text(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%.*s", (int)size - 1, text);
	tmk_string_clean(out);
}

static void fill_hello(const struct tmk_stream *s, struct tmk_hello *h)
{
	const struct tmk_source *source = s->source;
	char host[HOST_NAME_MAX + 1] = "";

	memset(h, 0, sizeof(*h));
	h->version = TMK_WIRE_VERSION;
	snprintf(h->name, sizeof(h->name), "%s", source->spec.name);
	memcpy(h->protection, source->spec.protection, sizeof(h->protection));
	h->generation = source->spec.generation;
	memcpy(h->epoch, s->acked.epoch, sizeof(h->epoch));
	h->acked_number = s->acked.number;
	memcpy(h->acked_hash, s->acked.hash, sizeof(h->acked_hash));
	put_text(h->host, sizeof(h->host), gethostname(host, sizeof(host) - 1) ? "unknown" : host);
	h->disk_count = source->spec.disk_count;
	for (uint16_t i = 0; i < h->disk_count; i++) {
		h->disks[i].size = source->spec.disks[i].size;
		h->disks[i].block_size = source->block_size[i];
		h->disks[i].zeroes = source->devices[i].zeroes;
		put_text(h->disks[i].name, sizeof(h->disks[i].name), source->spec.disks[i].path);
		put_text(h->disks[i].identity, sizeof(h->disks[i].identity), source->spec.disks[i].identity);
	}
}

static int open_tls(const struct tmk_stream *s, struct tmk_tls **tls, struct tmk_error *err)
{
	char certificate[512], key[512], authority[512];
	int rc = tmk_path(certificate, sizeof(certificate), "%s/source.pem", s->config->state_dir);

	if (!rc)
		rc = tmk_path(key, sizeof(key), "%s/source.key", s->config->state_dir);
	if (!rc)
		rc = tmk_path(authority, sizeof(authority), "%s/authority.pem", s->config->state_dir);
	if (rc)
		return tmk_error_set(err, rc, "state-dir is too long a path");
	return tmk_tls_client(tls, certificate, key, authority, err);
}

/* ---- acks ---- */

/* Released now, or once its hashes are compared. Takes the chunk over. */
static int settle(struct tmk_stream *s, struct tmk_packed *p, struct tmk_error *err)
{
	int rc;

	if (p->hashes) {
		rc = tmk_flight_push(&s->awaiting, p);
		if (!rc)
			return 0;
		tmk_error_sys(err, rc, "cannot keep a chunk");
	} else {
		rc = tmk_source_release(s->source, p->covered, p->covered_count, err);
	}
	tmk_packed_free(p);
	return rc;
}

/* The cookie first, then the marks: killed in between, this source knows what the target has, and reads it once more. The other
 * way round it would go on behind a chunk that the target lost, without its marks (I2, R3). And the log's room before the marks:
 * else a new shipper would send records again that are older than what it read, and is not to read again. */
static int take_ack(struct tmk_stream *s, uint64_t number, struct tmk_error *err)
{
	struct tmk_packed *p;
	int rc = 0;

	if (number > s->number)
		return tmk_error_set(err, -EBADMSG, "the target acked chunk %llu, and the last one sent is %llu",
				     (unsigned long long)number, (unsigned long long)s->number);
	while (!rc && (p = tmk_flight_pop(&s->flight, number))) {
		s->acked.number = p->number;
		memcpy(s->acked.hash, p->hash, sizeof(s->acked.hash));
		s->state.acked_disk_bytes += p->disk_bytes;
		if (p->marked)
			memcpy(s->marked, p->mark_id, sizeof(s->marked));
		rc = set_cookie(s, err);
		if (!rc && p->log_through)
			rc = tmk_source_release_log(s->source, p->log_through, err);
		if (!rc)
			rc = settle(s, p, err);
		else
			tmk_packed_free(p);
		if (rc)
			s->state.forgotten++; /* nobody releases it any more, or waits for its results: its round is void */
	}
	return rc;
}

/* What differs, or cannot be compared, is read again: it is marked before the chunk's blocks are released, so that a shipper that
 * is killed in between has it in either map. */
static int mark_differing(struct tmk_stream *s, const struct tmk_compared *c, struct tmk_error *err)
{
	struct tmk_source *source = s->source;
	int rc = 0;

	for (uint32_t i = 0; i < c->count && !rc; i++) {
		const struct tmk_compared_extent *e = &c->extents[i];

		tmk_doubt_clear(source->doubt, e->disk, e->offset, e->length);
		rc = tmk_source_mark(source, e->disk, (struct tmk_extent){e->offset, e->length}, err);
	}
	return rc;
}

static int release_compared(struct tmk_stream *s, struct tmk_error *err)
{
	struct tmk_packed *p = tmk_flight_pop(&s->awaiting, UINT64_MAX);
	int rc;

	for (uint32_t i = 0; i < p->covered_count; i++)
		tmk_doubt_clear(s->source->doubt, p->covered[i].disk, p->covered[i].offset, p->covered[i].length);
	rc = tmk_source_release(s->source, p->covered, p->covered_count, err);
	tmk_packed_free(p);
	return rc;
}

static int check_compared(const struct tmk_stream *s, const struct tmk_compared *c, struct tmk_error *err)
{
	const struct tmk_spec *spec = &s->source->spec;

	for (uint32_t i = 0; i < c->count; i++) {
		const struct tmk_compared_extent *e = &c->extents[i];

		if (e->disk >= spec->disk_count || e->offset > spec->disks[e->disk].size ||
		    e->length > spec->disks[e->disk].size - e->offset)
			return tmk_error_set(err, -EBADMSG, "the target compared what lies behind the end of disk %u", e->disk);
		if (e->offset % BLOCK || (e->length % BLOCK && e->offset + e->length != spec->disks[e->disk].size))
			return tmk_error_set(err, -EBADMSG, "the target compared parts of blocks of disk %u", e->disk);
	}
	return 0;
}

/* Results come in the order of the chunks. A number that nobody waits for is that of a chunk that was forgotten, or of one whose
 * result the target's applier, started again, tells once more. */
static int take_compared(struct tmk_stream *s, const uint8_t *body, size_t size, struct tmk_error *err)
{
	struct tmk_compared *c = s->compared;
	const struct tmk_packed *p = s->awaiting.first ? s->awaiting.first->packed : NULL;
	int rc = tmk_compared_decode(body, size, c, err);

	if (rc || !p || c->number < p->number)
		return rc;
	if (c->number > p->number)
		return tmk_error_set(err, -EBADMSG, "the target compared chunk %llu before chunk %llu",
				     (unsigned long long)c->number, (unsigned long long)p->number);
	rc = check_compared(s, c, err);
	if (!rc)
		rc = p->covered_count ? mark_differing(s, c, err) : s->heard(c, s->heard_context, err);
	return rc || c->more ? rc : release_compared(s, err);
}

/* ---- resuming ---- */

/* What was made and not acked is void: its blocks are still marked in `taken`, and a new round reads them again. */
static int start_over(struct tmk_stream *s, const struct tmk_welcome *w, struct tmk_error *err)
{
	tmk_flight_drop(&s->flight);
	s->state.resets++;
	s->number = s->acked.number = w->last_number;
	memcpy(s->hash, w->last_hash, sizeof(s->hash));
	memcpy(s->acked.hash, w->last_hash, sizeof(s->acked.hash));
	return new_epoch(s, err);
}

struct rewound {
	struct tmk_stream *stream;
	struct tmk_error *err;
	uint64_t bytes;
	bool ignore;
};

static int mark_rewound(const struct tmk_rewind_extent *e, void *context)
{
	struct rewound *r = context;
	struct tmk_source *source = r->stream->source;

	if (r->ignore)
		return 0;
	if (e->disk >= source->spec.disk_count || e->offset > source->spec.disks[e->disk].size ||
	    e->length > source->spec.disks[e->disk].size - e->offset)
		return tmk_error_set(r->err, -EBADMSG, "the target's rewind list leaves disk %u", e->disk);
	r->bytes += e->length;
	return tmk_source_mark(source, e->disk, (struct tmk_extent){e->offset, e->length}, r->err);
}

/* The target has more than was acked. If these are chunks still in the window, only the acks were lost; else this source went
 * back in time, or was killed: what they changed is read again (R3). */
static int resume_ahead(struct tmk_stream *s, const struct tmk_welcome *w, const atomic_bool *stop, struct tmk_error *err)
{
	bool ours = tmk_flight_find(&s->flight, w->last_number, w->last_hash);
	struct rewound r = {.stream = s, .err = err, .ignore = ours};
	int rc = tmk_session_rewind(s->link, stop, mark_rewound, &r, err);

	if (rc)
		return rc;
	if (ours)
		return take_ack(s, w->last_number, err);
	tmk_log_info("%s: the target is ahead by chunks up to %llu that this shipper does not know; %llu bytes are read again",
		     s->source->spec.name, (unsigned long long)w->last_number, (unsigned long long)r.bytes);
	return start_over(s, w, err);
}

static int resume_behind(struct tmk_stream *s, const struct tmk_welcome *w, struct tmk_error *err)
{
	int rc = tmk_source_doubt(s->source, "the target does not stand where this source left it: everything is compared again",
				  err);

	if (rc)
		return rc;
	tmk_log_warning(
		"%s: the target is at chunk %llu, which is not where this source left it (%llu); everything is compared again",
		s->source->spec.name, (unsigned long long)w->last_number, (unsigned long long)s->acked.number);
	return start_over(s, w, err);
}

static int resume(struct tmk_stream *s, const struct tmk_welcome *w, const atomic_bool *stop, struct tmk_error *err)
{
	switch (w->relation) {
	case TMK_EQUAL:
		if (w->last_number != s->acked.number || memcmp(w->last_hash, s->acked.hash, TMK_HASH_SIZE))
			break;
		return 0;
	case TMK_AHEAD:
		return resume_ahead(s, w, stop, err);
	case TMK_BEHIND:
		return resume_behind(s, w, err);
	}
	return tmk_error_set(err, -EBADMSG, "the target's WELCOME contradicts itself");
}

/* A generation is learnt once, at first contact; later ones must be equal (I8). */
static int learn_generation(struct tmk_stream *s, uint64_t generation, struct tmk_error *err)
{
	struct tmk_spec *spec = &s->source->spec;
	int rc;

	s->state.generation = generation;
	if (spec->generation == generation)
		return 0;
	if (spec->generation)
		return tmk_error_set(err, -ESTALE,
				     "the target is at generation %llu, this source at %llu: it was failed over or adopted",
				     (unsigned long long)generation, (unsigned long long)spec->generation);
	rc = tmk_store_set_generation(s->config->state_dir, spec->name, generation, err);
	if (!rc)
		spec->generation = generation;
	return rc;
}

static int send_packed(struct tmk_stream *s, const struct tmk_packed *p, struct tmk_error *err)
{
	int rc = tmk_link_send(s->link, TMK_FRAME_CHUNK, p->bytes, p->size, NULL, 0);

	s->last_sent = tmk_now_ms();
	return rc ? tmk_error_sys(err, rc, "cannot queue a chunk") : 0;
}

static int send_window(struct tmk_stream *s, struct tmk_error *err)
{
	int rc = 0;

	for (const struct tmk_flight_entry *e = s->flight.first; e && !rc; e = e->next)
		rc = send_packed(s, e->packed, err);
	return rc;
}

static int begin(struct tmk_stream *s, const struct tmk_welcome *w, const atomic_bool *stop, struct tmk_error *err)
{
	int rc = learn_generation(s, w->generation, err);

	s->acked.generation = w->generation;
	s->window = w->window;
	s->state.holds = w->holds;
	s->last_sent = s->last_heard = tmk_now_ms();
	if (!rc)
		rc = resume(s, w, stop, err);
	return rc ? rc : send_window(s, err);
}

static bool lasting(uint16_t refusal)
{
	return refusal && refusal != TMK_REFUSE_SPACE && refusal != TMK_REFUSE_TARGET;
}

static int open_session(struct tmk_stream *s, const atomic_bool *stop, struct tmk_welcome *w, struct tmk_error *err)
{
	struct tmk_target_address target;
	struct tmk_session_start start = {.target = &target, .stop = stop};
	struct tmk_hello *hello;
	uint16_t refused = 0;
	int rc = tmk_store_target(s->config->state_dir, &target, err);

	if (rc)
		return rc;
	rc = open_tls(s, &s->tls, err);
	if (rc)
		return rc;
	start.tls = s->tls;
	hello = malloc(sizeof(*hello));
	if (hello) {
		fill_hello(s, hello);
		start.hello = hello;
		rc = tmk_session_open(&start, &s->link, w, &refused, err);
	} else {
		rc = tmk_error_set(err, -ENOMEM, "out of memory");
	}
	free(hello);
	if (rc) {
		tmk_tls_free(s->tls);
		s->tls = NULL;
	}
	s->state.refused = lasting(refused);
	return rc;
}

int tmk_stream_connect(struct tmk_stream *s, const atomic_bool *stop, struct tmk_error *err)
{
	struct tmk_welcome w;
	int rc = place(s, err);

	if (!rc)
		rc = open_session(s, stop, &w, err);
	if (!rc) {
		rc = begin(s, &w, stop, err);
		if (rc)
			tmk_stream_disconnect(s);
	}
	snprintf(s->state.reason, sizeof(s->state.reason), "%s", rc ? err->text : "");
	count_traffic(s);
	return rc;
}

/* ---- the running session ---- */

static int take_note(struct tmk_stream *s, const uint8_t *body, size_t size, struct tmk_error *err)
{
	char text[1024];
	uint8_t level;
	int rc = tmk_note_decode(body, size, &level, text, err);

	if (!rc)
		snprintf(s->state.reason, sizeof(s->state.reason), "%.511s", level == TMK_NOTE_OK ? "" : text);
	return rc;
}

static int take_frame(struct tmk_stream *s, const struct tmk_frame *frame, const uint8_t *body, struct tmk_error *err)
{
	uint64_t number;
	int rc;

	switch (frame->type) {
	case TMK_FRAME_ACK:
		rc = tmk_ack_decode(body, frame->length, &number, err);
		return rc ? rc : take_ack(s, number, err);
	case TMK_FRAME_COMPARED:
		return take_compared(s, body, frame->length, err);
	case TMK_FRAME_NOTE:
		return take_note(s, body, frame->length, err);
	case TMK_FRAME_PONG:
		return 0;
	case TMK_FRAME_REFUSE:
		s->state.refused = lasting(tmk_session_refusal(body, frame->length, err));
		return err->code;
	}
	return tmk_error_set(err, -EBADMSG, "the target sent a frame of type %u in mid session", frame->type);
}

static int keep_alive(struct tmk_stream *s, struct tmk_error *err)
{
	uint64_t now = tmk_now_ms();
	int rc;

	if (now - s->last_heard > SILENT_MS)
		return tmk_error_set(err, -ETIMEDOUT, "the target said nothing for %d s", SILENT_MS / 1000);
	if (now - s->last_sent < PING_MS)
		return 0;
	s->last_sent = now;
	rc = tmk_link_send(s->link, TMK_FRAME_PING, NULL, 0, NULL, 0);
	return rc ? tmk_error_sys(err, rc, "cannot queue a PING") : 0;
}

static int pump(struct tmk_stream *s, struct tmk_error *err)
{
	struct tmk_frame frame;
	const uint8_t *body;
	struct tmk_error lost = {0};
	int lost_rc = tmk_link_pump(s->link, &lost), rc = 0;

	while (!rc && tmk_link_next(s->link, &frame, &body)) {
		s->last_heard = tmk_now_ms();
		rc = take_frame(s, &frame, body, err);
	}
	if (!rc && lost_rc) {
		*err = lost;
		rc = lost_rc;
	}
	return rc ? rc : keep_alive(s, err);
}

int tmk_stream_pump(struct tmk_stream *s, struct tmk_error *err)
{
	int rc;

	if (!s->link)
		return 0;
	rc = pump(s, err);
	if (rc) {
		snprintf(s->state.reason, sizeof(s->state.reason), "%s", err->text);
		tmk_stream_disconnect(s);
	}
	count_traffic(s);
	return rc;
}

bool tmk_stream_open(const struct tmk_stream *s)
{
	return s->link && s->flight.bytes < s->config->window && (!s->window || s->flight.count < s->window) &&
	       s->awaiting.count < AWAITING_MAX;
}

bool tmk_stream_drained(const struct tmk_stream *s)
{
	return !s->flight.owed && !s->awaiting.count;
}

void tmk_stream_carries(struct tmk_stream *s, uint64_t position)
{
	s->log_through = position;
}

bool tmk_stream_empty(const struct tmk_stream *s)
{
	return !s->flight.count && !s->awaiting.count;
}

int tmk_stream_seal(struct tmk_stream *s, struct tmk_packer *packer, const struct tmk_mark *mark, struct tmk_error *err)
{
	struct tmk_chain chain = {
		.number = s->number + 1, .generation = s->source->spec.generation, .log_through = s->log_through};
	struct tmk_packed *packed;
	int rc;

	memcpy(chain.epoch, s->acked.epoch, sizeof(chain.epoch));
	memcpy(chain.prev_hash, s->hash, sizeof(chain.prev_hash));
	rc = tmk_packer_seal(packer, &chain, mark, &packed, err);
	if (rc)
		return rc;
	rc = tmk_flight_push(&s->flight, packed);
	if (rc) {
		tmk_packed_free(packed);
		return tmk_error_sys(err, rc, "cannot keep a chunk");
	}
	s->number = chain.number;
	memcpy(s->hash, packed->hash, sizeof(s->hash));
	/* What cannot be queued now is sent by the next session: it is in the window. */
	if (s->link && send_packed(s, packed, err))
		tmk_stream_disconnect(s);
	count_traffic(s);
	return 0;
}

const struct tmk_stream_state *tmk_stream_state(const struct tmk_stream *s)
{
	return &s->state;
}

bool tmk_stream_marked(const struct tmk_stream *s, const uint8_t id[16])
{
	return !memcmp(s->marked, id, sizeof(s->marked));
}

int tmk_stream_fd(const struct tmk_stream *s)
{
	return s->link ? tmk_link_fd(s->link) : -1;
}

short tmk_stream_events(const struct tmk_stream *s)
{
	return s->link ? tmk_link_events(s->link) : 0;
}
