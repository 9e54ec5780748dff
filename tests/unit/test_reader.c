/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * links: shipper. The reader on a plain file opened O_DIRECT, the parts of a failing read, and the rate limit by a clock of the
 * test's own. Where io_uring or memory to lock cannot be had, the reader's tests are left out, and the exit code is 77.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parts.h"
#include "rate.h"
#include "reader.h"

#define FILE_SIZE (4u << 20)
#define DEPTH 4

static char path[4096];
static uint8_t *content;
static struct tmk_reader_ring *reader;

static bool make_file(const char *dir)
{
	int fd;

	snprintf(path, sizeof(path), "%s/tidemark-test-reader-XXXXXX", dir);
	fd = mkstemp(path);
	if (fd < 0)
		return false;
	ck_assert_int_eq(write(fd, content, FILE_SIZE), FILE_SIZE);
	close(fd);
	fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd >= 0)
		return close(fd) == 0;
	unlink(path);
	return false;
}

static void setup(void)
{
	const char *dir = getenv("TMPDIR");
	struct tmk_error err;
	uint64_t x = 1;

	content = malloc(FILE_SIZE);
	for (size_t i = 0; i < FILE_SIZE; i += 8) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		memcpy(content + i, &x, 8);
	}
	ck_assert(make_file(dir ? dir : "/var/tmp") || make_file("/tmp"));
	ck_assert_msg(!tmk_reader_open(&reader, DEPTH, 0, &err), "%s", err.text);
	ck_assert_int_eq(tmk_reader_add(reader, path, 512, &err), 0);
}

static void teardown(void)
{
	tmk_reader_close(reader);
	unlink(path);
	free(content);
}

/* Waits by poll(2) alone, as a main loop does: a completion that does not wake it hangs, and the test's timeout says so. */
static struct tmk_read next(void)
{
	struct pollfd p = {.fd = tmk_reader_fd(reader), .events = POLLIN};
	struct tmk_read out;
	int ret;

	while ((ret = tmk_reader_next(reader, &out, NULL)) == -EAGAIN)
		ck_assert_int_ge(poll(&p, 1, -1), 0);
	ck_assert_int_eq(ret, 0);
	return out;
}

START_TEST(reads_everything)
{
	uint64_t submitted = 0, sum = 0;
	struct tmk_read r;
	int ret;

	while (sum < FILE_SIZE) {
		while (submitted < FILE_SIZE) {
			ret = tmk_reader_submit(reader, 0, submitted, TMK_READ_MAX, submitted & TMK_READ_MAX, NULL);
			if (ret == -EAGAIN)
				break;
			ck_assert_int_eq(ret, 0);
			submitted += TMK_READ_MAX;
		}
		r = next();
		ck_assert_uint_eq(r.length, TMK_READ_MAX);
		ck_assert_int_eq(r.error, 0);
		ck_assert_uint_eq(r.unreadable, 0);
		ck_assert_int_eq(memcmp(r.data, content + r.offset, r.length), 0);
		sum += r.length;
		tmk_reader_put(reader, &r);
	}
	ck_assert_uint_eq(tmk_reader_busy(reader), 0);
}
END_TEST

/* One is taken, poll(2) must still say that others are there. */
START_TEST(poll_never_sleeps_over_a_read)
{
	struct tmk_read r[DEPTH];

	for (int round = 0; round < 200; round++) {
		for (uint64_t i = 0; i < DEPTH; i++)
			ck_assert_int_eq(tmk_reader_submit(reader, 0, i * 4096, 512, true, NULL), 0);
		for (int i = 0; i < DEPTH; i++) {
			struct pollfd p = {.fd = tmk_reader_fd(reader), .events = POLLIN};

			ck_assert_int_eq(poll(&p, 1, -1), 1);
			r[i] = next();
		}
		ck_assert_int_eq(tmk_reader_next(reader, &r[0], NULL), -EAGAIN);
		for (uint32_t i = 0; i < DEPTH; i++)
			tmk_reader_put(reader, &(struct tmk_read){.buffer = i});
	}
}
END_TEST

