/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop: see supervisor.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "catalogue.h"
#include "control.h"
#include "crew.h"
#include "holding.h"
#include "layout.h"
#include "link.h"
#include "log.h"
#include "pki.h"
#include "reception.h"
#include "sandbox.h"
#include "supervisor.h"
#include "util.h"
#include "verbs.h"

#define STOP_MS 15000

struct supervisor {
	const struct tmk_settings *settings;
	struct tmk_sandbox_user user;
	char pki[PATH_MAX];
	int root, protections, epoll, listener, control, signals;
	struct tmk_tls *tls;
	struct tmk_catalogue *catalogue;
	struct tmk_crew *crew;
	struct tmk_holdings *holdings;
	struct tmk_reception *reception;
	struct tmk_verbs verbs;
	uint64_t stop_by; /* 0: running */
};

/* ---- setting up ---- */

static int find_user(struct supervisor *s, struct tmk_error *err)
{
	int fallback;
	int bad = tmk_sandbox_user(s->settings->user, &s->user, &fallback, err);
	if (bad)
		return bad;
	if (fallback && geteuid() == 0)
		tmk_log_warning(
			"there is no user tidemark: receivers run as nobody; better make one (adduser --system tidemark)");
	else if (fallback)
		tmk_log_warning("not started as root: receivers run as the same user as all the rest");
	if (!tmk_sandbox_landlock())
		tmk_log_warning("this kernel has no Landlock: receivers are held by their user and seccomp alone");
	return 0;
}

static int open_directory(struct supervisor *s, struct tmk_error *err)
{
	int bad = tmk_path(s->pki, sizeof(s->pki), "%s/pki", s->settings->directory);
	if (bad)
		return bad;
	s->root = tmk_layout_lock(s->settings->directory, err);
	if (s->root < 0)
		return s->root;
	s->protections = tmk_layout_part(s->root, "protections", err);
	if (s->protections < 0)
		return s->protections;
	bad = tmk_tls_server(&s->tls, s->pki, err);
	return bad ? bad : tmk_catalogue_open(&s->catalogue, s->settings->directory, err);
}

static int open_signals(struct tmk_error *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? tmk_error_sys(err, -errno, "signalfd") : fd;
}

static int watch(struct supervisor *s, int *fd, struct tmk_error *err)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = fd};
	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, *fd, &e) < 0 ? tmk_error_sys(err, -errno, "epoll") : 0;
}

static int open_loop(struct supervisor *s, struct tmk_error *err)
{
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		return tmk_error_sys(err, -errno, "epoll");
	s->signals = open_signals(err);
	if (s->signals < 0)
		return s->signals;
	const char *address = s->settings->listen[0] ? s->settings->listen : NULL;
	s->listener = tmk_listen(address, (uint16_t)s->settings->port, err);
	if (s->listener < 0)
		return s->listener;
	fcntl(s->listener, F_SETFL, fcntl(s->listener, F_GETFL) | O_NONBLOCK);
	s->control = tmk_control_listen(s->settings->control, err);
	if (s->control < 0)
		return s->control;
	int bad = watch(s, &s->signals, err);
	if (!bad)
		bad = watch(s, &s->listener, err);
	return bad ? bad : watch(s, &s->control, err);
}

static int open_parts(struct supervisor *s, struct tmk_error *err)
{
	int bad = tmk_crew_new(&s->crew, s->epoll);
	if (bad)
		return tmk_error_set(err, bad, "no memory");
	const struct tmk_holdings_with with = {
		.crew = s->crew,
		.catalogue = s->catalogue,
		.settings = s->settings,
		.user = &s->user,
		.root = s->root,
		.protections = s->protections,
	};
	bad = tmk_holdings_new(&s->holdings, &with, err);
	if (bad)
		return bad;
	const struct tmk_reception_with reception = {
		.crew = s->crew,
		.catalogue = s->catalogue,
		.holdings = s->holdings,
		.user = &s->user,
		.tls = s->tls,
		.pki = s->pki,
		.root = s->root,
		.protections = s->protections,
	};
	s->verbs = (struct tmk_verbs){.crew = s->crew,
				      .catalogue = s->catalogue,
				      .holdings = s->holdings,
				      .settings = s->settings,
				      .pki = s->pki,
				      .root = s->root};
	return tmk_reception_new(&s->reception, &reception, err);
}

/* ---- running ---- */

static void stop(struct supervisor *s)
{
	if (s->stop_by)
		return;
	tmk_log_info("stopping");
	s->stop_by = tmk_now_ms() + STOP_MS;
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->listener, NULL);
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->control, NULL);
	tmk_reception_stop(s->reception);
	tmk_holdings_stop(s->holdings);
}

static void take_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;
	while (read(s->signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			stop(s);
	tmk_crew_reap(s->crew);
}

static void take_connection(struct supervisor *s)
{
	int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		tmk_reception_connect(s->reception, fd);
	else if (errno == EMFILE || errno == ENFILE)
		tmk_log_error("no descriptor left for a connection");
}

static void take_call(struct supervisor *s)
{
	struct tmk_control_call *call;
	struct tmk_error err = {0};
	int bad = tmk_control_accept(s->control, &call, &err);
	if (!bad)
		tmk_verbs_answer(&s->verbs, call);
	else if (bad != -EAGAIN)
		tmk_log_warning("control socket: %s", err.text);
}

/* One event at a time: what it changes may be what the next one was about. */
static void turn(struct supervisor *s)
{
	struct epoll_event e;
	uint64_t wait = tmk_crew_tick(s->crew), other = tmk_reception_tick(s->reception);
	tmk_holdings_tick(s->holdings);
	int n = epoll_wait(s->epoll, &e, 1, (int)(wait < other ? wait : other));
	if (n <= 0)
		return;
	if (e.data.ptr == &s->signals)
		take_signals(s);
	else if (e.data.ptr == &s->listener)
		take_connection(s);
	else if (e.data.ptr == &s->control)
		take_call(s);
	else
		tmk_crew_readable(s->crew, e.data.ptr);
}

static void loop(struct supervisor *s)
{
	tmk_log_info("serving %s on port %u", s->settings->directory, (unsigned)s->settings->port);
	while (!s->stop_by || (tmk_crew_count(s->crew) && tmk_now_ms() < s->stop_by))
		turn(s);
}

static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

int tmk_supervisor_run(const struct tmk_settings *settings, struct tmk_error *err)
{
	struct supervisor s = {
		.settings = settings, .root = -1, .protections = -1, .epoll = -1, .listener = -1, .control = -1, .signals = -1};
	int bad = find_user(&s, err);
	if (!bad)
		bad = open_directory(&s, err);
	if (!bad)
		bad = open_loop(&s, err);
	if (!bad)
		bad = open_parts(&s, err);
	if (!bad)
		loop(&s);
	tmk_crew_free(s.crew);
	tmk_reception_free(s.reception);
	tmk_holdings_free(s.holdings);
	tmk_catalogue_close(s.catalogue);
	tmk_tls_free(s.tls);
	if (s.control >= 0)
		unlink(settings->control);
	close_if(s.control);
	close_if(s.listener);
	close_if(s.signals);
	close_if(s.epoll);
	close_if(s.protections);
	close_if(s.root);
	return bad < 0 ? bad : 0;
}
