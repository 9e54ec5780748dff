/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See options.h. */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"

/* Values of long options: the bit of an option of some verbs, or one of these. */
enum { JSON = 1 << 20, SOCKET, AT, HELP, WARNING_AGE, CRITICAL_AGE };

static const struct option longs[] = {
	{"json", no_argument, NULL, JSON},
	{"socket", required_argument, NULL, SOCKET},
	{"at", required_argument, NULL, AT},
	{"help", no_argument, NULL, HELP},
	{"app", no_argument, NULL, TMK_OPT_APP},
	{"label", required_argument, NULL, TMK_OPT_LABEL},
	{"wait", no_argument, NULL, TMK_OPT_WAIT},
	{"watch", no_argument, NULL, TMK_OPT_WATCH},
	{"again", no_argument, NULL, TMK_OPT_AGAIN},
	{"token-file", required_argument, NULL, TMK_OPT_TOKEN_FILE},
	{"format", required_argument, NULL, TMK_OPT_FORMAT},
	{"to", required_argument, NULL, TMK_OPT_TO},
	{"disk", required_argument, NULL, TMK_OPT_DISK},
	{"warning-age", required_argument, NULL, WARNING_AGE},
	{"critical-age", required_argument, NULL, CRITICAL_AGE},
	{"delete", no_argument, NULL, TMK_OPT_DELETE},
	{"now", no_argument, NULL, TMK_OPT_NOW},
	{"uses", required_argument, NULL, TMK_OPT_USES},
	{"for", required_argument, NULL, TMK_OPT_FOR},
	{"rate", required_argument, NULL, TMK_OPT_RATE},
	{"cancel", no_argument, NULL, TMK_OPT_CANCEL},
	{"tracker", required_argument, NULL, TMK_OPT_TRACKER},
	{NULL, 0, NULL, 0},
};

void tmk_options_usage(bool ask_for_help)
{
	fputs("usage: tidemark [--json] [--at source|target] [--socket PATH] [VERB ...]\n"
	      "\n"
	      "on the protected server:\n"
	      "  join HOST[:PORT] TOKEN | --token-file FILE   [--again]\n"
	      "  protect NAME DISK... [--tracker module|ebpf]\n"
	      "  unprotect NAME [--delete]\n"
	      "  pause NAME, resume NAME\n"
	      "  mark NAME [--app] [--label TEXT] [--wait]\n"
	      "  verify NAME [--wait] [--rate BYTES] | --cancel\n"
	      "on the target (it is made by: tidemark-target init DIR):\n"
	      "  token [--uses NUMBER] [--for 24h], revoke HOST\n"
	      "  points [NAME]\n"
	      "  export NAME[@POINT] --to PATH [--disk NUMBER] [--format raw]\n"
	      "  drop NAME[@POINT] --now\n"
	      "  delete NAME [--now]\n"
	      "on both:\n"
	      "  status [NAME] [--watch] [--warning-age 5m] [--critical-age 1h]   (also without any verb)\n"
	      "  report   (for a bug report: what this machine's tracker and daemons know)\n"
	      "\n"
	      "Exit codes: 0 done, 1 failed, 3 no daemon, 64 usage. Of status: 0 fine, 1 warning, 2 critical, 3 no daemon.\n",
	      ask_for_help ? stdout : stderr);
}

static bool wrong(const char *option, const char *value, const char *want)
{
	fprintf(stderr, "tidemark: --%s %s: %s\n", option, value, want);
	return false;
}

static bool take_at(struct tmk_options *o, const char *value)
{
	if (strcmp(value, "source") && strcmp(value, "target"))
		return wrong("at", value, "must be source or target");
	o->at = strcmp(value, "source") ? TMK_TARGET : TMK_SOURCE;
	return true;
}

static bool take_age(struct tmk_options *o, double *age, const char *option, const char *value)
{
	uint64_t ms;

	if (tmk_conf_duration(value, &ms))
		return wrong(option, value, "must be a duration such as 90s, 15m, 1h, 2d");
	*age = (double)ms / 1000;
	o->given |= TMK_OPT_AGES;
	return true;
}

static bool number(const char *text, long least, long most, long *out)
{
	char *end;

	*out = strtol(text, &end, 10);
	return end != text && !*end && *out >= least && *out <= most;
}

static bool take_disk(struct tmk_options *o, const char *value)
{
	long disk;

	if (!number(value, 0, 31, &disk))
		return wrong("disk", value, "must be the number of a disk as status shows it, 0 to 31");
	o->disk = (int)disk;
	return true;
}

static bool take_uses(struct tmk_options *o, const char *value)
{
	long uses;

	if (!number(value, 1, 1000000, &uses))
		return wrong("uses", value, "must be a number, 1 to 1000000");
	o->uses = (unsigned)uses;
	return true;
}

static bool take_lifetime(struct tmk_options *o, const char *value)
{
	uint64_t ms;

	if (tmk_conf_duration(value, &ms) || ms < 1000)
		return wrong("for", value, "must be a duration of at least 1s, such as 15m, 24h, 7d");
	o->lifetime = ms / 1000;
	return true;
}

static bool take_rate(struct tmk_options *o, const char *value)
{
	if (tmk_conf_bytes(value, &o->rate) || !o->rate || o->rate > INT64_MAX)
		return wrong("rate", value, "must be bytes a second, such as 50M");
	return true;
}

static bool take(struct tmk_options *o, int option, const char *value)
{
	if (option < JSON)
		o->given |= option;
	switch (option) {
	case JSON:
		o->json = true;
		return true;
	case SOCKET:
		o->socket = value;
		return true;
	case AT:
		return take_at(o, value);
	case HELP:
		o->help = true;
		return true;
	case WARNING_AGE:
		return take_age(o, &o->limits.warning_age, "warning-age", value);
	case CRITICAL_AGE:
		return take_age(o, &o->limits.critical_age, "critical-age", value);
	case TMK_OPT_LABEL:
		o->label = value;
		return true;
	case TMK_OPT_TOKEN_FILE:
		o->token_file = value;
		return true;
	case TMK_OPT_FORMAT:
		o->format = value;
		return !strcmp(value, "raw") || wrong("format", value, "this version knows raw only");
	case TMK_OPT_TO:
		o->to = value;
		return true;
	case TMK_OPT_DISK:
		return take_disk(o, value);
	case TMK_OPT_USES:
		return take_uses(o, value);
	case TMK_OPT_FOR:
		return take_lifetime(o, value);
	case TMK_OPT_RATE:
		return take_rate(o, value);
	case TMK_OPT_TRACKER:
		o->tracker = value;
		return !strcmp(value, "module") || !strcmp(value, "ebpf") || wrong("tracker", value, "must be module or ebpf");
	default:
		return option > 0 && option < JSON;
	}
}

bool tmk_options_parse(struct tmk_options *o, int argc, char **argv)
{
	int option;

	*o = (struct tmk_options){
		.disk = -1, .uses = 1, .lifetime = 86400, .verb = "status", .limits = {.warning_age = 300, .critical_age = 3600}};
	while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (option == 'h')
			option = HELP;
		if (option == '?') { /* getopt said what */
			fputs("tidemark --help shows what there is\n", stderr);
			return false;
		}
		if (!take(o, option, optarg))
			return false;
	}
	o->words = argv + optind;
	o->count = argc - optind;
	if (o->count) {
		o->verb = o->words[0];
		o->words++;
		o->count--;
	}
	return true;
}
