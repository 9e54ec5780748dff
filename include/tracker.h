/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tracker interface: what the shipper knows of how writes are seen.
 *
 * A tracker keeps, for every protected disk, two bitmaps of blocks: `now` (written since the last take) and `taken` (being
 * shipped). Both live outside the shipper and survive it (I2). A write sets only `now`; only tmk_tracker_take() clears `now`,
 * and it has set `taken` first; only tmk_tracker_release() clears `taken`.
 *
 * Backends: eBPF (bpf/), which marks a write when it is issued and again when it completes, so that a take needs no fence (I4);
 * the kernel module (shipper/module_tracker.c), which knows what is in flight, and has a log of the writes besides.
 *
 * Offsets and lengths are bytes, relative to the start of the protected disk or partition. Functions return 0 or -errno and
 * put a sentence for the operator into the tmk_error that they are given. One process holds a tracker at a time (R22): open
 * fails with -EBUSY while another does. A handle belongs to one thread.
 */
#ifndef TMK_TRACKER_H
#define TMK_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tmk_error;
struct tmk_tracker;

#define TMK_TRACKER_MAP_LIMIT (256ull << 20) /* bytes of both bitmaps of all disks of the server */
#define TMK_TRACKER_DISKS 64		     /* protected disks of one server */

struct tmk_extent {
	uint64_t offset;
	uint64_t length;
};

/* A disk as the shipper found it. For a partition, `disk` is the whole disk that it lies on. */
struct tmk_tracker_disk {
	uint8_t key[16];    /* who it is: the protection's UUID xor the disk's number; finds it again after a restart */
	dev_t disk;	    /* the whole disk: what the block layer reports */
	uint64_t start;	    /* bytes from the start of the whole disk */
	uint64_t length;    /* bytes */
	char identity[128]; /* serial, wwn and the like; a change means another disk */
	bool whole_disk;    /* start is 0 and every write counts, also one behind `length` (R21) */
	/* for the module */
	uint8_t protection[16]; /* the disks of one share a log, a gap count and a cookie */
	const char *path;	/* of its node */
	uint64_t ring;		/* bytes of the log, a power of two, the same for all disks of a protection; 0: none */
};

struct tmk_tracker_attached {
	int slot;	     /* names the disk from now on */
	bool fresh;	     /* nothing is known of what was written before: all blocks are marked (I1) */
	uint32_t block_size; /* bytes, a power of two, 4096 or more */
};

/* What one take found, over all the disks it was given. */
struct tmk_take {
	uint64_t gap;	 /* gap count; a mark is a point only if it is still this (R4) */
	uint64_t blocks; /* in `taken` now, both new and left from before */
	uint64_t bytes;	 /* the same in bytes */
	uint64_t fence;	 /* for tmk_tracker_settled() */
	/* with a log */
	uint64_t position; /* F: all that was moved has its record, if any, before it */
	uint64_t log_gap;  /* the log's own gap count, before anything was moved */
};

enum tmk_which { TMK_NOW, TMK_TAKEN };

/* A writer, as the probe saw it: what `status` says when a point was refused (R17). */
struct tmk_writer {
	uint32_t pid;
	char comm[16];
	uint64_t offset; /* bytes from the start of the disk */
	uint64_t length; /* bytes */
};

/* Kept with the disk's marks, in kernel memory: what the source knows as acked. All zero in a fresh tracker. */
struct tmk_cookie {
	uint8_t epoch[16];
	uint64_t number; /* of the last acked chunk; 0: none */
	uint8_t hash[32];
	uint64_t generation;
};

struct tmk_tracker_status {
	char backend[16];    /* "ebpf", "module" */
	uint32_t block_size; /* bytes */
	uint64_t map_bytes;  /* of this disk's two bitmaps */
	uint64_t now_blocks;
	uint64_t taken_blocks;
	uint64_t gap;	  /* gap count of this disk */
	uint64_t writes;  /* requests that wrote or discarded, when they completed */
	char reason[192]; /* why it became doubtful last, or empty */
};

/* Loads the programs, or finds those that an earlier shipper pinned below `pins` (NULL: /sys/fs/bpf/tidemark). */
int tmk_ebpf_open(struct tmk_tracker **out, const char *pins, struct tmk_error *err);
/* -ENOENT: the module is not loaded. */
int tmk_module_tracker_open(struct tmk_tracker **out, struct tmk_error *err);
/* Tracking goes on: programs, links and maps stay pinned; the module stays loaded. */
void tmk_tracker_close(struct tmk_tracker *t);
/* Removes every pin, and with them the tracker. Only when no disk is attached; -EBUSY otherwise. */
int tmk_ebpf_remove(struct tmk_tracker *t, struct tmk_error *err);

/* Refuses, with the reason, what cannot be tracked: bio-based, DAX, zoned devices, kernels before 5.17. Asks, changes nothing. */
int tmk_tracker_check(dev_t disk, struct tmk_error *err);

/* Starts to track, or finds the disk by its key. Another identity or range under a known key is fresh. */
int tmk_tracker_attach(struct tmk_tracker *t, const struct tmk_tracker_disk *disk, struct tmk_tracker_attached *out,
		       struct tmk_error *err);
int tmk_tracker_detach(struct tmk_tracker *t, int slot, struct tmk_error *err);
/* Detaches the disk with this key if there is one: another tracker has it now. */
void tmk_tracker_forget(struct tmk_tracker *t, const uint8_t key[16]);

/* Looks at miss counters, passthrough events, size and programs. What it finds unproven marks everything and raises the gap
 * count, before it returns. Called before each take and again before a mark is believed. 0, or -errno if it cannot tell. */
