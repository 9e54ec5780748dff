/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening a journal: see opening.h. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io.h"
#include "log.h"
#include "opening.h"
#include "util.h"

#define LOCK_WAIT_MS 10000
#define ANSWER_WAIT_MS 30000

static int take_acceptance(struct tmk_message *m, struct tmk_acceptance *out)
{
	struct tmk_reader r = tmk_message_reader(m);
	tmk_channel_get_acceptance(&r, out);
	return tmk_reader_done(&r) ? 0 : -EBADMSG;
}

/* The applier may have trimmed the journal after the supervisor read the sidecar: it looks again, and either names another
 * place or says that the journal is unsound. */
static int ask_again(int channel, struct tmk_message *m, struct tmk_opening *o, struct tmk_error *err)
{
	int bad = tmk_channel_send_code(channel, TMK_MESSAGE_UNSOUND, -EUCLEAN, err->text);
	if (!bad)
		bad = tmk_channel_wait(channel, ANSWER_WAIT_MS, m);
	if (bad)
		return tmk_error_sys(err, bad, "no answer from the supervisor");
	if (m->fd >= 0)
		close(m->fd);
	if (m->type == TMK_MESSAGE_ACCEPT && take_acceptance(m, &o->acceptance) == 0)
		return 0;
	return err->code = -EUCLEAN; /* the text is the journal's still */
}

static int open_journal(int channel, struct tmk_message *m, struct tmk_opening *o, struct tmk_error *err)
{
	/* One that was killed may still be finishing its last write. */
	uint64_t patience = tmk_now_ms() + LOCK_WAIT_MS;
	for (;;) {
		struct tmk_journal_options options = {
			.io = &tmk_io_real,
			.dir = o->dir,
			.sizes = o->acceptance.sizes,
			.applied = o->acceptance.applied,
			.limit = o->acceptance.limit,
		};
		memcpy(options.protection, o->acceptance.protection, sizeof(options.protection));
		int bad = tmk_journal_open(&o->journal, &options, err);
		if (bad == -EBUSY && tmk_now_ms() < patience) {
			nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
			continue;
		}
		if (bad != -EUCLEAN)
			return bad;
		bad = ask_again(channel, m, o, err);
		if (bad)
			return bad;
	}
}

static int tell_opened(int channel, const struct tmk_opening *o, struct tmk_error *err)
{
	uint8_t body[64], epoch[TMK_EPOCH_SIZE];
	struct tmk_writer_buf w = tmk_writer_buf(body, sizeof(body));
	tmk_journal_epoch(o->journal, epoch);
	tmk_put_u64(&w, tmk_journal_end(o->journal).number);
	tmk_put_bytes(&w, epoch, sizeof(epoch));
	int bad = tmk_channel_send(channel, TMK_MESSAGE_OPENED, body, w.at, -1);
	return bad ? tmk_error_sys(err, bad, "the supervisor is gone") : 0;
}

int tmk_opening_journal(int channel, struct tmk_message *message, struct tmk_opening *out, struct tmk_error *err)
{
	memset(out, 0, sizeof(*out));
	out->dir = message->fd;
	if (message->type != TMK_MESSAGE_ACCEPT || out->dir < 0 || take_acceptance(message, &out->acceptance) < 0)
		return tmk_error_set(err, -EPROTO, "no acceptance from the supervisor");
	int bad = tmk_sandbox_narrow(out->dir, err);
	if (!bad)
		bad = open_journal(channel, message, out, err);
	if (!bad)
		return tell_opened(channel, out, err);
	if (bad != -EUCLEAN && bad != -EPIPE) /* the one is known, for the other there is nobody to tell */
		tmk_channel_send_code(channel, TMK_MESSAGE_TROUBLE, bad, err->text);
	return bad;
}

void tmk_opening_close(struct tmk_opening *o)
{
	tmk_journal_close(o->journal);
	if (o->dir >= 0)
		close(o->dir);
}

int tmk_recoverer_run(int channel, void *context)
{
	const struct tmk_recoverer *r = context;
	struct tmk_error err = {0};
	static struct tmk_message message;
	struct tmk_opening opening = {.dir = -1};
	int bad = tmk_sandbox_enter(r->user, r->protections, &err);
	if (!bad)
		bad = tmk_channel_wait(channel, ANSWER_WAIT_MS, &message);
	if (bad)
		tmk_log_error("a journal cannot be looked through: %s", err.text);
	else
		bad = tmk_opening_journal(channel, &message, &opening, &err);
	tmk_opening_close(&opening);
	return bad ? 1 : 0;
}
