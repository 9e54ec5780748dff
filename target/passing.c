/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See passing.h. Waits for nothing. */
#include <errno.h>

#include "log.h"
#include "message.h"
#include "passing.h"

#define DEAF_MS 10000 /* to read what is there, before it is killed */

static const char reason[] = "the target could not tell fast enough what it compared; it will be asked again";

static bool inside_disks(const struct tmk_holding *h, const struct tmk_compared *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		const struct tmk_compared_extent *e = &c->extents[i];
		uint64_t size = e->disk < h->row.disk_count ? h->row.disks[e->disk].size : 0;
		if (e->offset > size || e->length > size - e->offset)
			return false;
	}
	return true;
}

void tmk_passing_tick(struct tmk_holding *h)
{
	if (h->session && h->session_deaf &&
	    tmk_channel_send_refuse(tmk_member_channel(h->session), TMK_MESSAGE_STOP, TMK_REFUSE_TARGET, reason) != -EAGAIN)
		h->session_deaf = false;
}

int tmk_passing_compared(struct tmk_holding *h, const struct tmk_message *m)
{
	static struct tmk_compared c;
	if (tmk_compared_decode(m->body, m->size, &c, NULL) || !inside_disks(h, &c))
		return -EBADMSG;
	if (!h->session || !h->session_open || !h->session_receives || c.number <= h->session_from)
		return 0;
	if (!h->session_deaf &&
	    tmk_channel_send(tmk_member_channel(h->session), TMK_MESSAGE_COMPARED, m->body, m->size, -1) == -EAGAIN) {
		tmk_log_warning("%s: %s", h->row.name, reason);
		h->session_deaf = true;
		tmk_member_kill_in(h->session, DEAF_MS);
	}
	tmk_passing_tick(h);
	return 0;
}
