/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HASH records against the replica (R11). A chunk that has any gets one result, in one message or several, also if there is
 * nothing to say. What the replica does not hold as it was when the record was made (newer or older records wait, or were applied
 * already) is undecided; what cannot be read differs, if it is little. Changes nothing. It is the disk that is compared, not the
 * page cache.
 */
#ifndef TMK_COMPARE_H
#define TMK_COMPARE_H

#include "replica.h"
#include "touched.h"

struct tmk_compare_events {
	void (*compared)(const struct tmk_compared *result, void *context);
	void (*unread)(const char *text, void *context); /* the replica cannot be read there; at most once for a chunk */
	void *context;
};
struct tmk_compare;
int tmk_compare_new(struct tmk_compare **out, const struct tmk_compare_events *events); /* -ENOMEM */
void tmk_compare_free(struct tmk_compare *c);
/* Bytes of the ranges of an opened and checked chunk's HASH records; 0: it has none. */
uint64_t tmk_compare_bytes(const struct tmk_chunk *chunk, const uint8_t *raw);
/* The replica holds everything before the chunk, but for what is `touched` (NULL: nothing), and nothing of it. NULL for a replica
 * of which that cannot be said: all is undecided. */
void tmk_compare_chunk(struct tmk_compare *c, const struct tmk_replica *replica, const struct tmk_touched *touched,
		       const struct tmk_chunk *chunk, const uint8_t *raw);

#endif
