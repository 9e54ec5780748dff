/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which disks are tracked.
 *
 * A fresh attach: bitmaps made and all set in `now`, slot filled, bitmaps installed, slot published in `table`, and only then
 * `state` says that it is tracked. A write that was under way at the publication is marked by its completion, one that ended
 * before it lies in a marked block (I1). Detach goes the other way. A kill in between leaves a slot that is HALF there, maybe
 * published: the next open takes it out of the table again.
 *
 * `table` (table.c) holds a disk's slots as bytes of one word, so that a probe sees the old list or the new one, and a disk never
 * changes its place. A probe that looks at a place which is being reused marks too much, never too little.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "state.h"
#include "sysfs.h"
#include "table.h"

#define SECTOR 512
#define MIN_SHIFT 3			    /* blocks of 4 KiB */
#define MAX_SHIFT 22			    /* of 2 GiB */
#define FLOOR (1ull << 20)		    /* bytes of maps that every slot can count on */
#define CEILING (TMK_TRACKER_MAP_LIMIT / 4) /* and the most that one gets */

static uint32_t kernel_dev(dev_t disk)
{
	return major(disk) << 20 | minor(disk);
}

static uint64_t blocks_of(const struct tmk_bpf_slot *s)
{
	return (s->length + (1ull << s->shift) - 1) >> s->shift;
}

/* Of both bitmaps, as the kernel allocates them. */
uint64_t tmk_attach_bytes(uint64_t blocks)
{
	uint64_t page = sysconf(_SC_PAGESIZE);

	return 2 * ((tmk_bitmap_words(blocks) * 8 + page - 1) / page * page);
}

/* ---- bitmaps ---- */

static int map_bitmap(int fd, uint64_t blocks, struct tmk_bitmap *out, struct tmk_error *err)
{
	size_t size = tmk_bitmap_words(blocks) * 8;
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return tmk_error_sys(err, -errno, "cannot map a bitmap of %zu bytes", size);
	out->words = at;
	out->blocks = blocks;
	return 0;
}

static void unmap_bitmap(struct tmk_bitmap *b)
{
	if (b->words)
		munmap(b->words, tmk_bitmap_words(b->blocks) * 8);
	memset(b, 0, sizeof(*b));
}

void tmk_attach_unmap(struct tmk_ebpf *t, int slot)
{
	unmap_bitmap(&t->maps[slot].now);
	unmap_bitmap(&t->maps[slot].taken);
}

static int create_bitmap(struct tmk_ebpf *t, enum tmk_pin outer, uint32_t slot, uint64_t blocks, bool marked,
			 struct tmk_bitmap *out, struct tmk_error *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "tidemark_bits", 4, 8, tmk_bitmap_words(blocks), &opts), rc;

	if (fd < 0)
		return tmk_error_sys(err, fd, "cannot make a bitmap of %llu blocks", (unsigned long long)blocks);
	rc = map_bitmap(fd, blocks, out, err);
	if (!rc && marked)
		tmk_bitmap_set(out, 0, blocks);
	if (!rc) {
		rc = bpf_map_update_elem(t->fds[outer], &slot, &fd, BPF_ANY);
		if (rc)
			tmk_error_sys(err, rc, "cannot install a bitmap");
	}
	close(fd);
	return rc;
}

static int open_bitmap(struct tmk_ebpf *t, enum tmk_pin outer, uint32_t slot, uint64_t blocks, struct tmk_bitmap *out,
		       struct tmk_error *err)
{
	struct bpf_map_info info = {};
	uint32_t id, size = sizeof(info);
	int fd, rc = bpf_map_lookup_elem(t->fds[outer], &slot, &id);

	if (rc)
		return tmk_error_sys(err, rc, "the pinned tracker is not whole: a bitmap of disk %u is missing", slot);
	fd = bpf_map_get_fd_by_id(id);
	if (fd < 0)
		return tmk_error_sys(err, fd, "cannot open a bitmap of disk %u", slot);
	rc = bpf_obj_get_info_by_fd(fd, &info, &size);
	if (rc || info.value_size != 8 || info.max_entries != tmk_bitmap_words(blocks))
		rc = tmk_error_set(err, -EBADMSG, "the pinned tracker is not whole: a bitmap of disk %u has another size", slot);
	else
		rc = map_bitmap(fd, blocks, out, err);
	close(fd);
	return rc;
}

/* ---- tracked or not ---- */

