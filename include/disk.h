/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The on-disk formats of the target: journal segments and the replica's sidecar. docs/disk.md is the prose.
 * Little-endian, fixed size, no pointers. A change after the first release needs a golden file and a test of old with new.
 *
 * DIR/                            what `tidemark-target init DIR` made
 *   target.db                     the catalogue (SQLite)
 *   pki/                          authority and the target's own certificate
 *   devices/NAME/disk-N.raw       put there before first contact: a symbolic link to a block device, or an image (a seed) that
 *                                 becomes the replica
 *   protections/NAME/
 *     sidecar                     struct tmk_sidecar in two slots of 4096 bytes at offsets 0 and 4096
 *     disk-N.raw                  the replica of disk N: a sparse file, or a symbolic link to a block device
 *     journal/%016llx.seg         segments, named by the number of their first chunk in hexadecimal
 */
#ifndef TMK_DISK_H
#define TMK_DISK_H

#include "wire.h"

/*
 * Segment: struct tmk_segment, then entries up to the end of the file. Entry: struct tmk_entry, the chunk header, the payload
 * exactly as they came.
 * An entry is valid if and only if its sum is right, the chunk is valid (wire.h), the chunk follows the one before it (the
 * segment's prev_hash for the first), and all of it lies inside the file. A bad entry whose number is at or below the `durable`
 * of any valid entry behind it, or at or below the applied chunk of the sidecar, is rot; any other is a torn tail (I5).
 */
#define TMK_SEGMENT_MAGIC 0x534b4d54u /* "TMKS" */
#define TMK_SEGMENT_VERSION 1
struct tmk_segment {
	uint32_t magic;
	uint16_t version;
	uint16_t reserved0; /* 0 */
	uint64_t features;  /* 0 */
	uint8_t protection[TMK_UUID_SIZE];
	uint64_t first;			  /* number of the first chunk */
	uint8_t prev_hash[TMK_HASH_SIZE]; /* hash of the header of chunk first - 1 */
	uint8_t reserved1[48];
	uint64_t sum; /* XXH3-64 of the bytes before it */
};
_Static_assert(sizeof(struct tmk_segment) == 128, "segment header");

#define TMK_ENTRY_MAGIC 0x454b4d54u /* "TMKE" */
struct tmk_entry {
	uint32_t magic;
	uint32_t length;      /* of chunk header and payload */
	uint64_t durable;     /* number of the last chunk that was durable when this one was appended */
	uint64_t target_time; /* ns since 1970, the target's clock, at arrival */
	uint64_t sum;	      /* XXH3-64 of the 24 bytes before it */
};
_Static_assert(sizeof(struct tmk_entry) == 32, "entry header");

/* The replica's superblock. Of two slots the valid one with the higher sequence counts. Written and made durable after the
 * replica's own data is: everything up to `applied` is in the replica. */
#define TMK_SIDECAR_MAGIC 0x4b434453544b4d54ull /* "TMKTSDCK" */
#define TMK_SIDECAR_VERSION 1
#define TMK_SIDECAR_SLOT 4096

enum tmk_replica_state {
	TMK_REPLICA_EMPTY = 1, /* no point yet: chunks are applied as they come (I11, the first copy) */
	TMK_REPLICA_POINT = 2, /* equals the point whose mark is chunk `point`; intervals are applied once closed */
	TMK_REPLICA_BETWEEN =
		3, /* an interval that ends in the durable mark `until` is being applied: go on before anything else */
};

struct tmk_sidecar {
	uint64_t magic;
	uint16_t version;
	uint16_t state; /* enum tmk_replica_state */
	uint32_t disk_count;
	uint64_t features; /* 0 */
	uint64_t sequence;
	uint8_t protection[TMK_UUID_SIZE];
	uint64_t generation;
	uint64_t applied;		     /* number of the last chunk that is wholly in the replica; 0: none */
	uint8_t applied_hash[TMK_HASH_SIZE]; /* of its header */
	uint64_t point;			     /* chunk of the mark that the replica last equalled; 0: none */
	uint64_t until;			     /* BETWEEN: chunk of the closing mark */
	uint64_t sizes[TMK_DISKS_MAX];	     /* bytes */
	uint8_t reserved[3720];
	uint64_t sum; /* XXH3-64 of the bytes before it */
};
_Static_assert(sizeof(struct tmk_sidecar) == TMK_SIDECAR_SLOT, "sidecar slot");

/* Extended attribute of a replica file: the sidecar's sequence while contents are what they were when that was written, one more
 * from before the first change after it; a little-endian u64. A file whose number is neither the sidecar's nor one more was put
 * back without it, or the sidecar without the file (R14). For a block device it is on the directory protections/NAME: that finds
 * a sidecar put back, but not a device. */
#define TMK_REPLICA_XATTR "user.tidemark.sequence"

#endif
