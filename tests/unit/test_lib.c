/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lib: buffers, names, units, configuration, tokens, files, errors, I/O and its faults.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "conf.h"
#include "error.h"
#include "io.h"
#include "io_fault.h"
#include "message.h"
#include "pki.h"
#include "suite.h"
#include "sum.h"
#include "util.h"

static char directory[64];

static void setup(void)
{
	strcpy(directory, "/dev/shm/tmk-lib-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}

static const char *in_directory(char out[256], const char *name)
{
	ck_assert_int_eq(tmk_path(out, 256, "%s/%s", directory, name), 0);
	return out;
}

/* ---- buf ---- */

START_TEST(buf_round_trip)
{
	uint8_t bytes[64];
	struct tmk_writer_buf w = tmk_writer_buf(bytes, sizeof(bytes));
	struct tmk_reader r;
	char text[16];

	tmk_put_u8(&w, 0x12);
	tmk_put_u16(&w, 0x3456);
	tmk_put_u32(&w, 0x789abcde);
	tmk_put_u64(&w, 0x0123456789abcdefull);
	tmk_put_string(&w, "Grüße\n");
	ck_assert(!w.failed);
	ck_assert_int_eq(bytes[1], 0x56);
	ck_assert_int_eq(bytes[2], 0x34);
	r = tmk_reader(bytes, w.at);
	ck_assert_uint_eq(tmk_get_u8(&r), 0x12);
	ck_assert_uint_eq(tmk_get_u16(&r), 0x3456);
	ck_assert_uint_eq(tmk_get_u32(&r), 0x789abcde);
	ck_assert_uint_eq(tmk_get_u64(&r), 0x0123456789abcdefull);
	ck_assert(!tmk_reader_done(&r));
	tmk_get_string(&r, text, sizeof(text));
	ck_assert_str_eq(text, "Grüße\n");
	ck_assert(tmk_reader_done(&r));
}
END_TEST

START_TEST(buf_reader_stays_failed)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5};
	struct tmk_reader r = tmk_reader(bytes, sizeof(bytes));
	uint8_t out[8] = {9, 9, 9, 9, 9, 9, 9, 9};

	ck_assert_uint_eq(tmk_get_u32(&r), 0x04030201);
	ck_assert_uint_eq(tmk_get_u16(&r), 0);
	ck_assert(r.failed);
	/* One byte is left, but the cursor has failed. */
	ck_assert_uint_eq(tmk_get_u8(&r), 0);
	ck_assert_ptr_null(tmk_get_span(&r, 0));
	tmk_get_bytes(&r, out, 8);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(out[i], 0);
	ck_assert(!tmk_reader_done(&r));
}
END_TEST

START_TEST(buf_huge_spans)
{
	static const uint8_t bytes[16];
	struct tmk_reader r = tmk_reader(bytes, sizeof(bytes));

	tmk_get_u64(&r);
	ck_assert_ptr_null(tmk_get_span(&r, SIZE_MAX));
	r = tmk_reader(bytes, sizeof(bytes));
	tmk_get_u64(&r);
	ck_assert_ptr_null(tmk_get_span(&r, SIZE_MAX - 7));
	r = tmk_reader(bytes, sizeof(bytes));
	ck_assert_ptr_nonnull(tmk_get_span(&r, 16));
	ck_assert(tmk_reader_done(&r));
}
END_TEST

START_TEST(buf_writer_bounds)
{
	uint8_t bytes[8] = {0};
	struct tmk_writer_buf w = tmk_writer_buf(bytes, 7);

	tmk_put_u32(&w, 1);
	tmk_put_u32(&w, 0xffffffff);
	ck_assert(w.failed);
	tmk_put_u8(&w, 0xff);
	for (int i = 4; i < 8; i++)
		ck_assert_uint_eq(bytes[i], 0);
}
END_TEST

