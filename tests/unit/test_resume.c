/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. Where a stream goes on: after EQUAL, AHEAD and BEHIND with chunks under way (R3), under which epoch and
 * generation (I8), and how much may be under way. */
#include "stream_world.h"

/* ---- three chunks under way, and a new session ---- */

static void three(void)
{
	data_chunk(0);
	hash_chunk(MIB);
	data_chunk(2 * MIB);
	event_count = 0;
}

/* The target says that its last chunk is this one. */
static void target_at(enum tmk_relation relation, uint64_t number, const uint8_t hash_of[TMK_HASH_SIZE])
{
	welcome.relation = (uint8_t)relation;
	welcome.last_number = number;
	memcpy(welcome.last_hash, hash_of, TMK_HASH_SIZE);
}

static void hash_of_sent(uint64_t number, uint8_t out[TMK_HASH_SIZE])
{
	ck_assert_uint_eq(chunks[number].number, number);
	memcpy(out, chunks[number].hash, TMK_HASH_SIZE);
}

/* The next chunk follows the one with this number and hash. */
static void goes_on_behind(uint64_t number, const uint8_t hash_of[TMK_HASH_SIZE])
{
	event_count = 0;
	data_chunk(4 * MIB);
	expect({SENT, 0, number + 1, 0});
	ck_assert_mem_eq(last_sent.prev_hash, hash_of, TMK_HASH_SIZE);
	ck_assert_mem_eq(last_sent.epoch, cookie.epoch, TMK_EPOCH_SIZE);
}

static bool same_epoch(void)
{
	uint8_t old[TMK_EPOCH_SIZE];

	memset(old, 0xe1, sizeof(old));
	return !memcmp(cookie.epoch, old, sizeof(old));
}

START_TEST(equal)
{
	uint8_t h[TMK_HASH_SIZE];

	three();
	tmk_stream_disconnect(stream);
	event_count = 0;
	ck_assert_int_eq(connect_it(), 0);
	expect({SENT, 0, 11, 0}, {SENT, 0, 12, 0}, {SENT, 0, 13, 0});
	ck_assert(same_epoch());
	hash_of_sent(13, h);
	goes_on_behind(13, h);
	ck_assert_uint_eq(state->resets, 0);
}
END_TEST

/* Who says EQUAL and is somewhere else is not to be believed. */
START_TEST(equal_and_yet_not)
{
	three();
	tmk_stream_disconnect(stream);
	event_count = 0;
	if (_i)
		welcome.last_hash[31]++;
	else
		welcome.last_number++;
	ck_assert_int_eq(connect_it(), -EBADMSG);
	expect({BYE, 0, 0, 0});
	ck_assert(strstr(state->reason, "contradicts"));
	ck_assert(!state->connected && !links && !tlss);
}
END_TEST

/* Only the acks were lost: what it has is released, but for what hashes were to release, and nothing is read again. */
START_TEST(ahead_by_what_is_under_way)
{
	uint8_t h[TMK_HASH_SIZE];

	three();
	tmk_stream_disconnect(stream);
	event_count = 0;
	hash_of_sent(12, h);
	target_at(TMK_AHEAD, 12, h);
	rewound[0] = (struct tmk_rewind_extent){0, 0, 8192};
	rewound_count = 1;
	ck_assert_int_eq(connect_it(), 0);
	expect({COOKIE, 0, 11, 0}, {RELEASE, 0, 0, 8192}, {COOKIE, 0, 12, 0}, {SENT, 0, 13, 0});
	ck_assert(same_epoch());
	ck_assert_uint_eq(state->resets, 0);
	ck_assert_uint_eq(state->acked, 12);
	hash_of_sent(13, h);
	goes_on_behind(13, h);
}
END_TEST

/* This source went back in time, or its history goes on elsewhere: what it does not know of is read again, before anything else
 * is said under another epoch; and what was under way is void. */
