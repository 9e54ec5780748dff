/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: target
 * The journal: what was committed is there again after whatever happens, rot is told from a torn tail, and a flush that failed is
 * never believed later (I5, R13, R14).
 */
#include <sys/wait.h>

#include "io_fault.h"
#include "storage.h"

static struct place_to_be d;
static struct chain c;
static struct tmk_journal *j;
static uint64_t seed;

static void setup(void)
{
	seed = 0x9e3779b97f4a7c15ull;
	dir_make(&d);
	chain_new(&c);
	j = NULL;
}

static void teardown(void)
{
	tmk_journal_close(j);
	chain_free(&c);
	dir_remove(&d);
}

static void grow(unsigned int chunks)
{
	while (chunks--)
		chain_random(&c, &seed, !(c.next.number % 4));
}

static int open_with(const struct tmk_io *io, uint64_t applied)
{
	struct tmk_journal_options o = journal_options(&c, &d, io);

	o.applied = c.place[applied];
	return tmk_journal_open(&j, &o, &g_err);
}

static void reopen(uint64_t applied, uint64_t end)
{
	struct tmk_place is;

	tmk_journal_close(j);
	check_ok(open_with(&tmk_io_real, applied));
	is = tmk_journal_end(j);
	ck_assert_uint_eq(is.number, end);
	ck_assert_mem_eq(is.hash, c.place[end].hash, TMK_HASH_SIZE);
}

/* Every chunk first..last is there, and nothing more. */
static void check_chunks(uint64_t first, uint64_t last)
{
	struct tmk_journal_cursor *cursor;
	struct tmk_journal_chunk chunk;

	check_ok(tmk_journal_cursor_open(&cursor, &tmk_io_real, d.journal, c.protection, &c.sizes, &c.place[first - 1], &g_err));
	for (uint64_t n = first; n <= last; n++) {
		check_ok(tmk_journal_cursor_next(cursor, last, &chunk, &g_err));
		ck_assert_uint_eq(chunk.header.number, n);
		ck_assert_mem_eq(chunk.hash, c.place[n].hash, TMK_HASH_SIZE);
		ck_assert_uint_eq(chunk.target_time, 5000 + n);
		ck_assert_int_eq(chunk.marked, c.marked[n]);
	}
	check_code(-EAGAIN, tmk_journal_cursor_next(cursor, last, &chunk, &g_err));
	tmk_journal_cursor_close(cursor);
}

/* Never two append sides (I8). */
static void check_second_refused(void)
{
	struct tmk_journal_options o = journal_options(&c, &d, &tmk_io_real);
	struct tmk_journal *second;

	check_code(-EBUSY, tmk_journal_open(&second, &o, &g_err));
	ck_assert_ptr_null(second);
}

static const char first_segment[] = "0000000000000001.seg";

/* ---- the plain case ---- */

START_TEST(test_empty)
{
	uint8_t epoch[TMK_EPOCH_SIZE], none[TMK_EPOCH_SIZE] = {0};

	reopen(0, 0);
	tmk_journal_epoch(j, epoch);
	ck_assert_mem_eq(epoch, none, sizeof(none));
	ck_assert_uint_eq(tmk_journal_bytes(j), 0);
}
END_TEST

START_TEST(test_append)
{
	uint8_t epoch[TMK_EPOCH_SIZE];
	uint64_t bytes = sizeof(struct tmk_segment);

	grow(12);
	journal_fill(&c, &d, 1, 12, 5);
	reopen(0, 12);
	tmk_journal_epoch(j, epoch);
	ck_assert_mem_eq(epoch, c.next.epoch, sizeof(epoch));
	check_chunks(1, 12);
	check_chunks(7, 12);
	for (uint64_t n = 1; n <= 12; n++)
		bytes += c.size[n] + sizeof(struct tmk_entry);
	ck_assert_uint_eq(tmk_journal_bytes(j), bytes);
	check_second_refused();
}
END_TEST

/* Durable is what commit returned for: the end before that is the old one. */
START_TEST(test_end_is_durable)
{
	struct tmk_place end;

	grow(3);
	reopen(0, 0);
	check_ok(journal_append(j, &c, 1));
	check_ok(journal_append(j, &c, 2));
	ck_assert_uint_eq(tmk_journal_end(j).number, 0);
	check_ok(tmk_journal_commit(j, &end, &g_err));
	ck_assert_uint_eq(end.number, 2);
	ck_assert_uint_eq(tmk_journal_end(j).number, 2);
}
END_TEST

