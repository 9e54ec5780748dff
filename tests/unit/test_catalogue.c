/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: target
 * The catalogue: tokens are used up, epochs are superseded for ever (R3), a protection keeps its owner and disks (I8), what was
 * revoked stays so, and a damaged database says so (I9). A disk that fails or is full costs what is being written at most.
 */
#include <sqlite3.h>

#include "catalogue.h"
#include "failvfs.h"
#include "storage.h"

static struct place_to_be d;
static struct tmk_catalogue *k;

static void reopen(void)
{
	tmk_catalogue_close(k);
	check_ok(tmk_catalogue_open(&k, d.path, &g_err));
}

static void setup(void)
{
	k = NULL;
	dir_make(&d);
	reopen();
}

static void teardown(void)
{
	tmk_catalogue_close(k);
	dir_remove(&d);
}

/* ---- tokens ---- */

START_TEST(test_tokens)
{
	uint8_t secret[16] = {1, 2, 3}, other[16] = {9};

	check_ok(tmk_catalogue_token_add(k, secret, 2, 1000, &g_err));
	check_code(-EACCES, tmk_catalogue_token_use(k, other, 10, &g_err));
	ck_assert_ptr_nonnull(strstr(g_err.text, "unknown"));
	check_code(-EACCES, tmk_catalogue_token_use(k, secret, 1000, &g_err));
	ck_assert_ptr_nonnull(strstr(g_err.text, "expired"));
	check_ok(tmk_catalogue_token_use(k, secret, 999, &g_err));
	reopen();
	check_ok(tmk_catalogue_token_use(k, secret, 10, &g_err));
	check_code(-EACCES, tmk_catalogue_token_use(k, secret, 10, &g_err));
	ck_assert_ptr_nonnull(strstr(g_err.text, "used up"));
	check_code(-EEXIST, tmk_catalogue_token_add(k, secret, 1, 5000, &g_err)); /* not filled up again */
}
END_TEST

/* Secrets are not in the files. */
START_TEST(test_secret_is_hashed)
{
	uint8_t secret[16];

	memcpy(secret, "SixteenByteWord!", 16);
	check_ok(tmk_catalogue_token_add(k, secret, 2, 1000, &g_err));
	tmk_catalogue_close(k);
	k = NULL;
	shell("! grep -q SixteenByteWord %s/target.db*", d.path);
}
END_TEST

/* ---- certificates ---- */

START_TEST(test_certificates)
{
	uint8_t one[32], two[32];
	char host[128];

	memset(one, 0xa1, sizeof(one));
	memset(two, 0xb2, sizeof(two));
	check_code(-ENOENT, tmk_catalogue_certificate_known(k, one, host, &g_err));
	check_ok(tmk_catalogue_certificate_add(k, one, "web", &g_err));
	check_ok(tmk_catalogue_certificate_add(k, two, "db", &g_err));
	check_ok(tmk_catalogue_certificate_known(k, one, host, &g_err));
	ck_assert_str_eq(host, "web");
	shell("cp %s/target.db %s/old.db", d.path, d.path);
	check_code(-ENOENT, tmk_catalogue_certificate_revoke(k, "nobody", &g_err));
	check_code(-ENOENT, tmk_catalogue_certificate_revoke(k, "", &g_err));
	check_code(-ENOENT, tmk_catalogue_certificate_revoke(k, "a1a1", &g_err)); /* too short to mean one */
	check_ok(tmk_catalogue_certificate_revoke(k, "a1a1a1a1", &g_err));
	check_code(-EACCES, tmk_catalogue_certificate_known(k, one, host, &g_err));
	check_ok(tmk_catalogue_certificate_known(k, two, host, &g_err));
	check_ok(tmk_catalogue_certificate_revoke(k, "db", &g_err));
	check_code(-EACCES, tmk_catalogue_certificate_known(k, two, host, &g_err));
	check_ok(tmk_catalogue_certificate_add(k, one, "web", &g_err)); /* adding it again does not help */
	check_code(-EACCES, tmk_catalogue_certificate_known(k, one, host, &g_err));
}
END_TEST

