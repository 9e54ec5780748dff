/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mounts, as /proc/PID/mountinfo tells them: of every mount namespace that a process is in, once each. A process with a root of
 * its own (chroot) sees only what lies below it, so that a view is a namespace and a root. Text from the kernel is checked (I9).
 * Not seen: namespaces that no process is in, mounts detached while in use; a write there spoils the point's proof (R17).
 */
#ifndef TMK_MOUNTINFO_H
#define TMK_MOUNTINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

struct tmk_mount {
	uint64_t id; /* of the mount, as statx(2) gives it */
	dev_t superblock;
	pid_t pid;	  /* a process that sees it */
	bool read_only;	  /* the superblock, not only this mount */
	char type[32];	  /* ext4 ... */
	char *root;	  /* what of the filesystem is mounted here */
	char *mountpoint; /* as that process sees it */
	char *source;	  /* may be empty */
	char *options;	  /* of the superblock, escapes kept: tmk_mount_option() */
};
struct tmk_mounts {
	size_t count, room;
	struct tmk_mount *list;
};

/* All mounts of all views, by ascending pid. proc: "/proc", or what a test puts in its place. */
int tmk_mountinfo_read(const char *proc, struct tmk_mounts *out, struct tmk_error *err);
/* Those that one process sees; -ESRCH: it is gone. */
int tmk_mountinfo_read_pid(const char *proc, pid_t pid, struct tmk_mounts *out, struct tmk_error *err);
/* Appends the lines of one file. -EBADMSG: a line that is none. */
int tmk_mountinfo_parse(const char *text, pid_t pid, struct tmk_mounts *out, struct tmk_error *err);
void tmk_mounts_free(struct tmk_mounts *mounts);

/* Undoes the kernel's octal escapes (\040); -ENAMETOOLONG, -EBADMSG for an escape that is none or a zero byte. */
int tmk_mountinfo_unescape(const char *text, size_t length, char *out, size_t size);
/* The value of an option of the superblock ("logdev"), unescaped; false: it is not there. */
bool tmk_mount_option(const struct tmk_mount *mount, const char *name, char *out, size_t size);
/* The mount that an open descriptor is on, of those read; NULL: none. */
const struct tmk_mount *tmk_mount_of_fd(const struct tmk_mounts *mounts, int fd);
/* Opens one mount, O_RDONLY, through /proc/PID/root; -ESTALE: something else is there now (mounted over, or gone). Never waits
 * for a filesystem to thaw. */
int tmk_mount_open(const struct tmk_mounts *mounts, const struct tmk_mount *mount);
/* The first mount of a superblock that opens. A descriptor, or -errno of the last try; -ENOENT: it is mounted nowhere. */
int tmk_mounts_open(const struct tmk_mounts *mounts, dev_t superblock, const struct tmk_mount **which);

#endif
