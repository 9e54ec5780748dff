/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. How a verify's passes go: in batches, in turns with rounds, from their beginning where a batch is void, and on
 * where another shipper left them. */
#include "verify_world.h"

/* ---- batches ---- */

START_TEST(the_rolling_pass)
{
	uint64_t half = config.verify_every / 2;

	clock_ms += half - 1000;
	ck_assert(!tmk_verify_due(verify));
	clock_ms += 1000;
	batch();
	ck_assert_uint_eq(read_bytes, 64 * MIB);
	ck_assert_uint_eq(pass()->done, 64 * MIB);
	check_hashed(0, 0, 64 * MIB, 1);
	clock_ms += half - 1000;
	ck_assert(!tmk_verify_due(verify));
	clock_ms += 1000;
	batch();
	ck_assert_uint_eq(read_bytes, total());
	check_all_hashed(1);
	ck_assert(pass()->last.known && !pass()->last.asked);
	ck_assert_uint_eq(pass()->done, 0);
	ck_assert_uint_eq(pass()->started, clock_ms);
	ck_assert_uint_eq(tmk_verify_state(verify)->passes, 0);
	ck_assert(!tmk_verify_due(verify));
	clock_ms += half;
	batch();
	check_hashed(0, 0, 64 * MIB, 2);
}
END_TEST

/* After a long pause it is behind: batches follow each other until it is not. */
START_TEST(the_rolling_pass_catches_up)
{
	config.verify_every = 1000;
	clock_ms += 30000;
	batch();
	batch();
	ck_assert(pass()->last.known);
	ck_assert(!tmk_verify_due(verify));
}
END_TEST

START_TEST(only_when_asked)
{
	config.verify_every = 0;
	clock_ms += 1000000;
	ck_assert(!tmk_verify_due(verify));
	tmk_verify_ask(verify, 0);
	batch();
	ck_assert(pass()->last.asked);
	ck_assert(!tmk_verify_due(verify));
}
END_TEST

/* Reading goes on for two seconds; what is under way then still counts. */
START_TEST(a_batch_has_an_end)
{
	static const uint64_t limits[] = {2000, 500};
	bool hurry = _i;

	tmk_verify_ask(verify, 0);
	tmk_verify_begin(verify);
	step(hurry);
	clock_ms += limits[_i] - 1;
	step(hurry);
	ck_assert_uint_eq(read_bytes, 32 * TMK_READ_MAX);
	clock_ms++;
	step(hurry);
	ck_assert_uint_eq(read_bytes, 32 * TMK_READ_MAX);
	ck_assert_uint_eq(read_count, 0);
	answer();
	step(hurry);
	ck_assert(!tmk_verify_active(verify));
	ck_assert_uint_eq(pass()->done, 32 * TMK_READ_MAX);
	check_hashed(0, 0, 32 * TMK_READ_MAX, 1);
	check_hashed(0, 32 * TMK_READ_MAX, MIB, 0);
	batch();
	check_all_hashed(1);
}
END_TEST

/* A second look, too: those that it did not come to are looked at in the next batch. */
START_TEST(a_second_look_has_an_end)
{
	static const uint64_t limits[] = {2000, 500};
	const unsigned count = 100;
	bool hurry = _i;

	for (unsigned i = 0; i < count; i++)
		verdicts[0][i * (TMK_READ_MAX / TMK_PIECE)] = TMK_DIFFERS;
	tmk_verify_ask(verify, 0);
	batch();
	clock_ms += TMK_SECOND_LOOK_MS;
	read_bytes = 0;
	tmk_verify_begin(verify);
	step(hurry);
	clock_ms += limits[_i] - 1;
	step(hurry);
	ck_assert_uint_eq(read_bytes, 2 * READS * TMK_PIECE);
	clock_ms++;
	step(hurry);
	ck_assert_uint_eq(read_bytes, 2 * READS * TMK_PIECE);
	ck_assert_uint_eq(read_count, 0);
	answer();
	step(hurry);
	ck_assert(!tmk_verify_active(verify));
	ck_assert(!pass()->last.known);
	ck_assert_uint_eq(pass()->different, 2 * READS * TMK_PIECE);
	batch();
	ck_assert_uint_eq(read_bytes, count * TMK_PIECE);
	ck_assert_uint_eq(pass()->last.different, count * TMK_PIECE);
}
END_TEST

START_TEST(while_the_window_is_full)
{
	tmk_verify_ask(verify, 0);
	tmk_verify_begin(verify);
	step(false);
	closed = true;
	for (int i = 0; i < 5; i++)
		step(false);
	ck_assert_uint_eq(read_count, READS);
	ck_assert(tmk_packer_empty(packer));
	closed = false;
	do
		step(false);
	while (read_count);
	answer();
	step(false);
	check_all_hashed(1);
}
END_TEST

