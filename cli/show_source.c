/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The status of the protected server, for people. */
#include <string.h>

#include "show_parts.h"
#include "util.h"

static void show_disks(const struct tmk_show *s, const json_t *p)
{
	const json_t *disk;
	char size[32];
	size_t i;

	json_array_foreach(json_object_get(p, "disks"), i, disk)
	{
		const char *doubt = tmk_parts_string(disk, "doubt");

		tmk_parts_line(s, i ? "" : "disks");
		tmk_show_text(s->out, tmk_parts_string(disk, "path"));
		fprintf(s->out, "  %s", tmk_human(tmk_parts_bytes(disk, "size"), size));
		if (doubt[0]) {
			fputs("  ", s->out);
			tmk_parts_begin(s, TMK_WARNING);
			fputs("doubtful: ", s->out);
			tmk_show_text(s->out, doubt);
			tmk_parts_end(s);
		}
		fputc('\n', s->out);
	}
}

static void show_first_copy(const struct tmk_show *s, const json_t *p)
{
	const json_t *eta = json_object_get(p, "eta_seconds");
	char rate[32], left[32];

	if (!json_is_true(json_object_get(p, "first_copy")))
		return;
	tmk_parts_line(s, "first copy");
	if (!tmk_parts_bytes(p, "total_bytes")) {
		fputs("has not begun\n", s->out);
		return;
	}
	tmk_parts_amount(s->out, tmk_parts_bytes(p, "copied_bytes"), tmk_parts_bytes(p, "total_bytes"), tmk_parts_cells(s));
	fprintf(s->out, "  %s/s", tmk_human((uint64_t)tmk_parts_number(p, "rate_bytes_per_second"), rate));
	if (json_is_number(eta))
		fprintf(s->out, "  %s left", tmk_show_duration(json_number_value(eta), left));
	fputc('\n', s->out);
}

static void show_lag(const struct tmk_show *s, const json_t *p)
{
	const json_t *latest = json_object_get(p, "latest_seconds");
	char age[32], bytes[32];

	tmk_parts_line(s, "lag");
	fprintf(s->out, "%s, %s\n", tmk_show_duration(tmk_parts_number(p, "lag_seconds"), age),
		tmk_human(tmk_parts_bytes(p, "lag_bytes"), bytes));
	if (!json_is_number(latest))
		return;
	tmk_parts_line(s, "latest");
	fprintf(s->out, "what the target has is %s old\n", tmk_show_duration(json_number_value(latest), age));
}

static void show_sent(const struct tmk_show *s, const json_t *p)
{
	uint64_t disk = tmk_parts_bytes(p, "sent_disk_bytes"), wire = tmk_parts_bytes(p, "sent_wire_bytes");
	uint64_t coalesced = tmk_parts_bytes(p, "coalesced_bytes");
	char a[32], b[32];

	if (!disk)
		return;
	tmk_parts_line(s, "sent");
	fprintf(s->out, "%s of disk as %s", tmk_human(disk, a), tmk_human(wire, b));
	if (wire)
		fprintf(s->out, " (%.1f : 1)", (double)disk / (double)wire);
	if (coalesced)
		fprintf(s->out, ", %s overwritten before they were sent", tmk_human(coalesced, a));
	fputc('\n', s->out);
}

static void show_unreadable(const struct tmk_show *s, const json_t *p)
{
	char size[32];

	if (!tmk_parts_bytes(p, "unreadable_bytes"))
		return;
	tmk_parts_line(s, "unreadable");
	tmk_parts_begin(s, TMK_WARNING);
	fprintf(s->out, "%s cannot be read and are not in the replica", tmk_human(tmk_parts_bytes(p, "unreadable_bytes"), size));
	tmk_parts_end(s);
	fputc('\n', s->out);
}

/* A verify that somebody asked for, or what the last one found. */
static void show_verify(const struct tmk_show *s, const json_t *p)
{
	const json_t *v = json_object_get(p, "verify"), *last = json_object_get(v, "last");
	uint64_t different = tmk_parts_bytes(v, "different_bytes") + tmk_parts_bytes(last, "different_bytes");
	bool running = json_is_true(json_object_get(v, "running"));
	char size[32];

	if (!running && !different)
		return;
	tmk_parts_line(s, "verify");
	if (running) {
		tmk_parts_amount(s->out, tmk_parts_bytes(v, "done_bytes"), tmk_parts_bytes(v, "total_bytes"), tmk_parts_cells(s));
		fputs(different ? "  " : "", s->out);
	}
	if (different) {
		tmk_parts_begin(s, TMK_WARNING);
		fprintf(s->out, "the replica differed in %s; sent again", tmk_human(different, size));
		tmk_parts_end(s);
	}
	fputc('\n', s->out);
}

static void show_protection(const struct tmk_show *s, const json_t *p, const struct tmk_limits *limits)
{
	const char *state = tmk_parts_string(p, "state");

	tmk_show_text(s->out, tmk_parts_string(p, "name"));
	fputs("  ", s->out);
	tmk_parts_begin(s, tmk_parts_verdict(p, limits));
	tmk_show_text(s->out, state);
	tmk_parts_end(s);
	fputc('\n', s->out);
	tmk_parts_words(s, "reason", tmk_parts_string(p, "reason"));
	if (strcmp(state, "broken")) {
		show_disks(s, p);
		show_first_copy(s, p);
		show_lag(s, p);
		show_sent(s, p);
		show_unreadable(s, p);
		show_verify(s, p);
	}
	tmk_parts_point(s, json_object_get(p, "point"));
	tmk_parts_words(s, "target says", tmk_parts_string(p, "note"));
}

void tmk_show_source(const struct tmk_show *s, const json_t *status, const struct tmk_limits *limits)
{
	const json_t *target = json_object_get(status, "target"), *list = json_object_get(status, "protections"), *p;
	size_t i;

	if (json_is_object(target)) {
		fputs("This server is protected by ", s->out);
		tmk_show_text(s->out, tmk_parts_string(target, "host"));
		fprintf(s->out, ":%llu.\n", (unsigned long long)tmk_parts_bytes(target, "port"));
	} else {
		fputs("This server has not joined a target.\n", s->out);
		tmk_parts_words(s, "next", "tidemark join HOST TOKEN    (TOKEN: tidemark token, on the target)");
	}
	if (json_is_object(target) && !json_array_size(list))
		tmk_parts_words(s, "next", "tidemark protect NAME DISK...");
	json_array_foreach(list, i, p)
	{
		fputc('\n', s->out);
		show_protection(s, p, limits);
	}
}
