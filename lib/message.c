/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See message.h. A peer of another version may lay its message out differently: only what stands before the version and the
 * feature bits is read then, and the decoder says -EPROTONOSUPPORT instead of -EBADMSG.
 */
#include "message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"

bool tmk_name_valid(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t length = strlen(name);

	return length && length <= TMK_NAME_MAX && strspn(name, letters) == length && *name != '.' && *name != '-';
}

static size_t written(const struct tmk_writer_buf *w)
{
	return w->failed ? 0 : w->at;
}

static int broken(struct tmk_error *err, const char *what)
{
	return tmk_error_set(err, -EBADMSG, "broken %s message", what);
}

static int version_check(uint16_t version, uint64_t features, struct tmk_error *err)
{
	if (version != TMK_WIRE_VERSION)
		return tmk_error_set(
			err, -EPROTONOSUPPORT,
			"the other side speaks version %u, this one %u: install the same version of tidemark on both", version,
			TMK_WIRE_VERSION);
	if (features)
		return tmk_error_set(err, -EPROTONOSUPPORT,
				     "the other side asks for features (%" PRIx64
				     ") that this one does not have: install the same "
				     "version of tidemark on both",
				     features);
	return 0;
}

/* For texts to people: what does not fit or is not allowed must not keep the rest from being said. */
static void put_text(struct tmk_writer_buf *w, const char *text)
{
	char clean[1024];

	snprintf(clean, sizeof(clean), "%s", text);
	tmk_string_clean(clean);
	tmk_put_string(w, clean);
}

/* ---- HELLO ---- */

size_t tmk_hello_encode(const struct tmk_hello *m, uint8_t *out, size_t size)
{
	struct tmk_writer_buf w = tmk_writer_buf(out, size);

	if (m->disk_count > TMK_DISKS_MAX)
		return 0;
	tmk_put_u16(&w, m->version);
	tmk_put_u64(&w, m->features);
	tmk_put_string(&w, m->name);
	tmk_put_bytes(&w, m->protection, sizeof(m->protection));
	tmk_put_u64(&w, m->generation);
	tmk_put_bytes(&w, m->epoch, sizeof(m->epoch));
	tmk_put_u64(&w, m->acked_number);
	tmk_put_bytes(&w, m->acked_hash, sizeof(m->acked_hash));
	tmk_put_string(&w, m->host);
	tmk_put_u16(&w, m->disk_count);
	for (unsigned int i = 0; i < m->disk_count; i++) {
		tmk_put_u64(&w, m->disks[i].size);
		tmk_put_u32(&w, m->disks[i].block_size);
		tmk_put_u8(&w, m->disks[i].zeroes);
		tmk_put_string(&w, m->disks[i].name);
		tmk_put_string(&w, m->disks[i].identity);
	}
	return written(&w);
}

static bool hello_disk_decode(struct tmk_reader *r, struct tmk_hello_disk *out)
{
	out->size = tmk_get_u64(r);
	out->block_size = tmk_get_u32(r);
	out->zeroes = tmk_get_u8(r);
	tmk_get_string(r, out->name, sizeof(out->name));
	tmk_get_string(r, out->identity, sizeof(out->identity));
	return !r->failed && out->size && out->size <= INT64_MAX && !(out->size % TMK_SECTOR) && out->block_size &&
	       !(out->block_size % TMK_SECTOR) && out->zeroes <= 1;
}

int tmk_hello_decode(const uint8_t *body, size_t size, struct tmk_hello *out, struct tmk_error *err)
{
	struct tmk_reader r = tmk_reader(body, size);
	int ret;

	memset(out, 0, sizeof(*out));
	out->version = tmk_get_u16(&r);
	out->features = tmk_get_u64(&r);
	if (r.failed)
		return broken(err, "HELLO");
	ret = version_check(out->version, out->features, err);
	if (ret)
		return ret;
	tmk_get_string(&r, out->name, sizeof(out->name));
	tmk_get_bytes(&r, out->protection, sizeof(out->protection));
	out->generation = tmk_get_u64(&r);
	tmk_get_bytes(&r, out->epoch, sizeof(out->epoch));
	out->acked_number = tmk_get_u64(&r);
	tmk_get_bytes(&r, out->acked_hash, sizeof(out->acked_hash));
	tmk_get_string(&r, out->host, sizeof(out->host));
	out->disk_count = tmk_get_u16(&r);
	if (r.failed || !out->disk_count || out->disk_count > TMK_DISKS_MAX)
		return broken(err, "HELLO");
	for (unsigned int i = 0; i < out->disk_count; i++)
		if (!hello_disk_decode(&r, &out->disks[i]))
			return broken(err, "HELLO");
	if (!tmk_reader_done(&r))
		return broken(err, "HELLO");
	if (!tmk_name_valid(out->name))
		return tmk_error_set(err, -EBADMSG, "the name of the protection is not valid");
	return 0;
}