START_TEST(buffers_bound_the_depth)
{
	struct tmk_read r[DEPTH];

	for (uint64_t i = 0; i < DEPTH; i++)
		ck_assert_int_eq(tmk_reader_submit(reader, 0, i * 4096, 4096, true, NULL), 0);
	ck_assert_uint_eq(tmk_reader_busy(reader), DEPTH);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 0, 4096, true, NULL), -EAGAIN);
	for (int i = 0; i < DEPTH; i++)
		r[i] = next();
	ck_assert_uint_eq(tmk_reader_busy(reader), 0);
	/* read, but not put back */
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 0, 4096, true, NULL), -EAGAIN);
	tmk_reader_put(reader, &r[2]);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 8192, 1024, true, NULL), 0);
	r[2] = next();
	ck_assert_int_eq(memcmp(r[2].data, content + 8192, 1024), 0);
	for (int i = 0; i < DEPTH; i++)
		ck_assert(r[i].buffer < DEPTH && (uintptr_t)r[i].data % 4096 == 0);
}
END_TEST

START_TEST(an_end_inside_a_read_is_an_error)
{
	struct tmk_read r;

	ck_assert_int_eq(truncate(path, FILE_SIZE - 65536), 0);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, FILE_SIZE - TMK_READ_MAX, TMK_READ_MAX, false, NULL), 0);
	r = next();
	ck_assert_int_eq(r.error, -ENXIO);
	ck_assert_uint_eq(r.unreadable, 65536);
	ck_assert_int_eq(memcmp(r.data, content + FILE_SIZE - TMK_READ_MAX, TMK_READ_MAX - 65536), 0);
	for (uint32_t i = TMK_READ_MAX - 65536; i < TMK_READ_MAX; i++)
		ck_assert_uint_eq(r.data[i], 0);
	tmk_reader_put(reader, &r);

	ck_assert_int_eq(tmk_reader_submit(reader, 0, FILE_SIZE, 4096, false, NULL), 0);
	r = next();
	ck_assert_int_eq(r.error, -ENXIO);
	ck_assert_uint_eq(r.unreadable, 4096);
}
END_TEST

START_TEST(drain_throws_away)
{
	struct tmk_read r;

	for (int round = 0; round < 50; round++) {
		for (uint64_t i = 0; i < DEPTH; i++)
			ck_assert_int_eq(tmk_reader_submit(reader, 0, i * TMK_READ_MAX, TMK_READ_MAX, false, NULL), 0);
		tmk_reader_drain(reader);
		ck_assert_uint_eq(tmk_reader_busy(reader), 0);
		ck_assert_int_eq(tmk_reader_next(reader, &r, NULL), -EAGAIN);
	}
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 4096, 4096, false, NULL), 0);
	r = next();
	ck_assert_int_eq(memcmp(r.data, content + 4096, 4096), 0);
}
END_TEST

/* The name leads to another disk now: the old descriptor does not know. */
START_TEST(opened_again)
{
	char old[4096];
	struct tmk_read r;

	strcpy(old, path);
	for (size_t i = 0; i < FILE_SIZE; i++)
		content[i] ^= 0xff;
	unlink(old);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 0, 4096, false, NULL), 0);
	ck_assert_int_eq(tmk_reader_reopen(reader, 0, path, NULL), -EBUSY);
	r = next();
	ck_assert_uint_eq(r.data[0], content[0] ^ 0xff);
	tmk_reader_put(reader, &r);
	ck_assert_int_eq(tmk_reader_reopen(reader, 0, path, NULL), -ENOENT);
	ck_assert(make_file(dirname(old)));
	ck_assert_int_eq(tmk_reader_reopen(reader, 0, path, NULL), 0);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 4096, 4096, false, NULL), 0);
	r = next();
	ck_assert_int_eq(memcmp(r.data, content + 4096, 4096), 0);
	tmk_reader_put(reader, &r);
}
END_TEST

