/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * links: target. A replica's sidecar, target/sidecar.c. The first byte says whose sums are made right, and how long the slots
 * are: the fields of both slots come first, one after the other, and the reserved bytes are zero unless the input is long.
 */
#include <stddef.h>

#include "fuzz.h"
#include "io.h"
#include "sidecar.h"
#include "sums.h"

#define FIELDS offsetof(struct tmk_sidecar, reserved)

static void sum(uint8_t *slot)
{
	put_le(slot, TMK_SIDECAR_MAGIC, 8);
	put_le(slot + offsetof(struct tmk_sidecar, sum), tmk_sum64(slot, offsetof(struct tmk_sidecar, sum)), 8);
}

static void believe(int fd, const struct tmk_sidecar *s)
{
	struct tmk_sidecar again;

	REQUIRE(s->disk_count >= 1 && s->disk_count <= TMK_DISKS_MAX && s->sequence);
	for (uint32_t i = 0; i < s->disk_count; i++)
		REQUIRE(s->sizes[i] && s->sizes[i] <= INT64_MAX && !(s->sizes[i] % TMK_SECTOR));
	REQUIRE(s->state != TMK_REPLICA_POINT || s->applied == s->point);
	REQUIRE(s->state != TMK_REPLICA_BETWEEN || s->until > s->applied);
	REQUIRE(tmk_sidecar_highest(&tmk_io_real, fd) >= s->sequence);
	REQUIRE(!tmk_sidecar_store(&tmk_io_real, fd, s, NULL));
	REQUIRE(!tmk_sidecar_load(&tmk_io_real, fd, &again, NULL));
	REQUIRE(again.sequence == s->sequence && again.applied == s->applied && again.generation == s->generation);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t file[2 * TMK_SIDECAR_SLOT + 16];
	struct input in = {data, size};
	uint8_t how = take_u8(&in);
	struct tmk_sidecar got;
	struct tmk_error err = {0};
	size_t length = sizeof(file) - 16, n;

	memset(file, 0, sizeof(file));
	if (how & 4) {
		const uint8_t *bytes = take_span(&in, sizeof(file), &n);

		memcpy(file, bytes, n);
		length = n;
	} else {
		for (int i = 0; i < 2; i++) {
			const uint8_t *bytes = take_span(&in, FIELDS, &n);

			memcpy(file + i * TMK_SIDECAR_SLOT, bytes, n);
		}
	}
	for (int i = 0; i < 2; i++)
		if (how & (1 << i))
			sum(file + i * TMK_SIDECAR_SLOT);
	int fd = file_of(file, length), bad = tmk_sidecar_load(&tmk_io_real, fd, &got, &err);
	REQUIRE(!bad == !err.text[0]);
	if (!bad)
		believe(fd, &got);
	close(fd);
	return 0;
}
