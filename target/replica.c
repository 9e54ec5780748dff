/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The replica as a whole (replica.h): locks, the sidecar, and redo.
 *
 * The number on each disk (disk.h) is the sidecar's sequence while contents are what they were when that was written, and goes
 * one up before the first change after it. So a sidecar that went back by more than the commit that a crash can cut short is
 * found; also the case that the newer slot rots: a POINT is never believed of contents that were changed under BETWEEN (R14,
 * I11).
 */
#include "replica.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "replica_disk.h"
#include "sidecar.h"

#define RUN_MOST (1u << 20) /* bytes of neighbours joined into one write */

struct tmk_replica {
	const struct tmk_io *io;
	int dir;     /* opened anew: holds the writer's lock */
	int sidecar; /* the file: holds the lock of contents */
	bool write, locked;
	bool raised; /* the disks bear the next sequence already */
	bool broken; /* by a failed write or flush: good only to be closed */
	struct tmk_sidecar now;
	unsigned int disk_count;
	struct tmk_replica_disk disks[TMK_DISKS_MAX];
	/* DATA records that lie side by side on a disk, to be written at once */
	struct {
		uint16_t disk;
		uint64_t offset;
		size_t length;
		uint8_t *data; /* RUN_MOST; aligned for what goes around the page cache */
	} run;
};

/* ---- opening ---- */

static int take_lock(int fd, int how, const char *busy, struct tmk_error *err)
{
	if (!flock(fd, how | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK)
		return tmk_error_set(err, -EBUSY, "%s", busy);
	return tmk_error_sys(err, -errno, "cannot lock the replica");
}

static int open_locked(struct tmk_replica *r, int dir, int flags, struct tmk_error *err)
{
	int ret;

	r->dir = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dir < 0)
		return tmk_error_sys(err, -errno, "cannot open the replica's directory");
	ret = r->write ? take_lock(r->dir, LOCK_EX, "another process writes this replica", err) : 0;
	if (ret)
		return ret;
	r->sidecar = r->io->open(r->io, r->dir, TMK_SIDECAR_NAME, flags | O_NOFOLLOW, 0600);
	if (r->sidecar == -ENOENT)
		return tmk_error_set(err, -ENOENT, "there is no replica: the sidecar is missing");
	if (r->sidecar < 0)
		return tmk_error_sys(err, r->sidecar, "cannot open the replica's sidecar");
	return r->write ? 0 : take_lock(r->sidecar, LOCK_SH, "the replica is being changed", err);
}

/* R14: files and sidecar went the same way, or nothing is written. */
static int check_number(const struct tmk_replica *r, const struct tmk_replica_disk *d, struct tmk_error *err)
{
	uint64_t number = 0;
	int ret = tmk_replica_disk_number(d, &number);

	if (ret == -EOPNOTSUPP || (!ret && (number == r->now.sequence || number == r->now.sequence + 1)))
		return 0;
	if (ret && ret != -ENODATA)
		return tmk_error_sys(err, ret, "cannot read the attribute %s of disk-%u.raw", TMK_REPLICA_XATTR, d->index);
	return tmk_error_set(err, -EUCLEAN,
			     "disk-%u.raw and the sidecar do not belong together (numbers %" PRIu64 " and %" PRIu64
			     "): one was put back without the other; put back both, or `tidemark drop NAME --now` and let the "
			     "source copy anew",
			     d->index, number, r->now.sequence);
}

static int open_disks(struct tmk_replica *r, struct tmk_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < r->now.disk_count; i++) {
		r->disk_count++;
		ret = tmk_replica_disk_open(&r->disks[i], r->io, r->dir, i, r->now.sizes[i], r->write, err);
		if (!ret)
			ret = check_number(r, &r->disks[i], err);
	}
	return ret;
}

static struct tmk_replica *allocate(const struct tmk_io *io, bool write)
{
	struct tmk_replica *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->io = io;
	r->write = write;
	r->dir = r->sidecar = -1;
	r->run.data = write ? aligned_alloc(TMK_REPLICA_ALIGN, RUN_MOST) : NULL;
	if (write && !r->run.data) {
		free(r);
		return NULL;
	}
	return r;
}

