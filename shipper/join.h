/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Joining a target: a key is made, the target signs a certificate for it against a token, and both with the target's authority
 * and address go into state-dir. target.json is written last and removed first: it is there only if the rest is.
 */
#ifndef TMK_JOIN_H
#define TMK_JOIN_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "store.h"

/* "host", "host:port", "[::1]", "[::1]:port", or a bare IPv6 address. -EINVAL. */
int tmk_join_address(const char *text, struct tmk_target_address *out, struct tmk_error *err);
/* Blocks for up to half a minute. -EEXIST: joined already and not `again`. -EACCES: the target refused. On failure before the
 * target answered nothing has changed. fingerprint: of the new certificate. */
int tmk_join(const char *state_dir, const struct tmk_target_address *target, const char *token, bool again,
	     uint8_t fingerprint[32], struct tmk_error *err);

#endif
