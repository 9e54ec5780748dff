/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rounds: see round.h. */
#include "round.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "doubt.h"
#include "parts.h"

#define BATCH 256  /* extents of the plan held at a time */
#define AGAIN 4096 /* blocks of failed reads: 64 buffers of 64 blocks */

struct tmk_round {
	struct tmk_source *source;
	struct tmk_stream *stream;
	struct tmk_reader_ring *reader;
	struct tmk_packer *packer;
	struct tmk_follow *follow;
	enum tmk_round_state state;
	struct tmk_take take;
	bool open;	 /* fence and order have let it through */
	uint64_t behind; /* E: the log's head when the last read had returned */
	bool hashed;
	uint64_t resets, forgotten; /* of the stream, at the take */
	uint64_t done;
	/* the plan: extents of disk `disk` from `from` on; of the batch, `next` is what comes next */
	uint16_t disk;
	uint64_t from;
	struct tmk_extent batch[BATCH];
	size_t count, next;
	/* blocks of a read that failed in part: read one by one */
	struct tmk_covered again[AGAIN];
	size_t again_count;
};

int tmk_round_new(struct tmk_round **out, struct tmk_source *source, struct tmk_stream *stream, struct tmk_reader_ring *reader,
		  struct tmk_packer *packer, struct tmk_follow *follow)
{
	struct tmk_round *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->source = source;
	r->stream = stream;
	r->reader = reader;
	r->packer = packer;
	r->follow = follow;
	*out = r;
	return 0;
}

void tmk_round_free(struct tmk_round *r)
{
	free(r);
}

enum tmk_round_state tmk_round_state(const struct tmk_round *r)
{
	return r->state;
}

int tmk_round_begin(struct tmk_round *r, struct tmk_error *err)
{
	int rc = tmk_source_take(r->source, &r->take, err);

	if (rc)
		return rc;
	r->resets = tmk_stream_state(r->stream)->resets;
	r->forgotten = tmk_stream_state(r->stream)->forgotten;
	/* Onto nothing everything goes as data, also what is left of it when the session is lost. */
	for (uint16_t i = 0; i < r->source->spec.disk_count && !tmk_stream_state(r->stream)->holds; i++)
		tmk_doubt_none(r->source->doubt, i);
	r->disk = 0;
	r->open = r->hashed = false;
	r->from = r->count = r->next = r->done = r->again_count = 0;
	tmk_packer_reset(r->packer);
	if (tmk_follow_on(r->follow) && r->take.bytes > tmk_follow_log(r->follow)->size / 2) /* it would wait for too long */
		rc = tmk_follow_switch(r->follow, false, err);
	if (rc)
		return rc;
	if (tmk_follow_on(r->follow))
		tmk_follow_hold(r->follow, r->take.position);
	r->state = TMK_ROUND_READING;
	return 0;
}

static int seal(struct tmk_round *r, const struct tmk_mark *mark, struct tmk_error *err)
{
	return tmk_stream_seal(r->stream, r->packer, mark, err);
}

/* ---- plan ---- */

/* The extent to go on with; NULL: the plan is done. Releases by acks clear only what lies behind the plan's place. */
static int current(struct tmk_round *r, struct tmk_extent **out, struct tmk_error *err)
{
	while (r->next == r->count) {
		int rc;

		*out = NULL;
		if (r->disk == r->source->spec.disk_count)
			return 0;
		rc = tmk_source_extents(r->source, TMK_TAKEN, r->disk, r->from, r->batch, BATCH, &r->count, err);
		if (rc)
			return rc;
		r->next = 0;
		if (r->count) {
			r->from = r->batch[r->count - 1].offset + r->batch[r->count - 1].length;
		} else {
			r->disk++;
			r->from = 0;
		}
	}
	*out = &r->batch[r->next];
	return 0;
}

static void advance(struct tmk_round *r, struct tmk_extent *e, uint64_t length)
{
	e->offset += length;
	e->length -= length;
	if (!e->length)
		r->next++;
}

