/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidemark-freezer: freezes and thaws filesystems for the shipper (R26). It alone holds the timer, and it needs nothing that a
 * frozen filesystem could keep from it: all memory is locked, and after the setup it neither allocates nor logs nor opens
 * anything; its descriptors are the socket, the record (on tmpfs), the filesystems and /dev/null.
 *
 * Two threads. FIFREEZE blocks writers first and then syncs, for as long as that takes, and nothing interrupts it: the worker
 * does it. The main thread watches socket and timer, and thaws. So the bound holds for every filesystem that is frozen while
 * another one's FIFREEZE takes too long; that one itself is thawed as soon as the kernel lets go of it.
 *
 * Thawed: by request, when the time is over (counted from before the first FIFREEZE, on CLOCK_BOOTTIME: a suspend counts), and
 * at end of file, i.e. when the shipper dies. Only what was frozen here. Who thaws a filesystem is settled by its state.
 */
#include "freezer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define STACK_SIZE (128u << 10)

enum hold {
	HOLD_FREE,
	HOLD_FROZEN,
	HOLD_THAWING,
};

struct freezer {
	uint32_t count, limit_ms;
	int record, timer, go, done;
	int fds[TMK_FREEZER_MAX];
	bool read_only[TMK_FREEZER_MAX];
	_Atomic uint8_t hold[TMK_FREEZER_MAX];	/* enum hold: the one who moves it from FROZEN to THAWING thaws */
	_Atomic uint8_t state[TMK_FREEZER_MAX]; /* enum tmk_freezer_state, as in the record */
	_Atomic bool over;			/* nothing may stay frozen; the worker looks after each FIFREEZE */
	/* the worker's result, read after `done` */
	int error;
	uint32_t which;
	/* main thread only */
	bool busy;	/* the worker has not reported yet */
	bool answering; /* the shipper waits for FROZE */
	bool held;	/* all are frozen */
	bool expired;	/* the timer thawed them */
	uint64_t start, span;
	_Atomic int thaw_error; /* either thread */
	_Atomic uint32_t thaw_which;
	_Atomic uint32_t lost; /* one that was not frozen any more when we came to thaw it, or NONE */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t ms_of(uint64_t ns)
{
	uint64_t ms = (ns + 999999) / 1000000;

	return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static void signal_event(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void take_event(int fd)
{
	uint64_t value;

	while (read(fd, &value, sizeof(value)) < 0 && errno == EINTR)
		;
}

/* A record that cannot be written helps nobody after a SIGKILL, but is no reason to leave something frozen. */
static void note(struct freezer *f, uint32_t i, uint8_t state)
{
	f->state[i] = state;
	while (pwrite(f->record, &state, 1, (off_t)(TMK_FREEZER_STATES + i)) < 0 && errno == EINTR)
		;
}

/* ---- thawing: both threads ---- */
static void thaw_one(struct freezer *f, uint32_t i)
{
	uint8_t frozen = HOLD_FROZEN;

	if (!atomic_compare_exchange_strong(&f->hold[i], &frozen, HOLD_THAWING))
		return;
	if (!ioctl(f->fds[i], FITHAW, 0)) {
		note(f, i, TMK_FREEZER_IDLE);
	} else if (errno == EINVAL) {
		f->lost = i;
		note(f, i, TMK_FREEZER_IDLE);
	} else {
		f->thaw_which = i;
		f->thaw_error = errno;
		f->hold[i] = HOLD_FROZEN; /* tried again at the next occasion */
		return;
	}
	f->hold[i] = HOLD_FREE;
}

/* Lower ones first: thawing an upper one writes to what lies below. */
static void thaw_all(struct freezer *f)
{
	for (uint32_t i = f->count; i-- > 0;)
		thaw_one(f, i);
}

/* ---- the worker ---- */
/* 0, or a positive errno. */
static int freeze_one(struct freezer *f, uint32_t i)
{
	if (f->read_only[i]) {
		note(f, i, TMK_FREEZER_SYNCED);
		return 0;
	}
	note(f, i, TMK_FREEZER_PENDING);
	if (!ioctl(f->fds[i], FIFREEZE, 0)) {
		note(f, i, TMK_FREEZER_FROZEN);
		f->hold[i] = HOLD_FROZEN;
		if (f->over)
			thaw_one(f, i);
		return 0;
	}
	if (errno == EBUSY) {
		note(f, i, TMK_FREEZER_OTHER);
		return 0;
	}
	if (errno == EOPNOTSUPP || errno == ENOTTY) {
		note(f, i, TMK_FREEZER_SYNCED);
		return syncfs(f->fds[i]) ? errno : 0;
	}
	note(f, i, TMK_FREEZER_IDLE);
	return errno;
}

static void freeze_all(struct freezer *f)
{
	f->error = 0;
	for (uint32_t i = 0; i < f->count && !f->error && !f->over; i++) {
		f->which = i;
		f->error = freeze_one(f, i);
	}
	if (!f->error && f->over)
		f->error = ETIME;
}

static void *worker(void *arg)
{
	struct freezer *f = arg;

	for (;;) {
		take_event(f->go);
		freeze_all(f);
		signal_event(f->done);
	}
	return NULL;
}

/* ---- the main thread ---- */
static void arm(struct freezer *f, uint64_t at)
{
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at / 1000000000u), .tv_nsec = (long)(at % 1000000000u)}};

