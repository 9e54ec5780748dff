// SPDX-License-Identifier: GPL-2.0
/*
 * What the hooks tell of: a write that is issued goes into the log, or is marked and counts as a gap; one that completes leaves
 * the requests in flight, and is marked if it failed, overlapped another, or was never seen (I1, I4, R5-R7).
 *
 * In any context. Nothing here sleeps, allocates or waits for more than the protection's lock (I10).
 */
#include <linux/blk-mq.h>
#include <linux/bvec.h>
#include <linux/highmem.h>
#include <linux/memremap.h>

#include "compat.h"
#include "core.h"
#include "internal.h"

#define MARK_MOST (4ull << 30 >> SECTOR_SHIFT) /* sectors, at once, by a probe: 128 KiB of a map with blocks of 4 KiB */

static DEFINE_HASHTABLE(disks, 7); /* by gendisk; RCU */

void tmk_capture_add(struct tmk_disk *d)
{
	hash_add_rcu(disks, &d->node, (unsigned long)d->gendisk);
}

void tmk_capture_remove(struct tmk_disk *d)
{
	hash_del_rcu(&d->node);
}

/* A request as far as it concerns a disk. */
struct piece {
	struct tmk_disk *disk;
	struct request *rq;
	u64 begin, end; /* sectors of the whole disk, clipped to what is protected: around all its ranges */
	u16 type;	/* enum tidemark_type; 0: cannot be understood */
	u32 ranges;
	bool beyond; /* it goes on behind the end that the disk had */
};

static u16 type_of(const struct request *rq)
{
	switch (req_op(rq)) {
	case REQ_OP_WRITE:
		return TIDEMARK_DATA;
	case REQ_OP_WRITE_ZEROES:
		return TIDEMARK_ZERO;
	case REQ_OP_DISCARD:
	case REQ_OP_SECURE_ERASE:
		return TIDEMARK_DISCARD;
	default:
		return 0;
	}
}

static bool is_special(const struct request *rq)
{
	return req_op(rq) == REQ_OP_DRV_IN || req_op(rq) == REQ_OP_DRV_OUT;
}

/* Discards of ranges that do not touch may have become one request, a bio each. */
static u32 ranges_of(const struct request *rq)
{
	const struct bio *bio;
	u32 count = 0;

	for (bio = req_op(rq) == REQ_OP_WRITE ? NULL : rq->bio; bio; bio = bio->bi_next)
		count++;
	return count ?: 1;
}

/* False: it does not concern this disk. */
static bool look_at(struct piece *p, struct tmk_disk *d, struct request *rq)
{
	u64 begin = blk_rq_pos(rq), end = begin + blk_rq_sectors(rq);
	const struct bio *bio;

	*p = (struct piece){.disk = d, .rq = rq, .type = type_of(rq), .ranges = ranges_of(rq)};
	if (p->ranges > 1) /* the request's length is the sum of theirs */
		end = begin;
	for (bio = p->ranges > 1 ? rq->bio : NULL; bio; bio = bio->bi_next) {
		begin = min_t(u64, begin, bio->bi_iter.bi_sector);
		end = max_t(u64, end, bio_end_sector(bio));
	}
	p->beyond = d->whole && end > d->start + d->sectors;
	p->begin = max(begin, d->start);
	p->end = min(end, d->start + d->sectors);
	return p->begin < p->end;
}

/* One of its ranges, or all of it; empty if that lies outside. */
static void range_of(const struct piece *p, const struct bio *bio, u64 *begin, u64 *end)
{
	*begin = p->ranges == 1 ? p->begin : max_t(u64, bio->bi_iter.bi_sector, p->begin);
	*end = p->ranges == 1 ? p->end : min_t(u64, bio_end_sector(bio), p->end);
	*end = max(*begin, *end);
}

/* ---- copying ---- */

