/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. What acks and results of comparisons release, what is marked before, and what a lost session leaves (R11). */
#include "stream_world.h"

/* Whether all, or none, of the range is in doubt. */
static bool doubted(uint16_t disk, uint64_t offset, uint64_t length)
{
	uint64_t part = length;
	bool yes = tmk_doubt_split(source.doubt, disk, offset, &part);

	ck_assert_uint_eq(part, length);
	return yes;
}

/* ---- acks ---- */

/* The cookie comes first: what is released is known as acked (I2, R3). */
START_TEST(an_ack_releases)
{
	data_chunk(0);
	data(1, 4096, 4096);
	data(0, MIB, 4096);
	seal();
	data_chunk(16384);
	expect({SENT, 0, 11, 0}, {SENT, 0, 12, 0}, {SENT, 0, 13, 0});
	ck_assert(!tmk_stream_drained(stream));
	ack(12);
	pump_well();
	expect({COOKIE, 0, 11, 0}, {RELEASE, 0, 0, 8192}, {COOKIE, 0, 12, 0}, {RELEASE, 1, 4096, 4096}, {RELEASE, 0, MIB, 4096});
	ck_assert_uint_eq(state->acked, 12);
	ck_assert_uint_eq(state->acked_disk_bytes, 16384);
	ck_assert_uint_eq(state->queued_disk_bytes, 8192);
	ck_assert(!tmk_stream_drained(stream));
	ack(12); /* again: nothing new */
	pump_well();
	expect_nothing();
	ack(13);
	pump_well();
	expect({COOKIE, 0, 13, 0}, {RELEASE, 0, 16384, 8192});
	ck_assert(tmk_stream_drained(stream));
	ck_assert_uint_eq(state->queued_bytes, 0);
}
END_TEST

START_TEST(an_ack_of_what_was_not_sent)
{
	data_chunk(0);
	ack(12);
	event_count = 0;
	ck_assert_int_eq(pump(), -EBADMSG);
	expect({BYE, 0, 0, 0});
}
END_TEST

START_TEST(no_cookie_no_release)
{
	data_chunk(0);
	event_count = 0;
	broken = COOKIE;
	ack(11);
	ck_assert_int_eq(pump(), -EIO);
	expect({COOKIE, 0, 11, 0}, {BYE, 0, 0, 0});
}
END_TEST

/* The chunk left the window and is not waited for: its round must not take that for compared. */
START_TEST(no_cookie_no_result)
{
	hash_chunk(0);
	event_count = 0;
	broken = COOKIE;
	ack(11);
	ck_assert_int_eq(pump(), -EIO);
	expect({COOKIE, 0, 11, 0}, {BYE, 0, 0, 0});
	ck_assert(tmk_stream_drained(stream));
	ck_assert_uint_eq(state->forgotten, 1);
}
END_TEST

START_TEST(marks_that_are_acked)
{
	struct tmk_mark mark = {.kind = TMK_CRASH, .id = {1, 2, 3}, .disk_count = 2, .sizes = {64 * MIB, SHORT}};

	ck_assert_int_eq(tmk_stream_seal(stream, packer, &mark, &err), 0);
	ck_assert(!tmk_stream_marked(stream, mark.id));
	ack(11);
	pump_well();
	ck_assert(tmk_stream_marked(stream, mark.id));
}
END_TEST

/* ---- results ---- */

/* The ack says that the chunk is kept, not what came of it (R11). */
START_TEST(an_ack_of_hashes_releases_nothing)
{
	hash_chunk(0);
	ack(11);
	pump_well();
	expect({SENT, 0, 11, 0}, {COOKIE, 0, 11, 0});
	ck_assert_uint_eq(state->queued_bytes, 0);
	ck_assert(!tmk_stream_drained(stream));
	ck_assert(doubted(0, 0, 2 * TMK_PIECE));
	all_equal(11);
	pump_well();
	expect({RELEASE, 0, 0, 2 * TMK_PIECE});
	ck_assert(tmk_stream_drained(stream));
	ck_assert(!doubted(0, 0, 2 * TMK_PIECE));
	ck_assert(doubted(0, 2 * TMK_PIECE, MIB));
	all_equal(11); /* told once more */
	pump_well();
	expect_nothing();
	ck_assert_uint_eq(state->forgotten, 0);
}
END_TEST

