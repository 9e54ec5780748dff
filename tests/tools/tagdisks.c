/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a verify cannot beat on one machine: reads some disks or files at once, around the page cache, and does nothing else, or
 * only computes the tags that a verify would. tagdisks read|tag FILE... A process for each, and in it a few threads that share
 * its bytes out in parts of 1 MiB, into huge pages, as the applier reads. Prints the seconds. What does not fill a whole part at
 * the end is left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "piece.h"

#define PART (1u << 20)
#define HUGE (2u << 20)
#define THREADS 3

struct disk {
	const char *name;
	bool tag;
	int fd;
	uint64_t size;
	atomic_ullong next;
};

static _Noreturn void die(const char *what, const char *name)
{
	fprintf(stderr, "tagdisks: cannot %s %s: %s\n", what, name, strerror(errno));
	exit(1);
}

static void *work(void *context)
{
	struct disk *d = context;
	struct tmk_tagger *tagger;
	uint8_t *data = aligned_alloc(HUGE, HUGE), body[TMK_TAG_KEY + PART / TMK_PIECE * TMK_TAG_SIZE];

	if (!data || tmk_tagger_new(&tagger))
		die("allocate for", d->name);
	madvise(data, HUGE, MADV_HUGEPAGE);
	for (uint64_t at; (at = atomic_fetch_add(&d->next, PART)) + PART <= d->size;) {
		if (pread(d->fd, data, PART, (off_t)at) != PART)
			die("read", d->name);
		if (d->tag)
			tmk_tagger_body(tagger, at, data, PART, body);
	}
	tmk_tagger_free(tagger);
	free(data);
	return NULL;
}

static _Noreturn void one(struct disk *d)
{
	pthread_t threads[THREADS];

	d->fd = open(d->name, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (d->fd < 0)
		die("open", d->name);
	d->size = (uint64_t)lseek(d->fd, 0, SEEK_END);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, d))
			die("start threads for", d->name);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	exit(0);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	bool tag = argc > 2 && !strcmp(argv[1], "tag");
	int status, failed = 0;
	double start = now();

	if (argc < 3 || (!tag && strcmp(argv[1], "read"))) {
		fprintf(stderr, "usage: tagdisks read|tag FILE...\n");
		return 64;
	}
	for (int i = 2; i < argc; i++)
		if (!fork())
			one(&(struct disk){.name = argv[i], .tag = tag});
	while (wait(&status) > 0)
		failed |= status;
	if (failed)
		return 1;
	printf("%.3f\n", now() - start);
	return 0;
}