static bool is_encrypted(const struct request *rq)
{
#ifdef CONFIG_BLK_INLINE_ENCRYPTION
	return rq->crypt_ctx;
#else
	return false;
#endif
}

static bool is_of_a_device(const struct request *rq)
{
	return blk_queue_pci_p2pdma(rq->q) && rq->bio && bio_has_data(rq->bio) && is_pci_p2pdma_page(bio_page(rq->bio));
}

/* What cannot be read: encrypted on the way, memory of a device, a payload of the driver's own (R5). */
static bool can_capture(const struct piece *p)
{
	if (p->type != TIDEMARK_DATA)
		return true;
	return !is_encrypted(p->rq) && !(p->rq->rq_flags & RQF_SPECIAL_PAYLOAD) && !is_of_a_device(p->rq);
}

static u64 length_of(const struct piece *p)
{
	u64 content = p->type == TIDEMARK_DATA ? (p->end - p->begin) << SECTOR_SHIFT : 0;

	return (u64)p->ranges * TIDEMARK_ALIGN + ALIGN(content, TIDEMARK_ALIGN);
}

/* Headers of all records of a piece; none of them is published yet. */
static void fill(struct tidemark_record *record, const struct piece *p, u64 sequence)
{
	const struct bio *bio = p->rq->bio;
	u32 i;

	for (i = 0; i<p->ranges; i++, bio = p->ranges> 1 ? bio->bi_next : NULL) {
		u64 begin, end;

		range_of(p, bio, &begin, &end);
		record[i] = (struct tidemark_record){
			.length = p->ranges > 1 ? TIDEMARK_ALIGN : length_of(p),
			.type = p->type,
			.disk = p->disk->number,
			.sector = begin - p->disk->start,
			.sectors = end - begin,
			.sequence = sequence,
			.gap = p->disk->protection->gap,
		};
	}
}

/* The request's content from sector p->begin on. False: there was less of it than it says. */
static bool copy(const struct piece *p, u8 *to)
{
	u64 skip = (p->begin - blk_rq_pos(p->rq)) << SECTOR_SHIFT, rest = (p->end - p->begin) << SECTOR_SHIFT;
	struct req_iterator iter;
	struct bio_vec bv;

	rq_for_each_segment(bv, p->rq, iter) {
		u32 off = min_t(u64, skip, bv.bv_len), part = min_t(u64, bv.bv_len - off, rest);
		u8 *from;

		skip -= off;
		if (!part)
			continue;
		from = kmap_local_page(bv.bv_page);
		memcpy(to, from + bv.bv_offset + off, part);
		kunmap_local(from);
		to += part;
		rest -= part;
	}
	return !rest;
}

static void publish_all(struct tidemark_record *record, const struct piece *p, u64 position)
{
	u32 i;

	for (i = 0; i < p->ranges; i++, position += TIDEMARK_ALIGN)
		tmk_log_publish(record + i, position);
}

/* ---- issue ---- */

static void mark(const struct piece *p)
{
	const struct bio *bio = p->rq->bio;
	u64 begin, end;
	u32 i;

	for (i = 0; i<p->ranges; i++, bio = p->ranges> 1 ? bio->bi_next : NULL) {
		range_of(p, bio, &begin, &end);
		tmk_map_mark(&p->disk->map, begin - p->disk->start, end - begin);
	}
}

static void mark_gap(const struct piece *p, const char *reason)
{
	mark(p);
	tmk_disk_gap(p->disk->protection, reason);
}

/* All that is between its ranges, if there were several: if that is much, there is no time for it here. */
static void mark_flight(struct tmk_disk *d, const struct tmk_flight *f, const char *reason)
{
	if (f->end - f->begin > MARK_MOST) {
		tmk_disk_doubt(d, reason);
		return;
	}
	tmk_map_mark(&d->map, f->begin - d->start, f->end - f->begin);
	tmk_disk_gap(d->protection, reason);
}

