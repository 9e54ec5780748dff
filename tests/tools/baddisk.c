/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk that fails when it is told to: serves FILE as the file MOUNTED (FUSE, spoken here, without a library), to put a loop
 * device on. It has a write cache, as disks have: what was written since the last flush is gone when a flush fails (R13).
 *
 *   baddisk FILE MOUNTED FAULTS
 *
 * FAULTS is looked at before each request; none there: a good disk. Its lines: read|write|flush ERRNO [COUNT], where ERRNO is
 * EIO or ENOSPC and COUNT how many requests fail, all of them if it is not given. Put it there by a rename: the counts begin anew
 * with each new file. Says each request that it failed: "write 4096 at 8192". Ends when MOUNTED is unmounted.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define BLOCK 4096
#define WRITE_MAX (128u << 10)
#define MINOR 31 /* of the protocol: what is used here has been the same since */

enum kind { READ, WRITE, FLUSH, KINDS };
static const char *const kind_names[KINDS] = {"read", "write", "flush"};

struct disk {
	int fuse;
	uint8_t *data;
	uint64_t size;
	uint8_t **kept; /* of each block written since the last flush: what it held then */
	const char *path;
	struct stat seen; /* FAULTS, when it was read */
	bool any;	  /* is there one? */
	int error[KINDS]; /* errno; 0: none */
	long left[KINDS]; /* requests to fail */
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "baddisk: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- faults ---- */

static void read_line(struct disk *d, const char *line)
{
	char kind[16], error[16];
	long count = LONG_MAX;

	if (sscanf(line, "%15s %15s %ld", kind, error, &count) < 2)
		return;
	for (int i = 0; i < KINDS; i++)
		if (!strcmp(kind, kind_names[i])) {
			d->error[i] = !strcmp(error, "ENOSPC") ? ENOSPC : EIO;
			d->left[i] = count;
		}
}

static void look_at_faults(struct disk *d)
{
	char line[100];
	struct stat st;
	FILE *f;

	if (stat(d->path, &st)) {
		d->any = false;
		return;
	}
	if (d->any && st.st_ino == d->seen.st_ino && st.st_mtim.tv_sec == d->seen.st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == d->seen.st_mtim.tv_nsec)
		return;
	f = fopen(d->path, "re");
	if (!f)
		return;
	memset(d->error, 0, sizeof(d->error));
	while (fgets(line, sizeof(line), f))
		read_line(d, line);
	fclose(f);
	d->seen = st;
	d->any = true;
}

/* The errno that this request is to fail with, negative; or 0. */
static int strike(struct disk *d, enum kind kind, uint64_t offset, uint32_t size)
{
	look_at_faults(d);
	if (!d->any || !d->error[kind] || !d->left[kind])
		return 0;
	d->left[kind]--;
	printf("%s %u at %llu\n", kind_names[kind], size, (unsigned long long)offset);
	return -d->error[kind];
}

/* ---- the cache ---- */

static void keep(struct disk *d, uint64_t offset, uint32_t size)
{
	for (uint64_t block = offset / BLOCK; block * BLOCK < offset + size; block++) {
		uint64_t left = d->size - block * BLOCK;

		if (d->kept[block])
			continue;
		d->kept[block] = malloc(BLOCK);
		if (!d->kept[block])
			die("no memory");
		memcpy(d->kept[block], d->data + block * BLOCK, left < BLOCK ? left : BLOCK);
	}
}

static void end_cache(struct disk *d, bool lost)
{
	for (uint64_t block = 0; block * BLOCK < d->size; block++) {
		uint64_t left = d->size - block * BLOCK;

		if (lost && d->kept[block])
			memcpy(d->data + block * BLOCK, d->kept[block], left < BLOCK ? left : BLOCK);
		free(d->kept[block]);
		d->kept[block] = NULL;
	}
}

/* ---- requests ---- */

static void answer(struct disk *d, const struct fuse_in_header *in, int error, const void *body, size_t size)
{
	struct fuse_out_header out = {.len = (uint32_t)(sizeof(out) + (error ? 0 : size)), .error = error, .unique = in->unique};
	struct iovec parts[2] = {{&out, sizeof(out)}, {(void *)(uintptr_t)body, error ? 0 : size}};

	if (writev(d->fuse, parts, 2) < 0 && errno != ENOENT && errno != ENODEV)
		die("cannot answer the kernel");
}

static bool inside(const struct disk *d, uint64_t offset, uint32_t size)
{
	return offset <= d->size && size <= d->size - offset;
}

static void do_init(struct disk *d, const struct fuse_in_header *in)
{
	const struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = MINOR,
		.flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES,
		.max_write = WRITE_MAX,
		.max_pages = WRITE_MAX / BLOCK,
		.max_background = 32,
		.congestion_threshold = 32,
	};

