/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. Doubt: what goes hash first, how long it lasts, and for whom. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doubt.h"
#include "piece.h"
#include "suite.h"
#include "util.h"

#define PIECES 70 /* more than a word of bits */
#define LAST 2560 /* bytes of disk 0's last piece: a multiple of 512 alone */

static char directory[64], path[128];
static struct tmk_spec spec;
static struct tmk_doubt *d;
static struct tmk_error err;

/* As POSIX has it: errno is not its business. */
static int no_room;
int posix_fallocate(int fd, off_t offset, off_t length)
{
	int rc = no_room ? 0 : fallocate(fd, 0, offset, length);

	return no_room ? no_room : rc ? EIO : 0;
}

static void open_it(void)
{
	ck_assert_msg(!tmk_doubt_open(&d, directory, &spec, &err), "%s", err.text);
}

static void again(void)
{
	tmk_doubt_close(d);
	open_it();
}

static void setup(void)
{
	strcpy(directory, "/tmp/tmk-test-doubt-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/web.doubt", directory);
	memset(&spec, 0, sizeof(spec));
	strcpy(spec.name, "web");
	memset(spec.protection, 0x5e, sizeof(spec.protection));
	spec.disk_count = 2;
	spec.disks[0].size = (PIECES - 1) * (uint64_t)TMK_PIECE + LAST;
	spec.disks[1].size = 2 * TMK_PIECE;
	open_it();
}

static void teardown(void)
{
	tmk_doubt_close(d);
	unlink(path);
	rmdir(directory);
}

/* Walks the whole disk with split: each part is maximal, they cover all, and are in doubt just where `want` has a 1. */
static void check_pieces(uint16_t disk, const char *want)
{
	uint64_t size = spec.disks[disk].size, at = 0;

	ck_assert_uint_eq(strlen(want), tmk_piece_count(0, size));
	while (at < size) {
		uint64_t length = size - at;
		bool is = tmk_doubt_split(d, disk, at, &length);
		size_t end = (size_t)((at + length + TMK_PIECE - 1) / TMK_PIECE);

		ck_assert_uint_gt(length, 0);
		for (size_t i = at / TMK_PIECE; i < end; i++)
			ck_assert_msg((want[i] == '1') == is, "disk %u, piece %zu: %d", disk, i, is);
		at += length;
		ck_assert(at == size || (want[at / TMK_PIECE] == '1') != is);
	}
	ck_assert_uint_eq(at, size);
}

static const char *pieces(const char *ones)
{
	static char map[PIECES + 1];

	memset(map, '0', PIECES);
	memcpy(map, ones, strlen(ones));
	return map;
}

static const char *full(void)
{
	static char map[PIECES + 1];

	memset(map, '1', PIECES);
	return map;
}

START_TEST(none_at_first)
{
	uint64_t length = 5 * TMK_PIECE;

	check_pieces(0, pieces(""));
	check_pieces(1, "00");
	ck_assert(!tmk_doubt_split(d, 0, 512, &length));
	ck_assert_uint_eq(length, 5 * TMK_PIECE);
}
END_TEST

START_TEST(all_of_one_disk)
{
	tmk_doubt_all(d, 0);
	check_pieces(0, full());
	check_pieces(1, "00");
	tmk_doubt_all(d, 1);
	check_pieces(1, "11");
	tmk_doubt_none(d, 0);
	check_pieces(0, pieces(""));
	check_pieces(1, "11");
}
END_TEST

/* The pieces that the range touches, to their ends, and no other. */
START_TEST(cleared)
{
	char want[PIECES + 1];

	strcpy(want, full());
	tmk_doubt_all(d, 0);
	tmk_doubt_all(d, 1);
	tmk_doubt_clear(d, 0, 3 * TMK_PIECE, 0);
	check_pieces(0, want);
	tmk_doubt_clear(d, 0, 3 * TMK_PIECE, TMK_PIECE);
	want[3] = '0';
	check_pieces(0, want);
	tmk_doubt_clear(d, 0, 6 * TMK_PIECE - 512, 1024);
	want[5] = want[6] = '0';
	check_pieces(0, want);
	tmk_doubt_clear(d, 0, 62 * TMK_PIECE + 512, 4 * TMK_PIECE - 1024);
	memset(want + 62, '0', 4);
	check_pieces(0, want);
	tmk_doubt_clear(d, 0, spec.disks[0].size - 512, 512);
	want[PIECES - 1] = '0';
	check_pieces(0, want);
	tmk_doubt_clear(d, 0, 0, spec.disks[0].size);
	check_pieces(0, pieces(""));
	check_pieces(1, "11");
}
END_TEST

