/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See verbs.h. A verb gets its checked arguments' object, and returns 0 with a result or -errno with a sentence. Verbs that write
 * to the store hold daemon->change; status and mark do not.
 */
#include "verbs.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "join.h"
#include "log.h"
#include "message.h"
#include "protect.h"
#include "sum.h"
#include "util.h"

#define MARK_POLL_MS 100

struct answer {
	struct tmk_daemon *daemon;
	struct tmk_control_call *call;
	json_t *args;
	json_t *result;
	bool gone; /* the client left: nobody to answer to */
	struct tmk_error err;
};

/* json_unpack(3) with "!" names what is missing, wrong or unknown. */
#define unpack(a, ...)                                                                                                           \
	({                                                                                                                       \
		json_error_t where_;                                                                                             \
		json_unpack_ex((a)->args, &where_, 0, __VA_ARGS__)                                                               \
			? tmk_error_set(&(a)->err, -EINVAL, "the arguments do not fit this verb: %s", where_.text)               \
			: 0;                                                                                                     \
	})

static int finish(struct answer *a, json_t *result)
{
	a->result = result;
	return result ? 0 : tmk_error_set(&a->err, -ENOMEM, "done, but out of memory for the answer");
}

static int verb_join(struct answer *a)
{
	struct tmk_daemon *d = a->daemon;
	struct tmk_target_address target;
	const char *address, *token;
	char hex[65];
	uint8_t fingerprint[32];
	int again = 0;
	int rc = unpack(a, "{s:s, s:s, s?b !}", "target", &address, "token", &token, "again", &again);

	if (!rc)
		rc = tmk_join_address(address, &target, &a->err);
	if (rc)
		return rc;
	pthread_mutex_lock(&d->change);
	rc = tmk_join(d->config.state_dir, &target, token, again, fingerprint, &a->err);
	if (!rc) /* what runs connects at once, with the new certificate */
		tmk_roster_restart(d->roster);
	pthread_mutex_unlock(&d->change);
	if (rc)
		return rc;
	tmk_log_info("joined %s:%u", target.host, target.port);
	tmk_hex(fingerprint, sizeof(fingerprint), hex);
	return finish(a, json_pack("{s:s, s:i, s:s}", "host", target.host, "port", (int)target.port, "fingerprint", hex));
}

static json_t *spec_json(const struct tmk_spec *spec, enum tmk_tracker_kind tracker)
{
	char hex[2 * TMK_UUID_SIZE + 1];
	json_t *disks = json_array();

	for (size_t i = 0; i < spec->disk_count; i++)
		json_array_append_new(disks, json_pack("{s:s, s:s, s:I}", "path", spec->disks[i].path, "identity",
						       spec->disks[i].identity, "size", (json_int_t)spec->disks[i].size));
	tmk_hex(spec->protection, sizeof(spec->protection), hex);
	return json_pack("{s:s, s:s, s:s, s:o}", "name", spec->name, "protection", hex, "tracker", tmk_tracker_kinds[tracker],
			 "disks", disks);
}

static int verb_protect(struct answer *a)
{
	const char *name, *tracker = tmk_tracker_kinds[TMK_TRACKER_ANY], *paths[TMK_DISKS_MAX];
	struct tmk_chosen chosen;
	enum tmk_tracker_kind kind;
	struct tmk_spec *spec;
	json_t *disks;
	size_t count;
	int rc = unpack(a, "{s:s, s?:s, s:o !}", "name", &name, "tracker", &tracker, "disks", &disks);

	if (rc)
		return rc;
	if (tmk_tracker_kind(tracker, &kind))
		return tmk_error_set(&a->err, -EINVAL, "there is no tracker '%s': module, ebpf or any", tracker);
	count = json_array_size(disks); /* 0 also if it is no array */
	if (count < 1 || count > TMK_DISKS_MAX)
		return tmk_error_set(&a->err, -EINVAL, "a protection has 1 to %d disks", TMK_DISKS_MAX);
	for (size_t i = 0; i < count; i++) {
		paths[i] = json_string_value(json_array_get(disks, i));
		if (!paths[i])
			return tmk_error_set(&a->err, -EINVAL, "the arguments do not fit this verb: a disk is no string");
	}
	spec = malloc(sizeof(*spec));
	if (!spec)
		return tmk_error_set(&a->err, -ENOMEM, "out of memory");
	pthread_mutex_lock(&a->daemon->change);
	rc = tmk_protect(a->daemon, name, paths, count, kind, spec, &a->err);
	if (!rc)
		rc = tmk_trackers_choose(a->daemon->trackers, kind, &chosen, &a->err);
	pthread_mutex_unlock(&a->daemon->change);
	if (!rc) {
		tmk_log_info("protection '%s' began with %zu disk%s", name, count, count > 1 ? "s" : "");
		rc = finish(a, spec_json(spec, chosen.kind));
	}
	free(spec);
	return rc;
}

