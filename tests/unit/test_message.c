/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lib: messages. What goes in comes out, one byte too few or too many or one field beyond its bounds is refused, and whatever
 * comes, no decoder reads outside its memory (run this with SAN=1).
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "mutate.h"
#include "suite.h"

static struct tmk_hello hello;
static struct tmk_welcome welcome;
static struct tmk_rewind rewind_message;
static struct tmk_compared compared;
static struct tmk_join join;
static char certificate[8192], authority[8192], text[1024];

static void samples(void)
{
	memset(&hello, 0, sizeof(hello));
	hello = (struct tmk_hello){.version = TMK_WIRE_VERSION, .generation = 4, .acked_number = 99, .disk_count = 2};
	strcpy(hello.name, "web");
	strcpy(hello.host, "server.example");
	memset(hello.acked_hash, 5, sizeof(hello.acked_hash));
	for (int i = 0; i < 2; i++) {
		hello.disks[i] = (struct tmk_hello_disk){.size = 1 << 30, .block_size = 65536, .zeroes = i};
		strcpy(hello.disks[i].name, "/dev/sda");
		strcpy(hello.disks[i].identity, "serial-1");
	}
	welcome = (struct tmk_welcome){.version = TMK_WIRE_VERSION,
				       .relation = TMK_AHEAD,
				       .generation = 4,
				       .last_number = 100,
				       .window = 16,
				       .holds = 1};
	memset(welcome.last_hash, 6, sizeof(welcome.last_hash));
	memset(&rewind_message, 0, sizeof(rewind_message));
	rewind_message.more = 1;
	rewind_message.count = 3;
	for (int i = 0; i < 3; i++)
		rewind_message.extents[i] = (struct tmk_rewind_extent){.disk = i, .offset = 512 * i, .length = 4096};
	memset(&compared, 0, sizeof(compared));
	compared.number = 0x1122334455667788ull;
	compared.more = 1;
	compared.count = 3;
	for (int i = 0; i < 3; i++)
		compared.extents[i] = (struct tmk_compared_extent){
			.verdict = 1 + i % 2, .disk = i, .offset = 512 * i, .length = (uint64_t)512 << i};
	memset(&join, 0, sizeof(join));
	join.version = TMK_WIRE_VERSION;
	strcpy(join.token, "tm1-x-y");
	strcpy(join.host, "server");
	strcpy(join.request, "-----BEGIN\nabc\n");
}

enum message { HELLO, WELCOME, REWIND, COMPARED, JOIN, JOINED, REFUSE, NOTE, ACK, MESSAGES };

static size_t encode(enum message m, uint8_t *out, size_t size)
{
	switch (m) {
	case HELLO:
		return tmk_hello_encode(&hello, out, size);
	case WELCOME:
		return tmk_welcome_encode(&welcome, out, size);
	case REWIND:
		return tmk_rewind_encode(&rewind_message, out, size);
	case COMPARED:
		return tmk_compared_encode(&compared, out, size);
	case JOIN:
		return tmk_join_encode(&join, out, size);
	case JOINED:
		return tmk_joined_encode("certificate\n", "authority\n", out, size);
	case REFUSE:
		return tmk_refuse_encode(TMK_REFUSE_SPACE, "the disk is full", out, size);
	case NOTE:
		return tmk_note_encode(TMK_NOTE_WARNING, "slow", out, size);
	default:
		return tmk_ack_encode(77, out, size);
	}
}

static struct tmk_hello hello_got;
static struct tmk_welcome welcome_got;
static struct tmk_rewind rewind_got;
static struct tmk_compared compared_got;
static struct tmk_join join_got;
static uint16_t code_got;
static uint8_t level_got;
static uint64_t ack_got;

