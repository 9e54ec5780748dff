/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See frecord.h. */
#include "frecord.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "mountinfo.h"
#include "util.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define RECORD_MAX (TMK_FREEZER_STATES + TMK_FREEZER_MAX * (4 * 4096 + 64))
#define LOCK_TRIES 100 /* of 100 ms: a helper whose shipper died is about to thaw and end */

static int boot_id(char out[TMK_FREEZER_BOOT_ID + 1], struct tmk_error *err)
{
	char *text;
	int rc = tmk_read_file(BOOT_ID, 256, &text, err);

	if (rc)
		return rc;
	if (strcspn(text, "\n") == TMK_FREEZER_BOOT_ID) {
		memcpy(out, text, TMK_FREEZER_BOOT_ID);
		out[TMK_FREEZER_BOOT_ID] = 0;
	} else {
		rc = tmk_error_set(err, -EBADMSG, BOOT_ID " does not hold a boot id");
	}
	free(text);
	return rc;
}

/* Blanks, line ends and backslashes as mountinfo writes them. */
static void print_escaped(FILE *file, const char *text)
{
	for (; *text; text++) {
		if (strchr(" \t\n\\", *text))
			fprintf(file, "\\%03o", (unsigned)(unsigned char)*text);
		else
			fputc(*text, file);
	}
}

static int print_record(int fd, const struct tmk_filesystems *filesystems, struct tmk_error *err)
{
	char boot[TMK_FREEZER_BOOT_ID + 1], *text = NULL;
	size_t size = 0;
	ssize_t n;
	FILE *file;
	int rc = boot_id(boot, err);

	if (rc)
		return rc;
	file = open_memstream(&text, &size);
	if (!file)
		return -ENOMEM;
	fprintf(file, TMK_FREEZER_MAGIC "%s\n", boot);
	for (size_t i = 0; i < filesystems->count; i++)
		fputc(TMK_FREEZER_IDLE, file);
	fputc('\n', file);
	for (size_t i = 0; i < filesystems->count; i++) {
		const struct tmk_filesystem *fs = &filesystems->list[i];

		fprintf(file, "%u:%u %d ", major(fs->superblock), minor(fs->superblock), (int)fs->pid);
		print_escaped(file, fs->mountpoint);
		fputc('\n', file);
	}
	if (fclose(file)) {
		free(text);
		return -ENOMEM;
	}
	n = pwrite(fd, text, size, 0);
	rc = n == (ssize_t)size ? 0 : n < 0 ? -errno : -ENOSPC;
	free(text);
	return rc;
}

/* Writing the record must not wait for what it is about. Anonymous devices (btrfs, overlay, NFS) do not say what they lie on. */
static int check_place(int fd, const char *path, const struct tmk_filesystems *filesystems, struct tmk_error *err)
{
	struct statfs fs;
	struct stat st;
	bool bad;

	if (fstatfs(fd, &fs) || fstat(fd, &st))
		return tmk_error_sys(err, -errno, "cannot look at %s", path);
	if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
		return 0;
	bad = !major(st.st_dev);
	for (size_t i = 0; i < filesystems->count; i++)
		bad |= filesystems->list[i].superblock == st.st_dev;
	if (!bad)
		return 0;
	return tmk_error_set(
		err, -EINVAL,
		"%s would lie on a filesystem that is to be frozen, or that may lie on one; put it on a tmpfs such as /run",
		path);
}

