/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See compare.h. Reading is all that takes time: the kernel is told of the ranges to come while the tags of this one are
 * computed.
 */
#include "compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "piece.h"

#define EXPECTED (4u << 20) /* bytes that the kernel is told to read ahead */

struct tmk_compare {
	struct tmk_compare_events events;
	struct tmk_tagger *tagger;
	uint8_t *data; /* TMK_HASH_RANGE_MAX */
	struct tmk_compared result;
	bool unread; /* of this chunk it was told */
};

/* The chunk being compared. */
struct job {
	const struct tmk_replica *replica; /* NULL: nothing can be decided */
	const struct tmk_touched *touched;
	struct tmk_walk start, soon; /* at the first record; behind the last one that is expected */
	uint64_t expected;	     /* bytes */
	size_t at;		     /* where the record's successor begins */
	bool mixed;		     /* the chunk has touched something itself */
};

int tmk_compare_new(struct tmk_compare **out, const struct tmk_compare_events *events)
{
	struct tmk_compare *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (!c)
		return -ENOMEM;
	c->events = *events;
	c->data = malloc(TMK_HASH_RANGE_MAX);
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

/* open: the extent before this one is of the same record. */
static void add(struct tmk_compare *c, bool open, enum tmk_comparison verdict, const struct tmk_record *part)
{
	struct tmk_compared_extent *last = c->result.count && open ? &c->result.extents[c->result.count - 1] : NULL;

	if (last && last->verdict == verdict && last->offset + last->length == part->offset) {
		last->length += part->length;
		return;
	}
	if (c->result.count == TMK_COMPARED_EXTENTS)
		tell(c, true);
	c->result.extents[c->result.count++] = (struct tmk_compared_extent){
		.verdict = verdict, .disk = part->disk, .offset = part->offset, .length = part->length};
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

/* What of the range one piece is. */
static struct tmk_record part_of(const struct tmk_record *record, uint64_t done)
{
	struct tmk_record part = *record;

	part.offset += done;
	part.length = tmk_piece_rest(part.offset, record->length - done);
	return part;
}

static bool can_read(struct tmk_compare *c, const struct job *job, const struct tmk_record *part, void *data)
{
	struct tmk_error err;

	if (!tmk_replica_read(job->replica, part->disk, data, (size_t)part->length, part->offset, &err))
		return true;
	if (!c->unread && c->events.unread)
		c->events.unread(err.text, c->events.context);
	c->unread = true;
	return false;
}

/* At once; piece by piece if that does not work, and if the disk has a bad sector only its piece is undecided. */
static bool have_piece(struct tmk_compare *c, const struct job *job, const struct tmk_record *record, bool whole,
		       const struct tmk_record *part)
{
	return whole || can_read(c, job, part, c->data + (part->offset - record->offset));
}

static bool any_decided(const struct job *job, const struct tmk_record *record)
{
	struct tmk_record part;

	for (uint64_t done = 0; done < record->length; done += part.length) {
		part = part_of(record, done);
		if (!undecided(job, &part))
			return true;
	}
	return false;
}

static void compare_record(struct tmk_compare *c, const struct job *job, const struct tmk_record *record, const uint8_t *body)
{
	const uint8_t *tags = body + TMK_TAG_KEY;
	uint8_t tag[TMK_TAG_SIZE];
	struct tmk_record part;
	bool whole, open = false;

	if (!any_decided(job, record)) {
		add(c, false, TMK_UNDECIDED, record);
		return;
	}
	whole = can_read(c, job, record, c->data);
	tmk_tagger_key(c->tagger, body);
	for (uint64_t done = 0; done < record->length; done += part.length, tags += TMK_TAG_SIZE) {
		part = part_of(record, done);
		if (undecided(job, &part) || !have_piece(c, job, record, whole, &part)) {
			add(c, open, TMK_UNDECIDED, &part);
			open = true;
			continue;
		}
		tmk_tagger_tag(c->tagger, part.offset, c->data + done, (size_t)part.length, tag);
		if (!memcmp(tag, tags, sizeof(tag)))
			continue;
		add(c, open, TMK_DIFFERS, &part);
		open = true;
	}
}

/* ---- a chunk ---- */

static void expect_more(struct job *job)
{
	struct tmk_record record;
	const uint8_t *body;

	while (job->replica && job->expected < EXPECTED && tmk_walk_next(&job->soon, &record, &body)) {
		if (record.type != TMK_HASH)
			continue;
		tmk_replica_expect(job->replica, record.disk, record.offset, record.length);
		job->expected += record.length;
	}
}

void tmk_compare_chunk(struct tmk_compare *c, const struct tmk_replica *replica, const struct tmk_touched *touched,
		       const struct tmk_chunk *chunk, const uint8_t *raw)
{
	struct tmk_walk w = tmk_walk(chunk, raw);
	struct job job = {.replica = replica, .touched = touched, .start = w, .soon = w};
	struct tmk_record record;
	const uint8_t *body;

	c->result.number = chunk->number;
	c->result.count = 0;
	c->unread = false;
	while (tmk_walk_next(&w, &record, &body)) {
		job.mixed |= changes(&record);
		if (record.type != TMK_HASH)
			continue;
		job.at = w.at;
		expect_more(&job);
		compare_record(c, &job, &record, body);
		job.expected -= record.length < job.expected ? record.length : job.expected;
	}
	tell(c, false);
}
