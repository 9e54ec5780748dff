/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. When the log is on: for how much that is left, how long it is tried in vain and what is said of it then (R28);
 * and what a verify waits for (R11). The log, the stream and the source are words of the test. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "clock.h"
#include "kept_log.h"
#include "streaming.h"
#include "suite.h"

#define RING 4096u
#define PAUSE_MS 60000

static struct tmk_protection p;
static struct tmk_work *const w = &p.work;
static struct tmk_error err;

/* ---- the source ---- */
static uint64_t bad;
static unsigned refreshes;
static bool settled;

uint64_t tmk_source_bad_bytes(const struct tmk_source *s, bool sure)
{
	(void)s;
	ck_assert(sure);
	return bad;
}

int tmk_source_refresh(struct tmk_source *s, struct tmk_error *e)
{
	(void)s, (void)e;
	refreshes++;
	return 0;
}

int tmk_source_settled(struct tmk_source *s, const struct tmk_take *take, bool *out, struct tmk_error *e)
{
	(void)s, (void)e;
	ck_assert_uint_eq(take->fence, 88);
	*out = settled;
	return 0;
}

/* ---- the stream ---- */
static struct tmk_stream_state stream;

const struct tmk_stream_state *tmk_stream_state(const struct tmk_stream *s)
{
	(void)s;
	return &stream;
}

/* ---- the log ---- */
static bool has_log, on, both, synced;
static uint64_t gap, synced_gap, looked_gap, reached;
static struct tmk_log the_log;
static unsigned looks, steps, switches;
static int look_rc, step_rc, switch_rc, both_rc;

bool tmk_follow_has_log(const struct tmk_follow *f)
{
	(void)f;
	return has_log;
}

bool tmk_follow_on(const struct tmk_follow *f)
{
	(void)f;
	return on;
}

const struct tmk_log *tmk_follow_log(const struct tmk_follow *f)
{
	(void)f;
	return &the_log;
}

bool tmk_follow_streaming(const struct tmk_follow *f)
{
	(void)f;
	return on && synced && synced_gap == looked_gap;
}

bool tmk_follow_reached(const struct tmk_follow *f, uint64_t position)
{
	(void)f;
	return reached >= position;
}

/* As of a look, like the rest. */
int tmk_follow_look(struct tmk_follow *f, struct tmk_error *e)
{
	(void)f, (void)e;
	looks++;
	looked_gap = gap;
	the_log.head = both ? 99 : 77; /* what is in the log from after that is marked, too */
	the_log.sequence = both ? 88 : 66;
	return look_rc;
}

int tmk_follow_switch(struct tmk_follow *f, bool to, struct tmk_error *e)
{
	(void)f, (void)e;
	switches++;
	if (!switch_rc) {
		on = to;
		both = synced = false;
	}
	return switch_rc;
}

int tmk_follow_both(struct tmk_follow *f, bool to, struct tmk_error *e)
{
	(void)f, (void)e;
	ck_assert(on);
	both = to;
	return both_rc;
}

int tmk_follow_step(struct tmk_follow *f, struct tmk_error *e)
{
	(void)f, (void)e;
	steps++;
	return step_rc;
}

/* ---- turns ---- */

static void setup(void)
{
	memset(&p, 0, sizeof(p));
	strcpy(p.spec.name, "web");
	stream = (struct tmk_stream_state){.connected = true};
	the_log = (struct tmk_log){.size = RING, .reason = "two writes overlapped"};
	has_log = true;
	w->round_read = w->rested = true;
	keep_log();
}

static void turn(bool resting)
{
	ck_assert_int_eq(tmk_streaming_step(&p, resting, &err), 0);
}

/* One that was due, to its end; well: and nothing that is not in the log came since. */
static void a_round(bool well)
{
	turn(false);
	synced = true;
	synced_gap = looked_gap;
	gap += !well;
	tmk_streaming_round(w);
	turn(true);
}

static void begin(void)
{
	turn(true);
	ck_assert(on);
}

/* ---- on and off ---- */

START_TEST(on_while_little_is_left)
{
	w->dirty = RING / 16;
	w->taken = RING / 16 + 1;
	w->round_at = 12345;
	turn(true);
	ck_assert(!on);
	bad = 1; /* what cannot be read stays */
	turn(false);
	stream.connected = false;
	turn(true);
	stream.connected = true;
	w->round_read = false;
	turn(true);
	w->round_read = true;
	w->first_copy = true;
	turn(true);
	w->first_copy = false;
	w->rested = false;
	turn(true);
	w->rested = true;
	ck_assert(!on);
	ck_assert_uint_eq(w->round_at, 12345);
	turn(true);
	ck_assert(on);
	ck_assert_uint_eq(w->round_at, 0); /* the next round is the first one that can end in streaming */
	ck_assert_uint_eq(switches, 1);
}
END_TEST

