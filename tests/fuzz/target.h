/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's parts without its loop and without children: reception, holdings, verbs, with a real catalogue in memory. In
 * target/crew.c's place: nobody is started; what a child would say comes from the harness, through a real channel.
 */
#ifndef TMK_FUZZ_TARGET_H
#define TMK_FUZZ_TARGET_H

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <sys/socket.h>

#include "crew.h"
#include "fuzz.h"
#include "holding.h"
#include "message.h"
#include "pki.h"
#include "reception.h"

/* ---- the crew ---- */

#define MEMBERS 24

struct tmk_member {
	const struct tmk_member_ops *ops;
	void *context;
	int channel, child; /* -1: closed */
	bool killed;
};

static struct tmk_member *members[MEMBERS];

struct tmk_member *tmk_crew_start(struct tmk_crew *c, const struct tmk_child_start *start, const struct tmk_member_ops *ops,
				  void *context)
{
	int ends[2], at = 0;

	(void)c;
	REQUIRE(start->title && start->run);
	while (at < MEMBERS && members[at])
		at++;
	errno = EAGAIN;
	if (at == MEMBERS)
		return NULL;
	REQUIRE(!tmk_channel_pair(ends));
	REQUIRE(!fcntl(ends[0], F_SETFL, O_NONBLOCK));
	members[at] = calloc(1, sizeof(**members));
	*members[at] = (struct tmk_member){.ops = ops, .context = context, .channel = ends[0], .child = ends[1]};
	return members[at];
}

