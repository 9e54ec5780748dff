/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See config.h. Limits here keep a typing error from starting something that harms production; they are no tuning advice. */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf.h"
#include "util.h"

#define MIB (1024ull * 1024)
#define SECOND 1000ull
#define DEFAULT_PATH "/etc/tidemark/shipper.conf"
#define FREEZER "tidemark-freezer"

/* An installed shipper has its freezer in ../libexec, one in a build directory has it beside itself. */
static void find_freezer(char *out, size_t size)
{
	static const char *const places[] = {"%s/" FREEZER, "%s/../libexec/" FREEZER};
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (length > 0) {
		self[length] = '\0';
		slash = strrchr(self, '/');
		if (slash)
			*slash = '\0';
		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
			if (!tmk_path(out, size, places[i], self) && !access(out, X_OK))
				return;
	}
	tmk_path(out, size, "/usr/libexec/" FREEZER);
}

void tmk_config_defaults(struct tmk_config *out)
{
	*out = (struct tmk_config){
		.state_dir = "/var/lib/tidemark/source",
		.run_dir = "/run/tidemark",
		.pins = "/sys/fs/bpf/tidemark",
		.scripts_dir = "/etc/tidemark/scripts",
		.read_depth = 16,
		.ring = 64 * MIB,
		.window = 16 * MIB,
		.freeze_limit = 2 * SECOND,
		.freeze_memory = 32 * MIB,
		.point_every = 60 * SECOND,
		.freeze = true,
		.script_limit = 60 * SECOND,
		.verify_every = 7 * 86400 * SECOND,
		.backoff_most = 30 * SECOND,
	};
	find_freezer(out->freezer, sizeof(out->freezer));
	tmk_path(out->control, sizeof(out->control), "%s/shipper.sock", out->run_dir);
}

static int check_paths(const struct tmk_config *c, struct tmk_error *err)
{
	const struct {
		const char *key, *value;
	} paths[] = {
		{"state-dir", c->state_dir}, {"run-dir", c->run_dir},	      {"control", c->control},
		{"pins", c->pins},	     {"scripts-dir", c->scripts_dir}, {"freezer", c->freezer},
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (paths[i].value[0] != '/')
			return tmk_error_set(err, -EINVAL, "%s must be an absolute path, not '%s'", paths[i].key, paths[i].value);
	if (strlen(c->control) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return tmk_error_set(err, -ENAMETOOLONG, "control: '%s' is too long for a socket; choose a shorter path",
				     c->control);
	return 0;
}

static int check_intervals(const struct tmk_config *c, struct tmk_error *err)
{
	if (c->ring & (c->ring - 1))
		return tmk_error_set(err, -EINVAL, "ring must be a power of two, such as 64M or 256M");
	if (c->point_every && c->point_every < SECOND)
		return tmk_error_set(err, -EINVAL, "point-every must be 0 (only when asked) or at least 1s");
	if (c->app_every && c->app_every < SECOND)
		return tmk_error_set(err, -EINVAL, "app-every must be 0 (only when asked) or at least 1s");
	if (c->app_every && !c->freeze)
		return tmk_error_set(err, -EINVAL,
				     "app-every asks for points that freeze, and freeze says no; change one of them");
	if (c->verify_every && c->verify_every < 10 * SECOND)
		return tmk_error_set(err, -EINVAL, "verify-every must be 0 (only when asked) or at least 10s");
	return 0;
}

int tmk_config_read(struct tmk_config *out, const char *path, struct tmk_error *err)
{
	struct tmk_config c = *out;
	const struct tmk_conf_key keys[] = {
		{"state-dir", TMK_CONF_STRING, c.state_dir, sizeof(c.state_dir), 0, 0},
		{"run-dir", TMK_CONF_STRING, c.run_dir, sizeof(c.run_dir), 0, 0},
		{"control", TMK_CONF_STRING, c.control, sizeof(c.control), 0, 0},
		{"pins", TMK_CONF_STRING, c.pins, sizeof(c.pins), 0, 0},
		{"freezer", TMK_CONF_STRING, c.freezer, sizeof(c.freezer), 0, 0},
		{"scripts-dir", TMK_CONF_STRING, c.scripts_dir, sizeof(c.scripts_dir), 0, 0},
		{"read-depth", TMK_CONF_NUMBER, &c.read_depth, 0, 1, 64},
		{"read-rate", TMK_CONF_BYTES, &c.read_rate, 0, 0, UINT64_MAX},
		{"ring", TMK_CONF_BYTES, &c.ring, 0, MIB, 4096 * MIB},
		{"coalesce", TMK_CONF_SWITCH, &c.coalesce, 0, 0, 0},
		{"window", TMK_CONF_BYTES, &c.window, 0, 4 * MIB, 256 * MIB},
		{"freeze-limit", TMK_CONF_SECONDS, &c.freeze_limit, 0, 100, 60 * SECOND},
		{"freeze-memory", TMK_CONF_BYTES, &c.freeze_memory, 0, MIB, 1024 * MIB},
		{"point-every", TMK_CONF_SECONDS, &c.point_every, 0, 0, 86400 * SECOND},
		{"app-every", TMK_CONF_SECONDS, &c.app_every, 0, 0, 7 * 86400 * SECOND},
		{"freeze", TMK_CONF_SWITCH, &c.freeze, 0, 0, 0},
		{"script-limit", TMK_CONF_SECONDS, &c.script_limit, 0, SECOND, 3600 * SECOND},
		{"verify-every", TMK_CONF_SECONDS, &c.verify_every, 0, 0, 365 * 86400 * SECOND},
		{"verify-rate", TMK_CONF_BYTES, &c.verify_rate, 0, 0, UINT64_MAX},
		{"backoff-most", TMK_CONF_SECONDS, &c.backoff_most, 0, 100, 3600 * SECOND},
		{NULL, TMK_CONF_STRING, NULL, 0, 0, 0},
	};
	int rc;

	c.control[0] = '\0';
	rc = tmk_conf_read(path ? path : DEFAULT_PATH, keys, err);
	if (rc && !(rc == -ENOENT && !path))
		return rc;
	if (!c.control[0] && tmk_path(c.control, sizeof(c.control), "%s/shipper.sock", c.run_dir))
		return tmk_error_set(err, -ENAMETOOLONG, "run-dir '%s' is too long", c.run_dir);
	rc = check_paths(&c, err);
	if (!rc)
		rc = check_intervals(&c, err);
	if (rc)
		return tmk_error_prefix(err, "%s", path ? path : DEFAULT_PATH);
	*out = c;
	return 0;
}
