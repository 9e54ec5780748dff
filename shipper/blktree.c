/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See blktree.h. Two walks: down (what a device rests on) for leaves, bases, covered and holds; up (what rests on a device) for
 * uppers. A device is met once, so that a loop in the tree ends. Walks hold no lock: a tree that changes under them gives
 * -ENODEV or the state of a moment, and callers look again when it matters.
 */
#include "blktree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct set {
	dev_t *list;
	size_t count, max;
};

static bool has(const struct set *s, dev_t dev)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->list[i] == dev)
			return true;
	return false;
}

static int add(struct set *s, dev_t dev)
{
	if (has(s, dev))
		return 0;
	if (s->count == s->max)
		return -E2BIG;
	s->list[s->count++] = dev;
	return 0;
}

static int too_many(struct tmk_error *err, dev_t dev)
{
	return tmk_error_set(err, -E2BIG, "the stack of block devices around %u:%u has more members than Tidemark follows",
			     major(dev), minor(dev));
}

/* ---- attributes ---- */
int tmk_blktree_attr(const char *dir, const char *name, char *out, size_t size)
{
	char path[2048];
	ssize_t n;
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, out, size - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n < 0)
		return (int)n;
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
	n = (ssize_t)strlen(out);
	while (n && out[n - 1] == ' ')
		out[--n] = '\0';
	memmove(out, out + strspn(out, " "), strlen(out + strspn(out, " ")) + 1);
	return 0;
}

int tmk_blktree_number(const char *dir, const char *name, uint64_t *out)
{
	char text[64], *end;
	int ret = tmk_blktree_attr(dir, name, text, sizeof(text));

	if (ret)
		return ret;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno || end == text || *end ? -EINVAL : 0;
}

static int read_dev(const char *dir, const char *name, dev_t *out)
{
	unsigned int maj, min;
	char text[64], end;
	int ret = tmk_blktree_attr(dir, name, text, sizeof(text));

	if (ret)
		return ret;
	if (sscanf(text, "%u:%u%c", &maj, &min, &end) != 2)
		return -EINVAL;
	*out = makedev(maj, min);
	return 0;
}

void tmk_blktree_path(const char *name, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "/dev/%s", name);

	for (size_t i = 5; i < n && i < size; i++)
		if (out[i] == '!')
			out[i] = '/';
}

int tmk_blktree_node(const struct tmk_blktree *t, dev_t dev, struct tmk_blknode *out, struct tmk_error *err)
{
	char link[1024], real[PATH_MAX];
	const char *base;
	uint64_t part;
	int ret = 0;

	memset(out, 0, sizeof(*out));
	snprintf(link, sizeof(link), "%s/dev/block/%u:%u", t->sys, major(dev), minor(dev));
	if (!realpath(link, real))
		return tmk_error_set(err, -ENODEV, "the kernel knows no block device %u:%u (looked at %s)", major(dev),
				     minor(dev), link);
	base = strrchr(real, '/') + 1;
	if ((size_t)snprintf(out->dir, sizeof(out->dir), "%s", real) >= sizeof(out->dir) ||
	    (size_t)snprintf(out->name, sizeof(out->name), "%s", base) >= sizeof(out->name))
		return tmk_error_set(err, -ENAMETOOLONG, "the name %s is longer than Tidemark expects of a block device", real);
	memcpy(out->disk_dir, out->dir, sizeof(out->dir));
	out->dev = out->disk = dev;
	if (!tmk_blktree_number(out->dir, "partition", &part)) {
		out->partition = (unsigned)part;
		*strrchr(out->disk_dir, '/') = '\0';
		ret = read_dev(out->disk_dir, "dev", &out->disk);
	}
	if (ret)
		return tmk_error_sys(err, ret, "cannot tell the disk of the partition %s", out->name);
	return 0;
}

/* ---- files and loop devices ---- */
/* Adds the devices that <dir>/<sub>/NAME/dev name, for all names; a missing directory has none. */
static int add_links(const char *dir, const char *sub, struct set *out)
{
	char path[1100], entry[1400];
	struct dirent *d;
	dev_t dev;
	int ret = 0;
	DIR *list;

	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	list = opendir(path);
	if (!list)
		return errno == ENOENT ? 0 : -errno;
	while (!ret && (d = readdir(list))) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(entry, sizeof(entry), "%s/%s", path, d->d_name);
		/* not every holder is a block device */
		if (!read_dev(entry, "dev", &dev))
			ret = add(out, dev);
	}
	closedir(list);
	return ret;
}

