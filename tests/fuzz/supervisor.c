/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * links: target. What children say to the supervisor, and when: a receiver may be anybody's by now (target/channel.h). Input: a
 * list of deeds; reception, holdings, session and catalogue are the real ones. Nothing crashes and no descriptor is left.
 */
#include "target.h"

enum deed { CONNECT, HELLO, SAY, SAY_LONG, RAW, GONE, TICK, JOIN, DEEDS };

/* The child of that index, or the next one that there is; -1: none. */
static int choose(uint8_t which)
{
	for (int i = 0; i < MEMBERS; i++)
		if (members[(which + i) % MEMBERS])
			return (which + i) % MEMBERS;
	return -1;
}

/* A packet of any form; with a descriptor, or two. */
static void say_raw(int at, struct input *in)
{
	uint8_t how = take_u8(in);
	size_t size;
	const uint8_t *bytes = take_span(in, take_u8(in), &size);
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(2 * sizeof(int))];
	} control = {0};
	struct iovec part = {(void *)bytes, size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	int pass[2] = {target.root, target.root};

	if (how & 3) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE((how & 1 ? 1 : 2) * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((how & 1 ? 1 : 2) * sizeof(int));
		memcpy(CMSG_DATA(c), pass, (how & 1 ? 1 : 2) * sizeof(int));
	}
	if (sendmsg(members[at]->child, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		member_hear(members[at]);
}

/* What a receiver reads of ACCEPT: written again it is the same. */
static void accept_it(const uint8_t *body, size_t size)
{
	uint8_t again[1024];
	struct tmk_reader r = tmk_reader(body, size);
	struct tmk_writer_buf w = tmk_writer_buf(again, sizeof(again));
	struct tmk_acceptance a;

	tmk_channel_get_acceptance(&r, &a);
	REQUIRE(a.sizes.count <= TMK_DISKS_MAX);
	if (!tmk_reader_done(&r))
		return;
	tmk_channel_put_acceptance(&w, &a);
	REQUIRE(!w.failed && w.at == size && !memcmp(again, body, size));
}

static void say(int at, struct input *in, size_t most)
{
	uint16_t type = take_u8(in) % 48;
	size_t size;
	const uint8_t *bytes = take_span(in, most, &size);
	uint8_t *body = exact(bytes, size);

	accept_it(body, size);
	member_say(at, type, body, size, type & 1 ? target.root : -1);
	free(body);
}

static void join(int at)
{
	struct tmk_token token = {.authority = {3}};
	static struct tmk_join request;
	static uint8_t body[16384];
	size_t size;

	memcpy(token.secret, secret, sizeof(secret));
	request = (struct tmk_join){.version = TMK_WIRE_VERSION, .host = "two", .request = "request"};
	tmk_token_format(&token, request.token);
	size = tmk_join_encode(&request, body, sizeof(body));
	member_say(at, TMK_MESSAGE_JOIN, body, size, -1);
}

static void act(struct input *in)
{
	uint8_t deed = take_u8(in), which = take_u8(in);
	uint8_t edits[6];
	int at = choose(which);

	if (deed % DEEDS == CONNECT || at < 0) {
		target_connect();
		return;
	}
	switch (deed % DEEDS) {
	case HELLO:
		for (int i = 0; i < 6; i++)
			edits[i] = take_u8(in);
		member_hello(at, edits);
		break;
	case SAY:
		say(at, in, take_u8(in));
		break;
	case SAY_LONG:
		say(at, in, take_u16(in));
		break;
	case RAW:
		say_raw(at, in);
		break;
	case GONE:
		member_gone(at, take_u8(in) & 1 ? SIGKILL : 0);
		break;
	case TICK:
		tmk_reception_tick(target.reception);
		tmk_holdings_tick(target.holdings);
		break;
	default:
		join(at);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	target_start();
	for (int deeds = 0; in.size && deeds < 64; deeds++)
		act(&in);
	target_end();
	target_leaks();
	return 0;
}
