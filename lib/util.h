/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small things that both daemons need. */
#ifndef TMK_UTIL_H
#define TMK_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

uint64_t tmk_now_ms(void);   /* CLOCK_MONOTONIC */
uint64_t tmk_clock_ns(void); /* CLOCK_REALTIME since 1970 */
bool tmk_all_zero(const void *data, size_t size);
void tmk_hex(const uint8_t *data, size_t size, char *out); /* out: 2 * size + 1 */
bool tmk_unhex(const char *text, uint8_t *out, size_t size);
/* "1.5 GiB"; out: 32 bytes. */
const char *tmk_human(uint64_t bytes, char out[32]);
/* A whole small file as a string; -EFBIG beyond max. Caller frees. */
int tmk_read_file(const char *path, size_t max, char **out, struct tmk_error *err);
/* Durable replacement: temporary file, fsync, rename, fsync of the directory. */
int tmk_write_file(const char *path, const void *data, size_t size, mode_t mode, struct tmk_error *err);
int tmk_mkdirs(const char *path, mode_t mode, struct tmk_error *err);
/* "%s/%s..." into out[size]; -ENAMETOOLONG. */
int tmk_path(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