/* Stopped first: a crash in between leaves a protection that is stored and starts again, never a tracked disk without one. */
static int verb_unprotect(struct answer *a)
{
	struct tmk_daemon *d = a->daemon;
	struct tmk_target_address target;
	const char *name;
	int rc = unpack(a, "{s:s !}", "name", &name);

	if (rc)
		return rc;
	pthread_mutex_lock(&d->change);
	rc = tmk_roster_remove(d->roster, name, &a->err);
	if (!rc || rc == -ENOENT) /* stored and not running: what a failed deletion left */
		rc = tmk_store_delete_spec(d->config.state_dir, name, &a->err);
	pthread_mutex_unlock(&d->change);
	if (rc)
		return rc;
	tmk_log_info("protection '%s' ended; the target keeps its replica", name);
	rc = tmk_store_target(d->config.state_dir, &target, NULL);
	return finish(a, json_pack("{s:s, s:s?}", "name", name, "target", rc ? NULL : target.host));
}

static int set_paused(struct answer *a, bool paused)
{
	struct tmk_daemon *d = a->daemon;
	struct tmk_protection *p;
	const char *name;
	int rc = unpack(a, "{s:s !}", "name", &name);

	if (rc)
		return rc;
	pthread_mutex_lock(&d->change);
	p = tmk_roster_get(d->roster, name, &a->err);
	rc = p ? tmk_store_set_paused(d->config.state_dir, name, paused, &a->err) : a->err.code;
	if (!rc)
		tmk_protection_pause(p, paused);
	if (p)
		tmk_roster_put(d->roster, name);
	pthread_mutex_unlock(&d->change);
	if (rc)
		return rc;
	return finish(a, json_pack("{s:s, s:b}", "name", name, "paused", (int)paused));
}

static int verb_pause(struct answer *a)
{
	return set_paused(a, true);
}

static int verb_resume(struct answer *a)
{
	return set_paused(a, false);
}

/* The client says nothing behind its request: anything on the descriptor means that it left. */
static bool client_left(struct tmk_control_call *call)
{
	struct pollfd fd = {.fd = tmk_control_fd(call), .events = POLLIN | POLLRDHUP};

	return poll(&fd, 1, MARK_POLL_MS) > 0;
}

/* The protection is looked up each time, so that a long wait does not keep it from being removed. */
static int wait_marked(struct answer *a, const char *name, const uint8_t id[16])
{
	for (;;) {
		struct tmk_protection *p = tmk_roster_get(a->daemon->roster, name, &a->err);
		int rc = p ? tmk_protection_marked(p, id, &a->err) : a->err.code;

		if (p)
			tmk_roster_put(a->daemon->roster, name);
		if (p && rc == -ENOENT)
			return tmk_error_set(&a->err, -ECANCELED,
					     "protection '%s' was started again before the point was made; ask once more", name);
		if (rc != -EAGAIN)
			return rc;
		if (client_left(a->call)) {
			a->gone = true;
			return -EPIPE;
		}
		if (a->daemon->stopping)
			return tmk_error_set(&a->err, -ESHUTDOWN,
					     "the shipper is stopping; whether the point was made, status shows");
	}
}

static int verb_mark(struct answer *a)
{
	const char *name, *label = "";
	int app = 0, wait = 0, rc;
	struct tmk_protection *p;
	uint8_t id[16];
	char hex[33];

	rc = unpack(a, "{s:s, s?b, s?s, s?b !}", "name", &name, "app", &app, "label", &label, "wait", &wait);
	if (rc)
		return rc;
	if (strlen(label) > TMK_LABEL_MAX || strpbrk(label, "\n\r\t"))
		return tmk_error_set(&a->err, -EINVAL, "a label is one line of at most %d bytes", TMK_LABEL_MAX);
	p = tmk_roster_get(a->daemon->roster, name, &a->err);
	if (!p)
		return a->err.code;
	tmk_random(id, sizeof(id));
	tmk_hex(id, sizeof(id), hex);
	rc = tmk_protection_mark(p, app, label, id, &a->err);
	tmk_roster_put(a->daemon->roster, name);
	if (!rc && wait) {
		a->gone = !tmk_control_progress(a->call, json_pack("{s:s}", "id", hex));
		rc = a->gone ? -EPIPE : wait_marked(a, name, id);
	}
	if (rc)
		return rc;
	return finish(a, json_pack("{s:s, s:s, s:b}", "name", name, "id", hex, "durable", wait));
}

