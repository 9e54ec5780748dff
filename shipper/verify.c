/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See verify.h. A place in a pass is a byte in all disks, one behind the other. */
#include "verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "parts.h"
#include "piece.h"
#include "suspects.h"
#include "util.h"

#define BATCH_MS 2000  /* of reading: a pass is as far as its last batch */
#define HURRIED_MS 500 /* where rounds wait for its end */
#define RESULT_MS 5000 /* that rounds wait for results */
#define LATER_MS 60000 /* until it is tried again, if these did not come: the target is busy with an interval, or in trouble */
#define ROLLING (64ull << 20) /* bytes of a batch of the rolling pass */
#define SAVE_MS 2000

enum stage { RESTING, READING, WAITING };

struct tmk_verify {
	struct tmk_verify_parts parts;
	struct tmk_verify_state state;
	enum stage stage;
	bool second; /* this batch looks at suspects */
	bool enough; /* nothing more is read in it */
	uint64_t at, until, began, saved, not_before;
	size_t suspect; /* the next one to look at */
	uint64_t takes; /* so many were followed: tmk_verify_taken() */
	struct tmk_suspects suspects;
	char unkept[512]; /* why save() failed; said once */
	/* As they were when the batch began: what one that is void added counts when it is done again. */
	size_t suspects_before;
	uint64_t skipped_before;
	/* What this batch marked: found different, or for want of room not looked at twice. */
	struct tally {
		uint64_t bytes, first; /* a place */
	} found, unlooked;
	/* The first marked extents at or behind the last place that was asked for, by map. */
	struct {
		bool known;
		uint16_t disk;
		struct tmk_extent extent; /* length 0: none up to the disk's end */
	} dirty[2];
};

static uint64_t place_of(const struct tmk_verify *v, uint16_t disk, uint64_t offset)
{
	for (uint16_t i = 0; i < disk; i++)
		offset += v->parts.source->spec.disks[i].size;
	return offset;
}

/* The disk of a place, and where on it. */
static uint16_t locate(const struct tmk_verify *v, uint64_t at, uint64_t *offset)
{
	const struct tmk_spec *spec = &v->parts.source->spec;
	uint16_t disk = 0;

	while (at >= spec->disks[disk].size)
		at -= spec->disks[disk++].size;
	*offset = at;
	return disk;
}

/* Suspects are not kept: another shipper finds them again, from the first of them on, or it would end the pass without them. */
static void save(struct tmk_verify *v)
{
	const struct tmk_spec *spec = &v->parts.source->spec;
	struct tmk_progress p = v->state.pass;
	struct tmk_error err;

	for (size_t i = 0; i < v->suspects.count; i++) {
		uint64_t place = place_of(v, v->suspects.list[i].disk, v->suspects.list[i].offset);

		p.done = place < p.done ? place : p.done;
	}
	v->saved = tmk_now_ms();
	if (!tmk_progress_save(&p, v->parts.config->run_dir, spec, &err)) {
		if (v->unkept[0])
			tmk_log_info("%s: how far the verify is can be kept again", spec->name);
		v->unkept[0] = '\0';
		return;
	}
	if (strcmp(v->unkept, err.text))
		tmk_log_warning("%s: cannot keep how far the verify is: %s; a shipper that is started again may begin anew",
				spec->name, err.text);
	snprintf(v->unkept, sizeof(v->unkept), "%s", err.text);
}

int tmk_verify_new(struct tmk_verify **out, const struct tmk_verify_parts *parts)
{
	struct tmk_verify *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->parts = *parts;
	v->state.total = tmk_source_size(parts->source);
	if (!tmk_progress_load(&v->state.pass, parts->config->run_dir, &parts->source->spec))
		v->state.pass = (struct tmk_progress){.started = tmk_now_ms()};
	*out = v;
	return 0;
}

void tmk_verify_free(struct tmk_verify *v)
{
	if (!v)
		return;
	save(v);
	free(v);
}

void tmk_verify_remove(const char *run_dir, const char *name)
{
	tmk_progress_remove(run_dir, name);
}

const struct tmk_verify_state *tmk_verify_state(const struct tmk_verify *v)
{
	return &v->state;
}

