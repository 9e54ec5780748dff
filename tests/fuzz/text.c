/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: target. Short texts that people type: tokens, sizes, durations, names, points, times. */
#include <strings.h>

#include "conf.h"
#include "fuzz.h"
#include "message.h"
#include "pick.h"
#include "pki.h"
#include "util.h"

static void try_token(const char *text)
{
	struct tmk_token token, same;
	char again[TMK_TOKEN_MAX];

	if (tmk_token_parse(text, &token, NULL))
		return;
	tmk_token_format(&token, again);
	text += strspn(text, " \t\r\n");
	REQUIRE(!strncasecmp(text, again, strlen(again)) &&
		strspn(text + strlen(again), " \t\r\n") == strlen(text + strlen(again)));
	REQUIRE(!tmk_token_parse(again, &same, NULL) && !memcmp(&token, &same, sizeof(same)));
}

static void try_point(const char *text)
{
	static const struct tmk_point points[3] = {
		{.number = 30, .target_time = 1700000003000000000, .mark = {.kind = TMK_CRASH, .label = "three"}},
		{.number = 20, .target_time = 1700000002000000000, .mark = {.kind = TMK_APP, .label = "two"}},
		{.number = 10, .target_time = 1700000001000000000, .mark = {.kind = TMK_CRASH, .label = "one"}},
	};
	struct tmk_error err = {0};
	char shown[32];
	uint64_t ns;
	int found = tmk_pick_point(points, 3, text, &err);

	REQUIRE(found < 3 && (found >= 0 || err.text[0]));
	REQUIRE(tmk_pick_point(points, 0, text, NULL) < 0);
	if (!tmk_pick_time(text, &ns))
		tmk_pick_format(ns, shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = exact(data, size + 0);
	uint8_t bytes[32];
	uint64_t number;

	text = realloc(text, size + 1);
	REQUIRE(text);
	text[size] = 0;
	try_token(text);
	try_point(text);
	tmk_conf_bytes(text, &number);
	tmk_conf_duration(text, &number);
	REQUIRE(!tmk_name_valid(text) || (strlen(text) <= TMK_NAME_MAX && !strchr(text, '/') && text[0] != '.'));
	if (tmk_unhex(text, bytes, sizeof(bytes))) {
		char again[65];

		tmk_hex(bytes, sizeof(bytes), again);
		REQUIRE(!strcasecmp(again, text));
	}
	free(text);
	return 0;
}
