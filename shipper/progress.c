/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A verify's progress as JSON: see progress.h. */
#include "progress.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

#define SIZE_MAX_FILE 4096
#define BLOCK 4096u /* what is read, and hashed, is whole blocks */

static bool path_of(char path[512], const char *run_dir, const char *name)
{
	return !tmk_path(path, 512, "%s/%s.verify", run_dir, name);
}

static bool unpack(json_t *o, struct tmk_progress *out, char protection[33])
{
	json_int_t done, different, skipped, started, rate = 0, time = 0, last_different = 0, last_skipped = 0;
	int asked, last_asked = 0;
	const char *id;
	json_t *last = NULL;

	if (json_unpack(o, "{s:s, s:b, s:I, s:I, s:I, s:I, s?I, s:o}", "protection", &id, "asked", &asked, "done", &done,
			"different", &different, "skipped", &skipped, "started", &started, "rate", &rate, "last", &last))
		return false;
	if (!json_is_null(last) && json_unpack(last, "{s:b, s:I, s:I, s:I}", "asked", &last_asked, "time", &time, "different",
					       &last_different, "skipped", &last_skipped))
		return false;
	if (done < 0 || different < 0 || skipped < 0 || started < 0 || (uint64_t)started > tmk_now_ms() || rate < 0 || time < 0 ||
	    last_different < 0 || last_skipped < 0)
		return false;
	snprintf(protection, 33, "%s", id);
	*out = (struct tmk_progress){
		.asked = asked,
		.done = (uint64_t)done,
		.different = (uint64_t)different,
		.skipped = (uint64_t)skipped,
		.started = (uint64_t)started,
		.rate = (uint64_t)rate,
	};
	out->last.known = !json_is_null(last);
	out->last.asked = last_asked;
	out->last.time = (uint64_t)time;
	out->last.different = (uint64_t)last_different;
	out->last.skipped = (uint64_t)last_skipped;
	return true;
}

/* A block of a disk begins there: a verify can go on with it. */
static bool sound(const struct tmk_spec *spec, uint64_t done)
{
	uint16_t disk = 0;

	while (disk < spec->disk_count && done >= spec->disks[disk].size)
		done -= spec->disks[disk++].size;
	return disk < spec->disk_count && !(done % BLOCK);
}

bool tmk_progress_load(struct tmk_progress *out, const char *run_dir, const struct tmk_spec *spec)
{
	char path[512], wanted[2 * TMK_UUID_SIZE + 1], found[33] = "", *text = NULL;
	json_t *o = NULL;
	bool good = path_of(path, run_dir, spec->name) && !tmk_read_file(path, SIZE_MAX_FILE, &text, NULL);

	if (good)
		o = json_loads(text, 0, NULL);
	tmk_hex(spec->protection, TMK_UUID_SIZE, wanted);
	good = o && unpack(o, out, found) && !strcmp(found, wanted) && sound(spec, out->done);
	json_decref(o);
	free(text);
	return good;
}

static json_t *integer(uint64_t v)
{
	return json_integer((json_int_t)v);
}

int tmk_progress_save(const struct tmk_progress *p, const char *run_dir, const struct tmk_spec *spec, struct tmk_error *err)
{
	char path[512], id[2 * TMK_UUID_SIZE + 1], *text = NULL;
	json_t *last = json_null(), *o;
	int rc;

	if (!path_of(path, run_dir, spec->name))
		return tmk_error_set(err, -ENAMETOOLONG, "cannot write %.200s...: the path is too long", run_dir);
	tmk_hex(spec->protection, TMK_UUID_SIZE, id);
	if (p->last.known)
		last = json_pack("{s:b, s:o, s:o, s:o}", "asked", p->last.asked, "time", integer(p->last.time), "different",
				 integer(p->last.different), "skipped", integer(p->last.skipped));
	o = json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "protection", id, "asked", p->asked, "done", integer(p->done),
		      "different", integer(p->different), "skipped", integer(p->skipped), "started", integer(p->started), "rate",
		      integer(p->rate), "last", last);
	if (o)
		text = json_dumps(o, JSON_COMPACT);
	rc = text ? tmk_write_file(path, text, strlen(text), 0600, err) : tmk_error_set(err, -ENOMEM, "no memory for %s", path);
	free(text);
	json_decref(o);
	return rc;
}

void tmk_progress_remove(const char *run_dir, const char *name)
{
	char path[512];

	if (path_of(path, run_dir, name))
		unlink(path);
}