START_TEST(refuses_what_it_does_not_do)
{
	struct tmk_reader_ring *other;
	struct tmk_error err;

	ck_assert_int_eq(tmk_reader_submit(reader, 1, 0, 4096, true, &err), -EINVAL);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 512, 4096, true, &err), -EINVAL);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 0, 0, true, &err), -EINVAL);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 0, 100, true, &err), -EINVAL);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 0, TMK_READ_MAX + 512, true, &err), -EINVAL);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, UINT64_MAX - 4095, 4096, true, &err), -EINVAL);
	ck_assert_uint_eq(tmk_reader_busy(reader), 0);
	ck_assert_int_eq(tmk_reader_add(reader, "/nonexistent/disk", 512, &err), -ENOENT);
	ck_assert_int_eq(tmk_reader_add(reader, path, 700, &err), -EINVAL);
	ck_assert_int_eq(tmk_reader_open(&other, 0, 0, &err), -EINVAL);
}
END_TEST

START_TEST(the_rate_holds_back_all_but_hurry)
{
	struct tmk_read r;

	ck_assert_int_eq(tmk_reader_delay(reader), -1);
	/* one byte a second: the first read overdraws it for days */
	tmk_reader_set_rate(reader, 1);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 0, TMK_READ_MAX, false, NULL), 0);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 0, 512, false, NULL), -EAGAIN);
	ck_assert_int_ge(tmk_reader_delay(reader), 1000);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 0, 512, true, NULL), 0);
	for (int i = 0; i < 2; i++) {
		r = next();
		tmk_reader_put(reader, &r);
	}
	tmk_reader_set_rate(reader, 0);
	ck_assert_int_eq(tmk_reader_delay(reader), -1);
	ck_assert_int_eq(tmk_reader_submit(reader, 0, 0, 512, false, NULL), 0);
}
END_TEST

/* ---- parts: a disk of one byte a sector that says which are bad ---- */
#define SECTORS (TMK_READ_MAX / 512)

static unsigned read_bad_disk(struct tmk_parts *p, const bool *bad, uint8_t *data, int error, uint32_t sector)
{
	const struct tmk_part *part;
	unsigned requests = 0;
	int result;

	tmk_parts_start(p, TMK_READ_MAX);
	for (; (part = tmk_parts_top(p)); requests++) {
		ck_assert(part->length && part->at + part->length <= TMK_READ_MAX);
		ck_assert(part->at % sector == 0 && part->length % sector == 0);
		result = (int)part->length;
		for (uint32_t s = part->at / 512; s < (part->at + part->length) / 512; s++)
			if (bad[s])
				result = error;
		memset(data + part->at, result < 0 ? 0xbb : 0xaa, part->length);
		tmk_parts_finish(p, result, data, sector, false);
		ck_assert_uint_lt(requests, 2 * SECTORS);
	}
	return requests;
}

START_TEST(bad_sectors_cost_themselves_only)
{
	static uint8_t data[TMK_READ_MAX];
	bool bad[SECTORS];
	struct tmk_parts p;

	for (unsigned i = 0; i < SECTORS; i++) {
		memset(bad, 0, sizeof(bad));
		bad[i] = bad[(i * 7 + 3) % SECTORS] = true;
		read_bad_disk(&p, bad, data, -EIO, 512);
		ck_assert_int_eq(p.error, -EIO);
		ck_assert_uint_eq(p.unreadable, i == (i * 7 + 3) % SECTORS ? 512 : 1024);
		for (unsigned s = 0; s < SECTORS; s++)
			ck_assert_uint_eq(data[s * 512], bad[s] ? 0 : 0xaa);
	}
	memset(bad, 1, sizeof(bad));
	read_bad_disk(&p, bad, data, -ENODATA, 512);
	ck_assert_uint_eq(p.unreadable, TMK_READ_MAX);
	/* with sectors of 4096 bytes one bad piece costs one of these */
	memset(bad, 0, sizeof(bad));
	bad[9] = true;
	read_bad_disk(&p, bad, data, -EIO, 4096);
	ck_assert_uint_eq(p.unreadable, 4096);
	ck_assert(data[4096] == 0 && data[4095] == 0xaa && data[8192] == 0xaa);
	/* an odd number of sectors */
	tmk_parts_start(&p, 3 * 512);
	tmk_parts_finish(&p, -EIO, data, 512, false);
	ck_assert(tmk_parts_top(&p)->at == 0 && tmk_parts_top(&p)->length == 512);
	tmk_parts_finish(&p, 512, data, 512, false);
	ck_assert(tmk_parts_top(&p)->at == 512 && tmk_parts_top(&p)->length == 1024);
}
END_TEST

