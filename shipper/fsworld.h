/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What fsfind.c looks at, so that its tests can put a world of their own in its place. Private to it.
 */
#ifndef TMK_FSWORLD_H
#define TMK_FSWORLD_H

#include "fsfind.h"
#include "fsmembers.h"

struct tmk_fsworld {
	const char *proc; /* "/proc" */
	/* tmk_device_covered() */
	int (*covered)(dev_t dev, const struct tmk_device *disks, size_t count, bool *on, dev_t *missing, struct tmk_error *err);
	/* tmk_fsmembers() */
	int (*members)(const struct tmk_mounts *mounts, const struct tmk_mount *mount, struct tmk_member *out, size_t max,
		       size_t *count, struct tmk_error *err);
	/* A mount of the superblock that can be opened; NULL: none. */
	const struct tmk_mount *(*reachable)(const struct tmk_mounts *mounts, dev_t superblock);
	/* The sysfs name of a device. */
	void (*name)(dev_t dev, char *out, size_t size);
};

int tmk_fsfind_in(const struct tmk_fsworld *world, const struct tmk_device *disks, size_t count, struct tmk_filesystems *out,
		  struct tmk_error *err);

#endif