START_TEST(ahead_by_what_is_not_ours)
{
	uint64_t number = _i ? 13 : 20;
	uint8_t h[TMK_HASH_SIZE];

	three();
	tmk_stream_disconnect(stream);
	event_count = 0;
	memset(h, 0x20, sizeof(h));
	target_at(TMK_AHEAD, number, h);
	rewound[0] = (struct tmk_rewind_extent){0, 5 * MIB, 4096};
	rewound[1] = (struct tmk_rewind_extent){1, MIB, 2560};
	rewound_count = 2;
	ck_assert_int_eq(connect_it(), 0);
	expect({MARK, 0, 5 * MIB, 4096}, {MARK, 1, MIB, 2560}, {COOKIE, 0, number, 0});
	ck_assert(!same_epoch());
	ck_assert_mem_eq(cookie.hash, h, sizeof(h));
	ck_assert_uint_eq(state->resets, 1);
	ck_assert(tmk_stream_drained(stream));
	ack(number);
	all_equal(12);
	pump_well();
	expect_nothing();
	goes_on_behind(number, h);
}
END_TEST

static const struct tmk_rewind_extent beyond[] = {
	{2, 0, 4096}, {0, 64 * MIB, 512}, {0, 64 * MIB - 512, 1024}, {1, SHORT, 512}, {0, UINT64_MAX - 511, 512},
};

START_TEST(a_rewind_list_beyond_the_disks)
{
	uint8_t h[TMK_HASH_SIZE] = {0x20};

	tmk_stream_disconnect(stream);
	event_count = 0;
	target_at(TMK_AHEAD, 20, h);
	rewound[0] = beyond[_i];
	rewound_count = 1;
	ck_assert_int_eq(connect_it(), -EBADMSG);
	expect({BYE, 0, 0, 0});
	ck_assert(same_epoch());
	ck_assert_uint_eq(cookie.number, 10);
}
END_TEST

START_TEST(behind)
{
	uint8_t h[TMK_HASH_SIZE] = {0};

	three();
	tmk_stream_disconnect(stream);
	event_count = 0;
	target_at(TMK_BEHIND, 0, h);
	ck_assert_int_eq(connect_it(), 0);
	expect({DOUBT, 0, 0, 0}, {COOKIE, 0, 0, 0});
	ck_assert(!same_epoch());
	ck_assert_uint_eq(state->resets, 1);
	ck_assert(tmk_stream_drained(stream));
	goes_on_behind(0, h);
}
END_TEST

/* Nothing moves until the doubt is in the tracker: the next attempt finds it as it was. */
START_TEST(doubt_that_cannot_be_kept)
{
	uint8_t h[TMK_HASH_SIZE] = {0};

	three();
	tmk_stream_disconnect(stream);
	event_count = 0;
	target_at(TMK_BEHIND, 0, h);
	broken = DOUBT;
	ck_assert_int_eq(connect_it(), -EIO);
	expect({DOUBT, 0, 0, 0}, {BYE, 0, 0, 0});
	ck_assert(same_epoch());
	ck_assert_uint_eq(hello.acked_number, 10);
	broken = NOTHING;
	ck_assert_int_eq(connect_it(), 0);
	ck_assert_uint_eq(hello.acked_number, 10);
	expect({DOUBT, 0, 0, 0}, {COOKIE, 0, 0, 0});
}
END_TEST

/* ---- who this source is ---- */

static void anew(void)
{
	tmk_stream_free(stream);
	ck_assert_int_eq(tmk_stream_new(&stream, &config, &source), 0);
	state = tmk_stream_state(stream);
	event_count = 0;
}

START_TEST(hello_says_what_the_tracker_knows)
{
	ck_assert_str_eq(hello.name, "web");
	ck_assert_uint_eq(hello.acked_number, 10);
	ck_assert_mem_eq(hello.acked_hash, cookie.hash, sizeof(cookie.hash));
	ck_assert_mem_eq(hello.epoch, cookie.epoch, sizeof(cookie.epoch));
	ck_assert_uint_eq(hello.disk_count, 2);
	ck_assert_uint_eq(hello.disks[1].size, SHORT);
}
END_TEST