int tmk_crew_new(struct tmk_crew **out, int epoll)
{
	(void)epoll;
	*out = NULL;
	return 0;
}
void tmk_crew_free(struct tmk_crew *c)
{
	(void)c;
}
size_t tmk_crew_count(const struct tmk_crew *c)
{
	(void)c;
	return 0;
}
void tmk_crew_readable(struct tmk_crew *c, struct tmk_member *member)
{
	(void)c, (void)member;
}
void tmk_crew_reap(struct tmk_crew *c)
{
	(void)c;
}
uint64_t tmk_crew_tick(struct tmk_crew *c)
{
	(void)c;
	return 0;
}
int tmk_member_channel(const struct tmk_member *member)
{
	return member->channel;
}
pid_t tmk_member_pid(const struct tmk_member *member)
{
	(void)member;
	return 1;
}
void tmk_member_kill(struct tmk_member *member)
{
	member->killed = true;
}
void tmk_member_kill_in(struct tmk_member *member, uint64_t ms)
{
	(void)member, (void)ms;
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void tmk_member_stop(struct tmk_member *member)
{
	close_end(&member->channel);
}

/* Takes what a child said, as crew.c does. */
static void member_hear(struct tmk_member *m)
{
	static struct tmk_message message;

	while (m->channel >= 0) {
		int bad = tmk_channel_receive(m->channel, &message);

		if (bad == -EAGAIN)
			return;
		if (!bad) {
			bad = m->ops->message(m, &message, m->context);
			if (message.fd >= 0)
				close(message.fd);
		}
		if (bad)
			close_end(&m->channel);
	}
}

static void member_gone(int at, int status)
{
	struct tmk_member *m = members[at];

	member_hear(m);
	close_end(&m->channel);
	members[at] = NULL;
	m->ops->gone(m, status, m->context);
	close_end(&m->child);
	free(m);
}

/* ---- the parts ---- */

static const uint8_t owner[32] = {1}, secret[16] = {2};

static struct target {
	struct tmk_settings settings;
	struct tmk_sandbox_user user;
	struct tmk_catalogue *catalogue;
	struct tmk_holdings *holdings;
	struct tmk_reception *reception;
	int root, protections;
	unsigned int descriptors;
} target;

static unsigned int count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int count = 0;

	REQUIRE(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type;
	return where->level ? remove(path) : 0;
}

static void target_start(void)
{
	static char pki[100];
	struct tmk_error err = {0};

	REQUIRE(!nftw(scratch_path(), remove_one, 16, FTW_DEPTH | FTW_PHYS));
	target.descriptors = count_descriptors();
	target.user = (struct tmk_sandbox_user){geteuid(), getegid()};
	snprintf(target.settings.directory, sizeof(target.settings.directory), "%s", scratch);
	target.settings.window = 64;
	snprintf(pki, sizeof(pki), "%s/pki", scratch);
	REQUIRE(!mkdir(pki, 0700));
	target.root = scratch_dir();
	file_put(target.root, "pki/authority.pem", "authority\n", 10);
	target.protections = openat(target.root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	REQUIRE(!tmk_catalogue_open(&target.catalogue, scratch, &err));
	REQUIRE(!tmk_catalogue_certificate_add(target.catalogue, owner, "one.example", &err));
	REQUIRE(!tmk_catalogue_token_add(target.catalogue, secret, 9, UINT32_MAX, &err));
	const struct tmk_holdings_with with = {.catalogue = target.catalogue,
					       .settings = &target.settings,
					       .user = &target.user,
					       .root = target.root,
					       .protections = target.protections};
	REQUIRE(!tmk_holdings_new(&target.holdings, &with, &err));
	const struct tmk_reception_with reception = {.catalogue = target.catalogue,
						     .holdings = target.holdings,
						     .user = &target.user,
						     .pki = pki,
						     .root = target.root,
						     .protections = target.protections};
	REQUIRE(!tmk_reception_new(&target.reception, &reception, &err));
}

/* Every child ends; nothing is left open. */
static void target_end(void)
{
	tmk_reception_stop(target.reception);
	tmk_holdings_stop(target.holdings);
	for (int round = 0; round < 8; round++)
		for (int i = 0; i < MEMBERS; i++)
			if (members[i])
				member_gone(i, 0);
	for (int i = 0; i < MEMBERS; i++)
		REQUIRE(!members[i]);
	tmk_reception_free(target.reception);
	tmk_holdings_free(target.holdings);
	tmk_catalogue_close(target.catalogue);
	close(target.protections);
	close(target.root);
}

/* Behind target_end(), and when the harness has closed its own. */
static void target_leaks(void)
{
	REQUIRE(count_descriptors() == target.descriptors);
}

/* A connection; index of its receiver, -1: turned away. */
static int target_connect(void)
{
	bool before[MEMBERS];
	int ends[2];

	for (int i = 0; i < MEMBERS; i++)
		before[i] = members[i];
	REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	tmk_reception_connect(target.reception, ends[0]);
	close(ends[1]);
	for (int i = 0; i < MEMBERS; i++)
		if (members[i] && !before[i])
			return i;
	return -1;
}

static void member_say(int at, uint16_t type, const void *body, size_t size, int fd)
{
	tmk_channel_send(members[at]->child, type, body, size, fd);
	member_hear(members[at]);
}

/* A HELLO that is accepted, but for what `edit` changes in it. */
static void member_hello(int at, const uint8_t edit[6])
{
	static struct tmk_hello hello;
	uint8_t body[4096] = {1};
	size_t size;

	hello = (struct tmk_hello){.version = TMK_WIRE_VERSION, .name = "web", .host = "one", .disk_count = 1};
	memcpy(body + 1, owner, sizeof(owner));
	memset(hello.protection, 0xaa, sizeof(hello.protection));
	hello.name[2] = (char)(hello.name[2] + (edit[0] & 1));
	hello.protection[0] ^= edit[1] & 1;
	hello.generation = edit[2] & 1;
	memset(hello.epoch, edit[3] & 3, sizeof(hello.epoch));
	hello.acked_number = edit[4] & 3;
	hello.disks[0] = (struct tmk_hello_disk){.size = (1 + (edit[5] & 1)) * 65536u, .block_size = 4096, .name = "a"};
	size = tmk_hello_encode(&hello, body + 33, sizeof(body) - 33);
	if (size)
		member_say(at, TMK_MESSAGE_HELLO, body, 33 + size, -1);
}

#endif
