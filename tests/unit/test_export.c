/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: target
 * Export: a copy of exactly the point that was asked for, sparse, or nothing at all; in step with the applier (I7, I11).
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "applier.h"
#include "export.h"
#include "replica.h"
#include "storage.h"

static struct place_to_be d;
static struct chain c;
static struct tmk_applier *a;
static uint64_t seed;
static const struct tmk_applier_events silent;

static void setup(void)
{
	seed = 0x777;
	dir_make(&d);
	chain_new(&c);
	check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 1, &g_err));
	for (int i = 1; i <= 9; i++)
		chain_random(&c, &seed, i % 3 == 0);
	journal_fill(&c, &d, 1, 9, 1);
	check_ok(tmk_applier_open(&a, &tmk_io_real, d.dir, &silent, &g_err));
}

static void teardown(void)
{
	tmk_applier_close(a);
	chain_free(&c);
	dir_remove(&d);
}

static void apply(uint64_t durable)
{
	while (tmk_applier_step(a, durable, 1 << 30, &g_err) == 1)
		;
}

static uint64_t calls, seen_done, seen_total;
static void (*on_progress)(void);
static void progress(uint64_t done, uint64_t total, void *context)
{
	ck_assert_ptr_eq(context, &calls);
	ck_assert_uint_gt(done, seen_done);
	ck_assert_uint_le(done, total);
	seen_done = done;
	seen_total = total;
	if (!calls++ && on_progress)
		on_progress();
}

static char to[300];
static int export(uint64_t point, int disk)
{
	struct tmk_export e = {.dir = d.dir, .point = point, .disk = disk, .to = to, .progress = progress, .context = &calls};

	calls = seen_done = 0;
	snprintf(to, sizeof(to), "%s/out", d.path);
	return tmk_export_run(&e, &g_err);
}

static void check_file(const char *name, int disk, uint64_t number)
{
	size_t size;
	uint8_t *is = slurp(d.dir, name, &size);

	ck_assert_uint_eq(size, DISK_SIZE);
	ck_assert_mem_eq(is, c.image[number][disk], size);
	free(is);
}

/* Nothing whose name begins with `to` is there. */
static void check_nothing(void)
{
	shell("! ls -d %s/out* >/dev/null 2>&1", d.path);
}

START_TEST(test_directory)
{
	apply(3);
	check_ok(export(3, -1));
	check_file("out/disk-0.raw", 0, 3);
	check_file("out/disk-1.raw", 1, 3);
	ck_assert_uint_eq(seen_done, seen_total);
	ck_assert_uint_eq(seen_total, 2 * DISKS * DISK_SIZE);
	shell("test $(ls -d %s/out* | wc -l) = 1 && test $(ls %s/out | wc -l) = 2", d.path, d.path);
	check_code(-EEXIST, export(3, -1));
	check_file("out/disk-0.raw", 0, 3);
}
END_TEST

START_TEST(test_one_disk)
{
	apply(9);
	check_ok(export(9, 1));
	check_file("out", 1, 9);
	check_code(-EEXIST, export(9, 1));
	shell("rm %s/out; ln -s nowhere %s/out", d.path, d.path);
	check_code(-EEXIST, export(9, 1));
}
END_TEST

START_TEST(test_refused)
{
	check_code(-ENOENT, export(3, -1)); /* EMPTY */
	apply(2);
	check_code(-ENOENT, export(3, -1)); /* EMPTY, and the applier holds the lock */
	ck_assert_ptr_nonnull(strstr(g_err.text, "first copy"));
	apply(6);
	check_code(-ENOENT, export(3, -1)); /* gone */
	check_code(-ENOENT, export(9, -1)); /* not yet */
	check_code(-ENOENT, export(6, 2));
	check_code(-ENOENT, export(6, -2));
	check_nothing();
	check_ok(export(6, 0));
	check_file("out", 0, 6);
}
END_TEST

