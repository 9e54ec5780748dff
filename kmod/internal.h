/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the module's files know of one another.
 *
 *	hooks.c     the kernel's tracepoints: the only file that knows them
 *	selftest.c  whether they show what they should, on a disk of its own
 *	capture.c   what is made of what they show, of protected disks (core.h)
 *	count.c     and of all: numbers
 *	dump.c      these, and what is known of disks, in debugfs
 *	control.c   commands, by netlink
 *	device.c    the memory that the shipper maps
 *	main.c      the order in which these start and end
 */
#ifndef TMK_INTERNAL_H
#define TMK_INTERNAL_H

#include <linux/types.h>

struct gendisk;
struct irq_work;
struct request;
struct seq_file;

/*
 * hooks.c calls these for every request but reads and flushes, of every disk of the machine, as long as it is attached. In any
 * context, hard interrupts included, on up to all processors at once, also for one disk; inside an RCU read section, which is all
 * that keeps `disk` alive, and preemptible on the newest kernels. They never sleep or allocate; for a disk that is not
 * protected they take no lock and write nothing shared, for one that is they take its protection's lock (I10). `disk` is NULL for
 * a queue without one (NVMe's for administration).
 *
 * A request is issued, and then either completes or is taken back (requeued). What was taken back may be issued again, at that
 * address with other sectors or merged into another request; or it never is, and completes as failed or not at all. Details:
 * hooks.c.
 */
void tidemark_issued(struct request *rq, struct gendisk *disk);
void tidemark_requeued(struct request *rq, struct gendisk *disk);
/* Also of a flush that failed. `bytes` from blk_rq_pos(rq) on are done, or failed; less than blk_rq_bytes(rq) if it completes in
 * parts, and then more follow. 0 bytes complete nothing (R6). May come without an issue: what failed before it was sent. */
void tidemark_completed(struct request *rq, struct gendisk *disk, unsigned int bytes, bool failed);

/* Finds the tracepoints. First of all; -EOPNOTSUPP if the kernel lacks one, which it names. */
int tmk_hooks_find(void);
/* From here on the functions above are called, until detach has returned: then none of them runs any more. */
int tmk_hooks_attach(void);
void tmk_hooks_detach(void);

/* What the hooks showed of one request. `rq` is only compared, never followed: on a kernel that calls probes with other arguments
 * than it says, something else comes in its place. */
struct tmk_hooks_seen {
	struct request *rq;
	unsigned int bytes;
	unsigned int issued;
	unsigned int requeued;
	unsigned int completed; /* all bytes, without error */
	unsigned int failed;	/* all bytes, with an error */
};
int tmk_hooks_watch(struct tmk_hooks_seen *seen);
void tmk_hooks_unwatch(struct tmk_hooks_seen *seen);

/* 0 if writes are seen as they are issued, taken back, completed and failed. Says what was not. May sleep. */
int tmk_selftest_run(void);

/* As above; called by those. */
void tmk_count_issued(struct request *rq);
void tmk_count_requeued(struct request *rq);
void tmk_count_completed(struct request *rq, unsigned int bytes, bool failed);
void tmk_count_show(struct seq_file *file);

void tmk_dump_start(void);
void tmk_dump_stop(void);

int tmk_disk_start(void);
void tmk_disk_stop(void); /* detaches all */

int tmk_device_start(void);
void tmk_device_stop(void);

int tmk_control_start(void);
void tmk_control_stop(void);
/* Once nothing can stir any more: waits until nobody is being told. */
void tmk_control_settle(void);
/* A protection's irq_work: its owner is to be told of something. */
void tmk_control_stirred(struct irq_work *work);

#endif
