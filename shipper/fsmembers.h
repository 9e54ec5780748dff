/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block devices that one mounted filesystem keeps its data on: the one it is mounted from, and those that only it knows of:
 * btrfs's device list, XFS's log and realtime devices, ext4's external journal (R19). Reads only. Private to fsfind.c.
 */
#ifndef TMK_FSMEMBERS_H
#define TMK_FSMEMBERS_H

#include "error.h"
#include "mountinfo.h"

struct tmk_member {
	dev_t dev;     /* 0: it cannot be found on this server now */
	char name[64]; /* as the filesystem calls it */
};

/* None at all: memory, network, or a type that does not tell. -E2BIG beyond max. */
int tmk_fsmembers(const struct tmk_mounts *mounts, const struct tmk_mount *mount, struct tmk_member *out, size_t max,
		  size_t *count, struct tmk_error *err);
/* What an ext4 superblock (1024 bytes) says of an external journal; 0: it has none, or this is no ext4. */
dev_t tmk_ext4_journal(const unsigned char superblock[1024]);

#endif
