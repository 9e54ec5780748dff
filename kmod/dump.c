// SPDX-License-Identifier: GPL-2.0
/*
 * What the module knows, to be read, for a bug report: debugfs, tidemark/requests (count.c) and tidemark/state. Whether a shipper
 * runs or not. Words and numbers by turns, a line for each protection, disk and request in flight.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "core.h"
#include "internal.h"

#define FLIGHTS_SHOWN 128

static struct dentry *directory;

static int requests_show(struct seq_file *file, void *unused)
{
	tmk_count_show(file);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(requests);

static void show_protection(struct seq_file *file, struct tmk_protection *p)
{
	char reason[TIDEMARK_REASON];
	u64 sequence, gap, settled;
	struct tmk_ring ring;

	settled = tmk_disk_settled(p);
	raw_spin_lock_irq(&p->lock);
	sequence = p->sequence;
	gap = p->gap;
	ring = p->ring;
	memcpy(reason, p->reason, sizeof(reason));
	raw_spin_unlock_irq(&p->lock);
	seq_printf(file, "protection %pUb gap %llu sequence %llu settled %llu ring %llu head %llu tail %llu", p->id, gap,
		   sequence, settled, ring.size, ring.head, ring.tail);
	seq_printf(file, " on %d both %d closed %d cookie %*phN reason \"%s\"\n", ring.on, ring.both, ring.closed,
		   TIDEMARK_COOKIE, p->cookie, reason);
}

static void show_flights(struct seq_file *file, struct tmk_disk *d, struct tmk_flight *room)
{
	u32 count, i;

	raw_spin_lock_irq(&d->protection->lock);
	count = d->flights.count;
	memcpy(room, d->flights.live, min_t(u32, count, FLIGHTS_SHOWN) * sizeof(*room));
	raw_spin_unlock_irq(&d->protection->lock);
	for (i = 0; i < min_t(u32, count, FLIGHTS_SHOWN); i++)
		seq_printf(file, "flight disk %u sequence %llu begin %llu end %llu overlapped %d\n", d->number, room[i].sequence,
			   room[i].begin, room[i].end, room[i].overlapped);
	if (count > FLIGHTS_SHOWN)
		seq_printf(file, "flight disk %u and %u more\n", d->number, count - FLIGHTS_SHOWN);
}

static void show_disk(struct seq_file *file, struct tmk_disk *d)
{
	char reason[TIDEMARK_REASON];

	raw_spin_lock_irq(&d->protection->lock);
	memcpy(reason, d->reason, sizeof(reason));
	raw_spin_unlock_irq(&d->protection->lock);
	seq_printf(file,
		   "disk %u protection %pUb key %pUb identity \"%s\" diskseq %llu start %llu sectors %llu whole %d driver %d",
		   d->number, d->protection->id, d->key, d->identity, d->diskseq, d->start, d->sectors, d->whole, d->driver);
	seq_printf(file, " block %u now %llu taken %llu writes %llu inflight %u of %u doubtful %d doubts %llu reason \"%s\"\n",
		   tmk_map_block(&d->map), tmk_map_count(d->map.now, d->map.blocks), tmk_map_count(d->map.taken, d->map.blocks),
		   READ_ONCE(d->writes), READ_ONCE(d->flights.count), d->flights.limit, READ_ONCE(d->doubtful),
		   READ_ONCE(d->doubts), reason);
}

static int state_show(struct seq_file *file, void *unused)
{
	struct tmk_flight *room = kcalloc(FLIGHTS_SHOWN, sizeof(*room), GFP_KERNEL);
	struct tmk_protection *p;
	int i;

	if (!room)
		return -ENOMEM;
	if (mutex_lock_killable(&tmk_core_lock)) {
		kfree(room);
		return -EINTR;
	}
	seq_printf(file, "tidemark %s hibernated %d\n", THIS_MODULE->version, tmk_disk_asleep);
	list_for_each_entry(p, &tmk_protections, all)
		show_protection(file, p);
	for (i = 0; i < TIDEMARK_DISKS; i++) {
		if (seq_has_overflowed(file)) /* it comes again, with more room: to count the maps of all would take long */
			break;
		if (!tmk_disks[i])
			continue;
		show_disk(file, tmk_disks[i]);
		show_flights(file, tmk_disks[i], room);
	}
	mutex_unlock(&tmk_core_lock);
	kfree(room);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

/* A kernel without debugfs has no numbers, and is as good otherwise. */
void tmk_dump_start(void)
{
	directory = debugfs_create_dir("tidemark", NULL);
	debugfs_create_file("requests", 0400, directory, NULL, &requests_fops);
	debugfs_create_file("state", 0400, directory, NULL, &state_fops);
}

void tmk_dump_stop(void)
{
	debugfs_remove(directory);
}
