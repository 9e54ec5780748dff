/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The catalogue: certificates, tokens, protections, epochs and points in SQLite (DIR/target.db). The supervisor alone opens it.
 * What is in it about protections and points can be rebuilt from sidecars and journals; certificates that were revoked are also
 * named in DIR/revoked, so that a catalogue put back does not bring them back.
 */
#ifndef TMK_CATALOGUE_H
#define TMK_CATALOGUE_H

#include <stdbool.h>
#include <stdint.h>

#include "applier.h"
#include "error.h"
#include "wire.h"

struct tmk_catalogue;
int tmk_catalogue_open(struct tmk_catalogue **out, const char *directory, struct tmk_error *err);
void tmk_catalogue_close(struct tmk_catalogue *c);
/* Why it could not be read or written when that was last tried, until something is written again; NULL: all is well. */
const char *tmk_catalogue_trouble(const struct tmk_catalogue *c);
/* Writes without changing anything: to find out whether the trouble is over. */
int tmk_catalogue_try(struct tmk_catalogue *c, struct tmk_error *err);

/* tokens: only a hash of the secret is kept */
int tmk_catalogue_token_add(struct tmk_catalogue *c, const uint8_t secret[16], uint32_t uses, uint64_t expires,
			    struct tmk_error *err); /* s since 1970 */
/* Uses one up, atomically. -EACCES: unknown, used up or expired (the text says which). */
int tmk_catalogue_token_use(struct tmk_catalogue *c, const uint8_t secret[16], uint64_t now, struct tmk_error *err);

/* certificates */
int tmk_catalogue_certificate_add(struct tmk_catalogue *c, const uint8_t fingerprint[32], const char *host,
				  struct tmk_error *err);
int tmk_catalogue_certificate_known(struct tmk_catalogue *c, const uint8_t fingerprint[32], char host[128],
				    struct tmk_error *err); /* -ENOENT, -EACCES revoked */
int tmk_catalogue_certificate_revoke(struct tmk_catalogue *c, const char *host_or_fingerprint, struct tmk_error *err);

/* protections */
struct tmk_catalogued {
	char name[TMK_NAME_MAX + 1];
	uint8_t protection[TMK_UUID_SIZE];
	uint8_t owner[32]; /* certificate's fingerprint */
	uint64_t generation;
	uint8_t epoch[TMK_EPOCH_SIZE]; /* the one that may continue */
	uint16_t disk_count;
	struct tmk_hello_disk disks[TMK_DISKS_MAX];
};
int tmk_catalogue_protection(struct tmk_catalogue *c, const char *name, struct tmk_catalogued *out,
			     struct tmk_error *err); /* -ENOENT */
int tmk_catalogue_protection_put(struct tmk_catalogue *c, const struct tmk_catalogued *p, struct tmk_error *err);
int tmk_catalogue_protection_delete(struct tmk_catalogue *c, const char *name, struct tmk_error *err);
int tmk_catalogue_protections(struct tmk_catalogue *c, int (*each)(const struct tmk_catalogued *p, void *context), void *context,
			      struct tmk_error *err);

/* epochs: every one that ever began; a superseded one is refused for ever (R3) */
int tmk_catalogue_epoch_seen(struct tmk_catalogue *c, const uint8_t protection[TMK_UUID_SIZE],
			     const uint8_t epoch[TMK_EPOCH_SIZE], bool *seen, struct tmk_error *err);
/* The epoch becomes the current one of the protection; all others are superseded. */
int tmk_catalogue_epoch_begin(struct tmk_catalogue *c, const char *name, const uint8_t epoch[TMK_EPOCH_SIZE],
			      struct tmk_error *err);

/* points: this version keeps the newest one that the replica equals */
int tmk_catalogue_point_put(struct tmk_catalogue *c, const char *name, const struct tmk_point *p,
			    struct tmk_error *err); /* replaces older ones */
int tmk_catalogue_points_drop(struct tmk_catalogue *c, const char *name, struct tmk_error *err);
int tmk_catalogue_points(struct tmk_catalogue *c, const char *name, int (*each)(const struct tmk_point *p, void *context),
			 void *context, struct tmk_error *err); /* newest first */

#endif
