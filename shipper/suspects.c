/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Suspects: see suspects.h. */
#include "suspects.h"

#include "reader.h"
#include "util.h"

bool tmk_suspects_add(struct tmk_suspects *s, const struct tmk_compared_extent *e)
{
	uint64_t parts = (e->length + TMK_READ_MAX - 1) / TMK_READ_MAX, at = e->offset, end = e->offset + e->length;

	if (parts > TMK_SUSPECTS_MAX - s->count)
		return false;
	for (; at < end; s->count++) {
		uint32_t length = end - at < TMK_READ_MAX ? (uint32_t)(end - at) : TMK_READ_MAX;

		s->list[s->count] = (struct tmk_suspect){.disk = e->disk, .length = length, .offset = at, .since = tmk_now_ms()};
		at += length;
	}
	return true;
}

bool tmk_suspect_ripe(const struct tmk_suspect *s)
{
	return tmk_now_ms() - s->since >= TMK_SECOND_LOOK_MS;
}

bool tmk_suspects_ripe(const struct tmk_suspects *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (tmk_suspect_ripe(&s->list[i]))
			return true;
	return false;
}

void tmk_suspects_later(struct tmk_suspects *s, const struct tmk_compared_extent *e)
{
	for (size_t i = 0; i < s->count; i++) {
		struct tmk_suspect *one = &s->list[i];

		if (one->disk != e->disk || one->offset >= e->offset + e->length || one->offset + one->length <= e->offset)
			continue;
		one->looking = false;
		one->since = tmk_now_ms();
	}
}

void tmk_suspects_looked(struct tmk_suspects *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++)
		if (!s->list[i].looking)
			s->list[kept++] = s->list[i];
	s->count = kept;
}

void tmk_suspects_unlook(struct tmk_suspects *s)
{
	for (size_t i = 0; i < s->count; i++)
		s->list[i].looking = false;
}
