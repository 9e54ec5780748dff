/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What records have touched of a protection's disks: a bit for each granule, the same for all disks: the smallest power of two
 * from 4096 on with which the bits take no more than 8 MiB. So what was not touched may count as touched, never the other way.
 */
#ifndef TMK_TOUCHED_H
#define TMK_TOUCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "chunk.h"

struct tmk_touched;
int tmk_touched_new(struct tmk_touched **out, const struct tmk_disk_sizes *sizes); /* -ENOMEM */
void tmk_touched_free(struct tmk_touched *t);
/* Ranges lie inside their disks and are not empty: of checked chunks. */
void tmk_touched_add(struct tmk_touched *t, uint16_t disk, uint64_t offset, uint64_t length);
bool tmk_touched_any(const struct tmk_touched *t, uint16_t disk, uint64_t offset, uint64_t length);

#endif