	answer(d, in, 0, &out, sizeof(out));
}

static void do_attributes(struct disk *d, const struct fuse_in_header *in)
{
	const struct fuse_attr_out out = {
		.attr_valid = 1,
		.attr = {.ino = 1,
			 .size = d->size,
			 .blocks = d->size / 512,
			 .mode = S_IFREG | 0600,
			 .nlink = 1,
			 .blksize = BLOCK},
	};

	answer(d, in, 0, &out, sizeof(out));
}

static void do_read(struct disk *d, const struct fuse_in_header *in, const struct fuse_read_in *read_in)
{
	uint64_t left = read_in->offset < d->size ? d->size - read_in->offset : 0;
	uint32_t size = read_in->size < left ? read_in->size : (uint32_t)left;

	answer(d, in, strike(d, READ, read_in->offset, size), d->data + (left ? read_in->offset : 0), size);
}

static void do_write(struct disk *d, const struct fuse_in_header *in, const struct fuse_write_in *write_in)
{
	const struct fuse_write_out out = {.size = write_in->size};
	int error = inside(d, write_in->offset, write_in->size) ? strike(d, WRITE, write_in->offset, write_in->size) : -EFBIG;

	if (!error) {
		keep(d, write_in->offset, write_in->size);
		memcpy(d->data + write_in->offset, write_in + 1, write_in->size);
	}
	answer(d, in, error, &out, sizeof(out));
}

static void do_flush(struct disk *d, const struct fuse_in_header *in)
{
	int error = strike(d, FLUSH, 0, 0);

	end_cache(d, error);
	answer(d, in, error, NULL, 0);
}

static void serve(struct disk *d, const struct fuse_in_header *in)
{
	static const struct fuse_open_out opened;
	static const struct fuse_statfs_out statfs_out = {.st = {.bsize = BLOCK, .namelen = 255, .frsize = BLOCK}};

	switch (in->opcode) {
	case FUSE_INIT:
		return do_init(d, in);
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		return do_attributes(d, in);
	case FUSE_OPEN:
		return answer(d, in, 0, &opened, sizeof(opened));
	case FUSE_READ:
		return do_read(d, in, (const void *)(in + 1));
	case FUSE_WRITE:
		return do_write(d, in, (const void *)(in + 1));
	case FUSE_FSYNC:
		return do_flush(d, in);
	case FUSE_FLUSH: /* of close(2) */
	case FUSE_RELEASE:
	case FUSE_DESTROY:
		return answer(d, in, 0, NULL, 0);
	case FUSE_STATFS:
		return answer(d, in, 0, &statfs_out, sizeof(statfs_out));
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	}
	answer(d, in, -ENOSYS, NULL, 0);
}

/* ---- the frame ---- */

static void open_file(struct disk *d, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die(path);
	d->size = (uint64_t)st.st_size;
	d->data = mmap(NULL, d->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (d->data == MAP_FAILED)
		die(path);
	close(fd);
	d->kept = calloc(d->size / BLOCK + 1, sizeof(*d->kept));
	if (!d->kept)
		die("no memory");
}

static void mount_it(struct disk *d, const char *where)
{
	char options[100];

	d->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (d->fuse < 0)
		die("/dev/fuse");
	snprintf(options, sizeof(options), "fd=%d,rootmode=100600,user_id=0,group_id=0,allow_other", d->fuse);
	if (mount("baddisk", where, "fuse", MS_NOSUID | MS_NODEV, options))
		die("cannot mount");
}

int main(int argc, char **argv)
{
	static uint8_t buffer[WRITE_MAX + 2 * BLOCK] __attribute__((aligned(8)));
	struct disk d = {0};
	ssize_t size;

	if (argc != 4) {
		fputs("usage: baddisk FILE MOUNTED FAULTS; see the beginning of tests/tools/baddisk.c\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	open_file(&d, argv[1]);
	d.path = argv[3];
	mount_it(&d, argv[2]);
	for (;;) {
		size = read(d.fuse, buffer, sizeof(buffer));
		if (size >= (ssize_t)sizeof(struct fuse_in_header))
			serve(&d, (const void *)buffer);
		else if (size < 0 && errno == ENODEV)
			return 0;
		else if (size < 0 && errno != EINTR && errno != EAGAIN && errno != ENOENT)
			die("/dev/fuse");
	}
}
