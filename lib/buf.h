/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounds-checked reading and writing of little-endian fields (I9). A cursor that ran over its end stays failed: callers do all
 * their gets or puts and ask once. Gets from a failed cursor give zeroes. Memory belongs to the caller.
 */
#ifndef TMK_BUF_H
#define TMK_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tmk_reader {
	const uint8_t *data;
	size_t size, at;
	bool failed;
};
struct tmk_writer_buf {
	uint8_t *data;
	size_t size, at;
	bool failed;
};

struct tmk_reader tmk_reader(const void *data, size_t size);
uint8_t tmk_get_u8(struct tmk_reader *r);
uint16_t tmk_get_u16(struct tmk_reader *r);
uint32_t tmk_get_u32(struct tmk_reader *r);
uint64_t tmk_get_u64(struct tmk_reader *r);
void tmk_get_bytes(struct tmk_reader *r, void *out, size_t size);
/* The bytes in place, or NULL. */
const uint8_t *tmk_get_span(struct tmk_reader *r, size_t size);
/* A string (u16 length, bytes) into out with a terminator; fails if it does not fit in `size` with it, or holds a zero byte or
 * a control character other than newline, or is not UTF-8. */
void tmk_get_string(struct tmk_reader *r, char *out, size_t size);
/* Nothing failed and all was used. */
bool tmk_reader_done(const struct tmk_reader *r);

struct tmk_writer_buf tmk_writer_buf(void *data, size_t size);
void tmk_put_u8(struct tmk_writer_buf *w, uint8_t v);
void tmk_put_u16(struct tmk_writer_buf *w, uint16_t v);
void tmk_put_u32(struct tmk_writer_buf *w, uint32_t v);
void tmk_put_u64(struct tmk_writer_buf *w, uint64_t v);
void tmk_put_bytes(struct tmk_writer_buf *w, const void *data, size_t size);
/* Fails for what tmk_get_string() would refuse; tmk_string_clean() texts that come from outside (serial numbers, labels). */
void tmk_put_string(struct tmk_writer_buf *w, const char *s);
/* Puts '?' in place of every byte that may not be in a string. */
void tmk_string_clean(char *s);

#endif
