/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See sysfs.h. */
#include "sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

static int open_disk(dev_t disk, struct tmk_error *err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(disk), minor(disk));
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return tmk_error_set(err, -ENODEV, "there is no disk %u:%u", major(disk), minor(disk));
	return tmk_error_sys(err, -errno, "cannot look at disk %u:%u in %s", major(disk), minor(disk), path);
}

/* One line without its end; false if it is not there. */
static bool read_attribute(int dir, const char *name, char *out, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, out, size - 1);
	close(fd);
	if (n < 0)
		return false;
	out[n] = 0;
	out[strcspn(out, "\n")] = 0;
	return true;
}

static uint64_t read_number(int dir, const char *name)
{
	char text[32];

	return read_attribute(dir, name, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

/* The last part of what a link in sysfs leads to. */
static bool read_link_name(int dir, const char *name, char *out, size_t size)
{
	char target[PATH_MAX], *slash;
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = 0;
	slash = strrchr(target, '/');
	snprintf(out, size, "%.*s", (int)size - 1, slash ? slash + 1 : target);
	return true;
}

static void read_name(int dir, char *out, size_t size)
{
	char path[32], target[PATH_MAX], *slash;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
	n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = 0;
	slash = strrchr(target, '/');
	snprintf(out, size, "%.*s", (int)size - 1, slash ? slash + 1 : "?");
}

static enum tmk_bpf_kind kind_of(int dir)
{
	char bus[32];

	if (!read_link_name(dir, "device/subsystem", bus, sizeof(bus)))
		return TMK_BPF_OTHER;
	if (!strcmp(bus, "scsi"))
		return TMK_BPF_SCSI;
	if (!strncmp(bus, "nvme", 4))
		return TMK_BPF_NVME;
	return strcmp(bus, "virtio") ? TMK_BPF_OTHER : TMK_BPF_VIRTIO;
}

int tmk_sysfs_look(dev_t disk, struct tmk_sysfs_disk *out, struct tmk_error *err)
{
	int dir = open_disk(disk, err);

	if (dir < 0)
		return dir;
	read_name(dir, out->name, sizeof(out->name));
	out->kind = kind_of(dir);
	out->sectors = read_number(dir, "size");
	out->diskseq = read_number(dir, "diskseq");
	close(dir);
	return 0;
}

/* "; protect instead: sda, sdb": what lies below a stacked device, or nothing if sysfs names none. */
static void list_below(int dir, char *out, size_t size)
{
	int fd = openat(dir, "slaves", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	size_t used = 0;

	out[0] = 0;
	if (!d && fd >= 0)
		close(fd);
	while (d && (entry = readdir(d)) && used < size)
		if (entry->d_name[0] != '.')
			used += snprintf(out + used, size - used, "%s%s", used ? ", " : "; protect instead: ", entry->d_name);
	if (d)
		closedir(d);
}

static int check_open(int dir, const char *name, struct tmk_error *err)
{
	char text[64], below[256];

	if (!faccessat(dir, "partition", F_OK, 0))
		return tmk_error_set(err, -EINVAL, "%s is a partition: name the disk it lies on", name);
	if (!faccessat(dir, "dm", F_OK, 0) || !faccessat(dir, "md", F_OK, 0)) {
		list_below(dir, below, sizeof(below));
		return tmk_error_set(err, -EOPNOTSUPP, "%s is put together from other disks%s", name, below);
	}
	if (faccessat(dir, "mq", F_OK, 0)) {
		list_below(dir, below, sizeof(below));
		return tmk_error_set(err, -EOPNOTSUPP, "%s has no request queue, so its writes cannot be seen%s", name, below);
	}
	if (read_number(dir, "queue/dax"))
		return tmk_error_set(
			err, -EOPNOTSUPP,
			"%s is memory that programs map directly (DAX): stores to it cannot be seen, it cannot be protected",
			name);
	if (read_attribute(dir, "queue/zoned", text, sizeof(text)) && strcmp(text, "none"))
		return tmk_error_set(err, -EOPNOTSUPP, "%s is a zoned disk (%s): these cannot be protected", name, text);
	return 0;
}

int tmk_sysfs_kernel(struct tmk_error *err)
{
	unsigned int version, minor_version;
	struct utsname name;

	if (uname(&name) || sscanf(name.release, "%u.%u", &version, &minor_version) != 2)
		return tmk_error_set(err, -EOPNOTSUPP, "cannot tell the version of this kernel");
	if (version < 5 || (version == 5 && minor_version < 17))
		return tmk_error_set(err, -EOPNOTSUPP, "kernel %s is too old to track writes: 5.17 or later is needed",
				     name.release);
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return tmk_error_set(
			err, -EOPNOTSUPP,
			"kernel %s does not describe its types (/sys/kernel/btf/vmlinux is missing): boot one built with "
			"CONFIG_DEBUG_INFO_BTF",
			name.release);
	return 0;
}

int tmk_sysfs_check(dev_t disk, struct tmk_error *err)
{
	int rc = tmk_sysfs_kernel(err), dir;
	char name[64];

	if (rc)
		return rc;
	dir = open_disk(disk, err);
	if (dir < 0)
		return dir;
	read_name(dir, name, sizeof(name));
	rc = check_open(dir, name, err);
	close(dir);
	return rc;
}
