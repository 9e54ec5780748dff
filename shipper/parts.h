/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One read of a disk that may be bad: what of it is still to be read (R30). The parts form a stack; the one on top is to be
 * read next, and what came of it is told to tmk_parts_finish(). A part with a medium error is halved, down to the sector; what
 * stays unreadable is zeroes in the buffer and counted. One part at a time, so that a bad disk is not flooded. Pure.
 */
#ifndef TMK_PARTS_H
#define TMK_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#define TMK_PARTS_MAX 16 /* halving 256 KiB down to 512 bytes leaves at most 10 */

struct tmk_part {
	uint32_t at, length; /* bytes, within the read */
};
struct tmk_parts {
	unsigned count;	     /* 0: nothing is left to read */
	unsigned tries;	     /* after errors that pass */
	uint32_t unreadable; /* bytes */
	int error;	     /* the last that was given up on, or 0 */
	struct tmk_part stack[TMK_PARTS_MAX];
};

void tmk_parts_start(struct tmk_parts *p, uint32_t length);
/* The part on top, to be read now; NULL: nothing is left. */
const struct tmk_part *tmk_parts_top(const struct tmk_parts *p);
/* result: bytes that were read of the part on top, or -errno. data: the buffer of the whole read. last: try nothing again. */
void tmk_parts_finish(struct tmk_parts *p, int result, uint8_t *data, uint32_t sector, bool last);

/* An error of the medium: a smaller read may not have it. All others are the device's or ours, and hit every part of it. */
bool tmk_parts_medium(int error);

#endif