/* Its completion was missed, and the address is used again. */
static void give_up(const struct piece *p, struct tmk_flight *f)
{
	tmk_disk_gap_before(p->disk->protection, NULL);
	mark_flight(p->disk, f, "a request was issued again whose completion was not seen");
	tmk_flights_remove(&p->disk->flights, f);
}

/* Reserved, with its headers; NULL: it is marked. */
static struct tidemark_record *enter(const struct piece *p, u64 *position)
{
	struct tmk_protection *prot = p->disk->protection;
	struct tmk_flight *before = tmk_flights_find(&p->disk->flights, p->rq);
	struct tidemark_record *record;
	u64 sequence = prot->sequence++;

	if (before)
		give_up(p, before);
	if (!tmk_flights_add(&p->disk->flights, p->rq, p->begin, p->end, sequence))
		mark_gap(p, "more requests in flight than the disk had tags for");
	if (!prot->ring.on) {
		mark_gap(p, NULL);
		return NULL;
	}
	if (prot->ring.both)
		mark(p);
	if (!can_capture(p)) {
		mark_gap(p, "a write whose data cannot be read");
		return NULL;
	}
	record = tmk_log_reserve(prot, length_of(p), position);
	if (record)
		fill(record, p, sequence);
	else
		mark_gap(p, "the log is full");
	return record;
}

static void log_write(const struct piece *p)
{
	struct tmk_protection *prot = p->disk->protection;
	struct tidemark_record *record;
	unsigned long flags;
	u64 position;

	raw_spin_lock_irqsave(&prot->lock, flags);
	record = enter(p, &position);
	raw_spin_unlock_irqrestore(&prot->lock, flags);
	if (!record)
		return;
	if (p->type == TIDEMARK_DATA && !copy(p, (u8 *)(record + 1))) {
		raw_spin_lock_irqsave(&prot->lock, flags);
		mark_gap(p, "a write with less data than it names");
		record->type = TIDEMARK_SKIP;
		raw_spin_unlock_irqrestore(&prot->lock, flags);
	}
	publish_all(record, p, position);
}

static void doubt(struct tmk_disk *d, const char *reason)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&d->protection->lock, flags);
	tmk_disk_doubt(d, reason);
	raw_spin_unlock_irqrestore(&d->protection->lock, flags);
}

/* What is no write of sectors. */
static bool is_other(struct tmk_disk *d, struct request *rq)
{
	if (is_special(rq)) {
		if (!tmk_passthrough_harmless(rq, d->driver))
			doubt(d, "a driver's command that may have written");
		return true;
	}
	if (!type_of(rq))
		doubt(d, "a kind of request that is not known");
	return !type_of(rq);
}

static void issued(struct tmk_disk *d, struct request *rq)
{
	struct piece p;

	if (is_other(d, rq))
		return;
	if (look_at(&p, d, rq))
		log_write(&p);
	if (p.beyond)
		doubt(d, "a write behind the end that the disk had"); /* R21 */
}

/* The ends of what is in flight will not be known as such: a fence must not wait for them. */
static void replaced(struct tmk_disk *d)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&d->protection->lock, flags);
	tmk_flights_clear(&d->flights);
	tmk_disk_doubt(d, "another disk, or another medium, is in its place");
	raw_spin_unlock_irqrestore(&d->protection->lock, flags);
}

/* Is it a request of that disk? Its address may be another's by now, and another medium may be in it: then everything is. */
static bool is_of(struct tmk_disk *d, const struct gendisk *disk)
{
	if (d->gendisk != disk)
		return false;
	if (d->diskseq == disk->diskseq)
		return true;
	if (!READ_ONCE(d->doubtful) || READ_ONCE(d->flights.count))
		replaced(d);
	return false;
}

/* Of a queue without a disk. Rare, and so is an NVMe disk among the protected ones: all are looked through. */
static void admin(struct request *rq)
{
	struct tmk_disk *d;
	int i;

	if (!is_special(rq))
		return;
	hash_for_each_rcu(disks, i, d, node)
		if (!tmk_passthrough_harmless_admin(rq, d))
			doubt(d, "a command to the controller that may have changed the disk");
}

