/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. What the store writes it reads back; what it did not write it refuses; two writers of one spec lose nothing. */
#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"
#include "suite.h"
#include "util.h"

static char directory[64];
static struct tmk_spec spec, again;
static struct tmk_error err;

static int remove_one(const char *file, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(file);
}

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	strcpy(directory, "/tmp/tmk-test-store-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	spec = (struct tmk_spec){.name = "web.1", .generation = 7, .paused = true, .disk_count = 2};
	memset(spec.protection, 0xa5, sizeof(spec.protection));
	spec.disks[0] = (struct tmk_spec_disk){"/dev/disk/by-id/wwn-0x5000", "wwn:0x5000", 1ull << 40};
	spec.disks[1] = (struct tmk_spec_disk){"/dev/vdb1", "", 512};
}

static void teardown(void)
{
	nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_raw(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/protections", directory);
	ck_assert_int_eq(tmk_mkdirs(path, 0700, NULL), 0);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	ck_assert_int_eq(tmk_write_file(path, text, strlen(text), 0600, NULL), 0);
}

START_TEST(spec_round_trip)
{
	char path[256];
	struct stat st;

	ck_assert_int_eq(tmk_store_spec(directory, "web.1", &again, &err), -ENOENT);
	ck_assert_msg(!tmk_store_put_spec(directory, &spec, &err), "%s", err.text);
	ck_assert_msg(!tmk_store_spec(directory, "web.1", &again, &err), "%s", err.text);
	ck_assert_mem_eq(&spec, &again, sizeof(spec));
	snprintf(path, sizeof(path), "%s/protections/web.1.json", directory);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(tmk_store_delete_spec(directory, "web.1", &err), 0);
	ck_assert_int_eq(tmk_store_spec(directory, "web.1", &again, &err), -ENOENT);
	ck_assert_int_eq(tmk_store_delete_spec(directory, "web.1", &err), -ENOENT);
}
END_TEST

START_TEST(names_stay_inside)
{
	static const char *const names[] = {
		"", "../x", "a/b", ".x", "-x", "a b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

	ck_assert_int_eq(tmk_store_spec(directory, names[_i], &again, &err), -EINVAL);
	ck_assert_int_eq(tmk_store_delete_spec(directory, names[_i], &err), -EINVAL);
	snprintf(spec.name, sizeof(spec.name), "%s", names[_i]);
	if (strlen(names[_i]) <= TMK_NAME_MAX)
		ck_assert_int_eq(tmk_store_put_spec(directory, &spec, &err), -EINVAL);
}
END_TEST

START_TEST(all_by_name)
{
	static const char *const names[] = {"c", "a", "b"};
	struct tmk_spec *specs;
	size_t count;

	ck_assert_int_eq(tmk_store_specs(directory, &specs, &count, &err), 0);
	ck_assert_uint_eq(count, 0);
	free(specs);
	for (size_t i = 0; i < 3; i++) {
		strcpy(spec.name, names[i]);
		ck_assert_int_eq(tmk_store_put_spec(directory, &spec, &err), 0);
	}
	write_raw("protections/ignored.txt", "not ours");
	write_raw("protections/.hidden.json", "not ours");
	ck_assert_msg(!tmk_store_specs(directory, &specs, &count, &err), "%s", err.text);
	ck_assert_uint_eq(count, 3);
	ck_assert_str_eq(specs[0].name, "a");
	ck_assert_str_eq(specs[1].name, "b");
	ck_assert_str_eq(specs[2].name, "c");
	free(specs);
}
END_TEST

#define DISK "{\"path\": \"/dev/sda\", \"identity\": \"x\", \"size\": 1024}"
#define HEAD                                                                                                                     \
	"{\"version\": 1, \"name\": \"n\", \"protection\": \"000102030405060708090a0b0c0d0e0f\", \"generation\": 1, "            \
	"\"paused\": false"
#define GOOD HEAD ", \"disks\": [" DISK "]}"
static const char *const damaged[] = {
	"",
	"[]",
	"{}",
	"not json",
	GOOD "x",
	HEAD "}",
	HEAD ", \"disks\": []}",
	HEAD ", \"disks\": {}}",
	HEAD ", \"disks\": [7]}",
	HEAD ", \"disks\": [" DISK "], \"more\": 1}",
	HEAD ", \"paused\": true, \"disks\": [" DISK "]}",
	HEAD ", \"disks\": [{\"path\": \"/dev/sda\", \"identity\": \"x\", \"size\": 1024, \"more\": 1}]}",
	HEAD ", \"disks\": [{\"path\": \"/dev/sda\", \"identity\": \"x\", \"size\": 1000}]}",
	HEAD ", \"disks\": [{\"path\": \"/dev/sda\", \"identity\": \"x\", \"size\": 0}]}",
	HEAD ", \"disks\": [{\"path\": \"/dev/sda\", \"identity\": \"x\", \"size\": -512}]}",
	HEAD ", \"disks\": [{\"path\": \"/dev/sda\", \"identity\": \"x\", \"size\": \"1024\"}]}",
	HEAD ", \"disks\": [{\"path\": \"sda\", \"identity\": \"x\", \"size\": 1024}]}",
	HEAD ", \"disks\": [{\"path\": \"\", \"identity\": \"x\", \"size\": 1024}]}",
	HEAD ", \"disks\": [{\"path\": \"/dev/sda\", \"size\": 1024}]}",
	"{\"version\": 2, \"name\": \"n\", \"protection\": \"000102030405060708090a0b0c0d0e0f\", \"generation\": 1, \"paused\": "
	"false, "
	"\"disks\": [" DISK "]}",
	"{\"version\": 1, \"name\": \"m\", \"protection\": \"000102030405060708090a0b0c0d0e0f\", \"generation\": 1, \"paused\": "
	"false, "
	"\"disks\": [" DISK "]}",
	"{\"version\": 1, \"name\": \"n\", \"protection\": \"000102030405060708090a0b0c0d0e\", \"generation\": 1, \"paused\": "
	"false, "
	"\"disks\": [" DISK "]}",
	"{\"version\": 1, \"name\": \"n\", \"protection\": \"zz0102030405060708090a0b0c0d0e0f\", \"generation\": 1, \"paused\": "
	"false, "
	"\"disks\": [" DISK "]}",
	"{\"version\": 1, \"name\": \"n\", \"protection\": \"000102030405060708090a0b0c0d0e0f\", \"generation\": -1, \"paused\": "
	"false, "
	"\"disks\": [" DISK "]}",
	"{\"version\": 1, \"name\": \"n\", \"protection\": \"000102030405060708090a0b0c0d0e0f\", \"generation\": 1, \"paused\": "
	"0, "
	"\"disks\": [" DISK "]}",
};

START_TEST(damaged_spec)
{
	char(*names)[TMK_NAME_MAX + 1];
	struct tmk_spec *specs;
	size_t count;

	write_raw("protections/n.json", GOOD); /* the control: all of it but the damage is right */
	ck_assert_msg(!tmk_store_spec(directory, "n", &again, &err), "%s", err.text);
	write_raw("protections/n.json", damaged[_i]);
	ck_assert_int_eq(tmk_store_spec(directory, "n", &again, &err), -EBADMSG);
	ck_assert_msg(strstr(err.text, "n.json"), "%s", err.text);
	ck_assert_int_eq(tmk_store_specs(directory, &specs, &count, &err), -EBADMSG);
	ck_assert_ptr_null(specs);
	ck_assert_int_eq(tmk_store_set_paused(directory, "n", true, &err), -EBADMSG);
	ck_assert_int_eq(tmk_store_names(directory, &names, &count, &err), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(names[0], "n");
	free(names);
}
END_TEST

START_TEST(not_utf8)
{
	strcpy(spec.disks[0].path, "/dev/\xff");
	ck_assert_int_eq(tmk_store_put_spec(directory, &spec, &err), -EINVAL);
	ck_assert_int_eq(tmk_store_spec(directory, "web.1", &again, &err), -ENOENT);
}
END_TEST

/* Each thread is the only one that sets its field, so that what it just set must still be there. */
static void *raise_generation(void *unused)
{
	static struct tmk_spec mine;

	(void)unused;
	for (uint64_t g = 8; g < 208; g++)
		if (tmk_store_set_generation(directory, "web.1", g, NULL) || tmk_store_spec(directory, "web.1", &mine, NULL) ||
		    mine.generation != g)
			return "lost a generation";
	return NULL;
}

START_TEST(two_writers)
{
	pthread_t thread;
	void *result;

	spec.generation = 7;
	ck_assert_int_eq(tmk_store_put_spec(directory, &spec, &err), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, raise_generation, NULL), 0);
	for (int i = 0; i < 201; i++) {
		ck_assert_msg(!tmk_store_set_paused(directory, "web.1", i & 1, &err), "%s", err.text);
		ck_assert_msg(!tmk_store_spec(directory, "web.1", &again, &err), "%s", err.text);
		ck_assert_int_eq(again.paused, i & 1);
	}
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert_ptr_null(result);
	ck_assert_int_eq(tmk_store_spec(directory, "web.1", &again, &err), 0);
	ck_assert_uint_eq(again.generation, 207);
	ck_assert(!again.paused);
	again.generation = spec.generation;
	again.paused = spec.paused;
	ck_assert_mem_eq(&spec, &again, sizeof(spec));
}
END_TEST

START_TEST(set_after_delete)
{
	ck_assert_int_eq(tmk_store_set_generation(directory, "web.1", 3, &err), -ENOENT);
	ck_assert_int_eq(tmk_store_spec(directory, "web.1", &again, &err), -ENOENT);
}
END_TEST

START_TEST(target_round_trip)
{
	struct tmk_target_address target = {.host = "dr.example", .port = 9443}, back;

	ck_assert_int_eq(tmk_store_target(directory, &back, &err), -ENOENT);
	ck_assert_msg(strstr(err.text, "tidemark join"), "%s", err.text);
	ck_assert_msg(!tmk_store_set_target(directory, &target, &err), "%s", err.text);
	ck_assert_msg(!tmk_store_target(directory, &back, &err), "%s", err.text);
	ck_assert_str_eq(back.host, "dr.example");
	ck_assert_uint_eq(back.port, 9443);
}
END_TEST

static const char *const bad_targets[] = {
	"",
	"{}",
	"{\"version\": 1, \"host\": \"\", \"port\": 9443}",
	"{\"version\": 1, \"host\": \"h\", \"port\": 0}",
	"{\"version\": 1, \"host\": \"h\", \"port\": 65536}",
	"{\"version\": 1, \"host\": \"h\", \"port\": \"9443\"}",
	"{\"version\": 2, \"host\": \"h\", \"port\": 9443}",
	"{\"version\": 1, \"host\": \"h\", \"port\": 9443, \"more\": 1}",
};

START_TEST(damaged_target)
{
	struct tmk_target_address back;

	write_raw("target.json", bad_targets[_i]);
	ck_assert_int_eq(tmk_store_target(directory, &back, &err), -EBADMSG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store");
	TCase *t = tcase_create("store");

	tcase_set_timeout(t, 100); /* two_writers flushes 800 times */
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, spec_round_trip);
	tcase_add_loop_test(t, names_stay_inside, 0, 7);
	tcase_add_test(t, all_by_name);
	tcase_add_loop_test(t, damaged_spec, 0, sizeof(damaged) / sizeof(damaged[0]));
	tcase_add_test(t, not_utf8);
	tcase_add_test(t, two_writers);
	tcase_add_test(t, set_after_delete);
	tcase_add_test(t, target_round_trip);
	tcase_add_loop_test(t, damaged_target, 0, sizeof(bad_targets) / sizeof(bad_targets[0]));
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
