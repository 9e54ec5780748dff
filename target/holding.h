/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A protection as the supervisor runs it: who holds its journal (a receiver, or a recoverer that looks what is durable), its
 * applier, how far both are. One session at a time: the newer one wins, and gets the journal when the older is gone (I8, R22).
 *
 *   none -> recoverer (at start, or after a killed receiver) -> none -> receiver -> none ...
 *
 * Everything here happens in the supervisor's loop and waits for nothing but small files.
 */
#ifndef TMK_HOLDING_H
#define TMK_HOLDING_H

#include <stdbool.h>
#include <stdint.h>

#include "catalogue.h"
#include "crew.h"
#include "disk.h"
#include "sandbox.h"
#include "settings.h"

struct tmk_holdings; /* all of them */

/* Read by verbs; changed by holding.c and by those that do a part of it: epochs.c, ledger.c, passing.c, trouble.c. */
struct tmk_holding {
	struct tmk_holding *next;
	struct tmk_holdings *all;
	struct tmk_catalogued row;
	char host[128]; /* of the last session */
	int dir;	/* protections/NAME; -1: it cannot be opened, see unsound */
	struct tmk_member *session;
	bool session_receives; /* not a recoverer */
	bool session_open;     /* it has the journal open */
	uint64_t session_from; /* what it found there: it appends what comes behind */
	bool session_deaf;     /* it missed a comparison (passing.c), and is to end */
	bool session_ails;     /* it told why the journal cannot be written, and is to end */
	struct tmk_member *waiting;
	struct tmk_place given; /* the applied place that the session was told */
	struct tmk_member *applier;
	uint64_t durable, told; /* told: what the applier knows of it */
	struct tmk_sidecar at;	/* state, applied, applied_hash, point, until: as the applier said last */
	char trouble[512];	/* of the applier; empty: none */
	int trouble_code;	/* -EUCLEAN: an operator is needed */
	char unsound[512];	/* of the journal, or why dir cannot be opened */
	char ailing[512];	/* why the journal cannot be written; empty: it can */
	int ailing_code;
	uint64_t look_at;	 /* whether it can again, not before; ms */
	char noted[512];	 /* what the source was told of troubles here */
	struct tmk_point newest; /* as the applier told; number 0: it did not */
	bool unsaved;		 /* it could not be put into the catalogue yet */
	uint64_t save_at;	 /* not before; ms */
	char full[512];		 /* why the session takes no chunk now */
	uint64_t started_at;	 /* the applier; ms */
	uint64_t restart_at;	 /* the applier, not before; ms */
	unsigned crashes;
	void (*quiet)(struct tmk_holding *h, void *context); /* wanted: nobody works on it */
	void *quiet_context;
	void (*gave_up)(struct tmk_holding *h, int code, const char *text, void *context);
	void *gave_up_context;
};

struct tmk_holdings_with {
	struct tmk_crew *crew;
	struct tmk_catalogue *catalogue;
	const struct tmk_settings *settings;
	const struct tmk_sandbox_user *user;
	int root, protections;
};
/* Takes up every protection of the catalogue: each gets a recoverer and an applier. */
int tmk_holdings_new(struct tmk_holdings **out, const struct tmk_holdings_with *with, struct tmk_error *err);
void tmk_holdings_free(struct tmk_holdings *all);
struct tmk_holding *tmk_holdings_first(struct tmk_holdings *all);
struct tmk_holding *tmk_holdings_find(struct tmk_holdings *all, const char *name);
/* Finds it, or takes a new one up. The row is the current one. NULL: no memory. */
struct tmk_holding *tmk_holdings_take(struct tmk_holdings *all, const struct tmk_catalogued *row);
void tmk_holdings_tick(struct tmk_holdings *all);
/* The supervisor stops: sessions make durable and acknowledge what they have, appliers end after what they are at. */
void tmk_holdings_stop(struct tmk_holdings *all);
/* A receiver whose HELLO was accepted: it gets the journal (ACCEPT) now or when the older session is gone, or REFUSE. */
void tmk_holding_offer(struct tmk_holding *h, struct tmk_member *receiver, const char *host);
/* What a receiver says while it waits or holds the journal. Not 0: it does not belong there. */
int tmk_holding_hear(struct tmk_holding *h, struct tmk_member *session, const struct tmk_message *m, const uint8_t epoch[16]);
/* Ends its session, if it has one, with a reason that the source is told. */
void tmk_holding_refuse(struct tmk_holding *h, enum tmk_refuse code, const char *text);
void tmk_holding_left(struct tmk_holding *h, struct tmk_member *receiver, int status);

/* Why nothing goes on without an operator; NULL: nothing such. */
const char *tmk_holding_broken(const struct tmk_holding *h);
/* Ends session and applier; quiet() is called when both are gone, and neither comes back until tmk_holding_resume(). -EBUSY:
 * somebody else is at it. */
int tmk_holding_quiesce(struct tmk_holding *h, void (*quiet)(struct tmk_holding *h, void *context), void *context);
void tmk_holding_resume(struct tmk_holding *h);
/* After a reset: it holds nothing. */
void tmk_holding_emptied(struct tmk_holding *h);
/* Asks the applier to give the newest point up; -EAGAIN: there is none running now, -EBUSY: asked already. */
int tmk_holding_give_up(struct tmk_holding *h, void (*gave_up)(struct tmk_holding *h, int code, const char *text, void *context),
			void *context);
/* Forgets a quiet one. */
void tmk_holding_forget(struct tmk_holding *h);

#endif
