/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: target. Verdicts on HELLO as a table, with a real catalogue and a real replica; relations; points by name. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../../target/session.h" /* the shipper has a file of this name too */
#include "ingest.h"
#include "io.h"
#include "layout.h"
#include "pick.h"
#include "replica.h"
#include "room.h"
#include "suite.h"

static char directory[32];
static struct tmk_catalogue *catalogue;
static struct tmk_session_court court;
static struct tmk_sandbox_user user;
static const uint8_t owner[32] = {1}, other[32] = {2}, stranger[32] = {3};
static struct tmk_hello good;
static struct tmk_verdict verdict;

static void setup(void)
{
	struct tmk_error err = {0};
	strcpy(directory, "/tmp/tmk-test-session-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(tmk_catalogue_open(&catalogue, directory, &err), 0);
	ck_assert_int_eq(tmk_catalogue_certificate_add(catalogue, owner, "one.example", &err), 0);
	ck_assert_int_eq(tmk_catalogue_certificate_add(catalogue, other, "two.example", &err), 0);
	user = (struct tmk_sandbox_user){geteuid(), getegid()};
	court = (struct tmk_session_court){catalogue, open(directory, O_RDONLY | O_DIRECTORY), &user};
	ck_assert_int_ge(court.root, 0);
	memset(&good, 0, sizeof(good));
	good = (struct tmk_hello){.version = TMK_WIRE_VERSION, .name = "web", .host = "one.example", .disk_count = 2};
	memset(good.protection, 0xaa, sizeof(good.protection));
	memset(good.epoch, 0xe1, sizeof(good.epoch));
	for (int i = 0; i < 2; i++) {
		good.disks[i].size = 1 << 20;
		good.disks[i].block_size = 4096;
		snprintf(good.disks[i].name, sizeof(good.disks[i].name), "/dev/vd%c", 'a' + i);
		snprintf(good.disks[i].identity, sizeof(good.disks[i].identity), "serial:%d", i);
	}
}

static void teardown(void)
{
	char command[128];
	tmk_catalogue_close(catalogue);
	close(court.root);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	ck_assert_int_eq(system(command), 0);
}

static enum tmk_refuse judge(const uint8_t *certificate, const struct tmk_hello *h)
{
	tmk_session_judge(&court, certificate, h, &verdict);
	ck_assert_msg(!verdict.refuse == !verdict.text[0], "refused without a word, or words without a refusal");
	return verdict.refuse;
}

START_TEST(first_contact_makes_it)
{
	struct stat st;
	char path[128];
	ck_assert_int_eq(judge(owner, &good), 0);
	ck_assert(verdict.created);
	ck_assert_uint_eq(verdict.row.generation, 1);
	ck_assert_uint_eq(verdict.sidecar.state, TMK_REPLICA_EMPTY);
	snprintf(path, sizeof(path), "%s/protections/web/disk-1.raw", directory);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 1 << 20);
	snprintf(path, sizeof(path), "%s/protections/web", directory);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 077, 0);
	ck_assert_int_eq(judge(owner, &good), 0);
	ck_assert(!verdict.created);
}
END_TEST

/* Each row changes one thing of a HELLO that was accepted before. */
static const struct row {
	const char *what;
	const uint8_t *certificate;
	void (*change)(struct tmk_hello *h);
	enum tmk_refuse refuse;
} rows[];

