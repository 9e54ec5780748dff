/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper */
/*
 * Which filesystems are found, and in which order, in a world of fixture text: a /proc of our own, and a tree of devices given
 * as "this one rests on that one".
 */
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "frecord.h"
#include "fsworld.h"
#include "mountinfo.h"
#include "suite.h"

/* makedev() for small numbers, as a constant */
#define DEV(major, minor) ((dev_t)(major) << 8 | (minor))
#define SDA DEV(8, 0)
#define SDA1 DEV(8, 1)
#define SDA2 DEV(8, 2)
#define SDB DEV(8, 16)
#define LOOP0 DEV(7, 0)
#define LOOP1 DEV(7, 1)
#define DM0 DEV(253, 0)

static char proc[64];

/* ---- a /proc of our own ---- */
static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* root: a directory below proc that stands for the process's root, so that two processes can share or not share it. */
static void process(int pid, const char *ns, const char *root, const char *mountinfo)
{
	char path[256], target[256];

	snprintf(path, sizeof(path), "%s/%d", proc, pid);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/%d/ns", proc, pid);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/%d/ns/mnt", proc, pid);
	ck_assert_int_eq(symlink(ns, path), 0);
	snprintf(target, sizeof(target), "%s/%s", proc, root);
	mkdir(target, 0700);
	snprintf(path, sizeof(path), "%s/%d/root", proc, pid);
	ck_assert_int_eq(symlink(target, path), 0);
	if (!mountinfo)
		return;
	snprintf(path, sizeof(path), "%s/%d/mountinfo", proc, pid);
	put(path, mountinfo);
}

