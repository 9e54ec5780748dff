/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See script.h. What a script prints goes to the log, line by line, with its name in front. */
#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "util.h"

#define GRACE_MS 1000 /* between SIGTERM and SIGKILL */
#define LINE_SIZE 400

struct run {
	const char *path;
	pid_t pid;
	int pidfd, output;
	size_t filled;
	char line[LINE_SIZE];
};

static int check_owner(const char *path, bool directory, struct tmk_error *err)
{
	struct stat st;

	if (stat(path, &st))
		return errno == ENOENT ? -ENOENT : tmk_error_sys(err, -errno, "cannot look at %s", path);
	if (directory ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
		return tmk_error_set(err, -EPERM, "%s is not a %s", path, directory ? "directory" : "file");
	if ((st.st_uid && st.st_uid != geteuid()) || st.st_mode & (S_IWGRP | S_IWOTH))
		return tmk_error_set(
			err, -EPERM,
			"%s must belong to root and be writable by nobody else, for it runs as root: chown root, chmod go-w",
			path);
	if (!directory && !(st.st_mode & S_IXUSR))
		return tmk_error_set(err, -EACCES, "%s is not executable: chmod u+x", path);
	return 0;
}

/* ---- output ---- */
static void flush_line(struct run *r)
{
	if (r->filled)
		tmk_log_info("%s: %.*s", r->path, (int)r->filled, r->line);
	r->filled = 0;
}

static void log_bytes(struct run *r, const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)data[i];

		if (c == '\n' || r->filled == sizeof(r->line))
			flush_line(r);
		if (c != '\n')
			r->line[r->filled++] = c < ' ' || c == 127 ? '?' : (char)c;
	}
}

/* What is there now; closes at its end. True: there may be more at once. */
static bool drain(struct run *r)
{
	char data[4096];
	ssize_t n = r->output < 0 ? -1 : read(r->output, data, sizeof(data));

	if (n > 0) {
		log_bytes(r, data, (size_t)n);
		return true;
	}
	if (r->output >= 0 && (!n || (errno != EAGAIN && errno != EINTR))) {
		close(r->output);
		r->output = -1;
	}
	return false;
}

/* ---- the process ---- */
static int set_up_child(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attr, int output)
{
	sigset_t none, usual;
	int rc = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);

	for (int fd = 1; fd < 3 && !rc; fd++)
		rc = posix_spawn_file_actions_adddup2(actions, output, fd);
	rc = rc ? rc : posix_spawn_file_actions_addclosefrom_np(actions, 3);
	rc = rc ? rc : posix_spawn_file_actions_addchdir_np(actions, "/");
	sigemptyset(&none);
	sigfillset(&usual);
	posix_spawnattr_setsigmask(attr, &none);
	posix_spawnattr_setsigdefault(attr, &usual);
	posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return rc;
}

static int spawn(struct run *r, const char *name, int output)
{
	char protection[256], *argv[] = {(char *)r->path, NULL};
	char *env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "HOME=/", protection, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int rc;

	if ((size_t)snprintf(protection, sizeof(protection), "TIDEMARK_PROTECTION=%s", name) >= sizeof(protection))
		return -ENAMETOOLONG;
	rc = posix_spawn_file_actions_init(&actions);
	if (rc)
		return -rc;
	rc = posix_spawnattr_init(&attr);
	if (!rc) {
		rc = set_up_child(&actions, &attr, output);
		if (!rc)
			rc = posix_spawn(&r->pid, r->path, &actions, &attr, argv, env);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

static int start(struct run *r, const char *name)
{
	int pair[2], rc;

	if (pipe2(pair, O_CLOEXEC))
		return -errno;
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	rc = spawn(r, name, pair[1]);
	close(pair[1]);
	if (!rc) {
		r->output = pair[0];
		r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
		return r->pidfd < 0 ? -errno : 0;
	}
	close(pair[0]);
	return rc;
}

/* Logs until the script itself ends, or the time. Whoever it left behind with its output does not hold us up. True: it ended. */
static bool watch(struct run *r, unsigned timeout_ms)
{
	uint64_t now = tmk_now_ms(), end = now + timeout_ms;

	for (; now < end; now = tmk_now_ms()) {
		struct pollfd p[2] = {{.fd = r->pidfd, .events = POLLIN}, {.fd = r->output, .events = POLLIN}};
		uint64_t left = end - now;

		if (poll(p, 2, left > INT_MAX ? INT_MAX : (int)left) <= 0)
			continue;
		if (p[1].revents)
			drain(r);
		if (p[0].revents)
			return true;
	}
	return false;
}

/* Ends the whole session's process group; the leader is not reaped yet, so that the number is still its. */
static void end(struct run *r)
{
	kill(-r->pid, SIGTERM);
	watch(r, GRACE_MS);
	kill(-r->pid, SIGKILL);
}

static int verdict(const struct run *r, int status, struct tmk_error *err)
{
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (WIFEXITED(status))
		return tmk_error_set(err, -ECANCELED, "%s exited with %d; what it printed is in the log", r->path,
				     WEXITSTATUS(status));
	return tmk_error_set(err, -ECANCELED, "%s was killed by signal %d", r->path, WTERMSIG(status));
}

static int run(struct run *r, const char *name, unsigned timeout_ms, struct tmk_error *err)
{
	int rc = start(r, name), status = 0;
	bool ended;
	pid_t got;

	if (!r->pid)
		return tmk_error_sys(err, rc, "cannot run %s", r->path);
	ended = !rc && watch(r, timeout_ms);
	if (!ended)
		end(r);
	do {
		got = waitpid(r->pid, &status, 0);
	} while (got < 0 && errno == EINTR);
	for (int i = 0; i < 64 && drain(r); i++) /* what was in the pipe; somebody left behind may go on for ever */
		;
	flush_line(r);
	if (rc)
		return tmk_error_sys(err, rc, "cannot watch %s", r->path);
	if (!ended)
		return tmk_error_set(err, -ETIMEDOUT, "%s did not end within %u ms and was killed", r->path, timeout_ms);
	return got < 0 ? tmk_error_sys(err, -ECHILD, "cannot tell how %s ended", r->path) : verdict(r, status, err);
}

int tmk_script_run(const char *directory, const char *which, const char *name, unsigned timeout_ms, struct tmk_error *err)
{
	char path[PATH_MAX];
	struct run r = {.path = path, .pidfd = -1, .output = -1};
	int rc = tmk_path(path, sizeof(path), "%s/%s", directory, which);

	if (rc)
		return tmk_error_sys(err, rc, "%s/%s", directory, which);
	rc = check_owner(path, false, err);
	if (rc == -ENOENT)
		return 0;
	if (!rc)
		rc = check_owner(directory, true, err);
	if (rc)
		return rc;
	rc = run(&r, name, timeout_ms, err);
	if (r.output >= 0)
		close(r.output);
	if (r.pidfd >= 0)
		close(r.pidfd);
	return rc;
}

/* ---- owed ---- */
/* In /run: when the machine crashes, nobody is left who waits for a post script (R31: nothing durable is written). */
int tmk_script_owe(const char *owed, struct tmk_error *err)
{
	int fd = open(owed, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot record in %s that a post script is owed", owed);
	close(fd);
	return 0;
}

void tmk_script_paid(const char *owed)
{
	if (unlink(owed) && errno != ENOENT)
		tmk_log_warning("cannot remove %s (%s): the post script will run once more", owed, strerror(errno));
}

int tmk_script_owed(const char *owed)
{
	return !access(owed, F_OK);
}
