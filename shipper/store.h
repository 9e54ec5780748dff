/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the shipper keeps across restarts, in state-dir: target.json (address), source.key, source.pem, authority.pem (from join),
 * protections/NAME.json. Written by verbs only, never per ack or chunk (R31); each file is replaced durably.
 */
#ifndef TMK_STORE_H
#define TMK_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"
#include "error.h"
#include "trackers.h"
#include "wire.h"

struct tmk_target_address {
	char host[256];
	uint16_t port;
};
struct tmk_spec_disk {
	char path[256];	    /* as the user gave it; by-id links are kept */
	char identity[128]; /* as it was at protect */
	uint64_t size;	    /* bytes, at protect */
};
struct tmk_spec {
	char name[TMK_NAME_MAX + 1];
	uint8_t protection[TMK_UUID_SIZE];
	uint64_t generation; /* what the target said last; 0 before first contact */
	bool paused;
	enum tmk_tracker_kind tracker; /* as it was asked for */
	uint16_t disk_count;
	struct tmk_spec_disk disks[TMK_DISKS_MAX];
};

int tmk_store_target(const char *state_dir, struct tmk_target_address *out, struct tmk_error *err); /* -ENOENT: not joined */
int tmk_store_set_target(const char *state_dir, const struct tmk_target_address *target, struct tmk_error *err);
int tmk_store_spec(const char *state_dir, const char *name, struct tmk_spec *out, struct tmk_error *err);
int tmk_store_put_spec(const char *state_dir, const struct tmk_spec *spec, struct tmk_error *err);
/* Change one field of a stored spec and nothing else, whatever another thread changes meanwhile. -ENOENT: not there (any more).
 */
int tmk_store_set_paused(const char *state_dir, const char *name, bool paused, struct tmk_error *err);
int tmk_store_set_generation(const char *state_dir, const char *name, uint64_t generation, struct tmk_error *err);
int tmk_store_delete_spec(const char *state_dir, const char *name, struct tmk_error *err);
/* All of them, by name; caller frees *out. One that cannot be read fails all of it. */
int tmk_store_specs(const char *state_dir, struct tmk_spec **out, size_t *count, struct tmk_error *err);
/* The names alone, sorted, also of those that cannot be read; caller frees *out. */
int tmk_store_names(const char *state_dir, char (**out)[TMK_NAME_MAX + 1], size_t *count, struct tmk_error *err);

#endif
