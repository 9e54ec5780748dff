/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See link.h. The socket is OpenSSL's through a BIO of our own, for three reasons: MSG_NOSIGNAL, counted bytes, and a failed
 * write must not end the reading, because the peer's last words (REFUSE) may still be there to be read.
 *
 * Received bytes: data[start, end). [start, scanned) are whole frames with checked headers; `taken` bytes at start belong to
 * the frame last given out. Reading stops when the buffer, which holds the largest frame, is full (`paused`), and goes on in
 * tmk_link_next(): bytes that OpenSSL holds would not wake a poll.
 */
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "tls.h"
#include "util.h"

#define FRAME_MOST (TMK_CHUNK_HEADER_SIZE + TMK_CHUNK_RAW_MAX)
#define BUFFER_SIZE (TMK_FRAME_SIZE + FRAME_MOST)

struct outgoing {
	struct outgoing *next;
	size_t size, at;
	uint8_t data[];
};

struct tmk_link {
	int fd;
	SSL *ssl;
	BIO_METHOD *method;
	const struct tmk_tls *tls;
	uint8_t *data; /* BUFFER_SIZE */
	size_t start, taken, scanned, end;
	bool paused;
	bool established;
	bool eof; /* of the socket */
	bool read_wants_write;
	bool bad_frame;	  /* that is why it failed */
	int socket_error; /* of a write: negative errno */
	int failed;	  /* what pump returns from now on */
	struct tmk_error why;
	struct outgoing *first, **last;
	size_t queued;
	uint64_t sent, received;
};

uint32_t tmk_frame_limit(uint16_t type)
{
	switch (type) {
	case TMK_FRAME_CHUNK:
		return FRAME_MOST;
	case TMK_FRAME_COMPARED:
		return TMK_COMPARED_MAX;
	case TMK_FRAME_REWIND:
		return TMK_REWIND_MAX;
	case TMK_FRAME_HELLO:
	case TMK_FRAME_JOIN:
	case TMK_FRAME_PING:
	case TMK_FRAME_BYE:
	case TMK_FRAME_WELCOME:
	case TMK_FRAME_ACK:
	case TMK_FRAME_REFUSE:
	case TMK_FRAME_JOINED:
	case TMK_FRAME_PONG:
	case TMK_FRAME_NOTE:
		return TMK_CONTROL_MAX;
	default:
		return 0;
	}
}

/* ---- the socket, as OpenSSL sees it ---- */

static int bio_write(BIO *bio, const char *data, int size)
{
	struct tmk_link *link = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (link->socket_error) {
		BIO_set_retry_write(bio);
		return -1;
	}
	do
		n = send(link->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		link->sent += n;
		return n;
	}
	if (errno != EAGAIN)
		link->socket_error = -errno;
	BIO_set_retry_write(bio);
	return -1;
}

