/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protections of this daemon, by name. Any thread may call; what is returned by get() is safe until put(). A protection whose
 * file cannot be read is on the roster too, as broken, so that it shows, and is tried again by retry().
 */
#ifndef TMK_ROSTER_H
#define TMK_ROSTER_H

#include <jansson.h>

#include "config.h"
#include "error.h"
#include "marks.h"
#include "protection.h"
#include "store.h"

struct tmk_roster;

/* Starts every stored protection. config and marks outlive the roster. */
int tmk_roster_open(struct tmk_roster **out, const struct tmk_config *config, struct tmk_trackers *trackers,
		    struct tmk_error *err);
/* Stops all; tracking goes on. NULL is fine. */
void tmk_roster_close(struct tmk_roster *r);
/* Starts one that is stored already; an error if it cannot be attached now. -EEXIST. */
int tmk_roster_add(struct tmk_roster *r, const struct tmk_spec *spec, struct tmk_error *err);
/* Stops it, detaches its disks from the tracker, takes it off the roster. -ENOENT. */
int tmk_roster_remove(struct tmk_roster *r, const char *name, struct tmk_error *err);
/* NULL (err says why): unknown, broken, or being removed. Give it back soon: removal waits for it. */
struct tmk_protection *tmk_roster_get(struct tmk_roster *r, const char *name, struct tmk_error *err);
void tmk_roster_put(struct tmk_roster *r, const char *name);
/* The array "protections" of docs/json.md; name NULL: all. NULL (err says why): no such protection. */
json_t *tmk_roster_status(struct tmk_roster *r, const char *name, struct tmk_error *err);
/* Tries to start what is broken. */
void tmk_roster_retry(struct tmk_roster *r);
/* Stops and starts all: the certificate changed. */
void tmk_roster_restart(struct tmk_roster *r);

#endif