static void set_state(struct tmk_ebpf *t, int slot, enum tmk_bpf_state state)
{
	__atomic_store_n(&t->slots[slot].state, state, __ATOMIC_SEQ_CST);
}

static void uninstall(struct tmk_ebpf *t, int slot)
{
	uint32_t index = slot;

	set_state(t, slot, TMK_BPF_HALF);
	tmk_table_remove(t->table, slot);
	bpf_map_delete_elem(t->fds[TMK_PIN_NOW], &index);
	bpf_map_delete_elem(t->fds[TMK_PIN_TAKEN], &index);
	tmk_attach_unmap(t, slot);
	set_state(t, slot, TMK_BPF_FREE);
}

static int restore_slot(struct tmk_ebpf *t, int slot, struct tmk_error *err)
{
	struct tmk_bpf_slot *s = &t->slots[slot];
	int rc;

	/* Nothing is asked of the maps for those that are free: on 6.1 each call for a map of maps waits for a grace period, also
	 * one that only looks. */
	if (s->state == TMK_BPF_FREE)
		return 0;
	if (s->state != TMK_BPF_TRACKED) {
		uninstall(t, slot);
		return 0;
	}
	if (!s->length || s->shift < MIN_SHIFT || s->shift > MAX_SHIFT || s->start + s->length < s->start)
		return tmk_error_set(err, -EBADMSG,
				     "the pinned tracker is not whole: disk %d has no sane range; remove %s and start again",
				     slot, t->pins);
	rc = open_bitmap(t, TMK_PIN_NOW, slot, blocks_of(s), &t->maps[slot].now, err);
	if (!rc)
		rc = open_bitmap(t, TMK_PIN_TAKEN, slot, blocks_of(s), &t->maps[slot].taken, err);
	if (!rc && !tmk_table_has(t->table, s->dev, slot)) {
		tmk_marks_doubt(t, slot, "the disk was found untracked");
		rc = tmk_table_add(t->table, s->dev, TMK_BPF_OTHER, slot, err);
	}
	return rc;
}

int tmk_attach_restore(struct tmk_ebpf *t, struct tmk_error *err)
{
	int rc = 0;

	for (int i = 0; i < TMK_BPF_SLOTS && !rc; i++)
		rc = restore_slot(t, i, err);
	return rc;
}

/* ---- attach ---- */

/*
 * Every slot that is still free keeps FLOOR for itself; of the rest a disk takes what it needs at 4 KiB, but at most CEILING
 * (1 TiB at 4 KiB) and at most half. Larger blocks mean fewer bits: less precise, never wrong.
 */
static uint32_t choose_shift(struct tmk_ebpf *t, uint64_t sectors)
{
	uint64_t used = 0, rest, budget;
	uint32_t shift = MIN_SHIFT;
	int vacant = 0;

	for (int i = 0; i < TMK_BPF_SLOTS; i++) {
		if (t->slots[i].state == TMK_BPF_TRACKED)
			used += tmk_attach_bytes(blocks_of(&t->slots[i]));
		else
			vacant++;
	}
	rest = TMK_TRACKER_MAP_LIMIT - used - (vacant - 1) * FLOOR;
	budget = rest / 2 > FLOOR ? rest / 2 : FLOOR;
	if (budget > CEILING)
		budget = CEILING;
	while (shift < MAX_SHIFT && tmk_attach_bytes((sectors + (1ull << shift) - 1) >> shift) > budget)
		shift++;
	return shift;
}

static int check_range(const struct tmk_tracker_disk *d, const struct tmk_sysfs_disk *look, struct tmk_error *err)
{
	uint64_t size = look->sectors * SECTOR;

	if (!d->length || d->start % SECTOR || d->length % SECTOR || d->start > size || d->length > size - d->start)
		return tmk_error_set(err, -EINVAL, "%s is %llu bytes, there is nothing to protect at %llu+%llu", look->name,
				     (unsigned long long)size, (unsigned long long)d->start, (unsigned long long)d->length);
	if (d->whole_disk && d->start)
		return tmk_error_set(err, -EINVAL, "a whole disk starts at 0");
	if (!memchr(d->identity, 0, sizeof(d->identity)))
		return tmk_error_set(err, -EINVAL, "the identity of %s has no end", look->name);
	return 0;
}

static int find_key(struct tmk_ebpf *t, const uint8_t key[16])
{
	for (int i = 0; i < TMK_BPF_SLOTS; i++)
		if (t->slots[i].state == TMK_BPF_TRACKED && !memcmp(t->slots[i].key, key, 16))
			return i;
	return -1;
}

