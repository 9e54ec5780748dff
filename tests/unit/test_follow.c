/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. The log that goes on the stream: order, what a chunk carries of it, which ends and marks are good (I2, I3, R4),
 * and that what the kernel says is checked (I9). The ring is memory of the test, the stream a list of what was sealed. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "follow.h"
#include "suite.h"
#include "tidemark_uapi.h"

#define RING (4u << 20)
#define DISK (64u << 20)
#define CHUNKS 2048

static uint8_t *ring; /* twice, side by side, as the module maps it */
static struct tmk_log the_log;
static struct tmk_source source;
static struct tmk_follow *follow;
static struct tmk_error err;
static unsigned doubts;
static uint64_t released; /* the log, up to there */

/* ---- the tracker ---- */

struct tmk_tracker *tmk_marks_lock(struct tmk_marks *m)
{
	(void)m;
	return NULL;
}

void tmk_marks_unlock(struct tmk_marks *m)
{
	(void)m;
}

int tmk_tracker_log(struct tmk_tracker *t, int slot, struct tmk_log *out, struct tmk_error *e)
{
	(void)t, (void)slot, (void)e;
	*out = the_log;
	return 0;
}

int tmk_tracker_ring(struct tmk_tracker *t, int slot, const void **out, struct tmk_error *e)
{
	(void)t, (void)slot, (void)e;
	*out = ring;
	return 0;
}

int tmk_tracker_switch(struct tmk_tracker *t, int slot, bool on, bool both, struct tmk_error *e)
{
	(void)t, (void)slot, (void)both, (void)e;
	if (the_log.on && !on) {
		the_log.tail = the_log.head;
		the_log.gap++;
	}
	the_log.on = on;
	return 0;
}

int tmk_tracker_cut(struct tmk_tracker *t, int slot, const uint8_t id[16], uint64_t *gap, struct tmk_error *e)
{
	(void)t, (void)slot, (void)id, (void)e;
	*gap = the_log.gap;
	return 0;
}

int tmk_source_doubt(struct tmk_source *s, const char *reason, struct tmk_error *e)
{
	(void)s, (void)reason, (void)e;
	doubts++;
	the_log.gap++;
	return 0;
}

static unsigned reminded;

int tmk_source_remind(struct tmk_source *s, uint16_t disk, struct tmk_extent extent, struct tmk_error *e)
{
	(void)s, (void)disk, (void)e;
	reminded += extent.length / 512;
	return 0;
}

int tmk_source_release_log(struct tmk_source *s, uint64_t position, struct tmk_error *e)
{
	(void)s, (void)e;
	released = position;
	return 0;
}

/* ---- the stream ---- */

static struct tmk_packed *chunks[CHUNKS];
static unsigned count;
static uint64_t carries;
static struct tmk_stream_state state;
static bool open_, empty;

const struct tmk_stream_state *tmk_stream_state(const struct tmk_stream *s)
{
	(void)s;
	return &state;
}

bool tmk_stream_open(const struct tmk_stream *s)
{
	(void)s;
	return open_;
}

bool tmk_stream_empty(const struct tmk_stream *s)
{
	(void)s;
	return empty;
}

void tmk_stream_carries(struct tmk_stream *s, uint64_t position)
{
	(void)s;
	carries = position;
}

int tmk_stream_seal(struct tmk_stream *s, struct tmk_packer *packer, const struct tmk_mark *mark, struct tmk_error *e)
{
	struct tmk_chain chain = {.number = count + 1, .generation = 1, .log_through = carries};

	(void)s;
	ck_assert_uint_lt(count, CHUNKS);
	return tmk_packer_seal(packer, &chain, mark, &chunks[count], e) ?: (count++, 0);
}

/* The chunks, applied: what a target that has them all holds of the disk's first MiB. */
static uint8_t replica[1 << 20];