int tmk_frecord_make(const char *path, const struct tmk_filesystems *filesystems, struct tmk_error *err)
{
	char fresh[4096];
	int rc = tmk_path(fresh, sizeof(fresh), "%s.new", path), fd;

	if (rc)
		return tmk_error_sys(err, rc, "%s", path);
	fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot write %s, without which nothing is frozen", fresh);
	rc = check_place(fd, path, filesystems, err);
	if (!rc) {
		rc = flock(fd, LOCK_EX | LOCK_NB) ? -errno : print_record(fd, filesystems, NULL);
		if (!rc && linkat(AT_FDCWD, fresh, AT_FDCWD, path, 0)) /* never over another record */
			rc = -errno;
		if (rc)
			tmk_error_sys(err, rc, "cannot write %s, without which nothing is frozen", path);
	}
	unlink(fresh);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

int tmk_frecord_states(int fd, uint8_t *states, size_t count)
{
	ssize_t n = pread(fd, states, count, TMK_FREEZER_STATES);

	return n == (ssize_t)count ? 0 : n < 0 ? -errno : -ENODATA;
}

/* PENDING: the helper was killed inside FIFREEZE, or just behind it, as good as always: it is frozen, and by us. */
bool tmk_frecord_ours(uint8_t state)
{
	return state == TMK_FREEZER_FROZEN || state == TMK_FREEZER_PENDING;
}

void tmk_frecord_thawed(int fd, size_t i)
{
	uint8_t state = TMK_FREEZER_IDLE;

	while (pwrite(fd, &state, 1, (off_t)(TMK_FREEZER_STATES + i)) < 0 && errno == EINTR)
		;
}

int tmk_frecord_open(const char *path, struct tmk_error *err)
{
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC), rc = 0;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT : tmk_error_sys(err, -errno, "cannot open %s", path);
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB); i++) {
		rc = -errno;
		if ((rc != -EWOULDBLOCK && rc != -EINTR) || i == LOCK_TRIES)
			break;
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
		rc = 0;
	}
	if (!rc && !fstat(fd, &st) && st.st_nlink)
		return fd;
	close(fd);
	if (!rc)
		return -ENOENT; /* its owner has removed it while we waited */
	if (rc == -EWOULDBLOCK || rc == -EINTR)
		return tmk_error_set(err, -EBUSY, "the helper or shipper that %s belongs to is still alive: it thaws by itself",
				     path);
	return tmk_error_sys(err, rc, "cannot lock %s", path);
}

static int parse_entry(const char *line, struct tmk_filesystem *fs)
{
	unsigned a, b;
	int pid, at = 0;

	if (sscanf(line, "%u:%u %d %n", &a, &b, &pid, &at) != 3 || !at || pid <= 0)
		return -EBADMSG;
	fs->superblock = makedev(a, b);
	fs->pid = pid;
	return tmk_mountinfo_unescape(line + at, strlen(line + at), fs->mountpoint, sizeof(fs->mountpoint));
}

static int parse_record(char *text, size_t size, struct tmk_filesystems *out, uint8_t *states, struct tmk_error *err)
{
	char boot[TMK_FREEZER_BOOT_ID + 1], *rest = text + TMK_FREEZER_STATES, *letters, *line;
	size_t head = sizeof(TMK_FREEZER_MAGIC) - 1;
	int rc = boot_id(boot, err);

	if (rc)
		return rc;
	if (size < TMK_FREEZER_STATES + 2 || memchr(text, 0, size) || memcmp(text, TMK_FREEZER_MAGIC, head) || rest[-1] != '\n')
		return -EBADMSG;
	if (memcmp(text + head, boot, TMK_FREEZER_BOOT_ID))
		return -ESTALE;
	letters = strsep(&rest, "\n");
	if (!*letters || strlen(letters) > TMK_FREEZER_MAX || strspn(letters, "NPFOS") != strlen(letters))
		return -EBADMSG;
	out->list = calloc(strlen(letters), sizeof(*out->list));
	if (!out->list)
		return -ENOMEM;
	for (; !rc && (line = strsep(&rest, "\n")) && *line; out->count++)
		rc = out->count == strlen(letters) ? -EBADMSG : parse_entry(line, &out->list[out->count]);
	if (!rc && out->count != strlen(letters))
		rc = -EBADMSG;
	memcpy(states, letters, strlen(letters));
	return rc;
}

int tmk_frecord_read(int fd, struct tmk_filesystems *out, uint8_t *states, struct tmk_error *err)
{
	char *text = calloc(1, RECORD_MAX + 1);
	ssize_t n = text ? pread(fd, text, RECORD_MAX, 0) : -1;
	int rc;

	*out = (struct tmk_filesystems){0};
	if (n < 0)
		rc = text ? -errno : -ENOMEM;
	else
		rc = parse_record(text, (size_t)n, out, states, err);
	free(text);
	if (!rc)
		return 0;
	tmk_filesystems_free(out);
	if (rc == -EBADMSG)
		return tmk_error_set(err, rc,
				     "the record of frozen filesystems is broken; look with `fsfreeze -u` and remove it");
	return rc == -ESTALE ? rc : tmk_error_sys(err, rc, "cannot read the record of frozen filesystems");
}
