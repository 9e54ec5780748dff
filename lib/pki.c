/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys, requests and certificates (pki.h). P-256, X.509 v3.
 *
 * Certificates have no useful dates: whether a source may come is decided by the target's list of fingerprints, and a server
 * whose clock is at 1970 must go on being protected. What a certificate is for is told by its extended key usage: targets have
 * serverAuth, sources clientAuth, so that a source's certificate cannot pose as the target.
 */
#include "pki.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "sum.h"
#include "tls.h"
#include "util.h"

#define PEM_MAX 8192
#define NAME_MAX_BYTES 64 /* of a common name: X.520's limit */

static int crypto_failed(struct tmk_error *err, const char *what)
{
	char reason[256];

	return tmk_error_set(err, -EIO, "cannot %s: %s", what, tmk_tls_reason(reason));
}

static void file_failed(struct tmk_error *err, const char *path, const char *what)
{
	char reason[256];

	tmk_error_set(err, -EINVAL, "%s does not hold %s: %s", path, what, tmk_tls_reason(reason));
}

/* An encrypted key must fail, not ask at the terminal. */
static int no_password(char *buffer, int size, int writing, void *context)
{
	(void)buffer, (void)size, (void)writing, (void)context;
	return -1;
}

static X509 *certificate_parse(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;

	BIO_free(bio);
	return certificate;
}

X509 *tmk_pki_certificate(const char *path, struct tmk_error *err)
{
	X509 *certificate;
	char *pem;

	if (tmk_read_file(path, PEM_MAX, &pem, err))
		return NULL;
	certificate = certificate_parse(pem);
	free(pem);
	if (!certificate)
		file_failed(err, path, "a certificate");
	return certificate;
}

EVP_PKEY *tmk_pki_key(const char *path, struct tmk_error *err)
{
	EVP_PKEY *key;
	char *pem;
	BIO *bio;

	if (tmk_read_file(path, PEM_MAX, &pem, err))
		return NULL;
	bio = BIO_new_mem_buf(pem, -1);
	key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
	BIO_free(bio);
	OPENSSL_cleanse(pem, strlen(pem));
	free(pem);
	if (!key)
		file_failed(err, path, "a key");
	return key;
}

/* The text of a memory BIO. Frees it. */
static int bio_text(BIO *bio, bool written, char out[PEM_MAX], struct tmk_error *err)
{
	int size = written ? BIO_read(bio, out, PEM_MAX - 1) : -1;
	bool fits = size > 0 && !BIO_pending(bio);

	BIO_free(bio);
	if (!fits)
		return crypto_failed(err, "write PEM text");
	out[size] = 0;
	return 0;
}

static int certificate_text(X509 *certificate, char out[PEM_MAX], struct tmk_error *err)
{
	BIO *bio = BIO_new(BIO_s_mem());

	return bio_text(bio, bio && PEM_write_bio_X509(bio, certificate), out, err);
}

static int key_write(EVP_PKEY *key, const char *path, struct tmk_error *err)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char text[PEM_MAX];
	int ret;

	ret = bio_text(bio, bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), text, err);
	if (!ret)
		ret = tmk_write_file(path, text, strlen(text), 0600, err);
	OPENSSL_cleanse(text, sizeof(text));
	return ret;
}

static int certificate_write(X509 *certificate, const char *path, struct tmk_error *err)
{
	char text[PEM_MAX];
	int ret = certificate_text(certificate, text, err);

	return ret ? ret : tmk_write_file(path, text, strlen(text), 0644, err);
}

static bool fingerprint_of(const X509 *certificate, uint8_t out[32])
{
	unsigned int size = 0;

	return X509_digest(certificate, EVP_sha256(), out, &size) && size == 32;
}

/* ---- making certificates ---- */

/* A common name is for people; the longer ones are cut, at a whole character. */
static X509_NAME *name_make(const char *prefix, const char *common_name)
{
	X509_NAME *name = X509_NAME_new();
	char text[NAME_MAX_BYTES + 1];
	size_t size;

	size = snprintf(text, sizeof(text), "%s%s", prefix, common_name);
	if (size > NAME_MAX_BYTES) {
		size = NAME_MAX_BYTES;
		while (size && (text[size - 1] & 0xc0) == 0x80)
			size--;
		if (size && text[size - 1] & 0x80)
			size--;
		text[size] = 0;
	}
	tmk_string_clean(text);
	if (name && !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0)) {
		X509_NAME_free(name);
		return NULL;
	}
	return name;
}

