/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The catalogue (catalogue.h): protections, epochs and points. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "catalogue_db.h"

static const uint8_t no_epoch[TMK_EPOCH_SIZE];

/* ---- protections ---- */

static int read_disks(struct tmk_catalogue *c, struct tmk_catalogued *p, struct tmk_error *err)
{
	sqlite3_stmt *s;
	int bad = 0, ret;

	ret = tmk_db_prepare(
		c, &s, "SELECT number, size, block_size, zeroes, name, identity FROM disk WHERE protection = ? ORDER BY number",
		TMK_VALUES(TMK_TEXT(p->name)), err);
	if (ret)
		return ret;
	while (!bad && (ret = tmk_db_step(c, s, err)) == 1) {
		struct tmk_hello_disk *d = &p->disks[p->disk_count];

		if (p->disk_count == TMK_DISKS_MAX || tmk_db_integer(s, 0, TMK_DISKS_MAX, &bad) != p->disk_count) {
			bad = -EUCLEAN;
			break;
		}
		d->size = tmk_db_integer(s, 1, INT64_MAX, &bad);
		d->block_size = (uint32_t)tmk_db_integer(s, 2, UINT32_MAX, &bad);
		d->zeroes = (uint8_t)tmk_db_integer(s, 3, 1, &bad);
		tmk_db_text(s, 4, d->name, sizeof(d->name), &bad);
		tmk_db_text(s, 5, d->identity, sizeof(d->identity), &bad);
		p->disk_count++;
	}
	sqlite3_finalize(s);
	if (ret >= 0 && !p->disk_count)
		bad = -EUCLEAN;
	return ret < 0 ? ret : tmk_db_row(bad, "disks", err);
}

static int read_protection(struct tmk_catalogue *c, sqlite3_stmt *s, struct tmk_catalogued *out, struct tmk_error *err)
{
	int bad = 0;

	memset(out, 0, sizeof(*out));
	tmk_db_text(s, 0, out->name, sizeof(out->name), &bad);
	tmk_db_blob(s, 1, out->protection, sizeof(out->protection), &bad);
	tmk_db_blob(s, 2, out->owner, sizeof(out->owner), &bad);
	out->generation = tmk_db_integer(s, 3, UINT64_MAX, &bad);
	tmk_db_blob(s, 4, out->epoch, sizeof(out->epoch), &bad);
	return bad ? tmk_db_row(bad, "protections", err) : read_disks(c, out, err);
}

int tmk_catalogue_protection(struct tmk_catalogue *c, const char *name, struct tmk_catalogued *out, struct tmk_error *err)
{
	sqlite3_stmt *s;
	int ret = tmk_db_prepare(c, &s, "SELECT name, uuid, owner, generation, epoch FROM protection WHERE name = ?",
				 TMK_VALUES(TMK_TEXT(name)), err);

	if (ret)
		return ret;
	ret = tmk_db_step(c, s, err);
	if (ret == 1)
		ret = read_protection(c, s, out, err);
	else if (!ret)
		ret = tmk_error_set(err, -ENOENT, "there is no protection %s here", name);
	sqlite3_finalize(s);
	return ret;
}

static int put_disk(struct tmk_catalogue *c, const char *name, unsigned int number, const struct tmk_hello_disk *d,
		    struct tmk_error *err)
{
	return tmk_db_run(
		c, NULL,
		"INSERT INTO disk(protection, number, size, block_size, zeroes, name, identity) VALUES(?, ?, ?, ?, ?, ?, ?)",
		TMK_VALUES(TMK_TEXT(name), TMK_INTEGER(number), TMK_INTEGER(d->size), TMK_INTEGER(d->block_size),
			   TMK_INTEGER(d->zeroes), TMK_TEXT(d->name), TMK_TEXT(d->identity)),
		err);
}

static int remember_epoch(struct tmk_catalogue *c, const uint8_t protection[TMK_UUID_SIZE], const uint8_t epoch[TMK_EPOCH_SIZE],
			  struct tmk_error *err)
{
	if (!memcmp(epoch, no_epoch, TMK_EPOCH_SIZE))
		return 0;
	return tmk_db_run(c, NULL, "INSERT INTO epoch(uuid, epoch) VALUES(?, ?) ON CONFLICT DO NOTHING",
			  TMK_VALUES(TMK_BLOB(protection, TMK_UUID_SIZE), TMK_BLOB(epoch, TMK_EPOCH_SIZE)), err);
}

