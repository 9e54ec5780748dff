/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fsfind.h. A superblock is listed when one of its devices rests on one of the disks. It stands above another of the list
 * when a walk down from its devices meets one of the other's, through a loop device's backing file: it has to be frozen first,
 * for freezing it writes (R26).
 */
#include "fsfind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "blktree.h"
#include "fsworld.h"

#define MEMBERS_MAX 256

struct found {
	struct tmk_filesystem fs;
	size_t count;
	struct tmk_member *members;
};
struct finding {
	const struct tmk_fsworld *world;
	const struct tmk_device *disks;
	size_t disk_count;
	struct tmk_mounts mounts;
	size_t count;
	struct found *list;
};

static void note_missing(const struct tmk_fsworld *world, struct tmk_filesystem *fs, dev_t dev, const char *name)
{
	if (fs->partial)
		return;
	fs->partial = true;
	if (dev)
		world->name(dev, fs->missing, sizeof(fs->missing));
	else
		snprintf(fs->missing, sizeof(fs->missing), "%s", name);
}

/* Whether the filesystem has a device on the disks, and what it has elsewhere. */
static int classify(const struct finding *f, struct found *one, bool *touched, struct tmk_error *err)
{
	*touched = false;
	for (size_t i = 0; i < one->count; i++) {
		const struct tmk_member *member = &one->members[i];
		dev_t missing = 0;
		bool on = false;
		int rc = 0;

		if (member->dev)
			rc = f->world->covered(member->dev, f->disks, f->disk_count, &on, &missing, err);
		if (rc && rc != -ENODEV)
			return rc;
		*touched |= on;
		if (!on || missing)
			note_missing(f->world, &one->fs, missing ? missing : rc ? 0 : member->dev, member->name);
	}
	return 0;
}

static void describe(const struct finding *f, const struct tmk_mount *mount, struct tmk_filesystem *fs)
{
	const struct tmk_mount *reachable = f->world->reachable(&f->mounts, mount->superblock);

	mount = reachable ? reachable : mount;
	fs->superblock = mount->superblock;
	fs->pid = mount->pid;
	fs->read_only = mount->read_only;
	snprintf(fs->type, sizeof(fs->type), "%s", mount->type);
	snprintf(fs->mountpoint, sizeof(fs->mountpoint), "%s", mount->mountpoint);
}

static int append(struct finding *f, const struct found *one, struct tmk_error *err)
{
	struct found *larger = reallocarray(f->list, f->count + 1, sizeof(*larger));

	if (!larger)
		return tmk_error_set(err, -ENOMEM, "no memory for the list of filesystems");
	f->list = larger;
	f->list[f->count++] = *one;
	return 0;
}

static int consider(struct finding *f, const struct tmk_mount *mount, struct tmk_error *err)
{
	struct tmk_member members[MEMBERS_MAX];
	struct found one = {.members = members};
	bool touched = false;
	int rc = f->world->members(&f->mounts, mount, members, MEMBERS_MAX, &one.count, err);

	if (!rc)
		rc = classify(f, &one, &touched, err);
	if (rc || !touched)
		return rc;
	describe(f, mount, &one.fs);
	one.members = malloc(one.count * sizeof(*members));
	if (!one.members)
		return tmk_error_set(err, -ENOMEM, "no memory for the list of filesystems");
	memcpy(one.members, members, one.count * sizeof(*members));
	rc = append(f, &one, err);
	if (rc)
		free(one.members);
	return rc;
}

static bool seen_before(const struct tmk_mounts *mounts, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (mounts->list[j].superblock == mounts->list[i].superblock)
			return true;
	return false;
}

static bool is_member(const struct found *one, dev_t dev)
{
	for (size_t i = 0; i < one->count; i++)
		if (one->members[i].dev == dev)
			return true;
	return false;
}

/* Whether `upper` lies on `lower`: not by a device that is the same for both, whatever that may mean. */
static int rests_on(const struct finding *f, const struct found *upper, const struct found *lower, bool *on,
		    struct tmk_error *err)
{
	struct tmk_device targets[MEMBERS_MAX];
	size_t count = 0;
	int rc = 0;

	*on = false;
	memset(targets, 0, sizeof(targets));
	for (size_t i = 0; i < lower->count; i++) {
		if (!lower->members[i].dev)
			continue;
		targets[count].dev = targets[count].disk = lower->members[i].dev; /* exactly it: not `whole` */
		count++;
	}
	for (size_t i = 0; i < upper->count && !rc && !*on && count; i++) {
		dev_t missing;

		if (upper->members[i].dev && !is_member(lower, upper->members[i].dev))
			rc = f->world->covered(upper->members[i].dev, targets, count, on, &missing, err);
	}
	return rc == -ENODEV ? 0 : rc;
}

