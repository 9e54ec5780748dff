/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: target
 * The applier: whatever stops it, wherever, the replica is the state at a mark when it says so (I7), an interval without a
 * durable mark is never seen in it (I11), and what was put back without the rest is refused (R14).
 */
#include <sys/file.h>

#include "applier.h"
#include "io_fault.h"
#include "replica.h"
#include "storage.h"

static struct place_to_be d;
static struct chain c;
static struct tmk_applier *a;
static uint64_t seed;
static uint64_t told_point; /* by the last event */
static unsigned int told_points;
static uint64_t told_applied;

static void setup(void)
{
	seed = 0xabcdef12345ull;
	dir_make(&d);
	chain_new(&c);
	a = NULL;
	told_point = told_applied = told_points = 0;
	check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 1, &g_err));
}

static void teardown(void)
{
	tmk_applier_close(a);
	chain_free(&c);
	dir_remove(&d);
}

/* Chunks, with marks at the ends of the intervals given: 3, 4 means chunks 1-2, mark in 3, chunks 4-6, mark in 7. 0 ends. */
static void grow(const unsigned int *lengths)
{
	for (; *lengths; lengths++)
		for (unsigned int i = 1; i <= *lengths; i++)
			chain_random(&c, &seed, i == *lengths);
}
#define GROW(...) grow((const unsigned int[]){__VA_ARGS__, 0})

static uint64_t last_mark(uint64_t durable)
{
	while (durable && !c.marked[durable])
		durable--;
	return durable;
}

/* I7, I11: a replica that says POINT is that point, bit for bit. */
static void check_honest(void)
{
	struct tmk_sidecar s = sidecar_of(d.dir);

	ck_assert_uint_le(s.applied, c.count);
	if (s.applied)
		ck_assert_mem_eq(s.applied_hash, c.place[s.applied].hash, TMK_HASH_SIZE);
	if (s.state == TMK_REPLICA_POINT) {
		ck_assert(c.marked[s.point]);
		ck_assert_msg(image_is(d.dir, &c, s.point), "the replica says it is point %d, and is not", (int)s.point);
	}
	if (s.state == TMK_REPLICA_BETWEEN)
		ck_assert(c.marked[s.until] && s.until > s.applied);
}

static void on_applied(const struct tmk_sidecar *now, void *context)
{
	(void)context;
	ck_assert_uint_ge(now->applied, told_applied);
	told_applied = now->applied;
}

static void on_point(const struct tmk_point *p, void *context)
{
	char label[30];

	(void)context;
	ck_assert_uint_ge(p->number, told_point);
	ck_assert(c.marked[p->number]);
	ck_assert_mem_eq(p->hash, c.place[p->number].hash, TMK_HASH_SIZE);
	snprintf(label, sizeof(label), "point %llu", (unsigned long long)p->number);
	ck_assert_str_eq(p->mark.label, label);
	ck_assert_uint_eq(p->target_time, 5000 + p->number);
	ck_assert_msg(image_is(d.dir, &c, p->number), "told of point %d, and the replica is something else", (int)p->number);
	told_point = p->number;
	told_points++;
}

static const struct tmk_applier_events events = {.applied = on_applied, .point = on_point};

static int open_with(const struct tmk_io *io)
{
	tmk_applier_close(a);
	a = NULL;
	return tmk_applier_open(&a, io, d.dir, &events, &g_err);
}

static int steps(uint64_t durable)
{
	int ret;

	do
		ret = tmk_applier_step(a, durable, 1 << 30, &g_err);
	while (ret == 1);
	return ret;
}

static void close_it(void)
{
	tmk_applier_close(a);
	a = NULL;
}

/* ---- the plain case ---- */

