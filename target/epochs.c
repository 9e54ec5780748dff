/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Epochs: see epochs.h. */
#include <stdio.h>
#include <string.h>

#include "epochs.h"
#include "log.h"

static const uint8_t none[TMK_EPOCH_SIZE];

static int begin(struct tmk_catalogue *c, struct tmk_holding *h, const uint8_t epoch[TMK_EPOCH_SIZE], struct tmk_error *err)
{
	int bad = tmk_catalogue_epoch_begin(c, h->row.name, epoch, err);
	if (!bad)
		memcpy(h->row.epoch, epoch, TMK_EPOCH_SIZE);
	return bad;
}

int tmk_epochs_found(struct tmk_catalogue *c, struct tmk_holding *h, const uint8_t epoch[TMK_EPOCH_SIZE], struct tmk_error *err)
{
	bool seen = true;
	int bad = 0;
	if (memcmp(epoch, none, sizeof(none)))
		bad = tmk_catalogue_epoch_seen(c, h->row.protection, epoch, &seen, err);
	if (bad || seen)
		return bad;
	tmk_log_warning("%s: the journal is newer than the catalogue, which was put back", h->row.name);
	return begin(c, h, epoch, err);
}

static bool is_current(const struct tmk_holding *h, const uint8_t epoch[TMK_EPOCH_SIZE])
{
	return !memcmp(epoch, h->row.epoch, TMK_EPOCH_SIZE);
}

/* There was one behind it. */
static int is_superseded(struct tmk_catalogue *c, const struct tmk_holding *h, const uint8_t epoch[TMK_EPOCH_SIZE],
			 bool *superseded, struct tmk_error *err)
{
	*superseded = false;
	return is_current(h, epoch) ? 0 : tmk_catalogue_epoch_seen(c, h->row.protection, epoch, superseded, err);
}

static int tell(struct tmk_holding *h)
{
	return tmk_channel_send(tmk_member_channel(h->session), TMK_MESSAGE_EPOCH, h->row.epoch, sizeof(h->row.epoch), -1);
}

int tmk_epochs_refuse(struct tmk_holding *h, const struct tmk_error *err)
{
	tmk_channel_send_refuse(tmk_member_channel(h->session), TMK_MESSAGE_REFUSE, TMK_REFUSE_TARGET, err->text);
	return 0;
}

static int refuse_superseded(struct tmk_holding *h)
{
	char text[512];
	snprintf(text, sizeof(text),
		 "another machine continued %s since. If this is the one to go on with, stop the other one, `tidemark delete %s "
		 "--now` on the target, `tidemark unprotect %s` here, and protect it again",
		 h->row.name, h->row.name, h->row.name);
	tmk_channel_send_refuse(tmk_member_channel(h->session), TMK_MESSAGE_REFUSE, TMK_REFUSE_EPOCH, text);
	return 0;
}

int tmk_epochs_hello(struct tmk_catalogue *c, struct tmk_holding *h, const uint8_t epoch[TMK_EPOCH_SIZE])
{
	struct tmk_error err = {0};
	bool superseded = false;
	int bad = memcmp(epoch, none, sizeof(none)) ? is_superseded(c, h, epoch, &superseded, &err) : 0;
	if (bad)
		return tmk_epochs_refuse(h, &err);
	return superseded ? refuse_superseded(h) : tell(h);
}

int tmk_epochs_begin(struct tmk_catalogue *c, struct tmk_holding *h, const uint8_t epoch[TMK_EPOCH_SIZE])
{
	struct tmk_error err = {0};
	bool superseded;
	int bad = is_superseded(c, h, epoch, &superseded, &err);
	if (!bad && superseded)
		return refuse_superseded(h);
	if (!bad && !is_current(h, epoch))
		bad = begin(c, h, epoch, &err);
	return bad ? tmk_epochs_refuse(h, &err) : tell(h);
}