/* An asked pass came to its end since. A cancelled one leaves nothing, and another one may be under way already. */
static bool ended_well(const struct tmk_verify_state *before, const struct tmk_verify_state *now)
{
	return now->pass.last.asked && now->pass.last.time != before->pass.last.time;
}

/* Until the pass that was asked for then is over. */
static int wait_verified(struct answer *a, const char *name, const struct tmk_verify_state *before, struct tmk_verify_state *out)
{
	bool waits;

	for (;;) {
		struct tmk_protection *p = tmk_roster_get(a->daemon->roster, name, &a->err);

		if (!p)
			return a->err.code;
		tmk_protection_verified(p, out, &waits);
		tmk_roster_put(a->daemon->roster, name);
		if (!waits && (out->passes != before->passes || !out->pass.asked))
			return ended_well(before, out) ? 0 : tmk_error_set(&a->err, -ECANCELED, "the verify was cancelled");
		if (client_left(a->call) ||
		    !tmk_control_progress(a->call, json_pack("{s:I, s:I}", "done", (json_int_t)out->pass.done, "total",
							     (json_int_t)out->total))) {
			a->gone = true;
			return -EPIPE;
		}
		if (a->daemon->stopping)
			return tmk_error_set(&a->err, -ESHUTDOWN,
					     "the shipper is stopping; the next one goes on with the verify");
	}
}

static int begin_verify(struct answer *a, const char *name, bool cancel, uint64_t rate, struct tmk_verify_state *before)
{
	struct tmk_protection *p = tmk_roster_get(a->daemon->roster, name, &a->err);
	int rc;

	if (!p)
		return a->err.code;
	rc = cancel ? tmk_protection_verify_cancel(p, &a->err) : tmk_protection_verify(p, rate, before, &a->err);
	tmk_roster_put(a->daemon->roster, name);
	return rc;
}

static int verb_verify(struct answer *a)
{
	const char *name;
	int wait = 0, cancel = 0, rc;
	json_int_t rate = 0;
	struct tmk_verify_state before, v = {0};

	rc = unpack(a, "{s:s, s?b, s?b, s?I !}", "name", &name, "wait", &wait, "cancel", &cancel, "rate", &rate);
	if (rc)
		return rc;
	if (rate < 0 || (cancel && (wait || rate)))
		return tmk_error_set(&a->err, -EINVAL, "rate is bytes a second; cancel goes with nothing else");
	rc = begin_verify(a, name, cancel, (uint64_t)rate, &before);
	if (!rc && wait)
		rc = wait_verified(a, name, &before, &v);
	if (rc)
		return rc;
	return finish(a,
		      json_pack("{s:s, s:b, s:b, s:I, s:I}", "name", name, "ended", wait, "cancelled", cancel, "different_bytes",
				(json_int_t)v.pass.last.different, "skipped_bytes", (json_int_t)v.pass.last.skipped));
}

static int verb_status(struct answer *a)
{
	struct tmk_target_address target;
	struct tmk_error broken = {0};
	json_t *list, *address = NULL;
	const char *name = NULL;
	int rc = unpack(a, "{s?s !}", "name", &name);

	if (rc)
		return rc;
	list = tmk_roster_status(a->daemon->roster, name, &a->err);
	if (!list)
		return a->err.code;
	rc = tmk_store_target(a->daemon->config.state_dir, &target, &broken);
	if (!rc)
		address = json_pack("{s:s, s:i}", "host", target.host, "port", (int)target.port);
	return finish(a, json_pack("{s:s, s:o?, s:s, s:o}", "role", "source", "target", address, "target_reason", broken.text,
				   "protections", list));
}

static const struct {
	const char *name;
	int (*run)(struct answer *a);
} verbs[] = {
	{"join", verb_join},	 {"protect", verb_protect}, {"unprotect", verb_unprotect}, {"pause", verb_pause},
	{"resume", verb_resume}, {"mark", verb_mark},	    {"verify", verb_verify},	   {"status", verb_status},
};

static int run(struct answer *a, const char *verb)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(verb, verbs[i].name))
			return verbs[i].run(a);
	return tmk_error_set(&a->err, -ENOSYS, "the shipper has no verb '%s'; points, export and drop belong to the target",
			     verb);
}

void tmk_verbs_answer(struct tmk_daemon *d, struct tmk_control_call *call)
{
	struct answer a = {.daemon = d, .call = call};
	json_t *none = NULL;
	int rc;

	a.args = tmk_control_args(call);
	if (!a.args)
		a.args = none = json_object();
	rc = run(&a, tmk_control_verb(call));
	if (!rc) {
		tmk_control_result(call, a.result);
	} else {
		if (a.gone || !a.err.text[0])
			tmk_error_sys(&a.err, rc, a.gone ? "the client left" : "the verb failed");
		tmk_control_error(call, &a.err);
	}
	json_decref(none);
}
