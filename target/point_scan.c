/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See point_scan.h and tmk_point_scan() of applier.h. */
#include "point_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "journal_recover.h"

int tmk_point_of_chunk(const struct tmk_journal_chunk *chunk, struct tmk_point *out, struct tmk_error *err)
{
	struct tmk_walk w = tmk_walk(&chunk->header, chunk->raw);
	struct tmk_record record;
	const uint8_t *body;

	memset(out, 0, sizeof(*out));
	while (tmk_walk_next(&w, &record, &body)) {
		if (record.type != TMK_MARK)
			continue;
		out->number = chunk->header.number;
		memcpy(out->hash, chunk->hash, TMK_HASH_SIZE);
		out->generation = chunk->header.generation;
		out->target_time = chunk->target_time;
		return tmk_mark_decode(body, record.body, &out->mark, err);
	}
	return tmk_error_set(err, -EUCLEAN, "chunk %" PRIu64 " does not end in a mark", chunk->header.number);
}

/* The place before a chunk. */
static int place_before(const struct tmk_io *io, int dir, const uint8_t protection[TMK_UUID_SIZE], uint64_t number,
			struct tmk_place *out, struct tmk_error *err)
{
	struct tmk_segment_list list;
	struct tmk_segment_walk w;
	ssize_t index;
	int ret = tmk_segment_list(dir, &list, err);

	if (ret)
		return ret;
	index = tmk_segment_holding(&list, number);
	if (index < 0)
		ret = -ENOENT;
	else
		ret = tmk_segment_open(&w, io, dir, O_RDONLY, protection, list.first[index], err);
	tmk_segment_list_free(&list);
	if (ret)
		return ret;
	ret = tmk_segment_seek(&w, number - 1, err);
	*out = w.place;
	tmk_segment_close(&w);
	return ret;
}

int tmk_point_find(const struct tmk_io *io, int journal_dir, const uint8_t protection[TMK_UUID_SIZE],
		   const struct tmk_disk_sizes *sizes, const struct tmk_place *place, struct tmk_point *out,
		   struct tmk_error *err)
{
	struct tmk_journal_cursor *cursor = NULL;
	struct tmk_journal_chunk chunk;
	struct tmk_place before;
	int ret = place->number ? place_before(io, journal_dir, protection, place->number, &before, NULL) : -ENOENT;

	if (!ret)
		ret = tmk_journal_cursor_open(&cursor, io, journal_dir, protection, sizes, &before, err);
	if (!ret)
		ret = tmk_journal_cursor_next(cursor, place->number, &chunk, NULL);
	if (!ret && (!chunk.marked || memcmp(chunk.hash, place->hash, TMK_HASH_SIZE)))
		ret = -ENOENT;
	if (!ret)
		ret = tmk_point_of_chunk(&chunk, out, err);
	tmk_journal_cursor_close(cursor);
	if (!ret || ret == -ENOMEM)
		return ret;
	return tmk_error_set(err, -ENOENT, "the journal does not hold the mark of chunk %" PRIu64, place->number);
}

/* The first place that the journal can be read from, and the last. */
static int ends(struct tmk_journal_options *o, struct tmk_place *end, bool *empty, struct tmk_error *err)
{
	struct tmk_segment_list list;
	struct tmk_segment_walk w;
	struct tmk_survey found;
	int ret = tmk_segment_list(o->dir, &list, err);

	*empty = !ret && !list.count;
	if (!ret && list.count) {
		ret = tmk_segment_open(&w, o->io, o->dir, O_RDONLY, o->protection, list.first[0], err);
		if (ret == -EBADMSG && list.count == 1) /* perhaps never finished: the survey knows */
			o->applied = (struct tmk_place){.number = list.first[0] - 1};
		else if (ret)
			ret = ret == -EBADMSG || ret == -EXDEV ? tmk_error_prefix(err, "rot in the journal"), -EUCLEAN : ret;
		else
			o->applied = w.place;
		if (ret == -EBADMSG)
			ret = 0;
		tmk_segment_close(&w);
	}
	tmk_segment_list_free(&list);
	if (!ret && !*empty)
		ret = tmk_survey(o, &found, err);
	if (!ret && !*empty)
		*end = found.end;
	return ret;
}

int tmk_point_scan(const struct tmk_io *io, int journal_dir, const uint8_t protection[TMK_UUID_SIZE],
		   const struct tmk_disk_sizes *sizes, void (*point)(const struct tmk_point *point, void *context), void *context,
		   struct tmk_error *err)
{
	struct tmk_journal_options o = {.io = io, .dir = journal_dir, .sizes = *sizes};
	struct tmk_journal_cursor *cursor;
	struct tmk_journal_chunk chunk;
	struct tmk_place end;
	struct tmk_point p;
	bool empty;
	int ret;

	memcpy(o.protection, protection, TMK_UUID_SIZE);
	ret = ends(&o, &end, &empty, err);
	if (ret || empty)
		return ret;
	ret = tmk_journal_cursor_open(&cursor, io, journal_dir, protection, sizes, &o.applied, err);
	if (ret)
		return ret;
	while (!(ret = tmk_journal_cursor_next(cursor, end.number, &chunk, err))) {
		if (!chunk.marked)
			continue;
		ret = tmk_point_of_chunk(&chunk, &p, err);
		if (ret)
			break;
		point(&p, context);
	}
	tmk_journal_cursor_close(cursor);
	return ret == -EAGAIN ? 0 : ret;
}
