/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checksums and hashes: XXH3 (libxxhash) against accidents, SHA-256 (OpenSSL) for the chain. */
#ifndef TMK_SUM_H
#define TMK_SUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t tmk_sum64(const void *data, size_t size);		 /* XXH3-64 */
void tmk_sum128(const void *data, size_t size, uint8_t out[16]); /* XXH3-128, canonical form */
void tmk_hash(const void *data, size_t size, uint8_t out[32]);	 /* SHA-256; aborts if OpenSSL cannot */
void tmk_random(void *out, size_t size);			 /* getrandom(2); never fails, may wait early at boot */

#endif
