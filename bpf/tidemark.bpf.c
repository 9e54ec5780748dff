/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The probes: a write marks its blocks in `now` when its request is issued, and again when it completes. Nothing here sleeps,
 * allocates or takes a lock, and a disk that is not protected costs one look into a table and no store (I10).
 *
 * These programs run for every request of the server, so that what nearly all of them are leaves early: reads, other disks, and
 * then writes to a disk with one slot, inside of it, to one word of its map (mark_one). All else goes the general way, which
 * would do for these too. On kernels before 6.10 each load from a kernel structure carries six instructions that check the
 * address: a field is read once, and behind what might make it needless.
 *
 * Why no take needs a fence (I4, R1). The loader takes a word by: w = load(now); or(taken, w); and(now, ~w), each a full
 * barrier; it reads the disk after that. A completion probe runs after the device has the data. It either finds the bit set,
 * and skips: then its load precedes the clearing in the order of that word, so the data was on the device before the clearing
 * and so before the read, which sees it. Or it finds the bit clear and sets it: a later take sees it. So test-and-skip loses
 * nothing, at completion. The mark at issue alone could be lost to a take while the data is still under way; it is there so
 * that "nothing was written since" can be asked of the map while requests are in flight (R17), and for requests whose
 * completion never comes. So an issue that the kernel does not show to the probe costs a point, and loses nothing (poll.c).
 *
 * What a probe cannot turn into marks raises the slot's flag first and its gap count second (R4); the loader then marks all.
 * Who writes is noted when a write is submitted: with an I/O scheduler, and whenever a queue is busy, a kworker issues it. That
 * proves nothing and is for the status alone, so that `submit` is attached only while a point is wished for
 * (tmk_tracker_watch).
 *
 * Requests that carry no range, such as driver commands, are flagged at issue and again at completion, for the same reason.
 *
 * Only what is read is declared, and relocated at load (CO-RE): one object for all kernels from 5.17 on.
 */
#include "commands.h"
#include "tidemark_bpf.h"
#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

#define RANGES_MAX 512 /* of one discard; drivers allow 256 */
#define WORDS_MAX (1 << 23)

/* Numbers that have not changed since 4.11; the others mean different things in different kernels. */
enum {
	OP_READ = 0,
	OP_WRITE = 1,
	OP_FLUSH = 2,
	OP_DISCARD = 3,
	OP_SECURE_ERASE = 5,
	OP_WRITE_ZEROES = 9,
	OP_DRV_IN = 34,
	OP_DRV_OUT = 35
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct gendisk {
	int major;
	int first_minor;
};
struct request_queue {
	struct gendisk *disk;
};
struct bvec_iter {
	__u64 bi_sector;
	__u32 bi_size;
};
struct block_device {
	struct gendisk *bd_disk;
};
struct bio {
	struct bio *bi_next;
	struct block_device *bi_bdev;
	__u32 bi_opf;
	struct bvec_iter bi_iter;
};
struct request {
	struct request_queue *q;
	__u32 cmd_flags;
	__u32 __data_len;
	__u64 __sector;
	struct bio *bio;
};
/* Kernels that took the disk from the request itself (5.16's backports). */
struct request___disk {
	struct gendisk *rq_disk;
};
struct scsi_cmnd {
	__u8 cmnd[32];
};
struct scsi_cmnd___pointer {
	__u8 *cmnd;
};
struct nvme_command;
struct nvme_ctrl {
	struct request_queue *admin_q;
};
struct nvme_request {
	struct nvme_command *cmd;
	struct nvme_ctrl *ctrl;
};
struct virtio_blk_outhdr {
	__u32 type;
};
struct virtblk_req {
	struct virtio_blk_outhdr out_hdr;
};
#pragma clang attribute pop

struct bitmap {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tmk_bpf_config);
} config SEC(".maps");

struct tmk_bpf_slot slots[TMK_BPF_SLOTS] SEC(".data.slots") = {};
struct tmk_bpf_disk table[TMK_BPF_PLACES] SEC(".data.table") = {};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TMK_BPF_SLOTS);
	__type(key, __u32);
	__array(values, struct bitmap);
} now SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TMK_BPF_SLOTS);
	__type(key, __u32);
	__array(values, struct bitmap);
} taken SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TMK_BPF_SLOTS);
	__type(key, __u32);
	__type(value, struct tmk_bpf_seen);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TMK_BPF_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} writes SEC(".maps");

/* ---- marking ---- */

struct blocks {
	__u32 slot;
	__u32 failed;
	__u64 first, last;
};

