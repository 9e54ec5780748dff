// SPDX-License-Identifier: GPL-2.0
/* How a queue for requests is made. Since 6.9 its limits come with it. */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>

#if defined(TRY_ALLOC_QUEUE_WITH_LIMITS)
#define MAKE (blk_mq_alloc_queue(set, (struct queue_limits *)NULL, NULL))
#elif defined(TRY_INIT_QUEUE)
#define MAKE (blk_mq_init_queue(set))
#elif defined(TRY_NO)
#define MAKE (no_kernel_has_this(set))
#elif defined(TRY_YES)
#define MAKE ((struct request_queue *)(blk_mq_alloc_tag_set(set) ? NULL : set->driver_data))
#endif

struct request_queue *try(struct blk_mq_tag_set *set);
struct request_queue *try(struct blk_mq_tag_set *set)
{
	return MAKE;
}
