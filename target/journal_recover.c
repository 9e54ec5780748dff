/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See journal_recover.h. */
#include "journal_recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sum.h"

#define SCAN_BLOCK (256u << 10)

struct surveyor {
	const struct tmk_journal_options *options;
	struct tmk_survey *found;
	struct tmk_segment_list list;
	struct tmk_segment_walk walk;
	uint64_t known;	  /* up to this chunk all is known to have been durable */
	uint8_t *payload; /* TMK_CHUNK_RAW_MAX each */
	uint8_t *raw;
};

static int rot(struct tmk_error *err, const char *what)
{
	struct tmk_error detail = *err;

	if (detail.code != -EBADMSG && detail.code != -EXDEV && detail.code != -ENODATA && detail.code != -EUCLEAN)
		return detail.code;
	return tmk_error_set(err, -EUCLEAN, "%s: %.250s; " TMK_JOURNAL_ADVICE, what, detail.text);
}

/* ---- is there a valid entry behind a bad one? ---- */

/* Entries may also lie inside payloads, when a disk that holds a journal is itself replicated: so all of the entry is checked,
 * and its numbers have to be possible here. 1, 0, or -errno: what cannot be read now may well be the proof. */
static int proves(struct surveyor *s, uint64_t at, uint64_t bad)
{
	const struct tmk_io *io = s->options->io;
	uint8_t bytes[TMK_ENTRY_HEADER], sum[16];
	struct tmk_entry entry;
	struct tmk_chunk chunk;
	int ret;

	if (at > s->walk.size || s->walk.size - at < sizeof(bytes))
		return 0;
	ret = io->read(io, s->walk.fd, bytes, sizeof(bytes), at);
	if (ret)
		return ret;
	if (!tmk_segment_entry_decode(bytes, &entry) || entry.durable < bad)
		return 0;
	if (tmk_chunk_header(bytes + sizeof(entry), &chunk, NULL) || chunk.stored_length != entry.length - TMK_CHUNK_HEADER_SIZE)
		return 0;
	if (entry.durable >= chunk.number || chunk.number - bad > (s->walk.size - s->walk.at) / TMK_ENTRY_HEADER)
		return 0;
	if (chunk.stored_length > s->walk.size - at - sizeof(bytes))
		return 0;
	ret = io->read(io, s->walk.fd, s->payload, chunk.stored_length, at + sizeof(bytes));
	if (ret)
		return ret;
	tmk_sum128(s->payload, chunk.stored_length, sum);
	return !memcmp(sum, chunk.payload_sum, sizeof(sum));
}

/* 1: an entry behind the bad one at walk.at says that it was durable; 0: none does. */
static int proven_behind(struct surveyor *s, uint64_t bad, struct tmk_error *err)
{
	static const uint8_t magic[4] = {'T', 'M', 'K', 'E'};
	const struct tmk_io *io = s->options->io;
	const uint8_t *hit, *from;
	uint64_t at = s->walk.at;

	while (at < s->walk.size && s->walk.size - at >= TMK_ENTRY_HEADER) {
		size_t size = s->walk.size - at < SCAN_BLOCK ? s->walk.size - at : SCAN_BLOCK;
		int ret = io->read(io, s->walk.fd, s->raw, size, at);

		if (ret)
			return tmk_error_sys(err, ret, "cannot read the journal's segment %016" PRIx64, s->walk.first);
		for (from = s->raw; !ret && (hit = memmem(from, s->raw + size - from, magic, sizeof(magic))); from = hit + 1)
			ret = proves(s, at + (hit - s->raw), bad);
		if (ret > 0)
			return ret;
		if (ret)
			return tmk_error_sys(err, ret, "cannot read the journal's segment %016" PRIx64, s->walk.first);
		if (size < SCAN_BLOCK)
			break;
		at += size - sizeof(magic) + 1;
	}
	return 0;
}

/* ---- the walk ---- */

/* The chain has to go through the applied place (R14). */
static int check_applied(const struct surveyor *s, struct tmk_error *err)
{
	const struct tmk_place *applied = &s->options->applied;

	if (s->walk.place.number != applied->number || !memcmp(s->walk.place.hash, applied->hash, TMK_HASH_SIZE))
		return 0;
	tmk_error_set(err, -EUCLEAN, "chunk %" PRIu64 " of the journal is not the one that the replica holds", applied->number);
	return rot(err, "replica and journal do not fit together");
}

/* Sums and chain are right, so that this is what was appended: if it cannot be applied it is no torn tail. */
static int check_payload(struct surveyor *s, const struct tmk_segment_entry *entry, struct tmk_error *err)
{
	bool marked;
	int ret;

	if (tmk_chunk_open(&entry->chunk, s->payload, s->raw, err))
		return -EBADMSG;
	ret = tmk_chunk_check(&entry->chunk, s->raw, &s->options->sizes, &marked, err);
	return ret ? rot(err, "the journal holds a chunk that cannot be applied") : 0;
}