	timerfd_settime(f->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void answer(const struct freezer *f, uint32_t kind, int result, uint32_t which)
{
	struct tmk_freezer_answer a = {.kind = kind, .result = result, .which = which, .ms = ms_of(f->span)};

	for (uint32_t i = 0; i < f->count; i++)
		a.state[i] = f->state[i];
	send(TMK_FREEZER_FD, &a, sizeof(a), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Ends a hold, and the time that is measured. */
static void release(struct freezer *f)
{
	thaw_all(f);
	arm(f, 0);
	f->span = now_ns() - f->start;
	f->held = false;
}

static void answer_froze(struct freezer *f, int result, uint32_t which)
{
	if (!f->answering)
		return;
	f->answering = false;
	answer(f, TMK_FREEZER_FROZE, result, which);
}

static void start_freeze(struct freezer *f)
{
	if (f->busy || f->held || f->answering) {
		answer(f, TMK_FREEZER_FROZE, -EBUSY, TMK_FREEZER_NONE);
		return;
	}
	f->over = f->expired = false;
	f->thaw_error = 0;
	f->lost = TMK_FREEZER_NONE;
	f->busy = f->answering = true;
	f->start = now_ns();
	arm(f, f->start + f->limit_ms * UINT64_C(1000000));
	signal_event(f->go);
}

static void worker_done(struct freezer *f)
{
	take_event(f->done);
	f->busy = false;
	if (f->error || f->over) {
		f->over = true;
		release(f);
		answer_froze(f, f->error ? -f->error : -ETIME, f->which);
		return;
	}
	f->held = true;
	f->span = now_ns() - f->start;
	answer_froze(f, 0, TMK_FREEZER_NONE);
}

static void time_over(struct freezer *f)
{
	take_event(f->timer);
	if (!f->busy && !f->held)
		return;
	f->expired = f->over = true;
	release(f);
	answer_froze(f, -ETIME, f->busy ? f->which : TMK_FREEZER_NONE);
}

/* Whether those that another had frozen still are: if one lets us freeze it, it was not. Only when ours are thawed, for a freeze
 * writes, and would wait for a lower one of ours for ever. */
static uint32_t thawed_by_other(struct freezer *f)
{
	uint32_t which = TMK_FREEZER_NONE;

	for (uint32_t i = 0; i < f->count; i++) {
		if (f->state[i] != TMK_FREEZER_OTHER)
			continue;
		f->over = true; /* freeze_one() thaws at once */
		if (freeze_one(f, i) || f->state[i] != TMK_FREEZER_OTHER)
			which = i;
	}
	return which;
}

static void thaw_request(struct freezer *f)
{
	uint32_t which = TMK_FREEZER_NONE;
	int result = 0;

	if (!f->held && !f->expired) {
		answer(f, TMK_FREEZER_THAWED, -EINVAL, which);
		return;
	}
	if (f->held)
		release(f);
	else
		thaw_all(f); /* what failed when the time was over */
	if (f->thaw_error) {
		result = -EIO;
		which = f->thaw_which;
	} else if (f->expired) {
		result = -ETIME;
	} else if (f->lost != TMK_FREEZER_NONE) {
		result = -ESTALE;
		which = f->lost;
	} else {
		which = thawed_by_other(f);
		result = which == TMK_FREEZER_NONE ? 0 : -ESTALE;
	}
	f->expired = false;
	answer(f, TMK_FREEZER_THAWED, result, which);
}

/* False: the shipper is gone. */
static bool request(struct freezer *f)
{
	struct tmk_freezer_request r;
	ssize_t n = recv(TMK_FREEZER_FD, &r, sizeof(r), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n != (ssize_t)sizeof(r))
		return false;
	if (r.kind == TMK_FREEZER_FREEZE)
		start_freeze(f);
	else if (r.kind == TMK_FREEZER_THAW)
		thaw_request(f);
	else
		return false;
	return true;
}

static void serve(struct freezer *f)
{
	struct pollfd p[3] = {
		{.fd = f->done, .events = POLLIN}, {.fd = f->timer, .events = POLLIN}, {.fd = TMK_FREEZER_FD, .events = POLLIN}};
	bool open = true;

	while (open || f->busy) {
		if (poll(p, open ? 3 : 1, -1) < 0)
			continue;
		if (p[0].revents)
			worker_done(f);
		if (open && p[1].revents)
			time_over(f);
		if (open && p[2].revents)
			open = request(f);
		if (!open) {
			f->over = true;
			thaw_all(f);
		}
		p[1].revents = p[2].revents = 0;
	}
}

/* The shipper is gone and one could not be thawed: keep trying, nobody else will before the machine's next boot. */
static int last_thaw(struct freezer *f)
{
	for (int try = 0; try < 600; try++) {
		bool left = false;

		thaw_all(f);
		for (uint32_t i = 0; i < f->count; i++)
			left |= f->hold[i] != HOLD_FREE;
		if (!left)
			return 0;
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	}
	return 1; /* the record still names it */
}

/* ---- setup ---- */
static int write_small(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = errno;
	close(fd);
	return rc;
}

static void prefault_stack(void)
{
	volatile unsigned char page[STACK_SIZE];

	for (size_t i = 0; i < sizeof(page); i += 1024)
		page[i] = 0;
}

static int take_descriptors(struct freezer *f, struct msghdr *m, uint32_t count)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fds[1 + TMK_FREEZER_MAX];

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || m->msg_flags & (MSG_CTRUNC | MSG_TRUNC) ||
	    c->cmsg_len != CMSG_LEN((1 + count) * sizeof(int)))
		return EBADMSG;
	memcpy(fds, CMSG_DATA(c), (1 + count) * sizeof(int));
	f->record = fds[0];
	memcpy(f->fds, fds + 1, count * sizeof(int));
	return 0;
}

static int receive_setup(struct freezer *f)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE((1 + TMK_FREEZER_MAX) * sizeof(int))];
	} control;
	struct tmk_freezer_request r = {0};
	struct iovec iov = {.iov_base = &r, .iov_len = sizeof(r)};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	ssize_t n;

	do {
		n = recvmsg(TMK_FREEZER_FD, &m, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(r) || r.kind != TMK_FREEZER_SETUP)
		return n < 0 ? errno : EBADMSG;
	if (r.version != TMK_FREEZER_VERSION)
		return EPROTO;
	if (!r.count || r.count > TMK_FREEZER_MAX || !r.limit_ms)
		return EINVAL;
	f->count = r.count;
	f->limit_ms = r.limit_ms;
	for (uint32_t i = 0; i < f->count; i++)
		f->read_only[i] = r.read_only[i];
	return take_descriptors(f, &m, r.count);
}

