/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See mountinfo.h. Allocates; never called while something is frozen, but to recover (R26). */
#include "mountinfo.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util.h"

#define TEXT_MAX (64u << 20)
#define FIELD_MAX PATH_MAX

struct view {
	char ns[64]; /* mnt:[4026531840] */
	dev_t dev;
	ino_t ino;
	uint64_t mount;
};
struct views {
	size_t count, room;
	struct view *list;
};

static bool octal(const char *p)
{
	return p[0] >= '0' && p[0] <= '3' && p[1] >= '0' && p[1] <= '7' && p[2] >= '0' && p[2] <= '7';
}

int tmk_mountinfo_unescape(const char *text, size_t length, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < length;) {
		char c = text[i++];

		if (c == '\\') {
			if (length - i < 3 || !octal(text + i))
				return -EBADMSG;
			c = (char)((text[i] - '0') << 6 | (text[i + 1] - '0') << 3 | (text[i + 2] - '0'));
			i += 3;
		}
		if (!c)
			return -EBADMSG;
		if (n + 1 >= size)
			return -ENAMETOOLONG;
		out[n++] = c;
	}
	if (n >= size)
		return -ENAMETOOLONG;
	out[n] = 0;
	return 0;
}

static void mount_clear(struct tmk_mount *m)
{
	free(m->root);
	free(m->mountpoint);
	free(m->source);
	free(m->options);
	memset(m, 0, sizeof(*m));
}

void tmk_mounts_free(struct tmk_mounts *mounts)
{
	if (!mounts)
		return;
	for (size_t i = 0; i < mounts->count; i++)
		mount_clear(&mounts->list[i]);
	free(mounts->list);
	*mounts = (struct tmk_mounts){0};
}

/* Cuts the next field off a line: fields are separated by exactly one blank and may be empty (a source of ""). */
static char *field(char **line)
{
	char *start = *line;
	char *blank;

	if (!start)
		return NULL;
	blank = strchr(start, ' ');
	if (blank)
		*blank = 0;
	*line = blank ? blank + 1 : NULL;
	return start;
}

static bool number(const char *text, char end, uint64_t most, uint64_t *out, const char **rest)
{
	char *stop;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*out = strtoull(text, &stop, 10);
	if (errno || *out > most || *stop != end)
		return false;
	if (rest)
		*rest = stop + 1;
	return true;
}

static int unescaped(const char *text, char **out)
{
	char buffer[FIELD_MAX];
	int rc = tmk_mountinfo_unescape(text, strlen(text), buffer, sizeof(buffer));

	if (rc)
		return rc;
	*out = strdup(buffer);
	return *out ? 0 : -ENOMEM;
}

static bool has_word(const char *options, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = options; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (!strncmp(p, word, n) && (p[n] == ',' || !p[n]))
			return true;
	return false;
}

/* id parent major:minor root mountpoint options [optional ...] - type source super-options */
static int parse_line(char *line, struct tmk_mount *m)
{
	const char *id = field(&line), *parent = field(&line), *device = field(&line), *root = field(&line);
	const char *mountpoint = field(&line), *flags = field(&line), *word, *type, *source, *options, *minor_text;
	uint64_t major_number, minor_number, ignored;
	int rc;

	do {
		word = field(&line);
	} while (word && strcmp(word, "-"));
	type = field(&line);
	source = field(&line);
	options = line ? line : "";
	if (!word || !flags || !type || !source || !*type || !*mountpoint)
		return -EBADMSG;
	if (!number(id, 0, INT_MAX, &m->id, NULL) || !number(parent, 0, INT_MAX, &ignored, NULL) ||
	    !number(device, ':', UINT32_MAX, &major_number, &minor_text) ||
	    !number(minor_text, 0, UINT32_MAX, &minor_number, NULL))
		return -EBADMSG;
	m->superblock = makedev((unsigned)major_number, (unsigned)minor_number);
	m->read_only = has_word(options, "ro");
	if (strlen(type) >= sizeof(m->type))
		return -EBADMSG;
	memcpy(m->type, type, strlen(type) + 1);
	rc = unescaped(root, &m->root);
	rc = rc ? rc : unescaped(mountpoint, &m->mountpoint);
	rc = rc ? rc : unescaped(source, &m->source);
	if (!rc && !(m->options = strdup(options)))
		rc = -ENOMEM;
	return rc;
}