/* Test first: most writes hit marked blocks, and a load does not take the line from other CPUs. */
static __always_inline void set_bits(__u64 *word, __u64 mask)
{
	if ((*(volatile __u64 *)word & mask) != mask)
		__sync_fetch_and_or(word, mask);
}

static long mark_word(__u32 i, struct blocks *b)
{
	__u64 head = b->first >> 6, tail = b->last >> 6, mask = ~0ull;
	__u64 *word;
	__u32 index = head + i;
	void *map = bpf_map_lookup_elem(&now, &b->slot);

	if (!map || !(word = bpf_map_lookup_elem(map, &index))) {
		b->failed = 1;
		return 1;
	}
	if (index == head)
		mask &= ~0ull << (b->first & 63);
	if (index == tail)
		mask &= ~0ull >> (63 - (b->last & 63));
	set_bits(word, mask);
	return 0;
}

static __always_inline void raise(struct tmk_bpf_slot *slot, __u64 flag)
{
	__sync_fetch_and_or(&slot->flags, flag);
	__sync_fetch_and_add(&slot->gap, 1);
}

/* A border for clang: no address is computed before its index was checked, which the verifier would not take, and none twice. */
#define BORDER(variable) asm volatile("" : "+r"(variable))

/* The slot in the lowest byte of a list. */
static __always_inline struct tmk_bpf_slot *slot_of(__u64 list, __u32 *index)
{
	__u64 i = (list & 0xff) - 1;

	*index = i;
	if (i >= TMK_BPF_SLOTS)
		return NULL;
	BORDER(i);
	return &slots[i];
}

static __noinline int mark_slot(__u64 list, __u64 sector, __u64 sectors)
{
	__u64 end = sector + sectors, limit, words;
	struct tmk_bpf_slot *slot;
	struct blocks b = {};

	slot = slot_of(list, &b.slot);
	if (!slot)
		return 0;
	limit = slot->start + slot->length;
	if (end > limit) {
		if (slot->whole_disk)
			raise(slot, TMK_BPF_BEYOND);
		end = limit;
	}
	if (sector < slot->start)
		sector = slot->start;
	if (sector >= end)
		return 0;
	b.first = (sector - slot->start) >> (slot->shift & 63);
	b.last = (end - 1 - slot->start) >> (slot->shift & 63);
	words = (b.last >> 6) - (b.first >> 6) + 1;
	if (words == 1)
		mark_word(0, &b);
	else if (bpf_loop(words < WORDS_MAX ? words : WORDS_MAX, mark_word, &b, 0) != words)
		b.failed = 1;
	if (b.failed)
		raise(slot, TMK_BPF_NO_MAP);
	return 0;
}

static __noinline int mark(__u64 list, __u64 sector, __u64 sectors)
{
	for (int i = 0; list && i < TMK_BPF_SLOTS_PER_DISK; i++, list >>= 8)
		mark_slot(list, sector, sectors);
	return 0;
}

static __always_inline void count(__u32 index)
{
	__u64 *number = bpf_map_lookup_elem(&writes, &index);

	if (number)
		(*number)++;
}

static __always_inline bool touches(const struct tmk_bpf_slot *slot, __u64 sector, __u64 sectors)
{
	return sector < slot->start + slot->length && sector + sectors > slot->start;
}

static __noinline int count_all(__u64 list, __u64 sector, __u64 sectors)
{
	for (int i = 0; list && i < TMK_BPF_SLOTS_PER_DISK; i++, list >>= 8) {
		struct tmk_bpf_slot *slot;
		__u32 index;

		slot = slot_of(list, &index);
		if (slot && touches(slot, sector, sectors))
			count(index);
	}
	return 0;
}

/* Nearly every write: the only slot of its disk, wholly inside of it, one word. False: nothing is done yet, for mark(). */
static __always_inline bool mark_one(__u64 list, __u64 sector, __u64 bytes, bool issue)
{
	__u64 sectors = (bytes + 511) >> 9, i = list - 1, first, last, mask, *word;
	struct tmk_bpf_slot *slot;
	__u32 index = i, number;
	void *map;

	if (i >= TMK_BPF_SLOTS)
		return false;
	slot = &slots[i];
	BORDER(slot);
	/* What lies before the start, has no sector, or is of no length becomes too large here. */
	sector -= slot->start;
	if (sector >= slot->length || sectors - 1 >= slot->length - sector)
		return false;
	first = sector >> (slot->shift & 63);
	last = (sector + sectors - 1) >> (slot->shift & 63);
	if ((first ^ last) >> 6)
		return false;
	mask = ((2ull << (last - first)) - 1) << (first & 63);
	number = first >> 6;
	map = bpf_map_lookup_elem(&now, &index);
	if (!map || !(word = bpf_map_lookup_elem(map, &number)))
		return false;
	set_bits(word, mask);
	if (!issue)
		count(index);
	return true;
}

