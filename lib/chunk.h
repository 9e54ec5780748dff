/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chunks (wire.h): building them from records, checking them, walking their records. No I/O, no globals.
 */
#ifndef TMK_CHUNK_H
#define TMK_CHUNK_H

#include <stdbool.h>

#include "error.h"
#include "wire.h"

/* What a record may name: bounds for the check (I5, I9). */
struct tmk_disk_sizes {
	uint16_t count;
	uint64_t sizes[TMK_DISKS_MAX]; /* bytes */
};

/* ---- building ---- */
struct tmk_builder; /* holds the records of one chunk being filled; reusable */
int tmk_builder_new(struct tmk_builder **out);
void tmk_builder_free(struct tmk_builder *b);
void tmk_builder_reset(struct tmk_builder *b);
/* Is there room for a record with a body of that many bytes? */
bool tmk_builder_fits(const struct tmk_builder *b, size_t body);
bool tmk_builder_empty(const struct tmk_builder *b);
/* Appends a DATA record; returns where its `length` bytes of content go, or NULL if it does not fit or
 * is no valid range. After a MARK nothing fits (I3). */
void *tmk_builder_data(struct tmk_builder *b, uint16_t disk, uint64_t offset, uint32_t length);
/* Appends ZERO or DISCARD. -ENOSPC if it does not fit, -EINVAL if it is no valid range. */
int tmk_builder_range(struct tmk_builder *b, enum tmk_record_type type, uint16_t disk, uint64_t offset, uint64_t length);
/* Appends a HASH record; returns where its body of tmk_piece_body() bytes goes (piece.h), or NULL as above. */
uint8_t *tmk_builder_hash(struct tmk_builder *b, uint16_t disk, uint64_t offset, uint32_t length);
/* -ENOSPC if it does not fit; -EINVAL if tmk_mark_decode() would refuse it. The chunk is sealed with TMK_CHUNK_CONSISTENT then.
 */
int tmk_builder_mark(struct tmk_builder *b, const struct tmk_mark *mark);
/* The place of the chunk in its chain. */
struct tmk_chain {
	uint8_t epoch[TMK_EPOCH_SIZE];
	uint64_t number; /* of the chunk to be made */
	uint8_t prev_hash[TMK_HASH_SIZE];
	uint64_t generation;
	uint64_t log_through;
};
/* Compresses (raw if LZ4 does not make it smaller), sums, and writes header and payload to out, which holds
 * tmk_chunk_bound() bytes. flags: TMK_CHUNK_CONSISTENT or 0. Returns the bytes written and the header's hash. */
size_t tmk_builder_seal(struct tmk_builder *b, const struct tmk_chain *chain, uint16_t flags, uint8_t *out,
			uint8_t hash[TMK_HASH_SIZE]);
size_t tmk_chunk_bound(void);

/* ---- checking ---- */
/* Decodes and checks a header alone: magic, version, sum, limits, reserved fields. -EBADMSG. */
int tmk_chunk_header(const uint8_t bytes[TMK_CHUNK_HEADER_SIZE], struct tmk_chunk *out, struct tmk_error *err);
void tmk_chunk_encode(const struct tmk_chunk *chunk, uint8_t out[TMK_CHUNK_HEADER_SIZE]); /* computes header_sum too */
void tmk_chunk_hash(const uint8_t bytes[TMK_CHUNK_HEADER_SIZE], uint8_t out[TMK_HASH_SIZE]);
/* Checks the payload's sum, and decompresses it into raw (TMK_CHUNK_RAW_MAX bytes). -EBADMSG. */
int tmk_chunk_open(const struct tmk_chunk *chunk, const uint8_t *payload, uint8_t *raw, struct tmk_error *err);
/* Checks every record of an opened chunk against the disks' sizes; true in *marked if the last one is a MARK. -EBADMSG.
 * sizes may be NULL: bounds of disks are not checked then; else those of a mark must be equal. */
int tmk_chunk_check(const struct tmk_chunk *chunk, const uint8_t *raw, const struct tmk_disk_sizes *sizes, bool *marked,
		    struct tmk_error *err);

/* ---- walking an opened and checked chunk ---- */
struct tmk_walk {
	const uint8_t *raw;
	size_t size, at;
};
struct tmk_walk tmk_walk(const struct tmk_chunk *chunk, const uint8_t *raw);
/* The next record and its body; false at the end. */
bool tmk_walk_next(struct tmk_walk *w, struct tmk_record *record, const uint8_t **body);
/* Decodes the body of a MARK record. -EBADMSG. */
int tmk_mark_decode(const uint8_t *body, size_t size, struct tmk_mark *out, struct tmk_error *err);

#endif
