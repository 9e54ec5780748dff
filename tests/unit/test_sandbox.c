/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: target. What a receiver can do in its sandbox and what it cannot; channels between supervisor and children. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel.h"
#include "child.h"
#include "sandbox.h"
#include "suite.h"

static char directory[32];
static int protections, journal, other;
static struct tmk_sandbox_user user;

static int sub(const char *name)
{
	char path[64];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	ck_assert_int_eq(mkdir(path, 0777), 0);
	ck_assert_int_eq(chmod(path, 0777), 0); /* so that not the file's mode but the sandbox says no */
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void setup(void)
{
	struct tmk_error err;
	int fallback;
	strcpy(directory, "/tmp/tmk-test-sandbox-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chmod(directory, 0755), 0);
	protections = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	journal = sub("journal");
	other = sub("other");
	ck_assert_int_eq(tmk_sandbox_user("", &user, &fallback, &err), 0);
	ck_assert_uint_ne(user.uid, 0);
}

static void teardown(void)
{
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	ck_assert_int_eq(system(command), 0);
	close(protections);
	close(journal);
	close(other);
}

static bool refused(int fd)
{
	return fd < 0 && (errno == EACCES || errno == EPERM);
}

/* Each is run in the sandbox; 0: as it should be. */
static int append_to_journal(void)
{
	char data[16] = "chunk", back[16];
	int fd = openat(journal, "1.seg", O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || pwrite(fd, data, 16, 0) != 16 || fdatasync(fd) || pread(fd, back, 16, 0) != 16 || ftruncate(fd, 8))
		return 1;
	return unlinkat(journal, "1.seg", 0) || fsync(journal) || memcmp(data, back, 16) ? 1 : 0;
}
static int open_other(void)
{
	return refused(openat(other, "x", O_RDWR | O_CREAT, 0600)) ? 0 : 1;
}
static int open_parent(void)
{
	return refused(openat(journal, "../other/x", O_RDWR | O_CREAT, 0600)) ? 0 : 1;
}
static int open_system(void)
{
	return refused(open("/etc/passwd", O_RDONLY)) ? 0 : 1;
}
static int be_root(void)
{
	return setresuid(0, 0, 0);
}
static int make_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}
static int fork_one(void)
{
	return fork();
}
static int run_program(void)
{
	return execl("/bin/true", "true", NULL);
}
static int kill_parent(void)
{
	return kill(getppid(), SIGCONT);
}
static int link_somewhere(void)
{
	return symlinkat("/etc/passwd", journal, "link");
}
static int run_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static const struct {
	const char *what;
	int (*act)(void);
	bool landlock; /* is what says no */
	bool killed;
	bool early; /* before there is a journal */
} rows[] = {
	{"read what everybody can, before HELLO", open_system, true, false, true},
	{"make a socket, before HELLO", make_socket, false, true, true},
	{"append to its journal", append_to_journal, false, false, false},
	{"open another directory by descriptor", open_other, true, false, false},
	{"leave its directory", open_parent, true, false, false},
	{"read what everybody can", open_system, true, false, false},
	{"become root", be_root, false, true, false},
	{"make a socket", make_socket, false, true, false},
	{"fork", fork_one, false, true, false},
	{"run a program", run_program, false, true, false},
	{"send a signal", kill_parent, false, true, false},
	{"make a link", link_somewhere, false, true, false},
	{"run what it wrote", run_memory, false, true, false},
};

static int inside(int channel, void *context)
{
	struct tmk_error err = {0};
	const size_t row = *(const size_t *)context;
	(void)channel;
	if (tmk_sandbox_enter(&user, protections, &err) || (!rows[row].early && tmk_sandbox_narrow(journal, &err))) {
		fprintf(stderr, "%s\n", err.text);
		return 99;
	}
	return rows[row].act();
}

START_TEST(sandbox)
{
	size_t row = (size_t)_i;
	const struct tmk_child_start start = {
		.title = "sandboxed",
		.run = inside,
		.context = &row,
		.keep = {protections, journal, other},
		.keep_count = 3,
	};
	int channel, status;
	if (rows[_i].landlock && !tmk_sandbox_landlock())
		return;
	pid_t pid = tmk_child_start(&start, &channel);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	close(channel);
	if (rows[_i].killed)
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s: %x", rows[_i].what, status);
	else
		ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "%s: %x", rows[_i].what, status);
}
END_TEST

/* Descriptors that are open in a child: stdio, its channel, what it was told to keep. */
static int count_descriptors(int channel, void *context)
{
	(void)context;
	int count = 0;
	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0 && fd > 2 && fd != channel && fd != journal)
			count++;
	return count;
}

