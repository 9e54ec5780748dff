/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lib: tags of pieces are the GMACs that OpenSSL gives by another way, range by range; and every bit of content, key and place
 * counts.
 */
#include <check.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "piece.h"

static struct tmk_tagger *tagger;
static uint8_t data[TMK_HASH_RANGE_MAX];
static const uint8_t key[TMK_TAG_KEY] = "0123456789abcdef";

static void setup(void)
{
	ck_assert_int_eq(tmk_tagger_new(&tagger), 0);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * i * 31 + i * 7 + (i >> 3));
}

static void teardown(void)
{
	tmk_tagger_free(tagger);
}

/* wire.h's words, with OpenSSL's MAC interface. zeroes: how many; then there are no bytes. */
static void gmac_of(const uint8_t *with, uint64_t number, uint32_t zeroes, const uint8_t *bytes, size_t size,
		    uint8_t tag[TMK_TAG_SIZE])
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "GMAC", NULL);
	EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
	uint8_t iv[12] = {0};
	char cipher[] = "AES-128-GCM";
	OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, sizeof(cipher) - 1),
			       OSSL_PARAM_octet_string(OSSL_MAC_PARAM_IV, iv, sizeof(iv)), OSSL_PARAM_END};
	size_t length = 0;

	for (int i = 0; i < 8; i++)
		iv[i] = (uint8_t)(number >> 8 * i);
	for (int i = 0; i < 4; i++)
		iv[8 + i] = (uint8_t)(zeroes >> 8 * i);
	ck_assert_int_eq(EVP_MAC_init(context, with, TMK_TAG_KEY, params), 1);
	ck_assert_int_eq(EVP_MAC_update(context, bytes, size), 1);
	ck_assert_int_eq(EVP_MAC_final(context, tag, &length, TMK_TAG_SIZE), 1);
	ck_assert_uint_eq(length, TMK_TAG_SIZE);
	EVP_MAC_CTX_free(context);
	EVP_MAC_free(mac);
}

static void gmac(const uint8_t *with, uint64_t number, const uint8_t *bytes, size_t size, uint8_t tag[TMK_TAG_SIZE])
{
	gmac_of(with, number, 0, bytes, size, tag);
}

static void tag_at(uint64_t offset, const uint8_t *bytes, size_t size, uint8_t tag[TMK_TAG_SIZE])
{
	tmk_tagger_key(tagger, key);
	tmk_tagger_tag(tagger, offset, bytes, size, tag);
}

START_TEST(as_openssl_says)
{
	static const size_t sizes[] = {512, 1024, 4096, TMK_PIECE - 512, TMK_PIECE};
	static const uint64_t numbers[] = {0, 1, 255, 256, 0x123456, 0xfedcba9876ull, (INT64_MAX - TMK_PIECE) / TMK_PIECE};
	uint8_t got[TMK_TAG_SIZE], want[TMK_TAG_SIZE];

	for (size_t n = 0; n < sizeof(numbers) / sizeof(*numbers); n++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			tag_at(numbers[n] * TMK_PIECE + (TMK_PIECE - sizes[i]), data, sizes[i], got);
			gmac(key, numbers[n], data, sizes[i], want);
			ck_assert_mem_eq(got, want, TMK_TAG_SIZE);
		}
	/* One key, many tags: none depends on the one before it. */
	tmk_tagger_key(tagger, key);
	for (int i = 0; i < 3; i++) {
		tmk_tagger_tag(tagger, i * TMK_PIECE, data, TMK_PIECE, got);
		gmac(key, i, data, TMK_PIECE, want);
		ck_assert_mem_eq(got, want, TMK_TAG_SIZE);
	}
}
END_TEST