/* A catalogue put back to before the revocation, or lost altogether. */
START_TEST(test_revoked_for_ever)
{
	uint8_t one[32];
	char host[128];

	memset(one, 0xc3, sizeof(one));
	check_ok(tmk_catalogue_certificate_add(k, one, "web", &g_err));
	tmk_catalogue_close(k);
	k = NULL;
	shell("cp %s/target.db %s/old.db", d.path, d.path);
	reopen();
	check_ok(tmk_catalogue_certificate_revoke(k, "web", &g_err));
	tmk_catalogue_close(k);
	k = NULL;
	shell("rm -f %s/target.db-*; mv %s/old.db %s/target.db", d.path, d.path, d.path);
	reopen();
	check_code(-EACCES, tmk_catalogue_certificate_known(k, one, host, &g_err));
	tmk_catalogue_close(k);
	k = NULL;
	shell("rm -f %s/target.db*", d.path);
	reopen();
	check_code(-EACCES, tmk_catalogue_certificate_known(k, one, host, &g_err));
}
END_TEST

/* ---- protections and epochs ---- */

static struct tmk_catalogued make(const char *name, uint8_t tag)
{
	struct tmk_catalogued p;

	memset(&p, 0, sizeof(p)); /* padding too: compared bytewise */
	snprintf(p.name, sizeof(p.name), "%s", name);
	memset(p.protection, tag, sizeof(p.protection));
	memset(p.owner, tag + 1, sizeof(p.owner));
	p.generation = UINT64_MAX - tag;
	memset(p.epoch, tag + 2, sizeof(p.epoch));
	p.disk_count = 1 + tag % TMK_DISKS_MAX;
	for (unsigned int i = 0; i < p.disk_count; i++) {
		p.disks[i].size = (1ull << 40) + i * 512;
		p.disks[i].block_size = 4096;
		p.disks[i].zeroes = i & 1;
		snprintf(p.disks[i].name, sizeof(p.disks[i].name), "/dev/sd%c", 'a' + i % 26);
		snprintf(p.disks[i].identity, sizeof(p.disks[i].identity), "serial-%u '; DROP TABLE disk; --", i);
	}
	return p;
}

static void check_is(const struct tmk_catalogued *p)
{
	struct tmk_catalogued is;

	memset(&is, 0xff, sizeof(is));
	check_ok(tmk_catalogue_protection(k, p->name, &is, &g_err));
	ck_assert_mem_eq(&is, p, sizeof(is));
}

START_TEST(test_protections)
{
	struct tmk_catalogued a = make("web", 3), b = make("db", TMK_DISKS_MAX - 1), same = make("other", 3), is;

	check_code(-ENOENT, tmk_catalogue_protection(k, "web", &is, &g_err));
	check_ok(tmk_catalogue_protection_put(k, &a, &g_err));
	check_ok(tmk_catalogue_protection_put(k, &b, &g_err));
	reopen();
	check_is(&a);
	check_is(&b);
	a.disk_count = 2;
	memset(&a.disks[2], 0, sizeof(a.disks) - 2 * sizeof(*a.disks));
	a.generation = 7;
	check_ok(tmk_catalogue_protection_put(k, &a, &g_err));
	check_is(&a);
	check_is(&b);
	check_code(-EEXIST, tmk_catalogue_protection_put(k, &same, &g_err)); /* one UUID, one name */
	check_code(-ENOENT, tmk_catalogue_protection(k, "other", &is, &g_err));
	same.disk_count = 0;
	check_code(-EINVAL, tmk_catalogue_protection_put(k, &same, &g_err));
	check_ok(tmk_catalogue_protection_delete(k, "web", &g_err));
	check_code(-ENOENT, tmk_catalogue_protection_delete(k, "web", &g_err));
	check_code(-ENOENT, tmk_catalogue_protection(k, "web", &is, &g_err));
	check_is(&b);
}
END_TEST

static unsigned int visited;
static int visit(const struct tmk_catalogued *p, void *context)
{
	check_is(p);
	ck_assert_ptr_eq(context, &visited);
	visited++;
	return visited == 3 ? -ECANCELED : 0;
}

START_TEST(test_each_protection)
{
	char name[10];

	visited = 0;
	check_ok(tmk_catalogue_protections(k, visit, &visited, &g_err));
	ck_assert_uint_eq(visited, 0);
	for (int i = 0; i < 5; i++) {
		struct tmk_catalogued p;

		snprintf(name, sizeof(name), "p%d", i);
		p = make(name, 10 + i);
		check_ok(tmk_catalogue_protection_put(k, &p, &g_err));
	}
	check_code(-ECANCELED, tmk_catalogue_protections(k, visit, &visited, &g_err));
	ck_assert_uint_eq(visited, 3);
}
END_TEST

