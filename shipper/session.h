/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One session's beginning: connection, HELLO, WELCOME and the rewind list. Blocks; holds no state of its own. */
#ifndef TMK_SESSION_H
#define TMK_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>

#include "error.h"
#include "link.h"
#include "pki.h"
#include "store.h"
#include "wire.h"

struct tmk_session_start {
	const struct tmk_target_address *target;
	struct tmk_tls *tls;
	const struct tmk_hello *hello;
	const atomic_bool *stop;
};
/* Connects and greets. *refused: the target said no (err has its words). -EINTR: *stop became true. */
int tmk_session_open(const struct tmk_session_start *start, struct tmk_link **link, struct tmk_welcome *welcome,
		     uint16_t *refused, struct tmk_error *err);
/* Reads the REWIND frames behind an AHEAD, each extent through the callback. */
int tmk_session_rewind(struct tmk_link *link, const atomic_bool *stop,
		       int (*extent)(const struct tmk_rewind_extent *extent, void *context), void *context,
		       struct tmk_error *err);
/* Decodes a REFUSE body into err; returns its code. */
uint16_t tmk_session_refusal(const uint8_t *body, size_t size, struct tmk_error *err);

#endif
