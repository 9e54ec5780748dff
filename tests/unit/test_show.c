/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: cli. What status means for an exit code, and what people see of it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "show.h"
#include "suite.h"

static const struct tmk_limits limits = {.warning_age = 300, .critical_age = 3600};
static char *text;
static size_t size;
static struct tmk_show show;

static void setup(void)
{
	show = (struct tmk_show){.out = open_memstream(&text, &size), .width = 80};
	ck_assert_ptr_nonnull(show.out);
}

static void teardown(void)
{
	fclose(show.out);
	free(text);
}

static const char *shown(void)
{
	fflush(show.out);
	return text;
}

#define ck_shown(part) ck_assert_msg(strstr(shown(), part), "no '%s' in:\n%s", part, shown())
#define ck_not_shown(part) ck_assert_msg(!strstr(shown(), part), "'%s' in:\n%s", part, shown())

static json_t *parse(const char *json)
{
	json_error_t where;
	json_t *o = json_loads(json, 0, &where);

	ck_assert_msg(o != NULL, "%s: %s", json, where.text);
	return o;
}

START_TEST(durations)
{
	static const struct {
		double seconds;
		const char *want;
	} cases[] = {{0, "0 s"},     {0.25, "0.2 s"},	  {2.1, "2.1 s"},      {9.96, "10.0 s"},
		     {59.9, "59 s"}, {60, "1 min"},	  {250, "4 min 10 s"}, {7500, "2 h 5 min"},
		     {3600, "1 h"},  {273600, "3 d 4 h"}, {-5, "0 s"},	       {86400, "1 d"}};
	char out[32];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_str_eq(tmk_show_duration(cases[i].seconds, out), cases[i].want);
	ck_assert_uint_lt(strlen(tmk_show_duration(1e300, out)), 32);
}
END_TEST

START_TEST(bars)
{
	char bar[16];

	tmk_show_bar(0, 100, 10, bar);
	ck_assert_str_eq(bar, "[----------]");
	tmk_show_bar(55, 100, 10, bar);
	ck_assert_str_eq(bar, "[#####-----]");
	tmk_show_bar(99999, 100000, 10, bar); /* not full before it is */
	ck_assert_str_eq(bar, "[#########-]");
	tmk_show_bar(100, 100, 10, bar);
	ck_assert_str_eq(bar, "[##########]");
	tmk_show_bar(200, 100, 10, bar);
	ck_assert_str_eq(bar, "[##########]");
	tmk_show_bar(0, 0, 10, bar);
	ck_assert_str_eq(bar, "[##########]");
	tmk_show_bar(UINT64_MAX - 1, UINT64_MAX, 10, bar);
	ck_assert_uint_eq(strlen(bar), 12);
}
END_TEST

START_TEST(control_characters)
{
	tmk_show_text(show.out, "a\033[2Jb\nc\177d\xc2\x9b"
				"e\xc3\xa4");
	ck_assert_str_eq(shown(), "a?[2Jb?c?d?e\xc3\xa4");
}
END_TEST

#define POINT(age)                                                                                                               \
	"{\"id\": \"00\", \"kind\": \"app\", \"label\": \"\", \"time\": \"t\", \"age_seconds\": " age ", \"frozen_ms\": 4}"
#define FINE "\"state\": \"catching up\", \"reason\": \"\", \"note\": \"\", \"first_copy\": false, \"unreadable_bytes\": 0"
#define STATUS(protections)                                                                                                      \
	"{\"role\": \"source\", \"target\": {\"host\": \"h\", \"port\": 9}, \"protections\": [" protections "]}"
