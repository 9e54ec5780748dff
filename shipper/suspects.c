/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Suspects: see suspects.h. */
#include "suspects.h"

#include "reader.h"
#include "util.h"

bool tmk_suspects_add(struct tmk_suspects *s, uint16_t disk, uint64_t offset, uint32_t length)
{
	if (s->count == TMK_SUSPECTS_MAX)
		return false;
	s->list[s->count++] = (struct tmk_suspect){.disk = disk, .length = length, .offset = offset, .since = tmk_now_ms()};
	return true;
}

static bool ripe(const struct tmk_suspect *s, uint64_t now)
{
	return now - s->since >= TMK_SECOND_LOOK_MS;
}

bool tmk_suspects_ripe(const struct tmk_suspects *s)
{
	uint64_t now = tmk_now_ms();

	for (size_t i = 0; i < s->count; i++)
		if (ripe(&s->list[i], now))
			return true;
	return false;
}

size_t tmk_suspects_run(const struct tmk_suspects *s, size_t *next)
{
	uint64_t now = tmk_now_ms(), length = 0;
	const struct tmk_suspect *first;
	size_t i;

	while (*next < s->count && !ripe(&s->list[*next], now))
		++*next;
	first = &s->list[*next];
	for (i = *next; i < s->count; i++) {
		const struct tmk_suspect *one = &s->list[i];

		if (!ripe(one, now) || one->disk != first->disk || one->offset != first->offset + length ||
		    length + one->length > TMK_READ_MAX)
			break;
		length += one->length;
	}
	return i - *next;
}

bool tmk_suspect_touched(const struct tmk_suspect *s, const struct tmk_compared_extent *e)
{
	return s->disk == e->disk && s->offset < e->offset + e->length && s->offset + s->length > e->offset;
}

void tmk_suspects_later(struct tmk_suspects *s, const struct tmk_compared_extent *e)
{
	for (size_t i = 0; i < s->count; i++) {
		struct tmk_suspect *one = &s->list[i];

		if (!tmk_suspect_touched(one, e))
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
