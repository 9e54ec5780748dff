/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See marks.h. */
#include "marks.h"

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
