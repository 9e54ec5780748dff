/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random changes of a message, the same in every run. */
#ifndef TMK_TEST_MUTATE_H
#define TMK_TEST_MUTATE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint64_t random_state = 42;

static uint64_t rnd(uint64_t below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (random_state >> 24) % below;
}

/* Changes, cuts or lengthens; returns the new size, at most room. */
static size_t mutate(uint8_t *bytes, size_t size, size_t room)
{
	static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff};
	unsigned int count = 1 + rnd(4);

	while (count-- && size) {
		size_t at = rnd(size);

		switch (rnd(6)) {
		case 0:
			bytes[at] ^= 1 << rnd(8);
			break;
		case 1:
			bytes[at] = edges[rnd(sizeof(edges))];
			break;
		case 2:
			memset(bytes + at, rnd(2) ? 0xff : 0, rnd(8) < size - at ? rnd(8) % (size - at) : 1);
			break;
		case 3:
			size = at;
			break;
		case 4:
			if (size < room) {
				memmove(bytes + at + 1, bytes + at, size - at);
				size++;
			}
			break;
		default:
			bytes[at] = rnd(256);
		}
	}
	return size;
}

#endif