START_TEST(off_when_much_is_dirty)
{
	begin();
	w->both = true;
	w->dirty_at = clock_ms;
	w->dirty = RING / 2;
	turn(true);
	ck_assert(on);
	w->taken = 1;
	turn(false);
	ck_assert(on);
	stream.connected = false;
	turn(true);
	ck_assert(on);
	stream.connected = true;
	turn(true);
	ck_assert(!on && !w->both);
	ck_assert_str_eq(w->slow, "");
	ck_assert_uint_eq(w->dirty_at, 0);
	w->dirty = w->taken = 0; /* it was not in vain: on again when it may be */
	turn(true);
	ck_assert(on);
}
END_TEST

START_TEST(without_a_log)
{
	has_log = false;
	turn(true);
	ck_assert_uint_eq(looks + steps + switches, 0);
}
END_TEST

START_TEST(what_fails_is_passed_on)
{
	look_rc = -EIO;
	ck_assert_int_eq(tmk_streaming_step(&p, true, &err), -EIO);
	ck_assert_uint_eq(switches + steps, 0);
	look_rc = 0;
	switch_rc = -EPERM;
	w->round_at = 1;
	ck_assert_int_eq(tmk_streaming_step(&p, true, &err), -EPERM);
	ck_assert_uint_eq(w->round_at, 1);
	ck_assert_uint_eq(steps, 0);
	switch_rc = 0;
	step_rc = -EBADMSG;
	ck_assert_int_eq(tmk_streaming_step(&p, true, &err), -EBADMSG);
}
END_TEST

/* ---- in vain (R28) ---- */

static void eight_in_vain(void)
{
	for (int i = 0; i < 7; i++) {
		a_round(false);
		ck_assert_msg(on && !w->slow[0], "after %d rounds", i + 1);
	}
	turn(true); /* the eighth is not over */
	ck_assert(on);
	tmk_streaming_round(w);
	turn(false);
	ck_assert(on);
	turn(true);
}

START_TEST(cannot_converge)
{
	begin();
	eight_in_vain();
	ck_assert(!on);
	ck_assert_str_eq(
		w->slow,
		"cannot converge: not all that is written is in the log or fits into it (two writes overlapped); sent in rounds");
	ck_assert_uint_eq(logged("cannot converge"), 1);
	clock_ms += PAUSE_MS - 1;
	w->dirty = RING;
	turn(true);
	w->dirty = 0;
	turn(true);
	ck_assert(!on);
	ck_assert_uint_eq(switches, 2);
	clock_ms++;
	turn(true);
	ck_assert(on);
	ck_assert_str_ne(w->slow, ""); /* until it streams */
	a_round(false);
	ck_assert(on);
	ck_assert_str_ne(w->slow, "");
	a_round(true);
	ck_assert(on && w->streamed);
	ck_assert_str_eq(w->slow, "");
}
END_TEST

/* Again eight of them, and again. */
START_TEST(in_vain_time_and_again)
{
	begin();
	for (int i = 0; i < 3; i++) {
		eight_in_vain();
		ck_assert(!on && w->slow[0]);
		clock_ms += PAUSE_MS;
		w->slow[0] = '\0';
		turn(true);
		ck_assert(on);
	}
	ck_assert_uint_eq(logged("cannot converge"), 3);
}
END_TEST

/* The eighth ends in streaming. */
START_TEST(just_in_time)
{
	begin();
	for (int i = 0; i < 7; i++)
		a_round(false);
	a_round(true);
	ck_assert(on);
	ck_assert_str_eq(w->slow, "");
}
END_TEST

/* Now and then something is not in the log, and each time one round is enough. */
START_TEST(gaps_now_and_then)
{
	begin();
	for (int i = 0; i < 20; i++) {
		a_round(true);
		ck_assert_msg(w->streamed, "round %d", i);
		gap++;
		turn(true);
		ck_assert_msg(on && !w->streamed, "gap %d", i);
	}
	ck_assert_uint_eq(switches, 1);
	ck_assert_uint_eq(logged("web: streaming"), 20);
	ck_assert_uint_eq(logged("catching up: two writes overlapped"), 20);
}
END_TEST