/* Wrong number, chain, length, header; another epoch within a session. None counts, and the right one is taken behind them. */
START_TEST(test_refused)
{
	struct chain other;
	uint8_t bad[TMK_CHUNK_HEADER_SIZE];
	uint64_t other_seed = 77;

	grow(4);
	chain_new(&other);
	chain_random(&other, &other_seed, false);
	chain_random(&other, &other_seed, false);
	reopen(0, 0);
	check_code(-EBADMSG, journal_append(j, &c, 2)); /* not next */
	check_ok(journal_append(j, &c, 1));
	check_code(-EBADMSG, journal_append(j, &c, 1));
	check_code(-EBADMSG, journal_append(j, &c, 3));
	check_code(-EBADMSG, journal_append(j, &other, 2)); /* another's chain (R3) */
	memcpy(bad, c.bytes[2], sizeof(bad));
	bad[90] ^= 1;
	check_code(-EBADMSG, tmk_journal_append(j, bad, c.bytes[2] + sizeof(bad), 10, 0, &g_err));
	check_code(-EBADMSG, tmk_journal_append(j, c.bytes[2], c.bytes[2] + sizeof(bad), c.size[2] - sizeof(bad) - 1, 0, &g_err));
	check_ok(journal_append(j, &c, 2));
	check_ok(tmk_journal_commit(j, NULL, &g_err));
	reopen(0, 2);
	check_chunks(1, 2);
	chain_free(&other);
}
END_TEST

START_TEST(test_epoch_within_session)
{
	uint8_t epoch[TMK_EPOCH_SIZE];

	grow(2);
	memset(c.next.epoch, 0xe2, TMK_EPOCH_SIZE);
	grow(1);
	journal_fill(&c, &d, 1, 2, 1);
	reopen(0, 2);
	check_ok(journal_append(j, &c, 3)); /* a session may begin one */
	check_ok(tmk_journal_commit(j, NULL, &g_err));
	tmk_journal_epoch(j, epoch);
	ck_assert_mem_eq(epoch, c.next.epoch, sizeof(epoch));
	memset(c.next.epoch, 0xe3, TMK_EPOCH_SIZE);
	grow(1);
	check_code(-EBADMSG, journal_append(j, &c, 4)); /* not another */
}
END_TEST

/* ---- torn tails and rot ---- */

/* I5: whatever is left of the last entry, at every length: the end is the chunk before, and the journal goes on. */
START_TEST(test_torn_at_every_length)
{
	size_t size, whole, last;
	uint8_t *bytes;

	grow(3);
	journal_fill(&c, &d, 1, 3, 1);
	bytes = slurp(d.journal, first_segment, &whole);
	last = c.size[3] + sizeof(struct tmk_entry);
	for (size_t left = 0; left < last; left++) {
		spill(d.journal, first_segment, bytes, whole - last + left);
		reopen(0, 2);
		free(slurp(d.journal, first_segment, &size));
		ck_assert_uint_eq(size, whole - last); /* cut */
		if (left % 97 && left + 1 != last)
			continue;
		check_ok(journal_append(j, &c, 3));
		check_ok(tmk_journal_commit(j, NULL, &g_err));
		reopen(0, 3);
		check_chunks(1, 3);
	}
	free(bytes);
}
END_TEST

/* The same with the file at full length and zeroes where the tail did not reach the disk. */
START_TEST(test_torn_zeroes)
{
	size_t whole, last;
	uint8_t *bytes;

	grow(3);
	journal_fill(&c, &d, 1, 3, 0);
	bytes = slurp(d.journal, first_segment, &whole);
	last = c.size[3] + sizeof(struct tmk_entry);
	for (size_t left = 0; left < last; left += 13) {
		memset(bytes + whole - last + left, 0, last - left);
		spill(d.journal, first_segment, bytes, whole);
		reopen(0, bytes[whole - 1] || left + 1 >= last ? 3 : 2);
		tmk_journal_close(j);
		j = NULL;
		free(bytes);
		shell("rm %s/journal/*", d.path);
		journal_fill(&c, &d, 1, 3, 0);
		bytes = slurp(d.journal, first_segment, &whole);
	}
	free(bytes);
}
END_TEST

static void check_rot(uint64_t applied)
{
	size_t before_size, after_size;
	uint8_t *before = slurp(d.journal, first_segment, &before_size), *after;

	tmk_journal_close(j);
	check_code(-EUCLEAN, open_with(&tmk_io_real, applied));
	ck_assert_ptr_null(j);
	ck_assert_ptr_nonnull(strstr(g_err.text, "nothing was changed"));
	after = slurp(d.journal, first_segment, &after_size);
	ck_assert_uint_eq(before_size, after_size);
	ck_assert_mem_eq(before, after, after_size);
	free(before);
	free(after);
}

