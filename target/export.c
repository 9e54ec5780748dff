/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See export.h. Written under a name of its own next to `to`, flushed, compared with the replica by reading both, and only then
 * renamed, so that `to` is a whole point or is not there.
 */
#include "export.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica.h"
#include "sparse.h"
#include "util.h"

#define BLOCK (1u << 20)
#define PATH_SIZE 4096

struct copy {
	const struct tmk_export *wish;
	const struct tmk_io *io;
	struct tmk_replica *replica;
	char partial[PATH_SIZE]; /* the name while it is not done */
	bool directory;
	uint64_t done, total;
	uint8_t *a, *b; /* BLOCK each */
};

static int progress(struct copy *c, uint64_t bytes)
{
	c->done += bytes;
	if (c->wish->progress)
		c->wish->progress(c->done, c->total, c->wish->context);
	return c->wish->stop && *c->wish->stop ? -ECANCELED : 0;
}

/* ---- one disk ---- */

static int copy_disk(struct copy *c, int from, int to, uint64_t size, struct tmk_error *err)
{
	const struct tmk_io *io = c->io;
	int ret = io->truncate(io, to, size);

	for (uint64_t at = 0; !ret && at < size;) {
		uint64_t data = tmk_sparse_from(from, at, size);
		size_t length = size - data < BLOCK ? size - data : BLOCK;

		ret = length ? io->read(io, from, c->a, length, data) : 0;
		if (ret)
			return tmk_error_sys(err, ret, "cannot read the replica at byte %" PRIu64, data);
		ret = tmk_sparse_write(io, to, c->a, length, data);
		if (!ret)
			ret = progress(c, data + length - at);
		at = data + length;
	}
	if (!ret)
		ret = io->flush_dir(io, to); /* fsync: size included */
	return ret ? tmk_error_sys(err, ret, "cannot write %s", c->partial) : 0;
}

/* What is a hole in both is equal. */
static int compare_disk(struct copy *c, int from, int to, uint64_t size, struct tmk_error *err)
{
	const struct tmk_io *io = c->io;
	int ret;

	if (io->size(io, to) != (int64_t)size)
		return tmk_error_set(err, -EIO, "%s did not become as large as the disk", c->partial);
	for (uint64_t at = 0; at < size;) {
		uint64_t one = tmk_sparse_from(from, at, size), other = tmk_sparse_from(to, at, size);
		uint64_t data = one < other ? one : other;
		size_t length = size - data < BLOCK ? size - data : BLOCK;

		ret = length ? io->read(io, from, c->a, length, data) : 0;
		if (!ret && length)
			ret = io->read(io, to, c->b, length, data);
		if (ret)
			return tmk_error_sys(err, ret, "cannot read the copy and the replica again at byte %" PRIu64, data);
		if (memcmp(c->a, c->b, length))
			return tmk_error_set(
				err, -EIO, "the copy differs from the replica near byte %" PRIu64 ": memory or a disk is failing",
				data);
		if (progress(c, data + length - at))
			return tmk_error_set(err, -ECANCELED, "the export was called off");
		at = data + length;
	}
	return 0;
}

static int export_disk(struct copy *c, unsigned int disk, const char *path, struct tmk_error *err)
{
	uint64_t size = tmk_replica_sidecar(c->replica)->sizes[disk];
	int from = tmk_replica_fd(c->replica, disk);
	int to = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), ret;

	if (to < 0)
		return tmk_error_sys(err, -errno, "cannot make %s", path);
	ret = copy_disk(c, from, to, size, err);
	if (!ret)
		ret = compare_disk(c, from, to, size, err);
	if (close(to) && !ret)
		ret = tmk_error_sys(err, -errno, "cannot close %s", path);
	return ret;
}

/* ---- names ---- */

static int disk_path(const struct copy *c, unsigned int disk, char path[PATH_SIZE])
{
	return tmk_path(path, PATH_SIZE, "%s/disk-%u.raw", c->partial, disk);
}

static int begin(struct copy *c, struct tmk_error *err)
{
	struct stat st;
	int ret;

	if (!lstat(c->wish->to, &st))
		return tmk_error_set(err, -EEXIST, "%s exists already: name a path that does not", c->wish->to);
	if (errno != ENOENT)
		return tmk_error_sys(err, -errno, "cannot look at %s", c->wish->to);
	ret = tmk_path(c->partial, sizeof(c->partial), "%s.partial-%ld", c->wish->to, (long)getpid());
	if (ret) {
		c->partial[0] = 0;
		return tmk_error_sys(err, ret, "%s", c->wish->to);
	}
	if (c->directory && mkdir(c->partial, 0700)) {
		ret = tmk_error_sys(err, -errno, "cannot make the directory %s", c->partial);
		c->partial[0] = 0;
	} else if (!c->directory && !lstat(c->partial, &st)) {
		ret = tmk_error_set(err, -EEXIST, "%s exists: it is of an export that was killed; remove it", c->partial);
		c->partial[0] = 0;
	}
	return ret;
}