START_TEST(while_the_rate_says_wait)
{
	tmk_verify_ask(verify, 0);
	tmk_verify_begin(verify);
	step(false);
	rate_says_wait = true;
	step(false);
	step(false);
	ck_assert(tmk_verify_active(verify) && !read_count && !sent_count);
	rate_says_wait = false;
	do
		step(false);
	while (read_count);
	answer();
	step(false);
	check_all_hashed(1);
}
END_TEST

/* Not for a while: the target would not tell more the next time. */
static void check_pause(void)
{
	ck_assert(!tmk_verify_due(verify));
	clock_ms += 59999;
	ck_assert(!tmk_verify_due(verify));
	clock_ms++;
	ck_assert(tmk_verify_due(verify));
}

/* A round is wanted, and results do not come: five seconds. Without one they may take as long as they like. */
START_TEST(given_up_for_a_round)
{
	tmk_verify_ask(verify, 0);
	read_batch();
	clock_ms += 100000;
	step(false);
	ck_assert(tmk_verify_active(verify));
	tmk_verify_abort(verify);
	forgets = 0;
	read_batch();
	clock_ms += 4999;
	step(true);
	ck_assert(tmk_verify_active(verify));
	clock_ms++;
	step(true);
	ck_assert(!tmk_verify_active(verify));
	ck_assert_uint_eq(forgets, 1);
	ck_assert_uint_eq(pass()->done, 0);
	check_pause();
	memset(hashed, 0, sizeof(hashed));
	batch();
	check_all_hashed(1);
	ck_assert(pass()->last.known);
}
END_TEST

/* The window stays full, since the target compares nothing: the batch cannot even come to its end. */
START_TEST(given_up_while_reading)
{
	tmk_verify_ask(verify, 0);
	tmk_verify_begin(verify);
	step(false);
	closed = true;
	clock_ms += 100000;
	step(false);
	ck_assert(tmk_verify_active(verify));
	step(true);
	ck_assert(!tmk_verify_active(verify));
	ck_assert_uint_eq(read_count, 0);
	check_pause();
	closed = false;
	batch();
	check_all_hashed(1);
}
END_TEST

/* Reads that take long are waited for: whoever gives them up waits for them, too. */
START_TEST(a_slow_disk)
{
	tmk_verify_ask(verify, 0);
	tmk_verify_begin(verify);
	slow = true;
	step(true);
	clock_ms += 100000;
	step(true);
	ck_assert(tmk_verify_active(verify));
	ck_assert_uint_eq(read_count, READS);
	slow = false;
	step(true);
	answer();
	step(true);
	ck_assert(!tmk_verify_active(verify));
	ck_assert_uint_eq(pass()->done, READS * TMK_READ_MAX);
}
END_TEST

START_TEST(rates)
{
	static const struct {
		uint64_t read, verify, asked, want;
	} rows[] = {{0, 0, 0, 0}, {5, 0, 0, 5}, {0, 7, 0, 7}, {5, 7, 0, 5},
		    {7, 5, 0, 5}, {0, 7, 9, 9}, {5, 7, 9, 5}, {0, 0, 9, 9}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		config.read_rate = rows[i].read;
		config.verify_rate = rows[i].verify;
		tmk_verify_ask(verify, rows[i].asked);
		read_batch();
		ck_assert_uint_eq(rate, rows[i].want);
		if (i % 2) {
			tmk_verify_abort(verify);
			ck_assert_uint_eq(rate, rows[i].read);
			read_batch();
		}
		answer();
		step(false);
		ck_assert_uint_eq(rate, rows[i].read);
	}
	config.read_rate = 0;
	config.verify_rate = 7;
	config.verify_every = 1;
	clock_ms += 1000;
	read_batch(); /* the rolling one */
	ck_assert_uint_eq(rate, 7);
}
END_TEST

/* ---- what ends a pass before its time ---- */

/* The session was lost, or something failed: all of the batch is done again, and nothing counts twice. */
START_TEST(aborted)
{
	tmk_verify_abort(verify);
	ck_assert_uint_eq(forgets + drains, 0); /* nothing to abort */
	set_marks(TMK_NOW, 0, 0, 10 * BLOCK, true);
	verdicts[0][40] = TMK_DIFFERS;
	verdicts[0][50] = TMK_UNDECIDED;
	tmk_verify_ask(verify, 0);
	for (int i = 0; i < 4; i++) {
		if (i == 3) { /* while it reads */
			tmk_verify_begin(verify);
			step(false);
			step(false);
			ck_assert(read_count && !tmk_packer_empty(packer));
		} else {
			read_batch();
		}
		if (i == 1)
			answer(); /* all of it came, but it was not looked at again */
		tmk_verify_abort(verify);
		ck_assert(!tmk_verify_active(verify));
		ck_assert(tmk_packer_empty(packer) && !read_count && !sent_count);
		ck_assert_uint_eq(pass()->done, 0);
	}
	ck_assert_uint_eq(forgets, 4);
	batch();
	ck_assert_uint_eq(pass()->skipped, 10 * BLOCK + TMK_PIECE);
	clock_ms += TMK_SECOND_LOOK_MS;
	memset(hashed, 0, sizeof(hashed));
	batch();
	check_hashed(0, 40 * TMK_PIECE, TMK_PIECE, 1);
	ck_assert_uint_eq(pass()->last.different, TMK_PIECE);
	ck_assert_uint_eq(pass()->last.skipped, 10 * BLOCK + TMK_PIECE);
}
END_TEST

