/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidemark-target: init, run, seed, and what needs a running one: token, revoke. Exit codes: 0; 1 it failed; 64 it was called
 * wrongly.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "control.h"
#include "log.h"
#include "seed.h"
#include "settings.h"
#include "supervisor.h"
#include "util.h"

#define USAGE 64

static const char usage[] =
	"usage: tidemark-target init DIR\n"
	"       tidemark-target run DIR | --config FILE [--debug]\n"
	"       tidemark-target token [DIR | --config FILE | --control SOCKET] [--uses N] [--for 24h]\n"
	"       tidemark-target revoke HOST|FINGERPRINT [--directory DIR | --config FILE | --control SOCKET]\n"
	"       tidemark-target seed NAME DISK FILE --directory DIR | --config FILE\n"
	"       tidemark-target --help\n";

struct options {
	const char *config, *directory, *control;
	unsigned long uses;
	uint64_t milliseconds;
	bool debug, help;
};

static int complain(const struct tmk_error *err)
{
	fprintf(stderr, "tidemark-target: %s\n", err->text);
	return 1;
}

static int misused(const char *why)
{
	fprintf(stderr, "tidemark-target: %s\n%s", why, usage);
	return USAGE;
}

static int set_uses(const char *text, struct options *o)
{
	char *end;
	errno = 0;
	o->uses = strtoul(text, &end, 10);
	return errno || *end || text[0] < '0' || text[0] > '9' || !o->uses ? misused("--uses takes a number above 0") : 0;
}

static int set_time(const char *text, struct options *o)
{
	if (tmk_conf_duration(text, &o->milliseconds) || o->milliseconds < 1000)
		return misused("--for takes a time such as 90m, 24h or 7d");
	return 0;
}

/* 0, or the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},  {"directory", required_argument, NULL, 'd'},
		{"control", required_argument, NULL, 's'}, {"uses", required_argument, NULL, 'u'},
		{"for", required_argument, NULL, 'f'},	   {"debug", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},	   {NULL, 0, NULL, 0},
	};
	int bad = 0;
	for (int c; !bad && (c = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
		if (c == 'c')
			o->config = optarg;
		else if (c == 'd')
			o->directory = optarg;
		else if (c == 's')
			o->control = optarg;
		else if (c == 'u')
			bad = set_uses(optarg, o);
		else if (c == 'f')
			bad = set_time(optarg, o);
		else if (c == 'v')
			o->debug = true;
		else if (c == 'h')
			o->help = true;
		else
			bad = misused("unknown option"); /* getopt has named it */
	}
	return bad;
}

/* Takes the reference to args. Where the running one listens: as told, else as its settings say, else where it does by default.
 */
static int ask(const struct options *o, const char *verb, json_t *args, json_t **result, struct tmk_error *err)
{
	struct tmk_settings settings = {.control = "/run/tidemark/target.sock"};
	int bad = 0;
	if (!o->control && (o->directory || o->config))
		bad = tmk_settings_read(&settings, o->directory, o->config, err);
	const char *path = o->control ? o->control : settings.control;
	if (!bad)
		bad = tmk_control_ask(path, verb, args, NULL, NULL, result, err);
	json_decref(args);
	if (bad == -ECONNREFUSED || (bad == -ENOENT && !*err->text))
		tmk_error_set(err, bad, "no tidemark-target runs behind %s: start it, or name its directory", path);
	return bad;
}

static int token(struct options *o, const char *directory)
{
	struct tmk_error err = {0};
	json_t *result = NULL;
	if (directory)
		o->directory = directory;
	json_t *args = json_object();
	if (o->uses)
		json_object_set_new(args, "uses", json_integer((json_int_t)o->uses));
	if (o->milliseconds)
		json_object_set_new(args, "seconds", json_integer((json_int_t)(o->milliseconds / 1000)));
	if (ask(o, "token", args, &result, &err))
		return complain(&err);
	const char *text = json_string_value(json_object_get(result, "token"));
	puts(text ? text : "");
	json_decref(result);
	return text ? 0 : 1;
}

static int revoke_all(const struct options *o, const char *who)
{
	struct tmk_error err = {0};
	json_t *result = NULL;
	if (ask(o, "revoke", json_pack("{s:s}", "name", who), &result, &err))
		return complain(&err);
	json_decref(result);
	return 0;
}

static int init(const char *directory)
{
	struct tmk_error err = {0};
	if (tmk_settings_init(directory, &err))
		return complain(&err);
	printf("%s is ready. Next: tidemark-target run %s\n", directory, directory);
	return 0;
}

static void show_progress(uint64_t done, uint64_t total, void *context)
{
	char is[32], whole[32];
	(void)context;
	fprintf(stderr, "\r%s of %s copied, %u %%  %s", tmk_human(done, is), tmk_human(total, whole),
		(unsigned)(done * 100 / total), done == total ? "\n" : "");
}

static int seed(const struct options *o, const char *name, const char *disk, const char *file)
{
	static const char *const done[] = {
		[TMK_SEED_MOVED] = "moved to", [TMK_SEED_COPIED] = "copied to", [TMK_SEED_LINKED] = "linked from"};
	struct tmk_error err = {0};
	struct tmk_settings settings;
	char *end;
	unsigned long number = strtoul(disk, &end, 10);
	if (*end || disk[0] < '0' || disk[0] > '9' || number > 31)
		return misused("DISK is the disk's number in its protection, from 0 to 31");
	if (!o->directory && !o->config)
		return misused("seed needs --directory or --config");
	if (tmk_settings_read(&settings, o->directory, o->config, &err))
		return complain(&err);
	const struct tmk_seed wish = {.directory = settings.directory,
				      .name = name,
				      .disk = (unsigned)number,
				      .file = file,
				      .progress = isatty(STDERR_FILENO) ? show_progress : NULL};
	int how = tmk_seed(&wish, &err);
	if (how < 0)
		return complain(&err);
	printf("%s was %s %s/devices/%s/disk-%lu.raw. Next: protect %s on its source; only what differs goes over\n", file,
	       done[how], settings.directory, name, number, name);
	return 0;
}

static int run(struct options *o, const char *directory)
{
	struct tmk_error err = {0};
	struct tmk_settings settings;
	if (!directory)
		directory = o->directory;
	if (!directory && !o->config)
		return misused("run needs a directory or --config");
	if (tmk_settings_read(&settings, directory, o->config, &err))
		return complain(&err);
	tmk_log_open("tidemark-target", o->debug ? TMK_LOG_DEBUG : TMK_LOG_INFO);
	return tmk_supervisor_run(&settings, &err) ? complain(&err) : 0;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	int bad = parse(argc, argv, &o);
	if (bad)
		return bad;
	if (o.help) {
		fputs(usage, stdout);
		return 0;
	}
	int count = argc - optind;
	const char *verb = count ? argv[optind] : NULL, *operand = count > 1 ? argv[optind + 1] : NULL;
	if (!verb)
		return misused("no verb");
	if (!strcmp(verb, "seed"))
		return count == 4 ? seed(&o, operand, argv[optind + 2], argv[optind + 3])
				  : misused("seed needs the protection's name, the disk's number, and the file");
	if (count > 2)
		return misused("too many arguments");
	if (!strcmp(verb, "init"))
		return operand ? init(operand) : misused("init needs a directory");
	if (!strcmp(verb, "run"))
		return run(&o, operand);
	if (!strcmp(verb, "token"))
		return token(&o, operand);
	if (!strcmp(verb, "revoke"))
		return operand ? revoke_all(&o, operand) : misused("revoke needs a host or a fingerprint");
	return misused("unknown verb");
}
