/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * links: target. A catalogue that was damaged or put together by somebody: target.db as SQLite finds it. Input: how; either edits
 * of a good file (page u8, place u16, value), or values put into columns of good rows. Opening and reading crash nothing, and
 * what is read is within bounds.
 */
#include <sqlite3.h>

#include "catalogue.h"
#include "fuzz.h"

static uint8_t good[256u << 10];
static size_t good_size;

static const uint8_t uuid[TMK_UUID_SIZE] = {0xaa}, owner[32] = {1}, epoch[TMK_EPOCH_SIZE] = {0xe1};

static void forget_files(int dir)
{
	unlinkat(dir, "target.db", 0);
	unlinkat(dir, "target.db-wal", 0);
	unlinkat(dir, "target.db-shm", 0);
	unlinkat(dir, "target.db-journal", 0);
	unlinkat(dir, "revoked", 0);
}

/* One protection with two disks, a point, a certificate and a token. */
static void make_good(int dir)
{
	struct tmk_catalogued row = {.name = "web", .generation = 1, .disk_count = 2};
	struct tmk_point point = {.number = 7, .generation = 1, .mark = {.kind = TMK_APP, .label = "x", .disk_count = 2}};
	struct tmk_catalogue *c;

	memcpy(row.protection, uuid, sizeof(uuid));
	memcpy(row.owner, owner, sizeof(owner));
	memcpy(row.epoch, epoch, sizeof(epoch));
	for (int i = 0; i < 2; i++)
		row.disks[i] = (struct tmk_hello_disk){.size = 1 << 20, .block_size = 4096, .name = "a", .identity = "serial"};
	forget_files(dir);
	REQUIRE(!tmk_catalogue_open(&c, scratch, NULL));
	REQUIRE(!tmk_catalogue_certificate_add(c, owner, "one.example", NULL));
	REQUIRE(!tmk_catalogue_token_add(c, owner, 3, 1u << 31, NULL));
	REQUIRE(!tmk_catalogue_protection_put(c, &row, NULL));
	REQUIRE(!tmk_catalogue_point_put(c, "web", &point, NULL));
	tmk_catalogue_close(c);
	int fd = openat(dir, "target.db", O_RDONLY | O_CLOEXEC);
	ssize_t n = pread(fd, good, sizeof(good), 0);
	REQUIRE(n > 0 && n < (ssize_t)sizeof(good));
	good_size = n;
	close(fd);
}

static void put_edits(int dir, struct input *in)
{
	static uint8_t file[sizeof(good)];

	memcpy(file, good, good_size);
	while (in->size) {
		size_t at = (take_u8(in) * 4096u + take_u16(in) % 4096u) % good_size;

		file[at] = take_u8(in);
	}
	file_put(dir, "target.db", file, good_size);
}

static const char *const columns[] = {
	"protection SET name",	"protection SET uuid",	"protection SET owner",	   "protection SET generation",
	"protection SET epoch", "disk SET number",	"disk SET size",	   "disk SET block_size",
	"disk SET zeroes",	"disk SET name",	"disk SET identity",	   "point SET number",
	"point SET hash",	"point SET generation", "point SET target_time",   "point SET kind",
	"point SET id",		"point SET gap",	"point SET source_time",   "point SET label",
	"point SET sizes",	"certificate SET host", "certificate SET revoked", "certificate SET fingerprint",
	"token SET uses",	"token SET expires",	"epoch SET epoch",
};

static void put_values(int dir, struct input *in)
{
	char path[100], sql[100];
	sqlite3_stmt *s;
	sqlite3 *db;

	file_put(dir, "target.db", good, good_size);
	snprintf(path, sizeof(path), "%s/target.db", scratch);
	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	while (in->size) {
		const char *column = columns[take_u8(in) % (sizeof(columns) / sizeof(*columns))];
		uint8_t type = take_u8(in) % 3;
		size_t size;
		const uint8_t *value = take_span(in, take_u16(in) % 400, &size);
		uint64_t number = 0;

		memcpy(&number, value, size < 8 ? size : 8);
		snprintf(sql, sizeof(sql), "UPDATE %s = ?", column);
		REQUIRE(sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK);
		if (type == 0)
			sqlite3_bind_int64(s, 1, (sqlite3_int64)number);
		else if (type == 1)
			sqlite3_bind_text(s, 1, (const char *)value, (int)size, SQLITE_STATIC);
		else
			sqlite3_bind_blob(s, 1, size ? value : (const void *)"", (int)size, SQLITE_STATIC);
		sqlite3_step(s); /* a constraint may refuse it */
		sqlite3_finalize(s);
	}
	sqlite3_close(db);
}

static int check_point(const struct tmk_point *p, void *context)
{
	(void)context;
	REQUIRE(p->mark.disk_count >= 1 && p->mark.disk_count <= TMK_DISKS_MAX);
	REQUIRE(strnlen(p->mark.label, sizeof(p->mark.label)) < sizeof(p->mark.label));
	return 0;
}

static int check_protection(const struct tmk_catalogued *p, void *context)
{
	struct tmk_catalogue *c = context;

	REQUIRE(strnlen(p->name, sizeof(p->name)) < sizeof(p->name));
	REQUIRE(p->disk_count >= 1 && p->disk_count <= TMK_DISKS_MAX);
	for (int i = 0; i < p->disk_count; i++)
		REQUIRE(strnlen(p->disks[i].identity, sizeof(p->disks[i].identity)) < sizeof(p->disks[i].identity));
	tmk_catalogue_points(c, p->name, check_point, NULL, NULL);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t next[TMK_EPOCH_SIZE] = {0xe2};
	struct input in = {data, size};
	struct tmk_error err = {0};
	struct tmk_catalogue *c;
	char host[128];
	int dir = scratch_dir();
	bool seen;

	if (!good_size)
		make_good(dir);
	forget_files(dir);
	if (take_u8(&in) & 1)
		put_values(dir, &in);
	else
		put_edits(dir, &in);
	if (!tmk_catalogue_open(&c, scratch, &err)) {
		tmk_catalogue_protections(c, check_protection, c, &err);
		tmk_catalogue_certificate_known(c, owner, host, &err);
		tmk_catalogue_token_use(c, owner, 1, &err);
		tmk_catalogue_epoch_seen(c, uuid, epoch, &seen, &err);
		tmk_catalogue_epoch_begin(c, "web", next, &err);
		tmk_catalogue_points_drop(c, "web", &err);
		tmk_catalogue_protection_delete(c, "web", &err);
		tmk_catalogue_close(c);
	} else {
		REQUIRE(err.text[0]);
	}
	close(dir);
	return 0;
}
