/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel module behind the tracker interface. What of tracker.h is a gap count is here how often a disk had to be marked as a
 * whole: what did not enter the log, which the module counts besides, stands in the map, and that is all that a map's user asks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blocks.h"
#include "module.h"
#include "tracker_backend.h"

#define SECTOR 512u

_Static_assert(sizeof(struct tmk_cookie) == TIDEMARK_COOKIE, "the cookie is kept as it is");
_Static_assert(TMK_TRACKER_DISKS == TIDEMARK_DISKS, "a slot is a disk's number");

struct slot {
	bool used;
	uint8_t protection[16];
	struct tmk_blocks maps[2]; /* by enum tmk_which; mapped */
	const void *ring;	   /* NULL: not mapped */
	uint64_t ring_size;
};
struct module {
	struct tmk_tracker tracker;
	struct tmk_module *commands;
	struct slot slots[TIDEMARK_DISKS];
	struct tmk_module_disk_status disks[TIDEMARK_DISKS]; /* as of the last look */
};

static struct module *of(struct tmk_tracker *t)
{
	return (struct module *)t;
}

static struct slot *slot_of(struct tmk_tracker *t, int slot, struct tmk_error *err)
{
	if (slot >= 0 && slot < TIDEMARK_DISKS && of(t)->slots[slot].used)
		return &of(t)->slots[slot];
	tmk_error_set(err, -ENOENT, "no disk is tracked as number %d", slot);
	return NULL;
}

/* ---- attach ---- */

static size_t bytes_of(const struct tmk_blocks *b)
{
	return tmk_bitmap_words(b->bits.blocks) * sizeof(uint64_t);
}

static void forget(struct slot *s)
{
	for (int i = 0; i < 2; i++)
		if (s->maps[i].bits.words)
			munmap(s->maps[i].bits.words, bytes_of(&s->maps[i]));
	if (s->ring)
		munmap((void *)s->ring, 2 * s->ring_size);
	memset(s, 0, sizeof(*s));
}

static int map_one(struct module *m, uint32_t disk, uint64_t what, uint64_t length, uint32_t block, struct tmk_blocks *out,
		   struct tmk_error *err)
{
	const void *at;
	int rc;

	*out = (struct tmk_blocks){.bits = {.blocks = (length + block - 1) / block}, .size = block, .length = length};
	rc = tmk_module_map(m->commands, disk, what, bytes_of(out), &at, err);
	if (!rc)
		out->bits.words = (uint64_t *)at; /* read-only: changed by commands alone */
	return rc;
}

static int remember(struct module *m, const struct tmk_tracker_disk *disk, const struct tmk_module_attached *a,
		    struct tmk_error *err)
{
	struct slot *s = &m->slots[a->disk];
	int rc;

	forget(s);
	memcpy(s->protection, disk->protection, sizeof(s->protection));
	s->ring_size = disk->ring;
	rc = map_one(m, a->disk, TIDEMARK_MAP_NOW, disk->length, a->block, &s->maps[TMK_NOW], err);
	if (!rc)
		rc = map_one(m, a->disk, TIDEMARK_MAP_TAKEN, disk->length, a->block, &s->maps[TMK_TAKEN], err);
	s->used = !rc;
	if (rc)
		forget(s);
	return rc;
}

static int attach(struct tmk_tracker *t, const struct tmk_tracker_disk *disk, struct tmk_tracker_attached *out,
		  struct tmk_error *err)
{
	struct tmk_module_disk want = {.identity = disk->identity, .ring = disk->ring};
	struct tmk_module_attached a;
	struct module *m = of(t);
	int rc;