static bool string_read(const char *bytes, size_t size, size_t room)
{
	uint8_t whole[64];
	char out[64];
	struct tmk_writer_buf w = tmk_writer_buf(whole, sizeof(whole));
	struct tmk_reader r;

	tmk_put_u16(&w, size);
	tmk_put_bytes(&w, bytes, size);
	r = tmk_reader(whole, w.at);
	tmk_get_string(&r, out, room);
	return tmk_reader_done(&r);
}

START_TEST(buf_strings)
{
	static const struct {
		const char *bytes;
		size_t size;
	} bad[] = {{"a\0b", 3}, {"\x1b[2J", 4},		{"\x7f", 1},	 {"\xc2\x9b", 2},	  {"\xc0\x80", 2},
		   {"\xff", 1}, {"\xed\xa0\x80", 3},	{"\xe2\x82", 2}, {"\xf4\x90\x80\x80", 4}, {"\x80", 1},
		   {"\r", 1},	{"\xf0\x80\x80\x80", 4}};
	struct tmk_writer_buf w;
	uint8_t bytes[64];
	char dirty[] = "a\x1b\xff\xc3\xa4z";

	ck_assert(string_read("", 0, 1));
	ck_assert(string_read("abc", 3, 4));
	ck_assert(!string_read("abc", 3, 3));
	ck_assert(string_read("\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa7", 9, 16));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(!string_read(bad[i].bytes, bad[i].size, 32), "string %zu is accepted", i);
	w = tmk_writer_buf(bytes, sizeof(bytes));
	tmk_put_string(&w, dirty);
	ck_assert(w.failed);
	tmk_string_clean(dirty);
	ck_assert_str_eq(dirty, "a??\xc3\xa4z");
	w = tmk_writer_buf(bytes, sizeof(bytes));
	tmk_put_string(&w, dirty);
	ck_assert(!w.failed);
}
END_TEST

/* ---- errors, util ---- */

START_TEST(errors)
{
	struct tmk_error err;
	char longer[2000];

	ck_assert_int_eq(tmk_error_set(&err, -EINVAL, "no %s", "way"), -EINVAL);
	ck_assert_str_eq(err.text, "no way");
	ck_assert_int_eq(tmk_error_prefix(&err, "disk %d", 3), -EINVAL);
	ck_assert_str_eq(err.text, "disk 3: no way");
	ck_assert_int_eq(tmk_error_sys(&err, -ENOENT, "%s", err.text), -ENOENT);
	ck_assert_str_eq(err.text, "disk 3: no way: No such file or directory");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	tmk_error_prefix(&err, "%s", longer);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	ck_assert_int_eq(tmk_error_set(NULL, -EIO, "x"), -EIO);
}
END_TEST

START_TEST(hex_and_human)
{
	uint8_t bytes[3];
	char text[32];

	ck_assert(tmk_unhex("00fFa5", bytes, 3));
	tmk_hex(bytes, 3, text);
	ck_assert_str_eq(text, "00ffa5");
	ck_assert(!tmk_unhex("00ffa", bytes, 3));
	ck_assert(!tmk_unhex("00ffa55", bytes, 3));
	ck_assert(!tmk_unhex("00ffg5", bytes, 3));
	ck_assert_str_eq(tmk_human(0, text), "0 B");
	ck_assert_str_eq(tmk_human(1023, text), "1023 B");
	ck_assert_str_eq(tmk_human(1536, text), "1.5 KiB");
	ck_assert_str_eq(tmk_human((1ull << 30) - 1, text), "1.0 GiB");
	ck_assert_str_eq(tmk_human(UINT64_MAX, text), "16.0 EiB");
}
END_TEST