static uint64_t entry_at(uint64_t number)
{
	uint64_t at = sizeof(struct tmk_segment);

	for (uint64_t n = 1; n < number; n++)
		at += c.size[n] + sizeof(struct tmk_entry);
	return at;
}

/* R13: any flipped bit in an entry that a later one says was durable is rot, wherever it is: nothing is changed. */
START_TEST(test_rot_below_durable)
{
	uint64_t end;

	grow(6);
	journal_fill(&c, &d, 1, 6, 1);
	end = entry_at(6);
	for (uint64_t at = 0; at < end; at += 1 + roll(&seed) % 29) {
		flip(d.journal, first_segment, at);
		check_rot(0);
		flip(d.journal, first_segment, at);
	}
	reopen(0, 6);
}
END_TEST

/* Not proven durable by a later entry, but by the sidecar (R14). */
START_TEST(test_rot_below_applied)
{
	grow(3);
	journal_fill(&c, &d, 1, 3, 0);
	flip(d.journal, first_segment, entry_at(3) + 40);
	check_rot(3);
	reopen(2, 2); /* unproven: torn */
}
END_TEST

/* One commit of several: a bad one of them takes those behind it along, since none was ever acked. */
START_TEST(test_torn_within_group)
{
	grow(6);
	journal_fill(&c, &d, 1, 2, 1);
	journal_fill(&c, &d, 3, 6, 0);
	flip(d.journal, first_segment, entry_at(4) + 200);
	reopen(0, 3);
	check_chunks(1, 3);
}
END_TEST

/* A payload that itself holds a journal's bytes (a target's disk is replicated) does not make rot of a torn tail. */
START_TEST(test_embedded_journal)
{
	struct tmk_chain far = {.number = 1000000, .generation = 1};
	struct tmk_entry e = {.magic = TMK_ENTRY_MAGIC, .durable = 999999};
	static uint8_t inner[16384], outer[49152];
	uint8_t *bytes = malloc(tmk_chunk_bound()), hash[TMK_HASH_SIZE];
	size_t size;

	for (unsigned int i = 0; i < sizeof(outer); i++)
		outer[i] = roll(&seed) >> 13;
	for (unsigned int i = 0; i < sizeof(inner); i++)
		inner[i] = roll(&seed) >> 13;
	memcpy(tmk_builder_data(c.builder, 0, 0, sizeof(inner)), inner, sizeof(inner));
	size = tmk_builder_seal(c.builder, &far, 0, bytes, hash);
	tmk_builder_reset(c.builder);
	e.length = size; /* a valid entry, of numbers that cannot be here */
	e.sum = tmk_sum64(&e, 24);
	memcpy(outer + 512, &e, sizeof(e));
	memcpy(outer + 512 + sizeof(e), bytes, size);
	free(bytes);
	grow(1);
	c.image[2] = calloc(DISKS, DISK_SIZE);
	memcpy(tmk_builder_data(c.builder, 0, 0, sizeof(outer)), outer, sizeof(outer));
	chain_seal(&c, false);
	ck_assert_ptr_nonnull(memmem(c.bytes[2], c.size[2], outer + 512, sizeof(e) + size)); /* not compressed away */
	journal_fill(&c, &d, 1, 2, 0);
	flip(d.journal, first_segment, entry_at(2) + 50);
	reopen(0, 1);
}
END_TEST

/* R13 (c), R14: segments of another protection, or under another name, are refused; nothing of them is read. */
START_TEST(test_foreign_segment)
{
	struct chain other;
	uint64_t other_seed = 5;

	grow(4);
	journal_fill(&c, &d, 1, 2, 1);
	chain_new(&other);
	memset(other.protection, 0x66, TMK_UUID_SIZE);
	chain_random(&other, &other_seed, false);
	shell("mkdir -p %s/keep && mv %s/journal/* %s/keep", d.path, d.path, d.path);
	journal_fill(&other, &d, 1, 1, 1);
	check_rot(0);
	shell("mv %s/keep/%s %s/journal/%s", d.path, first_segment, d.path, first_segment);
	reopen(0, 2);
	tmk_journal_close(j);
	j = NULL;
	shell("mv %s/journal/%s %s/journal/0000000000000002.seg", d.path, first_segment, d.path);
	check_code(-EUCLEAN, open_with(&tmk_io_real, 1));
	chain_free(&other);
}
END_TEST

