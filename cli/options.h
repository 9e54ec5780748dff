/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of `tidemark`: options anywhere, then a verb and its words. */
#ifndef TMK_OPTIONS_H
#define TMK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "ask.h"
#include "show.h"

/* Bits of the options that a verb knows. */
enum {
	TMK_OPT_APP = 1 << 0,
	TMK_OPT_LABEL = 1 << 1,
	TMK_OPT_WAIT = 1 << 2,
	TMK_OPT_WATCH = 1 << 3,
	TMK_OPT_AGAIN = 1 << 4,
	TMK_OPT_TOKEN_FILE = 1 << 5,
	TMK_OPT_FORMAT = 1 << 6,
	TMK_OPT_TO = 1 << 7,
	TMK_OPT_DISK = 1 << 8,
	TMK_OPT_AGES = 1 << 9,
	TMK_OPT_DELETE = 1 << 10,
	TMK_OPT_NOW = 1 << 11,
	TMK_OPT_USES = 1 << 12,
	TMK_OPT_FOR = 1 << 13,
	TMK_OPT_RATE = 1 << 14,
	TMK_OPT_CANCEL = 1 << 15,
	TMK_OPT_TRACKER = 1 << 16,
};

struct tmk_options {
	unsigned given; /* bits */
	bool json, help;
	const char *socket;
	int at; /* enum tmk_side, or 0 */
	const char *label, *token_file, *format, *to;
	int disk; /* -1: all */
	unsigned uses;
	uint64_t lifetime; /* of a token, seconds */
	uint64_t rate;	   /* bytes a second; 0: not given */
	const char *tracker;
	struct tmk_limits limits;
	const char *verb; /* "status" if none is given */
	char **words;
	int count;
};

/* False: usage, already said on standard error. */
bool tmk_options_parse(struct tmk_options *o, int argc, char **argv);
void tmk_options_usage(bool ask_for_help);

#endif
