/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The window: chunks sent and not yet acked, oldest first. No I/O. */
#ifndef TMK_FLIGHT_H
#define TMK_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>

#include "packer.h"

struct tmk_flight_entry {
	struct tmk_flight_entry *next;
	struct tmk_packed *packed;
	bool owed; /* somebody waits for its ack, for more than the log's room */
};
struct tmk_flight {
	struct tmk_flight_entry *first, *last;
	uint64_t bytes, disk_bytes;
	size_t count, owed; /* owed: of these */
};

/* Takes the chunk over. */
int tmk_flight_push(struct tmk_flight *f, struct tmk_packed *packed);
/* The oldest if its number is at most `number`, taken out; NULL otherwise. The caller frees it. */
struct tmk_packed *tmk_flight_pop(struct tmk_flight *f, uint64_t number);
/* The chunk with this number and hash, or NULL. */
const struct tmk_packed *tmk_flight_find(const struct tmk_flight *f, uint64_t number, const uint8_t hash[TMK_HASH_SIZE]);
void tmk_flight_drop(struct tmk_flight *f);

#endif
