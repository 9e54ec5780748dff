/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening a journal for appending, in the sandbox: by a receiver for its session, by a recoverer to learn what is durable
 * after a start or a killed receiver. One process at a time: the journal's lock says so, also while a killed one still
 * finishes its last write.
 */
#ifndef TMK_OPENING_H
#define TMK_OPENING_H

#include "channel.h"
#include "sandbox.h"

struct tmk_opening {
	struct tmk_acceptance acceptance;
	int dir;
	struct tmk_journal *journal;
};

/* message: an ACCEPT as it came. Tells the supervisor OPENED. -EUCLEAN: the journal does not fit (the supervisor agrees). */
int tmk_opening_journal(int channel, struct tmk_message *message, struct tmk_opening *out, struct tmk_error *err);
void tmk_opening_close(struct tmk_opening *o);

struct tmk_recoverer {
	const struct tmk_sandbox_user *user;
	int protections; /* descriptor of DIR/protections */
};
/* A child's whole life: waits for ACCEPT, opens, tells, ends. context: struct tmk_recoverer. */
int tmk_recoverer_run(int channel, void *context);

#endif