void tmk_verify_ask(struct tmk_verify *v, uint64_t rate)
{
	tmk_verify_abort(v);
	v->state.pass.asked = true;
	v->state.pass.done = v->state.pass.different = v->state.pass.skipped = 0;
	v->state.pass.started = tmk_now_ms();
	v->state.pass.rate = rate;
	save(v);
}

/* The rolling pass begins anew. */
static void end_pass(struct tmk_verify *v)
{
	v->state.passes += v->state.pass.asked;
	v->state.pass.asked = false;
	v->state.pass.done = v->state.pass.different = v->state.pass.skipped = 0;
	v->state.pass.started = tmk_now_ms();
	v->state.pass.rate = 0;
	save(v);
}

void tmk_verify_cancel(struct tmk_verify *v)
{
	tmk_verify_abort(v);
	if (!v->state.pass.asked)
		return;
	end_pass(v);
}

/* ---- when ---- */

/* The bytes that the rolling pass should be through with by now. */
static uint64_t rolled(const struct tmk_verify *v)
{
	uint64_t elapsed = tmk_now_ms() - v->state.pass.started, every = v->parts.config->verify_every;

	if (!every)
		return 0;
	return elapsed >= every ? v->state.total : (uint64_t)((double)v->state.total * ((double)elapsed / (double)every));
}

bool tmk_verify_due(const struct tmk_verify *v)
{
	uint64_t left = v->state.total - v->state.pass.done;

	if (tmk_now_ms() < v->not_before)
		return false;
	if (tmk_suspects_ripe(&v->suspects))
		return true;
	if (!left)
		return false;
	return v->state.pass.asked || rolled(v) >= v->state.pass.done + (left < ROLLING ? left : ROLLING);
}

bool tmk_verify_active(const struct tmk_verify *v)
{
	return v->stage != RESTING;
}

/* ---- a batch ---- */

static int hear(const struct tmk_compared *c, void *context, struct tmk_error *err);

