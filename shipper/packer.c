/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See packer.h. Content is looked at in units of 4 KiB by absolute offset (the ends of an add may be shorter); runs of zero
 * units become ZERO records. A range without data is held back as `pending` for as long as its neighbours join it, and goes
 * into the builder before any other record does: the order on the stream is that of the calls (I4).
 *
 * The packer's own limits are tighter than the builder's, so that what was found to fit goes in whole, and a mark always does:
 * 1 MiB of content and 4095 record headers leave 32 KiB of TMK_CHUNK_RAW_MAX.
 */
#include "packer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "piece.h"
#include "reader.h"
#include "util.h"

#define UNIT 4096u
#define COVERED_MAX 4096u
#define RECORDS_MAX (TMK_CHUNK_RECORDS_MAX - 1) /* one is the mark's */
#define RUNS_MAX (TMK_READ_MAX / UNIT + 2)
#define MARK_ROOM 4096u
_Static_assert((uint64_t)RECORDS_MAX *TMK_RECORD_SIZE + TMK_CHUNK_DATA_MAX + MARK_ROOM <= TMK_CHUNK_RAW_MAX, "a chunk's room");

struct range {
	enum tmk_record_type type;
	uint16_t disk;
	uint64_t offset, length;
};
struct run {
	bool zero;
	uint32_t length;
};

struct tmk_packer {
	struct tmk_builder *builder;
	struct tmk_tagger *tagger;
	bool held;	      /* pending is a record */
	bool broken;	      /* the builder refused what had to fit: nothing of this chunk may go */
	struct range pending; /* ZERO or DISCARD */
	uint32_t records;     /* with the pending one */
	uint32_t data;	      /* bytes of DATA content and HASH bodies */
	uint32_t hashes;      /* HASH records */
	uint64_t hashed;      /* bytes of their ranges */
	uint64_t disk_bytes;
	bool consistent;
	bool of_log; /* what is added is not remembered */
	uint32_t covered_count;
	struct tmk_covered covered[COVERED_MAX];
};

int tmk_packer_new(struct tmk_packer **out)
{
	struct tmk_packer *p = calloc(1, sizeof(*p));
	int ret;

	if (!p)
		return -ENOMEM;
	ret = tmk_builder_new(&p->builder);
	if (!ret)
		ret = tmk_tagger_new(&p->tagger);
	if (ret) {
		tmk_packer_free(p);
		return ret;
	}
	/* touched now, so that between freeze and thaw no page of it has to be found (R26) */
	memset(p->covered, 0xff, sizeof(p->covered));
	tmk_packer_reset(p);
	*out = p;
	return 0;
}

void tmk_packer_free(struct tmk_packer *p)
{
	if (!p)
		return;
	tmk_builder_free(p->builder);
	tmk_tagger_free(p->tagger);
	free(p);
}

void tmk_packer_reset(struct tmk_packer *p)
{
	tmk_builder_reset(p->builder);
	p->held = p->broken = p->consistent = false;
	p->records = p->data = p->hashes = p->covered_count = 0;
	p->disk_bytes = p->hashed = 0;
}

bool tmk_packer_empty(const struct tmk_packer *p)
{
	return !p->records;
}

void tmk_packer_of_log(struct tmk_packer *p)
{
	p->of_log = true;
}

void tmk_packer_consistent(struct tmk_packer *p, bool consistent)
{
	p->consistent = consistent;
}

/* ---- zeroes ---- */
/* Divides content into runs of zero and other units; the number of runs. */
static uint32_t divide(uint64_t offset, const uint8_t *data, uint32_t length, struct run runs[RUNS_MAX])
{
	uint32_t count = 0, unit;
	bool zero;

	for (uint32_t at = 0; at < length; at += unit) {
		unit = UNIT - (uint32_t)((offset + at) % UNIT);
		if (unit > length - at)
			unit = length - at;
		zero = tmk_all_zero(data + at, unit);
		if (!count || runs[count - 1].zero != zero)
			runs[count++] = (struct run){.zero = zero};
		runs[count - 1].length += unit;
	}
	return count;
}

