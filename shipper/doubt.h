/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Doubt: which pieces (lib/piece.h) of the disks go hash first. What is to be read stands in the tracker's maps and nowhere else;
 * this only says of what is read whether the target may have it already. So losing it costs traffic, never data: it lies in
 * run-dir/NAME.doubt, outlives the shipper, and a reboot brings full doubt anyway. One thread.
 */
#ifndef TMK_DOUBT_H
#define TMK_DOUBT_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "store.h"

struct tmk_doubt;

/* Finds what an earlier shipper left for this protection and these sizes, or begins without doubt. Where no file can be made it
 * is kept in memory. -ENOMEM. */
int tmk_doubt_open(struct tmk_doubt **out, const char *run_dir, const struct tmk_spec *spec, struct tmk_error *err);
void tmk_doubt_close(struct tmk_doubt *d);
void tmk_doubt_remove(const char *run_dir, const char *name); /* the protection ended */
/* Of NULL nothing is in doubt: */
void tmk_doubt_all(struct tmk_doubt *d, uint16_t disk);
void tmk_doubt_none(struct tmk_doubt *d, uint16_t disk);
/* The disk's gap count, at each take: if it moved, all of the disk was marked, and all is in doubt. */
void tmk_doubt_follow(struct tmk_doubt *d, uint16_t disk, uint64_t gap);
/* The pieces that the range touches. */
void tmk_doubt_clear(struct tmk_doubt *d, uint16_t disk, uint64_t offset, uint64_t length);
/* The part of [offset, offset + *length) at its start that goes one way: shortens *length. True: whole pieces in doubt. */
bool tmk_doubt_split(const struct tmk_doubt *d, uint16_t disk, uint64_t offset, uint64_t *length);

#endif
