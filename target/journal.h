/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal: the append-only log of chunks of one protection, exactly as received (disk.h). Two sides:
 * the receiver appends (owns the end, recovers a torn tail), the applier reads and trims (owns the beginning).
 *
 * Durable is what tmk_journal_commit() returned for. A flush that failed is never tried again on that file (R13): the segment is
 * cut back to its last durable entry, the journal refuses everything from then on, and the session ends; the next open starts
 * anew.
 */
#ifndef TMK_JOURNAL_H
#define TMK_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "chunk.h"
#include "disk.h"
#include "error.h"
#include "io.h"

#define TMK_SEGMENT_SIZE (64ull << 20) /* bytes after which a new segment begins; at most an eighth of a limit */

/* A place in the chain: everything up to this chunk. number 0 and a zero hash: nothing yet. */
struct tmk_place {
	uint64_t number;
	uint8_t hash[TMK_HASH_SIZE];
};

/* ---- the append side ---- */
struct tmk_journal;
struct tmk_journal_options {
	const struct tmk_io *io;
	int dir; /* descriptor of the journal's directory; stays the caller's */
	uint8_t protection[TMK_UUID_SIZE];
	struct tmk_disk_sizes sizes;
	struct tmk_place applied; /* of the sidecar: what is at or below it was applied, and may be missing here */
	uint64_t limit;		  /* bytes of all segments, 0 none */
};
/* Recovers: finds the end, cuts a torn tail, makes durable what it found. -EUCLEAN: rot, a hole above the applied chunk, or a
 * chain that does not go through it (R13, R14): nothing was changed; err says what an operator can do. -EBUSY: another append
 * side has it open. The applier may trim while this runs: a caller whose `applied` may be old reads the sidecar again after
 * -EUCLEAN, and tries again if it moved. A journal put back older, that ends below the applied chunk, opens: it goes on behind
 * that. */
int tmk_journal_open(struct tmk_journal **out, const struct tmk_journal_options *options, struct tmk_error *err);
void tmk_journal_close(struct tmk_journal *j);
/* The last durable chunk: the applied place if the journal ends before it. */
struct tmk_place tmk_journal_end(const struct tmk_journal *j);
/* The epoch of the last chunk in the journal; zeroes if it is empty or ends before the applied place. */
void tmk_journal_epoch(const struct tmk_journal *j, uint8_t epoch[TMK_EPOCH_SIZE]);
/* Where a chunk stands: 0 and *found = 1 if the journal still holds it with that hash or it is the applied place; 0 and *found =
 * 0 if not. number 0 is found if the journal still reaches back to chunk 1 or nothing was ever appended. */
int tmk_journal_find(struct tmk_journal *j, const struct tmk_place *place, bool *found, struct tmk_error *err);
/* Calls back with the extent of every record behind `from` that changes something (REWIND, R3), neighbours joined. -ESTALE: the
 * applier trimmed them since they were found; they count as not found. */
int tmk_journal_extents(struct tmk_journal *j, const struct tmk_place *from,
			int (*extent)(const struct tmk_rewind_extent *extent, void *context), void *context,
			struct tmk_error *err);
/* Appends a chunk that the caller has checked wholly (I5); checks number and chain once more, and that the epoch is that of the
 * first chunk appended since open (-EBADMSG). Not durable before commit. -ENOSPC, -EFBIG (limit), -EIO ... : nothing of it
 * counts; after a short write the journal is cut back. */
int tmk_journal_append(struct tmk_journal *j, const uint8_t *header, const uint8_t *payload, uint32_t stored_length,
		       uint64_t target_time, struct tmk_error *err);
/* Makes durable what was appended; *end is the last durable chunk then. */
int tmk_journal_commit(struct tmk_journal *j, struct tmk_place *end, struct tmk_error *err);
uint64_t tmk_journal_bytes(const struct tmk_journal *j); /* of all segments, as of now (asks the directory) */

/* ---- the reading side ---- */
struct tmk_journal_cursor;
struct tmk_journal_chunk {
	struct tmk_chunk header;
	uint8_t hash[TMK_HASH_SIZE];
	uint64_t target_time;
	bool marked;	    /* ends in a mark */
	const uint8_t *raw; /* opened and checked records; lives until the next call */
};
/* Starts behind `from`. Reads only entries up to the number that next() is told is durable. */
int tmk_journal_cursor_open(struct tmk_journal_cursor **out, const struct tmk_io *io, int dir,
			    const uint8_t protection[TMK_UUID_SIZE], const struct tmk_disk_sizes *sizes,
			    const struct tmk_place *from, struct tmk_error *err);
void tmk_journal_cursor_close(struct tmk_journal_cursor *c);
/* The next chunk, at most `durable`; -EAGAIN: none. -EUCLEAN: rot. */
int tmk_journal_cursor_next(struct tmk_journal_cursor *c, uint64_t durable, struct tmk_journal_chunk *out, struct tmk_error *err);
/* The last chunk that is there now, durable or not; 0: there is none. What lies behind a bad entry does not count. */
int tmk_journal_last(const struct tmk_io *io, int dir, const uint8_t protection[TMK_UUID_SIZE], uint64_t *out,
		     struct tmk_error *err);
/* Unlinks whole segments, oldest first, that hold nothing above `keep`, as long as more than `spare` bytes of segments are left
 * after it (they serve AHEAD). */
int tmk_journal_trim(const struct tmk_io *io, int dir, uint64_t keep, uint64_t spare, struct tmk_error *err);
/* Removes every segment: the protection starts over. */
int tmk_journal_wipe(const struct tmk_io *io, int dir, struct tmk_error *err);

#endif