static void setup(void)
{
	strcpy(proc, "/tmp/tmk-fsfind-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(proc));
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", proc);
	ck_assert_int_eq(system(command), 0);
}

/* ---- devices ---- */
static const struct {
	dev_t upper, lower;
} stack[] = {{DM0, SDA2}, {LOOP0, SDA1}, {LOOP1, LOOP0}};

static bool listed(dev_t dev, const struct tmk_device *disks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (disks[i].dev == dev || (disks[i].whole && major(dev) == 8 && (minor(dev) & ~15u) == minor(disks[i].dev)))
			return true;
	return false;
}

static int covered(dev_t dev, const struct tmk_device *disks, size_t count, bool *on, dev_t *missing, struct tmk_error *err)
{
	(void)err;
	*on = false;
	*missing = 0;
	for (;;) {
		size_t i = 0;

		if (listed(dev, disks, count)) {
			*on = true;
			return 0;
		}
		while (i < sizeof(stack) / sizeof(stack[0]) && stack[i].upper != dev)
			i++;
		if (i == sizeof(stack) / sizeof(stack[0])) {
			*missing = dev;
			return 0;
		}
		dev = stack[i].lower;
	}
}

/* A btrfs's source names its devices: "sda2+sdb". */
static int members(const struct tmk_mounts *mounts, const struct tmk_mount *mount, struct tmk_member *out, size_t max,
		   size_t *count, struct tmk_error *err)
{
	(void)mounts;
	(void)err;
	ck_assert_uint_ge(max, 2);
	memset(out, 0, 2 * sizeof(*out));
	*count = 0;
	if (major(mount->superblock))
		out[(*count)++].dev = mount->superblock;
	if (!strcmp(mount->source, "sda2+sdb")) {
		out[(*count)++].dev = SDA2;
		out[(*count)++].dev = SDB;
	}
	if (!strcmp(mount->source, "sda2+gone")) {
		out[(*count)++].dev = SDA2;
		strcpy(out[(*count)++].name, "btrfs device 2");
	}
	return 0;
}

static const struct tmk_mount *reachable(const struct tmk_mounts *mounts, dev_t superblock)
{
	for (size_t i = 0; i < mounts->count; i++)
		if (mounts->list[i].superblock == superblock && strcmp(mounts->list[i].mountpoint, "/hidden"))
			return &mounts->list[i];
	return NULL;
}

static void name(dev_t dev, char *out, size_t size)
{
	snprintf(out, size, "dev-%u-%u", major(dev), minor(dev));
}

static struct tmk_filesystems find(dev_t disk, bool whole)
{
	const struct tmk_fsworld world = {
		.proc = proc, .covered = covered, .members = members, .reachable = reachable, .name = name};
	struct tmk_device d = {.dev = disk, .disk = whole ? disk : SDA, .whole = whole};
	struct tmk_filesystems out;
	struct tmk_error err = {0};

	ck_assert_msg(!tmk_fsfind_in(&world, &d, 1, &out, &err), "%s", err.text);
	return out;
}

static const char plain[] = "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
			    "27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"
			    "30 27 253:0 /sub /srv/a\\040b\\134c rw shared:2 master:1 - xfs /dev/mapper/vg-lv rw,noquota\n"
			    "31 27 253:0 / /bind rw,relatime - xfs /dev/mapper/vg-lv rw,noquota\n"
			    "32 27 8:16 / /other ro - ext4 /dev/sdb rw\n";

/* ---- parsing ---- */
START_TEST(parses_fields_and_escapes)
{
	struct tmk_mounts m = {0};
	struct tmk_error err;

	ck_assert_int_eq(tmk_mountinfo_parse(plain, 7, &m, &err), 0);
	ck_assert_uint_eq(m.count, 5);
	ck_assert_uint_eq(m.list[2].id, 30);
	ck_assert_uint_eq(m.list[2].superblock, DM0);
	ck_assert_str_eq(m.list[2].mountpoint, "/srv/a b\\c");
	ck_assert_str_eq(m.list[2].root, "/sub");
	ck_assert_str_eq(m.list[2].type, "xfs");
	ck_assert_int_eq(m.list[2].pid, 7);
	/* only the mount is read-only, its superblock is not */
	ck_assert(!m.list[4].read_only);
	tmk_mounts_free(&m);
	ck_assert_int_eq(tmk_mountinfo_parse("1 2 8:1 / / rw - ext4 /dev/sda1 ro,discard\n", 1, &m, &err), 0);
	ck_assert(m.list[0].read_only);
	tmk_mounts_free(&m);
	ck_assert_int_eq(tmk_mountinfo_parse("1 2 8:1 / / rw - ext4  rw,errors=remount-ro\n", 1, &m, &err), 0);
	ck_assert_str_eq(m.list[0].source, "");
	ck_assert(!m.list[0].read_only);
	tmk_mounts_free(&m);
}
END_TEST

START_TEST(finds_options)
{
	struct tmk_mounts m = {0};
	struct tmk_error err;
	char value[32];

	ck_assert_int_eq(
		tmk_mountinfo_parse("1 2 8:1 / / rw - xfs /dev/a rw,xlogdev=/no,logdev=/dev/x\\054y,rtdev=\n", 1, &m, &err), 0);
	ck_assert(tmk_mount_option(&m.list[0], "logdev", value, sizeof(value)));
	ck_assert_str_eq(value, "/dev/x,y");
	ck_assert(tmk_mount_option(&m.list[0], "rtdev", value, sizeof(value)));
	ck_assert_str_eq(value, "");
	ck_assert(!tmk_mount_option(&m.list[0], "log", value, sizeof(value)));
	ck_assert(!tmk_mount_option(&m.list[0], "logdev", value, 4)); /* does not fit */
	tmk_mounts_free(&m);
}
END_TEST

START_TEST(refuses_broken_lines)
{
	static const char *const broken[] = {"x 2 8:1 / / rw - ext4 /dev/a rw\n",
					     "1 2 8-1 / / rw - ext4 /dev/a rw\n",
					     "1 2 8:1 / / rw ext4 /dev/a rw\n",
					     "1 2 8:1 / / rw - ext4\n",
					     "1 2 8:1 / /a\\09 rw - ext4 a rw\n",
					     "1 2 8:1 / /a\\000b rw - ext4 a rw\n",
					     "1 2 8:1 / /a\\0 rw - ext4 /dev/a rw\n",
					     "1 2 99999999999:1 / / rw - ext4 /dev/a rw\n",
					     "\n",
					     "1 2 8:1 / / rw - aaaaaaaabbbbbbbbccccccccddddddddeeeeeeee /dev/a rw\n"};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct tmk_mounts m = {0};
		struct tmk_error err = {0};

		ck_assert_msg(tmk_mountinfo_parse(broken[i], 1, &m, &err) == -EBADMSG, "taken: %s", broken[i]);
		ck_assert_str_ne(err.text, "");
		tmk_mounts_free(&m);
	}
}
END_TEST