/* The longest way down, in filesystems: an upper one stands at least one above each that it rests on. */
static int set_depths(struct finding *f, struct tmk_error *err)
{
	bool *above = calloc(f->count * f->count + 1, sizeof(*above)), moved = true;
	int rc = above ? 0 : tmk_error_set(err, -ENOMEM, "no memory for the order of filesystems");

	for (size_t a = 0; a < f->count && !rc; a++)
		for (size_t b = 0; b < f->count && !rc; b++)
			if (a != b)
				rc = rests_on(f, &f->list[a], &f->list[b], &above[a * f->count + b], err);
	for (size_t round = 0; moved && !rc && round < f->count; round++) {
		moved = false;
		for (size_t i = 0; i < f->count * f->count; i++) {
			struct tmk_filesystem *a = &f->list[i / f->count].fs, *b = &f->list[i % f->count].fs;

			if (!above[i] || a->depth > b->depth)
				continue;
			a->depth = b->depth + 1;
			moved = true;
		}
	}
	if (!rc && moved && f->count)
		rc = tmk_error_set(err, -ELOOP, "the filesystems at %s and below rest on each other in a ring",
				   f->list[0].fs.mountpoint);
	free(above);
	return rc;
}

static int upper_first(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->fs.depth != y->fs.depth)
		return x->fs.depth < y->fs.depth ? 1 : -1;
	return x->fs.superblock < y->fs.superblock ? -1 : x->fs.superblock > y->fs.superblock;
}

static int hand_out(const struct finding *f, struct tmk_filesystems *out, struct tmk_error *err)
{
	if (!f->count)
		return 0;
	out->list = calloc(f->count, sizeof(*out->list));
	if (!out->list)
		return tmk_error_set(err, -ENOMEM, "no memory for the list of filesystems");
	for (size_t i = 0; i < f->count; i++)
		out->list[i] = f->list[i].fs;
	out->count = f->count;
	return 0;
}

int tmk_fsfind_in(const struct tmk_fsworld *world, const struct tmk_device *disks, size_t count, struct tmk_filesystems *out,
		  struct tmk_error *err)
{
	struct finding f = {.world = world, .disks = disks, .disk_count = count};
	int rc = tmk_mountinfo_read(world->proc, &f.mounts, err);

	*out = (struct tmk_filesystems){0};
	for (size_t i = 0; i < f.mounts.count && !rc; i++)
		if (!seen_before(&f.mounts, i))
			rc = consider(&f, &f.mounts.list[i], err);
	if (!rc)
		rc = set_depths(&f, err);
	if (!rc && f.count)
		qsort(f.list, f.count, sizeof(*f.list), upper_first);
	if (!rc)
		rc = hand_out(&f, out, err);
	for (size_t i = 0; i < f.count; i++)
		free(f.list[i].members);
	free(f.list);
	tmk_mounts_free(&f.mounts);
	return rc;
}

static const struct tmk_mount *reachable_mount(const struct tmk_mounts *mounts, dev_t superblock)
{
	const struct tmk_mount *which = NULL;
	int fd = tmk_mounts_open(mounts, superblock, &which);

	if (fd < 0)
		return NULL;
	close(fd);
	return which;
}

static void sysfs_name(dev_t dev, char *out, size_t size)
{
	struct tmk_blknode node;

	if (tmk_blktree_node(&tmk_blktree_real, dev, &node, NULL))
		snprintf(out, size, "%u:%u", major(dev), minor(dev));
	else
		snprintf(out, size, "%s", node.name);
}

int tmk_fsfind(const struct tmk_device *disks, size_t count, struct tmk_filesystems *out, struct tmk_error *err)
{
	const struct tmk_fsworld real = {.proc = "/proc",
					 .covered = tmk_device_covered,
					 .members = tmk_fsmembers,
					 .reachable = reachable_mount,
					 .name = sysfs_name};

	return tmk_fsfind_in(&real, disks, count, out, err);
}

void tmk_filesystems_free(struct tmk_filesystems *f)
{
	if (!f)
		return;
	free(f->list);
	*f = (struct tmk_filesystems){0};
}

/* The process may have ended since, or the mount moved: then any other mount of the superblock will do. */
int tmk_filesystem_open(const struct tmk_filesystem *fs, struct tmk_error *err)
{
	char mountpoint[sizeof(fs->mountpoint)];
	struct tmk_mount named = {.superblock = fs->superblock, .pid = fs->pid, .mountpoint = mountpoint};
	struct tmk_mounts mounts = {0};
	int fd = tmk_mountinfo_read_pid("/proc", fs->pid, &mounts, NULL), rc;

	memcpy(mountpoint, fs->mountpoint, sizeof(mountpoint));
	if (!fd)
		fd = tmk_mount_open(&mounts, &named);
	tmk_mounts_free(&mounts);
	if (fd >= 0)
		return fd;
	rc = tmk_mountinfo_read("/proc", &mounts, err);
	if (rc)
		return rc;
	fd = tmk_mounts_open(&mounts, fs->superblock, NULL);
	tmk_mounts_free(&mounts);
	if (fd == -ENOENT)
		return tmk_error_set(err, fd, "the filesystem %u:%u (%s) is not mounted any more", major(fs->superblock),
				     minor(fs->superblock), fs->mountpoint);
	if (fd < 0)
		return tmk_error_sys(err, fd, "cannot open the filesystem %u:%u at %s or at another place it is mounted",
				     major(fs->superblock), minor(fs->superblock), fs->mountpoint);
	return fd;
}
