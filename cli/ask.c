/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See ask.h. The code of an error alone does not tell a daemon that is absent from one that says ENOENT: it is asked for its
 * status then, which never fails so. */
#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control.h"

#define SOURCE_SOCKET "/run/tidemark/shipper.sock"
#define TARGET_SOCKET "/run/tidemark/target.sock"

const char *tmk_ask_socket(const struct tmk_ask *a, enum tmk_side side)
{
	if (a->socket)
		return a->socket;
	return side == TMK_SOURCE ? SOURCE_SOCKET : TARGET_SOCKET;
}

static bool answers(const char *socket)
{
	json_t *status = NULL;
	int rc = tmk_control_ask(socket, "status", NULL, NULL, NULL, &status, NULL);

	json_decref(status);
	return rc != -ENOENT && rc != -ECONNREFUSED;
}

/* The target's host, as the shipper on this machine knows it. */
static void name_target(char out[256])
{
	const char *host = NULL;
	json_t *status;

	strcpy(out, "the target machine");
	if (tmk_control_ask(SOURCE_SOCKET, "status", NULL, NULL, NULL, &status, NULL))
		return;
	if (!json_unpack(status, "{s:{s:s}}", "target", "host", &host) && strlen(host) < 200)
		snprintf(out, 256, "the target machine, %s", host);
	json_decref(status);
}

int tmk_ask_absent(const struct tmk_ask *a, enum tmk_side side, const char *verb, struct tmk_error *err)
{
	char host[256];
	bool other;

	if (a->socket)
		return tmk_error_set(err, -ECONNREFUSED, "no daemon answers at %s", a->socket);
	if (!strcmp(verb, "status"))
		return tmk_error_set(
			err, -ECONNREFUSED,
			"no Tidemark daemon runs here; on a server to protect: systemctl start tidemark-shipper, on a "
			"target: systemctl start tidemark-target");
	other = answers(side == TMK_SOURCE ? TARGET_SOCKET : SOURCE_SOCKET);
	if (side == TMK_TARGET && other) {
		name_target(host);
		return tmk_error_set(err, -ECONNREFUSED,
				     "'%s' belongs to the target, and this is the protected server: run it on %s", verb, host);
	}
	if (side == TMK_SOURCE && other)
		return tmk_error_set(err, -ECONNREFUSED,
				     "'%s' belongs to the protected server, and this is a target: run it there", verb);
	if (side == TMK_TARGET)
		return tmk_error_set(
			err, -ECONNREFUSED,
			"'%s' belongs to the target, and no tidemark-target runs here: run it on the target machine, or "
			"start it (systemctl start tidemark-target)",
			verb);
	return tmk_error_set(
		err, -ECONNREFUSED,
		"'%s' belongs to the protected server, and no tidemark-shipper runs here: run it on that server, or start "
		"it (systemctl start tidemark-shipper)",
		verb);
}

int tmk_ask(const struct tmk_ask *a, enum tmk_side side, const char *verb, json_t *args, json_t **result, bool *absent,
	    struct tmk_error *err)
{
	const char *socket = tmk_ask_socket(a, side);
	int rc = tmk_control_ask(socket, verb, args, a->progress, a->context, result, err);

	*absent = (rc == -ENOENT || rc == -ECONNREFUSED) && !answers(socket);
	return rc;
}
