/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of the target's storage share: a directory of their own, chains of chunks with a model of the disks after each,
 * and storage that stops at the Nth change and then forgets what was not flushed.
 */
#ifndef TMK_TEST_STORAGE_H
#define TMK_TEST_STORAGE_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "chunk.h"
#include "io.h"
#include "journal.h"
#include "replica.h"
#include "suite.h"
#include "sum.h"

#define check_ok(call) check_code(0, call)
#define check_code(want, call)                                                                                                   \
	do {                                                                                                                     \
		int got_ = (call);                                                                                               \
		ck_assert_msg(got_ == (want), "%s: %d, not %d: %s", #call, got_, (want), g_err.text);                            \
	} while (0)

static struct tmk_error g_err __attribute__((unused));

/* ---- a directory ---- */

struct place_to_be {
	char path[256];
	int dir, journal; /* descriptors of it and of journal/ in it */
};

static bool has_attributes(const char *path)
{
	return !setxattr(path, "user.tidemark.test", "", 0, 0);
}

/* Where TMPDIR says; else on tmpfs if that bears user attributes (Linux 6.6), else in /tmp. */
static __attribute__((unused)) void dir_make(struct place_to_be *d)
{
	const char *tried[] = {getenv("TMPDIR") ? getenv("TMPDIR") : "/dev/shm", "/tmp"};
	char path[300];

	for (int i = 0; i < 2; i++) {
		snprintf(d->path, sizeof(d->path), "%s/tidemark-unit-XXXXXX", tried[i]);
		if (!mkdtemp(d->path))
			continue;
		if (has_attributes(d->path) || i)
			break;
		rmdir(d->path);
	}
	snprintf(path, sizeof(path), "%s/journal", d->path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	d->dir = open(d->path, O_RDONLY | O_DIRECTORY);
	d->journal = open(path, O_RDONLY | O_DIRECTORY);
	ck_assert_int_ge(d->dir, 0);
	ck_assert_int_ge(d->journal, 0);
}

static __attribute__((unused)) void shell(const char *format, ...)
{
	char command[1200];
	va_list ap;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	ck_assert_msg(!system(command), "%s", command);
}

static __attribute__((unused)) void dir_remove(struct place_to_be *d)
{
	close(d->dir);
	close(d->journal);
	shell("rm -rf '%s'", d->path);
}

/* ---- random numbers that repeat ---- */

static __attribute__((unused)) uint64_t roll(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* ---- a chain of chunks and what the disks are after each ---- */

#define DISKS 2
#define DISK_SIZE (64u << 10)
#define CHAIN_MAX 200
struct chain {
	struct tmk_builder *builder;
	struct tmk_disk_sizes sizes;
	uint8_t protection[TMK_UUID_SIZE];
	struct tmk_chain next;
	uint64_t count; /* chunks: 1 .. count */
	uint8_t *bytes[CHAIN_MAX + 1];
	size_t size[CHAIN_MAX + 1];
	bool marked[CHAIN_MAX + 1];
	struct tmk_place place[CHAIN_MAX + 1];
	uint8_t (*image[CHAIN_MAX + 1])[DISK_SIZE]; /* [number][disk] */
};

static __attribute__((unused)) void chain_new(struct chain *c)
{
	memset(c, 0, sizeof(*c));
	ck_assert_int_eq(tmk_builder_new(&c->builder), 0);
	c->sizes.count = DISKS;
	for (int i = 0; i < DISKS; i++)
		c->sizes.sizes[i] = DISK_SIZE;
	memset(c->protection, 0x5a, sizeof(c->protection));
	memset(c->next.epoch, 0xe1, sizeof(c->next.epoch));
	c->next.number = 1;
	c->next.generation = 1;
	c->image[0] = calloc(DISKS, DISK_SIZE);
}

static __attribute__((unused)) void chain_free(struct chain *c)
{
	tmk_builder_free(c->builder);
	for (int i = 0; i <= CHAIN_MAX; i++) {
		free(c->bytes[i]);
		free(c->image[i]);
	}
}

static struct tmk_mark chain_mark(const struct chain *c)
{
	struct tmk_mark m = {.kind = TMK_CRASH, .gap = 7, .source_time = 1000 + c->next.number, .disk_count = c->sizes.count};

	memset(m.id, (int)c->next.number, sizeof(m.id));
	snprintf(m.label, sizeof(m.label), "point %llu", (unsigned long long)c->next.number);
	memcpy(m.sizes, c->sizes.sizes, sizeof(m.sizes));
	return m;
}

/* Seals what the builder holds as the next chunk. */
static __attribute__((unused)) void chain_seal(struct chain *c, bool marked)
{
	struct tmk_mark mark = chain_mark(c);
	uint64_t n = c->next.number;

	ck_assert_uint_le(n, CHAIN_MAX);
	if (marked)
		ck_assert_int_eq(tmk_builder_mark(c->builder, &mark), 0);
	c->bytes[n] = malloc(tmk_chunk_bound());
	c->size[n] = tmk_builder_seal(c->builder, &c->next, marked ? TMK_CHUNK_CONSISTENT : 0, c->bytes[n], c->place[n].hash);
	tmk_builder_reset(c->builder);
	c->marked[n] = marked;
	c->place[n].number = n;
	memcpy(c->next.prev_hash, c->place[n].hash, TMK_HASH_SIZE);
	c->next.number++;
	c->count = n;
}

/* A chunk of some records at random places; the model follows. */
static __attribute__((unused)) void chain_random(struct chain *c, uint64_t *seed, bool marked)
{
	uint64_t n = c->next.number, records = 1 + roll(seed) % 6;

	c->image[n] = malloc(DISKS * DISK_SIZE);
	memcpy(c->image[n], c->image[n - 1], DISKS * DISK_SIZE);
	for (uint64_t i = 0; i < records; i++) {
		uint16_t disk = roll(seed) % DISKS;
		uint64_t offset = roll(seed) % (DISK_SIZE / 512) * 512, kind = roll(seed) % 6, room = (DISK_SIZE - offset) / 512;
		uint32_t length = (1 + roll(seed) % (room < 24 ? room : 24)) * 512;
		uint8_t *at = c->image[n][disk] + offset, *data;

		if (kind < 4) {
			data = tmk_builder_data(c->builder, disk, offset, length);
			ck_assert_ptr_nonnull(data);
			for (uint32_t j = 0; j < length; j++)
				data[j] = kind ? (uint8_t)roll(seed) : (uint8_t)n;
			memcpy(at, data, length);
		} else {
			ck_assert_int_eq(tmk_builder_range(c->builder, kind == 4 ? TMK_ZERO : TMK_DISCARD, disk, offset, length),
					 0);
			memset(at, 0, length); /* files of this replica read as zeroes after a discard too */
		}
	}
	chain_seal(c, marked);
}

/* ---- storage that stops ---- */

enum crash { CRASH_KEEPS, CRASH_LOSES, CRASH_MIXES, CRASHES }; /* what happens to what was not flushed */

#define SHADOWS 64
struct shadow { /* of a file that was opened to be written */
	dev_t dev;
	ino_t ino;
	int fd, dir; /* our own */
	char name[40];
	bool named; /* its name is durable */
	uint8_t *data;
	size_t size;
};
struct crash_io {
	struct tmk_io io;
	unsigned int at, counted; /* the at-th change stops everything; 0: never */
	bool dead;
	bool flush_lies; /* the at-th change that is a flush fails alone, and forgets: nothing stops */
	unsigned int count;
	struct shadow shadows[SHADOWS];
};

static bool crash_now(const struct tmk_io *io)
{
	struct crash_io *c = io->private_data;

	if (!c->dead && c->at && ++c->counted == c->at)
		c->dead = true;
	return c->dead;
}

static void shadow_take(struct shadow *s)
{
	struct stat st;

	ck_assert_int_eq(fstat(s->fd, &st), 0);
	free(s->data);
	s->size = st.st_size;
	s->data = malloc(s->size + 1);
	ck_assert_int_eq(pread(s->fd, s->data, s->size, 0), (ssize_t)s->size);
}

static struct shadow *shadow_of(struct crash_io *c, int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	for (unsigned int i = 0; i < c->count; i++)
		if (c->shadows[i].dev == st.st_dev && c->shadows[i].ino == st.st_ino)
			return &c->shadows[i];
	return NULL;
}

static int crash_open(const struct tmk_io *io, int dir, const char *name, int flags, mode_t mode)
{
	struct crash_io *c = io->private_data;
	bool is_new = faccessat(dir, name, F_OK, 0) != 0;
	struct shadow *s;
	struct stat st;
	int fd;

	if (c->dead || ((flags & O_CREAT) && is_new && crash_now(io)))
		return -EIO;
	fd = tmk_io_real.open(&tmk_io_real, dir, name, flags, mode);
	if (fd < 0 || (flags & O_ACCMODE) == O_RDONLY || shadow_of(c, fd))
		return fd;
	ck_assert_uint_lt(c->count, SHADOWS);
	ck_assert_int_eq(fstat(fd, &st), 0);
	s = &c->shadows[c->count++];
	*s = (struct shadow){
		.dev = st.st_dev, .ino = st.st_ino, .fd = dup(fd), .dir = openat(dir, ".", O_RDONLY), .named = !is_new};
	snprintf(s->name, sizeof(s->name), "%s", name);
	shadow_take(s);
	return fd;
}

static int crash_read(const struct tmk_io *io, int fd, void *data, size_t size, uint64_t offset)
{
	struct crash_io *c = io->private_data;

	return c->dead ? -EIO : tmk_io_real.read(&tmk_io_real, fd, data, size, offset);
}

static int crash_write(const struct tmk_io *io, int fd, const void *data, size_t size, uint64_t offset)
{
	struct crash_io *c = io->private_data;
	bool was = c->dead;

	if (!crash_now(io))
		return tmk_io_real.write(&tmk_io_real, fd, data, size, offset);
	if (!was) /* torn */
		tmk_io_real.write(&tmk_io_real, fd, data, size / 2, offset);
	return -EIO;
}

static int crash_zero(const struct tmk_io *io, int fd, uint64_t offset, uint64_t length)
{
	return crash_now(io) ? -EIO : tmk_io_real.zero(&tmk_io_real, fd, offset, length);
}

static int crash_flush(const struct tmk_io *io, int fd)
{
	struct crash_io *c = io->private_data;
	struct shadow *s;

	if (crash_now(io)) {
		if (c->flush_lies && c->counted == c->at)
			c->dead = false; /* this one alone */
		return -EIO;
	}
	s = shadow_of(c, fd);
	if (s)
		shadow_take(s);
	return 0;
}

static int crash_flush_dir(const struct tmk_io *io, int dir)
{
	struct crash_io *c = io->private_data;
	struct stat st, of;

	ck_assert_int_eq(fstat(dir, &st), 0);
	if (!S_ISDIR(st.st_mode))
		return crash_flush(io, dir);
	if (crash_now(io))
		return -EIO;
	for (unsigned int i = 0; i < c->count; i++)
		if (!fstat(c->shadows[i].dir, &of) && of.st_ino == st.st_ino)
			c->shadows[i].named = true;
	return 0;
}

static int crash_truncate(const struct tmk_io *io, int fd, uint64_t size)
{
	return crash_now(io) ? -EIO : tmk_io_real.truncate(&tmk_io_real, fd, size);
}

static int crash_unlink(const struct tmk_io *io, int dir, const char *name)
{
	return crash_now(io) ? -EIO : tmk_io_real.unlink(&tmk_io_real, dir, name);
}

static int64_t crash_size(const struct tmk_io *io, int fd)
{
	struct crash_io *c = io->private_data;

	return c->dead ? -EIO : tmk_io_real.size(&tmk_io_real, fd);
}

static int crash_close(const struct tmk_io *io, int fd)
{
	(void)io;
	return tmk_io_real.close(&tmk_io_real, fd);
}

static __attribute__((unused)) const struct tmk_io *crash_new(struct crash_io *c, unsigned int at)
{
	*c = (struct crash_io){
		.io = {crash_open, crash_read, crash_write, crash_zero, crash_flush, crash_flush_dir, crash_truncate,
		       crash_unlink, crash_size, crash_close, c},
		.at = at,
	};
	return &c->io;
}

/* The state of a file after the crash: flushed sectors, and of the others what chance left. */
static void shadow_restore(struct shadow *s, enum crash how, uint64_t *seed)
{
	struct stat st;
	size_t size;

	ck_assert_int_eq(fstat(s->fd, &st), 0);
	if (!st.st_nlink || how == CRASH_KEEPS)
		return;
	if (!s->named && (how == CRASH_LOSES || roll(seed) & 1)) {
		ck_assert_int_eq(unlinkat(s->dir, s->name, 0), 0);
		return;
	}
	size = how == CRASH_MIXES && (roll(seed) & 1) ? (size_t)st.st_size : s->size;
	for (size_t at = 0; at < s->size; at += 512)
		if (how == CRASH_LOSES || (roll(seed) & 1))
			ck_assert_int_gt(pwrite(s->fd, s->data + at, s->size - at < 512 ? s->size - at : 512, at), 0);
	for (size_t at = s->size; how == CRASH_MIXES && at < size; at += 512) { /* was never flushed: may read as zeroes */
		static const uint8_t zeroes[512];

		if (roll(seed) & 1)
			ck_assert_int_gt(pwrite(s->fd, zeroes, size - at < 512 ? size - at : 512, at), 0);
	}
	ck_assert_int_eq(ftruncate(s->fd, size), 0);
}

/* Ends its life; the files are as a machine would find them then. */
static __attribute__((unused)) void crash_over(struct crash_io *c, enum crash how, uint64_t *seed)
{
	for (unsigned int i = 0; i < c->count; i++) {
		shadow_restore(&c->shadows[i], how, seed);
		close(c->shadows[i].fd);
		close(c->shadows[i].dir);
		free(c->shadows[i].data);
	}
	c->count = 0;
}

/* ---- files ---- */

static __attribute__((unused)) uint8_t *slurp(int dir, const char *name, size_t *size)
{
	int fd = openat(dir, name, O_RDONLY);
	struct stat st;
	uint8_t *data;

	ck_assert_msg(fd >= 0, "%s", name);
	ck_assert_int_eq(fstat(fd, &st), 0);
	data = malloc(st.st_size + 1);
	ck_assert_int_eq(pread(fd, data, st.st_size, 0), st.st_size);
	close(fd);
	*size = st.st_size;
	return data;
}

/* The replica's disk is what it was behind that chunk. */
static __attribute__((unused)) bool disk_is(int dir, const struct chain *c, int disk, uint64_t number)
{
	char name[20];
	size_t size;
	uint8_t *is;
	bool same;

	snprintf(name, sizeof(name), "disk-%d.raw", disk);
	is = slurp(dir, name, &size);
	same = size == DISK_SIZE && !memcmp(is, c->image[number][disk], size);
	free(is);
	return same;
}

static __attribute__((unused)) bool image_is(int dir, const struct chain *c, uint64_t number)
{
	bool same = true;

	for (int disk = 0; disk < DISKS; disk++)
		same = same && disk_is(dir, c, disk, number);
	return same;
}

static __attribute__((unused)) struct tmk_sidecar sidecar_of(int dir)
{
	struct tmk_sidecar s;

	check_ok(tmk_sidecar_read(&tmk_io_real, dir, &s, &g_err));
	return s;
}

/* Contents into a file that is there: its inode and attributes stay. */
static __attribute__((unused)) void spill(int dir, const char *name, const void *data, size_t size)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT, 0600);

	ck_assert_msg(fd >= 0, "%s", name);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	ck_assert_int_eq(pwrite(fd, data, size, 0), (ssize_t)size);
	close(fd);
}

static __attribute__((unused)) void flip(int dir, const char *name, uint64_t at)
{
	int fd = openat(dir, name, O_RDWR);
	uint8_t byte;

	ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
	byte ^= 0x40;
	ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* ---- journals ---- */

static __attribute__((unused)) struct tmk_journal_options journal_options(const struct chain *c, const struct place_to_be *d,
									  const struct tmk_io *io)
{
	struct tmk_journal_options o = {.io = io, .dir = d->journal, .sizes = c->sizes};

	memcpy(o.protection, c->protection, sizeof(o.protection));
	return o;
}

static __attribute__((unused)) int journal_append(struct tmk_journal *j, const struct chain *c, uint64_t number)
{
	const uint8_t *bytes = c->bytes[number];

	return tmk_journal_append(j, bytes, bytes + TMK_CHUNK_HEADER_SIZE, c->size[number] - TMK_CHUNK_HEADER_SIZE, 5000 + number,
				  &g_err);
}

/* Appends first..last, with a commit after each `every` chunks and at the end. */
static __attribute__((unused)) void journal_fill(const struct chain *c, const struct place_to_be *d, uint64_t first,
						 uint64_t last, uint64_t every)
{
	struct tmk_journal_options o = journal_options(c, d, &tmk_io_real);
	struct tmk_journal *j;
	struct tmk_place end;

	check_ok(tmk_journal_open(&j, &o, &g_err));
	for (uint64_t n = first; n <= last; n++) {
		check_ok(journal_append(j, c, n));
		if (n == last || (every && !(n % every)))
			check_ok(tmk_journal_commit(j, &end, &g_err));
	}
	tmk_journal_close(j);
}

#endif
