/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See store.h. A file is valid if and only if it is one JSON object with version 1, every field below, none besides, each within
 * its bounds, and the name inside equals the name of the file (I9). What does not fit is an error that names the file: nothing is
 * guessed.
 *
 * Reading, changing and replacing a spec happens under a lock on the directory `protections`, because a verb (paused) and the
 * protection's own thread (generation) both do it.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "message.h"
#include "util.h"

#define FILE_MAX ((size_t)256 << 10)
#define VERSION 1
#define SUFFIX ".json"

/* ---- files ---- */

static int load(const char *path, json_t **out, struct tmk_error *err)
{
	json_error_t where;
	char *text;
	int rc = tmk_read_file(path, FILE_MAX, &text, err);

	if (rc)
		return rc;
	*out = json_loads(text, JSON_REJECT_DUPLICATES, &where);
	free(text);
	if (!*out)
		return tmk_error_set(err, -EBADMSG, "%s is damaged (line %d: %s); restore it from a backup", path, where.line,
				     where.text);
	return 0;
}

/* Takes the reference to `body`, which may be NULL if it could not be made. */
static int save(const char *path, json_t *body, struct tmk_error *err)
{
	char *text = body ? json_dumps(body, JSON_INDENT(2)) : NULL;
	int rc;

	json_decref(body);
	if (!text)
		return tmk_error_set(err, -ENOMEM, "cannot make %s: out of memory, or a text in it is not UTF-8", path);
	rc = tmk_write_file(path, text, strlen(text), 0600, err);
	free(text);
	return rc;
}

static int damaged(const char *path, const char *what, struct tmk_error *err)
{
	return tmk_error_set(err, -EBADMSG, "%s is damaged (%s); restore it from a backup", path, what);
}

/* A text field that fits with its terminator. */
static bool copy_text(char *out, size_t size, const char *text)
{
	size_t length = strlen(text);

	if (length >= size)
		return false;
	memcpy(out, text, length + 1);
	return true;
}

/* ---- the target's address ---- */

static int target_path(char path[PATH_MAX], const char *state_dir, struct tmk_error *err)
{
	int rc = tmk_path(path, PATH_MAX, "%s/target.json", state_dir);

	return rc ? tmk_error_set(err, rc, "state-dir '%s' is too long", state_dir) : 0;
}

int tmk_store_target(const char *state_dir, struct tmk_target_address *out, struct tmk_error *err)
{
	char path[PATH_MAX];
	const char *host;
	json_int_t version, port;
	json_error_t where;
	json_t *body;
	int rc = target_path(path, state_dir, err);

	if (rc)
		return rc;
	rc = load(path, &body, err);
	if (rc == -ENOENT)
		return tmk_error_set(err, -ENOENT, "this machine has not joined a target; run: tidemark join HOST TOKEN");
	if (rc)
		return rc;
	memset(out, 0, sizeof(*out));
	if (json_unpack_ex(body, &where, 0, "{s:I, s:s, s:I !}", "version", &version, "host", &host, "port", &port))
		rc = damaged(path, where.text, err);
	else if (version != VERSION)
		rc = damaged(path, "its version is not known here", err);
	else if (!host[0] || !copy_text(out->host, sizeof(out->host), host) || port < 1 || port > 65535)
		rc = damaged(path, "the address is not valid", err);
	else
		out->port = port;
	json_decref(body);
	return rc;
}

int tmk_store_set_target(const char *state_dir, const struct tmk_target_address *target, struct tmk_error *err)
{
	char path[PATH_MAX];
	int rc = target_path(path, state_dir, err);

	if (rc)
		return rc;
	rc = tmk_mkdirs(state_dir, 0700, err);
	if (rc)
		return rc;
	return save(path, json_pack("{s:i, s:s, s:i}", "version", VERSION, "host", target->host, "port", (int)target->port), err);
}

/* ---- one spec ---- */

static int specs_path(char path[PATH_MAX], const char *state_dir, struct tmk_error *err)
{
	int rc = tmk_path(path, PATH_MAX, "%s/protections", state_dir);

	return rc ? tmk_error_set(err, rc, "state-dir '%s' is too long", state_dir) : 0;
}

static int spec_path(char path[PATH_MAX], const char *state_dir, const char *name, struct tmk_error *err)
{
	int rc;

	if (!tmk_name_valid(name))
		return tmk_error_set(
			err, -EINVAL,
			"'%s' is not a valid name: use up to %d letters, digits, '.', '_' and '-', not beginning with "
			"'.' or '-'",
			name, TMK_NAME_MAX);
	rc = tmk_path(path, PATH_MAX, "%s/protections/%s" SUFFIX, state_dir, name);
	return rc ? tmk_error_set(err, rc, "state-dir '%s' is too long", state_dir) : 0;
}