/* ---- views ---- */
START_TEST(reads_each_view_once)
{
	struct tmk_mounts m;
	struct tmk_error err;

	process(12, "mnt:[1]", "root1", "1 0 8:1 / / rw - ext4 a rw\n");
	process(3, "mnt:[1]", "root1", "1 0 8:1 / / rw - ext4 a rw\n");
	process(40, "mnt:[2]", "root1", "5 0 8:2 / / rw - ext4 b rw\n");
	process(41, "mnt:[1]", "chroot", "9 0 8:3 / / rw - ext4 c rw\n"); /* another root in a known namespace */
	process(50, "mnt:[9]", "root1", NULL);				  /* a zombie */
	ck_assert_int_eq(tmk_mountinfo_read(proc, &m, &err), 0);
	ck_assert_uint_eq(m.count, 3);
	ck_assert_int_eq(m.list[0].pid, 3); /* the oldest process */
	ck_assert_uint_eq(m.list[1].superblock, SDA2);
	ck_assert_uint_eq(m.list[2].superblock, makedev(8, 3));
	tmk_mounts_free(&m);
}
END_TEST

START_TEST(no_process_is_an_error)
{
	struct tmk_mounts m;
	struct tmk_error err;

	ck_assert_int_eq(tmk_mountinfo_read(proc, &m, &err), -ENOENT);
	ck_assert_int_eq(tmk_mountinfo_read("/nowhere/proc", &m, &err), -ENOENT);
}
END_TEST

/* ---- finding ---- */
START_TEST(one_entry_per_superblock)
{
	struct tmk_filesystems f;

	process(1, "mnt:[1]", "root", plain);
	f = find(SDA, true);
	ck_assert_uint_eq(f.count, 2);
	ck_assert_uint_eq(f.list[0].superblock, SDA1);
	ck_assert_uint_eq(f.list[1].superblock, DM0);
	ck_assert_str_eq(f.list[1].mountpoint, "/srv/a b\\c");
	ck_assert(!f.list[0].partial && !f.list[1].partial);
	tmk_filesystems_free(&f);
	f = find(SDA2, false); /* only the partition below the volume */
	ck_assert_uint_eq(f.count, 1);
	ck_assert_uint_eq(f.list[0].superblock, DM0);
	tmk_filesystems_free(&f);
}
END_TEST

START_TEST(other_namespaces_count)
{
	struct tmk_filesystems f;

	process(1, "mnt:[1]", "root", "1 0 8:17 / / rw - ext4 a rw\n");
	process(900, "mnt:[2]", "root", "1 0 8:17 / / rw - ext4 a rw\n5 1 8:2 / /data rw - xfs b ro\n");
	f = find(SDA, true);
	ck_assert_uint_eq(f.count, 1);
	ck_assert_int_eq(f.list[0].pid, 900);
	ck_assert_str_eq(f.list[0].mountpoint, "/data");
	ck_assert(f.list[0].read_only);
	tmk_filesystems_free(&f);
}
END_TEST

