/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: target
 * HASH records: what is told of them is true whatever happened before, each chunk is told once and in its turn, and nothing that
 * can be decided is left undecided (R11). The callback itself checks every word against the model.
 */
#include "applier.h"
#include "compare.h"
#include "io_fault.h"
#include "piece.h"
#include "replica.h"
#include "storage.h"

#define SECTORS (DISK_SIZE / TMK_SECTOR)
#define NOWHERE UINT64_MAX

enum truth { NOT_ASKED, SAME, OTHER }; /* what the model knows of a range that was hashed, when it was hashed */

static struct place_to_be d;
static struct chain c;
static struct tmk_applier *a;
static struct tmk_tagger *tagger;
static uint64_t seed;
static uint8_t truth[CHAIN_MAX + 1][DISKS][SECTORS];
static bool asked[CHAIN_MAX + 1];
static bool spoiled; /* the replica is not what the model says: words are not checked */

/* What this process was told. */
static struct {
	bool whole[CHAIN_MAX + 1];
	uint8_t said[CHAIN_MAX + 1][DISKS][SECTORS]; /* enum tmk_comparison, 0: equal */
	uint64_t last, from;			     /* the last chunk told; applied when it began */
	unsigned int messages, extents, unread;
} told;
static unsigned int decided[3]; /* words of all processes: SAME, OTHER; [0] undecided */

static void setup(void)
{
	seed = 0x1234567fedcbaull;
	dir_make(&d);
	chain_new(&c);
	a = NULL;
	memset(truth, 0, sizeof(truth));
	memset(asked, 0, sizeof(asked));
	memset(&told, 0, sizeof(told));
	memset(decided, 0, sizeof(decided));
	spoiled = false;
	ck_assert_int_eq(tmk_tagger_new(&tagger), 0);
	check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 1, &g_err));
}

static void teardown(void)
{
	tmk_applier_close(a);
	tmk_tagger_free(tagger);
	chain_free(&c);
	dir_remove(&d);
}

/* ---- chunks ---- */

static void begin(void)
{
	uint64_t n = c.next.number;

	ck_assert_uint_le(n, CHAIN_MAX);
	if (!c.image[n])
		c.image[n] = malloc(DISKS * DISK_SIZE);
	memcpy(c.image[n], c.image[n - 1], DISKS * DISK_SIZE);
}

static void write_range(uint16_t disk, uint64_t offset, uint32_t length, enum tmk_record_type type)
{
	uint8_t *at = c.image[c.next.number][disk] + offset, *data;

	if (type != TMK_DATA) {
		memset(at, 0, length); /* files read as zeroes after a discard too */
		ck_assert_int_eq(tmk_builder_range(c.builder, type, disk, offset, length), 0);
		return;
	}
	data = tmk_builder_data(c.builder, disk, offset, length);
	ck_assert_ptr_nonnull(data);
	for (uint32_t i = 0; i < length; i++)
		data[i] = (uint8_t)roll(&seed);
	memcpy(at, data, length);
}

static bool in_piece(uint64_t byte, uint64_t sector)
{
	return byte != NOWHERE && byte / TMK_PIECE == sector * TMK_SECTOR / TMK_PIECE;
}

/* A HASH of the content as it is now in the stream; of another one where `wrong` lies. */
static void ask(uint16_t disk, uint64_t offset, uint32_t length, uint64_t wrong)
{
	uint64_t n = c.next.number;
	uint8_t *body = tmk_builder_hash(c.builder, disk, offset, length), *content = malloc(length);

	ck_assert_ptr_nonnull(body);
	memcpy(content, c.image[n][disk] + offset, length);
	if (wrong != NOWHERE)
		content[wrong - offset] ^= 1;
	tmk_tagger_body(tagger, offset, content, length, body);
	for (uint64_t s = offset / TMK_SECTOR; s < (offset + length) / TMK_SECTOR; s++)
		truth[n][disk][s] = in_piece(wrong, s) ? OTHER : SAME;
	asked[n] = true;
	free(content);
}

static uint64_t end(bool marked)
{
	chain_seal(&c, marked);
	return c.count;
}

static void append(uint64_t first)
{
	journal_fill(&c, &d, first, c.count, 1);
}

/* ---- what is told ---- */

static enum truth truth_of(uint64_t n, uint16_t disk, uint64_t sector)
{
	return truth[n][disk][sector];
}

