/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs of the shipper's control socket: docs/json.md ("Verbs of the source") has their arguments and results. */
#ifndef TMK_VERBS_H
#define TMK_VERBS_H

#include "control.h"
#include "daemon.h"

/* Answers the call and frees it. Blocks for as long as the verb takes; many threads may be in here. */
void tmk_verbs_answer(struct tmk_daemon *d, struct tmk_control_call *call);

#endif
