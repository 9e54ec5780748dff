/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Follows the write log: see follow.h. */
#include "follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "overwrites.h"
#include "packer.h"
#include "reader.h"
#include "tidemark_uapi.h"
#include "util.h"

#define CLOSE_MS 200 /* a chunk that is not full */
#define BUSY_MS 5    /* between looks while records come */
#define IDLE_MS 40

struct tmk_follow {
	struct tmk_source *source;
	struct tmk_stream *stream;
	struct tmk_packer *packer; /* its own: others reset theirs */
	tmk_follow_marked marked;
	void *context;
	struct tmk_log log; /* as of the last look; size 0: there is none */
	const uint8_t *ring;
	bool on;
	uint64_t position; /* of the next record to pack */
	uint64_t sealed;   /* what is before it is in sealed chunks */
	uint64_t limit;	   /* no further */
	uint64_t filling;  /* ms: when the open chunk got its first record; 0: it has none */
	uint64_t resets;   /* of the stream, as last seen */
	bool synced;
	uint64_t gap, behind; /* of the round that synced it */
	bool consistent;      /* the disks at `position` */
	struct moment {
		uint64_t position, ms; /* all that was written before is in the log before */
	} looked, awaited;	       /* at the last look; acked next */
	bool passed;		       /* what is awaited is on the stream: its position is that of a state */
	uint64_t latest;	       /* ms, of the last one that was acked; 0: none */
	struct tmk_overwrites *ahead;  /* coalescing; NULL: not wanted */
	uint64_t scanned;	       /* it knows the records before that */
	uint64_t omitted; /* before that nothing is consistent: something was left out that is overwritten up to there */
	uint64_t saved;	  /* bytes left out */
};

int tmk_follow_new(struct tmk_follow **out, struct tmk_source *source, struct tmk_stream *stream, tmk_follow_marked marked,
		   void *context)
{
	struct tmk_follow *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return -ENOMEM;
	rc = tmk_packer_new(&f->packer);
	if (rc) {
		free(f);
		return rc;
	}
	tmk_packer_of_log(f->packer);
	f->source = source;
	f->stream = stream;
	f->marked = marked;
	f->context = context;
	f->limit = UINT64_MAX;
	*out = f;
	return 0;
}

int tmk_follow_coalesce(struct tmk_follow *f)
{
	return tmk_overwrites_new(&f->ahead);
}

uint64_t tmk_follow_saved(const struct tmk_follow *f)
{
	return f->saved;
}

void tmk_follow_free(struct tmk_follow *f)
{
	if (!f)
		return;
	tmk_overwrites_free(f->ahead);
	tmk_packer_free(f->packer);
	free(f);
}

/* ---- the tracker ---- */

/* From the first record that is not acked. */
static void rewind_(struct tmk_follow *f)
{
	f->position = f->sealed = f->log.tail;
	f->filling = 0;
	f->scanned = 0;
	f->limit = UINT64_MAX;
	f->synced = f->consistent = false;
	tmk_packer_reset(f->packer);
	tmk_stream_carries(f->stream, f->on ? f->sealed : 0);
}

/* While it streams, all that is acked is a state, with what overwrote what was left out of it; and all that is in the log is as
 * old as the look that saw it there. */
static void look_back(struct tmk_follow *f)
{
	if (!tmk_follow_streaming(f) || f->position < f->awaited.position)
		return;
	if (!f->passed && f->omitted > f->awaited.position)
		f->awaited.position = f->omitted;
	f->passed = true;
	if (f->log.tail < f->awaited.position)
		return;
	f->latest = f->awaited.ms;
	f->awaited = f->looked;
	f->passed = false;
}

int tmk_follow_look(struct tmk_follow *f, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(f->source->marks);
	uint64_t now = tmk_now_ms(); /* before what is asked then */
	int rc = tmk_tracker_log(t, f->source->slots[0], &f->log, err);

	tmk_marks_unlock(f->source->marks);
	if (!rc) {
		f->looked = (struct moment){f->log.head, now};
		look_back(f);
	}
	if (!rc && f->ring && f->log.on != f->on) { /* switched, by a command whose answer was lost, too */
		f->on = f->log.on;
		rewind_(f);
	}
	return rc;
}

static int command(struct tmk_follow *f, bool on, bool both, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(f->source->marks);
	int rc = tmk_tracker_switch(t, f->source->slots[0], on, both, err);

	tmk_marks_unlock(f->source->marks);
	return rc;
}

