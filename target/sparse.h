/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copying images without their zeroes: what an export and a seed share. */
#ifndef TMK_SPARSE_H
#define TMK_SPARSE_H

#include <stddef.h>
#include <stdint.h>

#include "io.h"

/* Where data begins at or behind an offset, `size` if nowhere; holes are known of files alone. */
uint64_t tmk_sparse_from(int fd, uint64_t offset, uint64_t size);
/* Writes what is not zero, into a file that was empty there. */
int tmk_sparse_write(const struct tmk_io *io, int fd, const uint8_t *data, size_t size, uint64_t offset);

#endif