static uint64_t slower(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

void tmk_verify_begin(struct tmk_verify *v)
{
	const struct tmk_config *c = v->parts.config;

	v->second = tmk_suspects_ripe(&v->suspects);
	v->enough = false;
	v->at = v->state.pass.done;
	v->until = v->state.pass.asked || v->state.total - v->at < ROLLING ? v->state.total : v->at + ROLLING;
	v->suspect = 0;
	v->suspects_before = v->suspects.count;
	v->skipped_before = v->state.pass.skipped;
	v->began = tmk_now_ms();
	v->dirty[0].known = v->dirty[1].known = false;
	v->found = v->unlooked = (struct tally){0};
	v->stage = READING;
	tmk_packer_reset(v->parts.packer);
	tmk_stream_listen(v->parts.stream, hear, v);
	tmk_reader_set_rate(v->parts.reader, slower(c->read_rate, v->state.pass.rate ? v->state.pass.rate : c->verify_rate));
}

/* Once a batch: a replica that was replaced by another one differs everywhere. */
static void tell(const struct tmk_verify *v)
{
	const struct tmk_spec *spec = &v->parts.source->spec;
	uint64_t offset;
	uint16_t disk;

	if (v->found.bytes) {
		disk = locate(v, v->found.first, &offset);
		tmk_log_error(
			"%s: the replica differs in %llu bytes, the first at byte %llu of %s, which nobody is known to have "
			"written: they are sent again",
			spec->name, (unsigned long long)v->found.bytes, (unsigned long long)offset, spec->disks[disk].path);
	}
	if (v->unlooked.bytes) {
		disk = locate(v, v->unlooked.first, &offset);
		tmk_log_warning(
			"%s: the replica seems to differ in %llu bytes, the first at byte %llu of %s, which are too many to look "
			"at twice: they are sent again, and count as not compared",
			spec->name, (unsigned long long)v->unlooked.bytes, (unsigned long long)offset, spec->disks[disk].path);
	}
}

static void rest(struct tmk_verify *v)
{
	tell(v);
	v->stage = RESTING;
	tmk_reader_set_rate(v->parts.reader, v->parts.config->read_rate);
}

void tmk_verify_abort(struct tmk_verify *v)
{
	if (v->stage == RESTING)
		return;
	tmk_reader_drain(v->parts.reader);
	tmk_packer_reset(v->parts.packer);
	tmk_stream_forget(v->parts.stream);
	v->suspects.count = v->suspects_before;
	tmk_suspects_unlook(&v->suspects);
	v->state.pass.skipped = v->skipped_before;
	rest(v);
}

/* ---- what to read ---- */

/* The first marked extent at or behind the place; length 0: none. As of when it was asked for: what is marked later shows when
 * the result comes. */
static int next_dirty(struct tmk_verify *v, uint16_t disk, uint64_t offset, struct tmk_extent *out, struct tmk_error *err)
{
	static const enum tmk_which maps[] = {TMK_TAKEN, TMK_NOW};

	out->length = 0;
	for (size_t i = 0; i < 2; i++) {
		struct tmk_extent *e = &v->dirty[i].extent;
		size_t count;
		int rc;

		if (!v->dirty[i].known || v->dirty[i].disk != disk || (e->length && offset >= e->offset + e->length)) {
			rc = tmk_source_extents(v->parts.source, maps[i], disk, offset, e, 1, &count, err);
			if (rc)
				return rc;
			if (!count)
				e->length = 0;
			v->dirty[i].known = true;
			v->dirty[i].disk = disk;
		}
		if (e->length && (!out->length || e->offset < out->offset))
			*out = *e;
	}
	return 0;
}

/* The part of the range at its start that can be read and compared; 0: `*skip` bytes of it cannot. */
static int clean_part(struct tmk_verify *v, uint16_t disk, uint64_t offset, uint64_t *length, uint64_t *skip, bool *count,
		      struct tmk_error *err)
{
	struct tmk_extent e;
	int rc = next_dirty(v, disk, offset, &e, err);

	*skip = 0;
	*count = true;
	if (rc)
		return rc;
	if (e.length && e.offset <= offset) {
		*skip = e.offset + e.length - offset < *length ? e.offset + e.length - offset : *length;
		return 0;
	}
	if (e.length && e.offset - offset < *length)
		*length = e.offset - offset;
	if (tmk_scratch_split(&v->parts.source->scratch, disk, offset, length)) {
		*skip = *length;
		*count = false; /* nobody's data: there is nothing to compare */
	} else if (tmk_source_bad_split(v->parts.source, disk, offset, length)) {
		*skip = *length;
	}
	return 0;
}

static int submit_next(struct tmk_verify *v, struct tmk_error *err)
{
	uint64_t offset, length, skip;
	uint16_t disk = locate(v, v->at, &offset);
	bool count;
	int rc;

	length = v->parts.source->spec.disks[disk].size - offset;
	rc = clean_part(v, disk, offset, &length, &skip, &count, err);
	if (rc)
		return rc;
	if (skip) {
		v->state.pass.skipped += count ? skip : 0;
		v->at += skip;
		return 0;
	}
	if (length > TMK_READ_MAX - offset % TMK_READ_MAX)
		length = TMK_READ_MAX - offset % TMK_READ_MAX;
	rc = tmk_reader_submit(v->parts.reader, disk, offset, (uint32_t)length, false, err);
	if (!rc)
		v->at += length;
	return rc;
}

static int submit_suspects(struct tmk_verify *v, struct tmk_error *err)
{
	size_t count = tmk_suspects_run(&v->suspects, &v->suspect);
	struct tmk_suspect *first = &v->suspects.list[v->suspect], *last = first + count - 1;
	int rc;

	if (!count)
		return 0;
	rc = tmk_reader_submit(v->parts.reader, first->disk, first->offset,
			       (uint32_t)(last->offset + last->length - first->offset), false, err);
	for (size_t i = 0; i < count && !rc; i++)
		first[i].looking = true;
	v->suspect += rc ? 0 : count;
	return rc;
}

/* Suspects whose turn did not come stay ripe. */
static bool read_enough(const struct tmk_verify *v, bool hurry)
{
	if (v->second ? v->suspect == v->suspects.count : v->at >= v->until)
		return true;
	return tmk_now_ms() - v->began >= (hurry ? HURRIED_MS : BATCH_MS);
}

static int submit(struct tmk_verify *v, bool hurry, struct tmk_error *err)
{
	int rc = 0;

	while (!rc && !v->enough) {
		v->enough = read_enough(v, hurry);
		if (!v->enough)
			rc = v->second ? submit_suspects(v, err) : submit_next(v, err);
	}
	return rc == -EAGAIN ? 0 : rc;
}

/* ---- what was read ---- */

/* A block that cannot be read is the rounds' business (R30). */
static int take_failed(struct tmk_verify *v, const struct tmk_read *read, struct tmk_error *err)
{
	if (!tmk_parts_medium(read->error))
		return tmk_error_set(err, -EIO, "cannot read %s at byte %llu: %s", v->parts.source->spec.disks[read->disk].path,
				     (unsigned long long)read->offset, strerror(-read->error));
	v->state.pass.skipped += read->length;
	return tmk_source_mark(v->parts.source, read->disk, (struct tmk_extent){read->offset, read->length}, err);
}

static int pack_one(struct tmk_verify *v, const struct tmk_read *read, struct tmk_error *err)
{
	struct tmk_packer *p = v->parts.packer;
	int rc;

	if (read->unreadable)
		return take_failed(v, read, err);
	if (tmk_packer_hash(p, read->disk, read->offset, read->data, read->length, false))
		return 0;
	rc = tmk_stream_seal(v->parts.stream, p, NULL, err);
	if (!rc && !tmk_packer_hash(p, read->disk, read->offset, read->data, read->length, false))
		rc = tmk_error_set(err, -EINVAL, "the hash of a read does not fit into an empty chunk");
	return rc;
}

static int pack(struct tmk_verify *v, struct tmk_error *err)
{
	struct tmk_read read;
	int rc = 0;

	while (!rc && tmk_stream_open(v->parts.stream)) {
		rc = tmk_reader_next(v->parts.reader, &read, err);
		if (rc)
			break;
		rc = pack_one(v, &read, err);
		tmk_reader_put(v->parts.reader, &read);
	}
	return rc == -EAGAIN ? 0 : rc;
}

/* ---- what came of it ---- */

/* What the log holds already is no state either: this was missing then (I7). */
static int send_again(struct tmk_verify *v, uint16_t disk, struct tmk_extent e, struct tally *tally, struct tmk_error *err)
{
	uint64_t place = place_of(v, disk, e.offset);

	tally->first = tally->bytes && tally->first < place ? tally->first : place;
	tally->bytes += e.length;
	tmk_follow_unsynced(v->parts.follow);
	return tmk_source_mark(v->parts.source, disk, e, err);
}

/* Piece by piece. Where there is no room to look twice nothing is said of the rest, and it is sent all the same. */
static int suspect(struct tmk_verify *v, const struct tmk_compared_extent *e, struct tmk_error *err)
{
	struct tmk_extent part = {.offset = e->offset};
	uint64_t end = e->offset + e->length;
	bool marked;
	int rc = 0;

	for (; part.offset < end && !rc; part.offset += part.length) {
		if (v->suspects.count == TMK_SUSPECTS_MAX) {
			part.length = end - part.offset;
			v->state.pass.skipped += part.length;
			return send_again(v, e->disk, part, &v->unlooked, err);
		}
		part.length = tmk_piece_rest(part.offset, end - part.offset);
		rc = tmk_source_marked(v->parts.source, e->disk, part, &marked, err);
		if (!rc && marked)
			v->state.pass.skipped += part.length;
		else if (!rc)
			tmk_suspects_add(&v->suspects, e->disk, part.offset, (uint32_t)part.length);
	}
	return rc;
}

static int convict(struct tmk_verify *v, const struct tmk_suspect *s, struct tmk_error *err)
{
	struct tmk_extent e = {s->offset, s->length};
	bool marked;
	int rc = tmk_source_marked(v->parts.source, s->disk, e, &marked, err);

	if (rc)
		return rc;
	if (marked) {
		v->state.pass.skipped += e.length;
		return 0;
	}
	v->state.pass.different += e.length;
	return send_again(v, s->disk, e, &v->found, err);
}

/* Only what was looked at: of anything else the target has nothing to say. */
static int differs_again(struct tmk_verify *v, const struct tmk_compared_extent *e, struct tmk_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < v->suspects.count && !rc; i++) {
		const struct tmk_suspect *s = &v->suspects.list[i];

		if (s->looking && tmk_suspect_touched(s, e))
			rc = convict(v, s, err);
	}
	return rc;
}

