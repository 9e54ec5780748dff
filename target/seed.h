/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `tidemark-target seed`: an existing copy of a disk (one that travelled by car, an older replica, a LUN) becomes the replica of
 * a disk of a protection that has not connected yet. The source then sends hashes first, and what differs. Works on the directory
 * alone, whether a daemon runs there or not.
 */
#ifndef TMK_SEED_H
#define TMK_SEED_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

struct tmk_seed {
	const char *directory; /* DIR */
	const char *name;      /* of the protection */
	unsigned disk;
	const char *file;						/* an image or a block device */
	void (*progress)(uint64_t done, uint64_t total, void *context); /* bytes; may be NULL */
	void *context;
};
enum tmk_seeded { TMK_SEED_MOVED = 1, TMK_SEED_COPIED, TMK_SEED_LINKED };
/* What became of the file (enum tmk_seeded), durably, or -errno and nothing changed. Moved on one filesystem; copied, and kept,
 * from another; a block device is linked by the path given. */
int tmk_seed(const struct tmk_seed *wish, struct tmk_error *err);

#endif