static int bio_read(BIO *bio, char *data, int size)
{
	struct tmk_link *link = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	do
		n = recv(link->fd, data, size, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		link->received += n;
		return n;
	}
	if (n < 0 && errno == EAGAIN) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (n < 0 && !link->socket_error)
		link->socket_error = -errno;
	link->eof = true;
	return 0;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	struct tmk_link *link = BIO_get_data(bio);

	(void)number, (void)pointer;
	if (command == BIO_CTRL_EOF)
		return link->eof;
	return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static bool bio_attach(struct tmk_link *link)
{
	BIO *bio;

	link->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tidemark link");
	if (!link->method || !BIO_meth_set_write(link->method, bio_write) || !BIO_meth_set_read(link->method, bio_read) ||
	    !BIO_meth_set_ctrl(link->method, bio_ctrl) || !BIO_meth_set_create(link->method, bio_create))
		return false;
	bio = BIO_new(link->method);
	if (!bio)
		return false;
	BIO_set_data(bio, link);
	SSL_set_bio(link->ssl, bio, bio);
	return true;
}

/* ---- failing ---- */

/* The first failure stays. Reading ends for good, so that a poll wakes up and the caller comes to hear of it. */
static int fail(struct tmk_link *link)
{
	link->failed = link->why.code;
	shutdown(link->fd, SHUT_RD);
	return link->failed;
}

static int fail_with(struct tmk_link *link, int code, const char *text)
{
	tmk_error_set(&link->why, code, "%s", text);
	return fail(link);
}

/* The connection is lost, or TLS's state is. */
static int fail_ssl(struct tmk_link *link, int kind)
{
	unsigned long code = ERR_peek_last_error();

	if (kind == SSL_ERROR_ZERO_RETURN)
		return fail_with(link, -EPIPE, "the other side ended the connection");
	if (code && !(link->eof && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING))
		tmk_tls_failure(link->tls, link->ssl, &link->why);
	else if (link->socket_error)
		tmk_error_sys(&link->why, link->socket_error, "the connection is lost");
	else if (link->established)
		tmk_error_set(&link->why, -EPIPE, "the other side closed the connection without a word");
	else
		tmk_error_set(&link->why, -ECONNRESET,
			      "the other side closed the connection during the handshake: is it a tidemark-target, and does its "
			      "log say why?");
	ERR_clear_error();
	return fail(link);
}

static int report(const struct tmk_link *link, struct tmk_error *err)
{
	if (err)
		*err = link->why;
	return link->failed;
}

/* ---- receiving ---- */

/* Checks the headers of what came in. */
static int scan(struct tmk_link *link)
{
	struct tmk_error *why = &link->why;

	while (link->end - link->scanned >= TMK_FRAME_SIZE) {
		struct tmk_reader r = tmk_reader(link->data + link->scanned, TMK_FRAME_SIZE);
		uint16_t type = tmk_get_u16(&r), flags = tmk_get_u16(&r);
		uint32_t length = tmk_get_u32(&r), limit = tmk_frame_limit(type);

		if (!limit || flags || length > limit) {
			tmk_error_set(why, -EBADMSG, "the other side sent a bad frame (type %u, flags %u, %u bytes)", type, flags,
				      length);
			link->bad_frame = true;
			return fail(link);
		}
		if (link->end - link->scanned - TMK_FRAME_SIZE < length)
			break;
		link->scanned += TMK_FRAME_SIZE + length;
	}
	return 0;
}

static void drop_taken(struct tmk_link *link)
{
	link->start += link->taken;
	link->taken = 0;
}

/* Makes the buffer begin with what was not given out yet. */
static void compact(struct tmk_link *link)
{
	if (!link->start)
		return;
	memmove(link->data, link->data + link->start, link->end - link->start);
	link->scanned -= link->start;
	link->end -= link->start;
	link->start = 0;
}

/* Reads until nothing is there or the buffer is full. */
static int receive(struct tmk_link *link)
{
	if (link->start == link->end || link->end == BUFFER_SIZE)
		compact(link);
	link->read_wants_write = false;
	for (;;) {
		size_t n;
		int ret;

		link->paused = link->end == BUFFER_SIZE;
		if (link->paused)
			return 0;
		ERR_clear_error();
		ret = SSL_read_ex(link->ssl, link->data + link->end, BUFFER_SIZE - link->end, &n);
		if (ret == 1) {
			link->end += n;
			ret = scan(link);
			if (ret)
				return ret;
			continue;
		}
		ret = SSL_get_error(link->ssl, ret);
		link->read_wants_write = ret == SSL_ERROR_WANT_WRITE;
		if (ret == SSL_ERROR_WANT_READ || ret == SSL_ERROR_WANT_WRITE)
			return 0;
		return fail_ssl(link, ret);
	}
}

/* ---- sending ---- */

int tmk_link_send(struct tmk_link *link, uint16_t type, const void *head, size_t head_size, const void *tail, size_t tail_size)
{
	uint32_t limit = tmk_frame_limit(type);
	struct tmk_writer_buf w;
	struct outgoing *o;

	if (!limit || head_size > limit || tail_size > limit - head_size)
		return -EMSGSIZE;
	o = malloc(sizeof(*o) + TMK_FRAME_SIZE + head_size + tail_size);
	if (!o)
		return -ENOMEM;
	o->next = NULL;
	o->at = 0;
	o->size = TMK_FRAME_SIZE + head_size + tail_size;
	w = tmk_writer_buf(o->data, o->size);
	tmk_put_u16(&w, type);
	tmk_put_u16(&w, 0);
	tmk_put_u32(&w, head_size + tail_size);
	tmk_put_bytes(&w, head, head_size);
	tmk_put_bytes(&w, tail, tail_size);
	*link->last = o;
	link->last = &o->next;
	link->queued += o->size;
	return 0;
}

size_t tmk_link_queued(const struct tmk_link *link)
{
	return link->queued;
}

static void outgoing_drop(struct tmk_link *link)
{
	struct outgoing *o = link->first;

	link->first = o->next;
	if (!link->first)
		link->last = &link->first;
	link->queued -= o->size - o->at;
	free(o);
}

static int transmit(struct tmk_link *link)
{
	while (link->first) {
		struct outgoing *o = link->first;
		size_t n;
		int ret;

		ERR_clear_error();
		ret = SSL_write_ex(link->ssl, o->data + o->at, o->size - o->at, &n);
		if (ret == 1) {
			o->at += n;
			link->queued -= n;
			if (o->at == o->size)
				outgoing_drop(link);
			continue;
		}
		ret = SSL_get_error(link->ssl, ret);
		if (ret == SSL_ERROR_WANT_READ || ret == SSL_ERROR_WANT_WRITE)
			return 0;
		return fail_ssl(link, ret);
	}
	return 0;
}

int tmk_link_pump(struct tmk_link *link, struct tmk_error *err)
{
	if (link->failed)
		return report(link, err);
	drop_taken(link);
	if (!receive(link) && !transmit(link) && link->socket_error) {
		/* The peer has reset the connection. What it said before that comes first. */
		if (!receive(link) && !link->paused) {
			tmk_error_sys(&link->why, link->socket_error, "the connection is lost");
			fail(link);
		}
	}
	return link->failed ? report(link, err) : 0;
}

bool tmk_link_next(struct tmk_link *link, struct tmk_frame *frame, const uint8_t **body)
{
	struct tmk_reader r;

	drop_taken(link);
	if (link->start == link->scanned && link->paused && !link->failed)
		receive(link);
	if (link->start == link->scanned)
		return false;
	r = tmk_reader(link->data + link->start, link->end - link->start);
	frame->type = tmk_get_u16(&r);
	frame->flags = tmk_get_u16(&r);
	frame->length = tmk_get_u32(&r);
	*body = tmk_get_span(&r, frame->length);
	link->taken = r.at;
	return true;
}

/* ---- waiting ---- */

int tmk_link_fd(const struct tmk_link *link)
{
	return link->fd;
}

short tmk_link_events(const struct tmk_link *link)
{
	return POLLIN | (link->queued || link->read_wants_write || link->failed ? POLLOUT : 0);
}

/* 0: something happened or time has passed, look again. */
static int wait_for(const struct tmk_link *link, short events, uint64_t deadline)
{
	struct pollfd p = {.fd = link->fd, .events = events};
	uint64_t now = tmk_now_ms();

	if (now >= deadline)
		return -ETIMEDOUT;
	return poll(&p, 1, (int)(deadline - now)) < 0 && errno != EINTR ? -errno : 0;
}

static uint64_t deadline_in(int timeout_ms)
{
	return tmk_now_ms() + (timeout_ms > 0 ? timeout_ms : 0);
}

int tmk_link_wait(struct tmk_link *link, int timeout_ms, struct tmk_frame *frame, const uint8_t **body, struct tmk_error *err)
{
	uint64_t deadline = deadline_in(timeout_ms);

	if (tmk_link_next(link, frame, body))
		return 0;
	for (;;) {
		int ret = tmk_link_pump(link, err);

		if (tmk_link_next(link, frame, body))
			return 0;
		if (!ret)
			ret = wait_for(link, tmk_link_events(link), deadline);
		if (link->failed)
			return ret;
		if (ret == -ETIMEDOUT)
			return tmk_error_set(err, ret, "the other side does not answer");
		if (ret)
			return tmk_error_sys(err, ret, "cannot wait for the connection");
	}
}

/* A bad frame ends the reading, and the way to the peer is as good as before: it is told what was wrong. */
static void flush_after_bad_frame(struct tmk_link *link, uint64_t deadline)
{
	while (!transmit(link) && link->queued && !link->socket_error && !wait_for(link, POLLOUT, deadline))
		;
}

int tmk_link_flush(struct tmk_link *link, int timeout_ms, struct tmk_error *err)
{
	uint64_t deadline = deadline_in(timeout_ms);

	if (link->bad_frame)
		flush_after_bad_frame(link, deadline);
	for (;;) {
		int ret = tmk_link_pump(link, err);

		if (ret || !link->queued)
			return ret;
		/* A full buffer of frames that nobody takes must not make this spin. */
		ret = wait_for(link, link->paused ? POLLOUT : tmk_link_events(link), deadline);
		if (ret == -ETIMEDOUT)
			return tmk_error_set(err, ret, "the other side does not take what it is sent");
		if (ret)
			return tmk_error_sys(err, ret, "cannot wait for the connection");
	}
}

/* ---- making and ending ---- */

static int handshake(struct tmk_link *link, int timeout_ms)
{
	uint64_t deadline = deadline_in(timeout_ms);

	for (;;) {
		int ret, kind;

		ERR_clear_error();
		ret = SSL_do_handshake(link->ssl);
		if (ret == 1) {
			link->established = true;
			return 0;
		}
		kind = SSL_get_error(link->ssl, ret);
		if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE)
			return fail_ssl(link, kind);
		if (link->socket_error)
			return fail_ssl(link, SSL_ERROR_SYSCALL);
		ret = wait_for(link, kind == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline);
		if (ret == -ETIMEDOUT)
			return fail_with(link, ret,
					 "the other side does not answer the handshake in time: is it the right port?");
		if (ret)
			return fail_with(link, ret, "cannot wait for the handshake");
	}
}

