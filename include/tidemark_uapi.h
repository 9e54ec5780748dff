/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * What the kernel module and its one user, the shipper, say to one another: commands by generic netlink (family TIDEMARK_FAMILY),
 * and memory by mmap(2) of TIDEMARK_DEVICE, read-only: the ring of a protection, and the two maps of a disk.
 *
 * A protection is a group of disks with one ring and one gap count. Positions are byte offsets in the endless ring; sectors are
 * of 512 bytes, from the start of the protected disk or partition. Little-endian machines only.
 */
#ifndef TIDEMARK_UAPI_H
#define TIDEMARK_UAPI_H

#include <linux/types.h>

#define TIDEMARK_FAMILY "tidemark"
#define TIDEMARK_DEVICE "tidemark" /* below /dev */
#define TIDEMARK_ABI 1
#define TIDEMARK_EVENTS "events" /* the multicast group */

#define TIDEMARK_PROTECTIONS 16
#define TIDEMARK_DISKS 64
#define TIDEMARK_REASON 128
#define TIDEMARK_COOKIE 64

/* ---- commands ---- */

/*
 * All need CAP_SYS_ADMIN. One socket at a time is the owner (R22): who calls CLAIM first, until its socket closes; of the others
 * all but STATUS is refused with EBUSY. Nothing is lost when an owner goes: what it had attached stays attached.
 */
enum tidemark_command {
	TIDEMARK_CMD_UNSPEC,
	TIDEMARK_CMD_CLAIM,   /* -> ABI */
	TIDEMARK_CMD_ATTACH,  /* PROTECTION, KEY, FD, IDENTITY, [RING, BLOCK: else the smallest] -> DISK, FRESH, BLOCK: finds it
				 again, or all  is marked */
	TIDEMARK_CMD_DETACH,  /* DISK; with the last disk the protection goes */
	TIDEMARK_CMD_TAKE,    /* PROTECTION -> GAP, POSITION, SEQUENCE, BLOCKS (I2). EAGAIN, CUT too: while it is hibernated */
	TIDEMARK_CMD_CUT,     /* PROTECTION, ID -> GAP, POSITION: a MARK record, for all its disks at once (I3) */
	TIDEMARK_CMD_RELEASE, /* PROTECTION and POSITION: the log up to there; or DISK, SECTOR, SECTORS: of `taken`, whole blocks
			       */
	TIDEMARK_CMD_MARK,    /* DISK, [SECTOR, SECTORS: else everything is in doubt], [REASON: raises the gap count]: in `now` */
	TIDEMARK_CMD_LOG,     /* PROTECTION, ON, [BOTH] -> POSITION: switches the log on, or off and folds it into `now` */
	TIDEMARK_CMD_COOKIE,  /* PROTECTION, [COOKIE: sets it] -> COOKIE */
	TIDEMARK_CMD_STATUS,  /* dump: a message for each protection, and one for each disk; anybody's with CAP_SYS_ADMIN */
};