static void same(struct tmk_hello *h)
{
	(void)h;
}
static void version(struct tmk_hello *h)
{
	h->version = 2;
}
static void feature(struct tmk_hello *h)
{
	h->features = 1;
}
static void bad_name(struct tmk_hello *h)
{
	strcpy(h->name, "../web");
}
static void no_name(struct tmk_hello *h)
{
	h->name[0] = 0;
}
static void no_uuid(struct tmk_hello *h)
{
	memset(h->protection, 0, sizeof(h->protection));
}
static void other_uuid(struct tmk_hello *h)
{
	h->protection[0]++;
}
static void other_name(struct tmk_hello *h)
{
	strcpy(h->name, "web2");
}
static void smaller(struct tmk_hello *h)
{
	h->disks[1].size -= 512;
}
static void larger(struct tmk_hello *h)
{
	h->disks[0].size *= 2;
}
static void unaligned(struct tmk_hello *h)
{
	h->disks[0].size++;
}
static void fewer(struct tmk_hello *h)
{
	h->disk_count = 1;
}
static void none(struct tmk_hello *h)
{
	h->disk_count = 0;
}
static void swapped(struct tmk_hello *h)
{
	struct tmk_hello_disk d = h->disks[0];
	h->disks[0] = h->disks[1];
	h->disks[1] = d;
}
static void renamed(struct tmk_hello *h)
{
	strcpy(h->disks[0].name, "/dev/sdz");
}
static void generation_1(struct tmk_hello *h)
{
	h->generation = 1;
}
static void generation_2(struct tmk_hello *h)
{
	h->generation = 2;
}
static void old_epoch(struct tmk_hello *h)
{
	memset(h->epoch, 0xe0, sizeof(h->epoch));
}
static void new_epoch(struct tmk_hello *h)
{
	memset(h->epoch, 0xe2, sizeof(h->epoch));
}
static void no_epoch(struct tmk_hello *h)
{
	memset(h->epoch, 0, sizeof(h->epoch));
}

static const struct row rows[] = {
	{"as before", owner, same, 0},
	{"without a certificate", NULL, same, TMK_REFUSE_CERTIFICATE},
	{"an unknown certificate", stranger, same, TMK_REFUSE_CERTIFICATE},
	{"another server's certificate", other, same, TMK_REFUSE_OWNER},
	{"another server's, that knows the UUID, under another name", other, other_name, TMK_REFUSE_NAME},
	{"another version", owner, version, TMK_REFUSE_VERSION},
	{"an unknown feature", owner, feature, TMK_REFUSE_VERSION},
	{"a path as name", owner, bad_name, TMK_REFUSE_NAME},
	{"no name", owner, no_name, TMK_REFUSE_NAME},
	{"no UUID", owner, no_uuid, TMK_REFUSE_PROTOCOL},
	{"another UUID", owner, other_uuid, TMK_REFUSE_IDENTITY},
	{"the UUID under another name", owner, other_name, TMK_REFUSE_NAME},
	{"a smaller disk", owner, smaller, TMK_REFUSE_IDENTITY},
	{"a larger disk", owner, larger, TMK_REFUSE_IDENTITY},
	{"half a sector", owner, unaligned, TMK_REFUSE_PROTOCOL},
	{"a disk less", owner, fewer, TMK_REFUSE_IDENTITY},
	{"no disks", owner, none, TMK_REFUSE_PROTOCOL},
	{"disks swapped", owner, swapped, TMK_REFUSE_IDENTITY},
	{"a disk with another device name", owner, renamed, 0},
	{"its generation", owner, generation_1, 0},
	{"a generation ahead", owner, generation_2, TMK_REFUSE_GENERATION},
	{"a superseded epoch", owner, old_epoch, TMK_REFUSE_EPOCH},
	{"an epoch that never was", owner, new_epoch, 0},
	{"no epoch yet", owner, no_epoch, 0},
};

START_TEST(verdicts)
{
	struct tmk_error err = {0};
	uint8_t epoch[TMK_EPOCH_SIZE];
	struct tmk_hello h = good;
	ck_assert_int_eq(judge(owner, &good), 0);
	for (int e = 0xe0; e <= 0xe1; e++) {
		memset(epoch, e, sizeof(epoch));
		ck_assert_int_eq(tmk_catalogue_epoch_begin(catalogue, "web", epoch, &err), 0);
	}
	rows[_i].change(&h);
	ck_assert_msg(judge(rows[_i].certificate, &h) == rows[_i].refuse, "%s: %d, %s", rows[_i].what, verdict.refuse,
		      verdict.text);
	/* Whatever was said changed nothing. */
	ck_assert_int_eq(judge(owner, &good), 0);
}
END_TEST