START_TEST(test_first_copy_then_intervals)
{
	struct tmk_sidecar s;

	GROW(5, 3, 4);
	chain_random(&c, &seed, false); /* chunk 13: no mark behind it */
	journal_fill(&c, &d, 1, 13, 1);
	check_ok(open_with(&tmk_io_real));
	for (uint64_t n = 1; n <= 13; n++) {
		check_ok(steps(n));
		s = sidecar_of(d.dir);
		check_honest();
		if (n < 5) {
			ck_assert_uint_eq(s.state, TMK_REPLICA_EMPTY);
			ck_assert_uint_eq(s.applied, n); /* the first copy: as they come */
			ck_assert(image_is(d.dir, &c, n));
		} else {
			ck_assert_uint_eq(s.state, TMK_REPLICA_POINT);
			ck_assert_uint_eq(s.point, last_mark(n));
			ck_assert(image_is(d.dir, &c, last_mark(n))); /* I11 */
		}
	}
	ck_assert_uint_eq(told_points, 3);
	ck_assert_uint_eq(told_point, 12);
	ck_assert_uint_eq(told_applied, 12);

	/* opened again it tells the point that is there */
	told_points = 0;
	check_ok(open_with(&tmk_io_real));
	ck_assert_uint_eq(told_points, 1);
	ck_assert_uint_eq(told_point, 12);
	close_it();
	told_points = 0;
	shell("rm %s/journal/*", d.path); /* nothing to tell it from */
	check_ok(open_with(&tmk_io_real));
	ck_assert_uint_eq(told_points, 0);
}
END_TEST

START_TEST(test_all_at_once)
{
	GROW(30, 1, 1, 20, 5);
	journal_fill(&c, &d, 1, c.count, 7);
	check_ok(open_with(&tmk_io_real));
	check_ok(steps(c.count));
	ck_assert_uint_eq(sidecar_of(d.dir).point, c.count);
	check_honest();
	ck_assert_uint_eq(told_points, 5);
	check_code(-EBUSY, ({
		struct tmk_applier *second;
		tmk_applier_open(&second, &tmk_io_real, d.dir, &events, &g_err);
	}));
}
END_TEST

/* An export needs nothing of the applier, and the applier does not touch what it reads. */
START_TEST(test_export_holds)
{
	struct tmk_replica *reader;

	GROW(3, 3);
	journal_fill(&c, &d, 1, 6, 1);
	check_ok(open_with(&tmk_io_real));
	check_ok(steps(3));
	check_ok(tmk_replica_open(&reader, &tmk_io_real, d.dir, false, &g_err));
	check_code(-EBUSY, tmk_applier_step(a, 6, 0, &g_err));
	check_code(-EBUSY, tmk_applier_give_up_point(a, &g_err));
	check_code(-EBUSY, tmk_applier_step(a, 6, 0, &g_err));
	ck_assert_uint_eq(sidecar_of(d.dir).state, TMK_REPLICA_POINT);
	ck_assert(image_is(d.dir, &c, 3));
	close_it();
	check_ok(open_with(&tmk_io_real)); /* open does not wait either */
	check_code(-EBUSY, tmk_applier_step(a, 6, 0, &g_err));
	tmk_replica_close(reader);
	check_ok(steps(6));
	ck_assert(image_is(d.dir, &c, 6));
	check_honest();
}
END_TEST

START_TEST(test_give_up_point)
{
	GROW(3);
	for (int i = 0; i < 4; i++)
		chain_random(&c, &seed, false);
	chain_random(&c, &seed, true);
	journal_fill(&c, &d, 1, 8, 1);
	check_ok(open_with(&tmk_io_real));
	check_ok(tmk_applier_give_up_point(a, &g_err)); /* there is none: nothing happens */
	check_ok(steps(7));
	ck_assert_uint_eq(sidecar_of(d.dir).applied, 3);
	check_ok(tmk_applier_give_up_point(a, &g_err));
	ck_assert_uint_eq(sidecar_of(d.dir).state, TMK_REPLICA_EMPTY);
	check_ok(steps(7));
	ck_assert_uint_eq(sidecar_of(d.dir).applied, 7);
	ck_assert_uint_eq(told_point, 3);
	check_ok(steps(8));
	ck_assert_uint_eq(sidecar_of(d.dir).point, 8);
	check_honest();
}
END_TEST

/* ---- put back ---- */