START_TEST(a_disk_that_is_gone_is_not_searched)
{
	static uint8_t data[TMK_READ_MAX];
	bool bad[SECTORS] = {true};
	struct tmk_parts p;

	ck_assert_uint_eq(read_bad_disk(&p, bad, data, -ENODEV, 512), 1);
	ck_assert_int_eq(p.error, -ENODEV);
	ck_assert_uint_eq(p.unreadable, TMK_READ_MAX);
	/* what passes is tried again, but not for ever, and not in pieces */
	ck_assert_uint_gt(read_bad_disk(&p, bad, data, -EAGAIN, 512), 1);
	ck_assert_int_eq(p.error, -EAGAIN);
	ck_assert_uint_eq(p.unreadable, TMK_READ_MAX);
}
END_TEST

START_TEST(short_reads_go_on_where_they_stopped)
{
	static uint8_t data[TMK_READ_MAX];
	struct tmk_parts p;

	tmk_parts_start(&p, TMK_READ_MAX);
	memset(data, 0xaa, sizeof(data));
	tmk_parts_finish(&p, 1500, data, 512, false);
	ck_assert_uint_eq(tmk_parts_top(&p)->at, 1024);
	ck_assert_uint_eq(tmk_parts_top(&p)->length, TMK_READ_MAX - 1024);
	tmk_parts_finish(&p, TMK_READ_MAX - 1024 - 512, data, 512, false);
	ck_assert_uint_eq(tmk_parts_top(&p)->length, 512);
	tmk_parts_finish(&p, 511, data, 512, false);
	ck_assert_ptr_null(tmk_parts_top(&p));
	ck_assert_uint_eq(p.unreadable, 512);
	ck_assert_int_eq(p.error, -ENXIO);
	ck_assert(data[TMK_READ_MAX - 513] == 0xaa && data[TMK_READ_MAX - 512] == 0);
	/* giving up: nothing is tried again */
	tmk_parts_start(&p, TMK_READ_MAX);
	tmk_parts_finish(&p, -EIO, data, 512, true);
	ck_assert_ptr_null(tmk_parts_top(&p));
	ck_assert_uint_eq(p.unreadable, TMK_READ_MAX);
}
END_TEST

/* ---- rate ---- */
#define SECOND 1000000000ull

START_TEST(the_average_is_the_rate)
{
	static const uint64_t rates[] = {1000, 1 << 20, 12345678, 10ull << 30};

	for (unsigned i = 0; i < 4; i++) {
		struct tmk_rate r = {0};
		uint64_t taken = 0, now = 77, size = i ? TMK_READ_MAX : 500;

		tmk_rate_set(&r, rates[i], now);
		/* steps that are no multiples of anything */
		for (; now < 1000 * SECOND + 77; now += 7 * SECOND / 900 + 1)
			while (tmk_rate_take(&r, size, now))
				taken += size;
		/* at most the burst and one overdraft above, at most one read and a burst lost below */
		ck_assert_uint_le(taken, rates[i] * 1000 + rates[i] / 10 + size);
		ck_assert_uint_ge(taken + rates[i] / 10 + size, rates[i] * 1000);
	}
}
END_TEST

START_TEST(savings_are_a_tenth_of_a_second)
{
	struct tmk_rate r = {0};
	uint64_t taken = 0;

	tmk_rate_set(&r, 1000000, 5);
	while (tmk_rate_take(&r, 1000, 3600 * SECOND))
		taken += 1000;
	ck_assert_uint_eq(taken, 100000);
}
END_TEST

START_TEST(delay_is_exact)
{
	struct tmk_rate r = {0};
	int ms;

	tmk_rate_set(&r, 1000000, 0);
	ck_assert_int_eq(tmk_rate_delay(&r, 0), -1);
	ck_assert(tmk_rate_take(&r, 350000, 0));
	/* 250000 in debt */
	ms = tmk_rate_delay(&r, 0);
	ck_assert_int_eq(ms, 251);
	ck_assert(!tmk_rate_take(&r, 1, 250ull * 1000000));
	ck_assert(tmk_rate_take(&r, 1, (uint64_t)ms * 1000000));
	/* slow ones wait long, but come back to look */
	tmk_rate_set(&r, 1, 0);
	ck_assert(tmk_rate_take(&r, 1 << 20, SECOND));
	ck_assert_int_eq(tmk_rate_delay(&r, SECOND), 60000);
}
END_TEST

