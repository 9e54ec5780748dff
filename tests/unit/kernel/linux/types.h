/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As much of the kernel as a file of kmod/ needs that is tested outside of it. */
#ifndef TMK_TEST_KERNEL_H
#define TMK_TEST_KERNEL_H

#include_next <linux/types.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

#define array_size(n, size) ((size_t)(n) * (size))
#define vzalloc(size) calloc(1, size)
#define vfree free

static inline uint32_t hash_64(uint64_t value, unsigned int bits)
{
	return (uint32_t)(value * 0x61C8864680B583EBull >> (64 - bits));
}

static inline uint32_t hash_ptr(const void *pointer, unsigned int bits)
{
	return hash_64((uintptr_t)pointer, bits);
}

static inline uint32_t roundup_pow_of_two(uint32_t n)
{
	return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

#endif
