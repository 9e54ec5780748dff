/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the harnesses share. Each is a file with LLVMFuzzerTestOneInput(), run by libFuzzer (scripts/fuzz) and, over the corpus,
 * by replay.c (make check). An input decides everything: nothing is kept from one to the next.
 */
#ifndef TMK_FUZZ_H
#define TMK_FUZZ_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A finding. */
#define REQUIRE(condition)                                                                                                       \
	do {                                                                                                                     \
		if (!(condition)) {                                                                                              \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                  \
			abort();                                                                                                 \
		}                                                                                                                \
	} while (0)

/* In lib/log.c's place: what is refused by the thousand is not worth a line each. */
void tmk_log_open(const char *program, enum tmk_log_level level)
{
	(void)program, (void)level;
}
void tmk_log(enum tmk_log_level level, const char *format, ...)
{
	(void)level, (void)format;
}

/* ---- an input, taken apart from its front; zeroes behind its end ---- */

struct input {
	const uint8_t *data;
	size_t size;
};

static __attribute__((unused)) uint8_t take_u8(struct input *in)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++;
}

static __attribute__((unused)) uint16_t take_u16(struct input *in)
{
	uint16_t low = take_u8(in);

	return low | take_u8(in) << 8;
}

/* At most `most` bytes; *size says how many there were. */
static __attribute__((unused)) const uint8_t *take_span(struct input *in, size_t most, size_t *size)
{
	const uint8_t *at = in->data;

	*size = most < in->size ? most : in->size;
	in->data += *size;
	in->size -= *size;
	return at;
}

/* A copy without a spare byte behind it, so that ASan sees the first one too many. */
static __attribute__((unused)) void *exact(const void *data, size_t size)
{
	void *copy = calloc(1, size ? size : 1);

	REQUIRE(copy);
	if (size)
		memcpy(copy, data, size);
	return copy;
}

/* ---- a directory in memory, emptied for each input ---- */

static char scratch[80];

static __attribute__((unused)) void scratch_remove(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf '%s'", scratch);
	if (system(command))
		fprintf(stderr, "%s is left\n", scratch);
}

static __attribute__((unused)) const char *scratch_path(void)
{
	if (!scratch[0]) {
		const char *parent = getenv("TIDEMARK_FUZZ_DIR"); /* libFuzzer ends without atexit(): its caller cleans up */

		REQUIRE(snprintf(scratch, sizeof(scratch), "%s/tidemark-fuzz-XXXXXX", parent ? parent : "/dev/shm") <
			(int)sizeof(scratch));
		REQUIRE(mkdtemp(scratch));
		atexit(scratch_remove);
	}
	return scratch;
}

static __attribute__((unused)) int scratch_dir(void)
{
	int fd = open(scratch_path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	REQUIRE(fd >= 0);
	return fd;
}

/* Files only. */
static __attribute__((unused)) void scratch_clear(int dir)
{
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *e;

	REQUIRE(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dir, e->d_name, 0);
	closedir(d);
}

static __attribute__((unused)) void file_put(int dir, const char *name, const void *data, size_t size)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	REQUIRE(fd >= 0);
	REQUIRE(!size || write(fd, data, size) == (ssize_t)size);
	close(fd);
}

/* A file without a name that holds the bytes. */
static __attribute__((unused)) int file_of(const void *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	REQUIRE(fd >= 0);
	REQUIRE(!size || pwrite(fd, data, size, 0) == (ssize_t)size);
	return fd;
}

#endif
