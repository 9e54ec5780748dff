/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See device.h. Sysfs only: containers and rescue systems have no udev. An identity must stay the same over reboots, device
 * renames and kernel updates, so that it is the first of a fixed list of sources that the disk has, never a sum of all.
 */
#include "device.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "blktree.h"
#include "sum.h"
#include "util.h"

/* Runs of blanks become one: VPD strings are padded differently by different kernels. */
static void squeeze(char *s)
{
	char *to = s;

	for (const char *from = s; *from; from++)
		if ((unsigned char)*from > ' ' && *from != 127)
			*to++ = *from;
		else if (to != s && to[-1] != ' ')
			*to++ = ' ';
	if (to != s && to[-1] == ' ')
		to--;
	*to = '\0';
}

static bool attr(const char *dir, const char *name, char *out, size_t size)
{
	if (tmk_blktree_attr(dir, name, out, size))
		return false;
	squeeze(out);
	return *out;
}

/* SCSI's unit serial number, VPD page 0x80: four bytes of header, then ASCII; 16 bits of length. */
static bool scsi_serial(const char *dir, char *out, size_t size)
{
	uint8_t page[260];
	char path[1100];
	size_t n, length;
	FILE *f;

	snprintf(path, sizeof(path), "%s/device/vpd_pg80", dir);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fread(page, 1, sizeof(page), f);
	fclose(f);
	if (n < 4 || page[1] != 0x80)
		return false;
	length = (size_t)page[2] << 8 | page[3];
	if (length > n - 4)
		length = n - 4;
	snprintf(out, size, "%.*s", (int)length, (const char *)page + 4);
	squeeze(out);
	return *out;
}

static void loop_identity(const struct tmk_where *where, char *out, size_t size)
{
	if (where->kind == TMK_WHERE_NODE)
		snprintf(out, size, "loop device on block device %u:%u", major(where->device), minor(where->device));
	else
		snprintf(out, size, "loop device on file %u:%u:%llu", major(where->device), minor(where->device),
			 (unsigned long long)where->inode);
}

static void disk_identity(const struct tmk_blktree *t, const struct tmk_blknode *whole, char *out, size_t size)
{
	struct tmk_where where;
	char id[512], model[256] = "";

	if (!tmk_blktree_backing(t, whole, &where))
		loop_identity(&where, out, size);
	else if (attr(whole->dir, "wwid", id, sizeof(id)) || attr(whole->dir, "device/wwid", id, sizeof(id)))
		snprintf(out, size, "wwid %s", id); /* NVMe; SCSI */
	else if (scsi_serial(whole->dir, id, sizeof(id)) || attr(whole->dir, "serial", id, sizeof(id)) /* virtio */ ||
		 attr(whole->dir, "device/cid", id, sizeof(id)) /* MMC */ || attr(whole->dir, "device/serial", id, sizeof(id)))
		snprintf(out, size, "serial %s%s%s", id, attr(whole->dir, "device/model", model, sizeof(model)) ? " model " : "",
			 model);
	else
		snprintf(out, size, "no serial number");
}

/* One that is too long for the wire keeps its beginning, and a hash of all of it. */
static void identity(const struct tmk_blktree *t, const struct tmk_blknode *node, const struct tmk_blknode *whole, uint64_t start,
		     char out[128])
{
	char full[1024], part[64] = "", hex[33];
	uint8_t hash[32];

	disk_identity(t, whole, full, sizeof(full) - sizeof(part));
	if (node->partition)
		snprintf(part, sizeof(part), " partition %u at %llu", node->partition, (unsigned long long)start);
	strcat(full, part);
	if (strlen(full) < 128) {
		strcpy(out, full);
		return;
	}
	tmk_hash(full, strlen(full), hash);
	tmk_hex(hash, 16, hex);
	snprintf(out, 128, "%.90s #%s", full, hex);
}

/* Conservative: a discard that is believed to zero and does not is wrong data, the other way it costs a little space (R20).
 * Sysfs does not tell LBPRZ and DLFEAT of a disk; a loop device punches holes. */
static bool discard_zeroes(const struct tmk_blktree *t, const struct tmk_blknode *whole)
{
	struct tmk_where where;

	return !tmk_blktree_backing(t, whole, &where);
}

static int geometry(const struct tmk_blknode *node, const struct tmk_blknode *whole, struct tmk_device *out,
		    struct tmk_error *err)
{
	uint64_t start = 0, size, block, dma = 0, ro = 0;
	int ret = tmk_blktree_number(node->dir, "size", &size);

