/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: target
 * A chunk of many HASH records is shared out among threads, and neighbours are read at once: what is told is the same, and in the
 * order of the records.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "compare.h"
#include "piece.h"
#include "replica.h"
#include "storage.h"

#define RECORDS 576
#define SIZE (9 * TMK_HASH_RANGE_MAX / 4) /* of each disk */
#define PARTS (SIZE / DISK_SIZE)

static struct place_to_be d;
static struct chain c;
static struct tmk_replica *replica;
static struct tmk_compare *compare;
static struct tmk_io io;
static uint8_t content[DISKS][SIZE];

/* The records: a hash of 64 KiB each, in which the first piece, the second, both or none is another. Always the same 64 KiB of
 * one disk and the other by turns; one disk from its begin to its end, and then the other; or the next 64 KiB of the other disk.
 */
static enum { SAME, ALONG, ACROSS, WAYS } way;

static uint16_t disk_of(unsigned int i)
{
	return way == ALONG ? i / PARTS % DISKS : i % DISKS;
}

static uint64_t offset_of(unsigned int i)
{
	return way == SAME ? 0 : (uint64_t)(i % PARTS) * DISK_SIZE;
}

static unsigned int wrong(unsigned int i)
{
	return (i % 3 == 0) | (i % 5 == 0) << 1;
}

/* What is told, one behind the other. */
static struct {
	struct tmk_compared_extent extents[2 * RECORDS];
	unsigned int count, unread;
	bool whole;
} told;

/* ---- reads ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t second = PTHREAD_COND_INITIALIZER;
static pthread_t reader;
static unsigned int readers;
static atomic_uint reads;
static size_t most; /* bytes that can be read at once */

/* The first read waits for one by another thread. */
static void wait_for_another(void)
{
	pthread_mutex_lock(&lock);
	if (!readers) {
		readers = 1;
		reader = pthread_self();
	}
	while (readers == 1 && pthread_equal(reader, pthread_self()))
		pthread_cond_wait(&second, &lock);
	if (readers == 1) {
		readers = 2;
		pthread_cond_broadcast(&second);
	}
	pthread_mutex_unlock(&lock);
}

static int read_together(const struct tmk_io *self, int fd, void *data, size_t size, uint64_t offset)
{
	(void)self;
	ck_assert_uint_le(size, TMK_HASH_RANGE_MAX);
	atomic_fetch_add(&reads, 1);
	wait_for_another();
	return size > most ? -EIO : tmk_io_real.read(&tmk_io_real, fd, data, size, offset);
}

/* ---- results ---- */

static void on_compared(const struct tmk_compared *r, void *context)
{
	(void)context;
	ck_assert(!told.whole);
	ck_assert_uint_le(told.count + r->count, 2 * RECORDS);
	memcpy(told.extents + told.count, r->extents, r->count * sizeof(*r->extents));
	told.count += r->count;
	told.whole = !r->more;
}

static void on_unread(const char *text, void *context)
{
	(void)text;
	(void)context;
	told.unread++;
}

static void fill_disk(uint16_t disk)
{
	char name[24];
	int fd;

	for (size_t i = 0; i < SIZE; i++)
		content[disk][i] = (uint8_t)(i * 7 + i / 4096 + disk);
	snprintf(name, sizeof(name), "disk-%u.raw", disk);
	fd = openat(d.dir, name, O_RDWR);
	ck_assert_int_eq(pwrite(fd, content[disk], SIZE, 0), SIZE);
	close(fd);
}

static void setup(void)
{
	const struct tmk_compare_events events = {.compared = on_compared, .unread = on_unread};

	dir_make(&d);
	chain_new(&c);
	c.sizes.sizes[0] = c.sizes.sizes[1] = SIZE;
	memset(&told, 0, sizeof(told));
	readers = reads = 0;
	way = SAME;
	most = TMK_HASH_RANGE_MAX;
	check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 1, &g_err));
	for (uint16_t disk = 0; disk < DISKS; disk++)
		fill_disk(disk);
	io = tmk_io_real;
	check_ok(tmk_replica_open(&replica, &io, d.dir, true, &g_err));
	io.read = read_together;
	ck_assert_int_eq(tmk_compare_new(&compare, &events), 0);
}

static void teardown(void)
{
	tmk_compare_free(compare);
	tmk_replica_close(replica);
	chain_free(&c);
	dir_remove(&d);
}

/* ---- a chunk ---- */

static void ask(struct tmk_tagger *tagger, unsigned int i)
{
	uint8_t *data = content[disk_of(i)] + offset_of(i);
	uint8_t *body = tmk_builder_hash(c.builder, disk_of(i), offset_of(i), DISK_SIZE);
	uint8_t flip[2] = {wrong(i) & 1, wrong(i) >> 1};

	ck_assert_ptr_nonnull(body);
	data[i] ^= flip[0];
	data[TMK_PIECE + i] ^= flip[1];
	tmk_tagger_body(tagger, offset_of(i), data, DISK_SIZE, body);
	data[i] ^= flip[0];
	data[TMK_PIECE + i] ^= flip[1];
}

static void compare_all(void)
{
	struct tmk_tagger *tagger;
	struct tmk_chunk chunk;
	uint8_t *raw = malloc(TMK_CHUNK_RAW_MAX);
	bool marked;

	ck_assert_int_eq(tmk_tagger_new(&tagger), 0);
	for (unsigned int i = 0; i < RECORDS; i++)
		ask(tagger, i);
	chain_seal(&c, false);
	check_ok(tmk_chunk_header(c.bytes[1], &chunk, &g_err));
	check_ok(tmk_chunk_open(&chunk, c.bytes[1] + TMK_CHUNK_HEADER_SIZE, raw, &g_err));
	check_ok(tmk_chunk_check(&chunk, raw, &c.sizes, &marked, &g_err));
	tmk_compare_chunk(compare, replica, NULL, &chunk, raw);
	ck_assert(told.whole);
	ck_assert_uint_eq(readers, 2);
	tmk_tagger_free(tagger);
	free(raw);
}

static void check_told(void)
{
	const struct tmk_compared_extent *e = told.extents;

	for (unsigned int i = 0; i < RECORDS; i++) {
		if (!wrong(i))
			continue;
		ck_assert_msg(e->disk == disk_of(i) && e->offset == offset_of(i) + (wrong(i) == 2 ? TMK_PIECE : 0) &&
				      e->length == (wrong(i) == 3 ? DISK_SIZE : TMK_PIECE) && e->verdict == TMK_DIFFERS,
			      "record %u", i);
		e++;
	}
	ck_assert_int_eq(e - told.extents, told.count);
	ck_assert_uint_eq(told.unread, 0);
}

/* _i: how. */
START_TEST(test_in_order)
{
	way = _i;
	compare_all();
	check_told();
	/* the most that one record may have is also the most that is read for many */
	ck_assert_uint_eq(reads, way == ALONG ? RECORDS / PARTS * 3 : RECORDS);
}
END_TEST

/* Nothing can be read but piece by piece, and each piece can. _i: how. */
START_TEST(test_piece_by_piece)
{
	way = _i;
	most = TMK_PIECE;
	compare_all();
	check_told();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("compare_workers");
	TCase *t = tcase_create("compare_workers");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_in_order, 0, WAYS);
	tcase_add_loop_test(t, test_piece_by_piece, 0, WAYS);
	suite_add_tcase(s, t);
	return run_suite(s);
}
