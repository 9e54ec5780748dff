/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mounted filesystems that have data on given disks: by superblock, in every mount namespace (/proc/PID/mountinfo), btrfs
 * by its device list, through dm, md and loop devices; and their order for freezing. Also swap and raw users.
 */
#ifndef TMK_FSFIND_H
#define TMK_FSFIND_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "device.h"
#include "error.h"

struct tmk_filesystem {
	dev_t superblock;      /* st_dev: one entry per superblock */
	char type[32];	       /* ext4 ... */
	char mountpoint[4096]; /* in the namespace of `pid` */
	pid_t pid;	       /* a process that sees it there; open via /proc/PID/root */
	bool read_only;
	bool partial;	  /* one of its devices is not among the given disks (R19) */
	char missing[64]; /* that device */
	unsigned depth;	  /* how far above the disks it stands: upper ones freeze first */
};
struct tmk_filesystems {
	size_t count;
	struct tmk_filesystem *list; /* upper first */
};

int tmk_fsfind(const struct tmk_device *disks, size_t count, struct tmk_filesystems *out, struct tmk_error *err);
void tmk_filesystems_free(struct tmk_filesystems *f);
/* Opens the root of one (O_RDONLY|O_DIRECTORY|O_CLOEXEC), checks that st_dev is still its superblock. A descriptor or -errno. */
int tmk_filesystem_open(const struct tmk_filesystem *fs, struct tmk_error *err);

#endif