static void check_word(uint64_t n, uint16_t disk, uint64_t sector)
{
	uint8_t word = told.said[n][disk][sector];

	if (truth_of(n, disk, sector) == NOT_ASKED)
		ck_assert_msg(!word, "chunk %d: sector %d was not hashed", (int)n, (int)sector);
	else if (word == TMK_UNDECIDED)
		decided[0]++;
	else if (!spoiled)
		ck_assert_msg(truth_of(n, disk, sector) == (word ? OTHER : SAME), "chunk %d, disk %d, sector %d is told as %s",
			      (int)n, disk, (int)sector, word ? "different" : "equal");
	if (truth_of(n, disk, sector) != NOT_ASKED && word != TMK_UNDECIDED)
		decided[word ? OTHER : SAME]++;
}

static void on_compared(const struct tmk_compared *r, void *context)
{
	uint64_t n = r->number;

	(void)context;
	ck_assert_msg(asked[n], "chunk %d has no hash", (int)n);
	ck_assert_msg(!told.whole[n], "chunk %d is told again", (int)n);
	ck_assert_msg(told.last <= n, "chunk %d is told behind chunk %d", (int)n, (int)told.last);
	ck_assert(told.last == n || !told.last || told.whole[told.last]);
	ck_assert_uint_le(r->count, TMK_COMPARED_EXTENTS);
	told.last = n;
	told.messages++;
	told.extents += r->count;
	for (uint32_t i = 0; i < r->count; i++) {
		const struct tmk_compared_extent *e = &r->extents[i];

		ck_assert(e->verdict == TMK_DIFFERS || e->verdict == TMK_UNDECIDED);
		ck_assert(e->disk < DISKS && e->length && e->offset <= DISK_SIZE && e->length <= DISK_SIZE - e->offset);
		for (uint64_t s = e->offset / TMK_SECTOR; s < (e->offset + e->length) / TMK_SECTOR; s++)
			told.said[n][e->disk][s] = e->verdict;
	}
	if (r->more)
		return;
	told.whole[n] = true;
	for (uint16_t disk = 0; disk < DISKS; disk++)
		for (uint64_t s = 0; s < SECTORS; s++)
			check_word(n, disk, s);
}

static void on_unread(const char *text, void *context)
{
	(void)context;
	ck_assert_ptr_nonnull(strstr(text, "disk-"));
	told.unread++;
}

static const struct tmk_applier_events events = {.compared = on_compared, .unread = on_unread};

/* A process begins. */
static int open_with(const struct tmk_io *io)
{
	tmk_applier_close(a);
	a = NULL;
	memset(&told, 0, sizeof(told));
	told.from = sidecar_of(d.dir).applied;
	return tmk_applier_open(&a, io, d.dir, &events, &g_err);
}

static int steps(uint64_t durable)
{
	int ret;

	do
		ret = tmk_applier_step(a, durable, 1 << 30, &g_err);
	while (ret == 1);
	for (uint64_t n = told.from + 1; !ret && n <= durable; n++)
		ck_assert_msg(told.whole[n] == asked[n], "chunk %d is not told", (int)n);
	return ret;
}

/* All sectors of the range are told as that; 0: as equal. */
static void check_said(uint64_t n, uint16_t disk, uint64_t from, uint64_t to, uint8_t word)
{
	ck_assert_msg(told.whole[n], "chunk %d is not told", (int)n);
	for (uint64_t s = from / TMK_SECTOR; s < to / TMK_SECTOR; s++)
		ck_assert_msg(told.said[n][disk][s] == word, "chunk %d, disk %d, sector %d: %d, not %d", (int)n, disk, (int)s,
			      told.said[n][disk][s], word);
}

/* ---- the plain cases ---- */

/* Both disks hold something and are a point, if it is wanted. */
static void fill_replica(bool marked)
{
	check_ok(open_with(&tmk_io_real));
	begin();
	for (uint16_t disk = 0; disk < DISKS; disk++)
		write_range(disk, 0, DISK_SIZE, TMK_DATA);
	append(end(marked));
	check_ok(steps(1));
	ck_assert_uint_eq(sidecar_of(d.dir).state, marked ? TMK_REPLICA_POINT : TMK_REPLICA_EMPTY);
}

