/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking, listing, releasing and setting marks. Bytes of the interface become blocks here. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "state.h"

struct tmk_bpf_slot *tmk_marks_slot(struct tmk_tracker *t, int slot, struct tmk_error *err)
{
	if (slot >= 0 && slot < TMK_BPF_SLOTS && t->slots[slot].state == TMK_BPF_TRACKED)
		return &t->slots[slot];
	tmk_error_set(err, -ENOENT, "no disk is tracked as number %d", slot);
	return NULL;
}

static uint64_t block_size(const struct tmk_bpf_slot *s)
{
	return 512ull << s->shift;
}

static uint64_t length_of(const struct tmk_bpf_slot *s)
{
	return s->length * 512;
}

static uint64_t gap_of(const struct tmk_bpf_slot *s)
{
	return __atomic_load_n(&s->gap, __ATOMIC_SEQ_CST);
}

static const struct tmk_bitmap *map_of(struct tmk_tracker *t, int slot, enum tmk_which which)
{
	return which == TMK_NOW ? &t->maps[slot].now : &t->maps[slot].taken;
}

static int check_slots(struct tmk_tracker *t, const int *slots, size_t count, struct tmk_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!tmk_marks_slot(t, slots[i], err))
			return -ENOENT;
	return 0;
}

static int check_extent(const struct tmk_bpf_slot *s, struct tmk_extent e, struct tmk_error *err)
{
	if (e.offset <= length_of(s) && e.length <= length_of(s) - e.offset)
		return 0;
	return tmk_error_set(err, -EINVAL, "%llu+%llu lies behind the disk's end at %llu", (unsigned long long)e.offset,
			     (unsigned long long)e.length, (unsigned long long)length_of(s));
}

/* ---- doubt ---- */

void tmk_marks_doubt(struct tmk_tracker *t, int slot, const char *format, ...)
{
	struct tmk_bpf_slot *s = &t->slots[slot];
	va_list args;

	va_start(args, format);
	vsnprintf(s->reason, sizeof(s->reason), format, args);
	va_end(args);
	tmk_bitmap_set(&t->maps[slot].now, 0, t->maps[slot].now.blocks);
	__atomic_fetch_add(&s->gap, 1, __ATOMIC_SEQ_CST);
}

void tmk_marks_doubt_all(struct tmk_tracker *t, const char *reason)
{
	for (int i = 0; i < TMK_BPF_SLOTS; i++)
		if (t->slots[i].state == TMK_BPF_TRACKED)
			tmk_marks_doubt(t, i, "%s", reason);
}

int tmk_tracker_doubt(struct tmk_tracker *t, int slot, const char *reason, struct tmk_error *err)
{
	if (!tmk_marks_slot(t, slot, err))
		return -ENOENT;
	tmk_marks_doubt(t, slot, "%s", reason);
	return 0;
}

static uint64_t sum_gaps(struct tmk_tracker *t, const int *slots, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += gap_of(&t->slots[slots[i]]);
	return sum;
}

int tmk_tracker_gap(struct tmk_tracker *t, const int *slots, size_t count, uint64_t *gap, struct tmk_error *err)
{
	int rc = check_slots(t, slots, count, err);

	if (!rc)
		*gap = sum_gaps(t, slots, count);
	return rc;
}

/* ---- rounds ---- */

/* The last block may be short. */
static uint64_t marked_bytes(const struct tmk_bpf_slot *s, const struct tmk_bitmap *b, uint64_t blocks)
{
	uint64_t missing = b->blocks * block_size(s) - length_of(s);

	return blocks * block_size(s) - (tmk_bitmap_test(b, b->blocks - 1) ? missing : 0);
}

/* The gap count is read before the first mark is moved: what raises it later is then not mistaken for part of this take. */
int tmk_tracker_take(struct tmk_tracker *t, const int *slots, size_t count, struct tmk_take *out, struct tmk_error *err)
{
	int rc = check_slots(t, slots, count, err);

	if (rc)
		return rc;
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < count; i++)
		tmk_poll_settle(t, slots[i]);
	out->gap = sum_gaps(t, slots, count);
	for (size_t i = 0; i < count; i++) {
		struct tmk_slot_maps *maps = &t->maps[slots[i]];
		uint64_t blocks;

		tmk_bitmap_move(&maps->now, &maps->taken);
		blocks = tmk_bitmap_count(&maps->taken);
		out->blocks += blocks;
		out->bytes += marked_bytes(&t->slots[slots[i]], &maps->taken, blocks);
	}
	return 0;
}