static bool extension_add(X509 *certificate, X509V3_CTX *ctx, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
	bool added = extension && X509_add_ext(certificate, extension, -1);

	X509_EXTENSION_free(extension);
	return added;
}

static bool serial_set(X509 *certificate)
{
	uint8_t random[16];
	BIGNUM *number;
	bool set;

	tmk_random(random, sizeof(random));
	random[0] = (random[0] & 0x7f) | 0x40;
	number = BN_bin2bn(random, sizeof(random), NULL);
	set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
	BN_free(number);
	return set;
}

enum usage { AUTHORITY, TARGET, SOURCE };

static bool usage_add(X509 *certificate, X509 *issuer, enum usage usage)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
	if (usage == AUTHORITY)
		return extension_add(certificate, &ctx, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		       extension_add(certificate, &ctx, NID_key_usage, "critical,keyCertSign") &&
		       extension_add(certificate, &ctx, NID_subject_key_identifier, "hash");
	return extension_add(certificate, &ctx, NID_basic_constraints, "critical,CA:FALSE") &&
	       extension_add(certificate, &ctx, NID_key_usage, "critical,digitalSignature") &&
	       extension_add(certificate, &ctx, NID_ext_key_usage,
			     usage == TARGET ? "critical,serverAuth" : "critical,clientAuth") &&
	       extension_add(certificate, &ctx, NID_subject_key_identifier, "hash") &&
	       extension_add(certificate, &ctx, NID_authority_key_identifier, "keyid:always");
}

/* issuer NULL: signs itself. */
static X509 *certificate_make(EVP_PKEY *subject, const X509_NAME *name, X509 *issuer, EVP_PKEY *issuer_key, enum usage usage)
{
	X509 *c = X509_new();

	if (c && X509_set_version(c, X509_VERSION_3) && serial_set(c) && X509_set_subject_name(c, name) &&
	    X509_set_issuer_name(c, issuer ? X509_get_subject_name(issuer) : name) && X509_set_pubkey(c, subject) &&
	    ASN1_TIME_set_string(X509_getm_notBefore(c), "20200101000000Z") &&
	    ASN1_TIME_set_string(X509_getm_notAfter(c), "99991231235959Z") && usage_add(c, issuer ? issuer : c, usage) &&
	    X509_sign(c, issuer_key, EVP_sha256()))
		return c;
	X509_free(c);
	return NULL;
}

/* ---- the target's own ---- */

struct identity {
	EVP_PKEY *key;
	X509 *certificate;
};

static void identity_free(struct identity *i)
{
	EVP_PKEY_free(i->key);
	X509_free(i->certificate);
}

static int identity_make(struct identity *out, const char *prefix, const char *common_name, const struct identity *issuer,
			 enum usage usage, struct tmk_error *err)
{
	X509_NAME *name = name_make(prefix, common_name);

	out->key = EVP_EC_gen("P-256");
	if (out->key && name)
		out->certificate = certificate_make(out->key, name, issuer ? issuer->certificate : NULL,
						    issuer ? issuer->key : out->key, usage);
	X509_NAME_free(name);
	return out->certificate ? 0 : crypto_failed(err, "make a certificate");
}

static int identity_write(const struct identity *i, const char *directory, const char *stem, struct tmk_error *err)
{
	char path[4096];
	int ret;

	if (tmk_path(path, sizeof(path), "%s/%s.key", directory, stem))
		return tmk_error_sys(err, -ENAMETOOLONG, "cannot write into %.200s", directory);
	ret = key_write(i->key, path, err);
	if (ret)
		return ret;
	strcpy(strrchr(path, '.'), ".pem");
	return certificate_write(i->certificate, path, err);
}

static int nothing_there(const char *directory, struct tmk_error *err)
{
	static const char *const names[] = {"authority.key", "authority.pem", "target.key", "target.pem"};
	char path[4096];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (tmk_path(path, sizeof(path), "%s/%s", directory, names[i]))
			return tmk_error_sys(err, -ENAMETOOLONG, "cannot look into %.200s", directory);
		if (!access(path, F_OK))
			return tmk_error_set(err, -EEXIST,
					     "%s exists: every source trusts this authority, so it is not made anew", path);
		if (errno != ENOENT)
			return tmk_error_sys(err, -errno, "cannot look for %s", path);
	}
	return 0;
}

