/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's children: see crew.h. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crew.h"
#include "log.h"
#include "util.h"

#define IDLE_MS 1000
#define GRACE_MS 2000	   /* between the end of a child's channel and its own */
#define STOP_MS 60000	   /* it may be in the middle of a flush, and has to clean up */
#define MESSAGES_A_TURN 64 /* of one child, before others have their turn */

struct tmk_member {
	struct tmk_member *next;
	struct tmk_crew *crew;
	const char *title;
	pid_t pid;
	int channel;	   /* -1: closed */
	uint64_t deadline; /* 0: none */
	bool killed;	   /* by the supervisor */
	const struct tmk_member_ops *ops;
	void *context;
};

struct tmk_crew {
	int epoll;
	size_t count;
	struct tmk_member *members;
	struct tmk_message message;
};

int tmk_crew_new(struct tmk_crew **out, int epoll)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	(*out)->epoll = epoll;
	return 0;
}

void tmk_crew_free(struct tmk_crew *c)
{
	if (!c)
		return;
	for (struct tmk_member *m = c->members, *next; m; m = next) {
		next = m->next;
		kill(m->pid, SIGKILL);
		while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
			;
		if (m->channel >= 0)
			close(m->channel);
		free(m);
	}
	free(c);
}

struct tmk_member *tmk_crew_start(struct tmk_crew *c, const struct tmk_child_start *start, const struct tmk_member_ops *ops,
				  void *context)
{
	struct tmk_member *m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->pid = tmk_child_start(start, &m->channel);
	if (m->pid < 0) {
		errno = -m->pid;
		free(m);
		return NULL;
	}
	m->crew = c;
	m->title = start->title;
	m->ops = ops;
	m->context = context;
	m->next = c->members;
	c->members = m;
	c->count++;
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = m};
	if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, m->channel, &e) < 0)
		tmk_member_kill(m);
	return m;
}

size_t tmk_crew_count(const struct tmk_crew *c)
{
	return c->count;
}

int tmk_member_channel(const struct tmk_member *member)
{
	return member->channel;
}

pid_t tmk_member_pid(const struct tmk_member *member)
{
	return member->pid;
}

void tmk_member_kill(struct tmk_member *member)
{
	member->killed = true;
	kill(member->pid, SIGKILL);
}

void tmk_member_kill_in(struct tmk_member *member, uint64_t ms)
{
	uint64_t at = tmk_now_ms() + ms;
	if (!member->deadline || at < member->deadline)
		member->deadline = at;
}

/* Taken out by name: a child that was just forked may have a copy open still, and would keep it in the set. */
static void close_channel(struct tmk_crew *c, struct tmk_member *m)
{
	if (m->channel < 0)
		return;
	epoll_ctl(c->epoll, EPOLL_CTL_DEL, m->channel, NULL);
	close(m->channel);
	m->channel = -1;
}

void tmk_member_stop(struct tmk_member *member)
{
	close_channel(member->crew, member);
	tmk_member_kill_in(member, STOP_MS);
}

/* At most `most` messages. A child whose channel ended is given a moment to end itself. */
static void read_channel(struct tmk_crew *c, struct tmk_member *m, unsigned most)
{
	while (m->channel >= 0 && most--) {
		int err = tmk_channel_receive(m->channel, &c->message);
		if (err == -EAGAIN)
			return;
		if (!err) {
			err = m->ops->message(m, &c->message, m->context);
			if (c->message.fd >= 0)
				close(c->message.fd);
			if (!err)
				continue;
			tmk_log_error("child %d said what does not belong there (message %u, %zu bytes): killed", m->pid,
				      c->message.type, c->message.size);
			tmk_member_kill(m);
		}
		close_channel(c, m);
		tmk_member_kill_in(m, GRACE_MS);
	}
}

void tmk_crew_readable(struct tmk_crew *c, struct tmk_member *member)
{
	read_channel(c, member, MESSAGES_A_TURN);
}

static struct tmk_member **find(struct tmk_crew *c, pid_t pid)
{
	struct tmk_member **at = &c->members;
	while (*at && (*at)->pid != pid)
		at = &(*at)->next;
	return at;
}

void tmk_crew_reap(struct tmk_crew *c)
{
	int status;
	for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
		struct tmk_member *m = *find(c, pid);
		if (!m)
			continue;
		read_channel(c, m, ~0u);
		if (WIFSIGNALED(status) && !m->killed)
			tmk_log_error("%s %d was ended by signal %d%s", m->title, pid, WTERMSIG(status),
				      WTERMSIG(status) == SIGSYS ? ": it tried what its sandbox forbids" : "");
		close_channel(c, m);
		*find(c, pid) = m->next; /* looked for again: its last words may have started others */
		c->count--;
		m->ops->gone(m, status, m->context);
		free(m);
	}
}

uint64_t tmk_crew_tick(struct tmk_crew *c)
{
	uint64_t now = tmk_now_ms(), next = IDLE_MS;
	for (struct tmk_member *m = c->members; m; m = m->next) {
		if (!m->deadline)
			continue;
		if (m->deadline <= now) {
			tmk_member_kill(m);
			m->deadline = 0;
		} else if (m->deadline - now < next) {
			next = m->deadline - now;
		}
	}
	return next;
}
