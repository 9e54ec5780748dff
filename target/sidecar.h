/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sidecar file (disk.h): two slots, written in turn. What a slot says is checked before it is believed (I9): sums, bounds,
 * and that its state fits its numbers. Opened and locked by replica.c.
 */
#ifndef TMK_SIDECAR_H
#define TMK_SIDECAR_H

#include "replica.h"

#define TMK_SIDECAR_NAME "sidecar"

/* The valid slot with the higher sequence. -ENOENT: none was ever written; -EUCLEAN: none is valid. */
int tmk_sidecar_load(const struct tmk_io *io, int fd, struct tmk_sidecar *out, struct tmk_error *err);
/* Writes the slot of its sequence, and makes it durable. */
int tmk_sidecar_store(const struct tmk_io *io, int fd, const struct tmk_sidecar *sidecar, struct tmk_error *err);
/* The highest sequence that a valid slot has, 0: none. */
uint64_t tmk_sidecar_highest(const struct tmk_io *io, int fd);

#endif
