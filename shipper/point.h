/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Points: from the wish for one to its mark being durable at the target. One wish at a time.
 *
 *   NONE -> ASKED       somebody, or the clock, wants a point
 *   ASKED -> SENT       a round was read and proven while nothing was written: its end is the point, nothing was frozen
 *   ASKED -> CUT        streaming: a mark was put into the log, and nothing was frozen
 *   ASKED -> SETTLING   an app point, or a disk too busy: scripts, syncfs, then the freeze (attempt.h)
 *   SETTLING -> CUT     streaming: frozen for as long as it takes to put a mark into the log
 *   CUT -> SENT         the log was followed up to there, and it is a point; or -> ASKED, it is none
 *   SETTLING -> SHIPPING -> SENT
 *   SENT -> NONE        acked; or the session was lost with it: -> ASKED
 *   any -> NONE         given up, with the reason
 *
 * Owned by the protection's thread. Blocks for as long as a script runs and while filesystems are frozen.
 */
#ifndef TMK_POINT_H
#define TMK_POINT_H

#include <stdbool.h>

#include "config.h"
#include "error.h"
#include "follow.h"
#include "packer.h"
#include "reader.h"
#include "source.h"
#include "stream.h"

enum tmk_point_stage { TMK_POINT_NONE, TMK_POINT_ASKED, TMK_POINT_CUT, TMK_POINT_SETTLING, TMK_POINT_SHIPPING, TMK_POINT_SENT };

struct tmk_wish {
	bool app;
	bool automatic;
	char label[TMK_LABEL_MAX + 1];
	uint8_t id[16];
};
/* What became of a wish. */
struct tmk_outcome {
	struct tmk_wish wish;
	int rc; /* 0: durable at the target */
	char why[512];
	uint64_t cut_time; /* ns since 1970 */
	unsigned frozen_ms;
	uint64_t gap; /* of the mark */
};

struct tmk_point_maker;
struct tmk_point_parts {
	const struct tmk_config *config;
	struct tmk_source *source;
	struct tmk_stream *stream;
	struct tmk_reader_ring *reader;
	struct tmk_packer *packer;
	struct tmk_follow *follow;
	void (*done)(const struct tmk_outcome *outcome, void *context);
	void *context;
};

int tmk_point_new(struct tmk_point_maker **out, const struct tmk_point_parts *parts);
/* An open wish comes to nothing; a post script that is owed runs. */
void tmk_point_free(struct tmk_point_maker *p);
enum tmk_point_stage tmk_point_stage(const struct tmk_point_maker *p);
/* From NONE. */
void tmk_point_ask(struct tmk_point_maker *p, const struct tmk_wish *wish);
/* A round has been read: if its end can be the point that is wished for, the mark to close it with, else NULL. */
const struct tmk_mark *tmk_point_close_round(struct tmk_point_maker *p, uint64_t gap, struct tmk_error *err);
/* As tmk_follow_marked; context is the point maker. A mark of the module's own, the last one before a gap, becomes a point that
 * nobody asked for. */
const struct tmk_mark *tmk_point_marked(const uint8_t id[16], bool good, uint64_t gap, uint64_t time, void *context);
/* Goes as far as it can. resting: no round is under way and everything is acked. */
void tmk_point_step(struct tmk_point_maker *p, bool resting);
/* The session's window was dropped: what was sent of a point is void. */
void tmk_point_reset(struct tmk_point_maker *p);
/* Nothing goes on here for a while (a fault, a pause): gives up what is under way, so that nobody waits for it and no application
 * stays stopped. A mark that is sent already still counts when it is acked. */
void tmk_point_fail(struct tmk_point_maker *p, int rc, const char *why);
/* Rounds are to follow each other closely now. */
bool tmk_point_hurried(const struct tmk_point_maker *p);
int tmk_point_fd(const struct tmk_point_maker *p); /* for poll(2), or -1 */

#endif
