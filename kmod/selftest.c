// SPDX-License-Identifier: GPL-2.0
/*
 * Whether this kernel's hooks show writes: asked once, before anything is armed. A tracker that sees nothing looks like a disk
 * that nobody writes to, so a kernel on which the answer is no must not get one.
 *
 * The test writes to a disk of its own, which is never added to the system: it has no name, no device node, no sysfs entry, no
 * elevator, and is gone when the test ends; nobody's disk is touched. Its driver is queue_rq() below, which throws the data away.
 * One write is taken back once and then succeeds, another one fails.
 */
#define pr_fmt(fmt) "tidemark: " fmt

#include <linux/bio.h>
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "compat.h"
#include "internal.h"

enum { BYTES = 4096, SECTORS = 16, SECTOR = 8 };

struct test {
	struct blk_mq_tag_set tags;
	struct request_queue *queue;
	struct gendisk *disk;
	struct page *page;
	struct tmk_hooks_seen seen;
	/* what the driver does with the next request */
	bool take_back;
	blk_status_t status;
};

static blk_status_t queue_rq(struct blk_mq_hw_ctx *hctx, const struct blk_mq_queue_data *what)
{
	struct test *test = hctx->queue->queuedata;
	struct request *rq = what->rq;

	WRITE_ONCE(test->seen.rq, rq);
	blk_mq_start_request(rq);
	if (test->take_back) {
		test->take_back = false;
		blk_mq_requeue_request(rq, true);
		return BLK_STS_OK;
	}
	rq->rq_flags |= RQF_QUIET; /* no "I/O error" in the log */
	blk_mq_end_request(rq, test->status);
	return BLK_STS_OK;
}

static const struct blk_mq_ops queue_ops = {.queue_rq = queue_rq};
static const struct block_device_operations disk_ops = {.owner = THIS_MODULE};

static int make_queue(struct test *test)
{
	int rc;

	test->tags.ops = &queue_ops;
	test->tags.nr_hw_queues = 1;
	test->tags.queue_depth = 1;
	test->tags.numa_node = NUMA_NO_NODE;
	rc = blk_mq_alloc_tag_set(&test->tags);
	if (rc)
		return rc;
	test->queue = tmk_compat_alloc_queue(&test->tags, test);
	if (!IS_ERR(test->queue))
		return 0;
	rc = PTR_ERR(test->queue);
	blk_mq_free_tag_set(&test->tags);
	return rc;
}

/* Waits for the block layer's own work on the queue, so that nothing of it is on its way back through queue_rq(). */
static void destroy_queue(struct test *test)
{
	blk_mq_destroy_queue(test->queue);
	if (test->disk)
		put_disk(test->disk);
	blk_put_queue(test->queue);
	blk_mq_free_tag_set(&test->tags);
}

static int make_disk(struct test *test)
{
	static struct lock_class_key key;
	int rc;

	rc = make_queue(test);
	if (rc)
		return rc;
	test->disk = blk_mq_alloc_disk_for_queue(test->queue, &key);
	if (!test->disk) {
		destroy_queue(test);
		return -ENOMEM;
	}
	test->disk->fops = &disk_ops;
	set_capacity(test->disk, SECTORS);
	return 0;
}

/* 0 or the error that the driver was told to give; the hooks' account of it is in `seen`. */
static int write_once(struct test *test, bool take_back, blk_status_t status)
{
	struct bio_vec vec;
	struct bio bio;
	int rc;

	test->take_back = take_back;
	test->status = status;
	memset(&test->seen, 0, sizeof(test->seen));
	test->seen.bytes = BYTES;
	bio_init(&bio, test->disk->part0, &vec, 1, REQ_OP_WRITE | REQ_SYNC);
	bio.bi_iter.bi_sector = SECTOR;
	__bio_add_page(&bio, test->page, BYTES, 0);
	rc = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return rc;
}

static int expect(const char *hook, const char *what, unsigned int times, unsigned int wanted)
{
	if (times == wanted)
		return 0;
	pr_err("self-test: of a test write %s was to be seen at %s %u times, and was %u times: this kernel's hooks cannot be "
	       "relied on, or the module was built for another kernel. Nothing is tracked\n",
	       what, hook, wanted, times);
	return -EOPNOTSUPP;
}

static int expect_all(const struct tmk_hooks_seen *seen, unsigned int requeued, unsigned int completed, unsigned int failed)
{
	return expect("block_rq_issue", "the issue", seen->issued, 1 + requeued) ?:
	       expect("block_rq_requeue", "the return", seen->requeued, requeued) ?:
	       expect("block_rq_complete", "the completion", seen->completed, completed) ?:
	       expect("block_rq_complete", "the failure", seen->failed, failed);
}

static int write_and_look(struct test *test)
{
	int rc;

	rc = write_once(test, true, BLK_STS_OK);
	if (rc) {
		pr_err("self-test: a write to the module's own test disk failed with error %d\n", rc);
		return rc;
	}
	rc = expect_all(&test->seen, 1, 1, 0);
	if (rc)
		return rc;
	if (!write_once(test, false, BLK_STS_IOERR)) {
		pr_err("self-test: a write that had to fail did not\n");
		return -EOPNOTSUPP;
	}
	return expect_all(&test->seen, 0, 0, 1);
}

static int run(struct test *test)
{
	int rc;

	rc = make_disk(test);
	if (rc) {
		pr_err("self-test: cannot make a test disk: error %d\n", rc);
		return rc;
	}
	rc = tmk_hooks_watch(&test->seen);
	if (!rc) {
		rc = write_and_look(test);
		tmk_hooks_unwatch(&test->seen);
	}
	destroy_queue(test);
	return rc;
}

int tmk_selftest_run(void)
{
	struct test *test = kzalloc(sizeof(*test), GFP_KERNEL);
	int rc = -ENOMEM;

	if (!test)
		return rc;
	test->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (test->page) {
		rc = run(test);
		__free_page(test->page);
	}
	kfree(test);
	return rc;
}
