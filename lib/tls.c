/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Settings of the two sides of a TLS connection (pki.h), and what its failures mean in words.
 *
 * TLS 1.3 only; no tickets, no session cache, no early data: a chunk must not be replayed. Names and dates in certificates are
 * not looked at: a target is what the pinned authority signed with serverAuth, a source what it signed with clientAuth.
 */
#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "pki.h"
#include "util.h"

#define READ_BUFFER (128 << 10) /* several records in one recv(2) */

const char *tmk_tls_reason(char out[256])
{
	unsigned long code = ERR_get_error();
	const char *reason = ERR_reason_error_string(code);

	if (!code)
		strcpy(out, "OpenSSL does not say why");
	else if (reason)
		snprintf(out, 256, "%s", reason);
	else
		ERR_error_string_n(code, out, 256);
	ERR_clear_error();
	return out;
}

static int setup_failed(struct tmk_error *err, const char *what)
{
	char reason[256];

	return tmk_error_set(err, -EINVAL, "cannot %s: %s", what, tmk_tls_reason(reason));
}

static int verify_for_join(X509_STORE_CTX *peer, void *context);

static bool context_restrict(SSL_CTX *ctx)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);

	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify_depth(ctx, 1);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) && SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) &&
	       SSL_CTX_set_num_tickets(ctx, 0) && SSL_CTX_set_max_early_data(ctx, 0) && SSL_CTX_set_recv_max_early_data(ctx, 0) &&
	       X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_NO_CHECK_TIME);
}

static int tls_new(struct tmk_tls **out, enum tmk_tls_role role, struct tmk_error *err)
{
	struct tmk_tls *tls = calloc(1, sizeof(*tls));

	if (!tls)
		return tmk_error_sys(err, -ENOMEM, "cannot set TLS up");
	ERR_clear_error();
	tls->role = role;
	tls->ctx = SSL_CTX_new(role == TMK_TLS_SERVER ? TLS_server_method() : TLS_client_method());
	if (!tls->ctx || !context_restrict(tls->ctx)) {
		tmk_tls_free(tls);
		return setup_failed(err, "set TLS up");
	}
	/* A server takes a source without a certificate, since `join` has none yet; one that is shown must be good. The purpose
	 * is what the peer's certificate must be good for. */
	SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
	if (!SSL_CTX_set_purpose(tls->ctx, role == TMK_TLS_SERVER ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER)) {
		tmk_tls_free(tls);
		return setup_failed(err, "set TLS up");
	}
	*out = tls;
	return 0;
}

void tmk_tls_free(struct tmk_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->ctx);
	free(tls);
}

static int use_certificate(struct tmk_tls *tls, const char *path, struct tmk_error *err)
{
	X509 *certificate = tmk_pki_certificate(path, err);
	bool used = certificate && SSL_CTX_use_certificate(tls->ctx, certificate);

	X509_free(certificate);
	if (!certificate)
		return -EINVAL;
	return used ? 0 : setup_failed(err, "use this side's certificate");
}

static int use_key(struct tmk_tls *tls, const char *path, struct tmk_error *err)
{
	EVP_PKEY *key = tmk_pki_key(path, err);
	bool used = key && SSL_CTX_use_PrivateKey(tls->ctx, key) && SSL_CTX_check_private_key(tls->ctx);

	EVP_PKEY_free(key);
	if (!key)
		return -EINVAL;
	return used ? 0 : setup_failed(err, "use this side's key");
}

/* Trusts the authority; as a server also sends it behind its own certificate, for `join` to compare. */
static int use_authority(struct tmk_tls *tls, const char *path, struct tmk_error *err)
{
	X509 *authority = tmk_pki_certificate(path, err);
	bool used;

	if (!authority)
		return -EINVAL;
	used = X509_STORE_add_cert(SSL_CTX_get_cert_store(tls->ctx), authority);
	if (used && tls->role == TMK_TLS_SERVER)
		used = SSL_CTX_add1_chain_cert(tls->ctx, authority) && SSL_CTX_add_client_CA(tls->ctx, authority);
	X509_free(authority);
	return used ? 0 : setup_failed(err, "use the authority's certificate");
}

static int use_all(struct tmk_tls *tls, const char *certificate, const char *key, const char *authority, struct tmk_error *err)
{
	int ret = use_certificate(tls, certificate, err);

	if (!ret)
		ret = use_key(tls, key, err);
	return ret ? ret : use_authority(tls, authority, err);
}

int tmk_tls_server(struct tmk_tls **out, const char *directory, struct tmk_error *err)
{
	char certificate[4096], key[4096], authority[4096];
	struct tmk_tls *tls;
	int ret;

	if (tmk_path(certificate, sizeof(certificate), "%s/target.pem", directory) ||
	    tmk_path(key, sizeof(key), "%s/target.key", directory) ||
	    tmk_path(authority, sizeof(authority), "%s/authority.pem", directory))
		return tmk_error_sys(err, -ENAMETOOLONG, "cannot read from %.200s", directory);
	ret = tls_new(&tls, TMK_TLS_SERVER, err);
	if (ret)
		return ret;
	ret = use_all(tls, certificate, key, authority, err);
	if (!ret)
		*out = tls;
	else
		tmk_tls_free(tls);
	return ret;
}