static __noinline int note_writer(__u64 list, __u64 sector, __u64 sectors)
{
	for (int i = 0; list && i < TMK_BPF_SLOTS_PER_DISK; i++, list >>= 8) {
		struct tmk_bpf_slot *slot;
		struct tmk_bpf_seen *s;
		__u32 index;

		slot = slot_of(list, &index);
		s = bpf_map_lookup_elem(&seen, &index);
		if (!slot || !s || !touches(slot, sector, sectors))
			continue;
		s->when = bpf_jiffies64();
		s->sector = sector;
		s->sectors = sectors;
		s->pid = bpf_get_current_pid_tgid() >> 32;
		bpf_get_current_comm(s->comm, sizeof(s->comm));
	}
	return 0;
}

static __always_inline void fill_event(struct tmk_bpf_event *event, __u32 op, const __u8 *command)
{
	event->op = op;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	__builtin_memcpy(event->command, command, sizeof(event->command));
}

/* `issue`: this is the process that sent it. A completion runs on top of any. */
static __noinline int doubt(__u64 list, __u64 flag, __u32 op, const __u8 *command, bool issue)
{
	for (int i = 0; list && i < TMK_BPF_SLOTS_PER_DISK; i++, list >>= 8) {
		struct tmk_bpf_slot *slot;
		__u32 index;

		slot = slot_of(list, &index);
		if (!slot)
			continue;
		if (issue)
			fill_event(&slot->event, op, command);
		raise(slot, flag);
	}
	return 0;
}

/* ---- driver commands (R29) ---- */

/* The driver's part lies right behind the request. The types are found in the drivers' modules, if those are loaded. */
static __always_inline void *driver_part(struct request *rq)
{
	return (void *)rq + bpf_core_type_size(struct request);
}

/* These return 0 or an error; what could not be read is not harmless. */
static __always_inline long read_cdb(struct request *rq, __u8 *cdb)
{
	if (bpf_core_field_exists(struct scsi_cmnd, cmnd) && bpf_core_field_size(struct scsi_cmnd, cmnd) >= 16)
		return bpf_probe_read_kernel(cdb, 16, driver_part(rq) + bpf_core_field_offset(struct scsi_cmnd, cmnd));
	if (bpf_core_field_exists(struct scsi_cmnd___pointer, cmnd))
		return bpf_probe_read_kernel(cdb, 16, BPF_CORE_READ((struct scsi_cmnd___pointer *)driver_part(rq), cmnd));
	return -1;
}

static __always_inline long read_nvme(struct request *rq, __u8 *command)
{
	if (bpf_core_field_exists(struct nvme_request, cmd))
		return bpf_probe_read_kernel(command, 16, BPF_CORE_READ((struct nvme_request *)driver_part(rq), cmd));
	return -1;
}

static __always_inline bool harmless(struct request *rq, __u32 kind, __u8 *command)
{
	__u32 type = ~0u;

	switch (kind) {
	case TMK_BPF_SCSI:
		return !read_cdb(rq, command) && scsi_harmless(command);
	case TMK_BPF_NVME:
		return !read_nvme(rq, command) && nvme_harmless(command[0]);
	case TMK_BPF_VIRTIO:
		if (bpf_core_field_exists(struct virtblk_req, out_hdr))
			type = BPF_CORE_READ((struct virtblk_req *)driver_part(rq), out_hdr.type);
		*(__u32 *)command = type;
		return virtio_harmless(type);
	default:
		return false;
	}
}

/* A queue without a disk: an admin queue of NVMe, if its controller says so, or nothing that could hold data. */
static __noinline int look_at_admin(struct request *rq, bool issue)
{
	__u8 command[TMK_BPF_COMMAND] = {};
	struct nvme_ctrl *ctrl;
	struct tmk_bpf_config *c;
	__u32 zero = 0;

	if (!bpf_core_field_exists(struct nvme_request, ctrl) || !bpf_core_field_exists(struct nvme_ctrl, admin_q))
		return 0;
	ctrl = BPF_CORE_READ((struct nvme_request *)driver_part(rq), ctrl);
	if (!ctrl || BPF_CORE_READ(ctrl, admin_q) != rq->q)
		return 0;
	c = bpf_map_lookup_elem(&config, &zero);
	if (!c || (!read_nvme(rq, command) && nvme_admin_harmless(command[0])))
		return 0;
	if (issue)
		fill_event(&c->admin_event, OP_DRV_OUT, command);
	__sync_fetch_and_add(&c->admin, 1);
	return 0;
}

