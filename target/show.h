/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Protections and points as JSON, for verbs.c; the shapes are in verbs.h. */
#ifndef TMK_SHOW_H
#define TMK_SHOW_H

#include <jansson.h>

#include "applier.h"
#include "holding.h"

json_t *tmk_show_point(const struct tmk_point *p, const char *protection);
/* newest: the newest point or NULL. */
json_t *tmk_show_protection(const struct tmk_holding *h, const struct tmk_point *newest);

#endif
