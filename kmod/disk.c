// SPDX-License-Identifier: GPL-2.0
/* Disks and protections: attach, detach, take, the fence, gaps. */
#include <linux/blk-mq.h>
#include <linux/log2.h>
#include <linux/slab.h>
#include <linux/suspend.h>
#include <linux/tracepoint.h>

#include "compat.h"
#include "core.h"
#include "internal.h"

#define FLIGHTS_LEAST 64u
#define FLIGHTS_MOST 65536u
#define RING_MOST (4ull << 30)
#define MAPS_MOST (256ull << 20) /* bytes of all maps of the server */
#define BLOCK_LEAST 4096u
#define BLOCK_MOST (16u << 20)

DEFINE_MUTEX(tmk_core_lock);
LIST_HEAD(tmk_protections);
struct tmk_disk *tmk_disks[TIDEMARK_DISKS];

static u64 map_bytes; /* of all disks */
static u64 gap_last;  /* of all protections that went */
bool tmk_disk_asleep; /* under tmk_core_lock */

/* ---- gaps ---- */

void tmk_disk_gap(struct tmk_protection *p, const char *reason)
{
	static const u8 own[16];
	u64 position;

	if (p->ring.on && !p->ring.closed) { /* what is before it is a point still */
		p->ring.closed = true;
		tmk_log_mark(p, own, true, &position);
	}
	p->gap++;
	if (!reason)
		return;
	strscpy(p->reason, reason, sizeof(p->reason));
	if (READ_ONCE(p->stirred)) /* and not heard yet: a full log says so at every write */
		return;
	WRITE_ONCE(p->stirred, true);
	irq_work_queue(&p->stir);
}

void tmk_disk_gap_before(struct tmk_protection *p, const char *reason)
{
	p->ring.closed = true;
	tmk_disk_gap(p, reason);
}

void tmk_disk_doubt(struct tmk_disk *d, const char *reason)
{
	d->doubtful = true;
	d->doubts++;
	strscpy(d->reason, reason, sizeof(d->reason));
	tmk_disk_gap_before(d->protection, reason);
}

/* ---- protections ---- */

struct tmk_protection *tmk_disk_protection(const u8 id[16])
{
	struct tmk_protection *p;

	list_for_each_entry(p, &tmk_protections, all)
		if (!memcmp(p->id, id, sizeof(p->id)))
			return p;
	return NULL;
}

static int protection_new(struct tmk_protection **out, const struct tmk_wanted *want, const char **why)
{
	struct tmk_protection *p, *each;
	int count = 0, ret;

	list_for_each_entry(each, &tmk_protections, all)
		count++;
	*why = "there are as many protections as there can be";
	if (count >= TIDEMARK_PROTECTIONS)
		return -ENOSPC;
	*why = "a ring is a power of two, from 1 MiB to 4 GiB, or none";
	if (want->ring && (!is_power_of_2(want->ring) || want->ring < (1 << 20) || want->ring > RING_MOST))
		return -EINVAL;
	*why = "no memory for the ring";
	p = kzalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	ret = tmk_ring_init(&p->ring, want->ring);
	if (ret) {
		kfree(p);
		return ret;
	}
	memcpy(p->id, want->protection, sizeof(p->id));
	raw_spin_lock_init(&p->lock);
	p->sequence = 1;
	gap_last = max_t(u64, gap_last + 1, ktime_get_real_ns());
	p->gap = gap_last; /* never that of one before it which had the same name, also of a module before this one */
	p->ring.head = p->ring.tail = p->ring.size; /* no record is at 0 */
	INIT_LIST_HEAD(&p->disks);
	init_irq_work(&p->stir, tmk_control_stirred);
	list_add_tail(&p->all, &tmk_protections);
	*out = p;
	return 0;
}

static void protection_free(struct tmk_protection *p)
{
	list_del(&p->all);
	irq_work_sync(&p->stir);
	gap_last = max(gap_last, p->gap);
	tmk_ring_free(&p->ring);
	kfree(p);
}

/* ---- disks ---- */

static struct tmk_disk *find(const u8 key[16])
{
	int i;

	for (i = 0; i < TIDEMARK_DISKS; i++)
		if (tmk_disks[i] && !memcmp(tmk_disks[i]->key, key, 16))
			return tmk_disks[i];
	return NULL;
}

static bool same(const struct tmk_disk *d, const struct tmk_wanted *want)
{
	return d->gendisk == want->bdev->bd_disk && d->diskseq == want->bdev->bd_disk->diskseq &&
	       d->start == get_start_sect(want->bdev) && d->sectors == bdev_nr_sectors(want->bdev) &&
	       !strcmp(d->identity, want->identity) && (!want->block || want->block == tmk_map_block(&d->map)) &&
	       !memcmp(d->protection->id, want->protection, 16) && d->protection->ring.size == want->ring;
}