static const struct {
	const char *status;
	enum tmk_verdict want;
} verdicts[] = {
	{STATUS(""), TMK_FINE},
	{STATUS("{" FINE ", \"point\": " POINT("3") "}"), TMK_FINE},
	{STATUS("{" FINE ", \"point\": " POINT("300") "}"), TMK_FINE},
	{STATUS("{" FINE ", \"point\": " POINT("301") "}"), TMK_WARNING},
	{STATUS("{" FINE ", \"point\": " POINT("3600") "}"), TMK_WARNING},
	{STATUS("{" FINE ", \"point\": " POINT("3601") "}"), TMK_CRITICAL},
	{STATUS("{" FINE ", \"point\": null}"), TMK_CRITICAL},
	{STATUS("{" FINE "}"), TMK_CRITICAL},
	{STATUS("{" FINE ", \"point\": {}}"), TMK_CRITICAL},
	{STATUS("{" FINE ", \"point\": {\"age_seconds\": \"3\"}}"), TMK_CRITICAL},
	{STATUS("{\"state\": \"streaming\", \"point\": " POINT("3") "}"), TMK_FINE},
	{STATUS("{\"state\": \"paused\", \"point\": " POINT("3") "}"), TMK_WARNING},
	{STATUS("{\"state\": \"starting\", \"point\": " POINT("3") "}"), TMK_WARNING},
	{STATUS("{\"state\": \"disconnected\", \"point\": " POINT("3") "}"), TMK_WARNING},
	{STATUS("{\"state\": \"disconnected\", \"point\": " POINT("9999") "}"), TMK_CRITICAL},
	{STATUS("{\"state\": \"fenced\", \"point\": " POINT("3") "}"), TMK_CRITICAL},
	{STATUS("{\"state\": \"broken\", \"point\": " POINT("3") "}"), TMK_CRITICAL},
	{STATUS("{\"state\": \"of the future\", \"point\": " POINT("3") "}"), TMK_CRITICAL},
	{STATUS("{\"point\": " POINT("3") "}"), TMK_CRITICAL},
	{STATUS("{\"state\": \"catching up\", \"reason\": \"link slow\", \"point\": " POINT("3") "}"), TMK_WARNING},
	{STATUS("{\"state\": \"catching up\", \"note\": \"disk full\", \"point\": " POINT("3") "}"), TMK_WARNING},
	{STATUS("{\"state\": \"catching up\", \"first_copy\": true, \"point\": " POINT("3") "}"), TMK_WARNING},
	{STATUS("{\"state\": \"catching up\", \"unreadable_bytes\": 512, \"point\": " POINT("3") "}"), TMK_WARNING},
	{STATUS("{" FINE ", \"disks\": [{\"doubt\": \"\"}, {\"doubt\": \"passthrough\"}], \"point\": " POINT("3") "}"),
	 TMK_WARNING},
	{STATUS("{" FINE ", \"point\": " POINT("3") "}, {" FINE ", \"point\": null}, {" FINE ", \"point\": " POINT("3") "}"),
	 TMK_CRITICAL},
	{"{\"role\": \"target\", \"protections\": [{\"state\": \"connected\", \"point\": " POINT("3") "}]}", TMK_FINE},
	{"{\"protections\": [{\"state\": \"applying\", \"connected\": true, \"point\": " POINT("3") "}]}", TMK_FINE},
	{"{\"protections\": [{\"state\": \"applying\", \"connected\": false, \"point\": " POINT("3") "}]}", TMK_WARNING},
	{"{\"protections\": [{\"state\": \"stalled\", \"point\": " POINT("3") "}]}", TMK_WARNING},
	{"{\"protections\": [{\"state\": \"full\", \"point\": " POINT("3") "}]}", TMK_WARNING},
	{"{}", TMK_CRITICAL},
	{"[]", TMK_CRITICAL},
};

START_TEST(verdict)
{
	json_t *status = parse(verdicts[_i].status);

	ck_assert_msg(tmk_show_verdict(status, &limits) == verdicts[_i].want, "%s", verdicts[_i].status);
	json_decref(status);
}
END_TEST

START_TEST(source)
{
	json_t *status =
		parse("{\"role\": \"source\", \"target\": {\"host\": \"dr.example\", \"port\": 9443}, \"protections\": ["
		      "{\"name\": \"web\", \"state\": \"catching up\", \"reason\": \"busy\\u001b[31m\", \"first_copy\": true,"
		      " \"copied_bytes\": 1073741824, \"total_bytes\": 4294967296, \"rate_bytes_per_second\": 104857600,"
		      " \"eta_seconds\": 31, \"lag_bytes\": 3145728, \"lag_seconds\": 2.5, \"latest_seconds\": 0.25, "
		      "\"sent_disk_bytes\": 2000,"
		      " \"sent_wire_bytes\": 1000, \"disks\": [{\"number\": 0, \"path\": \"/dev/sda\", \"size\": 4294967296,"
		      " \"doubt\": \"\"}], \"point\": {\"kind\": \"app\", \"label\": \"nightly\", \"time\": \"T\","
		      " \"age_seconds\": 250, \"frozen_ms\": 4}, \"note\": \"journal half full\"}]}");

	tmk_show_status(&show, status, &limits);
	ck_shown("dr.example:9443");
	ck_shown("web  catching up");
	ck_shown("busy?[31m");
	ck_shown("/dev/sda  4.0 GiB");
	ck_shown("[#####---------------]  25 %  1.0 GiB of 4.0 GiB  100.0 MiB/s  31 s left");
	ck_shown("2.5 s, 3.0 MiB");
	ck_shown("what the target has is 0.2 s old");
	ck_shown("(2.0 : 1)");
	ck_shown("4 min 10 s ago, app-consistent, \"nightly\" (T, frozen for 4 ms)");
	ck_shown("journal half full");
	ck_not_shown("\033");
	json_decref(status);
}
END_TEST

