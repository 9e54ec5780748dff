/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See compare.h. Reads go around the page cache, since the disk is to be compared: that also takes half the CPU, and suffers
 * least where source and target share a machine. A chunk's records are shared out among some threads, which end with it, so that
 * the disk has something to do while tags are computed; each reads some neighbours at once and computes their tags. What came of
 * it is told by the caller's thread, in the order of the records.
 */
#include "compare.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "piece.h"

#define UNREAD_MOST 16	 /* pieces of a chunk */
#define WORKERS 3	 /* the caller's thread is one */
#define WORTH (1u << 20) /* bytes that another thread is worth */
#define HUGE (2u << 20)	 /* bytes of a huge page: reading into one takes a third of the processor time, where there are any */
#define BUFFERS (WORKERS * TMK_HASH_RANGE_MAX / HUGE * HUGE + HUGE)
#define PIECES_MOST (TMK_HASH_RANGE_MAX / TMK_PIECE + 1)
_Static_assert(PIECES_MOST <= 64, "a bit for each piece of a record");

/* A HASH record of the chunk; a bit of a word is a piece. */
struct asked {
	struct tmk_record record;
	const uint8_t *body;
	uint64_t undecided, differing; /* the second is what the workers find */
	unsigned int joined;	       /* read at once, from this on; 0: with one before it, or not at all */
	bool unread;		       /* not in one read: piece by piece */
};

struct work { /* of one chunk, shared by all workers */
	const struct tmk_replica *replica;
	struct asked *list;
	atomic_uint next; /* the first that nobody took */
	unsigned int count;
};

struct worker {
	struct work *work;
	struct tmk_tagger *tagger;
	uint8_t *data; /* TMK_HASH_RANGE_MAX */
	pthread_t thread;
};