START_TEST(files)
{
	struct tmk_error err;
	struct stat st;
	char path[256], *text;

	in_directory(path, "a/b/c");
	ck_assert_int_eq(tmk_mkdirs(path, 0700, &err), 0);
	ck_assert_int_eq(tmk_mkdirs(path, 0700, &err), 0);
	in_directory(path, "a/b/c/file");
	ck_assert_int_eq(tmk_read_file(path, 10, &text, &err), -ENOENT);
	ck_assert_int_eq(tmk_write_file(path, "0123456789", 10, 0640, &err), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(tmk_read_file(path, 9, &text, &err), -EFBIG);
	ck_assert_int_eq(tmk_read_file(path, 10, &text, &err), 0);
	ck_assert_str_eq(text, "0123456789");
	free(text);
	ck_assert_int_eq(tmk_write_file(path, "new", 3, 0600, &err), 0);
	ck_assert_int_eq(tmk_read_file(path, 10, &text, &err), 0);
	ck_assert_str_eq(text, "new");
	free(text);
	ck_assert_int_eq(tmk_write_file(path, "a\0b", 3, 0600, &err), 0);
	ck_assert_int_eq(tmk_read_file(path, 10, &text, &err), -EINVAL);
	in_directory(path, "a/b/c/file/d");
	ck_assert_int_eq(tmk_mkdirs(path, 0700, &err), -ENOTDIR);
	ck_assert_int_eq(tmk_path(path, 4, "%s", "abcd"), -ENAMETOOLONG);
	ck_assert_int_eq(tmk_path(path, 5, "%s", "abcd"), 0);
}
END_TEST

START_TEST(sums)
{
	uint8_t hash[32], a[16], b[16];
	char text[65];

	tmk_hash("abc", 3, hash);
	tmk_hex(hash, 32, text);
	ck_assert_str_eq(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	/* The published value of XXH3-64 and XXH3-128 of nothing. */
	ck_assert_uint_eq(tmk_sum64("", 0), 0x2d06800538d394c2ull);
	tmk_sum128("", 0, a);
	tmk_hex(a, 16, text);
	ck_assert_str_eq(text, "99aa06d3014798d86001c324468d497f");
	tmk_random(a, 16);
	tmk_random(b, 16);
	ck_assert_mem_ne(a, b, 16);
}
END_TEST

/* ---- names, units, tokens ---- */

START_TEST(names)
{
	char name[TMK_NAME_MAX + 2];

	ck_assert(tmk_name_valid("a"));
	ck_assert(tmk_name_valid("Web-1.example_x"));
	ck_assert(!tmk_name_valid(""));
	ck_assert(!tmk_name_valid(".."));
	ck_assert(!tmk_name_valid("-x"));
	ck_assert(!tmk_name_valid("a/b"));
	ck_assert(!tmk_name_valid("a b"));
	ck_assert(!tmk_name_valid("a\n"));
	ck_assert(!tmk_name_valid("\xc3\xa4"));
	memset(name, 'n', sizeof(name));
	name[TMK_NAME_MAX] = 0;
	ck_assert(tmk_name_valid(name));
	name[TMK_NAME_MAX] = 'n';
	name[TMK_NAME_MAX + 1] = 0;
	ck_assert(!tmk_name_valid(name));
}
END_TEST

START_TEST(units)
{
	static const char *const bad[] = {"", "M", "-1", "+1", " 1", "1X", "1.5G", "16777216T", "99999999999999999999", "1 M x"};
	static const char *const bad_times[] = {"", "5", "s", "-1s", "1 year", "1.5h", "300000000000d"};
	uint64_t v = 77;

	ck_assert_int_eq(tmk_conf_bytes("64M", &v), 0);
	ck_assert_uint_eq(v, 64ull << 20);
	ck_assert_int_eq(tmk_conf_bytes("1 GiB", &v), 0);
	ck_assert_uint_eq(v, 1ull << 30);
	ck_assert_int_eq(tmk_conf_bytes("512", &v), 0);
	ck_assert_uint_eq(v, 512);
	ck_assert_int_eq(tmk_conf_bytes("unlimited", &v), 0);
	ck_assert_uint_eq(v, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(tmk_conf_bytes(bad[i], &v) < 0, "'%s' is accepted", bad[i]);
	ck_assert_int_eq(tmk_conf_duration("250ms", &v), 0);
	ck_assert_uint_eq(v, 250);
	ck_assert_int_eq(tmk_conf_duration("2s", &v), 0);
	ck_assert_uint_eq(v, 2000);
	ck_assert_int_eq(tmk_conf_duration("24h", &v), 0);
	ck_assert_uint_eq(v, 86400000);
	ck_assert_int_eq(tmk_conf_duration("7d", &v), 0);
	ck_assert_uint_eq(v, 604800000);
	for (size_t i = 0; i < sizeof(bad_times) / sizeof(*bad_times); i++)
		ck_assert_msg(tmk_conf_duration(bad_times[i], &v) < 0, "'%s' is accepted", bad_times[i]);
}
END_TEST

START_TEST(tokens)
{
	struct tmk_token token, got;
	char text[TMK_TOKEN_MAX], wrong[TMK_TOKEN_MAX + 8];
	struct tmk_error err;

	for (unsigned int round = 0; round < 50; round++) {
		tmk_random(&token, sizeof(token));
		tmk_token_format(&token, text);
		ck_assert_uint_eq(strlen(text), 63);
		snprintf(wrong, sizeof(wrong), " \t%s\n", text);
		ck_assert_int_eq(tmk_token_parse(wrong, &got, &err), 0);
		ck_assert_mem_eq(&got, &token, sizeof(token));
		for (char *c = wrong; *c; c++)
			*c = *c >= 'a' && *c <= 'z' ? *c - 32 : *c;
		ck_assert_int_eq(tmk_token_parse(wrong, &got, &err), 0);
		ck_assert_mem_eq(&got, &token, sizeof(token));
		for (size_t i = 0; i < strlen(text); i++) {
			static const char typos[] = "018-. a7";

			/* A typo is refused, or it is another token: never the same. */
			for (size_t t = 0; t < sizeof(typos) - 1; t++) {
				strcpy(wrong, text);
				if (wrong[i] == typos[t])
					continue;
				wrong[i] = typos[t];
				if (tmk_token_parse(wrong, &got, &err) == 0) {
					ck_assert(strchr("a7", typos[t]) != NULL);
					ck_assert_mem_ne(&got, &token, sizeof(token));
				}
			}
			/* A letter too few, one too many, cut off. */
			strcpy(wrong, text);
			memmove(wrong + i, wrong + i + 1, strlen(wrong + i));
			ck_assert_int_eq(tmk_token_parse(wrong, &got, &err), -EINVAL);
			snprintf(wrong, sizeof(wrong), "%.*sa%s", (int)i, text, text + i);
			ck_assert_int_eq(tmk_token_parse(wrong, &got, &err), -EINVAL);
			snprintf(wrong, sizeof(wrong), "%.*s", (int)i, text);
			ck_assert_int_eq(tmk_token_parse(wrong, &got, &err), -EINVAL);
		}
	}
	ck_assert_ptr_nonnull(strstr(err.text, "tidemark-target token"));
}
END_TEST

/* ---- configuration ---- */

struct settings {
	char text[16];
	uint64_t number, bytes, time;
	bool flag;
};

static int conf(const char *content, struct settings *s, struct tmk_error *err)
{
	const struct tmk_conf_key keys[] = {
		{"text", TMK_CONF_STRING, s->text, sizeof(s->text), 0, 0},
		{"number", TMK_CONF_NUMBER, &s->number, 0, 1, 10},
		{"bytes", TMK_CONF_BYTES, &s->bytes, 0, 0, 1 << 20},
		{"limits.time", TMK_CONF_SECONDS, &s->time, 0, 100, 0},
		{"flag", TMK_CONF_SWITCH, &s->flag, 0, 0, 0},
		{NULL, TMK_CONF_STRING, NULL, 0, 0, 0},
	};
	char path[256];

	in_directory(path, "conf");
	ck_assert_int_eq(tmk_write_file(path, content, strlen(content), 0600, NULL), 0);
	return tmk_conf_read(path, keys, err);
}

START_TEST(conf_good)
{
	struct settings s = {.text = "before", .number = 5, .flag = true};
	struct tmk_error err;

	ck_assert_int_eq(conf("# a comment\n\ntext = hello ; and why\nbytes = 64K\n[limits]\ntime = 2s\n", &s, &err), 0);
	ck_assert_str_eq(s.text, "hello");
	ck_assert_uint_eq(s.bytes, 65536);
	ck_assert_uint_eq(s.time, 2000);
	ck_assert_uint_eq(s.number, 5);
	ck_assert(s.flag);
	ck_assert_int_eq(conf("flag = no\nnumber = 10", &s, &err), 0);
	ck_assert(!s.flag);
	ck_assert_uint_eq(s.number, 10);
}
END_TEST

START_TEST(conf_bad)
{
	static const struct {
		const char *content, *place;
	} bad[] = {
		{"text = a\nnonsense = 1\n", ":2: unknown key nonsense"},
		{"[limits]\nother = 1\n", ":2: unknown key limits.other"},
		{"\n\n[nowhere]\n", ":3: unknown section"},
		{"number = 11\n", ":1: number must be from 1 to 10"},
		{"number = 0\n", ":1: number must be"},
		{"text=x\n\nnumber = many\n", ":3: number is not a plain number: many"},
		{"bytes = 2M\n", ":1: bytes must be"},
		{"bytes = lots\n", ":1: bytes is not a size"},
		{"[limits]\ntime = 5\n", ":2: limits.time is not a duration"},
		{"flag = perhaps\n", ":1: say yes or no"},
		{"text = 0123456789abcdef\n", ":1: the value is too long"},
		{"# x\njust words\n", ":2: not of the form"},
		{"text = a\ntext = b\n", ":2: given twice"},
		{"text = a\n  more\n", ":2: given twice"},
	};
	struct settings s = {0};
	struct tmk_error err;
	char longer[600];

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_int_eq(conf(bad[i].content, &s, &err), -EINVAL);
		ck_assert_msg(strstr(err.text, bad[i].place) != NULL, "'%s' lacks '%s'", err.text, bad[i].place);
	}
	snprintf(longer, sizeof(longer), "flag = yes\ntext = %0500d\n", 0);
	ck_assert_int_eq(conf(longer, &s, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, ":2: the line is too long"));
	ck_assert_int_eq(tmk_conf_read("/nonexistent/conf", &(struct tmk_conf_key){NULL, 0, NULL, 0, 0, 0}, &err), -ENOENT);
}
END_TEST

/* ---- I/O ---- */

static int file_open(const struct tmk_io *io)
{
	char path[256];
	int fd = io->open(io, AT_FDCWD, in_directory(path, "data"), O_RDWR | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	return fd;
}

START_TEST(io_real)
{
	const struct tmk_io *io = &tmk_io_real;
	uint8_t in[8192], out[8192];
	int fd = file_open(io), dir;

	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	memset(in, 0xab, sizeof(in));
	ck_assert_int_eq(io->write(io, fd, in, sizeof(in), 4096), 0);
	ck_assert_int_eq(io->size(io, fd), 12288);
	ck_assert_int_eq(io->zero(io, fd, 8192, 4096), 0);
	ck_assert_int_eq(io->read(io, fd, out, 8192, 4096), 0);
	ck_assert_mem_eq(out, in, 4096);
	for (int i = 4096; i < 8192; i++)
		ck_assert_uint_eq(out[i], 0);
	ck_assert_int_eq(io->read(io, fd, out, 8192, 8192), -ENODATA);
	/* A zeroed range reads as zeroes behind the end, too. */
	ck_assert_int_eq(io->zero(io, fd, 12288 + 512, 1024), 0);
	ck_assert_int_eq(io->size(io, fd), 12288 + 1536);
	ck_assert_int_eq(io->read(io, fd, out, 1536, 12288), 0);
	ck_assert_int_eq(io->zero(io, fd, UINT64_MAX - 511, 1024), -EFBIG);
	ck_assert_int_eq(io->flush(io, fd), 0);
	ck_assert_int_eq(io->truncate(io, fd, 100), 0);
	ck_assert_int_eq(io->size(io, fd), 100);
	ck_assert_int_eq(io->close(io, fd), 0);
	ck_assert_int_eq(io->close(io, fd), -EBADF);
	dir = io->open(io, AT_FDCWD, directory, O_RDONLY | O_DIRECTORY, 0);
	ck_assert_int_eq(io->flush_dir(io, dir), 0);
	ck_assert_int_eq(io->unlink(io, dir, "data"), 0);
	ck_assert_int_eq(io->unlink(io, dir, "data"), -ENOENT);
	ck_assert_int_eq(io->open(io, dir, "data", O_RDONLY, 0), -ENOENT);
	io->close(io, dir);
}
END_TEST

START_TEST(io_faults)
{
	struct tmk_io_fault fault;
	const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, TMK_IO_FLUSH, 2, EIO);
	uint8_t bytes[1024], got[1024];
	int fd = file_open(io);

	memset(bytes, 1, sizeof(bytes));
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(io->write(io, fd, bytes, sizeof(bytes), 0), 0);
	ck_assert_int_eq(io->flush(io, fd), 0);
	ck_assert_int_eq(io->flush(io, fd), -EIO);
	ck_assert_int_eq(io->flush(io, fd), 0);
	ck_assert_uint_eq(fault.counted, 3);
	ck_assert_uint_eq(fault.failed, 1);
	ck_assert_int_eq(io->close(io, fd), 0);

	io = tmk_io_fault(&fault, &tmk_io_real, TMK_IO_CHANGES, 2, ENOSPC);
	fault.torn = fault.dead = true;
	fd = file_open(io);
	ck_assert_int_eq(io->zero(io, fd, 0, 1024), 0);
	ck_assert_int_eq(io->write(io, fd, bytes, sizeof(bytes), 0), -ENOSPC);
	ck_assert_int_eq(io->write(io, fd, bytes, sizeof(bytes), 0), -ENOSPC);
	ck_assert_int_eq(io->read(io, fd, got, sizeof(got), 0), -ENOSPC);
	ck_assert_int_eq(io->close(io, fd), 0);
	fd = file_open(&tmk_io_real);
	ck_assert_int_eq(tmk_io_real.read(&tmk_io_real, fd, got, sizeof(got), 0), 0);
	ck_assert_mem_eq(got, bytes, 512);
	ck_assert_uint_eq(got[512], 0);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib");
	TCase *plain = tcase_create("plain"), *filed = tcase_create("files");

	tcase_add_test(plain, buf_round_trip);
	tcase_add_test(plain, buf_reader_stays_failed);
	tcase_add_test(plain, buf_huge_spans);
	tcase_add_test(plain, buf_writer_bounds);
	tcase_add_test(plain, buf_strings);
	tcase_add_test(plain, errors);
	tcase_add_test(plain, hex_and_human);
	tcase_add_test(plain, sums);
	tcase_add_test(plain, names);
	tcase_add_test(plain, units);
	tcase_add_test(plain, tokens);
	tcase_add_checked_fixture(filed, setup, teardown);
	tcase_add_test(filed, files);
	tcase_add_test(filed, conf_good);
	tcase_add_test(filed, conf_bad);
	tcase_add_test(filed, io_real);
	tcase_add_test(filed, io_faults);
	suite_add_tcase(suite, plain);
	suite_add_tcase(suite, filed);
	return run_suite(suite);
}
