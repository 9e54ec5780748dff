/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See reader.h. A slot is a buffer and the read that fills it; at most one request of a slot is in the ring: the part of the read
 * that is next (parts.h). The eventfd is drained only when no completion is left, so that poll(2) never sleeps over one.
 */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/ioprio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "parts.h"
#include "rate.h"
#include "wire.h"

#define BUFFER_ALIGNMENT 4096
#define DEPTH_MAX 1024

struct slot {
	enum { FREE, READING, CALLERS } state;
	struct tmk_read read;
	bool hurry;
	struct tmk_parts parts; /* the one on top is under way */
};

struct tmk_reader_ring {
	struct io_uring ring;
	int event;
	unsigned depth, busy, free_count, disk_count;
	bool draining; /* nothing is tried again */
	struct tmk_rate rate;
	uint8_t *memory;
	struct slot *slots;
	uint32_t *free_list;
	int files[TMK_DISKS_MAX];
	uint32_t sectors[TMK_DISKS_MAX];
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* ---- opening ---- */
static int ring_error(struct tmk_error *err, int code)
{
	if (code == -EPERM)
		return tmk_error_set(err, code,
				     "io_uring is forbidden here: set the sysctl kernel.io_uring_disabled to 0 or 1, or "
				     "lift the seccomp filter of the container");
	if (code == -ENOSYS)
		return tmk_error_set(err, code, "this kernel has no io_uring (CONFIG_IO_URING)");
	if (code == -ENOMEM)
		return tmk_error_set(err, code,
				     "not enough memory that may be locked for disk reads: raise the limit (ulimit -l, "
				     "LimitMEMLOCK= of the service)");
	return tmk_error_sys(err, code, "cannot set up io_uring");
}

static void raise_memlock(size_t bytes)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_MEMLOCK, &lim) || lim.rlim_cur == RLIM_INFINITY)
		return;
	lim.rlim_cur += bytes;
	if (lim.rlim_max != RLIM_INFINITY && lim.rlim_max < lim.rlim_cur)
		lim.rlim_max = lim.rlim_cur;
	setrlimit(RLIMIT_MEMLOCK, &lim);
}

static int register_buffers(struct tmk_reader_ring *r)
{
	struct iovec *v = calloc(r->depth, sizeof(*v));
	int ret;

	if (!v)
		return -ENOMEM;
	for (unsigned i = 0; i < r->depth; i++)
		v[i] = (struct iovec){.iov_base = r->memory + (size_t)i * TMK_READ_MAX, .iov_len = TMK_READ_MAX};
	ret = io_uring_register_buffers(&r->ring, v, r->depth);
	if (ret == -ENOMEM) {
		raise_memlock((size_t)r->depth * TMK_READ_MAX);
		ret = io_uring_register_buffers(&r->ring, v, r->depth);
	}
	free(v);
	return ret;
}

static int set_up(struct tmk_reader_ring *r)
{
	size_t bytes = (size_t)r->depth * TMK_READ_MAX;
	int ret;

	for (unsigned i = 0; i < TMK_DISKS_MAX; i++)
		r->files[i] = -1;
	r->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (r->memory == MAP_FAILED) {
		r->memory = NULL;
		return -ENOMEM;
	}
	/* a child (scripts, the freezer) must not make the parent's pinned pages copy-on-write */
	madvise(r->memory, bytes, MADV_DONTFORK);
	ret = register_buffers(r);
	if (!ret)
		ret = io_uring_register_files(&r->ring, r->files, TMK_DISKS_MAX);
	if (!ret)
		ret = io_uring_register_eventfd(&r->ring, r->event);
	return ret;
}

int tmk_reader_open(struct tmk_reader_ring **out, unsigned depth, uint64_t rate, struct tmk_error *err)
{
	struct tmk_reader_ring *r;
	int ret;

	if (!depth || depth > DEPTH_MAX)
		return tmk_error_set(err, -EINVAL, "a depth of %u reads is not possible: 1 to %u", depth, DEPTH_MAX);
	r = calloc(1, sizeof(*r));
	if (!r)
		return tmk_error_sys(err, -ENOMEM, "cannot open the disk reader");
	r->depth = r->free_count = depth;
	r->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->slots = calloc(depth, sizeof(*r->slots));
	r->free_list = calloc(depth, sizeof(*r->free_list));
	ret = r->event < 0 ? -errno : r->slots && r->free_list ? io_uring_queue_init(depth, &r->ring, 0) : -ENOMEM;
	if (ret) {
		r->ring.ring_fd = -1;
		tmk_reader_close(r);
		return ring_error(err, ret);
	}
	ret = set_up(r);
	if (ret) {
		tmk_reader_close(r);
		return ring_error(err, ret);
	}
	for (unsigned i = 0; i < depth; i++)
		r->free_list[i] = depth - 1 - i;
	tmk_rate_set(&r->rate, rate, now_ns());
	*out = r;
	return 0;
}

