/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See recover.h. Thawing comes first, for all, before any script runs: a script may need what is frozen. */
#include "recover.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "freeze.h"
#include "log.h"
#include "message.h"
#include "script.h"
#include "util.h"
#include "wire.h"

typedef int (*visitor)(const struct tmk_config *config, const char *path, const char *name, struct tmk_error *err);

static int thaw(const struct tmk_config *config, const char *path, const char *name, struct tmk_error *err)
{
	int rc = tmk_freeze_recover(path, err);

	(void)config;
	if (!rc)
		tmk_log_warning("protection '%s': an earlier shipper ended while filesystems were frozen; they are thawed", name);
	return rc;
}

/* Stays owed if it fails: the application may still be held, and the next start tries again. */
static int pay(const struct tmk_config *config, const char *path, const char *name, struct tmk_error *err)
{
	char directory[PATH_MAX];
	int rc = tmk_path(directory, sizeof(directory), "%s/%s", config->scripts_dir, name);

	if (rc)
		return tmk_error_set(err, rc, "scripts-dir '%s' is too long", config->scripts_dir);
	rc = tmk_script_run(directory, "post", name, config->script_limit, err);
	if (rc)
		return rc;
	tmk_script_paid(path);
	tmk_log_warning("protection '%s': ran the post script that an earlier shipper owed", name);
	return 0;
}

/* The protection's name if the file is NAME<suffix>. */
static bool split(const char *file, const char *suffix, char name[TMK_NAME_MAX + 1])
{
	size_t length = strlen(file), tail = strlen(suffix);

	if (length <= tail || length - tail > TMK_NAME_MAX || strcmp(file + length - tail, suffix))
		return false;
	memcpy(name, file, length - tail);
	name[length - tail] = '\0';
	return tmk_name_valid(name);
}

static int visit_all(const struct tmk_config *config, const char *suffix, visitor visit, struct tmk_error *err)
{
	struct dirent **entries;
	int n = scandir(config->run_dir, &entries, NULL, alphasort), rc = 0;

	if (n < 0)
		return errno == ENOENT ? 0 : tmk_error_sys(err, -errno, "cannot list %s", config->run_dir);
	for (int i = 0; i < n; i++) {
		char name[TMK_NAME_MAX + 1], path[PATH_MAX];
		struct tmk_error one = {0};

		if (split(entries[i]->d_name, suffix, name) &&
		    !tmk_path(path, sizeof(path), "%s/%s", config->run_dir, entries[i]->d_name) &&
		    visit(config, path, name, &one)) {
			tmk_log_error("protection '%s': %s", name, one.text);
			if (!rc)
				rc = tmk_error_set(err, one.code, "protection '%s': %s", name, one.text);
		}
		free(entries[i]);
	}
	free(entries);
	return rc;
}

int tmk_recover(const struct tmk_config *config, struct tmk_error *err)
{
	struct tmk_error second = {0};
	int rc = visit_all(config, ".frozen", thaw, err), rc2 = visit_all(config, ".post-owed", pay, &second);

	if (rc || !rc2)
		return rc;
	return tmk_error_set(err, rc2, "%s", second.text);
}
