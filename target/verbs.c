/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs of the control socket: see verbs.h. In the supervisor's loop; long work is a job's (jobs.h). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"
#include "layout.h"
#include "ledger.h"
#include "log.h"
#include "pick.h"
#include "pki.h"
#include "show.h"
#include "sum.h"
#include "util.h"
#include "verbs.h"

#define POINTS_MOST 4096
#define DAY 86400
#define PEM_MOST 8191

__attribute__((format(printf, 3, 4))) static void fail(struct tmk_control_call *call, int code, const char *format, ...)
{
	struct tmk_error err = {.code = code};
	va_list args;
	va_start(args, format);
	vsnprintf(err.text, sizeof(err.text), format, args);
	va_end(args);
	tmk_control_error(call, &err);
}

/* json_unpack_ex() with a sentence for the one who asked. */
__attribute__((format(printf, 2, 0))) static bool unpack(struct tmk_control_call *call, const char *format, ...);
static bool unpack(struct tmk_control_call *call, const char *format, ...)
{
	json_error_t bad;
	va_list args;
	va_start(args, format);
	bool good = json_vunpack_ex(tmk_control_args(call), &bad, JSON_STRICT, format, args) == 0;
	va_end(args);
	if (!good)
		fail(call, -EINVAL, "%s: %.300s", tmk_control_verb(call), bad.text);
	return good;
}

static struct tmk_holding *find(const struct tmk_verbs *v, struct tmk_control_call *call, const char *name)
{
	struct tmk_holding *h = tmk_holdings_find(v->holdings, name);
	if (!h)
		fail(call, -ENOENT, "there is no protection '%.100s' here: `tidemark status` shows what there is", name);
	return h;
}

/* ---- points ---- */

struct points {
	const struct tmk_holding *holding;
	size_t count;
	struct tmk_point *list;
};

