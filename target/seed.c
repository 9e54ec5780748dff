/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See seed.h. Waits for disks, and for nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices.h"
#include "io.h"
#include "message.h"
#include "seed.h"
#include "sparse.h"
#include "util.h"
#include "wire.h"

#define BLOCK (1u << 20)

struct work {
	const struct tmk_seed *wish;
	int root, devices;
	char name[32], partial[40]; /* disk-N.raw, and what it is called until it is whole */
	char path[PATH_MAX];	    /* of the file: absolute; without links unless it is a device */
	int fd;
	uint64_t size;
	bool block;
};

/* ---- may it be? ---- */

static int check_protection(const struct work *w, struct tmk_error *err)
{
	char path[TMK_NAME_MAX + 20];
	struct stat st;
	snprintf(path, sizeof(path), "protections/%s", w->wish->name);
	if (fstatat(w->root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : tmk_error_sys(err, -errno, "cannot look at %s", path);
	return tmk_error_set(err, -EEXIST,
			     "%s is protected already: delete it first (`tidemark delete %s`), or compare what it has: `tidemark "
			     "verify %s` on its source",
			     w->wish->name, w->wish->name, w->wish->name);
}

static int check_wish(const struct tmk_seed *wish, struct tmk_error *err)
{
	if (!tmk_name_valid(wish->name))
		return tmk_error_set(
			err, -EINVAL,
			"'%.100s' is not a valid name of a protection: letters, digits, '.', '_' and '-', at most %d", wish->name,
			TMK_NAME_MAX);
	if (wish->disk >= TMK_DISKS_MAX)
		return tmk_error_set(err, -EINVAL, "there is no disk %u: they count from 0 to %d", wish->disk, TMK_DISKS_MAX - 1);
	return 0;
}

/* A path that goes on to mean the same device (by-id), which its target may not. */
static int device_path(struct work *w)
{
	char directory[PATH_MAX], base[PATH_MAX], *real;
	int bad = tmk_path(directory, sizeof(directory), "%s", w->wish->file);
	if (!bad)
		bad = tmk_path(base, sizeof(base), "%s", w->wish->file);
	if (bad)
		return bad;
	real = realpath(dirname(directory), NULL);
	if (!real)
		return -errno;
	bad = tmk_path(w->path, sizeof(w->path), "%s/%s", strcmp(real, "/") ? real : "", basename(base));
	free(real);
	return bad;
}

static int open_file(struct work *w, struct tmk_error *err)
{
	const char *file = w->wish->file;
	struct stat st;
	if (stat(file, &st) < 0)
		return tmk_error_sys(err, -errno, "cannot look at %s", file);
	w->block = S_ISBLK(st.st_mode);
	if (!w->block && !S_ISREG(st.st_mode))
		return tmk_error_set(err, -EINVAL, "%s is neither a file nor a block device", file);
	int bad = w->block ? device_path(w) : realpath(file, w->path) ? 0 : -errno;
	if (bad)
		return tmk_error_sys(err, bad, "%s", file);
	w->fd = open(w->path, O_RDONLY | O_CLOEXEC | (w->block ? O_EXCL : O_NOFOLLOW));
	if (w->fd < 0 && errno == EBUSY)
		return tmk_error_set(err, -EBUSY, "%s is in use: is it mounted, or part of LVM, md or multipath?", w->path);
	return w->fd < 0 ? tmk_error_sys(err, -errno, "cannot open %s", w->path) : 0;
}

/* Somebody else's replica, or a file that somebody else goes on to write under its other name. */
static int check_file(const struct work *w, struct tmk_error *err)
{
	char *real = realpath(w->wish->directory, NULL), below[PATH_MAX];
	struct stat st;
	int bad = real ? tmk_path(below, sizeof(below), "%s/protections/", real) : -errno;
	free(real);
	if (!bad && fstat(w->fd, &st) < 0)
		bad = -errno;
	if (bad)
		return tmk_error_sys(err, bad, "cannot look at %s", w->path);
	if (!strncmp(w->path, below, strlen(below)))
		return tmk_error_set(err, -EBUSY, "%s belongs to a protection of this target", w->path);
	if (!w->block && st.st_nlink > 1)
		return tmk_error_set(err, -EMLINK, "%s has another name too (a hard link): remove that, or seed a copy", w->path);
	return 0;
}

static int check_size(struct work *w, struct tmk_error *err)
{
	int64_t size = tmk_io_real.size(&tmk_io_real, w->fd);
	if (size < 0)
		return tmk_error_sys(err, (int)size, "cannot ask the size of %s", w->path);
	if (!size || size % TMK_SECTOR)
		return tmk_error_set(err, -EINVAL,
				     "%s has %lld bytes: an image of a disk has whole sectors of %d bytes, and at least one",
				     w->path, (long long)size, TMK_SECTOR);
	w->size = (uint64_t)size;
	return 0;
}

static int check_place(const struct work *w, struct tmk_error *err)
{
	struct stat st;
	if (flock(w->devices, LOCK_EX | LOCK_NB) < 0)
		return tmk_error_set(err, -EBUSY, "another seed of %s is at work", w->wish->name);
	if (fstatat(w->devices, w->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return tmk_error_set(err, -EEXIST, "%s/devices/%s/%s is there already: remove it first", w->wish->directory,
				     w->wish->name, w->name);
	return errno == ENOENT ? 0 : tmk_error_sys(err, -errno, "cannot look at devices/%s/%s", w->wish->name, w->name);
}

/* ---- putting it there ---- */

static int copy_data(const struct work *w, int to, uint8_t *buffer, struct tmk_error *err)
{
	const struct tmk_io *io = &tmk_io_real;
	int bad = io->truncate(io, to, w->size);
	for (uint64_t at = 0, next; !bad && at < w->size; at = next) {
		uint64_t data = tmk_sparse_from(w->fd, at, w->size);
		size_t length = w->size - data < BLOCK ? (size_t)(w->size - data) : BLOCK;
		next = data + length;
		bad = length ? io->read(io, w->fd, buffer, length, data) : 0;
		if (bad)
			return tmk_error_sys(err, bad, "cannot read %s at byte %llu", w->path, (unsigned long long)data);
		bad = tmk_sparse_write(io, to, buffer, length, data);
		if (w->wish->progress)
			w->wish->progress(next, w->size, w->wish->context);
	}
	if (!bad)
		bad = io->flush_dir(io, to); /* fsync: size included */
	return bad ? tmk_error_sys(err, bad, "cannot write devices/%s/%s", w->wish->name, w->partial) : 0;
}

static int copy_file(const struct work *w, struct tmk_error *err)
{
	int to = openat(w->devices, w->partial, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return tmk_error_sys(err, -errno, "cannot make devices/%s/%s", w->wish->name, w->partial);
	uint8_t *buffer = malloc(BLOCK);
	int bad = buffer ? copy_data(w, to, buffer, err) : tmk_error_set(err, -ENOMEM, "no memory to copy");
	free(buffer);
	if (close(to) < 0 && !bad)
		bad = tmk_error_sys(err, -errno, "cannot write devices/%s/%s", w->wish->name, w->partial);
	if (!bad && renameat(w->devices, w->partial, w->devices, w->name) < 0)
		bad = tmk_error_sys(err, -errno, "cannot rename devices/%s/%s", w->wish->name, w->partial);
	if (bad)
		unlinkat(w->devices, w->partial, 0);
	return bad ? bad : TMK_SEED_COPIED;
}

static int put(const struct work *w, struct tmk_error *err)
{
	int how = w->block ? TMK_SEED_LINKED : TMK_SEED_MOVED, bad = 0;
	if (w->block)
		bad = symlinkat(w->path, w->devices, w->name) < 0 ? -errno : 0;
	else if (fsync(w->fd) < 0 || renameat(AT_FDCWD, w->path, w->devices, w->name) < 0)
		bad = -errno;
	if (bad == -EXDEV)
		how = bad = copy_file(w, err);
	else if (bad)
		tmk_error_sys(err, bad, "cannot put %s at devices/%s/%s", w->path, w->wish->name, w->name);
	if (bad < 0)
		return bad;
	return fsync(w->devices) < 0 ? tmk_error_sys(err, -errno, "cannot make devices/%s durable", w->wish->name) : how;
}

static int seed(struct work *w, struct tmk_error *err)
{
	w->root = open(w->wish->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->root < 0)
		return tmk_error_sys(err, -errno, "cannot open %s", w->wish->directory);
	int bad = check_protection(w, err);
	if (!bad)
		bad = open_file(w, err);
	if (!bad)
		bad = check_file(w, err);
	if (!bad)
		bad = check_size(w, err);
	if (bad)
		return bad;
	w->devices = tmk_devices_open(w->root, w->wish->name, err);
	if (w->devices < 0)
		return w->devices;
	bad = check_place(w, err);
	int how = bad ? bad : put(w, err);
	/* A source that connected meanwhile has a replica without it. */
	bad = how < 0 ? 0 : check_protection(w, err);
	return bad ? bad : how;
}

int tmk_seed(const struct tmk_seed *wish, struct tmk_error *err)
{
	struct work w = {.wish = wish, .root = -1, .devices = -1, .fd = -1};
	int how = check_wish(wish, err);
	snprintf(w.name, sizeof(w.name), "disk-%u.raw", wish->disk);
	snprintf(w.partial, sizeof(w.partial), "%s.part", w.name);
	if (!how)
		how = seed(&w, err);
	if (w.fd >= 0)
		close(w.fd);
	if (w.devices >= 0)
		close(w.devices);
	if (w.root >= 0)
		close(w.root);
	return how;
}
