/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A workload for end-to-end tests: writes pseudo-random content into random blocks of its own range of a device or file, one
 * write of a block at a time, so that what the disk holds at the end has one meaning. SIGTERM and SIGINT end it: the write
 * under way is finished, everything is made durable, exit 0. Prints what it did as one line of JSON.
 *
 *   writer PATH --length N [--offset 0] [--block 4096] [--seed 1] [--count N | --seconds N] [--mode pwrite|direct|mmap|uring]
 *          [--pause MS] [--discard] [--zero] [--nowait] [--buffered]
 *
 * A file that is missing or too short is made and made longer. Every eighth operation is a discard (--discard), a write of zeroes
 * (--zero), or one by turns. Without count and seconds it runs until it is told to stop. Numbers take K, M and G.
 *
 * Of uring: --nowait: RWF_NOWAIT; what the kernel does not take at once (EAGAIN) is not written, and counted. --buffered: through
 * the page cache.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <liburing.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define QUEUE 8
#define FLUSH_EVERY 256

enum mode { PWRITE, DIRECT, MMAP, URING };
static const char *const mode_names[] = {"pwrite", "direct", "mmap", "uring"};

struct writer {
	const char *path;
	uint64_t offset, length, block, seed, count, seconds, pause_ms;
	enum mode mode;
	bool discard, zero, nowait, buffered;

	int fd;
	bool device;
	uint64_t random, done, written, again, discards, zeroes;
	uint8_t *buffer; /* QUEUE blocks */
	uint8_t *map;
	struct io_uring ring;
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "writer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static _Noreturn void usage(const char *what)
{
	fprintf(stderr, "writer: %s; see the beginning of tests/tools/writer.c\n", what);
	exit(2);
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (*end == 'K')
		n <<= 10, end++;
	else if (*end == 'M')
		n <<= 20, end++;
	else if (*end == 'G')
		n <<= 30, end++;
	if (errno || end == text || *end)
		usage("not a number");
	return n;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static enum mode parse_mode(const char *text)
{
	for (int i = 0; i < 4; i++)
		if (!strcmp(text, mode_names[i]))
			return (enum mode)i;
	usage("no such mode");
}

static void parse(struct writer *w, int argc, char **argv)
{
	static const struct option options[] = {
		{"offset", 1, NULL, 'o'},  {"length", 1, NULL, 'l'},  {"block", 1, NULL, 'b'},	{"seed", 1, NULL, 's'},
		{"count", 1, NULL, 'c'},   {"seconds", 1, NULL, 't'}, {"mode", 1, NULL, 'm'},	{"pause", 1, NULL, 'p'},
		{"discard", 0, NULL, 'd'}, {"zero", 0, NULL, 'z'},    {"nowait", 0, NULL, 'n'}, {"buffered", 0, NULL, 'u'},
		{NULL, 0, NULL, 0},
	};
	int c;

	*w = (struct writer){.block = 4096, .seed = 1};
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 'o':
			w->offset = number(optarg);
			break;
		case 'l':
			w->length = number(optarg);
			break;
		case 'b':
			w->block = number(optarg);
			break;
		case 's':
			w->seed = number(optarg);
			break;
		case 'c':
			w->count = number(optarg);
			break;
		case 't':
			w->seconds = number(optarg);
			break;
		case 'm':
			w->mode = parse_mode(optarg);
			break;
		case 'p':
			w->pause_ms = number(optarg);
			break;
		case 'd':
			w->discard = true;
			break;
		case 'z':
			w->zero = true;
			break;
		case 'n':
			w->nowait = true;
			break;
		case 'u':
			w->buffered = true;
			break;
		default:
			usage("unknown option");
		}
	if (optind != argc - 1)
		usage("one path is needed");
	w->path = argv[optind];
	if (w->mode != URING && (w->nowait || w->buffered))
		usage("--nowait and --buffered are of the mode uring");
	if (!w->block || w->block % 8 || w->block > 64 << 20 || w->length < w->block)
		usage("the block must be a multiple of 8, at most 64M, and fit into the length");
}

static void check_size(const struct writer *w, const struct stat *st)
{
	uint64_t size = (uint64_t)st->st_size;

	if (w->device && ioctl(w->fd, BLKGETSIZE64, &size))
		die("cannot ask for the size");
	if (w->offset > size || w->length > size - w->offset)
		usage("the range goes beyond the end");
}

static void set_up(struct writer *w)
{
	bool direct = w->mode == DIRECT || (w->mode == URING && !w->buffered);
	int create = strncmp(w->path, "/dev/", 5) || !strncmp(w->path, "/dev/shm/", 9) ? O_CREAT : 0;
	struct stat st;

	w->fd = open(w->path, O_RDWR | O_CLOEXEC | create | (direct ? O_DIRECT : 0), 0644);
	if (w->fd < 0 || fstat(w->fd, &st))
		die(w->path);
	w->device = S_ISBLK(st.st_mode);
	if (!w->device && (uint64_t)st.st_size < w->offset + w->length) {
		if (ftruncate(w->fd, (off_t)(w->offset + w->length)) || fstat(w->fd, &st))
			die(w->path);
	}
	check_size(w, &st);
	w->random = w->seed;
	if (posix_memalign((void **)&w->buffer, 4096, QUEUE * w->block))
		die("memory");
	if (w->mode == URING && io_uring_queue_init(QUEUE, &w->ring, 0) < 0)
		die("io_uring");
	if (w->mode != MMAP)
		return;
	if (w->offset % 4096)
		usage("mmap needs an offset that is a multiple of 4096");
	w->map = mmap(NULL, w->length, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, (off_t)w->offset);
	if (w->map == MAP_FAILED)
		die("mmap");
}

static void fill(struct writer *w, uint8_t *to)
{
	uint64_t state = next_random(&w->random), v;

	for (uint64_t i = 0; i < w->block; i += 8) {
		v = next_random(&state);
		memcpy(to + i, &v, 8);
	}
}

/* The start of a random block, in bytes from the start of the range. */
static uint64_t pick(struct writer *w)
{
	return next_random(&w->random) % (w->length / w->block) * w->block;
}

static void write_all(struct writer *w, uint64_t at, const uint8_t *data)
{
	for (uint64_t n = 0; n < w->block;) {
		ssize_t r = pwrite(w->fd, data + n, w->block - n, (off_t)(w->offset + at + n));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			die("write");
		n += (uint64_t)r;
	}
}

static void submit_write(struct writer *w, unsigned n, uint64_t at)
{
	uint8_t *data = w->buffer + n * w->block;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);

