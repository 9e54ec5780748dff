/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs and maps, and their pins. Everything is loaded once, pinned and from then on found by its pin: the path of a first
 * start and of a restart are the same from there on. `config` is pinned last, so that a directory with it is complete; without
 * it, what lies there is from a load that was killed and is thrown away: nothing was attached to it.
 *
 * Nobody holds the links but their pins. A pin that somebody removed is a program that no longer runs, and can be seen to be.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "log.h"
#include "state.h"
#include "sysfs.h"
#include "tidemark.skel.h"
#include "util.h"

#define BPF_FS 0xcafe4a11
#define BPF_FS_PATH "/sys/fs/bpf"

static const char *const names[TMK_PINS] = {
	[TMK_PIN_SLOTS] = "slots",   [TMK_PIN_TABLE] = "table",	  [TMK_PIN_NOW] = "now",     [TMK_PIN_TAKEN] = "taken",
	[TMK_PIN_SEEN] = "seen",     [TMK_PIN_WRITES] = "writes", [TMK_PIN_ISSUE] = "issue", [TMK_PIN_COMPLETE] = "complete",
	[TMK_PIN_SUBMIT] = "submit", [TMK_PIN_CONFIG] = "config",
};
#define LINKS 2
static const char *const link_names[LINKS] = {"link_issue", "link_complete"};
/* What other versions pinned. */
#define OLD 2
static const char *const old_names[OLD] = {"link_submit", "disks"};

static int pin_path(struct tmk_ebpf *t, const char *name, char out[PATH_MAX])
{
	return tmk_path(out, PATH_MAX, "%s/%s", t->pins, name);
}

/* ---- the directory ---- */

static bool on_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (uint32_t)fs.f_type == BPF_FS;
}

