/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VFS of SQLite's that passes everything on to the one that is the default, and fails the Nth call of the chosen kinds: what
 * io_fault.h is for our own files. Whoever opens a database after failvfs_install() goes through it.
 */
#ifndef TMK_TEST_FAILVFS_H
#define TMK_TEST_FAILVFS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

enum failvfs_call {
	FAILVFS_OPEN = 1 << 0,
	FAILVFS_READ = 1 << 1,
	FAILVFS_WRITE = 1 << 2, /* truncating too */
	FAILVFS_SYNC = 1 << 3,
	FAILVFS_DELETE = 1 << 4,
	FAILVFS_SHM = 1 << 5, /* mapping the index of the write-ahead log */
	FAILVFS_ALL = (1 << 6) - 1,
};
static struct failvfs {
	sqlite3_vfs vfs, *under;
	unsigned int calls, at; /* which are counted; the one that fails, from 1; 0: none */
	bool full;		/* writes fail for lack of space, else with an I/O error */
	bool dead;		/* from the failed call on all of them fail */
	unsigned int counted, failed;
} failvfs;

struct failvfs_file {
	sqlite3_file base, *real; /* real lies behind this */
};

static bool failvfs_strikes(enum failvfs_call call)
{
	bool hit = (failvfs.calls & call) && ++failvfs.counted == failvfs.at;

	if (!hit && !(failvfs.dead && failvfs.failed))
		return false;
	failvfs.failed++;
	return true;
}

static sqlite3_file *failvfs_real(sqlite3_file *f)
{
	return ((struct failvfs_file *)f)->real;
}
#define FAILVFS_PASS(f, method, ...) failvfs_real(f)->pMethods->method(failvfs_real(f), ##__VA_ARGS__)

static int failvfs_close(sqlite3_file *f)
{
	return FAILVFS_PASS(f, xClose);
}

static int failvfs_read(sqlite3_file *f, void *data, int size, sqlite3_int64 offset)
{
	return failvfs_strikes(FAILVFS_READ) ? SQLITE_IOERR_READ : FAILVFS_PASS(f, xRead, data, size, offset);
}

static int failvfs_error(int error)
{
	return failvfs.full ? SQLITE_FULL : error;
}

static int failvfs_write(sqlite3_file *f, const void *data, int size, sqlite3_int64 offset)
{
	if (!failvfs_strikes(FAILVFS_WRITE))
		return FAILVFS_PASS(f, xWrite, data, size, offset);
	if (failvfs.failed == 1) /* torn */
		FAILVFS_PASS(f, xWrite, data, size / 2, offset);
	return failvfs_error(SQLITE_IOERR_WRITE);
}

static int failvfs_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return failvfs_strikes(FAILVFS_WRITE) ? failvfs_error(SQLITE_IOERR_TRUNCATE) : FAILVFS_PASS(f, xTruncate, size);
}

static int failvfs_sync(sqlite3_file *f, int flags)
{
	return failvfs_strikes(FAILVFS_SYNC) ? SQLITE_IOERR_FSYNC : FAILVFS_PASS(f, xSync, flags);
}

static int failvfs_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return failvfs_strikes(FAILVFS_READ) ? SQLITE_IOERR_FSTAT : FAILVFS_PASS(f, xFileSize, size);
}

static int failvfs_lock(sqlite3_file *f, int how)
{
	return FAILVFS_PASS(f, xLock, how);
}

static int failvfs_unlock(sqlite3_file *f, int how)
{
	return FAILVFS_PASS(f, xUnlock, how);
}

static int failvfs_reserved(sqlite3_file *f, int *out)
{
	return FAILVFS_PASS(f, xCheckReservedLock, out);
}

static int failvfs_control(sqlite3_file *f, int op, void *argument)
{
	return FAILVFS_PASS(f, xFileControl, op, argument);
}

static int failvfs_sector(sqlite3_file *f)
{
	return FAILVFS_PASS(f, xSectorSize);
}

static int failvfs_characteristics(sqlite3_file *f)
{
	return FAILVFS_PASS(f, xDeviceCharacteristics);
}

static int failvfs_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return failvfs_strikes(FAILVFS_SHM) ? failvfs_error(SQLITE_IOERR_SHMMAP)
					    : FAILVFS_PASS(f, xShmMap, page, size, extend, out);
}

static int failvfs_shm_lock(sqlite3_file *f, int offset, int count, int flags)
{
	return FAILVFS_PASS(f, xShmLock, offset, count, flags);
}

static void failvfs_shm_barrier(sqlite3_file *f)
{
	FAILVFS_PASS(f, xShmBarrier);
}

static int failvfs_shm_unmap(sqlite3_file *f, int remove)
{
	return FAILVFS_PASS(f, xShmUnmap, remove);
}

static const sqlite3_io_methods failvfs_methods = {
	.iVersion = 2,
	.xClose = failvfs_close,
	.xRead = failvfs_read,
	.xWrite = failvfs_write,
	.xTruncate = failvfs_truncate,
	.xSync = failvfs_sync,
	.xFileSize = failvfs_size,
	.xLock = failvfs_lock,
	.xUnlock = failvfs_unlock,
	.xCheckReservedLock = failvfs_reserved,
	.xFileControl = failvfs_control,
	.xSectorSize = failvfs_sector,
	.xDeviceCharacteristics = failvfs_characteristics,
	.xShmMap = failvfs_shm_map,
	.xShmLock = failvfs_shm_lock,
	.xShmBarrier = failvfs_shm_barrier,
	.xShmUnmap = failvfs_shm_unmap,
};

static int failvfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct failvfs_file *file = (struct failvfs_file *)f;
	int ret;

	(void)vfs;
	f->pMethods = NULL;
	if (failvfs_strikes(FAILVFS_OPEN))
		return failvfs_error(SQLITE_IOERR);
	file->real = (sqlite3_file *)(file + 1);
	ret = failvfs.under->xOpen(failvfs.under, name, file->real, flags, out);
	if (file->real->pMethods)
		f->pMethods = &failvfs_methods;
	return ret;
}

static int failvfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	(void)vfs;
	return failvfs_strikes(FAILVFS_DELETE) ? SQLITE_IOERR_DELETE : failvfs.under->xDelete(failvfs.under, name, sync);
}

/* Calls are counted anew; the at-th of these kinds fails. */
static void failvfs_set(unsigned int calls, unsigned int at, bool full)
{
	failvfs.calls = calls;
	failvfs.at = at;
	failvfs.full = full;
	failvfs.dead = false;
	failvfs.counted = failvfs.failed = 0;
}

static void failvfs_install(void)
{
	failvfs.under = sqlite3_vfs_find(NULL);
	failvfs.vfs = *failvfs.under; /* what is not replaced works on the one below, whose data it has */
	failvfs.vfs.zName = "failvfs";
	failvfs.vfs.pNext = NULL;
	failvfs.vfs.szOsFile = (int)sizeof(struct failvfs_file) + failvfs.under->szOsFile;
	failvfs.vfs.xOpen = failvfs_open;
	failvfs.vfs.xDelete = failvfs_delete;
	sqlite3_vfs_register(&failvfs.vfs, 1);
	failvfs_set(0, 0, false);
}

static void failvfs_remove(void)
{
	sqlite3_vfs_unregister(&failvfs.vfs);
}

#endif
