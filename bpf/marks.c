/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking, listing, releasing and setting marks. Bytes of the interface become blocks here. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "state.h"

struct tmk_bpf_slot *tmk_marks_slot(struct tmk_ebpf *t, int slot, struct tmk_error *err)
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

static int check_slots(struct tmk_ebpf *t, const int *slots, size_t count, struct tmk_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!tmk_marks_slot(t, slots[i], err))
			return -ENOENT;
	return 0;
}

/* ---- doubt ---- */

void tmk_marks_doubt(struct tmk_ebpf *t, int slot, const char *format, ...)
{
	struct tmk_bpf_slot *s = &t->slots[slot];
	va_list args;

	va_start(args, format);
	vsnprintf(s->reason, sizeof(s->reason), format, args);
	va_end(args);
	tmk_bitmap_set(&t->maps[slot].now, 0, t->maps[slot].now.blocks);
	__atomic_fetch_add(&s->gap, 1, __ATOMIC_SEQ_CST);
}

void tmk_marks_doubt_all(struct tmk_ebpf *t, const char *reason)
{
	for (int i = 0; i < TMK_BPF_SLOTS; i++)
		if (t->slots[i].state == TMK_BPF_TRACKED)
			tmk_marks_doubt(t, i, "%s", reason);
}

int tmk_ebpf_doubt(struct tmk_tracker *tracker, int slot, const char *reason, struct tmk_error *err)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);

	if (!tmk_marks_slot(t, slot, err))
		return -ENOENT;
	tmk_marks_doubt(t, slot, "%s", reason);
	return 0;
}

static uint64_t sum_gaps(struct tmk_ebpf *t, const int *slots, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += gap_of(&t->slots[slots[i]]);
	return sum;
}

int tmk_ebpf_gap(struct tmk_tracker *tracker, const int *slots, size_t count, uint64_t *gap, struct tmk_error *err)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);
	int rc = check_slots(t, slots, count, err);

	if (!rc)
		*gap = sum_gaps(t, slots, count);
	return rc;
}

/* ---- rounds ---- */

/* The gap count is read before the first mark is moved: what raises it later is then not mistaken for part of this take. */
int tmk_ebpf_take(struct tmk_tracker *tracker, const int *slots, size_t count, struct tmk_take *out, struct tmk_error *err)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);
	int rc = check_slots(t, slots, count, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++)
		tmk_poll_settle(t, slots[i]);
	out->gap = sum_gaps(t, slots, count);
	for (size_t i = 0; i < count; i++)
		tmk_bitmap_move(&t->maps[slots[i]].now, &t->maps[slots[i]].taken);
	return 0;
}

/* It marks at completion, too: what was in flight at the take will be in `now`. */
int tmk_ebpf_settled(struct tmk_tracker *tracker, const int *slots, size_t count, const struct tmk_take *take, bool *settled,
		     struct tmk_error *err)
{
	(void)tracker, (void)slots, (void)count, (void)take, (void)err;
	*settled = true;
	return 0;
}

/* ---- maps ---- */

int tmk_ebpf_map(struct tmk_tracker *tracker, int slot, enum tmk_which which, struct tmk_blocks *out, struct tmk_error *err)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);
	const struct tmk_bpf_slot *s = tmk_marks_slot(t, slot, err);

	if (!s)
		return -ENOENT;
	*out = (struct tmk_blocks){which == TMK_NOW ? t->maps[slot].now : t->maps[slot].taken, block_size(s), length_of(s)};
	return 0;
}

int tmk_ebpf_release(struct tmk_tracker *tracker, int slot, struct tmk_extent extent, struct tmk_error *err)
{
	struct tmk_blocks taken;
	int rc = tmk_ebpf_map(tracker, slot, TMK_TAKEN, &taken, err);

	if (!rc)
		tmk_blocks_clear(&taken, extent.offset, extent.length);
	return rc;
}

int tmk_ebpf_mark(struct tmk_tracker *tracker, int slot, struct tmk_extent extent, bool gap, struct tmk_error *err)
{
	struct tmk_blocks now;
	int rc = tmk_ebpf_map(tracker, slot, TMK_NOW, &now, err);

	(void)gap;
	if (!rc)
		tmk_blocks_set(&now, extent.offset, extent.length);
	return rc;
}

/* ---- cookie ---- */

_Static_assert(sizeof(struct tmk_cookie) == sizeof(struct tmk_bpf_cookie), "the cookie is kept as it is");

int tmk_ebpf_cookie(struct tmk_tracker *tracker, int slot, struct tmk_cookie *out, struct tmk_error *err)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);
	const struct tmk_bpf_slot *s = tmk_marks_slot(t, slot, err);

	if (!s)
		return -ENOENT;
	memcpy(out, &s->cookie[s->cookie_at & 1], sizeof(*out));
	return 0;
}

/* Two places by turns: a kill in the middle leaves the old one. */
int tmk_ebpf_set_cookie(struct tmk_tracker *tracker, int slot, const struct tmk_cookie *cookie, struct tmk_error *err)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);
	struct tmk_bpf_slot *s = tmk_marks_slot(t, slot, err);
	uint32_t other;

	if (!s)
		return -ENOENT;
	other = !(s->cookie_at & 1);
	memcpy(&s->cookie[other], cookie, sizeof(*cookie));
	__atomic_store_n(&s->cookie_at, other, __ATOMIC_SEQ_CST);
	return 0;
}
