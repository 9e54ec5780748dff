/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tracker interface: see tracker.h. Hands over to the backend; what only looks at maps is done here, once for all of them. */
#include <errno.h>
#include <string.h>

#include "blocks.h"
#include "error.h"
#include "tracker_backend.h"

void tmk_tracker_close(struct tmk_tracker *t)
{
	if (t)
		t->backend->close(t);
}

int tmk_tracker_attach(struct tmk_tracker *t, const struct tmk_tracker_disk *disk, struct tmk_tracker_attached *out,
		       struct tmk_error *err)
{
	return t->backend->attach(t, disk, out, err);
}

int tmk_tracker_detach(struct tmk_tracker *t, int slot, struct tmk_error *err)
{
	return t->backend->detach(t, slot, err);
}

void tmk_tracker_forget(struct tmk_tracker *t, const uint8_t key[16])
{
	t->backend->forget(t, key);
}

int tmk_tracker_poll(struct tmk_tracker *t, struct tmk_error *err)
{
	return t->backend->poll(t, err);
}

uint64_t tmk_tracker_unshown(const struct tmk_tracker *t)
{
	return t->backend->unshown(t);
}

/* ---- takes ---- */

int tmk_tracker_take(struct tmk_tracker *t, const int *slots, size_t count, struct tmk_take *out, struct tmk_error *err)
{
	int rc;

	memset(out, 0, sizeof(*out));
	rc = t->backend->take(t, slots, count, out, err);
	for (size_t i = 0; i < count && !rc; i++) {
		struct tmk_blocks taken;
		uint64_t blocks;

		rc = t->backend->map(t, slots[i], TMK_TAKEN, &taken, err);
		if (rc)
			break;
		blocks = tmk_bitmap_count(&taken.bits);
		out->blocks += blocks;
		out->bytes += tmk_blocks_bytes(&taken, blocks);
	}
	return rc;
}

int tmk_tracker_settled(struct tmk_tracker *t, const int *slots, size_t count, const struct tmk_take *take, bool *settled,
			struct tmk_error *err)
{
	return t->backend->settled(t, slots, count, take, settled, err);
}

/* ---- maps ---- */

static int check_extent(const struct tmk_blocks *b, struct tmk_extent e, struct tmk_error *err)
{
	if (tmk_blocks_inside(b, e.offset, e.length))
		return 0;
	return tmk_error_set(err, -EINVAL, "%llu+%llu lies behind the disk's end at %llu", (unsigned long long)e.offset,
			     (unsigned long long)e.length, (unsigned long long)b->length);
}

/* The map, if the extent lies on the disk. */
static int view(struct tmk_tracker *t, int slot, enum tmk_which which, struct tmk_extent e, struct tmk_blocks *out,
		struct tmk_error *err)
{
	int rc = t->backend->map(t, slot, which, out, err);

	return rc ? rc : check_extent(out, e, err);
}

int tmk_tracker_extents(struct tmk_tracker *t, int slot, enum tmk_which which, uint64_t from, struct tmk_extent *out, size_t max,
			size_t *count, struct tmk_error *err)
{
	struct tmk_blocks b;
	int rc = t->backend->map(t, slot, which, &b, err);

	*count = 0;
	while (!rc && *count < max && tmk_blocks_next(&b, from, &out[*count].offset, &out[*count].length)) {
		from = out[*count].offset + out[*count].length;
		++*count;
	}
	return rc;
}

int tmk_tracker_marked(struct tmk_tracker *t, int slot, enum tmk_which which, struct tmk_extent extent, bool *marked,
		       struct tmk_error *err)
{
	struct tmk_blocks b;
	int rc = view(t, slot, which, extent, &b, err);

	*marked = !rc && extent.length && tmk_blocks_any(&b, extent.offset, extent.length);
	return rc;
}

