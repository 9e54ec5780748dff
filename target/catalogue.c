/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The catalogue (catalogue.h): opening and schema, tokens, certificates. Protections and points: catalogue_points.c. */
#include "catalogue.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalogue_db.h"
#include "sum.h"
#include "util.h"

#define SCHEMA 1
#define SAYS_SCHEMA "PRAGMA user_version = 1;"
#define REVOKED_MAX (4u << 20) /* bytes of DIR/revoked */

static const char schema[] =
	"CREATE TABLE token(hash BLOB PRIMARY KEY, uses INTEGER NOT NULL, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE certificate(fingerprint BLOB PRIMARY KEY, host TEXT NOT NULL, revoked INTEGER NOT NULL DEFAULT 0)"
	" STRICT, WITHOUT ROWID;"
	"CREATE TABLE protection(name TEXT PRIMARY KEY, uuid BLOB NOT NULL UNIQUE, owner BLOB NOT NULL, generation INTEGER NOT "
	"NULL,"
	" epoch BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE disk(protection TEXT NOT NULL REFERENCES protection(name) ON DELETE CASCADE, number INTEGER NOT NULL,"
	" size INTEGER NOT NULL, block_size INTEGER NOT NULL, zeroes INTEGER NOT NULL, name TEXT NOT NULL, identity TEXT NOT "
	"NULL,"
	" PRIMARY KEY(protection, number)) STRICT, WITHOUT ROWID;"
	/* Outlives the protection: superseded is for ever (R3). */
	"CREATE TABLE epoch(uuid BLOB NOT NULL, epoch BLOB NOT NULL, PRIMARY KEY(uuid, epoch)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE point(protection TEXT NOT NULL REFERENCES protection(name) ON DELETE CASCADE, number INTEGER NOT NULL,"
	" hash BLOB NOT NULL, generation INTEGER NOT NULL, target_time INTEGER NOT NULL, kind INTEGER NOT NULL, id BLOB NOT NULL,"
	" gap INTEGER NOT NULL, source_time INTEGER NOT NULL, label TEXT NOT NULL, sizes BLOB NOT NULL,"
	" PRIMARY KEY(protection, number)) STRICT, WITHOUT ROWID;" SAYS_SCHEMA;

/* ---- opening ---- */

static int execute(struct tmk_catalogue *c, const char *sql, struct tmk_error *err)
{
	return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : tmk_db_error(c, err);
}

/* The first row's first column as text. */
static int ask(struct tmk_catalogue *c, const char *sql, char out[64], struct tmk_error *err)
{
	sqlite3_stmt *s;
	int ret = tmk_db_prepare(c, &s, sql, NULL, 0, err), bad = 0;

	if (ret)
		return ret;
	out[0] = 0;
	ret = tmk_db_step(c, s, err);
	if (ret == 1)
		snprintf(out, 64, "%.63s", (const char *)sqlite3_column_text(s, 0) ?: "");
	sqlite3_finalize(s);
	return ret < 0 ? ret : bad;
}

/* SQLite calls a page damaged that it could not read. */
static int read_all(struct tmk_catalogue *c, const char *suffix, struct tmk_error *err)
{
	char path[4096];
	uint8_t block[16 << 10];
	ssize_t n = tmk_path(path, sizeof(path), "%s/target.db%s", c->directory, suffix);
	int fd = n ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return n || errno == ENOENT ? 0 : tmk_error_sys(err, -errno, "cannot open the catalogue %s", path);
	do
		n = read(fd, block, sizeof(block));
	while (n > 0);
	if (n < 0)
		n = tmk_error_sys(err, -errno, "cannot read the catalogue %s", path);
	close(fd);
	return (int)n;
}

static int check_integrity(struct tmk_catalogue *c, struct tmk_error *err)
{
	char says[64];
	int ret = ask(c, "PRAGMA quick_check(1)", says, err);

	if (ret || !strcmp(says, "ok"))
		return ret;
	ret = read_all(c, "", err);
	if (!ret)
		ret = read_all(c, "-wal", err);
	if (!ret) /* was that a fault that is over? */
		ret = ask(c, "PRAGMA quick_check(1)", says, err);
	if (ret || !strcmp(says, "ok"))
		return ret;
	return tmk_error_set(
		err, -EUCLEAN,
		"the catalogue %s/target.db is damaged (%s): restore it from a backup, or move it away; protections and "
		"points are then found again by their sidecars and journals",
		c->directory, says);
}

static int make_schema(struct tmk_catalogue *c, struct tmk_error *err)
{
	char version[64];
	int ret = tmk_db_begin(c, err);

	if (ret)
		return ret;
	ret = ask(c, "PRAGMA user_version", version, err);
	if (!ret && !strcmp(version, "0"))
		ret = execute(c, schema, err);
	else if (!ret && atoi(version) != SCHEMA)
		ret = tmk_error_set(err, -EPROTONOSUPPORT,
				    "the catalogue %s/target.db was made by a newer program (schema %s): use that", c->directory,
				    version);
	return tmk_db_end(c, ret, err);
}

