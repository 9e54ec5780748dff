/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bodies of control frames (wire.h), encoded and decoded field by field. Decoders check everything (I9), -EBADMSG;
 * HELLO, WELCOME and JOIN of another version or with unknown features: -EPROTONOSUPPORT, and only these two fields are set. */
#ifndef TMK_MESSAGE_H
#define TMK_MESSAGE_H

#include <stdbool.h>

#include "error.h"
#include "wire.h"

bool tmk_name_valid(const char *name); /* of a protection */

/* Encoders return the bytes written to out, 0 if they do not fit. */
size_t tmk_hello_encode(const struct tmk_hello *m, uint8_t *out, size_t size);
int tmk_hello_decode(const uint8_t *body, size_t size, struct tmk_hello *out, struct tmk_error *err);
size_t tmk_welcome_encode(const struct tmk_welcome *m, uint8_t *out, size_t size);
int tmk_welcome_decode(const uint8_t *body, size_t size, struct tmk_welcome *out, struct tmk_error *err);
size_t tmk_rewind_encode(const struct tmk_rewind *m, uint8_t *out, size_t size);
int tmk_rewind_decode(const uint8_t *body, size_t size, struct tmk_rewind *out, struct tmk_error *err);
size_t tmk_compared_encode(const struct tmk_compared *m, uint8_t *out, size_t size);
int tmk_compared_decode(const uint8_t *body, size_t size, struct tmk_compared *out, struct tmk_error *err);
size_t tmk_join_encode(const struct tmk_join *m, uint8_t *out, size_t size);
int tmk_join_decode(const uint8_t *body, size_t size, struct tmk_join *out, struct tmk_error *err);
size_t tmk_joined_encode(const char *certificate, const char *authority, uint8_t *out, size_t size);
int tmk_joined_decode(const uint8_t *body, size_t size, char certificate[8192], char authority[8192], struct tmk_error *err);
size_t tmk_refuse_encode(enum tmk_refuse code, const char *text, uint8_t *out, size_t size);
int tmk_refuse_decode(const uint8_t *body, size_t size, uint16_t *code, char text[1024], struct tmk_error *err);
size_t tmk_note_encode(enum tmk_note level, const char *text, uint8_t *out, size_t size);
int tmk_note_decode(const uint8_t *body, size_t size, uint8_t *level, char text[1024], struct tmk_error *err);
size_t tmk_ack_encode(uint64_t number, uint8_t *out, size_t size);
int tmk_ack_decode(const uint8_t *body, size_t size, uint64_t *number, struct tmk_error *err);

#endif
