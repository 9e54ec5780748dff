/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channels between the supervisor and its children: one SOCK_SEQPACKET pair per child, one message per packet, at most one
 * descriptor with it. A receiver parses the network and may be anybody's by now: the supervisor checks its messages like
 * network input, and takes each kind only in the state in which it belongs (supervisor.c).
 *
 * The supervisor's end never waits (a child that does not read is not worth waiting for); a child's end waits.
 */
#ifndef TMK_CHANNEL_H
#define TMK_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "applier.h"
#include "buf.h"
#include "error.h"
#include "journal.h"
#include "wire.h"

#define TMK_MESSAGE_MAX (32u << 10) /* bytes of a body: HELLO and JOINED are the large ones */

enum tmk_message_type {
	/* receiver (and, where it says so, recoverer: the same process without a connection) to supervisor */
	TMK_MESSAGE_HELLO = 1, /* u8: has a certificate, 32 bytes fingerprint, the frame's body */
	TMK_MESSAGE_JOIN,      /* the frame's body */
	TMK_MESSAGE_UNSOUND,   /* string: the journal cannot be opened; answered by ACCEPT again or REFUSE. Recoverer too */
	TMK_MESSAGE_OPENED,  /* u64 end of the journal, durable, 16 bytes epoch of its last chunk. Answered by EPOCH: the one that
				may continue, or REFUSE. Recoverer too */
	TMK_MESSAGE_EPOCH,   /* 16 bytes: may this epoch begin? answered by EPOCH with the same or REFUSE */
	TMK_MESSAGE_DURABLE, /* u64 */
	TMK_MESSAGE_FULL,    /* string: why no chunk is taken now; empty: over */
	/* applier to supervisor */
	TMK_MESSAGE_APPLIED, /* u16 state, u64 applied, 32 bytes hash, u64 point, u64 until */
	TMK_MESSAGE_POINT,   /* tmk_channel_put_point() */
	TMK_MESSAGE_TROUBLE, /* u32 errno, string: why nothing is applied; 0: over. EUCLEAN: for an operator. Receiver and
				recoverer too: why the journal cannot be written, before they end. To a receiver: what else
				is wrong here, for its source */
	/* jobs and applier to supervisor */
	TMK_MESSAGE_PROGRESS, /* u64 done, u64 total */
	TMK_MESSAGE_DONE,     /* u32 errno, string: the job's end, or the answer to GIVE_UP */
	TMK_MESSAGE_EXPORTED, /* u64 the point's chunk */
	TMK_MESSAGE_SIGNED,   /* 32 bytes fingerprint, string certificate */
	/* applier to supervisor, and passed on to the receiver whose session appended the chunk (passing.h) */
	TMK_MESSAGE_COMPARED, /* body of the COMPARED frame */
	/* supervisor to children */
	TMK_MESSAGE_ACCEPT = 32, /* struct tmk_acceptance; descriptor: the journal's directory */
	TMK_MESSAGE_REFUSE,	 /* u16 enum tmk_refuse, string */
	TMK_MESSAGE_JOINED,	 /* body of the JOINED frame */
	TMK_MESSAGE_STOP,	 /* u16 enum tmk_refuse or 0, string: make durable and acknowledge what is there, then end */
	TMK_MESSAGE_MOVED,	 /* u64 applied: the journal may have room again */
	TMK_MESSAGE_GIVE_UP,	 /* empty, to the applier */
};

/* What a receiver needs to open the journal and to check chunks. */
struct tmk_acceptance {
	char name[TMK_NAME_MAX + 1];
	uint8_t protection[TMK_UUID_SIZE];
	uint8_t epoch[TMK_EPOCH_SIZE]; /* the one that may continue; zeroes: none yet */
	uint64_t generation;
	struct tmk_place applied; /* of the sidecar */
	uint64_t limit;		  /* bytes of the journal; 0: none */
	uint64_t reserve;	  /* bytes that stay free on its filesystem */
	uint32_t window;
	uint64_t growth; /* bytes that the replica's files may still take of it: their holes */
	uint8_t holds;	 /* 1: the replica may hold something already */
	struct tmk_disk_sizes sizes;
};

struct tmk_message {
	uint16_t type;
	int fd; /* -1: none; belongs to the one who received */
	size_t size;
	uint8_t body[TMK_MESSAGE_MAX];
};

/* [0] does not wait: the supervisor's; [1] is the child's. */
int tmk_channel_pair(int ends[2]);
/* 0; -EAGAIN: the other side does not read; -EPIPE: it is gone. fd: -1 or a descriptor to pass (stays the caller's). */
int tmk_channel_send(int channel, uint16_t type, const void *body, size_t size, int fd);
int tmk_channel_send_number(int channel, uint16_t type, uint64_t number);
int tmk_channel_send_code(int channel, uint16_t type, int code, const char *text); /* u32 |code|, string */
int tmk_channel_send_refuse(int channel, uint16_t type, enum tmk_refuse code, const char *text);
/* 0; -EAGAIN; -EPIPE: the other side closed; -EBADMSG: not a message. */
int tmk_channel_receive(int channel, struct tmk_message *out);
/* Waits for the next message; -ETIMEDOUT. */
int tmk_channel_wait(int channel, int timeout_ms, struct tmk_message *out);

struct tmk_reader tmk_message_reader(const struct tmk_message *m);
/* What tmk_channel_send_code() sent: 0 or -errno. Fails for what is no errno. */
int tmk_channel_get_code(struct tmk_reader *r);
void tmk_channel_put_point(struct tmk_writer_buf *w, const struct tmk_point *p);
void tmk_channel_get_point(struct tmk_reader *r, struct tmk_point *p);
void tmk_channel_put_acceptance(struct tmk_writer_buf *w, const struct tmk_acceptance *a);
void tmk_channel_get_acceptance(struct tmk_reader *r, struct tmk_acceptance *a);

#endif
