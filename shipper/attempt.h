/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One attempt at a point with filesystems frozen (R17, R19, R26): sync until it is quick, freeze, take, copy into memory, prove,
 * thaw; the copy is sent afterwards. If the proof fails nothing is sent, and the next round reads the blocks again: they are
 * still in `taken`. All memory is allocated by begin. Owned by the protection's thread, which waits only in tmk_attempt_copy()
 * and tmk_attempt_cut().
 */
#ifndef TMK_ATTEMPT_H
#define TMK_ATTEMPT_H

#include <stdbool.h>

#include "config.h"
#include "error.h"
#include "follow.h"
#include "packer.h"
#include "reader.h"
#include "source.h"
#include "stream.h"

struct tmk_attempt;

/* Finds the filesystems, starts the helper and the first pass of syncfs. */
int tmk_attempt_begin(struct tmk_attempt **out, const struct tmk_config *config, struct tmk_source *source,
		      struct tmk_error *err);
/* Thaws if need be; frees. NULL is fine. */
void tmk_attempt_end(struct tmk_attempt *a);
int tmk_attempt_sync_fd(const struct tmk_attempt *a); /* for poll(2): a pass of syncfs is done */
/* -EAGAIN: a pass is under way. 0: *quick says whether the last pass was short enough to freeze now; another is started if not.
 */
int tmk_attempt_settled(struct tmk_attempt *a, bool *quick, struct tmk_error *err);
/* Starts one more pass: the last one is too long ago. */
int tmk_attempt_sync(struct tmk_attempt *a, struct tmk_error *err);
/* From frozen to thawed. Only when everything read before is acked. *proven: the copy is the disks at one instant; else why says
 * what spoiled it. */
int tmk_attempt_copy(struct tmk_attempt *a, struct tmk_reader_ring *reader, bool *proven, char why[256], struct tmk_error *err);
/* Streaming: nothing is copied, a mark with this id goes into the log while filesystems are frozen. *proven: they were, until it
 * was there; else why. */
int tmk_attempt_cut(struct tmk_attempt *a, struct tmk_follow *follow, const uint8_t id[16], bool *proven, char why[256],
		    struct tmk_error *err);
unsigned tmk_attempt_frozen_ms(const struct tmk_attempt *a);
uint64_t tmk_attempt_gap(const struct tmk_attempt *a);
uint64_t tmk_attempt_cut_time(const struct tmk_attempt *a); /* ns since 1970 */
/* Packs and sends the proven copy, the mark behind it. -EAGAIN: the window is full, call again. */
int tmk_attempt_ship(struct tmk_attempt *a, struct tmk_packer *packer, struct tmk_stream *stream, const struct tmk_mark *mark,
		     struct tmk_error *err);

#endif