int tmk_follow_both(struct tmk_follow *f, bool both, struct tmk_error *err)
{
	return command(f, true, both, err);
}

int tmk_follow_open(struct tmk_follow *f, struct tmk_error *err)
{
	struct tmk_tracker *t;
	const void *ring;
	int rc = tmk_follow_look(f, err);

	if (rc || !f->log.size)
		return rc;
	t = tmk_marks_lock(f->source->marks);
	rc = tmk_tracker_ring(t, f->source->slots[0], &ring, err);
	tmk_marks_unlock(f->source->marks);
	f->ring = rc ? NULL : ring;
	f->on = f->log.on;
	f->resets = tmk_stream_state(f->stream)->resets;
	rewind_(f);
	if (!rc && f->on) /* an earlier shipper may have been killed in a verify */
		rc = tmk_follow_both(f, false, err);
	return rc;
}

int tmk_follow_switch(struct tmk_follow *f, bool on, struct tmk_error *err)
{
	int rc = command(f, on, false, err);

	return rc ? rc : tmk_follow_look(f, err);
}

int tmk_follow_cut(struct tmk_follow *f, const uint8_t id[16], struct tmk_error *err)
{
	struct tmk_tracker *t;
	uint64_t gap;
	int rc;

	if (!tmk_follow_streaming(f))
		return tmk_error_set(err, -EAGAIN, "the log is being caught up with");
	t = tmk_marks_lock(f->source->marks);
	rc = tmk_tracker_cut(t, f->source->slots[0], id, &gap, err);
	tmk_marks_unlock(f->source->marks);
	return rc;
}

/* ---- how it stands ---- */

bool tmk_follow_has_log(const struct tmk_follow *f)
{
	return f->log.size;
}

bool tmk_follow_on(const struct tmk_follow *f)
{
	return f->on;
}

const struct tmk_log *tmk_follow_log(const struct tmk_follow *f)
{
	return &f->log;
}

bool tmk_follow_streaming(const struct tmk_follow *f)
{
	return f->on && f->synced && f->gap == f->log.gap;
}

uint64_t tmk_follow_latest(const struct tmk_follow *f)
{
	return tmk_follow_streaming(f) ? f->latest : 0;
}

void tmk_follow_hold(struct tmk_follow *f, uint64_t position)
{
	f->limit = position;
}

bool tmk_follow_reached(const struct tmk_follow *f, uint64_t position)
{
	return !f->on || f->sealed >= position;
}

void tmk_follow_synced(struct tmk_follow *f, uint64_t gap, uint64_t behind)
{
	f->synced = f->on;
	f->gap = gap;
	f->behind = behind;
	f->passed = false;
	f->awaited = f->looked; /* which was not before `behind` */
}

void tmk_follow_unsynced(struct tmk_follow *f)
{
	f->synced = f->consistent = false;
}

int tmk_follow_patience(const struct tmk_follow *f)
{
	if (!f->on)
		return -1;
	return tmk_stream_open(f->stream) && f->position < f->limit && (f->filling || f->log.head != f->position) ? BUSY_MS
														  : IDLE_MS;
}

/* ---- chunks ---- */

/* through: what the stream has of the log with this chunk. */
static int seal(struct tmk_follow *f, uint64_t through, const struct tmk_mark *mark, struct tmk_error *err)
{
	int rc;

	tmk_stream_carries(f->stream, through);
	rc = tmk_stream_seal(f->stream, f->packer, mark, err);
	if (rc) {
		tmk_stream_carries(f->stream, f->sealed);
		return rc;
	}
	f->sealed = through;
	f->filling = 0;
	return 0;
}

/* What the open chunk has, at the end of a record. */
static int close_chunk(struct tmk_follow *f, struct tmk_error *err)
{
	if (tmk_packer_empty(f->packer)) {
		f->sealed = f->position; /* marks that are none, and what was not captured after all */
		tmk_stream_carries(f->stream, f->sealed);
		return 0;
	}
	tmk_packer_consistent(f->packer, f->consistent);
	return seal(f, f->position, NULL, err);
}

/* ---- records ---- */

static int senseless(struct tmk_error *err)
{
	return tmk_error_set(err, -EBADMSG, "the log of the kernel module makes no sense: everything is compared again");
}

