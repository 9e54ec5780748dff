/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pieces that a verify found different and looks at once more before it says so (verify.h). Pieces, because that is what the
 * target compares: of the rest of a piece with a block that was written since nothing is known, of its neighbours all is. No I/O.
 */
#ifndef TMK_SUSPECTS_H
#define TMK_SUSPECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

#define TMK_SUSPECTS_MAX 2048 /* 64 MiB */
/* A write that was in flight at the first look has completed by the second, and has marked what it wrote: the kernel gives a
 * request 30 s before it aborts it. */
#define TMK_SECOND_LOOK_MS 35000

struct tmk_suspect {
	uint16_t disk;
	uint32_t length; /* bytes, at most TMK_PIECE */
	uint64_t offset;
	uint64_t since; /* ms */
	bool looking;	/* its second look is under way */
};
struct tmk_suspects {
	size_t count;
	struct tmk_suspect list[TMK_SUSPECTS_MAX];
};

/* The range lies in one piece. False: there is no room for it. */
bool tmk_suspects_add(struct tmk_suspects *s, uint16_t disk, uint64_t offset, uint32_t length);
bool tmk_suspects_ripe(const struct tmk_suspects *s); /* one of them is */
/* Moves `*next` to the first there or behind that is ripe. How many from there on are ripe, follow each other on the disk, and
 * fit into one read; 0: none. */
size_t tmk_suspects_run(const struct tmk_suspects *s, size_t *next);
bool tmk_suspect_touched(const struct tmk_suspect *s, const struct tmk_compared_extent *e);
/* It could not be compared: those in the range are looked at another time. */
void tmk_suspects_later(struct tmk_suspects *s, const struct tmk_compared_extent *e);
/* The second look is over: those that were looked at are gone. */
void tmk_suspects_looked(struct tmk_suspects *s);
/* It came to nothing: they stay. */
void tmk_suspects_unlook(struct tmk_suspects *s);

#endif
