/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every difference between kernels, as whole operations; the rest of the module is written for the newest one. What a kernel is
 * like is found by compiling (probe/), never by its version: distributions backport. Each HAVE_ is 0 or 1, tested with #if under
 * -Wundef.
 */
#ifndef TMK_COMPAT_H
#define TMK_COMPAT_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/mm.h>

#include "features.h"

/* What the kernel calls our probes with. hooks.c has the compiler compare it with the tracepoints' own prototypes. */
#if HAVE_RQ_ISSUE_WITH_QUEUE
#define TMK_ISSUE_ARGS void *data, struct request_queue *q, struct request *rq
#else
#define TMK_ISSUE_ARGS void *data, struct request *rq
#endif

#if HAVE_RQ_REQUEUE_WITH_QUEUE
#define TMK_REQUEUE_ARGS void *data, struct request_queue *q, struct request *rq
#else
#define TMK_REQUEUE_ARGS void *data, struct request *rq
#endif

/* `error` is 0 if all went well, whatever its type. */
#if HAVE_RQ_COMPLETE_STATUS
#define TMK_COMPLETE_ARGS void *data, struct request *rq, blk_status_t error, unsigned int bytes
#else
#define TMK_COMPLETE_ARGS void *data, struct request *rq, int error, unsigned int bytes
#endif

/* NULL: a queue without a disk, like NVMe's for administration. Good until the end of the caller's RCU read section. */
static inline struct gendisk *tmk_compat_disk(struct request *rq)
{
#if HAVE_RQ_DISK
	return READ_ONCE(rq->rq_disk);
#else
	return READ_ONCE(rq->q->disk);
#endif
}

/* A queue without a disk yet, or an ERR_PTR. blk_mq_destroy_queue() and blk_put_queue() undo it. */
static inline struct request_queue *tmk_compat_alloc_queue(struct blk_mq_tag_set *set, void *data)
{
#if HAVE_ALLOC_QUEUE_WITH_LIMITS
	return blk_mq_alloc_queue(set, NULL, data);
#else
	struct request_queue *q = blk_mq_init_queue(set);

	if (!IS_ERR(q))
		q->queuedata = data;
	return q;
#endif
}

static inline void tmk_compat_vm_flags(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
#if HAVE_VM_FLAGS_CLEAR
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

#endif
