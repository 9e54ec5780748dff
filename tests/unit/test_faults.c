/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: target
 * Every call of every step may fail, once: N = 1, 2, 3 ... until the step passes. A fault is said as what it is, never taken for
 * rot, for a torn tail or for nothing being there; and the step can be done again. What test_journal, test_replica and
 * test_applier do not go through already.
 */
#include "applier.h"
#include "export.h"
#include "io_fault.h"
#include "journal_segment.h"
#include "replica.h"
#include "storage.h"

#define CHUNKS 16

static struct place_to_be d;
static struct chain c;
static struct tmk_journal *j;
static struct tmk_applier *a;
static uint64_t seed;

static void setup(void)
{
	seed = 0xfa0175ull;
	dir_make(&d);
	chain_new(&c);
	j = NULL;
	a = NULL;
	while (c.count < CHUNKS)
		chain_random(&c, &seed, !(c.next.number % 4));
}

static void teardown(void)
{
	tmk_applier_close(a);
	tmk_journal_close(j);
	chain_free(&c);
	dir_remove(&d);
}

/* Small segments: a limit makes them so. */
static int open_journal(const struct tmk_io *io, uint64_t applied)
{
	struct tmk_journal_options o = journal_options(&c, &d, io);

	o.applied = c.place[applied];
	o.limit = 1 << 18;
	return tmk_journal_open(&j, &o, &g_err);
}

static void close_journal(void)
{
	tmk_journal_close(j);
	j = NULL;
}

static void fill(uint64_t last)
{
	check_ok(tmk_journal_wipe(&tmk_io_real, d.journal, &g_err));
	check_ok(open_journal(&tmk_io_real, 0));
	for (uint64_t n = 1; n <= last; n++) {
		check_ok(journal_append(j, &c, n));
		check_ok(tmk_journal_commit(j, NULL, &g_err));
	}
	close_journal();
}

static unsigned int segments(void)
{
	struct tmk_segment_list list;
	unsigned int count;

	check_ok(tmk_segment_list(d.journal, &list, &g_err));
	count = list.count;
	tmk_segment_list_free(&list);
	return count;
}

/* Chunks first to last are there, and nothing behind them. */
static void check_chunks(uint64_t first, uint64_t last)
{
	struct tmk_journal_cursor *cursor;
	struct tmk_journal_chunk chunk;

	check_ok(tmk_journal_cursor_open(&cursor, &tmk_io_real, d.journal, c.protection, &c.sizes, &c.place[first - 1], &g_err));
	for (uint64_t n = first; n <= last; n++) {
		check_ok(tmk_journal_cursor_next(cursor, last, &chunk, &g_err));
		ck_assert_mem_eq(chunk.hash, c.place[n].hash, TMK_HASH_SIZE);
	}
	tmk_journal_cursor_close(cursor);
	check_ok(open_journal(&tmk_io_real, first - 1));
	ck_assert_uint_eq(tmk_journal_end(j).number, last);
	close_journal();
}

static void check_fault(int ret, int error, const struct tmk_io_fault *fault)
{
	ck_assert_msg(ret == -error, "call %u: %d: %s", fault->at, ret, g_err.text);
	ck_assert_uint_gt(fault->failed, 0);
	ck_assert_msg(strstr(g_err.text, strerror(error)), "'%s' does not say what happened", g_err.text);
}

/* ---- the journal ---- */

/* Behind a commit, behind a crash with a torn tail, behind one that left a segment without a header. */
START_TEST(test_journal_open)
{
	struct tmk_io_fault fault = {.failed = 1};
	uint64_t last = _i ? CHUNKS - 1 : CHUNKS;
	char name[TMK_SEGMENT_NAME];

	for (unsigned int at = 1; fault.failed; at++) {
		int ret;

		fill(CHUNKS);
		if (_i == 1) {
			shell("f=$(ls %s/journal/* | tail -n 1); truncate -s -3 $f", d.path);
		} else if (_i == 2) {
			fill(CHUNKS - 1);
			tmk_segment_name(CHUNKS, name);
			spill(d.journal, name, "", 0);
		}
		ret = open_journal(tmk_io_fault(&fault, &tmk_io_real, TMK_IO_ALL & ~TMK_IO_CLOSE, at, EIO), 0);
		if (ret)
			check_fault(ret, EIO, &fault);
		ck_assert(!ret == !!j && !ret == !fault.failed);
		close_journal();
		check_chunks(1, last);
	}
	ck_assert_uint_gt(segments(), 2);
}
END_TEST