START_TEST(revoked)
{
	struct tmk_error err = {0};
	ck_assert_int_eq(judge(owner, &good), 0);
	ck_assert_int_eq(tmk_catalogue_certificate_revoke(catalogue, "one.example", &err), 0);
	ck_assert_int_eq(judge(owner, &good), TMK_REFUSE_CERTIFICATE);
}
END_TEST

/* Puts the replica's generation or the row's on, as a failover would. */
static void raise_generation(bool replica, bool row)
{
	struct tmk_error err = {0};
	struct tmk_replica *r;
	int dir = tmk_layout_open(court.root, "web", &err);
	ck_assert_int_ge(dir, 0);
	if (replica) {
		ck_assert_int_eq(tmk_replica_open(&r, &tmk_io_real, dir, true, &err), 0);
		ck_assert_int_eq(tmk_replica_set_generation(r, 2, &err), 0);
		tmk_replica_close(r);
	}
	close(dir);
	verdict.row.generation = 2;
	if (row)
		ck_assert_int_eq(tmk_catalogue_protection_put(catalogue, &verdict.row, &err), 0);
}

START_TEST(fenced_after_failover)
{
	struct tmk_hello h = good;
	ck_assert_int_eq(judge(owner, &h), 0);
	raise_generation(true, true);
	h.generation = 1;
	ck_assert_int_eq(judge(owner, &h), TMK_REFUSE_GENERATION);
	h.generation = 0; /* an old server without its memory */
	ck_assert_int_eq(judge(owner, &h), TMK_REFUSE_GENERATION);
	h.generation = 2;
	ck_assert_int_eq(judge(owner, &h), 0);
}
END_TEST

START_TEST(catalogue_put_back)
{
	ck_assert_int_eq(judge(owner, &good), 0);
	raise_generation(true, false);
	ck_assert_int_eq(judge(owner, &good), TMK_REFUSE_BROKEN);
}
END_TEST

START_TEST(replica_put_back)
{
	ck_assert_int_eq(judge(owner, &good), 0);
	raise_generation(false, true);
	good.generation = 2;
	ck_assert_int_eq(judge(owner, &good), TMK_REFUSE_BROKEN);
}
END_TEST

START_TEST(catalogue_lost)
{
	struct tmk_error err = {0};
	struct tmk_hello h = good;
	ck_assert_int_eq(judge(owner, &h), 0);
	raise_generation(true, false);
	ck_assert_int_eq(tmk_catalogue_protection_delete(catalogue, "web", &err), 0);
	h.protection[0]++;
	h.generation = 2;
	ck_assert_int_eq(judge(owner, &h), TMK_REFUSE_BROKEN);
	h = good;
	ck_assert_int_eq(judge(owner, &h), TMK_REFUSE_GENERATION);
	h.generation = 2;
	h.disks[0].size *= 2;
	ck_assert_int_eq(judge(owner, &h), TMK_REFUSE_IDENTITY);
	h.disks[0].size /= 2;
	ck_assert_int_eq(judge(owner, &h), 0);
	ck_assert(!verdict.created);
	ck_assert_uint_eq(verdict.row.generation, 2);
}
END_TEST

START_TEST(deleted_stays_deleted)
{
	struct tmk_error err = {0};
	char to[TMK_NAME_MAX + 40];
	ck_assert_int_eq(judge(owner, &good), 0);
	ck_assert_int_eq(tmk_catalogue_epoch_begin(catalogue, "web", good.epoch, &err), 0);
	ck_assert_int_eq(tmk_layout_discard(court.root, "web", to, &err), 0);
	ck_assert_int_eq(tmk_catalogue_protection_delete(catalogue, "web", &err), 0);
	ck_assert_int_eq(judge(owner, &good), TMK_REFUSE_EPOCH);
	good.protection[0]++;
	ck_assert_int_eq(judge(owner, &good), 0);
}
END_TEST

