/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The record of what is frozen (freezer.h gives its bytes): made before the first freeze, changed by the helper, read by whoever
 * cleans up behind a killed one. Lies on tmpfs, at least not on what is frozen: a write to it must never wait (R26).
 */
#ifndef TMK_FRECORD_H
#define TMK_FRECORD_H

#include "error.h"
#include "freezer.h"
#include "fsfind.h"

/* Makes it, locked, with nothing frozen. A descriptor or -errno; -EEXIST: there is one already: recover first. */
int tmk_frecord_make(const char *path, const struct tmk_filesystems *filesystems, struct tmk_error *err);
/* Reads the letters; allocates nothing. */
int tmk_frecord_states(int fd, uint8_t *states, size_t count);
/* Whether this one is, or may be, frozen by us. */
bool tmk_frecord_ours(uint8_t state);
/* Opens and locks the record of a helper that is gone (waits for one that is about to end). A descriptor; -ENOENT: there is
 * none; -EBUSY: its helper or shipper is alive. */
int tmk_frecord_open(const char *path, struct tmk_error *err);
/* What it names. -ESTALE: it is of an earlier boot, and names nothing any more. */
int tmk_frecord_read(int fd, struct tmk_filesystems *out, uint8_t *states, struct tmk_error *err);
/* Says that the i-th is not frozen any more. */
void tmk_frecord_thawed(int fd, size_t i);

#endif