	memcpy(want.protection, disk->protection, sizeof(want.protection));
	memcpy(want.key, disk->key, sizeof(want.key));
	want.fd = open(disk->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (want.fd < 0)
		return tmk_error_sys(err, -errno, "cannot open %s", disk->path);
	rc = tmk_module_attach(m->commands, &want, &a, err);
	close(want.fd);
	if (!rc && (a.disk >= TIDEMARK_DISKS || a.block < 4096 || a.block & (a.block - 1)))
		rc = tmk_error_set(err, -EBADMSG, "the kernel module's answer makes no sense");
	if (!rc)
		rc = remember(m, disk, &a, err);
	if (!rc)
		*out = (struct tmk_tracker_attached){.slot = (int)a.disk, .fresh = a.fresh, .block_size = a.block};
	return rc;
}

static int detach(struct tmk_tracker *t, int slot, struct tmk_error *err)
{
	struct slot *s = slot_of(t, slot, err);
	int rc = s ? tmk_module_detach(of(t)->commands, (uint32_t)slot, err) : -ENOENT;

	if (!rc)
		forget(s);
	return rc;
}

/* ---- doubt ---- */

static int look(struct module *m, struct tmk_error *err)
{
	return tmk_module_disks(m->commands, m->disks, err);
}

static int doubt(struct tmk_tracker *t, int slot, const char *reason, struct tmk_error *err)
{
	if (!slot_of(t, slot, err))
		return -ENOENT;
	return tmk_module_mark(of(t)->commands, (uint32_t)slot, 0, 0, reason, err);
}

/* A probe that found something in doubt had no time to mark everything. */
static int poll(struct tmk_tracker *t, struct tmk_error *err)
{
	struct module *m = of(t);
	int rc = look(m, err);

	for (int i = 0; i < TIDEMARK_DISKS && !rc; i++) {
		if (!m->slots[i].used)
			continue;
		if (!m->disks[i].known)
			rc = tmk_error_set(err, -ENODEV, "the kernel module was loaded anew: start the shipper again");
		else if (m->disks[i].doubtful)
			rc = doubt(t, i, m->disks[i].reason, err);
	}
	return rc;
}

static uint64_t unshown(const struct tmk_tracker *t)
{
	(void)t;
	return 0;
}

static int gap(struct tmk_tracker *t, const int *slots, size_t count, uint64_t *out, struct tmk_error *err)
{
	struct module *m = of(t);
	int rc = look(m, err);

	*out = 0;
	for (size_t i = 0; i < count && !rc; i++) {
		rc = slot_of(t, slots[i], err) ? 0 : -ENOENT;
		if (!rc)
			*out += m->disks[slots[i]].doubts;
	}
	return rc;
}

static void forget_key(struct tmk_tracker *t, const uint8_t key[16])
{
	struct module *m = of(t);
	struct tmk_error err;

	for (uint32_t i = 0; !look(m, &err) && i < TIDEMARK_DISKS; i++)
		if (m->disks[i].known && !memcmp(m->disks[i].key, key, 16) && !tmk_module_detach(m->commands, i, &err))
			forget(&m->slots[i]);
}

/* ---- takes ---- */

/* Counted before: what is in doubt from then on is not of this take. */
static int take(struct tmk_tracker *t, const int *slots, size_t count, struct tmk_take *out, struct tmk_error *err)
{
	struct tmk_module_take taken;
	const struct slot *s = count ? slot_of(t, slots[0], err) : NULL;
	int rc = s ? gap(t, slots, count, &out->gap, err) : -ENOENT;

	if (!rc)
		rc = tmk_module_take(of(t)->commands, s->protection, &taken, err);
	if (rc)
		return rc;
	out->fence = taken.sequence;
	out->position = taken.position;
	out->log_gap = taken.gap;
	return 0;
}

static int settled(struct tmk_tracker *t, const int *slots, size_t count, const struct tmk_take *take_, bool *out,
		   struct tmk_error *err)
{
	struct tmk_module_status status;
	const struct slot *s = count ? slot_of(t, slots[0], err) : NULL;
	int rc = s ? tmk_module_status(of(t)->commands, s->protection, &status, err) : -ENOENT;