static int put_protection(struct tmk_catalogue *c, const struct tmk_catalogued *p, struct tmk_error *err)
{
	int ret = tmk_db_run(c, NULL,
			     "INSERT INTO protection(name, uuid, owner, generation, epoch) VALUES(?, ?, ?, ?, ?)"
			     " ON CONFLICT(name) DO UPDATE SET uuid = excluded.uuid, owner = excluded.owner,"
			     " generation = excluded.generation, epoch = excluded.epoch",
			     TMK_VALUES(TMK_TEXT(p->name), TMK_BLOB(p->protection, TMK_UUID_SIZE), TMK_BLOB(p->owner, 32),
					TMK_INTEGER(p->generation), TMK_BLOB(p->epoch, TMK_EPOCH_SIZE)),
			     err);

	if (!ret)
		ret = tmk_db_run(c, NULL, "DELETE FROM disk WHERE protection = ?", TMK_VALUES(TMK_TEXT(p->name)), err);
	for (unsigned int i = 0; !ret && i < p->disk_count; i++)
		ret = put_disk(c, p->name, i, &p->disks[i], err);
	return ret ? ret : remember_epoch(c, p->protection, p->epoch, err);
}

int tmk_catalogue_protection_put(struct tmk_catalogue *c, const struct tmk_catalogued *p, struct tmk_error *err)
{
	int ret;

	if (!p->disk_count || p->disk_count > TMK_DISKS_MAX)
		return tmk_error_set(err, -EINVAL, "protection %s has %u disks; 1 to %u are possible", p->name, p->disk_count,
				     TMK_DISKS_MAX);
	ret = tmk_db_begin(c, err);
	return ret ? ret : tmk_db_end(c, put_protection(c, p, err), err);
}

int tmk_catalogue_protection_delete(struct tmk_catalogue *c, const char *name, struct tmk_error *err)
{
	int changed, ret = tmk_db_run(c, &changed, "DELETE FROM protection WHERE name = ?", TMK_VALUES(TMK_TEXT(name)), err);

	if (ret || changed)
		return ret;
	return tmk_error_set(err, -ENOENT, "there is no protection %s here", name);
}

/* Rows are read before the first call: a callback may change the catalogue. */
int tmk_catalogue_protections(struct tmk_catalogue *c, int (*each)(const struct tmk_catalogued *p, void *context), void *context,
			      struct tmk_error *err)
{
	struct tmk_catalogued *all = NULL, *grown;
	size_t count = 0;
	sqlite3_stmt *s;
	int ret =
		tmk_db_prepare(c, &s, "SELECT name, uuid, owner, generation, epoch FROM protection ORDER BY name", NULL, 0, err);

	if (ret)
		return ret;
	while ((ret = tmk_db_step(c, s, err)) == 1) {
		grown = realloc(all, (count + 1) * sizeof(*all));
		if (!grown) {
			ret = tmk_error_set(err, -ENOMEM, "no memory for the protections");
			break;
		}
		all = grown;
		ret = read_protection(c, s, &all[count++], err);
		if (ret)
			break;
	}
	sqlite3_finalize(s);
	for (size_t i = 0; !ret && i < count; i++)
		ret = each(&all[i], context);
	free(all);
	return ret;
}

/* ---- epochs ---- */

int tmk_catalogue_epoch_seen(struct tmk_catalogue *c, const uint8_t protection[TMK_UUID_SIZE],
			     const uint8_t epoch[TMK_EPOCH_SIZE], bool *seen, struct tmk_error *err)
{
	sqlite3_stmt *s;
	int ret = tmk_db_prepare(c, &s, "SELECT 1 FROM epoch WHERE uuid = ? AND epoch = ?",
				 TMK_VALUES(TMK_BLOB(protection, TMK_UUID_SIZE), TMK_BLOB(epoch, TMK_EPOCH_SIZE)), err);

	if (ret)
		return ret;
	ret = tmk_db_step(c, s, err);
	sqlite3_finalize(s);
	*seen = ret == 1;
	return ret < 0 ? ret : 0;
}

static int begin_epoch(struct tmk_catalogue *c, const char *name, const uint8_t epoch[TMK_EPOCH_SIZE], struct tmk_error *err)
{
	struct tmk_catalogued p;
	bool seen = false;
	int ret = tmk_catalogue_protection(c, name, &p, err);

	if (ret || !memcmp(p.epoch, epoch, TMK_EPOCH_SIZE))
		return ret;
	ret = tmk_catalogue_epoch_seen(c, p.protection, epoch, &seen, err);
	if (!ret && seen)
		ret = tmk_error_set(err, -EACCES, "this epoch of %s was superseded: another machine continued the protection",
				    name);
	if (!ret)
		ret = remember_epoch(c, p.protection, epoch, err);
	if (!ret)
		ret = tmk_db_run(c, NULL, "UPDATE protection SET epoch = ? WHERE name = ?",
				 TMK_VALUES(TMK_BLOB(epoch, TMK_EPOCH_SIZE), TMK_TEXT(name)), err);
	return ret;
}

int tmk_catalogue_epoch_begin(struct tmk_catalogue *c, const char *name, const uint8_t epoch[TMK_EPOCH_SIZE],
			      struct tmk_error *err)
{
	int ret;

	if (!memcmp(epoch, no_epoch, TMK_EPOCH_SIZE))
		return tmk_error_set(err, -EINVAL, "an epoch of zeroes");
	ret = tmk_db_begin(c, err);
	return ret ? ret : tmk_db_end(c, begin_epoch(c, name, epoch, err), err);
}

/* ---- points ---- */