static void between(uint64_t until)
{
	struct crash_io crash;
	int ret = 1;

	check_ok(open_with(&tmk_io_real));
	close_it();
	for (unsigned int at = 1; sidecar_of(d.dir).state != TMK_REPLICA_BETWEEN; at++) {
		ck_assert_uint_lt(at, 1000);
		if (!open_with(crash_new(&crash, at)))
			while (ret > 0)
				ret = tmk_applier_step(a, until, 1 << 30, &g_err);
		ret = 1;
		close_it();
		crash_over(&crash, CRASH_KEEPS, &seed);
	}
}

/* R14: the journal was put back older. Applied is in the replica: it goes on behind. But an interval that was begun has to be
 * ended, and cannot be. */
START_TEST(test_journal_put_back)
{
	GROW(3, 3, 3);
	journal_fill(&c, &d, 1, 4, 1);
	shell("cp -a %s/journal %s/old", d.path, d.path);
	journal_fill(&c, &d, 5, 6, 1);
	check_ok(open_with(&tmk_io_real));
	check_ok(steps(6));
	close_it();
	shell("rm -r %s/journal/* && cp %s/old/* %s/journal/", d.path, d.path, d.path);
	check_ok(open_with(&tmk_io_real));
	check_ok(steps(6)); /* what is applied needs no journal */
	ck_assert_uint_eq(sidecar_of(d.dir).point, 6);
	{
		struct tmk_journal_options o = journal_options(&c, &d, &tmk_io_real);
		struct tmk_journal *j;

		o.applied = c.place[6];
		check_ok(tmk_journal_open(&j, &o, &g_err));
		ck_assert_uint_eq(tmk_journal_end(j).number, 6);
		for (uint64_t n = 7; n <= 9; n++)
			check_ok(journal_append(j, &c, n));
		check_ok(tmk_journal_commit(j, NULL, &g_err));
		tmk_journal_close(j);
	}
	check_ok(steps(9));
	ck_assert_uint_eq(sidecar_of(d.dir).point, 9);
	ck_assert(image_is(d.dir, &c, 9));
}
END_TEST

START_TEST(test_journal_put_back_between)
{
	GROW(3, 4);
	journal_fill(&c, &d, 1, 5, 1);
	shell("cp -a %s/journal %s/old", d.path, d.path);
	journal_fill(&c, &d, 6, 7, 1);
	between(7);
	shell("cp -a %s/journal %s/new; rm -r %s/journal/* && cp %s/old/* %s/journal/", d.path, d.path, d.path, d.path, d.path);
	check_ok(open_with(&tmk_io_real));
	check_code(-EUCLEAN, steps(0));
	check_code(-EUCLEAN, steps(5));
	ck_assert_uint_eq(sidecar_of(d.dir).state, TMK_REPLICA_BETWEEN);
	shell("rm -r %s/journal/* && cp %s/new/* %s/journal/", d.path, d.path, d.path);
	check_ok(steps(0)); /* the mark was durable when BETWEEN was: it ends what was begun whatever it is told */
	ck_assert_uint_eq(sidecar_of(d.dir).point, 7);
	check_honest();
}
END_TEST

/* The sidecar one commit back, as a crash leaves it: redo, the same result. If the journal does not reach back any more: refused.
 */
START_TEST(test_sidecar_one_back)
{
	uint8_t *old = NULL;
	size_t size;

	GROW(2, 5);
	journal_fill(&c, &d, 1, 7, 1);
	check_ok(open_with(&tmk_io_real));
	check_ok(steps(1));
	close_it();
	old = slurp(d.dir, "sidecar", &size);
	check_ok(open_with(&tmk_io_real));
	check_ok(steps(2));
	close_it();
	spill(d.dir, "sidecar", old, size);
	ck_assert_uint_eq(sidecar_of(d.dir).applied, 1);
	told_applied = 0;
	check_ok(open_with(&tmk_io_real));
	check_ok(steps(7));
	ck_assert_uint_eq(sidecar_of(d.dir).point, 7);
	check_honest();
	close_it();

	/* further back: the files say so (R14) */
	spill(d.dir, "sidecar", old, size);
	if (has_attributes(d.path))
		check_code(-EUCLEAN, open_with(&tmk_io_real));
	free(old);
}
END_TEST

