// SPDX-License-Identifier: GPL-2.0
/*
 * How writes are seen: probes on tracepoints of the block layer. Nothing in the kernel is patched or swapped. The only file that
 * knows the hooks.
 *
 * A request, not a bio, is what is seen: a bio may be queued and never become a request (R5), and only requests show passthrough
 * and what remapped bios became. The tracepoints, and what they mean for whoever keeps a table of requests in flight:
 *
 * - block_rq_issue, blk_mq_start_request(): the driver is about to send it. Every driver calls it, also for batches. A request
 *   that is split off a bio has its own; bios that were merged have one together (R23: it is the unit of a cut).
 * - block_rq_complete, blk_update_request(), before the request advances: blk_rq_pos() and blk_rq_bytes() still name what is
 *   left, this part included. In interrupts. 0 bytes complete nothing (R6): an NVMe path that failed sends the bios again
 *   elsewhere; a request with a flush ends twice, the second time with nothing left.
 * - block_rq_requeue: the driver gives it back: busy, a lost path, an aborted command. Without this hook a request could leave
 *   unseen, since it may be merged into another one behind the scheduler, or a clone of multipath be freed, without a completion;
 *   a fence would wait for it for ever, or its address come again as another request (R7). The data may have reached the disk, in
 *   whole, in part or not at all. If it is sent again it is issued again, behind what was issued meanwhile: in the log it stands
 *   twice, and the last one is right, as on the disk. It also comes for requests that no driver has started; these were in no
 *   table.
 *
 * Not hooked: block_rq_insert and block_rq_merge (nothing is sent yet), block_rq_remap (the lower request is issued itself),
 * block_bio_complete (names no range, and never comes for these disks), block_rq_error (block_rq_complete says the same).
 *
 * Probes are attached from the end of a request's life to its beginning, and detached the other way round: whatever was seen as
 * it was issued is also seen as it ends.
 */
#define pr_fmt(fmt) "tidemark: " fmt

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <trace/events/block.h>

#include "compat.h"
#include "internal.h"

/* Neither changes a disk. DRV_IN is not among them: NVMe's even opcodes look like it, format and sanitize too (R29). */
static __always_inline bool changes_nothing(struct request *rq)
{
	return req_op(rq) == REQ_OP_READ || req_op(rq) == REQ_OP_FLUSH;
}

/* Probes are preemptible on the newest kernels, and in no RCU read section there. */
static void issue(TMK_ISSUE_ARGS)
{
	if (changes_nothing(rq))
		return;
	rcu_read_lock();
	tidemark_issued(rq, tmk_compat_disk(rq));
	rcu_read_unlock();
}

static void requeue(TMK_REQUEUE_ARGS)
{
	if (changes_nothing(rq))
		return;
	rcu_read_lock();
	tidemark_requeued(rq, tmk_compat_disk(rq));
	rcu_read_unlock();
}

/* A flush that fails is told: what had been written may be lost in the drive. */
static void complete_part(TMK_COMPLETE_ARGS)
{
	if (changes_nothing(rq) && !(error && req_op(rq) == REQ_OP_FLUSH))
		return;
	rcu_read_lock();
	tidemark_completed(rq, tmk_compat_disk(rq), bytes, error != 0);
	rcu_read_unlock();
}

/* ---- the same for the self-test, which does not trust the arguments yet ---- */

static void watch_issue(TMK_ISSUE_ARGS)
{
	struct tmk_hooks_seen *seen = data;

	if (rq == READ_ONCE(seen->rq))
		WRITE_ONCE(seen->issued, seen->issued + 1);
}

static void watch_requeue(TMK_REQUEUE_ARGS)
{
	struct tmk_hooks_seen *seen = data;

	if (rq == READ_ONCE(seen->rq))
		WRITE_ONCE(seen->requeued, seen->requeued + 1);
}

static void watch_complete(TMK_COMPLETE_ARGS)
{
	struct tmk_hooks_seen *seen = data;

	if (rq != READ_ONCE(seen->rq) || bytes != seen->bytes)
		return;
	if (error)
		WRITE_ONCE(seen->failed, seen->failed + 1);
	else
		WRITE_ONCE(seen->completed, seen->completed + 1);
}

/* ---- attaching ---- */

enum { COMPLETE, REQUEUE, ISSUE, HOOKS };

static const char *const names[HOOKS] = {
	[COMPLETE] = "block_rq_complete",
	[REQUEUE] = "block_rq_requeue",
	[ISSUE] = "block_rq_issue",
};
static void *const probes[HOOKS] = {[COMPLETE] = complete_part, [REQUEUE] = requeue, [ISSUE] = issue};
static void *const watchers[HOOKS] = {[COMPLETE] = watch_complete, [REQUEUE] = watch_requeue, [ISSUE] = watch_issue};
static struct tracepoint *points[HOOKS];

/* A probe is registered as void *: only here does the compiler look whether it takes what the tracepoint gives. */
static void check_prototypes(void)
{
	check_trace_callback_type_block_rq_complete(complete_part);
	check_trace_callback_type_block_rq_complete(watch_complete);
	check_trace_callback_type_block_rq_requeue(requeue);
	check_trace_callback_type_block_rq_requeue(watch_requeue);
	check_trace_callback_type_block_rq_issue(issue);
	check_trace_callback_type_block_rq_issue(watch_issue);
}

static void find(struct tracepoint *point, void *unused)
{
	int i;

	for (i = 0; i < HOOKS; i++)
		if (!strcmp(point->name, names[i]))
			points[i] = point;
}

int tmk_hooks_find(void)
{
	int i;

	check_prototypes();
	for_each_kernel_tracepoint(find, NULL);
	for (i = 0; i < HOOKS; i++) {
		if (points[i])
			continue;
		pr_err("this kernel has no tracepoint %s, so writes cannot be seen (CONFIG_TRACEPOINTS, "
		       "CONFIG_BLK_DEV_IO_TRACE)\n",
		       names[i]);
		return -EOPNOTSUPP;
	}
	return 0;
}

static void detach(void *const *functions, int count, void *data)
{
	while (count--)
		tracepoint_probe_unregister(points[count], functions[count], data);
	tracepoint_synchronize_unregister();
}

static int attach(void *const *functions, void *data)
{
	int i, rc;

	for (i = 0; i < HOOKS; i++) {
		rc = tracepoint_probe_register(points[i], functions[i], data);
		if (rc) {
			pr_err("cannot attach to the tracepoint %s: error %d\n", names[i], rc);
			detach(functions, i, data);
			return rc;
		}
	}
	return 0;
}

int tmk_hooks_attach(void)
{
	return attach(probes, NULL);
}

void tmk_hooks_detach(void)
{
	detach(probes, HOOKS, NULL);
}

int tmk_hooks_watch(struct tmk_hooks_seen *seen)
{
	return attach(watchers, seen);
}

void tmk_hooks_unwatch(struct tmk_hooks_seen *seen)
{
	detach(watchers, HOOKS, seen);
}