static void undo(struct copy *c)
{
	char path[PATH_SIZE];

	if (!c->partial[0])
		return;
	for (unsigned int i = 0; c->directory && i < tmk_replica_sidecar(c->replica)->disk_count; i++)
		if (!disk_path(c, i, path))
			unlink(path);
	if (c->directory)
		rmdir(c->partial);
	else
		unlink(c->partial);
}

static int sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = fsync(fd) ? -errno : 0;
	close(fd);
	return ret;
}

static int finish(struct copy *c, struct tmk_error *err)
{
	char parent[PATH_SIZE];
	int ret = c->directory ? sync_directory(c->partial) : 0;

	if (!ret && renameat2(AT_FDCWD, c->partial, AT_FDCWD, c->wish->to, RENAME_NOREPLACE))
		ret = -errno;
	if (ret)
		return tmk_error_sys(err, ret, "cannot give the copy its name %s", c->wish->to);
	snprintf(parent, sizeof(parent), "%s", c->wish->to);
	ret = sync_directory(dirname(parent));
	snprintf(c->partial, sizeof(c->partial), "%s", ret ? c->wish->to : ""); /* undo removes it, or nothing */
	return ret ? tmk_error_sys(err, ret, "cannot make the name %s durable", c->wish->to) : 0;
}

/* ---- the whole ---- */

/* Somebody changes the replica: is a point coming? */
static int changing(const struct tmk_export *e, struct tmk_error *err)
{
	struct tmk_sidecar s;
	int ret = tmk_sidecar_read(&tmk_io_real, e->dir, &s, err);

	if (ret)
		return ret;
	if (s.state == TMK_REPLICA_EMPTY)
		return tmk_error_set(err, -ENOENT, "there is no point yet: the first copy still runs");
	return tmk_error_set(err, -EAGAIN, "the next point is being applied: try again in a moment");
}

static int check_point(const struct tmk_export *e, const struct tmk_sidecar *s, struct tmk_error *err)
{
	if (s->state != TMK_REPLICA_POINT)
		return changing(e, err);
	if (s->point != e->point)
		return tmk_error_set(err, -ENOENT,
				     "the replica equals point %" PRIu64 ", not %" PRIu64
				     ": this version keeps the newest point alone",
				     s->point, e->point);
	if (e->disk < -1 || e->disk >= (int)s->disk_count)
		return tmk_error_set(err, -ENOENT, "there is no disk %d: they are numbered 0 to %u", e->disk, s->disk_count - 1);
	return 0;
}

static int export_all(struct copy *c, struct tmk_error *err)
{
	const struct tmk_sidecar *s = tmk_replica_sidecar(c->replica);
	unsigned int first = c->wish->disk < 0 ? 0 : c->wish->disk, last = c->wish->disk < 0 ? s->disk_count - 1 : first;
	char path[PATH_SIZE];
	int ret;

	c->directory = first != last;
	for (unsigned int i = first; i <= last; i++)
		c->total += 2 * s->sizes[i];
	ret = begin(c, err);
	for (unsigned int i = first; !ret && i <= last; i++) {
		ret = c->directory ? disk_path(c, i, path) : 0;
		if (ret)
			return tmk_error_sys(err, ret, "%s", c->wish->to);
		ret = export_disk(c, i, c->directory ? path : c->partial, err);
	}
	if (!ret)
		ret = finish(c, err);
	return ret;
}

int tmk_export_run(const struct tmk_export *e, struct tmk_error *err)
{
	struct copy *c = calloc(1, sizeof(*c));
	int ret;

	if (c)
		c->a = malloc(2 * BLOCK);
	if (!c || !c->a) {
		free(c);
		return tmk_error_set(err, -ENOMEM, "no memory to export");
	}
	c->b = c->a + BLOCK;
	c->wish = e;
	c->io = e->io ? e->io : &tmk_io_real;
	ret = tmk_replica_open(&c->replica, c->io, e->dir, false, err);
	if (ret == -EBUSY)
		ret = changing(e, err);
	if (!ret)
		ret = check_point(e, tmk_replica_sidecar(c->replica), err);
	if (!ret)
		ret = export_all(c, err);
	if (c->replica) {
		undo(c);
		tmk_replica_close(c->replica);
	}
	free(c->a);
	free(c);
	return ret;
}