static int add_btrfs(const struct tmk_blktree *t, const uint8_t id[16], struct set *out)
{
	char dir[1024], text[33];
	size_t before = out->count;
	int ret;

	for (int i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", id[i]);
	snprintf(dir, sizeof(dir), "%s/fs/btrfs/%.8s-%.4s-%.4s-%.4s-%s", t->sys, text, text + 8, text + 12, text + 16, text + 20);
	ret = add_links(dir, "devices", out);
	return ret ? ret : out->count == before ? -EOPNOTSUPP : 0;
}

static int add_where(const struct tmk_blktree *t, struct tmk_where *where, struct set *out, struct tmk_error *err)
{
	struct tmk_where upper;
	int ret = 0;

	/* an overlay's upper directory may lie on another overlay */
	for (int depth = 0; where->kind == TMK_WHERE_OVERLAY; depth++) {
		if (depth == 8 || t->look(where->upper, &upper, err))
			return -EOPNOTSUPP;
		memcpy(where, &upper, sizeof(upper));
	}
	switch (where->kind) {
	case TMK_WHERE_NOWHERE:
		return 0;
	case TMK_WHERE_UNKNOWN:
	case TMK_WHERE_OVERLAY:
		return -EOPNOTSUPP;
	case TMK_WHERE_BTRFS:
		return add_btrfs(t, where->fsid, out);
	case TMK_WHERE_NODE:
	case TMK_WHERE_DEVICE:
		ret = add(out, where->device);
	}
	for (int i = 0; i < 2 && !ret; i++)
		if (where->more[i])
			ret = add(out, where->more[i]);
	return ret;
}

int tmk_blktree_file(const struct tmk_blktree *t, const char *path, dev_t *out, size_t max, size_t *count, struct tmk_error *err)
{
	struct set set = {.list = out, .max = max};
	struct tmk_where where;
	int ret = t->look(path, &where, err);

	if (ret)
		return ret;
	ret = add_where(t, &where, &set, err);
	*count = set.count;
	if (ret == -EOPNOTSUPP)
		return tmk_error_set(err, ret,
				     "cannot tell which disks %s lies on (its filesystem does not say); use a directory on "
				     "another filesystem",
				     path);
	return ret ? too_many(err, where.device) : 0;
}

static int real_backing(const char *name, dev_t dev, struct tmk_where *out)
{
	struct loop_info64 info;
	struct stat st;
	char path[128];
	int fd, ret;

	tmk_blktree_path(name, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	ret = fstat(fd, &st) || !S_ISBLK(st.st_mode) || st.st_rdev != dev || ioctl(fd, LOOP_GET_STATUS64, &info) ? -ENXIO : 0;
	close(fd);
	if (ret)
		return ret;
	memset(out, 0, sizeof(*out));
	out->kind = info.lo_rdevice ? TMK_WHERE_NODE : TMK_WHERE_DEVICE;
	out->device = info.lo_rdevice ? info.lo_rdevice : info.lo_device;
	out->inode = info.lo_rdevice ? 0 : info.lo_inode;
	return 0;
}

const struct tmk_blktree tmk_blktree_real = {.sys = "/sys", .look = tmk_where_look, .backing = real_backing};

/*
 * The device itself knows device and inode also if the file was removed or lies in another mount namespace; the path tells the
 * filesystem where the device number is anonymous, if it still names that file.
 */
int tmk_blktree_backing(const struct tmk_blktree *t, const struct tmk_blknode *node, struct tmk_where *out)
{
	struct tmk_where asked;
	char path[4096];
	int ret = tmk_blktree_attr(node->disk_dir, "loop/backing_file", path, sizeof(path));

	if (ret)
		return -ENOENT;
	ret = t->backing ? t->backing(node->name, node->dev, &asked) : -ENXIO;
	if (ret)
		return t->look(path, out, NULL);
	if (!t->look(path, out, NULL) && out->inode == asked.inode && out->device == asked.device)
		return 0;
	memcpy(out, &asked, sizeof(asked));
	if (out->kind == TMK_WHERE_DEVICE && !major(out->device))
		out->kind = TMK_WHERE_UNKNOWN;
	return 0;
}

/* ---- down ---- */
/* What the whole disk of a node rests on. */
static int lowers(const struct tmk_blktree *t, const struct tmk_blknode *node, bool loops, struct set *out)
{
	struct tmk_blknode whole;
	struct tmk_where where;
	int ret = add_links(node->disk_dir, "slaves", out);

	if (ret || !loops)
		return ret;
	ret = tmk_blktree_node(t, node->disk, &whole, NULL);
	if (ret || tmk_blktree_backing(t, &whole, &where))
		return ret;
	ret = add_where(t, &where, out, NULL);
	/* a backing file that cannot be followed: the loop device is where the walk ends */
	return ret == -EOPNOTSUPP ? 0 : ret;
}

struct walk {
	bool loops; /* goes through loop devices */
	/* true: go on below it. May be NULL. */
	bool (*enter)(struct walk *w, const struct tmk_blknode *node);
	/* A node that rests on nothing. May be NULL. */
	int (*leaf)(struct walk *w, const struct tmk_blknode *node);
	struct set out;
	const struct tmk_device *disks;
	size_t disk_count;
	bool met;
	dev_t missing;
};

static int step(const struct tmk_blktree *t, struct walk *w, dev_t dev, struct set *queue, struct tmk_error *err)
{
	struct tmk_blknode node;
	dev_t below[TMK_BLKTREE_MAX];
	struct set found = {.list = below, .max = TMK_BLKTREE_MAX};
	int ret = tmk_blktree_node(t, dev, &node, err);

	if (ret)
		return ret;
	if (w->enter && !w->enter(w, &node))
		return 0;
	ret = lowers(t, &node, w->loops, &found);
	if (!ret && !found.count && w->leaf)
		ret = w->leaf(w, &node);
	for (size_t i = 0; i < found.count && !ret; i++)
		ret = add(queue, found.list[i]);
	if (ret == -E2BIG)
		return too_many(err, dev);
	return ret ? tmk_error_sys(err, ret, "cannot tell what %s rests on", node.name) : 0;
}

static int down(const struct tmk_blktree *t, struct walk *w, const dev_t *from, size_t count, struct tmk_error *err)
{
	dev_t list[TMK_BLKTREE_MAX];
	struct set queue = {.list = list, .max = TMK_BLKTREE_MAX};
	int ret = 0;

	for (size_t i = 0; i < count && !ret; i++)
		ret = add(&queue, from[i]);
	if (ret)
		return too_many(err, from[0]);
	for (size_t i = 0; i < queue.count && !ret; i++)
		ret = step(t, w, queue.list[i], &queue, err);
	return ret;
}

static int collect(struct walk *w, const struct tmk_blknode *node)
{
	return add(&w->out, node->dev);
}

int tmk_blktree_leaves(const struct tmk_blktree *t, dev_t dev, dev_t *out, size_t max, size_t *count, struct tmk_error *err)
{
	struct walk w = {.loops = true, .leaf = collect, .out = {.list = out, .max = max}};
	int ret = down(t, &w, &dev, 1, err);

	*count = w.out.count;
	return ret;
}

int tmk_blktree_bases(const struct tmk_blktree *t, dev_t dev, dev_t *out, size_t max, size_t *count, struct tmk_error *err)
{
	struct walk w = {.leaf = collect, .out = {.list = out, .max = max}};
	int ret = down(t, &w, &dev, 1, err);

	*count = w.out.count;
	return ret;
}

static bool meets(struct walk *w, const struct tmk_blknode *node)
{
	for (size_t i = 0; i < w->disk_count; i++) {
		const struct tmk_device *d = &w->disks[i];

		if (node->dev == d->dev || (d->whole && node->disk == d->dev)) {
			w->met = true;
			return false;
		}
	}
	return true;
}

static int note_missing(struct walk *w, const struct tmk_blknode *node)
{
	w->missing = node->dev;
	return 0;
}

int tmk_blktree_covered(const struct tmk_blktree *t, dev_t dev, const struct tmk_device *disks, size_t count, bool *on,
			dev_t *missing, struct tmk_error *err)
{
	struct walk w = {.loops = true, .enter = meets, .leaf = note_missing, .disks = disks, .disk_count = count};
	int ret = down(t, &w, &dev, 1, err);

	*on = w.met;
	*missing = w.missing;
	return ret;
}

int tmk_blktree_holds(const struct tmk_blktree *t, const struct tmk_device *device, const char *file, bool *holds,
		      struct tmk_error *err)
{
	struct walk w = {.loops = true, .enter = meets, .disks = device, .disk_count = 1};
	dev_t devs[TMK_BLKTREE_MAX];
	size_t count = 0;
	int ret = tmk_blktree_file(t, file, devs, TMK_BLKTREE_MAX, &count, err);

	if (!ret && count)
		ret = down(t, &w, devs, count, err);
	*holds = w.met;
	return ret;
}

/* ---- up ---- */
static int add_partitions(const struct tmk_blknode *node, struct set *out)
{
	char entry[1400];
	struct dirent *d;
	uint64_t number;
	dev_t dev;
	int ret = 0;
	DIR *list = opendir(node->dir);

	if (!list)
		return -errno;
	while (!ret && (d = readdir(list))) {
		snprintf(entry, sizeof(entry), "%s/%s", node->dir, d->d_name);
		if (d->d_name[0] != '.' && !tmk_blktree_number(entry, "partition", &number) && !read_dev(entry, "dev", &dev))
			ret = add(out, dev);
	}
	closedir(list);
	return ret;
}

/* Whether a loop device's backing file lies on one of the devices found so far. One that cannot be asked does not count. */
static bool loop_rests_on(const struct tmk_blktree *t, dev_t dev, const struct set *found)
{
	struct tmk_blknode node;
	struct tmk_where where;
	dev_t below[TMK_BLKTREE_MAX];
	struct set devs = {.list = below, .max = TMK_BLKTREE_MAX};

	if (tmk_blktree_node(t, dev, &node, NULL) || tmk_blktree_backing(t, &node, &where) || add_where(t, &where, &devs, NULL))
		return false;
	for (size_t i = 0; i < devs.count; i++)
		if (has(found, devs.list[i]))
			return true;
	return false;
}

static int add_loops(const struct tmk_blktree *t, struct set *out)
{
	char path[1024], entry[1400], file[4096];
	struct dirent *d;
	dev_t dev;
	int ret = 0;
	DIR *list;

	snprintf(path, sizeof(path), "%s/block", t->sys);
	list = opendir(path);
	if (!list)
		return -errno;
	while (!ret && (d = readdir(list))) {
		snprintf(entry, sizeof(entry), "%s/%s", path, d->d_name);
		if (d->d_name[0] == '.' || tmk_blktree_attr(entry, "loop/backing_file", file, sizeof(file)) ||
		    read_dev(entry, "dev", &dev) || has(out, dev))
			continue;
		if (loop_rests_on(t, dev, out))
			ret = add(out, dev);
	}
	closedir(list);
	return ret;
}

int tmk_blktree_uppers(const struct tmk_blktree *t, dev_t dev, dev_t *out, size_t max, size_t *count, struct tmk_error *err)
{
	struct set set = {.list = out, .max = max};
	struct tmk_blknode node;
	int ret = add(&set, dev);

	for (size_t i = 0; i < set.count && !ret; i++) {
		if (tmk_blktree_node(t, set.list[i], &node, err))
			return -ENODEV;
		if (!node.partition)
			ret = add_partitions(&node, &set);
		if (!ret)
			ret = add_links(node.dir, "holders", &set);
		/* loop devices have no holder link: looked for when the links are used up, and their uppers after them */
		if (!ret && i + 1 == set.count)
			ret = add_loops(t, &set);
	}
	*count = set.count;
	if (ret == -E2BIG)
		return too_many(err, dev);
	return ret ? tmk_error_sys(err, ret, "cannot tell what rests on the block device %u:%u", major(dev), minor(dev)) : 0;
}
