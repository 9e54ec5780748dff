/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See applier.h. Two cursors: one looks ahead for the closing mark and so reads and checks the whole interval before the first
 * byte of it is applied (rot in the journal must not cost the point that is there), and compares; one applies.
 */
#include "applier.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare.h"
#include "journal.h"
#include "point_scan.h"
#include "replica.h"

#define BATCH (64u << 20) /* bytes of records, and compared, between two commits, and that one step looks ahead */

struct tmk_applier {
	const struct tmk_io *io;
	int dir, journal; /* the first is the caller's */
	struct tmk_applier_events events;
	struct tmk_replica *replica;	  /* NULL after a fault: opened anew by the next step */
	struct tmk_journal_cursor *next;  /* behind what was applied, committed or not */
	struct tmk_journal_cursor *ahead; /* POINT: looks for the closing mark; NULL: begins behind the point */
	struct tmk_touched *touched;	  /* by what it read; NULL: nothing was read of this interval */
	uint64_t mark;			  /* what it found, 0: nothing yet */
	struct tmk_place reached;	  /* the last chunk applied since the replica was opened */
	uint64_t pending;		  /* bytes of records applied, and compared, since the last commit */
	uint64_t redo;			  /* chunks up to this one may have been applied before the replica was opened */
	struct tmk_compare *compare;
	uint64_t told; /* the last chunk whose comparison was told */
};

static void forget_interval(struct tmk_applier *a)
{
	tmk_touched_free(a->touched);
	a->touched = NULL;
	a->mark = 0;
}

static void let_go(struct tmk_applier *a)
{
	forget_interval(a);
	tmk_journal_cursor_close(a->next);
	tmk_journal_cursor_close(a->ahead);
	tmk_replica_close(a->replica);
	a->next = a->ahead = NULL;
	a->replica = NULL;
	a->pending = 0;
}

static struct tmk_disk_sizes sizes_of(const struct tmk_sidecar *s)
{
	struct tmk_disk_sizes sizes = {.count = s->disk_count};

	memcpy(sizes.sizes, s->sizes, sizeof(sizes.sizes));
	return sizes;
}

static int open_cursor(struct tmk_applier *a, struct tmk_journal_cursor **out, struct tmk_error *err)
{
	const struct tmk_sidecar *s = tmk_replica_sidecar(a->replica);
	const struct tmk_disk_sizes sizes = sizes_of(s);

	return tmk_journal_cursor_open(out, a->io, a->journal, s->protection, &sizes, &a->reached, err);
}

static int take_up(struct tmk_applier *a, struct tmk_error *err)
{
	const struct tmk_sidecar *s;
	int ret = tmk_replica_open(&a->replica, a->io, a->dir, true, err);

	if (ret)
		return ret;
	s = tmk_replica_sidecar(a->replica);
	a->reached.number = s->applied;
	memcpy(a->reached.hash, s->applied_hash, TMK_HASH_SIZE);
	ret = tmk_journal_last(a->io, a->journal, s->protection, &a->redo, err);
	if (!ret)
		ret = open_cursor(a, &a->next, err);
	if (ret)
		let_go(a);
	return ret;
}

/* The journal may not hold the mark any more (wiped, or put back older): then who needs the point has it in the catalogue. */
static void tell_point(struct tmk_applier *a)
{
	const struct tmk_sidecar *s = tmk_replica_sidecar(a->replica);
	const struct tmk_disk_sizes sizes = sizes_of(s);
	struct tmk_point p;

	if (s->state == TMK_REPLICA_POINT && a->events.point &&
	    !tmk_point_find(a->io, a->journal, s->protection, &sizes, &a->reached, &p, NULL))
		a->events.point(&p, a->events.context);
}

int tmk_applier_open(struct tmk_applier **out, const struct tmk_io *io, int dir, const struct tmk_applier_events *events,
		     struct tmk_error *err)
{
	const struct tmk_compare_events compare = {events->compared, events->unread, events->context};
	struct tmk_applier *a = calloc(1, sizeof(*a));
	int ret = 0;