void tmk_reader_close(struct tmk_reader_ring *r)
{
	if (!r)
		return;
	if (r->ring.ring_fd >= 0) {
		/* the kernel writes into the buffers as long as a read is under way */
		tmk_reader_drain(r);
		io_uring_queue_exit(&r->ring);
	}
	for (unsigned i = 0; i < r->disk_count; i++)
		close(r->files[i]);
	if (r->memory)
		munmap(r->memory, (size_t)r->depth * TMK_READ_MAX);
	if (r->event >= 0)
		close(r->event);
	free(r->slots);
	free(r->free_list);
	free(r);
}

int tmk_reader_add(struct tmk_reader_ring *r, const char *path, uint32_t sector, struct tmk_error *err)
{
	int fd, ret;

	if (r->disk_count == TMK_DISKS_MAX)
		return tmk_error_set(err, -E2BIG, "more than %u disks in one protection", TMK_DISKS_MAX);
	if (sector < TMK_SECTOR || sector > BUFFER_ALIGNMENT || (sector & (sector - 1)))
		return tmk_error_set(err, -EINVAL, "%s has sectors of %u bytes: Tidemark knows 512 to 4096", path, sector);
	fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot open %s for direct reads", path);
	ret = io_uring_register_files_update(&r->ring, r->disk_count, &fd, 1);
	if (ret != 1) {
		close(fd);
		return tmk_error_sys(err, ret < 0 ? ret : -EIO, "cannot hand %s to io_uring", path);
	}
	r->sectors[r->disk_count] = sector;
	r->files[r->disk_count++] = fd;
	return 0;
}

int tmk_reader_reopen(struct tmk_reader_ring *r, uint16_t disk, const char *path, struct tmk_error *err)
{
	int fd, ret;

	if (disk >= r->disk_count || r->busy)
		return tmk_error_set(err, -EBUSY, "disk %u cannot be opened again now", disk);
	fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return tmk_error_sys(err, -errno, "cannot open %s for direct reads", path);
	ret = io_uring_register_files_update(&r->ring, disk, &fd, 1);
	if (ret != 1) {
		close(fd);
		return tmk_error_sys(err, ret < 0 ? ret : -EIO, "cannot hand %s to io_uring", path);
	}
	close(r->files[disk]);
	r->files[disk] = fd;
	return 0;
}

void tmk_reader_set_rate(struct tmk_reader_ring *r, uint64_t rate)
{
	tmk_rate_set(&r->rate, rate, now_ns());
}

/* ---- reading ---- */
/* Busy and interrupted only put it off: what is queued goes with the next call. */
static int push(struct tmk_reader_ring *r)
{
	int ret = io_uring_submit(&r->ring);

	return ret >= 0 || ret == -EAGAIN || ret == -EBUSY || ret == -EINTR ? 0 : ret;
}

/* Queues the part on top of the slot's stack. A slot has one request in a ring of `depth` entries: there is always room. */
static void queue(struct tmk_reader_ring *r, struct slot *s)
{
	const struct tmk_part *p = tmk_parts_top(&s->parts);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

	if (!sqe)
		abort();
	io_uring_prep_read_fixed(sqe, s->read.disk, s->read.data + p->at, p->length, s->read.offset + p->at, (int)s->read.buffer);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->ioprio = s->hurry ? IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 4) : IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0);
	io_uring_sqe_set_data(sqe, s);
}

static bool valid(const struct tmk_reader_ring *r, uint16_t disk, uint64_t offset, uint32_t length)
{
	return disk < r->disk_count && !(offset % BUFFER_ALIGNMENT) && length && length <= TMK_READ_MAX &&
	       !(length % r->sectors[disk]) && offset <= (uint64_t)INT64_MAX - length;
}

