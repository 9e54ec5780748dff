/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The applier: moves durable chunks from the journal into the replica. EMPTY: chunk by chunk, as they come; its first mark makes
 * a point. POINT: an interval only once its closing mark is durable (I11): BETWEEN is made durable first, then redo, then POINT.
 * A crash at any step is followed by the same steps again (I5, I7). A library: the process around it is target/child.c.
 *
 * HASH records are compared (compare.h) where the replica is what it was when they were made. EMPTY: when their chunk is reached;
 * but chunks that were in the journal when the replica was opened are undecided, since later ones may be in the replica already.
 * POINT: when the chunk is looked at, against the point, but for what the interval has touched before (it is not in the replica
 * yet). So BETWEEN has told everything already, or is undecided after a restart. Results come in the order of chunks, once for
 * each chunk and process.
 */
#ifndef TMK_APPLIER_H
#define TMK_APPLIER_H

#include <stdbool.h>
#include <stdint.h>

#include "chunk.h"
#include "disk.h"
#include "error.h"
#include "io.h"

/* A recovery point: what the catalogue keeps of it. */
struct tmk_point {
	uint64_t number; /* of the chunk that the mark ends */
	uint8_t hash[TMK_HASH_SIZE];
	uint64_t generation;
	uint64_t target_time; /* ns, arrival of that chunk */
	struct tmk_mark mark;
};

struct tmk_applier_events {						    /* called in the applier's process */
	void (*applied)(const struct tmk_sidecar *now, void *context);	    /* the durable position moved */
	void (*point)(const struct tmk_point *point, void *context);	    /* the replica equals this point now, durably */
	void (*compared)(const struct tmk_compared *result, void *context); /* of a chunk with HASH records; `more`: goes on */
	void (*unread)(const char *text, void *context); /* to be logged: the replica cannot be read where it is to be compared */
	void *context;
};
struct tmk_applier;
/* dir: protections/NAME (stays the caller's). Waits for nothing; -EBUSY: another applier runs. Calls point() for the point that
 * the replica equals already. What a crash left is finished by the first steps, whatever `durable` they are told. */
int tmk_applier_open(struct tmk_applier **out, const struct tmk_io *io, int dir, const struct tmk_applier_events *events,
		     struct tmk_error *err);
void tmk_applier_close(struct tmk_applier *a);
/* Applies what may be applied now, given that everything up to `durable` is; at most about 64 MiB of records, and of what they
 * compare, a call. 1: there is more to do, call again; 0: nothing now. -EBUSY: an export reads the point, try again later.
 * -EUCLEAN: rot or a chain that does not fit: an operator is needed. Other errors (-EIO, -ENOSPC): try again later; the step
 * opens the replica anew then and does the work since the last commit once more. Trims the journal: keeps the point's mark chunk
 * and about `spare` bytes. */
int tmk_applier_step(struct tmk_applier *a, uint64_t durable, uint64_t spare, struct tmk_error *err);
/* Gives the newest point up: from now on chunks are applied as they come until the next mark (a journal that cannot hold an
 * interval). Durable. -EBUSY: an export reads it. */
int tmk_applier_give_up_point(struct tmk_applier *a, struct tmk_error *err);

/* Walks a journal for every mark in it up to its end (rebuild of the catalogue). Reads only. -EUCLEAN: rot. */
int tmk_point_scan(const struct tmk_io *io, int journal_dir, const uint8_t protection[TMK_UUID_SIZE],
		   const struct tmk_disk_sizes *sizes, void (*point)(const struct tmk_point *point, void *context), void *context,
		   struct tmk_error *err);

#endif
