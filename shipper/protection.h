/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A protection at work: a thread of its own that connects, ships rounds, makes points. What others may ask of it is here; all
 * functions may be called from any thread.
 */
#ifndef TMK_PROTECTION_H
#define TMK_PROTECTION_H

#include <jansson.h>

#include "config.h"
#include "error.h"
#include "store.h"
#include "tracker.h"
#include "verify.h"

/* Shared by all protections of the daemon; outlives them. */
struct tmk_trackers; /* marks.h */

struct tmk_protection;

/* Attaches the disks to the tracker and starts the thread. The spec is copied. A disk that cannot be attached now is an error,
 * or, with `patient`, tried again for as long as it takes (the daemon's start: status shows the reason). */
int tmk_protection_start(struct tmk_protection **out, const struct tmk_config *config, struct tmk_trackers *trackers,
			 const struct tmk_spec *spec, bool patient, struct tmk_error *err);
/* Ends the thread and frees. Tracking goes on; with forget = true the disks are detached from the tracker. */
void tmk_protection_stop(struct tmk_protection *p, bool forget);
const char *tmk_protection_name(const struct tmk_protection *p);

/* Durable in the store already; ends or begins sending. Tracking goes on while paused. */
void tmk_protection_pause(struct tmk_protection *p, bool paused);

/* Asks for a point. app: scripts and freeze. id: 16 random bytes drawn by the caller. -EBUSY: one is being made. -EAGAIN: an app
 * mark while the first copy runs (R19). */
int tmk_protection_mark(struct tmk_protection *p, bool app, const char *label, const uint8_t id[16], struct tmk_error *err);
/* What became of it: -EAGAIN not yet, 0 durable at the target, else why not; -ENOENT: not asked for. */
int tmk_protection_marked(struct tmk_protection *p, const uint8_t id[16], struct tmk_error *err);

/* Begins a verify of all disks; rate: bytes a second, 0: as configured. *before: as it stood then. -EBUSY: one is under way. */
int tmk_protection_verify(struct tmk_protection *p, uint64_t rate, struct tmk_verify_state *before, struct tmk_error *err);
/* -ENOENT: none is under way. */
int tmk_protection_verify_cancel(struct tmk_protection *p, struct tmk_error *err);
/* *waits: one that was asked for has not begun. */
void tmk_protection_verified(struct tmk_protection *p, struct tmk_verify_state *out, bool *waits);

/* See docs/json.md ("status on the source"). A new reference. */
json_t *tmk_protection_status(struct tmk_protection *p);

#endif