static int start_worker(struct freezer *f)
{
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	f->go = eventfd(0, EFD_CLOEXEC);
	f->done = eventfd(0, EFD_CLOEXEC);
	f->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (f->go < 0 || f->done < 0 || f->timer < 0)
		return errno;
	rc = pthread_attr_init(&attr);
	if (!rc)
		rc = pthread_attr_setstacksize(&attr, STACK_SIZE);
	if (!rc)
		rc = pthread_create(&thread, &attr, worker, f);
	return rc;
}

static int setup(struct freezer *f, struct tmk_freezer_answer *hello)
{
	sigset_t all;
	int rc;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL); /* end of file at the socket is how it is told to stop */
	if (chdir("/"))
		return errno;
	setsid();
	close_range(TMK_FREEZER_FD + 1, ~0u, 0);
	hello->guard_error = write_small("/proc/self/oom_score_adj", "-1000");
	prctl(PR_SET_DUMPABLE, 0); /* a core file would keep the descriptors, and wait for a frozen filesystem */
	rc = receive_setup(f);
	if (!rc)
		rc = start_worker(f);
	hello->lock_error = mlockall(MCL_CURRENT | MCL_FUTURE) ? errno : 0;
	prefault_stack();
	return rc;
}

int main(void)
{
	static struct freezer f = {.thaw_which = TMK_FREEZER_NONE, .lost = TMK_FREEZER_NONE};
	struct tmk_freezer_answer hello = {.kind = TMK_FREEZER_HELLO, .which = TMK_FREEZER_NONE};
	int rc = setup(&f, &hello);

	hello.result = -rc;
	if (send(TMK_FREEZER_FD, &hello, sizeof(hello), MSG_NOSIGNAL) < 0 || rc)
		_exit(2);
	serve(&f);
	_exit(last_thaw(&f));
}