START_TEST(replica_gone)
{
	char path[128], away[256];
	ck_assert_int_eq(judge(owner, &good), 0);
	snprintf(path, sizeof(path), "%s/protections/web", directory);
	snprintf(away, sizeof(away), "%s/away", directory);
	ck_assert_int_eq(rename(path, away), 0);
	ck_assert_int_eq(judge(owner, &good), TMK_REFUSE_BROKEN);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_int_eq(rename(away, path), 0);
	snprintf(away, sizeof(away), "%s/sidecar", path);
	ck_assert_int_eq(unlink(away), 0);
	ck_assert_int_eq(judge(owner, &good), TMK_REFUSE_BROKEN);
}
END_TEST

START_TEST(devices_must_be_block_devices)
{
	char path[256];
	snprintf(path, sizeof(path), "mkdir -p %s/devices/web && ln -s /etc/passwd %s/devices/web/disk-0.raw", directory,
		 directory);
	ck_assert_int_eq(system(path), 0);
	ck_assert_int_eq(judge(owner, &good), TMK_REFUSE_TARGET);
	ck_assert_ptr_nonnull(strstr(verdict.text, "block device"));
}
END_TEST

static void put_seed(unsigned disk, uint64_t size, const char *where)
{
	char command[600];
	snprintf(command, sizeof(command), "mkdir -p %s/%s/web && truncate -s %llu %s/%s/web/disk-%u.raw", directory, where,
		 (unsigned long long)size, directory, where, disk);
	ck_assert_int_eq(system(command), 0);
}

static bool is_there(const char *format, unsigned disk)
{
	char path[300], below[60];
	struct stat st;
	snprintf(below, sizeof(below), format, disk);
	snprintf(path, sizeof(path), "%s/%s", directory, below);
	return lstat(path, &st) == 0;
}

/* A seed becomes the replica, whatever it was the replica of before, and whoever owned it. */
START_TEST(seeds_become_replicas)
{
	char path[300], number[8] = {42};
	struct stat before, after;
	put_seed(0, 1 << 20, "devices");
	put_seed(1, 1 << 20, "devices");
	snprintf(path, sizeof(path), "%s/devices/web/disk-1.raw", directory);
	bool numbered = setxattr(path, TMK_REPLICA_XATTR, number, sizeof(number), 0) == 0;
	ck_assert_int_eq(chmod(path, 0666), 0);
	ck_assert_int_eq(stat(path, &before), 0);
	ck_assert_msg(!judge(owner, &good), "%s", verdict.text);
	ck_assert(verdict.created);
	for (unsigned i = 0; i < 2; i++)
		ck_assert(is_there("protections/web/disk-%u.raw", i) && !is_there("devices/web/disk-%u.raw", i));
	snprintf(path, sizeof(path), "%s/protections/web/disk-1.raw", directory);
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ck_assert_int_eq(after.st_mode & 0777, 0600);
	if (numbered)
		ck_assert_int_eq(getxattr(path, TMK_REPLICA_XATTR, number, sizeof(number)), 8);
	ck_assert_int_eq(number[0], numbered ? 1 : 42);
	ck_assert_msg(!judge(owner, &good), "%s", verdict.text);
}
END_TEST

/* Nothing is made, nothing is moved, and it can be put right. */
START_TEST(seed_of_another_size)
{
	put_seed(0, 1 << 20, "devices");
	put_seed(1, (1 << 20) - 512, "devices");
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(judge(owner, &good), TMK_REFUSE_IDENTITY);
	ck_assert_ptr_nonnull(strstr(verdict.text, "1048576"));
	ck_assert_ptr_nonnull(strstr(verdict.text, "1048064"));
	ck_assert(is_there("devices/web/disk-%u.raw", 0) && is_there("devices/web/disk-%u.raw", 1));
	ck_assert(!is_there("protections/web", 0));
	put_seed(1, (1 << 20) + 512, "devices");
	ck_assert_int_eq(judge(owner, &good), TMK_REFUSE_IDENTITY);
	put_seed(1, 1 << 20, "devices");
	ck_assert_msg(!judge(owner, &good), "%s", verdict.text);
}
END_TEST

