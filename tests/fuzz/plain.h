/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lib/link.c with TLS taken out of it: frames as they are on the socket. Its own BIO stays, and everything above. */
#ifndef TMK_FUZZ_PLAIN_H
#define TMK_FUZZ_PLAIN_H

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <stdlib.h>

struct plain {
	BIO *bio;
};

static SSL *plain_new(void)
{
	return (SSL *)calloc(1, sizeof(struct plain));
}

static BIO *plain_bio(const SSL *ssl)
{
	return ((const struct plain *)ssl)->bio;
}

static void plain_free(SSL *ssl)
{
	BIO_free(plain_bio(ssl));
	free(ssl);
}

static int plain_error(const SSL *ssl)
{
	if (!BIO_should_retry(plain_bio(ssl)))
		return SSL_ERROR_SYSCALL;
	return BIO_should_read(plain_bio(ssl)) ? SSL_ERROR_WANT_READ : SSL_ERROR_WANT_WRITE;
}

#define SSL_new(context) plain_new()
#define SSL_free(ssl) plain_free(ssl)
#define SSL_set_bio(ssl, in, out) (((struct plain *)(ssl))->bio = (in))
#define SSL_read_ex(ssl, data, size, got) BIO_read_ex(plain_bio(ssl), data, size, got)
#define SSL_write_ex(ssl, data, size, put) BIO_write_ex(plain_bio(ssl), data, size, put)
#define SSL_get_error(ssl, ret) ((void)(ret), plain_error(ssl))
#define SSL_set_accept_state(ssl) ((void)(ssl))
#define SSL_set_connect_state(ssl) ((void)(ssl))
#define SSL_do_handshake(ssl) ((void)(ssl), 1)
#define SSL_shutdown(ssl) ((void)(ssl))
#define SSL_get0_peer_certificate(ssl) ((void)(ssl), NULL)
#include "../../lib/link.c"

#endif
