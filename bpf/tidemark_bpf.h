/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the probes (tidemark.bpf.c) and the loader share: the layout of the pinned maps. They outlive both programs, so that
 * TMK_BPF_ABI changes with every change of this file or of a map's definition; a loader that finds another number refuses.
 *
 *   config  array[1]        tmk_bpf_config                 mmap
 *   slots   array[1]        tmk_bpf_slot[64]               mmap   a protected disk or partition
 *   table   array[1]        tmk_bpf_disk[256]              mmap   a whole disk and its slots; what a probe looks at first
 *   now     array_of_maps   slot -> array of u64 words     mmap   bit n: block n was written since the last take (I2)
 *   taken   array_of_maps   the same                       mmap   bit n: block n is being shipped; no probe touches it
 *   seen    percpu array    slot -> tmk_bpf_seen                  the last writer, while somebody wants to know
 *   writes  percpu array    slot -> u64                           requests that changed something and are complete, or parts
 *
 * `slots` and `table` are variables of the program, each a map with one value: a probe then adds to an address that is part of
 * its code, where a lookup would cost three times as much.
 *
 * Who writes: probes only what is named so below, by atomics or per CPU. Everything else is written by the one loader that
 * holds the lock on the directory of the pins.
 */
#ifndef TIDEMARK_BPF_H
#define TIDEMARK_BPF_H

#include <linux/types.h>

#define TMK_BPF_ABI 3
#define TMK_BPF_SLOTS 64
#define TMK_BPF_SLOTS_PER_DISK 8 /* bytes of tmk_bpf_disk.slots */
#define TMK_BPF_COMM 16
#define TMK_BPF_COMMAND 16

enum tmk_bpf_kind { TMK_BPF_OTHER, TMK_BPF_SCSI, TMK_BPF_NVME, TMK_BPF_VIRTIO };

/* What a probe could not turn into marks: the loader marks everything (`doubtful`). */
enum tmk_bpf_flag {
	TMK_BPF_PASSTHROUGH = 1, /* a driver command that may write (R29) */
	TMK_BPF_BEYOND = 2,	 /* written behind the known end of a whole disk (R21) */
	TMK_BPF_UNKNOWN_OP = 4,	 /* zone operations and what later kernels invent */
	TMK_BPF_RANGES = 8,	 /* a discard of more ranges than a probe walks */
	TMK_BPF_NO_MAP = 16,	 /* the bitmap did not take the mark */
};

enum tmk_bpf_state { TMK_BPF_FREE, TMK_BPF_TRACKED, TMK_BPF_HALF };

/* The request that raised a flag last. */
struct tmk_bpf_event {
	__u32 op;
	__u32 pid;
	char comm[TMK_BPF_COMM];
	__u8 command[TMK_BPF_COMMAND]; /* the first bytes of the driver's command, zeroes if unknown */
};

struct tmk_bpf_cookie {
	__u8 epoch[16];
	__u64 number;
	__u8 hash[32];
	__u64 generation;
};

struct tmk_bpf_slot {
	/* Read by probes; fixed while the slot is published. */
	__u64 start;  /* sectors */
	__u64 length; /* sectors */
	__u32 shift;  /* a block is 1 << shift sectors */
	__u32 whole_disk;
	__u8 pad0[40];
	/* Written by probes and the loader, by atomics; seldom. */
	__u64 gap;
	__u64 flags; /* enum tmk_bpf_flag; the loader takes them by an exchange with 0 */
	struct tmk_bpf_event event;
	__u8 pad1[8];
	/* The loader's own. */
	__u32 state; /* HALF from before the first step of an attach or detach until behind the last */
	__u32 dev;   /* of the whole disk, as the kernel writes it: major << 20 | minor */
	__u8 key[16];
	__u64 sectors; /* of the whole disk, when last looked at */
	__u64 diskseq; /* 0: the kernel has none */
	__u32 absent;  /* the disk was gone when last looked at */
	__u32 cookie_at;
	struct tmk_bpf_cookie cookie[2]; /* cookie_at says which; the other one is being written */
	char identity[128];
	char reason[192];
	__u8 pad2[16];
};

/*
 * A hash table with open addressing, since most disks are not in it: a disk lies in one of TMK_BPF_PROBES places from that of
 * its hash on, none of the places before it is free, and the first free one ends a search. Each word changes by one store.
 */
struct tmk_bpf_disk {
	__u64 who;   /* dev << 32 | enum tmk_bpf_kind; TMK_BPF_FREE_PLACE; or TMK_BPF_LEFT_PLACE: free, and the search goes on */
	__u64 slots; /* a byte each, slot + 1, without gaps from the lowest on; then zeroes */
};
#define TMK_BPF_PLACES 256
#define TMK_BPF_PROBES 8
#define TMK_BPF_FREE_PLACE 0ull
#define TMK_BPF_LEFT_PLACE ~0ull /* no disk has this number */

/* The nth place where a disk may lie. */
static inline __attribute__((always_inline)) __u32 tmk_bpf_place(__u32 dev, __u32 n)
{
	return ((dev * 0x9e3779b1u >> 24) + n) % TMK_BPF_PLACES;
}

/* Where it lies: for probes and the loader. NULL: not in the table. */
static inline __attribute__((always_inline)) struct tmk_bpf_disk *tmk_bpf_find(struct tmk_bpf_disk *table, __u32 dev)
{
	for (__u32 n = 0; n < TMK_BPF_PROBES; n++) {
		struct tmk_bpf_disk *place = &table[tmk_bpf_place(dev, n)];
		__u64 who = *(volatile __u64 *)&place->who;

		if (who == TMK_BPF_FREE_PLACE)
			break;
		if (who >> 32 == dev)
			return place;
	}
	return (void *)0;
}

/* Per CPU. Informative only: a probe that interrupts another on its CPU may tear it. */
struct tmk_bpf_seen {
	__u64 when;   /* jiffies; 0: nobody */
	__u64 sector; /* absolute, on the whole disk */
	__u64 sectors;
	__u32 pid;
	char comm[TMK_BPF_COMM];
	__u32 pad;
};

struct tmk_bpf_config {
	__u32 abi;
	__u32 slot_size;
	__u64 misses[2]; /* recursion_misses of the issue and completion program, when the latter were last dealt with */
	/* NVMe admin commands that may change what a namespace holds: they name no disk. Raised by probes. */
	__u64 admin;
	__u64 admin_seen; /* those that were dealt with */
	struct tmk_bpf_event admin_event;
	__u8 pad[56];
};

_Static_assert(sizeof(struct tmk_bpf_event) == 40, "layout");
_Static_assert(sizeof(struct tmk_bpf_slot) == 640, "layout");
_Static_assert(sizeof(struct tmk_bpf_disk) == 16, "layout");
_Static_assert(sizeof(struct tmk_bpf_seen) == 48, "layout");
_Static_assert(sizeof(struct tmk_bpf_config) == 136, "layout");

#endif
