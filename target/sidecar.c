/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See sidecar.h. */
#include "sidecar.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "buf.h"
#include "sum.h"

#define SUMMED (TMK_SIDECAR_SLOT - 8)

static void encode(const struct tmk_sidecar *s, uint8_t out[TMK_SIDECAR_SLOT])
{
	struct tmk_writer_buf w = tmk_writer_buf(out, TMK_SIDECAR_SLOT);

	memset(out, 0, TMK_SIDECAR_SLOT);
	tmk_put_u64(&w, TMK_SIDECAR_MAGIC);
	tmk_put_u16(&w, TMK_SIDECAR_VERSION);
	tmk_put_u16(&w, s->state);
	tmk_put_u32(&w, s->disk_count);
	tmk_put_u64(&w, 0);
	tmk_put_u64(&w, s->sequence);
	tmk_put_bytes(&w, s->protection, TMK_UUID_SIZE);
	tmk_put_u64(&w, s->generation);
	tmk_put_u64(&w, s->applied);
	tmk_put_bytes(&w, s->applied_hash, TMK_HASH_SIZE);
	tmk_put_u64(&w, s->point);
	tmk_put_u64(&w, s->until);
	for (unsigned int i = 0; i < TMK_DISKS_MAX; i++)
		tmk_put_u64(&w, s->sizes[i]);
	w = tmk_writer_buf(out + SUMMED, 8);
	tmk_put_u64(&w, tmk_sum64(out, SUMMED));
}

static void decode(const uint8_t bytes[TMK_SIDECAR_SLOT], struct tmk_sidecar *s)
{
	struct tmk_reader r = tmk_reader(bytes, TMK_SIDECAR_SLOT);

	memset(s, 0, sizeof(*s));
	s->magic = tmk_get_u64(&r);
	s->version = tmk_get_u16(&r);
	s->state = tmk_get_u16(&r);
	s->disk_count = tmk_get_u32(&r);
	s->features = tmk_get_u64(&r);
	s->sequence = tmk_get_u64(&r);
	tmk_get_bytes(&r, s->protection, TMK_UUID_SIZE);
	s->generation = tmk_get_u64(&r);
	s->applied = tmk_get_u64(&r);
	tmk_get_bytes(&r, s->applied_hash, TMK_HASH_SIZE);
	s->point = tmk_get_u64(&r);
	s->until = tmk_get_u64(&r);
	for (unsigned int i = 0; i < TMK_DISKS_MAX; i++)
		s->sizes[i] = tmk_get_u64(&r);
	r = tmk_reader(bytes + SUMMED, 8);
	s->sum = tmk_get_u64(&r);
}

static bool state_fits(const struct tmk_sidecar *s)
{
	switch (s->state) {
	case TMK_REPLICA_EMPTY:
		return !s->until;
	case TMK_REPLICA_POINT:
		return s->point && s->point == s->applied && !s->until;
	case TMK_REPLICA_BETWEEN:
		return s->until > s->applied;
	default:
		return false;
	}
}

static bool sizes_fit(const struct tmk_sidecar *s)
{
	if (!s->disk_count || s->disk_count > TMK_DISKS_MAX)
		return false;
	for (unsigned int i = 0; i < s->disk_count; i++)
		if (!s->sizes[i] || s->sizes[i] > INT64_MAX || s->sizes[i] % TMK_SECTOR)
			return false;
	return true;
}

enum slot { BLANK, BAD, NEWER, VALID };

static enum slot judge(const uint8_t bytes[TMK_SIDECAR_SLOT], struct tmk_sidecar *s)
{
	static const uint8_t blank[TMK_SIDECAR_SLOT];

	if (!memcmp(bytes, blank, sizeof(blank)))
		return BLANK;
	decode(bytes, s);
	if (s->magic != TMK_SIDECAR_MAGIC || s->sum != tmk_sum64(bytes, SUMMED))
		return BAD;
	if (s->version != TMK_SIDECAR_VERSION || s->features)
		return NEWER;
	return s->sequence && sizes_fit(s) && state_fits(s) ? VALID : BAD;
}

static int read_slot(const struct tmk_io *io, int fd, unsigned int slot, struct tmk_sidecar *out, enum slot *is)
{
	uint8_t bytes[TMK_SIDECAR_SLOT];
	int ret = io->read(io, fd, bytes, sizeof(bytes), slot * TMK_SIDECAR_SLOT);

	*is = BLANK;
	if (ret == -ENODATA)
		return 0;
	if (!ret)
		*is = judge(bytes, out);
	return ret;
}

int tmk_sidecar_load(const struct tmk_io *io, int fd, struct tmk_sidecar *out, struct tmk_error *err)
{
	struct tmk_sidecar other;
	enum slot is[2];
	int ret = read_slot(io, fd, 0, out, &is[0]);

	if (!ret)
		ret = read_slot(io, fd, 1, &other, &is[1]);
	if (ret)
		return tmk_error_sys(err, ret, "cannot read the replica's sidecar");
	if (is[0] == NEWER || is[1] == NEWER)
		return tmk_error_set(err, -EPROTONOSUPPORT,
				     "the replica's sidecar was made by a newer program: use that, or a newer one");
	if (is[0] == BLANK && is[1] == BLANK)
		return tmk_error_set(err, -ENOENT, "there is no replica yet: its sidecar is empty");
	if (is[0] != VALID && is[1] != VALID)
		return tmk_error_set(
			err, -EUCLEAN,
			"the replica's sidecar is damaged: put replica, sidecar and journal back together, or `tidemark "
			"drop NAME --now` and let the source copy anew");
	if (is[0] != VALID || (is[1] == VALID && other.sequence > out->sequence))
		*out = other;
	return 0;
}

int tmk_sidecar_store(const struct tmk_io *io, int fd, const struct tmk_sidecar *sidecar, struct tmk_error *err)
{
	uint8_t bytes[TMK_SIDECAR_SLOT];
	int ret;

	encode(sidecar, bytes);
	ret = io->write(io, fd, bytes, sizeof(bytes), (sidecar->sequence & 1) * TMK_SIDECAR_SLOT);
	if (!ret)
		ret = io->flush(io, fd);
	return ret ? tmk_error_sys(err, ret, "cannot write the replica's sidecar") : 0;
}

uint64_t tmk_sidecar_highest(const struct tmk_io *io, int fd)
{
	struct tmk_sidecar s;
	uint64_t highest = 0;
	enum slot is;

	for (unsigned int slot = 0; slot < 2; slot++)
		if (!read_slot(io, fd, slot, &s, &is) && is == VALID && s.sequence > highest)
			highest = s.sequence;
	return highest;
}

int tmk_sidecar_read(const struct tmk_io *io, int dir, struct tmk_sidecar *out, struct tmk_error *err)
{
	int fd = io->open(io, dir, TMK_SIDECAR_NAME, O_RDONLY | O_NOFOLLOW, 0), ret;

	if (fd == -ENOENT)
		return tmk_error_set(err, -ENOENT, "there is no replica: the sidecar is missing");
	if (fd < 0)
		return tmk_error_sys(err, fd, "cannot open the replica's sidecar");
	ret = tmk_sidecar_load(io, fd, out, err);
	io->close(io, fd);
	return ret;
}
