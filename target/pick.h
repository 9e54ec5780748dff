/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which point does a text mean? POINT = number, label, time (newest at or before, the target's clock), `latest`, `latest-app`,
 * or the mark's id in hexadecimal. Pure.
 */
#ifndef TMK_PICK_H
#define TMK_PICK_H

#include <stddef.h>

#include "applier.h"
#include "error.h"

/* points: newest first. text "" is `latest`. The index, or -ENOENT with a sentence. */
int tmk_pick_point(const struct tmk_point *points, size_t count, const char *text, struct tmk_error *err);
/* 2026-11-21T12:00[:05[.5]][Z|+01:00], blank or T between; without a zone the local one. ns since 1970; -EINVAL. */
int tmk_pick_time(const char *text, uint64_t *ns);
/* 2026-11-21T12:00:05Z */
void tmk_pick_format(uint64_t ns, char out[32]);

#endif
