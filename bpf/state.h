/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of a handle on the eBPF tracker: the pinned objects, and the maps as they are seen in memory. Made and freed by
 * open.c; attach.c changes which slots are tracked, marks.c moves marks, poll.c finds out what cannot be proven, seen.c tells who
 * writes.
 */
#ifndef TMK_STATE_H
#define TMK_STATE_H

#include <linux/limits.h>

#include "blocks.h"
#include "error.h"
#include "tidemark_bpf.h"
#include "tracker_backend.h"

enum tmk_pin {
	TMK_PIN_SLOTS,
	TMK_PIN_TABLE,
	TMK_PIN_NOW,
	TMK_PIN_TAKEN,
	TMK_PIN_SEEN,
	TMK_PIN_WRITES,
	TMK_PIN_ISSUE,
	TMK_PIN_COMPLETE,
	TMK_PIN_SUBMIT, /* the program alone: it is attached by who watches */
	TMK_PIN_CONFIG,
	TMK_PINS
};

/* The two bitmaps of a tracked slot, mapped. */
struct tmk_slot_maps {
	struct tmk_bitmap now, taken;
};

struct tmk_ebpf {
	struct tmk_tracker tracker;
	char pins[PATH_MAX - 64];
	int lock;	   /* the directory of the pins, locked */
	int fds[TMK_PINS]; /* -1: not open */
	struct tmk_bpf_config *config;
	uint64_t unshown; /* misses of the issue program, when last looked at */
	int watch;	  /* the link of the program that names writers, never pinned; -1: not attached */
	unsigned watchers;
	struct tmk_bpf_slot *slots;
	struct tmk_bpf_disk *table;
	struct tmk_slot_maps maps[TMK_BPF_SLOTS];
};

static inline struct tmk_ebpf *tmk_ebpf_of(struct tmk_tracker *t)
{
	return (struct tmk_ebpf *)t;
}

/* The interface, as open.c's table has it. */
int tmk_ebpf_attach(struct tmk_tracker *tracker, const struct tmk_tracker_disk *disk, struct tmk_tracker_attached *out,
		    struct tmk_error *err);
void tmk_ebpf_forget(struct tmk_tracker *tracker, const uint8_t key[16]);
int tmk_ebpf_detach(struct tmk_tracker *tracker, int slot, struct tmk_error *err);
int tmk_ebpf_poll(struct tmk_tracker *tracker, struct tmk_error *err);
uint64_t tmk_ebpf_unshown(const struct tmk_tracker *tracker);
int tmk_ebpf_take(struct tmk_tracker *tracker, const int *slots, size_t count, struct tmk_take *out, struct tmk_error *err);
int tmk_ebpf_settled(struct tmk_tracker *tracker, const int *slots, size_t count, const struct tmk_take *take, bool *settled,
		     struct tmk_error *err);
int tmk_ebpf_map(struct tmk_tracker *tracker, int slot, enum tmk_which which, struct tmk_blocks *out, struct tmk_error *err);
int tmk_ebpf_release(struct tmk_tracker *tracker, int slot, struct tmk_extent extent, struct tmk_error *err);
int tmk_ebpf_mark(struct tmk_tracker *tracker, int slot, struct tmk_extent extent, bool gap, struct tmk_error *err);
int tmk_ebpf_doubt(struct tmk_tracker *tracker, int slot, const char *reason, struct tmk_error *err);
int tmk_ebpf_gap(struct tmk_tracker *tracker, const int *slots, size_t count, uint64_t *gap, struct tmk_error *err);
int tmk_ebpf_cookie(struct tmk_tracker *tracker, int slot, struct tmk_cookie *out, struct tmk_error *err);
int tmk_ebpf_set_cookie(struct tmk_tracker *tracker, int slot, const struct tmk_cookie *cookie, struct tmk_error *err);
int tmk_ebpf_watch(struct tmk_tracker *tracker, bool on, struct tmk_error *err);
int tmk_ebpf_writer(struct tmk_tracker *tracker, int slot, struct tmk_writer *out, struct tmk_error *err);
int tmk_ebpf_status(struct tmk_tracker *tracker, int slot, struct tmk_tracker_status *out, struct tmk_error *err);
void tmk_ebpf_close(struct tmk_tracker *tracker);

/* load.c: the directory of the pins and what lies in it. */
int tmk_load_directory(struct tmk_ebpf *t, struct tmk_error *err);
int tmk_load_objects(struct tmk_ebpf *t, struct tmk_error *err);
int tmk_load_remove(struct tmk_ebpf *t, struct tmk_error *err);
/* Are the programs that mark attached, by the pins that say so? 1 or 0. */
int tmk_load_attached(struct tmk_ebpf *t);
/* Attaches those that are not. */
int tmk_load_attach(struct tmk_ebpf *t, struct tmk_error *err);

/* attach.c: maps the bitmaps of a slot that the pins hold; puts the table in order after a killed attach or detach. */
int tmk_attach_restore(struct tmk_ebpf *t, struct tmk_error *err);
void tmk_attach_unmap(struct tmk_ebpf *t, int slot);
/* Memory for both bitmaps of so many blocks. */
uint64_t tmk_attach_bytes(uint64_t blocks);

/* marks.c */
/* The slot, or NULL and an error if it is not tracked. */
struct tmk_bpf_slot *tmk_marks_slot(struct tmk_ebpf *t, int slot, struct tmk_error *err);
/* Marks everything, then raises the gap count (R4). */
void tmk_marks_doubt(struct tmk_ebpf *t, int slot, const char *format, ...) __attribute__((format(printf, 3, 4)));
void tmk_marks_doubt_all(struct tmk_ebpf *t, const char *reason);

/* poll.c: turns the flags that probes raised into doubt. */
void tmk_poll_settle(struct tmk_ebpf *t, int slot);
/* The name of a process, as it calls itself: printable, ended. */
void tmk_poll_clean_comm(char out[TMK_BPF_COMM], const char *comm);

/* seen.c */
int tmk_seen_clear(struct tmk_ebpf *t, int slot, struct tmk_error *err);
int tmk_seen_writes(struct tmk_ebpf *t, uint32_t slot, uint64_t *writes, struct tmk_error *err);

#endif
