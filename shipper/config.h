/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shipper's settings: /etc/tidemark/shipper.conf, all optional; tidemark-shipper.conf(5) says what each is for. */
#ifndef TMK_CONFIG_H
#define TMK_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

struct tmk_config {
	char state_dir[256];   /* state-dir: certificate, key, protections: /var/lib/tidemark/source */
	char run_dir[256];     /* run-dir: control socket, records: /run/tidemark */
	char control[256];     /* control: socket; run_dir/shipper.sock */
	char pins[256];	       /* pins: /sys/fs/bpf/tidemark */
	char freezer[256];     /* freezer: program; PREFIX/libexec/tidemark-freezer, else beside the shipper */
	char scripts_dir[256]; /* scripts-dir: /etc/tidemark/scripts */
	uint64_t read_depth;   /* read-depth: reads under way; 16 (1 .. 64) */
	uint64_t read_rate;    /* read-rate: bytes a second, 0 unlimited */
	uint64_t ring;	 /* ring: bytes of the log of each protection, with the kernel module; a power of two; 64 MiB (1 MiB .. 4
			    GiB) */
	bool coalesce;	 /* coalesce: whether what is overwritten before the next point is left out of the stream; no */
	uint64_t window; /* window: bytes of chunks under way unacked; 16 MiB (4 MiB .. 256 MiB) */
	uint64_t freeze_limit;	/* freeze-limit: ms from frozen to thawed; 2000 (100 .. 60000) */
	uint64_t freeze_memory; /* freeze-memory: bytes copied while frozen at most; 32 MiB */
	uint64_t point_every;	/* point-every: ms between crash-consistent points; 60 s; 0: only when asked */
	uint64_t app_every;	/* app-every: ms between app-consistent ones; 0: only when asked */
	bool freeze;		/* freeze: whether automatic points may freeze filesystems; yes */
	uint64_t script_limit;	/* script-limit: ms for a pre or post script; 60 s */
	uint64_t verify_every;	/* verify-every: ms in which the rolling verify goes through all disks; 7 d; 0: off */
	uint64_t verify_rate;	/* verify-rate: bytes a second that a verify reads at most; 0: as read-rate */
	uint64_t backoff_most;	/* backoff-most: ms between attempts to connect, at most; 30 s */
};

void tmk_config_defaults(struct tmk_config *out);
/* Reads the file over the defaults. path NULL: the default one, which may be missing; a named one may not. On failure *out is
 * as before. */
int tmk_config_read(struct tmk_config *out, const char *path, struct tmk_error *err);

#endif