static int check(const struct tmk_wanted *want, const char **why)
{
	struct request_queue *q = bdev_get_queue(want->bdev);

	*why = "it has no requests: protect the disks below it";
	if (!queue_is_mq(q))
		return -EOPNOTSUPP;
	*why = "zoned disks cannot be tracked";
	if (bdev_is_zoned(want->bdev))
		return -EOPNOTSUPP;
	*why = "a block is a power of two, from 4096 bytes to 16 MiB";
	if (want->block && (!is_power_of_2(want->block) || want->block < BLOCK_LEAST || want->block > BLOCK_MOST))
		return -EINVAL;
	*why = "it has no sectors";
	return bdev_nr_sectors(want->bdev) ? 0 : -ENOMEDIUM;
}

/* As many as its queues can have under way. If that grows one day, there are gaps and no loss. */
static u32 flights_of(struct block_device *bdev)
{
	const struct request_queue *q = bdev_get_queue(bdev);
	u64 most = q->tag_set ? (u64)q->tag_set->queue_depth * q->tag_set->nr_hw_queues : 0;

	return clamp_t(u64, most, FLIGHTS_LEAST, FLIGHTS_MOST);
}

static bool fits(u64 sectors, u32 block)
{
	return map_bytes + 2 * tmk_map_bytes(sectors, block) <= MAPS_MOST;
}

/* Half of what is left, so that others have room, too. */
static u32 smallest(u64 sectors)
{
	u32 block = BLOCK_LEAST;

	while (block < BLOCK_MOST && 2 * tmk_map_bytes(sectors, block) > (MAPS_MOST - map_bytes) / 2)
		block *= 2;
	return block;
}

static int disk_new(struct tmk_disk **out, const struct tmk_wanted *want, const char **why)
{
	struct tmk_disk *d = kzalloc(sizeof(*d), GFP_KERNEL);
	int ret = d ? 0 : -ENOMEM, number = 0;
	u32 block;

	*why = "no memory for the disk";
	if (!d)
		return ret;
	while (number < TIDEMARK_DISKS && tmk_disks[number])
		number++;
	if (number == TIDEMARK_DISKS) {
		*why = "there are as many disks as there can be";
		kfree(d);
		return -ENOSPC;
	}
	d->number = number;
	d->gendisk = want->bdev->bd_disk;
	d->diskseq = want->bdev->bd_disk->diskseq;
	d->driver = tmk_passthrough_driver(want->bdev->bd_disk);
	d->controller = bdev_get_queue(want->bdev)->tag_set ? bdev_get_queue(want->bdev)->tag_set->driver_data : NULL;
	d->start = get_start_sect(want->bdev);
	d->sectors = bdev_nr_sectors(want->bdev);
	d->whole = !bdev_is_partition(want->bdev);
	memcpy(d->key, want->key, sizeof(d->key));
	strscpy(d->identity, want->identity, sizeof(d->identity));
	block = want->block ?: smallest(d->sectors);
	if (!fits(d->sectors, block)) {
		*why = "its maps would be larger than what all maps may have: take larger blocks";
		ret = -E2BIG;
	}
	if (!ret)
		ret = tmk_map_init(&d->map, d->sectors, block);
	if (!ret)
		ret = tmk_flights_init(&d->flights, flights_of(want->bdev));
	if (ret) {
		tmk_map_free(&d->map);
		kfree(d);
		return ret;
	}
	*out = d;
	return 0;
}

/* Writes that were in flight before are marked when they complete: they are not known then. */
static void arm(struct tmk_disk *d, struct tmk_protection *p)
{
	unsigned long flags;

	d->protection = p;
	d->doubts = p->gap; /* never what it was before */
	map_bytes += 2 * d->map.bytes;
	list_add_tail(&d->list, &p->disks);
	tmk_disks[d->number] = d;
	tmk_capture_add(d);
	tracepoint_synchronize_unregister(); /* no probe that does not see it is under way any more */
	raw_spin_lock_irqsave(&p->lock, flags);
	tmk_disk_doubt(d, "a disk was added"); /* a mark from before this take is no point of it */
	d->reason[0] = '\0';		       /* nothing was missed */
	raw_spin_unlock_irqrestore(&p->lock, flags);
}

/* And with the last one, itself. */
static void detach_all_of(struct tmk_protection *p)
{
	bool last;

	do {
		last = list_is_singular(&p->disks);
		tmk_disk_detach(list_first_entry(&p->disks, struct tmk_disk, list));
	} while (!last);
}

int tmk_disk_attach(const struct tmk_wanted *want, struct tmk_disk **out, bool *fresh, const char **why)
{
	struct tmk_protection *p;
	struct tmk_disk *d = find(want->key);
	int ret = check(want, why);

	if (ret)
		return ret;
	*fresh = !d || !same(d, want);
	if (d && !*fresh) {
		*out = d;
		return 0;
	}
	if (d)
		tmk_disk_detach(d);
	p = tmk_disk_protection(want->protection);
	if (p && p->ring.size != want->ring) {
		detach_all_of(p); /* the others come anew, too */
		p = NULL;
	}
	ret = disk_new(&d, want, why);
	if (ret)
		return ret;
	if (!p)
		ret = protection_new(&p, want, why);
	if (ret) {
		tmk_flights_free(&d->flights);
		tmk_map_free(&d->map);
		kfree(d);
		return ret;
	}
	if (p->ring.on) /* the log knows nothing of what it had before */
		tmk_log_off(p, "a disk was added");
	arm(d, p);
	*out = d;
	return 0;
}

