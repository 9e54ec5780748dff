/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verdict on a HELLO (I8): who is it, is the protection theirs, are the disks what they were, may this generation and this
 * epoch go on. At first contact it makes the protection. Called by the supervisor; waits for the disk only.
 */
#ifndef TMK_SESSION_H
#define TMK_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "catalogue.h"
#include "disk.h"
#include "error.h"
#include "sandbox.h"
#include "wire.h"

struct tmk_session_court {
	struct tmk_catalogue *catalogue;
	int root; /* descriptor of DIR */
	const struct tmk_sandbox_user *user;
};

struct tmk_verdict {
	enum tmk_refuse refuse; /* 0: accepted */
	char text[512];		/* refused: why and what to do */
	bool created;		/* at this contact */
	struct tmk_catalogued row;
	struct tmk_sidecar sidecar;
};

/* certificate: the peer's fingerprint, NULL if it has none. Always makes a verdict: the target's own faults are one too. */
void tmk_session_judge(const struct tmk_session_court *court, const uint8_t *certificate, const struct tmk_hello *hello,
		       struct tmk_verdict *out);
/* Sidecar and catalogue of a protection agree (R14). -EUCLEAN. */
int tmk_session_agree(const struct tmk_catalogued *row, const struct tmk_sidecar *sidecar, struct tmk_error *err);

#endif
