/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packs what was read into chunks: zero blocks become ZERO records without data, neighbours are joined, scattered blocks share
 * a chunk. Owns one builder; all memory is allocated by new. Keeps the extents that the chunk being filled covers: these are
 * released when it is acked. One thread.
 */
#ifndef TMK_PACKER_H
#define TMK_PACKER_H

#include <stdbool.h>
#include <stdint.h>

#include "chunk.h"
#include "error.h"

struct tmk_covered { /* an extent whose read travels in a chunk */
	uint16_t disk;
	uint64_t offset, length; /* bytes */
};
struct tmk_packed { /* a sealed chunk; allocated whole, freed by tmk_packed_free() */
	uint64_t number;
	uint8_t epoch[TMK_EPOCH_SIZE];
	uint8_t hash[TMK_HASH_SIZE]; /* of its header */
	uint64_t disk_bytes;	     /* bytes of disk that it stands for: data, zeroes, discards */
	uint32_t hashes;	     /* HASH records in it: its blocks are released when these were compared */
	uint64_t log_through;	     /* the log up to there is in it and those before it; 0: no log */
	bool consistent;	     /* its end is a consistent state */
	bool marked;		     /* ends in a mark */
	uint8_t mark_id[16];
	uint32_t covered_count;
	struct tmk_covered *covered;
	size_t size; /* of header and payload */
	uint8_t *bytes;
};

struct tmk_packer;
int tmk_packer_new(struct tmk_packer **out);
void tmk_packer_free(struct tmk_packer *p);
/* Forgets what was added and not sealed. */
void tmk_packer_reset(struct tmk_packer *p);
/* Adds read content (offset and length multiples of 512, length at most TMK_READ_MAX) and remembers its extent as covered.
 * False: it does not fit, nothing was added: seal first. */
bool tmk_packer_add(struct tmk_packer *p, uint16_t disk, uint64_t offset, const uint8_t *data, uint32_t length);
/* Adds the hash of read content instead of the content (R11). covered: remembers its extent; else nothing is released for it. */
bool tmk_packer_hash(struct tmk_packer *p, uint16_t disk, uint64_t offset, const uint8_t *data, uint32_t length, bool covered);
/* For what comes from the log: nothing is remembered as covered, the log's room is what an ack gives back. */
void tmk_packer_of_log(struct tmk_packer *p);
/* Whether the end of the chunk to be sealed next is a consistent state also without a mark (I7). */
void tmk_packer_consistent(struct tmk_packer *p, bool consistent);
/* A range of zeroes that was not read (scratch, unallocated); covered too. */
bool tmk_packer_zero(struct tmk_packer *p, uint16_t disk, uint64_t offset, uint64_t length);
bool tmk_packer_discard(struct tmk_packer *p, uint16_t disk, uint64_t offset, uint64_t length);
bool tmk_packer_empty(const struct tmk_packer *p);
/* Seals what is there into a chunk; mark NULL or the mark that ends it (I3). A chunk without a record needs a mark. -ENOSPC if
 * the mark does not fit: seal without it first. */
int tmk_packer_seal(struct tmk_packer *p, const struct tmk_chain *chain, const struct tmk_mark *mark, struct tmk_packed **out,
		    struct tmk_error *err);
void tmk_packed_free(struct tmk_packed *packed);

#endif
