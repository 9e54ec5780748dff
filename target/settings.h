/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Settings of tidemark-target: DIR/target.conf (`init` writes it) or the file named by --config. Keys, all optional:
 *
 *   directory      what `init` made; must be the one the file lies in unless --config named the file
 *   listen         address to listen on; not given: all
 *   port           9443
 *   control        path of the control socket; /run/tidemark/target.sock
 *   user           receivers run as this user; not given: tidemark, or nobody if there is none
 *   journal-limit  bytes of one protection's journal; unlimited
 *   journal-spare  bytes of applied chunks kept for sources that were put back (R3); 256M
 *   reserve        bytes that stay free on the journal's filesystem; 64M
 *   window         chunks that a source may send unacknowledged; 64
 */
#ifndef TMK_SETTINGS_H
#define TMK_SETTINGS_H

#include <limits.h>
#include <stdint.h>

#include "error.h"

struct tmk_settings {
	char directory[PATH_MAX / 2];
	char listen[128];
	uint64_t port;
	char control[108]; /* sun_path */
	char user[64];
	uint64_t journal_limit;
	uint64_t journal_spare;
	uint64_t reserve;
	uint64_t window;
};

/* Either may be NULL: the file is DIR/target.conf then, or the directory is the file's. Checked wholly. */
int tmk_settings_read(struct tmk_settings *out, const char *directory, const char *file, struct tmk_error *err);
/* Makes DIR, its authority, and DIR/target.conf with the defaults as comments. -EEXIST if there is an authority already. */
int tmk_settings_init(const char *directory, struct tmk_error *err);

#endif
