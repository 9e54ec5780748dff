/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages between supervisor and children: see channel.h. Blocks only on a child's end. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"
#include "util.h"

#define HEAD 4 /* u16 type, u16 zero */
#define ERRNO_MOST 4095

int tmk_channel_pair(int ends[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	/* Whole messages have to fit, also those that a receiver cannot read while it waits for its disk. */
	int size = 64 * TMK_MESSAGE_MAX;
	for (int i = 0; i < 2; i++)
		if (setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
			setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

static int last_error(void)
{
	return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
}

int tmk_channel_send(int channel, uint16_t type, const void *body, size_t size, int fd)
{
	if (size > TMK_MESSAGE_MAX)
		return -EMSGSIZE;
	uint8_t head[HEAD] = {type & 0xff, type >> 8};
	struct iovec parts[2] = {{head, HEAD}, {(void *)body, size}};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = size ? 2 : 1};
	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.space);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	ssize_t sent;
	do
		sent = sendmsg(channel, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? last_error() : 0;
}

int tmk_channel_send_number(int channel, uint16_t type, uint64_t number)
{
	uint8_t body[8];
	struct tmk_writer_buf w = tmk_writer_buf(body, sizeof(body));
	tmk_put_u64(&w, number);
	return tmk_channel_send(channel, type, body, w.at, -1);
}

int tmk_channel_send_code(int channel, uint16_t type, int code, const char *text)
{
	uint8_t body[1024];
	struct tmk_writer_buf w = tmk_writer_buf(body, sizeof(body));
	tmk_put_u32(&w, (uint32_t)(code < 0 ? -code : code));
	tmk_put_string(&w, text);
	return w.failed ? -EMSGSIZE : tmk_channel_send(channel, type, body, w.at, -1);
}

int tmk_channel_send_refuse(int channel, uint16_t type, enum tmk_refuse code, const char *text)
{
	uint8_t body[1024];
	struct tmk_writer_buf w = tmk_writer_buf(body, sizeof(body));
	tmk_put_u16(&w, (uint16_t)code);
	tmk_put_string(&w, text);
	return w.failed ? -EMSGSIZE : tmk_channel_send(channel, type, body, w.at, -1);
}

/* Closes every descriptor that came, but the first if it is wanted. */
static int take_descriptor(struct msghdr *message)
{
	int first = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (first < 0)
				first = fd;
			else
				close(fd);
		}
	}
	return first;
}

int tmk_channel_receive(int channel, struct tmk_message *out)
{
	uint8_t head[HEAD];
	struct iovec parts[2] = {{head, HEAD}, {out->body, sizeof(out->body)}};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = {
		.msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof(control.space)};
	ssize_t got;
	do
		got = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	out->fd = -1;
	if (got < 0)
		return last_error();
	out->fd = take_descriptor(&message);
	if (got >= HEAD && !(message.msg_flags & MSG_TRUNC) && !head[2] && !head[3]) {
		out->type = (uint16_t)(head[0] | head[1] << 8);
		out->size = (size_t)got - HEAD;
		return 0;
	}
	/* An empty packet looks like the end, and may bring a descriptor. */
	if (out->fd >= 0)
		close(out->fd);
	out->fd = -1;
	return got ? -EBADMSG : -EPIPE;
}

int tmk_channel_wait(int channel, int timeout_ms, struct tmk_message *out)
{
	uint64_t end = tmk_now_ms() + (uint64_t)timeout_ms;
	for (;;) {
		int err = tmk_channel_receive(channel, out);
		if (err != -EAGAIN)
			return err;
		uint64_t now = tmk_now_ms();
		if (now >= end)
			return -ETIMEDOUT;
		struct pollfd p = {.fd = channel, .events = POLLIN};
		if (poll(&p, 1, (int)(end - now)) < 0 && errno != EINTR)
			return -errno;
	}
}

struct tmk_reader tmk_message_reader(const struct tmk_message *m)
{
	return tmk_reader(m->body, m->size);
}

