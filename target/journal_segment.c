/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See journal_segment.h. */
#include "journal_segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "sum.h"
#include "util.h"

#define SEGMENT_SUMMED (sizeof(struct tmk_segment) - 8)
#define ENTRY_SUMMED (sizeof(struct tmk_entry) - 8)

/* ---- names ---- */

void tmk_segment_name(uint64_t first, char out[TMK_SEGMENT_NAME])
{
	snprintf(out, TMK_SEGMENT_NAME, "%016" PRIx64 ".seg", first);
}

static bool name_parse(const char *name, uint64_t *first)
{
	char again[TMK_SEGMENT_NAME];

	if (sscanf(name, "%16" SCNx64, first) != 1)
		return false;
	tmk_segment_name(*first, again);
	return !strcmp(name, again);
}

/* Calls back for each segment in the directory, which is opened anew: the caller's descriptor keeps its position. */
static int each_segment(int dir, int (*each)(int dir, const char *name, uint64_t first, void *context), void *context,
			struct tmk_error *err)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	uint64_t first;

	if (!d) {
		ret = tmk_error_sys(err, -errno, "cannot read the journal's directory");
		if (fd >= 0)
			close(fd);
		return ret;
	}
	while (!ret && (errno = 0, entry = readdir(d)))
		if (name_parse(entry->d_name, &first))
			ret = each(fd, entry->d_name, first, context);
	if (ret)
		tmk_error_sys(err, ret, "cannot list the journal's segments");
	else if (errno)
		ret = tmk_error_sys(err, -errno, "cannot read the journal's directory");
	closedir(d);
	return ret;
}

