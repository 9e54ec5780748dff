/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See roster.h. `lock` guards the list and the entries' fields and is held for short calls only. `change` is held for the whole
 * of starting or stopping something, outermost, so that two threads never start or stop the same one. A protection is stopped
 * outside of `lock`, after its users have gone: its thread may take long to end.
 */
#include "roster.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

struct entry {
	struct entry *next;
	char name[TMK_NAME_MAX + 1];
	struct tmk_protection *protection; /* NULL: broken, see reason */
	char reason[sizeof(((struct tmk_error *)0)->text)];
	unsigned users;
	bool leaving; /* nobody gets it any more */
};
struct tmk_roster {
	const struct tmk_config *config;
	struct tmk_trackers *trackers;
	pthread_mutex_t change;
	pthread_mutex_t lock;
	pthread_cond_t idle; /* an entry lost its last user */
	struct entry *list;  /* by name */
};

static struct entry *find(struct tmk_roster *r, const char *name)
{
	for (struct entry *e = r->list; e; e = e->next)
		if (!strcmp(e->name, name))
			return e;
	return NULL;
}

/* Takes the entry over. */
static void insert(struct tmk_roster *r, struct entry *e)
{
	struct entry **at = &r->list;

	pthread_mutex_lock(&r->lock);
	while (*at && strcmp((*at)->name, e->name) < 0)
		at = &(*at)->next;
	e->next = *at;
	*at = e;
	pthread_mutex_unlock(&r->lock);
}

static struct entry *entry_new(const char *name, struct tmk_error *err)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e || strlen(name) > TMK_NAME_MAX) {
		free(e);
		tmk_error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	memcpy(e->name, name, strlen(name) + 1);
	return e;
}

/* Fills a broken entry's protection from the store, or its reason. */
static void start_stored(struct tmk_roster *r, struct entry *e)
{
	struct tmk_spec *spec = malloc(sizeof(*spec));
	struct tmk_protection *p = NULL;
	struct tmk_error err = {0};
	int rc = spec ? tmk_store_spec(r->config->state_dir, e->name, spec, &err)
		      : tmk_error_set(&err, -ENOMEM, "out of memory; it will be tried again");

	if (!rc)
		rc = tmk_protection_start(&p, r->config, r->trackers, spec, true, &err);
	free(spec);
	pthread_mutex_lock(&r->lock);
	if (rc && strcmp(e->reason, err.text))
		tmk_log_error("protection '%s' cannot start: %s", e->name, err.text);
	memcpy(e->reason, err.text, sizeof(e->reason));
	e->protection = rc ? NULL : p;
	pthread_mutex_unlock(&r->lock);
}

int tmk_roster_open(struct tmk_roster **out, const struct tmk_config *config, struct tmk_trackers *trackers,
		    struct tmk_error *err)
{
	struct tmk_roster *r = calloc(1, sizeof(*r));
	char(*names)[TMK_NAME_MAX + 1] = NULL;
	size_t count = 0;
	int rc;

	if (!r)
		return tmk_error_set(err, -ENOMEM, "out of memory");
	r->config = config;
	r->trackers = trackers;
	pthread_mutex_init(&r->change, NULL);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->idle, NULL);
	rc = tmk_store_names(config->state_dir, &names, &count, err);
	for (size_t i = 0; i < count && !rc; i++) {
		struct entry *e = entry_new(names[i], err);

		if (!e) {
			rc = -ENOMEM;
			break;
		}
		start_stored(r, e);
		insert(r, e);
	}
	free(names);
	if (rc) {
		tmk_roster_close(r);
		return rc;
	}
	*out = r;
	return 0;
}

/* Makes an entry unreachable and returns its protection, which nobody uses any more. Called with `change` held. */
static struct tmk_protection *seclude(struct tmk_roster *r, struct entry *e)
{
	struct tmk_protection *p;

	pthread_mutex_lock(&r->lock);
	e->leaving = true;
	while (e->users)
		pthread_cond_wait(&r->idle, &r->lock);
	p = e->protection;
	e->protection = NULL;
	pthread_mutex_unlock(&r->lock);
	return p;
}

static void stop(struct tmk_roster *r, struct entry *e, bool forget)
{
	struct tmk_protection *p = seclude(r, e);

	if (p)
		tmk_protection_stop(p, forget);
}

