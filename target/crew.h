/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's children as a table: their channels in its event loop, their deadlines, their ends. What a child says and
 * what its end means is the business of the one who started it.
 *
 * A member lives until its gone() was called: first everything that it had sent, then gone(), also for one that was killed.
 */
#ifndef TMK_CREW_H
#define TMK_CREW_H

#include <stdbool.h>
#include <stdint.h>

#include "channel.h"
#include "child.h"

struct tmk_crew;
struct tmk_member;

struct tmk_member_ops {
	/* A message; its descriptor is closed behind it. Not 0: it does not belong here, and the child is killed. */
	int (*message)(struct tmk_member *member, const struct tmk_message *m, void *context);
	void (*gone)(struct tmk_member *member, int status, void *context); /* status: of waitpid(2) */
};

/* epoll: the loop's descriptor; events of channels carry the member as data.ptr. */
int tmk_crew_new(struct tmk_crew **out, int epoll);
/* Kills whoever is left, waits for them, tells nobody. */
void tmk_crew_free(struct tmk_crew *c);
/* NULL with errno set if there is no process to be had. */
struct tmk_member *tmk_crew_start(struct tmk_crew *c, const struct tmk_child_start *start, const struct tmk_member_ops *ops,
				  void *context);
size_t tmk_crew_count(const struct tmk_crew *c);
/* The loop's events: a channel is readable; a child ended; time passed (returns ms until it wants to be called again). */
void tmk_crew_readable(struct tmk_crew *c, struct tmk_member *member);
void tmk_crew_reap(struct tmk_crew *c);
uint64_t tmk_crew_tick(struct tmk_crew *c);

int tmk_member_channel(const struct tmk_member *member);
pid_t tmk_member_pid(const struct tmk_member *member);
void tmk_member_kill(struct tmk_member *member);
/* Closes the channel: a child that looks at it ends by itself, else it is killed. */
void tmk_member_stop(struct tmk_member *member);
/* Killed if it has not ended by then. An earlier deadline stays. */
void tmk_member_kill_in(struct tmk_member *member, uint64_t ms);

#endif
