/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The framing of lib/link.c: a stream in pieces. Whatever comes out is what went in, whole frames within their limits. The first
 * byte says how large the pieces are.
 */
#include "plain.h"

#include "fuzz.h"

#define INPUT_MOST (128u << 10) /* fits a socket's buffer */

struct stream {
	const uint8_t *data;
	size_t size, at; /* up to here it came out again */
};

static void take_frames(struct tmk_link *link, struct stream *s)
{
	struct tmk_frame frame;
	const uint8_t *body;

	while (tmk_link_next(link, &frame, &body)) {
		REQUIRE(!frame.flags && tmk_frame_limit(frame.type) && frame.length <= tmk_frame_limit(frame.type));
		REQUIRE(s->size - s->at >= TMK_FRAME_SIZE && s->size - s->at - TMK_FRAME_SIZE >= frame.length);
		REQUIRE(!memcmp(body, s->data + s->at + TMK_FRAME_SIZE, frame.length));
		s->at += TMK_FRAME_SIZE + frame.length;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tmk_error err = {0};
	struct tmk_link *link;
	int ends[2], bad = 0;

	if (size < 2 || size > INPUT_MOST)
		return 0;
	struct stream s = {.data = data + 1, .size = size - 1};
	size_t piece = data[0] ? data[0] * 7 : s.size;
	REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	REQUIRE(!tmk_link_accept(&link, ends[1], NULL, 1000, &err));
	for (size_t at = 0; at < s.size && !bad; at += piece) {
		size_t n = s.size - at < piece ? s.size - at : piece;

		REQUIRE(send(ends[0], s.data + at, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n);
		bad = tmk_link_pump(link, &err);
		take_frames(link, &s);
	}
	REQUIRE(!bad == !err.text[0] && (!bad || bad == -EBADMSG));
	tmk_link_free(link);
	close(ends[0]);
	return 0;
}