int tmk_reader_submit(struct tmk_reader_ring *r, uint16_t disk, uint64_t offset, uint32_t length, bool hurry,
		      struct tmk_error *err)
{
	struct slot *s;
	uint32_t i;
	int ret;

	if (!valid(r, disk, offset, length))
		return tmk_error_set(err, -EINVAL, "a read of %u bytes at %llu of disk %u is not one that the reader does",
				     length, (unsigned long long)offset, disk);
	if (!r->free_count || (!hurry && !tmk_rate_take(&r->rate, length, now_ns())))
		return -EAGAIN;
	i = r->free_list[--r->free_count];
	s = &r->slots[i];
	*s = (struct slot){.state = READING, .hurry = hurry};
	s->read.disk = disk;
	s->read.offset = offset;
	s->read.length = length;
	s->read.buffer = i;
	s->read.data = r->memory + (size_t)i * TMK_READ_MAX;
	tmk_parts_start(&s->parts, length);
	r->busy++;
	queue(r, s);
	ret = push(r);
	return ret ? tmk_error_sys(err, ret, "cannot start a read of disk %u", disk) : 0;
}

/* ---- completions ---- */
/* Takes one completion out of the ring; the slot if its read is through with it. */
static struct slot *reap(struct tmk_reader_ring *r, struct io_uring_cqe *cqe)
{
	struct slot *s = io_uring_cqe_get_data(cqe);
	int res = cqe->res;

	io_uring_cqe_seen(&r->ring, cqe);
	tmk_parts_finish(&s->parts, res, s->read.data, r->sectors[s->read.disk], r->draining);
	if (!tmk_parts_top(&s->parts)) {
		s->read.unreadable = s->parts.unreadable;
		s->read.error = s->parts.error;
		r->busy--;
		return s;
	}
	queue(r, s);
	return NULL;
}

static struct io_uring_cqe *peek(struct tmk_reader_ring *r)
{
	struct io_uring_cqe *cqe = NULL;
	uint64_t count;

	if (!io_uring_peek_cqe(&r->ring, &cqe) && cqe)
		return cqe;
	if (read(r->event, &count, sizeof(count)) < 0)
		return NULL;
	/* one that came between the look and the drain: more may have come with it */
	count = 1;
	if (!io_uring_peek_cqe(&r->ring, &cqe) && cqe && write(r->event, &count, sizeof(count)) == sizeof(count))
		return cqe;
	return NULL;
}

int tmk_reader_next(struct tmk_reader_ring *r, struct tmk_read *out, struct tmk_error *err)
{
	struct io_uring_cqe *cqe;
	struct slot *s = NULL;
	int ret;

	while (!s && (cqe = peek(r)))
		s = reap(r, cqe);
	ret = io_uring_sq_ready(&r->ring) ? push(r) : 0;
	if (s) {
		s->state = CALLERS;
		*out = s->read;
		return 0;
	}
	return ret ? tmk_error_sys(err, ret, "cannot start reads") : -EAGAIN;
}

void tmk_reader_put(struct tmk_reader_ring *r, const struct tmk_read *read)
{
	if (read->buffer >= r->depth || r->slots[read->buffer].state != CALLERS)
		abort();
	r->slots[read->buffer].state = FREE;
	r->free_list[r->free_count++] = read->buffer;
}

unsigned tmk_reader_busy(const struct tmk_reader_ring *r)
{
	return r->busy;
}

int tmk_reader_fd(const struct tmk_reader_ring *r)
{
	return r->event;
}

int tmk_reader_delay(const struct tmk_reader_ring *r)
{
	struct tmk_rate rate = r->rate;

	/* requests that the kernel was too busy to take: no completion may come to wake the caller */
	if (io_uring_sq_ready(&r->ring))
		return 1;
	return tmk_rate_delay(&rate, now_ns());
}

void tmk_reader_drain(struct tmk_reader_ring *r)
{
	struct io_uring_cqe *cqe;
	struct slot *s;
	int ret;

	r->draining = true;
	while (r->busy) {
		ret = io_uring_submit_and_wait(&r->ring, 1);
		if (ret < 0 && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY)
			break;
		while (!io_uring_peek_cqe(&r->ring, &cqe) && cqe) {
			s = reap(r, cqe);
			if (!s)
				continue;
			s->state = FREE;
			r->free_list[r->free_count++] = s->read.buffer;
		}
	}
	r->draining = false;
}
