/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * links: target. A session behind HELLO, target/ingest.c. Input: what sums are made right; what the source says is acked, and
 * a limit of the journal; then frames: type, length (u16), body. What was acknowledged can be applied.
 */
#include "intake.h"
#include "sums.h"

#define STREAM_MOST (160u << 10)

static struct session session;

static void prepare_session(uint8_t how)
{
	memset(&session, 0, sizeof(session));
	session.acceptance.generation = 1;
	session.acceptance.window = 64;
	session.acceptance.limit = how & 16 ? 4096 : 0;
	session.acceptance.sizes = (struct tmk_disk_sizes){.count = 2, .sizes = {1 << 20, 2 << 20}};
	memset(session.acceptance.protection, 0x5a, TMK_UUID_SIZE);
	memset(session.acceptance.epoch, how & 32 ? 0xe1 : 0xe0, TMK_EPOCH_SIZE);
	strcpy(session.acceptance.name, "web");
	strcpy(session.hello.name, "web");
	session.hello.acked_number = how & 15;
	session.journal_dir = scratch_dir();
	scratch_clear(session.journal_dir);
}

static size_t make_stream(struct input *in, uint8_t sums, uint8_t *out)
{
	static const uint8_t types[] = {TMK_FRAME_CHUNK, TMK_FRAME_PING, TMK_FRAME_BYE, TMK_FRAME_HELLO, TMK_FRAME_ACK, 99};
	struct link_of_chain next = {.number = 1, .generation = 1};
	size_t at = 0, length;

	memset(next.epoch, 0xe1, sizeof(next.epoch));
	while (in->size) {
		uint8_t type = types[take_u8(in) % sizeof(types)];
		const uint8_t *body = take_span(in, take_u16(in), &length);

		if (STREAM_MOST - at < TMK_FRAME_SIZE + length)
			break;
		put_le(out + at, type, 4);
		put_le(out + at + 4, length, 4);
		memcpy(out + at + TMK_FRAME_SIZE, body, length);
		if (type == TMK_FRAME_CHUNK && length > TMK_CHUNK_HEADER_SIZE)
			sums_chunk(out + at + TMK_FRAME_SIZE, length, sums, &next);
		at += TMK_FRAME_SIZE + length;
	}
	return at;
}

static void read_back(void)
{
	static const struct tmk_place nothing;
	struct tmk_journal_cursor *cursor;
	struct tmk_journal_chunk chunk;
	struct tmk_error err = {0};
	int ret;

	REQUIRE(!tmk_journal_cursor_open(&cursor, &tmk_io_real, session.journal_dir, session.acceptance.protection,
					 &session.acceptance.sizes, &nothing, &err));
	for (uint64_t n = 1; n <= session.end.number; n++)
		REQUIRE(!tmk_journal_cursor_next(cursor, session.end.number, &chunk, &err) && chunk.header.number == n);
	ret = tmk_journal_cursor_next(cursor, session.end.number, &chunk, &err);
	REQUIRE(ret == -EAGAIN);
	tmk_journal_cursor_close(cursor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t stream[STREAM_MOST];
	struct input in = {data, size};
	uint8_t sums = take_u8(&in), how = take_u8(&in);

	prepare_session(how);
	size_t length = make_stream(&in, sums, stream);
	uint8_t *bytes = exact(stream, length);
	REQUIRE(session_run(&session, bytes, length));
	REQUIRE(session.end.number == session.durable);
	read_back();
	close(session.journal_dir);
	free(bytes);
	return 0;
}
