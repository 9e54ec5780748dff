/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has to be true before a protection begins: every disk can be tracked, belongs to nobody else, holds no file that Tidemark
 * writes while it ships (R31), and every filesystem on them is on them with all its parts (R19).
 */
#ifndef TMK_PROTECT_H
#define TMK_PROTECT_H

#include <stddef.h>

#include "daemon.h"
#include "error.h"
#include "store.h"

/* Checks, stores, starts; takes back what it did if the start fails. paths: absolute. *out: what was stored. Called with
 * daemon->change held. */
int tmk_protect(struct tmk_daemon *d, const char *name, const char *const *paths, size_t count, enum tmk_tracker_kind tracker,
		struct tmk_spec *out, struct tmk_error *err);

#endif
