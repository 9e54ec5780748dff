/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * links: shipper. Disks, what they rest on and what rests on them, in a sysfs of the test's own:
 *
 *   loop0p1
 *   loop0 (a.img on the ext4 of dm-0)   dm-1
 *   dm-0 (linear)                       md0p1
 *   |                                   md0 (raid1)
 *   sda2            sda1 ---------------+--- sdb1        vda, nvme0n1 (btrfs)   loop1 (tmpfs)   loop2 (nothing)
 *   sda ------------+                        sdb
 */
#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "blktree.h"
#include "feedback.h"
#include "suite.h"

/* small numbers only: constant, as makedev() is not */
#define DEV(major, minor) ((dev_t)((major) << 8 | (minor)))
#define SDA DEV(8, 0)
#define SDA1 DEV(8, 1)
#define SDA2 DEV(8, 2)
#define SDB DEV(8, 16)
#define SDB1 DEV(8, 17)
#define MD0 DEV(9, 0)
#define MD0P1 DEV(259, 0)
#define DM0 DEV(252, 0)
#define DM1 DEV(252, 1)
#define LOOP0 DEV(7, 0)
#define LOOP0P1 DEV(259, 1)
#define LOOP1 DEV(7, 1)
#define LOOP2 DEV(7, 2)
#define VDA DEV(254, 0)
#define NVME DEV(259, 5)
#define MAX 32

static char root[64];
static struct tmk_blktree tree;

/* ---- the tree ---- */
__attribute__((format(printf, 1, 2))) static char *at(const char *format, ...)
{
	static char path[4][1024];
	static int turn;
	char *out = path[turn++ % 4];
	va_list args;
	int n = snprintf(out, 1024, "%s/", root);

	va_start(args, format);
	vsnprintf(out + n, 1024 - (size_t)n, format, args);
	va_end(args);
	return out;
}

static void make_dirs(const char *path)
{
	char part[1024];

	for (const char *p = path + 1; (p = strchr(p, '/')); p++) {
		snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		ck_assert(!mkdir(part, 0755) || errno == EEXIST);
	}
}

static void put(const char *path, const void *data, size_t size)
{
	FILE *f;

	make_dirs(path);
	f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(data, 1, size, f), size);
	fclose(f);
}

