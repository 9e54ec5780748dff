/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See watch.h. With neither --at nor --socket both daemons are looked for; text shows all that answer, --json wants to know
 * which one if there are two, so that its shape does not depend on the machine.
 */
#include "watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NO_DAEMON = 3, FAILED = 1, USAGE = 64 };

void tmk_watch_json(FILE *out, int rc, const json_t *result, const struct tmk_error *err)
{
	const char *name = strerrorname_np(err && err->code ? -err->code : -rc);
	json_t *body = NULL;
	char *text;

	if (rc)
		body = json_pack("{s:{s:s, s:s}}", "error", "code", name ? name : "EIO", "text", err->text);
	text = json_dumps(rc ? body : result, JSON_COMPACT);
	fprintf(out, "%s\n", text ? text : "{\"error\": {\"code\": \"ENOMEM\", \"text\": \"out of memory\"}}");
	free(text);
	json_decref(body);
	fflush(out);
}

struct answer {
	int rc;
	bool absent;
	json_t *status;
	struct tmk_error err;
};

static struct answer fetch(const struct tmk_options *o, enum tmk_side side)
{
	struct tmk_ask ask = {.socket = o->socket};
	struct answer a = {0};
	json_t *args = o->count ? json_pack("{s:s}", "name", o->words[0]) : json_object();

	a.rc = tmk_ask(&ask, side, "status", args, &a.status, &a.absent, &a.err);
	json_decref(args);
	return a;
}

static int show_one(const struct tmk_options *o, const struct tmk_show *s, const struct answer *a)
{
	if (o->json)
		tmk_watch_json(s->out, a->rc, a->status, &a->err);
	else if (!a->rc)
		tmk_show_status(s, a->status, &o->limits);
	else
		fprintf(o->given & TMK_OPT_WATCH ? s->out : stderr, "tidemark: %s\n", a->err.text);
	if (a->rc)
		return a->absent ? NO_DAEMON : FAILED;
	return (int)tmk_show_verdict(a->status, &o->limits);
}

/* A name that only one of them knows is shown by that one. */
static int show_both(const struct tmk_options *o, const struct tmk_show *s, const struct answer *source,
		     const struct answer *target)
{
	int a, b;

	if (o->json) {
		fputs("tidemark: both daemons run here; say --at source or --at target\n", stderr);
		return USAGE;
	}
	if (source->rc == -ENOENT || target->rc == -ENOENT)
		return show_one(o, s, source->rc == -ENOENT && target->rc != -ENOENT ? target : source);
	a = show_one(o, s, source);
	fputc('\n', s->out);
	b = show_one(o, s, target);
	return a > b ? a : b;
}

static int show_once(const struct tmk_options *o, const struct tmk_show *s)
{
	enum tmk_side side = o->at ? (enum tmk_side)o->at : TMK_SOURCE;
	struct tmk_ask ask = {.socket = o->socket};
	struct answer first = fetch(o, side), second = {.absent = true};
	int code;

	if (!o->socket && !o->at)
		second = fetch(o, TMK_TARGET);
	if (first.absent && second.absent)
		tmk_ask_absent(&ask, side, "status", &first.err);
	if (!first.absent && !second.absent)
		code = show_both(o, s, &first, &second);
	else
		code = show_one(o, s, second.absent ? &first : &second);
	json_decref(first.status);
	json_decref(second.status);
	return code;
}

/* Drawn into memory and written at once, over what is there, so that it does not flicker. */
static void draw(const struct tmk_options *o, const struct tmk_show *s)
{
	char *text = NULL;
	size_t size = 0;
	struct tmk_show page = *s;

	page.out = open_memstream(&text, &size);
	if (!page.out)
		return;
	show_once(o, &page);
	if (fclose(page.out)) {
		free(text);
		return;
	}
	if (s->colour)
		fputs("\033[H", s->out);
	for (char *line = text, *end; s->colour && (end = strchr(line, '\n')); line = end + 1)
		fprintf(s->out, "%.*s\033[K\n", (int)(end - line), line);
	fputs(s->colour ? "\033[J" : text, s->out);
	if (!s->colour && !o->json)
		fputc('\n', s->out);
	fflush(s->out);
	free(text);
}

int tmk_watch_status(const struct tmk_options *o, const struct tmk_show *s)
{
	struct tmk_show page = *s;

	if (!(o->given & TMK_OPT_WATCH))
		return show_once(o, s);
	page.colour = s->colour && !o->json;
	if (page.colour)
		fputs("\033[H\033[2J", s->out);
	for (;;) {
		draw(o, &page);
		if (ferror(s->out))
			return FAILED;
		sleep(1);
	}
}
