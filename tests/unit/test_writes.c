/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: target
 * How a replica is written: neighbours at once, much of it around the page cache, and bit for bit the same where that cannot be.
 */
#include "io.h"
#include "replica.h"
#include "storage.h"

#define SIZE (3u << 20)
#define KIB 1024u

/* Storage that knows which descriptor was opened to go around the page cache; it does not (not every filesystem can). */
static struct {
	struct tmk_io io;
	int direct, answer;	      /* descriptor; what it says to a write: 0, or -errno */
	unsigned int around, through; /* writes of a replica's disk */
	size_t largest;
} storage;

static struct place_to_be d;
static struct chain c;
static struct tmk_replica *r;
static uint8_t *raw, *image;
static uint64_t seed;

static int open_any(const struct tmk_io *io, int dir, const char *name, int flags, mode_t mode)
{
	int fd = tmk_io_real.open(&tmk_io_real, dir, name, flags & ~O_DIRECT, mode);

	(void)io;
	if (flags & O_DIRECT && (flags & O_ACCMODE) == O_RDWR)
		storage.direct = fd;
	return fd;
}

static int write_any(const struct tmk_io *io, int fd, const void *data, size_t size, uint64_t offset)
{
	(void)io;
	if (fd == storage.direct) {
		ck_assert(!((uintptr_t)data % TMK_REPLICA_ALIGN) && !(size % TMK_REPLICA_ALIGN) && !(offset % TMK_REPLICA_ALIGN));
		if (storage.answer)
			return storage.answer;
		storage.around++;
	} else if (size != TMK_SIDECAR_SLOT) {
		storage.through++;
	}
	storage.largest = size > storage.largest ? size : storage.largest;
	return tmk_io_real.write(&tmk_io_real, fd, data, size, offset);
}

static void setup(void)
{
	seed = 0x7654321;
	dir_make(&d);
	chain_new(&c);
	c.sizes = (struct tmk_disk_sizes){.count = 1, .sizes = {SIZE}};
	raw = malloc(TMK_CHUNK_RAW_MAX);
	image = calloc(1, SIZE);
	memset(&storage, 0, sizeof(storage));
	storage.io = tmk_io_real;
	storage.io.open = open_any;
	storage.io.write = write_any;
	storage.direct = -1;
	check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 1, &g_err));
	check_ok(tmk_replica_open(&r, &storage.io, d.dir, true, &g_err));
	check_ok(tmk_replica_lock(r, &g_err));
	ck_assert_int_ge(storage.direct, 0);
}

static void teardown(void)
{
	tmk_replica_close(r);
	chain_free(&c);
	free(image);
	free(raw);
	dir_remove(&d);
}

static void data(uint32_t offset, uint32_t length)
{
	uint8_t *to = tmk_builder_data(c.builder, 0, offset, length);

	ck_assert_ptr_nonnull(to);
	for (uint32_t i = 0; i < length; i++)
		to[i] = image[offset + i] = (uint8_t)roll(&seed);
}

/* What the builder holds, applied; how many writes of the disk it took, around and through the page cache. */
static int apply(unsigned int around, unsigned int through)
{
	uint64_t n = c.next.number;
	struct tmk_chunk chunk;
	int ret;

	chain_seal(&c, false);
	storage.around = storage.through = 0;
	check_ok(tmk_chunk_header(c.bytes[n], &chunk, &g_err));
	check_ok(tmk_chunk_open(&chunk, c.bytes[n] + TMK_CHUNK_HEADER_SIZE, raw, &g_err));
	ret = tmk_replica_apply(r, &chunk, raw, &g_err);
	ck_assert_uint_eq(storage.around, around);
	ck_assert_uint_eq(storage.through, through);
	return ret;
}

static void check_image(void)
{
	size_t size;
	uint8_t *is = slurp(d.dir, "disk-0.raw", &size);

	ck_assert_uint_eq(size, SIZE);
	ck_assert(!memcmp(is, image, size));
	free(is);
}

START_TEST(test_large_around)
{
	for (uint32_t at = 0; at < 1024 * KIB; at += 256 * KIB)
		data(512 * KIB + at, 256 * KIB);
	check_ok(apply(1, 0));
	ck_assert_uint_eq(storage.largest, 1024 * KIB);
	check_image();
}
END_TEST

/* What is small, or no whole blocks, is the page cache's; what is beside it keeps its bytes. */
START_TEST(test_small_through)
{
	data(0, SIZE / 3);
	check_ok(apply(1, 0));
	data(512, 200 * KIB);
	data(512 * KIB, 200 * KIB + 512);
	data(800 * KIB, 8 * KIB);
	check_ok(apply(0, 3));
	check_image();
	data(64 * KIB, 128 * KIB);
	data(192 * KIB, 4 * KIB); /* joins */
	ck_assert_int_eq(tmk_builder_range(c.builder, TMK_ZERO, 0, 100 * KIB, 8 * KIB), 0);
	memset(image + 100 * KIB, 0, 8 * KIB);
	data(102 * KIB, 2 * KIB);
	data(1000 * KIB, 256 * KIB);
	check_ok(apply(2, 1));
	check_image();
}
END_TEST

/* Longer than one write may be, and behind a neighbour. */
START_TEST(test_split)
{
	data(0, 100 * KIB);
	data(100 * KIB, 1000 * KIB);
	check_ok(apply(1, 1));
	check_image();
	for (uint32_t at = 0; at < 1020; at += 4)
		data((1024 + at) * KIB, 4 * KIB);
	check_ok(apply(1, 0));
	check_image();
}
END_TEST

START_TEST(test_refused)
{
	storage.answer = -EINVAL;
	data(0, 1024 * KIB);
	check_ok(apply(0, 1));
	check_image();
}
END_TEST

/* R13: an error of the disk is none that another way is tried for. */
START_TEST(test_failed)
{
	storage.answer = -EIO;
	data(0, 1024 * KIB);
	check_code(-EIO, apply(0, 0));
	storage.answer = 0;
	data(0, 4 * KIB);
	check_code(-EIO, apply(0, 0));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("writes");
	TCase *t = tcase_create("writes");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_large_around);
	tcase_add_test(t, test_small_through);
	tcase_add_test(t, test_split);
	tcase_add_test(t, test_refused);
	tcase_add_test(t, test_failed);
	suite_add_tcase(s, t);
	return run_suite(s);
}
