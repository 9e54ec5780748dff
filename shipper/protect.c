/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See protect.h. State-dir may lie on a protected disk (the root disk is the common case): it is written by verbs only. What may
 * not: run-dir, and the directory of a target on this same host, which only that daemon can tell (R31).
 */
#include "protect.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "device.h"
#include "feedback.h"
#include "fsfind.h"
#include "log.h"
#include "sum.h"
#include "tracker.h"
#include "util.h"

static bool overlap(const struct tmk_device *a, const struct tmk_device *b)
{
	if (a->disk != b->disk)
		return false;
	return a->whole || b->whole || (a->start < b->start + b->size && b->start < a->start + a->size);
}

static int find_one(const char *path, struct tmk_device *out, struct tmk_error *err)
{
	int rc;

	if (path[0] != '/' || strlen(path) >= sizeof(((struct tmk_spec_disk *)0)->path))
		return tmk_error_set(err, -EINVAL, "'%s' is not an absolute path of at most 255 bytes", path);
	rc = tmk_device_find(path, out, err);
	if (rc)
		return rc;
	if (out->read_only)
		return tmk_error_set(err, -EROFS, "%s is read-only: nothing is written to it that could be shipped; copy it once",
				     path);
	if (out->size < TMK_SECTOR || out->size % TMK_SECTOR)
		return tmk_error_set(err, -EINVAL, "%s has %" PRIu64 " bytes, which is no multiple of %d", path, out->size,
				     TMK_SECTOR);
	rc = tmk_tracker_check(out->disk, err);
	return rc ? tmk_error_prefix(err, "%s", path) : 0;
}

static int check_selves(const struct tmk_device *disks, const char *const *paths, size_t count, struct tmk_error *err)
{
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			if (overlap(&disks[i], &disks[j]))
				return tmk_error_set(err, -EINVAL, "%s and %s are the same disk or overlap; name it once",
						     paths[j], paths[i]);
	return 0;
}

/* A stored disk that is away now can only be told by its identity. */
static bool stored_overlaps(const struct tmk_spec_disk *stored, const struct tmk_device *d)
{
	struct tmk_device other;

	if (!tmk_device_find(stored->path, &other, NULL) && !strcmp(other.identity, stored->identity))
		return overlap(&other, d);
	return d->identity[0] && !strcmp(stored->identity, d->identity);
}

static int check_others(const struct tmk_daemon *d, const struct tmk_device *disks, const char *const *paths, size_t count,
			struct tmk_error *err)
{
	struct tmk_spec *specs;
	size_t stored;
	int rc = tmk_store_specs(d->config.state_dir, &specs, &stored, err);

	for (size_t s = 0; s < stored && !rc; s++)
		for (size_t k = 0; k < specs[s].disk_count && !rc; k++)
			for (size_t i = 0; i < count && !rc; i++)
				if (stored_overlaps(&specs[s].disks[k], &disks[i]))
					rc = tmk_error_set(err, -EBUSY,
							   "%s belongs to protection '%s' already (%s); unprotect that first, or "
							   "leave the disk out",
							   paths[i], specs[s].name, specs[s].disks[k].path);
	free(specs);
	return rc;
}

/* The directory of a target daemon on this host; empty if none runs. */
static int local_target(const struct tmk_daemon *d, char out[PATH_MAX], struct tmk_error *err)
{
	char socket[PATH_MAX];
	const char *directory = NULL;
	json_t *status;
	int rc = tmk_path(socket, sizeof(socket), "%s/target.sock", d->config.run_dir);

	out[0] = '\0';
	if (rc)
		return tmk_error_set(err, rc, "run-dir '%s' is too long", d->config.run_dir);
	rc = tmk_control_ask(socket, "status", NULL, NULL, NULL, &status, err);
	if (rc == -ENOENT || rc == -ECONNREFUSED)
		return 0;
	if (rc)
		return tmk_error_prefix(err, "cannot ask the target on this host where its directory is");
	if (json_unpack(status, "{s:s}", "directory", &directory) || strlen(directory) >= PATH_MAX)
		rc = tmk_error_set(err, -EBADMSG, "the target on this host does not say where its directory is (%s)", socket);
	else
		strcpy(out, directory);
	json_decref(status);
	return rc;
}

