/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The core: protections, their disks, what is in flight, the maps and the ring. hooks.c calls it, control.c and device.c command
 * it.
 *
 * Locks, outermost first:
 *   tmk_core_lock  mutex: who is attached; all commands.
 *   protection->lock    raw spinlock, interrupts off: sequence, gap count, requests in flight, maps, reservations in the ring. Of
 *                       one protection only; a probe takes it for a write to a protected disk and for nothing else (I10).
 * A probe finds disks by RCU. A disk and its protection are freed only after the hooks' grace period.
 */
#ifndef TMK_CORE_H
#define TMK_CORE_H

#include <linux/blkdev.h>
#include <linux/hashtable.h>
#include <linux/irq_work.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "flight.h"
#include "tidemark_uapi.h"

/* ---- maps (map.c) ---- */

struct tmk_map {
	unsigned long *now, *taken; /* vmalloc_user() */
	u64 blocks;
	u32 shift;    /* sectors to blocks */
	size_t bytes; /* of one, whole pages */
};

u64 tmk_map_bytes(u64 sectors, u32 block);  /* of one of the two */
u32 tmk_map_block(const struct tmk_map *m); /* bytes */
int tmk_map_init(struct tmk_map *m, u64 sectors, u32 block);
void tmk_map_free(struct tmk_map *m);
/* Under the protection's lock; what lies behind the end is left out. */
void tmk_map_mark(struct tmk_map *m, u64 sector, u64 sectors);
/* These take the lock for a while at a time. */
void tmk_map_mark_range(struct tmk_map *m, raw_spinlock_t *lock, u64 sector, u64 sectors);
void tmk_map_mark_all(struct tmk_map *m, raw_spinlock_t *lock);
void tmk_map_take(struct tmk_map *m, raw_spinlock_t *lock);
void tmk_map_release(struct tmk_map *m, raw_spinlock_t *lock, u64 sector, u64 sectors, u64 length);
u64 tmk_map_count(const unsigned long *bits, u64 blocks);

/* ---- the ring (ring.c) ---- */

struct tmk_ring {
	struct page **pages;
	u8 *at;	  /* twice, side by side */
	u64 size; /* 0: none */
	u64 head, tail;
	bool on;     /* writes are captured */
	bool both;   /* and marked: for a verify, and for tests */
	bool closed; /* something was dropped since it was switched on: the closing mark is written */
};

int tmk_ring_init(struct tmk_ring *r, u64 size);
void tmk_ring_free(struct tmk_ring *r);

/* ---- what is in the ring (log.c): all but copy and publish under the protection's lock ---- */

struct tmk_protection;
struct tmk_disk;

/* Room for records of `length` bytes in all, multiples of TIDEMARK_ALIGN; NULL: there is none. The caller fills the header of
 * each before it gives the lock back. */
struct tidemark_record *tmk_log_reserve(struct tmk_protection *p, u64 length, u64 *position);
/* Its content is there. */
void tmk_log_publish(struct tidemark_record *record, u64 position);
/* A MARK, -ENOSPC: no room. A `closing` one may use the room that others have to leave. */
int tmk_log_mark(struct tmk_protection *p, const u8 id[16], bool closing, u64 *position);
/* The following under tmk_core_lock, not the protection's. */
int tmk_log_release(struct tmk_protection *p, u64 position);
/* On, or only: from here on with marks, or without. */
void tmk_log_on(struct tmk_protection *p, bool both);
/* Switches it off; what it held is marked in `now`, and the gap count is raised. */
void tmk_log_off(struct tmk_protection *p, const char *reason);

/* ---- gaps: under the lock; what is missing is marked before (R4) ---- */

void tmk_disk_gap(struct tmk_protection *p, const char *reason);
/* The same of what was wrong before already: no closing mark, which would call it a point. */
void tmk_disk_gap_before(struct tmk_protection *p, const char *reason);
/* Everything is to be marked: by the next take, or by settle. For a probe, which has no time for that. */
void tmk_disk_doubt(struct tmk_disk *d, const char *reason);

/* ---- driver commands (passthrough.c, R29) ---- */

enum tmk_driver { TMK_DRIVER_OTHER, TMK_DRIVER_SCSI, TMK_DRIVER_NVME, TMK_DRIVER_VIRTIO };

/* Whose commands are understood; of another, all are suspicious. */
enum tmk_driver tmk_passthrough_driver(struct gendisk *disk);
/* Leaves what is on the disk alone, for sure. */
bool tmk_passthrough_harmless(struct request *rq, enum tmk_driver driver);
/* The same of a request to a queue without a disk: only an NVMe controller's own queue can harm its disks. */
bool tmk_passthrough_harmless_admin(struct request *rq, const struct tmk_disk *d);

/* ---- from the hooks (capture.c) ---- */

void tmk_capture_add(struct tmk_disk *d);
void tmk_capture_remove(struct tmk_disk *d);

/* ---- disks and protections (disk.c) ---- */

struct tmk_protection {
	u8 id[16];
	raw_spinlock_t lock;
	u64 sequence; /* of the next request */
	u64 gap;
	struct tmk_ring ring;
	u8 cookie[TIDEMARK_COOKIE];
	char reason[TIDEMARK_REASON]; /* of the last gap */
	bool stirred;		      /* something happened that the owner is to be told of, and is not yet */
	struct irq_work stir;
	struct list_head disks;
	struct list_head all; /* of tmk_protections */
};

struct tmk_disk {
	struct hlist_node node; /* by gendisk */
	struct list_head list;	/* of the protection's disks */
	struct tmk_protection *protection;
	const struct gendisk *gendisk; /* only compared: not held, and its address may become another's */
	u64 diskseq;		       /* never another's */
	u64 start, sectors;	       /* of the whole disk */
	bool whole;		       /* what is behind the end counts, too (R21) */
	u32 number;
	enum tmk_driver driver;
	const void *controller;	      /* only compared: driver_data of its queue's tags */
	bool doubtful;		      /* everything is to be marked at the next take */
	u64 doubts;		      /* how often it came to that; begins where the gap count stood */
	char reason[TIDEMARK_REASON]; /* of the last doubt */
	u8 key[16];
	char identity[128];
	struct tmk_map map;
	struct tmk_flights flights;
	u64 writes;
};

struct tmk_wanted { /* as ATTACH has it */
	const u8 *protection, *key;
	const char *identity;
	struct block_device *bdev;
	u64 ring;
	u32 block; /* 0: what it has, or the smallest one that leaves room for others */
};

extern struct mutex tmk_core_lock;
extern struct list_head tmk_protections;
extern struct tmk_disk *tmk_disks[TIDEMARK_DISKS]; /* by number; NULL: none */

/* All under tmk_core_lock; 0 or -errno, `why` is for the user then. */
int tmk_disk_attach(const struct tmk_wanted *want, struct tmk_disk **out, bool *fresh, const char **why);
void tmk_disk_detach(struct tmk_disk *d);
struct tmk_protection *tmk_disk_protection(const u8 id[16]);

struct tmk_taken {
	u64 gap, position, sequence, blocks;
};
/* The machine is being hibernated: no take, no mark. */
extern bool tmk_disk_asleep;
void tmk_disk_take(struct tmk_protection *p, struct tmk_taken *out);
u64 tmk_disk_settled(struct tmk_protection *p);
/* Marks everything of a doubtful disk. */
void tmk_disk_settle(struct tmk_disk *d);

#endif
