/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real I/O (io.h). A failed flush is passed on and never tried again here (R13). */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int real_open(const struct tmk_io *io, int dir, const char *name, int flags, mode_t mode)
{
	int fd;

	(void)io;
	do
		fd = openat(dir, name, flags | O_CLOEXEC, mode);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static int real_read(const struct tmk_io *io, int fd, void *data, size_t size, uint64_t offset)
{
	(void)io;
	while (size) {
		ssize_t n = pread(fd, data, size, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -ENODATA;
		data = (char *)data + n;
		size -= n;
		offset += n;
	}
	return 0;
}

static int real_write(const struct tmk_io *io, int fd, const void *data, size_t size, uint64_t offset)
{
	(void)io;
	while (size) {
		ssize_t n = pwrite(fd, data, size, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		data = (const char *)data + n;
		size -= n;
		offset += n;
	}
	return 0;
}

static int write_zeroes(const struct tmk_io *io, int fd, uint64_t offset, uint64_t length)
{
	static const char zeroes[64 << 10] __attribute__((aligned(4096)));

	while (length) {
		size_t size = length < sizeof(zeroes) ? length : sizeof(zeroes);
		int ret = real_write(io, fd, zeroes, size, offset);

		if (ret)
			return ret;
		offset += size;
		length -= size;
	}
	return 0;
}

static bool allocate(int fd, int mode, uint64_t offset, uint64_t length)
{
	int ret;

	do
		ret = fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, offset, length);
	while (ret && errno == EINTR);
	return !ret;
}

/* A punched hole reads as zeroes on files, and on block devices that promise it; each of the other ways is tried when the one
 * before is refused for whatever reason, and the last one, writing, tells what is wrong. */
static int real_zero(const struct tmk_io *io, int fd, uint64_t offset, uint64_t length)
{
	struct stat st;

	if (!length)
		return 0;
	if (length > INT64_MAX || offset > INT64_MAX - length)
		return -EFBIG;
	if (fstat(fd, &st))
		return -errno;
	if (!allocate(fd, FALLOC_FL_PUNCH_HOLE, offset, length) && !allocate(fd, FALLOC_FL_ZERO_RANGE, offset, length))
		return write_zeroes(io, fd, offset, length);
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < offset + length && ftruncate(fd, offset + length))
		return -errno;
	return 0;
}

static int real_flush(const struct tmk_io *io, int fd)
{
	(void)io;
	return fdatasync(fd) ? -errno : 0;
}

static int real_flush_dir(const struct tmk_io *io, int dir)
{
	(void)io;
	return fsync(dir) ? -errno : 0;
}

static int real_truncate(const struct tmk_io *io, int fd, uint64_t size)
{
	int ret;

	(void)io;
	do
		ret = ftruncate(fd, size);
	while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

static int real_unlink(const struct tmk_io *io, int dir, const char *name)
{
	(void)io;
	return unlinkat(dir, name, 0) ? -errno : 0;
}

static int64_t real_size(const struct tmk_io *io, int fd)
{
	struct stat st;
	uint64_t size;

	(void)io;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISBLK(st.st_mode))
		return st.st_size;
	if (ioctl(fd, BLKGETSIZE64, &size))
		return -errno;
	return size;
}

/* Linux has closed the descriptor even if it says EINTR. */
static int real_close(const struct tmk_io *io, int fd)
{
	(void)io;
	return close(fd) && errno != EINTR ? -errno : 0;
}

const struct tmk_io tmk_io_real = {
	.open = real_open,
	.read = real_read,
	.write = real_write,
	.zero = real_zero,
	.flush = real_flush,
	.flush_dir = real_flush_dir,
	.truncate = real_truncate,
	.unlink = real_unlink,
	.size = real_size,
	.close = real_close,
};
