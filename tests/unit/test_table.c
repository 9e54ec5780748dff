/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of disks that probes look at: what is in it is found, at every moment, and nothing else. links: shipper */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"
#include "table.h"

#define DISKS 24
#define SLOTS 64

static struct tmk_bpf_disk table[TMK_BPF_PLACES];
static struct tmk_error err;

/* Disks whose search begins at one of the `spread` places from `first` on. */
static void choose(uint32_t *devs, unsigned count, uint32_t first, uint32_t spread)
{
	uint32_t dev = 7 << 20;

	for (unsigned i = 0; i < count; dev++)
		if ((tmk_bpf_place(dev, 0) - first) % TMK_BPF_PLACES < spread)
			devs[i++] = dev;
}

static void start(void)
{
	memset(table, 0, sizeof(table));
}

static void add(uint32_t dev, int slot)
{
	ck_assert_int_eq(tmk_table_add(table, dev, TMK_BPF_SCSI, slot, &err), 0);
}

START_TEST(the_number_is_kept_whole)
{
	struct tmk_bpf_disk *place;
	uint32_t dev = 4095u << 20 | 0xffffe;

	start();
	ck_assert_int_eq(tmk_table_add(table, dev, TMK_BPF_NVME, 63, &err), 0);
	place = tmk_bpf_find(table, dev);
	ck_assert_ptr_nonnull(place);
	ck_assert_uint_eq(place->who >> 32, dev);
	ck_assert_uint_eq((uint32_t)place->who, TMK_BPF_NVME);
	ck_assert_uint_eq(place->slots, 64);
	ck_assert_ptr_null(tmk_bpf_find(table, dev - 1));
	ck_assert_ptr_null(tmk_bpf_find(table, 0));
	ck_assert_int_eq(tmk_table_add(table, dev, TMK_BPF_OTHER, 63, &err), 0);
	ck_assert_uint_eq((uint32_t)place->who, TMK_BPF_OTHER);
	ck_assert_uint_eq(place->slots, 64);
}
END_TEST

START_TEST(eight_slots_of_a_disk)
{
	struct tmk_bpf_disk *place;

	start();
	for (int slot = 10; slot < 18; slot++)
		add(77, slot);
	ck_assert_int_eq(tmk_table_add(table, 77, TMK_BPF_SCSI, 18, &err), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(err.text, "whole disk instead"));
	place = tmk_bpf_find(table, 77);
	for (int slot = 10; slot < 18; slot++) {
		uint64_t list = place->slots;

		for (int left = 18 - slot; left; left--, list >>= 8)
			ck_assert_uint_ne(list & 0xff, 0);
		ck_assert_uint_eq(list, 0); /* no gaps */
		ck_assert(tmk_table_has(table, 77, slot));
		tmk_table_remove(table, slot);
		ck_assert(!tmk_table_has(table, 77, slot));
	}
	ck_assert_ptr_null(tmk_bpf_find(table, 77));
}
END_TEST

START_TEST(nine_disks_for_eight_places)
{
	uint32_t devs[9];

	start();
	choose(devs, 9, 250, 1); /* and around the end of the table */
	for (int i = 0; i < 8; i++)
		add(devs[i], i);
	ck_assert_int_eq(tmk_table_add(table, devs[8], TMK_BPF_SCSI, 8, &err), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(err.text, "no place is left for the disk 7:"));
	ck_assert_ptr_null(tmk_bpf_find(table, devs[8]));
	tmk_table_remove(table, 3);
	add(devs[8], 8);
	for (int i = 0; i < 9; i++)
		ck_assert(tmk_table_has(table, devs[i], i) == (i != 3));
}
END_TEST

static int wrong(const uint32_t *devs, const int *disk_of)
{
	int mistakes = 0;

	for (int d = 0; d < DISKS; d++) {
		const struct tmk_bpf_disk *place = tmk_bpf_find(table, devs[d]);
		uint64_t count = 0, listed = 0;

		for (int slot = 0; slot < SLOTS; slot++) {
			count += disk_of[slot] == d;
			mistakes += tmk_table_has(table, devs[d], slot) != (disk_of[slot] == d);
		}
		for (uint64_t list = place ? place->slots : 0; list; list >>= 8)
			listed++;
		mistakes += listed != count || !place != !count;
	}
	return mistakes;
}