int tmk_tracker_extents(struct tmk_tracker *t, int slot, enum tmk_which which, uint64_t from, struct tmk_extent *out, size_t max,
			size_t *count, struct tmk_error *err)
{
	const struct tmk_bpf_slot *s = tmk_marks_slot(t, slot, err);
	uint64_t size, at, first, run;

	*count = 0;
	if (!s)
		return -ENOENT;
	size = block_size(s);
	for (at = from / size; *count < max && tmk_bitmap_run(map_of(t, slot, which), at, &first, &run); at = first + run) {
		uint64_t offset = first * size > from ? first * size : from;
		uint64_t end = (first + run) * size < length_of(s) ? (first + run) * size : length_of(s);

		if (offset < end)
			out[(*count)++] = (struct tmk_extent){.offset = offset, .length = end - offset};
	}
	return 0;
}

/* The blocks that an extent of some length touches. */
static void touched(const struct tmk_bpf_slot *s, struct tmk_extent extent, uint64_t *first, uint64_t *count)
{
	*first = extent.offset / block_size(s);
	*count = (extent.offset + extent.length - 1) / block_size(s) - *first + 1;
}

int tmk_tracker_marked(struct tmk_tracker *t, int slot, enum tmk_which which, struct tmk_extent extent, bool *marked,
		       struct tmk_error *err)
{
	const struct tmk_bpf_slot *s = tmk_marks_slot(t, slot, err);
	int rc = s ? check_extent(s, extent, err) : -ENOENT;
	uint64_t first, count;

	*marked = false;
	if (rc || !extent.length)
		return rc;
	touched(s, extent, &first, &count);
	*marked = tmk_bitmap_any(map_of(t, slot, which), first, count);
	return 0;
}

int tmk_tracker_count(struct tmk_tracker *t, int slot, enum tmk_which which, uint64_t *blocks, struct tmk_error *err)
{
	if (!tmk_marks_slot(t, slot, err))
		return -ENOENT;
	*blocks = tmk_bitmap_count(map_of(t, slot, which));
	return 0;
}

int tmk_tracker_release(struct tmk_tracker *t, int slot, struct tmk_extent extent, struct tmk_error *err)
{
	const struct tmk_bpf_slot *s = tmk_marks_slot(t, slot, err);
	uint64_t end = extent.offset + extent.length, first, last;
	int rc = s ? check_extent(s, extent, err) : -ENOENT;

	if (rc)
		return rc;
	first = (extent.offset + block_size(s) - 1) / block_size(s);
	last = end == length_of(s) ? t->maps[slot].taken.blocks : end / block_size(s);
	if (first < last)
		tmk_bitmap_clear(&t->maps[slot].taken, first, last - first);
	return 0;
}

int tmk_tracker_mark(struct tmk_tracker *t, int slot, struct tmk_extent extent, struct tmk_error *err)
{
	const struct tmk_bpf_slot *s = tmk_marks_slot(t, slot, err);
	int rc = s ? check_extent(s, extent, err) : -ENOENT;
	uint64_t first, count;

	if (rc || !extent.length)
		return rc;
	touched(s, extent, &first, &count);
	tmk_bitmap_set(&t->maps[slot].now, first, count);
	return 0;
}

/* ---- cookie ---- */

_Static_assert(sizeof(struct tmk_cookie) == sizeof(struct tmk_bpf_cookie), "the cookie is kept as it is");

int tmk_tracker_cookie(struct tmk_tracker *t, int slot, struct tmk_cookie *out, struct tmk_error *err)
{
	const struct tmk_bpf_slot *s = tmk_marks_slot(t, slot, err);

	if (!s)
		return -ENOENT;
	memcpy(out, &s->cookie[s->cookie_at & 1], sizeof(*out));
	return 0;
}

/* Two places by turns: a kill in the middle leaves the old one. */
int tmk_tracker_set_cookie(struct tmk_tracker *t, int slot, const struct tmk_cookie *cookie, struct tmk_error *err)
{
	struct tmk_bpf_slot *s = tmk_marks_slot(t, slot, err);
	uint32_t other;

	if (!s)
		return -ENOENT;
	other = !(s->cookie_at & 1);
	memcpy(&s->cookie[other], cookie, sizeof(*cookie));
	__atomic_store_n(&s->cookie_at, other, __ATOMIC_SEQ_CST);
	return 0;
}