START_TEST(test_sidecar_back_journal_trimmed)
{
	struct tmk_journal_options o = journal_options(&c, &d, &tmk_io_real);
	struct tmk_journal *j;

	GROW(2, 5);
	journal_fill(&c, &d, 1, 2, 1);
	check_ok(open_with(&tmk_io_real));
	check_ok(steps(1));
	close_it();
	shell("rm %s/journal/*", d.path);
	o.applied = c.place[2];
	check_ok(tmk_journal_open(&j, &o, &g_err)); /* the journal goes on behind 2, the replica holds 1 */
	check_ok(journal_append(j, &c, 3));
	check_ok(tmk_journal_commit(j, NULL, &g_err));
	tmk_journal_close(j);
	check_ok(open_with(&tmk_io_real));
	check_code(-EUCLEAN, steps(3));
	ck_assert_uint_eq(sidecar_of(d.dir).applied, 1);
	ck_assert(image_is(d.dir, &c, 1)); /* nothing was written */
}
END_TEST

/* Another chain in the journal than the one that was applied (R3, R14). */
START_TEST(test_other_chain)
{
	struct chain other;
	uint64_t other_seed = 99;

	GROW(3, 3);
	journal_fill(&c, &d, 1, 6, 1);
	check_ok(open_with(&tmk_io_real));
	check_ok(steps(3));
	close_it();
	shell("rm %s/journal/*", d.path);
	chain_new(&other);
	for (int i = 0; i < 8; i++)
		chain_random(&other, &other_seed, i & 1);
	journal_fill(&other, &d, 1, 8, 1);
	check_ok(open_with(&tmk_io_real));
	check_code(-EUCLEAN, steps(8));
	ck_assert(image_is(d.dir, &c, 3));
	check_honest();
	chain_free(&other);
}
END_TEST

START_TEST(test_file_put_back)
{
	GROW(3, 3);
	journal_fill(&c, &d, 1, 6, 1);
	check_ok(open_with(&tmk_io_real));
	check_ok(steps(3));
	close_it();
	shell("cp -a %s/disk-0.raw %s/old", d.path, d.path);
	check_ok(open_with(&tmk_io_real));
	check_ok(steps(6));
	close_it();
	shell("mv %s/old %s/disk-0.raw", d.path, d.path);
	if (has_attributes(d.path))
		check_code(-EUCLEAN, open_with(&tmk_io_real));
}
END_TEST

/* Rot in the journal does not cost the point that is there: the interval is read wholly before the point is left (R13). */
START_TEST(test_rot_keeps_point)
{
	uint64_t at = sizeof(struct tmk_segment);

	GROW(3, 5);
	journal_fill(&c, &d, 1, 8, 1);
	for (int n = 1; n < 8; n++)
		at += c.size[n] + sizeof(struct tmk_entry);
	flip(d.journal, "0000000000000001.seg", at - 3); /* chunk 7 */
	check_ok(open_with(&tmk_io_real));
	check_code(-EUCLEAN, steps(8));
	check_code(-EUCLEAN, steps(8));
	ck_assert_uint_eq(sidecar_of(d.dir).state, TMK_REPLICA_POINT);
	ck_assert_uint_eq(sidecar_of(d.dir).point, 3);
	check_honest();
}
END_TEST

/* ---- faults and crashes ---- */