static void puts_(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

static void symlink_(const char *to, const char *path)
{
	make_dirs(path);
	ck_assert_int_eq(symlink(to, path), 0);
}

static void common(const char *dir, const char *name, dev_t dev, unsigned sectors)
{
	char text[64];

	snprintf(text, sizeof(text), "%u:%u\n", major(dev), minor(dev));
	puts_(at("%s/dev", dir), text);
	symlink_(at("%s", dir), at("dev/block/%u:%u", major(dev), minor(dev)));
	symlink_(at("%s", dir), at("class/block/%s", name));
	snprintf(text, sizeof(text), "%u\n", sectors);
	puts_(at("%s/size", dir), text);
	puts_(at("%s/ro", dir), "0\n");
	make_dirs(at("%s/holders/", dir));
}

static void disk(const char *name, dev_t dev, unsigned sectors)
{
	char dir[128];

	snprintf(dir, sizeof(dir), "devices/%s", name);
	common(dir, name, dev, sectors);
	symlink_(at("%s", dir), at("block/%s", name));
	puts_(at("%s/queue/logical_block_size", dir), "512\n");
	puts_(at("%s/queue/dma_alignment", dir), "3\n");
	make_dirs(at("%s/slaves/", dir));
}

static void partition(const char *whole, const char *name, dev_t dev, unsigned number, unsigned start, unsigned sectors)
{
	char dir[128], text[64];

	snprintf(dir, sizeof(dir), "devices/%s/%s", whole, name);
	common(dir, name, dev, sectors);
	snprintf(text, sizeof(text), "%u\n", number);
	puts_(at("%s/partition", dir), text);
	snprintf(text, sizeof(text), "%u\n", start);
	puts_(at("%s/start", dir), text);
}

static void stack(const char *upper, const char *lower)
{
	symlink_(at("class/block/%s", lower), at("class/block/%s/slaves/%s", upper, lower));
	symlink_(at("class/block/%s", upper), at("class/block/%s/holders/%s", lower, upper));
}

/* What files lie on, in this test's world. */
static int look(const char *path, struct tmk_where *out, struct tmk_error *err)
{
	static const struct {
		const char *path;
		struct tmk_where where;
	} files[] = {
		{"/", {.kind = TMK_WHERE_DEVICE, .device = SDA2, .inode = 2}},
		{"/images/a.img", {.kind = TMK_WHERE_DEVICE, .device = DM0, .inode = 77}},
		{"/shm/b.img", {.kind = TMK_WHERE_NOWHERE, .device = 26, .inode = 78}},
		{"/btrfs",
		 {.kind = TMK_WHERE_BTRFS, .device = 40, .inode = 256, .fsid = "\x01\x23\x45\x67\x89\xab\xcd\xef@@@@@@@@"}},
		{"/gone", {.kind = TMK_WHERE_BTRFS, .device = 41, .inode = 256, .fsid = "none of them...."}},
		{"/overlay", {.kind = TMK_WHERE_OVERLAY, .device = 42, .upper = "/overlay2"}},
		{"/overlay2", {.kind = TMK_WHERE_OVERLAY, .device = 43, .upper = "/array"}},
		{"/circle", {.kind = TMK_WHERE_OVERLAY, .device = 44, .upper = "/circle"}},
		{"/zfs", {.kind = TMK_WHERE_UNKNOWN, .device = 45}},
		{"/array", {.kind = TMK_WHERE_DEVICE, .device = DM1, .inode = 2}},
		{"/xfs", {.kind = TMK_WHERE_DEVICE, .device = VDA, .more = {SDB1}, .inode = 64}},
		{"/onloop", {.kind = TMK_WHERE_DEVICE, .device = LOOP0P1, .inode = 2}},
		{"/dev/sdb", {.kind = TMK_WHERE_NODE, .device = SDB}},
		{"/run", {.kind = TMK_WHERE_NOWHERE, .device = 27, .inode = 1}},
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (!strcmp(files[i].path, path)) {
			*out = files[i].where;
			return 0;
		}
	return tmk_error_set(err, -ENOENT, "no %s", path);
}

static void setup(void)
{
	snprintf(root, sizeof(root), "/tmp/tidemark-test-device-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	tree = (struct tmk_blktree){.sys = root, .look = look};
	disk("sda", SDA, 204800);
	partition("sda", "sda1", SDA1, 1, 2048, 100000);
	partition("sda", "sda2", SDA2, 2, 104448, 100352);
	disk("sdb", SDB, 204800);
	partition("sdb", "sdb1", SDB1, 1, 2048, 100000);
	disk("md0", MD0, 99000);
	partition("md0", "md0p1", MD0P1, 1, 2048, 90000);
	disk("dm-0", DM0, 100352);
	disk("dm-1", DM1, 90000);
	stack("dm-0", "sda2");
	stack("md0", "sda1");
	stack("md0", "sdb1");
	stack("dm-1", "md0p1");
	disk("loop0", LOOP0, 20480);
	puts_(at("devices/loop0/loop/backing_file"), "/images/a.img\n");
	partition("loop0", "loop0p1", LOOP0P1, 1, 2048, 8192);
	disk("loop1", LOOP1, 20480);
	puts_(at("devices/loop1/loop/backing_file"), "/shm/b.img\n");
	disk("loop2", LOOP2, 0);
	disk("vda", VDA, 2048);
	disk("nvme0n1", NVME, 4096);
	symlink_(at("class/block/vda"), at("fs/btrfs/01234567-89ab-cdef-4040-404040404040/devices/vda"));
	symlink_(at("class/block/nvme0n1"), at("fs/btrfs/01234567-89ab-cdef-4040-404040404040/devices/nvme0n1"));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void teardown(void)
{
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void describe(dev_t dev, struct tmk_device *out)
{
	struct tmk_error err = {0};

	ck_assert_msg(!tmk_device_describe(&tree, dev, out, &err), "%s", err.text);
}

static bool is_set(const dev_t *list, size_t count, size_t want, ...)
{
	va_list args;
	size_t found = 0;

	va_start(args, want);
	for (size_t i = 0; i < want; i++) {
		dev_t dev = va_arg(args, dev_t);

		for (size_t j = 0; j < count; j++)
			found += list[j] == dev;
	}
	va_end(args);
	return found == want && count == want;
}

/* ---- what a device is ---- */
START_TEST(geometry_and_names)
{
	struct tmk_error err;
	struct tmk_device d;

	describe(SDA, &d);
	ck_assert_str_eq(d.path, "/dev/sda");
	ck_assert_str_eq(d.name, "sda");
	ck_assert(d.dev == SDA && d.disk == SDA && d.whole);
	ck_assert(d.start == 0 && d.size == 204800ull * 512 && d.sector == 512 && d.alignment == 512);
	ck_assert(!d.read_only && !d.zeroes);

	puts_(at("devices/sda/sda2/ro"), "1\n");
	puts_(at("devices/sda/queue/logical_block_size"), "4096\n");
	describe(SDA2, &d);
	ck_assert(d.dev == SDA2 && d.disk == SDA && !d.whole && d.read_only);
	ck_assert(d.start == 104448ull * 512 && d.size == 100352ull * 512 && d.sector == 4096 && d.alignment == 4096);

	puts_(at("devices/sdb/queue/dma_alignment"), "1023\n");
	describe(SDB, &d);
	ck_assert_uint_eq(d.alignment, 1024);

	ck_assert_int_eq(tmk_device_describe(&tree, LOOP2, &d, &err), -ENODEV);
	ck_assert_int_eq(tmk_device_describe(&tree, DEV(8, 32), &d, &err), -ENODEV);
	puts_(at("devices/vda/queue/logical_block_size"), "520\n");
	ck_assert_int_eq(tmk_device_describe(&tree, VDA, &d, &err), -EINVAL);
	puts_(at("devices/vda/queue/logical_block_size"), "many\n");
	ck_assert_int_ne(tmk_device_describe(&tree, VDA, &d, &err), 0);
	/* sectors that overflow a byte count */
	puts_(at("devices/sdb/size"), "36028797018963968\n");
	ck_assert_int_eq(tmk_device_describe(&tree, SDB, &d, &err), -EINVAL);
}
END_TEST

START_TEST(identity_is_the_first_that_the_disk_has)
{
	static const char page[] = "\x00\x80\x00\x0c  SER  123  trailing";
	struct tmk_device d, e;
	char id[400];

	describe(SDA, &d);
	ck_assert_str_eq(d.identity, "no serial number");
	puts_(at("devices/sda/device/model"), "Model   X  \n");
	puts_(at("devices/sda/device/serial"), "S1\n");
	describe(SDA, &d);
	ck_assert_str_eq(d.identity, "serial S1 model Model X");
	put(at("devices/sda/device/vpd_pg80"), page, sizeof(page) - 1);
	describe(SDA, &d);
	ck_assert_str_eq(d.identity, "serial SER 123 model Model X");
	puts_(at("devices/sda/device/wwid"), "naa.5000c500\n");
	describe(SDA, &d);
	ck_assert_str_eq(d.identity, "wwid naa.5000c500");
	describe(SDA2, &d);
	ck_assert_str_eq(d.identity, "wwid naa.5000c500 partition 2 at 53477376");
	puts_(at("devices/nvme0n1/wwid"), "eui.0025\n");
	describe(NVME, &d);
	ck_assert_str_eq(d.identity, "wwid eui.0025");
	puts_(at("devices/vda/serial"), "DISK-1");
	describe(VDA, &d);
	ck_assert_str_eq(d.identity, "serial DISK-1");

	/* too long for the wire: another end is another identity all the same */
	memset(id, 'i', sizeof(id));
	strcpy(id + 300, "1\n");
	puts_(at("devices/sdb/device/wwid"), id);
	describe(SDB1, &d);
	strcpy(id + 300, "2\n");
	puts_(at("devices/sdb/device/wwid"), id);
	describe(SDB1, &e);
	ck_assert_uint_lt(strlen(d.identity), sizeof(d.identity));
	ck_assert_int_eq(strncmp(d.identity, e.identity, 90), 0);
	ck_assert_str_ne(d.identity, e.identity);
}
END_TEST

/* A VPD page that lies about its length. */
START_TEST(identity_survives_broken_pages)
{
	struct tmk_device d, e;
	char page[300];

	put(at("devices/sda/device/vpd_pg80"),
	    "\x00\x80\xff\xff"
	    "AB",
	    6);
	describe(SDA, &d);
	ck_assert_str_eq(d.identity, "serial AB");
	put(at("devices/sda/device/vpd_pg80"), "\x00\x80", 2);
	describe(SDA, &d);
	ck_assert_str_eq(d.identity, "no serial number");
	put(at("devices/sda/device/vpd_pg80"), "\x00\x80\x00\x06\x01\x02\n\t\xff ", 10);
	describe(SDA, &d);
	ck_assert_str_eq(d.identity, "serial \xff");
	/* a page longer than is read: its first 256 bytes count */
	memset(page, 'A', sizeof(page));
	memcpy(page, "\x00\x80\xff\xff", 4);
	put(at("devices/sda/device/vpd_pg80"), page, sizeof(page));
	describe(SDA, &d);
	page[256] = '\0';
	memset(page, 'A', 4);
	puts_(at("devices/sdb/serial"), page);
	describe(SDB, &e);
	ck_assert_str_eq(d.identity, e.identity);
}
END_TEST

static int asked_backing(const char *name, dev_t dev, struct tmk_where *out)
{
	if (strcmp(name, "loop0") || dev != LOOP0)
		return -ENXIO;
	*out = (struct tmk_where){.kind = TMK_WHERE_DEVICE, .device = SDB1, .inode = 99};
	return 0;
}

static int asked_replaced(const char *name, dev_t dev, struct tmk_where *out)
{
	(void)name;
	(void)dev;
	*out = (struct tmk_where){.kind = TMK_WHERE_DEVICE, .device = DM0, .inode = 99};
	return 0;
}

START_TEST(loops_are_known_by_their_files)
{
	struct tmk_device d;
	dev_t list[MAX];
	size_t n;

	describe(LOOP0, &d);
	ck_assert_str_eq(d.identity, "loop device on file 252:0:77");
	ck_assert(d.zeroes);
	describe(LOOP0P1, &d);
	ck_assert_str_eq(d.identity, "loop device on file 252:0:77 partition 1 at 1048576");
	ck_assert(d.zeroes);
	/* the device itself says another file than the path does (removed, replaced): it is right */
	tree.backing = asked_backing;
	describe(LOOP0, &d);
	ck_assert_str_eq(d.identity, "loop device on file 8:17:99");
	ck_assert_int_eq(tmk_blktree_leaves(&tree, LOOP0P1, list, MAX, &n, NULL), 0);
	ck_assert(is_set(list, n, 1, SDB1));
	describe(LOOP1, &d);
	ck_assert_str_eq(d.identity, "loop device on file 0:26:78");
	tree.backing = asked_replaced;
	describe(LOOP0, &d);
	ck_assert_str_eq(d.identity, "loop device on file 252:0:99");
	/* on a block device */
	tree.backing = NULL;
	puts_(at("devices/loop1/loop/backing_file"), "/dev/sdb\n");
	describe(LOOP1, &d);
	ck_assert_str_eq(d.identity, "loop device on block device 8:16");
}
END_TEST

START_TEST(stacked_devices_are_refused_with_their_disks)
{
	struct tmk_error err;
	struct tmk_device d;

	ck_assert_int_eq(tmk_device_find_in(&tree, "/dev/sda1", SDA1, &d, &err), 0);
	ck_assert_str_eq(d.path, "/dev/sda1");
	ck_assert_int_eq(tmk_device_find_in(&tree, "/dev/loop0p1", LOOP0P1, &d, &err), 0);
	ck_assert_int_eq(tmk_device_find_in(&tree, "/dev/mapper/root", DM0, &d, &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.text, "/dev/mapper/root (dm-0)"));
	ck_assert_ptr_nonnull(strstr(err.text, "/dev/sda2"));
	ck_assert_ptr_null(strstr(err.text, "/dev/sda1"));
	ck_assert_int_eq(tmk_device_find_in(&tree, "/dev/md0p1", MD0P1, &d, &err), -EOPNOTSUPP);
	ck_assert(strstr(err.text, "/dev/sda1") && strstr(err.text, "/dev/sdb1") && !strstr(err.text, "/dev/sda2"));
	ck_assert_int_eq(tmk_device_find_in(&tree, "/dev/dm-1", DM1, &d, &err), -EOPNOTSUPP);
	ck_assert(strstr(err.text, "/dev/sda1") && strstr(err.text, "/dev/sdb1"));
	/* a loop device has requests of its own: it is what to protect, not what its file lies on */
	disk("dm-2", DEV(252, 2), 100);
	stack("dm-2", "loop0");
	ck_assert_int_eq(tmk_device_find_in(&tree, "/dev/dm-2", DEV(252, 2), &d, &err), -EOPNOTSUPP);
	ck_assert(strstr(err.text, "/dev/loop0") && !strstr(err.text, "sda"));
}
END_TEST

/* ---- what rests on what ---- */
START_TEST(leaves_go_through_everything)
{
	dev_t list[MAX];
	size_t n;

	ck_assert_int_eq(tmk_blktree_leaves(&tree, SDA, list, MAX, &n, NULL), 0);
	ck_assert(is_set(list, n, 1, SDA));
	ck_assert_int_eq(tmk_blktree_leaves(&tree, SDA1, list, MAX, &n, NULL), 0);
	ck_assert(is_set(list, n, 1, SDA1));
	ck_assert_int_eq(tmk_blktree_leaves(&tree, MD0P1, list, MAX, &n, NULL), 0);
	ck_assert(is_set(list, n, 2, SDA1, SDB1));
	ck_assert_int_eq(tmk_blktree_leaves(&tree, DM1, list, MAX, &n, NULL), 0);
	ck_assert(is_set(list, n, 2, SDA1, SDB1));
	ck_assert_int_eq(tmk_blktree_leaves(&tree, DM1, list, 1, &n, NULL), -E2BIG);
	ck_assert_int_eq(tmk_blktree_leaves(&tree, LOOP0P1, list, MAX, &n, NULL), 0);
	ck_assert(is_set(list, n, 1, SDA2));
	ck_assert_int_eq(tmk_blktree_leaves(&tree, LOOP1, list, MAX, &n, NULL), 0);
	ck_assert(is_set(list, n, 1, LOOP1));
	ck_assert_int_eq(tmk_blktree_leaves(&tree, DEV(1, 1), list, MAX, &n, NULL), -ENODEV);
	/* a backing file on a filesystem that does not tell: the loop device is all that is known */
	puts_(at("devices/loop1/loop/backing_file"), "/zfs\n");
	ck_assert_int_eq(tmk_blktree_leaves(&tree, LOOP1, list, MAX, &n, NULL), 0);
	ck_assert(is_set(list, n, 1, LOOP1));
	/* on btrfs: all its devices */
	puts_(at("devices/loop1/loop/backing_file"), "/btrfs\n");
	ck_assert_int_eq(tmk_blktree_leaves(&tree, LOOP1, list, MAX, &n, NULL), 0);
	ck_assert(is_set(list, n, 2, VDA, NVME));
	/* a tree that bites its tail ends the walk */
	stack("sda", "dm-0");
	ck_assert_int_eq(tmk_blktree_leaves(&tree, LOOP0, list, MAX, &n, NULL), 0);
	ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(uppers_find_all_that_rests_on_a_disk)
{
	dev_t list[MAX];
	size_t n;

	ck_assert_int_eq(tmk_blktree_uppers(&tree, SDA, list, MAX, &n, NULL), 0);
	ck_assert(list[0] == SDA);
	ck_assert(is_set(list, n, 9, SDA, SDA1, SDA2, MD0, MD0P1, DM0, DM1, LOOP0, LOOP0P1));
	ck_assert_int_eq(tmk_blktree_uppers(&tree, SDB1, list, MAX, &n, NULL), 0);
	ck_assert(is_set(list, n, 4, SDB1, MD0, MD0P1, DM1));
	ck_assert_int_eq(tmk_blktree_uppers(&tree, SDA2, list, MAX, &n, NULL), 0);
	ck_assert(is_set(list, n, 4, SDA2, DM0, LOOP0, LOOP0P1));
	ck_assert_int_eq(tmk_blktree_uppers(&tree, LOOP1, list, MAX, &n, NULL), 0);
	ck_assert(is_set(list, n, 1, LOOP1));
	ck_assert_int_eq(tmk_blktree_uppers(&tree, SDA, list, 3, &n, NULL), -E2BIG);
	/* a holder that is no block device is passed over */
	make_dirs(at("devices/vda/holders/bcache-set/"));
	ck_assert_int_eq(tmk_blktree_uppers(&tree, VDA, list, MAX, &n, NULL), 0);
	ck_assert(is_set(list, n, 1, VDA));
}
END_TEST

START_TEST(covered_meets_the_disks)
{
	struct tmk_device disks[2];
	dev_t missing;
	bool on;

	describe(SDA, &disks[0]);
	describe(SDB1, &disks[1]);
	ck_assert_int_eq(tmk_blktree_covered(&tree, DM1, disks, 2, &on, &missing, NULL), 0);
	ck_assert(on && !missing);
	ck_assert_int_eq(tmk_blktree_covered(&tree, DM1, disks, 1, &on, &missing, NULL), 0);
	ck_assert(on && missing == SDB1);
	ck_assert_int_eq(tmk_blktree_covered(&tree, LOOP0P1, disks, 1, &on, &missing, NULL), 0);
	ck_assert(on && !missing);
	ck_assert_int_eq(tmk_blktree_covered(&tree, LOOP0P1, disks + 1, 1, &on, &missing, NULL), 0);
	ck_assert(!on && missing == SDA2);
	/* the whole disk is not covered by its partition */
	ck_assert_int_eq(tmk_blktree_covered(&tree, SDB, disks + 1, 1, &on, &missing, NULL), 0);
	ck_assert(!on && missing == SDB);
	/* a protected loop device is met before what its file lies on */
	describe(LOOP0, &disks[0]);
	ck_assert_int_eq(tmk_blktree_covered(&tree, LOOP0P1, disks, 1, &on, &missing, NULL), 0);
	ck_assert(on && !missing);
}
END_TEST

static int holds(dev_t dev, const char *file)
{
	struct tmk_error err = {0};
	struct tmk_device d;
	bool yes;
	int ret;

	describe(dev, &d);
	ret = tmk_blktree_holds(&tree, &d, file, &yes, &err);
	return ret ? ret : yes;
}

START_TEST(holds_follows_files_down)
{
	ck_assert_int_eq(holds(SDA, "/"), 1);
	ck_assert_int_eq(holds(SDA2, "/"), 1);
	ck_assert_int_eq(holds(SDA1, "/"), 0);
	ck_assert_int_eq(holds(SDB, "/"), 0);
	ck_assert_int_eq(holds(SDA1, "/array"), 1);
	ck_assert_int_eq(holds(SDB, "/array"), 1);
	ck_assert_int_eq(holds(SDA2, "/array"), 0);
	ck_assert_int_eq(holds(LOOP0, "/onloop"), 1);
	ck_assert_int_eq(holds(SDA2, "/onloop"), 1);
	ck_assert_int_eq(holds(SDA1, "/onloop"), 0);
	ck_assert_int_eq(holds(VDA, "/btrfs"), 1);
	ck_assert_int_eq(holds(NVME, "/btrfs"), 1);
	ck_assert_int_eq(holds(SDA, "/btrfs"), 0);
	ck_assert_int_eq(holds(SDB1, "/overlay"), 1);
	ck_assert_int_eq(holds(VDA, "/overlay"), 0);
	ck_assert_int_eq(holds(VDA, "/xfs"), 1);
	ck_assert_int_eq(holds(SDB, "/xfs"), 1);
	ck_assert_int_eq(holds(SDA, "/run"), 0);
	ck_assert_int_eq(holds(SDB, "/dev/sdb"), 1);
	ck_assert_int_eq(holds(SDA, "/dev/sdb"), 0);
	/* what does not tell is an error, not a no */
	ck_assert_int_eq(holds(SDA, "/zfs"), -EOPNOTSUPP);
	ck_assert_int_eq(holds(SDA, "/gone"), -EOPNOTSUPP);
	ck_assert_int_eq(holds(SDA, "/circle"), -EOPNOTSUPP);
	ck_assert_int_eq(holds(SDA, "/none"), -ENOENT);
}
END_TEST

START_TEST(feedback_is_refused)
{
	static const char *const fine[] = {"/run", "", "/btrfs", NULL};
	static const char *const root_disk[] = {"/run", "/var/lib/not/there/yet", NULL};
	static const char *const array[] = {"/array", NULL};
	static const char *const dumb[] = {"/zfs", NULL};
	struct tmk_device disks[2];
	struct tmk_error err;

	describe(SDB, &disks[0]);
	describe(SDA2, &disks[1]);
	ck_assert_int_eq(tmk_feedback_check_in(&tree, disks, 2, fine, &err), 0);
	ck_assert_int_eq(tmk_feedback_check_in(&tree, disks, 2, root_disk, &err), -EDEADLK);
	ck_assert(strstr(err.text, "/var/lib/not/there/yet") && strstr(err.text, "/dev/sda2"));
	ck_assert_int_eq(tmk_feedback_check_in(&tree, disks, 2, array, &err), -EDEADLK);
	ck_assert(strstr(err.text, "/array") && strstr(err.text, "/dev/sdb"));
	ck_assert_int_eq(tmk_feedback_check_in(&tree, disks, 2, dumb, &err), -EOPNOTSUPP);
	ck_assert_int_eq(tmk_feedback_check_in(&tree, disks, 0, array, &err), 0);
}
END_TEST

/* ---- the real thing, as far as it can be had without root ---- */
START_TEST(real_paths)
{
	struct tmk_where where;
	struct tmk_error err;
	struct tmk_device d;
	struct stat st;

	ck_assert_int_eq(tmk_device_find(at("block"), &d, &err), -ENOTBLK);
	ck_assert_int_eq(tmk_device_find(at("nothing"), &d, &err), -ENOENT);
	ck_assert_int_eq(tmk_where_look(at("nothing"), &where, &err), -ENOENT);
	ck_assert_int_eq(tmk_where_look("/proc/self/status", &where, &err), 0);
	ck_assert_int_eq(where.kind, TMK_WHERE_NOWHERE);
	ck_assert_int_eq(stat(root, &st), 0);
	ck_assert_int_eq(tmk_where_look(root, &where, &err), 0);
	ck_assert(where.device == st.st_dev && where.inode == st.st_ino);
	ck_assert(where.kind != TMK_WHERE_NODE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("device");
	TCase *tc = tcase_create("device");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, geometry_and_names);
	tcase_add_test(tc, identity_is_the_first_that_the_disk_has);
	tcase_add_test(tc, identity_survives_broken_pages);
	tcase_add_test(tc, loops_are_known_by_their_files);
	tcase_add_test(tc, stacked_devices_are_refused_with_their_disks);
	tcase_add_test(tc, leaves_go_through_everything);
	tcase_add_test(tc, uppers_find_all_that_rests_on_a_disk);
	tcase_add_test(tc, covered_meets_the_disks);
	tcase_add_test(tc, holds_follows_files_down);
	tcase_add_test(tc, feedback_is_refused);
	tcase_add_test(tc, real_paths);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
