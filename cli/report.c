/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See report.h. What may hang comes last: the module's state, for which it takes its lock, and the daemons, for which there is a
 * limit. */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "show.h"
#include "util.h"

#define STATUS_SECONDS 10
#define LINE_MOST 8192 /* a record of the kernel's log is no longer */

static const char *const files[] = {
	"/proc/version",
	"/etc/os-release",
	"/sys/kernel/security/lockdown",
	"/proc/meminfo",
	"/proc/partitions",
	"/proc/swaps",
	"/proc/self/mountinfo",
	"/sys/module/tidemark/version",
	"/sys/module/tidemark/srcversion",
	"/sys/module/tidemark/refcnt",
	"/proc/diskstats",
	"/etc/tidemark/*.conf",
	"/sys/kernel/debug/tidemark/requests",
};

/* What is there so far is not lost with what comes now. */
static void head(FILE *out, const char *what)
{
	fflush(out);
	fprintf(out, "\n== %s\n", what);
}

/* Of text that others wrote: what a terminal would obey is not printed, nor what is not ASCII. */
static void print(FILE *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		fputc(c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f) ? c : '?', out);
	}
}

static void print_file(FILE *out, const char *path, const char *name)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = errno;
	char text[4096];
	ssize_t length = -1;

	head(out, name);
	while (fd >= 0 && (length = read(fd, text, sizeof(text))) > 0)
		print(out, text, (size_t)length);
	if (fd >= 0)
		error = errno;
	if (length < 0)
		fprintf(out, "cannot be read: %s\n", strerror(error));
	if (fd >= 0)
		close(fd);
}

static void print_files(FILE *out, const char *root, const char *pattern)
{
	char path[512];
	glob_t found;

	if (tmk_path(path, sizeof(path), "%s%s", root, pattern))
		return;
	if (glob(path, 0, NULL, &found)) {
		head(out, pattern);
		fputs("is not there\n", out);
		return;
	}
	for (size_t i = 0; i < found.gl_pathc; i++)
		print_file(out, found.gl_pathv[i], found.gl_pathv[i] + strlen(root));
	globfree(&found);
}

/* What the module said: a record is "priority,number,time,flags;text". */
static void print_kernel_log(FILE *out, const char *root)
{
	char path[512], record[LINE_MOST + 1], *text;
	ssize_t length;
	int fd;

	if (tmk_path(path, sizeof(path), "%s/dev/kmsg", root))
		return;
	head(out, "/dev/kmsg: tidemark");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		fprintf(out, "cannot be read: %s\n", strerror(errno));
	for (;;) {
		length = fd < 0 ? -1 : read(fd, record, LINE_MOST);
		if (length < 0 && fd >= 0 && errno == EPIPE) /* what was to be read next has been overwritten */
			continue;
		if (length <= 0)
			break;
		record[length] = '\0';
		text = strchr(record, ';');
		if (text && strstr(text, "tidemark"))
			print(out, record, (size_t)length);
	}
	if (fd >= 0)
		close(fd);
}

static void print_status(FILE *out, enum tmk_side side, const char *socket)
{
	struct tmk_ask ask = {.socket = socket};
	struct tmk_error err = {0};
	json_t *result = NULL;
	bool absent;
	char *text;
	int rc;

	head(out, tmk_ask_socket(&ask, side));
	rc = tmk_ask(&ask, side, "status", NULL, &result, &absent, &err);
	text = rc ? NULL : json_dumps(result, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	if (text)
		fprintf(out, "%s\n", text);
	else
		fprintf(out, "no status: %s\n", absent ? "no daemon answers" : err.text);
	free(text);
	json_decref(result);
}

/* In a process of its own, which ends at the limit. */
static void try_status(FILE *out, enum tmk_side side, const char *socket)
{
	int state;
	pid_t pid;

	fflush(out);
	pid = fork();
	if (!pid) {
		alarm(STATUS_SECONDS);
		print_status(out, side, socket);
		fflush(out);
		_exit(0);
	}
	if (pid > 0 && waitpid(pid, &state, 0) == pid && !WIFEXITED(state))
		fprintf(out, "no status: no answer within %d seconds\n", STATUS_SECONDS);
}

int tmk_report(FILE *out, const char *root, const char *socket)
{
	time_t now = time(NULL);
	char stamp[32];
	struct tm tm;

	if (!gmtime_r(&now, &tm) || !strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm))
		stamp[0] = '\0';
	fprintf(out,
		"tidemark report, %s%s\nNames of disks, hosts and directories are in it, and no keys. Read it before you send "
		"it.\n",
		stamp, geteuid() ? ", not as root: much cannot be read" : "");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		print_files(out, root, files[i]);
	print_kernel_log(out, root);
	try_status(out, TMK_SOURCE, socket);
	if (!socket)
		try_status(out, TMK_TARGET, NULL);
	print_files(out, root, "/sys/kernel/debug/tidemark/state");
	return fflush(out) || ferror(out) ? 1 : 0;
}
