/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See sparse.h. */
#include "sparse.h"

#include <errno.h>
#include <unistd.h>

#include "util.h"

#define PIECE (64u << 10) /* bytes; about what filesystems allocate at once */

uint64_t tmk_sparse_from(int fd, uint64_t offset, uint64_t size)
{
	off_t data = lseek(fd, (off_t)offset, SEEK_DATA);

	if (data >= 0)
		return (uint64_t)data < size ? (uint64_t)data : size;
	return errno == ENXIO ? size : offset;
}

int tmk_sparse_write(const struct tmk_io *io, int fd, const uint8_t *data, size_t size, uint64_t offset)
{
	int ret = 0;

	for (size_t at = 0; !ret && at < size; at += PIECE) {
		size_t length = size - at < PIECE ? size - at : PIECE;

		if (!tmk_all_zero(data + at, length))
			ret = io->write(io, fd, data + at, length, offset + at);
	}
	return ret;
}
