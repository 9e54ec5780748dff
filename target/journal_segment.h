/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segments of a journal (disk.h): names, headers, and walking their entries. What both sides of the journal share. Reads, but for
 * making and removing a segment. What is called bad here is judged by the caller: rot or torn tail (I5).
 */
#ifndef TMK_JOURNAL_SEGMENT_H
#define TMK_JOURNAL_SEGMENT_H

#include "journal.h"

#define TMK_SEGMENT_HEADER sizeof(struct tmk_segment)
#define TMK_ENTRY_HEADER (sizeof(struct tmk_entry) + TMK_CHUNK_HEADER_SIZE) /* in front of each payload */
#define TMK_SEGMENT_NAME 24						    /* bytes that hold a segment's name */

/* The segments that are there, by their first chunks, ascending. */
struct tmk_segment_list {
	size_t count;
	uint64_t *first;
};
int tmk_segment_list(int dir, struct tmk_segment_list *out, struct tmk_error *err);
void tmk_segment_list_free(struct tmk_segment_list *list);
/* Index of the last segment that begins at or before that chunk, -1: none does. */
ssize_t tmk_segment_holding(const struct tmk_segment_list *list, uint64_t number);
void tmk_segment_name(uint64_t first, char out[TMK_SEGMENT_NAME]);
/* Bytes of all segments. */
int tmk_segment_bytes(int dir, uint64_t *out, struct tmk_error *err);

/* Makes a segment that begins behind `place`, durably, name included. Its descriptor, or -errno with nothing left behind. */
int tmk_segment_create(const struct tmk_io *io, int dir, const uint8_t protection[TMK_UUID_SIZE], const struct tmk_place *place,
		       struct tmk_error *err);

/* An entry, without its payload. */
struct tmk_segment_entry {
	struct tmk_entry entry;
	struct tmk_chunk chunk;
	uint8_t hash[TMK_HASH_SIZE]; /* of the chunk's header */
	uint64_t at;		     /* where the entry begins */
};
/* A segment being walked; entries up to `place` lie behind. */
struct tmk_segment_walk {
	const struct tmk_io *io;
	int fd; /* -1: closed */
	uint64_t first, at, size;
	struct tmk_place place;
};
/* Opens and checks the header. -ENOENT; -EBADMSG: the header is bad (the walk stays closed); -EXDEV: of another protection. */
int tmk_segment_open(struct tmk_segment_walk *w, const struct tmk_io *io, int dir, int flags,
		     const uint8_t protection[TMK_UUID_SIZE], uint64_t first, struct tmk_error *err);
void tmk_segment_close(struct tmk_segment_walk *w);
/* The next entry; payload (TMK_CHUNK_RAW_MAX bytes) may be NULL: not read. -ENODATA: none; -EBADMSG: a bad entry, not passed. The
 * payload's own sum is not checked. */
int tmk_segment_next(struct tmk_segment_walk *w, struct tmk_segment_entry *out, uint8_t *payload, struct tmk_error *err);
/* Goes on until the entry of that number lies behind. -ENODATA, -EBADMSG as before. */
int tmk_segment_seek(struct tmk_segment_walk *w, uint64_t number, struct tmk_error *err);

/* Fills the header in front of a payload. */
void tmk_segment_entry_encode(const struct tmk_entry *entry, uint8_t out[sizeof(struct tmk_entry)]);
/* Decodes and checks an entry's header alone: magic, sum, length. */
bool tmk_segment_entry_decode(const uint8_t bytes[sizeof(struct tmk_entry)], struct tmk_entry *out);

#endif
