/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See marks.h. A handle of the tracker belongs to one thread at a time; the mutex makes that so. */
#include "marks.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct tmk_marks {
	pthread_mutex_t lock;
	struct tmk_tracker *tracker;
};

int tmk_marks_open(struct tmk_marks **out, const char *pins, struct tmk_error *err)
{
	struct tmk_marks *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return tmk_error_set(err, -ENOMEM, "out of memory while opening the tracker");
	rc = tmk_tracker_open(&m->tracker, pins, err);
	if (rc) {
		free(m);
		return rc;
	}
	pthread_mutex_init(&m->lock, NULL);
	*out = m;
	return 0;
}

void tmk_marks_close(struct tmk_marks *m)
{
	if (!m)
		return;
	tmk_tracker_close(m->tracker);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

struct tmk_tracker *tmk_marks_lock(struct tmk_marks *m)
{
	pthread_mutex_lock(&m->lock);
	return m->tracker;
}

void tmk_marks_unlock(struct tmk_marks *m)
{
	pthread_mutex_unlock(&m->lock);
}

int tmk_marks_watch(struct tmk_marks *m, bool on, struct tmk_error *err)
{
	int rc = tmk_tracker_watch(tmk_marks_lock(m), on, err);

	tmk_marks_unlock(m);
	return rc;
}
