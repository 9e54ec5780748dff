/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP connections (link.h). Looking a name up may take longer than the timeout: the resolver has its own.
 * A peer that is gone is noticed within about a minute: by keepalive when nothing is under way, by the user timeout when
 * something is.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link.h"
#include "util.h"

#define BACKLOG 64
#define UNACKED_MS 60000

static int look_up(const char *host, uint16_t port, int flags, struct addrinfo **out, struct tmk_error *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
	char service[8];
	int ret;

	snprintf(service, sizeof(service), "%u", port);
	ret = getaddrinfo(host, service, &hints, out);
	if (!ret)
		return 0;
	return tmk_error_set(err, ret == EAI_AGAIN ? -EAGAIN : -EHOSTUNREACH, "cannot find the address of %s: %s",
			     host ? host : "this machine", gai_strerror(ret));
}

static int connected(int fd, uint64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error, n;
	socklen_t size = sizeof(error);

	do {
		uint64_t now = tmk_now_ms();

		n = poll(&p, 1, now < deadline ? (int)(deadline - now) : 0);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n ? -errno : -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
		return -errno;
	return -error;
}

static int option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static int dial_one(const struct addrinfo *address, uint64_t deadline)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address->ai_protocol), ret = 0;

	if (fd < 0)
		return -errno;
	if (option(fd, IPPROTO_TCP, TCP_NODELAY, 1) || option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) ||
	    option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30) || option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10) ||
	    option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3) || option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKED_MS))
		ret = -errno;
	else if (connect(fd, address->ai_addr, address->ai_addrlen))
		ret = errno == EINPROGRESS ? connected(fd, deadline) : -errno;
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

/* Each address may have an even share of the time, so that a dead one does not eat it all. */
static int dial_each(const struct addrinfo *list, int timeout_ms)
{
	uint64_t end = tmk_now_ms() + (timeout_ms > 0 ? timeout_ms : 0);
	unsigned int count = 0;
	int ret = -EHOSTUNREACH;

	for (const struct addrinfo *a = list; a; a = a->ai_next)
		count++;
	for (const struct addrinfo *a = list; a; a = a->ai_next, count--) {
		uint64_t now = tmk_now_ms();

		if (now > end)
			now = end;
		ret = dial_one(a, now + (end - now) / count);
		if (ret >= 0)
			return ret;
	}
	return ret;
}

int tmk_dial(const char *host, uint16_t port, int timeout_ms, struct tmk_error *err)
{
	struct addrinfo *list;
	int ret = look_up(host, port, AI_ADDRCONFIG, &list, err);

	/* A machine whose only address is loopback has none that AI_ADDRCONFIG counts. */
	if (ret)
		ret = look_up(host, port, 0, &list, err);
	if (ret)
		return ret;
	ret = dial_each(list, timeout_ms);
	freeaddrinfo(list);
	if (ret == -ECONNREFUSED)
		return tmk_error_set(err, ret, "nobody listens at %s port %u: does tidemark-target run there?", host, port);
	if (ret == -ETIMEDOUT)
		return tmk_error_set(err, ret, "%s port %u does not answer: is it the right host, does a firewall lie between?",
				     host, port);
	return ret < 0 ? tmk_error_sys(err, ret, "cannot connect to %s port %u", host, port) : ret;
}

static int listen_one(const struct addrinfo *address)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address->ai_protocol), ret;

	if (fd < 0)
		return -errno;
	/* One IPv6 socket for both, where there is IPv6. */
	if (!option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
	    (address->ai_family != AF_INET6 || !option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)) &&
	    !bind(fd, address->ai_addr, address->ai_addrlen) && !listen(fd, BACKLOG))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

int tmk_listen(const char *address, uint16_t port, struct tmk_error *err)
{
	const char *shown = address ? address : "all addresses";
	struct addrinfo *list;
	int ret = look_up(address ? address : "::", port, AI_PASSIVE, &list, err);

	if (ret)
		return ret;
	ret = listen_one(list);
	freeaddrinfo(list);
	if (!address && ret == -EAFNOSUPPORT) {
		ret = look_up("0.0.0.0", port, AI_PASSIVE, &list, err);
		if (ret)
			return ret;
		ret = listen_one(list);
		freeaddrinfo(list);
	}
	if (ret == -EADDRINUSE)
		return tmk_error_set(err, ret, "port %u of %s is in use: does another tidemark-target run?", port, shown);
	return ret < 0 ? tmk_error_sys(err, ret, "cannot listen at port %u of %s", port, shown) : ret;
}
