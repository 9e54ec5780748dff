/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidemark: the command that people use. Makes a request of its words, asks the daemon that the verb belongs to, shows the
 * answer. Knows nothing else: what is right and possible is decided by the daemons.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "message.h"
#include "options.h"
#include "report.h"
#include "util.h"
#include "watch.h"

enum { FAILED = 1, NO_DAEMON = 3, USAGE = 64 };

struct verb {
	const char *name;
	enum tmk_side side;
	int least, most; /* words behind it */
	unsigned options;
	const char *usage;
	/* New arguments, or NULL after it said why. */
	json_t *(*args)(const struct tmk_options *o);
	void (*show)(const struct tmk_options *o, const struct tmk_show *s, const json_t *result);
};

static json_t *complain(const char *text)
{
	fprintf(stderr, "tidemark: %s\n", text);
	return NULL;
}

static json_t *pack(json_t *args)
{
	return args ? args : complain("an argument is not valid UTF-8");
}

/* ---- arguments ---- */

/* The first line of a file, "-" is standard input: a token on the command line can be seen by others in ps. */
static char *read_token(const char *path)
{
	struct tmk_error err = {0};
	char *text = NULL;

	if (tmk_read_file(strcmp(path, "-") ? path : "/dev/stdin", 4096, &text, &err)) {
		fprintf(stderr, "tidemark: %s\n", err.text);
		return NULL;
	}
	text[strcspn(text, "\r\n")] = '\0';
	return text;
}

static json_t *join_args(const struct tmk_options *o)
{
	char *token;
	json_t *args;

	if (!!o->token_file == (o->count == 2))
		return complain(
			"join needs a token, or --token-file FILE, and not both; tidemark token, on the target, makes one");
	token = o->token_file ? read_token(o->token_file) : strdup(o->words[1]);
	if (!token)
		return NULL;
	args = json_pack("{s:s, s:s, s:b}", "target", o->words[0], "token", token, "again", !!(o->given & TMK_OPT_AGAIN));
	free(token);
	return pack(args);
}

/* The daemon's working directory is not this one. Links stay as they are: by-id names are meant to be kept. */
static json_t *absolute(const char *path)
{
	char here[PATH_MAX];

	if (path[0] == '/')
		return json_string(path);
	if (!getcwd(here, sizeof(here)))
		return NULL;
	return json_sprintf("%s/%s", strcmp(here, "/") ? here : "", path);
}

static json_t *protect_args(const struct tmk_options *o)
{
	json_t *disks = json_array();

	for (int i = 1; i < o->count; i++)
		if (json_array_append_new(disks, absolute(o->words[i]))) {
			json_decref(disks);
			return complain("a path is not valid UTF-8, or the working directory is gone");
		}
	return pack(
		json_pack("{s:s, s:s, s:o}", "name", o->words[0], "tracker", o->tracker ? o->tracker : "any", "disks", disks));
}

static json_t *name_args(const struct tmk_options *o)
{
	return pack(o->count ? json_pack("{s:s}", "name", o->words[0]) : json_object());
}

static json_t *mark_args(const struct tmk_options *o)
{
	return pack(json_pack("{s:s, s:b, s:s, s:b}", "name", o->words[0], "app", !!(o->given & TMK_OPT_APP), "label",
			      o->label ? o->label : "", "wait", !!(o->given & TMK_OPT_WAIT)));
}

static json_t *verify_args(const struct tmk_options *o)
{
	if (o->given & TMK_OPT_CANCEL && o->given & ~TMK_OPT_CANCEL)
		return complain("--cancel ends the verify that is under way; it goes with no other option");
	return pack(json_pack("{s:s, s:b, s:b, s:I}", "name", o->words[0], "wait", !!(o->given & TMK_OPT_WAIT), "cancel",
			      !!(o->given & TMK_OPT_CANCEL), "rate", (json_int_t)o->rate));
}

/* NAME[@POINT]: a name has no '@'. New arguments with one or both, or NULL. */
static json_t *split_point(const char *text)
{
	const char *at = strchr(text, '@');
	size_t length = at ? (size_t)(at - text) : strlen(text);
	json_t *args;

	if (at && !at[1])
		return complain("NAME@POINT: the point is missing; tidemark points NAME lists them");
	args = pack(json_pack("{s:s%}", "name", text, length));
	if (args && at && json_object_set_new(args, "point", json_string(at + 1))) {
		json_decref(args);
		return pack(NULL);
	}
	return args;
}

