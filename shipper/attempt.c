/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An attempt at a point with filesystems frozen: see attempt.h. */
#include "attempt.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "freeze.h"
#include "fsfind.h"
#include "log.h"
#include "util.h"

#define PIECES 16384
#define QUICK_MS 300

struct piece {
	uint16_t disk;
	bool scratch;
	bool bad; /* known to be unreadable (R30): a point does without it, if it still is */
	bool got, lost;
	uint64_t offset, length; /* bytes */
	uint8_t *data;
};

struct tmk_attempt {
	const struct tmk_config *config;
	struct tmk_source *source;
	struct tmk_filesystems filesystems;
	struct tmk_freeze *freeze;
	bool syncing;
	uint8_t *memory;
	size_t memory_size, memory_used;
	struct piece *pieces; /* by disk and offset */
	size_t count, next, shipped;
	struct tmk_take take;
	uint64_t cut_time;
	unsigned frozen_ms;
};

/* ---- before the freeze ---- */

static int refuse_partial(const struct tmk_filesystems *f, struct tmk_error *err)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->list[i].partial)
			return tmk_error_set(err, -EXDEV,
					     "%.200s (%s) also lies on %s, which is not in this protection; protect it together "
					     "with the others",
					     f->list[i].mountpoint, f->list[i].type, f->list[i].missing);
	return 0;
}

static int allocate(struct tmk_attempt *a, struct tmk_error *err)
{
	void *p = mmap(NULL, a->memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		return tmk_error_set(err, -ENOMEM, "no memory for freeze-memory = %zu bytes", a->memory_size);
	a->memory = p;
	a->pieces = malloc(PIECES * sizeof(*a->pieces));
	if (!a->pieces)
		return tmk_error_set(err, -ENOMEM, "out of memory");
	memset(a->pieces, 0, PIECES * sizeof(*a->pieces));
	return 0;
}

static int prepare(struct tmk_attempt *a, struct tmk_error *err)
{
	char record[320];
	int rc = tmk_path(record, sizeof(record), "%s/%s.frozen", a->config->run_dir, a->source->spec.name);

	if (rc)
		return tmk_error_set(err, rc, "run-dir is too long a path");
	rc = tmk_fsfind(a->source->devices, a->source->spec.disk_count, &a->filesystems, err);
	if (!rc)
		rc = refuse_partial(&a->filesystems, err);
	if (!rc)
		rc = allocate(a, err);
	if (!rc)
		rc = tmk_freeze_start(&a->freeze, a->config->freezer, record, &a->filesystems, (unsigned)a->config->freeze_limit,
				      err);
	return rc ? rc : tmk_attempt_sync(a, err);
}

int tmk_attempt_begin(struct tmk_attempt **out, const struct tmk_config *config, struct tmk_source *source, struct tmk_error *err)
{
	struct tmk_attempt *a = calloc(1, sizeof(*a));
	int rc;

	if (!a)
		return tmk_error_set(err, -ENOMEM, "out of memory");
	a->config = config;
	a->source = source;
	a->memory_size = config->freeze_memory;
	rc = prepare(a, err);
	if (rc) {
		tmk_attempt_end(a);
		return rc;
	}
	*out = a;
	return 0;
}

void tmk_attempt_end(struct tmk_attempt *a)
{
	if (!a)
		return;
	tmk_freeze_free(a->freeze);
	tmk_filesystems_free(&a->filesystems);
	if (a->memory)
		munmap(a->memory, a->memory_size);
	free(a->pieces);
	free(a);
}

int tmk_attempt_sync_fd(const struct tmk_attempt *a)
{
	return a->syncing ? tmk_freeze_sync_fd(a->freeze) : -1;
}

int tmk_attempt_sync(struct tmk_attempt *a, struct tmk_error *err)
{
	int rc = a->syncing ? 0 : tmk_freeze_sync_start(a->freeze, err);

	a->syncing = !rc;
	return rc;
}

int tmk_attempt_settled(struct tmk_attempt *a, bool *quick, struct tmk_error *err)
{
	unsigned ms = 0;
	int rc = 0;

	*quick = true;
	if (!a->syncing)
		return 0;
	rc = tmk_freeze_sync_done(a->freeze, &ms, err);
	if (rc)
		return rc;
	a->syncing = false;
	*quick = ms < QUICK_MS;
	return *quick ? 0 : tmk_attempt_sync(a, err);
}

/* ---- frozen: nothing here allocates, logs or touches a file ---- */

/* Cuts an extent into pieces of at most one read; false: too many, or too much for the memory. */
static bool plan_extent(struct tmk_attempt *a, uint16_t disk, struct tmk_extent e)
{
	while (e.length) {
		uint64_t part = e.length;
		bool scratch = tmk_scratch_split(&a->source->scratch, disk, e.offset, &part);
		bool bad = !scratch && tmk_source_bad_split(a->source, disk, e.offset, &part);
		struct piece *p = &a->pieces[a->count];

		if (!scratch && part > TMK_READ_MAX)
			part = TMK_READ_MAX;
		if (a->count == PIECES || (!scratch && part > a->memory_size - a->memory_used))
			return false;
		*p = (struct piece){disk, scratch, bad, scratch, false, e.offset, part, a->memory + a->memory_used};
		if (!scratch)
			a->memory_used += part;
		a->count++;
		e.offset += part;
		e.length -= part;
	}
	return true;
}

static int plan(struct tmk_attempt *a, bool *fits, struct tmk_error *err)
{
	struct tmk_extent e[128];

	a->count = a->next = a->shipped = a->memory_used = 0;
	*fits = true;
	for (uint16_t disk = 0; disk < a->source->spec.disk_count; disk++) {
		uint64_t from = 0;
		size_t count;

		do {
			int rc = tmk_source_extents(a->source, TMK_TAKEN, disk, from, e, 128, &count, err);

			if (rc)
				return rc;
			for (size_t i = 0; i < count && *fits; i++)
				*fits = plan_extent(a, disk, e[i]);
			if (count)
				from = e[count - 1].offset + e[count - 1].length;
		} while (count && *fits);
	}
	return 0;
}

static int submit(struct tmk_attempt *a, struct tmk_reader_ring *reader, struct tmk_error *err)
{
	while (a->next < a->count) {
		const struct piece *p = &a->pieces[a->next];
		int rc = p->scratch ? 0 : tmk_reader_submit(reader, p->disk, p->offset, (uint32_t)p->length, true, err);

		if (rc)
			return rc == -EAGAIN ? 0 : rc;
		a->next++;
	}
	return 0;
}

static struct piece *find_piece(struct tmk_attempt *a, const struct tmk_read *read)
{
	size_t low = 0, high = a->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct piece *p = &a->pieces[mid];

		if (p->disk < read->disk || (p->disk == read->disk && p->offset < read->offset))
			low = mid + 1;
		else
			high = mid;
	}
	return &a->pieces[low];
}

