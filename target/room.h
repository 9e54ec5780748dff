/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much has to stay free on the journal's filesystem: what the replica, a sparse file there, may still grow by when the
 * chunks that are not applied yet are applied. A journal that took that space too could never be applied, and never be trimmed
 * (R27). No I/O.
 */
#ifndef TMK_ROOM_H
#define TMK_ROOM_H

#include <stddef.h>
#include <stdint.h>

struct tmk_room {
	uint64_t reserve;				  /* bytes that stay free whatever happens */
	uint64_t growth;				  /* of the replica, at most: its holes; 0 for block devices */
	uint64_t applied;				  /* chunk */
	uint64_t before_first, before_last, before_bytes; /* chunks of earlier sessions, their records' bytes as estimated */
	struct tmk_room_chunk {
		uint64_t number, bytes;
	} * chunks; /* of this session, not applied, in order */
	size_t first, count, size;
	uint64_t bytes; /* their sum */
};

/* end: the last chunk in the journal, journal_bytes: what it takes now. */
void tmk_room_init(struct tmk_room *r, uint64_t reserve, uint64_t growth, uint64_t applied, uint64_t end, uint64_t journal_bytes);
void tmk_room_free(struct tmk_room *r);
/* bytes: of the chunk's records. -ENOMEM. */
int tmk_room_append(struct tmk_room *r, uint64_t number, uint64_t bytes);
void tmk_room_apply(struct tmk_room *r, uint64_t number);
/* Bytes that have to be free to take a chunk of that many bytes. */
uint64_t tmk_room_need(const struct tmk_room *r, uint64_t size);
/* Is there anything to be applied, so that waiting may help? */
int tmk_room_waits(const struct tmk_room *r);

#endif
