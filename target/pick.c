/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Points by name: see pick.h. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pick.h"
#include "util.h"

#define SECOND 1000000000ull

void tmk_pick_format(uint64_t ns, char out[32])
{
	time_t seconds = (time_t)(ns / SECOND);
	struct tm tm;
	if (!gmtime_r(&seconds, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		strcpy(out, "-");
}

int tmk_pick_time(const char *text, uint64_t *ns)
{
	static const char *const days[] = {"%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"};
	struct tm tm = {.tm_isdst = -1};
	const char *rest = NULL;
	double fraction = 0;
	for (size_t i = 0; !rest && i < 2; i++)
		rest = strptime(text, days[i], &tm);
	if (!rest)
		return -EINVAL;
	if (*rest == ':') {
		rest = strptime(rest, ":%S", &tm);
		if (!rest)
			return -EINVAL;
		if (*rest == '.') {
			char *end;
			fraction = strtod(rest, &end);
			rest = end;
		}
	}
	bool local = !*rest;
	struct tm zone = tm;
	if (!local) {
		rest = strptime(rest, "%z", &zone);
		if (!rest || *rest)
			return -EINVAL;
	}
	time_t seconds = local ? mktime(&tm) : timegm(&tm) - zone.tm_gmtoff;
	if (seconds < 0 || fraction < 0 || fraction >= 1)
		return -EINVAL;
	*ns = (uint64_t)seconds * SECOND + (uint64_t)(fraction * SECOND);
	return 0;
}

static bool is_number(const char *text, uint64_t *number)
{
	char *end;
	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return !*end && !errno;
}

/* One criterion; a point's number, its id, its label or its time. */
static bool is_meant(const struct tmk_point *p, const char *text)
{
	uint64_t number, time;
	uint8_t id[sizeof(p->mark.id)];
	if (!strcmp(text, "latest-app"))
		return p->mark.kind == TMK_APP;
	if (is_number(text, &number))
		return p->number == number;
	if (!tmk_pick_time(text, &time))
		return p->target_time <= time;
	if (tmk_unhex(text, id, sizeof(id)) && !memcmp(id, p->mark.id, sizeof(id)))
		return true;
	return !strcmp(text, p->mark.label);
}

int tmk_pick_point(const struct tmk_point *points, size_t count, const char *text, struct tmk_error *err)
{
	if (!count)
		return tmk_error_set(err, -ENOENT, "there is no recovery point yet: the first copy is not complete");
	if (!text[0] || !strcmp(text, "latest"))
		return 0;
	for (size_t i = 0; i < count; i++)
		if (is_meant(&points[i], text))
			return (int)i;
	return tmk_error_set(err, -ENOENT, "there is no point '%.200s': `tidemark points` shows what there is", text);
}