int tmk_channel_get_code(struct tmk_reader *r)
{
	uint32_t code = tmk_get_u32(r);
	if (code > ERRNO_MOST)
		r->failed = true;
	return r->failed ? 0 : -(int)code;
}

void tmk_channel_put_point(struct tmk_writer_buf *w, const struct tmk_point *p)
{
	tmk_put_u64(w, p->number);
	tmk_put_bytes(w, p->hash, sizeof(p->hash));
	tmk_put_u64(w, p->generation);
	tmk_put_u64(w, p->target_time);
	tmk_put_u8(w, p->mark.kind);
	tmk_put_bytes(w, p->mark.id, sizeof(p->mark.id));
	tmk_put_u64(w, p->mark.gap);
	tmk_put_u64(w, p->mark.source_time);
	tmk_put_string(w, p->mark.label);
	tmk_put_u16(w, p->mark.disk_count);
	for (unsigned i = 0; i < p->mark.disk_count && i < TMK_DISKS_MAX; i++)
		tmk_put_u64(w, p->mark.sizes[i]);
}

static uint16_t get_count(struct tmk_reader *r)
{
	uint16_t count = tmk_get_u16(r);
	if (count < 1 || count > TMK_DISKS_MAX)
		r->failed = true;
	return r->failed ? 0 : count;
}

void tmk_channel_get_point(struct tmk_reader *r, struct tmk_point *p)
{
	memset(p, 0, sizeof(*p));
	p->number = tmk_get_u64(r);
	tmk_get_bytes(r, p->hash, sizeof(p->hash));
	p->generation = tmk_get_u64(r);
	p->target_time = tmk_get_u64(r);
	p->mark.kind = tmk_get_u8(r);
	tmk_get_bytes(r, p->mark.id, sizeof(p->mark.id));
	p->mark.gap = tmk_get_u64(r);
	p->mark.source_time = tmk_get_u64(r);
	tmk_get_string(r, p->mark.label, sizeof(p->mark.label));
	p->mark.disk_count = get_count(r);
	for (unsigned i = 0; i < p->mark.disk_count; i++)
		p->mark.sizes[i] = tmk_get_u64(r);
}

void tmk_channel_put_acceptance(struct tmk_writer_buf *w, const struct tmk_acceptance *a)
{
	tmk_put_string(w, a->name);
	tmk_put_bytes(w, a->protection, sizeof(a->protection));
	tmk_put_bytes(w, a->epoch, sizeof(a->epoch));
	tmk_put_u64(w, a->generation);
	tmk_put_u64(w, a->applied.number);
	tmk_put_bytes(w, a->applied.hash, sizeof(a->applied.hash));
	tmk_put_u64(w, a->limit);
	tmk_put_u64(w, a->reserve);
	tmk_put_u32(w, a->window);
	tmk_put_u64(w, a->growth);
	tmk_put_u8(w, a->holds);
	tmk_put_u16(w, a->sizes.count);
	for (unsigned i = 0; i < a->sizes.count && i < TMK_DISKS_MAX; i++)
		tmk_put_u64(w, a->sizes.sizes[i]);
}

void tmk_channel_get_acceptance(struct tmk_reader *r, struct tmk_acceptance *a)
{
	memset(a, 0, sizeof(*a));
	tmk_get_string(r, a->name, sizeof(a->name));
	tmk_get_bytes(r, a->protection, sizeof(a->protection));
	tmk_get_bytes(r, a->epoch, sizeof(a->epoch));
	a->generation = tmk_get_u64(r);
	a->applied.number = tmk_get_u64(r);
	tmk_get_bytes(r, a->applied.hash, sizeof(a->applied.hash));
	a->limit = tmk_get_u64(r);
	a->reserve = tmk_get_u64(r);
	a->window = tmk_get_u32(r);
	a->growth = tmk_get_u64(r);
	a->holds = tmk_get_u8(r);
	if (a->holds > 1)
		r->failed = true;
	a->sizes.count = get_count(r);
	for (unsigned i = 0; i < a->sizes.count; i++)
		a->sizes.sizes[i] = tmk_get_u64(r);
}