/* The first count is what it is; a disk whose count moves was marked as a whole. */
START_TEST(follows_the_gap_count)
{
	tmk_doubt_follow(d, 0, 7);
	tmk_doubt_follow(d, 1, 0);
	tmk_doubt_follow(d, 0, 7);
	check_pieces(0, pieces(""));
	tmk_doubt_follow(d, 0, 8);
	check_pieces(0, full());
	check_pieces(1, "00");
	tmk_doubt_clear(d, 0, 0, spec.disks[0].size);
	tmk_doubt_follow(d, 0, 8);
	check_pieces(0, pieces(""));
	again();
	tmk_doubt_follow(d, 0, 8);
	tmk_doubt_follow(d, 1, 0);
	check_pieces(0, pieces(""));
	tmk_doubt_follow(d, 1, 1); /* it moved while no shipper ran */
	check_pieces(1, "11");
	check_pieces(0, pieces(""));
}
END_TEST

static void split(uint64_t offset, uint64_t length, bool want, uint64_t want_length)
{
	bool is = tmk_doubt_split(d, 0, offset, &length);

	ck_assert_msg(is == want && length == want_length, "at %llu: %d, %llu bytes", (unsigned long long)offset, is,
		      (unsigned long long)length);
}

/* Only whole pieces go as hashes: the result for a part would say nothing of the rest. */
START_TEST(parts_of_pieces)
{
	tmk_doubt_all(d, 0);
	split(0, TMK_PIECE, true, TMK_PIECE);
	split(0, TMK_PIECE - 512, false, TMK_PIECE - 512);
	split(512, TMK_PIECE, false, TMK_PIECE);
	split(4096, 3 * TMK_PIECE, false, TMK_PIECE - 4096);
	split(TMK_PIECE, 3 * TMK_PIECE - 4096, true, 2 * TMK_PIECE);
	split(3 * TMK_PIECE, TMK_PIECE - 4096, false, TMK_PIECE - 4096);
	tmk_doubt_clear(d, 0, 2 * TMK_PIECE, TMK_PIECE);
	split(0, 9 * TMK_PIECE, true, 2 * TMK_PIECE);
	split(2 * TMK_PIECE, 9 * TMK_PIECE, false, TMK_PIECE);
	split(4096 + TMK_PIECE, 4 * TMK_PIECE, false, 2 * TMK_PIECE - 4096);
	split(3 * TMK_PIECE, 512, false, 512);
}
END_TEST

/* A disk that ends in a piece has that piece whole. */
START_TEST(the_last_piece)
{
	uint64_t at = (PIECES - 1) * (uint64_t)TMK_PIECE;

	tmk_doubt_all(d, 0);
	split(at, LAST, true, LAST);
	split(at, LAST - 512, false, LAST - 512);
	split(at + 512, LAST - 512, false, LAST - 512);
	split(at - TMK_PIECE, TMK_PIECE + LAST, true, TMK_PIECE + LAST);
	split(at - TMK_PIECE, TMK_PIECE + LAST - 512, true, TMK_PIECE);
	tmk_doubt_clear(d, 0, at, 512);
	split(at - TMK_PIECE, TMK_PIECE + LAST, true, TMK_PIECE);
	split(at, LAST, false, LAST);
}
END_TEST

START_TEST(outlives_the_shipper)
{
	char want[PIECES + 1];
	struct stat st;

	strcpy(want, full());
	tmk_doubt_all(d, 0);
	tmk_doubt_clear(d, 0, 64 * TMK_PIECE, TMK_PIECE);
	want[64] = '0';
	again();
	check_pieces(0, want);
	check_pieces(1, "00");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	spec.generation = 9; /* what may change */
	strcpy(spec.disks[0].path, "/dev/vdz");
	again();
	check_pieces(0, want);
	tmk_doubt_remove(directory, "web");
	ck_assert_int_ne(access(path, F_OK), 0);
	again();
	check_pieces(0, pieces(""));
}
END_TEST