static int decode(enum message m, const uint8_t *body, size_t size)
{
	struct tmk_error err;

	switch (m) {
	case HELLO:
		return tmk_hello_decode(body, size, &hello_got, &err);
	case WELCOME:
		return tmk_welcome_decode(body, size, &welcome_got, &err);
	case REWIND:
		return tmk_rewind_decode(body, size, &rewind_got, &err);
	case COMPARED:
		return tmk_compared_decode(body, size, &compared_got, &err);
	case JOIN:
		return tmk_join_decode(body, size, &join_got, &err);
	case JOINED:
		return tmk_joined_decode(body, size, certificate, authority, &err);
	case REFUSE:
		return tmk_refuse_decode(body, size, &code_got, text, &err);
	case NOTE:
		return tmk_note_decode(body, size, &level_got, text, &err);
	default:
		return tmk_ack_decode(body, size, &ack_got, &err);
	}
}

START_TEST(message_round_trips)
{
	static uint8_t bytes[TMK_REWIND_MAX];

	samples();
	for (int m = 0; m < MESSAGES; m++) {
		size_t size = encode(m, bytes, sizeof(bytes));

		ck_assert_uint_gt(size, 0);
		ck_assert_msg(decode(m, bytes, size) == 0, "message %d", m);
		/* It fits exactly, and not into one byte less. */
		ck_assert_uint_eq(encode(m, bytes, size), size);
		ck_assert_uint_eq(encode(m, bytes, size - 1), 0);
	}
	ck_assert_str_eq(hello_got.name, "web");
	ck_assert_str_eq(hello_got.host, hello.host);
	ck_assert_uint_eq(hello_got.generation, 4);
	ck_assert_uint_eq(hello_got.acked_number, 99);
	ck_assert_mem_eq(hello_got.acked_hash, hello.acked_hash, 32);
	ck_assert_uint_eq(hello_got.disk_count, 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(hello_got.disks[i].size, hello.disks[i].size);
		ck_assert_uint_eq(hello_got.disks[i].block_size, 65536);
		ck_assert_uint_eq(hello_got.disks[i].zeroes, i);
		ck_assert_str_eq(hello_got.disks[i].name, "/dev/sda");
		ck_assert_str_eq(hello_got.disks[i].identity, "serial-1");
	}
	ck_assert_uint_eq(welcome_got.relation, TMK_AHEAD);
	ck_assert_uint_eq(welcome_got.last_number, 100);
	ck_assert_mem_eq(welcome_got.last_hash, welcome.last_hash, 32);
	ck_assert_uint_eq(welcome_got.window, 16);
	ck_assert_uint_eq(welcome_got.holds, 1);
	ck_assert_uint_eq(rewind_got.more, 1);
	ck_assert_uint_eq(rewind_got.count, 3);
	ck_assert_uint_eq(rewind_got.extents[2].offset, 1024);
	ck_assert_uint_eq(compared_got.number, compared.number);
	ck_assert_uint_eq(compared_got.more, 1);
	ck_assert_uint_eq(compared_got.count, 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(compared_got.extents[i].verdict, compared.extents[i].verdict);
		ck_assert_uint_eq(compared_got.extents[i].disk, i);
		ck_assert_uint_eq(compared_got.extents[i].offset, compared.extents[i].offset);
		ck_assert_uint_eq(compared_got.extents[i].length, compared.extents[i].length);
	}
	ck_assert_str_eq(join_got.request, join.request);
	ck_assert_str_eq(certificate, "certificate\n");
	ck_assert_str_eq(authority, "authority\n");
	ck_assert_uint_eq(code_got, TMK_REFUSE_SPACE);
	ck_assert_uint_eq(level_got, TMK_NOTE_WARNING);
	ck_assert_uint_eq(ack_got, 77);
}
END_TEST

START_TEST(message_lengths)
{
	static uint8_t bytes[TMK_REWIND_MAX];

	samples();
	for (int m = 0; m < MESSAGES; m++) {
		size_t size = encode(m, bytes, sizeof(bytes));

		for (size_t cut = 0; cut < size; cut++) {
			uint8_t *copy = malloc(cut ? cut : 1);

			memcpy(copy, bytes, cut);
			ck_assert_msg(decode(m, copy, cut) == -EBADMSG, "message %d, %zu of %zu bytes", m, cut, size);
			free(copy);
		}
		bytes[size] = 0;
		ck_assert_msg(decode(m, bytes, size + 1) == -EBADMSG, "message %d with one byte more", m);
	}
}
END_TEST

