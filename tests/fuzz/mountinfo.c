/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper. A process's mountinfo, shipper/mountinfo.c. */
#include "mountinfo.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tmk_mounts mounts = {0};
	struct tmk_error err = {0};
	char value[64], *text = malloc(size + 1);
	int bad;

	REQUIRE(text);
	memcpy(text, data, size);
	text[size] = 0;
	bad = tmk_mountinfo_parse(text, 1, &mounts, &err);
	REQUIRE(!bad == !err.text[0]);
	for (size_t i = 0; i < mounts.count; i++) {
		const struct tmk_mount *m = &mounts.list[i];

		REQUIRE(m->root && m->mountpoint && m->mountpoint[0] && m->source && m->options && m->type[0]);
		if (tmk_mount_option(m, "logdev", value, sizeof(value)))
			REQUIRE(strlen(value) < sizeof(value) && strstr(m->options, "logdev="));
		tmk_mount_option(m, "ro", value, 1);
	}
	tmk_mounts_free(&mounts);
	if (!tmk_mountinfo_unescape(text, strlen(text), value, sizeof(value)))
		REQUIRE(strlen(value) < sizeof(value));
	free(text);
	return 0;
}
