/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The receiver: one process per TCP connection. It enters the sandbox before the first byte of the network, does the TLS
 * handshake, takes HELLO or JOIN, and asks the supervisor; then it takes chunks in (ingest.c). It owns nothing but the append
 * side of one journal, which the supervisor hands it. Which certificate the peer has is what this process says: whoever takes
 * a receiver over can pretend to be another source, and can at most add to that source's history (I12).
 */
#ifndef TMK_RECEIVER_H
#define TMK_RECEIVER_H

#include <stdint.h>

#include "link.h"
#include "pki.h"
#include "sandbox.h"
#include "wire.h"

struct tmk_receiver {
	int fd; /* the connection */
	struct tmk_tls *tls;
	const struct tmk_sandbox_user *user;
	int protections; /* descriptor of DIR/protections */
	char peer[64];	 /* address, for the log */
};
/* A child's whole life. context: struct tmk_receiver. */
int tmk_receiver_run(int channel, void *context);

/* Sends REFUSE and waits a moment for the peer to take it: a connection that is reset loses what is under way. */
void tmk_receiver_refuse(struct tmk_link *link, enum tmk_refuse code, const char *text);

#endif
