// SPDX-License-Identifier: GPL-2.0
/* What a probe of block_rq_complete is given. */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <trace/events/block.h>

#if defined(TRY_RQ_COMPLETE_STATUS)
#define ARGS void *data, struct request *rq, blk_status_t error, unsigned int bytes
#elif defined(TRY_RQ_COMPLETE_ERRNO)
#define ARGS void *data, struct request *rq, int error, unsigned int bytes
#elif defined(TRY_NO)
#define ARGS void *data, struct request *rq, void *error, unsigned int bytes
#elif defined(TRY_YES)
#define ARGS void *data, struct request_queue *q
#define check_trace_callback_type_block_rq_complete check_trace_callback_type_block_plug
#endif

static void probe(ARGS)
{
}
void try(void);
void try(void)
{
	check_trace_callback_type_block_rq_complete(probe);
}
