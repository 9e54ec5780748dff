/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The neighbours of a stream, for the tests of it: a source, a session and a link that write down what is asked of them, in
 * order, and fail where they are told to. The target's words are put in by ack() and compared(), and taken by pump().
 */
#ifndef TMK_TEST_STREAM_WORLD_H
#define TMK_TEST_STREAM_WORLD_H

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "doubt.h"
#include "message.h"
#include "piece.h"
#include "reader.h"
#include "session.h"
#include "stream.h"
#include "suite.h"

#define MIB (1ull << 20)
#define SHORT (MIB + 2560) /* size of disk 1: no whole blocks */

/* ---- what happened ---- */
enum what { NOTHING, COOKIE, MARK, MARK_ALL, DOUBT, RELEASE, RELEASE_LOG, SENT, HEARD, PING, BYE };
static struct event {
	enum what what;
	uint16_t disk;
	uint64_t a, b; /* offset and length; or a chunk's number */
} events[256];
static size_t event_count;
static enum what broken; /* fails */
static struct tmk_error err;

static int happened(enum what what, uint16_t disk, uint64_t a, uint64_t b)
{
	ck_assert_uint_lt(event_count, sizeof(events) / sizeof(events[0]));
	events[event_count++] = (struct event){what, disk, a, b};
	return what == broken ? tmk_error_set(&err, -EIO, "broken") : 0;
}

/* Exactly this, since the last time. */
#define expect(...)                                                                                                              \
	do {                                                                                                                     \
		const struct event want_[] = {__VA_ARGS__};                                                                      \
		expect_all(want_, sizeof(want_) / sizeof(want_[0]), __LINE__);                                                   \
	} while (0)
#define expect_nothing() expect_all(NULL, 0, __LINE__)

static void expect_all(const struct event *want, size_t count, int line)
{
	for (size_t i = 0; i < count || i < event_count; i++) {
		const struct event *e = &events[i];

		ck_assert_msg(i < event_count, "line %d: event %zu did not happen: %d", line, i, (int)want[i].what);
		ck_assert_msg(i < count, "line %d: event %zu: %d, %llu, %llu", line, i, (int)e->what, (unsigned long long)e->a,
			      (unsigned long long)e->b);
		ck_assert_msg(e->what == want[i].what && e->disk == want[i].disk && e->a == want[i].a && e->b == want[i].b,
			      "line %d: event %zu: %d, %llu, %llu, not %d, %llu, %llu", line, i, (int)e->what,
			      (unsigned long long)e->a, (unsigned long long)e->b, (int)want[i].what,
			      (unsigned long long)want[i].a, (unsigned long long)want[i].b);
	}
	event_count = 0;
}

/* ---- the source ---- */
static struct tmk_source source;
static struct tmk_cookie cookie;

int tmk_source_cookie(struct tmk_source *s, struct tmk_cookie *out, struct tmk_error *e)
{
	(void)s, (void)e;
	*out = cookie;
	return 0;
}

int tmk_source_set_cookie(struct tmk_source *s, const struct tmk_cookie *c, struct tmk_error *e)
{
	(void)s, (void)e;
	cookie = *c;
	return happened(COOKIE, 0, c->number, 0);
}

int tmk_source_mark(struct tmk_source *s, uint16_t disk, struct tmk_extent x, struct tmk_error *e)
{
	(void)s, (void)e;
	return happened(MARK, disk, x.offset, x.length);
}

int tmk_source_mark_all(struct tmk_source *s, struct tmk_error *e)
{
	(void)s, (void)e;
	return happened(MARK_ALL, 0, 0, 0);
}

int tmk_source_doubt(struct tmk_source *s, const char *reason, struct tmk_error *e)
{
	(void)s, (void)e;
	ck_assert_uint_gt(strlen(reason), 0);
	return happened(DOUBT, 0, 0, 0);
}

int tmk_source_release_log(struct tmk_source *s, uint64_t position, struct tmk_error *e)
{
	(void)s, (void)e;
	return happened(RELEASE_LOG, 0, position, 0);
}

int tmk_source_release(struct tmk_source *s, const struct tmk_covered *covered, size_t count, struct tmk_error *e)
{
	int rc = 0;

	(void)s, (void)e;
	for (size_t i = 0; i < count && !rc; i++)
		rc = happened(RELEASE, covered[i].disk, covered[i].offset, covered[i].length);
	return rc;
}

int tmk_store_target(const char *state_dir, struct tmk_target_address *out, struct tmk_error *e)
{
	(void)state_dir, (void)e;
	*out = (struct tmk_target_address){.host = "target.example", .port = 20000};
	return 0;
}

