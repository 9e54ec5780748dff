/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads disks: io_uring, O_DIRECT, registered buffers, bounded depth, idle I/O priority, byte-rate limit. The only file that
 * speaks io_uring. All memory is allocated by open (R26: between freeze and thaw nothing is). One thread.
 *
 * A read that fails is tried again in halves down to the sector size; what stays unreadable comes back as such (R30).
 */
#ifndef TMK_READER_H
#define TMK_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#define TMK_READ_MAX (256u << 10) /* bytes of one read */

struct tmk_reader_ring;
struct tmk_read {
	uint16_t disk;
	uint64_t offset;     /* bytes, a multiple of 4096 */
	uint32_t length;     /* bytes, at most TMK_READ_MAX; a multiple of the sector size */
	uint8_t *data;	     /* the content; unreadable sectors are zeroes here */
	uint32_t unreadable; /* bytes of it that could not be read */
	int error;	     /* 0, or the -errno of the last failed part */
	uint32_t buffer;     /* which buffer: the reader's own affair */
};

/* depth: reads under way and buffers at most; rate: bytes a second, 0 unlimited (a token bucket of 1/10 s). */
int tmk_reader_open(struct tmk_reader_ring **out, unsigned depth, uint64_t rate, struct tmk_error *err);
void tmk_reader_close(struct tmk_reader_ring *r);
/* Adds a disk, in the order of their numbers from 0. path: device node; opened O_RDONLY|O_DIRECT. */
int tmk_reader_add(struct tmk_reader_ring *r, const char *path, uint32_t sector, struct tmk_error *err);
/* Opens the disk again: a device that was away is another one to its old descriptor. Only while no read is under way. */
int tmk_reader_reopen(struct tmk_reader_ring *r, uint16_t disk, const char *path, struct tmk_error *err);
void tmk_reader_set_rate(struct tmk_reader_ring *r, uint64_t rate);
/* Starts one read. -EAGAIN: all buffers are in use, or the rate says wait. hurry: no rate limit, ordinary I/O priority (while
 * filesystems are frozen). */
int tmk_reader_submit(struct tmk_reader_ring *r, uint16_t disk, uint64_t offset, uint32_t length, bool hurry,
		      struct tmk_error *err);
/* The next finished read, in any order; -EAGAIN: none. The buffer stays the caller's until tmk_reader_put(). */
int tmk_reader_next(struct tmk_reader_ring *r, struct tmk_read *out, struct tmk_error *err);
void tmk_reader_put(struct tmk_reader_ring *r, const struct tmk_read *read);
unsigned tmk_reader_busy(const struct tmk_reader_ring *r); /* submitted and not yet returned by next */
/* For poll(2): readable when a read finished. And how long to wait at most for the rate limit: ms, -1 if it holds nothing back.
 */
int tmk_reader_fd(const struct tmk_reader_ring *r);
int tmk_reader_delay(const struct tmk_reader_ring *r);
/* Waits for all reads under way and throws them away (the round was given up). */
void tmk_reader_drain(struct tmk_reader_ring *r);

#endif