	*out = !rc && status.settled >= take_->fence;
	return rc;
}

/* ---- maps ---- */

static int map(struct tmk_tracker *t, int slot, enum tmk_which which, struct tmk_blocks *out, struct tmk_error *err)
{
	const struct slot *s = slot_of(t, slot, err);

	if (!s)
		return -ENOENT;
	*out = s->maps[which];
	return 0;
}

/* What is released was read, and disks are whole sectors. */
static int release(struct tmk_tracker *t, int slot, struct tmk_extent e, struct tmk_error *err)
{
	return tmk_module_release(of(t)->commands, (uint32_t)slot, e.offset / SECTOR, e.length / SECTOR, err);
}

static int mark(struct tmk_tracker *t, int slot, struct tmk_extent e, bool gap_, struct tmk_error *err)
{
	uint64_t first = e.offset / SECTOR, end = (e.offset + e.length + SECTOR - 1) / SECTOR;

	return tmk_module_mark(of(t)->commands, (uint32_t)slot, first, end - first, gap_ ? "marked by the shipper" : NULL, err);
}

/* ---- the log ---- */

static int log_(struct tmk_tracker *t, int slot, struct tmk_log *out, struct tmk_error *err)
{
	const struct slot *s = slot_of(t, slot, err);
	struct tmk_module_status status;
	int rc = s ? tmk_module_status(of(t)->commands, s->protection, &status, err) : -ENOENT;

	if (rc)
		return rc;
	*out = (struct tmk_log){.size = status.ring,
				.on = status.on,
				.head = status.head,
				.tail = status.tail,
				.gap = status.gap,
				.sequence = status.sequence};
	snprintf(out->reason, sizeof(out->reason), "%s", status.reason);
	return 0;
}

static int ring(struct tmk_tracker *t, int slot, const void **out, struct tmk_error *err)
{
	struct slot *s = slot_of(t, slot, err);
	int rc = 0;

	if (!s)
		return -ENOENT;
	if (!s->ring)
		rc = tmk_module_map(of(t)->commands, (uint32_t)slot, TIDEMARK_MAP_RING, 2 * s->ring_size, &s->ring, err);
	*out = s->ring;
	return rc;
}

static int switch_log(struct tmk_tracker *t, int slot, bool on, bool both, struct tmk_error *err)
{
	const struct slot *s = slot_of(t, slot, err);
	uint64_t position;

	return s ? tmk_module_log(of(t)->commands, s->protection, on, both, &position, err) : -ENOENT;
}

static int cut(struct tmk_tracker *t, int slot, const uint8_t id[16], uint64_t *out, struct tmk_error *err)
{
	const struct slot *s = slot_of(t, slot, err);
	struct tmk_module_take at;
	int rc = s ? tmk_module_cut(of(t)->commands, s->protection, id, &at, err) : -ENOENT;

	if (!rc)
		*out = at.gap;
	return rc;
}

static int release_log(struct tmk_tracker *t, int slot, uint64_t position, struct tmk_error *err)
{
	const struct slot *s = slot_of(t, slot, err);

	return s ? tmk_module_release_log(of(t)->commands, s->protection, position, err) : -ENOENT;
}

/* ---- the rest ---- */

static int cookie(struct tmk_tracker *t, int slot, struct tmk_cookie *out, struct tmk_error *err)
{
	const struct slot *s = slot_of(t, slot, err);

	return s ? tmk_module_cookie(of(t)->commands, s->protection, NULL, (uint8_t *)out, err) : -ENOENT;
}

static int set_cookie(struct tmk_tracker *t, int slot, const struct tmk_cookie *in, struct tmk_error *err)
{
	const struct slot *s = slot_of(t, slot, err);
	struct tmk_cookie is;

	return s ? tmk_module_cookie(of(t)->commands, s->protection, (const uint8_t *)in, (uint8_t *)&is, err) : -ENOENT;
}

/* It does not look at who writes. */
static int watch(struct tmk_tracker *t, bool on, struct tmk_error *err)
{
	(void)t, (void)on, (void)err;
	return 0;
}

static int writer(struct tmk_tracker *t, int slot, struct tmk_writer *out, struct tmk_error *err)
{
	(void)t, (void)slot, (void)out;
	return tmk_error_set(err, -ENOENT, "the kernel module does not see who writes");
}

static int status(struct tmk_tracker *t, int slot, struct tmk_tracker_status *out, struct tmk_error *err)
{
	const struct slot *s = slot_of(t, slot, err);
	const struct tmk_module_disk_status *d = s ? &of(t)->disks[slot] : NULL;
	int rc = s ? look(of(t), err) : -ENOENT;

	if (rc)
		return rc;
	memset(out, 0, sizeof(*out));
	snprintf(out->backend, sizeof(out->backend), "module");
	out->block_size = d->block;
	out->map_bytes = 2 * bytes_of(&s->maps[TMK_NOW]);
	out->now_blocks = d->doubtful ? s->maps[TMK_NOW].bits.blocks : tmk_bitmap_count(&s->maps[TMK_NOW].bits);
	out->taken_blocks = tmk_bitmap_count(&s->maps[TMK_TAKEN].bits);
	out->gap = d->doubts;
	out->writes = d->writes;
	snprintf(out->reason, sizeof(out->reason), "%s", d->reason);
	return 0;
}

static void close_(struct tmk_tracker *t)
{
	for (int i = 0; i < TIDEMARK_DISKS; i++)
		forget(&of(t)->slots[i]);
	tmk_module_close(of(t)->commands);
	free(of(t));
}

static const struct tmk_tracker_backend backend = {
	.close = close_,
	.attach = attach,
	.detach = detach,
	.forget = forget_key,
	.poll = poll,
	.unshown = unshown,
	.take = take,
	.settled = settled,
	.map = map,
	.release = release,
	.mark = mark,
	.doubt = doubt,
	.gap = gap,
	.cookie = cookie,
	.set_cookie = set_cookie,
	.log = log_,
	.ring = ring,
	.switch_log = switch_log,
	.cut = cut,
	.release_log = release_log,
	.watch = watch,
	.writer = writer,
	.status = status,
};

int tmk_module_tracker_open(struct tmk_tracker **out, struct tmk_error *err)
{
	struct module *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return tmk_error_sys(err, -ENOMEM, "cannot open the tracker");
	m->tracker.backend = &backend;
	rc = tmk_module_open(&m->commands, err);
	if (rc) {
		free(m);
		return rc;
	}
	*out = &m->tracker;
	return 0;
}
