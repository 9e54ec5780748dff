/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lib: the control socket. A daemon in a thread answers real clients: results, progress, errors with their codes; requests that
 * are none; clients that leave; a socket that a killed daemon left.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "suite.h"

static char base[64], path[128];

static struct {
	pthread_t thread;
	int listener;
	int stop[2];
	int refused;	 /* requests that accept did not take */
	atomic_int gone; /* a client that left was noticed */
} daemon_state;

static void answer(struct tmk_control_call *call)
{
	const char *verb = tmk_control_verb(call);
	json_t *args = tmk_control_args(call);
	struct tmk_error err;

	if (!strcmp(verb, "echo")) {
		for (int i = 0; i < 3; i++)
			tmk_control_progress(call, json_pack("{s:i}", "step", i));
		tmk_control_result(call, json_incref(args));
	} else if (!strcmp(verb, "fail")) {
		tmk_error_set(&err, -ENOSPC, "no room \x1b for %s", json_string_value(json_object_get(args, "what")));
		tmk_control_error(call, &err);
	} else if (!strcmp(verb, "huge")) {
		char *text = malloc(2 << 20);

		memset(text, 'x', 2 << 20);
		tmk_control_result(call,
				   json_pack("{s:s#}", "text", text, (int)json_integer_value(json_object_get(args, "size"))));
		free(text);
	} else if (!strcmp(verb, "linger")) {
		struct pollfd p = {.fd = tmk_control_fd(call), .events = POLLIN};

		poll(&p, 1, -1);
		while (tmk_control_progress(call, NULL))
			;
		daemon_state.gone = 1;
		tmk_control_result(call, NULL);
	} else {
		tmk_control_result(call, NULL);
	}
}

static void *daemon_run(void *unused)
{
	(void)unused;
	for (;;) {
		struct pollfd p[2] = {{.fd = daemon_state.listener, .events = POLLIN},
				      {.fd = daemon_state.stop[0], .events = POLLIN}};
		struct tmk_control_call *call;
		struct tmk_error err;

		poll(p, 2, -1);
		if (p[0].revents) {
			if (tmk_control_accept(daemon_state.listener, &call, &err))
				daemon_state.refused++;
			else
				answer(call);
		} else if (p[1].revents) {
			return NULL;
		}
	}
}