/* _i: 0 EMPTY, 1 POINT. */
START_TEST(test_plain)
{
	fill_replica(_i);
	begin();
	ask(0, 0, DISK_SIZE, NOWHERE);
	ask(1, 0, DISK_SIZE, TMK_PIECE + 5000);
	append(end(false)); /* 2 */
	begin();
	ask(0, 512, 1024, 600);
	ask(0, TMK_PIECE - 512, 1024, TMK_PIECE - 1); /* of two pieces, one */
	ask(1, TMK_PIECE - 512, 1024, TMK_PIECE);
	ask(1, 1024, 512, NOWHERE);
	append(end(false)); /* 3 */
	check_ok(steps(3));
	check_said(2, 0, 0, DISK_SIZE, 0);
	check_said(2, 1, 0, TMK_PIECE, 0);
	check_said(2, 1, TMK_PIECE, DISK_SIZE, TMK_DIFFERS);
	check_said(3, 0, 512, 1536, TMK_DIFFERS);
	check_said(3, 0, TMK_PIECE - 512, TMK_PIECE, TMK_DIFFERS);
	check_said(3, 0, TMK_PIECE, TMK_PIECE + 512, 0);
	check_said(3, 1, TMK_PIECE - 512, TMK_PIECE, 0);
	check_said(3, 1, TMK_PIECE, TMK_PIECE + 512, TMK_DIFFERS);
	check_said(3, 1, 1024, 1536, 0);
	ck_assert_uint_eq(told.messages, 2);
	ck_assert_uint_eq(told.extents, 4);
	ck_assert_uint_eq(decided[0], 0);
	ck_assert_uint_eq(told.unread, 0);
}
END_TEST

/* Neighbours of one record are one extent. A bit that rots in the replica is found, and told as its piece. */
START_TEST(test_rot)
{
	fill_replica(true);
	spoiled = true;
	flip(d.dir, "disk-1.raw", TMK_PIECE - 1);
	begin();
	ask(0, 0, DISK_SIZE, NOWHERE);
	ask(1, 0, DISK_SIZE, NOWHERE);
	append(end(false)); /* 2 */
	check_ok(steps(2));
	check_said(2, 0, 0, DISK_SIZE, 0);
	check_said(2, 1, 0, TMK_PIECE, TMK_DIFFERS);
	check_said(2, 1, TMK_PIECE, DISK_SIZE, 0);
	flip(d.dir, "disk-1.raw", TMK_PIECE);
	begin();
	ask(1, 0, DISK_SIZE, NOWHERE);
	append(end(false)); /* 3 */
	told.extents = 0;
	check_ok(steps(3));
	check_said(3, 1, 0, DISK_SIZE, TMK_DIFFERS);
	ck_assert_uint_eq(told.extents, 1);
}
END_TEST

/* Chunks that hash nothing are not told; HASH changes nothing, and does not stop what is applied behind it. */
START_TEST(test_changes_nothing)
{
	fill_replica(false);
	begin();
	write_range(0, 4096, 512, TMK_DATA);
	ask(1, 0, DISK_SIZE, 77);
	write_range(0, 4608, 512, TMK_DATA); /* joins its neighbour over the hash */
	write_range(1, 0, 4096, TMK_ZERO);
	append(end(false));
	begin();
	write_range(1, 8192, 512, TMK_DATA);
	append(end(true));
	check_ok(steps(3));
	ck_assert_uint_eq(told.messages, 1);
	ck_assert(disk_is(d.dir, &c, 0, 3) && disk_is(d.dir, &c, 1, 3));
}
END_TEST

/* Inside a chunk too a hash is of what was before it. _i: 0 EMPTY, 1 POINT. */
START_TEST(test_within_a_chunk)
{
	fill_replica(_i);
	begin();
	write_range(0, 1024, 512, TMK_DATA);
	write_range(1, TMK_PIECE, 512, TMK_DISCARD);
	ask(0, 0, DISK_SIZE, NOWHERE);
	ask(1, 0, DISK_SIZE, NOWHERE);
	write_range(0, TMK_PIECE + 512, 512, TMK_DATA);
	write_range(1, 0, 512, TMK_ZERO);
	append(end(false));
	check_ok(steps(2));
	check_said(2, 0, 0, TMK_PIECE, TMK_UNDECIDED);
	check_said(2, 0, TMK_PIECE, DISK_SIZE, 0);
	check_said(2, 1, 0, TMK_PIECE, 0);
	check_said(2, 1, TMK_PIECE, DISK_SIZE, TMK_UNDECIDED);
}
END_TEST