/* A body holds a tag for each part that multiples of TMK_PIECE cut the range into, behind a key of its own. */
START_TEST(bodies)
{
	static const struct {
		uint64_t offset;
		size_t length, count;
	} cases[] = {
		{0, 512, 1},
		{0, TMK_PIECE, 1},
		{0, TMK_PIECE + 512, 2},
		{TMK_PIECE - 512, 512, 1},
		{TMK_PIECE - 512, 1024, 2},
		{TMK_PIECE - 512, TMK_PIECE + 1024, 3},
		{512, TMK_HASH_RANGE_MAX, 33},
		{1ull << 40, TMK_HASH_RANGE_MAX, 32},
		{7 * TMK_PIECE + 4096, 2 * TMK_PIECE, 3},
	};
	uint8_t body[TMK_TAG_KEY + 33 * TMK_TAG_SIZE + 1], want[TMK_TAG_SIZE], before[TMK_TAG_KEY] = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t at = cases[i].offset, end = at + cases[i].length;
		size_t size = TMK_TAG_KEY + cases[i].count * TMK_TAG_SIZE, tag = TMK_TAG_KEY;

		ck_assert_uint_eq(tmk_piece_count(at, cases[i].length), cases[i].count);
		ck_assert_uint_eq(tmk_piece_body(at, cases[i].length), size);
		memset(body, 0, sizeof(body));
		body[size] = 0xa5;
		tmk_tagger_body(tagger, at, data, cases[i].length, body);
		ck_assert_uint_eq(body[size], 0xa5);
		ck_assert_mem_ne(body, before, TMK_TAG_KEY);
		memcpy(before, body, TMK_TAG_KEY);
		for (; at < end; tag += TMK_TAG_SIZE) {
			uint64_t next = (at / TMK_PIECE + 1) * TMK_PIECE;
			size_t part = (next < end ? next : end) - at;

			ck_assert_uint_eq(tmk_piece_rest(at, end - at), part);
			gmac(body, at / TMK_PIECE, data + (at - cases[i].offset), part, want);
			ck_assert_mem_eq(body + tag, want, TMK_TAG_SIZE);
			at += part;
		}
		ck_assert_uint_eq(tag, size);
	}
}
END_TEST

START_TEST(everything_counts)
{
	uint8_t tag[TMK_TAG_SIZE], other[TMK_TAG_SIZE], changed[TMK_TAG_KEY];

	tag_at(0, data, 4096, tag);
	for (size_t bit = 0; bit < 8 * 4096; bit++) {
		data[bit / 8] ^= 1 << bit % 8;
		tag_at(0, data, 4096, other);
		data[bit / 8] ^= 1 << bit % 8;
		ck_assert_mem_ne(tag, other, TMK_TAG_SIZE);
	}
	for (int bit = 0; bit < 8 * TMK_TAG_KEY; bit++) {
		memcpy(changed, key, sizeof(changed));
		changed[bit / 8] ^= 1 << bit % 8;
		tmk_tagger_key(tagger, changed);
		tmk_tagger_tag(tagger, 0, data, 4096, other);
		ck_assert_mem_ne(tag, other, TMK_TAG_SIZE);
	}
	for (int shift = 0; shift < 47; shift++) { /* every bit of the piece's number */
		tag_at((uint64_t)TMK_PIECE << shift, data, 4096, other);
		ck_assert_mem_ne(tag, other, TMK_TAG_SIZE);
	}
	tag_at(0, data, 4096 - 512, other);
	ck_assert_mem_ne(tag, other, TMK_TAG_SIZE);
	/* Where in its piece a range begins is the record's to say. */
	tag_at(512, data, 4096, other);
	ck_assert_mem_eq(tag, other, TMK_TAG_SIZE);
}
END_TEST

/* A tag of their own: not that of other many zeroes, nor what it was if they were content. */
START_TEST(zeroes)
{
	static const size_t sizes[] = {512, 1024, 4096, TMK_PIECE - 512, TMK_PIECE};
	uint8_t got[TMK_TAG_SIZE], want[TMK_TAG_SIZE], before[TMK_TAG_SIZE] = {0};

	memset(data, 0, TMK_PIECE);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		tag_at(7 * TMK_PIECE, data, sizes[i], got);
		gmac_of(key, 7, sizes[i], NULL, 0, want);
		ck_assert_mem_eq(got, want, TMK_TAG_SIZE);
		ck_assert_mem_ne(got, before, TMK_TAG_SIZE);
		memcpy(before, got, TMK_TAG_SIZE);
		gmac(key, 7, data, sizes[i], want);
		ck_assert_mem_ne(got, want, TMK_TAG_SIZE);
	}
	for (size_t at = 0; at < TMK_PIECE; at += at < TMK_PIECE - 600 ? 509 : 1) { /* one byte that is no zero, wherever it is */
		data[at] = 1;
		tag_at(0, data, TMK_PIECE, got);
		gmac(key, 0, data, TMK_PIECE, want);
		ck_assert_mem_eq(got, want, TMK_TAG_SIZE);
		data[at] = 0;
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("piece");
	TCase *pieces = tcase_create("pieces");
	SRunner *runner;
	int failed;

	tcase_set_timeout(pieces, 100);
	tcase_add_checked_fixture(pieces, setup, teardown);
	tcase_add_test(pieces, as_openssl_says);
	tcase_add_test(pieces, bodies);
	tcase_add_test(pieces, everything_counts);
	tcase_add_test(pieces, zeroes);
	suite_add_tcase(suite, pieces);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
