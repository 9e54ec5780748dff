/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a tracker's backend has to do: the functions of tracker.h, and a view of its maps for those that only look. */
#ifndef TMK_TRACKER_BACKEND_H
#define TMK_TRACKER_BACKEND_H

#include "tracker.h"

struct tmk_blocks;

struct tmk_tracker_backend {
	void (*close)(struct tmk_tracker *t);
	int (*attach)(struct tmk_tracker *t, const struct tmk_tracker_disk *disk, struct tmk_tracker_attached *out,
		      struct tmk_error *err);
	int (*detach)(struct tmk_tracker *t, int slot, struct tmk_error *err);
	void (*forget)(struct tmk_tracker *t, const uint8_t key[16]);
	int (*poll)(struct tmk_tracker *t, struct tmk_error *err);
	uint64_t (*unshown)(const struct tmk_tracker *t);
	int (*take)(struct tmk_tracker *t, const int *slots, size_t count, struct tmk_take *out, struct tmk_error *err);
	int (*settled)(struct tmk_tracker *t, const int *slots, size_t count, const struct tmk_take *take, bool *settled,
		       struct tmk_error *err);
	/* -ENOENT: no disk has that slot. Good until it is detached. */
	int (*map)(struct tmk_tracker *t, int slot, enum tmk_which which, struct tmk_blocks *out, struct tmk_error *err);
	int (*release)(struct tmk_tracker *t, int slot, struct tmk_extent extent, struct tmk_error *err);
	int (*mark)(struct tmk_tracker *t, int slot, struct tmk_extent extent, bool gap, struct tmk_error *err);
	int (*doubt)(struct tmk_tracker *t, int slot, const char *reason, struct tmk_error *err);
	int (*gap)(struct tmk_tracker *t, const int *slots, size_t count, uint64_t *gap, struct tmk_error *err);
	int (*cookie)(struct tmk_tracker *t, int slot, struct tmk_cookie *out, struct tmk_error *err);
	int (*set_cookie)(struct tmk_tracker *t, int slot, const struct tmk_cookie *cookie, struct tmk_error *err);
	/* NULL: it has no log */
	int (*log)(struct tmk_tracker *t, int slot, struct tmk_log *out, struct tmk_error *err);
	int (*ring)(struct tmk_tracker *t, int slot, const void **ring, struct tmk_error *err);
	int (*switch_log)(struct tmk_tracker *t, int slot, bool on, bool both, struct tmk_error *err);
	int (*cut)(struct tmk_tracker *t, int slot, const uint8_t id[16], uint64_t *gap, struct tmk_error *err);
	int (*release_log)(struct tmk_tracker *t, int slot, uint64_t position, struct tmk_error *err);
	int (*watch)(struct tmk_tracker *t, bool on, struct tmk_error *err);
	int (*writer)(struct tmk_tracker *t, int slot, struct tmk_writer *out, struct tmk_error *err);
	int (*status)(struct tmk_tracker *t, int slot, struct tmk_tracker_status *out, struct tmk_error *err);
};

/* The first member of a backend's own. */
struct tmk_tracker {
	const struct tmk_tracker_backend *backend;
};

#endif
