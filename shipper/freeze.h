/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shipper's side of freezing. tidemark-freezer (freezer.c) alone holds the descriptors and the timer: it freezes upper
 * filesystems first, one freeze per superblock, thaws in reverse and only what it froze, by itself when the time is over or
 * when this process dies (R26). What a killed helper left is thawed from its record.
 */
#ifndef TMK_FREEZE_H
#define TMK_FREEZE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "fsfind.h"

struct tmk_freeze;

enum tmk_frozen {
	TMK_FROZEN = 1,	  /* by us */
	TMK_FROZEN_OTHER, /* EBUSY: somebody else holds it frozen; counts if it still is after the proof */
	TMK_SYNCED,	  /* cannot be frozen (EOPNOTSUPP: vfat) or is read-only: synced; the proof decides */
};

/* Starts the helper and hands it the filesystems. program: path of tidemark-freezer. record: file in /run that names what is to
 * be frozen, written before the freeze. limit_ms: from frozen to thawed. */
int tmk_freeze_start(struct tmk_freeze **out, const char *program, const char *record, const struct tmk_filesystems *filesystems,
		     unsigned limit_ms, struct tmk_error *err);
/* syncfs on all, in a thread of its own: start, then ask until it is done (poll on the descriptor: readable when done). */
int tmk_freeze_sync_start(struct tmk_freeze *f, struct tmk_error *err);
int tmk_freeze_sync_fd(const struct tmk_freeze *f);
/* -EAGAIN: still at it. 0: *ms is how long the pass took. */
int tmk_freeze_sync_done(struct tmk_freeze *f, unsigned *ms, struct tmk_error *err);
/* Freezes all. On failure (-ETIME: it took longer than the limit) everything is thawed again. From success until thaw this
 * process must not allocate, log or touch a file. */
int tmk_freeze_freeze(struct tmk_freeze *f, struct tmk_error *err);
/* How the i-th filesystem is held, after freeze. */
enum tmk_frozen tmk_freeze_how(const struct tmk_freeze *f, size_t i);
/* Thaws; *ms: from frozen to thawed. -ETIME: the helper's timer thawed before (the point is void). -EIO: a thaw failed; the text
 * names the filesystem. -ESTALE: one was thawed by somebody else meanwhile, be it frozen by us or by another. -EPIPE: the helper
 * was killed; what it held was thawed from here. All but 0 make the point void. */
int tmk_freeze_thaw(struct tmk_freeze *f, unsigned *ms, struct tmk_error *err);
/* Ends the helper (thaws if need be). NULL is fine. */
void tmk_freeze_free(struct tmk_freeze *f);
/* Thaws what the record of a killed helper names, and removes it. 0 also if there is none. -EBUSY: its helper lives, and thaws by
 * itself (waits up to 10 s for that). Other failures name the filesystem; the record stays, and the next call tries again. */
int tmk_freeze_recover(const char *record, struct tmk_error *err);

#endif
