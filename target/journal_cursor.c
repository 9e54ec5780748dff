/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reading side of the journal (journal.h): owns the beginning. What it is told to be durable has to be there: else it is rot.
 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal_recover.h"

struct tmk_journal_cursor {
	const struct tmk_io *io;
	int dir; /* the caller's */
	uint8_t protection[TMK_UUID_SIZE];
	struct tmk_disk_sizes sizes;
	struct tmk_place place;	      /* the last chunk returned */
	struct tmk_segment_walk walk; /* closed until the first chunk is wanted, and after a fault */
	uint8_t *payload, *raw;	      /* TMK_CHUNK_RAW_MAX each */
};

int tmk_journal_cursor_open(struct tmk_journal_cursor **out, const struct tmk_io *io, int dir,
			    const uint8_t protection[TMK_UUID_SIZE], const struct tmk_disk_sizes *sizes,
			    const struct tmk_place *from, struct tmk_error *err)
{
	struct tmk_journal_cursor *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (c)
		c->payload = malloc(2 * TMK_CHUNK_RAW_MAX);
	if (!c || !c->payload) {
		free(c);
		return tmk_error_set(err, -ENOMEM, "no memory to read the journal");
	}
	c->raw = c->payload + TMK_CHUNK_RAW_MAX;
	c->io = io;
	c->dir = dir;
	memcpy(c->protection, protection, TMK_UUID_SIZE);
	c->sizes = *sizes;
	c->place = *from;
	c->walk.fd = -1;
	*out = c;
	return 0;
}

void tmk_journal_cursor_close(struct tmk_journal_cursor *c)
{
	if (!c)
		return;
	tmk_segment_close(&c->walk);
	free(c->payload);
	free(c);
}

/* The chunk behind `place` cannot be had, though it is durable. */
static int rot(struct tmk_journal_cursor *c, struct tmk_error *err)
{
	struct tmk_error detail = *err;

	tmk_segment_close(&c->walk);
	return tmk_error_set(err, -EUCLEAN, "the journal's chunk %" PRIu64 " cannot be had: %.250s; " TMK_JOURNAL_ADVICE,
			     c->place.number + 1, detail.text);
}

static int fault(struct tmk_journal_cursor *c, int ret, struct tmk_error *err)
{
	if (ret == -EBADMSG || ret == -EXDEV || ret == -ENODATA || ret == -ENOENT)
		return rot(c, err);
	tmk_segment_close(&c->walk);
	return ret;
}

/* Opens the segment that begins or holds the chunk behind `place`, and goes there. */
static int position(struct tmk_journal_cursor *c, struct tmk_error *err)
{
	struct tmk_segment_list list;
	ssize_t index;
	int ret = tmk_segment_list(c->dir, &list, err);

	if (ret)
		return ret;
	index = tmk_segment_holding(&list, c->place.number + 1);
	if (index < 0)
		ret = tmk_error_set(err, -ENOENT, "no segment of the journal holds it");
	else
		ret = tmk_segment_open(&c->walk, c->io, c->dir, O_RDONLY, c->protection, list.first[index], err);
	tmk_segment_list_free(&list);
	if (!ret)
		ret = tmk_segment_seek(&c->walk, c->place.number, err);
	if (ret == -ENODATA)
		tmk_error_set(err, ret, "the journal ends with chunk %" PRIu64, c->walk.place.number);
	if (!ret && memcmp(c->walk.place.hash, c->place.hash, TMK_HASH_SIZE))
		ret = tmk_error_set(err, -EXDEV, "the chunk before it in the journal is not the one that the replica holds");
	return ret;
}

static int next_segment(struct tmk_journal_cursor *c, struct tmk_error *err)
{
	int ret;

	tmk_segment_close(&c->walk);
	ret = tmk_segment_open(&c->walk, c->io, c->dir, O_RDONLY, c->protection, c->place.number + 1, err);
	if (!ret && memcmp(c->walk.place.hash, c->place.hash, TMK_HASH_SIZE))
		ret = tmk_error_set(err, -EXDEV, "its segment does not follow the chunk before");
	return ret;
}