static int list_add(int dir, const char *name, uint64_t first, void *context)
{
	struct tmk_segment_list *list = context;
	uint64_t *grown;

	(void)dir;
	(void)name;
	if (!(list->count & (list->count + 1))) { /* room is always 2^n - 1 */
		grown = realloc(list->first, (list->count * 2 + 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		list->first = grown;
	}
	list->first[list->count++] = first;
	return 0;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int tmk_segment_list(int dir, struct tmk_segment_list *out, struct tmk_error *err)
{
	int ret;

	*out = (struct tmk_segment_list){0};
	ret = each_segment(dir, list_add, out, err);
	if (ret)
		tmk_segment_list_free(out);
	else if (out->count)
		qsort(out->first, out->count, sizeof(*out->first), ascending);
	return ret;
}

void tmk_segment_list_free(struct tmk_segment_list *list)
{
	free(list->first);
	*list = (struct tmk_segment_list){0};
}

ssize_t tmk_segment_holding(const struct tmk_segment_list *list, uint64_t number)
{
	ssize_t i = (ssize_t)list->count - 1;

	while (i >= 0 && list->first[i] > number)
		i--;
	return i;
}

static int bytes_add(int dir, const char *name, uint64_t first, void *context)
{
	uint64_t *sum = context;
	struct stat st;

	(void)first;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno; /* trimmed meanwhile */
	*sum += st.st_size;
	return 0;
}

int tmk_segment_bytes(int dir, uint64_t *out, struct tmk_error *err)
{
	*out = 0;
	return each_segment(dir, bytes_add, out, err);
}

/* ---- headers ---- */

static void header_encode(const uint8_t protection[TMK_UUID_SIZE], const struct tmk_place *place, uint8_t out[TMK_SEGMENT_HEADER])
{
	struct tmk_writer_buf w = tmk_writer_buf(out, TMK_SEGMENT_HEADER);
	static const uint8_t reserved[48];

	tmk_put_u32(&w, TMK_SEGMENT_MAGIC);
	tmk_put_u16(&w, TMK_SEGMENT_VERSION);
	tmk_put_u16(&w, 0);
	tmk_put_u64(&w, 0);
	tmk_put_bytes(&w, protection, TMK_UUID_SIZE);
	tmk_put_u64(&w, place->number + 1);
	tmk_put_bytes(&w, place->hash, TMK_HASH_SIZE);
	tmk_put_bytes(&w, reserved, sizeof(reserved));
	tmk_put_u64(&w, tmk_sum64(out, SEGMENT_SUMMED));
}

static int header_decode(const uint8_t bytes[TMK_SEGMENT_HEADER], const char *name, const uint8_t protection[TMK_UUID_SIZE],
			 uint64_t first, struct tmk_place *place, struct tmk_error *err)
{
	struct tmk_reader r = tmk_reader(bytes, TMK_SEGMENT_HEADER);
	uint32_t magic = tmk_get_u32(&r);
	uint16_t version = tmk_get_u16(&r), reserved = tmk_get_u16(&r);
	uint64_t features = tmk_get_u64(&r);
	const uint8_t *owner = tmk_get_span(&r, TMK_UUID_SIZE);
	uint64_t begins = tmk_get_u64(&r);
	const uint8_t *rest;

	tmk_get_bytes(&r, place->hash, TMK_HASH_SIZE);
	rest = tmk_get_span(&r, 48);
	place->number = first - 1;
	if (magic != TMK_SEGMENT_MAGIC || tmk_get_u64(&r) != tmk_sum64(bytes, SEGMENT_SUMMED))
		return tmk_error_set(err, -EBADMSG, "%s: the segment's header is damaged", name);
	if (version != TMK_SEGMENT_VERSION || features || reserved || !tmk_all_zero(rest, 48))
		return tmk_error_set(err, -EPROTONOSUPPORT,
				     "%s: made by a newer program (version %u, features %" PRIx64 "): use that, or a newer one",
				     name, version, features);
	if (memcmp(owner, protection, TMK_UUID_SIZE))
		return tmk_error_set(err, -EXDEV, "%s: a segment of another protection", name);
	if (begins != first)
		return tmk_error_set(err, -EXDEV, "%s: the segment begins with chunk %" PRIu64 ", not where its name says", name,
				     begins);
	return 0;
}

int tmk_segment_create(const struct tmk_io *io, int dir, const uint8_t protection[TMK_UUID_SIZE], const struct tmk_place *place,
		       struct tmk_error *err)
{
	uint8_t header[TMK_SEGMENT_HEADER];
	char name[TMK_SEGMENT_NAME];
	int fd, ret;

	tmk_segment_name(place->number + 1, name);
	fd = io->open(io, dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0)
		return tmk_error_sys(err, fd, "cannot make the journal's segment %s", name);
	header_encode(protection, place, header);
	ret = io->write(io, fd, header, sizeof(header), 0);
	if (!ret)
		ret = io->flush(io, fd);
	if (!ret)
		ret = io->flush_dir(io, dir);
	if (!ret)
		return fd;
	tmk_error_sys(err, ret, "cannot write the journal's segment %s", name);
	io->close(io, fd);
	io->unlink(io, dir, name);
	return ret;
}

/* ---- walking ---- */

static int refresh_size(struct tmk_segment_walk *w, struct tmk_error *err)
{
	int64_t size = w->io->size(w->io, w->fd);

	if (size < 0)
		return tmk_error_sys(err, size, "cannot ask the size of the journal's segment %016" PRIx64, w->first);
	w->size = size;
	return 0;
}

static int read_at(struct tmk_segment_walk *w, void *data, size_t size, uint64_t offset, struct tmk_error *err)
{
	int ret = w->io->read(w->io, w->fd, data, size, offset);

	if (ret == -ENODATA)
		return tmk_error_set(err, -EBADMSG, "segment %016" PRIx64 " ends within what is at byte %" PRIu64, w->first,
				     offset);
	return ret ? tmk_error_sys(err, ret, "cannot read the journal's segment %016" PRIx64, w->first) : 0;
}

int tmk_segment_open(struct tmk_segment_walk *w, const struct tmk_io *io, int dir, int flags,
		     const uint8_t protection[TMK_UUID_SIZE], uint64_t first, struct tmk_error *err)
{
	uint8_t header[TMK_SEGMENT_HEADER];
	char name[TMK_SEGMENT_NAME];
	int ret;

	*w = (struct tmk_segment_walk){.io = io, .first = first, .at = TMK_SEGMENT_HEADER, .fd = -1};
	tmk_segment_name(first, name);
	w->fd = io->open(io, dir, name, flags | O_NOFOLLOW, 0);
	if (w->fd < 0)
		return tmk_error_sys(err, w->fd, "cannot open the journal's segment %s", name);
	ret = refresh_size(w, err);
	if (!ret)
		ret = read_at(w, header, sizeof(header), 0, err);
	if (!ret)
		ret = header_decode(header, name, protection, first, &w->place, err);
	if (ret)
		tmk_segment_close(w);
	return ret;
}

void tmk_segment_close(struct tmk_segment_walk *w)
{
	if (w->fd >= 0)
		w->io->close(w->io, w->fd);
	w->fd = -1;
}

void tmk_segment_entry_encode(const struct tmk_entry *entry, uint8_t out[sizeof(struct tmk_entry)])
{
	struct tmk_writer_buf w = tmk_writer_buf(out, sizeof(struct tmk_entry));

	tmk_put_u32(&w, TMK_ENTRY_MAGIC);
	tmk_put_u32(&w, entry->length);
	tmk_put_u64(&w, entry->durable);
	tmk_put_u64(&w, entry->target_time);
	tmk_put_u64(&w, tmk_sum64(out, ENTRY_SUMMED));
}

bool tmk_segment_entry_decode(const uint8_t bytes[sizeof(struct tmk_entry)], struct tmk_entry *out)
{
	struct tmk_reader r = tmk_reader(bytes, sizeof(struct tmk_entry));

	out->magic = tmk_get_u32(&r);
	out->length = tmk_get_u32(&r);
	out->durable = tmk_get_u64(&r);
	out->target_time = tmk_get_u64(&r);
	out->sum = tmk_get_u64(&r);
	return out->magic == TMK_ENTRY_MAGIC && out->sum == tmk_sum64(bytes, ENTRY_SUMMED) &&
	       out->length > TMK_CHUNK_HEADER_SIZE && out->length <= TMK_CHUNK_HEADER_SIZE + TMK_CHUNK_RAW_MAX;
}

static int entry_bad(const struct tmk_segment_walk *w, struct tmk_error *err, const char *what)
{
	return tmk_error_set(err, -EBADMSG, "chunk %" PRIu64 " at byte %" PRIu64 " of segment %016" PRIx64 ": %s",
			     w->place.number + 1, w->at, w->first, what);
}

/* Does the entry whose header this is follow what lies behind, and fit into the file? */
static int entry_check(const struct tmk_segment_walk *w, const uint8_t bytes[TMK_ENTRY_HEADER], struct tmk_segment_entry *out,
		       struct tmk_error *err)
{
	const uint8_t *header = bytes + sizeof(struct tmk_entry);

	if (!tmk_segment_entry_decode(bytes, &out->entry))
		return entry_bad(w, err, "the entry's header is damaged");
	if (tmk_chunk_header(header, &out->chunk, NULL))
		return entry_bad(w, err, "the chunk's header is damaged");
	if (out->chunk.stored_length != out->entry.length - TMK_CHUNK_HEADER_SIZE)
		return entry_bad(w, err, "the lengths of entry and chunk differ");
	if (out->chunk.number != w->place.number + 1)
		return entry_bad(w, err, "another chunk is there");
	if (memcmp(out->chunk.prev_hash, w->place.hash, TMK_HASH_SIZE))
		return entry_bad(w, err, "it does not follow the chunk before it");
	if (out->entry.durable >= out->chunk.number)
		return entry_bad(w, err, "it says to be older than itself");
	if (out->chunk.stored_length > w->size - w->at - TMK_ENTRY_HEADER)
		return entry_bad(w, err, "the file ends within it");
	return 0;
}

int tmk_segment_next(struct tmk_segment_walk *w, struct tmk_segment_entry *out, uint8_t *payload, struct tmk_error *err)
{
	uint8_t bytes[TMK_ENTRY_HEADER];
	int ret = refresh_size(w, err);

	if (ret)
		return ret;
	if (w->at >= w->size)
		return -ENODATA;
	if (w->size - w->at < TMK_ENTRY_HEADER)
		return entry_bad(w, err, "the file ends within it");
	ret = read_at(w, bytes, sizeof(bytes), w->at, err);
	if (!ret)
		ret = entry_check(w, bytes, out, err);
	if (!ret && payload)
		ret = read_at(w, payload, out->chunk.stored_length, w->at + TMK_ENTRY_HEADER, err);
	if (ret)
		return ret;
	tmk_chunk_hash(bytes + sizeof(struct tmk_entry), out->hash);
	out->at = w->at;
	w->at += TMK_ENTRY_HEADER + out->chunk.stored_length;
	w->place.number = out->chunk.number;
	memcpy(w->place.hash, out->hash, TMK_HASH_SIZE);
	return 0;
}

int tmk_segment_seek(struct tmk_segment_walk *w, uint64_t number, struct tmk_error *err)
{
	struct tmk_segment_entry entry;
	int ret = 0;

	while (!ret && w->place.number < number)
		ret = tmk_segment_next(w, &entry, NULL, err);
	return ret;
}