/* R3: an epoch that another one followed is refused for ever, also after the protection was deleted. */
START_TEST(test_epochs)
{
	struct tmk_catalogued p = make("web", 3), is;
	uint8_t first[TMK_EPOCH_SIZE], second[TMK_EPOCH_SIZE], none[TMK_EPOCH_SIZE] = {0};
	bool seen;

	memcpy(first, p.epoch, sizeof(first));
	memset(second, 0x77, sizeof(second));
	check_code(-ENOENT, tmk_catalogue_epoch_begin(k, "web", second, &g_err));
	check_ok(tmk_catalogue_protection_put(k, &p, &g_err));
	check_ok(tmk_catalogue_epoch_seen(k, p.protection, first, &seen, &g_err));
	ck_assert(seen);
	check_ok(tmk_catalogue_epoch_seen(k, p.protection, second, &seen, &g_err));
	ck_assert(!seen);
	check_code(-EINVAL, tmk_catalogue_epoch_begin(k, "web", none, &g_err));
	check_ok(tmk_catalogue_epoch_begin(k, "web", first, &g_err)); /* it is the current one */
	check_ok(tmk_catalogue_epoch_begin(k, "web", second, &g_err));
	reopen();
	check_ok(tmk_catalogue_protection(k, "web", &is, &g_err));
	ck_assert_mem_eq(is.epoch, second, sizeof(second));
	check_code(-EACCES, tmk_catalogue_epoch_begin(k, "web", first, &g_err));
	check_ok(tmk_catalogue_protection(k, "web", &is, &g_err));
	ck_assert_mem_eq(is.epoch, second, sizeof(second));
	check_ok(tmk_catalogue_protection_delete(k, "web", &g_err));
	check_ok(tmk_catalogue_epoch_seen(k, p.protection, first, &seen, &g_err));
	ck_assert(seen);
	check_ok(tmk_catalogue_epoch_seen(k, p.owner, first, &seen, &g_err)); /* another protection's */
	ck_assert(!seen);
}
END_TEST

/* ---- points ---- */

static struct tmk_point point_make(uint64_t number)
{
	struct tmk_point p;

	memset(&p, 0, sizeof(p));
	p.number = number;
	p.generation = 2;
	p.target_time = 1700000000000000000ull + number;
	memset(p.hash, (int)number, sizeof(p.hash));
	p.mark.kind = TMK_APP;
	memset(p.mark.id, 0x40 + (int)number, sizeof(p.mark.id));
	p.mark.gap = UINT64_MAX;
	p.mark.source_time = 5;
	snprintf(p.mark.label, sizeof(p.mark.label), "before ⇒ update %d", (int)number);
	p.mark.disk_count = 2;
	p.mark.sizes[0] = 512;
	p.mark.sizes[1] = 1ull << 50;
	return p;
}

static struct tmk_point found;
static unsigned int count;
static int on_point(const struct tmk_point *p, void *context)
{
	(void)context;
	found = *p;
	count++;
	return 0;
}

START_TEST(test_points)
{
	struct tmk_catalogued a = make("web", 3), b = make("db", 5);
	struct tmk_point p = point_make(7), q = point_make(9);

	check_code(-ENOENT, tmk_catalogue_point_put(k, "web", &p, &g_err)); /* foreign keys are on */
	check_ok(tmk_catalogue_protection_put(k, &a, &g_err));
	check_ok(tmk_catalogue_protection_put(k, &b, &g_err));
	check_ok(tmk_catalogue_point_put(k, "web", &p, &g_err));
	check_ok(tmk_catalogue_point_put(k, "db", &p, &g_err));
	check_ok(tmk_catalogue_point_put(k, "web", &q, &g_err));
	check_ok(tmk_catalogue_point_put(k, "web", &q, &g_err)); /* told again */
	reopen();
	count = 0;
	check_ok(tmk_catalogue_points(k, "web", on_point, NULL, &g_err));
	ck_assert_uint_eq(count, 1); /* this version keeps the newest */
	ck_assert_mem_eq(&found, &q, sizeof(q));
	check_ok(tmk_catalogue_protection_put(k, &a, &g_err)); /* refreshing a protection keeps its point */
	check_ok(tmk_catalogue_points(k, "web", on_point, NULL, &g_err));
	ck_assert_uint_eq(count, 2);
	check_ok(tmk_catalogue_points_drop(k, "web", &g_err));
	check_ok(tmk_catalogue_points(k, "web", on_point, NULL, &g_err));
	ck_assert_uint_eq(count, 2);
	check_ok(tmk_catalogue_points(k, "db", on_point, NULL, &g_err));
	ck_assert_uint_eq(count, 3);
	check_ok(tmk_catalogue_protection_delete(k, "db", &g_err));
	check_ok(tmk_catalogue_points(k, "db", on_point, NULL, &g_err));
	ck_assert_uint_eq(count, 3);
	p.mark.disk_count = 0;
	check_code(-EINVAL, tmk_catalogue_point_put(k, "web", &p, &g_err));
}
END_TEST