START_TEST(prefers_a_mount_that_opens)
{
	struct tmk_filesystems f;

	process(1, "mnt:[1]", "root", "1 0 8:1 / /hidden rw - ext4 a rw\n2 0 8:1 / /seen rw - ext4 a rw\n");
	f = find(SDA, true);
	ck_assert_uint_eq(f.count, 1);
	ck_assert_str_eq(f.list[0].mountpoint, "/seen");
	tmk_filesystems_free(&f);
}
END_TEST

START_TEST(upper_ones_first)
{
	struct tmk_filesystems f;

	process(1, "mnt:[1]", "root",
		"1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /flat rw - ext4 b rw\n3 1 7:1 / /upmost rw - ext4 d rw\n"
		"4 1 7:0 / /middle rw - xfs c rw\n");
	f = find(SDA, true);
	ck_assert_uint_eq(f.count, 4);
	ck_assert_uint_eq(f.list[0].superblock, LOOP1);
	ck_assert_uint_eq(f.list[0].depth, 2);
	ck_assert_uint_eq(f.list[1].superblock, LOOP0);
	ck_assert_uint_eq(f.list[1].depth, 1);
	ck_assert_uint_eq(f.list[2].superblock, SDA1);
	ck_assert_uint_eq(f.list[3].superblock, SDA2);
	ck_assert_uint_eq(f.list[3].depth, 0);
	tmk_filesystems_free(&f);
}
END_TEST

START_TEST(partial_names_what_is_missing)
{
	struct tmk_filesystems f;

	process(1, "mnt:[1]", "root", "1 0 0:40 / /pool rw - btrfs sda2+sdb rw\n2 0 0:41 /vol /x rw - btrfs sda2+gone rw\n");
	f = find(SDA, true);
	ck_assert_uint_eq(f.count, 2);
	ck_assert(f.list[0].partial);
	ck_assert_str_eq(f.list[0].missing, "dev-8-16");
	ck_assert(f.list[1].partial);
	ck_assert_str_eq(f.list[1].missing, "btrfs device 2");
	tmk_filesystems_free(&f);
}
END_TEST

START_TEST(external_journal)
{
	unsigned char s[1024] = {0};

	s[0x38] = 0x53;
	s[0x39] = 0xef;
	s[0x5c] = 0x4;
	s[0xe4] = 0x12; /* 8:0x12 as new_encode_dev() packs it, and a high minor */
	s[0xe5] = 0x08;
	s[0xe6] = 0x10;
	ck_assert_uint_eq(tmk_ext4_journal(s), makedev(8, 0x112));
	s[0xe0] = 8; /* inside */
	ck_assert_uint_eq(tmk_ext4_journal(s), 0);
	s[0xe0] = 0;
	s[0x39] = 0;
	ck_assert_uint_eq(tmk_ext4_journal(s), 0);
}
END_TEST

/* ---- the record ---- */
START_TEST(record_round_trip)
{
	struct tmk_filesystem list[2] = {{.superblock = DM0, .pid = 5, .mountpoint = "/a b\n\\c"},
					 {.superblock = SDA1, .pid = 6, .mountpoint = "/"}};
	const struct tmk_filesystems out = {.count = 2, .list = list};
	struct tmk_filesystems in;
	uint8_t states[TMK_FREEZER_MAX];
	struct tmk_error err;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/record", proc);
	fd = tmk_frecord_make(path, &out, &err);
	ck_assert_msg(fd >= 0, "%s", err.text);
	ck_assert_int_eq(pwrite(fd, "F", 1, TMK_FREEZER_STATES + 1), 1);
	ck_assert_int_eq(tmk_frecord_make(path, &out, &err), -EEXIST); /* one that was not recovered is never lost */
	close(fd);
	fd = tmk_frecord_open(path, &err);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(tmk_frecord_read(fd, &in, states, &err), 0);
	ck_assert_uint_eq(in.count, 2);
	ck_assert_str_eq(in.list[0].mountpoint, "/a b\n\\c");
	ck_assert_uint_eq(in.list[0].superblock, DM0);
	ck_assert_int_eq(in.list[1].pid, 6);
	ck_assert(!tmk_frecord_ours(states[0]) && tmk_frecord_ours(states[1]));
	tmk_filesystems_free(&in);
	tmk_frecord_thawed(fd, 1);
	ck_assert_int_eq(tmk_frecord_read(fd, &in, states, &err), 0);
	ck_assert(!tmk_frecord_ours(states[1]));
	tmk_filesystems_free(&in);
	/* of another boot: names nothing */
	ck_assert_int_eq(pwrite(fd, "????", 4, sizeof(TMK_FREEZER_MAGIC) - 1), 4);
	ck_assert_int_eq(tmk_frecord_read(fd, &in, states, &err), -ESTALE);
	/* letters that mean nothing, fewer lines than letters, another magic */
	ck_assert_int_eq(pwrite(fd, "#", 1, 0), 1);
	ck_assert_int_eq(tmk_frecord_read(fd, &in, states, &err), -EBADMSG);
	close(fd);
}
END_TEST

