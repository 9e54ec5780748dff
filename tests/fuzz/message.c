/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bodies of frames, lib/message.c. The first byte says which. What is taken is encoded to the same bytes again. */
#include "message.h"
#include "fuzz.h"

static uint8_t again[TMK_REWIND_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tmk_hello hello;
	static struct tmk_welcome welcome;
	static struct tmk_rewind list;
	static struct tmk_compared compared;
	static struct tmk_join join;
	static char one[8192], two[8192];
	struct tmk_error err = {0};
	size_t made = 0;
	uint64_t number;
	uint16_t code;
	uint8_t level;
	int bad;

	if (!size)
		return 0;
	uint8_t which = data[0] % 9, *body = exact(data + 1, --size);
	switch (which) {
	case 0:
		bad = tmk_hello_decode(body, size, &hello, &err);
		made = bad ? 0 : tmk_hello_encode(&hello, again, sizeof(again));
		break;
	case 1:
		bad = tmk_welcome_decode(body, size, &welcome, &err);
		made = bad ? 0 : tmk_welcome_encode(&welcome, again, sizeof(again));
		break;
	case 2:
		bad = tmk_rewind_decode(body, size, &list, &err);
		made = bad ? 0 : tmk_rewind_encode(&list, again, sizeof(again));
		break;
	case 3:
		bad = tmk_join_decode(body, size, &join, &err);
		made = bad ? 0 : tmk_join_encode(&join, again, sizeof(again));
		break;
	case 4:
		bad = tmk_joined_decode(body, size, one, two, &err);
		made = bad ? 0 : tmk_joined_encode(one, two, again, sizeof(again));
		break;
	case 5:
		bad = tmk_refuse_decode(body, size, &code, one, &err);
		made = bad ? 0 : tmk_refuse_encode(code, one, again, sizeof(again));
		break;
	case 6:
		bad = tmk_note_decode(body, size, &level, one, &err);
		made = bad ? 0 : tmk_note_encode(level, one, again, sizeof(again));
		break;
	case 7:
		bad = tmk_ack_decode(body, size, &number, &err);
		made = bad ? 0 : tmk_ack_encode(number, again, sizeof(again));
		break;
	default:
		bad = tmk_compared_decode(body, size, &compared, &err);
		made = bad ? 0 : tmk_compared_encode(&compared, again, sizeof(again));
	}
	REQUIRE(!bad == !err.text[0] && bad == err.code);
	REQUIRE(bad || (made == size && !memcmp(again, body, size)));
	free(body);
	return 0;
}
