/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper */
/* What counts as scratch, from a list of swaps and devices of our own; and how ranges are split by it. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "suite.h"
#include "swaps.h"

/* makedev() for small numbers, as a constant */
#define DEV(major, minor) ((dev_t)(major) << 8 | (minor))
#define MIB (1ull << 20)
#define HEAD "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

static char list[64];

static void setup(void)
{
	int fd;

	strcpy(list, "/tmp/tmk-swaps-XXXXXX");
	fd = mkstemp(list);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void teardown(void)
{
	unlink(list);
}

static const struct tmk_device known[] = {
	{.path = "/dev/sda", .dev = DEV(8, 0), .disk = DEV(8, 0), .whole = true, .size = 1000 * MIB},
	{.path = "/dev/sda2", .dev = DEV(8, 2), .disk = DEV(8, 0), .start = 100 * MIB, .size = 50 * MIB},
	{.path = "/dev/sda 3", .dev = DEV(8, 3), .disk = DEV(8, 0), .start = 600 * MIB + 512, .size = 50 * MIB},
	{.path = "/dev/sda4", .dev = DEV(8, 4), .disk = DEV(8, 0), .start = 980 * MIB, .size = 50 * MIB}, /* sticks out */
	{.path = "/dev/sda5", .dev = DEV(8, 5), .disk = DEV(8, 0), .start = 200 * MIB, .size = 400 * MIB},
	{.path = "/dev/sdb", .dev = DEV(8, 16), .disk = DEV(8, 16), .whole = true, .size = 64 * MIB},
};

static int find(const char *path, struct tmk_device *out, struct tmk_error *err)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].path, path))
			continue;
		*out = known[i];
		return 0;
	}
	return tmk_error_set(err, -EOPNOTSUPP, "bio-based");
}

static struct tmk_scratch scratch(const char *lines, const struct tmk_device *disks, size_t count)
{
	const struct tmk_swaps swaps = {.list = list, .page = 4096, .find = find};
	struct tmk_scratch out;
	struct tmk_error err;
	FILE *f = fopen(list, "w");

	ck_assert_ptr_nonnull(f);
	fprintf(f, HEAD "%s", lines);
	fclose(f);
	ck_assert_msg(!tmk_scratch_find_in(&swaps, disks, count, &out, &err), "%s", err.text);
	return out;
}

START_TEST(partition_of_a_disk)
{
	struct tmk_scratch s = scratch("/dev/sda2                               partition\t51196\t\t0\t\t-2\n", &known[0], 1);

	ck_assert_uint_eq(s.count, 1);
	ck_assert_uint_eq(s.ranges[0].disk, 0);
	ck_assert_uint_eq(s.ranges[0].offset, 100 * MIB + 4096); /* the header travels */
	ck_assert_uint_eq(s.ranges[0].length, 50 * MIB - 4096);
}
END_TEST

START_TEST(the_protected_partition_or_disk_itself)
{
	const struct tmk_device disks[2] = {known[1], known[5]};
	struct tmk_scratch s = scratch("/dev/sdb  partition\t65532\t0\t-2\n/dev/sda2 partition\t1024\t0\t-3\n", disks, 2);

	ck_assert_uint_eq(s.count, 2);
	ck_assert_uint_eq(s.ranges[0].disk, 0);
	ck_assert_uint_eq(s.ranges[0].offset, 4096);
	ck_assert_uint_eq(s.ranges[0].length, MIB); /* what lies behind a swap smaller than its partition is not swap */
	ck_assert_uint_eq(s.ranges[1].disk, 1);
	ck_assert_uint_eq(s.ranges[1].length, 64 * MIB - 4096);
}
END_TEST

START_TEST(not_scratch)
{
	/* files, dm, partitions of other disks, one that sticks out, broken lines */
	struct tmk_scratch s =
		scratch("/swapfile file\t\t1024\t0\t-2\n/dev/dm-1 partition\t1024\t0\t-3\n/dev/sdb partition\t65532\t0\t-4\n"
			"/dev/sda4 partition\t51196\t0\t-5\n/dev/sda2 partition\n/dev/sda2\\04 partition\t1024\t0\t-2\n\n",
			&known[0], 1);

	ck_assert_uint_eq(s.count, 0);
	s = scratch("/dev/sda2 partition\t51196\t0\t-2\n", &known[2], 1); /* another partition is protected */
	ck_assert_uint_eq(s.count, 0);
	s = scratch("/dev/sda2 partition\t51196\t0\t-2\n", &known[4], 1); /* nor is one that would be large enough */
	ck_assert_uint_eq(s.count, 0);
	s = scratch("", &known[0], 1);
	ck_assert_uint_eq(s.count, 0);
}
END_TEST

START_TEST(claims_no_more_than_the_device)
{
	struct tmk_scratch s = scratch("/dev/sda2 partition\t18014398509481983\t0\t-2\n", &known[0], 1);

	ck_assert_uint_eq(s.count, 1);
	ck_assert_uint_eq(s.ranges[0].offset + s.ranges[0].length, 150 * MIB);
}
END_TEST