	if (!ret)
		ret = tmk_blktree_number(whole->dir, "queue/logical_block_size", &block);
	if (!ret && node->partition)
		ret = tmk_blktree_number(node->dir, "start", &start);
	if (ret)
		return tmk_error_sys(err, ret, "cannot read the geometry of %s in sysfs", node->name);
	if (!size)
		return tmk_error_set(err, -ENODEV, "%s has no size: there is no medium in it, or nothing is attached to it",
				     node->name);
	if (block < 512 || block > 4096 || (block & (block - 1)) || size > UINT64_MAX / 512 - start || size * 512 % block)
		return tmk_error_set(
			err, -EINVAL,
			"%s has logical blocks of %llu bytes and %llu sectors: Tidemark knows blocks of 512 to 4096 bytes",
			node->name, (unsigned long long)block, (unsigned long long)size);
	/* both are missing on some kernels */
	tmk_blktree_number(whole->dir, "queue/dma_alignment", &dma);
	tmk_blktree_number(node->dir, "ro", &ro);
	out->start = start * 512;
	out->size = size * 512;
	out->sector = (uint32_t)block;
	out->alignment = dma + 1 > block && dma < 4096 ? (uint32_t)dma + 1 : (uint32_t)block;
	out->read_only = ro != 0;
	return 0;
}

int tmk_device_describe(const struct tmk_blktree *t, dev_t dev, struct tmk_device *out, struct tmk_error *err)
{
	struct tmk_blknode node, whole;
	int ret = tmk_blktree_node(t, dev, &node, err);

	if (!ret)
		ret = tmk_blktree_node(t, node.disk, &whole, err);
	if (ret)
		return ret;
	memset(out, 0, sizeof(*out));
	tmk_blktree_path(node.name, out->path, sizeof(out->path));
	snprintf(out->name, sizeof(out->name), "%s", node.name);
	out->dev = dev;
	out->disk = node.disk;
	out->whole = !node.partition;
	ret = geometry(&node, &whole, out, err);
	if (ret)
		return ret;
	identity(t, &node, &whole, out->start, out->identity);
	out->zeroes = discard_zeroes(t, &whole);
	return 0;
}

/* "/dev/sda2 /dev/sdb": the lowest devices that have requests (R6, C7). */
static void names(const struct tmk_blktree *t, const dev_t *devs, size_t count, char *out, size_t size)
{
	struct tmk_blknode node;
	char path[128];
	size_t at = 0;

	*out = '\0';
	for (size_t i = 0; i < count && at < size; i++) {
		if (tmk_blktree_node(t, devs[i], &node, NULL))
			continue;
		tmk_blktree_path(node.name, path, sizeof(path));
		at += (size_t)snprintf(out + at, size - at, "%s%s", at ? " " : "", path);
	}
}

/* A device with others below it has no requests of its own that could be tracked. */
static int refuse_stacked(const struct tmk_blktree *t, const struct tmk_device *d, struct tmk_error *err)
{
	dev_t bases[64];
	char list[300];
	size_t count;
	int ret = tmk_blktree_bases(t, d->dev, bases, 64, &count, err);

	if (ret && ret != -E2BIG)
		return ret;
	if (count == 1 && bases[0] == d->dev)
		return 0;
	names(t, bases, count, list, sizeof(list));
	return tmk_error_set(err, -EOPNOTSUPP,
			     "%s (%s) is assembled from other block devices; protect what it lies on instead: %s%s", d->path,
			     d->name, list, ret ? " ..." : "");
}

int tmk_device_find_in(const struct tmk_blktree *t, const char *path, dev_t dev, struct tmk_device *out, struct tmk_error *err)
{
	int ret = tmk_device_describe(t, dev, out, err);

	if (ret)
		return tmk_error_prefix(err, "%s", path);
	if ((size_t)snprintf(out->path, sizeof(out->path), "%s", path) >= sizeof(out->path))
		return tmk_error_set(err, -ENAMETOOLONG, "the path %.100s... is too long for a device", path);
	return refuse_stacked(t, out, err);
}

int tmk_device_find(const char *path, struct tmk_device *out, struct tmk_error *err)
{
	char real[PATH_MAX];
	struct stat st;

	if (!realpath(path, real) || stat(real, &st))
		return tmk_error_sys(err, -errno, "cannot find the disk %s", path);
	if (!S_ISBLK(st.st_mode))
		return tmk_error_set(err, -ENOTBLK,
				     "%s is not a block device; name a disk or a partition, as lsblk -p lists them", path);
	return tmk_device_find_in(&tmk_blktree_real, real, st.st_rdev, out, err);
}

int tmk_device_holds(const struct tmk_device *device, const char *file, bool *holds, struct tmk_error *err)
{
	return tmk_blktree_holds(&tmk_blktree_real, device, file, holds, err);
}

int tmk_device_leaves(dev_t dev, dev_t *out, size_t max, size_t *count, struct tmk_error *err)
{
	return tmk_blktree_leaves(&tmk_blktree_real, dev, out, max, count, err);
}

int tmk_device_uppers(dev_t dev, dev_t *out, size_t max, size_t *count, struct tmk_error *err)
{
	return tmk_blktree_uppers(&tmk_blktree_real, dev, out, max, count, err);
}

int tmk_device_covered(dev_t dev, const struct tmk_device *disks, size_t count, bool *on, dev_t *missing, struct tmk_error *err)
{
	return tmk_blktree_covered(&tmk_blktree_real, dev, disks, count, on, missing, err);
}