/* A segment of which not even the header reached the disk; at every length. */
START_TEST(test_unborn_segment)
{
	static const uint8_t zeroes[sizeof(struct tmk_segment)];
	struct stat st;

	grow(3);
	journal_fill(&c, &d, 1, 2, 1);
	for (size_t size = 0; size <= sizeof(zeroes); size += 16) {
		spill(d.journal, "0000000000000003.seg", zeroes, size);
		reopen(0, 2);
		ck_assert_int_ne(fstatat(d.journal, "0000000000000003.seg", &st, 0), 0);
	}
	tmk_journal_close(j);
	j = NULL;
	/* it was begun behind chunk 2, so that is durable: without it there is a hole */
	spill(d.journal, "0000000000000003.seg", zeroes, 0);
	flip(d.journal, first_segment, entry_at(2) + 40);
	check_rot(0);
}
END_TEST

/* ---- replica and journal do not fit ---- */

/* R14: the journal was put back older, and ends below the sidecar's place: it goes on behind that. */
START_TEST(test_put_back_older)
{
	bool found;

	grow(9);
	journal_fill(&c, &d, 1, 4, 1);
	reopen(7, 7);
	check_ok(tmk_journal_find(j, &c.place[7], &found, &g_err));
	ck_assert(found);
	check_ok(tmk_journal_find(j, &c.place[3], &found, &g_err));
	ck_assert_msg(!found, "nothing leads from there to the end");
	check_ok(journal_append(j, &c, 8));
	check_ok(tmk_journal_commit(j, NULL, &g_err));
	check_chunks(8, 8);
	reopen(7, 8);
	reopen(8, 8);
	check_ok(journal_append(j, &c, 9));
	check_ok(tmk_journal_commit(j, NULL, &g_err));
	reopen(7, 9);
	check_chunks(8, 9);
}
END_TEST

/* R14: the sidecar names a chunk that is another one here, or one that the journal does not reach back to. */
START_TEST(test_does_not_go_through_applied)
{
	struct tmk_journal_options o = journal_options(&c, &d, &tmk_io_real);

	grow(6);
	journal_fill(&c, &d, 1, 6, 1);
	o.applied = c.place[3];
	o.applied.hash[5] ^= 1;
	check_code(-EUCLEAN, tmk_journal_open(&j, &o, &g_err));
	o.applied = c.place[6];
	o.applied.hash[5] ^= 1;
	check_code(-EUCLEAN, tmk_journal_open(&j, &o, &g_err));
	reopen(6, 6);
	tmk_journal_close(j);
	j = NULL;
	shell("rm %s/journal/*", d.path);
	reopen(4, 4);
	check_ok(journal_append(j, &c, 5));
	check_ok(tmk_journal_commit(j, NULL, &g_err));
	tmk_journal_close(j);
	j = NULL;
	check_code(-EUCLEAN, open_with(&tmk_io_real, 3)); /* begins with 5, wanted is 4 */
	reopen(4, 5);
}
END_TEST

/* ---- faults ---- */

/* R13: a flush that failed is never tried again by this hand; the next open ends at the last durable chunk, and goes on. */
START_TEST(test_failed_flush)
{
	struct tmk_io_fault fault;
	struct tmk_place end;
	unsigned int flushes;
	const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, TMK_IO_FLUSH, 0, EIO);

	grow(6);
	journal_fill(&c, &d, 1, 2, 1);
	check_ok(open_with(io, 0));
	check_ok(journal_append(j, &c, 3));
	check_ok(tmk_journal_commit(j, &end, &g_err));
	ck_assert_uint_eq(end.number, 3);
	check_ok(journal_append(j, &c, 4));
	check_ok(journal_append(j, &c, 5));
	flushes = fault.counted;
	fault.at = flushes + 1;
	check_code(-EIO, tmk_journal_commit(j, &end, &g_err));
	ck_assert_uint_eq(end.number, 3);
	check_code(-EIO, tmk_journal_commit(j, &end, &g_err)); /* the page cache would say 0 now */
	check_code(-EIO, journal_append(j, &c, 6));
	check_code(-EIO, journal_append(j, &c, 4));
	ck_assert_uint_eq(fault.counted, flushes + 1);
	ck_assert_uint_eq(tmk_journal_end(j).number, 3);
	reopen(0, 3);
	for (uint64_t n = 4; n <= 6; n++)
		check_ok(journal_append(j, &c, n));
	check_ok(tmk_journal_commit(j, NULL, &g_err));
	reopen(0, 6);
	check_chunks(1, 6);
}
END_TEST