struct tmk_compare {
	struct tmk_compare_events events;
	struct worker workers[WORKERS];
	uint8_t *buffers;
	struct asked *list; /* TMK_CHUNK_RECORDS_MAX */
	struct tmk_compared result;
	bool open;	     /* the last extent is of the record being told */
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

static int workers_new(struct tmk_compare *c)
{
	c->buffers = aligned_alloc(HUGE, BUFFERS);
	if (!c->buffers)
		return -ENOMEM;
	madvise(c->buffers, BUFFERS, MADV_HUGEPAGE);
	for (unsigned int i = 0; i < WORKERS; i++) {
		c->workers[i].data = c->buffers + (size_t)i * TMK_HASH_RANGE_MAX;
		if (tmk_tagger_new(&c->workers[i].tagger))
			return -ENOMEM;
	}
	return 0;
}

int tmk_compare_new(struct tmk_compare **out, const struct tmk_compare_events *events)
{
	struct tmk_compare *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (!c)
		return -ENOMEM;
	c->events = *events;
	c->list = calloc(TMK_CHUNK_RECORDS_MAX, sizeof(*c->list));
	if (!c->list || workers_new(c)) {
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
	for (unsigned int i = 0; i < WORKERS; i++)
		tmk_tagger_free(c->workers[i].tagger);
	free(c->buffers);
	free(c->list);
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

static uint64_t undecided_pieces(const struct job *job, const struct tmk_record *record)
{
	struct tmk_record piece;
	uint64_t bit = 1, found = 0;

	for (uint64_t done = 0; done < record->length; done += piece.length, bit <<= 1) {
		piece = piece_of(record, done);
		if (undecided(job, &piece))
			found |= bit;
	}
	return found;
}

static bool any_decided(const struct asked *a)
{
	return a->undecided != (UINT64_MAX >> (64 - tmk_piece_count(a->record.offset, a->record.length)));
}

/* ---- the workers ---- */

static bool differs(struct tmk_tagger *tagger, const struct tmk_record *piece, const uint8_t *data, const uint8_t *tag)
{
	uint8_t own[TMK_TAG_SIZE];

	tmk_tagger_tag(tagger, piece->offset, data, (size_t)piece->length, own);
	return memcmp(own, tag, sizeof(own));
}

static void compare_one(struct tmk_tagger *tagger, struct asked *a, const uint8_t *data)
{
	const uint8_t *tag = a->body + TMK_TAG_KEY;
	struct tmk_record piece;
	uint64_t bit = 1;

	tmk_tagger_key(tagger, a->body);
	for (uint64_t done = 0; done < a->record.length; done += piece.length, bit <<= 1, tag += TMK_TAG_SIZE) {
		piece = piece_of(&a->record, done);
		if (!(a->undecided & bit) && differs(tagger, &piece, data + done, tag))
			a->differing |= bit;
	}
}

static void compare_joined(const struct worker *w, struct asked *first)
{
	struct asked *end = first + first->joined;
	uint64_t from = first->record.offset, to = end[-1].record.offset + end[-1].record.length;
	struct tmk_error err;
	int bad = tmk_replica_read(w->work->replica, first->record.disk, w->data, (size_t)(to - from), from, &err);

	for (struct asked *a = first; a < end; a++) {
		a->unread = bad;
		if (!bad)
			compare_one(w->tagger, a, w->data + (a->record.offset - from));
	}
}

static void *work_on(void *context)
{
	const struct worker *w = context;
	struct work *work = w->work;

	for (unsigned int i; (i = atomic_fetch_add(&work->next, 1)) < work->count;)
		if (work->list[i].joined)
			compare_joined(w, &work->list[i]);
	return NULL;
}

/* Signals are the business of the thread that starts it. */
static bool start(struct worker *w)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&w->thread, NULL, work_on, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return !ret;
}

/* Where no thread is to be had, this one does it alone. */
static void share_out(struct tmk_compare *c, struct work *work, uint64_t bytes)
{
	unsigned int started = 1;

	for (unsigned int i = 0; i < WORKERS; i++)
		c->workers[i].work = work;
	while (started < WORKERS && bytes > started * (uint64_t)WORTH && start(&c->workers[started]))
		started++;
	work_on(&c->workers[0]);
	while (--started)
		pthread_join(c->workers[started].thread, NULL);
}

/* ---- what came of it ---- */

static bool can_read(struct tmk_compare *c, const struct tmk_replica *replica, const struct tmk_record *part, void *data)
{
	struct tmk_error err;

	if (!tmk_replica_read(replica, part->disk, data, (size_t)part->length, part->offset, &err))
		return true;
	if (!c->told_unread && c->events.unread)
		c->events.unread(err.text, c->events.context);
	c->told_unread = true;
	return false;
}

/* What cannot be read is not what was hashed, and to write it again is what mends a bad sector. Where hardly anything can be read
 * it is the disk that needs mending, and nobody should send all of it anew. */
static void add_unread(struct tmk_compare *c, const struct tmk_replica *replica, const struct asked *a,
		       const struct tmk_record *piece, const uint8_t *tag)
{
	const struct worker *w = &c->workers[0];

	if (!can_read(c, replica, piece, w->data)) {
		add(c, ++c->unread <= UNREAD_MOST ? TMK_DIFFERS : TMK_UNDECIDED, piece);
		return;
	}
	tmk_tagger_key(w->tagger, a->body);
	if (differs(w->tagger, piece, w->data, tag))
		add(c, TMK_DIFFERS, piece);
}

static void add_record(struct tmk_compare *c, const struct tmk_replica *replica, const struct asked *a)
{
	const uint8_t *tag = a->body + TMK_TAG_KEY;
	struct tmk_record piece;
	uint64_t bit = 1;

	c->open = false;
	for (uint64_t done = 0; done < a->record.length; done += piece.length, bit <<= 1, tag += TMK_TAG_SIZE) {
		piece = piece_of(&a->record, done);
		if (a->undecided & bit)
			add(c, TMK_UNDECIDED, &piece);
		else if (a->unread)
			add_unread(c, replica, a, &piece, tag);
		else if (a->differing & bit)
			add(c, TMK_DIFFERS, &piece);
	}
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

/* The HASH records, and what cannot be decided of them; bytes of their ranges. */
static uint64_t list_asked(struct job *job, struct tmk_walk w, struct work *work)
{
	struct tmk_record record;
	const uint8_t *body;
	uint64_t bytes = 0;

	while (work->count < TMK_CHUNK_RECORDS_MAX && tmk_walk_next(&w, &record, &body)) {
		job->mixed |= changes(&record);
		if (record.type != TMK_HASH)
			continue;
		job->at = w.at;
		work->list[work->count++] =
			(struct asked){.record = record, .body = body, .undecided = undecided_pieces(job, &record)};
		bytes += record.length;
	}
	return bytes;
}

static bool joins(const struct asked *first, const struct asked *a)
{
	const struct tmk_record *last = &a[-1].record;

	return any_decided(a) && a->record.disk == last->disk && a->record.offset == last->offset + last->length &&
	       a->record.offset + a->record.length - first->record.offset <= TMK_HASH_RANGE_MAX;
}

/* Neighbours are read at once. What is undecided as a whole is not read: joined to nothing. */
static void join(struct work *work)
{
	struct asked *end = work->list + work->count;

	for (struct asked *a = work->list, *first; a < end;) {
		first = a++;
		if (!any_decided(first))
			continue;
		while (a < end && joins(first, a))
			a++;
		first->joined = (unsigned int)(a - first);
	}
}

void tmk_compare_chunk(struct tmk_compare *c, const struct tmk_replica *replica, const struct tmk_touched *touched,
		       const struct tmk_chunk *chunk, const uint8_t *raw)
{
	struct tmk_walk w = tmk_walk(chunk, raw);
	struct job job = {.replica = replica, .touched = touched, .start = w};
	struct work work = {.replica = replica, .list = c->list};
	uint64_t bytes = list_asked(&job, w, &work);

	c->result.number = chunk->number;
	c->result.count = 0;
	c->told_unread = false;
	c->unread = 0;
	if (replica) {
		uncache(replica, w);
		join(&work);
		share_out(c, &work, bytes);
	}
	for (unsigned int i = 0; i < work.count; i++)
		add_record(c, replica, &c->list[i]);
	tell(c, false);
}
