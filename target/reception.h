/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * New connections: a receiver for each, until it has its protection's journal or its certificate. What receivers say is checked
 * like network input; who says what does not belong to its state is killed.
 *
 *   greeting -> HELLO -> judged: refused, or the holding's (holding.h)
 *            -> JOIN -> delayed (a wrong token costs a second) -> refused
 *                    -> signing -> joined
 */
#ifndef TMK_RECEPTION_H
#define TMK_RECEPTION_H

#include "catalogue.h"
#include "crew.h"
#include "holding.h"
#include "pki.h"
#include "sandbox.h"

struct tmk_reception;

struct tmk_reception_with {
	struct tmk_crew *crew;
	struct tmk_catalogue *catalogue;
	struct tmk_holdings *holdings;
	const struct tmk_sandbox_user *user;
	struct tmk_tls *tls;
	const char *pki; /* DIR/pki */
	int root, protections;
};
int tmk_reception_new(struct tmk_reception **out, const struct tmk_reception_with *with, struct tmk_error *err);
void tmk_reception_free(struct tmk_reception *r);
/* Takes the connection over. */
void tmk_reception_connect(struct tmk_reception *r, int fd);
uint64_t tmk_reception_tick(struct tmk_reception *r); /* ms until it wants to be called again */
/* Ends whoever has no journal. */
void tmk_reception_stop(struct tmk_reception *r);

#endif