/* R13 (a), the hard case: the flush fails, the process is killed before it can cut back. The pages are in the cache, clean; a
 * flush of theirs would say 0 and write nothing. What recovery finds has to be written again before it counts. */
static size_t rewritten;
static int (*rewrite_below)(const struct tmk_io *io, int fd, const void *data, size_t size, uint64_t offset);
static int count_write(const struct tmk_io *io, int fd, const void *data, size_t size, uint64_t offset)
{
	rewritten += size;
	return rewrite_below(io, fd, data, size, offset);
}

START_TEST(test_unproven_is_written_again)
{
	struct tmk_io io = tmk_io_real;

	grow(5);
	journal_fill(&c, &d, 1, 3, 1);
	journal_fill(&c, &d, 4, 5, 0); /* their entries say: 3 is durable */
	rewrite_below = tmk_io_real.write;
	io.write = count_write;
	rewritten = 0;
	check_ok(open_with(&io, 0));
	ck_assert_uint_eq(rewritten, entry_at(6) - entry_at(4));
	ck_assert_uint_eq(tmk_journal_end(j).number, 5);
	tmk_journal_close(j);
	j = NULL;
	rewritten = 0;
	check_ok(open_with(&io, 5)); /* applied is durable; what can be written is still found out */
	ck_assert_uint_eq(rewritten, sizeof(struct tmk_segment));
	check_chunks(1, 5);
	tmk_journal_close(j);
	j = NULL;
}
END_TEST

/* Each write may be the one for which there is no room, half of it written or not: what was there stays, and the chunk can come
 * again (-ENOSPC is no end of the session). */
START_TEST(test_no_space)
{
	struct tmk_io_fault fault;
	unsigned int done = 0;

	grow(4);
	for (unsigned int at = 1; !done; at++) {
		const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, TMK_IO_WRITE, at, ENOSPC);
		unsigned int failed = 0;

		fault.torn = at & 1;
		check_ok(open_with(io, 0));
		for (uint64_t n = 1; n <= 4; n++) {
			if (journal_append(j, &c, n)) {
				ck_assert_int_eq(g_err.code, -ENOSPC);
				failed++;
				check_ok(journal_append(j, &c, n));
			}
			if (n == 2)
				check_ok(tmk_journal_commit(j, NULL, &g_err));
		}
		check_ok(tmk_journal_commit(j, NULL, &g_err));
		ck_assert_uint_eq(failed, fault.failed);
		reopen(0, 4);
		check_chunks(1, 4);
		tmk_journal_close(j);
		j = NULL;
		check_ok(tmk_journal_wipe(&tmk_io_real, d.journal, &g_err));
		done = !failed;
	}
}
END_TEST

START_TEST(test_limit)
{
	struct tmk_journal_options o = journal_options(&c, &d, &tmk_io_real);

	grow(3);
	o.limit = sizeof(struct tmk_segment) + c.size[1] + c.size[2] + 2 * sizeof(struct tmk_entry);
	check_ok(tmk_journal_open(&j, &o, &g_err));
	check_ok(journal_append(j, &c, 1));
	check_ok(journal_append(j, &c, 2));
	check_code(-EFBIG, journal_append(j, &c, 3));
	check_ok(tmk_journal_commit(j, NULL, &g_err));
	reopen(0, 2);
}
END_TEST

/* Any call may fail: an open that says 0 has the right end, one that fails has hurt nothing. */
START_TEST(test_open_fails_anywhere)
{
	struct tmk_io_fault fault;
	int ret = -1;

	grow(5);
	journal_fill(&c, &d, 1, 4, 2);
	journal_fill(&c, &d, 5, 5, 0);
	spill(d.journal, "0000000000000006.seg", "", 0);
	for (unsigned int at = 1; ret; at++) {
		ret = open_with(tmk_io_fault(&fault, &tmk_io_real, TMK_IO_ALL & ~TMK_IO_CLOSE, at, EIO), 0);
		if (!ret)
			break;
		ck_assert_ptr_null(j);
	}
	ck_assert_uint_eq(tmk_journal_end(j).number, 5);
	check_chunks(1, 5);
	tmk_journal_close(j);
	j = NULL;
}
END_TEST

