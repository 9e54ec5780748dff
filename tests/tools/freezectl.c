/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: shipper */
/*
 * fsfind.h and freeze.h on the command line, for tests/freeze.sh.
 *
 *   freezectl find DISK...                                  one line per filesystem
 *   freezectl hold PROGRAM RECORD LIMIT-MS DISK...|+DIR...  then sync, freeze, thaw, end on stdin; one line of answer each
 *   freezectl recover RECORD
 *
 * +DIR is a filesystem named by where it is mounted, in the order given, instead of those found on the disks.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "device.h"
#include "freeze.h"
#include "fsfind.h"
#include "log.h"

#define DISKS_MAX 16

static int fail(const struct tmk_error *err)
{
	printf("error %s %s\n", strerrorname_np(-err->code), err->text);
	return 1;
}

static int find(char **paths, int count, struct tmk_filesystems *out, struct tmk_error *err)
{
	struct tmk_device disks[DISKS_MAX];

	for (int i = 0; i < count && i < DISKS_MAX; i++) {
		int rc = tmk_device_find(paths[i], &disks[i], err);

		if (rc)
			return rc;
	}
	return tmk_fsfind(disks, (size_t)count, out, err);
}

static int named(char **paths, int count, struct tmk_filesystems *out, struct tmk_error *err)
{
	out->list = calloc((size_t)count, sizeof(*out->list));
	if (!out->list)
		return tmk_error_set(err, -ENOMEM, "no memory");
	for (out->count = 0; out->count < (size_t)count; out->count++) {
		struct tmk_filesystem *fs = &out->list[out->count];
		struct stat st;

		if (stat(paths[out->count] + 1, &st))
			return tmk_error_sys(err, -errno, "%s", paths[out->count] + 1);
		fs->superblock = st.st_dev;
		fs->pid = getpid();
		snprintf(fs->mountpoint, sizeof(fs->mountpoint), "%s", paths[out->count] + 1);
	}
	return 0;
}

static int show(char **paths, int count)
{
	struct tmk_filesystems fs;
	struct tmk_error err;

	if (find(paths, count, &fs, &err))
		return fail(&err);
	for (size_t i = 0; i < fs.count; i++) {
		const struct tmk_filesystem *f = &fs.list[i];

		printf("%u %s %u:%u pid=%d %s %s %s\n", f->depth, f->type, major(f->superblock), minor(f->superblock),
		       (int)f->pid, f->read_only ? "ro" : "rw", f->partial ? f->missing : "whole", f->mountpoint);
	}
	tmk_filesystems_free(&fs);
	return 0;
}

/* Waits for the pass; says that it is done, not how long it took: no test asserts time. */
static int sync_pass(struct tmk_freeze *f, struct tmk_error *err)
{
	struct pollfd p = {.fd = tmk_freeze_sync_fd(f), .events = POLLIN};
	unsigned ms;
	int rc = tmk_freeze_sync_start(f, err);

	while (!rc && (rc = tmk_freeze_sync_done(f, &ms, err)) == -EAGAIN) {
		poll(&p, 1, -1);
		rc = 0;
	}
	return rc;
}

static void say(int rc, const struct tmk_error *err)
{
	if (rc)
		fail(err);
	else
		printf("ok\n");
	fflush(stdout);
}

static void freeze(struct tmk_freeze *f, size_t count)
{
	static const char *const words[] = {[TMK_FROZEN] = "frozen", [TMK_FROZEN_OTHER] = "other", [TMK_SYNCED] = "synced"};
	struct tmk_error err;
	int rc = tmk_freeze_freeze(f, &err);

	if (rc) {
		say(rc, &err);
		return;
	}
	printf("ok");
	for (size_t i = 0; i < count; i++)
		printf(" %s", words[tmk_freeze_how(f, i)]);
	printf("\n");
	fflush(stdout);
}

static int hold(char **argv, int count)
{
	struct tmk_filesystems fs = {0};
	struct tmk_freeze *f;
	struct tmk_error err;
	char line[64];
	unsigned ms;
	int rc = argv[3][0] == '+' ? named(argv + 3, count - 3, &fs, &err) : find(argv + 3, count - 3, &fs, &err);

	if (!rc)
		rc = tmk_freeze_start(&f, argv[0], argv[1], &fs, (unsigned)atoi(argv[2]), &err);
	say(rc, &err);
	if (rc)
		return 1;
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n")) {
		if (!strcmp(line, "sync\n"))
			say(sync_pass(f, &err), &err);
		else if (!strcmp(line, "freeze\n"))
			freeze(f, fs.count);
		else if (!strcmp(line, "thaw\n"))
			say(tmk_freeze_thaw(f, &ms, &err), &err);
	}
	tmk_freeze_free(f);
	tmk_filesystems_free(&fs);
	say(0, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	struct tmk_error err;

	tmk_log_open("freezectl", TMK_LOG_INFO);
	if (argc > 2 && argc - 2 <= DISKS_MAX && !strcmp(argv[1], "find"))
		return show(argv + 2, argc - 2);
	if (argc > 5 && argc - 5 <= DISKS_MAX && !strcmp(argv[1], "hold"))
		return hold(argv + 2, argc - 2);
	if (argc == 3 && !strcmp(argv[1], "recover"))
		return tmk_freeze_recover(argv[2], &err) ? fail(&err) : 0;
	fprintf(stderr, "usage: freezectl find DISK... | hold PROGRAM RECORD MS DISK...|+DIR... | recover RECORD\n");
	return 2;
}
