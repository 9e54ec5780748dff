/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See conf.h. libinih does not tell its handler which line it is at, and cuts long lines in silence: so the file goes through a
 * reader of our own, which counts lines and refuses long ones.
 */
#include "conf.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEYS_MAX 64

struct parse {
	FILE *file;
	const char *path;
	const struct tmk_conf_key *keys;
	unsigned int line;
	uint64_t seen; /* bit per key */
	struct tmk_error *err;
	int ret;
};

struct unit {
	const char *name;
	uint64_t factor;
};

/* "12unit", with units[].name compared without case; the first unit is what a bare number means. */
static int scaled(const char *text, const struct unit *units, uint64_t *out)
{
	unsigned long long number;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	while (*end == ' ')
		end++;
	for (; units->name; units++) {
		if (strcasecmp(units->name, end))
			continue;
		if (__builtin_mul_overflow((uint64_t)number, units->factor, out))
			return -ERANGE;
		return 0;
	}
	return -EINVAL;
}

int tmk_conf_bytes(const char *text, uint64_t *out)
{
	static const struct unit units[] = {
		{"", 1},	   {"B", 1},
		{"K", 1ull << 10}, {"KiB", 1ull << 10},
		{"M", 1ull << 20}, {"MiB", 1ull << 20},
		{"G", 1ull << 30}, {"GiB", 1ull << 30},
		{"T", 1ull << 40}, {"TiB", 1ull << 40},
		{NULL, 0},
	};

	if (!strcasecmp(text, "unlimited")) {
		*out = 0;
		return 0;
	}
	return scaled(text, units, out);
}

int tmk_conf_duration(const char *text, uint64_t *milliseconds)
{
	/* No bare number: nobody remembers whether it meant seconds. But 0 is 0. */
	static const struct unit units[] = {
		{"ms", 1}, {"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
	};

	if (!strcmp(text, "0")) {
		*milliseconds = 0;
		return 0;
	}
	return scaled(text, units, milliseconds);
}

static int number(const char *text, uint64_t *out)
{
	static const struct unit units[] = {{"", 1}, {NULL, 0}};

	return scaled(text, units, out);
}

static int boolean(const char *text, bool *out)
{
	static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		if (!strcasecmp(text, yes[i]) || !strcasecmp(text, no[i])) {
			*out = !strcasecmp(text, yes[i]);
			return 0;
		}
	}
	return -EINVAL;
}

static int fail(struct parse *p, int code, const char *what, const char *detail)
{
	if (!p->ret)
		p->ret = tmk_error_set(p->err, code, "%s:%u: %s%s", p->path, p->line, what, detail);
	return 0;
}

static int store_number(struct parse *p, const struct tmk_conf_key *key, const char *value)
{
	static const char *const forms[] = {
		[TMK_CONF_NUMBER] = "is not a plain number: ",
		[TMK_CONF_BYTES] = "is not a size like 64M, 1GiB or unlimited: ",
		[TMK_CONF_SECONDS] = "is not a duration like 250ms, 2s, 24h or 7d: ",
	};
	char what[128];
	uint64_t v;
	int ret;

	if (key->type == TMK_CONF_BYTES)
		ret = tmk_conf_bytes(value, &v);
	else if (key->type == TMK_CONF_SECONDS)
		ret = tmk_conf_duration(value, &v);
	else
		ret = number(value, &v);
	if (ret) {
		snprintf(what, sizeof(what), "%s %s", key->name, forms[key->type]);
		return fail(p, -EINVAL, what, value);
	}
	if (v < key->least || (key->most && v > key->most)) {
		snprintf(what, sizeof(what), "%s must be from %llu to %llu%s: ", key->name, (unsigned long long)key->least,
			 key->most ? (unsigned long long)key->most : ~0ull,
			 key->type == TMK_CONF_BYTES	 ? " bytes"
			 : key->type == TMK_CONF_SECONDS ? " milliseconds"
							 : "");
		return fail(p, -EINVAL, what, value);
	}
	*(uint64_t *)key->out = v;
	return 1;
}

static int store(struct parse *p, const struct tmk_conf_key *key, const char *value)
{
	switch (key->type) {
	case TMK_CONF_STRING:
		if (strlen(value) >= key->size)
			return fail(p, -EINVAL, "the value is too long: ", key->name);
		strcpy(key->out, value);
		return 1;
	case TMK_CONF_SWITCH:
		return !boolean(value, key->out) || fail(p, -EINVAL, "say yes or no: ", key->name);
	default:
		return store_number(p, key, value);
	}
}

/* libinih's handler: 1 is good, 0 an error. */
static int handle(void *context, const char *section, const char *name, const char *value)
{
	struct parse *p = context;
	char whole[256];

	if (p->ret)
		return 0;
	if (snprintf(whole, sizeof(whole), "%s%s%s", section, *section ? "." : "", name) >= (int)sizeof(whole))
		return fail(p, -EINVAL, "unknown key ", name);
	for (unsigned int i = 0; p->keys[i].name; i++) {
		if (strcmp(p->keys[i].name, whole))
			continue;
		if (p->seen & 1ull << i)
			return fail(p, -EINVAL, "given twice, or the line begins with a blank: ", whole);
		p->seen |= 1ull << i;
		return store(p, &p->keys[i], value ? value : "");
	}
	return fail(p, -EINVAL, "unknown key ", whole);
}

/* A section without keys would never reach the handler. */
static bool section_known(const struct parse *p, const char *line)
{
	const char *end = strchr(line, ']');
	size_t length = end ? (size_t)(end - line) : 0;

	for (unsigned int i = 0; length && p->keys[i].name; i++)
		if (!strncmp(p->keys[i].name, line, length) && p->keys[i].name[length] == '.')
			return true;
	return !end; /* libinih says what is wrong with it */
}

static char *next_line(char *out, int size, void *context)
{
	struct parse *p = context;
	size_t blanks, length;

	if (p->ret || !fgets(out, size, p->file))
		return NULL;
	p->line++;
	length = strlen(out);
	if ((!length || out[length - 1] != '\n') && !feof(p->file)) {
		fail(p, -EINVAL, "the line is too long, or holds a zero byte", "");
		return NULL;
	}
	blanks = strspn(out, " \t");
	if (out[blanks] == '[' && !section_known(p, out + blanks + 1)) {
		fail(p, -EINVAL, "unknown section", "");
		return NULL;
	}
	return out;
}

static int conf_parse(struct parse *p)
{
	int bad = ini_parse_stream(next_line, p, handle, p);

	if (p->ret)
		return p->ret;
	if (ferror(p->file))
		return tmk_error_set(p->err, -EIO, "cannot read %s", p->path);
	if (bad > 0)
		return tmk_error_set(p->err, -EINVAL, "%s:%d: not of the form key = value", p->path, bad);
	return bad ? tmk_error_sys(p->err, -ENOMEM, "cannot read %s", p->path) : 0;
}

int tmk_conf_read(const char *path, const struct tmk_conf_key *keys, struct tmk_error *err)
{
	struct parse p = {.path = path, .keys = keys, .err = err};
	unsigned int count = 0;
	int ret;

	while (keys[count].name)
		count++;
	if (count > KEYS_MAX)
		return tmk_error_set(err, -E2BIG, "more than %d keys are declared", KEYS_MAX);
	p.file = fopen(path, "re");
	if (!p.file)
		return tmk_error_sys(err, -errno, "cannot open %s", path);
	ret = conf_parse(&p);
	fclose(p.file);
	return ret;
}
