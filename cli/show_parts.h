/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What show.c, show_source.c and show_target.c share; nobody else includes this. */
#ifndef TMK_SHOW_PARTS_H
#define TMK_SHOW_PARTS_H

#include "show.h"

/* A field, or "" / 0 if it is missing, negative or of another type. */
const char *tmk_parts_string(const json_t *object, const char *key);
double tmk_parts_number(const json_t *object, const char *key);
uint64_t tmk_parts_bytes(const json_t *object, const char *key);

unsigned tmk_parts_cells(const struct tmk_show *s); /* of a progress bar */
void tmk_parts_amount(FILE *out, uint64_t done, uint64_t total, unsigned cells);
void tmk_parts_begin(const struct tmk_show *s, enum tmk_verdict verdict); /* its colour, until end */
void tmk_parts_end(const struct tmk_show *s);
void tmk_parts_line(const struct tmk_show *s, const char *label);
/* A whole line, or nothing if the text is empty. */
void tmk_parts_words(const struct tmk_show *s, const char *label, const char *text);
void tmk_parts_point(const struct tmk_show *s, const json_t *point);

enum tmk_verdict tmk_parts_verdict(const json_t *protection, const struct tmk_limits *limits);

void tmk_show_source(const struct tmk_show *s, const json_t *status, const struct tmk_limits *limits);
void tmk_show_target(const struct tmk_show *s, const json_t *status, const struct tmk_limits *limits);

#endif