static void other_uuid(void)
{
	spec.protection[15] ^= 1;
}
static void other_size(void)
{
	spec.disks[0].size -= 512; /* as many pieces */
}
static void swapped(void)
{
	uint64_t size = spec.disks[0].size;

	spec.disks[0].size = spec.disks[1].size;
	spec.disks[1].size = size;
}
static void one_more(void)
{
	spec.disks[spec.disk_count++].size = TMK_PIECE;
}
static void one_less(void)
{
	spec.disk_count--;
}
static void no_file_of_ours(void)
{
	char *text = calloc(1, 65536);

	memset(text, 'x', 65536);
	ck_assert_int_eq(tmk_write_file(path, text, 65536, 0600, NULL), 0);
	free(text);
}
static void cut_off(void)
{
	ck_assert_int_eq(truncate(path, 5), 0);
}
static void empty(void)
{
	ck_assert_int_eq(truncate(path, 0), 0);
}
static void (*const strangers[])(void) = {other_uuid, other_size, swapped, one_more, one_less, no_file_of_ours, cut_off, empty};

START_TEST(thrown_away)
{
	tmk_doubt_all(d, 0);
	tmk_doubt_all(d, 1);
	tmk_doubt_close(d);
	strangers[_i]();
	open_it();
	for (uint16_t i = 0; i < spec.disk_count; i++) {
		uint64_t length = spec.disks[i].size;

		ck_assert(!tmk_doubt_split(d, i, 0, &length));
		ck_assert_uint_eq(length, spec.disks[i].size);
	}
	again(); /* and what was begun instead is good */
	tmk_doubt_all(d, 0);
	again();
	ck_assert(tmk_doubt_split(d, 0, 0, &(uint64_t){TMK_PIECE}));
}
END_TEST

static void in_memory(void)
{
	open_it();
	check_pieces(0, pieces(""));
	tmk_doubt_follow(d, 0, 1);
	tmk_doubt_follow(d, 0, 2);
	check_pieces(0, full());
	tmk_doubt_clear(d, 0, 0, TMK_PIECE);
	again();
	check_pieces(0, pieces(""));
	tmk_doubt_close(d);
}

START_TEST(no_place_for_a_file)
{
	char was[sizeof(directory)], other[sizeof(path)];
	struct stat st;

	tmk_doubt_close(d);
	unlink(path);
	strcpy(was, directory);
	strcpy(directory, "/nonexistent/run");
	in_memory();
	tmk_doubt_remove(directory, "web");
	strcpy(directory, was);
	snprintf(other, sizeof(other), "%s/other", directory);
	ck_assert_int_eq(tmk_write_file(other, "", 0, 0600, NULL), 0);
	ck_assert_int_eq(symlink(other, path), 0); /* it follows no link */
	in_memory();
	ck_assert_int_eq(stat(other, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	unlink(other);
	unlink(path);
	open_it();
}
END_TEST

/* A file with holes would be a SIGBUS one day; and it is said why there is none. */
START_TEST(no_room_for_a_file)
{
	char said[128], *text;
	int was = dup(STDERR_FILENO), log;

	tmk_doubt_close(d);
	unlink(path);
	snprintf(said, sizeof(said), "%s/said", directory);
	log = open(said, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ck_assert(was >= 0 && log >= 0 && dup2(log, STDERR_FILENO) >= 0);
	no_room = ENOSPC;
	in_memory();
	no_room = 0;
	dup2(was, STDERR_FILENO);
	close(was);
	close(log);
	ck_assert_int_eq(tmk_read_file(said, 4096, &text, NULL), 0);
	ck_assert_msg(strstr(text, "No space left on device"), "%s", text);
	free(text);
	unlink(said);
	open_it();
}
END_TEST

START_TEST(of_nothing_nothing_is_in_doubt)
{
	struct tmk_doubt *nothing = NULL;
	uint64_t length = 7 * TMK_PIECE;

	tmk_doubt_all(nothing, 0);
	tmk_doubt_none(nothing, 0);
	tmk_doubt_follow(nothing, 0, 1);
	tmk_doubt_clear(nothing, 0, 0, 512);
	ck_assert(!tmk_doubt_split(nothing, 0, 0, &length));
	ck_assert_uint_eq(length, 7 * TMK_PIECE);
	tmk_doubt_close(nothing);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("doubt");
	TCase *t = tcase_create("doubt");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, none_at_first);
	tcase_add_test(t, all_of_one_disk);
	tcase_add_test(t, cleared);
	tcase_add_test(t, follows_the_gap_count);
	tcase_add_test(t, parts_of_pieces);
	tcase_add_test(t, the_last_piece);
	tcase_add_test(t, outlives_the_shipper);
	tcase_add_loop_test(t, thrown_away, 0, sizeof(strangers) / sizeof(strangers[0]));
	tcase_add_test(t, no_place_for_a_file);
	tcase_add_test(t, no_room_for_a_file);
	tcase_add_test(t, of_nothing_nothing_is_in_doubt);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