START_TEST(aborted_at_the_second_look)
{
	first_look(TMK_DIFFERS);
	clock_ms += TMK_SECOND_LOOK_MS;
	read_batch();
	tmk_verify_abort(verify);
	ck_assert(!pass()->last.known);
	batch();
	ck_assert_uint_eq(pass()->last.different, TMK_PIECE);
}
END_TEST

/* What it found is marked, and will not be found again. */
START_TEST(told_by_a_batch_that_is_void)
{
	keep_log();
	first_look(TMK_DIFFERS);
	clock_ms += TMK_SECOND_LOOK_MS;
	read_batch();
	answer();
	ck_assert_uint_eq(logged("differs"), 0);
	tmk_verify_abort(verify);
	ck_assert_uint_eq(logged("the replica differs in 32768 bytes, the first at byte 294912 of /dev/vda"), 1);
	batch();
	ck_assert_uint_eq(logged("the replica differs"), 1);
	ck_assert_uint_eq(pass()->last.different, TMK_PIECE);
}
END_TEST

START_TEST(asked_while_it_rolls)
{
	clock_ms += config.verify_every / 2;
	batch();
	clock_ms += config.verify_every / 2;
	read_batch();
	tmk_verify_ask(verify, 0);
	ck_assert(!tmk_verify_active(verify));
	ck_assert_uint_eq(forgets, 1);
	ck_assert_uint_eq(pass()->done, 0);
	memset(hashed, 0, sizeof(hashed));
	batch();
	check_all_hashed(1);
	ck_assert(pass()->last.asked);
	ck_assert(!tmk_verify_due(verify)); /* and the rolling one begins from there */
}
END_TEST

START_TEST(cancelled)
{
	tmk_verify_cancel(verify);
	ck_assert(!tmk_verify_state(verify)->passes);
	tmk_verify_ask(verify, 9);
	read_batch();
	tmk_verify_cancel(verify);
	ck_assert(!tmk_verify_active(verify) && !pass()->asked && !pass()->done);
	ck_assert_uint_eq(tmk_verify_state(verify)->passes, 1);
	ck_assert(!pass()->last.known);
	ck_assert(!tmk_verify_due(verify));
	tmk_verify_ask(verify, 0);
	batch();
	ck_assert_uint_eq(tmk_verify_state(verify)->passes, 2);
	ck_assert_uint_eq(rate, 0);
}
END_TEST

/* ---- another shipper ---- */

static void again(void)
{
	tmk_verify_free(verify);
	open_it();
}

START_TEST(goes_on_where_it_was)
{
	set_marks(TMK_NOW, 0, 0, BLOCK, true);
	tmk_verify_ask(verify, 0);
	tmk_verify_begin(verify);
	step(false);
	clock_ms += 2000;
	step(false);
	answer();
	step(false);
	ck_assert(!tmk_verify_active(verify));
	again();
	ck_assert(pass()->asked);
	ck_assert_uint_gt(pass()->done, 0);
	ck_assert_uint_eq(pass()->skipped, BLOCK);
	batch();
	set_marks(TMK_NOW, 0, 0, BLOCK, false);
	hashed[0][0]++;
	check_all_hashed(1);
	ck_assert_uint_eq(pass()->last.skipped, BLOCK);
	again();
	ck_assert(pass()->last.known && pass()->last.asked && !pass()->asked);
	tmk_verify_remove(config.run_dir, "web");
	free(verify); /* tmk_verify_free() would write it again */
	open_it();
	ck_assert(!pass()->last.known);
}
END_TEST

/* As fast as who asked for it allowed, and not as configured. */
START_TEST(at_the_rate_it_was_asked_for)
{
	config.read_rate = 70;
	config.verify_rate = 50;
	tmk_verify_ask(verify, 9);
	again();
	ck_assert(pass()->asked);
	read_batch();
	ck_assert_uint_eq(rate, 9);
	answer();
	step(false);
	ck_assert(pass()->last.asked);
	ck_assert_uint_eq(rate, 70);
	again();
	ck_assert_uint_eq(pass()->rate, 0);
}
END_TEST

