/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The token of `join` (pki.h): base32 as in RFC 4648, small letters, without padding; read in either case. */
#include <errno.h>
#include <string.h>

#include "pki.h"

#define PREFIX "tm1-"
#define SECRET_LETTERS 26    /* of 16 bytes */
#define AUTHORITY_LETTERS 32 /* of 20 bytes */
#define TOKEN_LETTERS (4 + SECRET_LETTERS + 1 + AUTHORITY_LETTERS)

static char *encode(const uint8_t *data, size_t size, char *out)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned int bits = 0, value = 0;

	for (size_t i = 0; i < size; i++) {
		value = value << 8 | data[i];
		for (bits += 8; bits >= 5; bits -= 5)
			*out++ = letters[value >> (bits - 5) & 31];
	}
	if (bits)
		*out++ = letters[value << (5 - bits) & 31];
	return out;
}

static int letter(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

/* The bits that are left over must be 0, so that every value has one text only. */
static bool decode(const char *text, size_t count, uint8_t *out, size_t size)
{
	unsigned int bits = 0, value = 0;

	for (size_t i = 0; i < count; i++) {
		int five = letter(text[i]);

		if (five < 0)
			return false;
		value = value << 5 | five;
		bits += 5;
		if (bits >= 8 && size) {
			bits -= 8;
			*out++ = value >> bits;
			size--;
		}
	}
	return !size && !(value & ((1u << bits) - 1));
}

void tmk_token_format(const struct tmk_token *token, char out[TMK_TOKEN_MAX])
{
	char *at = stpcpy(out, PREFIX);

	at = encode(token->secret, sizeof(token->secret), at);
	*at++ = '-';
	at = encode(token->authority, sizeof(token->authority), at);
	*at = 0;
}

int tmk_token_parse(const char *text, struct tmk_token *out, struct tmk_error *err)
{
	static const char blanks[] = " \t\r\n";
	size_t length;

	text += strspn(text, blanks);
	length = strcspn(text, blanks);
	if (text[length + strspn(text + length, blanks)] || length != TOKEN_LETTERS ||
	    strncasecmp(text, PREFIX, strlen(PREFIX)) || text[4 + SECRET_LETTERS] != '-' ||
	    !decode(text + 4, SECRET_LETTERS, out->secret, sizeof(out->secret)) ||
	    !decode(text + 4 + SECRET_LETTERS + 1, AUTHORITY_LETTERS, out->authority, sizeof(out->authority)))
		return tmk_error_set(err, -EINVAL,
				     "this is not a token, or not all of it: one begins with tm1- and has %d characters; "
				     "`tidemark-target token` on the target makes one",
				     TOKEN_LETTERS);
	return 0;
}