static void apply(const struct tmk_packed *p)
{
	static uint8_t raw[TMK_CHUNK_RAW_MAX];
	struct tmk_chunk c;
	struct tmk_record r;
	struct tmk_walk w;
	const uint8_t *body;

	ck_assert_int_eq(tmk_chunk_header(p->bytes, &c, &err), 0);
	ck_assert_int_eq(tmk_chunk_open(&c, p->bytes + TMK_CHUNK_HEADER_SIZE, raw, &err), 0);
	ck_assert_uint_eq(!!(c.flags & TMK_CHUNK_CONSISTENT), p->consistent);
	ck_assert_uint_eq(c.log_through, p->log_through);
	ck_assert_uint_eq(p->covered_count, 0); /* an ack releases the log and no block */
	for (w = tmk_walk(&c, raw); tmk_walk_next(&w, &r, &body);) {
		if (r.offset + r.length > sizeof(replica) || r.disk || r.type == TMK_MARK)
			continue;
		if (r.type == TMK_DATA)
			memcpy(replica + r.offset, body, r.length);
		else
			memset(replica + r.offset, 0, r.length);
	}
}

/* ---- the kernel ---- */

/* Publishes a record of `sectors` sectors full of `value`; returns it, for a test that wants another. */
static struct tidemark_record *put(uint16_t type, uint64_t sector, uint64_t sectors, int value)
{
	struct tidemark_record *r = (void *)(ring + the_log.head % RING);
	uint64_t content = type == TIDEMARK_DATA ? sectors * 512 : 0;

	*r = (struct tidemark_record){.length = (uint32_t)(TIDEMARK_ALIGN + (content + 63) / 64 * 64),
				      .type = type,
				      .disk = 7,
				      .sector = sector,
				      .sectors = sectors,
				      .gap = the_log.gap};
	memset(r + 1, value, content);
	r->position = the_log.head;
	the_log.head += r->length;
	((struct tidemark_record *)(ring + the_log.head % RING))->position = 0;
	return r;
}

static const uint8_t an_id[16] = "a mark";
static const struct tmk_mark *wanted; /* what the mark becomes */
static unsigned marks, good_marks;

static const struct tmk_mark *marked(const uint8_t id[16], bool good, uint64_t gap, uint64_t time, void *context)
{
	(void)context, (void)gap, (void)time;
	ck_assert_mem_eq(id, an_id, 16);
	marks++;
	good_marks += good;
	return good ? wanted : NULL;
}

static void put_mark(void)
{
	memcpy(put(TIDEMARK_MARK, 0, 0, 0)->id, an_id, 16);
}

static void step(void)
{
	ck_assert_int_eq(tmk_follow_look(follow, &err), 0);
	ck_assert_int_eq(tmk_follow_step(follow, &err), 0);
}

/* All that was put is in sealed chunks. */
static void flush(void)
{
	tmk_follow_hold(follow, the_log.head);
	step();
	tmk_follow_hold(follow, UINT64_MAX);
}

static void map_ring(void)
{
	int fd = memfd_create("ring", 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, RING), 0);
	ring = mmap(NULL, 2 * RING, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(ring, MAP_FAILED);
	for (int i = 0; i < 2; i++)
		ck_assert_ptr_ne(mmap(ring + i * RING, RING, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), MAP_FAILED);
	close(fd);
}

static void setup(void)
{
	static struct tmk_mark mark = {.kind = TMK_CRASH, .id = "a mark", .source_time = 1, .disk_count = 1, .sizes = {DISK}};

	map_ring();
	memset(&state, 0, sizeof(state));
	the_log = (struct tmk_log){.size = RING, .on = true, .head = RING, .tail = RING, .gap = 5};
	source.spec.disk_count = 1;
	source.spec.disks[0].size = DISK;
	source.slots[0] = 7;
	source.devices[0].zeroes = true;
	open_ = true;
	wanted = &mark;
	ck_assert_int_eq(tmk_follow_new(&follow, &source, NULL, marked, NULL), 0);
	ck_assert_int_eq(tmk_follow_open(follow, &err), 0);
}

static void teardown(void)
{
	tmk_follow_free(follow);
	munmap(ring, 2 * RING);
	while (count)
		tmk_packed_free(chunks[--count]);
}

/* ---- */