/* ---- records ---- */
static bool joins(const struct tmk_packer *p, enum tmk_record_type type, uint16_t disk, uint64_t offset)
{
	const struct range *r = &p->pending;

	return p->held && r->type == type && r->disk == disk && r->offset + r->length == offset;
}

static void flush(struct tmk_packer *p)
{
	const struct range *r = &p->pending;

	if (p->held && tmk_builder_range(p->builder, r->type, r->disk, r->offset, r->length))
		p->broken = true;
	p->held = false;
}

static void put_range(struct tmk_packer *p, enum tmk_record_type type, uint16_t disk, uint64_t offset, uint64_t length)
{
	if (joins(p, type, disk, offset)) {
		p->pending.length += length;
		return;
	}
	flush(p);
	p->pending = (struct range){.type = type, .disk = disk, .offset = offset, .length = length};
	p->held = true;
	p->records++;
}

static void put_data(struct tmk_packer *p, uint16_t disk, uint64_t offset, const uint8_t *data, uint32_t length)
{
	void *to;

	flush(p);
	to = tmk_builder_data(p->builder, disk, offset, length);
	if (to)
		memcpy(to, data, length);
	else
		p->broken = true;
	p->data += length;
	p->records++;
}

/* ---- what is covered ---- */
static bool covers_more(const struct tmk_packer *p, uint16_t disk, uint64_t offset)
{
	const struct tmk_covered *last = p->covered_count ? &p->covered[p->covered_count - 1] : NULL;

	return p->of_log || p->covered_count < COVERED_MAX || (last->disk == disk && last->offset + last->length == offset);
}

static void cover(struct tmk_packer *p, uint16_t disk, uint64_t offset, uint64_t length)
{
	struct tmk_covered *last = p->covered_count ? &p->covered[p->covered_count - 1] : NULL;

	p->disk_bytes += length;
	if (p->of_log)
		return;
	if (last && last->disk == disk && last->offset + last->length == offset)
		last->length += length;
	else
		p->covered[p->covered_count++] = (struct tmk_covered){.disk = disk, .offset = offset, .length = length};
}

static bool sound(uint64_t offset, uint64_t length)
{
	return length && !(offset % TMK_SECTOR) && !(length % TMK_SECTOR) && offset + length > offset;
}

bool tmk_packer_add(struct tmk_packer *p, uint16_t disk, uint64_t offset, const uint8_t *data, uint32_t length)
{
	struct run runs[RUNS_MAX];
	uint32_t count, content = 0, at = 0;

	if (!sound(offset, length) || length > TMK_READ_MAX)
		abort();
	count = divide(offset, data, length, runs);
	for (uint32_t i = 0; i < count; i++)
		content += runs[i].zero ? 0 : runs[i].length;
	if (p->data + content > TMK_CHUNK_DATA_MAX || p->records + count > RECORDS_MAX || !covers_more(p, disk, offset))
		return false;
	for (uint32_t i = 0; i < count; at += runs[i++].length) {
		if (runs[i].zero)
			put_range(p, TMK_ZERO, disk, offset + at, runs[i].length);
		else
			put_data(p, disk, offset + at, data + at, runs[i].length);
	}
	cover(p, disk, offset, length);
	return true;
}

bool tmk_packer_hash(struct tmk_packer *p, uint16_t disk, uint64_t offset, const uint8_t *data, uint32_t length, bool covered)
{
	uint32_t size = (uint32_t)tmk_piece_body(offset, length);
	uint8_t *body;

	if (!sound(offset, length) || length > TMK_READ_MAX)
		abort();
	if (p->data + size > TMK_CHUNK_DATA_MAX || p->records == RECORDS_MAX || p->hashed + length > TMK_CHUNK_HASHED_MAX ||
	    (covered && !covers_more(p, disk, offset)))
		return false;
	flush(p);
	body = tmk_builder_hash(p->builder, disk, offset, length);
	if (body)
		tmk_tagger_body(p->tagger, offset, data, length, body);
	else
		p->broken = true;
	p->data += size;
	p->records++;
	p->hashes++;
	p->hashed += length;
	if (covered)
		cover(p, disk, offset, length);
	return true;
}

