/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Points as the applier tells of them, kept in the catalogue; what cannot be written there now is kept here meanwhile. */
#ifndef TMK_LEDGER_H
#define TMK_LEDGER_H

#include "holding.h"

/* The replica equals this point now. */
void tmk_ledger_point(struct tmk_catalogue *c, struct tmk_holding *h, const struct tmk_point *p);
/* h->at moved: a point that the replica is not (any more) is not shown. It was given up, or the catalogue was put back. */
void tmk_ledger_moved(struct tmk_catalogue *c, struct tmk_holding *h);
/* The point that the replica was when the applier last told; NULL: the catalogue has to be asked. It opens whatever has become of
 * the catalogue. */
const struct tmk_point *tmk_ledger_newest(const struct tmk_holding *h);
void tmk_ledger_forget(struct tmk_holding *h);
/* Tries again what could not be written. */
void tmk_ledger_tick(struct tmk_catalogue *c, struct tmk_holding *h);
/* If nothing is to be written, nobody sees that the catalogue can be written again. not_before: when this tries, ms. */
void tmk_ledger_mend(struct tmk_catalogue *c, uint64_t *not_before);

#endif