int tmk_tls_client(struct tmk_tls **out, const char *certificate, const char *key, const char *authority, struct tmk_error *err)
{
	struct tmk_tls *tls;
	int ret = tls_new(&tls, TMK_TLS_CLIENT, err);

	if (ret)
		return ret;
	ret = use_all(tls, certificate, key, authority, err);
	if (!ret)
		*out = tls;
	else
		tmk_tls_free(tls);
	return ret;
}

int tmk_tls_join(struct tmk_tls **out, const uint8_t authority[20], struct tmk_error *err)
{
	int ret = tls_new(out, TMK_TLS_JOIN, err);

	if (ret)
		return ret;
	memcpy((*out)->authority, authority, sizeof((*out)->authority));
	SSL_CTX_set_cert_verify_callback((*out)->ctx, verify_for_join, *out);
	return 0;
}

/* ---- join: the authority comes with the chain and is known by its fingerprint ---- */

static X509 *pinned_find(const STACK_OF(X509) * chain, const struct tmk_tls *tls)
{
	for (int i = 0; chain && i < sk_X509_num(chain); i++) {
		X509 *certificate = sk_X509_value(chain, i);
		unsigned int size = 0;
		uint8_t sum[32];

		if (X509_digest(certificate, EVP_sha256(), sum, &size) && size == sizeof(sum) &&
		    !CRYPTO_memcmp(sum, tls->authority, sizeof(tls->authority)))
			return certificate;
	}
	return NULL;
}

/* Verifies the leaf as if the found authority were the only one in the store. */
static int verify_against(X509 *leaf, X509 *authority)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int result = X509_V_ERR_OUT_OF_MEM;

	if (store && ctx && X509_STORE_add_cert(store, authority) && X509_STORE_CTX_init(ctx, store, leaf, NULL)) {
		X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_NO_CHECK_TIME);
		X509_STORE_CTX_set_depth(ctx, 1);
		if (X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER))
			result = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
		if (result == X509_V_OK && !X509_cmp(leaf, authority))
			result = X509_V_ERR_INVALID_PURPOSE;
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return result;
}

static int verify_for_join(X509_STORE_CTX *peer, void *context)
{
	const struct tmk_tls *tls = context;
	X509 *leaf = X509_STORE_CTX_get0_cert(peer);
	X509 *authority = pinned_find(X509_STORE_CTX_get0_untrusted(peer), tls);
	int result = X509_V_ERR_APPLICATION_VERIFICATION;

	if (leaf && authority)
		result = verify_against(leaf, authority);
	X509_STORE_CTX_set_error(peer, result);
	return result == X509_V_OK;
}

/* ---- failures in words ---- */

static const char *unverified(enum tmk_tls_role role, long result)
{
	switch (result) {
	case X509_V_ERR_APPLICATION_VERIFICATION:
		return "this target does not have the authority that the token names: is the address right, and the token of "
		       "this "
		       "target?";
	case X509_V_ERR_INVALID_PURPOSE:
		return role == TMK_TLS_SERVER
			       ? "the other side's certificate is not one of a source"
			       : "the other side's certificate is not one of a target: somebody poses as the target";
	default:
		if (role == TMK_TLS_SERVER)
			return "the source's certificate is not signed by this target's authority: it has to join this target";
		return role == TMK_TLS_JOIN ? "the target's certificate is not signed by the authority that the token names"
					    : "the target's certificate is not signed by the authority this server joined; if "
					      "the target was set "
					      "up anew, join it again";
	}
}

/* What the last error of OpenSSL's queue means; NULL: nothing of our own to say. */
static const char *meaning(int reason)
{
	switch (reason) {
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
	case SSL_R_VERSION_TOO_LOW:
		return "the other side does not speak TLS 1.3";
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_UNEXPECTED_MESSAGE:
		return "what is at the other side does not speak TLS: is it the right port?";
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
	case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
		return "the other side refuses this side's certificate: it does not know the authority that signed it; has this "
		       "server joined that target?";
	default:
		return NULL;
	}
}

int tmk_tls_failure(const struct tmk_tls *tls, const SSL *ssl, struct tmk_error *err)
{
	unsigned long code = ERR_peek_last_error();
	const char *words = code && ERR_GET_LIB(code) == ERR_LIB_SSL ? meaning(ERR_GET_REASON(code)) : NULL;
	long result = SSL_get_verify_result(ssl);
	char reason[256];

	if (result != X509_V_OK) {
		ERR_clear_error();
		return tmk_error_set(err, -EKEYREJECTED, "%s (%s)", unverified(tls->role, result),
				     X509_verify_cert_error_string(result));
	}
	tmk_tls_reason(reason);
	if (words)
		return tmk_error_set(err, -EPROTO, "%s (%s)", words, reason);
	return tmk_error_set(err, -EPROTO, "TLS failed: %s", reason);
}
