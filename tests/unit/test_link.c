/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lib: keys, certificates and links. Real handshakes over socket pairs, each side in a thread of its own: who is let in, who is
 * not and in which words; frames both ways; frames that must not be taken.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link.h"
#include "pki.h"
#include "suite.h"
#include "sum.h"
#include "tls.h"
#include "util.h"

#define LONG_MS 60000

static char base[64];

/* ---- keys: two targets, "home" and "other", each with a source that joined it ---- */

static const char *at(char out[256], const char *name)
{
	snprintf(out, 256, "%s/%s", base, name);
	return out;
}

static void copy(const char *from, const char *to)
{
	char a[256], b[256], *text;

	ck_assert_int_eq(tmk_read_file(at(a, from), 8192, &text, NULL), 0);
	ck_assert_int_eq(tmk_write_file(at(b, to), text, strlen(text), 0600, NULL), 0);
	free(text);
}

static void target_make(const char *name)
{
	struct tmk_error err;
	char path[256];

	ck_assert_int_eq(tmk_mkdirs(at(path, name), 0700, &err), 0);
	ck_assert_msg(tmk_pki_init(path, name, &err) == 0, "%s", err.text);
}

static void source_make(const char *name, const char *target, uint8_t fingerprint[32])
{
	char directory[256], key[256], path[256], request[8192], certificate[8192];
	struct tmk_error err;

	snprintf(key, sizeof(key), "%s/%s.key", base, name);
	snprintf(path, sizeof(path), "%s/%s.pem", base, name);
	ck_assert_int_eq(tmk_pki_request(key, name, request, &err), 0);
	ck_assert_int_eq(tmk_pki_sign(at(directory, target), request, name, certificate, fingerprint, &err), 0);
	ck_assert_int_eq(tmk_write_file(path, certificate, strlen(certificate), 0644, &err), 0);
}

static uint8_t home_source[32], other_source[32];

