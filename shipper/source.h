/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks of one protection and their marks: takes, what is dirty, and the proof that nothing was written since a take. Holds
 * the tracker's lock for single calls only. Owned by the protection's thread.
 */
#ifndef TMK_SOURCE_H
#define TMK_SOURCE_H

#include <stdbool.h>

#include "device.h"
#include "doubt.h"
#include "error.h"
#include "marks.h"
#include "packer.h"
#include "scratch.h"
#include "store.h"
#include "tracker.h"
#include "trackers.h"

#define TMK_BAD_MAX 1024
struct tmk_source {
	struct tmk_trackers *trackers;
	uint64_t ring;		 /* bytes of the log, if the tracker has one */
	struct tmk_marks *marks; /* of the tracker that was chosen at attach; NULL: none yet */
	struct tmk_spec spec;
	bool attached;
	uint16_t held; /* so many of the first disks have a slot in the tracker */
	bool fresh;    /* a disk came fresh at the last attach: a new epoch is due */
	struct tmk_device devices[TMK_DISKS_MAX];
	int slots[TMK_DISKS_MAX];
	uint32_t block_size[TMK_DISKS_MAX]; /* bytes */
	struct tmk_scratch scratch;
	struct tmk_doubt *doubt; /* the owner's; NULL: nothing goes hash first */
	uint64_t unshown;	 /* what tmk_tracker_unshown() said at the last take */
	uint64_t takes;		 /* so many there were */
	/* Blocks that could not be read (R30): marked in `now` for as long as they are here. One that fails again seconds later
	 * is sure: tried again now and then only, and no hindrance to a point; the status counts it. */
	size_t bad_count;
	struct tmk_bad {
		struct tmk_covered at;
		uint64_t since; /* ms */
		bool sure;
	} bad[TMK_BAD_MAX];
};

/* ring: bytes of the log, for a tracker that has one. */
void tmk_source_init(struct tmk_source *s, struct tmk_trackers *trackers, const struct tmk_spec *spec, uint64_t ring);
/* Finds the disks, checks that they are what they were at protect (-ESTALE), attaches them. */
int tmk_source_attach(struct tmk_source *s, struct tmk_error *err);
void tmk_source_detach(struct tmk_source *s);
/* Polls the tracker, looks at size, identity and scratch again, takes. Only when everything read earlier was acked: an ack may
 * clear only what no later take holds (I2). */
int tmk_source_take(struct tmk_source *s, struct tmk_take *out, struct tmk_error *err);
/* The same without looking at files: while filesystems are frozen. */
int tmk_source_take_frozen(struct tmk_source *s, struct tmk_take *out, struct tmk_error *err);
/* The fence: nothing is read before this says so. */
int tmk_source_settled(struct tmk_source *s, const struct tmk_take *take, bool *settled, struct tmk_error *err);
int tmk_source_extents(struct tmk_source *s, enum tmk_which which, uint16_t disk, uint64_t from, struct tmk_extent *out,
		       size_t max, size_t *count, struct tmk_error *err);
/* Bytes marked, by map. */
int tmk_source_dirty(struct tmk_source *s, uint64_t *now, uint64_t *taken, struct tmk_error *err);
/* Asks whether events were missed, which marks everything. */
int tmk_source_poll(struct tmk_source *s, struct tmk_error *err);
/* Whether a block of the range is marked: in either map; in `taken`. What was missed shows only after a poll. */
int tmk_source_marked(struct tmk_source *s, uint16_t disk, struct tmk_extent extent, bool *marked, struct tmk_error *err);
int tmk_source_taken(struct tmk_source *s, uint16_t disk, struct tmk_extent extent, bool *taken, struct tmk_error *err);
/* The log's room up to there. */
int tmk_source_release_log(struct tmk_source *s, uint64_t position, struct tmk_error *err);
int tmk_source_release(struct tmk_source *s, const struct tmk_covered *covered, size_t count, struct tmk_error *err);
/* Looks at scratch again, as a take does: what was swap and is none any more is marked. Looks at files: not while filesystems are
 * frozen. */
int tmk_source_refresh(struct tmk_source *s, struct tmk_error *err);
/* The proof (R17): nothing outside scratch was written since the take that had this gap count, and no event was missed. If not,
 * why (192 bytes) says who wrote. */
int tmk_source_proof(struct tmk_source *s, uint64_t gap, bool *proven, char why[192], struct tmk_error *err);
/* Scratch is what it was at the last take: what was taken for swap is nobody's data yet. Looks at files: not while filesystems
 * are frozen, but after the proof. If not, why (192 bytes) says so. */
int tmk_source_scratch_kept(struct tmk_source *s, bool *kept, char *why, struct tmk_error *err);
int tmk_source_mark(struct tmk_source *s, uint16_t disk, struct tmk_extent extent, struct tmk_error *err);
/* What is no hindrance to a point: tmk_tracker_remind(). */
int tmk_source_remind(struct tmk_source *s, uint16_t disk, struct tmk_extent extent, struct tmk_error *err);
int tmk_source_mark_all(struct tmk_source *s, struct tmk_error *err);
int tmk_source_doubt(struct tmk_source *s, const char *reason, struct tmk_error *err);
int tmk_source_cookie(struct tmk_source *s, struct tmk_cookie *out, struct tmk_error *err);
int tmk_source_set_cookie(struct tmk_source *s, const struct tmk_cookie *cookie, struct tmk_error *err);
/* A block that could not be read, one call each: listed and marked again. -ENOSPC: too many, the disk is failing. */
int tmk_source_bad(struct tmk_source *s, uint16_t disk, uint64_t offset, uint64_t length, struct tmk_error *err);
/* It could be read after all. */
void tmk_source_good(struct tmk_source *s, uint16_t disk, uint64_t offset, uint64_t length);
/* The part of [offset, offset + *length) at its start that is all surely bad, or all not: as tmk_scratch_split(). */
bool tmk_source_bad_split(const struct tmk_source *s, uint16_t disk, uint64_t offset, uint64_t *length);
uint64_t tmk_source_bad_bytes(const struct tmk_source *s, bool sure); /* sure: of those that are */
/* All that was taken has been read and acked: clears what acks did not, because a block came in parts that no chunk held
 * together. */
int tmk_source_release_rest(struct tmk_source *s, struct tmk_error *err);
uint64_t tmk_source_size(const struct tmk_source *s); /* bytes of all disks */

#endif
