/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See where.h. st_dev names a block device for most filesystems. Those with anonymous device numbers (major 0) are told apart
 * by statfs: btrfs is asked for its UUID, an overlay for its upper directory by its line in mountinfo.
 */
#include "where.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define ZFS_MAGIC 0x2fc12fc1
#define BCACHEFS_MAGIC 0xca451a4e

/* The part of a mountinfo line behind " - " (type, source, options) of the mount that the path lies on; the caller frees. */
static char *mount_options(const char *path)
{
	struct statx sx;
	char *line = NULL, *found = NULL, *dash;
	size_t size = 0;
	FILE *f;

	if (statx(AT_FDCWD, path, 0, STATX_MNT_ID, &sx) || !(sx.stx_mask & STATX_MNT_ID))
		return NULL;
	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return NULL;
	while (!found && getline(&line, &size, f) > 0) {
		if (strtoull(line, NULL, 10) != sx.stx_mnt_id)
			continue;
		dash = strstr(line, " - ");
		if (!dash)
			break;
		dash[strcspn(dash, "\n")] = '\0';
		found = strdup(dash + 3);
	}
	free(line);
	fclose(f);
	return found;
}

/* The kernel writes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*to++ = (s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0');
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* The value of key (with its "=") among the mount options of path. */
static int option(const char *path, const char *key, char *out, size_t size)
{
	char *line = mount_options(path), *options, *save, *token;
	int ret = -ENOENT;

	if (!line)
		return -ENOENT;
	options = strrchr(line, ' ');
	for (token = options ? strtok_r(options + 1, ",", &save) : NULL; token; token = strtok_r(NULL, ",", &save)) {
		if (strncmp(token, key, strlen(key)))
			continue;
		unescape(token);
		ret = (size_t)snprintf(out, size, "%s", token + strlen(key)) < size ? 0 : -ENAMETOOLONG;
		break;
	}
	free(line);
	return ret;
}

static dev_t device_option(const char *path, const char *key)
{
	char node[4096];
	struct stat st;

	if (option(path, key, node, sizeof(node)) || stat(node, &st) || !S_ISBLK(st.st_mode))
		return 0;
	return st.st_rdev;
}

static enum tmk_where_kind btrfs(const char *path, struct tmk_where *out)
{
	struct btrfs_ioctl_fs_info_args args;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), ret;

	if (fd < 0)
		return TMK_WHERE_UNKNOWN;
	memset(&args, 0, sizeof(args));
	ret = ioctl(fd, BTRFS_IOC_FS_INFO, &args);
	close(fd);
	if (ret)
		return TMK_WHERE_UNKNOWN;
	memcpy(out->fsid, args.fsid, sizeof(out->fsid));
	return TMK_WHERE_BTRFS;
}

static enum tmk_where_kind kind_of(const char *path, const struct statfs *fs, struct tmk_where *out)
{
	switch ((unsigned long)fs->f_type) {
	case BTRFS_SUPER_MAGIC:
		return btrfs(path, out);
	case OVERLAYFS_SUPER_MAGIC:
		return option(path, "upperdir=", out->upper, sizeof(out->upper)) ? TMK_WHERE_UNKNOWN : TMK_WHERE_OVERLAY;
	case ZFS_MAGIC:
	case BCACHEFS_MAGIC:
	case ECRYPTFS_SUPER_MAGIC:
		return TMK_WHERE_UNKNOWN;
	case XFS_SUPER_MAGIC:
		out->more[0] = device_option(path, "logdev=");
		out->more[1] = device_option(path, "rtdev=");
		return TMK_WHERE_DEVICE;
	default:
		return major(out->device) ? TMK_WHERE_DEVICE : TMK_WHERE_NOWHERE;
	}
}

int tmk_where_look(const char *path, struct tmk_where *out, struct tmk_error *err)
{
	struct statfs fs;
	struct stat st;

	memset(out, 0, sizeof(*out));
	if (stat(path, &st))
		return tmk_error_sys(err, -errno, "cannot look at %s", path);
	if (S_ISBLK(st.st_mode)) {
		out->kind = TMK_WHERE_NODE;
		out->device = st.st_rdev;
		return 0;
	}
	out->device = st.st_dev;
	out->inode = st.st_ino;
	if (statfs(path, &fs))
		return tmk_error_sys(err, -errno, "cannot ask for the filesystem of %s", path);
	out->kind = kind_of(path, &fs, out);
	return 0;
}
