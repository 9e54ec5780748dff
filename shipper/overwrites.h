/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which parts of the log are overwritten further on in it, so that they need not be sent (coalescing). Whole blocks of 4 KiB
 * only. Filled with the records that lie ahead, up to the next mark; then asked for each of them. One thread.
 */
#ifndef TMK_OVERWRITES_H
#define TMK_OVERWRITES_H

#include <stdbool.h>
#include <stdint.h>

struct tmk_overwrites;

int tmk_overwrites_new(struct tmk_overwrites **out);
void tmk_overwrites_free(struct tmk_overwrites *o);
void tmk_overwrites_clear(struct tmk_overwrites *o);
/* A record that writes or zeroes these bytes, and ends there in the log. False: there is no room for more of them. */
bool tmk_overwrites_add(struct tmk_overwrites *o, uint16_t disk, uint64_t offset, uint64_t length, uint64_t end);
/* Behind the last add. */
void tmk_overwrites_sort(struct tmk_overwrites *o);
/* What the record that ends at `end` has at this place. True: it is overwritten; *by: the last record that does so ends there.
 * *length (bytes, not 0) is shortened to what is of one kind. */
bool tmk_overwritten(const struct tmk_overwrites *o, uint16_t disk, uint64_t offset, uint64_t *length, uint64_t end,
		     uint64_t *by);

#endif
