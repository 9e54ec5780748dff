/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What scratch.c looks at, so that its tests can put a list of swaps and devices of their own in its place. Private to it. */
#ifndef TMK_SWAPS_H
#define TMK_SWAPS_H

#include "scratch.h"

struct tmk_swaps {
	const char *list; /* "/proc/swaps" */
	uint64_t page;	  /* bytes: the size of a swap area's header */
	/* tmk_device_find() */
	int (*find)(const char *path, struct tmk_device *out, struct tmk_error *err);
};

int tmk_scratch_find_in(const struct tmk_swaps *swaps, const struct tmk_device *disks, size_t count, struct tmk_scratch *out,
			struct tmk_error *err);

#endif