static void setup(void)
{
	strcpy(base, "/dev/shm/tmk-link-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	target_make("home");
	target_make("other");
	source_make("source", "home", home_source);
	source_make("stranger", "other", other_source);
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	ck_assert_int_eq(system(command), 0);
}

static struct tmk_tls *server_tls(const char *directory)
{
	struct tmk_error err;
	struct tmk_tls *tls;
	char path[256];

	ck_assert_msg(tmk_tls_server(&tls, at(path, directory), &err) == 0, "%s", err.text);
	return tls;
}

static struct tmk_tls *client_tls(const char *name, const char *authority)
{
	char certificate[256], key[256], path[256];
	struct tmk_error err;
	struct tmk_tls *tls;

	snprintf(certificate, sizeof(certificate), "%s/%s.pem", base, name);
	snprintf(key, sizeof(key), "%s/%s.key", base, name);
	ck_assert_msg(tmk_tls_client(&tls, certificate, key, at(path, authority), &err) == 0, "%s", err.text);
	return tls;
}

static struct tmk_tls *join_tls(const char *pinned)
{
	uint8_t fingerprint[32];
	struct tmk_error err;
	struct tmk_tls *tls;
	char path[256], *pem;

	ck_assert_int_eq(tmk_read_file(at(path, pinned), 8192, &pem, &err), 0);
	ck_assert_int_eq(tmk_pki_fingerprint(pem, fingerprint, &err), 0);
	free(pem);
	ck_assert_int_eq(tmk_tls_join(&tls, fingerprint, &err), 0);
	return tls;
}

/* ---- the server's thread: answers PING with PONG, everything else with itself, until the link fails ---- */

struct server {
	pthread_t thread;
	int fd;
	struct tmk_tls *tls;
	int accepted; /* result of accept */
	int ended;    /* result of the link */
	bool peer;
	uint8_t fingerprint[32];
	unsigned int frames;
	struct tmk_error err;
};

static void serve(struct server *s, struct tmk_link *link)
{
	struct tmk_frame frame;
	const uint8_t *body;

	s->peer = tmk_link_peer(link, s->fingerprint);
	for (;;) {
		s->ended = tmk_link_wait(link, LONG_MS, &frame, &body, &s->err);
		if (s->ended)
			break;
		s->frames++;
		if (frame.type == TMK_FRAME_PING)
			s->ended = tmk_link_send(link, TMK_FRAME_PONG, NULL, 0, NULL, 0);
		else
			s->ended = tmk_link_send(link, frame.type, body, frame.length, NULL, 0);
		if (s->ended)
			break;
	}
}

static void *server_run(void *context)
{
	struct server *s = context;
	struct tmk_link *link;

	s->accepted = tmk_link_accept(&link, s->fd, s->tls, LONG_MS, &s->err);
	if (!s->accepted) {
		serve(s, link);
		tmk_link_free(link);
	}
	return NULL;
}

/* Returns the client's end. */
static int server_start(struct server *s, struct tmk_tls *tls)
{
	int pair[2];

	memset(s, 0, sizeof(*s));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s->fd = pair[1];
	s->tls = tls;
	ck_assert_int_eq(pthread_create(&s->thread, NULL, server_run, s), 0);
	return pair[0];
}

static void server_end(struct server *s)
{
	pthread_join(s->thread, NULL);
	tmk_tls_free(s->tls);
}

/* ---- who is let in ---- */

START_TEST(pki)
{
	char path[256], request[8192], certificate[8192], again[8192];
	uint8_t fingerprint[32], shown[32];
	struct tmk_error err;
	struct stat st;

	ck_assert_int_eq(tmk_pki_init(at(path, "home"), "home", &err), -EEXIST);
	ck_assert_int_eq(stat(at(path, "home/authority.key"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(stat(at(path, "home/target.key"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);

	/* A host name that is longer than a common name may be is cut, not refused. */
	ck_assert_int_eq(
		tmk_pki_request(
			at(path, "long.key"),
			"ein-sehr-langer-name-mit-umlaut-am-ende-der-grenze-von-vierundsechzig-zeichen-\xc3\xa4\xc3\xb6.example",
			request, &err),
		0);
	ck_assert_int_eq(tmk_pki_sign(at(path, "home"), request, "web", certificate, fingerprint, &err), 0);
	ck_assert_int_eq(tmk_pki_fingerprint(certificate, shown, &err), 0);
	ck_assert_mem_eq(shown, fingerprint, 32);
	/* Two certificates for one request differ: a revoked one does not come back. */
	ck_assert_int_eq(tmk_pki_sign(at(path, "home"), request, "web", again, shown, &err), 0);
	ck_assert_mem_ne(shown, fingerprint, 32);

	ck_assert_int_eq(tmk_pki_sign(at(path, "home"), "", "web", again, shown, &err), -EINVAL);
	ck_assert_int_eq(tmk_pki_sign(at(path, "home"), certificate, "web", again, shown, &err), -EINVAL);
	ck_assert_int_eq(tmk_pki_fingerprint(request, shown, &err), -EINVAL);
}
END_TEST

/* A request with another's key in it: its own signature is wrong. */
START_TEST(pki_request_signature)
{
	char path[256], request[8192], certificate[8192];
	uint8_t fingerprint[32];
	struct tmk_error err;
	X509_REQ *parsed;
	EVP_PKEY *other = EVP_EC_gen("P-256");
	BIO *bio;
	int size;

	ck_assert_int_eq(tmk_pki_request(at(path, "x.key"), "x", request, &err), 0);
	bio = BIO_new_mem_buf(request, -1);
	parsed = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
	BIO_free(bio);
	ck_assert_int_eq(X509_REQ_set_pubkey(parsed, other), 1);
	bio = BIO_new(BIO_s_mem());
	ck_assert_int_eq(PEM_write_bio_X509_REQ(bio, parsed), 1);
	size = BIO_read(bio, request, sizeof(request) - 1);
	ck_assert_int_gt(size, 0);
	request[size] = 0;
	ck_assert_int_eq(tmk_pki_sign(at(path, "home"), request, "x", certificate, fingerprint, &err), -EINVAL);
	BIO_free(bio);
	X509_REQ_free(parsed);
	EVP_PKEY_free(other);
}
END_TEST

START_TEST(right_certificate)
{
	struct tmk_tls *tls = client_tls("source", "home/authority.pem");
	uint8_t seen[32], expected[32];
	uint64_t sent, received;
	struct tmk_frame frame;
	struct tmk_error err;
	struct tmk_link *link;
	struct server s;
	const uint8_t *body;
	char path[256], *pem;
	int fd = server_start(&s, server_tls("home"));

	ck_assert_msg(tmk_link_connect(&link, fd, tls, LONG_MS, &err) == 0, "%s", err.text);
	ck_assert(tmk_link_peer(link, seen));
	ck_assert_int_eq(tmk_read_file(at(path, "home/target.pem"), 8192, &pem, &err), 0);
	ck_assert_int_eq(tmk_pki_fingerprint(pem, expected, &err), 0);
	free(pem);
	ck_assert_mem_eq(seen, expected, 32);
	ck_assert_int_eq(tmk_link_send(link, TMK_FRAME_PING, NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(tmk_link_queued(link), TMK_FRAME_SIZE);
	ck_assert_int_eq(tmk_link_events(link), POLLIN | POLLOUT);
	ck_assert_int_eq(tmk_link_flush(link, LONG_MS, &err), 0);
	ck_assert_uint_eq(tmk_link_queued(link), 0);
	ck_assert_int_eq(tmk_link_events(link), POLLIN);
	ck_assert_msg(tmk_link_wait(link, LONG_MS, &frame, &body, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(frame.type, TMK_FRAME_PONG);
	ck_assert_uint_eq(frame.length, 0);
	tmk_link_traffic(link, &sent, &received);
	ck_assert_uint_gt(sent, 500);
	ck_assert_uint_gt(received, 500);
	tmk_link_free(link);
	server_end(&s);
	ck_assert_int_eq(s.accepted, 0);
	ck_assert(s.peer);
	ck_assert_mem_eq(s.fingerprint, home_source, 32);
	/* It was said, not just dropped. */
	ck_assert_int_eq(s.ended, -EPIPE);
	ck_assert_ptr_nonnull(strstr(s.err.text, "ended the connection"));
	tmk_tls_free(tls);
}
END_TEST

static void refused_target(const char *directory, struct tmk_tls *tls, const char *words)
{
	struct tmk_error err;
	struct tmk_link *link;
	struct server s;
	int fd = server_start(&s, server_tls(directory));

	ck_assert_int_eq(tmk_link_connect(&link, fd, tls, LONG_MS, &err), -EKEYREJECTED);
	ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
	server_end(&s);
	ck_assert_int_lt(s.accepted, 0);
	tmk_tls_free(tls);
}

START_TEST(wrong_target)
{
	refused_target("other", client_tls("source", "home/authority.pem"), "not signed by the authority this server joined");
}
END_TEST

/* A source's certificate, signed by the right authority, in the target's place. */
START_TEST(source_as_target)
{
	char path[256];

	ck_assert_int_eq(tmk_mkdirs(at(path, "posing"), 0700, NULL), 0);
	copy("home/authority.pem", "posing/authority.pem");
	copy("source.pem", "posing/target.pem");
	copy("source.key", "posing/target.key");
	refused_target("posing", client_tls("source", "home/authority.pem"), "poses as the target");
	refused_target("posing", join_tls("home/authority.pem"), "poses as the target");
}
END_TEST

static void refused_source(struct tmk_tls *tls, const char *words)
{
	struct tmk_frame frame;
	struct tmk_error err;
	struct tmk_link *link;
	struct server s;
	const uint8_t *body;
	int fd = server_start(&s, server_tls("home"));

	/* TLS 1.3: the client is done before the server has looked at its certificate. */
	ck_assert_int_eq(tmk_link_connect(&link, fd, tls, LONG_MS, &err), 0);
	ck_assert_int_eq(tmk_link_wait(link, LONG_MS, &frame, &body, &err), -EPROTO);
	ck_assert_msg(strstr(err.text, "refuses this side's certificate") != NULL, "%s", err.text);
	tmk_link_free(link);
	server_end(&s);
	ck_assert_int_eq(s.accepted, -EKEYREJECTED);
	ck_assert_msg(strstr(s.err.text, words) != NULL, "%s", s.err.text);
	tmk_tls_free(tls);
}

START_TEST(wrong_source)
{
	refused_source(client_tls("stranger", "home/authority.pem"), "has to join this target");
}
END_TEST

START_TEST(target_as_source)
{
	refused_source(client_tls("home/target", "home/authority.pem"), "not one of a source");
}
END_TEST

START_TEST(key_of_another)
{
	char certificate[256], key[256], authority[256];
	struct tmk_error err;
	struct tmk_tls *tls;

	ck_assert_int_eq(tmk_tls_client(&tls, at(certificate, "source.pem"), at(key, "stranger.key"),
					at(authority, "home/authority.pem"), &err),
			 -EINVAL);
	ck_assert_int_eq(tmk_tls_client(&tls, at(certificate, "missing.pem"), at(key, "source.key"),
					at(authority, "home/authority.pem"), &err),
			 -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "missing.pem"));
}
END_TEST

START_TEST(join)
{
	struct tmk_tls *tls = join_tls("home/authority.pem");
	struct tmk_frame frame;
	struct tmk_error err;
	struct tmk_link *link;
	struct server s;
	const uint8_t *body;
	int fd = server_start(&s, server_tls("home"));

	ck_assert_msg(tmk_link_connect(&link, fd, tls, LONG_MS, &err) == 0, "%s", err.text);
	ck_assert_int_eq(tmk_link_send(link, TMK_FRAME_JOIN, "head", 4, "tail", 4), 0);
	ck_assert_int_eq(tmk_link_wait(link, LONG_MS, &frame, &body, &err), 0);
	ck_assert_uint_eq(frame.length, 8);
	ck_assert_mem_eq(body, "headtail", 8);
	tmk_link_free(link);
	server_end(&s);
	ck_assert_int_eq(s.accepted, 0);
	ck_assert(!s.peer);
	tmk_tls_free(tls);
}
END_TEST

START_TEST(join_wrong_pin)
{
	refused_target("home", join_tls("other/authority.pem"), "authority that the token names");
	/* The target's own certificate is no authority. */
	refused_target("home", join_tls("home/target.pem"), "authority that the token names");
}
END_TEST

/* The right authority is in the chain, but did not sign the target: anybody can send a public certificate. */
START_TEST(join_borrowed_authority)
{
	char path[256];

	ck_assert_int_eq(tmk_mkdirs(at(path, "borrowed"), 0700, NULL), 0);
	copy("home/authority.pem", "borrowed/authority.pem");
	copy("other/target.pem", "borrowed/target.pem");
	copy("other/target.key", "borrowed/target.key");
	refused_target("borrowed", join_tls("home/authority.pem"), "not signed by the authority that the token names");
}
END_TEST

/* ---- what is not TLS 1.3 ---- */

START_TEST(old_tls)
{
	struct tmk_tls *tls = client_tls("source", "home/authority.pem");
	struct server s;
	int fd = server_start(&s, server_tls("home"));
	SSL *ssl = SSL_new(tls->ctx);

	ck_assert_int_eq(SSL_set_min_proto_version(ssl, TLS1_2_VERSION), 1);
	ck_assert_int_eq(SSL_set_max_proto_version(ssl, TLS1_2_VERSION), 1);
	SSL_set_fd(ssl, fd);
	ck_assert_int_ne(SSL_connect(ssl), 1);
	SSL_free(ssl);
	close(fd);
	server_end(&s);
	ck_assert_int_eq(s.accepted, -EPROTO);
	ck_assert_msg(strstr(s.err.text, "does not speak TLS 1.3") != NULL, "%s", s.err.text);
	tmk_tls_free(tls);
}
END_TEST

START_TEST(no_tls)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	struct tmk_tls *tls = client_tls("source", "home/authority.pem");
	struct tmk_error err;
	struct tmk_link *link;
	struct server s;
	int fd = server_start(&s, server_tls("home")), pair[2];

	ck_assert_int_eq(write(fd, http, sizeof(http) - 1), sizeof(http) - 1);
	server_end(&s);
	close(fd);
	ck_assert_int_eq(s.accepted, -EPROTO);
	ck_assert_msg(strstr(s.err.text, "does not speak TLS") != NULL, "%s", s.err.text);

	/* Somebody who closes, and somebody who says nothing. */
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	close(pair[1]);
	ck_assert_int_eq(tmk_link_connect(&link, pair[0], tls, LONG_MS, &err) < 0, 1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(tmk_link_connect(&link, pair[0], tls, 20, &err), -ETIMEDOUT);
	close(pair[1]);
	tmk_tls_free(tls);
}
END_TEST

/* ---- frames ---- */

/* Many of the largest frames are under way in both directions at once, with small ones between. */
START_TEST(large_frames)
{
	enum { COUNT = 24 };
	struct tmk_tls *tls = client_tls("source", "home/authority.pem");
	uint32_t most = tmk_frame_limit(TMK_FRAME_CHUNK);
	uint8_t *body = malloc(most), sums[COUNT][16], sum[16];
	struct tmk_error err;
	struct tmk_link *link;
	struct server s;
	int fd = server_start(&s, server_tls("home"));

	ck_assert_int_eq(tmk_link_connect(&link, fd, tls, LONG_MS, &err), 0);
	for (int i = 0; i < COUNT; i++) {
		uint32_t size = i % 3 == 2 ? (uint32_t)i : most - 7 * i;

		for (uint32_t b = 0; b < size; b++)
			body[b] = b * 31 + i;
		tmk_sum128(body, size, sums[i]);
		ck_assert_int_eq(tmk_link_send(link, TMK_FRAME_CHUNK, body, size / 3, body + size / 3, size - size / 3), 0);
	}
	for (int i = 0; i < COUNT; i++) {
		struct tmk_frame frame;
		const uint8_t *got;

		ck_assert_msg(tmk_link_wait(link, LONG_MS, &frame, &got, &err) == 0, "%s", err.text);
		ck_assert_uint_eq(frame.type, TMK_FRAME_CHUNK);
		tmk_sum128(got, frame.length, sum);
		ck_assert_mem_eq(sum, sums[i], 16);
	}
	ck_assert_int_eq(tmk_link_send(link, TMK_FRAME_CHUNK, body, most, body, 1), -EMSGSIZE);
	ck_assert_int_eq(tmk_link_send(link, TMK_FRAME_CHUNK, body, 1, body, SIZE_MAX), -EMSGSIZE);
	ck_assert_int_eq(tmk_link_send(link, 99, body, 1, NULL, 0), -EMSGSIZE);
	tmk_link_free(link);
	server_end(&s);
	ck_assert_uint_eq(s.frames, COUNT);
	tmk_tls_free(tls);
	free(body);
}
END_TEST

/* A caller that pumps only when poll says so gets everything: also a small frame that OpenSSL has already taken from the socket
 * while a large one filled the link's buffer to its end. */
START_TEST(poll_is_right)
{
	struct tmk_tls *tls = client_tls("source", "home/authority.pem");
	uint32_t most = tmk_frame_limit(TMK_FRAME_CHUNK);
	uint8_t *chunk = calloc(1, most);
	struct tmk_error err;
	struct tmk_link *link;
	struct server s;
	int fd = server_start(&s, server_tls("home"));

	ck_assert_int_eq(tmk_link_connect(&link, fd, tls, LONG_MS, &err), 0);
	for (int i = 0; i < 40; i++) {
		unsigned int left = 2;

		ck_assert_int_eq(tmk_link_send(link, TMK_FRAME_CHUNK, chunk, most, NULL, 0), 0);
		ck_assert_int_eq(tmk_link_send(link, TMK_FRAME_PING, NULL, 0, NULL, 0), 0);
		while (left) {
			struct pollfd p = {.fd = fd, .events = tmk_link_events(link)};
			struct tmk_frame frame;
			const uint8_t *body;

			ck_assert_msg(poll(&p, 1, LONG_MS) == 1, "a frame is there, and nobody says so");
			ck_assert_int_eq(tmk_link_pump(link, &err), 0);
			while (tmk_link_next(link, &frame, &body))
				left--;
		}
	}
	tmk_link_free(link);
	server_end(&s);
	tmk_tls_free(tls);
	free(chunk);
}
END_TEST

static void bad_frame(const uint8_t header[8])
{
	struct tmk_tls *tls = client_tls("source", "home/authority.pem");
	uint8_t bytes[16] = {TMK_FRAME_PING};
	struct server s;
	int fd = server_start(&s, server_tls("home"));
	SSL *ssl = SSL_new(tls->ctx);

	memcpy(bytes + 8, header, 8);
	SSL_set_fd(ssl, fd);
	ck_assert_int_eq(SSL_connect(ssl), 1);
	ck_assert_int_eq(SSL_write(ssl, bytes, sizeof(bytes)), sizeof(bytes));
	server_end(&s);
	SSL_free(ssl);
	close(fd);
	tmk_tls_free(tls);
	ck_assert_int_eq(s.accepted, 0);
	/* The good frame before it was taken. */
	ck_assert_uint_eq(s.frames, 1);
	ck_assert_int_eq(s.ended, -EBADMSG);
	ck_assert_ptr_nonnull(strstr(s.err.text, "bad frame"));
}

START_TEST(bad_frames)
{
	/* Too long for its type by one byte (CHUNK, HELLO, REWIND), an unknown type, a flag. */
	static const uint8_t headers[][8] = {
		{2, 0, 0, 0, 0x81, 0, 0x12, 0}, {1, 0, 0, 0, 1, 0, 1, 0},
		{33, 0, 0, 0, 1, 0, 4, 0},	{0, 0, 0, 0, 0, 0, 0, 0},
		{77, 0, 0, 0, 0, 0, 0, 0},	{4, 1, 0, 0, 0, 0, 0, 0},
		{4, 0, 1, 0, 0, 0, 0, 0},	{2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
	};

	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++)
		bad_frame(headers[i]);
}
END_TEST

/* ---- TCP, and endings ---- */

static uint16_t port_of(int listener)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);

	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
						   : ((struct sockaddr_in *)&address)->sin_port);
}

struct refuser {
	int listener;
	struct tmk_tls *tls;
	int result;
};

/* A target that refuses as soon as it has the first frame, and closes although the source goes on sending. */
static void *refuse(void *context)
{
	struct refuser *r = context;
	struct pollfd p = {.fd = r->listener, .events = POLLIN};
	struct tmk_frame frame;
	struct tmk_error err;
	struct tmk_link *link;
	const uint8_t *body;

	if (poll(&p, 1, LONG_MS) != 1)
		r->result = -ETIMEDOUT;
	else
		r->result = tmk_link_accept(&link, accept(r->listener, NULL, NULL), r->tls, LONG_MS, &err);
	if (r->result)
		return NULL;
	r->result = tmk_link_wait(link, LONG_MS, &frame, &body, &err);
	if (!r->result)
		r->result = tmk_link_send(link, TMK_FRAME_REFUSE, "why", 3, NULL, 0);
	if (!r->result)
		r->result = tmk_link_flush(link, LONG_MS, &err);
	tmk_link_free(link);
	return NULL;
}

START_TEST(last_words_arrive)
{
	struct tmk_tls *tls = client_tls("source", "home/authority.pem");
	struct refuser r = {.tls = server_tls("home")};
	static uint8_t chunk[1 << 20];
	struct tmk_frame frame;
	struct tmk_error err;
	struct tmk_link *link;
	const uint8_t *body;
	pthread_t thread;
	int fd, ret = 0;
	bool heard = false;

	r.listener = tmk_listen("127.0.0.1", 0, &err);
	ck_assert_msg(r.listener >= 0, "%s", err.text);
	ck_assert_int_eq(pthread_create(&thread, NULL, refuse, &r), 0);
	fd = tmk_dial("127.0.0.1", port_of(r.listener), LONG_MS, &err);
	ck_assert_msg(fd >= 0, "%s", err.text);
	ck_assert_int_eq(tmk_link_connect(&link, fd, tls, LONG_MS, &err), 0);
	ck_assert_int_eq(tmk_link_send(link, TMK_FRAME_PING, NULL, 0, NULL, 0), 0);
	/* No SIGPIPE, and the refusal is read although writing fails. */
	while (!ret) {
		struct pollfd p = {.fd = fd};

		if (tmk_link_queued(link) < sizeof(chunk))
			ck_assert_int_eq(tmk_link_send(link, TMK_FRAME_CHUNK, chunk, sizeof(chunk), NULL, 0), 0);
		ret = tmk_link_pump(link, &err);
		while (tmk_link_next(link, &frame, &body)) {
			ck_assert_uint_eq(frame.type, TMK_FRAME_REFUSE);
			ck_assert_mem_eq(body, "why", 3);
			heard = true;
		}
		p.events = tmk_link_events(link);
		if (!ret)
			ck_assert_int_eq(poll(&p, 1, LONG_MS), 1);
	}
	ck_assert_msg(heard, "the refusal got lost: %s", err.text);
	ck_assert_int_eq(tmk_link_pump(link, &err), ret);
	tmk_link_free(link);
	pthread_join(thread, NULL);
	ck_assert_int_eq(r.result, 0);
	close(r.listener);
	tmk_tls_free(r.tls);
	tmk_tls_free(tls);
}
END_TEST

START_TEST(dialing)
{
	struct tmk_error err;
	int listener = tmk_listen(NULL, 0, &err), fd;
	uint16_t port;

	ck_assert_msg(listener >= 0, "%s", err.text);
	port = port_of(listener);
	fd = tmk_dial("localhost", port, LONG_MS, &err);
	ck_assert_msg(fd >= 0, "%s", err.text);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	close(fd);
	fd = tmk_dial("127.0.0.1", port, LONG_MS, &err);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(tmk_listen(NULL, port, &err), -EADDRINUSE);
	close(listener);
	ck_assert_int_eq(tmk_dial("127.0.0.1", port, LONG_MS, &err), -ECONNREFUSED);
	ck_assert_ptr_nonnull(strstr(err.text, "tidemark-target"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link");
	TCase *keys = tcase_create("keys"), *links = tcase_create("links");

	tcase_set_timeout(keys, 100);
	tcase_set_timeout(links, 100);
	tcase_add_checked_fixture(keys, setup, teardown);
	tcase_add_checked_fixture(links, setup, teardown);
	tcase_add_test(keys, pki);
	tcase_add_test(keys, pki_request_signature);
	tcase_add_test(keys, right_certificate);
	tcase_add_test(keys, wrong_target);
	tcase_add_test(keys, source_as_target);
	tcase_add_test(keys, wrong_source);
	tcase_add_test(keys, target_as_source);
	tcase_add_test(keys, key_of_another);
	tcase_add_test(keys, join);
	tcase_add_test(keys, join_wrong_pin);
	tcase_add_test(keys, join_borrowed_authority);
	tcase_add_test(links, old_tls);
	tcase_add_test(links, no_tls);
	tcase_add_test(links, large_frames);
	tcase_add_test(links, poll_is_right);
	tcase_add_test(links, bad_frames);
	tcase_add_test(links, last_words_arrive);
	tcase_add_test(links, dialing);
	suite_add_tcase(suite, keys);
	suite_add_tcase(suite, links);
	return run_suite(suite);
}
