/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Export: a copy of the replica while it equals a point, sparse, compared before it is called done. */
#ifndef TMK_EXPORT_H
#define TMK_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "applier.h"
#include "error.h"
#include "io.h"

struct tmk_export {
	int dir;	/* protections/NAME */
	uint64_t point; /* chunk of the mark that is wanted; the replica must equal it: -ENOENT with the reason if it does not */
	int disk;	/* -1: all disks */
	const char *to; /* a file if there is one disk or `disk` is given, else a directory: disk-N.raw in it. Must not exist */
	void (*progress)(uint64_t done, uint64_t total, void *context); /* bytes; may be NULL */
	void *context;
	const bool *stop;	 /* may be NULL; progress() sets it to end the export: -ECANCELED */
	const struct tmk_io *io; /* NULL: the real one */
};
/* -EAGAIN: an interval is being applied right now, try again in a moment. Holds the replica's lock shared for its whole time. A
 * failed export leaves nothing behind at `to`. */
int tmk_export_run(const struct tmk_export *e, struct tmk_error *err);

#endif
