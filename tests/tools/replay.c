/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * links: target. What the disks of a protection were at any of its marks, after the fact: takes a copy of its replica, made at an
 * earlier point, through the journal up to the mark with that label, by the target's own means.
 *
 *   replay PROTECTION COPY LABEL    PROTECTION: protections/NAME, with all of its journal since that point. COPY: a directory
 * with the sidecar and disk-N.raw; they are the point of that mark then, and may be taken further
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "journal.h"
#include "point_scan.h"
#include "replica.h"

static int open_directory(int at, const char *path, struct tmk_error *err)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? tmk_error_sys(err, -errno, "%s", path) : fd;
}

/* 1: the chunk ends in the mark. */
static int ends_in(const struct tmk_journal_chunk *chunk, const char *label, struct tmk_error *err)
{
	struct tmk_point p;
	int ret = chunk->marked ? tmk_point_of_chunk(chunk, &p, err) : 0;

	return ret ? ret : chunk->marked && !strcmp(p.mark.label, label);
}

static int apply(struct tmk_replica *copy, struct tmk_journal_cursor *journal, const char *label, struct tmk_error *err)
{
	struct tmk_journal_chunk chunk;
	int ret;

	do {
		ret = tmk_journal_cursor_next(journal, UINT64_MAX, &chunk, err);
		if (ret == -EAGAIN)
			ret = tmk_error_set(err, -ENOENT, "the journal does not hold mark %s behind the copy", label);
		if (!ret)
			ret = tmk_replica_apply(copy, &chunk.header, chunk.raw, err);
		if (!ret)
			ret = ends_in(&chunk, label, err);
	} while (!ret);
	if (ret < 0)
		return ret;
	return tmk_replica_commit(copy, TMK_REPLICA_POINT, chunk.header.number, chunk.hash, chunk.header.number, 0, err);
}

static int replay(int journal, int to, const char *label, struct tmk_error *err)
{
	struct tmk_journal_cursor *cursor = NULL;
	struct tmk_replica *copy;
	int ret = tmk_replica_open(&copy, &tmk_io_real, to, true, err);

	if (!ret)
		ret = tmk_replica_lock(copy, err);
	if (!ret) {
		const struct tmk_sidecar *s = tmk_replica_sidecar(copy);
		struct tmk_disk_sizes sizes = {.count = s->disk_count};
		struct tmk_place from = {.number = s->applied};

		memcpy(sizes.sizes, s->sizes, sizeof(sizes.sizes));
		memcpy(from.hash, s->applied_hash, TMK_HASH_SIZE);
		ret = tmk_journal_cursor_open(&cursor, &tmk_io_real, journal, s->protection, &sizes, &from, err);
	}
	if (!ret)
		ret = apply(copy, cursor, label, err);
	tmk_journal_cursor_close(cursor);
	tmk_replica_close(copy);
	return ret;
}

int main(int argc, char **argv)
{
	struct tmk_error err = {0};
	int protection, journal, copy, ret;

	if (argc != 4) {
		fprintf(stderr, "usage: replay PROTECTION COPY LABEL\n");
		return 64;
	}
	ret = protection = open_directory(AT_FDCWD, argv[1], &err);
	if (ret >= 0)
		ret = journal = open_directory(protection, "journal", &err);
	if (ret >= 0)
		ret = copy = open_directory(AT_FDCWD, argv[2], &err);
	if (ret >= 0)
		ret = replay(journal, copy, argv[3], &err);
	if (ret)
		fprintf(stderr, "replay: %s\n", err.text);
	return ret ? 1 : 0;
}
