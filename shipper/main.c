/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidemark-shipper [-c FILE] [--recover]: the daemon on the protected server. Starts what is stored, answers its control socket,
 * one thread a call (`mark --wait` blocks), ends on SIGTERM or SIGINT. Tracking goes on without it.
 *
 * One shipper per run-dir and per state-dir, by flock(2). The locks are close-on-exec, so that a freezer or a script which
 * outlives the daemon does not hold them.
 *
 * --recover: thaw and run what a killed shipper left, then end; refused while one works. Exit codes: 0, 1 failed, 64 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "daemon.h"
#include "log.h"
#include "recover.h"
#include "util.h"
#include "verbs.h"

#define USAGE 64
#define RETRY_MS 15000
#define CALLS_MAX 64
#define CALLS_WAIT_S 12 /* for calls under way, when stopping */

struct options {
	const char *config;
	bool recover;
};
/* The calls being answered. */
struct calls {
	struct tmk_daemon *daemon;
	pthread_mutex_t lock;
	pthread_cond_t fewer;
	unsigned count;
};
struct job {
	struct calls *calls;
	struct tmk_control_call *call;
};

/* ---- calls ---- */

static void *answer(void *data)
{
	struct job *job = data;
	struct calls *calls = job->calls;

	tmk_verbs_answer(calls->daemon, job->call);
	free(job);
	pthread_mutex_lock(&calls->lock);
	calls->count--;
	pthread_cond_broadcast(&calls->fewer);
	pthread_mutex_unlock(&calls->lock);
	return NULL;
}

static int start_thread(struct calls *calls, struct tmk_control_call *call)
{
	struct job *job = malloc(sizeof(*job));
	pthread_t thread;
	int rc;

	if (!job)
		return -ENOMEM;
	*job = (struct job){calls, call};
	pthread_mutex_lock(&calls->lock);
	rc = calls->count < CALLS_MAX ? 0 : -EBUSY;
	if (!rc)
		rc = -pthread_create(&thread, NULL, answer, job);
	if (!rc)
		calls->count++;
	pthread_mutex_unlock(&calls->lock);
	if (rc)
		free(job);
	else
		pthread_detach(thread);
	return rc;
}

static void accept_call(struct calls *calls, int listener)
{
	struct tmk_control_call *call;
	struct tmk_error err = {0};
	int rc = tmk_control_accept(listener, &call, &err);

	if (rc) {
		if (rc != -EPIPE) /* asked nothing */
			tmk_log_warning("control socket: %s", err.text);
		return;
	}
	rc = start_thread(calls, call);
	if (rc) {
		tmk_error_sys(&err, rc, "the shipper answers too many calls already (%d); try again", CALLS_MAX);
		tmk_control_error(call, &err);
	}
}

/* True if none is left. */
static bool wait_calls(struct calls *calls)
{
	struct timespec until;
	bool none;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CALLS_WAIT_S;
	pthread_mutex_lock(&calls->lock);
	while (calls->count && !rc)
		rc = pthread_cond_timedwait(&calls->fewer, &calls->lock, &until);
	none = !calls->count;
	pthread_mutex_unlock(&calls->lock);
	return none;
}

/* ---- the daemon ---- */

/* A descriptor that holds the lock until it is closed. */
static int lock(const char *directory, const char *name, mode_t mode, struct tmk_error *err)
{
	char path[PATH_MAX];
	int rc = tmk_mkdirs(directory, mode, err), fd;

	if (rc)
		return rc;
	if (tmk_path(path, sizeof(path), "%s/%s", directory, name))
		return tmk_error_set(err, -ENAMETOOLONG, "'%s' is too long", directory);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot open %s", path);
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return fd;
	rc = errno == EWOULDBLOCK
		     ? tmk_error_set(err, -EBUSY,
				     "another tidemark-shipper works with %s; one server has one shipper: stop that one "
				     "first (systemctl stop tidemark-shipper)",
				     directory)
		     : tmk_error_sys(err, -errno, "cannot lock %s", path);
	close(fd);
	return rc;
}

