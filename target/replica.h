/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The replica: one raw file or block device per disk, and the sidecar that says what it holds (disk.h, R14).
 * Two locks, both flock(2), none waits: whoever has it open to write holds the directory's (one writer); the sidecar file's says
 * whether contents may change: a writer takes it exclusively around each interval (lock, unlock), a reader holds it shared as
 * long as it has the replica open. So a POINT can be read at any time, and a reader never sees anything else (I11).
 */
#ifndef TMK_REPLICA_H
#define TMK_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "chunk.h"
#include "disk.h"
#include "error.h"
#include "io.h"

struct tmk_replica;

/* Makes disk-N.raw (unless DIR/protections/NAME already holds a symbolic link there) and the first sidecar: EMPTY, applied 0.
 * A block device smaller than its disk is refused, -ENOSPC. Idempotent after a crash. dir: descriptor of protections/NAME. */
int tmk_replica_create(const struct tmk_io *io, int dir, const uint8_t protection[TMK_UUID_SIZE],
		       const struct tmk_disk_sizes *sizes, uint64_t generation, struct tmk_error *err);
/* Reads the sidecar only. -ENOENT: none; -EUCLEAN: both slots bad. */
int tmk_sidecar_read(const struct tmk_io *io, int dir, struct tmk_sidecar *out, struct tmk_error *err);
/* write: as the one writer; else as a reader. -EBUSY if somebody else has what that needs. Checks sizes, and that files and
 * sidecar belong together: -EUCLEAN if one was put back without the other. */
int tmk_replica_open(struct tmk_replica **out, const struct tmk_io *io, int dir, bool write, struct tmk_error *err);
/* The writer's: before contents change, and after they are a point again. -EBUSY: a reader holds it. Idempotent. */
int tmk_replica_lock(struct tmk_replica *r, struct tmk_error *err);
void tmk_replica_unlock(struct tmk_replica *r);
void tmk_replica_close(struct tmk_replica *r);
const struct tmk_sidecar *tmk_replica_sidecar(const struct tmk_replica *r);
int tmk_replica_fd(const struct tmk_replica *r, uint16_t disk); /* to read from */
/* A range as the disk has it now, not the page cache, if uncache was called for it; quicker into memory that is aligned. An error
 * harms nothing but what was to be read. */
#define TMK_REPLICA_ALIGN 4096
int tmk_replica_read(const struct tmk_replica *r, uint16_t disk, void *data, size_t size, uint64_t offset, struct tmk_error *err);
void tmk_replica_uncache(const struct tmk_replica *r, uint16_t disk, uint64_t offset, uint64_t length);
/* Applies every record of an opened and checked chunk: redo, idempotent. MARK, HASH: nothing. An error of this or of commit
 * leaves the replica fit only to be closed: opened again, it is what the sidecar says plus redo (a failed flush is never tried
 * again, R13).
 */
int tmk_replica_apply(struct tmk_replica *r, const struct tmk_chunk *chunk, const uint8_t *raw, struct tmk_error *err);
/* Flushes the data, then writes and flushes the sidecar with these values (and the sequence one up). */
int tmk_replica_commit(struct tmk_replica *r, enum tmk_replica_state state, uint64_t applied,
		       const uint8_t applied_hash[TMK_HASH_SIZE], uint64_t point, uint64_t until, struct tmk_error *err);
/* Another generation, durably (failover, adopt). */
int tmk_replica_set_generation(struct tmk_replica *r, uint64_t generation, struct tmk_error *err);
/* Starts over: EMPTY, applied 0. Contents stay; a full copy follows. Takes broken sidecars and files put back as they are. */
int tmk_replica_restart(const struct tmk_io *io, int dir, const uint8_t protection[TMK_UUID_SIZE],
			const struct tmk_disk_sizes *sizes, uint64_t generation, struct tmk_error *err);

#endif
