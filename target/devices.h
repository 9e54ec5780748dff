/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * devices/NAME below DIR: what an operator prepared for a protection that has not connected yet. disk-N.raw is a symbolic link to
 * a block device, or a seed: an image that becomes the replica (seed.h puts both there). At first contact links are copied to
 * protections/NAME, and seeds are moved there.
 */
#ifndef TMK_DEVICES_H
#define TMK_DEVICES_H

#include "chunk.h"
#include "error.h"

/* Looks at all of them and changes nothing. -ERANGE: a seed is not as large as its disk; the source is to be told. */
int tmk_devices_check(int root, const char *name, const struct tmk_disk_sizes *sizes, struct tmk_error *err);
/* dir: protections/NAME. Idempotent; what it says is done is durable once that directory is. */
int tmk_devices_place(int root, int dir, const char *name, unsigned disks, struct tmk_error *err);
/* devices/NAME, made if it is missing. A descriptor or -errno. */
int tmk_devices_open(int root, const char *name, struct tmk_error *err);

#endif