/* While an interval is applied there is no point: try again. The lock is held by who applies, or it was killed. */
START_TEST(test_between)
{
	struct tmk_replica *r;

	apply(3);
	tmk_applier_close(a);
	a = NULL;
	check_ok(tmk_replica_open(&r, &tmk_io_real, d.dir, true, &g_err));
	check_ok(tmk_replica_lock(r, &g_err));
	check_code(-EAGAIN, export(3, -1));
	check_ok(tmk_replica_commit(r, TMK_REPLICA_BETWEEN, 3, c.place[3].hash, 3, 6, &g_err));
	check_code(-EAGAIN, export(3, -1));
	tmk_replica_close(r);
	check_code(-EAGAIN, export(3, -1));
	check_nothing();
	check_ok(tmk_applier_open(&a, &tmk_io_real, d.dir, &silent, &g_err));
	apply(6);
	check_ok(export(6, -1));
	check_file("out/disk-1.raw", 1, 6);
}
END_TEST

static void apply_meanwhile(void)
{
	check_code(-EBUSY, tmk_applier_step(a, 9, 0, &g_err));
}

START_TEST(test_applier_waits)
{
	apply(3);
	on_progress = apply_meanwhile;
	check_ok(export(3, -1));
	on_progress = NULL;
	ck_assert_uint_gt(calls, 0);
	check_file("out/disk-0.raw", 0, 3);
	check_file("out/disk-1.raw", 1, 3);
	apply(9);
	shell("rm -r %s/out", d.path);
	check_ok(export(9, -1));
	check_file("out/disk-0.raw", 0, 9);
}
END_TEST

/* What was written is read back: a copy that went wrong gets no name. */
static void spoil(void)
{
	shell("f=$(ls -d %s/out.partial*); printf x | dd of=$f bs=1 seek=5000 conv=notrunc status=none", d.path);
}

START_TEST(test_compared)
{
	apply(3);
	on_progress = spoil; /* after the first piece was copied, before anything is compared */
	check_code(-EIO, export(3, 0));
	on_progress = NULL;
	ck_assert_ptr_nonnull(strstr(g_err.text, "differs"));
	check_nothing();
}
END_TEST

/* No room: nothing is left behind. A file limit does what a full disk does. */
START_TEST(test_no_space)
{
	const struct rlimit half = {DISK_SIZE / 2, DISK_SIZE / 2};
	int status;

	apply(3);
	fflush(NULL);
	if (!fork()) {
		signal(SIGXFSZ, SIG_IGN);
		_exit(setrlimit(RLIMIT_FSIZE, &half) || export(3, -1) != -EFBIG);
	}
	wait(&status);
	ck_assert_int_eq(status, 0);
	check_nothing();
	snprintf(to, sizeof(to), "%s/missing/out", d.path);
	{
		struct tmk_export e = {.dir = d.dir, .point = 3, .disk = 0, .to = to};

		ck_assert_int_lt(tmk_export_run(&e, &g_err), 0);
	}
}
END_TEST

START_TEST(test_sparse)
{
	struct stat st;

	ck_assert_int_eq(tmk_builder_range(c.builder, TMK_ZERO, 0, 0, DISK_SIZE), 0);
	ck_assert_int_eq(tmk_builder_range(c.builder, TMK_ZERO, 1, 0, DISK_SIZE), 0);
	memset(tmk_builder_data(c.builder, 1, 32768, 4096), 0, 4096); /* allocated at the replica, zero all the same */
	c.image[10] = calloc(DISKS, DISK_SIZE);
	chain_seal(&c, true);
	journal_fill(&c, &d, 10, 10, 1);
	apply(10);
	check_ok(export(10, -1));
	check_file("out/disk-0.raw", 0, 10);
	check_file("out/disk-1.raw", 1, 10);
	for (int i = 0; i < DISKS; i++) {
		ck_assert_int_eq(fstatat(d.dir, i ? "out/disk-1.raw" : "out/disk-0.raw", &st, 0), 0);
		ck_assert_int_eq(st.st_blocks, 0);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("export");
	TCase *t = tcase_create("export");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_directory);
	tcase_add_test(t, test_one_disk);
	tcase_add_test(t, test_refused);
	tcase_add_test(t, test_between);
	tcase_add_test(t, test_applier_waits);
	tcase_add_test(t, test_compared);
	tcase_add_test(t, test_no_space);
	tcase_add_test(t, test_sparse);
	suite_add_tcase(s, t);
	return run_suite(s);
}
