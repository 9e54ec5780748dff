/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See freeze.h; freezer.h for what is said to the helper. This side keeps descriptors of its own (for syncfs), so that it can
 * thaw at once if the helper is killed. Between freeze and thaw only send, recv, poll and ioctl are called here.
 */
#include "freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frecord.h"
#include "log.h"
#include "syncpass.h"
#include "util.h"

#define HELLO_MS 10000
#define SLACK_MS 10000 /* for the helper to answer, beyond the limit: a thaw may have to write */

struct tmk_freeze {
	size_t count;
	struct tmk_filesystem *list;
	struct tmk_syncpass *sync; /* owns the filesystems' descriptors */
	unsigned limit_ms;
	char *record;
	int record_fd, socket;
	pid_t pid; /* of the helper; 0: none */
	bool dead; /* the helper does not answer, or not as agreed */
	struct tmk_freezer_answer last;
};

/* ---- the helper ---- */
static int ask(struct tmk_freeze *f, uint32_t kind)
{
	struct tmk_freezer_request r = {.kind = kind, .version = TMK_FREEZER_VERSION};

	if (f->dead || send(f->socket, &r, sizeof(r), MSG_NOSIGNAL) != (ssize_t)sizeof(r))
		return -EPIPE;
	return 0;
}

/* -ETIMEDOUT, -EPIPE: the helper ended. */
static int hear(struct tmk_freeze *f, uint32_t kind, unsigned timeout_ms)
{
	uint64_t end = tmk_now_ms() + timeout_ms;

	for (;;) {
		struct pollfd p = {.fd = f->socket, .events = POLLIN};
		uint64_t now = tmk_now_ms();
		int n = now < end ? poll(&p, 1, (int)(end - now)) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -ETIMEDOUT;
		if (recv(f->socket, &f->last, sizeof(f->last), 0) != (ssize_t)sizeof(f->last) || f->last.kind != kind)
			return -EPIPE;
		if (f->last.which >= f->count)
			f->last.which = TMK_FREEZER_NONE;
		return 0;
	}
}

static int spawn(struct tmk_freeze *f, const char *program, int socket)
{
	char *argv[] = {(char *)program, NULL}, *env[] = {NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t all;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc)
		return -rc;
	rc = posix_spawnattr_init(&attr);
	if (rc)
		goto no_attr;
	sigfillset(&all); /* from its first instruction on: a SIGTERM to the whole group must not end it */
	posix_spawnattr_setsigmask(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	for (int fd = 0; fd < 3 && !rc; fd++)
		rc = posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&actions, socket, TMK_FREEZER_FD);
	if (!rc)
		rc = posix_spawn(&f->pid, program, &actions, &attr, argv, env);
	if (rc)
		f->pid = 0;
	posix_spawnattr_destroy(&attr);
no_attr:
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

static int send_setup(struct tmk_freeze *f)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE((1 + TMK_FREEZER_MAX) * sizeof(int))];
	} control = {0};
	struct tmk_freezer_request r = {
		.kind = TMK_FREEZER_SETUP, .version = TMK_FREEZER_VERSION, .count = (uint32_t)f->count, .limit_ms = f->limit_ms};
	struct iovec iov = {.iov_base = &r, .iov_len = sizeof(r)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
	struct cmsghdr *c;

	for (size_t i = 0; i < f->count; i++)
		r.read_only[i] = f->list[i].read_only;
	m.msg_controllen = CMSG_SPACE((1 + f->count) * sizeof(int));
	c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN((1 + f->count) * sizeof(int));
	memcpy(CMSG_DATA(c), &f->record_fd, sizeof(int));
	memcpy(CMSG_DATA(c) + sizeof(int), tmk_syncpass_fds(f->sync), f->count * sizeof(int));
	return sendmsg(f->socket, &m, MSG_NOSIGNAL) == (ssize_t)sizeof(r) ? 0 : -errno;
}

