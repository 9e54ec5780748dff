/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks and their marks: see source.h. */
#include "source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "util.h"

#define SURE_MS 10000	/* a read error that lasts so long is the medium's */
#define BLOCK_MIN 4096u /* reads and scratch never divide a block of this size */

void tmk_source_init(struct tmk_source *s, struct tmk_trackers *trackers, const struct tmk_spec *spec, uint64_t ring)
{
	memset(s, 0, sizeof(*s));
	s->trackers = trackers;
	s->ring = ring;
	s->spec = *spec;
}

static int check_device(const struct tmk_spec_disk *was, const struct tmk_device *is, struct tmk_error *err)
{
	if (is->size != was->size)
		return tmk_error_set(
			err, -ESTALE,
			"%s had %llu bytes when it was protected, and has %llu now; unprotect it and protect it again", was->path,
			(unsigned long long)was->size, (unsigned long long)is->size);
	if (strcmp(is->identity, was->identity))
		return tmk_error_set(err, -ESTALE, "%s is another disk (%s) than the one that was protected (%s)", was->path,
				     is->identity, was->identity);
	return 0;
}

static int find_devices(const struct tmk_spec *spec, struct tmk_device *out, struct tmk_error *err)
{
	for (uint16_t i = 0; i < spec->disk_count; i++) {
		int rc = tmk_device_find(spec->disks[i].path, &out[i], err);

		if (!rc)
			rc = check_device(&spec->disks[i], &out[i], err);
		if (rc)
			return rc;
	}
	return 0;
}

static void describe(const struct tmk_source *s, uint16_t i, struct tmk_tracker_disk *out)
{
	const struct tmk_device *d = &s->devices[i];

	memset(out, 0, sizeof(*out));
	memcpy(out->key, s->spec.protection, sizeof(out->key));
	out->key[0] ^= (uint8_t)i;
	out->disk = d->disk;
	out->start = d->start;
	out->length = d->size;
	out->whole_disk = d->whole;
	memcpy(out->identity, d->identity, sizeof(out->identity));
	memcpy(out->protection, s->spec.protection, sizeof(out->protection));
	out->path = d->path;
	out->ring = s->ring;
}

/* The other tracker may have had the disks before: of what it saw since, this one's first take knows nothing less. */
static void forget_disks(const struct tmk_source *s, struct tmk_marks *other)
{
	struct tmk_tracker_disk disk;
	struct tmk_tracker *t;

	if (!other)
		return;
	t = tmk_marks_lock(other);
	for (uint16_t i = 0; i < s->spec.disk_count; i++) {
		describe(s, i, &disk);
		tmk_tracker_forget(t, disk.key);
	}
	tmk_marks_unlock(other);
}

int tmk_source_attach(struct tmk_source *s, struct tmk_error *err)
{
	struct tmk_chosen chosen;
	struct tmk_tracker *t;
	uint16_t i;
	int rc;

	if (s->attached)
		return 0;
	rc = find_devices(&s->spec, s->devices, err);
	if (rc)
		return rc;
	rc = tmk_scratch_find(s->devices, s->spec.disk_count, &s->scratch, err);
	if (!rc)
		rc = tmk_trackers_choose(s->trackers, s->spec.tracker, &chosen, err);
	if (rc)
		return rc;
	s->marks = chosen.marks;
	t = tmk_marks_lock(s->marks);
	for (i = 0; i < s->spec.disk_count && !rc; i++) {
		struct tmk_tracker_attached a;
		struct tmk_tracker_disk disk;

		describe(s, i, &disk);
		rc = tmk_tracker_attach(t, &disk, &a, err);
		if (rc)
			break;
		s->slots[i] = a.slot;
		s->held = i >= s->held ? i + 1 : s->held;
		s->block_size[i] = a.block_size;
		s->fresh |= a.fresh;
		if (a.fresh)
			tmk_doubt_all(s->doubt, i);
	}
	/* A disk that came first stays attached: its marks are kept until the others come too. */
	tmk_marks_unlock(s->marks);
	if (rc)
		return tmk_error_prefix(err, "cannot track %s", s->spec.disks[i].path);
	forget_disks(s, chosen.other);
	s->attached = true;
	return 0;
}

