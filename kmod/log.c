// SPDX-License-Identifier: GPL-2.0
/*
 * The write log: records in a ring, in the order in which their requests were issued. Many write, one reads.
 *
 * A record's place is reserved under the protection's lock, and its header written, all but `position`; its content is copied
 * outside; then `position` is stored with release. So a reader needs no other word than that one to know that a record is whole.
 * Because the ring's memory is used again, the word at the place of the *next* record is cleared before the lock is given back:
 * what stands there from the last time round may be a file's content, and somebody may have made it look like a record. No record
 * is at position 0.
 */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/tracepoint.h>

#include "core.h"

static struct tidemark_record *place(const struct tmk_ring *r, u64 position)
{
	return (void *)(r->at + (position & (r->size - 1)));
}

/* Besides the records there must be room for a closing mark, and for the word that is cleared behind it. */
static struct tidemark_record *reserve(struct tmk_protection *p, u64 length, u64 kept, u64 *position)
{
	struct tmk_ring *r = &p->ring;
	struct tidemark_record *record;

	if (length > r->size || r->head - r->tail + length + kept > r->size)
		return NULL;
	record = place(r, r->head);
	*position = r->head;
	r->head += length;
	WRITE_ONCE(place(r, r->head)->position, 0);
	return record;
}

struct tidemark_record *tmk_log_reserve(struct tmk_protection *p, u64 length, u64 *position)
{
	return reserve(p, length, 2 * TIDEMARK_ALIGN, position);
}

void tmk_log_publish(struct tidemark_record *record, u64 position)
{
	smp_store_release(&record->position, position);
}

int tmk_log_mark(struct tmk_protection *p, const u8 id[16], bool closing, u64 *position)
{
	struct tidemark_record *record = reserve(p, TIDEMARK_ALIGN, (closing ? 1 : 2) * TIDEMARK_ALIGN, position);

	if (!record)
		return -ENOSPC;
	*record = (struct tidemark_record){.length = TIDEMARK_ALIGN,
					   .type = TIDEMARK_MARK,
					   .sector = ktime_get_real_ns(),
					   .sequence = p->sequence,
					   .gap = p->gap};
	memcpy(record->id, id, sizeof(record->id));
	tmk_log_publish(record, *position);
	return 0;
}

/* The owner may release what it was shown, up to where a record begins (I9). Headers between tail and head do not change. */
int tmk_log_release(struct tmk_protection *p, u64 position)
{
	struct tmk_ring *r = &p->ring;
	unsigned long flags;
	u64 at = r->tail, head;

	raw_spin_lock_irqsave(&p->lock, flags);
	head = r->head;
	raw_spin_unlock_irqrestore(&p->lock, flags);
	if (position <= at) /* it was given up meanwhile */
		return 0;
	if (position > head)
		return -ERANGE;
	while (at < position) {
		if (smp_load_acquire(&place(r, at)->position) != at)
			return -EBUSY;
		at += place(r, at)->length;
		cond_resched();
	}
	if (at != position)
		return -EINVAL;
	raw_spin_lock_irqsave(&p->lock, flags);
	r->tail = position;
	raw_spin_unlock_irqrestore(&p->lock, flags);
	return 0;
}

void tmk_log_on(struct tmk_protection *p, bool both)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&p->lock, flags);
	if (!p->ring.on)
		p->ring.closed = false;
	p->ring.on = true;
	p->ring.both = both;
	raw_spin_unlock_irqrestore(&p->lock, flags);
}

static void fold(const struct tidemark_record *record)
{
	struct tmk_disk *d = record->disk < TIDEMARK_DISKS ? tmk_disks[record->disk] : NULL;

	if (d && record->type != TIDEMARK_MARK)
		tmk_map_mark(&d->map, record->sector, record->sectors);
}

void tmk_log_off(struct tmk_protection *p, const char *reason)
{
	struct tmk_ring *r = &p->ring;
	unsigned long flags;
	u64 at = r->tail;

	raw_spin_lock_irqsave(&p->lock, flags);
	r->on = false;
	raw_spin_unlock_irqrestore(&p->lock, flags);
	tracepoint_synchronize_unregister(); /* whoever still copies is done */
	while (at < r->head) {
		raw_spin_lock_irqsave(&p->lock, flags);
		fold(place(r, at));
		raw_spin_unlock_irqrestore(&p->lock, flags);
		at += place(r, at)->length;
		cond_resched();
	}
	raw_spin_lock_irqsave(&p->lock, flags);
	r->tail = r->head;
	tmk_disk_gap(p, reason);
	raw_spin_unlock_irqrestore(&p->lock, flags);
}