static int read_chunk(struct tmk_journal_cursor *c, struct tmk_journal_chunk *out, struct tmk_error *err)
{
	struct tmk_segment_entry entry;
	int ret = c->walk.fd < 0 ? position(c, err) : 0;

	if (!ret)
		ret = tmk_segment_next(&c->walk, &entry, c->payload, err);
	if (ret == -ENODATA && c->walk.fd >= 0 && c->walk.place.number == c->place.number) {
		ret = next_segment(c, err);
		if (!ret)
			ret = tmk_segment_next(&c->walk, &entry, c->payload, err);
		if (ret == -ENODATA)
			tmk_error_set(err, ret, "the journal ends with chunk %" PRIu64, c->place.number);
	}
	if (!ret)
		ret = tmk_chunk_open(&entry.chunk, c->payload, c->raw, err);
	if (!ret)
		ret = tmk_chunk_check(&entry.chunk, c->raw, &c->sizes, &out->marked, err);
	if (ret)
		return ret;
	out->header = entry.chunk;
	memcpy(out->hash, entry.hash, TMK_HASH_SIZE);
	out->target_time = entry.entry.target_time;
	out->raw = c->raw;
	c->place = c->walk.place;
	return 0;
}

int tmk_journal_cursor_next(struct tmk_journal_cursor *c, uint64_t durable, struct tmk_journal_chunk *out, struct tmk_error *err)
{
	struct tmk_error unwanted = {0};
	int ret;

	if (c->place.number >= durable)
		return -EAGAIN;
	err = err ? err : &unwanted;
	ret = read_chunk(c, out, err);
	return ret ? fault(c, ret, err) : 0;
}

int tmk_journal_last(const struct tmk_io *io, int dir, const uint8_t protection[TMK_UUID_SIZE], uint64_t *out,
		     struct tmk_error *err)
{
	struct tmk_segment_list list;
	struct tmk_segment_walk walk;
	uint64_t first = 0;
	int ret = tmk_segment_list(dir, &list, err);

	*out = 0;
	if (ret)
		return ret;
	if (list.count)
		first = list.first[list.count - 1];
	tmk_segment_list_free(&list);
	if (!first)
		return 0;
	*out = first - 1;
	ret = tmk_segment_open(&walk, io, dir, O_RDONLY, protection, first, err);
	if (!ret)
		ret = tmk_segment_seek(&walk, UINT64_MAX, err);
	if (walk.place.number > *out)
		*out = walk.place.number;
	tmk_segment_close(&walk);
	return ret == -ENODATA || ret == -EBADMSG || ret == -EXDEV || ret == -ENOENT ? 0 : ret;
}

/* ---- the beginning ---- */

static int segment_size(int dir, const char *name, uint64_t *size, struct tmk_error *err)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return tmk_error_sys(err, -errno, "cannot ask the size of the journal's segment %s", name);
	*size = st.st_size;
	return 0;
}

/* The last segment stays in any case: the append side has it. */
static int trim(const struct tmk_io *io, int dir, const struct tmk_segment_list *list, uint64_t keep, uint64_t spare,
		struct tmk_error *err)
{
	char name[TMK_SEGMENT_NAME];
	uint64_t total, size = 0;
	int ret = tmk_segment_bytes(dir, &total, err);

	for (size_t i = 0; !ret && i + 1 < list->count && list->first[i + 1] - 1 <= keep; i++) {
		tmk_segment_name(list->first[i], name);
		ret = segment_size(dir, name, &size, err);
		if (ret || total < size || total - size <= spare)
			break;
		ret = io->unlink(io, dir, name);
		if (ret)
			tmk_error_sys(err, ret, "cannot remove the journal's segment %s", name);
		total -= size;
	}
	return ret;
}

int tmk_journal_trim(const struct tmk_io *io, int dir, uint64_t keep, uint64_t spare, struct tmk_error *err)
{
	struct tmk_segment_list list;
	int ret = tmk_segment_list(dir, &list, err);

	if (!ret && list.count > 1)
		ret = trim(io, dir, &list, keep, spare, err);
	tmk_segment_list_free(&list);
	return ret;
}

/* Newest first: what a crash leaves is a beginning, which says where it ends, and no hole. */
int tmk_journal_wipe(const struct tmk_io *io, int dir, struct tmk_error *err)
{
	struct tmk_segment_list list;
	char name[TMK_SEGMENT_NAME];
	int ret = tmk_segment_list(dir, &list, err);

	if (ret)
		return ret;
	for (size_t i = list.count; !ret && i; i--) {
		tmk_segment_name(list.first[i - 1], name);
		ret = io->unlink(io, dir, name);
	}
	if (!ret)
		ret = io->flush_dir(io, dir);
	tmk_segment_list_free(&list);
	return ret ? tmk_error_sys(err, ret, "cannot remove the journal's segments") : 0;
}
