/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A link: frames over a TLS 1.3 connection, non-blocking inside, one thread. Keys: lib/pki.h. No early data, no renegotiation,
 * no session tickets.
 *
 * Sending never waits: tmk_link_send() queues (a copy), tmk_link_pump() moves bytes both ways as far as the socket allows. A
 * caller bounds the queue by looking at tmk_link_queued(). A link never raises SIGPIPE.
 */
#ifndef TMK_LINK_H
#define TMK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "wire.h"

struct tmk_link;
struct tmk_tls; /* certificates and settings of one side: pki.h */

/* Takes the connected socket over (closes it also on failure), does the handshake within timeout_ms. tls must outlive the link.
 * In TLS 1.3 the connecting side is ready before the other one has looked at its certificate: a refusal shows up in the first
 * pump or wait, as -EPROTO. */
int tmk_link_connect(struct tmk_link **out, int fd, struct tmk_tls *tls, int timeout_ms, struct tmk_error *err);
int tmk_link_accept(struct tmk_link **out, int fd, struct tmk_tls *tls, int timeout_ms, struct tmk_error *err);
/* Sends close_notify if it can without waiting; closes. NULL is fine. */
void tmk_link_free(struct tmk_link *link);

int tmk_link_fd(const struct tmk_link *link);
/* poll(2) events to wait for now. */
short tmk_link_events(const struct tmk_link *link);
/* SHA-256 of the peer's certificate (DER); false if it has none. */
bool tmk_link_peer(const struct tmk_link *link, uint8_t fingerprint[32]);

/* Queues a frame: type, body = head followed by tail (either may be empty). -ENOMEM; -EMSGSIZE: beyond the type's limit. */
int tmk_link_send(struct tmk_link *link, uint16_t type, const void *head, size_t head_size, const void *tail, size_t tail_size);
size_t tmk_link_queued(const struct tmk_link *link); /* bytes */
/* Reads and writes what is possible. 0; -EPIPE: the peer closed; -EBADMSG: a bad frame; other: the connection is lost.
 * Frames that arrived whole before that can still be had. */
int tmk_link_pump(struct tmk_link *link, struct tmk_error *err);
/* The next whole frame; call it until it says false, only then is poll right. The body lives until the next call of pump or next.
 * False: none yet. */
bool tmk_link_next(struct tmk_link *link, struct tmk_frame *frame, const uint8_t **body);
/* Pumps and polls until a frame is there (false in no case), the deadline passes (-ETIMEDOUT) or the link fails. */
int tmk_link_wait(struct tmk_link *link, int timeout_ms, struct tmk_frame *frame, const uint8_t **body, struct tmk_error *err);
/* Pumps until everything queued is with the kernel, or the time is over. After a bad frame of the peer too: a REFUSE is sent
 * still, and the error is the bad frame's. */
int tmk_link_flush(struct tmk_link *link, int timeout_ms, struct tmk_error *err);
/* Bytes on the connection since it was made, TLS's own included as far as OpenSSL tells. */
void tmk_link_traffic(const struct tmk_link *link, uint64_t *sent, uint64_t *received);

/* The largest body of a frame type, or 0 if the type is unknown. */
uint32_t tmk_frame_limit(uint16_t type);

/* TCP connect to HOST and port within timeout_ms; keepalive, nodelay, close-on-exec. A descriptor or -errno. */
int tmk_dial(const char *host, uint16_t port, int timeout_ms, struct tmk_error *err);
/* A listening, non-blocking socket; address NULL: all. A descriptor or -errno. */
int tmk_listen(const char *address, uint16_t port, struct tmk_error *err);

#endif