/* Swap's contents are nobody's: zeroes travel instead (R17). */
static int plan_scratch(struct tmk_round *r, struct tmk_extent *e, uint64_t length, struct tmk_error *err)
{
	int rc;

	if (!tmk_stream_open(r->stream))
		return -EAGAIN;
	if (!tmk_packer_zero(r->packer, r->disk, e->offset, length)) {
		rc = seal(r, NULL, err);
		if (rc)
			return rc;
		if (!tmk_packer_zero(r->packer, r->disk, e->offset, length))
			return tmk_error_set(err, -EINVAL, "a range of zeroes does not fit into an empty chunk");
	}
	r->done += length;
	advance(r, e, length);
	return 0;
}

static int submit_again(struct tmk_round *r, struct tmk_error *err)
{
	while (r->again_count) {
		const struct tmk_covered *c = &r->again[r->again_count - 1];
		int rc = tmk_reader_submit(r->reader, c->disk, c->offset, (uint32_t)c->length, false, err);

		if (rc)
			return rc;
		r->again_count--;
	}
	return 0;
}

/* Starts as many reads as there are buffers. -EAGAIN: no more now; 0: the plan is done. */
static int submit(struct tmk_round *r, struct tmk_error *err)
{
	struct tmk_extent *e;
	int rc = submit_again(r, err);

	while (!rc) {
		uint64_t length;

		rc = current(r, &e, err);
		if (rc || !e)
			return rc;
		length = e->length;
		if (tmk_scratch_split(&r->source->scratch, r->disk, e->offset, &length)) {
			rc = plan_scratch(r, e, length, err);
			continue;
		}
		if (length > TMK_READ_MAX)
			length = TMK_READ_MAX;
		tmk_doubt_split(r->source->doubt, r->disk, e->offset, &length);
		rc = tmk_reader_submit(r->reader, r->disk, e->offset, (uint32_t)length, false, err);
		if (!rc)
			advance(r, e, length);
	}
	return rc;
}

/* ---- pack ---- */

/* A read that failed in part is done again block by block, so that what can be read is; a block that cannot is listed (R30). What
 * is no fault of the medium (no memory, a device that is gone) must not pass for an unreadable block: points do without those. */
static int take_failed(struct tmk_round *r, const struct tmk_read *read, struct tmk_error *err)
{
	uint32_t block = r->source->block_size[read->disk];

	if (!tmk_parts_medium(read->error))
		return tmk_error_set(err, -EIO, "cannot read %s at byte %llu: %s", r->source->spec.disks[read->disk].path,
				     (unsigned long long)read->offset, strerror(-read->error));
	if (read->length <= block) {
		struct tmk_covered c = {read->disk, read->offset, read->length};
		int rc = tmk_source_bad(r->source, read->disk, read->offset, read->length, err);

		return rc ? rc : tmk_source_release(r->source, &c, 1, err);
	}
	if (r->again_count + (read->length + block - 1) / block > AGAIN)
		return tmk_error_set(err, -EIO, "more reads fail than can be under way");
	for (uint32_t at = 0; at < read->length; at += block) {
		uint32_t length = read->length - at < block ? read->length - at : block;

		r->again[r->again_count++] = (struct tmk_covered){read->disk, read->offset + at, length};
	}
	return 0;
}

/* What is in doubt goes as its hash; it is whole pieces then, or the read would not be of this length. */
static bool add(struct tmk_round *r, const struct tmk_read *read)
{
	uint64_t length = read->length;

	if (tmk_doubt_split(r->source->doubt, read->disk, read->offset, &length) && length == read->length) {
		r->hashed = true;
		return tmk_packer_hash(r->packer, read->disk, read->offset, read->data, read->length, true);
	}
	tmk_doubt_clear(r->source->doubt, read->disk, read->offset, read->length);
	return tmk_packer_add(r->packer, read->disk, read->offset, read->data, read->length);
}

static int pack_one(struct tmk_round *r, const struct tmk_read *read, struct tmk_error *err)
{
	int rc;

	if (read->unreadable)
		return take_failed(r, read, err);
	tmk_source_good(r->source, read->disk, read->offset, read->length);
	r->done += read->length;
	if (add(r, read))
		return 0;
	rc = seal(r, NULL, err);
	if (rc)
		return rc;
	if (!add(r, read))
		return tmk_error_set(err, -EINVAL, "a read of %u bytes does not fit into an empty chunk", read->length);
	return 0;
}

