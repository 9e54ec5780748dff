/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a protection's thread does, a turn at a time: connects, reads rounds, makes points, verifies. The thread owns everything
 * in struct tmk_work; the rest of struct tmk_protection is shared with callers (protection.c) and guarded by the lock.
 */
#ifndef TMK_WORK_H
#define TMK_WORK_H

#include <pthread.h>
#include <stdatomic.h>

#include "follow.h"
#include "packer.h"
#include "point.h"
#include "protection.h"
#include "reader.h"
#include "round.h"
#include "source.h"
#include "status.h"
#include "stream.h"
#include "verify.h"
#include "wishes.h"

#define TMK_WORK_SNAPSHOT_MS 200

struct tmk_work {
	struct tmk_source source;
	struct tmk_stream *stream;
	struct tmk_reader_ring *reader;
	struct tmk_packer *packer;
	struct tmk_follow *follow;
	struct tmk_round *round;
	struct tmk_point_maker *point;
	struct tmk_verify *verify;
	bool first_copy;	    /* no round has ended yet since everything was marked and no point known */
	bool round_read;	    /* a round was read to its end since the session's start: points may be asked for */
	bool rested;		    /* resting(), when last looked at */
	bool told;		    /* why there is no session was logged */
	unsigned vain;		    /* rounds with the log on since it last streamed */
	uint64_t scratch_at;	    /* when to look again whether swap was switched off */
	uint64_t off_until;	    /* the log was given up for that: not on again before */
	uint64_t both_until;	    /* for so long a verify goes before rounds */
	bool both;		    /* what is logged is marked, too: a verify compares, or is about to */
	struct tmk_take gate;	    /* for that: where the log stood, and what was under way then */
	bool streamed;		    /* tmk_follow_streaming(), when last looked at */
	uint64_t resets, forgotten; /* of the stream, as last seen */
	uint64_t connect_at, backoff;
	uint64_t connected_at, connected_acked; /* the session's start, and the last acked chunk then */
	uint64_t fault_until, round_at, bad_at, point_at, app_at, snapshot_at;
	uint64_t dirty_at, trackers_at; /* when to count again */
	uint64_t rate_bytes, rate_at;	/* acked bytes when the rate was last computed */
	char fault[512];
	char point_failed[512];
	char slow[256];	    /* why the log is off */
	uint64_t point_gap; /* gap count of the newest point: a doubt that is older is over */
	uint64_t dirty, taken;
};
struct tmk_protection {
	const struct tmk_config *config;
	struct tmk_spec spec;
	pthread_t thread;
	int wake; /* eventfd */
	atomic_bool stop;
	struct tmk_work work;

	pthread_mutex_t lock;
	bool paused;
	struct tmk_wishes wishes;
	enum { LEAVE, BEGIN, CANCEL } verify; /* asked for, not yet seen by the thread */
	uint64_t verify_rate;
	uint64_t verify_wishes; /* how often somebody wished */
	struct tmk_protection_status status;
};

/* Finds and attaches the disks, opens what works on them. */
int tmk_work_attach(struct tmk_protection *p, struct tmk_error *err);
void tmk_work_close(struct tmk_work *w);
/* Something local failed: what is under way is given up, and all is tried again a little later. */
void tmk_work_fault(struct tmk_protection *p, const struct tmk_error *err);
/* One turn of the loop; waits for nothing but the target's answer to HELLO, a script, and frozen filesystems. */
void tmk_work_turn(struct tmk_protection *p);
/* When to count again what took from `began` (ms) until now. Counting looks at every bit of the maps, which may be hundreds of
 * MiB: at most a twentieth of the time goes into it. */
uint64_t tmk_work_next_count(uint64_t began);
/* For how long nothing but the descriptors can bring news, ms. */
int tmk_work_patience(const struct tmk_work *w);

#endif
