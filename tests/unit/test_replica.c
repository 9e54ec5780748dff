/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: target
 * The replica and its sidecar: redo, locks, and that files and sidecar are believed only together (I9, R13, R14).
 */
#include "io_fault.h"
#include "replica.h"
#include "storage.h"

static struct place_to_be d;
static struct chain c;
static struct tmk_replica *r;
static uint8_t *raw;
static uint64_t seed;

static void setup(void)
{
	seed = 0x1234567;
	dir_make(&d);
	chain_new(&c);
	raw = malloc(TMK_CHUNK_RAW_MAX);
	r = NULL;
	check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 3, &g_err));
}

static void teardown(void)
{
	tmk_replica_close(r);
	chain_free(&c);
	free(raw);
	dir_remove(&d);
}

static void reopen(void)
{
	tmk_replica_close(r);
	r = NULL;
	check_ok(tmk_replica_open(&r, &tmk_io_real, d.dir, true, &g_err));
	check_ok(tmk_replica_lock(r, &g_err));
}

static int apply(uint64_t number)
{
	struct tmk_chunk chunk;

	check_ok(tmk_chunk_header(c.bytes[number], &chunk, &g_err));
	check_ok(tmk_chunk_open(&chunk, c.bytes[number] + TMK_CHUNK_HEADER_SIZE, raw, &g_err));
	return tmk_replica_apply(r, &chunk, raw, &g_err);
}

static int commit(enum tmk_replica_state state, uint64_t applied, uint64_t until)
{
	return tmk_replica_commit(r, state, applied, c.place[applied].hash, state == TMK_REPLICA_POINT ? applied : 0, until,
				  &g_err);
}

static void check_image(uint64_t number)
{
	for (int disk = 0; disk < DISKS; disk++) {
		char name[20];
		size_t size;
		uint8_t *is;

		snprintf(name, sizeof(name), "disk-%d.raw", disk);
		is = slurp(d.dir, name, &size);
		ck_assert_uint_eq(size, DISK_SIZE);
		ck_assert_msg(!memcmp(is, c.image[number][disk], size), "disk %d is not what it was after chunk %d", disk,
			      (int)number);
		free(is);
	}
}

START_TEST(test_create)
{
	struct tmk_disk_sizes other = c.sizes;
	struct tmk_sidecar s;
	struct stat st;

	check_ok(tmk_sidecar_read(&tmk_io_real, d.dir, &s, &g_err));
	ck_assert_uint_eq(s.state, TMK_REPLICA_EMPTY);
	ck_assert_uint_eq(s.applied, 0);
	ck_assert_uint_eq(s.generation, 3);
	ck_assert_uint_eq(s.disk_count, DISKS);
	ck_assert_mem_eq(s.protection, c.protection, sizeof(s.protection));
	ck_assert_int_eq(fstatat(d.dir, "disk-1.raw", &st, 0), 0);
	ck_assert_int_eq(st.st_size, DISK_SIZE);
	ck_assert_int_eq(st.st_blocks, 0); /* sparse */
	check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 3, &g_err));
	other.sizes[0] += 512;
	check_code(-EEXIST, tmk_replica_create(&tmk_io_real, d.dir, c.protection, &other, 3, &g_err));
	check_code(-EEXIST, tmk_replica_create(&tmk_io_real, d.dir, c.next.prev_hash, &c.sizes, 3, &g_err));
	reopen();
	check_image(0);
}
END_TEST

/* Stopped at every change, and begun again. */
START_TEST(test_create_crash)
{
	int ret = -1;

	for (unsigned int at = 1; ret; at++) {
		struct crash_io crash;
		struct tmk_sidecar s;

		shell("rm -f %s/disk* %s/sidecar", d.path, d.path);
		ret = tmk_replica_create(crash_new(&crash, at), d.dir, c.protection, &c.sizes, 3, &g_err);
		crash_over(&crash, _i, &seed);
		if (ret)
			ck_assert_int_ne(tmk_sidecar_read(&tmk_io_real, d.dir, &s, &g_err), -EPROTONOSUPPORT);
		check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 3, &g_err));
		reopen();
		check_image(0);
		tmk_replica_close(r);
		r = NULL;
	}
}
END_TEST

/* What is there already and belongs to something else is not taken (nothing lost). */
START_TEST(test_create_over_something)
{
	size_t size;
	uint8_t *is;

	chain_random(&c, &seed, true);
	reopen();
	check_ok(apply(1));
	check_ok(commit(TMK_REPLICA_POINT, 1, 0));
	tmk_replica_close(r);
	r = NULL;
	shell("rm %s/sidecar", d.path);
	check_code(-EUCLEAN, tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 3, &g_err));
	check_image(1);
	shell("rm -f %s/disk* %s/sidecar; echo precious > %s/disk-1.raw", d.path, d.path, d.path);
	check_code(-EUCLEAN, tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 3, &g_err));
	is = slurp(d.dir, "disk-1.raw", &size);
	ck_assert_uint_eq(size, 9);
	free(is);
	shell("rm -f %s/disk*; ln -s nowhere %s/disk-0.raw", d.path, d.path);
	ck_assert_int_ne(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 3, &g_err), 0);
}
END_TEST

