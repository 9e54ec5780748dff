/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemons' JSON (docs/json.md) looks like to a person, and what it means for an exit code. Pure: JSON in, text out.
 * Fields that are missing or of another type are shown as if they were empty: a newer daemon may say more, an older one less.
 * Texts from elsewhere never move the terminal: control characters are shown as '?'.
 */
#ifndef TMK_SHOW_H
#define TMK_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct tmk_show {
	FILE *out;
	bool colour;
	unsigned width; /* of the terminal, columns; at least 40 */
};

enum tmk_verdict { TMK_FINE = 0, TMK_WARNING = 1, TMK_CRITICAL = 2 };
struct tmk_limits {
	double warning_age, critical_age; /* of the newest point, seconds */
};

/* The worst of all protections of a status, of source or target. */
enum tmk_verdict tmk_show_verdict(const json_t *status, const struct tmk_limits *limits);
/* The status of either side ("role" tells). */
void tmk_show_status(const struct tmk_show *s, const json_t *status, const struct tmk_limits *limits);
void tmk_show_points(const struct tmk_show *s, const json_t *result);
/* One line, with a carriage return before it, for work that goes on: "verb [####----]  50 %  1.0 of 2.0 GiB". */
void tmk_show_progress(const struct tmk_show *s, const char *verb, uint64_t done, uint64_t total);

/* "[####------]" with `width` cells; out: width + 3 bytes. */
void tmk_show_bar(uint64_t done, uint64_t total, unsigned width, char *out);
/* "3 s", "4 min 10 s", "2 h 5 min", "3 d 4 h"; out: 32 bytes. */
const char *tmk_show_duration(double seconds, char out[32]);
/* Writes text with control characters as '?'. */
void tmk_show_text(FILE *out, const char *text);

#endif
