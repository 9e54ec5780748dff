/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes whose contents tell their order, and what a point has of them (I3). Entry N is a sector that says N, written and
 * completed (O_DIRECT) before entry N + 1 begins, on the disks by turns, at a place that N alone decides.
 *
 *   ledger write FIRST PAUSE DISK...      entries from FIRST on, and after each a pause (µs), until there is no more room or it
 * is killed; after each one N goes to stdout, in a line ledger check DISK...                  the same disks, or images: they
 * hold the entries up to some N and none behind it: prints N
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>

#define SECTOR 512
#define MAGIC 0x72656764656cull

struct entry {
	uint64_t magic, number, again;
	uint8_t rest[SECTOR - 24];
};

static int disks[32], disk_count;
static uint64_t sectors; /* of the smallest disk */

static void die(const char *what)
{
	fprintf(stderr, "ledger: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t size_of(int fd)
{
	struct stat s;
	uint64_t size;

	if (fstat(fd, &s))
		die("stat");
	if (S_ISREG(s.st_mode))
		return (uint64_t)s.st_size;
	if (ioctl(fd, BLKGETSIZE64, &size))
		die("size");
	return size;
}

static void open_all(char **paths, int flags)
{
	for (; *paths && disk_count < 32; paths++) {
		disks[disk_count] = open(*paths, flags);
		if (disks[disk_count] < 0)
			die(*paths);
		if (!sectors || size_of(disks[disk_count]) / SECTOR < sectors)
			sectors = size_of(disks[disk_count]) / SECTOR;
		disk_count++;
	}
}

/* Each place once: 7919 is prime, and no disk's number of sectors is a multiple of it. */
static off_t place(uint64_t n)
{
	return (off_t)(n / (uint64_t)disk_count * 7919 % sectors * SECTOR);
}

static int disk_of(uint64_t n)
{
	return disks[n % (uint64_t)disk_count];
}

static void write_all(uint64_t n, unsigned pause)
{
	struct entry *e = aligned_alloc(4096, 4096);

	if (!e)
		die("memory");
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (; n < sectors * (uint64_t)disk_count; n++) {
		memset(e, (int)(n % 251), sizeof(*e));
		e->magic = MAGIC;
		e->number = e->again = n;
		if (pwrite(disk_of(n), e, SECTOR, place(n)) != SECTOR)
			die("write");
		printf("%" PRIu64 "\n", n);
		usleep(pause);
	}
	free(e);
}

static bool has(uint64_t n)
{
	struct entry e;

	if (pread(disk_of(n), &e, SECTOR, place(n)) != SECTOR)
		die("read");
	return e.magic == MAGIC && e.number == n && e.again == n;
}

/* From 1 on: up to the first that is missing, and then there must be no other one for as far as anybody can have written. */
static int check(void)
{
	uint64_t n = 1, end;

	while (n < sectors * (uint64_t)disk_count && has(n))
		n++;
	end = n + 200000 < sectors * (uint64_t)disk_count ? n + 200000 : sectors * (uint64_t)disk_count;
	for (uint64_t later = n + 1; later < end; later++)
		if (has(later)) {
			fprintf(stderr, "ledger: entry %" PRIu64 " is there, and %" PRIu64 " is not\n", later, n);
			return 1;
		}
	printf("%" PRIu64 "\n", n - 1);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 5 && !strcmp(argv[1], "write")) {
		open_all(argv + 4, O_RDWR | O_DIRECT);
		write_all(strtoull(argv[2], NULL, 10), (unsigned)atoi(argv[3]));
		return 0;
	}
	if (argc >= 3 && !strcmp(argv[1], "check")) {
		open_all(argv + 2, O_RDONLY);
		return check();
	}
	fprintf(stderr, "usage: see tests/tools/ledger.c\n");
	return 64;
}