START_TEST(record_broken)
{
	static const char *const tails[] = {"\n",	    "X\n8:1 1 /\n", "NN\n8:1 1 /\n", "N\n8:1 1 /\n8:2 1 /x\n",
					    "N\n8:1 0 /\n", "N\n8-1 1 /\n"};
	struct tmk_filesystem one = {.superblock = SDA1, .pid = 6, .mountpoint = "/"};
	const struct tmk_filesystems out = {.count = 1, .list = &one};

	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		struct tmk_filesystems in;
		uint8_t states[TMK_FREEZER_MAX];
		struct tmk_error err;
		char path[128];
		int fd;

		snprintf(path, sizeof(path), "%s/record-%zu", proc, i);
		fd = tmk_frecord_make(path, &out, &err);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(ftruncate(fd, TMK_FREEZER_STATES), 0);
		ck_assert_int_eq(pwrite(fd, tails[i], strlen(tails[i]), TMK_FREEZER_STATES), (ssize_t)strlen(tails[i]));
		ck_assert_msg(tmk_frecord_read(fd, &in, states, &err) == -EBADMSG, "taken: %s", tails[i]);
		close(fd);
	}
}
END_TEST

START_TEST(record_not_on_what_is_frozen)
{
	struct stat st;
	struct tmk_filesystem one = {.pid = 6, .mountpoint = "/"};
	const struct tmk_filesystems out = {.count = 1, .list = &one};
	struct tmk_error err;
	char path[128];
	int fd;

	ck_assert_int_eq(stat(proc, &st), 0);
	one.superblock = st.st_dev;
	snprintf(path, sizeof(path), "%s/record", proc);
	fd = tmk_frecord_make(path, &out, &err);
	if (major(st.st_dev)) { /* a disk; on tmpfs there is nothing to fear */
		ck_assert_int_eq(fd, -EINVAL);
		ck_assert_int_ne(access(path, F_OK), 0);
	} else {
		ck_assert_int_ge(fd, 0);
		close(fd);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fsfind");
	TCase *t = tcase_create("fsfind");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, parses_fields_and_escapes);
	tcase_add_test(t, finds_options);
	tcase_add_test(t, refuses_broken_lines);
	tcase_add_test(t, reads_each_view_once);
	tcase_add_test(t, no_process_is_an_error);
	tcase_add_test(t, one_entry_per_superblock);
	tcase_add_test(t, other_namespaces_count);
	tcase_add_test(t, prefers_a_mount_that_opens);
	tcase_add_test(t, upper_ones_first);
	tcase_add_test(t, partial_names_what_is_missing);
	tcase_add_test(t, external_journal);
	tcase_add_test(t, record_round_trip);
	tcase_add_test(t, record_broken);
	tcase_add_test(t, record_not_on_what_is_frozen);
	suite_add_tcase(s, t);
	return run_suite(s);
}