/* As a receiver does: what fails ends the session, but for a lack of space; what was acked stays, and the next session goes on.
 */
static uint64_t session(const struct tmk_io *io, uint64_t acked, int error, const struct tmk_io_fault *fault)
{
	struct tmk_place end;
	int ret = open_journal(io, 0);

	if (ret) {
		check_fault(ret, error, fault);
		return acked;
	}
	end = tmk_journal_end(j);
	ck_assert_uint_ge(end.number, acked);
	acked = end.number;
	for (uint64_t n = acked + 1; !ret && n <= CHUNKS; n++) {
		ret = journal_append(j, &c, n);
		if (ret) {
			check_fault(ret, error, fault);
			if (tmk_journal_commit(j, &end, NULL))
				end = tmk_journal_end(j);
		} else if (!(n % 3) || n == CHUNKS) {
			ret = tmk_journal_commit(j, &end, &g_err);
			if (ret)
				check_fault(ret, error, fault);
		}
		ck_assert_uint_ge(end.number, acked);
		acked = end.number;
	}
	close_journal();
	return acked;
}

START_TEST(test_journal_append)
{
	unsigned int kinds = _i ? TMK_IO_CHANGES : TMK_IO_ALL & ~TMK_IO_CLOSE;
	struct tmk_io_fault fault = {.failed = 1};

	for (unsigned int at = 1; fault.failed; at++) {
		const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, kinds, at, _i ? ENOSPC : EIO);
		uint64_t acked = 0;

		fault.torn = at & 1;
		check_ok(tmk_journal_wipe(&tmk_io_real, d.journal, &g_err));
		for (unsigned int tries = 0; acked < CHUNKS; tries++) {
			ck_assert_uint_lt(tries, 3);
			acked = session(io, acked, fault.error, &fault);
		}
		check_chunks(1, CHUNKS);
	}
	ck_assert_uint_gt(segments(), 2);
}
END_TEST

START_TEST(test_journal_trim)
{
	struct tmk_io_fault fault = {.failed = 1};
	unsigned int left = 0;

	for (unsigned int at = 1; fault.failed; at++) {
		const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, TMK_IO_ALL, at, EIO);
		int ret;

		fill(CHUNKS);
		ret = tmk_journal_trim(io, d.journal, CHUNKS - 1, 0, &g_err);
		if (ret)
			check_fault(ret, EIO, &fault);
		check_chunks(CHUNKS, CHUNKS);
		check_ok(tmk_journal_trim(&tmk_io_real, d.journal, CHUNKS - 1, 0, &g_err));
		check_chunks(CHUNKS, CHUNKS);
		left = segments();
	}
	ck_assert_uint_eq(left, 1);
}
END_TEST

/* What cannot be read now is no rot, and is there the next time. */
START_TEST(test_journal_cursor)
{
	struct tmk_io_fault fault = {.failed = 1};

	fill(CHUNKS);
	for (unsigned int at = 1; fault.failed; at++) {
		const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, TMK_IO_ALL & ~TMK_IO_CLOSE, at, EIO);
		struct tmk_journal_cursor *cursor;
		struct tmk_journal_chunk chunk;

		check_ok(tmk_journal_cursor_open(&cursor, io, d.journal, c.protection, &c.sizes, &c.place[0], &g_err));
		for (uint64_t n = 1; n <= CHUNKS; n++) {
			int ret = tmk_journal_cursor_next(cursor, CHUNKS, &chunk, &g_err);

			if (ret) {
				check_fault(ret, EIO, &fault);
				check_ok(tmk_journal_cursor_next(cursor, CHUNKS, &chunk, &g_err));
			}
			ck_assert_uint_eq(chunk.header.number, n);
			ck_assert_mem_eq(chunk.hash, c.place[n].hash, TMK_HASH_SIZE);
		}
		tmk_journal_cursor_close(cursor);
	}
	ck_assert_uint_gt(fault.counted, 3 * CHUNKS);
}
END_TEST