int tmk_tracker_count(struct tmk_tracker *t, int slot, enum tmk_which which, uint64_t *blocks, struct tmk_error *err)
{
	struct tmk_blocks b;
	int rc = t->backend->map(t, slot, which, &b, err);

	if (!rc)
		*blocks = tmk_bitmap_count(&b.bits);
	return rc;
}

int tmk_tracker_release(struct tmk_tracker *t, int slot, struct tmk_extent extent, struct tmk_error *err)
{
	struct tmk_blocks b;
	int rc = view(t, slot, TMK_TAKEN, extent, &b, err);

	return rc ? rc : t->backend->release(t, slot, extent, err);
}

static int mark(struct tmk_tracker *t, int slot, struct tmk_extent extent, bool gap, struct tmk_error *err)
{
	struct tmk_blocks b;
	int rc = view(t, slot, TMK_NOW, extent, &b, err);

	return rc || !extent.length ? rc : t->backend->mark(t, slot, extent, gap, err);
}

int tmk_tracker_mark(struct tmk_tracker *t, int slot, struct tmk_extent extent, struct tmk_error *err)
{
	return mark(t, slot, extent, true, err);
}

int tmk_tracker_remind(struct tmk_tracker *t, int slot, struct tmk_extent extent, struct tmk_error *err)
{
	return mark(t, slot, extent, false, err);
}

int tmk_tracker_doubt(struct tmk_tracker *t, int slot, const char *reason, struct tmk_error *err)
{
	return t->backend->doubt(t, slot, reason, err);
}

int tmk_tracker_gap(struct tmk_tracker *t, const int *slots, size_t count, uint64_t *gap, struct tmk_error *err)
{
	return t->backend->gap(t, slots, count, gap, err);
}

/* ---- the log ---- */

static int no_log(struct tmk_error *err)
{
	return tmk_error_set(err, -EOPNOTSUPP, "this tracker has no log");
}

int tmk_tracker_log(struct tmk_tracker *t, int slot, struct tmk_log *out, struct tmk_error *err)
{
	memset(out, 0, sizeof(*out));
	return t->backend->log ? t->backend->log(t, slot, out, err) : 0;
}

int tmk_tracker_ring(struct tmk_tracker *t, int slot, const void **ring, struct tmk_error *err)
{
	return t->backend->ring ? t->backend->ring(t, slot, ring, err) : no_log(err);
}

int tmk_tracker_switch(struct tmk_tracker *t, int slot, bool on, bool both, struct tmk_error *err)
{
	return t->backend->switch_log ? t->backend->switch_log(t, slot, on, both, err) : no_log(err);
}

int tmk_tracker_cut(struct tmk_tracker *t, int slot, const uint8_t id[16], uint64_t *gap, struct tmk_error *err)
{
	return t->backend->cut ? t->backend->cut(t, slot, id, gap, err) : no_log(err);
}

int tmk_tracker_release_log(struct tmk_tracker *t, int slot, uint64_t position, struct tmk_error *err)
{
	return t->backend->release_log ? t->backend->release_log(t, slot, position, err) : no_log(err);
}

/* ---- the rest ---- */

int tmk_tracker_cookie(struct tmk_tracker *t, int slot, struct tmk_cookie *out, struct tmk_error *err)
{
	return t->backend->cookie(t, slot, out, err);
}

int tmk_tracker_set_cookie(struct tmk_tracker *t, int slot, const struct tmk_cookie *cookie, struct tmk_error *err)
{
	return t->backend->set_cookie(t, slot, cookie, err);
}

int tmk_tracker_watch(struct tmk_tracker *t, bool on, struct tmk_error *err)
{
	return t->backend->watch(t, on, err);
}

int tmk_tracker_writer(struct tmk_tracker *t, int slot, struct tmk_writer *out, struct tmk_error *err)
{
	return t->backend->writer(t, slot, out, err);
}

int tmk_tracker_status(struct tmk_tracker *t, int slot, struct tmk_tracker_status *out, struct tmk_error *err)
{
	return t->backend->status(t, slot, out, err);
}
