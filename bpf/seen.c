/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is only told, and proves nothing: how many writes there were, and whose the last one was. Both are kept for each
 * processor. The program that sees writers is attached for as long as somebody watches, by a link without a pin: it ends with the
 * process.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "state.h"

/* The slot's values for all processors, zeroed; NULL and an error. */
static void *allocate(size_t size, int *cpus, struct tmk_error *err)
{
	void *all;

	*cpus = libbpf_num_possible_cpus();
	if (*cpus < 0) {
		tmk_error_sys(err, *cpus, "cannot count the processors");
		return NULL;
	}
	all = calloc(*cpus, size);
	if (!all)
		tmk_error_sys(err, -ENOMEM, "cannot look at who writes");
	return all;
}

static int clear(struct tmk_ebpf *t, enum tmk_pin pin, size_t size, uint32_t slot, struct tmk_error *err)
{
	void *none;
	int cpus, rc;

	none = allocate(size, &cpus, err);
	if (!none)
		return -ENOMEM;
	rc = bpf_map_update_elem(t->fds[pin], &slot, none, BPF_ANY);
	free(none);
	return rc ? tmk_error_sys(err, rc, "cannot forget who wrote") : 0;
}

static int clear_writer(struct tmk_ebpf *t, int slot, struct tmk_error *err)
{
	return clear(t, TMK_PIN_SEEN, sizeof(struct tmk_bpf_seen), slot, err);
}

int tmk_seen_clear(struct tmk_ebpf *t, int slot, struct tmk_error *err)
{
	int rc = clear_writer(t, slot, err);

	return rc ? rc : clear(t, TMK_PIN_WRITES, sizeof(__u64), slot, err);
}

/* ---- how many ---- */

int tmk_seen_writes(struct tmk_ebpf *t, uint32_t slot, uint64_t *writes, struct tmk_error *err)
{
	__u64 *all;
	int cpus, rc;

	all = allocate(sizeof(*all), &cpus, err);
	if (!all)
		return -ENOMEM;
	rc = bpf_map_lookup_elem(t->fds[TMK_PIN_WRITES], &slot, all);
	if (rc)
		tmk_error_sys(err, rc, "cannot read how much was written");
	*writes = 0;
	for (int i = 0; i < cpus && !rc; i++)
		*writes += all[i];
	free(all);
	return rc;
}

/* ---- who ---- */

/* What was noted for an earlier watcher is nobody's answer any more. */
static int watch(struct tmk_ebpf *t, struct tmk_error *err)
{
	int rc = 0;

	for (int i = 0; i < TMK_BPF_SLOTS && !rc; i++)
		if (t->slots[i].state == TMK_BPF_TRACKED)
			rc = clear_writer(t, i, err);
	if (rc)
		return rc;
	t->watch = bpf_raw_tracepoint_open(NULL, t->fds[TMK_PIN_SUBMIT]);
	return t->watch < 0 ? tmk_error_sys(err, t->watch, "cannot attach the program that sees who writes") : 0;
}

int tmk_ebpf_watch(struct tmk_tracker *tracker, bool on, struct tmk_error *err)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);
	int rc = on && !t->watchers ? watch(t, err) : 0;

	if (rc || (!on && !t->watchers))
		return rc;
	t->watchers += on ? 1 : -1;
	if (!t->watchers) {
		close(t->watch);
		t->watch = -1;
	}
	return 0;
}

/* The latest of all processors; `when` is 0 if there is none. */
static int find_last(struct tmk_ebpf *t, uint32_t slot, struct tmk_bpf_seen *last, struct tmk_error *err)
{
	struct tmk_bpf_seen *all;
	int cpus, rc;

	all = allocate(sizeof(*all), &cpus, err);
	if (!all)
		return -ENOMEM;
	rc = bpf_map_lookup_elem(t->fds[TMK_PIN_SEEN], &slot, all);
	if (rc)
		tmk_error_sys(err, rc, "cannot read who wrote");
	memset(last, 0, sizeof(*last));
	for (int i = 0; i < cpus && !rc; i++)
		if (all[i].when && all[i].when >= last->when)
			*last = all[i];
	free(all);
	return rc;
}

int tmk_ebpf_writer(struct tmk_tracker *tracker, int slot, struct tmk_writer *out, struct tmk_error *err)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);
	const struct tmk_bpf_slot *s = tmk_marks_slot(t, slot, err);
	struct tmk_bpf_seen last;
	uint64_t begin, end;
	int rc = s ? find_last(t, slot, &last, err) : -ENOENT;

	if (rc)
		return rc;
	if (!last.when)
		return tmk_error_set(err, -ENOENT, "nobody was seen to write");
	begin = last.sector > s->start ? last.sector - s->start : 0;
	end = last.sector + last.sectors > s->start ? last.sector + last.sectors - s->start : 0;
	if (end > s->length && !s->whole_disk)
		end = s->length;
	memset(out, 0, sizeof(*out));
	out->pid = last.pid;
	tmk_poll_clean_comm(out->comm, last.comm);
	out->offset = begin * 512;
	out->length = end > begin ? (end - begin) * 512 : 0;
	return 0;
}
