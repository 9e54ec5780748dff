/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one I/O of 4 KiB costs: blockcost DEVICE read|write COUNT. One after another with O_DIRECT, over the device from its start
 * and again when it ends. Prints nanoseconds per I/O; under qemu -icount (scripts/vm --icount) these are instructions. Contents
 * are lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define WARM 500 /* what happens only the first time does not count */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int run(int fd, int writing, void *block, uint64_t from, uint64_t count, uint64_t blocks)
{
	for (uint64_t i = from; i < from + count; i++) {
		off_t at = (off_t)(i % blocks * BLOCK);

		if ((writing ? pwrite(fd, block, BLOCK, at) : pread(fd, block, BLOCK, at)) != BLOCK)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	int writing = argc == 4 && !strcmp(argv[2], "write");
	uint64_t size, count = argc == 4 ? strtoull(argv[3], NULL, 10) : 0, begin;
	void *block;
	int fd;

	if (!count || (!writing && strcmp(argv[2], "read"))) {
		fprintf(stderr, "usage: blockcost DEVICE read|write COUNT\n");
		return 2;
	}
	fd = open(argv[1], (writing ? O_WRONLY : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) || size < BLOCK || posix_memalign(&block, BLOCK, BLOCK)) {
		fprintf(stderr, "blockcost: cannot use %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	memset(block, 0xa5, BLOCK);
	if (run(fd, writing, block, 0, WARM, size / BLOCK))
		goto failed;
	begin = now_ns();
	if (run(fd, writing, block, WARM, count, size / BLOCK))
		goto failed;
	printf("%.1f\n", (double)(now_ns() - begin) / (double)count);
	close(fd);
	free(block);
	return 0;
failed:
	fprintf(stderr, "blockcost: %s: %s\n", argv[1], strerror(errno));
	return 1;
}