static void judge_hello(const struct tmk_freeze *f)
{
	if (f->last.lock_error)
		tmk_log_warning("tidemark-freezer could not lock its memory (%s): give the service CAP_IPC_LOCK",
				strerror(f->last.lock_error));
	if (f->last.guard_error)
		tmk_log_info("tidemark-freezer could not ask the OOM killer to spare it (%s)", strerror(f->last.guard_error));
}

static int start_helper(struct tmk_freeze *f, const char *program, struct tmk_error *err)
{
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return tmk_error_sys(err, -errno, "cannot make a socket for tidemark-freezer");
	f->socket = pair[0];
	rc = spawn(f, program, pair[1]);
	close(pair[1]);
	if (rc)
		return tmk_error_sys(err, rc, "cannot start %s", program);
	rc = send_setup(f);
	if (!rc)
		rc = hear(f, TMK_FREEZER_HELLO, HELLO_MS);
	if (!rc)
		rc = f->last.result;
	if (rc)
		return tmk_error_sys(err, rc, "%s does not do as agreed; is it of the same version?", program);
	judge_hello(f);
	return 0;
}

/* ---- start ---- */
static int open_all(struct tmk_freeze *f, struct tmk_error *err)
{
	int fds[TMK_FREEZER_MAX];

	for (size_t i = 0; i < f->count; i++) {
		fds[i] = tmk_filesystem_open(&f->list[i], err);
		if (fds[i] >= 0)
			continue;
		for (size_t j = 0; j < i; j++)
			close(fds[j]);
		return fds[i];
	}
	return tmk_syncpass_new(&f->sync, fds, f->count, err);
}

static int prepare(struct tmk_freeze *f, const char *program, const struct tmk_filesystems *filesystems, struct tmk_error *err)
{
	int rc = tmk_freeze_recover(f->record, err);

	if (!rc)
		rc = open_all(f, err);
	if (rc || !f->count) /* nothing to freeze needs no helper */
		return rc;
	f->record_fd = tmk_frecord_make(f->record, filesystems, err);
	if (f->record_fd < 0)
		return f->record_fd;
	return start_helper(f, program, err);
}

int tmk_freeze_start(struct tmk_freeze **out, const char *program, const char *record, const struct tmk_filesystems *filesystems,
		     unsigned limit_ms, struct tmk_error *err)
{
	struct tmk_freeze *f;
	int rc;

	*out = NULL;
	if (filesystems->count > TMK_FREEZER_MAX)
		return tmk_error_set(err, -E2BIG, "%zu filesystems lie on the protected disks; at most %d can be frozen together",
				     filesystems->count, TMK_FREEZER_MAX);
	f = calloc(1, sizeof(*f));
	if (!f)
		return tmk_error_set(err, -ENOMEM, "no memory to freeze filesystems");
	f->record_fd = f->socket = -1;
	f->limit_ms = limit_ms ? limit_ms : 1;
	f->count = filesystems->count;
	f->list = calloc(f->count + 1, sizeof(*f->list));
	f->record = strdup(record);
	if (!f->list || !f->record) {
		tmk_freeze_free(f);
		return tmk_error_set(err, -ENOMEM, "no memory to freeze filesystems");
	}
	if (f->count)
		memcpy(f->list, filesystems->list, f->count * sizeof(*f->list));
	rc = prepare(f, program, filesystems, err);
	if (rc) {
		tmk_freeze_free(f);
		return rc;
	}
	*out = f;
	return 0;
}

/* ---- sync ---- */
int tmk_freeze_sync_start(struct tmk_freeze *f, struct tmk_error *err)
{
	return tmk_syncpass_start(f->sync, err);
}

int tmk_freeze_sync_fd(const struct tmk_freeze *f)
{
	return tmk_syncpass_fd(f->sync);
}

int tmk_freeze_sync_done(struct tmk_freeze *f, unsigned *ms, struct tmk_error *err)
{
	size_t which = 0;
	int rc = tmk_syncpass_done(f->sync, ms, &which);

	if (rc == -EAGAIN)
		return rc;
	if (rc == -EINVAL)
		return tmk_error_set(err, rc, "no syncfs was started");
	if (rc)
		return tmk_error_sys(err, rc, "cannot sync the filesystem at %s", f->list[which].mountpoint);
	return 0;
}

