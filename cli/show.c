/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See show.h. This file: the small pieces, the verdict, and points; the two kinds of status are in show_source.c and
 * show_target.c. */
#include "show.h"

#include <inttypes.h>
#include <string.h>

#include "show_parts.h"
#include "util.h"

#define PERCENT 100

/* ---- fields ---- */

const char *tmk_parts_string(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

double tmk_parts_number(const json_t *object, const char *key)
{
	double value = json_number_value(json_object_get(object, key));

	return value > 0 ? value : 0;
}

uint64_t tmk_parts_bytes(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? value : 0;
}

/* ---- pieces ---- */

void tmk_show_text(FILE *out, const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		bool c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0; /* U+0080 .. U+009F: CSI and others in one character */

		fputc(*c < 0x20 || *c == 0x7f || c1 ? '?' : *c, out);
		c += c1;
	}
}

const char *tmk_show_duration(double seconds, char out[32])
{
	static const struct {
		const char *big, *small;
		uint64_t from, of_big, of_small;
	} units[] = {{"d", "h", 86400, 86400, 3600}, {"h", "min", 3600, 3600, 60}, {"min", "s", 60, 60, 1}};
	uint64_t s = seconds > 0 ? (seconds < 1e12 ? (uint64_t)seconds : (uint64_t)1e12) : 0;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (s >= units[i].from) {
			unsigned big = (unsigned)(s / units[i].of_big),
				 rest = (unsigned)(s % units[i].of_big / units[i].of_small);

			if (rest)
				snprintf(out, 32, "%u %s %u %s", big, units[i].big, rest, units[i].small);
			else
				snprintf(out, 32, "%u %s", big, units[i].big);
			return out;
		}
	if (seconds > 0 && seconds < 10 && seconds != (double)s)
		snprintf(out, 32, "%.1f s", seconds);
	else
		snprintf(out, 32, "%u s", (unsigned)s);
	return out;
}

/* Full only when it is: 99.9 % must not look like done. */
static unsigned share(uint64_t done, uint64_t total, unsigned of)
{
	if (!total || done >= total)
		return of;
	return (unsigned)((double)done / (double)total * of);
}

void tmk_show_bar(uint64_t done, uint64_t total, unsigned width, char *out)
{
	unsigned full = share(done, total, width);

	*out++ = '[';
	memset(out, '#', full);
	memset(out + full, '-', width - full);
	strcpy(out + width, "]");
}

void tmk_parts_amount(FILE *out, uint64_t done, uint64_t total, unsigned cells)
{
	char bar[64 + 3], a[32], b[32];

	tmk_show_bar(done, total, cells < 64 ? cells : 64, bar);
	fprintf(out, "%s %3u %%  %s of %s", bar, share(done, total, PERCENT), tmk_human(done, a), tmk_human(total, b));
}

unsigned tmk_parts_cells(const struct tmk_show *s)
{
	return s->width < 100 ? 20 : 40;
}

void tmk_show_progress(const struct tmk_show *s, const char *verb, uint64_t done, uint64_t total)
{
	fprintf(s->out, "\r%s ", verb);
	tmk_parts_amount(s->out, done, total, tmk_parts_cells(s));
	fprintf(s->out, "%s", s->colour ? "\033[K" : "  ");
	fflush(s->out);
}

void tmk_parts_begin(const struct tmk_show *s, enum tmk_verdict verdict)
{
	static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m"};

	if (s->colour)
		fputs(colours[verdict], s->out);
}

void tmk_parts_end(const struct tmk_show *s)
{
	if (s->colour)
		fputs("\033[0m", s->out);
}

void tmk_parts_line(const struct tmk_show *s, const char *label)
{
	fprintf(s->out, "  %-14s", label);
}

void tmk_parts_words(const struct tmk_show *s, const char *label, const char *text)
{
	if (!text[0])
		return;
	tmk_parts_line(s, label);
	tmk_show_text(s->out, text);
	fputc('\n', s->out);
}

void tmk_parts_point(const struct tmk_show *s, const json_t *point)
{
	const char *label = tmk_parts_string(point, "label");
	char age[32];

	tmk_parts_line(s, "newest point");
	if (!json_is_object(point)) {
		tmk_parts_begin(s, TMK_CRITICAL);
		fputs("none yet", s->out);
		tmk_parts_end(s);
		fputc('\n', s->out);
		return;
	}
	fprintf(s->out, "%s ago, %s-consistent", tmk_show_duration(tmk_parts_number(point, "age_seconds"), age),
		strcmp(tmk_parts_string(point, "kind"), "app") ? "crash" : "app");
	if (label[0]) {
		fputs(", \"", s->out);
		tmk_show_text(s->out, label);
		fputc('"', s->out);
	}
	fputs(" (", s->out);
	tmk_show_text(s->out, tmk_parts_string(point, "time"));
	if (tmk_parts_number(point, "frozen_ms") > 0)
		fprintf(s->out, ", frozen for %.0f ms", tmk_parts_number(point, "frozen_ms"));
	fputs(")\n", s->out);
}