void tidemark_issued(struct request *rq, struct gendisk *disk)
{
	struct tmk_disk *d;

	tmk_count_issued(rq);
	if (!disk)
		admin(rq);
	hash_for_each_possible_rcu_notrace(disks, d, node, (unsigned long)disk)
		if (is_of(d, disk))
			issued(d, rq);
}

/* ---- requeue, completion ---- */

/* Taken back, it is not in flight. If it is issued again it goes into the log again, behind what went there meanwhile, as on the
 * disk; also if it was merged into another request. If it never is, it completes as one that is not in flight. */
void tidemark_requeued(struct request *rq, struct gendisk *disk)
{
	struct tmk_flight *f;
	struct tmk_disk *d;
	unsigned long flags;

	tmk_count_requeued(rq);
	hash_for_each_possible_rcu_notrace(disks, d, node, (unsigned long)disk) {
		if (!is_of(d, disk))
			continue;
		raw_spin_lock_irqsave(&d->protection->lock, flags);
		f = tmk_flights_find(&d->flights, rq);
		if (f)
			tmk_flights_remove(&d->flights, f);
		raw_spin_unlock_irqrestore(&d->protection->lock, flags);
	}
}

/* Why the log's word for it is not enough, or NULL. A completion of 0 bytes ends a request whose bios go elsewhere, to be issued
 * anew: whatever happens to them, it is marked (R6). */
static const char *unsettled(const struct tmk_flight *f, unsigned int bytes, bool failed)
{
	if (failed)
		return "a write failed";
	if (f->overlapped) /* at each part: what is taken back after it is not in flight any more, and forgets */
		return "two writes overlapped";
	return bytes ? NULL : "a request ended without having been done";
}

static void settle(const struct piece *p, unsigned int bytes, bool failed)
{
	struct tmk_flights *all = &p->disk->flights;
	struct tmk_flight *f = tmk_flights_find(all, p->rq);
	bool last = bytes >= blk_rq_bytes(p->rq);
	const char *reason;

	p->disk->writes += last;
	if (!f) {
		mark_gap(p, "a write ended that was not in flight as far as is known");
		return;
	}
	reason = unsettled(f, bytes, failed);
	if (reason && p->ranges > 1) /* which they are is known still */
		mark_gap(p, reason);
	else if (reason)
		mark_flight(p->disk, f, reason);
	if (last)
		tmk_flights_remove(all, f);
}

static void completed(struct tmk_disk *d, struct request *rq, unsigned int bytes, bool failed)
{
	unsigned long flags;
	struct piece p;
	bool ours;

	if (req_op(rq) == REQ_OP_FLUSH) { /* they come only if they failed */
		doubt(d, "a flush failed: what was written before may be lost");
		return;
	}
	if (is_other(d, rq))
		return;
	ours = look_at(&p, d, rq);
	raw_spin_lock_irqsave(&d->protection->lock, flags);
	if (ours || tmk_flights_find(&d->flights, rq)) /* its bios may have been taken away */
		settle(&p, bytes, failed);
	else if (!rq->bio && !bytes) /* they were, and it was never seen: which sectors they name nobody knows */
		tmk_disk_doubt(d, "a request ended of which nothing is known");
	raw_spin_unlock_irqrestore(&d->protection->lock, flags);
}

void tidemark_completed(struct request *rq, struct gendisk *disk, unsigned int bytes, bool failed)
{
	struct tmk_disk *d;

	tmk_count_completed(rq, bytes, failed);
	if (!disk)
		admin(rq);
	hash_for_each_possible_rcu_notrace(disks, d, node, (unsigned long)disk)
		if (is_of(d, disk))
			completed(d, rq, bytes, failed);
}