/* ---- WELCOME ---- */

size_t tmk_welcome_encode(const struct tmk_welcome *m, uint8_t *out, size_t size)
{
	struct tmk_writer_buf w = tmk_writer_buf(out, size);

	tmk_put_u16(&w, m->version);
	tmk_put_u64(&w, m->features);
	tmk_put_u8(&w, m->relation);
	tmk_put_u64(&w, m->generation);
	tmk_put_u64(&w, m->last_number);
	tmk_put_bytes(&w, m->last_hash, sizeof(m->last_hash));
	tmk_put_u32(&w, m->window);
	tmk_put_u8(&w, m->holds);
	return written(&w);
}

int tmk_welcome_decode(const uint8_t *body, size_t size, struct tmk_welcome *out, struct tmk_error *err)
{
	static const uint8_t empty[TMK_HASH_SIZE];
	struct tmk_reader r = tmk_reader(body, size);
	int ret;

	memset(out, 0, sizeof(*out));
	out->version = tmk_get_u16(&r);
	out->features = tmk_get_u64(&r);
	if (r.failed)
		return broken(err, "WELCOME");
	ret = version_check(out->version, out->features, err);
	if (ret)
		return ret;
	out->relation = tmk_get_u8(&r);
	out->generation = tmk_get_u64(&r);
	out->last_number = tmk_get_u64(&r);
	tmk_get_bytes(&r, out->last_hash, sizeof(out->last_hash));
	out->window = tmk_get_u32(&r);
	out->holds = tmk_get_u8(&r);
	if (!tmk_reader_done(&r) || out->relation < TMK_EQUAL || out->relation > TMK_BEHIND || !out->window || out->holds > 1)
		return broken(err, "WELCOME");
	if (!out->last_number && memcmp(out->last_hash, empty, sizeof(empty)))
		return broken(err, "WELCOME");
	return 0;
}

/* ---- REWIND ---- */

size_t tmk_rewind_encode(const struct tmk_rewind *m, uint8_t *out, size_t size)
{
	struct tmk_writer_buf w = tmk_writer_buf(out, size);

	if (m->count > TMK_REWIND_EXTENTS)
		return 0;
	tmk_put_u8(&w, m->more);
	tmk_put_u32(&w, m->count);
	for (uint32_t i = 0; i < m->count; i++) {
		tmk_put_u16(&w, m->extents[i].disk);
		tmk_put_u64(&w, m->extents[i].offset);
		tmk_put_u64(&w, m->extents[i].length);
	}
	return written(&w);
}

static bool range_valid(uint16_t disk, uint64_t offset, uint64_t length)
{
	return disk < TMK_DISKS_MAX && length && !(offset % TMK_SECTOR) && !(length % TMK_SECTOR) && offset <= INT64_MAX &&
	       length <= INT64_MAX - offset;
}

static bool extent_decode(struct tmk_reader *r, struct tmk_rewind_extent *out)
{
	out->disk = tmk_get_u16(r);
	out->offset = tmk_get_u64(r);
	out->length = tmk_get_u64(r);
	return !r->failed && range_valid(out->disk, out->offset, out->length);
}

int tmk_rewind_decode(const uint8_t *body, size_t size, struct tmk_rewind *out, struct tmk_error *err)
{
	struct tmk_reader r = tmk_reader(body, size);

	out->more = tmk_get_u8(&r);
	out->count = tmk_get_u32(&r);
	if (r.failed || out->more > 1 || out->count > TMK_REWIND_EXTENTS)
		return broken(err, "REWIND");
	for (uint32_t i = 0; i < out->count; i++)
		if (!extent_decode(&r, &out->extents[i]))
			return broken(err, "REWIND");
	return tmk_reader_done(&r) ? 0 : broken(err, "REWIND");
}

/* ---- COMPARED ---- */

size_t tmk_compared_encode(const struct tmk_compared *m, uint8_t *out, size_t size)
{
	struct tmk_writer_buf w = tmk_writer_buf(out, size);

	if (m->count > TMK_COMPARED_EXTENTS)
		return 0;
	tmk_put_u64(&w, m->number);
	tmk_put_u8(&w, m->more);
	tmk_put_u32(&w, m->count);
	for (uint32_t i = 0; i < m->count; i++) {
		tmk_put_u8(&w, m->extents[i].verdict);
		tmk_put_u16(&w, m->extents[i].disk);
		tmk_put_u64(&w, m->extents[i].offset);
		tmk_put_u64(&w, m->extents[i].length);
	}
	return written(&w);
}

