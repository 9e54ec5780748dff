/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How far a verify is, in run-dir/NAME.verify: in memory only (R31), so that it outlives the shipper but not a reboot, after
 * which everything goes hash first anyway.
 */
#ifndef TMK_PROGRESS_H
#define TMK_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "store.h"

struct tmk_progress {
	bool asked;	    /* somebody asked for this pass; else it is the rolling one */
	uint64_t done;	    /* bytes of all disks that it is through with */
	uint64_t different; /* bytes in which the replica differed; sent again */
	uint64_t skipped; /* bytes that were written meanwhile, cannot be read, or were too many to look at twice: not compared */
	uint64_t started; /* ms of CLOCK_MONOTONIC */
	uint64_t rate;	  /* bytes a second that it was asked for with; 0: as configured */
	struct {
		bool known, asked;
		uint64_t time; /* ns since 1970 */
		uint64_t different, skipped;
	} last; /* the last pass that came to its end */
};

/* False: there is none of this protection, or it cannot be read. */
bool tmk_progress_load(struct tmk_progress *out, const char *run_dir, const struct tmk_spec *spec);
int tmk_progress_save(const struct tmk_progress *p, const char *run_dir, const struct tmk_spec *spec, struct tmk_error *err);
void tmk_progress_remove(const char *run_dir, const char *name);

#endif