START_TEST(in_order_and_all_of_it)
{
	uint8_t want[sizeof(replica)];

	put(TIDEMARK_DATA, 0, 100, 1);
	put(TIDEMARK_DATA, 50, 10, 2);
	put(TIDEMARK_ZERO, 55, 2, 0);
	put(TIDEMARK_SKIP, 0, 100, 9);
	put(TIDEMARK_DISCARD, 90, 5, 0);
	flush();
	for (unsigned i = 0; i < count; i++)
		apply(chunks[i]);
	memset(want, 0, sizeof(want));
	memset(want, 1, 100 * 512);
	memset(want + 50 * 512, 2, 10 * 512);
	memset(want + 55 * 512, 0, 2 * 512);
	memset(want + 90 * 512, 0, 5 * 512);
	ck_assert_mem_eq(replica, want, sizeof(want));
	ck_assert_uint_eq(chunks[count - 1]->log_through, the_log.head);
	ck_assert(tmk_follow_reached(follow, the_log.head));
}
END_TEST

/* What is not published yet is not looked at, nor what lies behind it. */
START_TEST(only_what_is_published)
{
	struct tidemark_record *r = put(TIDEMARK_DATA, 0, 8, 1);
	uint64_t at = r->position;

	r->position = 0;
	put(TIDEMARK_DATA, 8, 8, 2);
	r->position = 0;
	flush();
	ck_assert_uint_eq(count, 0);
	ck_assert(!tmk_follow_reached(follow, the_log.head));
	r->position = at;
	flush();
	ck_assert_uint_eq(count, 1);
}
END_TEST

/* I2, I3: a chunk that is closed inside of a record does not carry it, and is no state. */
START_TEST(a_large_write)
{
	const uint64_t before = the_log.head;

	tmk_follow_synced(follow, 5, before);
	put(TIDEMARK_DATA, 0, 5000, 3);
	put(TIDEMARK_DATA, 0, 8, 4);
	flush();
	ck_assert_uint_gt(count, 2);
	for (unsigned i = 0; i + 1 < count; i++) {
		ck_assert_uint_eq(chunks[i]->log_through, before);
		ck_assert(!chunks[i]->consistent);
	}
	ck_assert_uint_eq(chunks[count - 1]->log_through, the_log.head);
	ck_assert(chunks[count - 1]->consistent);
}
END_TEST

/* R4: only behind E, and with the count of the round. */
START_TEST(which_ends_and_marks_are_good)
{
	put(TIDEMARK_DATA, 0, 8, 1);
	put_mark();
	flush();
	ck_assert(!chunks[0]->consistent);
	ck_assert_uint_eq(marks, 1);
	ck_assert_uint_eq(good_marks, 0); /* no round has ended */
	ck_assert_int_eq(tmk_follow_cut(follow, an_id, &err), -EAGAIN);
	put_mark();
	tmk_follow_synced(follow, 5, the_log.head + 64);
	put(TIDEMARK_MARK, 0, 0, 0);
	memcpy(ring + (the_log.head - 64) % RING + offsetof(struct tidemark_record, id), an_id, 16);
	flush();
	ck_assert_uint_eq(good_marks, 0); /* before E */
	put(TIDEMARK_DATA, 0, 8, 1);
	put_mark();
	flush();
	ck_assert_uint_eq(good_marks, 1);
	ck_assert(chunks[count - 1]->marked && chunks[count - 1]->consistent);
	ck_assert(tmk_follow_streaming(follow));
	ck_assert_int_eq(tmk_follow_cut(follow, an_id, &err), 0);
	the_log.gap++;
	put(TIDEMARK_DATA, 0, 8, 1);
	put_mark();
	flush();
	ck_assert_uint_eq(good_marks, 1); /* something is not in the log */
	ck_assert(!chunks[count - 1]->consistent);
	ck_assert(!tmk_follow_streaming(follow));
}
END_TEST

/* Of several records of one request the end is one, and nobody says which is the last. */
START_TEST(a_discard_ends_in_no_state)
{
	tmk_follow_synced(follow, 5, the_log.head);
	put(TIDEMARK_DISCARD, 0, 8, 0);
	flush();
	ck_assert(!chunks[count - 1]->consistent);
	ck_assert_uint_eq(reminded, 0);
	source.devices[0].zeroes = false; /* R20: what such a disk returns then is read back */
	put(TIDEMARK_DISCARD, 16, 8, 0);
	flush();
	ck_assert_uint_eq(reminded, 8);
}
END_TEST