enum tidemark_attr {
	TIDEMARK_A_UNSPEC,
	TIDEMARK_A_PAD,
	TIDEMARK_A_ABI,	       /* u32 */
	TIDEMARK_A_PROTECTION, /* 16 bytes: its UUID */
	TIDEMARK_A_KEY,	       /* 16 bytes: who the disk is */
	TIDEMARK_A_FD,	       /* u32: the disk, or partition, opened by the caller; it need not stay open */
	TIDEMARK_A_IDENTITY,   /* up to 128 bytes: another one under a known key is another disk */
	TIDEMARK_A_RING,       /* u64: bytes of the ring, a power of two; 0 or none: no log ever */
	TIDEMARK_A_BLOCK,      /* u32: bytes of a block of the maps, a power of two, 4096 or more */
	TIDEMARK_A_DISK,       /* u32: names it from now on, for commands, records and mmap */
	TIDEMARK_A_FRESH,      /* flag: nothing is known of what was written before: everything is marked */
	TIDEMARK_A_GAP, /* u64: of a protection. A MARK is a point only if its own is that of the last finished round (R4). Of a
			   disk: how often everything of it had to be marked */
	TIDEMARK_A_POSITION, /* u64 */
	TIDEMARK_A_SEQUENCE, /* u64: writes issued after now get this, or a higher one */
	TIDEMARK_A_BLOCKS,   /* u64: marked in `taken`, of all disks of the protection */
	TIDEMARK_A_SECTOR,   /* u64 */
	TIDEMARK_A_SECTORS,  /* u64 */
	TIDEMARK_A_REASON,   /* string, shorter than TIDEMARK_REASON */
	TIDEMARK_A_ON,	     /* u8: 0 or 1 */
	TIDEMARK_A_BOTH,     /* u8: 1: what is logged from here on is marked, too; may be changed while the log is on */
	TIDEMARK_A_COOKIE,   /* TIDEMARK_COOKIE bytes, all zero at first */
	TIDEMARK_A_ID,	     /* 16 bytes, for the MARK record */
	TIDEMARK_A_SETTLED,  /* u64: every write with a lower sequence has completed: the fence (I4) */
	TIDEMARK_A_HEAD,     /* u64: where the next record will begin */
	TIDEMARK_A_TAIL,     /* u64: what is released */
	TIDEMARK_A_WRITES,   /* u64: requests that wrote or discarded, completed */
	TIDEMARK_A_FLIGHT,   /* u32: requests in flight */
	TIDEMARK_A_LENGTH,   /* u64: sectors of the disk as it was attached */
	TIDEMARK_A_START,    /* u64: its first sector on the whole disk */
	TIDEMARK_A_DISKSEQ, /* u64: of the disk that was attached. What has another one is another disk, or medium (BLKGETDISKSEQ)
			     */
	TIDEMARK_A_DOUBTFUL, /* flag: everything of the disk will be marked, at the latest by the next take */
	__TIDEMARK_A_MAX,
};
#define TIDEMARK_A_MAX (__TIDEMARK_A_MAX - 1)

/* ---- the ring ---- */

/* mmap offset TIDEMARK_MAP_RING + disk << TIDEMARK_MAP_SHIFT (any disk of the protection): the ring twice, side by side, so that
 * nothing wraps: the record at position P begins at P % size. Of a disk's maps: the bitmaps, bit 0 is block 0. */
#define TIDEMARK_MAP_SHIFT 44
#define TIDEMARK_MAP_RING (0ull << 40)
#define TIDEMARK_MAP_NOW (1ull << 40)
#define TIDEMARK_MAP_TAKEN (2ull << 40)

enum tidemark_type {
	TIDEMARK_DATA = 1,
	TIDEMARK_ZERO = 2,
	TIDEMARK_DISCARD = 3,
	TIDEMARK_MARK = 4,
	TIDEMARK_SKIP = 5, /* something was not captured after all: its range is marked, and the gap count went up */
};

#define TIDEMARK_ALIGN 64 /* of records, and the size of their header */

/*
 * A record is complete when `position`, loaded with acquire, is where it begins; before that nothing else in it may be looked at.
 * Behind it is its content, `length` bytes in all, a multiple of TIDEMARK_ALIGN. Records of one request have the same sequence,
 * and nothing is between them. A record is in the order in which requests were issued, over all disks of the protection.
 */
struct tidemark_record {
	__u64 position;
	__u32 length;
	__u16 type; /* enum tidemark_type */
	__u16 disk;
	__u64 sector; /* MARK: when it was made, ns since 1970 */
	__u64 sectors;
	__u64 sequence;
	__u64 gap;   /* the protection's, when the record was reserved */
	__u8 id[16]; /* MARK: of the CUT; all zero: the module's own, the last one before the first gap */
};

#endif