void tmk_disk_detach(struct tmk_disk *d)
{
	struct tmk_protection *p = d->protection;
	unsigned long flags;

	if (p->ring.on)
		tmk_log_off(p, "a disk was taken away");
	tmk_capture_remove(d);
	tracepoint_synchronize_unregister();
	raw_spin_lock_irqsave(&p->lock, flags);
	tmk_disk_gap(p, "a disk was taken away"); /* with the log off, too: marks had it */
	raw_spin_unlock_irqrestore(&p->lock, flags);
	tmk_disks[d->number] = NULL;
	list_del(&d->list);
	map_bytes -= 2 * d->map.bytes;
	tmk_flights_free(&d->flights);
	tmk_map_free(&d->map);
	kfree(d);
	if (list_empty(&p->disks))
		protection_free(p);
}

static void detach_all(void)
{
	int i;

	mutex_lock(&tmk_core_lock);
	for (i = 0; i < TIDEMARK_DISKS; i++)
		if (tmk_disks[i])
			tmk_disk_detach(tmk_disks[i]);
	mutex_unlock(&tmk_core_lock);
}

static void doubt_all(const char *reason)
{
	unsigned long flags;
	int i;

	for (i = 0; i < TIDEMARK_DISKS; i++) {
		if (!tmk_disks[i])
			continue;
		raw_spin_lock_irqsave(&tmk_disks[i]->protection->lock, flags);
		tmk_disk_doubt(tmk_disks[i], reason);
		raw_spin_unlock_irqrestore(&tmk_disks[i]->protection->lock, flags);
	}
}

/* What a kernel writes after its memory was saved, that memory knows nothing of (R18). So the doubt is in it already, and stays
 * there: processes run again before the end is told, but no take is made before. */
static int slept(struct notifier_block *block, unsigned long event, void *data)
{
	if (event != PM_HIBERNATION_PREPARE && event != PM_POST_HIBERNATION)
		return NOTIFY_DONE;
	mutex_lock(&tmk_core_lock);
	tmk_disk_asleep = event == PM_HIBERNATION_PREPARE;
	if (tmk_disk_asleep)
		doubt_all("the machine was hibernated");
	mutex_unlock(&tmk_core_lock);
	return NOTIFY_OK;
}
static struct notifier_block sleeper = {.notifier_call = slept};

int tmk_disk_start(void)
{
	return register_pm_notifier(&sleeper);
}

void tmk_disk_stop(void)
{
	unregister_pm_notifier(&sleeper);
	detach_all();
}

/* ---- a take ---- */

void tmk_disk_settle(struct tmk_disk *d)
{
	unsigned long flags;
	bool doubtful;

	raw_spin_lock_irqsave(&d->protection->lock, flags);
	doubtful = d->doubtful;
	d->doubtful = false;
	raw_spin_unlock_irqrestore(&d->protection->lock, flags);
	if (doubtful)
		tmk_map_mark_all(&d->map, &d->protection->lock);
}

/*
 * The gap count is read before anything is moved, position and sequence after: what is marked meanwhile and not moved has raised
 * the count, so that no mark passes for a point without it; and every write whose mark was moved was issued before `sequence`,
 * and has its record, if any, before `position`.
 */
void tmk_disk_take(struct tmk_protection *p, struct tmk_taken *out)
{
	struct tmk_disk *d;
	unsigned long flags;

	raw_spin_lock_irqsave(&p->lock, flags);
	*out = (struct tmk_taken){.gap = p->gap};
	raw_spin_unlock_irqrestore(&p->lock, flags);
	list_for_each_entry(d, &p->disks, list) {
		tmk_disk_settle(d);
		tmk_map_take(&d->map, &p->lock);
		out->blocks += tmk_map_count(d->map.taken, d->map.blocks);
	}
	raw_spin_lock_irqsave(&p->lock, flags);
	out->position = p->ring.head;
	out->sequence = p->sequence;
	p->ring.closed = false; /* the next gap is the first one of a new round */
	raw_spin_unlock_irqrestore(&p->lock, flags);
}

/* Every write with a lower sequence has completed. */
u64 tmk_disk_settled(struct tmk_protection *p)
{
	struct tmk_disk *d;
	unsigned long flags;
	u64 oldest;

	raw_spin_lock_irqsave(&p->lock, flags);
	oldest = p->sequence;
	list_for_each_entry(d, &p->disks, list)
		oldest = tmk_flights_oldest(&d->flights, oldest);
	raw_spin_unlock_irqrestore(&p->lock, flags);
	return oldest;
}
