/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a path lies on: the filesystem behind it, as far as it tells which block devices it uses. Looks only. Private to
 * device.c and blktree.c.
 */
#ifndef TMK_WHERE_H
#define TMK_WHERE_H

#include <stdint.h>
#include <sys/types.h>

#include "error.h"

enum tmk_where_kind {
	TMK_WHERE_NODE,	   /* the path itself is a block device: `device` */
	TMK_WHERE_DEVICE,  /* a filesystem on the block device `device`, and on more[] */
	TMK_WHERE_BTRFS,   /* on the devices of the btrfs `fsid` */
	TMK_WHERE_OVERLAY, /* stored in the directory `upper` */
	TMK_WHERE_NOWHERE, /* memory, network: on no disk of this server */
	TMK_WHERE_UNKNOWN, /* a filesystem that does not tell its devices (ZFS ...) */
};

struct tmk_where {
	enum tmk_where_kind kind;
	dev_t device;	/* st_dev; for NODE the device that the path names */
	dev_t more[2];	/* XFS: log and realtime devices; 0: none */
	uint64_t inode; /* 0 for NODE */
	uint8_t fsid[16];
	char upper[4096];
};

/* Follows symbolic links. -ENOENT and what else stat(2) says. */
int tmk_where_look(const char *path, struct tmk_where *out, struct tmk_error *err);

#endif