#define REFUSED(message, change)                                                                                                 \
	do {                                                                                                                     \
		size_t size_;                                                                                                    \
		samples();                                                                                                       \
		change;                                                                                                          \
		size_ = encode(message, bytes, sizeof(bytes));                                                                   \
		ck_assert_msg(!size_ || decode(message, bytes, size_) == -EBADMSG, "accepted: " #change);                        \
	} while (0)

START_TEST(message_fields)
{
	static uint8_t bytes[TMK_REWIND_MAX];
	char longer[3000];
	size_t size;

	REFUSED(HELLO, strcpy(hello.name, "../etc"));
	REFUSED(HELLO, hello.name[0] = 0);
	REFUSED(HELLO, hello.disk_count = 0);
	REFUSED(HELLO, hello.disk_count = TMK_DISKS_MAX + 1);
	REFUSED(HELLO, hello.disks[1].size = 0);
	REFUSED(HELLO, hello.disks[1].size = 1000);
	REFUSED(HELLO, hello.disks[1].size = 1ull << 63);
	REFUSED(HELLO, hello.disks[1].block_size = 0);
	REFUSED(HELLO, hello.disks[1].block_size = 100);
	REFUSED(HELLO, hello.disks[1].zeroes = 2);
	REFUSED(WELCOME, welcome.relation = 0);
	REFUSED(WELCOME, welcome.relation = 4);
	REFUSED(WELCOME, welcome.window = 0);
	REFUSED(WELCOME, welcome.last_number = 0);
	REFUSED(WELCOME, welcome.holds = 2);
	REFUSED(REWIND, rewind_message.more = 2);
	REFUSED(REWIND, rewind_message.count = TMK_REWIND_EXTENTS + 1);
	REFUSED(REWIND, rewind_message.extents[0].disk = TMK_DISKS_MAX);
	REFUSED(REWIND, rewind_message.extents[0].length = 0);
	REFUSED(REWIND, rewind_message.extents[0].offset = 1);
	REFUSED(REWIND, rewind_message.extents[1].length = UINT64_MAX - 511);
	REFUSED(COMPARED, compared.number = 0);
	REFUSED(COMPARED, compared.more = 2);
	REFUSED(COMPARED, compared.count = TMK_COMPARED_EXTENTS + 1);
	REFUSED(COMPARED, compared.extents[0].verdict = 0);
	REFUSED(COMPARED, compared.extents[1].verdict = 3);
	REFUSED(COMPARED, compared.extents[2].disk = TMK_DISKS_MAX);
	REFUSED(COMPARED, compared.extents[0].length = 0);
	REFUSED(COMPARED, compared.extents[0].length = 100);
	REFUSED(COMPARED, compared.extents[0].offset = 1);
	REFUSED(COMPARED, compared.extents[1].length = UINT64_MAX - 511);
	REFUSED(COMPARED, compared.extents[1].offset = 1ull << 63);

	/* Versions and features are told from what is broken. */
	samples();
	hello.version = 2;
	size = encode(HELLO, bytes, sizeof(bytes));
	ck_assert_int_eq(decode(HELLO, bytes, size), -EPROTONOSUPPORT);
	ck_assert_uint_eq(hello_got.version, 2);
	samples();
	hello.features = welcome.features = 1;
	size = encode(HELLO, bytes, sizeof(bytes));
	ck_assert_int_eq(decode(HELLO, bytes, size), -EPROTONOSUPPORT);
	size = encode(WELCOME, bytes, sizeof(bytes));
	ck_assert_int_eq(decode(WELCOME, bytes, size), -EPROTONOSUPPORT);
	join.version = 0;
	size = encode(JOIN, bytes, sizeof(bytes));
	ck_assert_int_eq(decode(JOIN, bytes, size), -EPROTONOSUPPORT);

	/* Unknown codes and levels: a code may be newer, 0 never was one. */
	size = tmk_refuse_encode(0, "x", bytes, sizeof(bytes));
	ck_assert_int_eq(decode(REFUSE, bytes, size), -EBADMSG);
	size = tmk_note_encode(2, "x", bytes, sizeof(bytes));
	ck_assert_int_eq(decode(NOTE, bytes, size), -EBADMSG);

	/* A text for people arrives, if shortened and cleaned. */
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	longer[1] = 27;
	size = tmk_refuse_encode(TMK_REFUSE_TARGET, longer, bytes, sizeof(bytes));
	ck_assert_int_eq(decode(REFUSE, bytes, size), 0);
	ck_assert_uint_eq(strlen(text), 1023);
	ck_assert_int_eq(text[1], '?');

	/* A result without an extent is one: all is equal. */
	samples();
	compared.count = compared.more = 0;
	size = encode(COMPARED, bytes, sizeof(bytes));
	ck_assert_uint_eq(size, 13);
	ck_assert_int_eq(decode(COMPARED, bytes, size), 0);
	ck_assert_uint_eq(compared_got.count, 0);

	/* The largest COMPARED fits its frame; one extent more has no room in the array. */
	compared.count = TMK_COMPARED_EXTENTS;
	for (int i = 0; i < TMK_COMPARED_EXTENTS; i++)
		compared.extents[i] =
			(struct tmk_compared_extent){.verdict = TMK_DIFFERS, .disk = 31, .offset = 0, .length = 512};
	size = encode(COMPARED, bytes, TMK_COMPARED_MAX);
	ck_assert_uint_gt(size, 0);
	ck_assert_int_eq(decode(COMPARED, bytes, size), 0);
	memcpy(bytes + size, bytes + size - 19, 19);
	bytes[9]++;
	ck_assert_int_eq(decode(COMPARED, bytes, size + 19), -EBADMSG);

	/* The largest REWIND fits its frame. */
	samples();
	rewind_message.count = TMK_REWIND_EXTENTS;
	for (int i = 0; i < TMK_REWIND_EXTENTS; i++)
		rewind_message.extents[i] = (struct tmk_rewind_extent){.disk = 31, .offset = 0, .length = 512};
	size = encode(REWIND, bytes, sizeof(bytes));
	ck_assert_uint_gt(size, 0);
	ck_assert_int_eq(decode(REWIND, bytes, size), 0);
	/* One extent more, with all its bytes: the array has no room for it. */
	memcpy(bytes + size, bytes + size - 18, 18);
	bytes[1]++;
	ck_assert_int_eq(decode(REWIND, bytes, size + 18), -EBADMSG);
}
END_TEST

/* ---- mutations: nothing may crash; the memory is exactly as large as the message ---- */

START_TEST(mutated_messages)
{
	static uint8_t sample[TMK_REWIND_MAX], bytes[TMK_REWIND_MAX];
	unsigned int refused = 0;

	samples();
	for (unsigned int i = 0; i < 20000; i++) {
		int m = i % MESSAGES, ret;
		size_t size = encode(m, sample, sizeof(sample));
		uint8_t *exact;

		memcpy(bytes, sample, size);
		size = mutate(bytes, size, sizeof(bytes));
		exact = malloc(size ? size : 1);
		memcpy(exact, bytes, size);
		ret = decode(m, exact, size);
		ck_assert(ret == 0 || ret == -EBADMSG || ret == -EPROTONOSUPPORT);
		if (!ret && m == REWIND)
			ck_assert_uint_le(rewind_got.count, TMK_REWIND_EXTENTS);
		if (!ret && m == COMPARED)
			ck_assert_uint_le(compared_got.count, TMK_COMPARED_EXTENTS);
		refused += ret != 0;
		free(exact);
	}
	/* The mutations reached something. */
	ck_assert_uint_gt(refused, 5000);
	ck_assert_uint_lt(refused, 20000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("message");
	TCase *messages = tcase_create("messages");

	tcase_set_timeout(messages, 100);
	tcase_add_test(messages, message_round_trips);
	tcase_add_test(messages, message_lengths);
	tcase_add_test(messages, message_fields);
	tcase_add_test(messages, mutated_messages);
	suite_add_tcase(suite, messages);
	return run_suite(suite);
}