/* I5: redo from any chunk on gives the same, applied twice or not; neighbours and holes included. */
START_TEST(test_redo)
{
	for (int i = 0; i < 60; i++)
		chain_random(&c, &seed, false);
	reopen();
	for (uint64_t n = 1; n <= 60; n++) {
		check_ok(apply(n));
		check_image(n);
	}
	for (uint64_t n = 20; n <= 60; n++)
		check_ok(apply(n));
	check_image(60);
	check_ok(commit(TMK_REPLICA_EMPTY, 60, 0));
	reopen();
	ck_assert_uint_eq(tmk_replica_sidecar(r)->applied, 60);
	check_image(60);
}
END_TEST

START_TEST(test_neighbours_and_holes)
{
	static uint8_t big[DISK_SIZE];
	struct stat st;

	for (unsigned int i = 0; i < sizeof(big); i++)
		big[i] = i * 7 + 1;
	c.image[1] = calloc(DISKS, DISK_SIZE);
	for (int i = 0; i < 20; i++) /* backwards, forwards, the other disk, an overlap */
		memcpy(tmk_builder_data(c.builder, 0, (40 - i) * 512, 512), big, 512),
			memcpy(c.image[1][0] + (40 - i) * 512, big, 512);
	for (int i = 0; i < 20; i++) {
		memcpy(tmk_builder_data(c.builder, 1, i * 1024, 1024), big + i, 1024);
		memcpy(c.image[1][1] + i * 1024, big + i, 1024);
	}
	memcpy(tmk_builder_data(c.builder, 1, 512, 1024), big, 1024);
	memcpy(c.image[1][1] + 512, big, 1024);
	ck_assert_int_eq(tmk_builder_range(c.builder, TMK_ZERO, 1, 4096, 4096), 0);
	memset(c.image[1][1] + 4096, 0, 4096);
	chain_seal(&c, false);
	reopen();
	check_ok(apply(1));
	check_image(1);
	ck_assert_int_eq(tmk_builder_range(c.builder, TMK_ZERO, 0, 0, DISK_SIZE), 0);
	ck_assert_int_eq(tmk_builder_range(c.builder, TMK_DISCARD, 1, 0, DISK_SIZE), 0);
	c.image[2] = calloc(DISKS, DISK_SIZE);
	chain_seal(&c, false);
	check_ok(apply(2));
	check_image(2);
	ck_assert_int_eq(fstatat(d.dir, "disk-0.raw", &st, 0), 0);
	ck_assert_int_eq(st.st_blocks, 0);
	ck_assert_int_eq(st.st_size, DISK_SIZE);
	ck_assert_int_eq(fstatat(d.dir, "disk-1.raw", &st, 0), 0);
	ck_assert_int_eq(st.st_blocks, 0);
}
END_TEST

/* One writer; contents change under a lock that a reader shares; nobody waits. */
START_TEST(test_locks)
{
	struct tmk_replica *reader, *again;

	check_ok(tmk_replica_open(&r, &tmk_io_real, d.dir, true, &g_err));
	check_code(-EBUSY, tmk_replica_open(&again, &tmk_io_real, d.dir, true, &g_err));
	ck_assert_ptr_null(again);
	check_ok(tmk_replica_open(&reader, &tmk_io_real, d.dir, false, &g_err));
	check_ok(tmk_replica_open(&again, &tmk_io_real, d.dir, false, &g_err));
	check_code(-EBUSY, tmk_replica_lock(r, &g_err));
	chain_random(&c, &seed, false);
	check_code(-EPERM, apply(1));
	check_code(-EPERM, commit(TMK_REPLICA_EMPTY, 0, 0));
	tmk_replica_close(again);
	check_code(-EBUSY, tmk_replica_lock(r, &g_err));
	tmk_replica_close(reader);
	check_ok(tmk_replica_lock(r, &g_err));
	check_ok(tmk_replica_lock(r, &g_err));
	check_code(-EBUSY, tmk_replica_open(&reader, &tmk_io_real, d.dir, false, &g_err));
	tmk_replica_unlock(r);
	check_ok(tmk_replica_open(&reader, &tmk_io_real, d.dir, false, &g_err));
	tmk_replica_close(reader);
}
END_TEST