/* The lock, held until the descriptor is closed; flock(2) belongs to the open file, so threads exclude each other too. */
static int lock_specs(const char *state_dir, struct tmk_error *err)
{
	char path[PATH_MAX];
	int rc = specs_path(path, state_dir, err), fd;

	if (!rc)
		rc = tmk_mkdirs(path, 0700, err);
	if (rc)
		return rc;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot open %s", path);
	while (flock(fd, LOCK_EX))
		if (errno != EINTR) {
			rc = tmk_error_sys(err, -errno, "cannot lock %s", path);
			close(fd);
			return rc;
		}
	return fd;
}

static const char *decode_disk(json_t *body, struct tmk_spec_disk *out)
{
	const char *path, *identity;
	json_int_t size;

	if (json_unpack(body, "{s:s, s:s, s:I !}", "path", &path, "identity", &identity, "size", &size))
		return "a disk has a missing, unknown or wrong field";
	if (!copy_text(out->path, sizeof(out->path), path) || path[0] != '/')
		return "a disk's path is not valid";
	if (!copy_text(out->identity, sizeof(out->identity), identity))
		return "a disk's identity is not valid";
	if (size < TMK_SECTOR || size % TMK_SECTOR)
		return "a disk's size is not valid";
	out->size = size;
	return NULL;
}

/* Returns what is wrong, or NULL. */
static const char *decode(json_t *body, const char *name, struct tmk_spec *out)
{
	const char *own, *uuid, *tracker = tmk_tracker_kinds[TMK_TRACKER_ANY], *wrong = NULL;
	json_int_t version, generation;
	int paused;
	json_t *disks;
	size_t count;

	memset(out, 0, sizeof(*out));
	if (json_unpack(body, "{s:I, s:s, s:s, s:I, s:b, s?:s, s:o !}", "version", &version, "name", &own, "protection", &uuid,
			"generation", &generation, "paused", &paused, "tracker", &tracker, "disks", &disks))
		return "a field is missing, unknown or of the wrong type";
	if (version != VERSION)
		return "its version is not known here";
	if (strcmp(own, name) || !copy_text(out->name, sizeof(out->name), own))
		return "the name inside is another one";
	if (!tmk_unhex(uuid, out->protection, sizeof(out->protection)))
		return "the protection's number is not valid";
	if (tmk_tracker_kind(tracker, &out->tracker))
		return "the tracker is not known";
	if (generation < 0)
		return "the generation is not valid";
	count = json_array_size(disks); /* 0 also if it is no array */
	if (count < 1 || count > TMK_DISKS_MAX)
		return "it must have 1 to 32 disks";
	out->generation = generation;
	out->paused = paused;
	out->disk_count = count;
	for (size_t i = 0; i < count && !wrong; i++)
		wrong = decode_disk(json_array_get(disks, i), &out->disks[i]);
	return wrong;
}

static json_t *encode(const struct tmk_spec *spec)
{
	char uuid[2 * TMK_UUID_SIZE + 1];
	json_t *disks = json_array();

	tmk_hex(spec->protection, sizeof(spec->protection), uuid);
	for (size_t i = 0; i < spec->disk_count && i < TMK_DISKS_MAX; i++) {
		const struct tmk_spec_disk *d = &spec->disks[i];

		if (json_array_append_new(disks, json_pack("{s:s, s:s, s:I}", "path", d->path, "identity", d->identity, "size",
							   (json_int_t)d->size))) {
			json_decref(disks);
			return NULL;
		}
	}
	return json_pack("{s:i, s:s, s:s, s:I, s:b, s:s, s:o}", "version", VERSION, "name", spec->name, "protection", uuid,
			 "generation", (json_int_t)spec->generation, "paused", (int)spec->paused, "tracker",
			 tmk_tracker_kinds[spec->tracker], "disks", disks);
}

static int read_spec(const char *path, const char *name, struct tmk_spec *out, struct tmk_error *err)
{
	const char *wrong;
	json_t *body;
	int rc = load(path, &body, err);

	if (rc == -ENOENT)
		return tmk_error_set(err, -ENOENT, "there is no protection '%s' here; tidemark status lists them", name);
	if (rc)
		return rc;
	wrong = decode(body, name, out);
	json_decref(body);
	return wrong ? damaged(path, wrong, err) : 0;
}

/* What is written must be readable again, so it is decoded first. */
static int write_spec(const char *path, const struct tmk_spec *spec, struct tmk_error *err)
{
	struct tmk_spec *again = malloc(sizeof(*again));
	json_t *body = encode(spec);
	const char *wrong = body && again ? decode(body, spec->name, again) : "out of memory, or a text in it is not UTF-8";

	free(again);
	if (!wrong && spec->disk_count > TMK_DISKS_MAX)
		wrong = "too many disks";
	if (wrong) {
		json_decref(body);
		return tmk_error_set(err, -EINVAL, "cannot store protection '%s': %s", spec->name, wrong);
	}
	return save(path, body, err);
}