/* Every call may fail once: the step says so, the next ones do it over. */
START_TEST(test_fails_anywhere)
{
	unsigned int kinds = _i ? TMK_IO_CHANGES : TMK_IO_ALL & ~TMK_IO_CLOSE;
	struct tmk_io_fault fault = {.failed = 1};

	GROW(4, 3, 3);
	journal_fill(&c, &d, 1, 10, 2);
	for (unsigned int at = 1; fault.failed; at++) {
		const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, kinds, at, _i ? ENOSPC : EIO);
		unsigned int tries = 0;

		fault.torn = at & 1;
		told_applied = told_point = 0;
		while (open_with(io))
			ck_assert_uint_lt(tries++, 3);
		while (steps(10)) {
			ck_assert_uint_lt(tries++, 3);
			ck_assert_int_ne(g_err.code, -EUCLEAN);
			check_honest();
		}
		ck_assert_uint_eq(sidecar_of(d.dir).point, 10);
		check_honest();
		close_it();
		shell("rm -f %s/disk* %s/sidecar", d.path, d.path);
		check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 1, &g_err));
	}
}
END_TEST

/* The machine stops at the Nth change, N = 1, 2, 3 ...; what was not flushed is kept, lost or partly there; durable grows
 * meanwhile. Whatever is found afterwards is honest, and it ends at the state of the last durable mark. */
START_TEST(test_crash)
{
	bool finished = false;

	GROW(6, 3, 1, 5);
	chain_random(&c, &seed, false);
	chain_random(&c, &seed, false);
	journal_fill(&c, &d, 1, 17, 4);
	for (unsigned int at = 1; !finished; at++) {
		struct crash_io crash;

		told_point = 0;
		for (unsigned int round = 0; round < 4; round++) {
			told_applied = 0;
			if (!open_with(crash_new(&crash, round < 3 ? (round ? 1 + roll(&seed) % 25 : at) : 0)))
				for (uint64_t durable = 1 + roll(&seed) % 6; durable <= 17; durable++)
					if (steps(durable) < 0)
						break;
			if (!round)
				finished = crash.counted < crash.at;
			close_it();
			crash_over(&crash, _i, &seed);
			check_honest();
		}
		ck_assert_uint_eq(sidecar_of(d.dir).point, 15);
		ck_assert_uint_eq(told_point, 15);
		ck_assert(image_is(d.dir, &c, 15));
		shell("rm -f %s/disk* %s/sidecar", d.path, d.path);
		check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 1, &g_err));
	}
}
END_TEST

/* ---- batches, trimming, scanning ---- */

static void grow_large(unsigned int chunks, unsigned int every)
{
	for (unsigned int i = 1; i <= chunks; i++) {
		uint64_t n = c.next.number, *data = NULL;

		for (unsigned int k = 0; k < 16; k++) {
			data = tmk_builder_data(c.builder, k % DISKS, 0, DISK_SIZE);
			for (unsigned int w = 0; w < DISK_SIZE / 8; w++)
				data[w] = roll(&seed);
			if (k >= 14) {
				if (!c.image[n])
					c.image[n] = malloc(DISKS * DISK_SIZE);
				memcpy(c.image[n][k % DISKS], data, DISK_SIZE);
			}
		}
		chain_seal(&c, every && !(i % every));
	}
}

static unsigned int segments(void)
{
	unsigned int count = 0;
	char command[400];
	FILE *f;

	snprintf(command, sizeof(command), "ls %s/journal | wc -l", d.path);
	f = popen(command, "r");
	ck_assert_int_eq(fscanf(f, "%u", &count), 1);
	pclose(f);
	return count;
}

/* 150 MiB in one interval: several steps, BETWEEN survives between them, and trimming never takes what is needed. */
START_TEST(test_batches)
{
	int ret, more = 0;

	grow_large(1, 1);
	grow_large(150, 150);
	journal_fill(&c, &d, 1, 151, 0);
	ck_assert_uint_eq(segments(), 3);
	check_ok(open_with(&tmk_io_real));
	while ((ret = tmk_applier_step(a, 151, 0, &g_err)) == 1) {
		if (sidecar_of(d.dir).state == TMK_REPLICA_BETWEEN) {
			more++;
			ck_assert_uint_gt(sidecar_of(d.dir).applied, 1);
			check_ok(open_with(&tmk_io_real)); /* killed between two steps */
			told_applied = 0;
		}
		check_honest();
	}
	check_ok(ret);
	ck_assert_int_ge(more, 2);
	ck_assert_uint_eq(sidecar_of(d.dir).point, 151);
	ck_assert(image_is(d.dir, &c, 151));
	ck_assert_uint_eq(segments(), 1); /* the one with the mark */
	told_points = 0;
	check_ok(open_with(&tmk_io_real));
	ck_assert_uint_eq(told_points, 1);
}
END_TEST