int tmk_tracker_poll(struct tmk_tracker *t, struct tmk_error *err);
/* How many requests, of any disk, the tracker was not shown when they were sent, as of the last poll. Nothing is lost by that:
 * each is marked when it completes. But one that is under way may be in no map, so that a mark is a point only if this is still
 * what it was at the take (R17). */
uint64_t tmk_tracker_unshown(const struct tmk_tracker *t);

/* Moves `now` to `taken` for the disks of one protection, all of them (I2, I4). -EAGAIN: not now, the machine is being
 * hibernated. */
int tmk_tracker_take(struct tmk_tracker *t, const int *slots, size_t count, struct tmk_take *out, struct tmk_error *err);
/* The fence: whether all that was written before the take has completed. Nothing is to be read before (I4). */
int tmk_tracker_settled(struct tmk_tracker *t, const int *slots, size_t count, const struct tmk_take *take, bool *settled,
			struct tmk_error *err);

/* The marked blocks of a map at or behind `from` as merged extents, clipped to the disk's length: fills at most `max`, returns
 * how many through `count` (0: no more). Go on from the end of the last one. */
int tmk_tracker_extents(struct tmk_tracker *t, int slot, enum tmk_which which, uint64_t from, struct tmk_extent *out, size_t max,
			size_t *count, struct tmk_error *err);
/* Whether a block that the extent touches is marked in the map. Looks at these alone, where tmk_tracker_extents() looks for as
 * long as it finds nothing. */
int tmk_tracker_marked(struct tmk_tracker *t, int slot, enum tmk_which which, struct tmk_extent extent, bool *marked,
		       struct tmk_error *err);
/* How much is marked, in blocks. */
int tmk_tracker_count(struct tmk_tracker *t, int slot, enum tmk_which which, uint64_t *blocks, struct tmk_error *err);

/* Clears `taken` for blocks that lie wholly inside the extent (a last, short block counts as whole at the disk's end). */
int tmk_tracker_release(struct tmk_tracker *t, int slot, struct tmk_extent extent, struct tmk_error *err);
/* Sets `now`, as a write would that did not enter the log (the rewind list of R3, a failed read). */
int tmk_tracker_mark(struct tmk_tracker *t, int slot, struct tmk_extent extent, struct tmk_error *err);
/* The same of what is known to be missing, and no hindrance to a point: the log's gap count stays. */
int tmk_tracker_remind(struct tmk_tracker *t, int slot, struct tmk_extent extent, struct tmk_error *err);
/* Marks every block in `now` and raises the gap count; `reason` shows in the status. */
int tmk_tracker_doubt(struct tmk_tracker *t, int slot, const char *reason, struct tmk_error *err);
/* The sum of the gap counts of the disks. */
int tmk_tracker_gap(struct tmk_tracker *t, const int *slots, size_t count, uint64_t *gap, struct tmk_error *err);

/* The cookie of a protection, asked of its first disk. Written per ack, in memory only (R31). */
int tmk_tracker_cookie(struct tmk_tracker *t, int slot, struct tmk_cookie *out, struct tmk_error *err);
int tmk_tracker_set_cookie(struct tmk_tracker *t, int slot, const struct tmk_cookie *cookie, struct tmk_error *err);

/*
 * The log (design.md, "The stream"): all writes of a protection's disks in their order, as records of tidemark_uapi.h in a ring.
 * A position is a byte offset in the endless log. What did not enter it is marked in `now`, and has raised its gap count (R4).
 * Only with a tracker that has one; with others size is 0, and the rest fails. Any disk's slot names the protection.
 */
struct tmk_log {
	uint64_t size; /* bytes of the ring, a power of two; 0: no log */
	bool on;
	uint64_t head, tail; /* where the next record begins; up to where it is released */
	uint64_t gap;
	uint64_t sequence; /* a fence, as that of a take, for what was written until now */
	char reason[128];  /* of the last gap */
};
int tmk_tracker_log(struct tmk_tracker *t, int slot, struct tmk_log *out, struct tmk_error *err);
/* The ring's memory: the record at position P begins at P % size. It is there twice, side by side, so that none wraps. Good until
 * the disk is detached. */
int tmk_tracker_ring(struct tmk_tracker *t, int slot, const void **ring, struct tmk_error *err);
/* Off: what the ring holds is marked, and its gap count goes up. both: what enters the log is marked, too. */
int tmk_tracker_switch(struct tmk_tracker *t, int slot, bool on, bool both, struct tmk_error *err);
/* A MARK record, for all disks at once (I3). *gap: the count then. -ENOLINK: the log is off, -ENOSPC: it is full, -EAGAIN: as for
 * a take. */
int tmk_tracker_cut(struct tmk_tracker *t, int slot, const uint8_t id[16], uint64_t *gap, struct tmk_error *err);
/* The ring's room up to there, where a record begins, is free again (I2). */
int tmk_tracker_release_log(struct tmk_tracker *t, int slot, uint64_t position, struct tmk_error *err);

/*
 * Whether it is seen who writes. That costs every write to a tracked disk as much again as its marks, and others half of what
 * they cost anyway, so it is off unless somebody wants to know. Calls are counted: one that turns it off for each that turned it
 * on and did not fail. It ends with the handle, also when the process is killed.
 */
int tmk_tracker_watch(struct tmk_tracker *t, bool on, struct tmk_error *err);
/* The last writer of the disk, as it submitted; -ENOENT if none was seen since watching began. */
int tmk_tracker_writer(struct tmk_tracker *t, int slot, struct tmk_writer *out, struct tmk_error *err);
int tmk_tracker_status(struct tmk_tracker *t, int slot, struct tmk_tracker_status *out, struct tmk_error *err);

#endif