/* POINT: what the interval has changed is not in the replica yet. It is, once there is a mark. */
START_TEST(test_behind_waiting_data)
{
	fill_replica(true);
	begin();
	write_range(0, 4096, 512, TMK_DATA);
	append(end(false)); /* 2 */
	check_ok(steps(2));
	begin();
	ask(0, 0, DISK_SIZE, NOWHERE);
	ask(1, 0, DISK_SIZE, NOWHERE);
	append(end(false)); /* 3 */
	begin();
	write_range(1, DISK_SIZE - 512, 512, TMK_ZERO);
	append(end(false)); /* 4 */
	begin();
	ask(0, 0, 4096, NOWHERE); /* touches what is touched; its granule does not */
	ask(0, 4096, 4096, NOWHERE);
	ask(0, 8192, 4096, NOWHERE);
	ask(1, TMK_PIECE, TMK_PIECE, DISK_SIZE - 1);
	append(end(false)); /* 5 */
	check_ok(steps(5));
	check_said(3, 0, 0, TMK_PIECE, TMK_UNDECIDED);
	check_said(3, 0, TMK_PIECE, DISK_SIZE, 0);
	check_said(3, 1, 0, DISK_SIZE, 0);
	check_said(5, 0, 0, 4096, 0);
	check_said(5, 0, 4096, 8192, TMK_UNDECIDED);
	check_said(5, 0, 8192, 12288, 0);
	check_said(5, 1, TMK_PIECE, DISK_SIZE, TMK_UNDECIDED);
	ck_assert_uint_eq(sidecar_of(d.dir).applied, 1); /* I11 */

	/* In the interval behind the next mark nothing is touched yet. */
	begin();
	ask(0, 0, DISK_SIZE, NOWHERE);
	end(true); /* 6 */
	begin();
	ask(0, 0, DISK_SIZE, 0);
	ask(1, 0, DISK_SIZE, NOWHERE);
	end(false); /* 7 */
	append(6);
	check_ok(steps(7));
	ck_assert_uint_eq(sidecar_of(d.dir).point, 6);
	check_said(6, 0, 0, TMK_PIECE, TMK_UNDECIDED);
	check_said(7, 0, 0, TMK_PIECE, TMK_DIFFERS);
	check_said(7, 0, TMK_PIECE, DISK_SIZE, 0);
	check_said(7, 1, 0, DISK_SIZE, 0);
}
END_TEST

/* ---- after a restart ---- */

static void stop_at(unsigned int at, uint64_t durable)
{
	struct crash_io crash;
	int ret = 1;

	if (!open_with(crash_new(&crash, at)))
		while (ret > 0)
			ret = tmk_applier_step(a, durable, 1 << 30, &g_err);
	tmk_applier_close(a);
	a = NULL;
	crash_over(&crash, CRASH_KEEPS, &seed);
}

/* EMPTY: a hash of what was before a later chunk, which is in the replica already and not in the sidecar. The chunks that come
 * after are decided. */
START_TEST(test_restart_empty)
{
	fill_replica(false);
	begin();
	ask(0, 0, DISK_SIZE, NOWHERE);
	end(false); /* 2 */
	begin();
	write_range(0, 0, DISK_SIZE, TMK_DATA);
	end(false); /* 3 */
	append(2);
	for (unsigned int at = 1; !disk_is(d.dir, &c, 0, 3); at++) {
		ck_assert_uint_lt(at, 100);
		stop_at(at, 3);
	}
	ck_assert_uint_eq(sidecar_of(d.dir).applied, 1);
	check_ok(open_with(&tmk_io_real));
	begin();
	ask(0, 0, DISK_SIZE, NOWHERE);
	ask(1, 0, DISK_SIZE, 3);
	append(end(false)); /* 4 */
	check_ok(steps(4));
	check_said(2, 0, 0, DISK_SIZE, TMK_UNDECIDED);
	check_said(4, 0, 0, DISK_SIZE, 0);
	check_said(4, 1, 0, TMK_PIECE, TMK_DIFFERS);
}
END_TEST

/* POINT: the replica is the point, whoever looks. */
START_TEST(test_restart_point)
{
	fill_replica(true);
	begin();
	write_range(0, 0, 512, TMK_DATA);
	append(end(false)); /* 2 */
	begin();
	ask(0, 0, DISK_SIZE, NOWHERE);
	append(end(false)); /* 3 */
	for (int i = 0; i < 2; i++) {
		check_ok(steps(3));
		check_said(3, 0, 0, TMK_PIECE, TMK_UNDECIDED);
		check_said(3, 0, TMK_PIECE, DISK_SIZE, 0);
		ck_assert_uint_eq(told.messages, 1);
		check_ok(open_with(&tmk_io_real));
	}
}
END_TEST

