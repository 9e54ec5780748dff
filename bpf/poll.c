/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What cannot be proven, and what a disk's status is. Everything found here ends in tmk_marks_doubt(): all marks, then the gap
 * count. What was found is noted as dealt with behind that, so that a kill in between finds it again.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "state.h"
#include "sysfs.h"

/* ---- flags of the probes ---- */

void tmk_poll_clean_comm(char out[TMK_BPF_COMM], const char *comm)
{
	memcpy(out, comm, TMK_BPF_COMM);
	out[TMK_BPF_COMM - 1] = 0;
	for (char *c = out; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

static void doubt_command(struct tmk_ebpf *t, int slot)
{
	struct tmk_bpf_event event = t->slots[slot].event;
	char comm[TMK_BPF_COMM], bytes[3 * TMK_BPF_COMMAND + 1];

	tmk_poll_clean_comm(comm, event.comm);
	for (int i = 0; i < TMK_BPF_COMMAND; i++)
		sprintf(bytes + 3 * i, "%02x ", event.command[i]);
	bytes[3 * TMK_BPF_COMMAND - 1] = 0;
	tmk_marks_doubt(t, slot,
			"a command went to the driver that may have written (operation %u, command %s) by %s, process %u",
			event.op, bytes, comm, event.pid);
}

static void doubt_flags(struct tmk_ebpf *t, int slot, uint64_t flags)
{
	if (flags & TMK_BPF_PASSTHROUGH)
		doubt_command(t, slot);
	if (flags & TMK_BPF_BEYOND)
		tmk_marks_doubt(t, slot, "written behind the known end: the disk has grown");
	if (flags & TMK_BPF_UNKNOWN_OP)
		tmk_marks_doubt(t, slot, "block operation %u is not known", t->slots[slot].event.op);
	if (flags & TMK_BPF_RANGES)
		tmk_marks_doubt(t, slot, "a discard had too many ranges");
	if (flags & ~(uint64_t)(TMK_BPF_PASSTHROUGH | TMK_BPF_BEYOND | TMK_BPF_UNKNOWN_OP | TMK_BPF_RANGES))
		tmk_marks_doubt(t, slot, "a write could not be marked");
}

/*
 * Cleared behind the marks. A probe that raises the same flag in between raises the gap count itself, and nothing takes in
 * between: the marks stand for it too, if it was a completion. If it was an issue, its completion is yet to raise the flag.
 */
void tmk_poll_settle(struct tmk_ebpf *t, int slot)
{
	uint64_t flags = __atomic_load_n(&t->slots[slot].flags, __ATOMIC_SEQ_CST);

	if (!flags)
		return;
	doubt_flags(t, slot, flags);
	__atomic_fetch_and(&t->slots[slot].flags, ~flags, __ATOMIC_SEQ_CST);
}

/* ---- programs ---- */

static int settle_links(struct tmk_ebpf *t, struct tmk_error *err)
{
	if (tmk_load_attached(t))
		return 0;
	/* Before they run again: a kill in between leaves them detached, to be found again. */
	tmk_marks_doubt_all(t, "the tracking programs were detached");
	return tmk_load_attach(t, err);
}

/*
 * Events that found the program already running on their CPU were not shown to it. They name no disk.
 *
 * From Linux 7 on the issue program can be preempted, and for as long as the task waits, everything that its CPU sends is missed:
 * on a busy server that is every second. Missed issues lose nothing, since every request is looked at again when it completes,
 * also for what it raises; they only void the question whether anything was written since (tmk_ebpf_unshown). Completions
 * come in interrupts, which nothing preempts; if one is missed all the same, everything is marked.
 */
static int settle_misses(struct tmk_ebpf *t, struct tmk_error *err)
{
	static const enum tmk_pin programs[2] = {TMK_PIN_ISSUE, TMK_PIN_COMPLETE};
	uint64_t misses[2];

	for (int i = 0; i < 2; i++) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);
		int rc = bpf_obj_get_info_by_fd(t->fds[programs[i]], &info, &size);

		if (rc)
			return tmk_error_sys(err, rc, "cannot read the counters of a tracking program");
		misses[i] = info.recursion_misses;
	}
	t->unshown = misses[0];
	if (misses[1] == t->config->misses[1])
		return 0;
	tmk_marks_doubt_all(t, "the kernel did not show every request to the tracking programs");
	memcpy(t->config->misses, misses, sizeof(misses));
	return 0;
}