static json_t *export_args(const struct tmk_options *o)
{
	json_t *args =
		o->to ? split_point(o->words[0])
		      : complain("export needs --to PATH: a file that does not exist yet (a directory, if there are several "
				 "disks)");

	if (!args)
		return NULL;
	if (json_object_set_new(args, "to", absolute(o->to)) || json_object_set_new(args, "disk", json_integer(o->disk)) ||
	    json_object_set_new(args, "format", json_string(o->format ? o->format : "raw"))) {
		json_decref(args);
		return pack(NULL);
	}
	return args;
}

/* What cannot be taken back is done with --now only; the target says so. */
static json_t *now_args(const struct tmk_options *o)
{
	json_t *args = split_point(o->words[0]);

	if (args && json_object_set_new(args, "now", json_boolean(o->given & TMK_OPT_NOW))) {
		json_decref(args);
		return pack(NULL);
	}
	return args;
}

static json_t *token_args(const struct tmk_options *o)
{
	return pack(json_pack("{s:I, s:I}", "uses", (json_int_t)o->uses, "seconds", (json_int_t)o->lifetime));
}

/* ---- answers ---- */

static const char *field(const json_t *result, const char *key)
{
	const char *text = json_string_value(json_object_get(result, key));

	return text ? text : "";
}

static void show_join(const struct tmk_options *o, const struct tmk_show *s, const json_t *result)
{
	(void)o;
	fputs("Joined ", s->out);
	tmk_show_text(s->out, field(result, "host"));
	fprintf(s->out, ":%lld. Next: tidemark protect NAME DISK...\n",
		(long long)json_integer_value(json_object_get(result, "port")));
}

static void show_protect(const struct tmk_options *o, const struct tmk_show *s, const json_t *result)
{
	size_t disks = json_array_size(json_object_get(result, "disks"));

	bool module = !strcmp(field(result, "tracker"), "module");

	fprintf(s->out, "Protecting '%s', %zu disk%s, tracked by %s. The first copy runs: tidemark status --watch\n", o->words[0],
		disks, disks == 1 ? "" : "s", module ? "the kernel module" : "eBPF");
}

static void show_unprotect(const struct tmk_options *o, const struct tmk_show *s, const json_t *result)
{
	const char *target = field(result, "target");

	fprintf(s->out, "'%s' is no longer protected. The target keeps its replica and points.\n", o->words[0]);
	fprintf(s->out, o->given & TMK_OPT_DELETE ? "Only the target may delete them (a broken-in server must not): run there"
						  : "If they are not wanted, run there");
	fputs(target[0] ? ", on " : "", s->out);
	tmk_show_text(s->out, target);
	fprintf(s->out, ":  tidemark delete %s\n", o->words[0]);
}

static void show_pause(const struct tmk_options *o, const struct tmk_show *s, const json_t *result)
{
	if (json_is_true(json_object_get(result, "paused")))
		fprintf(s->out, "'%s' is paused: writes are still tracked, nothing is sent.\n", o->words[0]);
	else
		fprintf(s->out, "'%s' is sent again.\n", o->words[0]);
}

static void show_mark(const struct tmk_options *o, const struct tmk_show *s, const json_t *result)
{
	fprintf(s->out,
		json_is_true(json_object_get(result, "durable")) ? "Point of '%s' is durable at the target: "
								 : "Point of '%s' asked for: ",
		o->words[0]);
	tmk_show_text(s->out, field(result, "id"));
	fputc('\n', s->out);
}

static void show_verify(const struct tmk_options *o, const struct tmk_show *s, const json_t *result)
{
	uint64_t different = (uint64_t)json_integer_value(json_object_get(result, "different_bytes"));
	uint64_t skipped = (uint64_t)json_integer_value(json_object_get(result, "skipped_bytes"));
	char size[32];

	if (json_is_true(json_object_get(result, "cancelled"))) {
		fprintf(s->out, "The verify of '%s' ends here.\n", o->words[0]);
		return;
	}
	if (!json_is_true(json_object_get(result, "ended"))) {
		fprintf(s->out, "Verifying '%s': tidemark status shows how far it is.\n", o->words[0]);
		return;
	}
	if (different)
		fprintf(s->out, "The replica of '%s' differed in %s; they are sent again.", o->words[0],
			tmk_human(different, size));
	else
		fprintf(s->out, "The replica of '%s' is what the disks are.", o->words[0]);
	if (skipped)
		fprintf(s->out, " %s were written meanwhile, and were sent, not compared.", tmk_human(skipped, size));
	fputc('\n', s->out);
}

