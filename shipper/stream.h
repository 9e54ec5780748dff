/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stream of one protection: the chain of chunks, the window of chunks under way, the session that carries them, and how it is
 * taken up again after a break (R3). Owned by the protection's thread; waits for nothing but in tmk_stream_connect().
 *
 * Chunks stay in the window until they are acked, also while there is no session; a new session sends them again if the target
 * stands where this shipper left it. If it does not, they are dropped: their blocks are still marked in `taken`.
 *
 * An ack releases what a chunk covers, but not if it carries hashes: then the result of the comparison does (R11). Results belong
 * to a session; those that it did not bring are forgotten with it, and what they were to release stays marked.
 */
#ifndef TMK_STREAM_H
#define TMK_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>

#include "config.h"
#include "error.h"
#include "packer.h"
#include "source.h"

struct tmk_stream;

struct tmk_stream_state {
	bool connected;
	bool refused;	  /* by the target, for a reason that trying again soon does not mend */
	char reason[512]; /* why there is no session, or what the target says of itself */
	uint64_t generation;
	uint64_t acked;	       /* number of the last acked chunk */
	uint64_t queued_bytes; /* of chunks under way */
	uint64_t queued_disk_bytes;
	uint64_t sent_wire_bytes;
	uint64_t acked_disk_bytes; /* since the start */
	uint64_t resets;	   /* how often the window was dropped: a round that began before is void */
	uint64_t forgotten;	   /* how often results of hashes were given up: a round with hashes is void */
	bool holds;		   /* the replica may hold what is in doubt: hash first */
};

int tmk_stream_new(struct tmk_stream **out, const struct tmk_config *config, struct tmk_source *source);
void tmk_stream_free(struct tmk_stream *s);
/* Where results for hashes go that cover nothing (verify); those of others mark and release by themselves. */
typedef int (*tmk_stream_heard)(const struct tmk_compared *compared, void *context, struct tmk_error *err);
void tmk_stream_listen(struct tmk_stream *s, tmk_stream_heard heard, void *context);
/* One attempt: connect, HELLO, WELCOME, take up the chain. Blocks while the target can be reached and says nothing, for
 * at most some two minutes; gives up early when *stop becomes true. */
int tmk_stream_connect(struct tmk_stream *s, const atomic_bool *stop, struct tmk_error *err);
void tmk_stream_disconnect(struct tmk_stream *s);
/* Moves bytes, takes acks in: releases what they cover, moves the cookie. An error ends the session. */
int tmk_stream_pump(struct tmk_stream *s, struct tmk_error *err);
/* True while the window has room for another chunk. */
bool tmk_stream_open(const struct tmk_stream *s);
/* Nothing unacked that was read or ends in a mark, no hash uncompared. What came from the log may be under way. */
bool tmk_stream_drained(const struct tmk_stream *s);
bool tmk_stream_empty(const struct tmk_stream *s); /* that neither */
/* Results that are still to come do not count any more, and release nothing. */
void tmk_stream_forget(struct tmk_stream *s);
/* The chunks sealed from now on carry the log up to there, with those before them (I2). 0: there is no log. */
void tmk_stream_carries(struct tmk_stream *s, uint64_t position);
/* Seals what the packer holds as the next chunk of the chain and sends it. mark may be NULL. */
int tmk_stream_seal(struct tmk_stream *s, struct tmk_packer *packer, const struct tmk_mark *mark, struct tmk_error *err);
const struct tmk_stream_state *tmk_stream_state(const struct tmk_stream *s);
/* True once the mark with this id is acked; remembers the last one only. */
bool tmk_stream_marked(const struct tmk_stream *s, const uint8_t id[16]);
/* For poll(2): -1 if there is no session. */
int tmk_stream_fd(const struct tmk_stream *s);
short tmk_stream_events(const struct tmk_stream *s);

#endif
