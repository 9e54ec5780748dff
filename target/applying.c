/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The applier's process: see applying.h. Ends when the supervisor closes the channel, or when an operator is needed. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "applier.h"
#include "applying.h"
#include "channel.h"
#include "log.h"
#include "message.h"
#include "replica.h"

#define BUSY_MS 200	/* an export reads the replica */
#define TROUBLE_MS 5000 /* storage may come back */

struct applying {
	const struct tmk_applying *with;
	int channel;
	struct tmk_applier *applier;
	uint64_t durable;
	bool over, troubled;
	int sent; /* the first error of a callback */
};

static void say(struct applying *a, int err)
{
	if (err && !a->sent)
		a->sent = err;
}

static void applied(const struct tmk_sidecar *now, void *context)
{
	struct applying *a = context;
	uint8_t body[128];
	struct tmk_writer_buf w = tmk_writer_buf(body, sizeof(body));
	tmk_put_u16(&w, now->state);
	tmk_put_u64(&w, now->applied);
	tmk_put_bytes(&w, now->applied_hash, sizeof(now->applied_hash));
	tmk_put_u64(&w, now->point);
	tmk_put_u64(&w, now->until);
	say(a, tmk_channel_send(a->channel, TMK_MESSAGE_APPLIED, body, w.at, -1));
}

static void point(const struct tmk_point *p, void *context)
{
	struct applying *a = context;
	uint8_t body[1024];
	struct tmk_writer_buf w = tmk_writer_buf(body, sizeof(body));
	tmk_channel_put_point(&w, p);
	say(a, w.failed ? -EMSGSIZE : tmk_channel_send(a->channel, TMK_MESSAGE_POINT, body, w.at, -1));
}

static void compared(const struct tmk_compared *result, void *context)
{
	struct applying *a = context;
	static uint8_t body[TMK_MESSAGE_MAX];
	size_t size = tmk_compared_encode(result, body, sizeof(body));
	say(a, size ? tmk_channel_send(a->channel, TMK_MESSAGE_COMPARED, body, size, -1) : -EMSGSIZE);
}

static void unread(const char *text, void *context)
{
	const struct applying *a = context;
	tmk_log_warning("%s: cannot be compared: %s", a->with->name, text);
}

/* Said when it begins and when it is over. */
static void trouble(struct applying *a, int code, const char *text)
{
	if (!code && !a->troubled)
		return;
	a->troubled = code != 0;
	say(a, tmk_channel_send_code(a->channel, TMK_MESSAGE_TROUBLE, code, text));
}

static void give_up(struct applying *a)
{
	struct tmk_error err = {0};
	struct tmk_sidecar now;
	int bad = a->applier ? tmk_applier_give_up_point(a->applier, &err)
			     : tmk_error_set(&err, -EAGAIN, "the replica is not open now; try again");
	if (!bad && !tmk_sidecar_read(&tmk_io_real, a->with->dir, &now, NULL))
		applied(&now, a);
	say(a, tmk_channel_send_code(a->channel, TMK_MESSAGE_DONE, bad, bad ? err.text : ""));
}

static void take_orders(struct applying *a)
{
	static struct tmk_message m;
	while (!a->over) {
		int err = tmk_channel_receive(a->channel, &m);
		if (err == -EAGAIN)
			return;
		if (!err && m.fd >= 0)
			close(m.fd);
		struct tmk_reader r = tmk_message_reader(&m);
		if (err || m.type == TMK_MESSAGE_STOP)
			a->over = true;
		else if (m.type == TMK_MESSAGE_DURABLE)
			a->durable = tmk_get_u64(&r);
		else if (m.type == TMK_MESSAGE_GIVE_UP)
			give_up(a);
	}
}

static void wait_for_orders(struct applying *a, int timeout_ms)
{
	struct pollfd p = {.fd = a->channel, .events = POLLIN};
	if (poll(&p, 1, timeout_ms) < 0 && errno != EINTR)
		a->over = true;
	take_orders(a);
}

static int open_applier(struct applying *a, struct tmk_error *err)
{
	const struct tmk_applier_events events = {
		.applied = applied, .point = point, .compared = compared, .unread = unread, .context = a};
	struct tmk_sidecar now;
	int bad = tmk_applier_open(&a->applier, &tmk_io_real, a->with->dir, &events, err);
	if (bad) {
		a->applier = NULL;
		return bad;
	}
	bad = tmk_sidecar_read(&tmk_io_real, a->with->dir, &now, err);
	if (!bad)
		applied(&now, a);
	return bad;
}

/* One turn; what comes back is how long to wait for the next. */
static int turn(struct applying *a)
{
	struct tmk_error err = {0};
	int more = 0, bad = a->applier ? 0 : open_applier(a, &err);
	if (!bad) {
		more = tmk_applier_step(a->applier, a->durable, a->with->spare, &err);
		bad = more < 0 ? more : 0;
	}
	if (bad == -EBUSY)
		return BUSY_MS;
	trouble(a, bad, err.text);
	if (bad == -EUCLEAN)
		a->over = true;
	return bad ? TROUBLE_MS : more ? 0 : -1;
}

int tmk_applying_run(int channel, void *context)
{
	struct applying a = {.with = context, .channel = channel, .troubled = true};
	take_orders(&a);
	while (!a.over && !a.sent) {
		int wait = turn(&a);
		if (!a.over)
			wait_for_orders(&a, wait);
	}
	tmk_applier_close(a.applier);
	return 0;
}