static void show_points(const struct tmk_options *o, const struct tmk_show *s, const json_t *result)
{
	(void)o;
	tmk_show_points(s, result);
}

static void show_export(const struct tmk_options *o, const struct tmk_show *s, const json_t *result)
{
	char size[32];

	(void)o;
	fprintf(s->out, "Exported point %lld, %s, to ", (long long)json_integer_value(json_object_get(result, "number")),
		tmk_human((uint64_t)json_integer_value(json_object_get(result, "bytes")), size));
	tmk_show_text(s->out, field(result, "to"));
	fputs("; the copy was compared.\n", s->out);
}

static void show_drop(const struct tmk_options *o, const struct tmk_show *s, const json_t *result)
{
	(void)o;
	fputs(json_is_true(json_object_get(result, "restarted"))
		      ? "Dropped. The protection starts over: its source copies everything again.\n"
		      : "Dropped. There is no point until the next mark.\n",
	      s->out);
}

static void show_delete(const struct tmk_options *o, const struct tmk_show *s, const json_t *result)
{
	const char *kept = field(result, "kept");

	fprintf(s->out, "'%s' is deleted.", o->words[0]);
	if (kept[0]) {
		fputs(" Its files are kept in ", s->out);
		tmk_show_text(s->out, kept);
		fputc('.', s->out);
	}
	fputc('\n', s->out);
}

/* The token alone on its line, for scripts that take the first one. */
static void show_token(const struct tmk_options *o, const struct tmk_show *s, const json_t *result)
{
	tmk_show_text(s->out, field(result, "token"));
	fprintf(s->out, "\nGood for %u server%s until ", o->uses, o->uses == 1 ? "" : "s");
	tmk_show_text(s->out, field(result, "expires"));
	fputs(". There:  tidemark join HOST TOKEN\n", s->out);
}

static void show_revoke(const struct tmk_options *o, const struct tmk_show *s, const json_t *result)
{
	(void)result;
	fprintf(s->out, "The certificate of '%s' counts no more.\n", o->words[0]);
}

static const struct verb verbs[] = {
	{"join", TMK_SOURCE, 1, 2, TMK_OPT_AGAIN | TMK_OPT_TOKEN_FILE, "join HOST[:PORT] TOKEN | --token-file FILE [--again]",
	 join_args, show_join},
	{"protect", TMK_SOURCE, 2, 33, TMK_OPT_TRACKER, "protect NAME DISK... [--tracker module|ebpf]", protect_args,
	 show_protect},
	{"unprotect", TMK_SOURCE, 1, 1, TMK_OPT_DELETE, "unprotect NAME [--delete]", name_args, show_unprotect},
	{"pause", TMK_SOURCE, 1, 1, 0, "pause NAME", name_args, show_pause},
	{"resume", TMK_SOURCE, 1, 1, 0, "resume NAME", name_args, show_pause},
	{"mark", TMK_SOURCE, 1, 1, TMK_OPT_APP | TMK_OPT_LABEL | TMK_OPT_WAIT, "mark NAME [--app] [--label TEXT] [--wait]",
	 mark_args, show_mark},
	{"verify", TMK_SOURCE, 1, 1, TMK_OPT_WAIT | TMK_OPT_RATE | TMK_OPT_CANCEL,
	 "verify NAME [--wait] [--rate BYTES] | --cancel", verify_args, show_verify},
	{"token", TMK_TARGET, 0, 0, TMK_OPT_USES | TMK_OPT_FOR, "token [--uses NUMBER] [--for 24h]", token_args, show_token},
	{"revoke", TMK_TARGET, 1, 1, 0, "revoke HOST", name_args, show_revoke},
	{"points", TMK_TARGET, 0, 1, 0, "points [NAME]", name_args, show_points},
	{"export", TMK_TARGET, 1, 1, TMK_OPT_FORMAT | TMK_OPT_TO | TMK_OPT_DISK,
	 "export NAME[@POINT] --to PATH [--disk NUMBER] [--format raw]", export_args, show_export},
	{"drop", TMK_TARGET, 1, 1, TMK_OPT_NOW, "drop NAME[@POINT] --now", now_args, show_drop},
	{"delete", TMK_TARGET, 1, 1, TMK_OPT_NOW, "delete NAME [--now]", now_args, show_delete},
	{"status", 0, 0, 1, TMK_OPT_WATCH | TMK_OPT_AGES, "status [NAME] [--watch] [--warning-age T] [--critical-age T]", NULL,
	 NULL},
	{"report", 0, 0, 0, 0, "report", NULL, NULL},
};

