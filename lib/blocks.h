/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A map of a disk's blocks, in bytes: offsets and lengths from the disk's start. The last block may be short. */
#ifndef TMK_BLOCKS_H
#define TMK_BLOCKS_H

#include "bitmap.h"

struct tmk_blocks {
	struct tmk_bitmap bits;
	uint64_t size;	 /* bytes of a block */
	uint64_t length; /* bytes of the disk */
};

bool tmk_blocks_inside(const struct tmk_blocks *b, uint64_t offset, uint64_t length);
/* The first run of marked blocks at or behind `from`, merged, clipped to the disk. False: there is none. */
bool tmk_blocks_next(const struct tmk_blocks *b, uint64_t from, uint64_t *offset, uint64_t *length);
/* Whether a block that the extent touches is marked. length > 0. */
bool tmk_blocks_any(const struct tmk_blocks *b, uint64_t offset, uint64_t length);
/* Marks all that it touches. length > 0. */
void tmk_blocks_set(const struct tmk_blocks *b, uint64_t offset, uint64_t length);
/* Clears those that lie wholly inside; the last one of the disk counts as whole at the disk's end. */
void tmk_blocks_clear(const struct tmk_blocks *b, uint64_t offset, uint64_t length);
/* Bytes marked, where so many blocks are. */
uint64_t tmk_blocks_bytes(const struct tmk_blocks *b, uint64_t blocks);

#endif
