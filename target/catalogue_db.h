/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the catalogue share: statements on its database. Each function leaves nothing open when it returns. */
#ifndef TMK_CATALOGUE_DB_H
#define TMK_CATALOGUE_DB_H

#include <sqlite3.h>

#include "catalogue.h"

struct tmk_catalogue {
	sqlite3 *db;
	char directory[4000];
	char trouble[512]; /* why it could not be read or written when last tried; empty: it could */
	int trouble_code;
};

/* A value to bind, in the order of the statement's `?`. */
struct tmk_db_value {
	enum { TMK_DB_INTEGER, TMK_DB_TEXT, TMK_DB_BLOB } type;
	uint64_t integer; /* stored as the same 64 bits */
	const void *data;
	size_t size;
};
#define TMK_INTEGER(v) ((struct tmk_db_value){.type = TMK_DB_INTEGER, .integer = (v)})
#define TMK_TEXT(v) ((struct tmk_db_value){.type = TMK_DB_TEXT, .data = (v)})
#define TMK_BLOB(v, n) ((struct tmk_db_value){.type = TMK_DB_BLOB, .data = (v), .size = (n)})
#define TMK_VALUES(...)                                                                                                          \
	(const struct tmk_db_value[]){__VA_ARGS__},                                                                              \
		sizeof((const struct tmk_db_value[]){__VA_ARGS__}) / sizeof(struct tmk_db_value)

/* The error of the last call on the database, as -errno: damage is -EUCLEAN, a full disk -ENOSPC. */
int tmk_db_error(struct tmk_catalogue *c, struct tmk_error *err);
/* Prepares and binds; finalize it. */
int tmk_db_prepare(struct tmk_catalogue *c, sqlite3_stmt **out, const char *sql, const struct tmk_db_value *values, size_t count,
		   struct tmk_error *err);
/* 1: a row; 0: the end; -errno. */
int tmk_db_step(struct tmk_catalogue *c, sqlite3_stmt *s, struct tmk_error *err);
/* A statement without rows; *changed, unless NULL: rows that it changed. */
int tmk_db_run(struct tmk_catalogue *c, int *changed, const char *sql, const struct tmk_db_value *values, size_t count,
	       struct tmk_error *err);
/* begin immediate; end commits if ret is 0, else rolls back, and returns ret or why the commit failed. */
int tmk_db_begin(struct tmk_catalogue *c, struct tmk_error *err);
int tmk_db_end(struct tmk_catalogue *c, int ret, struct tmk_error *err);
/* Columns of the row at hand; -EUCLEAN in *bad if they do not fit (I9). */
void tmk_db_blob(sqlite3_stmt *s, int column, void *out, size_t size, int *bad);
void tmk_db_text(sqlite3_stmt *s, int column, char *out, size_t size, int *bad);
uint64_t tmk_db_integer(sqlite3_stmt *s, int column, uint64_t most, int *bad);
/* Turns *bad into an error. */
int tmk_db_row(int bad, const char *table, struct tmk_error *err);

#endif
