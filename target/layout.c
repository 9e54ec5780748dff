/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Directories of the target: see layout.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "devices.h"
#include "layout.h"
#include "util.h"

#define LOCK_MS 3000
#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

int tmk_layout_lock(const char *directory, struct tmk_error *err)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot open %s", directory);
	/* A supervisor that was killed may have been starting a child, which dies with it in a moment and still holds the lock.
	 */
	uint64_t patience = tmk_now_ms() + LOCK_MS;
	int locked = flock(fd, LOCK_EX | LOCK_NB);
	while (locked < 0 && errno == EWOULDBLOCK && tmk_now_ms() < patience) {
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		locked = flock(fd, LOCK_EX | LOCK_NB);
	}
	if (locked == 0)
		return fd;
	int bad = errno == EWOULDBLOCK ? tmk_error_set(err, -EBUSY, "another tidemark-target runs on %s", directory)
				       : tmk_error_sys(err, -errno, "cannot lock %s", directory);
	close(fd);
	return bad;
}

static int opened(int fd, const char *what, struct tmk_error *err)
{
	return fd < 0 ? tmk_error_sys(err, -errno, "cannot open %s", what) : fd;
}

static int open_below(int at, const char *name, const char *what, struct tmk_error *err)
{
	return opened(openat(at, name, DIRECTORY), what, err);
}

/* Also if it is there: who made it may have been killed before it was durable. */
int tmk_layout_make(int at, const char *name, struct tmk_error *err)
{
	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return tmk_error_sys(err, -errno, "cannot make the directory %s", name);
	if (fsync(at) < 0)
		return tmk_error_sys(err, -errno, "cannot make the directory %s durable", name);
	return open_below(at, name, name, err);
}

int tmk_layout_part(int root, const char *name, struct tmk_error *err)
{
	int fd = openat(root, name, DIRECTORY);
	return fd < 0 && errno == ENOENT ? tmk_layout_make(root, name, err) : opened(fd, name, err);
}

int tmk_layout_open(int root, const char *name, struct tmk_error *err)
{
	int parts = open_below(root, "protections", "protections", err);
	if (parts < 0)
		return parts;
	int fd = open_below(parts, name, name, err);
	close(parts);
	return fd;
}

static int make_journal(int dir, const struct tmk_sandbox_user *user, struct tmk_error *err)
{
	int journal = tmk_layout_make(dir, "journal", err);
	if (journal < 0)
		return journal;
	int bad = 0;
	if (geteuid() == 0 && fchown(journal, user->uid, user->gid) < 0)
		bad = tmk_error_sys(err, -errno, "cannot give the journal to user %u", user->uid);
	if (!bad && fsync(dir) < 0)
		bad = tmk_error_sys(err, -errno, "cannot make the journal durable");
	close(journal);
	return bad;
}

int tmk_layout_create(int root, const char *name, const struct tmk_disk_sizes *sizes, const struct tmk_sandbox_user *user,
		      struct tmk_error *err)
{
	int bad = tmk_devices_check(root, name, sizes, err);
	if (bad)
		return bad;
	int parts = tmk_layout_make(root, "protections", err);
	if (parts < 0)
		return parts;
	int dir = tmk_layout_make(parts, name, err);
	close(parts);
	if (dir < 0)
		return dir;
	bad = tmk_devices_place(root, dir, name, sizes->count, err);
	if (!bad)
		bad = make_journal(dir, user, err);
	if (!bad)
		return dir;
	close(dir);
	return bad;
}

int tmk_layout_journal(int dir, struct tmk_error *err)
{
	return open_below(dir, "journal", "the journal", err);
}

uint64_t tmk_layout_growth(int dir, unsigned disks)
{
	uint64_t growth = 0;
	for (unsigned i = 0; i < disks; i++) {
		char name[32];
		struct stat st;
		snprintf(name, sizeof(name), "disk-%u.raw", i);
		if (fstatat(dir, name, &st, 0) == 0 && S_ISREG(st.st_mode) && st.st_size > st.st_blocks * 512)
			growth += (uint64_t)(st.st_size - st.st_blocks * 512);
	}
	return growth;
}

bool tmk_layout_holds(int dir, unsigned disks)
{
	bool holds = false;
	for (unsigned i = 0; !holds && i < disks; i++) {
		char name[32];
		struct stat st;
		snprintf(name, sizeof(name), "disk-%u.raw", i);
		holds = fstatat(dir, name, &st, 0) == 0 && (S_ISBLK(st.st_mode) || st.st_blocks);
	}
	return holds;
}

int tmk_layout_discard(int root, const char *name, char to[TMK_NAME_MAX + 40], struct tmk_error *err)
{
	char from[TMK_NAME_MAX + 40];
	int deleted = tmk_layout_make(root, "deleted", err);
	if (deleted < 0)
		return deleted;
	close(deleted);
	snprintf(from, sizeof(from), "protections/%s", name);
	snprintf(to, TMK_NAME_MAX + 40, "deleted/%s.%llu", name, (unsigned long long)tmk_clock_ns());
	if (renameat(root, from, root, to) < 0)
		return tmk_error_sys(err, -errno, "cannot move %s away", from);
	return fsync(root) < 0 ? tmk_error_sys(err, -errno, "cannot make the deletion durable") : 0;
}

/* Depth is the layout's: a directory of a protection, its journal. Deeper than that was put there by somebody else. */
static int empty(int fd, int depth, struct tmk_error *err)
{
	DIR *d = fdopendir(fd);
	if (!d) {
		int bad = -errno;
		close(fd);
		return tmk_error_sys(err, bad, "cannot list what is to be deleted");
	}
	int bad = 0;
	for (struct dirent *e = readdir(d); e && !bad; e = readdir(d)) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		struct stat st;
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			bad = tmk_error_sys(err, -errno, "cannot look at %s", e->d_name);
		} else if (S_ISDIR(st.st_mode) && depth > 0) {
			int below = openat(fd, e->d_name, DIRECTORY);
			bad = below < 0 ? tmk_error_sys(err, -errno, "cannot open %s", e->d_name) : empty(below, depth - 1, err);
		}
		if (!bad && unlinkat(fd, e->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
			bad = tmk_error_sys(err, -errno, "cannot delete %s", e->d_name);
	}
	closedir(d);
	return bad;
}

int tmk_layout_remove(int root, const char *path, struct tmk_error *err)
{
	int fd = openat(root, path, DIRECTORY);
	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot open %s", path);
	int bad = empty(fd, 2, err);
	if (!bad && unlinkat(root, path, AT_REMOVEDIR) < 0)
		bad = tmk_error_sys(err, -errno, "cannot delete %s", path);
	return bad;
}