static int open_db(struct tmk_catalogue *c, struct tmk_error *err)
{
	char path[4096];
	int ret = tmk_path(path, sizeof(path), "%s/target.db", c->directory);

	if (ret)
		return tmk_error_sys(err, ret, "%s", c->directory);
	if (sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, NULL) != SQLITE_OK)
		return c->db ? tmk_db_error(c, err) : tmk_error_set(err, -ENOMEM, "no memory for the catalogue");
	chmod(path, 0600);
	sqlite3_busy_timeout(c->db, 5000);
	sqlite3_extended_result_codes(c->db, 1);
	ret = execute(c, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;", err);
	if (!ret)
		ret = check_integrity(c, err);
	return ret ? ret : make_schema(c, err);
}

int tmk_catalogue_open(struct tmk_catalogue **out, const char *directory, struct tmk_error *err)
{
	struct tmk_catalogue *c = calloc(1, sizeof(*c));
	int ret;

	*out = NULL;
	if (!c)
		return tmk_error_set(err, -ENOMEM, "no memory for the catalogue");
	ret = tmk_path(c->directory, sizeof(c->directory), "%s", directory);
	ret = ret ? tmk_error_sys(err, ret, "%s", directory) : open_db(c, err);
	if (ret)
		tmk_catalogue_close(c);
	else
		*out = c;
	return ret;
}

void tmk_catalogue_close(struct tmk_catalogue *c)
{
	if (!c)
		return;
	sqlite3_close(c->db);
	free(c);
}

/* ---- trouble ---- */

const char *tmk_catalogue_trouble(const struct tmk_catalogue *c)
{
	return c->trouble[0] ? c->trouble : NULL;
}

int tmk_catalogue_try(struct tmk_catalogue *c, struct tmk_error *err)
{
	int ret;

	if (c->trouble_code == -EUCLEAN)
		return tmk_error_set(err, -EUCLEAN, "%s", c->trouble); /* what can be written says nothing of what is there */
	ret = tmk_db_begin(c, err);
	return ret ? ret : tmk_db_end(c, tmk_db_run(c, NULL, SAYS_SCHEMA, NULL, 0, err), err);
}

/* ---- tokens ---- */

int tmk_catalogue_token_add(struct tmk_catalogue *c, const uint8_t secret[16], uint32_t uses, uint64_t expires,
			    struct tmk_error *err)
{
	uint8_t hash[TMK_HASH_SIZE];

	tmk_hash(secret, 16, hash);
	return tmk_db_run(c, NULL, "INSERT INTO token(hash, uses, expires) VALUES(?, ?, ?)",
			  TMK_VALUES(TMK_BLOB(hash, sizeof(hash)), TMK_INTEGER(uses), TMK_INTEGER(expires)), err);
}

/* Why a token was not taken. */
static int token_refusal(struct tmk_catalogue *c, const uint8_t hash[TMK_HASH_SIZE], uint64_t now, struct tmk_error *err)
{
	uint64_t uses = 0, expires = 0;
	sqlite3_stmt *s;
	int ret = tmk_db_prepare(c, &s, "SELECT uses, expires FROM token WHERE hash = ?",
				 TMK_VALUES(TMK_BLOB(hash, TMK_HASH_SIZE)), err);

	if (ret)
		return ret;
	ret = tmk_db_step(c, s, err);
	if (ret == 1) {
		uses = (uint64_t)sqlite3_column_int64(s, 0);
		expires = (uint64_t)sqlite3_column_int64(s, 1);
	}
	sqlite3_finalize(s);
	if (ret < 0)
		return ret;
	if (!ret)
		return tmk_error_set(err, -EACCES, "the token is unknown here: mistyped, or of another target");
	if (expires <= now)
		return tmk_error_set(err, -EACCES, "the token has expired: make another with `tidemark-target token`");
	return tmk_error_set(err, -EACCES, "the token is used up%s: make another with `tidemark-target token`",
			     uses ? " meanwhile" : "");
}

int tmk_catalogue_token_use(struct tmk_catalogue *c, const uint8_t secret[16], uint64_t now, struct tmk_error *err)
{
	uint8_t hash[TMK_HASH_SIZE];
	int changed, ret;

	tmk_hash(secret, 16, hash);
	ret = tmk_db_run(c, &changed, "UPDATE token SET uses = uses - 1 WHERE hash = ? AND uses > 0 AND expires > ?",
			 TMK_VALUES(TMK_BLOB(hash, sizeof(hash)), TMK_INTEGER(now)), err);
	if (ret || changed)
		return ret;
	return token_refusal(c, hash, now, err);
}

/* ---- certificates ---- */

int tmk_catalogue_certificate_add(struct tmk_catalogue *c, const uint8_t fingerprint[32], const char *host, struct tmk_error *err)
{
	return tmk_db_run(c, NULL,
			  "INSERT INTO certificate(fingerprint, host) VALUES(?, ?)"
			  " ON CONFLICT(fingerprint) DO UPDATE SET host = excluded.host",
			  TMK_VALUES(TMK_BLOB(fingerprint, 32), TMK_TEXT(host)), err);
}

