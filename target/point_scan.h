/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Points as the journal holds them: its marks. */
#ifndef TMK_POINT_SCAN_H
#define TMK_POINT_SCAN_H

#include "applier.h"
#include "journal.h"

/* The point that a marked chunk ends in. */
int tmk_point_of_chunk(const struct tmk_journal_chunk *chunk, struct tmk_point *out, struct tmk_error *err);
/* The point whose mark is at that place, if the journal still holds it: -ENOENT if not. */
int tmk_point_find(const struct tmk_io *io, int journal_dir, const uint8_t protection[TMK_UUID_SIZE],
		   const struct tmk_disk_sizes *sizes, const struct tmk_place *place, struct tmk_point *out,
		   struct tmk_error *err);

#endif
