/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys and certificates (OpenSSL 3, Ed25519 or P-256). The target's directory holds its own authority; a source gets its
 * certificate by `join`, against a token that carries the authority's fingerprint.
 *
 * Token, as a person copies it: "tm1-" base32(16 random bytes) "-" base32(SHA-256 of the authority's certificate, first 20 bytes)
 */
#ifndef TMK_PKI_H
#define TMK_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct tmk_tls;

/* Makes authority.{key,pem} and target.{key,pem} in directory (keys mode 0600). -EEXIST if there is one already. */
int tmk_pki_init(const char *directory, const char *common_name, struct tmk_error *err);
/* Makes a key at key_path (0600; replaces what is there) and returns a request for it, PEM. */
int tmk_pki_request(const char *key_path, const char *common_name, char request[8192], struct tmk_error *err);
/* Signs a request: checks its own signature, ignores its extensions, sets CN as given. Certificate as PEM; fingerprint =
 * SHA-256 of its DER. */
int tmk_pki_sign(const char *directory, const char *request, const char *common_name, char certificate[8192],
		 uint8_t fingerprint[32], struct tmk_error *err);
/* SHA-256 of the DER of a certificate given as PEM text. */
int tmk_pki_fingerprint(const char *pem, uint8_t fingerprint[32], struct tmk_error *err);

#define TMK_TOKEN_MAX 128
struct tmk_token {
	uint8_t secret[16];
	uint8_t authority[20];
};
void tmk_token_format(const struct tmk_token *token, char out[TMK_TOKEN_MAX]);
int tmk_token_parse(const char *text, struct tmk_token *out, struct tmk_error *err); /* -EINVAL; blanks around it are fine */

/* The target's side: presents target.pem, asks for a client certificate, verifies it against the authority if there is one
 * (`join` has none). The PEM text is read at once: call before a sandbox closes. */
int tmk_tls_server(struct tmk_tls **out, const char *directory, struct tmk_error *err);
/* The source's side: its own certificate and key; the target must be signed by `authority` (paths of PEM files). */
int tmk_tls_client(struct tmk_tls **out, const char *certificate, const char *key, const char *authority, struct tmk_error *err);
/* For `join`: no certificate of its own; accepts the target if its chain holds an authority with this fingerprint,
 * and that signed it. The caller compares the authority that JOINED brings with the fingerprint, too. */
int tmk_tls_join(struct tmk_tls **out, const uint8_t authority[20], struct tmk_error *err);
void tmk_tls_free(struct tmk_tls *tls);

#endif