static size_t sizes_encode(const struct tmk_mark *m, uint8_t out[TMK_DISKS_MAX * 8])
{
	struct tmk_writer_buf w = tmk_writer_buf(out, TMK_DISKS_MAX * 8);

	for (unsigned int i = 0; i < m->disk_count; i++)
		tmk_put_u64(&w, m->sizes[i]);
	return w.at;
}

static void sizes_decode(sqlite3_stmt *s, int column, struct tmk_mark *m, int *bad)
{
	size_t size = sqlite3_column_bytes(s, column);
	uint8_t bytes[TMK_DISKS_MAX * 8];
	struct tmk_reader r = tmk_reader(bytes, size);

	if (!size || size % 8 || size > sizeof(bytes)) {
		*bad = -EUCLEAN;
		return;
	}
	tmk_db_blob(s, column, bytes, size, bad);
	m->disk_count = size / 8;
	for (unsigned int i = 0; i < m->disk_count; i++)
		m->sizes[i] = tmk_get_u64(&r);
}

static int put_point(struct tmk_catalogue *c, const char *name, const struct tmk_point *p, struct tmk_error *err)
{
	uint8_t sizes[TMK_DISKS_MAX * 8];
	size_t size = sizes_encode(&p->mark, sizes);
	int ret = tmk_db_run(c, NULL, "DELETE FROM point WHERE protection = ?", TMK_VALUES(TMK_TEXT(name)), err);

	if (ret)
		return ret;
	ret = tmk_db_run(
		c, NULL,
		"INSERT INTO point(protection, number, hash, generation, target_time, kind, id, gap, source_time, label, sizes)"
		" VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		TMK_VALUES(TMK_TEXT(name), TMK_INTEGER(p->number), TMK_BLOB(p->hash, TMK_HASH_SIZE), TMK_INTEGER(p->generation),
			   TMK_INTEGER(p->target_time), TMK_INTEGER(p->mark.kind), TMK_BLOB(p->mark.id, sizeof(p->mark.id)),
			   TMK_INTEGER(p->mark.gap), TMK_INTEGER(p->mark.source_time), TMK_TEXT(p->mark.label),
			   TMK_BLOB(sizes, size)),
		err);
	if (ret == -EEXIST)
		return tmk_error_set(err, -ENOENT, "there is no protection %s here", name);
	return ret;
}

int tmk_catalogue_point_put(struct tmk_catalogue *c, const char *name, const struct tmk_point *p, struct tmk_error *err)
{
	int ret;

	if (!p->mark.disk_count || p->mark.disk_count > TMK_DISKS_MAX)
		return tmk_error_set(err, -EINVAL, "a point of %s with %u disks", name, p->mark.disk_count);
	ret = tmk_db_begin(c, err);
	return ret ? ret : tmk_db_end(c, put_point(c, name, p, err), err);
}

int tmk_catalogue_points_drop(struct tmk_catalogue *c, const char *name, struct tmk_error *err)
{
	return tmk_db_run(c, NULL, "DELETE FROM point WHERE protection = ?", TMK_VALUES(TMK_TEXT(name)), err);
}

static int read_point(sqlite3_stmt *s, struct tmk_point *p, struct tmk_error *err)
{
	int bad = 0;

	memset(p, 0, sizeof(*p));
	p->number = tmk_db_integer(s, 0, UINT64_MAX, &bad);
	tmk_db_blob(s, 1, p->hash, sizeof(p->hash), &bad);
	p->generation = tmk_db_integer(s, 2, UINT64_MAX, &bad);
	p->target_time = tmk_db_integer(s, 3, UINT64_MAX, &bad);
	p->mark.kind = (uint8_t)tmk_db_integer(s, 4, UINT8_MAX, &bad);
	tmk_db_blob(s, 5, p->mark.id, sizeof(p->mark.id), &bad);
	p->mark.gap = tmk_db_integer(s, 6, UINT64_MAX, &bad);
	p->mark.source_time = tmk_db_integer(s, 7, UINT64_MAX, &bad);
	tmk_db_text(s, 8, p->mark.label, sizeof(p->mark.label), &bad);
	sizes_decode(s, 9, &p->mark, &bad);
	return tmk_db_row(bad, "points", err);
}

int tmk_catalogue_points(struct tmk_catalogue *c, const char *name, int (*each)(const struct tmk_point *p, void *context),
			 void *context, struct tmk_error *err)
{
	struct tmk_point p;
	sqlite3_stmt *s;
	int ret =
		tmk_db_prepare(c, &s,
			       "SELECT number, hash, generation, target_time, kind, id, gap, source_time, label, sizes FROM point"
			       " WHERE protection = ? ORDER BY number DESC",
			       TMK_VALUES(TMK_TEXT(name)), err);

	if (ret)
		return ret;
	while ((ret = tmk_db_step(c, s, err)) == 1) {
		ret = read_point(s, &p, err);
		if (!ret)
			ret = each(&p, context);
		if (ret)
			break;
	}
	sqlite3_finalize(s);
	return ret;
}