static int add_bytes(const struct tmk_rewind_extent *extent, void *context)
{
	*(uint64_t *)context += extent->length;
	return 0;
}

/* A source whose place cannot be looked up now must not hear that it is not there: it would send everything again (R3). */
START_TEST(test_journal_look_back)
{
	struct tmk_io_fault fault = {.failed = 1};
	const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, 0, 0, EIO);
	uint64_t whole = 0;

	fill(CHUNKS);
	check_ok(open_journal(io, 0));
	check_ok(tmk_journal_extents(j, &c.place[3], add_bytes, &whole, &g_err));
	ck_assert_uint_gt(whole, 0);
	fault.failed = 1;
	for (unsigned int at = 1; fault.failed; at++) {
		uint64_t bytes = 0;
		bool found = false;
		int ret;

		fault.calls = TMK_IO_ALL & ~TMK_IO_CLOSE;
		fault.at = at;
		fault.counted = fault.failed = 0;
		ret = tmk_journal_find(j, &c.place[3], &found, &g_err);
		if (ret)
			check_fault(ret, EIO, &fault);
		else
			ck_assert(found);
		if (!ret)
			ret = tmk_journal_extents(j, &c.place[3], add_bytes, &bytes, &g_err);
		if (ret)
			check_fault(ret, EIO, &fault);
		else
			ck_assert_uint_eq(bytes, whole);
	}
	close_journal();
}
END_TEST

static unsigned int scanned;
static void on_scan(const struct tmk_point *p, void *context)
{
	(void)context;
	ck_assert(c.marked[p->number]);
	scanned++;
}

/* The points of a catalogue that is made anew: all of them, or the reason. */
START_TEST(test_point_scan)
{
	struct tmk_io_fault fault = {.failed = 1};

	fill(CHUNKS);
	for (unsigned int at = 1; fault.failed; at++) {
		const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, TMK_IO_ALL & ~TMK_IO_CLOSE, at, EIO);
		int ret;

		scanned = 0;
		ret = tmk_point_scan(io, d.journal, c.protection, &c.sizes, on_scan, NULL, &g_err);
		if (ret)
			check_fault(ret, EIO, &fault);
		else
			ck_assert_uint_eq(scanned, CHUNKS / 4);
	}
}
END_TEST

/* ---- the replica ---- */

static void forget_replica(void)
{
	shell("rm -f %s/disk* %s/sidecar", d.path, d.path);
}

static void create(void)
{
	forget_replica();
	check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 1, &g_err));
}

START_TEST(test_replica_create)
{
	unsigned int kinds = _i ? TMK_IO_CHANGES : TMK_IO_ALL & ~TMK_IO_CLOSE;
	struct tmk_io_fault fault = {.failed = 1};

	for (unsigned int at = 1; fault.failed; at++) {
		const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, kinds, at, ENOSPC);
		int ret;

		forget_replica();
		fault.torn = at & 1;
		ret = tmk_replica_create(io, d.dir, c.protection, &c.sizes, 1, &g_err);
		if (ret)
			check_fault(ret, ENOSPC, &fault);
		ck_assert_msg(!_i || !ret == !fault.failed, "change %u failed, and nobody says so", at);
		check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 1, &g_err));
		ck_assert_uint_eq(sidecar_of(d.dir).state, TMK_REPLICA_EMPTY);
		ck_assert(image_is(d.dir, &c, 0));
	}
}
END_TEST

static const struct tmk_applier_events silent;
static void apply(uint64_t durable)
{
	int ret;

	if (!a)
		check_ok(tmk_applier_open(&a, &tmk_io_real, d.dir, &silent, &g_err));
	do
		ret = tmk_applier_step(a, durable, 1 << 30, &g_err);
	while (ret == 1);
	check_ok(ret);
}

static void close_applier(void)
{
	tmk_applier_close(a);
	a = NULL;
}