static bool prepare(struct tmk_link *link)
{
	int flags = fcntl(link->fd, F_GETFL);

	link->last = &link->first;
	link->data = malloc(BUFFER_SIZE);
	link->ssl = SSL_new(link->tls->ctx);
	if (!link->data || !link->ssl || !bio_attach(link) || flags < 0)
		return false;
	return !fcntl(link->fd, F_SETFL, flags | O_NONBLOCK);
}

static int link_new(struct tmk_link **out, int fd, struct tmk_tls *tls, bool accept, int timeout_ms, struct tmk_error *err)
{
	struct tmk_link *link = calloc(1, sizeof(*link));
	int ret;

	if (!link) {
		close(fd);
		return tmk_error_sys(err, -ENOMEM, "cannot make a connection");
	}
	link->fd = fd;
	link->tls = tls;
	if (!prepare(link)) {
		ERR_clear_error();
		tmk_link_free(link);
		return tmk_error_sys(err, -ENOMEM, "cannot make a connection");
	}
	if (accept)
		SSL_set_accept_state(link->ssl);
	else
		SSL_set_connect_state(link->ssl);
	if (!handshake(link, timeout_ms)) {
		*out = link;
		return 0;
	}
	ret = report(link, err);
	tmk_link_free(link);
	return ret;
}