/* The entry that proves that a bad one is rot cannot be read now: that is no reason to cut off what was acked (R13). */
START_TEST(test_rot_with_read_faults)
{
	struct tmk_io_fault fault = {.failed = 1};
	size_t size, size_then;
	uint8_t *is, *was;

	grow(5);
	journal_fill(&c, &d, 1, 5, 1);
	flip(d.journal, first_segment, entry_at(4) + 100); /* chunk 5 alone proves it */
	was = slurp(d.journal, first_segment, &size_then);
	for (unsigned int at = 1; fault.failed; at++) {
		const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, TMK_IO_READ, at, EIO);
		int ret = open_with(io, 0);

		ck_assert_msg(ret == -EUCLEAN || (ret == -EIO && fault.failed), "read %u failed: %d", at, ret);
		is = slurp(d.journal, first_segment, &size);
		ck_assert_uint_eq(size, size_then);
		ck_assert_mem_eq(is, was, size);
		free(is);
	}
	ck_assert_uint_gt(fault.counted, 8); /* the headers before it, and what lies behind it */
	free(was);
}
END_TEST

/* ---- crashes ---- */

/* A session: appends everything that is not there, with commits here and there. Returns the last chunk acked. */
static uint64_t session(const struct tmk_io *io, uint64_t acked)
{
	struct tmk_place end;

	if (open_with(io, 0))
		return acked;
	end = tmk_journal_end(j);
	ck_assert_uint_ge(end.number, acked);
	acked = end.number;
	for (uint64_t n = acked + 1; n <= c.count; n++) {
		if (journal_append(j, &c, n))
			break;
		if ((n % 3 && n != c.count) || tmk_journal_commit(j, &end, &g_err))
			continue;
		acked = end.number;
	}
	tmk_journal_close(j);
	j = NULL;
	return acked;
}

/* The machine stops at every change in turn; what was not flushed is kept, lost, or partly there. What was acked is never gone,
 * and what is found is the chain (I5). Then it stops a second time, in the recovery. */
static void crash_everywhere(enum crash how, bool lies)
{
	bool finished = false;

	for (unsigned int at = 1; !finished; at++) {
		struct crash_io crash;
		uint64_t acked = 0;

		for (unsigned int round = 0; round < 4; round++) {
			const struct tmk_io *io = crash_new(&crash, round < 3 ? (round ? 1 + at % (3 * round) : at) : 0);

			crash.flush_lies = lies;
			acked = session(io, acked);
			if (!round)
				finished = crash.counted < crash.at;
			crash_over(&crash, how, &seed);
		}
		ck_assert_uint_eq(acked, c.count);
		reopen(0, c.count);
		check_chunks(1, c.count);
		tmk_journal_close(j);
		j = NULL;
		check_ok(tmk_journal_wipe(&tmk_io_real, d.journal, &g_err));
	}
}

START_TEST(test_crash)
{
	grow(10);
	crash_everywhere(_i % CRASHES, _i >= CRASHES);
}
END_TEST

/* ---- looking back ---- */

struct seen {
	uint64_t bytes, count;
	uint8_t touched[DISKS][DISK_SIZE / 512];
};

static int note_extent(const struct tmk_rewind_extent *e, void *context)
{
	struct seen *seen = context;

	ck_assert_uint_lt(e->disk, DISKS);
	ck_assert_uint_le(e->offset + e->length, DISK_SIZE);
	ck_assert_uint_gt(e->length, 0);
	memset(&seen->touched[e->disk][e->offset / 512], 1, e->length / 512);
	seen->count++;
	return 0;
}

/* R3: the extents behind a place cover all that changed since; what is no place of the chain is not found. */
START_TEST(test_find_and_extents)
{
	struct tmk_place no;
	bool found;

	grow(12);
	journal_fill(&c, &d, 1, 12, 3);
	reopen(5, 12);
	for (uint64_t n = 0; n <= 12; n++) {
		struct seen seen = {0};

		check_ok(tmk_journal_find(j, &c.place[n], &found, &g_err));
		ck_assert_msg(found, "%d", (int)n);
		no = c.place[n];
		no.hash[31] ^= 1;
		if (n)
			check_ok(tmk_journal_find(j, &no, &found, &g_err));
		ck_assert(!n || !found);
		check_ok(tmk_journal_extents(j, &c.place[n], note_extent, &seen, &g_err));
		for (int disk = 0; disk < DISKS; disk++)
			for (unsigned int s = 0; s < DISK_SIZE / 512; s++)
				ck_assert(seen.touched[disk][s] ||
					  !memcmp(c.image[n][disk] + s * 512, c.image[12][disk] + s * 512, 512));
		ck_assert(!seen.count == (n == 12));
	}
	no = c.place[12];
	no.number = 13;
	check_ok(tmk_journal_find(j, &no, &found, &g_err));
	ck_assert(!found);
}
END_TEST