	*out = NULL;
	if (!a)
		return tmk_error_set(err, -ENOMEM, "no memory for an applier");
	a->io = io;
	a->dir = dir;
	a->events = *events;
	a->journal = openat(dir, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->journal < 0)
		ret = tmk_error_sys(err, -errno, "cannot open the journal's directory");
	else if (tmk_compare_new(&a->compare, &compare))
		ret = tmk_error_set(err, -ENOMEM, "no memory for an applier");
	if (!ret)
		ret = take_up(a, err);
	if (ret) {
		tmk_applier_close(a);
		return ret;
	}
	tell_point(a);
	*out = a;
	return 0;
}

void tmk_applier_close(struct tmk_applier *a)
{
	if (!a)
		return;
	let_go(a);
	tmk_compare_free(a->compare);
	if (a->journal >= 0)
		close(a->journal);
	free(a);
}

/* ---- comparing ---- */

/* A chunk's HASH records, once; bytes that were compared. Its result may be undecided, but never be missing: the source waits. */
static uint64_t compare(struct tmk_applier *a, const struct tmk_journal_chunk *chunk, bool decide)
{
	uint64_t bytes = a->events.compared ? tmk_compare_bytes(&chunk->header, chunk->raw) : 0;

	if (!bytes || chunk->header.number <= a->told)
		return 0;
	tmk_compare_chunk(a->compare, decide ? a->replica : NULL, a->touched, &chunk->header, chunk->raw);
	a->told = chunk->header.number;
	return decide ? bytes : 0;
}

static void touch(struct tmk_applier *a, const struct tmk_journal_chunk *chunk)
{
	struct tmk_walk w = tmk_walk(&chunk->header, chunk->raw);
	struct tmk_record record;
	const uint8_t *body;

	while (tmk_walk_next(&w, &record, &body))
		if (record.type != TMK_HASH && record.type != TMK_MARK)
			tmk_touched_add(a->touched, record.disk, record.offset, record.length);
}

/* ---- applying ---- */

static int commit(struct tmk_applier *a, enum tmk_replica_state state, uint64_t point, uint64_t until, struct tmk_error *err)
{
	int ret = tmk_replica_commit(a->replica, state, a->reached.number, a->reached.hash, point, until, err);

	if (ret)
		return ret;
	a->pending = 0;
	if (a->events.applied)
		a->events.applied(tmk_replica_sidecar(a->replica), a->events.context);
	return 0;
}

/* EMPTY needs nothing that was applied. A point's own mark is kept: the catalogue can be rebuilt from it. BETWEEN: the point was,
 * and the next one is not yet; nothing is hurried. */
static int trim(struct tmk_applier *a, uint64_t spare, struct tmk_error *err)
{
	const struct tmk_sidecar *s = tmk_replica_sidecar(a->replica);

	if (s->state == TMK_REPLICA_BETWEEN)
		return 0;
	return tmk_journal_trim(a->io, a->journal, s->state == TMK_REPLICA_POINT ? s->point - 1 : s->applied, spare, err);
}

/* The marked chunk is the last one applied: the replica becomes its point (I7). */
static int become_point(struct tmk_applier *a, const struct tmk_journal_chunk *chunk, struct tmk_error *err)
{
	struct tmk_point p;
	int ret = tmk_point_of_chunk(chunk, &p, err);

	if (!ret)
		ret = commit(a, TMK_REPLICA_POINT, a->reached.number, 0, err);
	if (ret)
		return ret;
	tmk_replica_unlock(a->replica);
	forget_interval(a);
	if (a->events.point)
		a->events.point(&p, a->events.context);
	return 0;
}

/* Applies chunks up to `last`; stops at the mark that closes (EMPTY: the first one; BETWEEN: `until`) or after a batch. 1: more.
 */
