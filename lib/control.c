/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's side of the control socket (control.h). Its lines are read and written by lib/line.c. A client that does not
 * read its answer costs the daemon 5 s at most, and then counts as gone.
 */
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "line.h"
#include "util.h"

#define WAIT_MS 5000
#define BACKLOG 16

struct tmk_control_call {
	struct tmk_line *line;
	json_t *request;
	const char *verb; /* in request */
	json_t *args;	  /* in request */
	bool gone;
};

/* ---- listening ---- */

static int socket_bind(int fd, const struct sockaddr_un *name)
{
	return bind(fd, (const struct sockaddr *)name, sizeof(*name)) ? -errno : 0;
}

/* A socket file that nobody listens at is what a killed daemon left. Anything else at that path is not ours to remove. */
static int dead_remove(const struct sockaddr_un *name, struct tmk_error *err)
{
	struct stat st;
	int fd, ret;

	if (lstat(name->sun_path, &st))
		return errno == ENOENT ? 0 : tmk_error_sys(err, -errno, "cannot look at %s", name->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return tmk_error_set(err, -EEXIST, "%s is in the way of the control socket and is not a socket", name->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot make a socket");
	ret = connect(fd, (const struct sockaddr *)name, sizeof(*name)) ? -errno : 0;
	close(fd);
	if (!ret || ret == -EAGAIN)
		return tmk_error_set(err, -EADDRINUSE, "another daemon listens at %s: stop it first", name->sun_path);
	if (ret != -ECONNREFUSED && ret != -ENOENT)
		return tmk_error_sys(err, ret, "cannot tell whether somebody listens at %s", name->sun_path);
	if (unlink(name->sun_path) && errno != ENOENT)
		return tmk_error_sys(err, -errno, "cannot remove the dead socket %s", name->sun_path);
	return 0;
}

int tmk_control_listen(const char *path, struct tmk_error *err)
{
	struct sockaddr_un name;
	int fd, ret;

	ret = tmk_line_address(&name, path, err);
	if (!ret)
		ret = dead_remove(&name, err);
	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot make a socket");
	/* On Linux the file gets the mode of the socket: never is it wider for a moment, as with a chmod() behind bind(). */
	ret = fchmod(fd, 0600) ? -errno : socket_bind(fd, &name);
	if (!ret && listen(fd, BACKLOG))
		ret = -errno;
	if (ret) {
		close(fd);
		return tmk_error_sys(err, ret, "cannot listen at %s", path);
	}
	return fd;
}

/* ---- one call ---- */

static void call_free(struct tmk_control_call *call)
{
	json_decref(call->request);
	tmk_line_free(call->line);
	free(call);
}

static int peer_check(int fd, struct tmk_error *err)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return tmk_error_sys(err, -errno, "cannot tell who asks at the control socket");
	if (peer.uid && peer.uid != geteuid())
		return tmk_error_set(err, -EPERM, "only root may ask this daemon (asked: user %u)", peer.uid);
	return 0;
}

static int request_check(struct tmk_control_call *call, struct tmk_error *err)
{
	const char *key;
	json_t *value;

	call->verb = json_string_value(json_object_get(call->request, "verb"));
	call->args = json_object_get(call->request, "args");
	if (!call->verb || (call->args && !json_is_object(call->args)))
		return tmk_error_set(err, -EINVAL, "not a request: it needs a verb, and an object as args");
	json_object_foreach(call->request, key, value)
	{
		if (strcmp(key, "verb") && strcmp(key, "args"))
			return tmk_error_set(err, -EINVAL, "not a request: unknown member '%.64s'", key);
	}
	if (!call->args && json_object_set_new(call->request, "args", json_object()))
		return tmk_error_sys(err, -ENOMEM, "cannot take a request");
	call->args = json_object_get(call->request, "args");
	return 0;
}

static int request_read(struct tmk_control_call *call, struct tmk_error *err)
{
	int ret = peer_check(tmk_line_fd(call->line), err);

	if (!ret)
		ret = tmk_line_read(call->line, WAIT_MS, &call->request, err);
	return ret ? ret : request_check(call, err);
}

int tmk_control_accept(int listener, struct tmk_control_call **out, struct tmk_error *err)
{
	struct tmk_error own;
	struct tmk_control_call *call;
	int fd, ret;

	if (!err)
		err = &own;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot accept at the control socket");
	call = calloc(1, sizeof(*call));
	if (!call || tmk_line_new(&call->line, fd)) {
		free(call);
		close(fd);
		return tmk_error_sys(err, -ENOMEM, "cannot accept at the control socket");
	}
	ret = request_read(call, err);
	if (!ret)
		*out = call;
	else if (ret == -EINVAL || ret == -EPERM || ret == -EBADMSG || ret == -EMSGSIZE)
		tmk_control_error(call, err);
	else
		call_free(call);
	return ret;
}

const char *tmk_control_verb(const struct tmk_control_call *call)
{
	return call->verb;
}

json_t *tmk_control_args(const struct tmk_control_call *call)
{
	return call->args;
}

int tmk_control_fd(const struct tmk_control_call *call)
{
	return tmk_line_fd(call->line);
}

/* Takes the reference to body. */
static int answer(struct tmk_control_call *call, const char *kind, json_t *body)
{
	json_t *whole = json_object();
	int ret;

	if (json_object_set_new(whole, kind, body ? body : json_object())) {
		json_decref(whole);
		return -ENOMEM;
	}
	ret = call->gone ? -EPIPE : tmk_line_write(call->line, WAIT_MS, whole);
	json_decref(whole);
	/* What could not be made into a line was not begun: the client still waits for its answer. */
	if (ret && ret != -EMSGSIZE && ret != -ENOMEM)
		call->gone = true;
	return ret;
}

static int error_answer(struct tmk_control_call *call, int code, const char *text)
{
	char clean[sizeof(((struct tmk_error *)NULL)->text)];
	const char *name = strerrorname_np(-code);

	memccpy(clean, text, 0, sizeof(clean));
	clean[sizeof(clean) - 1] = 0;
	tmk_string_clean(clean);
	return answer(call, "error", json_pack("{s:s, s:s}", "code", name ? name : "EIO", "text", clean));
}

bool tmk_control_progress(struct tmk_control_call *call, json_t *body)
{
	answer(call, "progress", body);
	return !call->gone;
}

void tmk_control_result(struct tmk_control_call *call, json_t *body)
{
	int ret = answer(call, "result", body);

	if (ret == -EMSGSIZE)
		error_answer(call, ret, "the answer is longer than 1 MiB: ask for less at a time");
	else if (ret == -ENOMEM)
		error_answer(call, ret, "out of memory for the answer");
	call_free(call);
}

void tmk_control_error(struct tmk_control_call *call, const struct tmk_error *err)
{
	error_answer(call, err->code, err->text);
	call_free(call);
}