int tmk_replica_open(struct tmk_replica **out, const struct tmk_io *io, int dir, bool write, struct tmk_error *err)
{
	struct tmk_replica *r = allocate(io, write);
	int ret;

	*out = NULL;
	if (!r)
		return tmk_error_set(err, -ENOMEM, "no memory for a replica");
	ret = open_locked(r, dir, write ? O_RDWR : O_RDONLY, err);
	if (!ret)
		ret = tmk_sidecar_load(io, r->sidecar, &r->now, err);
	if (!ret)
		ret = open_disks(r, err);
	if (!ret && write) /* it may be in the page cache alone, clean after a flush that failed (R13) */
		ret = tmk_sidecar_store(io, r->sidecar, &r->now, err);
	if (ret)
		tmk_replica_close(r);
	else
		*out = r;
	return ret;
}

void tmk_replica_close(struct tmk_replica *r)
{
	if (!r)
		return;
	for (unsigned int i = 0; i < r->disk_count; i++)
		tmk_replica_disk_close(&r->disks[i], r->io);
	if (r->sidecar >= 0)
		r->io->close(r->io, r->sidecar);
	if (r->dir >= 0)
		close(r->dir);
	free(r->run.data);
	free(r);
}

const struct tmk_sidecar *tmk_replica_sidecar(const struct tmk_replica *r)
{
	return &r->now;
}

int tmk_replica_fd(const struct tmk_replica *r, uint16_t disk)
{
	return disk < r->disk_count ? r->disks[disk].fd : -EINVAL;
}

int tmk_replica_read(const struct tmk_replica *r, uint16_t disk, void *data, size_t size, uint64_t offset, struct tmk_error *err)
{
	if (disk >= r->disk_count)
		return tmk_error_set(err, -EINVAL, "there is no disk-%u.raw", disk);
	return tmk_replica_disk_read(&r->disks[disk], r->io, data, size, offset, err);
}

void tmk_replica_uncache(const struct tmk_replica *r, uint16_t disk, uint64_t offset, uint64_t length)
{
	if (disk < r->disk_count)
		tmk_replica_disk_uncache(&r->disks[disk], offset, length);
}

int tmk_replica_lock(struct tmk_replica *r, struct tmk_error *err)
{
	int ret = r->locked ? 0 : take_lock(r->sidecar, LOCK_EX, "an export reads the point", err);

	if (!ret)
		r->locked = true;
	return ret;
}

void tmk_replica_unlock(struct tmk_replica *r)
{
	if (r->locked)
		flock(r->sidecar, LOCK_UN);
	r->locked = false;
}

/* ---- changing ---- */

static int raise_numbers(struct tmk_replica *r, uint64_t sequence, struct tmk_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < r->disk_count; i++)
		ret = tmk_replica_disk_set_number(&r->disks[i], sequence, err);
	return ret;
}

static int sync_disks(struct tmk_replica *r, struct tmk_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < r->disk_count; i++)
		ret = tmk_replica_disk_sync(&r->disks[i], r->io, err);
	return ret;
}

static int may_change(struct tmk_replica *r, struct tmk_error *err)
{
	if (r->broken)
		return tmk_error_set(err, -EIO, "the replica failed before: it has to be opened again");
	if (!r->write || !r->locked)
		return tmk_error_set(err, -EPERM, "the replica is not locked to be changed");
	return 0;
}

static int run_write(struct tmk_replica *r, struct tmk_error *err)
{
	size_t length = r->run.length;

	r->run.length = 0;
	return length ? tmk_replica_disk_write(&r->disks[r->run.disk], r->io, r->run.data, length, r->run.offset, err) : 0;
}