/* ---- the verdict ---- */

static enum tmk_verdict worse(enum tmk_verdict a, enum tmk_verdict b)
{
	return a > b ? a : b;
}

static enum tmk_verdict point_verdict(const json_t *point, const struct tmk_limits *limits)
{
	double age;

	if (!json_is_object(point) || !json_is_number(json_object_get(point, "age_seconds")))
		return TMK_CRITICAL;
	age = tmk_parts_number(point, "age_seconds");
	return age > limits->critical_age ? TMK_CRITICAL : age > limits->warning_age ? TMK_WARNING : TMK_FINE;
}

/* A state that is not known here is no good news. "catching up" alone is ordinary where marks are all there is (eBPF): what is
 * wrong with it, if anything, is in `reason`. */
static enum tmk_verdict state_verdict(const json_t *p)
{
	static const struct {
		const char *state;
		enum tmk_verdict verdict;
	} states[] = {
		/* source */
		{"streaming", TMK_FINE},
		{"catching up", TMK_FINE},
		{"paused", TMK_WARNING},
		{"starting", TMK_WARNING},
		{"disconnected", TMK_WARNING},
		{"fenced", TMK_CRITICAL},
		/* target */
		{"connected", TMK_FINE},
		{"applying", TMK_FINE},
		{"busy", TMK_FINE},
		{"idle", TMK_WARNING},
		{"full", TMK_WARNING},
		{"stalled", TMK_WARNING},
		/* both */
		{"broken", TMK_CRITICAL},
	};
	const char *state = tmk_parts_string(p, "state");

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (!strcmp(state, states[i].state))
			return states[i].verdict;
	return TMK_CRITICAL;
}

enum tmk_verdict tmk_parts_verdict(const json_t *p, const struct tmk_limits *limits)
{
	enum tmk_verdict v = worse(state_verdict(p), point_verdict(json_object_get(p, "point"), limits));
	const json_t *disk, *verify = json_object_get(p, "verify");
	size_t i;

	if (tmk_parts_bytes(verify, "different_bytes") || tmk_parts_bytes(json_object_get(verify, "last"), "different_bytes"))
		v = worse(v, TMK_WARNING);
	if (tmk_parts_string(p, "reason")[0] || tmk_parts_string(p, "note")[0] || tmk_parts_number(p, "unreadable_bytes") > 0 ||
	    json_is_true(json_object_get(p, "first_copy")) || json_is_false(json_object_get(p, "connected")))
		v = worse(v, TMK_WARNING);
	json_array_foreach(json_object_get(p, "disks"), i, disk) if (tmk_parts_string(disk, "doubt")[0]) v =
		worse(v, TMK_WARNING);
	return v;
}

enum tmk_verdict tmk_show_verdict(const json_t *status, const struct tmk_limits *limits)
{
	const json_t *list = json_object_get(status, "protections"), *p;
	enum tmk_verdict v = json_is_array(list) ? TMK_FINE : TMK_CRITICAL;
	size_t i;

	json_array_foreach(list, i, p) v = worse(v, tmk_parts_verdict(p, limits));
	return v;
}

/* ---- points ---- */

static void show_column(const struct tmk_show *s, const char *text, size_t width)
{
	tmk_show_text(s->out, text);
	for (size_t n = strlen(text); n <= width; n++)
		fputc(' ', s->out);
}

void tmk_show_points(const struct tmk_show *s, const json_t *result)
{
	const json_t *list = json_object_get(result, "points"), *p;
	char age[32 + 4];
	size_t i;

	if (!json_array_size(list)) {
		fputs("No points yet.\n", s->out);
		return;
	}
	fprintf(s->out, "%-20s %8s  %-5s  %-20s %-14s %s\n", "PROTECTION", "POINT", "KIND", "CUT", "ARRIVED", "LABEL");
	json_array_foreach(list, i, p)
	{
		show_column(s, tmk_parts_string(p, "protection"), 20);
		fprintf(s->out, "%8" PRIu64 "  %-5s  ", tmk_parts_bytes(p, "number"),
			strcmp(tmk_parts_string(p, "kind"), "app") ? "crash" : "app");
		show_column(s, tmk_parts_string(p, "time"), 20);
		tmk_show_duration(tmk_parts_number(p, "age_seconds"), age);
		strcat(age, " ago");
		show_column(s, age, 14);
		tmk_show_text(s->out, tmk_parts_string(p, "label"));
		fputc('\n', s->out);
	}
}