/* Three commits, with copies of everything at each. */
static uint8_t *old_sidecar[5], *old_disk[5];
static size_t slot_size, disk_size;

static void history(void)
{
	reopen();
	for (uint64_t n = 1; n <= 4; n++) {
		chain_random(&c, &seed, true);
		check_ok(apply(n));
		check_ok(commit(n % 2 ? TMK_REPLICA_EMPTY : TMK_REPLICA_POINT, n, 0));
		old_sidecar[n] = slurp(d.dir, "sidecar", &slot_size);
		old_disk[n] = slurp(d.dir, "disk-0.raw", &disk_size);
	}
	tmk_replica_close(r);
	r = NULL;
}

static void history_free(void)
{
	for (int n = 1; n <= 4; n++) {
		free(old_sidecar[n]);
		free(old_disk[n]);
	}
}

static void refused(void)
{
	struct tmk_replica *reader;

	check_code(-EUCLEAN, tmk_replica_open(&r, &tmk_io_real, d.dir, true, &g_err));
	ck_assert_ptr_null(r);
	check_code(-EUCLEAN, tmk_replica_open(&reader, &tmk_io_real, d.dir, false, &g_err));
}

/* R14: a file put back by its own (a copy without attributes, or with those of its time), or the sidecar by its own. One commit
 * back is what a crash leaves, and is redone. */
START_TEST(test_put_back_alone)
{
	uint8_t number[8] = {0};

	history();
	if (!has_attributes(d.path))
		return; /* then nothing can be known, which docs/disk.md says */
	shell("cp %s/disk-0.raw %s/keep && mv %s/keep %s/disk-0.raw", d.path, d.path, d.path, d.path);
	refused(); /* without a number */
	number[0] = 3;
	shell("true");
	{
		char path[300];

		snprintf(path, sizeof(path), "%s/disk-0.raw", d.path);
		ck_assert_int_eq(setxattr(path, TMK_REPLICA_XATTR, number, sizeof(number), 0), 0);
		refused(); /* of its time */
		number[0] = 7;
		ck_assert_int_eq(setxattr(path, TMK_REPLICA_XATTR, number, sizeof(number), 0), 0);
		refused();
		number[0] = 6; /* the next commit began */
		ck_assert_int_eq(setxattr(path, TMK_REPLICA_XATTR, number, sizeof(number), 0), 0);
		reopen();
		tmk_replica_close(r);
		r = NULL;
		number[0] = 5;
		ck_assert_int_eq(setxattr(path, TMK_REPLICA_XATTR, number, sizeof(number), 0), 0);
	}
	spill(d.dir, "sidecar", old_sidecar[2], slot_size);
	refused();
	spill(d.dir, "sidecar", old_sidecar[3], slot_size);
	reopen(); /* one back */
	ck_assert_uint_eq(tmk_replica_sidecar(r)->applied, 3);
	check_ok(apply(4));
	check_image(4);
	history_free();
}
END_TEST

/* I11 even if a slot rots: contents that were changed under BETWEEN are never taken for the point before. */
START_TEST(test_slot_rots_between)
{
	struct tmk_replica *reader;

	history();
	chain_random(&c, &seed, false);
	chain_random(&c, &seed, true);
	reopen();
	check_ok(commit(TMK_REPLICA_BETWEEN, 4, 6)); /* sequence 6: slot 0 */
	tmk_replica_close(r);
	r = NULL;
	flip(d.dir, "sidecar", 70); /* before anything was changed: the point is still one */
	check_ok(tmk_replica_open(&reader, &tmk_io_real, d.dir, false, &g_err));
	ck_assert_uint_eq(tmk_replica_sidecar(reader)->point, 4);
	check_image(4);
	tmk_replica_close(reader);
	flip(d.dir, "sidecar", 70);
	reopen();
	check_ok(apply(5));
	tmk_replica_close(r);
	r = NULL;
	flip(d.dir, "sidecar", 70);
	if (has_attributes(d.path))
		refused();
	history_free();
}
END_TEST

/* I9: no byte of a slot is believed unchecked; the other slot is taken, or nothing. */
START_TEST(test_damaged_slots)
{
	struct tmk_sidecar s;

	history(); /* sequence 5 in slot 1, 4 in slot 0 */
	for (unsigned int at = TMK_SIDECAR_SLOT; at < 2 * TMK_SIDECAR_SLOT; at += 61) {
		flip(d.dir, "sidecar", at);
		check_ok(tmk_sidecar_read(&tmk_io_real, d.dir, &s, &g_err));
		ck_assert_uint_eq(s.applied, 3);
		flip(d.dir, "sidecar", at - TMK_SIDECAR_SLOT);
		check_code(-EUCLEAN, tmk_sidecar_read(&tmk_io_real, d.dir, &s, &g_err));
		refused();
		flip(d.dir, "sidecar", at);
		flip(d.dir, "sidecar", at - TMK_SIDECAR_SLOT);
	}
	check_ok(tmk_sidecar_read(&tmk_io_real, d.dir, &s, &g_err));
	ck_assert_uint_eq(s.applied, 4);
	shell("truncate -s 0 %s/sidecar", d.path);
	check_code(-ENOENT, tmk_sidecar_read(&tmk_io_real, d.dir, &s, &g_err));
	shell("rm %s/sidecar", d.path);
	check_code(-ENOENT, tmk_sidecar_read(&tmk_io_real, d.dir, &s, &g_err));
	history_free();
}
END_TEST

