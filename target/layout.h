/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where things lie below DIR (disk.h), and who may touch them: protections/NAME and the replica are the supervisor's alone
 * (0700), its journal/ belongs to the receivers' user. A receiver reaches its journal by a descriptor only.
 */
#ifndef TMK_LAYOUT_H
#define TMK_LAYOUT_H

#include <stdbool.h>

#include "chunk.h"
#include "error.h"
#include "sandbox.h"
#include "wire.h"

/* DIR itself with an exclusive lock that lasts as long as the descriptor: one supervisor per directory. -EBUSY. */
int tmk_layout_lock(const char *directory, struct tmk_error *err);
/* The directory `name` of another one: made if it is missing, and durable. A descriptor or -errno. */
int tmk_layout_make(int at, const char *name, struct tmk_error *err);
/* A directory below DIR: made if it is missing, and else nothing is written, so that it can be had of storage that fails. */
int tmk_layout_part(int root, const char *name, struct tmk_error *err);
/* protections/NAME. -ENOENT if there is none. A descriptor or -errno. */
int tmk_layout_open(int root, const char *name, struct tmk_error *err);
/* The same, but makes it, with its journal and what devices/NAME holds (devices.h). Idempotent. -ERANGE: a seed there is not as
 * large as its disk; nothing was made. */
int tmk_layout_create(int root, const char *name, const struct tmk_disk_sizes *sizes, const struct tmk_sandbox_user *user,
		      struct tmk_error *err);
/* The journal of protections/NAME (dir); a new open file each time, so that its lock is its own. */
int tmk_layout_journal(int dir, struct tmk_error *err);
/* Bytes that replicas which are files may still take of their filesystem: their holes. */
uint64_t tmk_layout_growth(int dir, unsigned disks);
/* May the replica hold something already? */
bool tmk_layout_holds(int dir, unsigned disks);
/* Moves protections/NAME to deleted/NAME.TIME; `to` gets that path. */
int tmk_layout_discard(int root, const char *name, char to[TMK_NAME_MAX + 40], struct tmk_error *err);
/* Removes a directory of deleted/ with all that is in it; follows no link. */
int tmk_layout_remove(int root, const char *path, struct tmk_error *err);

#endif
