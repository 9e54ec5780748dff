// SPDX-License-Identifier: GPL-2.0
/*
 * What the hooks showed, in numbers, of all disks together: debugfs, tidemark/requests (dump.c). "Are the hooks alive, and do
 * they see what /sys/block says?" is what a bug report begins with.
 *
 * One row for each kind of request; sectors are of 512 bytes, and passthrough has none that could be known. What is in flight is
 * issued and neither completed nor taken back. Counters belong to a processor and are summed by the reader (I10): a sum that is
 * taken under load is of no single instant.
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>

#include "internal.h"

enum kind { WRITE_DATA, DISCARD, ZEROES, PASSTHROUGH, OTHER, KINDS };

static const char *const kind_names[KINDS] = {
	[WRITE_DATA] = "write", [DISCARD] = "discard", [ZEROES] = "zeroes", [PASSTHROUGH] = "passthrough", [OTHER] = "other",
};

struct counts {
	u64 issued;
	u64 issued_sectors;
	u64 requeued;
	u64 completed; /* with the last part of a request */
	u64 completed_sectors;
	u64 failed; /* parts */
};

static DEFINE_PER_CPU(struct counts[KINDS], counters);

static enum kind kind_of(struct request *rq)
{
	switch (req_op(rq)) {
	case REQ_OP_WRITE:
		return WRITE_DATA;
	case REQ_OP_DISCARD:
	case REQ_OP_SECURE_ERASE:
		return DISCARD;
	case REQ_OP_WRITE_ZEROES:
		return ZEROES;
	default:
		return blk_rq_is_passthrough(rq) ? PASSTHROUGH : OTHER;
	}
}

static unsigned int sectors_of(enum kind kind, unsigned int bytes)
{
	return kind == PASSTHROUGH || kind == OTHER ? 0 : bytes >> SECTOR_SHIFT;
}

void tmk_count_issued(struct request *rq)
{
	enum kind kind = kind_of(rq);

	this_cpu_inc(counters[kind].issued);
	this_cpu_add(counters[kind].issued_sectors, sectors_of(kind, blk_rq_bytes(rq)));
}

void tmk_count_requeued(struct request *rq)
{
	this_cpu_inc(counters[kind_of(rq)].requeued);
}

void tmk_count_completed(struct request *rq, unsigned int bytes, bool failed)
{
	enum kind kind = kind_of(rq);

	/* The second end of a request with a flush, or a path that failed. Passthrough may have no data at all. */
	if (!bytes && kind != PASSTHROUGH)
		return;
	if (bytes >= blk_rq_bytes(rq))
		this_cpu_inc(counters[kind].completed);
	this_cpu_add(counters[kind].completed_sectors, sectors_of(kind, bytes));
	if (failed)
		this_cpu_inc(counters[kind].failed);
}

static void sum(enum kind kind, struct counts *out)
{
	int cpu;

	memset(out, 0, sizeof(*out));
	for_each_possible_cpu(cpu) {
		const struct counts *one = &per_cpu(counters[kind], cpu);

		out->issued += READ_ONCE(one->issued);
		out->issued_sectors += READ_ONCE(one->issued_sectors);
		out->requeued += READ_ONCE(one->requeued);
		out->completed += READ_ONCE(one->completed);
		out->completed_sectors += READ_ONCE(one->completed_sectors);
		out->failed += READ_ONCE(one->failed);
	}
}

void tmk_count_show(struct seq_file *file)
{
	struct counts row;
	int kind;

	seq_puts(file, "kind issued issued_sectors requeued completed completed_sectors failed\n");
	for (kind = 0; kind < KINDS; kind++) {
		sum(kind, &row);
		seq_printf(file, "%s %llu %llu %llu %llu %llu %llu\n", kind_names[kind], row.issued, row.issued_sectors,
			   row.requeued, row.completed, row.completed_sectors, row.failed);
	}
}