uint64_t tmk_ebpf_unshown(const struct tmk_tracker *tracker)
{
	const struct tmk_ebpf *t = (const struct tmk_ebpf *)tracker;

	return t->unshown;
}

static bool is_nvme(struct tmk_ebpf *t, int slot)
{
	const struct tmk_bpf_disk *place = tmk_bpf_find(t->table, t->slots[slot].dev);

	return place && (uint32_t)place->who == TMK_BPF_NVME;
}

static void settle_admin(struct tmk_ebpf *t)
{
	uint64_t admin = __atomic_load_n(&t->config->admin, __ATOMIC_SEQ_CST);
	struct tmk_bpf_event event = t->config->admin_event;
	char comm[TMK_BPF_COMM];

	if (admin == t->config->admin_seen)
		return;
	tmk_poll_clean_comm(comm, event.comm);
	for (int i = 0; i < TMK_BPF_SLOTS; i++)
		if (t->slots[i].state == TMK_BPF_TRACKED && is_nvme(t, i))
			tmk_marks_doubt(t, i, "an NVMe admin command that may change disks (opcode %02x) by %s, process %u",
					event.command[0], comm, event.pid);
	t->config->admin_seen = admin;
}

/* ---- disks ---- */

static void settle_size(struct tmk_ebpf *t, int slot, const struct tmk_sysfs_disk *look)
{
	struct tmk_bpf_slot *s = &t->slots[slot];

	if (look->sectors == s->sectors)
		return;
	if (s->whole_disk || look->sectors < s->start + s->length)
		tmk_marks_doubt(t, slot, "the size of %s changed from %llu to %llu bytes", look->name,
				(unsigned long long)s->sectors * 512, (unsigned long long)look->sectors * 512);
	s->sectors = look->sectors;
}

static int settle_disk(struct tmk_ebpf *t, int slot, struct tmk_error *err)
{
	struct tmk_bpf_slot *s = &t->slots[slot];
	struct tmk_sysfs_disk look;
	int rc = tmk_sysfs_look(makedev(s->dev >> 20, s->dev & 0xfffff), &look, err);

	if (rc && rc != -ENODEV)
		return rc;
	if (rc) {
		if (!s->absent)
			tmk_marks_doubt(t, slot, "the disk %u:%u is gone", s->dev >> 20, s->dev & 0xfffff);
		s->absent = 1;
		return 0;
	}
	if (s->absent || look.diskseq != s->diskseq) {
		tmk_marks_doubt(t, slot, "%s was detached and attached again, maybe with another medium", look.name);
		s->diskseq = look.diskseq;
		s->absent = 0;
	}
	settle_size(t, slot, &look);
	return 0;
}

int tmk_ebpf_poll(struct tmk_tracker *tracker, struct tmk_error *err)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);
	int rc = settle_links(t, err);

	if (!rc)
		rc = settle_misses(t, err);
	if (rc)
		return rc;
	settle_admin(t);
	for (int i = 0; i < TMK_BPF_SLOTS && !rc; i++) {
		if (t->slots[i].state != TMK_BPF_TRACKED)
			continue;
		tmk_poll_settle(t, i);
		rc = settle_disk(t, i, err);
	}
	return rc;
}

/* ---- status ---- */

int tmk_ebpf_status(struct tmk_tracker *tracker, int slot, struct tmk_tracker_status *out, struct tmk_error *err)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);
	const struct tmk_bpf_slot *s = tmk_marks_slot(t, slot, err);
	int rc = s ? 0 : -ENOENT;

	if (rc)
		return rc;
	memset(out, 0, sizeof(*out));
	rc = tmk_seen_writes(t, slot, &out->writes, err);
	if (rc)
		return rc;
	snprintf(out->backend, sizeof(out->backend), "ebpf");
	out->block_size = 512u << s->shift;
	out->map_bytes = tmk_attach_bytes(t->maps[slot].now.blocks);
	out->now_blocks = tmk_bitmap_count(&t->maps[slot].now);
	out->taken_blocks = tmk_bitmap_count(&t->maps[slot].taken);
	out->gap = __atomic_load_n(&s->gap, __ATOMIC_SEQ_CST);
	snprintf(out->reason, sizeof(out->reason), "%.*s", (int)sizeof(s->reason) - 1, s->reason);
	return 0;
}
