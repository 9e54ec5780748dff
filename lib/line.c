/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See line.h. */
#include "line.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"

#define LINE_MAX_BYTES (1u << 20)
#define READ_STEP (16u << 10)

struct tmk_line {
	int fd;
	size_t used, size; /* of data */
	char *data;
};

int tmk_line_address(struct sockaddr_un *out, const char *path, struct tmk_error *err)
{
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(out->sun_path))
		return tmk_error_set(err, -ENAMETOOLONG, "the path of the control socket is longer than %zu bytes: %s",
				     sizeof(out->sun_path) - 1, path);
	strcpy(out->sun_path, path);
	return 0;
}

int tmk_line_new(struct tmk_line **out, int fd)
{
	struct tmk_line *line = calloc(1, sizeof(*line));

	if (!line)
		return -ENOMEM;
	line->fd = fd;
	*out = line;
	return 0;
}

void tmk_line_free(struct tmk_line *line)
{
	if (!line)
		return;
	close(line->fd);
	free(line->data);
	free(line);
}

int tmk_line_fd(const struct tmk_line *line)
{
	return line->fd;
}

/* deadline 0: none. */
static int wait_for(int fd, short events, uint64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = deadline ? tmk_now_ms() : 0;
		int n;

		if (deadline && now >= deadline)
			return -ETIMEDOUT;
		n = poll(&p, 1, deadline ? (int)(deadline - now) : -1);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* Reads some more; 0 also if nothing was there. */
static int fill(struct tmk_line *line)
{
	ssize_t n;

	if (line->size - line->used < READ_STEP) {
		char *data = realloc(line->data, line->size + 4 * READ_STEP);

		if (!data)
			return -ENOMEM;
		line->data = data;
		line->size += 4 * READ_STEP;
	}
	n = recv(line->fd, line->data + line->used, READ_STEP, MSG_DONTWAIT);
	if (!n)
		return -EPIPE;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
	line->used += n;
	return 0;
}

/* Takes the first line off, if there is a whole one: its length with the newline, or 0. */
static int take(struct tmk_line *line, json_t **out, struct tmk_error *err)
{
	char *end = line->used ? memchr(line->data, '\n', line->used) : NULL;
	size_t length = end ? (size_t)(end - line->data) + 1 : line->used;
	json_error_t why;

	if (length > LINE_MAX_BYTES)
		return tmk_error_set(err, -EMSGSIZE, "a line longer than 1 MiB at the control socket");
	if (!end)
		return 0;
	*out = json_loadb(line->data, length, JSON_REJECT_DUPLICATES, &why);
	line->used -= length;
	memmove(line->data, end + 1, line->used);
	if (json_is_object(*out))
		return 1;
	json_decref(*out);
	*out = NULL;
	return tmk_error_set(err, -EBADMSG, "not an object of JSON at the control socket");
}

int tmk_line_read(struct tmk_line *line, int timeout_ms, json_t **out, struct tmk_error *err)
{
	uint64_t deadline = timeout_ms < 0 ? 0 : tmk_now_ms() + timeout_ms;
	int ret;

	for (;;) {
		ret = take(line, out, err);
		if (ret)
			return ret < 0 ? ret : 0;
		ret = wait_for(line->fd, POLLIN, deadline);
		if (!ret)
			ret = fill(line);
		if (ret == -ETIMEDOUT)
			return tmk_error_set(err, ret, "the other side of the control socket is silent");
		if (ret == -EPIPE)
			return tmk_error_set(err, ret, "the other side of the control socket closed it");
		if (ret)
			return tmk_error_sys(err, ret, "cannot read from the control socket");
	}
}

static int send_all(int fd, const char *data, size_t size, uint64_t deadline)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		int ret;

		if (n >= 0) {
			data += n;
			size -= n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -EPIPE;
		ret = wait_for(fd, POLLOUT, deadline);
		if (ret)
			return ret;
	}
	return 0;
}

int tmk_line_write(struct tmk_line *line, int timeout_ms, const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT);
	size_t length;
	int ret;

	if (!text)
		return -ENOMEM;
	length = strlen(text);
	text[length] = '\n'; /* in place of the terminator */
	ret = length < LINE_MAX_BYTES ? send_all(line->fd, text, length + 1, tmk_now_ms() + timeout_ms) : -EMSGSIZE;
	free(text);
	return ret;
}
