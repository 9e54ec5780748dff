// SPDX-License-Identifier: GPL-2.0
/* Where a request's disk stands. Where both compile, the request's own is the one that is always right. */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>

#if defined(TRY_RQ_DISK)
#define DISK rq->rq_disk
#elif defined(TRY_QUEUE_DISK)
#define DISK rq->q->disk
#elif defined(TRY_NO)
#define DISK rq->q->no_kernel_has_this
#elif defined(TRY_YES)
#define DISK rq->bio->bi_private
#endif

struct gendisk *try(struct request *rq);
struct gendisk *try(struct request *rq)
{
	return DISK;
}
