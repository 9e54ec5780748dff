/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The append side of the journal (journal.h): owns the end. One lock on the directory says that there is one of it. */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "journal_recover.h"

struct tmk_journal {
	struct tmk_journal_options options;
	int dir;		  /* opened anew: holds the lock */
	int fd;			  /* the current segment, -1: none yet */
	uint64_t at, durable_at;  /* its end, and of that what is durable */
	struct tmk_place tail;	  /* the last chunk appended */
	struct tmk_place durable; /* the last chunk committed */
	bool stale;		  /* what is there ends before the applied place */
	bool dead;		  /* a flush failed, or a cut back */
	bool began;		  /* something was appended since open: */
	uint8_t epoch[TMK_EPOCH_SIZE];
	uint64_t bytes;	 /* of all segments: never too low */
	uint8_t *buffer; /* entry, chunk header, payload: for one write */
};

static int lock_directory(struct tmk_journal *j, struct tmk_error *err)
{
	j->dir = openat(j->options.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->dir < 0)
		return tmk_error_sys(err, -errno, "cannot open the journal's directory");
	if (!flock(j->dir, LOCK_EX | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK)
		return tmk_error_set(err, -EBUSY, "another session appends to this journal");
	return tmk_error_sys(err, -errno, "cannot lock the journal's directory");
}

static int open_end(struct tmk_journal *j, struct tmk_error *err)
{
	struct tmk_survey found;
	int ret = lock_directory(j, err);

	j->options.dir = j->dir;
	if (!ret)
		ret = tmk_survey(&j->options, &found, err);
	if (!ret)
		ret = tmk_survey_repair(&j->options, &found, &j->fd, err);
	if (!ret)
		ret = tmk_segment_bytes(j->dir, &j->bytes, err);
	if (ret)
		return ret;
	j->at = j->durable_at = found.good;
	j->tail = j->durable = found.end;
	j->stale = found.stale;
	memcpy(j->epoch, found.epoch, TMK_EPOCH_SIZE);
	return 0;
}

int tmk_journal_open(struct tmk_journal **out, const struct tmk_journal_options *options, struct tmk_error *err)
{
	struct tmk_journal *j = calloc(1, sizeof(*j));
	int ret;

	*out = NULL;
	if (!j)
		return tmk_error_set(err, -ENOMEM, "no memory for a journal");
	j->options = *options;
	j->fd = j->dir = -1;
	j->buffer = malloc(TMK_ENTRY_HEADER + TMK_CHUNK_RAW_MAX);
	ret = j->buffer ? open_end(j, err) : tmk_error_set(err, -ENOMEM, "no memory for a journal");
	if (ret)
		tmk_journal_close(j);
	else
		*out = j;
	return ret;
}

void tmk_journal_close(struct tmk_journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		j->options.io->close(j->options.io, j->fd);
	if (j->dir >= 0)
		close(j->dir);
	free(j->buffer);
	free(j);
}

struct tmk_place tmk_journal_end(const struct tmk_journal *j)
{
	return j->durable;
}

void tmk_journal_epoch(const struct tmk_journal *j, uint8_t epoch[TMK_EPOCH_SIZE])
{
	memcpy(epoch, j->epoch, TMK_EPOCH_SIZE);
}

uint64_t tmk_journal_bytes(const struct tmk_journal *j)
{
	uint64_t bytes;

	return tmk_segment_bytes(j->dir, &bytes, NULL) ? j->bytes : bytes;
}

/* ---- looking back ---- */

static bool same_place(const struct tmk_place *a, const struct tmk_place *b)
{
	return a->number == b->number && !memcmp(a->hash, b->hash, TMK_HASH_SIZE);
}

/* Looks for a place in the segment that holds it, or begins behind it. -ENOENT: the applier trimmed it meanwhile. */
static int find_in(struct tmk_journal *j, uint64_t first, const struct tmk_place *place, bool *found, struct tmk_error *err)
{
	struct tmk_segment_walk w;
	int ret = tmk_segment_open(&w, j->options.io, j->dir, O_RDONLY, j->options.protection, first, err);

	if (!ret)
		ret = tmk_segment_seek(&w, place->number, err);
	if (!ret)
		*found = same_place(&w.place, place);
	tmk_segment_close(&w);
	if (ret == -EBADMSG || ret == -EXDEV || ret == -ENODATA)
		return tmk_error_set(err, -EUCLEAN, "rot in the journal: chunk %" PRIu64 " cannot be found; " TMK_JOURNAL_ADVICE,
				     place->number);
	return ret;
}

static int find_once(struct tmk_journal *j, const struct tmk_place *place, bool *found, struct tmk_error *err)
{
	struct tmk_segment_list list;
	ssize_t index;
	int ret = tmk_segment_list(j->dir, &list, err);

	if (ret)
		return ret;
	if (!place->number) {
		*found = !j->durable.number || (list.count && list.first[0] == 1);
	} else {
		index = tmk_segment_holding(&list, place->number);
		if (index < 0) /* perhaps the place just before the oldest one */
			index = tmk_segment_holding(&list, place->number + 1);
		if (index >= 0)
			ret = find_in(j, list.first[index], place, found, err);
	}
	tmk_segment_list_free(&list);
	return ret;
}

int tmk_journal_find(struct tmk_journal *j, const struct tmk_place *place, bool *found, struct tmk_error *err)
{
	int ret = -ENOENT;

	*found = same_place(place, &j->durable) || (place->number && same_place(place, &j->options.applied));
	if (*found || place->number > j->durable.number || j->stale)
		return 0;
	for (unsigned int tries = 0; ret == -ENOENT && tries < 10; tries++)
		ret = find_once(j, place, found, err);
	return ret;
}

/* Calls back for the records of a chunk, neighbours joined. */
static int chunk_extents(const struct tmk_journal_chunk *chunk, struct tmk_rewind_extent *open,
			 int (*extent)(const struct tmk_rewind_extent *extent, void *context), void *context)
{
	struct tmk_walk w = tmk_walk(&chunk->header, chunk->raw);
	struct tmk_record record;
	const uint8_t *body;
	int ret = 0;

	while (!ret && tmk_walk_next(&w, &record, &body)) {
		if (!record.length || record.type == TMK_HASH)
			continue;
		if (open->length && open->disk == record.disk && open->offset + open->length == record.offset) {
			open->length += record.length;
			continue;
		}
		if (open->length)
			ret = extent(open, context);
		*open = (struct tmk_rewind_extent){.disk = record.disk, .offset = record.offset, .length = record.length};
	}
	return ret;
}

int tmk_journal_extents(struct tmk_journal *j, const struct tmk_place *from,
			int (*extent)(const struct tmk_rewind_extent *extent, void *context), void *context,
			struct tmk_error *err)
{
	const struct tmk_journal_options *o = &j->options;
	struct tmk_rewind_extent open = {0};
	struct tmk_journal_cursor *cursor;
	struct tmk_journal_chunk chunk;
	int ret = tmk_journal_cursor_open(&cursor, o->io, j->dir, o->protection, &o->sizes, from, err);

	if (ret)
		return ret;
	while (!(ret = tmk_journal_cursor_next(cursor, j->durable.number, &chunk, err))) {
		ret = chunk_extents(&chunk, &open, extent, context);
		if (ret)
			break;
	}
	tmk_journal_cursor_close(cursor);
	if (ret == -EUCLEAN) {
		bool found;

		if (!tmk_journal_find(j, from, &found, NULL) && !found)
			return tmk_error_set(err, -ESTALE, "the journal was trimmed meanwhile");
	}
	if (ret != -EAGAIN)
		return ret;
	return open.length ? extent(&open, context) : 0;
}

/* ---- appending ---- */

static int refuse_dead(struct tmk_error *err)
{
	return tmk_error_set(err, -EIO,
			     "the journal failed before: it has to be opened again, and the source sends what was not acked");
}

/* The file ends there again; if even that fails, the next open finds a torn tail. */
static void cut_back(struct tmk_journal *j, uint64_t at)
{
	if (j->options.io->truncate(j->options.io, j->fd, at))
		j->dead = true;
	j->at = at;
}

static int follows(const struct tmk_journal *j, const struct tmk_chunk *chunk, uint32_t stored_length, struct tmk_error *err)
{
	if (chunk->stored_length != stored_length)
		return tmk_error_set(err, -EBADMSG, "chunk %" PRIu64 " says it has %u bytes of payload, %u came", chunk->number,
				     chunk->stored_length, stored_length);
	if (chunk->number != j->tail.number + 1)
		return tmk_error_set(err, -EBADMSG, "chunk %" PRIu64 " came where chunk %" PRIu64 " is next", chunk->number,
				     j->tail.number + 1);
	if (memcmp(chunk->prev_hash, j->tail.hash, TMK_HASH_SIZE))
		return tmk_error_set(err, -EBADMSG, "chunk %" PRIu64 " does not follow the chunk before it", chunk->number);
	if (j->began && memcmp(chunk->epoch, j->epoch, TMK_EPOCH_SIZE))
		return tmk_error_set(err, -EBADMSG, "chunk %" PRIu64 " begins another epoch within a session", chunk->number);
	return 0;
}

static int check_limit(struct tmk_journal *j, uint64_t more, struct tmk_error *err)
{
	uint64_t limit = j->options.limit;
	int ret;

	if (!limit || j->bytes + more <= limit)
		return 0;
	ret = tmk_segment_bytes(j->dir, &j->bytes, err); /* the applier trims */
	if (ret || j->bytes + more <= limit)
		return ret;
	return tmk_error_set(err, -EFBIG, "the journal has reached its limit of %" PRIu64 " bytes", limit);
}

static int new_segment(struct tmk_journal *j, struct tmk_error *err)
{
	const struct tmk_io *io = j->options.io;
	int fd, ret = 0;

	if (j->fd >= 0)
		ret = tmk_journal_commit(j, NULL, err);
	if (!ret && j->stale)
		ret = tmk_journal_wipe(io, j->dir, err);
	if (ret)
		return ret;
	fd = tmk_segment_create(io, j->dir, j->options.protection, &j->tail, err);
	if (fd < 0)
		return fd;
	if (j->fd >= 0)
		io->close(io, j->fd);
	j->fd = fd;
	j->stale = false;
	j->at = j->durable_at = TMK_SEGMENT_HEADER;
	j->bytes += TMK_SEGMENT_HEADER;
	return 0;
}

/* Segments are what can be trimmed: of a small limit, one must not be most of it. */
static uint64_t segment_size(const struct tmk_journal *j)
{
	uint64_t share = j->options.limit / 8;

	return share && share < TMK_SEGMENT_SIZE ? share : TMK_SEGMENT_SIZE;
}

static bool wants_segment(const struct tmk_journal *j, size_t more)
{
	return j->fd < 0 || j->stale || (j->at > TMK_SEGMENT_HEADER && j->at + more > segment_size(j));
}

static int write_entry(struct tmk_journal *j, const uint8_t *header, const uint8_t *payload, uint32_t stored_length,
		       uint64_t target_time, struct tmk_error *err)
{
	const struct tmk_entry entry = {
		.length = TMK_CHUNK_HEADER_SIZE + stored_length,
		.durable = j->durable.number,
		.target_time = target_time,
	};
	size_t size = TMK_ENTRY_HEADER + stored_length;
	int ret;

	tmk_segment_entry_encode(&entry, j->buffer);
	memcpy(j->buffer + sizeof(entry), header, TMK_CHUNK_HEADER_SIZE);
	memcpy(j->buffer + TMK_ENTRY_HEADER, payload, stored_length);
	ret = j->options.io->write(j->options.io, j->fd, j->buffer, size, j->at);
	if (ret) {
		cut_back(j, j->at);
		return tmk_error_sys(err, ret, "cannot append to the journal");
	}
	j->at += size;
	j->bytes += size;
	return 0;
}

int tmk_journal_append(struct tmk_journal *j, const uint8_t *header, const uint8_t *payload, uint32_t stored_length,
		       uint64_t target_time, struct tmk_error *err)
{
	struct tmk_chunk chunk;
	int ret = j->dead ? refuse_dead(err) : tmk_chunk_header(header, &chunk, err);

	if (!ret)
		ret = follows(j, &chunk, stored_length, err);
	if (!ret)
		ret = check_limit(j, TMK_ENTRY_HEADER + stored_length, err);
	if (!ret && wants_segment(j, TMK_ENTRY_HEADER + stored_length))
		ret = new_segment(j, err);
	if (!ret)
		ret = write_entry(j, header, payload, stored_length, target_time, err);
	if (ret)
		return ret;
	j->tail.number = chunk.number;
	tmk_chunk_hash(header, j->tail.hash);
	memcpy(j->epoch, chunk.epoch, TMK_EPOCH_SIZE);
	j->began = true;
	return 0;
}

int tmk_journal_commit(struct tmk_journal *j, struct tmk_place *end, struct tmk_error *err)
{
	int ret = j->dead ? refuse_dead(err) : 0;

	if (!ret && j->at > j->durable_at) {
		ret = j->options.io->flush(j->options.io, j->fd);
		if (ret) { /* R13: never again on this file by this hand */
			j->dead = true;
			cut_back(j, j->durable_at);
			tmk_error_sys(err, ret, "cannot make the journal durable; the source will send again what was not acked");
		}
	}
	if (!ret) {
		j->durable_at = j->at;
		j->durable = j->tail;
	}
	if (end)
		*end = j->durable;
	return ret;
}