START_TEST(descriptors)
{
	const struct tmk_child_start start = {.title = "counting", .run = count_descriptors, .keep = {journal}, .keep_count = 1};
	int channel, status;
	pid_t pid = tmk_child_start(&start, &channel);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(channel);
}
END_TEST

START_TEST(channels)
{
	static struct tmk_message m;
	static uint8_t big[TMK_MESSAGE_MAX];
	int ends[2];
	ck_assert_int_eq(tmk_channel_pair(ends), 0);
	ck_assert_int_eq(tmk_channel_receive(ends[0], &m), -EAGAIN);
	ck_assert_int_eq(tmk_channel_wait(ends[0], 10, &m), -ETIMEDOUT);
	ck_assert_int_eq(tmk_channel_send_number(ends[1], TMK_MESSAGE_DURABLE, 77), 0);
	ck_assert_int_eq(tmk_channel_receive(ends[0], &m), 0);
	struct tmk_reader r = tmk_message_reader(&m);
	ck_assert_uint_eq(tmk_get_u64(&r), 77);
	ck_assert(tmk_reader_done(&r));
	ck_assert_int_eq(m.fd, -1);
	ck_assert_int_eq(tmk_channel_send(ends[1], TMK_MESSAGE_HELLO, big, sizeof(big), -1), 0);
	ck_assert_int_eq(tmk_channel_receive(ends[0], &m), 0);
	ck_assert_uint_eq(m.size, sizeof(big));
	ck_assert_int_eq(tmk_channel_send(ends[1], TMK_MESSAGE_HELLO, big, sizeof(big) + 1, -1), -EMSGSIZE);
	ck_assert_int_eq(tmk_channel_send(ends[0], TMK_MESSAGE_ACCEPT, NULL, 0, journal), 0);
	ck_assert_int_eq(tmk_channel_receive(ends[1], &m), 0);
	ck_assert_int_ge(m.fd, 0);
	close(m.fd);
	/* What is not a message. */
	ck_assert_int_eq(send(ends[1], "\1\0\1\0", 4, 0), 4);
	ck_assert_int_eq(tmk_channel_receive(ends[0], &m), -EBADMSG);
	ck_assert_int_eq(send(ends[1], "\1", 1, 0), 1);
	ck_assert_int_eq(tmk_channel_receive(ends[0], &m), -EBADMSG);
	static uint8_t over[TMK_MESSAGE_MAX + 100];
	ck_assert_int_eq(send(ends[1], over, sizeof(over), 0), sizeof(over));
	ck_assert_int_eq(tmk_channel_receive(ends[0], &m), -EBADMSG);
	ck_assert_int_eq(send(ends[1], NULL, 0, 0), 0);
	ck_assert_int_lt(tmk_channel_receive(ends[0], &m), 0);
	close(ends[1]);
	ck_assert_int_eq(tmk_channel_receive(ends[0], &m), -EPIPE);
	ck_assert_int_eq(tmk_channel_send_number(ends[0], TMK_MESSAGE_DURABLE, 1), -EPIPE);
	close(ends[0]);
}
END_TEST

START_TEST(acceptances)
{
	static struct tmk_acceptance a = {.name = "web",
					  .generation = 3,
					  .growth = 5,
					  .holds = 1,
					  .window = 64,
					  .sizes = {2, {512, 1024}}},
				     b;
	uint8_t body[1024];
	struct tmk_writer_buf w = tmk_writer_buf(body, sizeof(body));
	tmk_channel_put_acceptance(&w, &a);
	ck_assert(!w.failed);
	struct tmk_reader r = tmk_reader(body, w.at);
	tmk_channel_get_acceptance(&r, &b);
	ck_assert(tmk_reader_done(&r));
	ck_assert_mem_eq(&a, &b, sizeof(a));
	for (size_t size = 0; size < w.at; size++) {
		r = tmk_reader(body, size);
		tmk_channel_get_acceptance(&r, &b);
		ck_assert(!tmk_reader_done(&r));
	}
	a.holds = 2;
	w = tmk_writer_buf(body, sizeof(body));
	tmk_channel_put_acceptance(&w, &a);
	r = tmk_reader(body, w.at);
	tmk_channel_get_acceptance(&r, &b);
	ck_assert(!tmk_reader_done(&r));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandbox");
	TCase *tc = tcase_create("sandbox");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, sandbox, 0, sizeof(rows) / sizeof(*rows));
	tcase_add_test(tc, descriptors);
	tcase_add_test(tc, channels);
	tcase_add_test(tc, acceptances);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