/* The record at the place, or NULL: it is not published yet, or held. */
static const struct tidemark_record *record_at(const struct tmk_follow *f, uint64_t position)
{
	const struct tidemark_record *r = (const void *)(f->ring + (position & (f->log.size - 1)));

	if (position >= f->limit || __atomic_load_n(&r->position, __ATOMIC_ACQUIRE) != position)
		return NULL;
	return r;
}

static int find_disk(const struct tmk_follow *f, uint16_t number)
{
	for (int i = 0; i < f->source->spec.disk_count; i++)
		if (f->source->slots[i] == number)
			return i;
	return -1;
}

/* Everything from the kernel is checked (I9). */
static int check(const struct tmk_follow *f, const struct tidemark_record *r, int *disk, struct tmk_error *err)
{
	uint64_t sectors;

	*disk = -1;
	if (r->length < TIDEMARK_ALIGN || r->length % TIDEMARK_ALIGN || r->length > f->log.size)
		return senseless(err);
	if (r->type == TIDEMARK_MARK)
		return 0;
	*disk = find_disk(f, r->disk);
	if (*disk < 0 || r->type < TIDEMARK_DATA || r->type > TIDEMARK_SKIP)
		return senseless(err);
	sectors = f->source->spec.disks[*disk].size / TMK_SECTOR;
	if (r->sector > sectors || r->sectors > sectors - r->sector ||
	    (r->type == TIDEMARK_DATA && r->sectors > (r->length - TIDEMARK_ALIGN) / TMK_SECTOR))
		return senseless(err);
	return 0;
}

/* ---- coalescing ---- */

/* Looks at all that lies ahead up to the next mark, which has to find every write before it (R4). */
static void look_ahead(struct tmk_follow *f)
{
	const struct tidemark_record *r;
	struct tmk_error err;
	int disk;

	if (!f->ahead || f->position < f->scanned)
		return;
	tmk_overwrites_clear(f->ahead);
	for (f->scanned = f->position; f->scanned - f->position < f->log.size; f->scanned += r->length) {
		r = record_at(f, f->scanned);
		if (!r || check(f, r, &disk, &err) || r->type == TIDEMARK_MARK)
			break;
		if ((r->type == TIDEMARK_DATA || r->type == TIDEMARK_ZERO) &&
		    !tmk_overwrites_add(f->ahead, (uint16_t)disk, r->sector * TMK_SECTOR, r->sectors * TMK_SECTOR,
					r->position + r->length))
			break;
	}
	tmk_overwrites_sort(f->ahead);
}

/* Whether the part can be left out; it is shortened to what can or cannot. */
static bool omit(struct tmk_follow *f, const struct tidemark_record *r, uint16_t disk, uint64_t at, uint64_t *part)
{
	uint64_t by;

	if (!f->ahead || r->type == TIDEMARK_DISCARD ||
	    !tmk_overwritten(f->ahead, disk, r->sector * TMK_SECTOR + at, part, r->position + r->length, &by))
		return false;
	if (by > f->omitted)
		f->omitted = by;
	f->saved += *part;
	return true;
}

/* ---- records into chunks ---- */

/* A part of a record; `part` is shortened to what goes at once. False: the chunk is full. */
static bool add(struct tmk_follow *f, const struct tidemark_record *r, uint16_t disk, uint64_t at, uint64_t *part)
{
	uint64_t offset = r->sector * TMK_SECTOR + at;

	switch (r->type) {
	case TIDEMARK_DATA:
		if (*part > TMK_READ_MAX)
			*part = TMK_READ_MAX;
		return tmk_packer_add(f->packer, disk, offset, (const uint8_t *)(r + 1) + at, (uint32_t)*part);
	case TIDEMARK_DISCARD:
		if (!f->source->devices[disk].zeroes)
			return tmk_packer_discard(f->packer, disk, offset, *part);
		return tmk_packer_zero(f->packer, disk, offset, *part);
	default:
		return tmk_packer_zero(f->packer, disk, offset, *part);
	}
}

/* A chunk that is closed in the middle of a record does not carry it, and is no state (I3). */
static int put(struct tmk_follow *f, const struct tidemark_record *r, uint16_t disk, struct tmk_error *err)
{
	uint64_t length = r->sectors * TMK_SECTOR, part;

	for (uint64_t at = 0; at < length; at += part) {
		int rc;

		part = length - at;
		if (omit(f, r, disk, at, &part) || add(f, r, disk, at, &part))
			continue;
		if (tmk_packer_empty(f->packer))
			return tmk_error_set(err, -EINVAL, "a write of %llu bytes does not fit into an empty chunk",
					     (unsigned long long)part);
		tmk_packer_consistent(f->packer, at == 0 && f->consistent);
		rc = seal(f, f->position, NULL, err);
		if (rc)
			return rc;
		part = 0;
	}
	return 0;
}