/* ---- the file ---- */

static void sql(const char *text)
{
	char path[300];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/target.db", d.path);
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_msg(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", text, sqlite3_errmsg(db));
	sqlite3_close(db);
}

START_TEST(test_settings)
{
	struct stat st;
	char path[300];

	snprintf(path, sizeof(path), "%s/target.db", d.path);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 077, 0); /* others cannot read it */
	snprintf(path, sizeof(path), "%s/target.db-wal", d.path);
	ck_assert_int_eq(stat(path, &st), 0);
}
END_TEST

/* I9: values that a row cannot have. */
START_TEST(test_bad_rows)
{
	static const char *bad[] = {
		"UPDATE protection SET uuid = x'00'",
		"UPDATE protection SET owner = x''",
		"DELETE FROM disk",
		"DELETE FROM disk WHERE number = 1",
		"UPDATE disk SET size = -1 WHERE number = 2",
		"UPDATE disk SET name = printf('%.200c', 'x')",
		"UPDATE disk SET zeroes = 2",
		"UPDATE disk SET number = number + 40",
	};
	struct tmk_catalogued p = make("web", 3);

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		check_ok(tmk_catalogue_protection_put(k, &p, &g_err));
		sql(bad[i]);
		check_code(-EUCLEAN, tmk_catalogue_protection(k, "web", &p, &g_err));
		check_code(-EUCLEAN, tmk_catalogue_protections(k, visit, NULL, &g_err));
		check_ok(tmk_catalogue_protection_delete(k, "web", &g_err));
		p = make("web", 3);
	}
	{
		struct tmk_point q = point_make(3);

		check_ok(tmk_catalogue_protection_put(k, &p, &g_err));
		check_ok(tmk_catalogue_point_put(k, "web", &q, &g_err));
		sql("UPDATE point SET sizes = x'0011223344'");
		check_code(-EUCLEAN, tmk_catalogue_points(k, "web", on_point, NULL, &g_err));
		check_ok(tmk_catalogue_point_put(k, "web", &q, &g_err));
		sql("UPDATE point SET label = printf('%.300c', 'x')");
		check_code(-EUCLEAN, tmk_catalogue_points(k, "web", on_point, NULL, &g_err));
	}
}
END_TEST

START_TEST(test_damaged)
{
	char name[10];

	for (int i = 0; i < 60; i++) {
		struct tmk_catalogued p;

		snprintf(name, sizeof(name), "p%d", i);
		p = make(name, 10 + i);
		check_ok(tmk_catalogue_protection_put(k, &p, &g_err));
	}
	tmk_catalogue_close(k);
	k = NULL;
	shell("dd if=/dev/urandom of=%s/target.db bs=4096 seek=2 count=8 conv=notrunc status=none", d.path);
	check_code(-EUCLEAN, tmk_catalogue_open(&k, d.path, &g_err));
	ck_assert_ptr_null(k);
	ck_assert_ptr_nonnull(strstr(g_err.text, "restore it from a backup"));
	shell("echo 'this is no database, but long enough to be taken for one, is it not?' > %s/target.db", d.path);
	check_code(-EUCLEAN, tmk_catalogue_open(&k, d.path, &g_err));
}
END_TEST

START_TEST(test_newer)
{
	tmk_catalogue_close(k);
	k = NULL;
	sql("PRAGMA user_version = 2");
	check_code(-EPROTONOSUPPORT, tmk_catalogue_open(&k, d.path, &g_err));
	sql("PRAGMA user_version = 1");
	reopen();
	tmk_catalogue_close(k);
	k = NULL;
	shell("mv %s %s.away", d.path, d.path);
	ck_assert_int_lt(tmk_catalogue_open(&k, d.path, &g_err), 0);
	shell("mv %s.away %s", d.path, d.path);
}
END_TEST

/* ---- a disk that fails ---- */