/* ---- running ---- */

static struct tmk_show terminal(FILE *out)
{
	const char *kind = getenv("TERM"), *columns = getenv("COLUMNS");
	struct winsize size;
	struct tmk_show s = {.out = out, .width = 80};
	int fd = fileno(out);

	s.colour = isatty(fd) && kind && strcmp(kind, "dumb") && !getenv("NO_COLOR");
	if (columns && atoi(columns) >= 40)
		s.width = (unsigned)atoi(columns);
	else if (!ioctl(fd, TIOCGWINSZ, &size) && size.ws_col >= 40)
		s.width = size.ws_col;
	return s;
}

struct progress {
	struct tmk_show show;
	const char *verb;
};

static void show_progress(json_t *body, void *context)
{
	struct progress *p = context;
	json_int_t done, total;

	if (!json_unpack(body, "{s:I, s:I}", "done", &done, "total", &total) && done >= 0 && total >= 0)
		tmk_show_progress(&p->show, p->verb, (uint64_t)done, (uint64_t)total);
}

/* As of cmp(1): what was asked for is done, and its answer is no. */
static bool unequal(const json_t *result)
{
	return json_integer_value(json_object_get(result, "different_bytes")) > 0;
}

static int finish(const struct tmk_options *o, const struct verb *v, int rc, json_t *result, bool absent,
		  const struct tmk_error *err)
{
	struct tmk_show s = terminal(stdout);
	bool no = !rc && unequal(result);

	if (o->json)
		tmk_watch_json(stdout, rc, result, err);
	else if (!rc)
		v->show(o, &s, result);
	else
		fprintf(stderr, "tidemark: %s\n", err->text);
	json_decref(result);
	return !rc && !no ? 0 : absent ? NO_DAEMON : FAILED;
}

static int run(const struct tmk_options *o, const struct verb *v)
{
	struct progress progress = {terminal(stderr), v->name};
	bool long_one = v->show == show_export || (v->show == show_verify && o->given & TMK_OPT_WAIT);
	bool draw = !o->json && long_one && isatty(STDERR_FILENO);
	struct tmk_ask ask = {.socket = o->socket, .progress = draw ? show_progress : NULL, .context = &progress};
	struct tmk_error err = {0};
	json_t *args = v->args(o), *result = NULL;
	bool absent = false;
	int rc;

	if (!args)
		return USAGE;
	rc = tmk_ask(&ask, v->side, v->name, args, &result, &absent, &err);
	json_decref(args);
	if (absent)
		tmk_ask_absent(&ask, v->side, v->name, &err);
	if (draw)
		fputc('\n', stderr);
	return finish(o, v, rc, result, absent, &err);
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(name, verbs[i].name))
			return &verbs[i];
	return NULL;
}

static bool fits(const struct tmk_options *o, const struct verb *v)
{
	if (!v) {
		fprintf(stderr, "tidemark: there is no verb '%s'; tidemark --help shows what there is\n", o->verb);
		return false;
	}
	if (v->side && o->at && (int)v->side != o->at) {
		fprintf(stderr, "tidemark: '%s' belongs to the %s; run it there, without --at\n", v->name,
			v->side == TMK_SOURCE ? "source (the protected server)" : "target");
		return false;
	}
	if (o->count < v->least || o->count > v->most || o->given & ~v->options) {
		fprintf(stderr, "usage: tidemark %s\n", v->usage);
		return false;
	}
	if (o->count && (v->side == TMK_SOURCE || !v->side) && strcmp(v->name, "join") && !tmk_name_valid(o->words[0])) {
		fprintf(stderr, "tidemark: '%s' is not a valid name of a protection\n", o->words[0]);
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct tmk_options o;
	const struct verb *v;
	struct tmk_show s;

	if (!tmk_options_parse(&o, argc, argv))
		return USAGE;
	if (o.help) {
		tmk_options_usage(true);
		return 0;
	}
	v = find_verb(o.verb);
	if (!fits(&o, v))
		return USAGE;
	if (v->args)
		return run(&o, v);
	if (!strcmp(v->name, "report"))
		return tmk_report(stdout, "", o.socket);
	s = terminal(stdout);
	return tmk_watch_status(&o, &s);
}
