// SPDX-License-Identifier: GPL-2.0
/* What a probe of block_rq_requeue is given. It changed inside 5.10.137. */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <trace/events/block.h>

#if defined(TRY_RQ_REQUEUE_WITH_QUEUE)
#define ARGS void *data, struct request_queue *q, struct request *rq
#elif defined(TRY_RQ_REQUEUE)
#define ARGS void *data, struct request *rq
#elif defined(TRY_NO)
#define ARGS void *data, struct bio *bio
#elif defined(TRY_YES)
#define ARGS void *data, struct request_queue *q
#define check_trace_callback_type_block_rq_requeue check_trace_callback_type_block_plug
#endif

static void probe(ARGS)
{
}
void try(void);
void try(void)
{
	check_trace_callback_type_block_rq_requeue(probe);
}