/* Rounds with the log off are not in vain; nor are those that had it switched off for what they took (round.c). */
START_TEST(rounds_without_the_log)
{
	w->dirty = RING;
	for (int i = 0; i < 9; i++)
		a_round(false);
	w->dirty = 0;
	begin();
	for (int i = 0; i < 7; i++)
		a_round(false);
	on = false;
	w->rested = false;
	a_round(false);
	w->rested = true;
	begin();
	a_round(false);
	ck_assert(on);
	ck_assert_str_eq(w->slow, "");
}
END_TEST

/* What was marked for a verify is read, and it streams again. */
START_TEST(rounds_while_it_streams)
{
	begin();
	for (int i = 0; i < 20; i++)
		a_round(true);
	ck_assert_uint_eq(w->vain, 0);
	ck_assert(on);
	for (int i = 0; i < 7; i++)
		a_round(false);
	ck_assert(on);
}
END_TEST

/* Swap that is switched off is seen by takes; nothing is taken while it streams. */
START_TEST(swap_is_looked_for)
{
	begin();
	ck_assert_uint_eq(refreshes, 0);
	a_round(true);
	ck_assert_uint_eq(refreshes, 1);
	clock_ms += 999;
	turn(true);
	ck_assert_uint_eq(refreshes, 1);
	clock_ms++;
	turn(true);
	ck_assert_uint_eq(refreshes, 2);
}
END_TEST

/* ---- a verify ---- */

static bool may(void)
{
	bool open = false;

	ck_assert_int_eq(tmk_streaming_verify_may(w, &open, &err), 0);
	return open;
}

/* The stream has everything from before `both`, and so have the disks. */
START_TEST(the_gate)
{
	begin();
	reached = 98;
	settled = true;
	ck_assert(!may());
	ck_assert(both && w->both);
	ck_assert_uint_eq(w->gate.position, 99);
	ck_assert_uint_eq(w->both_until, clock_ms + 10000);
	reached = 99;
	settled = false;
	ck_assert(!may());
	settled = true;
	clock_ms += 5;
	ck_assert(may());
	ck_assert_uint_eq(w->both_until, clock_ms + 9995); /* it began but once */
	ck_assert_int_eq(tmk_streaming_verify_over(w, &err), 0);
	ck_assert(!both && !w->both);
	both = true; /* not its business */
	ck_assert_int_eq(tmk_streaming_verify_over(w, &err), 0);
	ck_assert(both);
}
END_TEST

START_TEST(a_gate_that_fails)
{
	bool open = true;

	begin();
	reached = 99;
	settled = true;
	both_rc = -EIO;
	ck_assert_int_eq(tmk_streaming_verify_may(w, &open, &err), -EIO);
	ck_assert(!open && !w->both);
	both_rc = 0;
	look_rc = -EIO;
	ck_assert_int_eq(tmk_streaming_verify_may(w, &open, &err), -EIO);
	ck_assert(!open && !w->both);
	look_rc = 0;
	ck_assert(may());
}
END_TEST

/* Every write is marked with the log off. Given up and switched on behind the verify's back, it marks none. */
START_TEST(a_verify_without_the_log)
{
	ck_assert(may());
	ck_assert(!w->both);
	begin();
	reached = 99;
	settled = true;
	ck_assert(may());
	on = both = false;
	ck_assert(may());
	on = true;
	ck_assert(may());
	ck_assert(both);
	on = both = false;
	ck_assert_int_eq(tmk_streaming_verify_over(w, &err), 0); /* which it is not told then */
	ck_assert(!w->both);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("streaming");
	TCase *t = tcase_create("streaming");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, on_while_little_is_left);
	tcase_add_test(t, off_when_much_is_dirty);
	tcase_add_test(t, without_a_log);
	tcase_add_test(t, what_fails_is_passed_on);
	tcase_add_test(t, cannot_converge);
	tcase_add_test(t, in_vain_time_and_again);
	tcase_add_test(t, just_in_time);
	tcase_add_test(t, gaps_now_and_then);
	tcase_add_test(t, rounds_without_the_log);
	tcase_add_test(t, rounds_while_it_streams);
	tcase_add_test(t, swap_is_looked_for);
	tcase_add_test(t, the_gate);
	tcase_add_test(t, a_gate_that_fails);
	tcase_add_test(t, a_verify_without_the_log);
	suite_add_tcase(s, t);
	return run_suite(s);
}