static uint64_t stored_generation;
int tmk_store_set_generation(const char *state_dir, const char *name, uint64_t generation, struct tmk_error *e)
{
	(void)state_dir, (void)e;
	ck_assert_str_eq(name, "web");
	stored_generation = generation;
	return 0;
}

/* ---- the session ---- */
static char the_link, the_tls;
static unsigned links, tlss; /* that are open */
static struct tmk_hello hello;
static struct tmk_welcome welcome;
static int open_rc, pump_rc, send_rc;
static uint16_t refused;
static struct tmk_rewind_extent rewound[4];
static size_t rewound_count;
static struct tmk_chunk last_sent;
static struct {
	uint64_t number;
	uint8_t hash[TMK_HASH_SIZE];
} chunks[64]; /* that were sent, by number */
static struct {
	struct tmk_frame frame;
	uint8_t body[TMK_COMPARED_MAX];
} incoming[24];
static size_t incoming_count, incoming_next;

int tmk_tls_client(struct tmk_tls **out, const char *certificate, const char *key, const char *authority, struct tmk_error *e)
{
	(void)certificate, (void)key, (void)authority, (void)e;
	*out = (struct tmk_tls *)&the_tls;
	tlss++;
	return 0;
}

void tmk_tls_free(struct tmk_tls *tls)
{
	tlss -= tls != NULL;
}

int tmk_session_open(const struct tmk_session_start *start, struct tmk_link **link, struct tmk_welcome *w, uint16_t *r,
		     struct tmk_error *e)
{
	hello = *start->hello;
	*r = refused;
	if (open_rc)
		return tmk_error_set(e, open_rc, "not today");
	*w = welcome;
	*link = (struct tmk_link *)&the_link;
	links++;
	return 0;
}

int tmk_session_rewind(struct tmk_link *link, const atomic_bool *stop,
		       int (*extent)(const struct tmk_rewind_extent *extent, void *context), void *context, struct tmk_error *e)
{
	int rc = 0;

	(void)link, (void)stop, (void)e;
	for (size_t i = 0; i < rewound_count && !rc; i++)
		rc = extent(&rewound[i], context);
	return rc;
}

uint16_t tmk_session_refusal(const uint8_t *body, size_t size, struct tmk_error *e)
{
	(void)size;
	tmk_error_set(e, -ECONNREFUSED, "refused");
	return body[0];
}

void tmk_link_free(struct tmk_link *link)
{
	links -= link != NULL;
}

int tmk_link_send(struct tmk_link *link, uint16_t type, const void *head, size_t head_size, const void *tail, size_t tail_size)
{
	(void)link, (void)tail, (void)head_size;
	ck_assert_uint_eq(tail_size, 0);
	if (send_rc)
		return send_rc;
	if (type == TMK_FRAME_BYE)
		return happened(BYE, 0, 0, 0);
	if (type == TMK_FRAME_PING)
		return happened(PING, 0, 0, 0);
	ck_assert_uint_eq(type, TMK_FRAME_CHUNK);
	ck_assert_int_eq(tmk_chunk_header(head, &last_sent, NULL), 0);
	ck_assert_uint_lt(last_sent.number, sizeof(chunks) / sizeof(chunks[0]));
	chunks[last_sent.number].number = last_sent.number;
	tmk_chunk_hash(head, chunks[last_sent.number].hash);
	return happened(SENT, 0, last_sent.number, 0);
}

int tmk_link_flush(struct tmk_link *link, int timeout_ms, struct tmk_error *e)
{
	(void)link, (void)timeout_ms, (void)e;
	return 0;
}

int tmk_link_pump(struct tmk_link *link, struct tmk_error *e)
{
	(void)link;
	return pump_rc ? tmk_error_set(e, pump_rc, "lost") : 0;
}

bool tmk_link_next(struct tmk_link *link, struct tmk_frame *frame, const uint8_t **body)
{
	(void)link;
	if (incoming_next == incoming_count)
		return false;
	*frame = incoming[incoming_next].frame;
	*body = incoming[incoming_next++].body;
	return true;
}

int tmk_link_fd(const struct tmk_link *link)
{
	(void)link;
	return 77;
}

short tmk_link_events(const struct tmk_link *link)
{
	(void)link;
	return 1;
}

void tmk_link_traffic(const struct tmk_link *link, uint64_t *sent, uint64_t *received)
{
	(void)link;
	*sent = *received = 100;
}

