/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Results of comparisons on their way from an applier to the receiver whose session appended the chunk, in the supervisor. None
 * is left out: the source would wait for it for ever. A session that cannot take one ends, and its source asks again.
 */
#ifndef TMK_PASSING_H
#define TMK_PASSING_H

#include "holding.h"

/* A COMPARED of the protection's applier. Not 0: it is none. */
int tmk_passing_compared(struct tmk_holding *h, const struct tmk_message *m);
/* A session that missed one hears that it is over as soon as it reads again. */
void tmk_passing_tick(struct tmk_holding *h);

#endif