static int hear(const struct tmk_compared *c, void *context, struct tmk_error *err)
{
	struct tmk_verify *v = context;
	int rc = c->count ? tmk_source_poll(v->parts.source, err) : 0;

	for (uint32_t i = 0; i < c->count && !rc; i++) {
		const struct tmk_compared_extent *e = &c->extents[i];

		if (e->verdict == TMK_DIFFERS)
			rc = v->second ? differs_again(v, e, err) : suspect(v, e, err);
		else if (!v->second)
			v->state.pass.skipped += e->length;
		else
			tmk_suspects_later(&v->suspects, e);
	}
	return rc;
}

/* Through with all disks, and nothing is left to look at. */
static bool pass_over(const struct tmk_verify *v)
{
	return v->state.pass.done == v->state.total && !v->suspects.count;
}

static void finish_pass(struct tmk_verify *v)
{
	struct tmk_progress *p = &v->state.pass;

	p->last.known = true;
	p->last.asked = p->asked;
	p->last.time = tmk_clock_ns();
	p->last.different = p->different;
	p->last.skipped = p->skipped;
	tmk_log_info("%s: verified; %llu bytes differed, %llu were not compared", v->parts.source->spec.name,
		     (unsigned long long)p->different, (unsigned long long)p->skipped);
	end_pass(v);
}

