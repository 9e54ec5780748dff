/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Refuses a feedback loop (R31): a directory that Tidemark itself writes to (state, /run, a target's) on a disk that it is to
 * protect. Every ack would be a write, which would be shipped, and acked.
 */
#ifndef TMK_FEEDBACK_H
#define TMK_FEEDBACK_H

#include <stddef.h>

#include "device.h"
#include "error.h"

/* paths ends with NULL. -EDEADLK: one of the paths lies on one of the disks; the text names both. A path that does not exist yet
 * counts as the directory that it would be made in. Empty paths are passed over. */
int tmk_feedback_check(const struct tmk_device *disks, size_t n, const char *const *paths, struct tmk_error *err);
/* The same in a given tree (blktree.h). */
struct tmk_blktree;
int tmk_feedback_check_in(const struct tmk_blktree *t, const struct tmk_device *disks, size_t n, const char *const *paths,
			  struct tmk_error *err);

#endif
