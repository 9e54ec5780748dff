/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scratch: ranges of the disks whose contents nobody needs after a boot, i.e. active swap (R17). In rounds they travel as
 * their header (the first page, so that swapon works) and zeroes, and writes there do not spoil a point. What streams is all that
 * is written: scratch may have ended since it was looked for.
 */
#ifndef TMK_SCRATCH_H
#define TMK_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"
#include "error.h"

#define TMK_SCRATCH_MAX 256
struct tmk_scratch_range {
	uint16_t disk;
	uint64_t offset, length; /* bytes of scratch proper, the header not included; multiples of 4096 */
};
struct tmk_scratch {
	size_t count;
	struct tmk_scratch_range ranges[TMK_SCRATCH_MAX]; /* sorted by disk and offset, disjoint */
};

/* From /proc/swaps: swap on a whole protected disk or partition, or on a partition of a protected disk. Swap files and swap on
 * dm are not scratch: their blocks are shipped like others. */
int tmk_scratch_find(const struct tmk_device *disks, size_t count, struct tmk_scratch *out, struct tmk_error *err);
/* The part of [offset, offset + *length) at its start that is all scratch or all not: shortens *length, says which. */
bool tmk_scratch_split(const struct tmk_scratch *s, uint16_t disk, uint64_t offset, uint64_t *length);
bool tmk_scratch_same(const struct tmk_scratch *a, const struct tmk_scratch *b);

#endif