/* BETWEEN: nobody knows any more what the replica was when it was looked at. */
START_TEST(test_restart_between)
{
	unsigned int at;

	fill_replica(true);
	begin();
	ask(0, 0, DISK_SIZE, NOWHERE);
	end(false); /* 2 */
	begin();
	write_range(0, 0, DISK_SIZE, TMK_DATA);
	end(false); /* 3 */
	begin();
	ask(0, 0, DISK_SIZE, 9);
	ask(1, 0, DISK_SIZE, NOWHERE);
	end(true); /* 4 */
	begin();
	ask(0, 0, DISK_SIZE, NOWHERE);
	end(false); /* 5 */
	append(2);
	for (at = 1; sidecar_of(d.dir).state != TMK_REPLICA_BETWEEN; at++) {
		ck_assert_uint_lt(at, 100);
		stop_at(at, 5);
	}
	check_said(2, 0, 0, DISK_SIZE, 0);
	check_ok(open_with(&tmk_io_real));
	check_ok(steps(0)); /* it ends what was begun */
	ck_assert_uint_eq(sidecar_of(d.dir).point, 4);
	check_said(2, 0, 0, DISK_SIZE, TMK_UNDECIDED);
	check_said(4, 0, 0, DISK_SIZE, TMK_UNDECIDED);
	check_said(4, 1, 0, DISK_SIZE, TMK_UNDECIDED);
	check_ok(steps(5));
	check_said(5, 0, 0, DISK_SIZE, 0);
}
END_TEST

/* A point that is given up: what was told stays told, and the rest is compared as it is applied. */
START_TEST(test_give_up)
{
	fill_replica(true);
	begin();
	write_range(0, 0, 512, TMK_DATA);
	ask(0, TMK_PIECE, 512, NOWHERE);
	append(end(false)); /* 2 */
	check_ok(steps(2));
	check_said(2, 0, TMK_PIECE, TMK_PIECE + 512, 0);
	check_ok(tmk_applier_give_up_point(a, &g_err));
	begin();
	ask(0, 0, DISK_SIZE, NOWHERE);
	append(end(false)); /* 3 */
	check_ok(steps(3));
	check_said(3, 0, 0, DISK_SIZE, 0);
	ck_assert_uint_eq(told.messages, 2);
}
END_TEST

/* ---- a disk that cannot be read ---- */

static ino_t bad_file;
static uint64_t bad_from, bad_to;

static int bad_read(const struct tmk_io *io, int fd, void *data, size_t size, uint64_t offset)
{
	struct stat st;

	(void)io;
	ck_assert_int_eq(fstat(fd, &st), 0);
	if (st.st_ino == bad_file && offset < bad_to && bad_from < offset + size)
		return -EIO;
	return tmk_io_real.read(&tmk_io_real, fd, data, size, offset);
}

START_TEST(test_bad_sector)
{
	struct tmk_io io = tmk_io_real;
	struct stat st;

	fill_replica(true);
	ck_assert_int_eq(fstatat(d.dir, "disk-0.raw", &st, 0), 0);
	bad_file = st.st_ino;
	bad_from = TMK_PIECE + 4096;
	bad_to = bad_from + 512;
	io.read = bad_read;
	spoiled = true; /* what cannot be read differs, whatever it was */
	check_ok(open_with(&io));
	begin();
	ask(0, 0, DISK_SIZE, 11);
	ask(0, TMK_PIECE, TMK_PIECE, NOWHERE);
	ask(1, 0, DISK_SIZE, NOWHERE);
	append(end(false)); /* 2 */
	begin();
	ask(0, 0, TMK_PIECE, NOWHERE);
	append(end(true));  /* 3 */
	check_ok(steps(3)); /* nothing stops for it */
	check_said(2, 0, 0, TMK_PIECE, TMK_DIFFERS);
	check_said(2, 0, TMK_PIECE, DISK_SIZE, TMK_DIFFERS);
	check_said(2, 1, 0, DISK_SIZE, 0);
	check_said(3, 0, 0, TMK_PIECE, 0);
	ck_assert_uint_eq(told.unread, 1);
	ck_assert_uint_eq(sidecar_of(d.dir).point, 3);
	bad_from = 0;
	bad_to = DISK_SIZE;
	told.extents = 0;
	begin();
	ask(0, 0, DISK_SIZE, 11);
	append(end(false)); /* 4 */
	check_ok(steps(4));
	check_said(4, 0, 0, DISK_SIZE, TMK_DIFFERS);
	ck_assert_uint_eq(told.extents, 1);
	begin();
	for (int i = 0; i < 16; i++)
		ask(0, 0, TMK_PIECE, 11);
	ask(0, 0, DISK_SIZE, 11);
	append(end(false)); /* 5 */
	check_ok(steps(5));
	check_said(5, 0, 0, DISK_SIZE, TMK_UNDECIDED); /* that is no bad sector any more */
}
END_TEST

/* ---- many ---- */

