/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See join.h. What the target answers is checked before anything is replaced: an authority that the token does not name, a broken
 * certificate, or one for another key is refused. */
#include "join.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link.h"
#include "message.h"
#include "pki.h"
#include "util.h"
#include "wire.h"

#define DIAL_MS 10000
#define ANSWER_MS 15000

/* What is on its way into state-dir: NAME.new, until everything is checked. */
static const char *const files[] = {"source.key", "source.pem", "authority.pem"};
enum { KEY, CERTIFICATE, AUTHORITY, FILES };
struct places {
	char final[FILES][PATH_MAX], fresh[FILES][PATH_MAX], target[PATH_MAX];
};
struct answer {
	char certificate[8192], authority[8192];
};

/* ---- the address ---- */

static int parse_port(const char *text, uint16_t *out)
{
	unsigned long port = 0;
	const char *c;

	for (c = text; *c >= '0' && *c <= '9' && port <= 65535; c++)
		port = port * 10 + (*c - '0');
	if (c == text || *c || port < 1 || port > 65535)
		return -EINVAL;
	*out = port;
	return 0;
}

int tmk_join_address(const char *text, struct tmk_target_address *out, struct tmk_error *err)
{
	const char *host = text, *end, *port = NULL, *colon = strrchr(text, ':');
	size_t length;

	*out = (struct tmk_target_address){.port = TMK_WIRE_PORT};
	if (text[0] == '[') {
		host = text + 1;
		end = strchr(host, ']');
		if (!end || (end[1] && end[1] != ':'))
			return tmk_error_set(err, -EINVAL, "'%s' is not HOST[:PORT]", text);
		if (end[1])
			port = end + 2;
	} else if (colon && strchr(text, ':') == colon) {
		end = colon;
		port = colon + 1;
	} else { /* no colon, or several: a bare IPv6 address */
		end = text + strlen(text);
	}
	length = end - host;
	if (!length || length >= sizeof(out->host) || strcspn(host, " \t\r\n/") < length ||
	    (port && parse_port(port, &out->port)))
		return tmk_error_set(err, -EINVAL, "'%s' is not HOST[:PORT]", text);
	memcpy(out->host, host, length);
	return 0;
}

/* ---- the exchange ---- */

static int receive(const struct tmk_frame *frame, const uint8_t *body, struct answer *out, struct tmk_error *err)
{
	char text[1024];
	uint16_t code;
	int rc;

	switch (frame->type) {
	case TMK_FRAME_JOINED:
		return tmk_joined_decode(body, frame->length, out->certificate, out->authority, err);
	case TMK_FRAME_REFUSE:
		rc = tmk_refuse_decode(body, frame->length, &code, text, err);
		return rc ? rc : tmk_error_set(err, -EACCES, "the target refused: %s", text);
	default:
		return tmk_error_set(err, -EBADMSG, "the target answered with a frame that does not belong here (type %u)",
				     frame->type);
	}
}

static int exchange(const struct tmk_target_address *target, struct tmk_tls *tls, const struct tmk_join *join, struct answer *out,
		    struct tmk_error *err)
{
	struct tmk_link *link = NULL;
	uint8_t *frame_body = malloc(TMK_CONTROL_MAX);
	struct tmk_frame frame;
	const uint8_t *body;
	size_t size;
	int rc, fd;

	if (!frame_body)
		return tmk_error_set(err, -ENOMEM, "out of memory");
	size = tmk_join_encode(join, frame_body, TMK_CONTROL_MAX);
	if (!size) {
		rc = tmk_error_set(err, -EMSGSIZE, "the request to join is too large");
		goto out;
	}
	fd = tmk_dial(target->host, target->port, DIAL_MS, err);
	rc = fd < 0 ? fd : tmk_link_connect(&link, fd, tls, DIAL_MS, err);
	if (rc)
		goto out;
	rc = tmk_link_send(link, TMK_FRAME_JOIN, frame_body, size, NULL, 0);
	if (rc)
		tmk_error_sys(err, rc, "cannot send the request to join");
	else
		rc = tmk_link_wait(link, ANSWER_MS, &frame, &body, err);
	if (!rc)
		rc = receive(&frame, body, out, err);
out:
	tmk_link_free(link);
	free(frame_body);
	return rc;
}

/* ---- keeping it ---- */

static int make_places(struct places *p, const char *state_dir, struct tmk_error *err)
{
	int rc = tmk_path(p->target, PATH_MAX, "%s/target.json", state_dir);

	for (size_t i = 0; i < FILES && !rc; i++) {
		rc = tmk_path(p->final[i], PATH_MAX, "%s/%s", state_dir, files[i]);
		if (!rc)
			rc = tmk_path(p->fresh[i], PATH_MAX, "%s.new", p->final[i]);
	}
	return rc ? tmk_error_set(err, rc, "state-dir '%s' is too long", state_dir) : 0;
}

