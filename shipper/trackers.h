/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of the two trackers there are a protection uses. */
#ifndef TMK_TRACKERS_H
#define TMK_TRACKERS_H

#include "error.h"
#include "marks.h"

/* Which one, as `protect --tracker` has it; ANY: the module if it is loaded, else eBPF. */
enum tmk_tracker_kind { TMK_TRACKER_ANY, TMK_TRACKER_MODULE, TMK_TRACKER_EBPF, TMK_TRACKER_KINDS };
extern const char *const tmk_tracker_kinds[TMK_TRACKER_KINDS]; /* "any", "module", "ebpf" */
/* -EINVAL: no such kind. */
int tmk_tracker_kind(const char *name, enum tmk_tracker_kind *out);

struct tmk_trackers;
/* pins: of eBPF. Fails if neither is there; one that is not is tried again when it is asked for. */
int tmk_trackers_open(struct tmk_trackers **out, const char *pins, struct tmk_error *err);
void tmk_trackers_close(struct tmk_trackers *t); /* tracking goes on */

struct tmk_chosen {
	enum tmk_tracker_kind kind; /* never ANY */
	struct tmk_marks *marks;
	struct tmk_marks *other; /* not chosen, or NULL: it may still track a disk for an earlier shipper */
};
/* -ENOENT: the module is not loaded. */
int tmk_trackers_choose(struct tmk_trackers *t, enum tmk_tracker_kind kind, struct tmk_chosen *out, struct tmk_error *err);

#endif