START_TEST(test_long_result)
{
	fill_replica(true);
	begin();
	for (int i = 0; i < 3000; i++) /* extents of two records are never joined */
		ask(i % DISKS, i % SECTORS * TMK_SECTOR, TMK_SECTOR, i % SECTORS * TMK_SECTOR);
	append(end(false));
	told.messages = 0;
	check_ok(steps(2));
	ck_assert_uint_eq(told.messages, 3);
	ck_assert_uint_eq(told.extents, 3000);
	check_said(2, 0, 0, TMK_SECTOR, TMK_DIFFERS);
}
END_TEST

/* What it reads to compare counts too: a step ends, and orders are heard. _i: 0 EMPTY, 1 POINT. */
START_TEST(test_steps_are_bounded)
{
	unsigned int count = 0;
	int ret;

	fill_replica(_i);
	for (int chunk = 0; chunk < 4; chunk++) {
		begin();
		for (uint64_t bytes = 0; bytes < TMK_CHUNK_HASHED_MAX; bytes += DISK_SIZE)
			ask(0, 0, DISK_SIZE, NOWHERE);
		end(false);
	}
	append(2);
	do {
		unsigned int before = told.messages;

		ret = tmk_applier_step(a, 5, 0, &g_err);
		ck_assert_uint_le(told.messages, before + 1);
		count++;
	} while (ret == 1);
	check_ok(ret);
	ck_assert_uint_eq(told.messages, 4);
	ck_assert_uint_ge(count, 4);
}
END_TEST

/* ---- whatever stops it ---- */

static bool free_to_ask(uint64_t n, uint16_t disk, uint64_t offset, uint32_t length)
{
	for (uint64_t s = offset / TMK_SECTOR; s < (offset + length) / TMK_SECTOR; s++)
		if (truth[n][disk][s] != NOT_ASKED)
			return false;
	return true;
}

static void random_chunk(bool marked)
{
	static const enum tmk_record_type types[] = {TMK_DATA, TMK_DATA, TMK_DATA, TMK_ZERO, TMK_DISCARD};

	begin();
	for (uint64_t i = 1 + roll(&seed) % 5; i; i--) {
		uint16_t disk = roll(&seed) % DISKS;
		uint64_t offset = roll(&seed) % SECTORS * TMK_SECTOR, room = (DISK_SIZE - offset) / TMK_SECTOR;
		uint32_t length = (uint32_t)(1 + roll(&seed) % room) * TMK_SECTOR;

		if (roll(&seed) & 1)
			write_range(disk, offset, length, types[roll(&seed) % 5]);
		else if (free_to_ask(c.next.number, disk, offset, length))
			ask(disk, offset, length, roll(&seed) & 1 ? NOWHERE : offset + roll(&seed) % length);
	}
	if (tmk_builder_empty(c.builder))
		ask(0, 0, 512, NOWHERE);
	end(marked);
}

static void anew(void)
{
	tmk_applier_close(a);
	a = NULL;
	shell("rm -f %s/disk* %s/sidecar %s/journal/*", d.path, d.path, d.path);
	check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &c.sizes, 1, &g_err));
}

/* The machine stops at the Nth change, N = 1, 2, 3 ...; chunks come meanwhile, several at once. Nothing false is ever told, and
 * nothing is left out. */
START_TEST(test_crash)
{
	bool finished = false;

	for (int i = 1; i <= 24; i++)
		random_chunk(i == 9 || i == 15 || i == 16);
	for (unsigned int at = 1; !finished; at++) {
		uint64_t there = 0;

		for (unsigned int round = 0; round < 4; round++) {
			struct crash_io crash;
			int ret = open_with(crash_new(&crash, round < 3 ? (round ? 1 + roll(&seed) % 25 : at) : 0));

			while (!ret && there < 24) {
				uint64_t first = there + 1;

				there += 1 + roll(&seed) % 4;
				if (there > 24)
					there = 24;
				journal_fill(&c, &d, first, there, 0);
				ret = steps(there);
			}
			if (!ret)
				ret = steps(there);
			if (round == 3)
				check_ok(ret);
			if (!round)
				finished = crash.counted < crash.at;
			tmk_applier_close(a);
			a = NULL;
			crash_over(&crash, _i, &seed);
		}
		ck_assert_uint_eq(sidecar_of(d.dir).point, 16);
		anew();
	}
	ck_assert_uint_gt(decided[0], 1000);
	ck_assert_uint_gt(decided[SAME], 1000);
	ck_assert_uint_gt(decided[OTHER], 1000);
}
END_TEST

