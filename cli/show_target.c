/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The status of the target, for people; and the choice between both kinds. */
#include <inttypes.h>
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
		tmk_parts_line(s, i ? "" : "disks");
		fprintf(s->out, "%" PRIu64 ": ", tmk_parts_bytes(disk, "number"));
		tmk_show_text(s->out, tmk_parts_string(disk, "name"));
		fprintf(s->out, "  %s\n", tmk_human(tmk_parts_bytes(disk, "size"), size));
	}
}

static void show_protection(const struct tmk_show *s, const json_t *p, const struct tmk_limits *limits)
{
	const char *host = tmk_parts_string(p, "host");
	char size[32];

	tmk_show_text(s->out, tmk_parts_string(p, "name"));
	if (host[0]) {
		fputs(" of ", s->out);
		tmk_show_text(s->out, host);
	}
	fputs("  ", s->out);
	tmk_parts_begin(s, tmk_parts_verdict(p, limits));
	tmk_show_text(s->out, tmk_parts_string(p, "state"));
	tmk_parts_end(s);
	fputc('\n', s->out);
	tmk_parts_words(s, "reason", tmk_parts_string(p, "reason"));
	show_disks(s, p);
	tmk_parts_line(s, "chunks");
	fprintf(s->out, "durable %" PRIu64 ", applied %" PRIu64 ", journal %s\n", tmk_parts_bytes(p, "durable_chunk"),
		tmk_parts_bytes(p, "applied_chunk"), tmk_human(tmk_parts_bytes(p, "journal_bytes"), size));
	tmk_parts_point(s, json_object_get(p, "point"));
}

void tmk_show_target(const struct tmk_show *s, const json_t *status, const struct tmk_limits *limits)
{
	const json_t *list = json_object_get(status, "protections"), *p;
	size_t i;

	fputs("This machine is a target; it keeps replicas in ", s->out);
	tmk_show_text(s->out, tmk_parts_string(status, "directory"));
	fputs(".\n", s->out);
	if (!json_array_size(list))
		tmk_parts_words(s, "next", "tidemark token    then, on the server: tidemark join, tidemark protect");
	json_array_foreach(list, i, p)
	{
		fputc('\n', s->out);
		show_protection(s, p, limits);
	}
}

void tmk_show_status(const struct tmk_show *s, const json_t *status, const struct tmk_limits *limits)
{
	if (!strcmp(tmk_parts_string(status, "role"), "target"))
		tmk_show_target(s, status, limits);
	else
		tmk_show_source(s, status, limits);
}
