/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See catalogue_db.h. */
#include "catalogue_db.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "trouble.h"

static int code_of(int sqlite)
{
	switch (sqlite & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return -EROFS;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	default:
		return -EIO;
	}
}

static int describe(struct tmk_catalogue *c, int code, struct tmk_error *err)
{
	const char *what = sqlite3_errmsg(c->db);

	if (code == -EUCLEAN)
		return tmk_error_set(err, code,
				     "the catalogue %s/target.db is damaged (%s): restore it from a backup, or move it away; "
				     "protections and points are then found again by their sidecars and journals",
				     c->directory, what);
	return tmk_error_set(err, code, "the catalogue %s/target.db: %s%s", c->directory, what, tmk_trouble_advice(code));
}

int tmk_db_error(struct tmk_catalogue *c, struct tmk_error *err)
{
	int code = code_of(sqlite3_extended_errcode(c->db));
	struct tmk_error all;

	describe(c, code, &all);
	if (code != -EBUSY && code != -EEXIST) {
		c->trouble_code = code;
		snprintf(c->trouble, sizeof(c->trouble), "%s", all.text);
	}
	return tmk_error_set(err, code, "%s", all.text);
}

/* Outside of a transaction something was written: all is well. */
static void wrote(struct tmk_catalogue *c)
{
	c->trouble_code = 0;
	c->trouble[0] = 0;
}

static int bind(sqlite3_stmt *s, int at, const struct tmk_db_value *v)
{
	switch (v->type) {
	case TMK_DB_INTEGER:
		return sqlite3_bind_int64(s, at, (sqlite3_int64)v->integer);
	case TMK_DB_TEXT:
		return sqlite3_bind_text(s, at, v->data, -1, SQLITE_STATIC);
	default:
		return sqlite3_bind_blob(s, at, v->data, (int)v->size, SQLITE_STATIC);
	}
}

int tmk_db_prepare(struct tmk_catalogue *c, sqlite3_stmt **out, const char *sql, const struct tmk_db_value *values, size_t count,
		   struct tmk_error *err)
{
	int ret = sqlite3_prepare_v2(c->db, sql, -1, out, NULL);

	for (size_t i = 0; ret == SQLITE_OK && i < count; i++)
		ret = bind(*out, (int)i + 1, &values[i]);
	if (ret == SQLITE_OK)
		return 0;
	ret = tmk_db_error(c, err);
	sqlite3_finalize(*out);
	*out = NULL;
	return ret;
}

int tmk_db_step(struct tmk_catalogue *c, sqlite3_stmt *s, struct tmk_error *err)
{
	int ret = sqlite3_step(s);

	if (ret == SQLITE_ROW)
		return 1;
	return ret == SQLITE_DONE ? 0 : tmk_db_error(c, err);
}

int tmk_db_run(struct tmk_catalogue *c, int *changed, const char *sql, const struct tmk_db_value *values, size_t count,
	       struct tmk_error *err)
{
	sqlite3_stmt *s;
	int ret = tmk_db_prepare(c, &s, sql, values, count, err);

	if (ret)
		return ret;
	do
		ret = tmk_db_step(c, s, err);
	while (ret == 1);
	if (!ret && !sqlite3_stmt_readonly(s) && sqlite3_get_autocommit(c->db))
		wrote(c);
	sqlite3_finalize(s);
	if (!ret && changed)
		*changed = sqlite3_changes(c->db);
	return ret;
}

int tmk_db_begin(struct tmk_catalogue *c, struct tmk_error *err)
{
	return tmk_db_run(c, NULL, "BEGIN IMMEDIATE", NULL, 0, err);
}

int tmk_db_end(struct tmk_catalogue *c, int ret, struct tmk_error *err)
{
	if (!ret)
		ret = tmk_db_run(c, NULL, "COMMIT", NULL, 0, err);
	if (!ret)
		wrote(c);
	else if (!sqlite3_get_autocommit(c->db)) /* some errors have rolled it back already */
		tmk_db_run(c, NULL, "ROLLBACK", NULL, 0, NULL);
	return ret;
}

void tmk_db_blob(sqlite3_stmt *s, int column, void *out, size_t size, int *bad)
{
	const void *data = sqlite3_column_blob(s, column);

	memset(out, 0, size);
	if (sqlite3_column_type(s, column) != SQLITE_BLOB || (size_t)sqlite3_column_bytes(s, column) != size || (size && !data))
		*bad = -EUCLEAN;
	else if (size)
		memcpy(out, data, size);
}

void tmk_db_text(sqlite3_stmt *s, int column, char *out, size_t size, int *bad)
{
	const unsigned char *text = sqlite3_column_text(s, column);
	size_t length = sqlite3_column_bytes(s, column);

	memset(out, 0, size);
	if (!text || sqlite3_column_type(s, column) != SQLITE_TEXT || length >= size || strlen((const char *)text) != length)
		*bad = -EUCLEAN;
	else
		memcpy(out, text, length);
}

uint64_t tmk_db_integer(sqlite3_stmt *s, int column, uint64_t most, int *bad)
{
	uint64_t v = (uint64_t)sqlite3_column_int64(s, column);

	if (sqlite3_column_type(s, column) == SQLITE_INTEGER && v <= most)
		return v;
	*bad = -EUCLEAN;
	return 0;
}

int tmk_db_row(int bad, const char *table, struct tmk_error *err)
{
	if (!bad)
		return 0;
	return tmk_error_set(
		err, bad,
		"the catalogue target.db is damaged: a row of %s makes no sense; restore it from a backup, or move it away",
		table);
}
