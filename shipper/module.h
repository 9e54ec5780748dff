/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel module's commands (tidemark_uapi.h), by generic netlink. A handle is the tracker's owner until it is closed; what it
 * attached stays attached. It belongs to one thread. All return 0 or -errno, with a sentence; -ENOENT from open: the module is
 * not loaded, -EBUSY: another process has it.
 */
#ifndef TMK_MODULE_H
#define TMK_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "tidemark_uapi.h"

struct tmk_module;

int tmk_module_open(struct tmk_module **out, struct tmk_error *err);
void tmk_module_close(struct tmk_module *m);

struct tmk_module_disk {
	uint8_t protection[16], key[16];
	const char *identity; /* shorter than 128 */
	int fd;		      /* of the device, or partition; it need not stay open */
	uint64_t ring;	      /* bytes, a power of two; 0: no log. The same for all disks of a protection */
	uint32_t block;	      /* bytes, a power of two; 0: what it has, or the smallest one there is room for */
};
struct tmk_module_attached {
	uint32_t disk;
	bool fresh; /* nothing is known of what was written before: everything will be in the next take */
	uint32_t block;
};
int tmk_module_attach(struct tmk_module *m, const struct tmk_module_disk *disk, struct tmk_module_attached *out,
		      struct tmk_error *err);
int tmk_module_detach(struct tmk_module *m, uint32_t disk, struct tmk_error *err);

struct tmk_module_take {
	uint64_t gap, position, sequence, blocks;
};
int tmk_module_take(struct tmk_module *m, const uint8_t protection[16], struct tmk_module_take *out, struct tmk_error *err);
/* gap and position are set. -ENOLINK: the log is off; -ENOSPC: it is full. */
int tmk_module_cut(struct tmk_module *m, const uint8_t protection[16], const uint8_t id[16], struct tmk_module_take *out,
		   struct tmk_error *err);
int tmk_module_release_log(struct tmk_module *m, const uint8_t protection[16], uint64_t position, struct tmk_error *err);
/* Sectors; whole blocks inside the range. */
int tmk_module_release(struct tmk_module *m, uint32_t disk, uint64_t sector, uint64_t sectors, struct tmk_error *err);
/* sectors 0: the whole disk is in doubt. reason: NULL, or raises the gap count. */
int tmk_module_mark(struct tmk_module *m, uint32_t disk, uint64_t sector, uint64_t sectors, const char *reason,
		    struct tmk_error *err);
/* `position`: where the next record will begin. both: what is logged is marked, too; for tests. */
int tmk_module_log(struct tmk_module *m, const uint8_t protection[16], bool on, bool both, uint64_t *position,
		   struct tmk_error *err);
/* set: NULL, or what it is to be. */
int tmk_module_cookie(struct tmk_module *m, const uint8_t protection[16], const uint8_t set[TIDEMARK_COOKIE],
		      uint8_t out[TIDEMARK_COOKIE], struct tmk_error *err);

struct tmk_module_status { /* of a protection */
	uint64_t gap, sequence, settled, ring, head, tail;
	bool on;
	char reason[TIDEMARK_REASON];
};
struct tmk_module_disk_status {
	bool known; /* there is such a disk */
	bool doubtful;
	uint8_t key[16];
	uint32_t block, flight;
	uint64_t start, sectors, writes;
	uint64_t diskseq;	      /* of the disk that was attached: another one is another disk (BLKGETDISKSEQ) */
	uint64_t doubts;	      /* how often everything had to be marked */
	char reason[TIDEMARK_REASON]; /* of the last time */
};
/* -ENOENT: there is no such protection. */
int tmk_module_status(struct tmk_module *m, const uint8_t protection[16], struct tmk_module_status *out, struct tmk_error *err);
int tmk_module_disks(struct tmk_module *m, struct tmk_module_disk_status out[TIDEMARK_DISKS], struct tmk_error *err);

/* what: TIDEMARK_MAP_RING, _NOW or _TAKEN; size: of the ring twice, or of a map. To be unmapped with munmap(2). */
int tmk_module_map(struct tmk_module *m, uint32_t disk, uint64_t what, size_t size, const void **out, struct tmk_error *err);

#endif
