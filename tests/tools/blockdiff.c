/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many blocks of 4 KiB differ between two files of one size: blockdiff FILE FILE. Prints their number. Exit 0 also if there
 * are some.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096
#define PIECE (1u << 20)

/* A piece, shorter only at the end of the file. */
static ssize_t read_piece(int fd, char *out)
{
	size_t got = 0;
	ssize_t n;

	do {
		n = read(fd, out + got, PIECE - got);
		got += n > 0 ? (size_t)n : 0;
	} while (n > 0 && got < PIECE);
	return n < 0 ? -1 : (ssize_t)got;
}

static uint64_t differing(const char *a, const char *b, size_t size)
{
	uint64_t count = 0;

	for (size_t at = 0; at < size; at += BLOCK)
		count += !!memcmp(a + at, b + at, size - at < BLOCK ? size - at : BLOCK);
	return count;
}

int main(int argc, char **argv)
{
	static char pieces[2][PIECE];
	uint64_t count = 0;
	ssize_t got[2];
	int fds[2];

	if (argc != 3) {
		fprintf(stderr, "usage: blockdiff FILE FILE\n");
		return 2;
	}
	for (int i = 0; i < 2; i++) {
		fds[i] = open(argv[1 + i], O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0) {
			fprintf(stderr, "blockdiff: %s: %s\n", argv[1 + i], strerror(errno));
			return 1;
		}
	}
	do {
		for (int i = 0; i < 2; i++)
			got[i] = read_piece(fds[i], pieces[i]);
		if (got[0] < 0 || got[0] != got[1]) {
			fprintf(stderr, "blockdiff: a read failed, or the files are not of one size\n");
			return 1;
		}
		count += differing(pieces[0], pieces[1], (size_t)got[0]);
	} while (got[0]);
	printf("%" PRIu64 "\n", count);
	return 0;
}
