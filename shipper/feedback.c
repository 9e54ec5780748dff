/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See feedback.h. */
#include "feedback.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "blktree.h"

/* Shortens path to the nearest part of it that exists. */
static int existing(const struct tmk_blktree *t, char *path, struct tmk_error *err)
{
	struct tmk_where where;
	char *slash;
	int ret;

	while ((ret = t->look(path, &where, err)) == -ENOENT || ret == -ENOTDIR) {
		slash = strrchr(path, '/');
		if (!slash || !strcmp(path, "/"))
			break;
		slash[slash == path] = '\0';
	}
	return ret;
}

static int check(const struct tmk_blktree *t, const struct tmk_device *disk, const char *path, struct tmk_error *err)
{
	char real[4096];
	bool holds;
	int ret;

	if ((size_t)snprintf(real, sizeof(real), "%s%s", *path == '/' ? "" : "./", path) >= sizeof(real))
		return tmk_error_set(err, -ENAMETOOLONG, "the path %.100s... is too long", path);
	ret = existing(t, real, err);
	if (!ret)
		ret = tmk_blktree_holds(t, disk, real, &holds, err);
	if (ret)
		return tmk_error_prefix(err, "cannot tell whether %s lies on %s, which must not be", path, disk->path);
	if (!holds)
		return 0;
	return tmk_error_set(
		err, -EDEADLK,
		"%s lies on %s, which is to be protected: what Tidemark writes there would be shipped, and cause more "
		"to be written; move it to another disk or to a tmpfs such as /run, or leave this disk out",
		path, disk->path);
}

int tmk_feedback_check_in(const struct tmk_blktree *t, const struct tmk_device *disks, size_t n, const char *const *paths,
			  struct tmk_error *err)
{
	int ret = 0;

	for (; *paths && !ret; paths++)
		for (size_t i = 0; i < n && **paths && !ret; i++)
			ret = check(t, &disks[i], *paths, err);
	return ret;
}

int tmk_feedback_check(const struct tmk_device *disks, size_t n, const char *const *paths, struct tmk_error *err)
{
	return tmk_feedback_check_in(&tmk_blktree_real, disks, n, paths, err);
}
