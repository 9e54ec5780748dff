/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper, target. Configuration files of both daemons, lib/conf.c. The first byte says which. */
#include "config.h"
#include "fuzz.h"
#include "settings.h"

static void try_shipper(const char *path)
{
	struct tmk_config config;
	struct tmk_error err = {0};

	tmk_config_defaults(&config);
	if (tmk_config_read(&config, path, &err)) {
		REQUIRE(err.text[0]);
		return;
	}
	REQUIRE(strnlen(config.state_dir, sizeof(config.state_dir)) < sizeof(config.state_dir));
	REQUIRE(strnlen(config.control, sizeof(config.control)) < sizeof(config.control));
	REQUIRE(config.read_depth >= 1 && config.read_depth <= 64);
	REQUIRE(config.window >= 4u << 20 && config.window <= 256u << 20);
	REQUIRE(config.freeze_limit >= 100 && config.freeze_limit <= 60000);
}

static void try_target(const char *path, bool named)
{
	static struct tmk_settings settings;
	struct tmk_error err = {0};

	if (tmk_settings_read(&settings, named ? NULL : "/", path, &err)) {
		REQUIRE(err.text[0]);
		return;
	}
	REQUIRE(settings.directory[0] == '/' && settings.control[0] == '/');
	REQUIRE(strnlen(settings.control, sizeof(settings.control)) < sizeof(settings.control));
	REQUIRE(settings.port >= 1 && settings.port <= 65535 && settings.window >= 1 && settings.window <= 1024);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[40];
	int fd;

	if (!size)
		return 0;
	fd = file_of(data + 1, size - 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (data[0] & 1)
		try_target(path, data[0] & 2);
	else
		try_shipper(path);
	close(fd);
	return 0;
}