START_TEST(a_new_rate_keeps_the_debt)
{
	struct tmk_rate r = {0};

	tmk_rate_set(&r, 1000, 0);
	ck_assert(tmk_rate_take(&r, 10100, 0));
	tmk_rate_set(&r, 10000, 0);
	ck_assert(!tmk_rate_take(&r, 1, SECOND));
	ck_assert(tmk_rate_take(&r, 1, SECOND + SECOND / 1000));
	tmk_rate_set(&r, 0, SECOND);
	ck_assert(tmk_rate_take(&r, UINT64_MAX / 4, SECOND));
	ck_assert_int_eq(tmk_rate_delay(&r, SECOND), -1);
	tmk_rate_set(&r, 10000, SECOND);
	ck_assert(tmk_rate_take(&r, 1, SECOND));
}
END_TEST

/* A verify that reads now and then, and rounds without a rate in between: not one read more each time. */
START_TEST(a_debt_over_a_time_without_a_rate)
{
	struct tmk_rate r = {0};
	uint64_t ms = 1000000;

	tmk_rate_set(&r, 100000, 0);
	ck_assert(tmk_rate_take(&r, 260000, 0)); /* 250000 are owed */
	tmk_rate_set(&r, 0, 500 * ms);
	ck_assert(tmk_rate_take(&r, 1 << 30, 600 * ms));
	tmk_rate_set(&r, 100000, 1000 * ms);
	ck_assert(!tmk_rate_take(&r, 1, 1000 * ms));
	ck_assert(!tmk_rate_take(&r, 1, 2500 * ms));
	ck_assert(tmk_rate_take(&r, 1, 2501 * ms));
	tmk_rate_set(&r, 0, 2502 * ms);
	tmk_rate_set(&r, 100000, 9000 * ms);
	ck_assert(tmk_rate_take(&r, 10001, 9000 * ms));
	ck_assert(!tmk_rate_take(&r, 1, 9000 * ms));
}
END_TEST

/* NULL, or why the reader cannot work here. */
static const char *impossible(void)
{
	static struct tmk_error err;

	if (tmk_reader_open(&reader, DEPTH, 0, &err))
		return err.code == -EPERM || err.code == -ENOSYS || err.code == -ENOMEM ? err.text : NULL;
	tmk_reader_close(reader);
	return NULL;
}

static TCase *pure_cases(void)
{
	TCase *tc = tcase_create("parts and rate");

	tcase_add_test(tc, bad_sectors_cost_themselves_only);
	tcase_add_test(tc, a_disk_that_is_gone_is_not_searched);
	tcase_add_test(tc, short_reads_go_on_where_they_stopped);
	tcase_add_test(tc, the_average_is_the_rate);
	tcase_add_test(tc, savings_are_a_tenth_of_a_second);
	tcase_add_test(tc, delay_is_exact);
	tcase_add_test(tc, a_new_rate_keeps_the_debt);
	tcase_add_test(tc, a_debt_over_a_time_without_a_rate);
	return tc;
}

static TCase *reader_cases(void)
{
	TCase *tc = tcase_create("reader");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, reads_everything);
	tcase_add_test(tc, poll_never_sleeps_over_a_read);
	tcase_add_test(tc, buffers_bound_the_depth);
	tcase_add_test(tc, an_end_inside_a_read_is_an_error);
	tcase_add_test(tc, drain_throws_away);
	tcase_add_test(tc, opened_again);
	tcase_add_test(tc, refuses_what_it_does_not_do);
	tcase_add_test(tc, the_rate_holds_back_all_but_hurry);
	return tc;
}

int main(void)
{
	const char *why = impossible();
	Suite *s = suite_create("reader");
	SRunner *sr;
	int failed;

	suite_add_tcase(s, pure_cases());
	if (!why)
		suite_add_tcase(s, reader_cases());
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	if (why)
		printf("cannot run the reader here: %s\n", why);
	return failed ? 1 : why ? 77 : 0;
}