/* Every call fails once, reads too: the process stays, and tells each chunk once all the same. */
START_TEST(test_fails_anywhere)
{
	struct tmk_io_fault fault = {.failed = 1};

	for (int i = 1; i <= 16; i++)
		random_chunk(i == 6 || i == 11);
	for (unsigned int at = 1; fault.failed; at++) {
		const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, TMK_IO_ALL & ~TMK_IO_CLOSE, at, EIO);
		unsigned int tries = 0;

		while (open_with(io))
			ck_assert_uint_lt(tries++, 3);
		for (uint64_t n = 1; n <= 16; n += 3) {
			journal_fill(&c, &d, n, n + 2 < 16 ? n + 2 : 16, 0);
			while (steps(n + 2 < 16 ? n + 2 : 16))
				ck_assert_uint_lt(tries++, 3);
		}
		ck_assert_uint_eq(sidecar_of(d.dir).point, 11);
		anew();
	}
}
END_TEST

/* ---- ranges of every shape, without an applier ---- */

#define LARGE (3u << 20)

static void keep_result(const struct tmk_compared *r, void *context)
{
	ck_assert(!r->more);
	memcpy(context, r, sizeof(*r));
}

static const uint8_t *one_hash(uint64_t offset, uint32_t length, const uint8_t *content, uint64_t wrong, struct tmk_chunk *chunk)
{
	static uint8_t sealed[TMK_CHUNK_HEADER_SIZE + TMK_CHUNK_RAW_MAX], raw[TMK_CHUNK_RAW_MAX], copy[TMK_HASH_RANGE_MAX];
	const struct tmk_chain place = {.number = 7};
	uint8_t hash[TMK_HASH_SIZE], *body = tmk_builder_hash(c.builder, 0, offset, length);

	ck_assert_ptr_nonnull(body);
	memcpy(copy, content + offset, length);
	if (wrong != NOWHERE)
		copy[wrong - offset] ^= 0x80;
	tmk_tagger_body(tagger, offset, copy, length, body);
	tmk_builder_seal(c.builder, &place, 0, sealed, hash);
	tmk_builder_reset(c.builder);
	check_ok(tmk_chunk_header(sealed, chunk, &g_err));
	check_ok(tmk_chunk_open(chunk, sealed + TMK_CHUNK_HEADER_SIZE, raw, &g_err));
	return raw;
}

START_TEST(test_ranges)
{
	static struct tmk_compared result;
	const struct tmk_compare_events to = {.compared = keep_result, .context = &result};
	const struct tmk_disk_sizes sizes = {.count = 1, .sizes = {LARGE}};
	uint8_t *content = malloc(LARGE);
	struct tmk_compare *compare;
	struct tmk_replica *r;
	struct tmk_chunk chunk;

	shell("rm %s/disk* %s/sidecar", d.path, d.path);
	for (uint32_t i = 0; i < LARGE; i++)
		content[i] = (uint8_t)roll(&seed);
	check_ok(tmk_replica_create(&tmk_io_real, d.dir, c.protection, &sizes, 1, &g_err));
	spill(d.dir, "disk-0.raw", content, LARGE);
	check_ok(tmk_replica_open(&r, &tmk_io_real, d.dir, false, &g_err));
	ck_assert_int_eq(tmk_compare_new(&compare, &to), 0);
	for (int round = 0; round < 600; round++) {
		uint64_t offset = roll(&seed) % (LARGE / 512) * 512, room = LARGE - offset;
		uint64_t most = room < TMK_HASH_RANGE_MAX ? room : TMK_HASH_RANGE_MAX;
		uint32_t length = (uint32_t)(1 + roll(&seed) % (most / 512)) * 512;
		uint64_t wrong = round % 3 ? offset + roll(&seed) % length : NOWHERE;
		uint64_t from = wrong / TMK_PIECE * TMK_PIECE, to_byte = from + TMK_PIECE;
		const uint8_t *raw = one_hash(offset, length, content, wrong, &chunk);

		tmk_compare_chunk(compare, r, NULL, &chunk, raw);
		ck_assert_uint_eq(result.number, 7);
		ck_assert_uint_eq(result.count, wrong != NOWHERE);
		if (wrong == NOWHERE)
			continue;
		from = from < offset ? offset : from;
		to_byte = to_byte > offset + length ? offset + length : to_byte;
		ck_assert_uint_eq(result.extents[0].verdict, TMK_DIFFERS);
		ck_assert_uint_eq(result.extents[0].offset, from);
		ck_assert_uint_eq(result.extents[0].length, to_byte - from);
		tmk_compare_chunk(compare, NULL, NULL, &chunk, raw);
		ck_assert_uint_eq(result.count, 1);
		ck_assert_uint_eq(result.extents[0].verdict, TMK_UNDECIDED);
		ck_assert_uint_eq(result.extents[0].offset, offset);
		ck_assert_uint_eq(result.extents[0].length, length);
	}
	tmk_compare_free(compare);
	tmk_replica_close(r);
	free(content);
}
END_TEST