/* ---- freeze and thaw ---- */
/* The helper is gone (its end of the socket closes when its last thread has left the kernel): thaws what it left, with our own
 * descriptors. 0, or -errno of the last that failed. */
static int thaw_left(struct tmk_freeze *f, struct tmk_error *err)
{
	uint8_t states[TMK_FREEZER_MAX];
	int rc = 0;

	if (!f->sync || f->record_fd < 0)
		return 0;
	if (tmk_frecord_states(f->record_fd, states, f->count))
		memset(states, TMK_FREEZER_PENDING, sizeof(states));
	for (size_t i = f->count; i-- > 0;) {
		if (!tmk_frecord_ours(states[i]))
			continue;
		if (!ioctl(tmk_syncpass_fds(f->sync)[i], FITHAW, 0) || errno == EINVAL)
			tmk_frecord_thawed(f->record_fd, i);
		else
			rc = tmk_error_sys(err, -errno, "cannot thaw the filesystem at %s; try `fsfreeze -u`",
					   f->list[i].mountpoint);
	}
	return rc;
}

static const char *named(const struct tmk_freeze *f)
{
	return f->last.which < f->count ? f->list[f->last.which].mountpoint : "a protected disk";
}

/* No answer. Always an error: nobody knows how long what was frozen. */
static int helper_lost(struct tmk_freeze *f, int rc, struct tmk_error *err)
{
	f->dead = true;
	if (rc == -ETIMEDOUT)
		return tmk_error_set(
			err, -EIO,
			"tidemark-freezer does not come back: the kernel keeps it in a freeze or thaw; look for a disk that "
			"does not answer");
	rc = thaw_left(f, err);
	return rc ? -EIO : tmk_error_set(err, -EPIPE, "tidemark-freezer was killed; what it had frozen is thawed");
}

int tmk_freeze_freeze(struct tmk_freeze *f, struct tmk_error *err)
{
	int rc;

	if (!f->count) {
		f->last.ms = 0;
		return 0;
	}
	rc = ask(f, TMK_FREEZER_FREEZE);
	if (!rc)
		rc = hear(f, TMK_FREEZER_FROZE, f->limit_ms + SLACK_MS);
	if (rc)
		return helper_lost(f, rc, err);
	switch (f->last.result) {
	case 0:
		return 0;
	case -ETIME:
		return tmk_error_set(err, -ETIME, "freezing %s took longer than the limit of %u ms; thawed again", named(f),
				     f->limit_ms);
	case -EBUSY:
		return tmk_error_set(err, -EBUSY, "an earlier freeze has not come back from the kernel yet");
	default:
		return tmk_error_sys(err, f->last.result, "cannot freeze the filesystem at %s", named(f));
	}
}

enum tmk_frozen tmk_freeze_how(const struct tmk_freeze *f, size_t i)
{
	if (i >= f->count)
		return TMK_SYNCED;
	switch (f->last.state[i]) {
	case TMK_FREEZER_FROZEN:
		return TMK_FROZEN;
	case TMK_FREEZER_OTHER:
		return TMK_FROZEN_OTHER;
	default:
		return TMK_SYNCED;
	}
}

int tmk_freeze_thaw(struct tmk_freeze *f, unsigned *ms, struct tmk_error *err)
{
	int rc;

	*ms = 0;
	if (!f->count)
		return 0;
	rc = ask(f, TMK_FREEZER_THAW);
	if (!rc)
		rc = hear(f, TMK_FREEZER_THAWED, f->limit_ms + SLACK_MS);
	if (rc)
		return helper_lost(f, rc, err);
	*ms = f->last.ms;
	switch (f->last.result) {
	case 0:
		return 0;
	case -ETIME:
		return tmk_error_set(err, -ETIME, "the time of %u ms was over before the rest was copied: thawed", f->limit_ms);
	case -ESTALE:
		return tmk_error_set(err, -ESTALE, "the filesystem at %s was thawed by somebody else meanwhile", named(f));
	case -EIO:
		return tmk_error_set(err, -EIO, "cannot thaw the filesystem at %s; it is tried again, else `fsfreeze -u` it",
				     named(f));
	default:
		return tmk_error_sys(err, f->last.result, "tidemark-freezer cannot thaw");
	}
}

