/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `tidemark status`: once, or each second with --watch, of one daemon or of both that run here. */
#ifndef TMK_WATCH_H
#define TMK_WATCH_H

#include "options.h"
#include "show.h"

/* The exit code: 0 fine, 1 warning, 2 critical, 3 no daemon, 64 usage. With --watch it ends by a signal only. */
int tmk_watch_status(const struct tmk_options *o, const struct tmk_show *s);
/* The answer of any verb as one line of JSON: the result, or {"error": {"code", "text"}}. */
void tmk_watch_json(FILE *out, int rc, const json_t *result, const struct tmk_error *err);

#endif
