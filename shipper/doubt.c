/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See doubt.h. The file is a header and a bitmap for each disk, mapped shared: a killed shipper leaves it as it is. It belongs to
 * root in a directory of root's; what does not fit the protection is thrown away. All of it is allocated on opening, since a
 * write to a page that tmpfs has no room for would be a SIGBUS.
 */
#include "doubt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "piece.h"
#include "util.h"

#define MAGIC 0x54424f44544b4d54ull /* "TMKTDOBT" */
#define UNKNOWN UINT64_MAX	    /* a gap count that was never told */

struct header {
	uint64_t magic;
	uint8_t protection[TMK_UUID_SIZE];
	uint64_t disk_count;
	uint64_t sizes[TMK_DISKS_MAX]; /* bytes */
	uint64_t gaps[TMK_DISKS_MAX];
};

struct tmk_doubt {
	struct header *header;
	size_t size; /* of the mapping */
	uint64_t *maps[TMK_DISKS_MAX];
};

static uint64_t words_of(uint64_t size)
{
	return (tmk_piece_count(0, size) + 63) / 64;
}

static bool fits(const struct header *h, const struct tmk_spec *spec)
{
	if (h->magic != MAGIC || memcmp(h->protection, spec->protection, TMK_UUID_SIZE) || h->disk_count != spec->disk_count)
		return false;
	for (uint16_t i = 0; i < spec->disk_count; i++)
		if (h->sizes[i] != spec->disks[i].size)
			return false;
	return true;
}

static void begin(struct tmk_doubt *d, const struct tmk_spec *spec)
{
	memset(d->header, 0, d->size);
	memcpy(d->header->protection, spec->protection, TMK_UUID_SIZE);
	d->header->disk_count = spec->disk_count;
	for (uint16_t i = 0; i < spec->disk_count; i++) {
		d->header->sizes[i] = spec->disks[i].size;
		d->header->gaps[i] = UNKNOWN;
	}
	d->header->magic = MAGIC;
}

/* NULL: it cannot be kept in a file. */
static void *map_file(const char *run_dir, const char *name, size_t size)
{
	char path[512];
	void *at = MAP_FAILED;
	int fd = -1;

	if (!tmk_path(path, sizeof(path), "%s/%s.doubt", run_dir, name))
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && !ftruncate(fd, (off_t)size) && !(errno = posix_fallocate(fd, 0, (off_t)size)))
		at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		tmk_log_warning("%s: cannot keep %s/%s.doubt (%m): a shipper that is started again may send more than it has to",
				name, run_dir, name);
	if (fd >= 0)
		close(fd);
	return at == MAP_FAILED ? NULL : at;
}

int tmk_doubt_open(struct tmk_doubt **out, const char *run_dir, const struct tmk_spec *spec, struct tmk_error *err)
{
	struct tmk_doubt *d = calloc(1, sizeof(*d));
	uint64_t *at;

	if (!d)
		return tmk_error_set(err, -ENOMEM, "out of memory");
	d->size = sizeof(*d->header);
	for (uint16_t i = 0; i < spec->disk_count; i++)
		d->size += words_of(spec->disks[i].size) * sizeof(*at);
	d->header = map_file(run_dir, spec->name, d->size);
	if (!d->header) {
		d->header = mmap(NULL, d->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (d->header == MAP_FAILED) {
			free(d);
			return tmk_error_set(err, -ENOMEM, "no memory for the map of what is in doubt");
		}
	}
	if (!fits(d->header, spec))
		begin(d, spec);
	at = (uint64_t *)(d->header + 1);
	for (uint16_t i = 0; i < spec->disk_count; i++) {
		d->maps[i] = at;
		at += words_of(spec->disks[i].size);
	}
	*out = d;
	return 0;
}

void tmk_doubt_close(struct tmk_doubt *d)
{
	if (!d)
		return;
	munmap(d->header, d->size);
	free(d);
}

void tmk_doubt_remove(const char *run_dir, const char *name)
{
	char path[512];

	if (!tmk_path(path, sizeof(path), "%s/%s.doubt", run_dir, name))
		unlink(path);
}

void tmk_doubt_all(struct tmk_doubt *d, uint16_t disk)
{
	if (d)
		memset(d->maps[disk], 0xff, words_of(d->header->sizes[disk]) * sizeof(*d->maps[disk]));
}

void tmk_doubt_none(struct tmk_doubt *d, uint16_t disk)
{
	if (d)
		memset(d->maps[disk], 0, words_of(d->header->sizes[disk]) * sizeof(*d->maps[disk]));
}

void tmk_doubt_follow(struct tmk_doubt *d, uint16_t disk, uint64_t gap)
{
	if (!d || d->header->gaps[disk] == gap)
		return;
	if (d->header->gaps[disk] != UNKNOWN)
		tmk_doubt_all(d, disk);
	d->header->gaps[disk] = gap;
}

static bool bit(const struct tmk_doubt *d, uint16_t disk, uint64_t piece)
{
	return d->maps[disk][piece / 64] >> (piece % 64) & 1;
}

void tmk_doubt_clear(struct tmk_doubt *d, uint16_t disk, uint64_t offset, uint64_t length)
{
	if (!d || !length)
		return;
	for (uint64_t piece = offset / TMK_PIECE; piece <= (offset + length - 1) / TMK_PIECE; piece++)
		d->maps[disk][piece / 64] &= ~(1ull << (piece % 64));
}

/* The piece that begins there lies in the range as far as the disk has it, and is in doubt. */
static bool whole(const struct tmk_doubt *d, uint16_t disk, uint64_t offset, uint64_t end)
{
	if (offset % TMK_PIECE || (end - offset < TMK_PIECE && end != d->header->sizes[disk]))
		return false;
	return bit(d, disk, offset / TMK_PIECE);
}

bool tmk_doubt_split(const struct tmk_doubt *d, uint16_t disk, uint64_t offset, uint64_t *length)
{
	uint64_t at = offset, end = offset + *length;
	bool first;

	if (!d)
		return false;
	first = whole(d, disk, at, end);
	while (at < end && whole(d, disk, at, end) == first)
		at += tmk_piece_rest(at, end - at);
	*length = at - offset;
	return first;
}