static int collect(struct tmk_attempt *a, struct tmk_reader_ring *reader, size_t *left, struct tmk_error *err)
{
	struct tmk_read read;
	int rc;

	while (!(rc = tmk_reader_next(reader, &read, err))) {
		struct piece *p = find_piece(a, &read);

		memcpy(p->data, read.data, read.length);
		p->lost = read.unreadable;
		p->got = !p->lost || p->bad;
		tmk_reader_put(reader, &read);
		(*left)--;
	}
	return rc == -EAGAIN ? 0 : rc;
}

/* Writes that were under way at the take. -ETIME: they still are. */
static int wait_fence(struct tmk_attempt *a, uint64_t deadline, struct tmk_error *err)
{
	bool settled = false;
	int rc = 0;

	while (!rc && !settled) {
		rc = tmk_source_settled(a->source, &a->take, &settled, err);
		if (!rc && !settled && tmk_now_ms() >= deadline)
			return -ETIME;
		if (!settled)
			poll(NULL, 0, 1);
	}
	return rc;
}

static int read_all(struct tmk_attempt *a, struct tmk_reader_ring *reader, uint64_t deadline, struct tmk_error *err)
{
	size_t left = 0;

	for (size_t i = 0; i < a->count; i++)
		left += !a->pieces[i].scratch;
	while (left) {
		struct pollfd p = {.fd = tmk_reader_fd(reader), .events = POLLIN};
		int rc = submit(a, reader, err);

		if (!rc)
			rc = collect(a, reader, &left, err);
		if (rc)
			return rc;
		if (tmk_now_ms() >= deadline)
			return -ETIME;
		if (left)
			poll(&p, 1, 10);
	}
	return 0;
}

static bool all_got(const struct tmk_attempt *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (!a->pieces[i].got)
			return false;
	return true;
}

/* What happens between freeze and thaw. */
static int copy_frozen(struct tmk_attempt *a, struct tmk_reader_ring *reader, uint64_t deadline, bool *proven, char why[256],
		       struct tmk_error *err)
{
	char writer[192];
	bool fits;
	int rc = tmk_source_take_frozen(a->source, &a->take, err);

	a->cut_time = tmk_clock_ns();
	if (!rc)
		rc = plan(a, &fits, err);
	if (rc)
		return rc;
	if (!fits) {
		snprintf(why, 256, "%llu bytes were left to copy, more than freeze-memory", (unsigned long long)a->take.bytes);
		return 0;
	}
	rc = wait_fence(a, deadline, err);
	if (!rc)
		rc = read_all(a, reader, deadline, err);
	if (rc == -ETIME) {
		snprintf(why, 256, "copying %llu bytes took longer than freeze-limit", (unsigned long long)a->take.bytes);
		return 0;
	}
	if (rc)
		return rc;
	if (!all_got(a)) {
		snprintf(why, 256, "a block could not be read while filesystems were frozen");
		return 0;
	}
	rc = tmk_source_proof(a->source, a->take.gap, proven, writer, err);
	if (!rc && !*proven)
		snprintf(why, 256, "while filesystems were frozen %s", writer);
	return rc;
}

