/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verify: compares what the disks hold with what the replica holds, by hashes, while production writes (R11). It finds what no
 * tracker can see, and sends it again. A pass goes once through all disks: one that somebody asked for, or the rolling one, which
 * takes verify-every for it.
 *
 * A pass goes in batches, each in the place of a round: from rest, and no take before it ended. Blocks that are marked when their
 * turn comes are left out, they are sent anyway; so are those that are marked when the result comes. A write whose marks were
 * taken, shipped and acked while it was still in flight could pass for a difference: therefore what differs is looked at once
 * more TMK_SECOND_LOOK_MS later, and is a difference if it still differs and was neither marked nor taken since. Then it is
 * marked, and the next round sends it. All this is decided piece by piece, as the target compares. What differs while
 * TMK_SUSPECTS_MAX pieces wait for their second look is marked, too, but not called a difference: it counts as not compared.
 *
 * How far a pass is, and at which rate it was asked for, lies in run-dir/NAME.verify: another shipper goes on there, or at what
 * was to be looked at once more. Owned by the protection's thread.
 */
#ifndef TMK_VERIFY_H
#define TMK_VERIFY_H

#include <stdbool.h>

#include "config.h"
#include "error.h"
#include "follow.h"
#include "progress.h"
#include "reader.h"
#include "source.h"
#include "stream.h"

struct tmk_verify_state {
	struct tmk_progress pass; /* the one that was asked for, or the rolling one */
	uint64_t total;		  /* bytes of all disks */
	uint64_t passes;	  /* asked for and ended since the start of this shipper, also cancelled ones */
};

struct tmk_verify;
struct tmk_verify_parts {
	const struct tmk_config *config;
	struct tmk_source *source;
	struct tmk_stream *stream;
	struct tmk_reader_ring *reader;
	struct tmk_packer *packer;
	struct tmk_follow *follow;
};

int tmk_verify_new(struct tmk_verify **out, const struct tmk_verify_parts *parts);
void tmk_verify_free(struct tmk_verify *v);
void tmk_verify_remove(const char *run_dir, const char *name); /* the protection ended */
/* Begins a pass from the start. rate: bytes a second, 0: as verify-rate says. */
void tmk_verify_ask(struct tmk_verify *v, uint64_t rate);
/* The pass that was asked for ends here. */
void tmk_verify_cancel(struct tmk_verify *v);
/* Something was taken, and is not acked yet: suspects that are in it were written, or are being written by what hangs, and are
 * none. */
int tmk_verify_taken(struct tmk_verify *v, struct tmk_error *err);
/* There is something to compare now. */
bool tmk_verify_due(const struct tmk_verify *v);
/* From rest: begins a batch. */
void tmk_verify_begin(struct tmk_verify *v);
bool tmk_verify_active(const struct tmk_verify *v);
/* Goes as far as it can. hurry: a round is wanted; the batch comes to its end soon, or is given up. */
int tmk_verify_step(struct tmk_verify *v, bool hurry, struct tmk_error *err);
/* The batch under way is void, and will be done again. */
void tmk_verify_abort(struct tmk_verify *v);
const struct tmk_verify_state *tmk_verify_state(const struct tmk_verify *v);

#endif