/* ---- touched ---- */

START_TEST(test_touched)
{
	const struct tmk_disk_sizes small = {.count = 3, .sizes = {4096 * 13 + 512, 512, 4096 * 20}};
	bool model[3][20];

	for (int round = 0; round < 300; round++) {
		struct tmk_touched *t;

		memset(model, 0, sizeof(model));
		ck_assert_int_eq(tmk_touched_new(&t, &small), 0);
		for (int i = 0; i < 200; i++) {
			uint16_t disk = roll(&seed) % 3;
			uint64_t sectors = small.sizes[disk] / 512, at = roll(&seed) % sectors,
				 length = 1 + roll(&seed) % (sectors - at);
			bool any = false, add = roll(&seed) % 16 == 0;

			if (add && roll(&seed) % 4)
				length = 1;
			for (uint64_t g = at / 8; g <= (at + length - 1) / 8; g++) {
				any |= model[disk][g];
				model[disk][g] |= add;
			}
			ck_assert_int_eq(tmk_touched_any(t, disk, at * 512, length * 512), any);
			if (add)
				tmk_touched_add(t, disk, at * 512, length * 512);
		}
		tmk_touched_free(t);
	}
}
END_TEST

/* As many as there may be, as large as they may be: little memory, and nothing touched is forgotten. */
START_TEST(test_touched_large)
{
	struct tmk_disk_sizes sizes = {.count = TMK_DISKS_MAX};
	const uint64_t size = INT64_MAX - 511;
	struct tmk_touched *t;

	for (int i = 0; i < TMK_DISKS_MAX; i++)
		sizes.sizes[i] = size;
	ck_assert_int_eq(tmk_touched_new(&t, &sizes), 0);
	for (uint16_t disk = 0; disk < TMK_DISKS_MAX; disk += 2)
		tmk_touched_add(t, disk, size - 512, 512);
	for (uint16_t disk = 0; disk < TMK_DISKS_MAX; disk++) {
		ck_assert_int_eq(tmk_touched_any(t, disk, size - 512, 512), disk % 2 == 0);
		ck_assert_int_eq(tmk_touched_any(t, disk, 0, size), disk % 2 == 0);
		ck_assert(!tmk_touched_any(t, disk, 0, size / 2));
	}
	tmk_touched_free(t);

	/* 256 GiB with 4 KiB each are 8 MiB; one sector more, and granules double. */
	for (int more = 0; more < 2; more++) {
		sizes = (struct tmk_disk_sizes){.count = 1, .sizes = {(256ull << 30) + 512 * more}};
		ck_assert_int_eq(tmk_touched_new(&t, &sizes), 0);
		tmk_touched_add(t, 0, 8192, 512);
		ck_assert(tmk_touched_any(t, 0, 8192 + 3584, 512));
		ck_assert_int_eq(tmk_touched_any(t, 0, 12288, 512), more);
		ck_assert(!tmk_touched_any(t, 0, 4096, 4096));
		ck_assert(!tmk_touched_any(t, 0, 16384, 1 << 20));
		tmk_touched_free(t);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("compare");
	TCase *t = tcase_create("compare");

	tcase_set_timeout(t, 300);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_plain, 0, 2);
	tcase_add_test(t, test_rot);
	tcase_add_test(t, test_changes_nothing);
	tcase_add_loop_test(t, test_within_a_chunk, 0, 2);
	tcase_add_test(t, test_behind_waiting_data);
	tcase_add_test(t, test_restart_empty);
	tcase_add_test(t, test_restart_point);
	tcase_add_test(t, test_restart_between);
	tcase_add_test(t, test_give_up);
	tcase_add_test(t, test_bad_sector);
	tcase_add_test(t, test_long_result);
	tcase_add_loop_test(t, test_steps_are_bounded, 0, 2);
	tcase_add_loop_test(t, test_crash, 0, CRASHES);
	tcase_add_test(t, test_fails_anywhere);
	tcase_add_test(t, test_ranges);
	tcase_add_test(t, test_touched);
	tcase_add_test(t, test_touched_large);
	suite_add_tcase(s, t);
	return run_suite(s);
}
