/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See syncpass.h. */
#include "syncpass.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util.h"

struct tmk_syncpass {
	_Atomic int owners; /* the caller, and a thread that is at it */
	bool running;	    /* the caller's: started, and done() has not said so yet */
	int done;	    /* eventfd: hands the fields below to the caller */
	int error;
	size_t which;
	uint64_t ms;
	size_t count;
	int fds[];
};

static void drop(struct tmk_syncpass *s)
{
	if (atomic_fetch_sub(&s->owners, 1) != 1)
		return;
	for (size_t i = 0; i < s->count; i++)
		close(s->fds[i]);
	if (s->done >= 0)
		close(s->done);
	free(s);
}

int tmk_syncpass_new(struct tmk_syncpass **out, const int *fds, size_t count, struct tmk_error *err)
{
	struct tmk_syncpass *s = calloc(1, sizeof(*s) + count * sizeof(*fds));
	int rc;

	*out = NULL;
	if (!s) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		return tmk_error_set(err, -ENOMEM, "no memory to sync filesystems");
	}
	s->owners = 1;
	s->count = count;
	memcpy(s->fds, fds, count * sizeof(*fds));
	s->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->done < 0) {
		rc = -errno;
		drop(s);
		return tmk_error_sys(err, rc, "cannot make an event to sync filesystems");
	}
	*out = s;
	return 0;
}

static void *pass(void *arg)
{
	struct tmk_syncpass *s = arg;
	uint64_t start = tmk_now_ms(), one = 1;

	s->error = 0;
	for (size_t i = 0; i < s->count; i++) {
		if (!syncfs(s->fds[i]) || s->error)
			continue;
		s->error = -errno;
		s->which = i;
	}
	s->ms = tmk_now_ms() - start;
	while (write(s->done, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	drop(s);
	return NULL;
}

/* Signals are the main thread's affair. */
static int start_thread(struct tmk_syncpass *s)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int rc = pthread_attr_init(&attr);

	if (rc)
		return -rc;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, &attr, pass, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -rc;
}

int tmk_syncpass_start(struct tmk_syncpass *s, struct tmk_error *err)
{
	int rc;

	if (s->running)
		return tmk_error_set(err, -EBUSY, "the last syncfs is still under way");
	atomic_fetch_add(&s->owners, 1);
	rc = start_thread(s);
	if (rc) {
		drop(s);
		return tmk_error_sys(err, rc, "cannot start a thread to sync filesystems");
	}
	s->running = true;
	return 0;
}

int tmk_syncpass_fd(const struct tmk_syncpass *s)
{
	return s->done;
}

int tmk_syncpass_done(struct tmk_syncpass *s, unsigned *ms, size_t *which)
{
	uint64_t value;

	if (!s->running)
		return -EINVAL;
	if (read(s->done, &value, sizeof(value)) != (ssize_t)sizeof(value))
		return -EAGAIN;
	s->running = false;
	*ms = s->ms > ~0u ? ~0u : (unsigned)s->ms;
	*which = s->which;
	return s->error;
}

const int *tmk_syncpass_fds(const struct tmk_syncpass *s)
{
	return s->fds;
}

void tmk_syncpass_free(struct tmk_syncpass *s)
{
	if (s)
		drop(s);
}