/* Killed in between, a shipper finds it in one map at least. It goes as data then, since another hash would tell the same. */
START_TEST(what_differs_is_marked_first)
{
	hash(0, 0, 8 * TMK_PIECE, true);
	hash(1, 0, TMK_PIECE, true);
	seal();
	ack(11);
	compared(11, false, {TMK_DIFFERS, 0, TMK_PIECE, TMK_PIECE}, {TMK_UNDECIDED, 0, 4 * TMK_PIECE + 4096, 8192},
		 {TMK_DIFFERS, 1, 0, 4096});
	pump_well();
	expect({SENT, 0, 11, 0}, {COOKIE, 0, 11, 0}, {MARK, 0, TMK_PIECE, TMK_PIECE}, {MARK, 0, 4 * TMK_PIECE + 4096, 8192},
	       {MARK, 1, 0, 4096}, {RELEASE, 0, 0, 8 * TMK_PIECE}, {RELEASE, 1, 0, TMK_PIECE});
	ck_assert(!doubted(0, 0, 8 * TMK_PIECE));
}
END_TEST

START_TEST(no_mark_no_release)
{
	hash_chunk(0);
	ack(11);
	pump_well();
	event_count = 0;
	broken = MARK;
	compared(11, false, {TMK_DIFFERS, 0, 0, 4096}, {TMK_DIFFERS, 0, 8192, 4096});
	ck_assert_int_eq(pump(), -EIO);
	expect({MARK, 0, 0, 4096}, {BYE, 0, 0, 0});
	ck_assert_uint_eq(state->forgotten, 1);
}
END_TEST

START_TEST(more_is_to_come)
{
	hash_chunk(0);
	ack(11);
	compared(11, true, {TMK_DIFFERS, 0, 0, 4096});
	compared_all(11, true, NULL, 0);
	pump_well();
	expect({SENT, 0, 11, 0}, {COOKIE, 0, 11, 0}, {MARK, 0, 0, 4096});
	ck_assert(!tmk_stream_drained(stream));
	ck_assert(!doubted(0, 0, TMK_PIECE) && doubted(0, TMK_PIECE, TMK_PIECE));
	compared(11, false, {TMK_UNDECIDED, 0, TMK_PIECE, TMK_PIECE});
	pump_well();
	expect({MARK, 0, TMK_PIECE, TMK_PIECE}, {RELEASE, 0, 0, 2 * TMK_PIECE});
}
END_TEST

START_TEST(a_chunk_of_every_kind)
{
	data(0, MIB, 8192);
	hash(0, 0, TMK_PIECE, true);
	ck_assert(tmk_packer_zero(packer, 1, 0, 4096));
	seal();
	ack(11);
	pump_well();
	expect({SENT, 0, 11, 0}, {COOKIE, 0, 11, 0});
	all_equal(11);
	pump_well();
	expect({RELEASE, 0, MIB, 8192}, {RELEASE, 0, 0, TMK_PIECE}, {RELEASE, 1, 0, 4096});
}
END_TEST

START_TEST(results_come_in_order)
{
	hash_chunk(0);
	data_chunk(MIB);
	hash_chunk(2 * MIB);
	ack(13);
	pump_well();
	expect({SENT, 0, 11, 0}, {SENT, 0, 12, 0}, {SENT, 0, 13, 0}, {COOKIE, 0, 11, 0}, {COOKIE, 0, 12, 0},
	       {RELEASE, 0, MIB, 8192}, {COOKIE, 0, 13, 0});
	compared(5, false, {TMK_DIFFERS, 0, 0, 4096}); /* before the first that is waited for */
	pump_well();
	expect_nothing();
	all_equal(11);
	all_equal(11);
	all_equal(12);
	pump_well();
	expect({RELEASE, 0, 0, 2 * TMK_PIECE});
	all_equal(13);
	pump_well();
	expect({RELEASE, 0, 2 * MIB, 2 * TMK_PIECE});
	compared(99, false, {TMK_DIFFERS, 0, 0, 4096}); /* nothing is waited for */
	pump_well();
	expect_nothing();
}
END_TEST

START_TEST(a_result_that_is_left_out)
{
	hash_chunk(0);
	hash_chunk(MIB);
	ack(12);
	pump_well();
	event_count = 0;
	compared(12, false, {TMK_DIFFERS, 0, MIB, 4096});
	ck_assert_int_eq(pump(), -EBADMSG);
	expect({BYE, 0, 0, 0});
}
END_TEST

