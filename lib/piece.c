/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tags of pieces: see piece.h. GMAC is AES-GCM that has only data to authenticate; of zeroes, which are found faster, none. */
#include "piece.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "sum.h"
#include "util.h"

#define IV_SIZE 12

struct tmk_tagger {
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *context;
};

size_t tmk_piece_count(uint64_t offset, uint64_t length)
{
	return (size_t)((offset + length - 1) / TMK_PIECE - offset / TMK_PIECE + 1);
}

size_t tmk_piece_body(uint64_t offset, uint64_t length)
{
	return TMK_TAG_KEY + tmk_piece_count(offset, length) * TMK_TAG_SIZE;
}

uint64_t tmk_piece_rest(uint64_t offset, uint64_t length)
{
	uint64_t rest = TMK_PIECE - offset % TMK_PIECE;

	return rest < length ? rest : length;
}

int tmk_tagger_new(struct tmk_tagger **out)
{
	struct tmk_tagger *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->cipher = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
	t->context = EVP_CIPHER_CTX_new();
	if (!t->cipher || !t->context) {
		tmk_tagger_free(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

void tmk_tagger_free(struct tmk_tagger *t)
{
	if (!t)
		return;
	EVP_CIPHER_CTX_free(t->context);
	EVP_CIPHER_free(t->cipher);
	free(t);
}

void tmk_tagger_key(struct tmk_tagger *t, const uint8_t key[TMK_TAG_KEY])
{
	if (EVP_EncryptInit_ex(t->context, t->cipher, NULL, key, NULL) != 1)
		abort();
}

void tmk_tagger_tag(struct tmk_tagger *t, uint64_t offset, const void *data, size_t length, uint8_t tag[TMK_TAG_SIZE])
{
	uint8_t iv[IV_SIZE];
	struct tmk_writer_buf w = tmk_writer_buf(iv, sizeof(iv));
	bool zeroes = tmk_all_zero(data, length);
	int size;

	tmk_put_u64(&w, offset / TMK_PIECE);
	tmk_put_u32(&w, zeroes ? (uint32_t)length : 0);
	if (EVP_EncryptInit_ex(t->context, NULL, NULL, NULL, iv) != 1 ||
	    (!zeroes && EVP_EncryptUpdate(t->context, NULL, &size, data, (int)length) != 1) ||
	    EVP_EncryptFinal_ex(t->context, iv, &size) != 1 ||
	    EVP_CIPHER_CTX_ctrl(t->context, EVP_CTRL_GCM_GET_TAG, TMK_TAG_SIZE, tag) != 1)
		abort();
}

void tmk_tagger_body(struct tmk_tagger *t, uint64_t offset, const uint8_t *data, size_t length, uint8_t *body)
{
	tmk_random(body, TMK_TAG_KEY);
	tmk_tagger_key(t, body);
	body += TMK_TAG_KEY;
	for (size_t part; length; offset += part, data += part, length -= part, body += TMK_TAG_SIZE) {
		part = (size_t)tmk_piece_rest(offset, length);
		tmk_tagger_tag(t, offset, data, part, body);
	}
}