static int add_point(const struct tmk_point *p, void *context)
{
	struct points *points = context;
	/* What the applier has not seen the replica equal since this supervisor started is not shown. */
	if (points->count == POINTS_MOST || p->number != points->holding->at.point)
		return 0;
	struct tmk_point *more = realloc(points->list, (points->count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	points->list = more;
	more[points->count++] = *p;
	return 0;
}

static int list_points(const struct tmk_verbs *v, const struct tmk_holding *h, struct points *out, struct tmk_error *err)
{
	*out = (struct points){.holding = h};
	const struct tmk_point *newest = tmk_ledger_newest(h);
	if (newest)
		return add_point(newest, out) ? tmk_error_set(err, -ENOMEM, "no memory") : 0;
	int bad = tmk_catalogue_points(v->catalogue, h->row.name, add_point, out, err);
	if (bad)
		free(out->list);
	return bad;
}

static int show_points(const struct tmk_verbs *v, const struct tmk_holding *h, json_t *list, struct tmk_error *err)
{
	struct points found;
	int bad = list_points(v, h, &found, err);
	if (bad)
		return bad;
	for (size_t i = 0; i < found.count; i++)
		json_array_append_new(list, tmk_show_point(&found.list[i], h->row.name));
	free(found.list);
	return 0;
}

static void points(const struct tmk_verbs *v, struct tmk_control_call *call)
{
	const char *name = NULL;
	struct tmk_error err = {0};
	if (!unpack(call, "{s?s}", "name", &name) || (name && !find(v, call, name)))
		return;
	json_t *list = json_array();
	int bad = 0;
	for (struct tmk_holding *h = tmk_holdings_first(v->holdings); h && !bad; h = h->next)
		if (!name || !strcmp(name, h->row.name))
			bad = show_points(v, h, list, &err);
	if (!bad) {
		tmk_control_result(call, json_pack("{s:o}", "points", list));
		return;
	}
	json_decref(list);
	tmk_control_error(call, &err);
}

static json_t *show(const struct tmk_verbs *v, const struct tmk_holding *h)
{
	struct points found;
	struct tmk_error err = {0};
	if (list_points(v, h, &found, &err)) { /* its trouble is shown */
		found = (struct points){0};
	}
	json_t *json = tmk_show_protection(h, found.count ? found.list : NULL);
	free(found.list);
	const char *trouble = tmk_catalogue_trouble(v->catalogue);
	if (trouble && !json_string_length(json_object_get(json, "reason")))
		json_object_set_new(json, "reason", json_string(trouble));
	return json;
}

static void status(const struct tmk_verbs *v, struct tmk_control_call *call)
{
	const char *name = NULL;
	if (!unpack(call, "{s?s}", "name", &name) || (name && !find(v, call, name)))
		return;
	json_t *list = json_array();
	for (struct tmk_holding *h = tmk_holdings_first(v->holdings); h; h = h->next)
		if (!name || !strcmp(name, h->row.name))
			json_array_append_new(list, show(v, h));
	tmk_control_result(call, json_pack("{s:s, s:s, s:I, s:o}", "role", "target", "directory", v->settings->directory, "port",
					   (json_int_t)v->settings->port, "protections", list));
}

/* ---- jobs ---- */

/* A verb that waits for a job. finish() is called once, with the job's end, and answers. */
struct waiting {
	const struct tmk_verbs *verbs;
	struct tmk_control_call *call;
	char name[TMK_NAME_MAX + 1];
	json_t *result; /* what a good end answers */
	int code;
	char text[512];
	bool done;
	void (*finish)(struct waiting *w);
};

static struct waiting *wait_for(const struct tmk_verbs *v, struct tmk_control_call *call, const char *name,
				void (*finish)(struct waiting *w))
{
	struct waiting *w = calloc(1, sizeof(*w));
	if (!w) {
		fail(call, -ENOMEM, "no memory");
		return NULL;
	}
	w->verbs = v;
	w->call = call;
	w->finish = finish;
	snprintf(w->name, sizeof(w->name), "%s", name);
	return w;
}

/* Answers, if the client is still there, and ends the wait. */
static void answer(struct waiting *w)
{
	struct tmk_error err = {.code = w->code};
	snprintf(err.text, sizeof(err.text), "%s", w->text);
	if (w->call && w->code)
		tmk_control_error(w->call, &err);
	else if (w->call)
		tmk_control_result(w->call, json_incref(w->result));
	json_decref(w->result);
	free(w);
}

static int job_message(struct tmk_member *member, const struct tmk_message *m, void *context)
{
	struct waiting *w = context;
	struct tmk_reader r = tmk_message_reader(m);
	if (m->type == TMK_MESSAGE_PROGRESS) {
		uint64_t done = tmk_get_u64(&r), total = tmk_get_u64(&r);
		if (!tmk_reader_done(&r))
			return -EBADMSG;
		if (!tmk_control_progress(w->call, json_pack("{s:I, s:I}", "done", (json_int_t)done, "total", (json_int_t)total)))
			tmk_member_stop(member);
		return 0;
	}
	if (m->type == TMK_MESSAGE_EXPORTED) {
		json_object_set_new(w->result, "number", json_integer((json_int_t)tmk_get_u64(&r)));
		return tmk_reader_done(&r) ? 0 : -EBADMSG;
	}
	w->code = tmk_channel_get_code(&r);
	tmk_get_string(&r, w->text, sizeof(w->text));
	w->done = true;
	return m->type == TMK_MESSAGE_DONE && tmk_reader_done(&r) ? 0 : -EBADMSG;
}

static void job_gone(struct tmk_member *member, int status, void *context)
{
	struct waiting *w = context;
	(void)member;
	if (!w->done) {
		w->code = -EIO;
		snprintf(w->text, sizeof(w->text), "%s: its process ended without a result (status %d)", w->name, status);
	}
	w->finish(w);
}

static const struct tmk_member_ops job_ops = {.message = job_message, .gone = job_gone};

/* The start's contexts are copied by the fork. */
static bool start_job(struct waiting *w, const struct tmk_child_start *start)
{
	if (tmk_crew_start(w->verbs->crew, start, &job_ops, w))
		return true;
	w->code = -errno;
	snprintf(w->text, sizeof(w->text), "no process left: %s", strerror(errno));
	w->finish(w);
	return false;
}

/* ---- export ---- */

static bool check_export(struct tmk_control_call *call, const struct tmk_holding *h, const char *format, const char *to, int disk)
{
	if (strcmp(format, "raw"))
		fail(call, -EOPNOTSUPP, "format '%.50s' is not known to this version: it writes raw", format);
	else if (to[0] != '/')
		fail(call, -EINVAL, "--to has to be an absolute path, not '%.200s'", to);
	else if (disk < -1 || disk >= h->row.disk_count)
		fail(call, -EINVAL, "%s has no disk %d: they are numbered from 0 to %d", h->row.name, disk,
		     h->row.disk_count - 1);
	else if (strlen(to) >= PATH_MAX)
		fail(call, -ENAMETOOLONG, "--to is too long a path");
	else
		return true;
	return false;
}

static uint64_t export_bytes(const struct tmk_holding *h, int disk)
{
	uint64_t total = 0;
	for (int i = 0; i < h->row.disk_count; i++)
		if (disk < 0 || i == disk)
			total += h->row.disks[i].size;
	return total;
}

static void export(const struct tmk_verbs *v, struct tmk_control_call *call)
{
	const char *name, *point = "", *format = "raw", *to;
	int disk = -1;
	struct points found;
	struct tmk_error err = {0};
	if (!unpack(call, "{s:s, s?s, s?s, s:s, s?i}", "name", &name, "point", &point, "format", &format, "to", &to, "disk",
		    &disk))
		return;
	struct tmk_holding *h = find(v, call, name);
	if (!h || !check_export(call, h, format, to, disk))
		return;
	if (list_points(v, h, &found, &err)) {
		tmk_control_error(call, &err);
		return;
	}
	int picked = tmk_pick_point(found.list, found.count, point, &err);
	if (picked < 0) {
		free(found.list);
		tmk_control_error(call, &err);
		return;
	}
	static struct tmk_job_export job;
	job = (struct tmk_job_export){
		.dir = h->dir,
		.point = found.list[picked].number,
		.latest = !point[0] || !strcmp(point, "latest"),
		.disk = disk,
	};
	snprintf(job.to, sizeof(job.to), "%s", to);
	struct waiting *w = wait_for(v, call, name, answer);
	if (w) {
		const struct tmk_child_start start = {.title = "tidemark-export",
						      .run = tmk_job_export_run,
						      .context = &job,
						      .keep = {h->dir},
						      .keep_count = 1};
		w->result = json_pack("{s:s, s:I, s:I}", "to", to, "number", (json_int_t)job.point, "bytes",
				      (json_int_t)export_bytes(h, disk));
		start_job(w, &start);
	}
	free(found.list);
}

/* ---- drop ---- */

static void finish_reset(struct waiting *w)
{
	struct tmk_holding *h = tmk_holdings_find(w->verbs->holdings, w->name);
	if (h && !w->code) {
		tmk_log_warning("%s: started over; the source copies anew", w->name);
		tmk_holding_emptied(h);
	}
	if (h)
		tmk_holding_resume(h);
	answer(w);
}

static void reset(struct tmk_holding *h, void *context)
{
	struct waiting *w = context;
	struct tmk_job_reset job = {.dir = h->dir, .generation = h->row.generation, .sizes.count = h->row.disk_count};
	for (unsigned i = 0; i < h->row.disk_count; i++)
		job.sizes.sizes[i] = h->row.disks[i].size;
	memcpy(job.protection, h->row.protection, sizeof(job.protection));
	const struct tmk_child_start start = {
		.title = "tidemark-reset", .run = tmk_job_reset_run, .context = &job, .keep = {h->dir}, .keep_count = 1};
	w->result = json_pack("{s:s, s:b}", "name", w->name, "restarted", 1);
	start_job(w, &start);
}

static void gave_up(struct tmk_holding *h, int code, const char *text, void *context)
{
	struct waiting *w = context;
	if (!code)
		tmk_log_warning("%s: the newest point was given up", h->row.name);
	w->code = code;
	snprintf(w->text, sizeof(w->text), "%s", text);
	w->result = json_pack("{s:s, s:b}", "name", w->name, "restarted", 0);
	answer(w);
}

/* The newest point is the only one: what names another is an error that says so. */
static bool check_dropped(const struct tmk_verbs *v, struct tmk_control_call *call, const struct tmk_holding *h,
			  const char *point)
{
	struct points found;
	struct tmk_error err = {0};
	if (!point[0])
		return true;
	int bad = list_points(v, h, &found, &err);
	if (!bad) {
		bad = tmk_pick_point(found.list, found.count, point, &err);
		free(found.list);
	}
	if (bad < 0)
		tmk_control_error(call, &err);
	return bad >= 0;
}

static void drop(const struct tmk_verbs *v, struct tmk_control_call *call)
{
	const char *name, *point = "";
	int now = 0;
	if (!unpack(call, "{s:s, s?s, s?b}", "name", &name, "point", &point, "now", &now))
		return;
	struct tmk_holding *h = find(v, call, name);
	if (!h)
		return;
	if (!now) {
		fail(call, -EPERM,
		     "the newest point is the only one: until the next mark there would be none. Say --now if that is meant");
		return;
	}
	if (!tmk_holding_broken(h) && !check_dropped(v, call, h, point))
		return;
	struct waiting *w = wait_for(v, call, name, tmk_holding_broken(h) ? finish_reset : answer);
	if (!w)
		return;
	w->code = tmk_holding_broken(h) ? tmk_holding_quiesce(h, reset, w) : tmk_holding_give_up(h, gave_up, w);
	if (!w->code)
		return;
	snprintf(w->text, sizeof(w->text), "%s: somebody else is at work on it, or its applier is starting: try again", name);
	answer(w);
}

/* ---- delete ---- */

static void finish_delete(struct waiting *w)
{
	if (w->code)
		tmk_log_error("%s is deleted, but files of it are left: %s", w->name, w->text);
	answer(w);
}

/* The catalogue first: a directory without a row is taken up by its own source alone, a row without one is broken. */
static int take_away(const struct tmk_verbs *v, struct tmk_holding *h, char to[TMK_NAME_MAX + 40], struct tmk_error *err)
{
	int bad = tmk_layout_discard(v->root, h->row.name, to, err);
	if (bad == -ENOENT)
		to[0] = 0;
	if (bad && bad != -ENOENT)
		return bad;
	return tmk_catalogue_protection_delete(v->catalogue, h->row.name, err);
}

static void delete_quiet(struct tmk_holding *h, bool now, struct waiting *w)
{
	struct tmk_error err = {0};
	struct tmk_job_remove job = {.root = w->verbs->root};
	w->code = take_away(w->verbs, h, job.path, &err);
	if (w->code) {
		snprintf(w->text, sizeof(w->text), "%s", err.text);
		tmk_holding_resume(h);
		answer(w);
		return;
	}
	tmk_log_warning("%s is deleted", w->name);
	tmk_holding_forget(h);
	const struct tmk_child_start start = {
		.title = "tidemark-delete", .run = tmk_job_remove_run, .context = &job, .keep = {job.root}, .keep_count = 1};
	if (now || !job.path[0]) {
		w->result = json_pack("{s:s, s:n}", "name", w->name, "kept");
		if (job.path[0])
			start_job(w, &start);
		else
			answer(w);
		return;
	}
	char kept[PATH_MAX];
	snprintf(kept, sizeof(kept), "%s/%s", w->verbs->settings->directory, job.path);
	w->result = json_pack("{s:s, s:s}", "name", w->name, "kept", kept);
	answer(w);
}

static void delete_now(struct tmk_holding *h, void *context)
{
	delete_quiet(h, true, context);
}

static void delete_later(struct tmk_holding *h, void *context)
{
	delete_quiet(h, false, context);
}

static void delete (const struct tmk_verbs *v, struct tmk_control_call *call)
{
	const char *name;
	int now = 0;
	if (!unpack(call, "{s:s, s?b}", "name", &name, "now", &now))
		return;
	struct tmk_holding *h = find(v, call, name);
	struct waiting *w = h ? wait_for(v, call, name, finish_delete) : NULL;
	if (!w)
		return;
	int bad = tmk_holding_quiesce(h, now ? delete_now : delete_later, w);
	if (!bad)
		return;
	w->code = bad;
	snprintf(w->text, sizeof(w->text), "%s: somebody else is at work on it: try again", name);
	answer(w);
}

/* ---- certificates ---- */

static int make_token(const struct tmk_verbs *v, uint32_t uses, uint64_t expires, char out[TMK_TOKEN_MAX], struct tmk_error *err)
{
	struct tmk_token token;
	char path[PATH_MAX], *pem;
	uint8_t fingerprint[32];
	int bad = tmk_path(path, sizeof(path), "%s/authority.pem", v->pki);
	if (!bad)
		bad = tmk_read_file(path, PEM_MOST, &pem, err);
	if (bad)
		return bad;
	bad = tmk_pki_fingerprint(pem, fingerprint, err);
	free(pem);
	tmk_random(token.secret, sizeof(token.secret));
	memcpy(token.authority, fingerprint, sizeof(token.authority));
	if (!bad)
		bad = tmk_catalogue_token_add(v->catalogue, token.secret, uses, expires, err);
	if (!bad)
		tmk_token_format(&token, out);
	explicit_bzero(&token, sizeof(token));
	return bad;
}

static void token(const struct tmk_verbs *v, struct tmk_control_call *call)
{
	json_int_t uses = 1, seconds = DAY;
	struct tmk_error err = {0};
	char text[TMK_TOKEN_MAX], until[32];
	if (!unpack(call, "{s?I, s?I}", "uses", &uses, "seconds", &seconds))
		return;
	if (uses < 1 || uses > 1000000 || seconds < 1 || seconds > 366 * DAY) {
		fail(call, -EINVAL, "a token is good for 1 to 1000000 uses and for at most 366 days");
		return;
	}
	uint64_t expires = tmk_clock_ns() / 1000000000 + (uint64_t)seconds;
	if (make_token(v, (uint32_t)uses, expires, text, &err)) {
		tmk_control_error(call, &err);
		return;
	}
	tmk_pick_format(expires * 1000000000, until);
	tmk_control_result(call, json_pack("{s:s, s:I, s:s}", "token", text, "uses", uses, "expires", until));
	explicit_bzero(text, sizeof(text));
}

static void revoke(const struct tmk_verbs *v, struct tmk_control_call *call)
{
	const char *name;
	char host[128];
	struct tmk_error err = {0};
	if (!unpack(call, "{s:s}", "name", &name))
		return;
	if (tmk_catalogue_certificate_revoke(v->catalogue, name, &err)) {
		tmk_control_error(call, &err);
		return;
	}
	tmk_log_warning("the certificate of %s was revoked", name);
	for (struct tmk_holding *h = tmk_holdings_first(v->holdings); h; h = h->next)
		if (tmk_catalogue_certificate_known(v->catalogue, h->row.owner, host, NULL) == -EACCES)
			tmk_holding_refuse(h, TMK_REFUSE_CERTIFICATE, "the certificate was revoked on the target");
	tmk_control_result(call, json_pack("{s:s}", "name", name));
}

static const struct {
	const char *name;
	void (*answer)(const struct tmk_verbs *v, struct tmk_control_call *call);
} verbs[] = {
	{"status", status}, {"points", points}, {"export", export}, {"drop", drop},
	{"delete", delete}, {"token", token},	{"revoke", revoke},
};

void tmk_verbs_answer(const struct tmk_verbs *v, struct tmk_control_call *call)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strcmp(verbs[i].name, tmk_control_verb(call)))
			continue;
		verbs[i].answer(v, call);
		return;
	}
	fail(call, -EINVAL, "'%.50s' is not a verb of the target", tmk_control_verb(call));
}
