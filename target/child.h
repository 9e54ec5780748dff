/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Children of the supervisor: forked without exec, so that they have the code and settings, and closed off at once: no
 * descriptor but stdio, the channel and those named; they die with the supervisor; terminal signals are not theirs.
 */
#ifndef TMK_CHILD_H
#define TMK_CHILD_H

#include <stddef.h>
#include <sys/types.h>

#define TMK_CHILD_KEEP 4

struct tmk_child_start {
	const char *title;			/* shown by ps, at most 15 bytes; a literal */
	int (*run)(int channel, void *context); /* in the child; its result is the exit status */
	void *context;
	int keep[TMK_CHILD_KEEP]; /* descriptors that stay open under their numbers */
	size_t keep_count;
};

/* The pid, and the supervisor's end of the channel; or -errno. */
pid_t tmk_child_start(const struct tmk_child_start *start, int *channel);
/* Dies with the parent. Once more after a change of user, which clears it. Ends the process if the parent is gone already. */
void tmk_child_follow(void);

#endif
