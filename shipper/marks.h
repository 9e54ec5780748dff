/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tracker behind a lock: one handle, many protections. A handle belongs to one thread at a time. */
#ifndef TMK_MARKS_H
#define TMK_MARKS_H

#include <pthread.h>

#include "error.h"
#include "tracker.h"

struct tmk_marks {
	pthread_mutex_t lock;
	struct tmk_tracker *tracker;
};
/* Takes the lock, returns the tracker; give it back with unlock. */
struct tmk_tracker *tmk_marks_lock(struct tmk_marks *m);
void tmk_marks_unlock(struct tmk_marks *m);
/* tmk_tracker_watch(), for who does not use the tracker otherwise. */
int tmk_marks_watch(struct tmk_marks *m, bool on, struct tmk_error *err);

#endif
