/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See compare.h. Reading is all that takes time. It goes around the page cache, since the disk is to be compared: that also takes
 * half the CPU, and suffers least where source and target share a machine. Few large reads: each is a wait for other threads. One
 * that reads while this one computes tags was tried, and was not quicker on two processors.
 */
#include "compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "piece.h"

#define UNREAD_MOST 16 /* pieces of a chunk */

struct tmk_compare {
	struct tmk_compare_events events;
	struct tmk_tagger *tagger;
	uint8_t *data; /* TMK_HASH_RANGE_MAX */
	struct tmk_compared result;
	bool open;	     /* the last extent is of the record being compared */
	bool told_unread;    /* of this chunk */
	unsigned int unread; /* pieces of it that cannot be read */
};

/* The chunk being compared. */
struct job {
	const struct tmk_replica *replica; /* NULL: nothing can be decided */
	const struct tmk_touched *touched;
	struct tmk_walk start; /* at the first record */
	size_t at;	       /* where the record's successor begins */
	bool mixed;	       /* the chunk has touched something itself */
};

int tmk_compare_new(struct tmk_compare **out, const struct tmk_compare_events *events)
{
	struct tmk_compare *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (!c)
		return -ENOMEM;
	c->events = *events;
	c->data = aligned_alloc(TMK_REPLICA_ALIGN, TMK_HASH_RANGE_MAX);
	if (!c->data || tmk_tagger_new(&c->tagger)) {
		tmk_compare_free(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

void tmk_compare_free(struct tmk_compare *c)
{
	if (!c)
		return;
	tmk_tagger_free(c->tagger);
	free(c->data);
	free(c);
}

uint64_t tmk_compare_bytes(const struct tmk_chunk *chunk, const uint8_t *raw)
{
	struct tmk_walk w = tmk_walk(chunk, raw);
	struct tmk_record record;
	const uint8_t *body;
	uint64_t bytes = 0;

	while (tmk_walk_next(&w, &record, &body))
		if (record.type == TMK_HASH)
			bytes += record.length;
	return bytes;
}

/* ---- the result ---- */

static void tell(struct tmk_compare *c, bool more)
{
	c->result.more = more;
	c->events.compared(&c->result, c->events.context);
	c->result.count = 0;
}

/* Joined with its neighbour, but not over the border of a record. */
static void add(struct tmk_compare *c, enum tmk_comparison verdict, const struct tmk_record *part)
{
	struct tmk_compared_extent *last = c->result.count && c->open ? &c->result.extents[c->result.count - 1] : NULL;

	if (last && last->verdict == verdict && last->offset + last->length == part->offset) {
		last->length += part->length;
		return;
	}
	if (c->result.count == TMK_COMPARED_EXTENTS)
		tell(c, true);
	c->result.extents[c->result.count++] = (struct tmk_compared_extent){
		.verdict = verdict, .disk = part->disk, .offset = part->offset, .length = part->length};
	c->open = true;
}

/* ---- one record ---- */

static bool intersect(const struct tmk_record *a, const struct tmk_record *b)
{
	return a->disk == b->disk && a->offset < b->offset + b->length && b->offset < a->offset + a->length;
}

static bool changes(const struct tmk_record *record)
{
	return record->type != TMK_HASH && record->type != TMK_MARK;
}

/* Has the chunk itself changed it before? */
static bool changed_here(const struct job *job, const struct tmk_record *part)
{
	struct tmk_walk w = job->start;
	struct tmk_record record;
	const uint8_t *body;

	while (job->mixed && tmk_walk_next(&w, &record, &body) && w.at < job->at)
		if (changes(&record) && intersect(&record, part))
			return true;
	return false;
}

static bool undecided(const struct job *job, const struct tmk_record *part)
{
	return !job->replica || changed_here(job, part) ||
	       (job->touched && tmk_touched_any(job->touched, part->disk, part->offset, part->length));
}

static struct tmk_record piece_of(const struct tmk_record *record, uint64_t done)
{
	struct tmk_record piece = *record;

	piece.offset += done;
	piece.length = tmk_piece_rest(piece.offset, record->length - done);
	return piece;
}

static bool can_read(struct tmk_compare *c, const struct job *job, const struct tmk_record *part, void *data)
{
	struct tmk_error err;

	if (!tmk_replica_read(job->replica, part->disk, data, (size_t)part->length, part->offset, &err))
		return true;
	if (!c->told_unread && c->events.unread)
		c->events.unread(err.text, c->events.context);
	c->told_unread = true;
	return false;
}

static bool any_decided(const struct job *job, const struct tmk_record *record)
{
	struct tmk_record piece;

	for (uint64_t done = 0; done < record->length; done += piece.length) {
		piece = piece_of(record, done);
		if (!undecided(job, &piece))
			return true;
	}
	return false;
}

/* At once; piece by piece if that does not work: what cannot be read is not what was hashed, and to write it again is what mends
 * a bad sector. Where hardly anything can be read it is the disk that needs mending, and nobody should send all of it anew. */
static void compare_pieces(struct tmk_compare *c, const struct job *job, const struct tmk_record *record, const uint8_t *body)
{
	const uint8_t *tags = body + TMK_TAG_KEY;
	bool whole = can_read(c, job, record, c->data);
	struct tmk_record piece;
	uint8_t tag[TMK_TAG_SIZE];

	tmk_tagger_key(c->tagger, body);
	for (uint64_t done = 0; done < record->length; done += piece.length, tags += TMK_TAG_SIZE) {
		piece = piece_of(record, done);
		if (undecided(job, &piece)) {
			add(c, TMK_UNDECIDED, &piece);
			continue;
		}
		if (!whole && !can_read(c, job, &piece, c->data + done)) {
			add(c, ++c->unread <= UNREAD_MOST ? TMK_DIFFERS : TMK_UNDECIDED, &piece);
			continue;
		}
		tmk_tagger_tag(c->tagger, piece.offset, c->data + done, (size_t)piece.length, tag);
		if (memcmp(tag, tags, sizeof(tag)))
			add(c, TMK_DIFFERS, &piece);
	}
}

static void compare_record(struct tmk_compare *c, const struct job *job, const struct tmk_record *record, const uint8_t *body)
{
	c->open = false;
	if (any_decided(job, record))
		compare_pieces(c, job, record, body);
	else
		add(c, TMK_UNDECIDED, record);
}

/* ---- a chunk ---- */

/* All ranges before the first one is read: else it would take away what the kernel reads ahead, where it does. */
static void uncache(const struct tmk_replica *replica, struct tmk_walk w)
{
	struct tmk_record record;
	const uint8_t *body;

	while (tmk_walk_next(&w, &record, &body))
		if (record.type == TMK_HASH)
			tmk_replica_uncache(replica, record.disk, record.offset, record.length);
}

void tmk_compare_chunk(struct tmk_compare *c, const struct tmk_replica *replica, const struct tmk_touched *touched,
		       const struct tmk_chunk *chunk, const uint8_t *raw)
{
	struct tmk_walk w = tmk_walk(chunk, raw);
	struct job job = {.replica = replica, .touched = touched, .start = w};
	struct tmk_record record;
	const uint8_t *body;

	c->result.number = chunk->number;
	c->result.count = 0;
	c->told_unread = false;
	c->unread = 0;
	if (replica)
		uncache(replica, w);
	while (tmk_walk_next(&w, &record, &body)) {
		job.mixed |= changes(&record);
		if (record.type != TMK_HASH)
			continue;
		job.at = w.at;
		compare_record(c, &job, &record, body);
	}
	tell(c, false);
}
