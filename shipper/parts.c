/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See parts.h. */
#include "parts.h"

#include <errno.h>
#include <string.h>

#define TRIES_MAX 16

bool tmk_parts_medium(int error)
{
	return error == -EIO || error == -ENODATA || error == -EILSEQ || error == -EREMOTEIO || error == -ETIMEDOUT;
}

static bool passing(int error)
{
	return error == -EAGAIN || error == -EINTR || error == -ENOMEM || error == -EBUSY;
}

void tmk_parts_start(struct tmk_parts *p, uint32_t length)
{
	*p = (struct tmk_parts){.count = 1};
	p->stack[0] = (struct tmk_part){.at = 0, .length = length};
}

const struct tmk_part *tmk_parts_top(const struct tmk_parts *p)
{
	return p->count ? &p->stack[p->count - 1] : NULL;
}

static void give_up(struct tmk_parts *p, struct tmk_part *part, int error, uint8_t *data)
{
	memset(data + part->at, 0, part->length);
	p->unreadable += part->length;
	p->error = error;
	p->count--;
}

/* The first half is read first: it goes on top. */
static void halve(struct tmk_parts *p, struct tmk_part *part, uint32_t sector)
{
	uint32_t half = part->length / 2 / sector * sector;

	part[1] = (struct tmk_part){.at = part->at, .length = half};
	part->at += half;
	part->length -= half;
	p->count++;
}

static void failed(struct tmk_parts *p, struct tmk_part *part, int error, uint8_t *data, uint32_t sector, bool last)
{
	if (!last && passing(error) && p->tries < TRIES_MAX)
		p->tries++;
	else if (!last && tmk_parts_medium(error) && part->length > sector && p->count < TMK_PARTS_MAX)
		halve(p, part, sector);
	else
		give_up(p, part, error, data);
}

void tmk_parts_finish(struct tmk_parts *p, int result, uint8_t *data, uint32_t sector, bool last)
{
	struct tmk_part *part = &p->stack[p->count - 1];
	uint32_t whole = result > 0 ? (uint32_t)result / sector * sector : 0;

	if (result < 0) {
		failed(p, part, result, data, sector, last);
	} else if (whole >= part->length) {
		p->count--;
	} else if (whole) {
		part->at += whole;
		part->length -= whole;
	} else {
		/* the device ends before: it has shrunk since the caller asked for its size */
		give_up(p, part, -ENXIO, data);
	}
}
