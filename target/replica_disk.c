/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See replica_disk.h. Attributes, locks and holes go around tmk_io: it has no such calls. */
#include "replica_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "buf.h"

#define DIRECT_LEAST (128u << 10) /* bytes of a write that goes around the page cache */

/* What is at disk-N.raw, links followed: 0, -ENOENT or why it cannot be one. */
static int look(struct tmk_replica_disk *d, int dir, char name[24], struct tmk_error *err)
{
	struct stat st;

	snprintf(name, 24, "disk-%u.raw", d->index);
	if (fstatat(dir, name, &st, 0))
		return errno == ENOENT ? -ENOENT : tmk_error_sys(err, -errno, "cannot look at %s", name);
	d->block = S_ISBLK(st.st_mode);
	if (!d->block && !S_ISREG(st.st_mode))
		return tmk_error_set(err, -EINVAL, "%s is neither a file nor a block device", name);
	return 0;
}

/* Exclusive for a block device, so that nobody has it mounted while the applier writes it. */
static int open_it(struct tmk_replica_disk *d, const struct tmk_io *io, int dir, const char *name, int flags,
		   struct tmk_error *err)
{
	d->fd = io->open(io, dir, name, flags | (d->block && (flags & O_RDWR) ? O_EXCL : 0), 0600);
	if (d->fd == -EBUSY)
		return tmk_error_set(err, -EBUSY, "the device behind %s is in use, is it mounted?", name);
	if (d->fd < 0)
		return tmk_error_sys(err, d->fd, "cannot open %s", name);
	d->carrier = d->block ? dir : d->fd;
	posix_fadvise(d->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* who reads it reads much: comparisons, exports */
	return 0;
}

/* A filesystem that has no such thing says EINVAL: everything goes through the page cache then. */
static int open_direct(struct tmk_replica_disk *d, const struct tmk_io *io, int dir, const char *name, struct tmk_error *err)
{
	d->direct = io->open(io, dir, name, O_RDWR | O_DIRECT, 0);
	return d->direct < 0 && d->direct != -EINVAL ? tmk_error_sys(err, d->direct, "cannot open %s", name) : 0;
}

int tmk_replica_disk_open(struct tmk_replica_disk *d, const struct tmk_io *io, int dir, unsigned int index, uint64_t size,
			  bool write, struct tmk_error *err)
{
	char name[24];
	int64_t is;
	int ret;

	*d = (struct tmk_replica_disk){.index = index, .fd = -1, .direct = -1, .size = size};
	ret = look(d, dir, name, err);
	if (ret == -ENOENT)
		return tmk_error_set(
			err, -EUCLEAN,
			"%s is missing (or its link leads nowhere): put it back, or `tidemark drop NAME --now` and let the "
			"source copy anew",
			name);
	if (!ret)
		ret = open_it(d, io, dir, name, write ? O_RDWR : O_RDONLY, err);
	if (!ret && write)
		ret = open_direct(d, io, dir, name, err);
	if (ret)
		return ret;
	is = io->size(io, d->fd);
	if (is < 0)
		return tmk_error_sys(err, is, "cannot ask the size of %s", name);
	if (d->block ? (uint64_t)is < size : (uint64_t)is != size)
		return tmk_error_set(err, -EUCLEAN,
				     "%s has %" PRId64 " bytes, the disk %" PRIu64
				     ": it is not the replica; put the right one back, or "
				     "`tidemark drop NAME --now` and let the source copy anew",
				     name, is, size);
	return 0;
}

/* Something may depend on a file that was a replica already. Number 1: of a creation that was cut short. */
static int refuse_used(const struct tmk_replica_disk *d, int64_t is, struct tmk_error *err)
{
	uint64_t number;

	if (d->block || !is)
		return 0;
	if ((uint64_t)is == d->size && (tmk_replica_disk_number(d, &number) || number == 1))
		return 0;
	return tmk_error_set(
		err, -EUCLEAN,
		"disk-%u.raw is there already and belongs to something else, or its sidecar is gone: put that back, or "
		"move the file away",
		d->index);
}

static int give_size(struct tmk_replica_disk *d, const struct tmk_io *io, int64_t is, struct tmk_error *err)
{
	int ret;

	if (d->block && (uint64_t)is < d->size)
		return tmk_error_set(err, -ENOSPC,
				     "the device behind disk-%u.raw has %" PRId64 " bytes, the disk %" PRIu64
				     ": link a larger one there",
				     d->index, is, d->size);
	if (d->block || (uint64_t)is == d->size)
		return 0;
	ret = io->truncate(io, d->fd, d->size);
	return ret ? tmk_error_sys(err, ret, "cannot make disk-%u.raw %" PRIu64 " bytes large", d->index, d->size) : 0;
}

int tmk_replica_disk_make(struct tmk_replica_disk *d, const struct tmk_io *io, int dir, unsigned int index, uint64_t size,
			  bool fresh, struct tmk_error *err)
{
	char name[24];
	int64_t is;
	int ret;

	*d = (struct tmk_replica_disk){.index = index, .fd = -1, .direct = -1, .size = size};
	ret = look(d, dir, name, err);
	if (!ret)
		ret = open_it(d, io, dir, name, O_RDWR, err);
	else if (ret == -ENOENT) /* O_EXCL refuses a link that leads nowhere */
		ret = open_it(d, io, dir, name, O_RDWR | O_CREAT | O_EXCL, err);
	if (ret)
		return ret;
	is = io->size(io, d->fd);
	if (is < 0)
		return tmk_error_sys(err, is, "cannot ask the size of %s", name);
	ret = fresh ? refuse_used(d, is, err) : 0;
	return ret ? ret : give_size(d, io, is, err);
}

void tmk_replica_disk_close(struct tmk_replica_disk *d, const struct tmk_io *io)
{
	if (d->fd >= 0)
		io->close(io, d->fd);
	if (d->direct >= 0)
		io->close(io, d->direct);
	d->fd = d->direct = -1;
}

/* ---- the number ---- */

int tmk_replica_disk_number(const struct tmk_replica_disk *d, uint64_t *out)
{
	uint8_t bytes[8];
	ssize_t size = fgetxattr(d->carrier, TMK_REPLICA_XATTR, bytes, sizeof(bytes));
	struct tmk_reader r = tmk_reader(bytes, sizeof(bytes));

	if (size < 0 && errno != ERANGE)
		return -errno;
	if (size != sizeof(bytes))
		return -ENODATA;
	*out = tmk_get_u64(&r);
	return 0;
}

int tmk_replica_disk_set_number(const struct tmk_replica_disk *d, uint64_t number, struct tmk_error *err)
{
	uint8_t bytes[8];
	struct tmk_writer_buf w = tmk_writer_buf(bytes, sizeof(bytes));

	tmk_put_u64(&w, number);
	if (!fsetxattr(d->carrier, TMK_REPLICA_XATTR, bytes, sizeof(bytes), 0) || errno == EOPNOTSUPP)
		return 0;
	return tmk_error_sys(err, -errno, "cannot set the attribute %s of disk-%u.raw", TMK_REPLICA_XATTR, d->index);
}

/* fdatasync may leave attributes out; so a second call, which finds no data left to write. */
int tmk_replica_disk_sync(const struct tmk_replica_disk *d, const struct tmk_io *io, struct tmk_error *err)
{
	int ret = io->flush(io, d->fd);

	if (!ret)
		ret = io->flush_dir(io, d->carrier);
	return ret ? tmk_error_sys(err, ret, "cannot make disk-%u.raw durable", d->index) : 0;
}

void tmk_replica_disk_uncache(const struct tmk_replica_disk *d, uint64_t offset, uint64_t length)
{
	if (d->direct < 0)
		posix_fadvise(d->fd, (off_t)offset, (off_t)length, POSIX_FADV_DONTNEED);
}

/* A range may be cut finer than the disk's blocks are: EINVAL. */
static int read_direct(const struct tmk_replica_disk *d, const struct tmk_io *io, void *data, size_t size, uint64_t offset)
{
	int ret = d->direct < 0 ? -EINVAL : io->read(io, d->direct, data, size, offset);

	if (ret == -EINVAL && d->direct >= 0)
		posix_fadvise(d->fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
	return ret;
}

int tmk_replica_disk_read(const struct tmk_replica_disk *d, const struct tmk_io *io, void *data, size_t size, uint64_t offset,
			  struct tmk_error *err)
{
	int ret = read_direct(d, io, data, size, offset);

	if (ret == -EINVAL)
		ret = io->read(io, d->fd, data, size, offset);
	return ret ? tmk_error_sys(err, ret, "cannot read disk-%u.raw at byte %" PRIu64, d->index, offset) : 0;
}

/* ---- contents ---- */

/* EINVAL: the disk's blocks are larger than TMK_REPLICA_ALIGN, or cut finer. */
static int write_direct(const struct tmk_replica_disk *d, const struct tmk_io *io, const void *data, size_t size, uint64_t offset)
{
	if (d->direct < 0 || size < DIRECT_LEAST || offset % TMK_REPLICA_ALIGN || size % TMK_REPLICA_ALIGN)
		return -EINVAL;
	return io->write(io, d->direct, data, size, offset);
}

int tmk_replica_disk_write(const struct tmk_replica_disk *d, const struct tmk_io *io, const void *data, size_t size,
			   uint64_t offset, struct tmk_error *err)
{
	int ret = write_direct(d, io, data, size, offset);

	if (ret == -EINVAL)
		ret = io->write(io, d->fd, data, size, offset);
	return ret ? tmk_error_sys(err, ret, "cannot write disk-%u.raw at byte %" PRIu64, d->index, offset) : 0;
}

static bool is_hole(const struct tmk_replica_disk *d, uint64_t offset, uint64_t length)
{
	off_t data = lseek(d->fd, offset, SEEK_DATA);

	return data < 0 ? errno == ENXIO : (uint64_t)data >= offset + length;
}

int tmk_replica_disk_zero(const struct tmk_replica_disk *d, const struct tmk_io *io, uint64_t offset, uint64_t length,
			  struct tmk_error *err)
{
	int ret;

	if (!d->block && is_hole(d, offset, length))
		return 0;
	ret = io->zero(io, d->fd, offset, length);
	return ret ? tmk_error_sys(err, ret, "cannot zero disk-%u.raw at byte %" PRIu64, d->index, offset) : 0;
}

/* A device that cannot unmap cheaply refuses, and keeps what it had. */
int tmk_replica_disk_discard(const struct tmk_replica_disk *d, const struct tmk_io *io, uint64_t offset, uint64_t length,
			     struct tmk_error *err)
{
	if (!d->block)
		return tmk_replica_disk_zero(d, io, offset, length, err);
	if (fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) && errno == EIO)
		return tmk_error_sys(err, -errno, "cannot discard on disk-%u.raw at byte %" PRIu64, d->index, offset);
	return 0;
}