/* What a record only hashes did not change. */
START_TEST(test_hashes_are_no_extents)
{
	struct seen seen = {0};
	uint8_t *body = tmk_builder_hash(c.builder, 0, 0, DISK_SIZE);

	memset(body, 1, TMK_TAG_KEY + 2 * TMK_TAG_SIZE);
	chain_seal(&c, false);
	ck_assert_int_eq(tmk_builder_range(c.builder, TMK_ZERO, 1, 512, 512), 0);
	ck_assert_ptr_nonnull(tmk_builder_hash(c.builder, 1, 1024, 512));
	ck_assert_int_eq(tmk_builder_range(c.builder, TMK_ZERO, 1, 1024, 512), 0);
	chain_seal(&c, false);
	body = tmk_builder_hash(c.builder, 1, 0, 512);
	memset(body, 2, TMK_TAG_KEY + TMK_TAG_SIZE);
	chain_seal(&c, true);
	journal_fill(&c, &d, 1, 3, 1);
	reopen(0, 3);
	check_ok(tmk_journal_extents(j, &c.place[0], note_extent, &seen, &g_err));
	ck_assert_uint_eq(seen.count, 1); /* the two ZEROes are neighbours */
	ck_assert(!seen.touched[1][0] && seen.touched[1][1] && seen.touched[1][2] && !seen.touched[1][3]);
	seen.count = 0;
	check_ok(tmk_journal_extents(j, &c.place[2], note_extent, &seen, &g_err));
	ck_assert_uint_eq(seen.count, 0);
}
END_TEST

static uint64_t last_there(void)
{
	uint64_t last = 99;

	check_ok(tmk_journal_last(&tmk_io_real, d.journal, c.protection, &last, &g_err));
	return last;
}

/* Durable or not; what lies behind a bad entry does not count. */
START_TEST(test_last)
{
	grow(8);
	ck_assert_uint_eq(last_there(), 0);
	journal_fill(&c, &d, 1, 5, 0);
	ck_assert_uint_eq(last_there(), 5);
	check_ok(open_with(&tmk_io_real, 0));
	check_ok(journal_append(j, &c, 6));
	ck_assert_uint_eq(last_there(), 6);
	flip(d.journal, "0000000000000001.seg", sizeof(struct tmk_segment) + sizeof(struct tmk_entry) + c.size[1] + 3);
	ck_assert_uint_eq(last_there(), 1);
	flip(d.journal, "0000000000000001.seg", 3);
	ck_assert_uint_eq(last_there(), 0);
	spill(d.journal, "0000000000000007.seg", "", 0); /* one that is being made */
	ck_assert_uint_eq(last_there(), 6);
}
END_TEST

/* ---- many segments ---- */

static void grow_large(unsigned int chunks)
{
	while (chunks--) {
		uint64_t *data;

		for (uint64_t n = 0; n < 16; n++) {
			data = tmk_builder_data(c.builder, n % DISKS, 0, DISK_SIZE);
			for (unsigned int i = 0; i < DISK_SIZE / 8; i++)
				data[i] = roll(&seed);
		}
		chain_seal(&c, !(c.next.number % 10));
	}
}

static unsigned int segments(void)
{
	char command[400];
	FILE *f;
	unsigned int count = 0;

	snprintf(command, sizeof(command), "ls %s/journal | wc -l", d.path);
	f = popen(command, "r");
	ck_assert_int_eq(fscanf(f, "%u", &count), 1);
	pclose(f);
	return count;
}