static int bad_entry(struct surveyor *s, bool last, uint64_t at, uint64_t number, struct tmk_error *err)
{
	int ret;

	s->walk.at = at;
	if (!last || number <= s->known)
		return rot(err, "rot in the journal: a chunk that had been acked is damaged");
	ret = proven_behind(s, number, err);
	return ret > 0 ? rot(err, "rot in the journal: a chunk that had been acked is damaged") : ret;
}

/* Goes through one segment; of the last one payloads are checked too: those before it were durable when it was made, and the
 * cursor checks them when it comes to them. */
static int walk_segment(struct surveyor *s, bool last, struct tmk_error *err)
{
	struct tmk_segment_entry entry;
	int ret = check_applied(s, err);

	while (!ret) {
		uint64_t at = s->walk.at;

		ret = tmk_segment_next(&s->walk, &entry, last ? s->payload : NULL, err);
		if (ret == -ENODATA)
			break;
		if (!ret && last)
			ret = check_payload(s, &entry, err);
		if (ret == -EBADMSG) {
			uint64_t number = s->found->end.number + 1;

			ret = bad_entry(s, last, at, number, err);
			break;
		}
		if (ret)
			return ret;
		s->found->end = s->walk.place;
		s->found->good = s->walk.at;
		if (entry.entry.durable > s->known)
			s->known = entry.entry.durable;
		memcpy(s->found->epoch, entry.chunk.epoch, TMK_EPOCH_SIZE);
		ret = check_applied(s, err);
	}
	s->found->size = s->walk.size;
	return ret == -ENODATA ? 0 : ret;
}

static int survey_segment(struct surveyor *s, size_t index, size_t begin, struct tmk_error *err)
{
	const struct tmk_journal_options *o = s->options;
	struct tmk_survey *found = s->found;
	uint64_t first = s->list.first[index];
	int ret = tmk_segment_open(&s->walk, o->io, o->dir, O_RDONLY, o->protection, first, err);

	if (ret)
		return ret == -ENOENT ? tmk_error_set(err, -EUCLEAN, "segment %016" PRIx64 " vanished", first)
				      : rot(err, "the journal");
	if (index > begin && (first != found->end.number + 1 || memcmp(s->walk.place.hash, found->end.hash, TMK_HASH_SIZE))) {
		tmk_segment_close(&s->walk);
		tmk_error_set(err, -EUCLEAN, "chunk %" PRIu64 " and more are missing before segment %016" PRIx64,
			      found->end.number + 1, first);
		return rot(err, "a hole in the journal");
	}
	found->end = s->walk.place;
	found->current = true;
	found->first = first;
	found->good = TMK_SEGMENT_HEADER;
	if (first - 1 > s->known)
		s->known = first - 1;
	ret = walk_segment(s, index + 1 == s->list.count, err);
	tmk_segment_close(&s->walk);
	return ret;
}

/* A segment is made durable with its header before the first entry goes into it: one that is no longer than that, with a bad
 * header, is what a crash left of making it. */
static int find_unborn(struct surveyor *s, struct tmk_error *err)
{
	const struct tmk_journal_options *o = s->options;
	struct tmk_segment_walk w;
	uint64_t first = s->list.first[s->list.count - 1];
	char name[TMK_SEGMENT_NAME];
	int64_t size;
	int fd, ret;

	tmk_segment_name(first, name);
	fd = o->io->open(o->io, o->dir, name, O_RDONLY | O_NOFOLLOW, 0);
	if (fd < 0)
		return tmk_error_sys(err, fd == -ENOENT ? -EUCLEAN : fd, "cannot open the journal's segment %s", name);
	size = o->io->size(o->io, fd);
	o->io->close(o->io, fd);
	if (size < 0)
		return tmk_error_sys(err, size, "cannot ask the size of the journal's segment %s", name);
	if ((uint64_t)size > TMK_SEGMENT_HEADER)
		return 0;
	ret = tmk_segment_open(&w, o->io, o->dir, O_RDONLY, o->protection, first, err);
	tmk_segment_close(&w);
	if (ret == -EXDEV || ret == -EPROTONOSUPPORT)
		return 0; /* which the survey meets again */
	if (ret != -EBADMSG)
		return ret;
	s->found->unborn = true;
	s->found->unborn_first = first;
	if (first - 1 > s->known)
		s->known = first - 1;
	s->list.count--;
	return 0;
}

