/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client's side of the control socket (control.h). Waits for its answer as long as the daemon works on it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "line.h"

#define SEND_MS 30000
#define ERRNO_MAX 134

/* Which daemon belongs to a socket is told by the socket's name: shipper.sock, target.sock. */
static const char *daemon_of(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	if (strstr(name, "target"))
		return "tidemark-target";
	return strstr(name, "shipper") ? "tidemark-shipper" : NULL;
}

static int no_daemon(const char *path, int code, struct tmk_error *err)
{
	const char *name = daemon_of(path);

	if (code == -EACCES || code == -EPERM)
		return tmk_error_set(err, code, "may not use %s: run this as root", path);
	if (code != -ENOENT && code != -ECONNREFUSED)
		return tmk_error_sys(err, code, "cannot reach the daemon at %s", path);
	if (!name)
		return tmk_error_set(err, code, "no daemon listens at %s: start it", path);
	return tmk_error_set(err, code, "%s does not run here (nobody listens at %s): start it with `systemctl start %s`", name,
			     path, name);
}

static int dial(const char *path, struct tmk_line **out, struct tmk_error *err)
{
	struct sockaddr_un name;
	int fd, ret;

	ret = tmk_line_address(&name, path, err);
	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)))
		ret = no_daemon(path, -errno, err);
	else if (tmk_line_new(out, fd))
		ret = tmk_error_sys(err, -ENOMEM, "cannot ask the daemon");
	if (ret)
		close(fd);
	return ret;
}

static int error_of(json_t *body, struct tmk_error *err)
{
	const char *name = json_string_value(json_object_get(body, "code"));
	const char *text = json_string_value(json_object_get(body, "text"));

	for (int code = 1; name && code < ERRNO_MAX; code++) {
		const char *known = strerrorname_np(code);

		if (known && !strcmp(known, name))
			return tmk_error_set(err, -code, "%s", text ? text : "the daemon does not say why");
	}
	return tmk_error_set(err, -EIO, "%s", text ? text : "the daemon does not say why");
}

/* 1: go on reading. */
static int line_take(json_t *line, void (*progress)(json_t *body, void *context), void *context, json_t **result,
		     struct tmk_error *err)
{
	json_t *body = json_object_get(line, "progress");

	if (body) {
		if (progress)
			progress(body, context);
		return 1;
	}
	body = json_object_get(line, "error");
	if (body)
		return error_of(body, err);
	body = json_object_get(line, "result");
	if (!body)
		return tmk_error_set(err, -EBADMSG,
				     "the daemon answers in a way this program does not know: are their versions equal?");
	*result = json_incref(body);
	return 0;
}

static int answers_read(struct tmk_line *line, void (*progress)(json_t *body, void *context), void *context, json_t **result,
			struct tmk_error *err)
{
	int ret;

	do {
		json_t *answer;

		ret = tmk_line_read(line, -1, &answer, err);
		if (ret == -EPIPE)
			return tmk_error_set(err, ret, "the daemon ended before it had answered: its log says why");
		if (ret)
			return ret;
		ret = line_take(answer, progress, context, result, err);
		json_decref(answer);
	} while (ret > 0);
	return ret;
}

int tmk_control_ask(const char *path, const char *verb, json_t *args, void (*progress)(json_t *body, void *context),
		    void *context, json_t **result, struct tmk_error *err)
{
	json_t *request = args ? json_pack("{s:s, s:O}", "verb", verb, "args", args) : json_pack("{s:s}", "verb", verb);
	struct tmk_line *line;
	int ret;

	*result = NULL;
	if (!request)
		return tmk_error_set(err, -EINVAL, "an argument is not valid UTF-8");
	ret = dial(path, &line, err);
	if (ret)
		goto out;
	ret = tmk_line_write(line, SEND_MS, request);
	/* A daemon that refuses a request without reading all of it has still said why. */
	if (ret && ret != -EPIPE)
		tmk_error_sys(err, ret, "cannot send the request");
	else
		ret = answers_read(line, progress, context, result, err);
	tmk_line_free(line);
out:
	json_decref(request);
	return ret;
}