/* ---- end ---- */
/* A helper that the kernel keeps is waited for by a thread: the process must be reaped some day. */
static void *reap(void *arg)
{
	pid_t pid = (pid_t)(intptr_t)arg;

	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return NULL;
}

static void reap_later(pid_t pid)
{
	pthread_t thread;

	if (!pthread_create(&thread, NULL, reap, (void *)(intptr_t)pid))
		pthread_detach(thread);
}

/* True: the helper has ended: its end of the socket closes only then. Late answers are of no use now. */
static bool end_helper(struct tmk_freeze *f)
{
	uint64_t now, end = tmk_now_ms() + f->limit_ms + SLACK_MS;

	shutdown(f->socket, SHUT_WR);
	while ((now = tmk_now_ms()) < end) {
		struct pollfd p = {.fd = f->socket, .events = POLLIN};

		if (poll(&p, 1, (int)(end - now)) <= 0 || recv(f->socket, &f->last, sizeof(f->last), 0) > 0)
			continue;
		reap((void *)(intptr_t)f->pid);
		return true;
	}
	reap_later(f->pid);
	return false;
}

/* Nothing is frozen by us any more. */
static bool all_thawed(const struct tmk_freeze *f)
{
	uint8_t states[TMK_FREEZER_MAX];

	if (tmk_frecord_states(f->record_fd, states, f->count))
		return false;
	for (size_t i = 0; i < f->count; i++)
		if (tmk_frecord_ours(states[i]))
			return false;
	return true;
}

void tmk_freeze_free(struct tmk_freeze *f)
{
	struct tmk_error err;

	if (!f)
		return;
	if (f->pid && end_helper(f) && thaw_left(f, &err))
		tmk_log_error("%s", err.text);
	if (f->socket >= 0)
		close(f->socket);
	if (f->record_fd >= 0) {
		if (all_thawed(f))
			unlink(f->record);
		close(f->record_fd);
	}
	tmk_syncpass_free(f->sync);
	free(f->record);
	free(f->list);
	free(f);
}

/* ---- recovery ---- */
static int thaw_recorded(int record, size_t i, const struct tmk_filesystem *fs, struct tmk_error *err)
{
	int fd = tmk_filesystem_open(fs, err), rc = 0;

	if (fd < 0)
		return tmk_error_prefix(err, "a killed tidemark-freezer may have left it frozen");
	if (!ioctl(fd, FITHAW, 0)) {
		tmk_log_warning("thawed %s, which a killed tidemark-freezer had left frozen", fs->mountpoint);
		tmk_frecord_thawed(record, i);
	} else if (errno == EINVAL) { /* it was not frozen */
		tmk_frecord_thawed(record, i);
	} else {
		rc = tmk_error_sys(err, -errno, "cannot thaw %s, which a killed tidemark-freezer left frozen; try `fsfreeze -u`",
				   fs->mountpoint);
	}
	close(fd);
	return rc;
}

static int recover_from(int record, struct tmk_error *err)
{
	uint8_t states[TMK_FREEZER_MAX];
	struct tmk_filesystems list;
	int first = 0, rc = tmk_frecord_read(record, &list, states, err);

	if (rc)
		return rc == -ESTALE ? 0 : rc;
	for (size_t i = list.count; i-- > 0;) {
		struct tmk_error one;

		if (!tmk_frecord_ours(states[i]))
			continue;
		rc = thaw_recorded(record, i, &list.list[i], &one);
		if (rc && !first) {
			first = rc;
			tmk_error_set(err, rc, "%s", one.text);
		}
	}
	tmk_filesystems_free(&list);
	return first;
}

int tmk_freeze_recover(const char *record, struct tmk_error *err)
{
	int fd = tmk_frecord_open(record, err), rc;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	rc = recover_from(fd, err);
	if (!rc)
		unlink(record);
	else
		tmk_error_prefix(err, "%s", record);
	close(fd);
	return rc;
}