/* An operator starts a protection over: it is a replica of nothing then, or what it was. */
START_TEST(test_replica_restart)
{
	struct tmk_io_fault fault = {.failed = 1};

	fill(CHUNKS);
	for (unsigned int at = 1; fault.failed; at++) {
		const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, TMK_IO_ALL & ~TMK_IO_CLOSE, at, EIO);
		int ret;

		create();
		apply(8);
		close_applier();
		ret = tmk_replica_restart(io, d.dir, c.protection, &c.sizes, 2, &g_err);
		if (ret)
			check_fault(ret, EIO, &fault);
		if (sidecar_of(d.dir).state == TMK_REPLICA_POINT)
			ck_assert(sidecar_of(d.dir).point == 8 && image_is(d.dir, &c, 8));
		check_ok(tmk_replica_restart(&tmk_io_real, d.dir, c.protection, &c.sizes, 2, &g_err));
		ck_assert_uint_eq(sidecar_of(d.dir).state, TMK_REPLICA_EMPTY);
		ck_assert_uint_eq(sidecar_of(d.dir).generation, 2);
	}
}
END_TEST

/* ---- the applier ---- */

/* The point that is given up is still one, or is not; nothing between. */
START_TEST(test_give_up)
{
	struct tmk_io_fault fault = {.failed = 1};

	fill(CHUNKS - 1); /* the interval behind point 12 is not closed */
	for (unsigned int at = 1; fault.failed; at++) {
		const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, 0, 0, EIO);
		int ret;

		create();
		apply(12);
		close_applier();
		check_ok(tmk_applier_open(&a, io, d.dir, &silent, &g_err));
		fault.calls = TMK_IO_ALL & ~TMK_IO_CLOSE;
		fault.at = at;
		ret = tmk_applier_give_up_point(a, &g_err);
		fault.calls = 0;
		if (ret)
			check_fault(ret, EIO, &fault);
		if (sidecar_of(d.dir).state == TMK_REPLICA_POINT)
			ck_assert(sidecar_of(d.dir).point == 12 && image_is(d.dir, &c, 12));
		check_ok(tmk_applier_give_up_point(a, &g_err));
		ck_assert_uint_eq(sidecar_of(d.dir).state, TMK_REPLICA_EMPTY);
		apply(CHUNKS - 1);
		ck_assert_uint_eq(sidecar_of(d.dir).applied, CHUNKS - 1);
		ck_assert(image_is(d.dir, &c, CHUNKS - 1));
		close_applier();
	}
}
END_TEST

/* ---- the export ---- */

/* A whole point, or nothing that has its name. */
START_TEST(test_export)
{
	struct tmk_io_fault fault = {.failed = 1};
	char to[300];

	snprintf(to, sizeof(to), "%s/out", d.path);
	fill(CHUNKS);
	create();
	apply(CHUNKS);
	for (unsigned int at = 1; fault.failed; at++) {
		struct tmk_export e = {.dir = d.dir, .point = CHUNKS, .disk = _i ? 1 : -1, .to = to};
		int ret;

		e.io = tmk_io_fault(&fault, &tmk_io_real, TMK_IO_ALL & ~TMK_IO_CLOSE, at, EIO);
		fault.torn = at & 1;
		ret = tmk_export_run(&e, &g_err);
		ck_assert(!ret == !fault.failed);
		if (ret) {
			ck_assert_msg(ret == -EIO, "%s", g_err.text);
			shell("! ls -d %s/out* >/dev/null 2>&1", d.path);
			continue;
		}
		for (int disk = 0; disk < DISKS; disk++) {
			size_t size;
			uint8_t *is;

			if (_i && disk != 1)
				continue;
			is = slurp(d.dir, _i ? "out" : disk ? "out/disk-1.raw" : "out/disk-0.raw", &size);
			ck_assert_uint_eq(size, DISK_SIZE);
			ck_assert_mem_eq(is, c.image[CHUNKS][disk], size);
			free(is);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("faults");
	TCase *t = tcase_create("faults");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 100);
	tcase_add_loop_test(t, test_journal_open, 0, 3);
	tcase_add_loop_test(t, test_journal_append, 0, 2);
	tcase_add_test(t, test_journal_trim);
	tcase_add_test(t, test_journal_cursor);
	tcase_add_test(t, test_journal_look_back);
	tcase_add_test(t, test_point_scan);
	tcase_add_loop_test(t, test_replica_create, 0, 2);
	tcase_add_test(t, test_replica_restart);
	tcase_add_test(t, test_give_up);
	tcase_add_loop_test(t, test_export, 0, 2);
	suite_add_tcase(s, t);
	return run_suite(s);
}
