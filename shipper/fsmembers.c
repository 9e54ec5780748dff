/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See fsmembers.h. */
#include "fsmembers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "blktree.h"

#define EXT4_MAGIC 0xef53
#define EXT4_COMPAT_HAS_JOURNAL 0x4u
#define BTRFS_DEVID_MAX 4096u /* ids are never used again; devices that were replaced leave holes */

struct members {
	struct tmk_member *list;
	size_t count, max;
};

static int add(struct members *m, dev_t dev, const char *name)
{
	for (size_t i = 0; dev && i < m->count; i++)
		if (m->list[i].dev == dev)
			return 0;
	if (m->count == m->max)
		return -E2BIG;
	m->list[m->count].dev = dev;
	snprintf(m->list[m->count].name, sizeof(m->list[m->count].name), "%s", name);
	m->count++;
	return 0;
}

/* The block device at a path; 0: none. */
static dev_t node_at(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISBLK(st.st_mode) ? st.st_rdev : 0;
}

static int add_path(struct members *m, const char *path)
{
	return add(m, node_at(path), path);
}

/* ---- btrfs ---- */
/* The devices that the kernel has now, by its own list: right whatever they are called in /dev. */
static int btrfs_present(const struct btrfs_ioctl_fs_info_args *info, struct members *m)
{
	char dir[128], path[PATH_MAX], text[64];
	const __u8 *id = info->fsid;
	struct dirent *entry;
	unsigned a, b;
	int rc = 0;
	DIR *list;

	snprintf(dir, sizeof(dir), "/sys/fs/btrfs/%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x/devices",
		 id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12], id[13], id[14],
		 id[15]);
	list = opendir(dir);
	if (!list)
		return -errno;
	while (!rc && (entry = readdir(list))) {
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (entry->d_name[0] == '.' || tmk_blktree_attr(path, "dev", text, sizeof(text)) ||
		    sscanf(text, "%u:%u", &a, &b) != 2)
			continue;
		rc = add(m, makedev(a, b), entry->d_name);
	}
	closedir(list);
	return rc;
}

/* Asks device by device: finds also what is missing (no path). paths: also add what has one, by its path. */
static int btrfs_ask(int fd, const struct btrfs_ioctl_fs_info_args *info, bool paths, struct members *m)
{
	__u64 last = info->max_id < BTRFS_DEVID_MAX ? info->max_id : BTRFS_DEVID_MAX;
	int rc = 0;

	for (__u64 id = 0; id <= last && !rc; id++) { /* 0 is the target of a replacement under way */
		struct btrfs_ioctl_dev_info_args device = {.devid = id};
		char name[64];

		if (ioctl(fd, BTRFS_IOC_DEV_INFO, &device))
			continue;
		device.path[sizeof(device.path) - 1] = 0;
		snprintf(name, sizeof(name), "btrfs device %llu", (unsigned long long)id);
		if (!device.path[0] || !strcmp((char *)device.path, "<missing disk>"))
			rc = add(m, 0, name);
		else if (paths)
			rc = add_path(m, (char *)device.path);
	}
	return rc;
}

static int btrfs_members(const struct tmk_mounts *mounts, const struct tmk_mount *mount, struct members *m)
{
	struct btrfs_ioctl_fs_info_args info = {0};
	int fd = tmk_mounts_open(mounts, mount->superblock, NULL), rc;

	if (fd < 0)
		return add_path(m, mount->source);
	if (ioctl(fd, BTRFS_IOC_FS_INFO, &info)) {
		rc = add_path(m, mount->source);
	} else {
		rc = btrfs_present(&info, m);
		if (!rc || rc == -ENOENT)
			rc = btrfs_ask(fd, &info, rc || !m->count, m);
	}
	close(fd);
	return rc;
}

/* ---- ext4, XFS, others ---- */
static unsigned get16(const unsigned char *p)
{
	return (unsigned)p[0] | (unsigned)p[1] << 8;
}

static unsigned get32(const unsigned char *p)
{
	return get16(p) | get16(p + 2) << 16;
}

dev_t tmk_ext4_journal(const unsigned char superblock[1024])
{
	unsigned dev = get32(superblock + 0xe4); /* s_journal_dev, as the kernel's new_encode_dev() packs it */

	if (get16(superblock + 0x38) != EXT4_MAGIC || !(get32(superblock + 0x5c) & EXT4_COMPAT_HAS_JOURNAL) ||
	    get32(superblock + 0xe0) /* s_journal_inum: the journal is inside */ || !dev)
		return 0;
	return makedev((dev & 0xfff00) >> 8, (dev & 0xff) | ((dev >> 12) & 0xfff00));
}

/* The superblock of a mounted ext4 stays in the buffer cache: this read waits for no disk. */
static int ext4_members(const struct tmk_mount *mount, struct members *m)
{
	unsigned char superblock[1024];
	struct tmk_blknode node;
	struct stat st;
	char path[128];
	dev_t journal = 0;
	int fd;

	if (tmk_blktree_node(&tmk_blktree_real, mount->superblock, &node, NULL))
		return 0;
	tmk_blktree_path(node.name, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0;
	if (!fstat(fd, &st) && S_ISBLK(st.st_mode) && st.st_rdev == mount->superblock &&
	    pread(fd, superblock, sizeof(superblock), 1024) == (ssize_t)sizeof(superblock))
		journal = tmk_ext4_journal(superblock);
	close(fd);
	return journal ? add(m, journal, "its external journal") : 0;
}

static int xfs_members(const struct tmk_mount *mount, struct members *m)
{
	char path[PATH_MAX];
	int rc = 0;

	if (tmk_mount_option(mount, "logdev", path, sizeof(path)))
		rc = add_path(m, path);
	if (!rc && tmk_mount_option(mount, "rtdev", path, sizeof(path)))
		rc = add_path(m, path);
	return rc;
}

/* An anonymous superblock of another type (bcachefs: /dev/sda:/dev/sdb): as far as its source names devices. */
static int source_members(const struct tmk_mount *mount, struct members *m)
{
	char source[PATH_MAX], *rest = source, *path;
	int rc = 0;

	if (mount->source[0] != '/' || strlen(mount->source) >= sizeof(source))
		return 0;
	strcpy(source, mount->source);
	while (!rc && (path = strsep(&rest, ":")))
		if (node_at(path))
			rc = add_path(m, path);
	return rc;
}

int tmk_fsmembers(const struct tmk_mounts *mounts, const struct tmk_mount *mount, struct tmk_member *out, size_t max,
		  size_t *count, struct tmk_error *err)
{
	struct members m = {.list = out, .max = max};
	int rc = 0;

	if (major(mount->superblock))
		rc = add(&m, mount->superblock, mount->source);
	else if (!strcmp(mount->type, "btrfs"))
		rc = btrfs_members(mounts, mount, &m);
	else
		rc = source_members(mount, &m);
	if (!rc && !strcmp(mount->type, "xfs"))
		rc = xfs_members(mount, &m);
	if (!rc && !strncmp(mount->type, "ext", 3))
		rc = ext4_members(mount, &m);
	*count = m.count;
	if (rc == -E2BIG)
		return tmk_error_set(err, rc, "the filesystem at %s has more devices than Tidemark follows (%zu)",
				     mount->mountpoint, max);
	if (rc)
		return tmk_error_sys(err, rc, "cannot tell the devices of the filesystem at %s", mount->mountpoint);
	return 0;
}