/* ---- requests ---- */

struct walk {
	struct bio *bio;
	__u64 list;
};

static long mark_range(__u32 i, struct walk *w)
{
	struct bio *bio = w->bio;
	__u32 size = BPF_CORE_READ(bio, bi_iter.bi_size);

	mark(w->list, BPF_CORE_READ(bio, bi_iter.bi_sector), (size + 511ull) >> 9);
	w->bio = BPF_CORE_READ(bio, bi_next);
	return !w->bio;
}

/* A merged discard is a list of ranges, a bio each; of a completion it is not known which are done, so all are marked. */
static __noinline int mark_ranges(struct bio *bio, __u64 list)
{
	__u8 command[TMK_BPF_COMMAND] = {};
	struct walk w = {.bio = bio, .list = list};

	bpf_loop(RANGES_MAX, mark_range, &w, 0);
	if (w.bio)
		doubt(list, TMK_BPF_RANGES, OP_DISCARD, command, false);
	return 0;
}

static __always_inline struct gendisk *disk_of(struct request *rq)
{
	struct gendisk *disk;

	if (bpf_core_field_exists(struct request___disk, rq_disk)) {
		disk = ((struct request___disk *)rq)->rq_disk;
		BORDER(disk); /* or both loads become one, with a computed offset */
		return disk;
	}
	return rq->q->disk;
}

static __always_inline struct tmk_bpf_disk *find(const struct gendisk *disk)
{
	return tmk_bpf_find(table, disk->major << 20 | disk->first_minor);
}

static __always_inline bool has_sectors(__u32 op)
{
	return op == OP_WRITE || op == OP_DISCARD || op == OP_SECURE_ERASE || op == OP_WRITE_ZEROES;
}

/* What mark_one() does not do, of a disk that has slots. */
static __noinline int look_closely(struct request *rq, __u64 list, __u32 kind, __u64 bytes, bool issue)
{
	__u32 op = rq->cmd_flags & 0xff;
	__u8 command[TMK_BPF_COMMAND] = {};
	__u64 sector;

	if (has_sectors(op)) {
		sector = rq->__sector;
		if (!bytes || sector == ~0ull)
			return 0;
		if (!issue)
			count_all(list, sector, (bytes + 511) >> 9);
		if (op != OP_WRITE && rq->bio && rq->bio->bi_next)
			mark_ranges(rq->bio, list);
		else
			mark(list, sector, (bytes + 511) >> 9);
		return 0;
	}
	if (op != OP_DRV_IN && op != OP_DRV_OUT)
		doubt(list, TMK_BPF_UNKNOWN_OP, op, command, issue);
	else if (!harmless(rq, kind, command))
		doubt(list, TMK_BPF_PASSTHROUGH, op, command, issue);
	return 0;
}

/* `bytes` of a completion; an issue looks for itself, late. */
static __always_inline int look(struct request *rq, __u64 bytes, bool issue)
{
	__u32 op = rq->cmd_flags & 0xff;
	struct tmk_bpf_disk *place;
	struct gendisk *disk;
	__u64 list;

	if (op == OP_READ || op == OP_FLUSH)
		return 0;
	disk = disk_of(rq);
	if (!disk) {
		if (op == OP_DRV_IN || op == OP_DRV_OUT)
			look_at_admin(rq, issue);
		return 0;
	}
	place = find(disk);
	if (!place)
		return 0;
	list = *(volatile __u64 *)&place->slots;
	if (issue)
		bytes = rq->__data_len;
	if (op == OP_WRITE && mark_one(list, rq->__sector, bytes, issue))
		return 0;
	return look_closely(rq, list, place->who, bytes, issue);
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(issue, struct request *rq)
{
	return look(rq, 0, true);
}

/* `error` is not looked at: a write that failed may have changed what it names (I1). The request still names what is left of
 * it, this part included: it advances behind the tracepoint. A part of 0 bytes completes nothing (R6). */
SEC("tp_btf/block_rq_complete")
int BPF_PROG(complete, struct request *rq, int error, __u64 bytes)
{
	return look(rq, bytes, false);
}

SEC("tp_btf/block_bio_queue")
int BPF_PROG(submit, struct bio *bio)
{
	struct tmk_bpf_disk *place;
	__u32 size;

	if (!has_sectors(bio->bi_opf & 0xff))
		return 0;
	place = find(bio->bi_bdev->bd_disk);
	if (!place)
		return 0;
	size = BPF_CORE_READ(bio, bi_iter.bi_size);
	if (size)
		note_writer(place->slots, BPF_CORE_READ(bio, bi_iter.bi_sector), (size + 511ull) >> 9);
	return 0;
}
