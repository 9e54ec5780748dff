/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pre and post scripts for applications: /etc/tidemark/scripts/NAME/{pre,post}. `pre` runs before the freeze and must exit 0,
 * `post` runs after the thaw whenever `pre` was started, also after a crash: that it is owed is recorded in `owed`.
 */
#ifndef TMK_SCRIPT_H
#define TMK_SCRIPT_H

#include "error.h"

/* Runs DIRECTORY/which, with TIDEMARK_PROTECTION=name in the environment; the whole process group is killed after timeout_ms.
 * No such file: 0. Must be owned by root and not writable by others, or it is refused. Blocks for as long as it runs. */
int tmk_script_run(const char *directory, const char *which, const char *name, unsigned timeout_ms, struct tmk_error *err);
/* Creates or removes the file that says a post script is owed; _owed tells. */
int tmk_script_owe(const char *owed, struct tmk_error *err);
void tmk_script_paid(const char *owed);
int tmk_script_owed(const char *owed); /* 1 or 0 */

#endif
