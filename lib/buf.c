/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See buf.h. Fields are put together byte by byte: nothing depends on alignment or on the machine's byte order. */
#include "buf.h"

#include <string.h>

struct tmk_reader tmk_reader(const void *data, size_t size)
{
	return (struct tmk_reader){.data = data, .size = size};
}

const uint8_t *tmk_get_span(struct tmk_reader *r, size_t size)
{
	const uint8_t *at;

	if (r->failed || size > r->size - r->at) {
		r->failed = true;
		return NULL;
	}
	at = r->data + r->at;
	r->at += size;
	return at;
}

static uint64_t get(struct tmk_reader *r, unsigned int bytes)
{
	const uint8_t *at = tmk_get_span(r, bytes);
	uint64_t v = 0;

	if (!at)
		return 0;
	while (bytes--)
		v = v << 8 | at[bytes];
	return v;
}

uint8_t tmk_get_u8(struct tmk_reader *r)
{
	return get(r, 1);
}

uint16_t tmk_get_u16(struct tmk_reader *r)
{
	return get(r, 2);
}

uint32_t tmk_get_u32(struct tmk_reader *r)
{
	return get(r, 4);
}

uint64_t tmk_get_u64(struct tmk_reader *r)
{
	return get(r, 8);
}

void tmk_get_bytes(struct tmk_reader *r, void *out, size_t size)
{
	const uint8_t *at = tmk_get_span(r, size);

	if (!size)
		return;
	if (at)
		memcpy(out, at, size);
	else
		memset(out, 0, size);
}

/* Bytes of the character at s, 0 if it is not allowed in a string: not shortest-form UTF-8, a surrogate, or a control
 * character (C0 but newline, DEL, C1: terminals act on them). */
static size_t character(const uint8_t *s, size_t size)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t c = s[0];
	size_t length;

	if (c < 0x80)
		return (c >= 0x20 && c != 0x7f) || c == '\n';
	length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0xc2 || c > 0xf4 || length > size)
		return 0;
	c &= 0x7f >> length;
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) || c < 0xa0)
		return 0;
	return length;
}

static bool text_valid(const uint8_t *s, size_t size)
{
	while (size) {
		size_t n = character(s, size);

		if (!n)
			return false;
		s += n;
		size -= n;
	}
	return true;
}

void tmk_get_string(struct tmk_reader *r, char *out, size_t size)
{
	uint16_t length = tmk_get_u16(r);
	const uint8_t *at = tmk_get_span(r, length);

	if (size)
		out[0] = 0;
	if (!at)
		return;
	if (length >= size || !text_valid(at, length)) {
		r->failed = true;
		return;
	}
	memcpy(out, at, length);
	out[length] = 0;
}

bool tmk_reader_done(const struct tmk_reader *r)
{
	return !r->failed && r->at == r->size;
}

struct tmk_writer_buf tmk_writer_buf(void *data, size_t size)
{
	return (struct tmk_writer_buf){.data = data, .size = size};
}

static uint8_t *room(struct tmk_writer_buf *w, size_t size)
{
	uint8_t *at;

	if (w->failed || size > w->size - w->at) {
		w->failed = true;
		return NULL;
	}
	at = w->data + w->at;
	w->at += size;
	return at;
}

static void put(struct tmk_writer_buf *w, uint64_t v, unsigned int bytes)
{
	uint8_t *at = room(w, bytes);

	for (unsigned int i = 0; at && i < bytes; i++, v >>= 8)
		at[i] = v;
}

void tmk_put_u8(struct tmk_writer_buf *w, uint8_t v)
{
	put(w, v, 1);
}

void tmk_put_u16(struct tmk_writer_buf *w, uint16_t v)
{
	put(w, v, 2);
}

void tmk_put_u32(struct tmk_writer_buf *w, uint32_t v)
{
	put(w, v, 4);
}

void tmk_put_u64(struct tmk_writer_buf *w, uint64_t v)
{
	put(w, v, 8);
}

void tmk_put_bytes(struct tmk_writer_buf *w, const void *data, size_t size)
{
	uint8_t *at = room(w, size);

	if (at && size)
		memcpy(at, data, size);
}

void tmk_put_string(struct tmk_writer_buf *w, const char *s)
{
	size_t length = strlen(s);

	if (length > UINT16_MAX || !text_valid((const uint8_t *)s, length)) {
		w->failed = true;
		return;
	}
	tmk_put_u16(w, length);
	tmk_put_bytes(w, s, length);
}

void tmk_string_clean(char *s)
{
	size_t size = strlen(s);

	while (size) {
		size_t n = character((const uint8_t *)s, size);

		if (!n) {
			*s = '?';
			n = 1;
		}
		s += n;
		size -= n;
	}
}
