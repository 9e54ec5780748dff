/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See sum.h. Nothing here allocates: chunks are sealed between freeze and thaw (R26), so SHA-256 goes by the low-level calls. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "sum.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

uint64_t tmk_sum64(const void *data, size_t size)
{
	return XXH3_64bits(data, size);
}

void tmk_sum128(const void *data, size_t size, uint8_t out[16])
{
	XXH128_canonicalFromHash((XXH128_canonical_t *)out, XXH3_128bits(data, size));
}

void tmk_hash(const void *data, size_t size, uint8_t out[32])
{
	SHA256_CTX ctx;

	if (!SHA256_Init(&ctx) || !SHA256_Update(&ctx, data, size) || !SHA256_Final(out, &ctx))
		abort();
}

void tmk_random(void *out, size_t size)
{
	uint8_t *at = out;

	while (size) {
		ssize_t n = getrandom(at, size, 0);

		if (n < 0 && errno != EINTR)
			abort();
		if (n > 0) {
			at += n;
			size -= n;
		}
	}
}
