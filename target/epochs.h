/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may go on with a protection's history (R3), in the supervisor: a source appends under its epoch, and an epoch that another
 * one superseded never comes back. The catalogue knows all that there were; the current one is in the holding's row.
 */
#ifndef TMK_EPOCHS_H
#define TMK_EPOCHS_H

#include "catalogue.h"
#include "holding.h"

/* The journal ends with a chunk of this epoch; zeroes: it is empty. One that the catalogue does not know means that the catalogue
 * was put back: it learns the epoch again, and whoever went on before that epoch is superseded after all. */
int tmk_epochs_found(struct tmk_catalogue *c, struct tmk_holding *h, const uint8_t epoch[TMK_EPOCH_SIZE], struct tmk_error *err);
/* What the session's source said in HELLO; zeroes: nothing. The session is told EPOCH, the current one, or REFUSE. Not 0: it
 * cannot be told, here and below. */
int tmk_epochs_hello(struct tmk_catalogue *c, struct tmk_holding *h, const uint8_t epoch[TMK_EPOCH_SIZE]);
/* It appends under this one from here on: answered in the same way. */
int tmk_epochs_begin(struct tmk_catalogue *c, struct tmk_holding *h, const uint8_t epoch[TMK_EPOCH_SIZE]);
/* The session is refused, since the catalogue cannot be asked. */
int tmk_epochs_refuse(struct tmk_holding *h, const struct tmk_error *err);

#endif
