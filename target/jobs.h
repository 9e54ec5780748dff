/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jobs: work that may take long or touches what the supervisor must not (the authority's key), each in a child of its own. A
 * job tells PROGRESS while it runs and DONE at its end.
 */
#ifndef TMK_JOBS_H
#define TMK_JOBS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "chunk.h"
#include "wire.h"

/* Copies the replica out (export.h): EXPORTED before DONE. */
struct tmk_job_export {
	int dir; /* protections/NAME */
	uint64_t point;
	bool latest; /* whatever the newest point is when the replica can be read */
	int disk;
	char to[PATH_MAX];
};
int tmk_job_export_run(int channel, void *context);

/* Empties the journal and starts the replica over: the source copies anew. */
struct tmk_job_reset {
	int dir;
	uint8_t protection[TMK_UUID_SIZE];
	uint64_t generation;
	struct tmk_disk_sizes sizes;
};
int tmk_job_reset_run(int channel, void *context);

/* Removes what was moved to deleted/. */
struct tmk_job_remove {
	int root;
	char path[TMK_NAME_MAX + 40];
};
int tmk_job_remove_run(int channel, void *context);

/* Signs a certificate request: SIGNED before DONE. */
struct tmk_job_sign {
	char pki[PATH_MAX];
	char host[128];
	char request[8192];
};
int tmk_job_sign_run(int channel, void *context);

#endif