static bool add_range(struct tmk_packer *p, enum tmk_record_type type, uint16_t disk, uint64_t offset, uint64_t length)
{
	if (!sound(offset, length))
		abort();
	if ((!joins(p, type, disk, offset) && p->records == RECORDS_MAX) || !covers_more(p, disk, offset))
		return false;
	put_range(p, type, disk, offset, length);
	cover(p, disk, offset, length);
	return true;
}

bool tmk_packer_zero(struct tmk_packer *p, uint16_t disk, uint64_t offset, uint64_t length)
{
	return add_range(p, TMK_ZERO, disk, offset, length);
}

bool tmk_packer_discard(struct tmk_packer *p, uint16_t disk, uint64_t offset, uint64_t length)
{
	return add_range(p, TMK_DISCARD, disk, offset, length);
}

/* ---- sealing ---- */
static struct tmk_packed *packed_new(const struct tmk_packer *p)
{
	struct tmk_packed *packed = calloc(1, sizeof(*packed));

	if (!packed)
		return NULL;
	packed->bytes = malloc(tmk_chunk_bound());
	packed->covered = malloc((p->covered_count ? p->covered_count : 1) * sizeof(*packed->covered));
	if (packed->bytes && packed->covered)
		return packed;
	tmk_packed_free(packed);
	return NULL;
}

static int put_mark(struct tmk_packer *p, const struct tmk_mark *mark, struct tmk_packed *packed, struct tmk_error *err)
{
	int ret;

	flush(p);
	if (!mark)
		return 0;
	ret = tmk_builder_mark(p->builder, mark);
	if (ret)
		return tmk_error_sys(err, ret, "the mark does not go into the chunk");
	packed->marked = true;
	memcpy(packed->mark_id, mark->id, sizeof(packed->mark_id));
	return 0;
}

static void fill(struct tmk_packer *p, const struct tmk_chain *chain, struct tmk_packed *packed)
{
	uint8_t *exact;

	packed->number = chain->number;
	memcpy(packed->epoch, chain->epoch, sizeof(packed->epoch));
	packed->disk_bytes = p->disk_bytes;
	packed->hashes = p->hashes;
	packed->log_through = chain->log_through;
	packed->consistent = packed->marked || p->consistent;
	packed->covered_count = p->covered_count;
	memcpy(packed->covered, p->covered, p->covered_count * sizeof(*p->covered));
	/* a mark follows the proof that the disks are a consistent state there (I7), and so does what streams; other chunks are
	 * parts of a round */
	packed->size =
		tmk_builder_seal(p->builder, chain, packed->consistent ? TMK_CHUNK_CONSISTENT : 0, packed->bytes, packed->hash);
	exact = realloc(packed->bytes, packed->size);
	if (exact)
		packed->bytes = exact;
}

int tmk_packer_seal(struct tmk_packer *p, const struct tmk_chain *chain, const struct tmk_mark *mark, struct tmk_packed **out,
		    struct tmk_error *err)
{
	struct tmk_packed *packed;
	int ret;

	if (tmk_packer_empty(p) && !mark)
		return tmk_error_set(err, -EINVAL, "a chunk without a record cannot be sealed");
	packed = packed_new(p);
	if (!packed)
		return tmk_error_sys(err, -ENOMEM, "cannot seal a chunk");
	ret = put_mark(p, mark, packed, err);
	if (!ret && p->broken)
		ret = tmk_error_set(err, -EPROTO,
				    "a record that fits was refused by the chunk builder: a bug in Tidemark; the "
				    "round is void");
	if (ret) {
		tmk_packed_free(packed);
		return ret;
	}
	fill(p, chain, packed);
	tmk_packer_reset(p);
	*out = packed;
	return 0;
}

void tmk_packed_free(struct tmk_packed *packed)
{
	if (!packed)
		return;
	free(packed->covered);
	free(packed->bytes);
	free(packed);
}