START_TEST(test_segments)
{
	struct tmk_place end;
	uint64_t bytes;
	bool found;

	grow_large(160);
	check_ok(open_with(&tmk_io_real, 0));
	for (uint64_t n = 1; n <= 160; n++)
		check_ok(journal_append(j, &c, n));
	ck_assert_uint_gt(tmk_journal_end(j).number, 100); /* a new segment commits the one before (I5) */
	check_ok(tmk_journal_commit(j, &end, &g_err));
	ck_assert_uint_eq(end.number, 160);
	ck_assert_uint_eq(segments(), 3);
	reopen(0, 160);
	check_chunks(1, 160);
	check_chunks(100, 160);
	bytes = tmk_journal_bytes(j);

	/* rot in an old segment: its headers at open, its payloads by the cursor */
	flip(d.journal, first_segment, sizeof(struct tmk_segment) + 32 + 70);
	check_second_refused();
	tmk_journal_close(j);
	check_code(-EUCLEAN, open_with(&tmk_io_real, 0));
	flip(d.journal, first_segment, sizeof(struct tmk_segment) + 32 + 70);
	flip(d.journal, first_segment, sizeof(struct tmk_segment) + 5000);
	reopen(0, 160);
	{
		struct tmk_journal_cursor *cursor;
		struct tmk_journal_chunk chunk;

		check_ok(tmk_journal_cursor_open(&cursor, &tmk_io_real, d.journal, c.protection, &c.sizes, &c.place[0], &g_err));
		check_code(-EUCLEAN, tmk_journal_cursor_next(cursor, 160, &chunk, &g_err));
		tmk_journal_cursor_close(cursor);
	}
	flip(d.journal, first_segment, sizeof(struct tmk_segment) + 5000);

	/* trim: whole segments, oldest first, nothing above keep, and never the last */
	check_ok(tmk_journal_trim(&tmk_io_real, d.journal, 1000, bytes, &g_err));
	ck_assert_uint_eq(segments(), 3);
	check_ok(tmk_journal_trim(&tmk_io_real, d.journal, 50, 0, &g_err));
	ck_assert_uint_eq(segments(), 3);
	check_ok(tmk_journal_trim(&tmk_io_real, d.journal, 100, 0, &g_err));
	ck_assert_uint_eq(segments(), 2);
	check_ok(tmk_journal_find(j, &c.place[10], &found, &g_err));
	ck_assert(!found);
	check_ok(tmk_journal_find(j, &(struct tmk_place){0}, &found, &g_err));
	ck_assert(!found);
	check_ok(tmk_journal_find(j, &c.place[100], &found, &g_err));
	ck_assert(found);
	check_code(-EUCLEAN, (tmk_journal_close(j), j = NULL, open_with(&tmk_io_real, 10)));
	reopen(100, 160);
	check_ok(tmk_journal_trim(&tmk_io_real, d.journal, 1000, 0, &g_err));
	ck_assert_uint_eq(segments(), 1);
	reopen(160, 160);

	/* a hole above the applied place */
	check_ok(tmk_journal_wipe(&tmk_io_real, d.journal, &g_err));
	ck_assert_uint_eq(segments(), 0);
}
END_TEST

START_TEST(test_hole)
{
	char name[24];

	grow_large(160);
	check_ok(open_with(&tmk_io_real, 0));
	for (uint64_t n = 1; n <= 160; n++)
		check_ok(journal_append(j, &c, n));
	check_ok(tmk_journal_commit(j, NULL, &g_err));
	tmk_journal_close(j);
	j = NULL;
	for (uint64_t n = 40; n < 100; n++) {
		snprintf(name, sizeof(name), "%016llx.seg", (unsigned long long)n);
		unlinkat(d.journal, name, 0);
	}
	ck_assert_uint_eq(segments(), 2);
	check_rot(0);
	check_rot(30);
	check_code(-EUCLEAN, open_with(&tmk_io_real, 90));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("journal");
	TCase *t = tcase_create("journal");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 100);
	tcase_add_test(t, test_empty);
	tcase_add_test(t, test_append);
	tcase_add_test(t, test_end_is_durable);
	tcase_add_test(t, test_refused);
	tcase_add_test(t, test_epoch_within_session);
	tcase_add_test(t, test_torn_at_every_length);
	tcase_add_test(t, test_torn_zeroes);
	tcase_add_test(t, test_rot_below_durable);
	tcase_add_test(t, test_rot_below_applied);
	tcase_add_test(t, test_torn_within_group);
	tcase_add_test(t, test_embedded_journal);
	tcase_add_test(t, test_foreign_segment);
	tcase_add_test(t, test_unborn_segment);
	tcase_add_test(t, test_put_back_older);
	tcase_add_test(t, test_does_not_go_through_applied);
	tcase_add_test(t, test_failed_flush);
	tcase_add_test(t, test_unproven_is_written_again);
	tcase_add_test(t, test_no_space);
	tcase_add_test(t, test_limit);
	tcase_add_test(t, test_open_fails_anywhere);
	tcase_add_test(t, test_rot_with_read_faults);
	tcase_add_loop_test(t, test_crash, 0, 2 * CRASHES);
	tcase_add_test(t, test_find_and_extents);
	tcase_add_test(t, test_hashes_are_no_extents);
	tcase_add_test(t, test_last);
	tcase_add_test(t, test_segments);
	tcase_add_test(t, test_hole);
	suite_add_tcase(s, t);
	return run_suite(s);
}