/* HELLO says then that it knows of no chunk, which promises that everything is marked. */
START_TEST(without_a_cookie)
{
	memset(&cookie, 0, sizeof(cookie));
	target_at(TMK_EQUAL, 0, cookie.hash);
	anew();
	ck_assert_int_eq(connect_it(), 0);
	expect({MARK_ALL, 0, 0, 0}, {COOKIE, 0, 0, 0});
	ck_assert_uint_eq(hello.acked_number, 0);
	ck_assert_mem_eq(hello.epoch, cookie.epoch, sizeof(cookie.epoch));
	ck_assert_mem_ne(hello.epoch, (uint8_t[TMK_EPOCH_SIZE]){0}, TMK_EPOCH_SIZE);
	tmk_stream_disconnect(stream);
	event_count = 0;
	ck_assert_int_eq(connect_it(), 0); /* once is enough */
	expect_nothing();
}
END_TEST

START_TEST(a_mark_that_cannot_be_kept)
{
	memset(&cookie, 0, sizeof(cookie));
	target_at(TMK_EQUAL, 0, cookie.hash);
	anew();
	broken = MARK_ALL;
	ck_assert_int_eq(connect_it(), -EIO);
	ck_assert_uint_eq(links, 0);
	broken = NOTHING;
	event_count = 0;
	ck_assert_int_eq(connect_it(), 0);
	expect({MARK_ALL, 0, 0, 0}, {COOKIE, 0, 0, 0});
}
END_TEST

START_TEST(a_fresh_tracker)
{
	source.fresh = true;
	anew();
	ck_assert_int_eq(connect_it(), 0);
	expect({COOKIE, 0, 10, 0});
	ck_assert(!source.fresh && !same_epoch());
}
END_TEST

START_TEST(generations)
{
	source.spec.generation = 0; /* first contact */
	welcome.generation = 4;
	anew();
	ck_assert_int_eq(connect_it(), 0);
	ck_assert_uint_eq(stored_generation, 4);
	ck_assert_uint_eq(source.spec.generation, 4);
	data_chunk(0);
	ck_assert_uint_eq(last_sent.generation, 4);
	tmk_stream_disconnect(stream);
	event_count = 0;
	welcome.generation = 5;
	ck_assert_int_eq(connect_it(), -ESTALE);
	expect({BYE, 0, 0, 0});
	ck_assert_uint_eq(stored_generation, 4);
	ck_assert(strstr(state->reason, "failed over"));
}
END_TEST

START_TEST(refusals)
{
	static const struct {
		uint16_t code;
		bool lasts;
	} rows[] = {{0, false},
		    {TMK_REFUSE_SPACE, false},
		    {TMK_REFUSE_TARGET, false},
		    {TMK_REFUSE_EPOCH, true},
		    {TMK_REFUSE_GENERATION, true}};

	tmk_stream_disconnect(stream);
	open_rc = -ECONNREFUSED;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		refused = rows[i].code;
		ck_assert_int_eq(connect_it(), -ECONNREFUSED);
		ck_assert(state->refused == rows[i].lasts && !state->connected && !tlss);
		ck_assert_str_eq(state->reason, "not today");
	}
	open_rc = refused = 0;
	ck_assert_int_eq(connect_it(), 0);
	ck_assert(!state->refused && !state->reason[0]);
}
END_TEST

/* ---- the running session ---- */

START_TEST(what_the_target_says_of_itself)
{
	uint8_t *body = coming(TMK_FRAME_NOTE, 0);

	incoming[0].frame.length = (uint32_t)tmk_note_encode(TMK_NOTE_WARNING, "the disk is full", body, 1024);
	coming(TMK_FRAME_PONG, 0);
	pump_well();
	ck_assert_str_eq(state->reason, "the disk is full");
	body = coming(TMK_FRAME_NOTE, 0);
	incoming[0].frame.length = (uint32_t)tmk_note_encode(TMK_NOTE_OK, "", body, 1024);
	pump_well();
	ck_assert_str_eq(state->reason, "");
	coming(TMK_FRAME_WELCOME, 0);
	ck_assert_int_eq(pump(), -EBADMSG);
}
END_TEST

/* What came whole before the connection broke counts. */
START_TEST(the_last_words_count)
{
	data_chunk(0);
	event_count = 0;
	ack(11);
	pump_rc = -EPIPE;
	ck_assert_int_eq(pump(), -EPIPE);
	expect({COOKIE, 0, 11, 0}, {RELEASE, 0, 0, 8192}, {BYE, 0, 0, 0});
}
END_TEST