int tmk_store_spec(const char *state_dir, const char *name, struct tmk_spec *out, struct tmk_error *err)
{
	char path[PATH_MAX];
	int rc = spec_path(path, state_dir, name, err);

	return rc ? rc : read_spec(path, name, out, err);
}

int tmk_store_put_spec(const char *state_dir, const struct tmk_spec *spec, struct tmk_error *err)
{
	char path[PATH_MAX];
	int rc = spec_path(path, state_dir, spec->name, err), lock;

	if (rc)
		return rc;
	lock = lock_specs(state_dir, err);
	if (lock < 0)
		return lock;
	rc = write_spec(path, spec, err);
	close(lock);
	return rc;
}

/* Reads the spec, sets what is not NULL, replaces it. */
static int change(const char *state_dir, const char *name, const bool *paused, const uint64_t *generation, struct tmk_error *err)
{
	struct tmk_spec *spec;
	char path[PATH_MAX];
	int rc = spec_path(path, state_dir, name, err), lock;

	if (rc)
		return rc;
	lock = lock_specs(state_dir, err);
	if (lock < 0)
		return lock;
	spec = malloc(sizeof(*spec));
	rc = spec ? read_spec(path, name, spec, err) : tmk_error_set(err, -ENOMEM, "out of memory");
	if (!rc) {
		if (paused)
			spec->paused = *paused;
		if (generation)
			spec->generation = *generation;
		rc = write_spec(path, spec, err);
	}
	free(spec);
	close(lock);
	return rc;
}

int tmk_store_set_paused(const char *state_dir, const char *name, bool paused, struct tmk_error *err)
{
	return change(state_dir, name, &paused, NULL, err);
}

int tmk_store_set_generation(const char *state_dir, const char *name, uint64_t generation, struct tmk_error *err)
{
	return change(state_dir, name, NULL, &generation, err);
}

int tmk_store_delete_spec(const char *state_dir, const char *name, struct tmk_error *err)
{
	char path[PATH_MAX];
	int rc = spec_path(path, state_dir, name, err), lock;

	if (rc)
		return rc;
	lock = lock_specs(state_dir, err);
	if (lock < 0)
		return lock;
	if (unlink(path))
		rc = errno == ENOENT
			     ? tmk_error_set(err, -ENOENT, "there is no protection '%s' here; tidemark status lists them", name)
			     : tmk_error_sys(err, -errno, "cannot delete %s", path);
	else if (fsync(lock))
		rc = tmk_error_sys(err, -errno, "%s is deleted, but maybe not for good", path);
	close(lock);
	return rc;
}

/* ---- all of them ---- */

static int is_spec(const struct dirent *entry)
{
	char name[TMK_NAME_MAX + 1];
	size_t length = strlen(entry->d_name), suffix = strlen(SUFFIX);

	if (length <= suffix || length - suffix > TMK_NAME_MAX || strcmp(entry->d_name + length - suffix, SUFFIX))
		return 0;
	memcpy(name, entry->d_name, length - suffix);
	name[length - suffix] = '\0';
	return tmk_name_valid(name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

int tmk_store_names(const char *state_dir, char (**out)[TMK_NAME_MAX + 1], size_t *count, struct tmk_error *err)
{
	struct dirent **entries;
	char path[PATH_MAX];
	int rc = specs_path(path, state_dir, err), n;

	*out = NULL;
	*count = 0;
	if (rc)
		return rc;
	n = scandir(path, &entries, is_spec, NULL);
	if (n < 0)
		return errno == ENOENT ? 0 : tmk_error_sys(err, -errno, "cannot list %s", path);
	*out = calloc(n ? n : 1, sizeof(**out));
	for (int i = 0; i < n; i++) {
		if (*out)
			memcpy((*out)[i], entries[i]->d_name, strlen(entries[i]->d_name) - strlen(SUFFIX));
		free(entries[i]);
	}
	free(entries);
	if (!*out)
		return tmk_error_set(err, -ENOMEM, "out of memory");
	*count = n;
	qsort(*out, n, sizeof(**out), by_name);
	return 0;
}

int tmk_store_specs(const char *state_dir, struct tmk_spec **out, size_t *count, struct tmk_error *err)
{
	char(*names)[TMK_NAME_MAX + 1];
	int rc = tmk_store_names(state_dir, &names, count, err);

	*out = NULL;
	if (rc)
		return rc;
	*out = calloc(*count ? *count : 1, sizeof(**out));
	if (!*out)
		rc = tmk_error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < *count && !rc; i++)
		rc = tmk_store_spec(state_dir, names[i], &(*out)[i], err);
	free(names);
	if (rc) {
		free(*out);
		*out = NULL;
		*count = 0;
	}
	return rc;
}