/* ---- fixture ---- */
static const struct tmk_config config = {.state_dir = "/nonexistent", .window = 4 * MIB};
static const atomic_bool never;
static struct tmk_stream *stream;
static struct tmk_packer *packer;
static const struct tmk_stream_state *state;
static uint8_t content[4 * TMK_READ_MAX];

static int connect_it(void)
{
	return tmk_stream_connect(stream, &never, &err);
}

static void setup(void)
{
	memset(&source, 0, sizeof(source));
	strcpy(source.spec.name, "web");
	source.spec.generation = 1;
	source.spec.disk_count = 2;
	source.spec.disks[0].size = 64 * MIB;
	source.spec.disks[1].size = SHORT;
	memset(&cookie, 0, sizeof(cookie));
	memset(cookie.epoch, 0xe1, sizeof(cookie.epoch));
	cookie.number = 10;
	memset(cookie.hash, 10, sizeof(cookie.hash));
	welcome = (struct tmk_welcome){.relation = TMK_EQUAL, .generation = 1, .last_number = 10, .window = 100};
	memset(welcome.last_hash, 10, sizeof(welcome.last_hash));
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)(i * i + i / 251) | 1;
	ck_assert_int_eq(tmk_doubt_open(&source.doubt, "/nonexistent", &source.spec, &err), 0);
	tmk_doubt_all(source.doubt, 0);
	tmk_doubt_all(source.doubt, 1);
	ck_assert_int_eq(tmk_packer_new(&packer), 0);
	ck_assert_int_eq(tmk_stream_new(&stream, &config, &source), 0);
	state = tmk_stream_state(stream);
	ck_assert_int_eq(connect_it(), 0);
	expect_nothing();
}

static void teardown(void)
{
	tmk_stream_free(stream);
	ck_assert_uint_eq(links + tlss, 0);
	tmk_packer_free(packer);
	tmk_doubt_close(source.doubt);
}

static void data(uint16_t disk, uint64_t offset, uint32_t length)
{
	ck_assert(tmk_packer_add(packer, disk, offset, content, length));
}

static void hash(uint16_t disk, uint64_t offset, uint32_t length, bool covered)
{
	ck_assert(tmk_packer_hash(packer, disk, offset, content, length, covered));
}

static void seal(void)
{
	ck_assert_int_eq(tmk_stream_seal(stream, packer, NULL, &err), 0);
}

static void data_chunk(uint64_t at)
{
	data(0, at, 8192);
	seal();
}

static void hash_chunk(uint64_t at)
{
	hash(0, at, 2 * TMK_PIECE, true);
	seal();
}

static uint8_t *coming(uint16_t type, uint32_t length)
{
	if (incoming_next == incoming_count)
		incoming_next = incoming_count = 0;
	ck_assert_uint_lt(incoming_count, sizeof(incoming) / sizeof(incoming[0]));
	incoming[incoming_count].frame = (struct tmk_frame){.type = type, .length = length};
	return incoming[incoming_count++].body;
}

static void ack(uint64_t number)
{
	tmk_ack_encode(number, coming(TMK_FRAME_ACK, 8), 8);
}

#define compared(number, more, ...)                                                                                              \
	do {                                                                                                                     \
		const struct tmk_compared_extent said_[] = {__VA_ARGS__};                                                        \
		compared_all(number, more, said_, sizeof(said_) / sizeof(said_[0]));                                             \
	} while (0)
#define all_equal(number) compared_all(number, false, NULL, 0)

static void compared_all(uint64_t number, bool more, const struct tmk_compared_extent *extents, size_t count)
{
	struct tmk_compared *c = calloc(1, sizeof(*c));
	uint8_t *body = coming(TMK_FRAME_COMPARED, 0);

	*c = (struct tmk_compared){.number = number, .more = more, .count = (uint32_t)count};
	for (size_t i = 0; i < count; i++)
		c->extents[i] = extents[i];
	incoming[incoming_count - 1].frame.length = (uint32_t)tmk_compared_encode(c, body, TMK_COMPARED_MAX);
	free(c);
}

static int pump(void)
{
	int rc;

	memset(&err, 0, sizeof(err));
	rc = tmk_stream_pump(stream, &err);
	ck_assert_msg(!rc == !err.text[0], "%d: %s", rc, err.text);
	ck_assert(state->connected == !rc && links == (rc ? 0u : 1u));
	incoming_next = incoming_count = 0; /* what was not looked at went with the session */
	return rc;
}

static void pump_well(void)
{
	ck_assert_msg(!pump(), "%s", err.text);
}

#endif