static uint64_t kept(void)
{
	struct tmk_progress p;

	ck_assert(tmk_progress_load(&p, config.run_dir, &source.spec));
	return p.done;
}

/* For a shipper that is killed; not at the end of each batch. */
START_TEST(kept_every_two_seconds)
{
	tmk_verify_ask(verify, 0);
	for (int i = 1; i <= 8; i++) {
		tmk_verify_begin(verify);
		step(true);
		clock_ms += 500;
		step(true);
		answer();
		step(true);
		ck_assert_uint_eq(pass()->done, (uint64_t)i * READS * TMK_READ_MAX);
		ck_assert_uint_eq(kept(), (uint64_t)(i / 4 * 4) * READS * TMK_READ_MAX);
	}
}
END_TEST

/* Said once, and again when it works, or does not for another reason. */
START_TEST(nowhere_to_keep_it)
{
	char run_dir[sizeof(config.run_dir)];

	keep_log();
	strcpy(run_dir, config.run_dir);
	for (int i = 0; i < 2; i++) {
		strcpy(config.run_dir, "/nonexistent");
		for (int j = 0; j < 5; j++)
			tmk_verify_ask(verify, 0);
		strcpy(config.run_dir, "/dev/null");
		for (int j = 0; j < 5; j++)
			tmk_verify_ask(verify, 0);
		ck_assert_uint_eq(logged("/nonexistent/web.verify: No such file"), i + 1);
		ck_assert_uint_eq(logged("/dev/null/web.verify: Not a directory"), i + 1);
		ck_assert_uint_eq(logged("cannot keep"), 2 * (i + 1));
		ck_assert_uint_eq(logged("can be kept again"), i);
		strcpy(config.run_dir, run_dir);
		for (int j = 0; j < 5; j++)
			tmk_verify_ask(verify, 0);
		ck_assert_uint_eq(logged("can be kept again"), i + 1);
	}
}
END_TEST

/* What differed and was not looked at again is found again: a pass does not end without having told it. */
START_TEST(suspects_outlive_the_shipper)
{
	verdicts[2][3] = TMK_DIFFERS;
	tmk_verify_ask(verify, 0);
	batch();
	ck_assert_uint_eq(pass()->done, total());
	again();
	ck_assert(pass()->asked);
	ck_assert_uint_le(pass()->done, source.spec.disks[0].size + source.spec.disks[1].size + 3 * TMK_PIECE);
	memset(hashed, 0, sizeof(hashed));
	batch();
	check_hashed(2, 3 * TMK_PIECE, TMK_PIECE, 1);
	check_hashed(0, 0, 100 * MIB, 0);
	clock_ms += TMK_SECOND_LOOK_MS;
	batch();
	ck_assert_uint_eq(pass()->last.different, TMK_PIECE);
	ck_assert_uint_eq(tmk_verify_state(verify)->passes, 1);
}
END_TEST

START_TEST(of_no_other_disks)
{
	struct tmk_progress all = {.asked = true, .done = total(), .started = clock_ms};

	for (int i = 0; i < 3; i++) {
		free(verify);
		all.done = total() + (uint64_t)i;
		ck_assert_int_eq(tmk_progress_save(&all, config.run_dir, &source.spec, &err), 0);
		if (i == 2)
			source.spec.protection[0]++;
		open_it();
		ck_assert_uint_eq(pass()->done, 0);
		ck_assert(!pass()->asked && !pass()->last.known);
		ck_assert_uint_eq(pass()->started, clock_ms);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("passes");
	TCase *t = tcase_create("passes");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_rolling_pass);
	tcase_add_test(t, the_rolling_pass_catches_up);
	tcase_add_test(t, only_when_asked);
	tcase_add_loop_test(t, a_batch_has_an_end, 0, 2);
	tcase_add_loop_test(t, a_second_look_has_an_end, 0, 2);
	tcase_add_test(t, while_the_window_is_full);
	tcase_add_test(t, while_the_rate_says_wait);
	tcase_add_test(t, given_up_for_a_round);
	tcase_add_test(t, given_up_while_reading);
	tcase_add_test(t, a_slow_disk);
	tcase_add_test(t, rates);
	tcase_add_test(t, aborted);
	tcase_add_test(t, aborted_at_the_second_look);
	tcase_add_test(t, told_by_a_batch_that_is_void);
	tcase_add_test(t, asked_while_it_rolls);
	tcase_add_test(t, cancelled);
	tcase_add_test(t, goes_on_where_it_was);
	tcase_add_test(t, at_the_rate_it_was_asked_for);
	tcase_add_test(t, kept_every_two_seconds);
	tcase_add_test(t, nowhere_to_keep_it);
	tcase_add_test(t, suspects_outlive_the_shipper);
	tcase_add_test(t, of_no_other_disks);
	suite_add_tcase(s, t);
	return run_suite(s);
}