static int pack(struct tmk_round *r, struct tmk_error *err)
{
	struct tmk_read read;
	int rc = 0;

	while (!rc && tmk_stream_open(r->stream)) {
		rc = tmk_reader_next(r->reader, &read, err);
		if (rc)
			break;
		rc = pack_one(r, &read, err);
		tmk_reader_put(r->reader, &read);
	}
	return rc == -EAGAIN ? 0 : rc;
}

/* From here on reads go on the stream: it is no state before the round has ended. */
static int open_gate(struct tmk_round *r, struct tmk_error *err)
{
	int rc;

	if (!tmk_follow_reached(r->follow, r->take.position))
		return 0;
	rc = tmk_source_settled(r->source, &r->take, &r->open, err);
	if (!rc && r->open)
		tmk_follow_unsynced(r->follow);
	return rc;
}

/* What hashes found to differ is marked, and counts as a gap of the log: but not in records from before that, which are no state
 * therefore. Nor is anything if zeroes went for swap that is none any more. */
static int sync(struct tmk_round *r, struct tmk_error *err)
{
	char why[192];
	bool kept;
	int rc = r->hashed ? tmk_follow_look(r->follow, err) : 0;

	if (!rc)
		rc = tmk_source_scratch_kept(r->source, &kept, why, err);
	if (!rc && kept)
		tmk_follow_synced(r->follow, r->take.log_gap, r->hashed ? tmk_follow_log(r->follow)->head : r->behind);
	return rc;
}

static int rest(struct tmk_round *r, struct tmk_error *err)
{
	const struct tmk_stream_state *s = tmk_stream_state(r->stream);
	int rc;

	r->state = TMK_ROUND_IDLE;
	if (r->resets != s->resets || r->forgotten != s->forgotten)
		return 0;
	/* by acks and results, and nothing was taken since: all that is in `taken` was read */
	rc = tmk_source_release_rest(r->source, err);
	return rc || !tmk_follow_on(r->follow) ? rc : sync(r, err);
}

int tmk_round_step(struct tmk_round *r, struct tmk_error *err)
{
	int rc;

	if (r->state == TMK_ROUND_DRAINING && tmk_stream_drained(r->stream))
		return rest(r, err);
	if (r->state != TMK_ROUND_READING)
		return 0;
	rc = r->open ? 0 : open_gate(r, err);
	if (rc || !r->open)
		return rc;
	rc = pack(r, err);
	if (rc)
		return rc;
	rc = submit(r, err);
	if (rc)
		return rc == -EAGAIN ? 0 : rc;
	if (!tmk_reader_busy(r->reader) && !r->again_count)
		r->state = TMK_ROUND_READ;
	return 0;
}

int tmk_round_finish(struct tmk_round *r, const struct tmk_mark *mark, struct tmk_error *err)
{
	int rc = 0;

	if (mark || !tmk_packer_empty(r->packer)) {
		rc = seal(r, mark, err);
		if (rc == -ENOSPC) {
			rc = seal(r, NULL, err);
			if (!rc)
				rc = seal(r, mark, err);
		}
	}
	if (!rc)
		rc = tmk_follow_look(r->follow, err);
	if (rc)
		return rc;
	r->behind = tmk_follow_log(r->follow)->head;
	tmk_follow_hold(r->follow, UINT64_MAX);
	r->state = TMK_ROUND_DRAINING;
	return 0;
}

void tmk_round_abort(struct tmk_round *r)
{
	tmk_reader_drain(r->reader);
	tmk_packer_reset(r->packer);
	tmk_follow_hold(r->follow, UINT64_MAX);
	r->state = TMK_ROUND_IDLE;
}

bool tmk_round_hashed(const struct tmk_round *r)
{
	return r->state != TMK_ROUND_IDLE && r->hashed;
}

bool tmk_round_fenced(const struct tmk_round *r)
{
	return r->state == TMK_ROUND_READING && !r->open;
}

uint64_t tmk_round_gap(const struct tmk_round *r)
{
	return r->take.gap;
}

uint64_t tmk_round_bytes(const struct tmk_round *r)
{
	return r->take.bytes;
}

uint64_t tmk_round_done(const struct tmk_round *r)
{
	return r->done;
}