START_TEST(escapes_and_alignment)
{
	struct tmk_scratch s = scratch("/dev/sda\\0403 partition\t51196\t0\t-2\n", &known[0], 1);

	ck_assert_uint_eq(s.count, 1);
	/* [600 MiB + 512 + 4096, ...) inwards to whole blocks */
	ck_assert_uint_eq(s.ranges[0].offset, 600 * MIB + 8192);
	ck_assert_uint_eq(s.ranges[0].offset + s.ranges[0].length, 650 * MIB);
}
END_TEST

START_TEST(splits)
{
	struct tmk_scratch s =
		scratch("/dev/sda\\0403 partition\t1024\t0\t-2\n/dev/sda2 partition\t51196\t0\t-3\n", &known[0], 1);
	uint64_t length = 10 * MIB;

	ck_assert_uint_eq(s.count, 2);
	ck_assert_uint_lt(s.ranges[0].offset, s.ranges[1].offset);
	ck_assert(!tmk_scratch_split(&s, 0, 95 * MIB, &length));
	ck_assert_uint_eq(length, 5 * MIB + 4096); /* up to the end of the header */
	length = 4096;
	ck_assert(tmk_scratch_split(&s, 0, 100 * MIB + 4096, &length));
	ck_assert_uint_eq(length, 4096);
	length = 100 * MIB;
	ck_assert(tmk_scratch_split(&s, 0, 149 * MIB, &length));
	ck_assert_uint_eq(length, MIB);
	length = 1 * MIB;
	ck_assert(!tmk_scratch_split(&s, 0, 150 * MIB, &length));
	ck_assert_uint_eq(length, MIB);
	length = 900 * MIB;
	ck_assert(!tmk_scratch_split(&s, 0, 150 * MIB, &length));
	ck_assert_uint_eq(length, 450 * MIB + 8192);
	length = 50 * MIB;
	ck_assert(!tmk_scratch_split(&s, 1, 100 * MIB, &length)); /* another disk */
	ck_assert_uint_eq(length, 50 * MIB);
	length = 50 * MIB;
	ck_assert(!tmk_scratch_split(&s, 0, 900 * MIB, &length));
	ck_assert_uint_eq(length, 50 * MIB);
}
END_TEST

START_TEST(compares)
{
	static const char a[] = "/dev/sda2 partition\t51196\t0\t-2\n/dev/sda\\0403 partition\t1024\t0\t-3\n";
	static const char b[] = "/dev/sda\\0403 partition\t1024\t9\t-3\n/dev/sda2 partition\t51196\t7\t-2\n";
	static const char c[] = "/dev/sda\\0403 partition\t2048\t0\t-3\n/dev/sda2 partition\t51196\t0\t-2\n";
	struct tmk_scratch x = scratch(a, &known[0], 1), y = scratch(b, &known[0], 1), z = scratch(c, &known[0], 1), none = {0};

	ck_assert(tmk_scratch_same(&x, &y));
	ck_assert(!tmk_scratch_same(&x, &z));
	ck_assert(!tmk_scratch_same(&x, &none));
	ck_assert(tmk_scratch_same(&none, &none));
}
END_TEST

START_TEST(overlapping_ones_are_joined)
{
	struct tmk_scratch s =
		scratch("/dev/sda2 partition\t2048\t0\t-2\n/dev/sda2 partition\t51196\t0\t-2\n/dev/sda partition\t1024\t0\t1\n",
			&known[0], 1);

	ck_assert_uint_eq(s.count, 2);
	ck_assert_uint_eq(s.ranges[1].length, 50 * MIB - 4096);
}
END_TEST

START_TEST(too_many)
{
	const struct tmk_swaps swaps = {.list = list, .page = 4096, .find = find};
	struct tmk_scratch out;
	struct tmk_error err;
	FILE *f = fopen(list, "w");

	fputs(HEAD, f);
	for (int i = 0; i <= TMK_SCRATCH_MAX; i++)
		fputs("/dev/sda2 partition\t51196\t0\t-2\n", f);
	fclose(f);
	ck_assert_int_eq(tmk_scratch_find_in(&swaps, &known[0], 1, &out, &err), -E2BIG);
}
END_TEST

START_TEST(no_swap_in_the_kernel)
{
	const struct tmk_swaps swaps = {.list = "/nowhere/swaps", .page = 4096, .find = find};
	struct tmk_scratch out;
	struct tmk_error err;

	ck_assert_int_eq(tmk_scratch_find_in(&swaps, &known[0], 1, &out, &err), 0);
	ck_assert_uint_eq(out.count, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("scratch");
	TCase *t = tcase_create("scratch");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, partition_of_a_disk);
	tcase_add_test(t, the_protected_partition_or_disk_itself);
	tcase_add_test(t, not_scratch);
	tcase_add_test(t, claims_no_more_than_the_device);
	tcase_add_test(t, escapes_and_alignment);
	tcase_add_test(t, splits);
	tcase_add_test(t, compares);
	tcase_add_test(t, overlapping_ones_are_joined);
	tcase_add_test(t, too_many);
	tcase_add_test(t, no_swap_in_the_kernel);
	suite_add_tcase(s, t);
	return run_suite(s);
}