static bool is_good(const struct tmk_follow *f, const struct tidemark_record *r)
{
	return f->synced && r->gap == f->gap && r->position >= f->behind && r->position + r->length >= f->omitted;
}

static int take_mark(struct tmk_follow *f, const struct tidemark_record *r, struct tmk_error *err)
{
	const struct tmk_mark *mark = f->marked(r->id, is_good(f, r), r->gap, r->sector, f->context);
	uint64_t through = f->position + r->length;
	int rc;

	rc = mark ? seal(f, through, mark, err) : 0;
	if (rc == -ENOSPC) {
		rc = close_chunk(f, err);
		if (!rc)
			rc = seal(f, through, mark, err);
	}
	if (!rc)
		f->position = through;
	return rc;
}

static int take_record(struct tmk_follow *f, const struct tidemark_record *r, struct tmk_error *err)
{
	int disk, rc = check(f, r, &disk, err);

	if (rc)
		return rc;
	if (r->type == TIDEMARK_MARK)
		return take_mark(f, r, err);
	if (r->type != TIDEMARK_SKIP && r->sectors)
		rc = put(f, r, (uint16_t)disk, err);
	if (!rc && r->type == TIDEMARK_DISCARD && !f->source->devices[disk].zeroes) /* what it holds now is read back (R20) */
		rc = tmk_source_remind(f->source, (uint16_t)disk,
				       (struct tmk_extent){r->sector * TMK_SECTOR, r->sectors * TMK_SECTOR}, err);
	if (rc)
		return rc;
	if (!f->filling && !tmk_packer_empty(f->packer))
		f->filling = tmk_now_ms();
	f->position += r->length;
	/* a discard may be one of several records of its request */
	f->consistent = is_good(f, r) && r->type != TIDEMARK_DISCARD && r->type != TIDEMARK_SKIP;
	return 0;
}

/* Nothing that is under way carries this place of the log: marks that became nothing. */
static int release_rest(struct tmk_follow *f, struct tmk_error *err)
{
	if (!tmk_stream_empty(f->stream) || f->sealed <= f->log.tail)
		return 0;
	return tmk_source_release_log(f->source, f->sealed, err);
}

/* What it had packed was given up with the window (R3). */
static int follow_resets(struct tmk_follow *f, struct tmk_error *err)
{
	uint64_t resets = tmk_stream_state(f->stream)->resets;
	int rc = resets == f->resets ? 0 : tmk_follow_look(f, err); /* acks may have moved the tail since the last one */

	if (rc || resets == f->resets)
		return rc;
	f->resets = resets;
	rewind_(f);
	return 0;
}

/* Everything is compared again, and the log begins anew. */
static void give_up(struct tmk_follow *f)
{
	struct tmk_error err;

	if (tmk_source_doubt(f->source, "the log of the kernel module made no sense", &err) || tmk_follow_switch(f, false, &err))
		tmk_log_error("%s: %s", f->source->spec.name, err.text);
}

int tmk_follow_step(struct tmk_follow *f, struct tmk_error *err)
{
	const struct tidemark_record *r;
	bool any = false;
	int rc = follow_resets(f, err);

	if (rc || !f->on)
		return rc;
	look_ahead(f);
	while (!rc && tmk_stream_open(f->stream) && (r = record_at(f, f->position))) {
		rc = take_record(f, r, err);
		any = true;
	}
	if (rc) { /* what is not sealed is packed again */
		f->position = f->sealed;
		f->filling = 0;
		f->synced = false;
		tmk_packer_reset(f->packer);
		if (rc == -EBADMSG)
			give_up(f);
		return rc;
	}
	if (!any && f->filling && tmk_now_ms() - f->filling < CLOSE_MS && f->position < f->limit)
		return 0;
	if (tmk_stream_open(f->stream) && (f->position >= f->limit || !f->filling || tmk_now_ms() - f->filling >= CLOSE_MS))
		rc = close_chunk(f, err);
	return rc ? rc : release_rest(f, err);
}
