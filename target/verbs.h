/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the control socket of the target can be asked (lib/control.h). Unknown verbs and unknown or missing arguments are errors.
 *
 *   status  {"name": s?}                   -> {"role": "target", "directory": s, "port": n, "protections": [PROTECTION]}
 *   points  {"name": s?}                   -> {"points": [POINT]}, newest first within a protection
 *   export  {"name": s, "point": s?, "format": s?, "to": s, "disk": n?}
 *                                          -> {"to": s, "number": n, "bytes": n}; progress {"done": n, "total": n} in bytes
 *   drop    {"name": s, "point": s?, "now": true}
 *                                          -> {"name": s, "restarted": bool}: the newest point is given up; restarted: replica
 *                                             and journal were broken, and the source copies anew
 *   delete  {"name": s, "now": bool?}      -> {"name": s, "kept": s|null}; kept: where it lies until somebody removes it
 *   token   {"uses": n?, "seconds": n?}    -> {"token": s, "uses": n, "expires": RFC3339}; by default once, within a day
 *   revoke  {"name": s}                    -> {"name": s}; name: host or fingerprint
 *
 * PROTECTION: {"name", "host": s, "state": "disconnected|connected|applying|full|stalled|broken|busy", "reason": s,
 *   "generation": n, "connected": bool, "durable_chunk": n, "applied_chunk": n, "journal_bytes": n,
 *   "disks": [{"number": n, "name": s, "size": n, "identity": s}], "point": POINT|null}
 *   full: the journal takes no chunk. stalled: journal or replica cannot be written or read, which is tried again. broken: an
 *   operator is needed. busy: one is at it. The reason says more, and is empty if all is well.
 * POINT: {"protection": s, "number": n, "kind": "app|crash", "label": s, "id": hex, "time": RFC3339 of the source's clock at the
 *   cut, "arrived": RFC3339 of the target's, "age_seconds": x since it arrived, "time_ns": n, "arrived_ns": n,
 *   "generation": n, "hash": hex of the chunk's header}
 */
#ifndef TMK_VERBS_H
#define TMK_VERBS_H

#include "catalogue.h"
#include "control.h"
#include "crew.h"
#include "holding.h"
#include "settings.h"

struct tmk_verbs {
	struct tmk_crew *crew;
	struct tmk_catalogue *catalogue;
	struct tmk_holdings *holdings;
	const struct tmk_settings *settings;
	const char *pki; /* DIR/pki */
	int root;
};
/* Answers, now or when the work is done. Takes the call over. */
void tmk_verbs_answer(const struct tmk_verbs *v, struct tmk_control_call *call);

#endif