/* The command may have been done although it was not answered. */
START_TEST(the_kernel_says_whether_it_is_on)
{
	tmk_follow_synced(follow, 5, the_log.head);
	put(TIDEMARK_DATA, 0, 8, 1);
	the_log.on = false;
	the_log.tail = the_log.head;
	step();
	ck_assert(!tmk_follow_on(follow) && !tmk_follow_streaming(follow));
	ck_assert_uint_eq(carries, 0);
	the_log.on = true;
	put(TIDEMARK_DATA, 8, 8, 1);
	flush();
	flush();
	ck_assert(tmk_follow_on(follow) && !tmk_follow_streaming(follow));
	ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(held)
{
	uint64_t f;

	put(TIDEMARK_DATA, 0, 8, 1);
	f = the_log.head;
	put(TIDEMARK_DATA, 0, 8, 2);
	tmk_follow_hold(follow, f);
	step();
	step();
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(carries, f);
	ck_assert(tmk_follow_reached(follow, f) && !tmk_follow_reached(follow, the_log.head));
	tmk_follow_hold(follow, UINT64_MAX);
	flush();
	ck_assert_uint_eq(chunks[count - 1]->log_through, the_log.head);
}
END_TEST

/* R3: what was under way is given up; all that is not released goes once more, and nothing is good before the next round. */
START_TEST(a_dropped_window)
{
	tmk_follow_synced(follow, 5, the_log.head);
	put(TIDEMARK_DATA, 0, 8, 1);
	the_log.tail = the_log.head;
	put(TIDEMARK_DATA, 8, 8, 2);
	flush();
	ck_assert_uint_eq(count, 1);
	state.resets++;
	step(); /* which lifts what held it, too */
	flush();
	ck_assert_uint_eq(count, 2);
	ck_assert(!chunks[1]->consistent);
	ck_assert(!tmk_follow_streaming(follow));
	ck_assert_uint_eq(chunks[1]->disk_bytes, 8 * 512); /* not what was released */
}
END_TEST

/* The window is full: nothing is lost, and nothing is packed. */
START_TEST(a_full_window)
{
	open_ = false;
	put(TIDEMARK_DATA, 0, 8, 1);
	flush();
	ck_assert_uint_eq(count, 0);
	open_ = true;
	flush();
	ck_assert_uint_eq(count, 1);
}
END_TEST

/* Marks that became nothing have no chunk whose ack would give their room back. */
START_TEST(room_of_nothing)
{
	empty = true;
	put_mark();
	put(TIDEMARK_SKIP, 0, 8, 0);
	flush();
	ck_assert_uint_eq(count, 0);
	ck_assert_uint_eq(released, the_log.head);
}
END_TEST

/* ---- how old what the target has is ---- */

static void look(void)
{
	ck_assert_int_eq(tmk_follow_look(follow, &err), 0);
}

static void stream_it(void)
{
	look();
	tmk_follow_synced(follow, the_log.gap, the_log.head);
}

/* Nothing is written: as new as the look before the last one. */
START_TEST(latest_of_nothing)
{
	look();
	ck_assert_uint_eq(tmk_follow_latest(follow), 0); /* after a start, before it streams */
	stream_it();
	ck_assert_uint_eq(tmk_follow_latest(follow), 0);
	clock_ms += 40;
	look();
	clock_ms += 1000000;
	look();
	clock_ms += 40;
	look();
	ck_assert_uint_eq(tmk_follow_latest(follow), clock_ms - 40);
}
END_TEST

/* However late its chunk is made, sent or acked: it counts when it was written. */
START_TEST(latest_of_a_backlog)
{
	uint64_t written;

	stream_it();
	look();
	put(TIDEMARK_DATA, 0, 8, 1);
	look();
	written = clock_ms;
	look();
	clock_ms += 60000; /* the window is full */
	put(TIDEMARK_DATA, 8, 8, 2);
	flush();
	ck_assert_uint_eq(count, 1);
	clock_ms += 5000;
	look();
	ck_assert_uint_eq(tmk_follow_latest(follow), written);
	the_log.tail = the_log.head - 64 - 8 * 512; /* the first one */
	look();
	ck_assert_uint_eq(tmk_follow_latest(follow), written);
	clock_ms += 7;
	look();
	ck_assert_uint_eq(tmk_follow_latest(follow), written);
	the_log.tail = the_log.head;
	look();
	ck_assert_uint_eq(tmk_follow_latest(follow), clock_ms - 7);
}
END_TEST

/* What was left out is there when what overwrote it is. */
START_TEST(latest_of_what_is_coalesced)
{
	uint64_t written, first, over;

	ck_assert_int_eq(tmk_follow_coalesce(follow), 0);
	stream_it();
	look();
	clock_ms += 10;
	put(TIDEMARK_DATA, 0, 8, 1);
	put(TIDEMARK_DATA, 1000, 8, 1);
	first = the_log.head;
	look();
	written = clock_ms;
	look();
	clock_ms += 1000;
	put(TIDEMARK_DATA, 0, 8, 2);
	flush();
	over = the_log.head;
	clock_ms += 1000;
	the_log.tail = first;
	look();
	ck_assert_uint_lt(tmk_follow_latest(follow), written);
	put(TIDEMARK_DATA, 0, 8, 3);
	put(TIDEMARK_DATA, 0, 8, 4); /* what is left out further on does not matter */
	flush();
	the_log.tail = over;
	look();
	ck_assert_uint_eq(tmk_follow_latest(follow), written);
}
END_TEST

/* A gap: what is acked meanwhile is no state; after the next round's end it counts again, from its last look on. */
START_TEST(latest_behind_a_gap)
{
	uint64_t before;

	stream_it();
	look();
	before = clock_ms;
	the_log.gap++;
	put(TIDEMARK_DATA, 0, 8, 1);
	clock_ms += 1000;
	look();
	ck_assert_uint_eq(tmk_follow_latest(follow), 0);
	the_log.tail = the_log.head;
	clock_ms += 1000;
	look();
	look();
	tmk_follow_unsynced(follow);
	look();
	put(TIDEMARK_DATA, 0, 8, 1);
	flush();
	clock_ms += 1000;
	stream_it();
	ck_assert_uint_eq(tmk_follow_latest(follow), before);
	the_log.tail = the_log.head - 64;
	look();
	ck_assert_uint_eq(tmk_follow_latest(follow), before);
	the_log.tail = the_log.head;
	look();
	ck_assert_uint_eq(tmk_follow_latest(follow), clock_ms);
	the_log.on = false;
	look();
	ck_assert_uint_eq(tmk_follow_latest(follow), 0);
}
END_TEST

/* ---- histories ---- */

#define SECTORS 64
#define STEPS 900

static uint8_t disk[SECTORS];		   /* what each sector is full of */
static uint8_t states[STEPS + 1][SECTORS]; /* the disk behind each record */
static uint64_t ends[STEPS + 1];	   /* where that record ends */
static bool dirty[SECTORS];		   /* the map */
static unsigned records, delivered, acked, looked;
static uint64_t seed;
static bool coalescing;

static unsigned roll(unsigned below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % below;
}

static bool is_mark[STEPS + 1];

static void remember(bool mark)
{
	is_mark[records] = mark;
	ends[records] = the_log.head;
	memcpy(states[records++], disk, sizeof(disk));
}

static void some_write(void)
{
	unsigned at = roll(SECTORS), length = 1 + roll(SECTORS - at < 9 ? SECTORS - at : 9), kind = roll(8);
	int value = kind ? 1 + (int)roll(255) : 0;

	if (coalescing && !roll(8) && the_log.head - the_log.tail < RING / 2) { /* so that a chunk is full between others */
		put(TIDEMARK_DATA, sizeof(replica) / 512, 1 + roll(1200), 1);
		remember(false);
	}
	if (coalescing && roll(2)) { /* whole blocks */
		length = 8 * (1 + roll(3));
		at = roll((SECTORS - length) / 8 + 1) * 8;
	}
	memset(disk + at, value, length);
	put(kind ? TIDEMARK_DATA : TIDEMARK_ZERO, at, length, value);
	remember(false);
}

/* Of the chunk's end: a state of the log, if it is called one. */
static void look_at(const struct tmk_packed *p)
{
	unsigned i = 0;

	if (!p->consistent)
		return;
	looked++;
	while (ends[i] != p->log_through)
		ck_assert_uint_lt(++i, records);
	while (!p->marked && is_mark[i]) /* it went by, and the state is that of the write before */
		i--;
	for (unsigned at = 0; at < SECTORS; at++)
		ck_assert_msg(replica[at * 512] == states[i][at], "sector %u is %d, not %d", at, replica[at * 512],
			      states[i][at]);
}

/* The target has another one. */
static void deliver(void)
{
	if (delivered == count)
		return;
	apply(chunks[delivered]);
	look_at(chunks[delivered++]);
}

static void ack(void)
{
	if (acked < delivered && chunks[acked++]->log_through > the_log.tail)
		the_log.tail = chunks[acked - 1]->log_through;
}

static void some_mark(void)
{
	put_mark();
	remember(true);
}

static void some_records(void)
{
	for (unsigned n = roll(4); n; n--)
		roll(3) ? some_write() : some_mark();
}

/* A round reads what is marked, with writes before, while and after that. */
static void a_round(void)
{
	uint64_t gap = the_log.gap, f = the_log.head, behind;
	uint8_t content[SECTORS];

	tmk_follow_hold(follow, f);
	some_records();
	step();
	if (!tmk_follow_reached(follow, f)) { /* the window is full: not now */
		tmk_follow_hold(follow, UINT64_MAX);
		return;
	}
	tmk_follow_unsynced(follow);
	memcpy(content, disk, sizeof(disk));
	some_records(); /* read, and not on the stream yet */
	step();
	while (delivered < count)
		deliver();
	for (unsigned at = 0; at < SECTORS; at++)
		if (dirty[at])
			memset(replica + at * 512, content[at], 512);
	while (acked < delivered) /* the log's room before the blocks */
		ack();
	memset(dirty, 0, sizeof(dirty));
	behind = the_log.head;
	tmk_follow_hold(follow, UINT64_MAX);
	some_records();
	if (roll(2))
		step();
	tmk_follow_synced(follow, gap, behind);
}

/* The session is lost with what is under way; the target has a part of it, and not every ack arrived. */
static void lose(void)
{
	for (unsigned n = roll(3); n; n--)
		deliver();
	while (count > delivered)
		tmk_packed_free(chunks[--count]);
	acked = delivered;
	state.resets++;
	step();
}

/* Whatever happens: what is called a state is one (I7, R4), and in the end the replica is the disk (I1, I2). */
START_TEST(histories)
{
	unsigned at;

	seed = (uint64_t)_i;
	coalescing = _i & 1;
	if (coalescing)
		ck_assert_int_eq(tmk_follow_coalesce(follow), 0);
	records = delivered = acked = looked = marks = good_marks = 0;
	memset(disk, 0, sizeof(disk));
	memset(dirty, 0, sizeof(dirty));
	memset(replica, 0, sizeof(replica));
	remember(false);
	tmk_follow_synced(follow, the_log.gap, the_log.head);
	while (records < STEPS - 48 && count < CHUNKS - 8) {
		switch (roll(24)) {
		default:
			some_write();
			break;
		case 0:
			some_mark();
			break;
		case 1: /* dropped: in the map alone */
			at = roll(SECTORS);
			disk[at] = (uint8_t)(1 + roll(255));
			dirty[at] = true;
			the_log.gap++;
			break;
		case 2:
			a_round();
			break;
		case 3:
			lose();
			break;
		case 4:
			open_ = !open_ || roll(2);
			break;
		case 5:
		case 6:
			deliver();
			break;
		case 7:
		case 8:
			ack();
			break;
		case 9:
		case 10:
			open_ ? flush() : step();
			break;
		}
	}
	open_ = true;
	a_round();
	flush();
	while (delivered < count)
		deliver();
	for (at = 0; at < SECTORS; at++)
		ck_assert_uint_eq(replica[at * 512], disk[at]);
	ck_assert_uint_gt(looked, 0);
	ck_assert_uint_gt(good_marks, 0);
	ck_assert_uint_gt(marks, good_marks);
	ck_assert_int_eq(tmk_follow_saved(follow) > 0, coalescing);
}
END_TEST

/* What is overwritten before the next mark is not sent; until what overwrote it is, no chunk's end is a state (I7). */
START_TEST(coalesced)
{
	unsigned n;

	ck_assert_int_eq(tmk_follow_coalesce(follow), 0);
	tmk_follow_synced(follow, 5, the_log.head);
	for (n = 0; n < 300; n++) /* more than a chunk */
		put(TIDEMARK_DATA, 16 * n, 16, 1);
	for (n = 300; n--;)
		put(TIDEMARK_DATA, 16 * n, 8, 2);
	put_mark();
	put(TIDEMARK_DATA, 8, 8, 3); /* behind the mark: it changes nothing of what lies before it */
	flush();
	ck_assert_uint_eq(tmk_follow_saved(follow), 300 * 4096);
	ck_assert_uint_eq(good_marks, 1);
	ck_assert_uint_eq(count, 4);
	ck_assert(!chunks[0]->consistent && !chunks[1]->consistent);
	ck_assert(chunks[2]->consistent && chunks[2]->marked && chunks[3]->consistent);
	for (n = 0; n < count; n++)
		apply(chunks[n]);
	ck_assert_uint_eq(replica[0], 2);
	ck_assert_uint_eq(replica[8 * 512], 3);
	ck_assert_uint_eq(replica[24 * 512], 1);
}
END_TEST

/* A discard overwrites nothing, and neither does what was not captured; and it is never left out. */
START_TEST(not_coalesced)
{
	ck_assert_int_eq(tmk_follow_coalesce(follow), 0);
	put(TIDEMARK_DATA, 0, 8, 1);
	put(TIDEMARK_DISCARD, 0, 8, 0);
	put(TIDEMARK_SKIP, 0, 8, 0);
	put(TIDEMARK_DISCARD, 8, 8, 0);
	put(TIDEMARK_DATA, 8, 8, 1);
	flush();
	ck_assert_uint_eq(tmk_follow_saved(follow), 0);
	ck_assert_uint_eq(chunks[0]->disk_bytes, 32 * 512);
}
END_TEST

/* I9 */
START_TEST(senseless)
{
	struct tidemark_record *r = put(TIDEMARK_DATA, 0, 8, 1);

	switch (_i) {
	case 0:
		r->length = 0;
		break;
	case 1:
		r->length = 100;
		break;
	case 2:
		r->length = RING + 64;
		break;
	case 3:
		r->disk = 3;
		break;
	case 4:
		r->sector = DISK / 512;
		break;
	case 5:
		r->sectors = UINT64_MAX;
		break;
	case 6:
		r->sectors = 9; /* more than its content */
		break;
	case 7:
		r->type = 17;
		break;
	}
	ck_assert_int_eq(tmk_follow_look(follow, &err), 0);
	ck_assert_int_eq(tmk_follow_step(follow, &err), -EBADMSG);
	ck_assert_uint_eq(doubts, 1);
	ck_assert(!the_log.on);
	ck_assert_uint_eq(count, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("follow");
	TCase *t = tcase_create("follow");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, in_order_and_all_of_it);
	tcase_add_test(t, only_what_is_published);
	tcase_add_test(t, a_large_write);
	tcase_add_test(t, which_ends_and_marks_are_good);
	tcase_add_test(t, a_discard_ends_in_no_state);
	tcase_add_test(t, the_kernel_says_whether_it_is_on);
	tcase_add_test(t, held);
	tcase_add_test(t, a_dropped_window);
	tcase_add_test(t, a_full_window);
	tcase_add_test(t, room_of_nothing);
	tcase_add_test(t, latest_of_nothing);
	tcase_add_test(t, latest_of_a_backlog);
	tcase_add_test(t, latest_behind_a_gap);
	tcase_add_test(t, latest_of_what_is_coalesced);
	tcase_add_loop_test(t, histories, 0, 80);
	tcase_add_test(t, coalesced);
	tcase_add_test(t, not_coalesced);
	tcase_add_loop_test(t, senseless, 0, 8);
	suite_add_tcase(s, t);
	return run_suite(s);
}