static int check_feedback(const struct tmk_daemon *d, const struct tmk_device *disks, size_t count, struct tmk_error *err)
{
	char target[PATH_MAX];
	int rc = local_target(d, target, err);

	return rc ? rc : tmk_feedback_check(disks, count, (const char *const[]){d->config.run_dir, target, NULL}, err);
}

static int check_filesystems(const struct tmk_device *disks, size_t count, struct tmk_error *err)
{
	struct tmk_filesystems found;
	int rc = tmk_fsfind(disks, count, &found, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < found.count && !rc; i++) {
		const struct tmk_filesystem *f = &found.list[i];

		if (f->partial)
			rc = tmk_error_set(
				err, -EXDEV,
				"the %.16s on %.160s also lies on %.64s, which is not among the disks: a point without it "
				"could not be mounted; name that disk too",
				f->type, f->mountpoint, f->missing);
	}
	tmk_filesystems_free(&found);
	return rc;
}

static int check_free(const struct tmk_daemon *d, const char *name, size_t count, struct tmk_error *err)
{
	struct tmk_target_address target;
	struct tmk_spec *old = malloc(sizeof(*old));
	int rc = old ? tmk_store_spec(d->config.state_dir, name, old, err) : tmk_error_set(err, -ENOMEM, "out of memory");

	free(old);
	if (!rc || rc == -EBADMSG)
		return tmk_error_set(err, -EEXIST, "there is a protection '%s' already; choose another name", name);
	if (rc != -ENOENT)
		return rc;
	if (!count || count > TMK_DISKS_MAX)
		return tmk_error_set(err, -EINVAL, "a protection has 1 to %d disks", TMK_DISKS_MAX);
	return tmk_store_target(d->config.state_dir, &target, err);
}

static void make_spec(struct tmk_spec *out, const char *name, const struct tmk_device *disks, const char *const *paths,
		      size_t count)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->name, name, strlen(name) + 1); /* check_free() knows that it is valid */
	tmk_random(out->protection, sizeof(out->protection));
	out->disk_count = count;
	for (size_t i = 0; i < count; i++) {
		memcpy(out->disks[i].path, paths[i], strlen(paths[i]) + 1);
		memcpy(out->disks[i].identity, disks[i].identity, sizeof(out->disks[i].identity));
		out->disks[i].size = disks[i].size;
	}
}

/* Stored first: a protection that runs and is not stored would be forgotten by the next start. */
static int store_and_start(struct tmk_daemon *d, const struct tmk_spec *spec, struct tmk_error *err)
{
	struct tmk_error undo = {0};
	int rc = tmk_store_put_spec(d->config.state_dir, spec, err);

	if (rc)
		return rc;
	rc = tmk_roster_add(d->roster, spec, err);
	if (rc && tmk_store_delete_spec(d->config.state_dir, spec->name, &undo))
		tmk_log_error("protection '%s' did not start, and stays stored: %s", spec->name, undo.text);
	return rc;
}

int tmk_protect(struct tmk_daemon *d, const char *name, const char *const *paths, size_t count, enum tmk_tracker_kind tracker,
		struct tmk_spec *out, struct tmk_error *err)
{
	struct tmk_device *disks;
	int rc = check_free(d, name, count, err);

	if (rc)
		return rc;
	disks = calloc(count, sizeof(*disks));
	if (!disks)
		return tmk_error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count && !rc; i++)
		rc = find_one(paths[i], &disks[i], err);
	if (!rc)
		rc = check_selves(disks, paths, count, err);
	if (!rc)
		rc = check_others(d, disks, paths, count, err);
	if (!rc)
		rc = check_feedback(d, disks, count, err);
	if (!rc)
		rc = check_filesystems(disks, count, err);
	if (!rc) {
		make_spec(out, name, disks, paths, count);
		out->tracker = tracker;
		rc = store_and_start(d, out, err);
	}
	free(disks);
	return rc;
}
