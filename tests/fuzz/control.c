/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * links: target. A client of the control socket: lib/line.c, lib/control.c, and the verbs of the target. Every request that came
 * whole gets one answer, which is an object with a result or an error.
 */
#include "target.h"

#include <poll.h>
#include <sys/un.h>

#include "../../target/verbs.h" /* the shipper has a file of this name too */
#include "line.h"

#define INPUT_MOST (64u << 10)

static int connect_to(const char *path)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	REQUIRE(fd >= 0 && !tmk_line_address(&address, path, NULL));
	REQUIRE(!connect(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

static void check_answer(int fd, bool wanted)
{
	struct tmk_line *line;
	json_t *answer = NULL;
	int ret;

	REQUIRE(!tmk_line_new(&line, fd));
	ret = tmk_line_read(line, 1000, &answer, NULL);
	REQUIRE(!wanted || !ret);
	if (!ret)
		REQUIRE(json_is_object(json_object_get(answer, "result")) || json_is_object(json_object_get(answer, "error")) ||
			json_is_object(json_object_get(answer, "progress")));
	json_decref(answer);
	tmk_line_free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t edits[6];
	struct tmk_control_call *call;
	char path[108];

	if (size > INPUT_MOST)
		return 0;
	target_start();
	int receiver = target_connect();
	member_hello(receiver, edits);
	struct tmk_verbs verbs = {.catalogue = target.catalogue,
				  .holdings = target.holdings,
				  .settings = &target.settings,
				  .pki = "/nowhere",
				  .root = target.root};
	snprintf(path, sizeof(path), "%s/socket", scratch);
	int listener = tmk_control_listen(path, NULL), client = connect_to(path);
	REQUIRE(listener >= 0);
	REQUIRE(!size || send(client, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size);
	REQUIRE(!shutdown(client, SHUT_WR));
	int bad = tmk_control_accept(listener, &call, NULL);
	REQUIRE(!bad || bad == -EINVAL || bad == -EBADMSG || bad == -EPIPE);
	if (!bad)
		tmk_verbs_answer(&verbs, call);
	target_end();
	check_answer(client, !bad || bad == -EINVAL || bad == -EBADMSG);
	close(listener);
	target_leaks();
	return 0;
}