void tmk_roster_close(struct tmk_roster *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->change);
	while (r->list) {
		struct entry *e = r->list;

		stop(r, e, false);
		pthread_mutex_lock(&r->lock);
		r->list = e->next;
		pthread_mutex_unlock(&r->lock);
		free(e);
	}
	pthread_mutex_unlock(&r->change);
	pthread_cond_destroy(&r->idle);
	pthread_mutex_destroy(&r->lock);
	pthread_mutex_destroy(&r->change);
	free(r);
}

int tmk_roster_add(struct tmk_roster *r, const struct tmk_spec *spec, struct tmk_error *err)
{
	struct entry *e;
	int rc = 0;

	pthread_mutex_lock(&r->change);
	e = find(r, spec->name) ? NULL : entry_new(spec->name, err);
	if (!e)
		rc = find(r, spec->name) ? tmk_error_set(err, -EEXIST, "there is a protection '%s' already", spec->name)
					 : -ENOMEM;
	else
		rc = tmk_protection_start(&e->protection, r->config, r->trackers, spec, false, err);
	if (!rc)
		insert(r, e);
	else
		free(e);
	pthread_mutex_unlock(&r->change);
	return rc;
}

int tmk_roster_remove(struct tmk_roster *r, const char *name, struct tmk_error *err)
{
	struct entry *e, **at;
	int rc = 0;

	pthread_mutex_lock(&r->change);
	e = find(r, name);
	if (e) {
		stop(r, e, true);
		pthread_mutex_lock(&r->lock);
		for (at = &r->list; *at != e; at = &(*at)->next)
			;
		*at = e->next;
		pthread_mutex_unlock(&r->lock);
		free(e);
	} else {
		rc = tmk_error_set(err, -ENOENT, "there is no protection '%s' here; tidemark status lists them", name);
	}
	pthread_mutex_unlock(&r->change);
	return rc;
}

struct tmk_protection *tmk_roster_get(struct tmk_roster *r, const char *name, struct tmk_error *err)
{
	struct tmk_protection *p = NULL;
	struct entry *e;

	pthread_mutex_lock(&r->lock);
	e = find(r, name);
	if (!e)
		tmk_error_set(err, -ENOENT, "there is no protection '%s' here; tidemark status lists them", name);
	else if (e->leaving)
		tmk_error_set(err, -EBUSY, "protection '%s' is being stopped", name);
	else if (!e->protection)
		tmk_error_set(err, -EUCLEAN, "protection '%s' is not running: %s", name, e->reason);
	else
		p = e->protection;
	if (p)
		e->users++;
	pthread_mutex_unlock(&r->lock);
	return p;
}

void tmk_roster_put(struct tmk_roster *r, const char *name)
{
	struct entry *e;

	pthread_mutex_lock(&r->lock);
	e = find(r, name);
	if (e && e->users && !--e->users)
		pthread_cond_broadcast(&r->idle);
	pthread_mutex_unlock(&r->lock);
}

static json_t *entry_status(const struct entry *e)
{
	if (e->protection)
		return tmk_protection_status(e->protection);
	return json_pack("{s:s, s:s, s:s, s:n}", "name", e->name, "state", "broken", "reason",
			 e->leaving ? "it is being stopped" : e->reason, "point");
}

json_t *tmk_roster_status(struct tmk_roster *r, const char *name, struct tmk_error *err)
{
	json_t *list = json_array();
	bool seen = !name;

	pthread_mutex_lock(&r->lock);
	for (struct entry *e = r->list; e; e = e->next)
		if (!name || !strcmp(name, e->name)) {
			json_array_append_new(list, entry_status(e));
			seen = true;
		}
	pthread_mutex_unlock(&r->lock);
	if (seen)
		return list;
	json_decref(list);
	tmk_error_set(err, -ENOENT, "there is no protection '%s' here; tidemark status lists them", name);
	return NULL;
}

/* Never waits: the daemon's main loop calls it, and comes again. */
void tmk_roster_retry(struct tmk_roster *r)
{
	if (pthread_mutex_trylock(&r->change))
		return;
	for (struct entry *e = r->list; e; e = e->next)
		if (!e->protection)
			start_stored(r, e);
	pthread_mutex_unlock(&r->change);
}

void tmk_roster_restart(struct tmk_roster *r)
{
	pthread_mutex_lock(&r->change);
	for (struct entry *e = r->list; e; e = e->next) {
		stop(r, e, false);
		start_stored(r, e);
		pthread_mutex_lock(&r->lock);
		e->leaving = false;
		pthread_mutex_unlock(&r->lock);
	}
	pthread_mutex_unlock(&r->change);
}