int tmk_pki_init(const char *directory, const char *common_name, struct tmk_error *err)
{
	struct identity authority = {0}, target = {0};
	int ret;

	ret = nothing_there(directory, err);
	if (!ret)
		ret = identity_make(&authority, "Tidemark authority of ", common_name, NULL, AUTHORITY, err);
	if (!ret)
		ret = identity_make(&target, "", common_name, &authority, TARGET, err);
	if (!ret)
		ret = identity_write(&authority, directory, "authority", err);
	if (!ret)
		ret = identity_write(&target, directory, "target", err);
	identity_free(&authority);
	identity_free(&target);
	return ret;
}

/* ---- requests ---- */

static int request_make(EVP_PKEY *key, const char *common_name, char out[PEM_MAX], struct tmk_error *err)
{
	X509_NAME *name = name_make("", common_name);
	X509_REQ *request = X509_REQ_new();
	BIO *bio = NULL;
	bool made;

	made = request && name && X509_REQ_set_version(request, X509_REQ_VERSION_1) && X509_REQ_set_subject_name(request, name) &&
	       X509_REQ_set_pubkey(request, key) && X509_REQ_sign(request, key, EVP_sha256());
	if (made)
		bio = BIO_new(BIO_s_mem());
	made = bio && PEM_write_bio_X509_REQ(bio, request);
	X509_NAME_free(name);
	X509_REQ_free(request);
	return bio_text(bio, made, out, err);
}

int tmk_pki_request(const char *key_path, const char *common_name, char request[8192], struct tmk_error *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	int ret;

	if (!key)
		return crypto_failed(err, "make a key");
	ret = request_make(key, common_name, request, err);
	if (!ret)
		ret = key_write(key, key_path, err);
	EVP_PKEY_free(key);
	return ret;
}

/* The key of a request whose own signature is right: whoever asks has the key. */
static EVP_PKEY *request_key(const char *pem, struct tmk_error *err)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509_REQ *request = bio ? PEM_read_bio_X509_REQ(bio, NULL, no_password, NULL) : NULL;
	EVP_PKEY *key = request ? X509_REQ_get_pubkey(request) : NULL;
	char reason[256];

	BIO_free(bio);
	if (!key || X509_REQ_verify(request, key) != 1) {
		tmk_error_set(err, -EINVAL, "the certificate request is broken: %s", tmk_tls_reason(reason));
		EVP_PKEY_free(key);
		key = NULL;
	} else if (EVP_PKEY_get_security_bits(key) < 112) {
		tmk_error_set(err, -EINVAL, "the key of the certificate request is too weak");
		EVP_PKEY_free(key);
		key = NULL;
	}
	X509_REQ_free(request);
	return key;
}

static int authority_load(const char *directory, struct identity *out, struct tmk_error *err)
{
	char path[4096];

	if (tmk_path(path, sizeof(path), "%s/authority.pem", directory))
		return tmk_error_sys(err, -ENAMETOOLONG, "cannot read from %.200s", directory);
	out->certificate = tmk_pki_certificate(path, err);
	if (!out->certificate)
		return -EIO;
	strcpy(strrchr(path, '.'), ".key");
	out->key = tmk_pki_key(path, err);
	return out->key ? 0 : -EIO;
}

int tmk_pki_sign(const char *directory, const char *request, const char *common_name, char certificate[8192],
		 uint8_t fingerprint[32], struct tmk_error *err)
{
	struct identity authority = {0}, source = {0};
	X509_NAME *name = NULL;
	int ret;

	source.key = request_key(request, err);
	if (!source.key)
		return -EINVAL;
	ret = authority_load(directory, &authority, err);
	if (ret)
		goto out;
	name = name_make("", common_name);
	if (name)
		source.certificate = certificate_make(source.key, name, authority.certificate, authority.key, SOURCE);
	if (!source.certificate || !fingerprint_of(source.certificate, fingerprint))
		ret = crypto_failed(err, "sign a certificate");
	else
		ret = certificate_text(source.certificate, certificate, err);
out:
	X509_NAME_free(name);
	identity_free(&source);
	identity_free(&authority);
	return ret;
}

int tmk_pki_fingerprint(const char *pem, uint8_t fingerprint[32], struct tmk_error *err)
{
	X509 *certificate = certificate_parse(pem);
	bool done = certificate && fingerprint_of(certificate, fingerprint);
	char reason[256];

	X509_free(certificate);
	return done ? 0 : tmk_error_set(err, -EINVAL, "not a certificate: %s", tmk_tls_reason(reason));
}
