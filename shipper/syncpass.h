/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syncfs(2) on a list of filesystems, in a thread of its own: a pass may take minutes, or hang with a broken disk, and nobody
 * waits for it. Owns the descriptors; a thread that is still at it when the pass is freed keeps them until it comes back.
 */
#ifndef TMK_SYNCPASS_H
#define TMK_SYNCPASS_H

#include <stddef.h>

#include "error.h"

struct tmk_syncpass;

/* Takes fds over (also on failure: then it closes them); synced in this order. */
int tmk_syncpass_new(struct tmk_syncpass **out, const int *fds, size_t count, struct tmk_error *err);
/* -EBUSY: the one before is not done. */
int tmk_syncpass_start(struct tmk_syncpass *s, struct tmk_error *err);
/* Readable when done. */
int tmk_syncpass_fd(const struct tmk_syncpass *s);
/* -EAGAIN: still at it. 0 or the -errno of the first that failed, *which. -EINVAL: not started. */
int tmk_syncpass_done(struct tmk_syncpass *s, unsigned *ms, size_t *which);
/* The descriptors, for as long as the pass lives. */
const int *tmk_syncpass_fds(const struct tmk_syncpass *s);
void tmk_syncpass_free(struct tmk_syncpass *s);

#endif