START_TEST(test_wrong_files)
{
	history();
	shell("truncate -s +512 %s/disk-1.raw", d.path);
	refused();
	shell("truncate -s -512 %s/disk-1.raw && mv %s/disk-0.raw %s/away", d.path, d.path, d.path);
	refused();
	shell("mv %s/away %s/disk-0.raw", d.path, d.path);
	reopen();
	check_image(4);
	history_free();
}
END_TEST

/* R13: after a failed write or flush nothing counts, and a second commit does not say 0 of pages that were dropped. */
START_TEST(test_failed_flush)
{
	struct tmk_io_fault fault;
	bool done = false;

	chain_random(&c, &seed, true);
	for (unsigned int at = 1; !done; at++) {
		const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, TMK_IO_CHANGES, 0, EIO);

		check_ok(tmk_replica_open(&r, io, d.dir, true, &g_err));
		check_ok(tmk_replica_lock(r, &g_err));
		fault.at = fault.counted + at;
		done = !apply(1) && !commit(TMK_REPLICA_POINT, 1, 0);
		if (!done) {
			unsigned int calls = fault.counted;

			check_code(-EIO, commit(TMK_REPLICA_POINT, 1, 0));
			check_code(-EIO, apply(1));
			ck_assert_uint_eq(fault.counted, calls);
			ck_assert_uint_eq(tmk_replica_sidecar(r)->applied, 0);
		}
		tmk_replica_close(r);
		r = NULL;
	}
	reopen();
	ck_assert_uint_eq(tmk_replica_sidecar(r)->applied, 1);
	check_image(1);
}
END_TEST

START_TEST(test_generation_and_restart)
{
	struct tmk_replica *reader;

	history();
	reopen();
	check_ok(tmk_replica_set_generation(r, 9, &g_err));
	reopen();
	ck_assert_uint_eq(tmk_replica_sidecar(r)->generation, 9);
	ck_assert_uint_eq(tmk_replica_sidecar(r)->point, 4);
	check_image(4);
	tmk_replica_unlock(r);
	check_code(-EBUSY, tmk_replica_restart(&tmk_io_real, d.dir, c.protection, &c.sizes, 10, &g_err));
	tmk_replica_close(r);
	r = NULL;
	check_ok(tmk_replica_open(&reader, &tmk_io_real, d.dir, false, &g_err));
	check_code(-EBUSY, tmk_replica_restart(&tmk_io_real, d.dir, c.protection, &c.sizes, 10, &g_err));
	tmk_replica_close(reader);

	/* broken sidecars and files put back are taken as they are: a full copy follows */
	flip(d.dir, "sidecar", 10);
	flip(d.dir, "sidecar", TMK_SIDECAR_SLOT + 10);
	shell("cp %s/disk-0.raw %s/keep && mv %s/keep %s/disk-0.raw", d.path, d.path, d.path, d.path);
	check_ok(tmk_replica_restart(&tmk_io_real, d.dir, c.protection, &c.sizes, 10, &g_err));
	reopen();
	ck_assert_uint_eq(tmk_replica_sidecar(r)->state, TMK_REPLICA_EMPTY);
	ck_assert_uint_eq(tmk_replica_sidecar(r)->applied, 0);
	ck_assert_uint_eq(tmk_replica_sidecar(r)->generation, 10);
	check_image(4);
	history_free();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("replica");
	TCase *t = tcase_create("replica");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 100);
	tcase_add_test(t, test_create);
	tcase_add_loop_test(t, test_create_crash, 0, CRASHES);
	tcase_add_test(t, test_create_over_something);
	tcase_add_test(t, test_redo);
	tcase_add_test(t, test_neighbours_and_holes);
	tcase_add_test(t, test_locks);
	tcase_add_test(t, test_put_back_alone);
	tcase_add_test(t, test_slot_rots_between);
	tcase_add_test(t, test_damaged_slots);
	tcase_add_test(t, test_wrong_files);
	tcase_add_test(t, test_failed_flush);
	tcase_add_test(t, test_generation_and_restart);
	suite_add_tcase(s, t);
	return run_suite(s);
}
