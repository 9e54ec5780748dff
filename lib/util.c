/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See util.h. */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + now.tv_nsec;
}

uint64_t tmk_now_ms(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

uint64_t tmk_clock_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

/* 64 bytes at once: as fast as memory. */
bool tmk_all_zero(const void *data, size_t size)
{
	const uint8_t *at = data;
	uint64_t w[8];

	for (; size >= sizeof(w); at += sizeof(w), size -= sizeof(w)) {
		memcpy(w, at, sizeof(w));
		if (w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7])
			return false;
	}
	while (size && !*at)
		at++, size--;
	return !size;
}

void tmk_hex(const uint8_t *data, size_t size, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++) {
		*out++ = digits[data[i] >> 4];
		*out++ = digits[data[i] & 15];
	}
	*out = 0;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool tmk_unhex(const char *text, uint8_t *out, size_t size)
{
	if (strlen(text) != 2 * size)
		return false;
	for (size_t i = 0; i < size; i++) {
		int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = high << 4 | low;
	}
	return true;
}

const char *tmk_human(uint64_t bytes, char out[32])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = bytes;
	size_t unit = 0;

	while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(*units)) {
		value /= 1024;
		unit++;
	}
	snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return out;
}

static int read_all(int fd, char *out, size_t max, size_t *size)
{
	*size = 0;
	while (*size < max) {
		ssize_t n = read(fd, out + *size, max - *size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		*size += n;
	}
	return 0;
}

int tmk_read_file(const char *path, size_t max, char **out, struct tmk_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;
	size_t size;
	char *text;

	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot open %s", path);
	text = malloc(max + 1);
	if (!text) {
		ret = tmk_error_sys(err, -ENOMEM, "cannot read %s", path);
		goto out_close;
	}
	ret = read_all(fd, text, max + 1, &size);
	if (ret)
		tmk_error_sys(err, ret, "cannot read %s", path);
	else if (size > max)
		ret = tmk_error_set(err, -EFBIG, "%s is larger than %zu bytes: not the file that belongs there", path, max);
	else if (memchr(text, 0, size))
		ret = tmk_error_set(err, -EINVAL, "%s holds a zero byte: it is damaged or not a text file", path);
	if (ret)
		free(text);
	else {
		text[size] = 0;
		*out = text;
	}
out_close:
	close(fd);
	return ret;
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= n;
	}
	return 0;
}

static int flush_directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char directory[4096];
	int fd, ret = 0;

	if (!slash)
		strcpy(directory, ".");
	else if (tmk_path(directory, sizeof(directory), "%.*s", slash == path ? 1 : (int)(slash - path), path))
		return -ENAMETOOLONG;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd))
		ret = -errno;
	close(fd);
	return ret;
}

int tmk_write_file(const char *path, const void *data, size_t size, mode_t mode, struct tmk_error *err)
{
	char temporary[4096];
	int fd, ret;

	ret = tmk_path(temporary, sizeof(temporary), "%s.XXXXXX", path);
	if (ret)
		return tmk_error_sys(err, ret, "cannot write %.200s", path);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot write %s", path);
	ret = write_all(fd, data, size);
	if (!ret && (fchmod(fd, mode) || fsync(fd)))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	if (!ret && rename(temporary, path))
		ret = -errno;
	if (ret) {
		unlink(temporary);
		return tmk_error_sys(err, ret, "cannot write %s", path);
	}
	ret = flush_directory_of(path);
	if (ret)
		return tmk_error_sys(err, ret, "cannot make %s durable", path);
	return 0;
}

static int make_directory(const char *path, mode_t mode)
{
	struct stat st;

	if (!mkdir(path, mode))
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st))
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int tmk_mkdirs(const char *path, mode_t mode, struct tmk_error *err)
{
	char part[4096];
	int ret = tmk_path(part, sizeof(part), "%s", path);

	for (char *slash = part; !ret && *part && (slash = strchr(slash + 1, '/'));) {
		*slash = 0;
		ret = make_directory(part, mode);
		*slash = '/';
	}
	if (!ret)
		ret = make_directory(part, mode);
	if (ret)
		return tmk_error_sys(err, ret, "cannot make the directory %.400s", path);
	return 0;
}

int tmk_path(char *out, size_t size, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out, size, format, args);
	va_end(args);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}
