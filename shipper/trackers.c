/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See trackers.h. */
#include "trackers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

struct tmk_trackers {
	pthread_mutex_t lock; /* while one is opened */
	const char *pins;
	struct tmk_marks module, ebpf; /* tracker NULL: not there */
};

const char *const tmk_tracker_kinds[TMK_TRACKER_KINDS] = {"any", "module", "ebpf"};

int tmk_tracker_kind(const char *name, enum tmk_tracker_kind *out)
{
	for (int i = 0; i < TMK_TRACKER_KINDS; i++) {
		if (strcmp(name, tmk_tracker_kinds[i]))
			continue;
		*out = (enum tmk_tracker_kind)i;
		return 0;
	}
	return -EINVAL;
}

static int open_module(struct tmk_trackers *t, struct tmk_error *err)
{
	return t->module.tracker ? 0 : tmk_module_tracker_open(&t->module.tracker, err);
}

static int open_ebpf(struct tmk_trackers *t, struct tmk_error *err)
{
	return t->ebpf.tracker ? 0 : tmk_ebpf_open(&t->ebpf.tracker, t->pins, err);
}

int tmk_trackers_open(struct tmk_trackers **out, const char *pins, struct tmk_error *err)
{
	struct tmk_trackers *t = calloc(1, sizeof(*t));
	struct tmk_error module = {0};
	int rc;

	if (!t)
		return tmk_error_set(err, -ENOMEM, "out of memory while opening the tracker");
	t->pins = pins;
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->module.lock, NULL);
	pthread_mutex_init(&t->ebpf.lock, NULL);
	if (open_module(t, &module) && module.code != -ENOENT)
		tmk_log_warning("the kernel module cannot be used: %s", module.text);
	rc = open_ebpf(t, err);
	if (rc && !t->module.tracker) {
		tmk_trackers_close(t);
		return rc;
	}
	if (rc)
		tmk_log_warning("eBPF cannot be used: %s", err->text);
	*out = t;
	return 0;
}

void tmk_trackers_close(struct tmk_trackers *t)
{
	if (!t)
		return;
	tmk_tracker_close(t->module.tracker);
	tmk_tracker_close(t->ebpf.tracker);
	pthread_mutex_destroy(&t->module.lock);
	pthread_mutex_destroy(&t->ebpf.lock);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

int tmk_trackers_choose(struct tmk_trackers *t, enum tmk_tracker_kind kind, struct tmk_chosen *out, struct tmk_error *err)
{
	bool module = false;
	int rc = 0;

	pthread_mutex_lock(&t->lock);
	if (kind != TMK_TRACKER_EBPF) {
		rc = open_module(t, err);
		module = !rc;
	}
	/* another error passes, and the module may track the disks already */
	if (kind == TMK_TRACKER_EBPF || (kind == TMK_TRACKER_ANY && (rc == -ENOENT || rc == -EPROTONOSUPPORT)))
		rc = open_ebpf(t, err);
	*out = (struct tmk_chosen){.kind = module ? TMK_TRACKER_MODULE : TMK_TRACKER_EBPF,
				   .marks = module ? &t->module : &t->ebpf,
				   .other = module ? &t->ebpf : &t->module};
	if (!out->other->tracker)
		out->other = NULL;
	pthread_mutex_unlock(&t->lock);
	return rc;
}