void tmk_source_detach(struct tmk_source *s)
{
	struct tmk_chosen chosen;
	struct tmk_tracker *t;
	struct tmk_error none;

	if (!s->marks) { /* not attached since the start: an earlier shipper may have done so */
		if (!tmk_trackers_choose(s->trackers, TMK_TRACKER_ANY, &chosen, &none)) {
			forget_disks(s, chosen.marks);
			forget_disks(s, chosen.other);
		}
		return;
	}
	t = tmk_marks_lock(s->marks);
	for (uint16_t i = 0; i < s->held; i++) {
		struct tmk_error err;

		if (tmk_tracker_detach(t, s->slots[i], &err))
			tmk_log_warning("%s: %s", s->spec.disks[i].path, err.text);
	}
	tmk_marks_unlock(s->marks);
	forget_disks(s, s->marks); /* one that is missing now */
	s->attached = false;
	s->held = 0;
}

/* Swap that was switched off is ordinary space again: its contents on the target are zeroes, so it is copied. */
int tmk_source_refresh(struct tmk_source *s, struct tmk_error *err)
{
	struct tmk_scratch now;
	int rc = tmk_scratch_find(s->devices, s->spec.disk_count, &now, err);

	if (rc || tmk_scratch_same(&now, &s->scratch))
		return rc;
	for (size_t i = 0; i < s->scratch.count && !rc; i++) {
		const struct tmk_scratch_range *r = &s->scratch.ranges[i];

		rc = tmk_source_mark(s, r->disk, (struct tmk_extent){r->offset, r->length}, err);
	}
	if (!rc)
		s->scratch = now;
	return rc;
}

int tmk_source_scratch_kept(struct tmk_source *s, bool *kept, char *why, struct tmk_error *err)
{
	struct tmk_scratch now;
	int rc = tmk_scratch_find(s->devices, s->spec.disk_count, &now, err);

	*kept = !rc && tmk_scratch_same(&now, &s->scratch);
	if (!*kept)
		snprintf(why, 192, "swap was switched on or off");
	return rc;
}

/* A disk whose gap count moved was marked as a whole, and all that this take took of it is in doubt. */
static int follow_gaps(struct tmk_source *s, struct tmk_tracker *t, struct tmk_error *err)
{
	int rc = 0;

	for (uint16_t i = 0; i < s->spec.disk_count && !rc; i++) {
		uint64_t gap;

		rc = tmk_tracker_gap(t, &s->slots[i], 1, &gap, err);
		if (!rc)
			tmk_doubt_follow(s->doubt, i, gap);
	}
	return rc;
}