/* sd_notify(3) without the library; nothing if systemd did not ask. */
static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;
	int fd;

	if (length < 2 || length >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, length);
	if (address.sun_path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
		   offsetof(struct sockaddr_un, sun_path) + length) < 0)
		tmk_log_warning("cannot tell systemd '%s': %s", state, strerror(errno));
	close(fd);
}

static void serve(struct calls *calls, int listener, int signals)
{
	struct pollfd fds[] = {{.fd = listener, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	uint64_t tried = tmk_now_ms();

	while (!fds[1].revents) {
		if (poll(fds, 2, RETRY_MS) > 0 && fds[0].revents && !fds[1].revents)
			accept_call(calls, listener);
		if (tmk_now_ms() - tried >= RETRY_MS) {
			tmk_roster_retry(calls->daemon->roster);
			tried = tmk_now_ms();
		}
	}
}

static int run(struct tmk_daemon *d, int signals, struct tmk_error *err)
{
	struct calls calls = {d, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
	int listener, rc = tmk_trackers_open(&d->trackers, d->config.pins, err);

	if (rc)
		return rc;
	rc = tmk_roster_open(&d->roster, &d->config, d->trackers, err);
	if (rc)
		goto trackers;
	listener = tmk_control_listen(d->config.control, err);
	if (listener < 0) {
		rc = listener;
		goto roster;
	}
	notify("READY=1");
	tmk_log_info("ready: %s", d->config.control);
	serve(&calls, listener, signals);
	notify("STOPPING=1");
	close(listener);
	unlink(d->config.control);
	d->stopping = true;
	if (!wait_calls(&calls)) { /* it still uses all of this; the kernel takes it back */
		tmk_log_warning("a call did not end in %d s; leaving without it", CALLS_WAIT_S);
		_exit(0);
	}
roster:
	tmk_roster_close(d->roster);
trackers:
	tmk_trackers_close(d->trackers);
	return rc;
}

/* Before any thread begins, so that all inherit it. */
static int block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int start(const struct options *o, struct tmk_error *err)
{
	struct tmk_daemon *d = calloc(1, sizeof(*d));
	int state = -1, running = -1, signals = -1, rc;

	if (!d)
		return tmk_error_set(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&d->change, NULL);
	tmk_config_defaults(&d->config);
	rc = tmk_config_read(&d->config, o->config, err);
	if (rc)
		goto out;
	running = lock(d->config.run_dir, "shipper.lock", 0755, err);
	rc = running < 0 ? running : tmk_recover(&d->config, err);
	if (running < 0 || o->recover)
		goto out;
	/* What could not be thawed or run was logged; it must not keep the server unprotected. */
	state = lock(d->config.state_dir, "lock", 0700, err);
	rc = state < 0 ? state : 0;
	if (rc)
		goto out;
	signals = block_signals();
	rc = signals < 0 ? tmk_error_sys(err, -errno, "cannot receive signals") : run(d, signals, err);
out:
	if (signals >= 0)
		close(signals);
	if (state >= 0)
		close(state);
	if (running >= 0)
		close(running);
	pthread_mutex_destroy(&d->change);
	free(d);
	return rc;
}

static int usage(FILE *to)
{
	fputs("usage: tidemark-shipper [-c FILE] [--recover]\n"
	      "  -c FILE    settings; /etc/tidemark/shipper.conf, which may be missing, if not given\n"
	      "  --recover  thaw filesystems and run post scripts that a killed shipper left, then end\n",
	      to);
	return to == stdout ? 0 : USAGE;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"recover", no_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {0};
	struct tmk_error err = {0};
	int c;

	while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1)
		switch (c) {
		case 'c':
			o.config = optarg;
			break;
		case 'r':
			o.recover = true;
			break;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	if (optind < argc)
		return usage(stderr);
	tmk_log_open("tidemark-shipper", TMK_LOG_INFO);
	if (!start(&o, &err))
		return 0;
	tmk_log_error("%s", err.text);
	return 1;
}