/* The mark of the point that is there stays in the journal, also where it is the last chunk of its segment: the catalogue can be
 * rebuilt from it. */
START_TEST(test_mark_is_kept)
{
	grow_large(70, 1);
	journal_fill(&c, &d, 1, 70, 0);
	ck_assert_uint_eq(segments(), 2);
	for (uint64_t n = 1; n <= 70; n++) {
		check_ok(open_with(&tmk_io_real));
		while (tmk_applier_step(a, n, 0, &g_err) == 1)
			;
		told_points = 0;
		check_ok(open_with(&tmk_io_real));
		ck_assert_uint_eq(told_points, 1);
		ck_assert_uint_eq(told_point, n);
	}
	ck_assert_uint_eq(segments(), 1);
}
END_TEST

START_TEST(test_first_copy_trims)
{
	grow_large(150, 0);
	journal_fill(&c, &d, 1, 150, 0);
	check_ok(open_with(&tmk_io_real));
	while (tmk_applier_step(a, 150, 0, &g_err) == 1)
		;
	ck_assert_uint_eq(sidecar_of(d.dir).applied, 150);
	ck_assert(image_is(d.dir, &c, 150));
	ck_assert_uint_eq(segments(), 1);
}
END_TEST

static unsigned int scanned;
static void on_scan(const struct tmk_point *p, void *context)
{
	(void)context;
	ck_assert(c.marked[p->number]);
	ck_assert_uint_eq(p->mark.source_time, 1000 + p->number);
	ck_assert_uint_eq(p->generation, 1);
	scanned++;
}

START_TEST(test_scan)
{
	scanned = 0;
	check_ok(tmk_point_scan(&tmk_io_real, d.journal, c.protection, &c.sizes, on_scan, NULL, &g_err));
	ck_assert_uint_eq(scanned, 0);
	GROW(3, 3, 2);
	journal_fill(&c, &d, 1, 8, 1);
	check_ok(tmk_point_scan(&tmk_io_real, d.journal, c.protection, &c.sizes, on_scan, NULL, &g_err));
	ck_assert_uint_eq(scanned, 3);
	scanned = 0;
	shell("truncate -s -5 %s/journal/0000000000000001.seg", d.path); /* a torn tail is no rot */
	check_ok(tmk_point_scan(&tmk_io_real, d.journal, c.protection, &c.sizes, on_scan, NULL, &g_err));
	ck_assert_uint_eq(scanned, 2);
	flip(d.journal, "0000000000000001.seg", 500);
	check_code(-EUCLEAN, tmk_point_scan(&tmk_io_real, d.journal, c.protection, &c.sizes, on_scan, NULL, &g_err));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("applier");
	TCase *t = tcase_create("applier");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 110);
	tcase_add_test(t, test_first_copy_then_intervals);
	tcase_add_test(t, test_all_at_once);
	tcase_add_test(t, test_export_holds);
	tcase_add_test(t, test_give_up_point);
	tcase_add_test(t, test_journal_put_back);
	tcase_add_test(t, test_journal_put_back_between);
	tcase_add_test(t, test_sidecar_one_back);
	tcase_add_test(t, test_sidecar_back_journal_trimmed);
	tcase_add_test(t, test_other_chain);
	tcase_add_test(t, test_file_put_back);
	tcase_add_test(t, test_rot_keeps_point);
	tcase_add_loop_test(t, test_fails_anywhere, 0, 2);
	tcase_add_loop_test(t, test_crash, 0, CRASHES);
	tcase_add_test(t, test_batches);
	tcase_add_test(t, test_mark_is_kept);
	tcase_add_test(t, test_first_copy_trims);
	tcase_add_test(t, test_scan);
	suite_add_tcase(s, t);
	return run_suite(s);
}