/* DIR/revoked: one fingerprint a line, in hexadecimal. Added to, never shortened. */
static int revoked_path(const struct tmk_catalogue *c, char path[4096], struct tmk_error *err)
{
	int ret = tmk_path(path, 4096, "%s/revoked", c->directory);

	return ret ? tmk_error_sys(err, ret, "%s", c->directory) : 0;
}

static int revoked_read(struct tmk_catalogue *c, char **out, struct tmk_error *err)
{
	char path[4096];
	int ret = revoked_path(c, path, err);

	*out = NULL;
	if (!ret)
		ret = tmk_read_file(path, REVOKED_MAX, out, err);
	if (ret != -ENOENT)
		return ret;
	*out = strdup("");
	return *out ? 0 : tmk_error_set(err, -ENOMEM, "no memory for %s", path);
}

static int revoked_named(struct tmk_catalogue *c, const uint8_t fingerprint[32], bool *named, struct tmk_error *err)
{
	char hex[65], *text;
	int ret = revoked_read(c, &text, err);

	if (ret)
		return ret;
	tmk_hex(fingerprint, 32, hex);
	*named = strstr(text, hex);
	free(text);
	return 0;
}

static int revoked_add(struct tmk_catalogue *c, const uint8_t fingerprint[32], struct tmk_error *err)
{
	char path[4096], hex[65], *text, *longer = NULL;
	int ret = revoked_path(c, path, err);

	if (!ret)
		ret = revoked_read(c, &text, err);
	if (ret)
		return ret;
	tmk_hex(fingerprint, 32, hex);
	if (!strstr(text, hex)) {
		if (asprintf(&longer, "%s%s\n", text, hex) < 0)
			ret = tmk_error_set(err, -ENOMEM, "no memory for %s", path);
		else
			ret = tmk_write_file(path, longer, strlen(longer), 0600, err);
	}
	free(longer);
	free(text);
	return ret;
}

int tmk_catalogue_certificate_known(struct tmk_catalogue *c, const uint8_t fingerprint[32], char host[128], struct tmk_error *err)
{
	bool revoked = false;
	sqlite3_stmt *s;
	int bad = 0, ret;

	ret = revoked_named(c, fingerprint, &revoked, err);
	if (!ret)
		ret = tmk_db_prepare(c, &s, "SELECT host, revoked FROM certificate WHERE fingerprint = ?",
				     TMK_VALUES(TMK_BLOB(fingerprint, 32)), err);
	if (ret)
		return ret;
	host[0] = 0;
	ret = tmk_db_step(c, s, err);
	if (ret == 1) {
		tmk_db_text(s, 0, host, 128, &bad);
		revoked = revoked || sqlite3_column_int64(s, 1);
	}
	sqlite3_finalize(s);
	if (ret < 0)
		return ret;
	if (revoked)
		return tmk_error_set(err, -EACCES, "the certificate of %s was revoked", host[0] ? host : "this source");
	return ret ? tmk_db_row(bad, "certificates", err) : tmk_error_set(err, -ENOENT, "the certificate is unknown here");
}

/* The fingerprints that a word means: a host's name, or a fingerprint of at least 8 digits. Up to `room`; their number. */
static int certificates_of(struct tmk_catalogue *c, const char *word, uint8_t (*out)[32], int room, struct tmk_error *err)
{
	sqlite3_stmt *s;
	int count = 0, bad = 0, ret;

	ret = tmk_db_prepare(c, &s,
			     "SELECT fingerprint FROM certificate WHERE host = ?1"
			     " OR (length(?1) >= 8 AND substr(lower(hex(fingerprint)), 1, length(?1)) = lower(?1))",
			     TMK_VALUES(TMK_TEXT(word)), err);
	if (ret)
		return ret;
	while (!bad && (ret = tmk_db_step(c, s, err)) == 1 && count < room)
		tmk_db_blob(s, 0, out[count++], 32, &bad);
	sqlite3_finalize(s);
	if (bad || ret < 0)
		return bad ? tmk_db_row(bad, "certificates", err) : ret;
	return count;
}

/* The file first: what it names stays revoked whatever happens to the catalogue. */
int tmk_catalogue_certificate_revoke(struct tmk_catalogue *c, const char *host_or_fingerprint, struct tmk_error *err)
{
	uint8_t found[256][32];
	int count = certificates_of(c, host_or_fingerprint, found, 256, err), ret = 0;

	if (count < 0)
		return count;
	if (!count && strlen(host_or_fingerprint) == 64 && tmk_unhex(host_or_fingerprint, found[0], 32))
		return revoked_add(c, found[0], err); /* unknown to a catalogue that was put back */
	if (!count)
		return tmk_error_set(err, -ENOENT, "there is no certificate of a host, or with a fingerprint, %s",
				     host_or_fingerprint);
	for (int i = 0; !ret && i < count; i++) {
		ret = revoked_add(c, found[i], err);
		if (!ret)
			ret = tmk_db_run(c, NULL, "UPDATE certificate SET revoked = 1 WHERE fingerprint = ?",
					 TMK_VALUES(TMK_BLOB(found[i], 32)), err);
	}
	return ret;
}