/* A first contact that was cut short between two seeds goes on; two files for one disk are an operator's to sort out. */
START_TEST(seeds_after_a_crash)
{
	put_seed(0, 1 << 20, "protections");
	put_seed(1, 1 << 20, "devices");
	put_seed(0, 1 << 20, "devices");
	ck_assert_int_eq(judge(owner, &good), TMK_REFUSE_TARGET);
	ck_assert_ptr_nonnull(strstr(verdict.text, "disk-0.raw is there already"));
	ck_assert(is_there("devices/web/disk-%u.raw", 0) && is_there("protections/web/disk-%u.raw", 0));
	char path[300];
	snprintf(path, sizeof(path), "%s/devices/web/disk-0.raw", directory);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_msg(!judge(owner, &good), "%s", verdict.text);
	ck_assert(is_there("protections/web/disk-%u.raw", 1) && !is_there("devices/web/disk-%u.raw", 1));
}
END_TEST

START_TEST(deleted_with_all)
{
	struct tmk_error err = {0};
	char to[TMK_NAME_MAX + 40], path[256];
	ck_assert_int_eq(judge(owner, &good), 0);
	snprintf(path, sizeof(path), "ln -s /etc %s/protections/web/journal/link", directory);
	ck_assert_int_eq(system(path), 0);
	ck_assert_int_eq(tmk_layout_discard(court.root, "web", to, &err), 0);
	snprintf(path, sizeof(path), "%s/%s/sidecar", directory, to);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(tmk_layout_remove(court.root, to, &err), 0);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_int_eq(access("/etc/passwd", F_OK), 0);
}
END_TEST

START_TEST(relations)
{
	const struct tmk_place nothing = {0}, five = {5, {5}}, seven = {7, {7}}, other_seven = {7, {8}};
	ck_assert_int_eq(tmk_ingest_relation(&nothing, &nothing, false), TMK_EQUAL);
	ck_assert_int_eq(tmk_ingest_relation(&five, &nothing, false), TMK_BEHIND);
	ck_assert_int_eq(tmk_ingest_relation(&nothing, &seven, true), TMK_BEHIND);
	ck_assert_int_eq(tmk_ingest_relation(&seven, &seven, true), TMK_EQUAL);
	ck_assert_int_eq(tmk_ingest_relation(&five, &seven, true), TMK_AHEAD);
	ck_assert_int_eq(tmk_ingest_relation(&five, &seven, false), TMK_BEHIND);
	ck_assert_int_eq(tmk_ingest_relation(&other_seven, &seven, false), TMK_BEHIND);
	ck_assert_int_eq(tmk_ingest_relation(&seven, &five, false), TMK_BEHIND);
}
END_TEST

START_TEST(room)
{
	struct tmk_room r;
	/* 10 chunks of an earlier session, at most 3 times what is stored. */
	tmk_room_init(&r, 100, 1 << 20, 5, 15, 1000);
	ck_assert_uint_eq(tmk_room_need(&r, 7), 107 + 3000);
	tmk_room_apply(&r, 10);
	ck_assert_uint_eq(tmk_room_need(&r, 7), 107 + 1500);
	for (uint64_t n = 16; n < 16 + 5000; n++)
		ck_assert_int_eq(tmk_room_append(&r, n, 10), 0);
	ck_assert_uint_eq(tmk_room_need(&r, 0), 100 + 1500 + 50000);
	tmk_room_apply(&r, 15);
	ck_assert_uint_eq(tmk_room_need(&r, 0), 100 + 50000);
	tmk_room_apply(&r, 14);
	tmk_room_apply(&r, 16 + 4989);
	ck_assert_uint_eq(tmk_room_need(&r, 0), 100 + 100);
	ck_assert(tmk_room_waits(&r));
	for (uint64_t n = 16 + 5000; n < 16 + 9000; n++)
		ck_assert_int_eq(tmk_room_append(&r, n, 1000), 0);
	ck_assert_uint_eq(tmk_room_need(&r, 0), 100 + (1 << 20)); /* no more than its holes */
	tmk_room_apply(&r, 16 + 8999);
	ck_assert(!tmk_room_waits(&r));
	ck_assert_uint_eq(tmk_room_need(&r, 1), 101);
	tmk_room_free(&r);
	tmk_room_init(&r, 100, 1ull << 40, 5, 7, 1ull << 40);
	ck_assert_uint_eq(tmk_room_need(&r, 0), 100 + 2 * TMK_CHUNK_RAW_MAX);
	tmk_room_init(&r, 100, 0, 5, 7, 1ull << 40);
	ck_assert_uint_eq(tmk_room_need(&r, 1), 101); /* a block device */
}
END_TEST