/* Bounds (I9): an extent is whole blocks of a disk that there is, to its end at most. */
static const struct {
	struct tmk_compared_extent extent;
	bool good;
} said[] = {
	{{TMK_DIFFERS, 0, 0, 64 * MIB}, true},
	{{TMK_DIFFERS, 1, MIB, 2560}, true},
	{{TMK_DIFFERS, 1, MIB - 4096, 4096 + 2560}, true},
	{{TMK_DIFFERS, 1, 0, 4096}, true},
	{{TMK_DIFFERS, 2, 0, 4096}, false},
	{{TMK_DIFFERS, 65535, 0, 4096}, false},
	{{TMK_DIFFERS, 0, 64 * MIB, 4096}, false},
	{{TMK_DIFFERS, 0, 64 * MIB - 4096, 8192}, false},
	{{TMK_DIFFERS, 0, 1ull << 62, 4096}, false},
	{{TMK_DIFFERS, 1, MIB, 4096}, false},
	{{TMK_DIFFERS, 1, MIB + 4096, 4096}, false},
	{{TMK_DIFFERS, 1, MIB, 2048}, false},
	{{TMK_DIFFERS, 1, 0, 2560}, false},
	{{TMK_DIFFERS, 0, 512, 4096}, false},
	{{TMK_DIFFERS, 0, 4096, 512}, false},
	{{TMK_UNDECIDED, 1, MIB + 512, 2048}, false},
	{{TMK_UNDECIDED, 0, 0, 0}, false},
	{{3, 0, 0, 4096}, false},
	{{0, 0, 0, 4096}, false},
};

START_TEST(bounds)
{
	const struct tmk_compared_extent *e = &said[_i].extent;

	hash_chunk(0);
	ack(11);
	pump_well();
	event_count = 0;
	compared(11, false, {TMK_DIFFERS, 0, 0, 4096}, *e);
	if (said[_i].good) {
		pump_well();
		expect({MARK, 0, 0, 4096}, {MARK, e->disk, e->offset, e->length}, {RELEASE, 0, 0, 2 * TMK_PIECE});
	} else {
		ck_assert_int_eq(pump(), -EBADMSG);
		expect({BYE, 0, 0, 0});
		ck_assert_uint_eq(state->forgotten, 1);
	}
}
END_TEST

static unsigned heard_extents;
static int hear(const struct tmk_compared *c, void *context, struct tmk_error *e)
{
	(void)e;
	ck_assert_ptr_eq(context, &source);
	heard_extents += c->count;
	return happened(HEARD, c->more, c->number, c->count);
}

/* What covers nothing is a verify's: it decides, the stream marks and releases nothing. */
START_TEST(results_for_a_listener)
{
	tmk_stream_listen(stream, hear, &source);
	hash(0, 0, TMK_READ_MAX, false);
	seal();
	ack(11);
	compared(11, true, {TMK_DIFFERS, 0, 0, 4096}, {TMK_UNDECIDED, 1, 0, 4096});
	pump_well();
	ck_assert(!tmk_stream_drained(stream));
	compared(11, false, {TMK_DIFFERS, 0, TMK_PIECE, 4096});
	pump_well();
	ck_assert(tmk_stream_drained(stream));
	expect({SENT, 0, 11, 0}, {COOKIE, 0, 11, 0}, {HEARD, 1, 11, 2}, {HEARD, 0, 11, 1});
	ck_assert_uint_eq(heard_extents, 3);
	ck_assert(doubted(0, 0, TMK_READ_MAX));
	hash_chunk(0); /* a round's: not heard */
	ack(12);
	compared(12, false, {TMK_DIFFERS, 0, 0, 4096});
	pump_well();
	expect({SENT, 0, 12, 0}, {COOKIE, 0, 12, 0}, {MARK, 0, 0, 4096}, {RELEASE, 0, 0, 2 * TMK_PIECE});
	hash(0, 0, TMK_READ_MAX, false);
	seal();
	ack(13);
	broken = HEARD;
	all_equal(13);
	ck_assert_int_eq(pump(), -EIO);
}
END_TEST

/* ---- a session that is lost ---- */

static void lose(int how)
{
	if (how == 0) {
		pump_rc = -EPIPE;
		ck_assert_int_eq(pump(), -EPIPE);
		pump_rc = 0;
	} else if (how == 1) {
		tmk_stream_disconnect(stream);
	} else {
		coming(TMK_FRAME_REFUSE, 1)[0] = TMK_REFUSE_SUPERSEDED;
		ck_assert_int_eq(pump(), -ECONNREFUSED);
		ck_assert(state->refused);
	}
	ck_assert(!state->connected);
}

/* The target appended 11 in the old session: it owes no result for it. Should one come, it is not to be believed: 11 may be
 * another one's word. What was not appended is sent again, but the round that it belongs to is void. */