START_TEST(a_silent_target)
{
	clock_ms += 20000;
	pump_well();
	expect({PING, 0, 0, 0});
	pump_well();
	expect_nothing();
	clock_ms += 280000;
	pump_well();
	event_count = 0;
	clock_ms++;
	ck_assert_int_eq(pump(), -ETIMEDOUT);
}
END_TEST

START_TEST(whether_the_replica_holds_anything)
{
	ck_assert(!state->holds);
	tmk_stream_disconnect(stream);
	welcome.holds = 1;
	ck_assert_int_eq(connect_it(), 0);
	ck_assert(state->holds);
}
END_TEST

/* ---- how much may be under way ---- */

START_TEST(as_many_as_the_target_says)
{
	tmk_stream_disconnect(stream);
	ck_assert(!tmk_stream_open(stream));
	welcome.window = 2;
	ck_assert_int_eq(connect_it(), 0);
	ck_assert(tmk_stream_open(stream));
	data_chunk(0);
	ck_assert(tmk_stream_open(stream));
	data_chunk(MIB);
	ck_assert(!tmk_stream_open(stream));
	ack(11);
	pump_well();
	ck_assert(tmk_stream_open(stream));
}
END_TEST

START_TEST(as_many_bytes_as_the_window_has)
{
	uint64_t n = 0;

	while (tmk_stream_open(stream)) {
		for (size_t at = 0; at < sizeof(content); at += TMK_READ_MAX)
			ck_assert(tmk_packer_add(packer, 0, n * MIB + at, content + at, TMK_READ_MAX));
		seal();
		n++;
	}
	ck_assert_uint_ge(state->queued_bytes, config.window);
	ck_assert_uint_eq(state->queued_disk_bytes, n * MIB);
	ack(10 + n);
	pump_well();
	ck_assert(tmk_stream_open(stream));
	ck_assert_uint_eq(state->queued_bytes, 0);
}
END_TEST

/* Chunks that were acked and not compared weigh nothing here, but the target reads up to 64 MiB for each. */
START_TEST(as_many_uncompared_as_sixteen)
{
	for (uint64_t i = 0; i < 16; i++) {
		ck_assert(tmk_stream_open(stream));
		hash_chunk(i * MIB);
		ack(11 + i);
		pump_well();
	}
	ck_assert(!tmk_stream_open(stream));
	all_equal(11);
	pump_well();
	ck_assert(tmk_stream_open(stream));
	for (uint64_t i = 1; i < 16; i++) {
		ck_assert(!tmk_stream_drained(stream));
		all_equal(11 + i);
		pump_well();
	}
	ck_assert(tmk_stream_drained(stream));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("resume");
	TCase *t = tcase_create("resume");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, equal);
	tcase_add_loop_test(t, equal_and_yet_not, 0, 2);
	tcase_add_test(t, ahead_by_what_is_under_way);
	tcase_add_loop_test(t, ahead_by_what_is_not_ours, 0, 2);
	tcase_add_loop_test(t, a_rewind_list_beyond_the_disks, 0, sizeof(beyond) / sizeof(beyond[0]));
	tcase_add_test(t, behind);
	tcase_add_test(t, doubt_that_cannot_be_kept);
	tcase_add_test(t, hello_says_what_the_tracker_knows);
	tcase_add_test(t, without_a_cookie);
	tcase_add_test(t, a_mark_that_cannot_be_kept);
	tcase_add_test(t, a_fresh_tracker);
	tcase_add_test(t, generations);
	tcase_add_test(t, refusals);
	tcase_add_test(t, what_the_target_says_of_itself);
	tcase_add_test(t, the_last_words_count);
	tcase_add_test(t, a_silent_target);
	tcase_add_test(t, whether_the_replica_holds_anything);
	tcase_add_test(t, as_many_as_the_target_says);
	tcase_add_test(t, as_many_bytes_as_the_window_has);
	tcase_add_test(t, as_many_uncompared_as_sixteen);
	suite_add_tcase(s, t);
	return run_suite(s);
}