START_TEST(source_after_first_copy)
{
	json_t *status = parse("{\"role\": \"source\", \"target\": {\"host\": \"h\", \"port\": 1}, \"protections\": ["
			       "{\"name\": \"web\", \"state\": \"catching up\", \"first_copy\": false, \"eta_seconds\": null,"
			       " \"point\": null}]}");

	show.colour = true;
	tmk_show_status(&show, status, &limits);
	ck_not_shown("first copy");
	ck_not_shown("left");
	ck_not_shown("latest");
	ck_shown("\033[31mcatching up\033[0m"); /* no point is critical, in words and in colour */
	ck_shown("none yet");
	json_decref(status);
}
END_TEST

START_TEST(source_before_first_round)
{
	json_t *status = parse("{\"role\": \"source\", \"target\": {\"host\": \"h\", \"port\": 1}, \"protections\": ["
			       "{\"name\": \"web\", \"state\": \"starting\", \"first_copy\": true, \"total_bytes\": 0,"
			       " \"point\": null}]}");

	tmk_show_status(&show, status, &limits);
	ck_shown("has not begun");
	ck_not_shown("%"); /* nothing is not 100 % of nothing */
	json_decref(status);
}
END_TEST

START_TEST(source_before_join)
{
	json_t *status = parse("{\"role\": \"source\", \"target\": null, \"protections\": []}");

	tmk_show_status(&show, status, &limits);
	ck_shown("tidemark join");
	ck_not_shown("tidemark protect");
	json_decref(status);
}
END_TEST

START_TEST(target)
{
	json_t *status =
		parse("{\"role\": \"target\", \"directory\": \"/srv/t\", \"protections\": [{\"name\": \"web\", \"host\": \"w1\","
		      " \"state\": \"connected\", \"durable_chunk\": 12, \"applied_chunk\": 11, \"journal_bytes\": 1024,"
		      " \"disks\": [{\"number\": 1, \"name\": \"/dev/sdb\", \"size\": 1048576}],"
		      " \"point\": {\"kind\": \"crash\", \"label\": \"\", \"time\": \"T\", \"age_seconds\": 3}}]}");

	tmk_show_status(&show, status, &limits);
	ck_shown("/srv/t");
	ck_shown("web of w1  connected");
	ck_shown("1: /dev/sdb  1.0 MiB");
	ck_shown("durable 12, applied 11, journal 1.0 KiB");
	ck_shown("3 s ago, crash-consistent (T)");
	json_decref(status);
}
END_TEST

START_TEST(points)
{
	json_t *result = parse("{\"points\": [{\"protection\": \"web\", \"number\": 12, \"kind\": \"app\", \"label\": \"a\\nb\","
			       " \"time\": \"T\", \"age_seconds\": 61.5}]}");

	tmk_show_points(&show, result);
	ck_shown("web ");
	ck_shown("      12  app    T ");
	ck_shown(" 1 min 1 s ago ");
	ck_shown("a?b\n");
	json_decref(result);
}
END_TEST

/* Nothing that a daemon may say makes it crash or shows garbage. */
START_TEST(strange)
{
	static const char *const texts[] = {
		"{\"role\": 7, \"protections\": 3}",
		"{\"role\": \"target\", \"protections\": [null, 1, \"x\", []]}",
		"{\"role\": \"source\", \"target\": [], \"protections\": [{\"name\": 1, \"disks\": [null, 2], \"point\": \"x\","
		" \"first_copy\": true, \"copied_bytes\": -5, \"total_bytes\": -1, \"lag_seconds\": -3, \"eta_seconds\": -9}]}",
	};
	json_t *status = parse(texts[_i]);

	ck_assert_int_eq(tmk_show_verdict(status, &limits), TMK_CRITICAL);
	tmk_show_status(&show, status, &limits);
	ck_not_shown("18446744073");
	ck_not_shown("-5");
	json_decref(status);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("show");
	TCase *t = tcase_create("show");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, durations);
	tcase_add_test(t, bars);
	tcase_add_test(t, control_characters);
	tcase_add_loop_test(t, verdict, 0, sizeof(verdicts) / sizeof(verdicts[0]));
	tcase_add_test(t, source);
	tcase_add_test(t, source_after_first_copy);
	tcase_add_test(t, source_before_first_round);
	tcase_add_test(t, source_before_join);
	tcase_add_test(t, target);
	tcase_add_test(t, points);
	tcase_add_loop_test(t, strange, 0, 3);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