static int find_free(struct tmk_ebpf *t)
{
	for (int i = 0; i < TMK_BPF_SLOTS; i++)
		if (t->slots[i].state == TMK_BPF_FREE)
			return i;
	return -1;
}

/* Still the same disk and medium, and the same part of it. */
static bool same(const struct tmk_bpf_slot *s, const struct tmk_tracker_disk *d, const struct tmk_sysfs_disk *look)
{
	return s->dev == kernel_dev(d->disk) && s->start == d->start / SECTOR && s->length == d->length / SECTOR &&
	       !!s->whole_disk == d->whole_disk && s->diskseq == look->diskseq && !strcmp(s->identity, d->identity);
}

/* The gap count goes on from where the slot's last user left it: nobody may see a number twice (R4). */
static void fill_slot(struct tmk_ebpf *t, int slot, const struct tmk_tracker_disk *d, const struct tmk_sysfs_disk *look)
{
	struct tmk_bpf_slot *s = &t->slots[slot];
	uint64_t gap = s->gap;

	memset(s, 0, sizeof(*s));
	s->gap = gap + 1;
	s->start = d->start / SECTOR;
	s->length = d->length / SECTOR;
	s->whole_disk = d->whole_disk;
	s->shift = choose_shift(t, s->length);
	s->dev = kernel_dev(d->disk);
	s->sectors = look->sectors;
	s->diskseq = look->diskseq;
	memcpy(s->key, d->key, sizeof(s->key));
	memcpy(s->identity, d->identity, sizeof(s->identity));
}

static int attach_fresh(struct tmk_ebpf *t, int slot, const struct tmk_tracker_disk *d, const struct tmk_sysfs_disk *look,
			struct tmk_error *err)
{
	struct tmk_slot_maps *maps = &t->maps[slot];
	uint64_t blocks;
	int rc;

	fill_slot(t, slot, d, look);
	set_state(t, slot, TMK_BPF_HALF);
	blocks = blocks_of(&t->slots[slot]);
	rc = tmk_seen_clear(t, slot, err);
	if (!rc)
		rc = create_bitmap(t, TMK_PIN_NOW, slot, blocks, true, &maps->now, err);
	if (!rc)
		rc = create_bitmap(t, TMK_PIN_TAKEN, slot, blocks, false, &maps->taken, err);
	if (!rc)
		rc = tmk_table_add(t->table, t->slots[slot].dev, look->kind, slot, err);
	if (rc) {
		uninstall(t, slot);
		return rc;
	}
	set_state(t, slot, TMK_BPF_TRACKED);
	return 0;
}

int tmk_ebpf_attach(struct tmk_tracker *tracker, const struct tmk_tracker_disk *disk, struct tmk_tracker_attached *out,
		    struct tmk_error *err)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);
	struct tmk_sysfs_disk look;
	int slot, rc = tmk_sysfs_check(disk->disk, err);

	if (!rc)
		rc = tmk_sysfs_look(disk->disk, &look, err);
	if (!rc)
		rc = check_range(disk, &look, err);
	if (rc)
		return rc;
	slot = find_key(t, disk->key);
	out->fresh = slot < 0 || !same(&t->slots[slot], disk, &look);
	if (out->fresh) {
		if (slot >= 0)
			uninstall(t, slot);
		slot = slot >= 0 ? slot : find_free(t);
		if (slot < 0)
			return tmk_error_set(err, -ENOSPC, "%d disks are protected already, more cannot be tracked",
					     TMK_TRACKER_DISKS);
		rc = attach_fresh(t, slot, disk, &look, err);
	} else {
		/* Where the entry came from restore, it does not know whose commands pass through. */
		rc = tmk_table_add(t->table, t->slots[slot].dev, look.kind, slot, err);
	}
	if (rc)
		return rc;
	out->slot = slot;
	out->block_size = SECTOR << t->slots[slot].shift;
	return 0;
}

void tmk_ebpf_forget(struct tmk_tracker *tracker, const uint8_t key[16])
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);
	int slot = find_key(t, key);

	if (slot >= 0)
		uninstall(t, slot);
}

int tmk_ebpf_detach(struct tmk_tracker *tracker, int slot, struct tmk_error *err)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);

	if (!tmk_marks_slot(t, slot, err))
		return -ENOENT;
	uninstall(t, slot);
	return 0;
}