static void setup(void)
{
	struct tmk_error err;

	strcpy(base, "/dev/shm/tmk-control-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	snprintf(path, sizeof(path), "%s/target.sock", base);
	daemon_state.listener = tmk_control_listen(path, &err);
	ck_assert_msg(daemon_state.listener >= 0, "%s", err.text);
	ck_assert_int_eq(pipe(daemon_state.stop), 0);
	ck_assert_int_eq(pthread_create(&daemon_state.thread, NULL, daemon_run, NULL), 0);
}

static void teardown(void)
{
	char command[128];

	ck_assert_int_eq(write(daemon_state.stop[1], "", 1), 1);
	pthread_join(daemon_state.thread, NULL);
	close(daemon_state.stop[0]);
	close(daemon_state.stop[1]);
	close(daemon_state.listener);
	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	ck_assert_int_eq(system(command), 0);
}

static int dial(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(name.sun_path, path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	return fd;
}

static void count(json_t *body, void *context)
{
	int *steps = context;

	ck_assert_int_eq(json_integer_value(json_object_get(body, "step")), *steps);
	++*steps;
}

START_TEST(results_and_progress)
{
	json_t *args = json_pack("{s:s, s:[i,i]}", "name",
				 "Gr\xc3\xbc\xc3\x9f"
				 "e",
				 "list", 1, 2),
	       *result;
	struct tmk_error err;
	int steps = 0;

	ck_assert_int_eq(tmk_control_ask(path, "echo", args, count, &steps, &result, &err), 0);
	ck_assert_int_eq(steps, 3);
	ck_assert(json_equal(args, result));
	json_decref(result);
	ck_assert_int_eq(tmk_control_ask(path, "echo", NULL, NULL, NULL, &result, &err), 0);
	ck_assert(json_is_object(result));
	ck_assert_uint_eq(json_object_size(result), 0);
	json_decref(result);
	json_decref(args);
}
END_TEST

START_TEST(errors)
{
	json_t *args = json_pack("{s:s}", "what", "chunks"), *result = args;
	struct tmk_error err;

	ck_assert_int_eq(tmk_control_ask(path, "fail", args, NULL, NULL, &result, &err), -ENOSPC);
	ck_assert_int_eq(err.code, -ENOSPC);
	ck_assert_str_eq(err.text, "no room ? for chunks");
	ck_assert_ptr_null(result);
	json_decref(args);
}
END_TEST

/* A line may have 1 MiB, and no more: the client hears of it instead of waiting. */
START_TEST(long_answers)
{
	json_t *args = json_pack("{s:i}", "size", (1 << 20) - 100), *result;
	struct tmk_error err;

	ck_assert_int_eq(tmk_control_ask(path, "huge", args, NULL, NULL, &result, &err), 0);
	ck_assert_uint_eq(json_string_length(json_object_get(result, "text")), (1 << 20) - 100);
	json_decref(result);
	json_object_set_new(args, "size", json_integer(1 << 20));
	ck_assert_int_eq(tmk_control_ask(path, "huge", args, NULL, NULL, &result, &err), -EMSGSIZE);
	ck_assert_ptr_nonnull(strstr(err.text, "1 MiB"));
	/* A request that is too long does not get out. */
	json_decref(args);
	args = json_object();
	for (int i = 0; i < 60000; i++) {
		char key[32];

		snprintf(key, sizeof(key), "a key with number %d", i);
		json_object_set_new(args, key, json_integer(i));
	}
	ck_assert_int_eq(tmk_control_ask(path, "echo", args, NULL, NULL, &result, &err), -EMSGSIZE);
	json_decref(args);
}
END_TEST

static void refused(const char *request, size_t size)
{
	char got[512] = "";
	size_t used = 0;
	ssize_t n;
	int fd = dial();

	/* The daemon may end a line that is too long before it has all of it. */
	while (size && (n = send(fd, request, size, MSG_NOSIGNAL)) > 0) {
		request += n;
		size -= n;
	}
	while (used < sizeof(got) - 1 && (n = read(fd, got + used, sizeof(got) - 1 - used)) > 0)
		used += n;
	ck_assert_msg(strstr(got, "{\"error\":{\"code\":\"E") == got, "'%s'", got);
	ck_assert_int_eq(got[strlen(got) - 1], '\n');
	close(fd);
}

START_TEST(bad_requests)
{
	static const char *const bad[] = {
		"\n",
		"hello\n",
		"[]\n",
		"{}\n",
		"{\"verb\": 1}\n",
		"{\"verb\": \"echo\", \"args\": []}\n",
		"{\"verb\": \"echo\", \"args\": null}\n",
		"{\"verb\": \"echo\", \"verb\": \"fail\"}\n",
		"{\"verb\": \"echo\", \"more\": 1}\n",
		"{\"verb\": \"echo\"} {}\n",
		"{\"verb\": \"\xff\"}\n",
	};
	json_t *result;
	size_t size = (1 << 20) + 10;
	char *longer = malloc(size);

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		refused(bad[i], strlen(bad[i]));
	refused("{\"verb\"\0: \"echo\"}\n", 18);
	memset(longer, ' ', size);
	refused(longer, size);
	free(longer);
	/* It still works. */
	ck_assert_int_eq(tmk_control_ask(path, "echo", NULL, NULL, NULL, &result, NULL), 0);
	json_decref(result);
	ck_assert_int_eq(daemon_state.refused, 13);
}
END_TEST

START_TEST(client_leaves)
{
	static const char request[] = "{\"verb\": \"linger\"}\n";
	json_t *result;
	int fd = dial();

	ck_assert_int_eq(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
	close(fd);
	/* The daemon has come through it, or this would not be answered. */
	ck_assert_int_eq(tmk_control_ask(path, "echo", NULL, NULL, NULL, &result, NULL), 0);
	json_decref(result);
	ck_assert_int_eq(daemon_state.gone, 1);
	/* One that leaves before it has asked. */
	close(dial());
	ck_assert_int_eq(tmk_control_ask(path, "echo", NULL, NULL, NULL, &result, NULL), 0);
	json_decref(result);
}
END_TEST

START_TEST(no_daemon)
{
	char other[128];
	struct tmk_error err;
	json_t *result;
	int fd;

	snprintf(other, sizeof(other), "%s/shipper.sock", base);
	ck_assert_int_eq(tmk_control_ask(other, "echo", NULL, NULL, NULL, &result, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "systemctl start tidemark-shipper"));
	fd = tmk_control_listen(other, &err);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(tmk_control_ask(other, "echo", NULL, NULL, NULL, &result, &err), -ECONNREFUSED);
	ck_assert_ptr_nonnull(strstr(err.text, "tidemark-shipper does not run"));
}
END_TEST

START_TEST(listening)
{
	struct tmk_error err;
	struct stat st;
	char other[256];
	FILE *file;
	int fd;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(tmk_control_listen(path, &err), -EADDRINUSE);
	/* A dead one is replaced, a file is not. */
	snprintf(other, sizeof(other), "%s/dead.sock", base);
	close(tmk_control_listen(other, &err));
	ck_assert_int_eq(stat(other, &st), 0);
	fd = tmk_control_listen(other, &err);
	ck_assert_msg(fd >= 0, "%s", err.text);
	close(fd);
	ck_assert_int_eq(unlink(other), 0);
	file = fopen(other, "w");
	fclose(file);
	ck_assert_int_eq(tmk_control_listen(other, &err), -EEXIST);
	memset(other, 'x', 200);
	other[200] = 0;
	ck_assert_int_eq(tmk_control_listen(other, &err), -ENAMETOOLONG);
	/* Nobody there: accept does not wait. */
	snprintf(other, sizeof(other), "%s/idle.sock", base);
	fd = tmk_control_listen(other, &err);
	ck_assert_int_eq(tmk_control_accept(fd, &(struct tmk_control_call *){NULL}, &err), -EAGAIN);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control");
	TCase *calls = tcase_create("calls");

	tcase_set_timeout(calls, 60);
	tcase_add_checked_fixture(calls, setup, teardown);
	tcase_add_test(calls, results_and_progress);
	tcase_add_test(calls, errors);
	tcase_add_test(calls, long_answers);
	tcase_add_test(calls, bad_requests);
	tcase_add_test(calls, client_leaves);
	tcase_add_test(calls, no_daemon);
	tcase_add_test(calls, listening);
	suite_add_tcase(suite, calls);
	return run_suite(suite);
}
