/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel says of a whole disk below /sys/dev/block: no device is opened. */
#ifndef TMK_SYSFS_H
#define TMK_SYSFS_H

#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "tidemark_bpf.h"

struct tmk_sysfs_disk {
	char name[64];
	enum tmk_bpf_kind kind; /* whose driver commands may pass through */
	uint64_t sectors;	/* of 512 bytes */
	uint64_t diskseq;	/* changes with every medium; 0: the kernel has none */
};

/* -ENODEV: no such disk. */
int tmk_sysfs_look(dev_t disk, struct tmk_sysfs_disk *out, struct tmk_error *err);
/* Can this disk be tracked? -EOPNOTSUPP with the reason, -ENODEV, -EINVAL for a partition. */
int tmk_sysfs_check(dev_t disk, struct tmk_error *err);
/* Can this kernel run the probes? -EOPNOTSUPP with the reason. */
int tmk_sysfs_kernel(struct tmk_error *err);

#endif