#define STEPS 9
static int step(unsigned int number)
{
	struct tmk_catalogued web = make("web", 3), db = make("db", 5);
	struct tmk_point p = point_make(number == 7 ? 9 : 7);
	uint8_t secret[16] = {1}, second[TMK_EPOCH_SIZE] = {7}, certificate[32] = {9};

	switch (number) {
	case 1:
		return tmk_catalogue_token_add(k, secret, 1, 1000, &g_err);
	case 2:
		return tmk_catalogue_certificate_add(k, certificate, "web", &g_err);
	case 3:
		return tmk_catalogue_protection_put(k, &web, &g_err);
	case 4:
		return tmk_catalogue_protection_put(k, &db, &g_err);
	case 5:
		return tmk_catalogue_epoch_begin(k, "web", second, &g_err);
	case 6:
	case 7:
		return tmk_catalogue_point_put(k, "web", &p, &g_err);
	case 8:
		return tmk_catalogue_protection_delete(k, "db", &g_err);
	default:
		return tmk_catalogue_points_drop(k, "web", &g_err);
	}
}

static bool has_protection(const struct tmk_catalogued *p)
{
	struct tmk_catalogued is;
	int ret = tmk_catalogue_protection(k, p->name, &is, &g_err);

	ck_assert_msg(!ret || ret == -ENOENT, "%s", g_err.text);
	return !ret && !memcmp(&is, p, sizeof(is));
}

/* Is what is there what these steps made, no more and no less? */
static bool is_after(unsigned int steps)
{
	struct tmk_catalogued web = make("web", 3), db = make("db", 5);
	uint8_t second[TMK_EPOCH_SIZE] = {7}, certificate[32] = {9};
	char host[128];
	bool seen;
	int ret = tmk_catalogue_certificate_known(k, certificate, host, &g_err);

	ck_assert_msg(!ret || ret == -ENOENT, "%s", g_err.text);
	if (steps >= 5)
		memcpy(web.epoch, second, sizeof(second));
	check_ok(tmk_catalogue_epoch_seen(k, web.protection, second, &seen, &g_err));
	count = 0;
	check_ok(tmk_catalogue_points(k, "web", on_point, NULL, &g_err));
	return !ret == (steps >= 2) && has_protection(&web) == (steps >= 3) && has_protection(&db) == (steps >= 4 && steps < 8) &&
	       seen == (steps >= 5) && count == (steps >= 6 && steps < 9) && (!count || found.number == (steps >= 7 ? 9 : 7));
}

static void check_after(unsigned int steps)
{
	ck_assert_msg(is_after(steps), "this is not what %u steps made", steps);
}

/* What fails: any call; what changes something; that for lack of space. */
static void fail_at(int kind, unsigned int at)
{
	static const unsigned int calls[] = {FAILVFS_ALL, FAILVFS_ALL & ~(FAILVFS_OPEN | FAILVFS_READ),
					     FAILVFS_WRITE | FAILVFS_SHM};

	failvfs_set(calls[kind], at, kind == 2);
}

static void start_over(void)
{
	failvfs_set(0, 0, false);
	tmk_catalogue_close(k);
	unlinkat(d.dir, "target.db", 0);
	unlinkat(d.dir, "target.db-wal", 0);
	unlinkat(d.dir, "target.db-shm", 0);
	k = NULL;
}

/* A fault is never taken for damage, for which people restore backups. */
static void check_fault(int kind)
{
	if (kind == 2)
		ck_assert_msg(g_err.code == -ENOSPC, "%s", g_err.text);
	else
		ck_assert_msg(g_err.code == -EIO, "%s", g_err.text);
}

/* Each call of each step may fail, once: the step did nothing, says why, and can be done again. */
START_TEST(test_fails_anywhere)
{
	failvfs_install();
	start_over();
	for (unsigned int number = 1; number <= STEPS; number++) {
		unsigned int failed = 1, failures = 0;

		for (unsigned int at = 1; failed; at++) {
			int ret;

			start_over();
			check_ok(tmk_catalogue_open(&k, d.path, &g_err));
			for (unsigned int before = 1; before < number; before++)
				check_ok(step(before));
			ck_assert_ptr_null(tmk_catalogue_trouble(k));
			fail_at(_i, at);
			ret = step(number);
			failed = failvfs.failed;
			failvfs_set(0, 0, false);
			if (ret) {
				ck_assert_uint_gt(failed, 0);
				check_fault(_i);
				failures++;
				ck_assert_str_eq(tmk_catalogue_trouble(k), g_err.text);
				check_after(number - 1);
				ck_assert_ptr_nonnull(tmk_catalogue_trouble(k)); /* reading proves nothing */
				check_ok(tmk_catalogue_try(k, &g_err));
				ck_assert_ptr_null(tmk_catalogue_trouble(k));
				check_ok(step(number));
			}
			check_after(number);
			reopen();
			check_after(number);
		}
		ck_assert_uint_gt(failures, _i ? 0 : 2);
	}
	start_over();
	failvfs_remove();
}
END_TEST