static int find_bpffs(const char *pins, struct tmk_error *err)
{
	char copy[PATH_MAX];
	const char *parent;

	snprintf(copy, sizeof(copy), "%s", pins);
	parent = dirname(copy);
	if (on_bpffs(parent))
		return 0;
	if (strcmp(parent, BPF_FS_PATH) && strncmp(parent, BPF_FS_PATH "/", sizeof(BPF_FS_PATH)))
		return tmk_error_set(err, -ENOENT, "%s does not lie on a BPF file system: mount one with mount -t bpf bpf %s",
				     pins, parent);
	if (on_bpffs(BPF_FS_PATH) || !mount("bpf", BPF_FS_PATH, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return 0;
	return tmk_error_sys(err, -errno, "cannot mount the BPF file system at %s", BPF_FS_PATH);
}

/* Two names for one directory, and one that was removed meanwhile, are found out by asking the name again. */
static int lock_directory(struct tmk_ebpf *t, struct tmk_error *err)
{
	struct stat held, named;

	t->lock = open(t->pins, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->lock < 0)
		return tmk_error_sys(err, -errno, "cannot open %s", t->pins);
	if (!on_bpffs(t->pins))
		return tmk_error_set(err, -ENOENT, "%s does not lie on a BPF file system", t->pins);
	if (flock(t->lock, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			return tmk_error_set(err, -EBUSY,
					     "another process uses the tracker in %s: is a second tidemark-shipper running?",
					     t->pins);
		return tmk_error_sys(err, -errno, "cannot lock %s", t->pins);
	}
	if (fstat(t->lock, &held) || stat(t->pins, &named) || held.st_ino != named.st_ino || held.st_dev != named.st_dev)
		return tmk_error_set(err, -EBUSY, "%s was removed by another process just now: try again", t->pins);
	return 0;
}

int tmk_load_directory(struct tmk_ebpf *t, struct tmk_error *err)
{
	int rc = find_bpffs(t->pins, err);

	if (!rc)
		rc = tmk_mkdirs(t->pins, 0700, err);
	return rc ? rc : lock_directory(t, err);
}

static int unlink_pin(struct tmk_ebpf *t, const char *name, struct tmk_error *err)
{
	if (unlinkat(t->lock, name, 0) && errno != ENOENT)
		return tmk_error_sys(err, -errno, "cannot remove %s/%s", t->pins, name);
	return 0;
}

/* `config` before the other objects: without it, they are known to be scraps. */
static int unlink_pins(struct tmk_ebpf *t, struct tmk_error *err)
{
	int rc = 0;

	for (int i = 0; i < LINKS && !rc; i++)
		rc = unlink_pin(t, link_names[i], err);
	for (int i = 0; i < OLD && !rc; i++)
		rc = unlink_pin(t, old_names[i], err);
	if (!rc)
		rc = unlink_pin(t, names[TMK_PIN_CONFIG], err);
	for (int i = 0; i < TMK_PIN_CONFIG && !rc; i++)
		rc = unlink_pin(t, names[i], err);
	return rc;
}

int tmk_load_remove(struct tmk_ebpf *t, struct tmk_error *err)
{
	int rc = unlink_pins(t, err);

	if (!rc && rmdir(t->pins))
		rc = tmk_error_sys(err, -errno, "cannot remove %s", t->pins);
	return rc;
}

/* ---- a first start ---- */

static int say(enum libbpf_print_level level, const char *format, va_list args)
{
	char text[4096], *line, *rest = text;

	vsnprintf(text, sizeof(text), format, args);
	while ((line = strsep(&rest, "\n")))
		if (*line)
			tmk_log(level == LIBBPF_WARN ? TMK_LOG_WARNING : TMK_LOG_DEBUG, "%s", line);
	return 0;
}

static void fill_config(struct tmk_bpf_config *config)
{
	memset(config, 0, sizeof(*config));
	config->abi = TMK_BPF_ABI;
	config->slot_size = sizeof(struct tmk_bpf_slot);
}

static int pin(struct tmk_ebpf *t, const char *name, int fd, struct tmk_error *err)
{
	char path[PATH_MAX];
	int rc = pin_path(t, name, path);

	if (!rc)
		rc = bpf_obj_pin(fd, path);
	return rc ? tmk_error_sys(err, rc, "cannot pin %s/%s", t->pins, name) : 0;
}

static int pin_all(struct tmk_ebpf *t, struct tidemark_bpf *skel, struct tmk_error *err)
{
	const int fds[TMK_PINS] = {
		[TMK_PIN_SLOTS] = bpf_map__fd(skel->maps.data_slots),
		[TMK_PIN_TABLE] = bpf_map__fd(skel->maps.data_table),
		[TMK_PIN_NOW] = bpf_map__fd(skel->maps.now),
		[TMK_PIN_TAKEN] = bpf_map__fd(skel->maps.taken),
		[TMK_PIN_SEEN] = bpf_map__fd(skel->maps.seen),
		[TMK_PIN_WRITES] = bpf_map__fd(skel->maps.writes),
		[TMK_PIN_ISSUE] = bpf_program__fd(skel->progs.issue),
		[TMK_PIN_COMPLETE] = bpf_program__fd(skel->progs.complete),
		[TMK_PIN_SUBMIT] = bpf_program__fd(skel->progs.submit),
		[TMK_PIN_CONFIG] = bpf_map__fd(skel->maps.config),
	};
	struct tmk_bpf_config config;
	uint32_t zero = 0;
	int rc;

	fill_config(&config);
	rc = bpf_map_update_elem(fds[TMK_PIN_CONFIG], &zero, &config, BPF_ANY);
	if (rc)
		return tmk_error_sys(err, rc, "cannot set the tracker up");
	for (int i = 0; i < TMK_PINS && !rc; i++)
		rc = pin(t, names[i], fds[i], err);
	return rc;
}

static int load(struct tmk_ebpf *t, struct tmk_error *err)
{
	struct tidemark_bpf *skel;
	int rc = tmk_sysfs_kernel(err);

	if (!rc)
		rc = unlink_pins(t, err);
	if (rc)
		return rc;
	libbpf_set_print(say);
	skel = tidemark_bpf__open_and_load();
	if (!skel)
		return tmk_error_sys(err, -errno,
				     "the kernel does not take the tracking programs (the log says more; are you root?)");
	rc = pin_all(t, skel, err);
	tidemark_bpf__destroy(skel);
	return rc;
}

/* ---- what is pinned ---- */

static int open_pin(struct tmk_ebpf *t, int i, struct tmk_error *err)
{
	char path[PATH_MAX];
	int fd = pin_path(t, names[i], path);

	if (!fd)
		fd = bpf_obj_get(path);
	if (fd < 0)
		return tmk_error_sys(
			err, fd,
			"the pinned tracker is not whole: cannot open %s/%s; stop tidemark-shipper, remove %s and start again "
			"(everything is then compared once)",
			t->pins, names[i], t->pins);
	t->fds[i] = fd;
	return 0;
}

static int other_abi(struct tmk_ebpf *t, struct tmk_error *err)
{
	return tmk_error_set(
		err, -EPROTO,
		"the tracker in %s was loaded by another version of Tidemark: go back to that version, or remove the "
		"directory and start again (everything is then compared once)",
		t->pins);
}

/* A map of another layout must not be looked at, also not by mistake (I9). */
static int check_map(struct tmk_ebpf *t, enum tmk_pin pin, uint32_t value_size, uint32_t entries, struct tmk_error *err)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);
	int rc = bpf_obj_get_info_by_fd(t->fds[pin], &info, &size);

	if (rc)
		return tmk_error_sys(err, rc, "cannot look at %s/%s", t->pins, names[pin]);
	return info.value_size != value_size || info.max_entries != entries ? other_abi(t, err) : 0;
}

static int check_config(struct tmk_ebpf *t, struct tmk_error *err)
{
	struct tmk_bpf_config config;
	uint32_t zero = 0;
	int rc = check_map(t, TMK_PIN_CONFIG, sizeof(config), 1, err);

	if (rc)
		return rc;
	rc = bpf_map_lookup_elem(t->fds[TMK_PIN_CONFIG], &zero, &config);
	if (rc)
		return tmk_error_sys(err, rc, "cannot read %s/config", t->pins);
	if (config.abi != TMK_BPF_ABI || config.slot_size != sizeof(struct tmk_bpf_slot))
		return other_abi(t, err);
	return 0;
}

static int check_maps(struct tmk_ebpf *t, struct tmk_error *err)
{
	int rc = check_map(t, TMK_PIN_SLOTS, sizeof(struct tmk_bpf_slot) * TMK_BPF_SLOTS, 1, err);

	if (!rc)
		rc = check_map(t, TMK_PIN_TABLE, sizeof(struct tmk_bpf_disk) * TMK_BPF_PLACES, 1, err);
	if (!rc)
		rc = check_map(t, TMK_PIN_NOW, 4, TMK_BPF_SLOTS, err);
	if (!rc)
		rc = check_map(t, TMK_PIN_TAKEN, 4, TMK_BPF_SLOTS, err);
	if (!rc)
		rc = check_map(t, TMK_PIN_SEEN, sizeof(struct tmk_bpf_seen), TMK_BPF_SLOTS, err);
	return rc ? rc : check_map(t, TMK_PIN_WRITES, sizeof(uint64_t), TMK_BPF_SLOTS, err);
}

int tmk_load_objects(struct tmk_ebpf *t, struct tmk_error *err)
{
	int rc = faccessat(t->lock, names[TMK_PIN_CONFIG], F_OK, 0) ? load(t, err) : 0;

	/* `config` first: another version may have other pins. */
	if (!rc)
		rc = open_pin(t, TMK_PIN_CONFIG, err);
	if (!rc)
		rc = check_config(t, err);
	for (int i = 0; i < TMK_PIN_CONFIG && !rc; i++)
		rc = open_pin(t, i, err);
	return rc ? rc : check_maps(t, err);
}

/* ---- links ---- */

static bool link_runs(struct tmk_ebpf *t, const char *name, int program)
{
	struct bpf_prog_info prog = {};
	struct bpf_link_info link = {};
	uint32_t prog_size = sizeof(prog), link_size = sizeof(link);
	char path[PATH_MAX];
	bool runs;
	int fd;

	if (pin_path(t, name, path) || (fd = bpf_obj_get(path)) < 0)
		return false;
	runs = !bpf_obj_get_info_by_fd(program, &prog, &prog_size) && !bpf_obj_get_info_by_fd(fd, &link, &link_size) &&
	       link.prog_id == prog.id;
	close(fd);
	return runs;
}

int tmk_load_attached(struct tmk_ebpf *t)
{
	return link_runs(t, link_names[0], t->fds[TMK_PIN_ISSUE]) && link_runs(t, link_names[1], t->fds[TMK_PIN_COMPLETE]);
}

static int attach(struct tmk_ebpf *t, const char *name, int program, struct tmk_error *err)
{
	int rc, fd;

	if (link_runs(t, name, program))
		return 0;
	rc = unlink_pin(t, name, err);
	if (rc)
		return rc;
	fd = bpf_raw_tracepoint_open(NULL, program);
	if (fd < 0)
		return tmk_error_sys(err, fd, "cannot attach the tracking program %s", name);
	rc = pin(t, name, fd, err);
	close(fd);
	return rc;
}

/* The completion first: a write that only the issue program saw would have no second mark. */
int tmk_load_attach(struct tmk_ebpf *t, struct tmk_error *err)
{
	int rc = attach(t, link_names[1], t->fds[TMK_PIN_COMPLETE], err);

	if (!rc)
		rc = attach(t, link_names[0], t->fds[TMK_PIN_ISSUE], err);
	return rc;
}