static int run(struct tmk_applier *a, uint64_t last, struct tmk_error *err)
{
	const struct tmk_sidecar *s = tmk_replica_sidecar(a->replica);
	struct tmk_journal_chunk chunk;
	int ret;

	while (a->pending < BATCH) {
		ret = tmk_journal_cursor_next(a->next, last, &chunk, err);
		if (ret == -EAGAIN)
			return a->pending ? commit(a, s->state, s->point, s->until, err) : 0;
		if (ret)
			return ret;
		a->pending += compare(a, &chunk, s->state == TMK_REPLICA_EMPTY && chunk.header.number > a->redo);
		ret = tmk_replica_apply(a->replica, &chunk.header, chunk.raw, err);
		if (ret)
			return ret;
		a->reached.number = chunk.header.number;
		memcpy(a->reached.hash, chunk.hash, TMK_HASH_SIZE);
		a->pending += chunk.header.raw_length;
		if (s->until ? a->reached.number == s->until : chunk.marked)
			return become_point(a, &chunk, err) ?: 1;
	}
	return commit(a, s->state, s->point, s->until, err) ?: 1;
}

static int begin_to_look(struct tmk_applier *a, struct tmk_error *err)
{
	const struct tmk_disk_sizes sizes = sizes_of(tmk_replica_sidecar(a->replica));
	int ret = a->ahead ? 0 : open_cursor(a, &a->ahead, err);

	if (!ret && !a->touched && tmk_touched_new(&a->touched, &sizes))
		ret = tmk_error_set(err, -ENOMEM, "no memory to know what an interval touches");
	return ret;
}

/* Is the next interval's closing mark durable? Reads and checks what lies before it. 1: yes, a->mark; 2: more to read; 0: no. */
static int look_ahead(struct tmk_applier *a, uint64_t durable, struct tmk_error *err)
{
	struct tmk_journal_chunk chunk;
	uint64_t seen = 0;
	int ret = begin_to_look(a, err);

	while (!ret && !a->mark && seen < BATCH) {
		ret = tmk_journal_cursor_next(a->ahead, durable, &chunk, err);
		if (ret)
			break;
		seen += chunk.header.raw_length + compare(a, &chunk, true);
		touch(a, &chunk);
		if (chunk.marked)
			a->mark = chunk.header.number;
	}
	if (ret == -EAGAIN)
		return 0;
	if (ret)
		return ret;
	return a->mark ? 1 : 2;
}

/* From a point to BETWEEN: durable before the first byte of the interval is applied (I11). */
static int leave_point(struct tmk_applier *a, uint64_t durable, struct tmk_error *err)
{
	int ret = look_ahead(a, durable, err);

	if (ret != 1)
		return ret;
	ret = tmk_replica_lock(a->replica, err);
	if (ret)
		return ret;
	ret = commit(a, TMK_REPLICA_BETWEEN, tmk_replica_sidecar(a->replica)->point, a->mark, err);
	return ret ? ret : 1;
}

static int step(struct tmk_applier *a, uint64_t durable, struct tmk_error *err)
{
	const struct tmk_sidecar *s;
	int ret = a->replica ? 0 : take_up(a, err);

	if (ret)
		return ret;
	s = tmk_replica_sidecar(a->replica);
	if (s->state == TMK_REPLICA_POINT) {
		ret = leave_point(a, durable, err);
		if (ret != 1)
			return ret == 2 ? 1 : ret;
	}
	ret = tmk_replica_lock(a->replica, err);
	return ret ? ret : run(a, s->state == TMK_REPLICA_BETWEEN ? s->until : durable, err);
}

int tmk_applier_step(struct tmk_applier *a, uint64_t durable, uint64_t spare, struct tmk_error *err)
{
	int ret = step(a, durable, err), trimmed;

	if (ret < 0 && ret != -EBUSY) {
		let_go(a);
		return ret;
	}
	if (ret < 0)
		return ret;
	trimmed = trim(a, spare, err);
	return trimmed ? trimmed : ret;
}

int tmk_applier_give_up_point(struct tmk_applier *a, struct tmk_error *err)
{
	int ret = a->replica ? 0 : take_up(a, err);

	if (ret || tmk_replica_sidecar(a->replica)->state != TMK_REPLICA_POINT)
		return ret;
	ret = tmk_replica_lock(a->replica, err);
	if (ret)
		return ret;
	ret = commit(a, TMK_REPLICA_EMPTY, 0, 0, err);
	tmk_journal_cursor_close(a->ahead);
	a->ahead = NULL;
	forget_interval(a);
	if (ret)
		let_go(a);
	return ret;
}