/* From the Nth call on everything fails, as if the machine had stopped: the step happened, or it did not. */
START_TEST(test_dies_anywhere)
{
	failvfs_install();
	start_over();
	for (unsigned int number = 1; number <= STEPS; number++) {
		unsigned int failed = 1;

		for (unsigned int at = 1; failed; at++) {
			int ret;

			start_over();
			check_ok(tmk_catalogue_open(&k, d.path, &g_err));
			for (unsigned int before = 1; before < number; before++)
				check_ok(step(before));
			fail_at(_i, at);
			failvfs.dead = true;
			ret = step(number);
			tmk_catalogue_close(k);
			k = NULL;
			failed = failvfs.failed;
			failvfs_set(0, 0, false);
			reopen();
			ck_assert(is_after(number) || (ret && is_after(number - 1)));
			if (ret) /* -EEXIST, -ENOENT: of a token or protection that it is true of already */
				ret = step(number);
			ck_assert_msg(!ret || ret == -EEXIST || ret == -ENOENT, "%s", g_err.text);
			check_after(number);
		}
	}
	start_over();
	failvfs_remove();
}
END_TEST

/* Making a catalogue, and opening one that holds something, also behind a kill: in its write-ahead log alone. */
START_TEST(test_open_fails_anywhere)
{
	failvfs_install();
	for (int filled = 0; filled < 2; filled++) {
		unsigned int failures = 0;
		int ret = -1;

		start_over();
		if (filled) {
			check_ok(tmk_catalogue_open(&k, d.path, &g_err));
			for (unsigned int number = 1; number <= 6; number++)
				check_ok(step(number));
			shell("mkdir %s/killed && cp %s/target.db* %s/killed", d.path, d.path, d.path);
		}
		for (unsigned int at = 1; ret; at++) {
			start_over();
			if (filled)
				shell("cp %s/killed/* %s", d.path, d.path);
			fail_at(_i, at);
			ret = tmk_catalogue_open(&k, d.path, &g_err);
			if (ret) {
				ck_assert_ptr_null(k);
				check_fault(_i);
				failures++;
			}
			failvfs_set(0, 0, false);
			reopen();
			check_after(filled ? 6 : 0);
		}
		ck_assert_uint_gt(failures, 0);
	}
	start_over();
	failvfs_remove();
}
END_TEST

/* Damage that was found stays trouble: that something can be written says nothing of it. */
START_TEST(test_damage_is_no_fault)
{
	struct tmk_catalogued p = make("web", 3);

	check_ok(tmk_catalogue_protection_put(k, &p, &g_err));
	sql("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 9999 WHERE name = 'protection';"
	    "PRAGMA schema_version = 99");
	check_code(-EUCLEAN, tmk_catalogue_protection(k, "web", &p, &g_err));
	ck_assert_ptr_nonnull(strstr(tmk_catalogue_trouble(k), "damaged"));
	check_code(-EUCLEAN, tmk_catalogue_try(k, &g_err));
	ck_assert_ptr_nonnull(strstr(tmk_catalogue_trouble(k), "damaged"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("catalogue");
	TCase *t = tcase_create("catalogue");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_tokens);
	tcase_add_test(t, test_secret_is_hashed);
	tcase_add_test(t, test_certificates);
	tcase_add_test(t, test_revoked_for_ever);
	tcase_add_test(t, test_protections);
	tcase_add_test(t, test_each_protection);
	tcase_add_test(t, test_epochs);
	tcase_add_test(t, test_points);
	tcase_add_test(t, test_settings);
	tcase_add_test(t, test_bad_rows);
	tcase_add_test(t, test_damaged);
	tcase_add_test(t, test_newer);
	tcase_add_loop_test(t, test_fails_anywhere, 0, 3);
	tcase_add_loop_test(t, test_dies_anywhere, 0, 3);
	tcase_add_loop_test(t, test_open_fails_anywhere, 0, 3);
	tcase_add_test(t, test_damage_is_no_fault);
	suite_add_tcase(s, t);
	return run_suite(s);
}