START_TEST(a_lost_session)
{
	hash_chunk(0);
	hash_chunk(MIB);
	data_chunk(2 * MIB);
	hash_chunk(3 * MIB);
	ack(11);
	pump_well();
	event_count = 0;
	lose(_i);
	ck_assert_uint_eq(state->forgotten, 1);
	ck_assert(!tmk_stream_drained(stream)); /* its chunks have their place in the chain */
	expect({BYE, 0, 0, 0});
	welcome.last_number = 11;
	memcpy(welcome.last_hash, cookie.hash, sizeof(cookie.hash));
	ck_assert_int_eq(connect_it(), 0);
	expect({SENT, 0, 12, 0}, {SENT, 0, 13, 0}, {SENT, 0, 14, 0});
	compared(11, false, {TMK_DIFFERS, 0, 0, 4096});
	ack(14);
	all_equal(11);
	all_equal(12);
	all_equal(14);
	pump_well();
	expect({COOKIE, 0, 12, 0}, {COOKIE, 0, 13, 0}, {RELEASE, 0, 2 * MIB, 8192}, {COOKIE, 0, 14, 0});
	ck_assert(tmk_stream_drained(stream));
	ck_assert(doubted(0, 0, 4 * MIB)); /* it is asked again */
	ck_assert_uint_eq(state->forgotten, 1);
	ck_assert_uint_eq(state->resets, 0);
	hash_chunk(0);
	ack(15);
	all_equal(15);
	event_count = 0;
	pump_well();
	expect({COOKIE, 0, 15, 0}, {RELEASE, 0, 0, 2 * TMK_PIECE});
}
END_TEST

START_TEST(forgotten_on_purpose)
{
	tmk_stream_forget(stream);
	ck_assert_uint_eq(state->forgotten, 0);
	data_chunk(MIB);
	tmk_stream_forget(stream);
	ck_assert_uint_eq(state->forgotten, 0); /* no results were to come */
	hash_chunk(0);
	hash_chunk(2 * MIB);
	ack(12);
	pump_well();
	event_count = 0;
	tmk_stream_forget(stream);
	ck_assert_uint_eq(state->forgotten, 1);
	ck_assert(state->connected);
	all_equal(12);
	ack(13);
	compared(13, false, {TMK_DIFFERS, 0, 0, 4096});
	pump_well();
	expect({COOKIE, 0, 13, 0});
	ck_assert(tmk_stream_drained(stream));
}
END_TEST

/* Sealed without a session: the next one carries it, and brings its results. */
START_TEST(sealed_between_sessions)
{
	tmk_stream_disconnect(stream);
	hash_chunk(0);
	expect({BYE, 0, 0, 0});
	ck_assert_int_eq(tmk_stream_fd(stream), -1);
	ck_assert_int_eq(tmk_stream_events(stream), 0);
	ck_assert_int_eq(connect_it(), 0);
	ck_assert_int_eq(tmk_stream_fd(stream), 77);
	ack(11);
	all_equal(11);
	pump_well();
	expect({SENT, 0, 11, 0}, {COOKIE, 0, 11, 0}, {RELEASE, 0, 0, 2 * TMK_PIECE});
	ck_assert_uint_eq(state->forgotten, 0);
}
END_TEST

/* What could not be queued is in the window: nothing is lost, and no result of its session counts. */
START_TEST(a_chunk_that_cannot_be_queued)
{
	send_rc = -ENOMEM;
	hash_chunk(0);
	ck_assert(!state->connected && state->forgotten == 1);
	send_rc = 0;
	ck_assert_int_eq(connect_it(), 0);
	ack(11);
	all_equal(11);
	pump_well();
	expect({SENT, 0, 11, 0}, {COOKIE, 0, 11, 0});
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stream");
	TCase *t = tcase_create("stream");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, an_ack_releases);
	tcase_add_test(t, an_ack_of_what_was_not_sent);
	tcase_add_test(t, no_cookie_no_release);
	tcase_add_test(t, no_cookie_no_result);
	tcase_add_test(t, marks_that_are_acked);
	tcase_add_test(t, an_ack_of_hashes_releases_nothing);
	tcase_add_test(t, what_differs_is_marked_first);
	tcase_add_test(t, no_mark_no_release);
	tcase_add_test(t, more_is_to_come);
	tcase_add_test(t, a_chunk_of_every_kind);
	tcase_add_test(t, results_come_in_order);
	tcase_add_test(t, a_result_that_is_left_out);
	tcase_add_loop_test(t, bounds, 0, sizeof(said) / sizeof(said[0]));
	tcase_add_test(t, results_for_a_listener);
	tcase_add_loop_test(t, a_lost_session, 0, 3);
	tcase_add_test(t, forgotten_on_purpose);
	tcase_add_test(t, sealed_between_sessions);
	tcase_add_test(t, a_chunk_that_cannot_be_queued);
	suite_add_tcase(s, t);
	return run_suite(s);
}