/* Somebody else thawed them, or the limit did: what was proven is not. */
static int thaw(struct tmk_attempt *a, bool *proven, char why[256], struct tmk_error *err)
{
	struct tmk_error text = {0};
	int rc = tmk_freeze_thaw(a->freeze, &a->frozen_ms, &text);

	if (!rc)
		return 0;
	*proven = false;
	if (rc == -ETIME || rc == -ESTALE) {
		snprintf(why, 256, "%.255s", text.text);
		return 0;
	}
	*err = text;
	return rc;
}

/* From frozen to thawed. *proven: what the work proved, and nothing thawed them before. */
static int while_frozen(struct tmk_attempt *a,
			int (*work)(struct tmk_attempt *a, void *context, bool *proven, char why[256], struct tmk_error *err),
			void *context, bool *proven, char why[256], struct tmk_error *err)
{
	struct tmk_error other;
	int rc, thawed;

	*proven = false;
	why[0] = '\0';
	rc = tmk_freeze_freeze(a->freeze, err);
	if (rc)
		return rc;
	rc = work(a, context, proven, why, err);
	thawed = thaw(a, proven, why, rc ? &other : err);
	return rc ? rc : thawed;
}

static int copy(struct tmk_attempt *a, void *reader, bool *proven, char why[256], struct tmk_error *err)
{
	return copy_frozen(a, reader, tmk_now_ms() + a->config->freeze_limit, proven, why, err);
}

int tmk_attempt_copy(struct tmk_attempt *a, struct tmk_reader_ring *reader, bool *proven, char why[256], struct tmk_error *err)
{
	int rc = while_frozen(a, copy, reader, proven, why, err);

	tmk_reader_drain(reader);
	return rc || !*proven ? rc : tmk_source_scratch_kept(a->source, proven, why, err);
}

struct cut {
	struct tmk_follow *follow;
	const uint8_t *id;
};

static int cut(struct tmk_attempt *a, void *context, bool *proven, char why[256], struct tmk_error *err)
{
	const struct cut *c = context;
	int rc = tmk_follow_cut(c->follow, c->id, err);

	(void)a;
	*proven = !rc;
	if (rc != -ENOSPC && rc != -EAGAIN && rc != -ENOLINK)
		return rc;
	snprintf(why, 256, "%.255s", err->text);
	return 0;
}

int tmk_attempt_cut(struct tmk_attempt *a, struct tmk_follow *follow, const uint8_t id[16], bool *proven, char why[256],
		    struct tmk_error *err)
{
	return while_frozen(a, cut, &(struct cut){follow, id}, proven, why, err);
}

/* ---- after the thaw ---- */

unsigned tmk_attempt_frozen_ms(const struct tmk_attempt *a)
{
	return a->frozen_ms;
}

uint64_t tmk_attempt_gap(const struct tmk_attempt *a)
{
	return a->take.gap;
}

uint64_t tmk_attempt_cut_time(const struct tmk_attempt *a)
{
	return a->cut_time;
}

/* What is lost stays in `taken`, and is tried again by the next round. */
static bool pack(struct tmk_packer *packer, const struct piece *p)
{
	if (p->lost)
		return true;
	return p->scratch ? tmk_packer_zero(packer, p->disk, p->offset, p->length)
			  : tmk_packer_add(packer, p->disk, p->offset, p->data, (uint32_t)p->length);
}

int tmk_attempt_ship(struct tmk_attempt *a, struct tmk_packer *packer, struct tmk_stream *stream, const struct tmk_mark *mark,
		     struct tmk_error *err)
{
	int rc;

	while (a->shipped < a->count) {
		if (!tmk_stream_open(stream))
			return -EAGAIN;
		if (pack(packer, &a->pieces[a->shipped])) {
			a->shipped++;
			continue;
		}
		if (tmk_packer_empty(packer))
			return tmk_error_set(err, -EINVAL, "a piece does not fit into an empty chunk");
		rc = tmk_stream_seal(stream, packer, NULL, err);
		if (rc)
			return rc;
	}
	rc = tmk_stream_seal(stream, packer, mark, err);
	if (rc == -ENOSPC) {
		rc = tmk_stream_seal(stream, packer, NULL, err);
		if (!rc)
			rc = tmk_stream_seal(stream, packer, mark, err);
	}
	return rc;
}