static void end_batch(struct tmk_verify *v)
{
	rest(v);
	if (v->second)
		tmk_suspects_looked(&v->suspects);
	else
		v->state.pass.done = v->at;
	if (pass_over(v))
		finish_pass(v);
	else if (tmk_now_ms() - v->saved >= SAVE_MS)
		save(v);
}

int tmk_verify_taken(struct tmk_verify *v, struct tmk_error *err)
{
	struct tmk_source *source = v->parts.source;
	struct tmk_suspects *s = &v->suspects;
	size_t kept = 0, count = s->count;
	int rc = 0;

	if (v->stage != RESTING || v->takes == source->takes)
		return 0;
	for (size_t i = 0; i < count; i++) {
		const struct tmk_suspect *one = &s->list[i];
		bool taken = false;

		if (!rc)
			rc = tmk_source_taken(source, one->disk, (struct tmk_extent){one->offset, one->length}, &taken, err);
		if (taken)
			v->state.pass.skipped += one->length;
		else
			s->list[kept++] = *one;
	}
	s->count = kept;
	if (!rc)
		v->takes = source->takes;
	if (count && pass_over(v))
		finish_pass(v);
	return rc;
}

static int close_reading(struct tmk_verify *v, struct tmk_error *err)
{
	int rc = tmk_packer_empty(v->parts.packer) ? 0 : tmk_stream_seal(v->parts.stream, v->parts.packer, NULL, err);

	v->began = tmk_now_ms();
	v->stage = WAITING;
	return rc;
}

/* Rounds have waited for long enough: for results, or for room in the window, which is full until some come. */
static bool too_long(const struct tmk_verify *v)
{
	uint64_t elapsed = tmk_now_ms() - v->began;

	if (v->stage == WAITING)
		return elapsed >= RESULT_MS;
	return elapsed >= BATCH_MS + RESULT_MS && !tmk_stream_open(v->parts.stream);
}

static void give_up(struct tmk_verify *v)
{
	tmk_verify_abort(v);
	v->not_before = tmk_now_ms() + LATER_MS;
}

int tmk_verify_step(struct tmk_verify *v, bool hurry, struct tmk_error *err)
{
	int rc = 0;

	if (v->stage == READING) {
		rc = pack(v, err);
		if (!rc)
			rc = submit(v, hurry, err);
		if (!rc && v->enough && !tmk_reader_busy(v->parts.reader))
			rc = close_reading(v, err);
	}
	if (rc || v->stage == RESTING)
		return rc;
	if (v->stage == WAITING && tmk_stream_drained(v->parts.stream))
		end_batch(v);
	else if (hurry && too_long(v))
		give_up(v);
	return 0;
}