static int run_add(struct tmk_replica *r, const struct tmk_record *record, const uint8_t *body, struct tmk_error *err)
{
	bool follows = r->run.disk == record->disk && r->run.offset + r->run.length == record->offset;
	uint64_t rest = record->length;
	int ret = follows ? 0 : run_write(r, err);

	for (size_t part; !ret && rest; rest -= part, body += part) {
		if (!r->run.length) {
			r->run.disk = record->disk;
			r->run.offset = record->offset + (record->length - rest);
		}
		part = rest < RUN_MOST - r->run.length ? rest : RUN_MOST - r->run.length;
		memcpy(r->run.data + r->run.length, body, part);
		r->run.length += part;
		if (r->run.length == RUN_MOST)
			ret = run_write(r, err);
	}
	return ret;
}

static int redo(struct tmk_replica *r, const struct tmk_record *record, const uint8_t *body, struct tmk_error *err)
{
	const struct tmk_replica_disk *d = &r->disks[record->disk];
	int ret;

	if (record->type == TMK_MARK || record->type == TMK_HASH) /* compared by who reads the chunk (compare.h) */
		return 0;
	if (record->disk >= r->disk_count || record->offset > d->size || record->length > d->size - record->offset)
		return tmk_error_set(err, -EUCLEAN, "a record names what disk-%u.raw does not have", record->disk);
	if (record->type == TMK_DATA)
		return run_add(r, record, body, err);
	ret = run_write(r, err);
	if (ret)
		return ret;
	if (record->type == TMK_ZERO)
		return tmk_replica_disk_zero(d, r->io, record->offset, record->length, err);
	if (record->type == TMK_DISCARD)
		return tmk_replica_disk_discard(d, r->io, record->offset, record->length, err);
	return tmk_error_set(err, -EUCLEAN, "a record of unknown type %u", record->type);
}

int tmk_replica_apply(struct tmk_replica *r, const struct tmk_chunk *chunk, const uint8_t *raw, struct tmk_error *err)
{
	struct tmk_walk w = tmk_walk(chunk, raw);
	struct tmk_record record;
	const uint8_t *body;
	int ret = may_change(r, err);

	if (ret)
		return ret;
	if (!r->raised)
		ret = raise_numbers(r, r->now.sequence + 1, err);
	r->raised = !ret;
	while (!ret && tmk_walk_next(&w, &record, &body))
		ret = redo(r, &record, body, err);
	if (!ret)
		ret = run_write(r, err);
	r->broken = ret;
	return ret;
}

/* Data, then sidecar; the sidecar's sequence goes up with it. */
static int publish(struct tmk_replica *r, struct tmk_sidecar *next, struct tmk_error *err)
{
	int ret;

	next->sequence = r->now.sequence + 1;
	ret = r->raised ? 0 : raise_numbers(r, next->sequence, err);
	if (!ret)
		ret = sync_disks(r, err);
	if (!ret)
		ret = tmk_sidecar_store(r->io, r->sidecar, next, err);
	r->broken = ret;
	if (ret)
		return ret;
	r->now = *next;
	r->raised = false;
	return 0;
}

int tmk_replica_commit(struct tmk_replica *r, enum tmk_replica_state state, uint64_t applied,
		       const uint8_t applied_hash[TMK_HASH_SIZE], uint64_t point, uint64_t until, struct tmk_error *err)
{
	struct tmk_sidecar next = r->now;
	int ret = may_change(r, err);

	if (ret)
		return ret;
	next.state = state;
	next.applied = applied;
	memcpy(next.applied_hash, applied_hash, TMK_HASH_SIZE);
	next.point = point;
	next.until = until;
	return publish(r, &next, err);
}

int tmk_replica_set_generation(struct tmk_replica *r, uint64_t generation, struct tmk_error *err)
{
	struct tmk_sidecar next = r->now;

	if (r->broken || !r->write || r->raised)
		return tmk_error_set(err, -EPERM, "the generation changes between two commits of a writer only");
	next.generation = generation;
	return publish(r, &next, err);
}

/* ---- making ---- */

static int make_disks(struct tmk_replica *r, const struct tmk_disk_sizes *sizes, bool fresh, struct tmk_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < sizes->count; i++) {
		r->disk_count++;
		ret = tmk_replica_disk_make(&r->disks[i], r->io, r->dir, i, sizes->sizes[i], fresh, err);
	}
	return ret;
}

