/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settings of the target: see settings.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "pki.h"
#include "settings.h"
#include "util.h"
#include "wire.h"

#define MIB (1ull << 20)

static const struct tmk_settings defaults = {
	.port = TMK_WIRE_PORT,
	.control = "/run/tidemark/target.sock",
	.journal_spare = 256 * MIB,
	.reserve = 64 * MIB,
	.window = 64,
};

static int check(struct tmk_settings *s, const char *directory, const char *path, struct tmk_error *err)
{
	if (!s->directory[0])
		return tmk_error_set(err, -EINVAL, "%s: `directory` is not set", path);
	char *real = realpath(s->directory, NULL);
	if (!real)
		return tmk_error_sys(err, -errno, "directory %s", s->directory);
	char *given = directory ? realpath(directory, NULL) : NULL;
	int bad = 0;
	if (given && strcmp(given, real))
		bad = tmk_error_set(err, -EINVAL, "%s is about %s: correct `directory` in it", path, real);
	else
		bad = tmk_path(s->directory, sizeof(s->directory), "%s", real);
	if (!bad && s->control[0] != '/')
		bad = tmk_error_set(err, -EINVAL, "%s: `control` has to be an absolute path", path);
	if (!bad && s->journal_limit && s->journal_limit < 16 * MIB)
		bad = tmk_error_set(err, -EINVAL, "%s: `journal-limit` is below 16M, too little for a window of chunks", path);
	if (!bad && s->journal_limit && s->journal_spare > s->journal_limit / 2)
		s->journal_spare = s->journal_limit / 2; /* what is spare must not keep new chunks out */
	free(real);
	free(given);
	return bad;
}

int tmk_settings_read(struct tmk_settings *out, const char *directory, const char *file, struct tmk_error *err)
{
	char path[PATH_MAX];
	int bad = file ? tmk_path(path, sizeof(path), "%s", file) : tmk_path(path, sizeof(path), "%s/target.conf", directory);
	*out = defaults;
	if (!bad && directory)
		bad = tmk_path(out->directory, sizeof(out->directory), "%s", directory);
	if (bad)
		return tmk_error_sys(err, bad, "the directory's path");
	const struct tmk_conf_key keys[] = {
		{"directory", TMK_CONF_STRING, out->directory, sizeof(out->directory), 0, 0},
		{"listen", TMK_CONF_STRING, out->listen, sizeof(out->listen), 0, 0},
		{"port", TMK_CONF_NUMBER, &out->port, 0, 1, 65535},
		{"control", TMK_CONF_STRING, out->control, sizeof(out->control), 0, 0},
		{"user", TMK_CONF_STRING, out->user, sizeof(out->user), 0, 0},
		{"journal-limit", TMK_CONF_BYTES, &out->journal_limit, 0, 0, UINT64_MAX / 2},
		{"journal-spare", TMK_CONF_BYTES, &out->journal_spare, 0, 0, UINT64_MAX / 2},
		{"reserve", TMK_CONF_BYTES, &out->reserve, 0, 0, UINT64_MAX / 2},
		{"window", TMK_CONF_NUMBER, &out->window, 0, 1, 1024},
		{NULL, TMK_CONF_STRING, NULL, 0, 0, 0},
	};
	bad = tmk_conf_read(path, keys, err);
	if (bad == -ENOENT)
		return tmk_error_set(err, bad, "%s does not exist: make it with `tidemark-target init %s`", path,
				     directory ? directory : "DIR");
	return bad ? bad : check(out, directory, path, err);
}

static const char template[] = "# tidemark-target; see tidemark-target.conf(5). A line that begins with # shows a default.\n"
			       "directory = %s\n"
			       "# listen =\n"
			       "# port = 9443\n"
			       "# control = /run/tidemark/target.sock\n"
			       "# user = tidemark\n"
			       "# journal-limit = unlimited\n"
			       "# journal-spare = 256M\n"
			       "# reserve = 64M\n"
			       "# window = 64\n";

static int make_directories(const char *directory, struct tmk_error *err)
{
	static const char *const below[] = {"pki", "devices", "protections", "deleted"};
	int bad = tmk_mkdirs(directory, 0700, err);
	for (size_t i = 0; !bad && i < sizeof(below) / sizeof(*below); i++) {
		char path[PATH_MAX];
		bad = tmk_path(path, sizeof(path), "%s/%s", directory, below[i]);
		if (!bad)
			bad = tmk_mkdirs(path, 0700, err);
	}
	return bad;
}

int tmk_settings_init(const char *directory, struct tmk_error *err)
{
	char path[PATH_MAX], pki[PATH_MAX], host[256] = "";
	int bad = make_directories(directory, err);
	if (bad)
		return bad;
	gethostname(host, sizeof(host) - 1);
	char *real = realpath(directory, NULL);
	if (!real)
		return tmk_error_sys(err, -errno, "directory %s", directory);
	char text[PATH_MAX + sizeof(template)];
	int length = snprintf(text, sizeof(text), template, real);
	free(real);
	if (tmk_path(pki, sizeof(pki), "%s/pki", directory) || tmk_path(path, sizeof(path), "%s/target.conf", directory))
		return tmk_error_set(err, -ENAMETOOLONG, "directory %s: the path is too long", directory);
	bad = tmk_pki_init(pki, host[0] ? host : "tidemark-target", err);
	if (bad)
		return bad;
	return access(path, F_OK) == 0 ? 0 : tmk_write_file(path, text, (size_t)length, 0600, err);
}