/* Where entries begin that no later one says were durable. */
static int find_unproven(struct surveyor *s, struct tmk_error *err)
{
	const struct tmk_journal_options *o = s->options;
	int ret;

	if (!s->found->current)
		return 0;
	ret = tmk_segment_open(&s->walk, o->io, o->dir, O_RDONLY, o->protection, s->found->first, err);
	if (!ret)
		ret = tmk_segment_seek(&s->walk, s->known < s->found->end.number ? s->known : s->found->end.number, err);
	s->found->unproven = s->walk.at;
	tmk_segment_close(&s->walk);
	return ret;
}

static int survey(struct surveyor *s, struct tmk_error *err)
{
	const struct tmk_place *applied = &s->options->applied;
	ssize_t begin;
	int ret = tmk_segment_list(s->options->dir, &s->list, err);

	if (!ret && s->list.count)
		ret = find_unborn(s, err);
	if (ret)
		return ret;
	begin = tmk_segment_holding(&s->list, applied->number);
	if (begin < 0)
		begin = tmk_segment_holding(&s->list, applied->number + 1);
	if (s->list.count && begin < 0) {
		tmk_error_set(err, -EUCLEAN, "the journal begins with chunk %" PRIu64 ", the replica ends with %" PRIu64,
			      s->list.first[0], applied->number);
		return rot(err, "replica and journal do not fit together");
	}
	for (size_t i = begin; !ret && i < s->list.count; i++)
		ret = survey_segment(s, i, begin, err);
	if (!ret)
		ret = find_unproven(s, err);
	if (!ret && s->found->end.number < s->known && applied->number < s->known) {
		tmk_error_set(err, -EUCLEAN, "chunks %" PRIu64 " to %" PRIu64 " had been acked and are missing",
			      s->found->end.number + 1, s->known);
		return rot(err, "a hole in the journal");
	}
	if (!ret && s->found->end.number < applied->number) {
		s->found->stale = true;
		s->found->end = *applied;
		memset(s->found->epoch, 0, TMK_EPOCH_SIZE);
	}
	return ret;
}

int tmk_survey(const struct tmk_journal_options *options, struct tmk_survey *out, struct tmk_error *err)
{
	struct surveyor s = {.options = options, .found = out, .walk.fd = -1, .known = options->applied.number};
	struct tmk_error unwanted;
	int ret;

	err = err ? err : &unwanted;
	memset(out, 0, sizeof(*out));
	s.payload = malloc(2 * TMK_CHUNK_RAW_MAX);
	if (!s.payload)
		return tmk_error_set(err, -ENOMEM, "no memory to read the journal");
	s.raw = s.payload + TMK_CHUNK_RAW_MAX;
	ret = survey(&s, err);
	tmk_segment_list_free(&s.list);
	free(s.payload);
	return ret;
}

/* ---- repair ---- */

static int write_again(const struct tmk_io *io, int fd, uint64_t from, uint64_t to)
{
	uint8_t *block = malloc(SCAN_BLOCK);
	int ret = block ? 0 : -ENOMEM;

	while (!ret && from < to) {
		size_t size = to - from < SCAN_BLOCK ? to - from : SCAN_BLOCK;

		ret = io->read(io, fd, block, size, from);
		if (!ret)
			ret = io->write(io, fd, block, size, from);
		from += size;
	}
	free(block);
	return ret;
}

/* A flush of a file to which nothing was written says nothing of its disk: then its header is written. */
static int prove(const struct tmk_io *io, int fd, const struct tmk_survey *found)
{
	int ret = found->unproven < found->good ? write_again(io, fd, found->unproven, found->good)
						: write_again(io, fd, 0, TMK_SEGMENT_HEADER);

	return ret ? ret : io->flush(io, fd);
}

int tmk_survey_repair(const struct tmk_journal_options *options, const struct tmk_survey *found, int *fd, struct tmk_error *err)
{
	const struct tmk_io *io = options->io;
	char name[TMK_SEGMENT_NAME];
	int ret = 0;

	*fd = -1;
	if (found->unborn) {
		tmk_segment_name(found->unborn_first, name);
		ret = io->unlink(io, options->dir, name);
	}
	if (!ret && found->current) {
		tmk_segment_name(found->first, name);
		*fd = io->open(io, options->dir, name, O_RDWR | O_NOFOLLOW, 0);
		ret = *fd < 0 ? *fd : 0;
		if (!ret && found->good < found->size)
			ret = io->truncate(io, *fd, found->good);
		if (!ret)
			ret = prove(io, *fd, found);
	}
	if (!ret)
		ret = io->flush_dir(io, options->dir);
	if (!ret)
		return 0;
	if (*fd >= 0)
		io->close(io, *fd);
	*fd = -1;
	return tmk_error_sys(err, ret, "cannot make the journal durable again: is its disk in order?");
}
