/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a path names: the disk or partition behind it, as sysfs and blkid tell. Reads only; resolves symbolic links (by-id ...).
 */
#ifndef TMK_DEVICE_H
#define TMK_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

struct tmk_device {
	char path[256];	    /* as given, resolved: /dev/sda1 */
	char name[64];	    /* sysfs name: sda1 */
	dev_t dev;	    /* of the device itself */
	dev_t disk;	    /* of the whole disk */
	bool whole;	    /* it is the whole disk */
	uint64_t start;	    /* bytes from the start of the whole disk */
	uint64_t size;	    /* bytes */
	uint32_t sector;    /* logical block size, bytes */
	uint32_t alignment; /* of direct I/O, bytes; at least `sector` */
	bool zeroes;	    /* a discard leaves zeroes (loop, LBPRZ, DLFEAT) (R20) */
	bool read_only;
	char identity[128]; /* wwn, serial, model, partition UUID; for a loop device its backing file's device and inode */
};

/* -ENOTBLK, -ENOENT, -ENODEV. A bio-based device (dm, md) is refused (-EOPNOTSUPP) with the names of the disks below it to
 * protect instead. */
int tmk_device_find(const char *path, struct tmk_device *out, struct tmk_error *err);
/* Whether `file` (a path that exists) lies on this disk, directly, or through partitions, dm, md and loop devices (R31). */
int tmk_device_holds(const struct tmk_device *device, const char *file, bool *holds, struct tmk_error *err);
/* The devices (whole or partition, through dm, md, loop) that a block device `dev` finally rests on: fills at most max whole or
 * partition device numbers. For a plain disk or partition: itself. -E2BIG. */
int tmk_device_leaves(dev_t dev, dev_t *out, size_t max, size_t *count, struct tmk_error *err);
/* Devices above `dev` by sysfs holders, itself first, partitions of a whole disk included: all whose contents rest on it. */
int tmk_device_uppers(dev_t dev, dev_t *out, size_t max, size_t *count, struct tmk_error *err);
/* Walks down from `dev` until it meets one of the disks: *on: it rests on some of them; *missing: a device that it rests on as
 * well and that none of them holds (0: none) (R19). Right also where a disk is a loop device, which leaves() goes through. */
int tmk_device_covered(dev_t dev, const struct tmk_device *disks, size_t count, bool *on, dev_t *missing, struct tmk_error *err);

#endif
