/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See io_fault.h. */
#include "io_fault.h"

static struct tmk_io_fault *fault_of(const struct tmk_io *io)
{
	return io->private_data;
}

static bool strikes(struct tmk_io_fault *fault, enum tmk_io_call call)
{
	bool hit = false;

	if (fault->calls & call)
		hit = atomic_fetch_add(&fault->counted, 1) + 1 == fault->at;
	if (!hit && !(fault->dead && fault->failed))
		return false;
	atomic_fetch_add(&fault->failed, 1);
	return true;
}

static int fault_open(const struct tmk_io *io, int dir, const char *name, int flags, mode_t mode)
{
	struct tmk_io_fault *fault = fault_of(io);

	return strikes(fault, TMK_IO_OPEN) ? -fault->error : fault->under->open(fault->under, dir, name, flags, mode);
}

static int fault_read(const struct tmk_io *io, int fd, void *data, size_t size, uint64_t offset)
{
	struct tmk_io_fault *fault = fault_of(io);

	return strikes(fault, TMK_IO_READ) ? -fault->error : fault->under->read(fault->under, fd, data, size, offset);
}

static int fault_write(const struct tmk_io *io, int fd, const void *data, size_t size, uint64_t offset)
{
	struct tmk_io_fault *fault = fault_of(io);
	bool dead = fault->dead && fault->failed;

	if (!strikes(fault, TMK_IO_WRITE))
		return fault->under->write(fault->under, fd, data, size, offset);
	if (fault->torn && !dead)
		fault->under->write(fault->under, fd, data, size / 2, offset);
	return -fault->error;
}

static int fault_zero(const struct tmk_io *io, int fd, uint64_t offset, uint64_t length)
{
	struct tmk_io_fault *fault = fault_of(io);

	return strikes(fault, TMK_IO_ZERO) ? -fault->error : fault->under->zero(fault->under, fd, offset, length);
}

static int fault_flush(const struct tmk_io *io, int fd)
{
	struct tmk_io_fault *fault = fault_of(io);

	return strikes(fault, TMK_IO_FLUSH) ? -fault->error : fault->under->flush(fault->under, fd);
}

static int fault_flush_dir(const struct tmk_io *io, int dir)
{
	struct tmk_io_fault *fault = fault_of(io);

	return strikes(fault, TMK_IO_FLUSH_DIR) ? -fault->error : fault->under->flush_dir(fault->under, dir);
}

static int fault_truncate(const struct tmk_io *io, int fd, uint64_t size)
{
	struct tmk_io_fault *fault = fault_of(io);

	return strikes(fault, TMK_IO_TRUNCATE) ? -fault->error : fault->under->truncate(fault->under, fd, size);
}

static int fault_unlink(const struct tmk_io *io, int dir, const char *name)
{
	struct tmk_io_fault *fault = fault_of(io);

	return strikes(fault, TMK_IO_UNLINK) ? -fault->error : fault->under->unlink(fault->under, dir, name);
}

static int64_t fault_size(const struct tmk_io *io, int fd)
{
	struct tmk_io_fault *fault = fault_of(io);

	return strikes(fault, TMK_IO_SIZE) ? -fault->error : fault->under->size(fault->under, fd);
}

static int fault_close(const struct tmk_io *io, int fd)
{
	struct tmk_io_fault *fault = fault_of(io);
	bool dead = fault->dead && fault->failed, strike = !dead && strikes(fault, TMK_IO_CLOSE);
	int ret = fault->under->close(fault->under, fd);

	return strike ? -fault->error : ret;
}

const struct tmk_io *tmk_io_fault(struct tmk_io_fault *fault, const struct tmk_io *under, unsigned int calls, unsigned int at,
				  int error)
{
	*fault = (struct tmk_io_fault){
		.io =
			{
				.open = fault_open,
				.read = fault_read,
				.write = fault_write,
				.zero = fault_zero,
				.flush = fault_flush,
				.flush_dir = fault_flush_dir,
				.truncate = fault_truncate,
				.unlink = fault_unlink,
				.size = fault_size,
				.close = fault_close,
				.private_data = fault,
			},
		.under = under,
		.calls = calls,
		.at = at,
		.error = error,
	};
	return &fault->io;
}
