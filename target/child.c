/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting children: see child.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "channel.h"
#include "child.h"

static pid_t parent; /* set between fork and run, in the child alone */

void tmk_child_follow(void)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes all descriptors from 3 on but these. */
static void close_others(int *keep, size_t count)
{
	qsort(keep, count, sizeof(*keep), compare);
	unsigned from = 3;
	for (size_t i = 0; i < count; i++) {
		if (keep[i] > (int)from)
			close_range(from, (unsigned)keep[i] - 1, 0);
		if (keep[i] >= (int)from)
			from = (unsigned)keep[i] + 1;
	}
	close_range(from, ~0u, 0);
}

static void reset_signals(void)
{
	for (int s = 1; s < SIGRTMIN; s++)
		signal(s, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	/* A terminal sends these to everybody; the supervisor alone decides when a child ends. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

pid_t tmk_child_start(const struct tmk_child_start *start, int *channel)
{
	int ends[2];
	int err = tmk_channel_pair(ends);
	if (err)
		return err;
	pid_t self = getpid();
	pid_t pid = fork();
	if (pid < 0) {
		err = -errno;
		close(ends[0]);
		close(ends[1]);
		return err;
	}
	if (pid == 0) {
		parent = self;
		tmk_child_follow();
		reset_signals();
		prctl(PR_SET_NAME, start->title);
		int keep[TMK_CHILD_KEEP + 1];
		size_t count = 0;
		for (size_t i = 0; i < start->keep_count; i++)
			keep[count++] = start->keep[i];
		keep[count++] = ends[1];
		close_others(keep, count);
		_exit(start->run(ends[1], start->context));
	}
	close(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	*channel = ends[0];
	return pid;
}
