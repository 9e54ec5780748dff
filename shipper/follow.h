/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Follows the write log (tracker.h): its records go on the stream in their order, in chunks of their own that are closed at 1 MiB
 * or 200 ms. The log's room is given back by the acks of these (I2).
 *
 * Streaming: the log holds every write since what the stream last had. It begins when a round ends whose take was made with the
 * log on, at the place where the log's head was when the round's last read returned (E), and for as long as the gap count is that
 * of the take. From then on every chunk ends in a consistent state (I7), and a mark in the log is a point (R4).
 *
 * Rounds, and whatever else reads the disks: what is read goes on the stream behind all records before F, and before all behind
 * it. So the one who reads holds the log at F, and lets it go when its reads are sealed; nothing has to be cut out of what was
 * read (docs/design.md). Owned by the protection's thread; waits for nothing.
 */
#ifndef TMK_FOLLOW_H
#define TMK_FOLLOW_H

#include <stdbool.h>

#include "error.h"
#include "source.h"
#include "stream.h"

struct tmk_follow;

/* A mark of the log. good: the disks at this place are a point; time: of the cut, ns since 1970. Returns the mark to close the
 * chunk with, or NULL: none is made.
 */
typedef const struct tmk_mark *(*tmk_follow_marked)(const uint8_t id[16], bool good, uint64_t gap, uint64_t time, void *context);

int tmk_follow_new(struct tmk_follow **out, struct tmk_source *source, struct tmk_stream *stream, tmk_follow_marked marked,
		   void *context);
void tmk_follow_free(struct tmk_follow *f);
/* From now on what is overwritten before the next mark is left out. The end of a chunk is no state then until what overwrote it
 * is on the stream, too. */
int tmk_follow_coalesce(struct tmk_follow *f);
uint64_t tmk_follow_saved(const struct tmk_follow *f); /* bytes left out */
/* Once the disks are attached: where an earlier shipper left the log. */
int tmk_follow_open(struct tmk_follow *f, struct tmk_error *err);

/* Asks the tracker how the log stands; what the others tell is as of then. */
int tmk_follow_look(struct tmk_follow *f, struct tmk_error *err);
bool tmk_follow_has_log(const struct tmk_follow *f);
bool tmk_follow_on(const struct tmk_follow *f);
const struct tmk_log *tmk_follow_log(const struct tmk_follow *f);
bool tmk_follow_streaming(const struct tmk_follow *f);
/* The target has the disks as they were at that time, or later (ms, monotonic), in a consistent state. 0: it does not stream. */
uint64_t tmk_follow_latest(const struct tmk_follow *f);

/* Off: what is in the ring is in the map then. Off only from rest. */
int tmk_follow_switch(struct tmk_follow *f, bool on, struct tmk_error *err);
/* While a verify compares, what is logged is marked, too. */
int tmk_follow_both(struct tmk_follow *f, bool both, struct tmk_error *err);
/* Goes no further than that; UINT64_MAX: as far as it can. */
void tmk_follow_hold(struct tmk_follow *f, uint64_t position);
/* All records before it are in sealed chunks. Without a log: yes. */
bool tmk_follow_reached(const struct tmk_follow *f, uint64_t position);
/* A round whose take had that gap count ended well; its last read returned when the log's head was at `behind`. */
void tmk_follow_synced(struct tmk_follow *f, uint64_t gap, uint64_t behind);
/* A round begins, or the replica is known to differ: until a round ends nothing is a point. */
void tmk_follow_unsynced(struct tmk_follow *f);
/* Goes as far as the log and the window allow. */
int tmk_follow_step(struct tmk_follow *f, struct tmk_error *err);
/* A mark record for all disks, now. -EAGAIN: it is not streaming. */
int tmk_follow_cut(struct tmk_follow *f, const uint8_t id[16], struct tmk_error *err);
/* ms until there may be something to do: short while something is on its way. */
int tmk_follow_patience(const struct tmk_follow *f);

#endif
