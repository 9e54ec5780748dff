/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Storage I/O behind a vtable, so that tests can fail the Nth call or crash at the Nth flush. The real one loops over short
 * transfers and EINTR. All return 0 or -errno, but open, which returns a descriptor, and size.
 */
#ifndef TMK_IO_H
#define TMK_IO_H

#include <stdint.h>
#include <sys/types.h>

struct tmk_io {
	int (*open)(const struct tmk_io *io, int dir, const char *name, int flags, mode_t mode);
	int (*read)(const struct tmk_io *io, int fd, void *data, size_t size,
		    uint64_t offset); /* -ENODATA: the file ends before */
	int (*write)(const struct tmk_io *io, int fd, const void *data, size_t size, uint64_t offset);
	int (*zero)(const struct tmk_io *io, int fd, uint64_t offset, uint64_t length); /* reads as zeroes; sparse if it can */
	int (*flush)(const struct tmk_io *io, int fd);					/* fdatasync */
	int (*flush_dir)(const struct tmk_io *io, int dir);				/* fsync of a directory */
	int (*truncate)(const struct tmk_io *io, int fd, uint64_t size);
	int (*unlink)(const struct tmk_io *io, int dir, const char *name);
	int64_t (*size)(const struct tmk_io *io, int fd); /* of a file or block device, bytes */
	int (*close)(const struct tmk_io *io, int fd);
	void *private_data;
};

extern const struct tmk_io tmk_io_real;

#endif
