/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which daemon to talk to, and what to say if the one that a verb belongs to is on the other machine. */
#ifndef TMK_ASK_H
#define TMK_ASK_H

#include <jansson.h>
#include <stdbool.h>

#include "error.h"

enum tmk_side { TMK_SOURCE = 1, TMK_TARGET = 2 };
struct tmk_ask {
	const char *socket; /* --socket; NULL: the side's own */
	void (*progress)(json_t *body, void *context);
	void *context;
};

const char *tmk_ask_socket(const struct tmk_ask *a, enum tmk_side side);
/* *absent: no daemon answers there (err is tmk_ask_absent()'s affair then). *result: a new reference. args: the caller's own. */
int tmk_ask(const struct tmk_ask *a, enum tmk_side side, const char *verb, json_t *args, json_t **result, bool *absent,
	    struct tmk_error *err);
/* Says on which machine to use the verb, or what to start. Returns err's code. */
int tmk_ask_absent(const struct tmk_ask *a, enum tmk_side side, const char *verb, struct tmk_error *err);

#endif