static void drop_fresh(const struct places *p)
{
	for (size_t i = 0; i < FILES; i++)
		unlink(p->fresh[i]);
}

/* Writes what came, and lets OpenSSL load it as a session would: a certificate for another key fails here. */
static int keep_fresh(const struct places *p, const struct answer *answer, const uint8_t authority[20], uint8_t fingerprint[32],
		      struct tmk_error *err)
{
	struct tmk_tls *tls = NULL;
	uint8_t sum[32];
	int rc = tmk_pki_fingerprint(answer->authority, sum, err);

	if (!rc && memcmp(sum, authority, 20))
		rc = tmk_error_set(err, -EACCES, "the target sent an authority that the token does not name; do not trust it");
	if (!rc)
		rc = tmk_pki_fingerprint(answer->certificate, fingerprint, err);
	if (!rc)
		rc = tmk_write_file(p->fresh[CERTIFICATE], answer->certificate, strlen(answer->certificate), 0600, err);
	if (!rc)
		rc = tmk_write_file(p->fresh[AUTHORITY], answer->authority, strlen(answer->authority), 0600, err);
	if (!rc)
		rc = tmk_tls_client(&tls, p->fresh[CERTIFICATE], p->fresh[KEY], p->fresh[AUTHORITY], err);
	tmk_tls_free(tls);
	return rc;
}

static int sync_dir(const char *path, struct tmk_error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd < 0 || fsync(fd))
		rc = tmk_error_sys(err, -errno, "cannot make %s durable", path);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* From the removal of target.json until it is written again this machine has not joined; join again if that is where it ends. */
static int replace(const struct places *p, const char *state_dir, const struct tmk_target_address *target, struct tmk_error *err)
{
	int rc;

	if (unlink(p->target) && errno != ENOENT)
		return tmk_error_sys(err, -errno, "cannot remove %s", p->target);
	rc = sync_dir(state_dir, err);
	for (size_t i = 0; i < FILES && !rc; i++)
		if (rename(p->fresh[i], p->final[i]))
			rc = tmk_error_sys(err, -errno, "cannot replace %s", p->final[i]);
	if (!rc)
		rc = sync_dir(state_dir, err);
	return rc ? rc : tmk_store_set_target(state_dir, target, err);
}

static int check_joined(const char *state_dir, bool again, struct tmk_error *err)
{
	struct tmk_target_address old;
	int rc = tmk_store_target(state_dir, &old, err);

	if (rc == -ENOENT || again) /* a damaged one is replaced by --again */
		return 0;
	if (rc)
		return rc;
	return tmk_error_set(err, -EEXIST, "this machine joined %s:%u already; join --again replaces its certificate", old.host,
			     old.port);
}

int tmk_join(const char *state_dir, const struct tmk_target_address *target, const char *token_text, bool again,
	     uint8_t fingerprint[32], struct tmk_error *err)
{
	struct tmk_tls *tls = NULL;
	struct tmk_join *join = calloc(1, sizeof(*join));
	struct answer *answer = calloc(1, sizeof(*answer));
	struct places *p = calloc(1, sizeof(*p));
	struct tmk_token token;
	int rc = join && answer && p ? 0 : tmk_error_set(err, -ENOMEM, "out of memory");

	if (!rc)
		rc = check_joined(state_dir, again, err);
	if (!rc)
		rc = tmk_token_parse(token_text, &token, err);
	if (!rc)
		rc = make_places(p, state_dir, err);
	if (!rc)
		rc = tmk_mkdirs(state_dir, 0700, err);
	if (rc)
		goto out;
	join->version = TMK_WIRE_VERSION;
	tmk_token_format(&token, join->token);
	if (gethostname(join->host, sizeof(join->host) - 1) || !join->host[0])
		strcpy(join->host, "unnamed");
	drop_fresh(p);
	rc = tmk_pki_request(p->fresh[KEY], join->host, join->request, err);
	if (!rc)
		rc = tmk_tls_join(&tls, token.authority, err);
	if (!rc)
		rc = exchange(target, tls, join, answer, err);
	if (!rc)
		rc = keep_fresh(p, answer, token.authority, fingerprint, err);
	if (!rc)
		rc = replace(p, state_dir, target, err);
	drop_fresh(p);
out:
	tmk_tls_free(tls);
	free(p);
	free(answer);
	if (join)
		explicit_bzero(join, sizeof(*join)); /* the token */
	free(join);
	return rc;
}