static bool compared_extent_decode(struct tmk_reader *r, struct tmk_compared_extent *out)
{
	out->verdict = tmk_get_u8(r);
	out->disk = tmk_get_u16(r);
	out->offset = tmk_get_u64(r);
	out->length = tmk_get_u64(r);
	return !r->failed && (out->verdict == TMK_DIFFERS || out->verdict == TMK_UNDECIDED) &&
	       range_valid(out->disk, out->offset, out->length);
}

int tmk_compared_decode(const uint8_t *body, size_t size, struct tmk_compared *out, struct tmk_error *err)
{
	struct tmk_reader r = tmk_reader(body, size);

	out->number = tmk_get_u64(&r);
	out->more = tmk_get_u8(&r);
	out->count = tmk_get_u32(&r);
	if (r.failed || !out->number || out->more > 1 || out->count > TMK_COMPARED_EXTENTS)
		return broken(err, "COMPARED");
	for (uint32_t i = 0; i < out->count; i++)
		if (!compared_extent_decode(&r, &out->extents[i]))
			return broken(err, "COMPARED");
	return tmk_reader_done(&r) ? 0 : broken(err, "COMPARED");
}

/* ---- JOIN, JOINED ---- */

size_t tmk_join_encode(const struct tmk_join *m, uint8_t *out, size_t size)
{
	struct tmk_writer_buf w = tmk_writer_buf(out, size);

	tmk_put_u16(&w, m->version);
	tmk_put_string(&w, m->token);
	tmk_put_string(&w, m->host);
	tmk_put_string(&w, m->request);
	return written(&w);
}

int tmk_join_decode(const uint8_t *body, size_t size, struct tmk_join *out, struct tmk_error *err)
{
	struct tmk_reader r = tmk_reader(body, size);
	int ret;

	memset(out, 0, sizeof(*out));
	out->version = tmk_get_u16(&r);
	if (r.failed)
		return broken(err, "JOIN");
	ret = version_check(out->version, 0, err);
	if (ret)
		return ret;
	tmk_get_string(&r, out->token, sizeof(out->token));
	tmk_get_string(&r, out->host, sizeof(out->host));
	tmk_get_string(&r, out->request, sizeof(out->request));
	return tmk_reader_done(&r) ? 0 : broken(err, "JOIN");
}

size_t tmk_joined_encode(const char *certificate, const char *authority, uint8_t *out, size_t size)
{
	struct tmk_writer_buf w = tmk_writer_buf(out, size);

	tmk_put_string(&w, certificate);
	tmk_put_string(&w, authority);
	return written(&w);
}

int tmk_joined_decode(const uint8_t *body, size_t size, char certificate[8192], char authority[8192], struct tmk_error *err)
{
	struct tmk_reader r = tmk_reader(body, size);

	tmk_get_string(&r, certificate, 8192);
	tmk_get_string(&r, authority, 8192);
	return tmk_reader_done(&r) ? 0 : broken(err, "JOINED");
}

/* ---- REFUSE, NOTE, ACK ---- */

size_t tmk_refuse_encode(enum tmk_refuse code, const char *text, uint8_t *out, size_t size)
{
	struct tmk_writer_buf w = tmk_writer_buf(out, size);

	tmk_put_u16(&w, code);
	put_text(&w, text);
	return written(&w);
}

int tmk_refuse_decode(const uint8_t *body, size_t size, uint16_t *code, char text[1024], struct tmk_error *err)
{
	struct tmk_reader r = tmk_reader(body, size);

	*code = tmk_get_u16(&r);
	tmk_get_string(&r, text, 1024);
	return tmk_reader_done(&r) && *code ? 0 : broken(err, "REFUSE");
}

size_t tmk_note_encode(enum tmk_note level, const char *text, uint8_t *out, size_t size)
{
	struct tmk_writer_buf w = tmk_writer_buf(out, size);

	tmk_put_u8(&w, level);
	put_text(&w, text);
	return written(&w);
}

int tmk_note_decode(const uint8_t *body, size_t size, uint8_t *level, char text[1024], struct tmk_error *err)
{
	struct tmk_reader r = tmk_reader(body, size);

	*level = tmk_get_u8(&r);
	tmk_get_string(&r, text, 1024);
	return tmk_reader_done(&r) && *level <= TMK_NOTE_WARNING ? 0 : broken(err, "NOTE");
}

size_t tmk_ack_encode(uint64_t number, uint8_t *out, size_t size)
{
	struct tmk_writer_buf w = tmk_writer_buf(out, size);

	tmk_put_u64(&w, number);
	return written(&w);
}

int tmk_ack_decode(const uint8_t *body, size_t size, uint64_t *number, struct tmk_error *err)
{
	struct tmk_reader r = tmk_reader(body, size);

	*number = tmk_get_u64(&r);
	return tmk_reader_done(&r) ? 0 : broken(err, "ACK");
}