/* A sequence that neither slot nor disk ever had. */
static uint64_t unused_sequence(const struct tmk_replica *r)
{
	uint64_t highest = tmk_sidecar_highest(r->io, r->sidecar), number;

	for (unsigned int i = 0; i < r->disk_count; i++)
		if (!tmk_replica_disk_number(&r->disks[i], &number) && number > highest)
			highest = number;
	return highest + 2;
}

static int begin(struct tmk_replica *r, const uint8_t protection[TMK_UUID_SIZE], const struct tmk_disk_sizes *sizes,
		 uint64_t generation, uint64_t sequence, struct tmk_error *err)
{
	struct tmk_sidecar first = {.state = TMK_REPLICA_EMPTY, .disk_count = sizes->count, .generation = generation};
	int ret;

	memcpy(first.protection, protection, TMK_UUID_SIZE);
	memcpy(first.sizes, sizes->sizes, sizes->count * sizeof(*sizes->sizes));
	r->now.sequence = sequence - 1;
	ret = r->io->flush_dir(r->io, r->dir);
	if (ret)
		return tmk_error_sys(err, ret, "cannot make the replica's directory durable");
	return publish(r, &first, err);
}

static int same_replica(const struct tmk_sidecar *now, const uint8_t protection[TMK_UUID_SIZE],
			const struct tmk_disk_sizes *sizes, struct tmk_error *err)
{
	if (!memcmp(now->protection, protection, TMK_UUID_SIZE) && now->disk_count == sizes->count &&
	    !memcmp(now->sizes, sizes->sizes, sizes->count * sizeof(*sizes->sizes)))
		return 0;
	return tmk_error_set(err, -EEXIST, "another replica is there already: move it away");
}

static int sizes_check(const struct tmk_disk_sizes *sizes, struct tmk_error *err)
{
	bool good = sizes->count && sizes->count <= TMK_DISKS_MAX;

	for (unsigned int i = 0; good && i < sizes->count; i++)
		good = sizes->sizes[i] && sizes->sizes[i] <= INT64_MAX && !(sizes->sizes[i] % TMK_SECTOR);
	return good ? 0 : tmk_error_set(err, -EINVAL, "a replica of no disks, or of one without whole sectors");
}

int tmk_replica_create(const struct tmk_io *io, int dir, const uint8_t protection[TMK_UUID_SIZE],
		       const struct tmk_disk_sizes *sizes, uint64_t generation, struct tmk_error *err)
{
	struct tmk_replica *r = allocate(io, true);
	int ret = r ? sizes_check(sizes, err) : tmk_error_set(err, -ENOMEM, "no memory for a replica");

	if (!ret)
		ret = open_locked(r, dir, O_RDWR | O_CREAT, err);
	if (!ret)
		ret = tmk_sidecar_load(io, r->sidecar, &r->now, err);
	if (!ret) {
		ret = same_replica(&r->now, protection, sizes, err);
	} else if (ret == -ENOENT) {
		ret = make_disks(r, sizes, true, err);
		if (!ret)
			ret = begin(r, protection, sizes, generation, 1, err);
	}
	tmk_replica_close(r);
	return ret;
}

int tmk_replica_restart(const struct tmk_io *io, int dir, const uint8_t protection[TMK_UUID_SIZE],
			const struct tmk_disk_sizes *sizes, uint64_t generation, struct tmk_error *err)
{
	struct tmk_replica *r = allocate(io, true);
	int ret = r ? sizes_check(sizes, err) : tmk_error_set(err, -ENOMEM, "no memory for a replica");

	if (!ret)
		ret = open_locked(r, dir, O_RDWR | O_CREAT, err);
	if (!ret)
		ret = tmk_replica_lock(r, err);
	if (!ret)
		ret = make_disks(r, sizes, false, err);
	if (!ret)
		ret = begin(r, protection, sizes, generation, unused_sequence(r), err);
	tmk_replica_close(r);
	return ret;
}