int tmk_link_connect(struct tmk_link **out, int fd, struct tmk_tls *tls, int timeout_ms, struct tmk_error *err)
{
	return link_new(out, fd, tls, false, timeout_ms, err);
}

int tmk_link_accept(struct tmk_link **out, int fd, struct tmk_tls *tls, int timeout_ms, struct tmk_error *err)
{
	return link_new(out, fd, tls, true, timeout_ms, err);
}

void tmk_link_free(struct tmk_link *link)
{
	if (!link)
		return;
	/* After a failure inside TLS there is nothing more to say; a record written in part would be cut in two. */
	if (link->established && !link->failed && !link->queued) {
		ERR_clear_error();
		SSL_shutdown(link->ssl);
	}
	ERR_clear_error();
	SSL_free(link->ssl);
	BIO_meth_free(link->method);
	close(link->fd);
	while (link->first)
		outgoing_drop(link);
	free(link->data);
	free(link);
}

bool tmk_link_peer(const struct tmk_link *link, uint8_t fingerprint[32])
{
	X509 *peer = SSL_get0_peer_certificate(link->ssl);
	unsigned int size = 0;

	return peer && X509_digest(peer, EVP_sha256(), fingerprint, &size) && size == 32;
}

void tmk_link_traffic(const struct tmk_link *link, uint64_t *sent, uint64_t *received)
{
	*sent = link->sent;
	*received = link->received;
}