	fill(w, data);
	io_uring_prep_write(sqe, w->fd, data, (unsigned)w->block, w->offset + at);
	sqe->rw_flags = w->nowait ? RWF_NOWAIT : 0;
}

static void reap_write(struct writer *w)
{
	struct io_uring_cqe *cqe;
	int r;

	while ((r = io_uring_wait_cqe(&w->ring, &cqe)) == -EINTR)
		;
	if (r < 0)
		errno = -r, die("io_uring");
	if (w->nowait && cqe->res == -EAGAIN)
		w->again++;
	else if (cqe->res == (int)w->block)
		w->written += w->block;
	else
		errno = cqe->res < 0 ? -cqe->res : EIO, die("io_uring write");
	io_uring_cqe_seen(&w->ring, cqe);
}

/* QUEUE writes under way at once, of different blocks: overlapping ones have no order. */
static void write_many(struct writer *w)
{
	uint64_t at[QUEUE], want = w->length / w->block < QUEUE ? w->length / w->block : QUEUE;
	unsigned n = 0;

	if (w->count && w->count - w->done < want)
		want = w->count - w->done;
	/* A file's times would have to be updated, and for that a write waits: within the same tick they need not be. */
	if (w->nowait && w->buffered && futimens(w->fd, NULL))
		die("cannot set the file's times");
	while (n < want) {
		bool taken = false;

		at[n] = pick(w);
		for (unsigned i = 0; i < n; i++)
			taken |= at[i] == at[n];
		if (taken)
			continue;
		submit_write(w, n, at[n]);
		n++;
	}
	for (int r; (r = io_uring_submit(&w->ring)) < 0;)
		if (r != -EINTR && r != -EAGAIN)
			errno = -r, die("submit");
	for (unsigned i = 0; i < n; i++)
		reap_write(w);
	w->done += n;
}

static void write_one(struct writer *w)
{
	uint64_t at = pick(w);

	if (w->mode == URING) {
		write_many(w);
		return;
	}
	fill(w, w->buffer);
	if (w->mode == MMAP)
		memcpy(w->map + at, w->buffer, w->block);
	else
		write_all(w, at, w->buffer);
	w->done++;
	w->written += w->block;
}

static void flush(struct writer *w)
{
	if (w->map && msync(w->map, w->length, MS_SYNC))
		die("msync");
	if (fdatasync(w->fd))
		die("fdatasync");
}

static void punch(struct writer *w, bool discard)
{
	uint64_t range[2] = {w->offset + pick(w), w->block};
	int r;

	/* dirty pages over the range would be written back later, and the order would be anybody's */
	flush(w);
	if (w->device)
		r = ioctl(w->fd, discard ? BLKDISCARD : BLKZEROOUT, range);
	else
		r = fallocate(w->fd, FALLOC_FL_KEEP_SIZE | (discard ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE),
			      (off_t)range[0], (off_t)range[1]);
	if (r && !discard && errno == EOPNOTSUPP) {
		/* tmpfs */
		memset(w->buffer, 0, w->block);
		write_all(w, range[0] - w->offset, w->buffer);
	} else if (r) {
		die(discard ? "discard" : "write of zeroes");
	}
	w->done++;
	w->discards += discard;
	w->zeroes += !discard;
}

static void run(struct writer *w)
{
	struct timespec pause = {(time_t)(w->pause_ms / 1000), (long)(w->pause_ms % 1000) * 1000000};
	uint64_t end = w->seconds ? now_ms() + w->seconds * 1000 : UINT64_MAX;
	bool special = w->discard || w->zero;

	for (uint64_t i = 0; !stop && (!w->count || w->done < w->count) && now_ms() < end; i++) {
		if (special && i % 8 == 7)
			punch(w, w->discard && (!w->zero || i % 16 == 7));
		else
			write_one(w);
		if (i % FLUSH_EVERY == FLUSH_EVERY - 1)
			flush(w);
		if (w->pause_ms)
			nanosleep(&pause, NULL);
	}
	flush(w);
}

int main(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = on_signal};
	struct writer w;

	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	parse(&w, argc, argv);
	set_up(&w);
	run(&w);
	printf("{\"mode\": \"%s\", \"operations\": %llu, \"bytes\": %llu, \"again\": %llu, \"discards\": %llu, \"zeroes\": "
	       "%llu}\n",
	       mode_names[w.mode], (unsigned long long)w.done, (unsigned long long)w.written, (unsigned long long)w.again,
	       (unsigned long long)w.discards, (unsigned long long)w.zeroes);
	if (w.mode == URING)
		io_uring_queue_exit(&w.ring);
	if (w.map)
		munmap(w.map, w.length);
	free(w.buffer);
	return fflush(stdout) || close(w.fd) ? 1 : 0;
}