START_TEST(times)
{
	uint64_t ns;
	char text[32];
	ck_assert_int_eq(tmk_pick_time("2026-11-21T12:00:05Z", &ns), 0);
	ck_assert_uint_eq(ns, 1795262405000000000ull);
	tmk_pick_format(ns, text);
	ck_assert_str_eq(text, "2026-11-21T12:00:05Z");
	ck_assert_int_eq(tmk_pick_time("2026-11-21 13:00:05.25+01:00", &ns), 0);
	ck_assert_uint_eq(ns, 1795262405250000000ull);
	ck_assert_int_eq(tmk_pick_time("2026-11-21T12:00Z", &ns), 0);
	ck_assert_uint_eq(ns, 1795262400000000000ull);
	static const char *const bad[] = {"",
					  "latest",
					  "2026",
					  "2026-11-21",
					  "2026-11-21T12",
					  "2026-11-21T12:00:05Zx",
					  "12:00",
					  "2026-13-21T12:00:05Z",
					  "1960-01-01T00:00:00Z",
					  "2026-11-21T12:00:05.xZ"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(tmk_pick_time(bad[i], &ns) < 0, "%s", bad[i]);
}
END_TEST

START_TEST(points_by_name)
{
	struct tmk_error err = {0};
	struct tmk_point p[3] = {
		{.number = 30, .target_time = 1795262430000000000ull, .mark = {.kind = TMK_CRASH, .label = "c"}},
		{.number = 20, .target_time = 1795262420000000000ull, .mark = {.kind = TMK_APP, .label = "b"}},
		{.number = 10, .target_time = 1795262410000000000ull, .mark = {.kind = TMK_CRASH, .label = "a", .id = {0xab}}},
	};
	static const struct {
		const char *text;
		int index;
	} cases[] = {
		{"", 0},
		{"latest", 0},
		{"latest-app", 1},
		{"30", 0},
		{"10", 2},
		{"11", -ENOENT},
		{"b", 1},
		{"nothing", -ENOENT},
		{"ab000000000000000000000000000000", 2},
		{"2026-11-21T12:00:20Z", 1},
		{"2026-11-21T12:00:29Z", 1},
		{"2026-11-21T13:00:00Z", 0},
		{"2026-11-21T12:00:09Z", -ENOENT},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_msg(tmk_pick_point(p, 3, cases[i].text, &err) == cases[i].index, "%s", cases[i].text);
	ck_assert_int_eq(tmk_pick_point(p, 0, "", &err), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("session");
	TCase *tc = tcase_create("session");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, first_contact_makes_it);
	tcase_add_loop_test(tc, verdicts, 0, sizeof(rows) / sizeof(*rows));
	tcase_add_test(tc, revoked);
	tcase_add_test(tc, fenced_after_failover);
	tcase_add_test(tc, catalogue_put_back);
	tcase_add_test(tc, replica_put_back);
	tcase_add_test(tc, catalogue_lost);
	tcase_add_test(tc, deleted_stays_deleted);
	tcase_add_test(tc, replica_gone);
	tcase_add_test(tc, devices_must_be_block_devices);
	tcase_add_test(tc, seeds_become_replicas);
	tcase_add_test(tc, seed_of_another_size);
	tcase_add_test(tc, seeds_after_a_crash);
	tcase_add_test(tc, deleted_with_all);
	tcase_add_test(tc, relations);
	tcase_add_test(tc, room);
	tcase_add_test(tc, times);
	tcase_add_test(tc, points_by_name);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
