/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See trouble.h. */
#include "trouble.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "channel.h"
#include "holding.h"
#include "log.h"

/* A filesystem that has shut itself down stays so for whoever has something open there. Some say EROFS then, some EIO. */
const char *tmk_trouble_advice(int code)
{
	if (code != -EROFS && code != -EIO)
		return "";
	return "; if the filesystem has shut itself down, mount it again and restart tidemark-target";
}

int tmk_trouble_hear(struct tmk_reader *r, const char *name, int *code, char text[512])
{
	char what[512], now[512];
	int is = tmk_channel_get_code(r);

	tmk_get_string(r, what, sizeof(what));
	if (!tmk_reader_done(r))
		return -EBADMSG;
	snprintf(now, sizeof(now), "%.420s%s", is ? what : "", tmk_trouble_advice(is));
	if (is && strcmp(now, text))
		tmk_log_error("%s: %s", name, now);
	*code = is;
	memcpy(text, now, sizeof(now));
	return 0;
}

void tmk_trouble_over(int *code, char text[512])
{
	*code = 0;
	text[0] = 0;
}

void tmk_trouble_tell(struct tmk_holding *h, const char *catalogue)
{
	const char *now = h->trouble[0] ? h->trouble : catalogue ? catalogue : "";
	int code = h->trouble[0] ? h->trouble_code : catalogue ? -EIO : 0;

	if (!h->session || !h->session_receives || !h->session_open || !strcmp(now, h->noted))
		return;
	if (!tmk_channel_send_code(tmk_member_channel(h->session), TMK_MESSAGE_TROUBLE, code, now))
		snprintf(h->noted, sizeof(h->noted), "%s", now);
}