static int grow(void **list, size_t *room, size_t count, size_t size)
{
	size_t more = *room ? 2 * *room : 64;
	void *larger;

	if (count < *room)
		return 0;
	larger = reallocarray(*list, more, size);
	if (!larger)
		return -ENOMEM;
	*list = larger;
	*room = more;
	return 0;
}

static int append_line(char *line, pid_t pid, struct tmk_mounts *out)
{
	struct tmk_mount m = {.pid = pid};
	int rc = grow((void **)&out->list, &out->room, out->count, sizeof(*out->list));

	if (!rc)
		rc = parse_line(line, &m);
	if (rc) {
		mount_clear(&m);
		return rc;
	}
	out->list[out->count++] = m;
	return 0;
}

int tmk_mountinfo_parse(const char *text, pid_t pid, struct tmk_mounts *out, struct tmk_error *err)
{
	char *copy = strdup(text), *rest = copy;
	size_t number_of_line = 0;
	int rc = copy ? 0 : -ENOMEM;

	while (!rc && rest && *rest) {
		char *line = strsep(&rest, "\n");

		number_of_line++;
		rc = append_line(line, pid, out);
	}
	free(copy);
	if (rc == -ENOMEM)
		return tmk_error_set(err, rc, "no memory for the list of mounts");
	if (rc)
		return tmk_error_set(err, rc,
				     "line %zu of /proc/%d/mountinfo is not what this version understands; please report it",
				     number_of_line, (int)pid);
	return 0;
}

int tmk_mountinfo_read_pid(const char *proc, pid_t pid, struct tmk_mounts *out, struct tmk_error *err)
{
	char path[PATH_MAX], *text;
	int rc = tmk_path(path, sizeof(path), "%s/%d/mountinfo", proc, (int)pid);

	if (rc)
		return tmk_error_sys(err, rc, "%s", proc);
	rc = tmk_read_file(path, TEXT_MAX, &text, err);
	if (rc == -ENOENT || rc == -ESRCH || rc == -EINVAL) /* EINVAL: it is a zombie */
		return tmk_error_set(err, -ESRCH, "process %d is gone", (int)pid);
	if (rc)
		return rc;
	rc = tmk_mountinfo_parse(text, pid, out, err);
	free(text);
	return rc;
}

/* False: the process is gone, or is a zombie. */
static bool view_of(const char *proc, pid_t pid, struct view *out)
{
	char path[PATH_MAX];
	struct statx sx;
	ssize_t n;

	memset(out, 0, sizeof(*out));
	if (tmk_path(path, sizeof(path), "%s/%d/ns/mnt", proc, (int)pid))
		return false;
	n = readlink(path, out->ns, sizeof(out->ns) - 1);
	if (n <= 0)
		return false;
	if (tmk_path(path, sizeof(path), "%s/%d/root", proc, (int)pid) || statx(AT_FDCWD, path, 0, STATX_INO | STATX_MNT_ID, &sx))
		return false;
	out->dev = makedev(sx.stx_dev_major, sx.stx_dev_minor);
	out->ino = (ino_t)sx.stx_ino;
	out->mount = sx.stx_mnt_id;
	return true;
}

