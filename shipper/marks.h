/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tracker behind a lock: one handle, many protections. Thin: the functions of tracker.h, each under the lock. */
#ifndef TMK_MARKS_H
#define TMK_MARKS_H

#include "error.h"
#include "tracker.h"

struct tmk_marks;
int tmk_marks_open(struct tmk_marks **out, const char *pins, struct tmk_error *err);
void tmk_marks_close(struct tmk_marks *m); /* tracking goes on */
/* Takes the lock, returns the tracker; give it back with unlock. */
struct tmk_tracker *tmk_marks_lock(struct tmk_marks *m);
void tmk_marks_unlock(struct tmk_marks *m);
/* tmk_tracker_watch(), for who does not use the tracker otherwise. */
int tmk_marks_watch(struct tmk_marks *m, bool on, struct tmk_error *err);

#endif
