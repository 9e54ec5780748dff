/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a killed shipper left behind: frozen filesystems (run-dir/NAME.frozen) are thawed, post scripts that are owed
 * (run-dir/NAME.post-owed) are run (R26). Done when the shipper starts, and by `tidemark-shipper --recover` when it has ended.
 */
#ifndef TMK_RECOVER_H
#define TMK_RECOVER_H

#include "config.h"
#include "error.h"

/* Does all it can; 0, or the first error. Only while no shipper works in this run-dir. */
int tmk_recover(const struct tmk_config *config, struct tmk_error *err);

#endif
