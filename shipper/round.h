/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A round: take, fence, order (what is read goes behind what the log has before F, and before all behind it), read what was
 * taken, pack, send, wait until all of it is acked, and compared where hashes were sent (I4, R11). A step at a time: nothing here
 * waits. Owned by the protection's thread.
 */
#ifndef TMK_ROUND_H
#define TMK_ROUND_H

#include <stdbool.h>

#include "config.h"
#include "error.h"
#include "follow.h"
#include "reader.h"
#include "source.h"
#include "stream.h"

enum tmk_round_state {
	TMK_ROUND_IDLE,	    /* nothing under way; everything read before is acked */
	TMK_ROUND_READING,  /* reads under way */
	TMK_ROUND_READ,	    /* all is read, the last chunk still open: tmk_round_finish() closes it */
	TMK_ROUND_DRAINING, /* waits for acks and results */
};

struct tmk_round;

/* reader, packer and follow stay the caller's; between rounds others may use them. */
int tmk_round_new(struct tmk_round **out, struct tmk_source *source, struct tmk_stream *stream, struct tmk_reader_ring *reader,
		  struct tmk_packer *packer, struct tmk_follow *follow);
void tmk_round_free(struct tmk_round *r);
enum tmk_round_state tmk_round_state(const struct tmk_round *r);
/* From IDLE. */
int tmk_round_begin(struct tmk_round *r, struct tmk_error *err);
/* Goes as far as reads, window and acks allow. */
int tmk_round_step(struct tmk_round *r, struct tmk_error *err);
/* From READ: closes the last chunk, with the mark if there is one. */
int tmk_round_finish(struct tmk_round *r, const struct tmk_mark *mark, struct tmk_error *err);
/* Gives up what was not sent; marks stay in `taken`. To IDLE. */
void tmk_round_abort(struct tmk_round *r);
/* It sent hashes: until their results are there nobody knows what its end is (no point), and a session that is lost voids it. */
bool tmk_round_hashed(const struct tmk_round *r);
/* Waits for writes that were under way at the take, or for the log's records before it: look again soon. */
bool tmk_round_fenced(const struct tmk_round *r);
uint64_t tmk_round_gap(const struct tmk_round *r);   /* of its take */
uint64_t tmk_round_bytes(const struct tmk_round *r); /* it took */
uint64_t tmk_round_done(const struct tmk_round *r);  /* of these: read and packed */

#endif
