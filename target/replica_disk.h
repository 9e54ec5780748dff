/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One disk of a replica: a raw file or a block device, and the number that says to which sidecar it belongs (disk.h, R14). The
 * number of a block device is kept on the directory: that does not find a device put back, but a sidecar put back beside it.
 */
#ifndef TMK_REPLICA_DISK_H
#define TMK_REPLICA_DISK_H

#include "replica.h"

struct tmk_replica_disk {
	unsigned int index;
	int fd;	     /* -1: closed */
	int direct;  /* the same, around the page cache; negative: its filesystem cannot, or it is no writer's */
	int carrier; /* descriptor of what bears the number: fd or dir */
	uint64_t size;
	bool block;
};

/* Opens disk-N.raw. -EUCLEAN: missing, or not of that size (a block device may be larger). */
int tmk_replica_disk_open(struct tmk_replica_disk *d, const struct tmk_io *io, int dir, unsigned int index, uint64_t size,
			  bool write, struct tmk_error *err);
/* Makes disk-N.raw with that size if it is not there, sparse; a link that is there is followed. -ENOSPC: a device too small.
 * fresh: a file that bears a number of a replica, or has another size already, is refused (-EUCLEAN) instead of used. */
int tmk_replica_disk_make(struct tmk_replica_disk *d, const struct tmk_io *io, int dir, unsigned int index, uint64_t size,
			  bool fresh, struct tmk_error *err);
void tmk_replica_disk_close(struct tmk_replica_disk *d, const struct tmk_io *io);

/* The number it bears. -ENODATA: none; -EOPNOTSUPP: its filesystem has no user attributes, nothing can be said. */
int tmk_replica_disk_number(const struct tmk_replica_disk *d, uint64_t *out);
/* 0 also if its filesystem has no user attributes. Not durable before sync. */
int tmk_replica_disk_set_number(const struct tmk_replica_disk *d, uint64_t number, struct tmk_error *err);
/* Contents and number are durable then. */
int tmk_replica_disk_sync(const struct tmk_replica_disk *d, const struct tmk_io *io, struct tmk_error *err);

/* Before a range is read, perhaps in several parts: what comes is what the disk has, but for what waits to be written. A page
 * cache does not know of rot, and may call clean what a failed flush has not written (R13). */
void tmk_replica_disk_uncache(const struct tmk_replica_disk *d, uint64_t offset, uint64_t length);
/* Around the page cache where that can be; for that `data` has to be aligned to TMK_REPLICA_ALIGN. */
int tmk_replica_disk_read(const struct tmk_replica_disk *d, const struct tmk_io *io, void *data, size_t size, uint64_t offset,
			  struct tmk_error *err);

/* Around the page cache what is large and whole blocks, if that can be; `data` has to be aligned to TMK_REPLICA_ALIGN for it. */
int tmk_replica_disk_write(const struct tmk_replica_disk *d, const struct tmk_io *io, const void *data, size_t size,
			   uint64_t offset, struct tmk_error *err);
/* Reads as zeroes afterwards. */
int tmk_replica_disk_zero(const struct tmk_replica_disk *d, const struct tmk_io *io, uint64_t offset, uint64_t length,
			  struct tmk_error *err);
/* Contents are unspecified afterwards (R20): gives space back where that is cheap. */
int tmk_replica_disk_discard(const struct tmk_replica_disk *d, const struct tmk_io *io, uint64_t offset, uint64_t length,
			     struct tmk_error *err);

#endif