START_TEST(many_changes)
{
	static const struct tmk_bpf_disk empty[TMK_BPF_PLACES];
	uint32_t devs[DISKS];
	int disk_of[SLOTS], full = 0;

	start();
	srandom(20261121);
	choose(devs, DISKS, 251, 12); /* crowded */
	memset(disk_of, -1, sizeof(disk_of));
	for (int round = 0; round < 20000; round++) {
		int slot = (int)(random() % SLOTS), d = (int)(random() % DISKS);

		if (disk_of[slot] >= 0 || random() % 3 == 0) {
			tmk_table_remove(table, slot);
			disk_of[slot] = -1;
		} else if (!tmk_table_add(table, devs[d], TMK_BPF_OTHER, slot, &err)) {
			disk_of[slot] = d;
		} else {
			full++;
		}
		ck_assert_int_eq(wrong(devs, disk_of), 0);
	}
	ck_assert_int_gt(full, 0);
	for (int slot = 0; slot < SLOTS; slot++)
		tmk_table_remove(table, slot);
	ck_assert_mem_eq(table, empty, sizeof(table)); /* nothing is left that lengthens searches */
}
END_TEST

static atomic_bool stop;

/* A probe: the disk with slot 63 is there all the time. */
static void *probe(void *dev)
{
	uintptr_t misses = 0;

	while (!atomic_load(&stop)) {
		const struct tmk_bpf_disk *place = tmk_bpf_find(table, *(uint32_t *)dev);

		misses += !place || (*(volatile __u64 *)&place->slots & 0xff) != 64;
	}
	return (void *)misses;
}

START_TEST(others_come_and_go)
{
	uint32_t devs[7];
	pthread_t thread;
	void *misses;

	start();
	choose(devs, 7, 100, 1);
	for (int i = 0; i < 4; i++)
		add(devs[i], i);
	add(devs[4], 63);
	atomic_store(&stop, false);
	ck_assert_int_eq(pthread_create(&thread, NULL, probe, &devs[4]), 0);
	for (int round = 0; round < 200000; round++) {
		int i = round % 6;

		i += i >= 4;
		if (tmk_bpf_find(table, devs[i]))
			tmk_table_remove(table, i);
		else
			add(devs[i], i);
	}
	atomic_store(&stop, true);
	pthread_join(thread, &misses);
	ck_assert_ptr_null(misses);
}
END_TEST

/* A kill between the two stores of an addition, and of a removal. */
START_TEST(what_a_kill_leaves)
{
	uint32_t devs[3];

	start();
	choose(devs, 3, 9, 1);
	add(devs[0], 0);
	add(devs[1], 1);
	table[tmk_bpf_place(devs[2], 2)].slots = 3; /* listed, and no disk yet */
	tmk_table_remove(table, 2);
	ck_assert_uint_eq(table[tmk_bpf_place(devs[2], 2)].slots, 0);
	table[tmk_bpf_place(devs[0], 0)].slots = 0; /* no slot, and still a disk */
	tmk_table_remove(table, 0);
	ck_assert_ptr_null(tmk_bpf_find(table, devs[0]));
	ck_assert(tmk_table_has(table, devs[1], 1));
	add(devs[2], 2);
	ck_assert_ptr_eq(tmk_bpf_find(table, devs[2]), &table[tmk_bpf_place(devs[2], 0)]);
	ck_assert(tmk_table_has(table, devs[1], 1));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("table");
	TCase *tcase = tcase_create("table");

	tcase_add_test(tcase, the_number_is_kept_whole);
	tcase_add_test(tcase, eight_slots_of_a_disk);
	tcase_add_test(tcase, nine_disks_for_eight_places);
	tcase_add_test(tcase, many_changes);
	tcase_add_test(tcase, others_come_and_go);
	tcase_add_test(tcase, what_a_kill_leaves);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
