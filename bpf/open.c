/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Handles on the tracker: open, close, remove. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state.h"
#include "sysfs.h"

#define DEFAULT_PINS "/sys/fs/bpf/tidemark"

static int map_array(int fd, size_t size, void **out, struct tmk_error *err)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return tmk_error_sys(err, -errno, "cannot map the tracker's tables");
	*out = at;
	return 0;
}

static int map_tables(struct tmk_ebpf *t, struct tmk_error *err)
{
	int rc = map_array(t->fds[TMK_PIN_CONFIG], sizeof(*t->config), (void **)&t->config, err);

	if (!rc)
		rc = map_array(t->fds[TMK_PIN_SLOTS], sizeof(*t->slots) * TMK_BPF_SLOTS, (void **)&t->slots, err);
	return rc ? rc : map_array(t->fds[TMK_PIN_TABLE], sizeof(*t->table) * TMK_BPF_PLACES, (void **)&t->table, err);
}

/* Not attached while slots exist: writes went by unseen. Marked before the programs run again, so that a kill in between leaves
 * them detached, to be found again; what is written in between is marked too, as nothing takes meanwhile. */
static int attach_programs(struct tmk_ebpf *t, struct tmk_error *err)
{
	if (tmk_load_attached(t))
		return 0;
	tmk_marks_doubt_all(t, "the tracking programs were found detached");
	return tmk_load_attach(t, err);
}

static int open_all(struct tmk_ebpf *t, struct tmk_error *err)
{
	int rc = tmk_load_directory(t, err);

	if (!rc)
		rc = tmk_load_objects(t, err);
	if (!rc)
		rc = map_tables(t, err);
	if (!rc)
		rc = tmk_attach_restore(t, err);
	return rc ? rc : attach_programs(t, err);
}

static const struct tmk_tracker_backend backend = {
	.close = tmk_ebpf_close,
	.attach = tmk_ebpf_attach,
	.detach = tmk_ebpf_detach,
	.forget = tmk_ebpf_forget,
	.poll = tmk_ebpf_poll,
	.unshown = tmk_ebpf_unshown,
	.take = tmk_ebpf_take,
	.settled = tmk_ebpf_settled,
	.map = tmk_ebpf_map,
	.release = tmk_ebpf_release,
	.mark = tmk_ebpf_mark,
	.doubt = tmk_ebpf_doubt,
	.gap = tmk_ebpf_gap,
	.cookie = tmk_ebpf_cookie,
	.set_cookie = tmk_ebpf_set_cookie,
	.watch = tmk_ebpf_watch,
	.writer = tmk_ebpf_writer,
	.status = tmk_ebpf_status,
};

int tmk_ebpf_open(struct tmk_tracker **out, const char *pins, struct tmk_error *err)
{
	struct tmk_ebpf *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return tmk_error_sys(err, -ENOMEM, "cannot open the tracker");
	t->tracker.backend = &backend;
	t->lock = t->watch = -1;
	for (int i = 0; i < TMK_PINS; i++)
		t->fds[i] = -1;
	pins = pins ? pins : DEFAULT_PINS;
	if (pins[0] != '/' || (size_t)snprintf(t->pins, sizeof(t->pins), "%s", pins) >= sizeof(t->pins))
		rc = tmk_error_set(err, -EINVAL, "the directory of the tracker must be an absolute path: %s", pins);
	else
		rc = open_all(t, err);
	if (rc) {
		tmk_ebpf_close(&t->tracker);
		return rc;
	}
	*out = &t->tracker;
	return 0;
}

void tmk_ebpf_close(struct tmk_tracker *tracker)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);

	for (int i = 0; i < TMK_BPF_SLOTS; i++)
		tmk_attach_unmap(t, i);
	if (t->config)
		munmap(t->config, sizeof(*t->config));
	if (t->slots)
		munmap(t->slots, sizeof(*t->slots) * TMK_BPF_SLOTS);
	if (t->table)
		munmap(t->table, sizeof(*t->table) * TMK_BPF_PLACES);
	for (int i = 0; i < TMK_PINS; i++)
		if (t->fds[i] >= 0)
			close(t->fds[i]);
	if (t->watch >= 0)
		close(t->watch);
	if (t->lock >= 0)
		close(t->lock);
	free(t);
}

int tmk_ebpf_remove(struct tmk_tracker *tracker, struct tmk_error *err)
{
	struct tmk_ebpf *t = tmk_ebpf_of(tracker);

	for (int i = 0; i < TMK_BPF_SLOTS; i++)
		if (t->slots[i].state == TMK_BPF_TRACKED)
			return tmk_error_set(err, -EBUSY, "disks are still protected: unprotect them first");
	return tmk_load_remove(t, err);
}

int tmk_tracker_check(dev_t disk, struct tmk_error *err)
{
	return tmk_sysfs_check(disk, err);
}
