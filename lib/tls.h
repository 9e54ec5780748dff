/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside lib/ only: what pki.c, tls.c and link.c know of each other. OpenSSL's types stay behind these files. */
#ifndef TMK_TLS_H
#define TMK_TLS_H

#include <openssl/ssl.h>

#include "error.h"

enum tmk_tls_role { TMK_TLS_SERVER, TMK_TLS_CLIENT, TMK_TLS_JOIN };
struct tmk_tls {
	SSL_CTX *ctx;
	enum tmk_tls_role role;
	uint8_t authority[20]; /* JOIN: pinned */
};

/* What OpenSSL says about the last failure of this thread, as text in out; empties its queue. */
const char *tmk_tls_reason(char out[256]);
/* Makes a sentence of a failed handshake or of a lost session: `ssl` tells the verification's result. Returns the code. */
int tmk_tls_failure(const struct tmk_tls *tls, const SSL *ssl, struct tmk_error *err);
/* A certificate or a key out of a PEM file, or NULL. */
X509 *tmk_pki_certificate(const char *path, struct tmk_error *err);
EVP_PKEY *tmk_pki_key(const char *path, struct tmk_error *err);

#endif