static bool view_known(const struct views *views, const struct view *v)
{
	for (size_t i = 0; i < views->count; i++) {
		const struct view *o = &views->list[i];

		if (o->mount == v->mount && o->ino == v->ino && o->dev == v->dev && !strcmp(o->ns, v->ns))
			return true;
	}
	return false;
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

static int list_pids(const char *proc, pid_t **out, size_t *count)
{
	size_t room = 0;
	struct dirent *entry;
	DIR *dir = opendir(proc);
	int rc = 0;

	*out = NULL;
	*count = 0;
	if (!dir)
		return -errno;
	while (!rc && (entry = readdir(dir))) {
		uint64_t pid;

		if (!number(entry->d_name, 0, INT_MAX, &pid, NULL))
			continue;
		rc = grow((void **)out, &room, *count, sizeof(**out));
		if (!rc)
			(*out)[(*count)++] = (pid_t)pid;
	}
	closedir(dir);
	if (!rc && *count)
		qsort(*out, *count, sizeof(**out), by_pid); /* low ones live longest */
	return rc;
}

static int read_view(const char *proc, pid_t pid, struct views *views, struct tmk_mounts *out, struct tmk_error *err)
{
	struct view v;
	int rc;

	if (!view_of(proc, pid, &v) || view_known(views, &v))
		return 0;
	rc = tmk_mountinfo_read_pid(proc, pid, out, err);
	if (rc == -ESRCH)
		return 0;
	if (rc)
		return rc;
	rc = grow((void **)&views->list, &views->room, views->count, sizeof(*views->list));
	if (rc)
		return tmk_error_set(err, rc, "no memory for the list of mount namespaces");
	views->list[views->count++] = v;
	return 0;
}

int tmk_mountinfo_read(const char *proc, struct tmk_mounts *out, struct tmk_error *err)
{
	struct views views = {0};
	pid_t *pids;
	size_t count;
	int rc;

	*out = (struct tmk_mounts){0};
	rc = list_pids(proc, &pids, &count);
	if (rc)
		tmk_error_sys(err, rc, "cannot list the processes in %s", proc);
	for (size_t i = 0; !rc && i < count; i++)
		rc = read_view(proc, pids[i], &views, out, err);
	if (!rc && !views.count)
		rc = tmk_error_set(err, -ENOENT, "no process in %s shows its mounts; is it mounted, and am I root?", proc);
	free(pids);
	free(views.list);
	if (rc)
		tmk_mounts_free(out);
	return rc;
}

bool tmk_mount_option(const struct tmk_mount *mount, const char *name, char *out, size_t size)
{
	size_t n = strlen(name);

	for (const char *p = mount->options; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (!strncmp(p, name, n) && p[n] == '=')
			return !tmk_mountinfo_unescape(p + n + 1, strcspn(p + n + 1, ","), out, size);
	return false;
}

const struct tmk_mount *tmk_mount_of_fd(const struct tmk_mounts *mounts, int fd)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) || !(sx.stx_mask & STATX_MNT_ID))
		return NULL;
	for (size_t i = 0; i < mounts->count; i++)
		if (mounts->list[i].id == sx.stx_mnt_id)
			return &mounts->list[i];
	return NULL;
}

/* A mount is told by its id, not by st_dev: btrfs shows a number of its own for each subvolume. */
int tmk_mount_open(const struct tmk_mounts *mounts, const struct tmk_mount *mount)
{
	char path[PATH_MAX + 64];
	const struct tmk_mount *there;
	struct stat st;
	int look, fd = -ESTALE;

	if (tmk_path(path, sizeof(path), "/proc/%d/root%s", (int)mount->pid, mount->mountpoint))
		return -ENAMETOOLONG;
	look = open(path, O_PATH | O_CLOEXEC);
	if (look < 0)
		return -errno;
	there = tmk_mount_of_fd(mounts, look);
	if (there && there->superblock == mount->superblock && !fstat(look, &st) &&
	    (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))) {
		tmk_path(path, sizeof(path), "/proc/self/fd/%d", look);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		fd = fd < 0 ? -errno : fd;
	}
	close(look);
	return fd;
}

int tmk_mounts_open(const struct tmk_mounts *mounts, dev_t superblock, const struct tmk_mount **which)
{
	int fd = -ENOENT;

	for (size_t i = 0; i < mounts->count && fd < 0; i++) {
		if (mounts->list[i].superblock != superblock)
			continue;
		fd = tmk_mount_open(mounts, &mounts->list[i]);
		if (fd >= 0 && which)
			*which = &mounts->list[i];
	}
	return fd;
}
