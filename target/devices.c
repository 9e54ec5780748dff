/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See devices.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "devices.h"
#include "disk.h"
#include "layout.h"

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct prepared {
	char name[32];	 /* disk-N.raw */
	char link[4096]; /* where it leads; empty: a seed, or nothing */
	bool seed;
	uint64_t size; /* of a seed */
};

/* devices/NAME; -ENOENT. */
static int open_prepared(int root, const char *name, struct tmk_error *err)
{
	int all = openat(root, "devices", DIRECTORY), fd = -1;
	int bad = all < 0 ? -errno : 0;
	if (!bad) {
		fd = openat(all, name, DIRECTORY);
		bad = fd < 0 ? -errno : 0;
		close(all);
	}
	if (bad && bad != -ENOENT)
		return tmk_error_sys(err, bad, "cannot open devices/%s", name);
	return bad ? bad : fd;
}

static int read_link(int devices, struct prepared *p, struct tmk_error *err)
{
	struct stat st;
	ssize_t length = readlinkat(devices, p->name, p->link, sizeof(p->link) - 1);
	if (length < 0)
		return tmk_error_sys(err, -errno, "cannot read devices/.../%s", p->name);
	p->link[length] = 0;
	if (p->link[0] != '/' || stat(p->link, &st) < 0 || !S_ISBLK(st.st_mode))
		return tmk_error_set(err, -ENOTBLK, "devices/.../%s points to %.200s, which is not the path of a block device",
				     p->name, p->link);
	return 0;
}

static int look(int devices, unsigned disk, struct prepared *p, struct tmk_error *err)
{
	struct stat st;
	*p = (struct prepared){0};
	snprintf(p->name, sizeof(p->name), "disk-%u.raw", disk);
	if (fstatat(devices, p->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : tmk_error_sys(err, -errno, "cannot look at devices/.../%s", p->name);
	if (S_ISLNK(st.st_mode))
		return read_link(devices, p, err);
	if (!S_ISREG(st.st_mode))
		return tmk_error_set(err, -ENOTBLK, "devices/.../%s is neither a symbolic link to a block device nor an image",
				     p->name);
	p->seed = true;
	p->size = (uint64_t)st.st_size;
	return 0;
}

int tmk_devices_check(int root, const char *name, const struct tmk_disk_sizes *sizes, struct tmk_error *err)
{
	struct prepared p;
	int devices = open_prepared(root, name, err), bad = 0;
	if (devices < 0)
		return devices == -ENOENT ? 0 : devices;
	for (unsigned i = 0; !bad && i < sizes->count; i++) {
		bad = look(devices, i, &p, err);
		if (!bad && p.seed && p.size != sizes->sizes[i])
			bad = tmk_error_set(err, -ERANGE,
					    "disk %u of %s has %llu bytes, its seed on the target (devices/%s/%s) %llu: remove "
					    "that there, or `tidemark-target seed` one of the disk's size",
					    i, name, (unsigned long long)sizes->sizes[i], name, p.name,
					    (unsigned long long)p.size);
	}
	close(devices);
	return bad;
}

/* Nobody else's business any more; durable, since it will not be written where it is right already; and without a number that it
 * may have borne as the replica of something else (R14). */
static int make_ready(int devices, const char *name, struct tmk_error *err)
{
	int fd = openat(devices, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	int bad = fd < 0 ? -errno : 0;
	if (!bad && geteuid() == 0 && fchown(fd, 0, 0) < 0)
		bad = -errno;
	if (!bad && fchmod(fd, 0600) < 0)
		bad = -errno;
	if (!bad && fremovexattr(fd, TMK_REPLICA_XATTR) < 0 && errno != ENODATA && errno != EOPNOTSUPP)
		bad = -errno;
	if (!bad && fsync(fd) < 0)
		bad = -errno;
	if (fd >= 0)
		close(fd);
	return bad ? tmk_error_sys(err, bad, "devices/.../%s cannot become a replica", name) : 0;
}

static int move_seed(int devices, int dir, const char *name, struct tmk_error *err)
{
	struct stat st;
	int bad = make_ready(devices, name, err);
	if (bad)
		return bad;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return tmk_error_set(err, -EEXIST, "%s is there already, and another one in devices: move one of them away",
				     name);
	if (renameat(devices, name, dir, name) < 0)
		return tmk_error_sys(err, -errno, "cannot move devices/.../%s to the protection's directory", name);
	return fsync(dir) < 0 || fsync(devices) < 0 ? tmk_error_sys(err, -errno, "cannot make the move of %s durable", name) : 0;
}

int tmk_devices_place(int root, int dir, const char *name, unsigned disks, struct tmk_error *err)
{
	struct prepared p;
	int devices = open_prepared(root, name, err), bad = 0;
	if (devices < 0)
		return devices == -ENOENT ? 0 : devices;
	for (unsigned i = 0; !bad && i < disks; i++) {
		bad = look(devices, i, &p, err);
		if (!bad && p.seed)
			bad = move_seed(devices, dir, p.name, err);
		else if (!bad && p.link[0] && symlinkat(p.link, dir, p.name) < 0 && errno != EEXIST)
			bad = tmk_error_sys(err, -errno, "cannot link %s", p.name);
	}
	close(devices);
	return bad;
}

int tmk_devices_open(int root, const char *name, struct tmk_error *err)
{
	int all = tmk_layout_make(root, "devices", err), fd;
	if (all < 0)
		return all;
	fd = tmk_layout_make(all, name, err);
	close(all);
	return fd;
}