int tmk_source_take_frozen(struct tmk_source *s, struct tmk_take *out, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	int rc = tmk_tracker_poll(t, err);

	s->unshown = tmk_tracker_unshown(t);
	s->takes++;
	if (!rc)
		rc = tmk_tracker_take(t, s->slots, s->spec.disk_count, out, err);
	if (!rc)
		rc = follow_gaps(s, t, err);
	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_take(struct tmk_source *s, struct tmk_take *out, struct tmk_error *err)
{
	struct tmk_device now[TMK_DISKS_MAX];
	int rc = find_devices(&s->spec, now, err);

	for (uint16_t i = 0; i < s->spec.disk_count && !rc; i++)
		if (now[i].disk != s->devices[i].disk || now[i].start != s->devices[i].start)
			rc = tmk_error_set(err, -ESTALE, "%s moved to another device or place; unprotect it and protect it again",
					   s->spec.disks[i].path);
	if (!rc)
		rc = tmk_source_refresh(s, err);
	return rc ? rc : tmk_source_take_frozen(s, out, err);
}

int tmk_source_settled(struct tmk_source *s, const struct tmk_take *take, bool *settled, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	int rc = tmk_tracker_settled(t, s->slots, s->spec.disk_count, take, settled, err);

	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_extents(struct tmk_source *s, enum tmk_which which, uint16_t disk, uint64_t from, struct tmk_extent *out,
		       size_t max, size_t *count, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	int rc = tmk_tracker_extents(t, s->slots[disk], which, from, out, max, count, err);

	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_dirty(struct tmk_source *s, uint64_t *now, uint64_t *taken, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	uint64_t blocks;
	int rc = tmk_tracker_poll(t, err); /* a disk that is at rest may have become doubtful, too */

	*now = *taken = 0;
	for (uint16_t i = 0; i < s->spec.disk_count && !rc; i++) {
		rc = tmk_tracker_count(t, s->slots[i], TMK_NOW, &blocks, err);
		if (rc)
			break;
		*now += blocks * s->block_size[i];
		rc = tmk_tracker_count(t, s->slots[i], TMK_TAKEN, &blocks, err);
		if (!rc)
			*taken += blocks * s->block_size[i];
	}
	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_release(struct tmk_source *s, const struct tmk_covered *covered, size_t count, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	int rc = 0;

	for (size_t i = 0; i < count && !rc; i++)
		rc = tmk_tracker_release(t, s->slots[covered[i].disk], (struct tmk_extent){covered[i].offset, covered[i].length},
					 err);
	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_release_log(struct tmk_source *s, uint64_t position, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	int rc = tmk_tracker_release_log(t, s->slots[0], position, err);

	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_marked(struct tmk_source *s, uint16_t disk, struct tmk_extent extent, bool *marked, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	int rc = tmk_tracker_marked(t, s->slots[disk], TMK_NOW, extent, marked, err);

	if (!rc && !*marked)
		rc = tmk_tracker_marked(t, s->slots[disk], TMK_TAKEN, extent, marked, err);
	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_taken(struct tmk_source *s, uint16_t disk, struct tmk_extent extent, bool *taken, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	int rc = tmk_tracker_marked(t, s->slots[disk], TMK_TAKEN, extent, taken, err);

	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_poll(struct tmk_source *s, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	int rc = tmk_tracker_poll(t, err);

	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_release_rest(struct tmk_source *s, struct tmk_error *err)
{
	struct tmk_extent e[64];
	size_t count;
	int rc = 0;

	for (uint16_t disk = 0; disk < s->spec.disk_count && !rc; disk++) {
		if (s->block_size[disk] <= BLOCK_MIN)
			continue;
		do {
			rc = tmk_source_extents(s, TMK_TAKEN, disk, 0, e, 64, &count, err);
			for (size_t i = 0; i < count && !rc; i++)
				rc = tmk_source_release(s, &(struct tmk_covered){disk, e[i].offset, e[i].length}, 1, err);
		} while (count && !rc);
	}
	return rc;
}

static void tell_writer(struct tmk_source *s, uint16_t disk, const struct tmk_extent *e, char why[192])
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	struct tmk_writer w;

	if (tmk_tracker_writer(t, s->slots[disk], &w, NULL))
		snprintf(why, 192, "%.80s was written at byte %llu", s->spec.disks[disk].path, (unsigned long long)e->offset);
	else
		snprintf(why, 192, "%.80s was written at byte %llu; its last writer was %.16s (pid %u)", s->spec.disks[disk].path,
			 (unsigned long long)e->offset, w.comm, w.pid);
	tmk_marks_unlock(s->marks);
}

bool tmk_source_bad_split(const struct tmk_source *s, uint16_t disk, uint64_t offset, uint64_t *length)
{
	for (size_t i = 0; i < s->bad_count; i++) {
		const struct tmk_covered *b = &s->bad[i].at;
		uint64_t end = b->offset + b->length;

		if (!s->bad[i].sure || b->disk != disk || end <= offset || b->offset >= offset + *length)
			continue;
		if (b->offset <= offset) {
			if (end - offset < *length)
				*length = end - offset;
			return true;
		}
		*length = b->offset - offset;
	}
	return false;
}

/* The first extent of `now` that is not scratch; length 0: none. */
static int first_dirty(struct tmk_source *s, uint16_t disk, struct tmk_extent *out, struct tmk_error *err)
{
	struct tmk_extent e[64];
	uint64_t from = 0;
	size_t count;

	out->length = 0;
	for (;;) {
		int rc = tmk_source_extents(s, TMK_NOW, disk, from, e, 64, &count, err);

		if (rc || !count)
			return rc;
		for (size_t i = 0; i < count; i++) {
			uint64_t at = e[i].offset, end = at + e[i].length;

			while (at < end) {
				uint64_t part = end - at;

				if (!tmk_scratch_split(&s->scratch, disk, at, &part) &&
				    !tmk_source_bad_split(s, disk, at, &part)) {
					*out = (struct tmk_extent){at, part};
					return 0;
				}
				at += part;
			}
		}
		from = e[count - 1].offset + e[count - 1].length;
	}
}

static int missed_nothing(struct tmk_source *s, uint64_t gap, bool *proven, char why[192], struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	uint64_t now = 0, unshown = 0;
	int rc = tmk_tracker_poll(t, err);

	if (!rc)
		rc = tmk_tracker_gap(t, s->slots, s->spec.disk_count, &now, err);
	if (!rc)
		unshown = tmk_tracker_unshown(t) - s->unshown;
	tmk_marks_unlock(s->marks);
	*proven = !rc && now == gap && !unshown;
	if (now != gap)
		snprintf(why, 192, "a write may have been missed (gap count %llu, was %llu)", (unsigned long long)now,
			 (unsigned long long)gap);
	else if (!*proven)
		snprintf(why, 192, "the kernel did not show %llu requests when they were sent", (unsigned long long)unshown);
	return rc;
}

/* The map first, the counters of missed events last: what was missed while the map was read still moves them. */
int tmk_source_proof(struct tmk_source *s, uint64_t gap, bool *proven, char why[192], struct tmk_error *err)
{
	*proven = false;
	for (uint16_t i = 0; i < s->spec.disk_count; i++) {
		struct tmk_extent e;
		int rc = first_dirty(s, i, &e, err);

		if (rc)
			return rc;
		if (e.length) {
			tell_writer(s, i, &e, why);
			return 0;
		}
	}
	return missed_nothing(s, gap, proven, why, err);
}

int tmk_source_mark(struct tmk_source *s, uint16_t disk, struct tmk_extent extent, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	int rc = tmk_tracker_mark(t, s->slots[disk], extent, err);

	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_mark_all(struct tmk_source *s, struct tmk_error *err)
{
	int rc = 0;

	for (uint16_t i = 0; i < s->spec.disk_count && !rc; i++) {
		tmk_doubt_all(s->doubt, i);
		rc = tmk_source_mark(s, i, (struct tmk_extent){0, s->spec.disks[i].size}, err);
	}
	return rc;
}

int tmk_source_doubt(struct tmk_source *s, const char *reason, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	int rc = 0;

	for (uint16_t i = 0; i < s->spec.disk_count && !rc; i++)
		rc = tmk_tracker_doubt(t, s->slots[i], reason, err);
	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_cookie(struct tmk_source *s, struct tmk_cookie *out, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	int rc = tmk_tracker_cookie(t, s->slots[0], out, err);

	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_set_cookie(struct tmk_source *s, const struct tmk_cookie *cookie, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	int rc = tmk_tracker_set_cookie(t, s->slots[0], cookie, err);

	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_remind(struct tmk_source *s, uint16_t disk, struct tmk_extent extent, struct tmk_error *err)
{
	struct tmk_tracker *t = tmk_marks_lock(s->marks);
	int rc = tmk_tracker_remind(t, s->slots[disk], extent, err);

	tmk_marks_unlock(s->marks);
	return rc;
}

int tmk_source_bad(struct tmk_source *s, uint16_t disk, uint64_t offset, uint64_t length, struct tmk_error *err)
{
	uint64_t now = tmk_now_ms();

	for (size_t i = 0; i < s->bad_count; i++) {
		struct tmk_bad *b = &s->bad[i];

		if (b->at.disk != disk || b->at.offset != offset)
			continue;
		b->sure |= now - b->since >= SURE_MS;
		return b->sure ? tmk_source_remind(s, disk, (struct tmk_extent){offset, length}, err)
			       : tmk_source_mark(s, disk, (struct tmk_extent){offset, length}, err);
	}
	if (s->bad_count == TMK_BAD_MAX)
		return tmk_error_set(err, -EIO, "%s: more than %d blocks cannot be read; the disk is failing",
				     s->spec.disks[disk].path, TMK_BAD_MAX);
	s->bad[s->bad_count++] = (struct tmk_bad){.at = {disk, offset, length}, .since = now};
	tmk_log_warning(
		"%s: %llu bytes at byte %llu cannot be read; the replica lacks them until they can be, or are written again",
		s->spec.disks[disk].path, (unsigned long long)length, (unsigned long long)offset);
	return tmk_source_mark(s, disk, (struct tmk_extent){offset, length}, err);
}

void tmk_source_good(struct tmk_source *s, uint16_t disk, uint64_t offset, uint64_t length)
{
	for (size_t i = 0; i < s->bad_count;) {
		const struct tmk_covered *b = &s->bad[i].at;

		if (b->disk == disk && b->offset >= offset && b->offset < offset + length)
			s->bad[i] = s->bad[--s->bad_count];
		else
			i++;
	}
}

uint64_t tmk_source_bad_bytes(const struct tmk_source *s, bool sure)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < s->bad_count; i++)
		bytes += !sure || s->bad[i].sure ? s->bad[i].at.length : 0;
	return bytes;
}

uint64_t tmk_source_size(const struct tmk_source *s)
{
	uint64_t size = 0;

	for (uint16_t i = 0; i < s->spec.disk_count; i++)
		size += s->spec.disks[i].size;
	return size;
}
