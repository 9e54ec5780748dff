/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hashes of disk contents, piece by piece (wire.h, HASH). A tag is a MAC under a key that was drawn for its record and that only
 * source and target ever see: whoever writes the disk cannot make two contents with one tag, and it is four times as fast as
 * SHA-256. Two contents of a piece have one tag with a probability of 2^-117.
 */
#ifndef TMK_PIECE_H
#define TMK_PIECE_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

size_t tmk_piece_count(uint64_t offset, uint64_t length); /* pieces of a range that is not empty */
size_t tmk_piece_body(uint64_t offset, uint64_t length);  /* bytes of the HASH record's body */
/* Bytes from offset to the end of its piece, at most `length`. */
uint64_t tmk_piece_rest(uint64_t offset, uint64_t length);

struct tmk_tagger;			     /* one thread */
int tmk_tagger_new(struct tmk_tagger **out); /* -ENOMEM, also if OpenSSL has no AES-GCM */
void tmk_tagger_free(struct tmk_tagger *t);
/* The key of the tags to come. Allocates nothing; aborts if OpenSSL cannot (wrong tags would be believed). */
void tmk_tagger_key(struct tmk_tagger *t, const uint8_t key[TMK_TAG_KEY]);
/* The tag of one piece, or of the part of it that a range has, which begins at `offset` of its disk. */
void tmk_tagger_tag(struct tmk_tagger *t, uint64_t offset, const void *data, size_t length, uint8_t tag[TMK_TAG_SIZE]);
/* Key drawn, tags of all pieces: the whole body. */
void tmk_tagger_body(struct tmk_tagger *t, uint64_t offset, const uint8_t *data, size_t length, uint8_t *body);

#endif
