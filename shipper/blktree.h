/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree of block devices as sysfs shows it: partitions, slaves and holders (dm, md, bcache), loop devices and the
 * filesystems that their backing files lie on. Private to device.c and its tests, which give it a tree of their own: sysfs by
 * its root, files by `look`, loop devices by `backing`.
 */
#ifndef TMK_BLKTREE_H
#define TMK_BLKTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "device.h"
#include "error.h"
#include "where.h"

#define TMK_BLKTREE_MAX 1024 /* devices that one walk may meet */

struct tmk_blktree {
	const char *sys; /* "/sys" */
	int (*look)(const char *path, struct tmk_where *out, struct tmk_error *err);
	/* Asks a loop device itself, by its sysfs name and number; may be NULL. Failure: the path in sysfs has to do. */
	int (*backing)(const char *name, dev_t dev, struct tmk_where *out);
};
extern const struct tmk_blktree tmk_blktree_real;

struct tmk_blknode {
	dev_t dev;
	dev_t disk;	     /* the whole disk; dev itself for one */
	unsigned partition;  /* its number, 0: a whole disk */
	char name[64];	     /* sysfs name */
	char dir[1024];	     /* its directory in sysfs */
	char disk_dir[1024]; /* that of the whole disk */
};

/* -ENODEV: sysfs knows no such device. */
int tmk_blktree_node(const struct tmk_blktree *t, dev_t dev, struct tmk_blknode *out, struct tmk_error *err);
/* The first line of an attribute, without blanks at its ends, or -errno. */
int tmk_blktree_attr(const char *dir, const char *name, char *out, size_t size);
int tmk_blktree_number(const char *dir, const char *name, uint64_t *out);
/* The device node's path by its name: "cciss!c0d0" is /dev/cciss/c0d0. */
void tmk_blktree_path(const char *name, char *out, size_t size);
/* What a loop device (a whole one) is attached to. -ENOENT: not a loop device, or nothing. */
int tmk_blktree_backing(const struct tmk_blktree *t, const struct tmk_blknode *node, struct tmk_where *out);
/* The block devices of the filesystem that holds a file; for a device node that device. None for memory and network. */
int tmk_blktree_file(const struct tmk_blktree *t, const char *path, dev_t *out, size_t max, size_t *count, struct tmk_error *err);

/* The functions of device.h in a given tree. bases() is leaves() that stops at loop devices: what could be protected. */
int tmk_blktree_leaves(const struct tmk_blktree *t, dev_t dev, dev_t *out, size_t max, size_t *count, struct tmk_error *err);
int tmk_blktree_bases(const struct tmk_blktree *t, dev_t dev, dev_t *out, size_t max, size_t *count, struct tmk_error *err);
int tmk_blktree_uppers(const struct tmk_blktree *t, dev_t dev, dev_t *out, size_t max, size_t *count, struct tmk_error *err);
int tmk_blktree_covered(const struct tmk_blktree *t, dev_t dev, const struct tmk_device *disks, size_t count, bool *on,
			dev_t *missing, struct tmk_error *err);
int tmk_blktree_holds(const struct tmk_blktree *t, const struct tmk_device *device, const char *file, bool *holds,
		      struct tmk_error *err);
/* Everything of a tmk_device but its path (device.c). */
int tmk_device_describe(const struct tmk_blktree *t, dev_t dev, struct tmk_device *out, struct tmk_error *err);

/* tmk_device_find() behind the look-up of the path. */
int tmk_device_find_in(const struct tmk_blktree *t, const char *path, dev_t dev, struct tmk_device *out, struct tmk_error *err);

#endif
