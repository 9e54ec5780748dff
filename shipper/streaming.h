/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When the log is on: while little is left for rounds, so that what is written meanwhile fits into the ring. While much is dirty
 * it is off, because rounds over the map send what was overwritten once. Parts of a turn (work.h).
 */
#ifndef TMK_STREAMING_H
#define TMK_STREAMING_H

#include "work.h"

/* First in a turn: how the log stands, on or off, and on with it. */
int tmk_streaming_step(struct tmk_protection *p, bool resting, struct tmk_error *err);
/* A round has come to its end. */
void tmk_streaming_round(struct tmk_work *w);
/* A verify compares blocks that nobody marked, and what is only in the log is marked by nobody. So from before its batch begins
 * until it has ended all that is logged is marked, too; and the batch begins when the stream has everything from before that.
 * *open: it may begin, or go on. */
int tmk_streaming_verify_may(struct tmk_work *w, bool *open, struct tmk_error *err);
int tmk_streaming_verify_over(struct tmk_work *w, struct tmk_error *err);

#endif
