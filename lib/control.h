/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: a Unix stream socket (0600, peers must be root or the daemon's own user), one request per connection.
 * Request: one line of JSON, {"verb": "...", "args": {...}}. Answer: any number of lines {"progress": {...}}, then one line
 * {"result": {...}} or {"error": {"code": "EINVAL", "text": "..."}}. A line is at most 1 MiB.
 */
#ifndef TMK_CONTROL_H
#define TMK_CONTROL_H

#include <jansson.h>
#include <stdbool.h>

#include "error.h"

struct tmk_control_call; /* one request, until it is answered */

/* A listening, non-blocking socket at path (replaces a dead one; -EADDRINUSE if somebody listens). The client tells by the file's
 * name which daemon belongs there: shipper.sock, target.sock. */
int tmk_control_listen(const char *path, struct tmk_error *err);
/* Accepts, checks the peer, reads the request within 5 s; answers a bad one itself. verb and args (an object, maybe empty) live
 * as long as the call. */
int tmk_control_accept(int listener, struct tmk_control_call **out, struct tmk_error *err);
const char *tmk_control_verb(const struct tmk_control_call *call);
json_t *tmk_control_args(const struct tmk_control_call *call);
int tmk_control_fd(const struct tmk_control_call *call); /* readable or HUP: the client left */
/* Takes the reference to `body`. False: the client is gone. Never waits longer than 5 s. */
bool tmk_control_progress(struct tmk_control_call *call, json_t *body);
/* These end the call and free it. result takes the reference to `body`, and says so to the client if it is longer than 1 MiB. */
void tmk_control_result(struct tmk_control_call *call, json_t *body);
void tmk_control_error(struct tmk_control_call *call, const struct tmk_error *err);

/* The client's side. args (may be NULL) stays the caller's. progress may be NULL. result: a new reference. -ECONNREFUSED/-ENOENT:
 * no daemon there. The error of the daemon comes as err with its code. */
int tmk_control_ask(const char *path, const char *verb, json_t *args, void (*progress)(json_t *body, void *context),
		    void *context, json_t **result, struct tmk_error *err);

#endif
