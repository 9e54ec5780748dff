/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor: the one process that runs as root for long. It listens, starts children, keeps the catalogue, and decides; it
 * parses nothing that a receiver has not parsed before (and checks that again), and holds no private key but what TLS needs.
 *
 *   supervisor ── receiver (one per connection; sandbox)   TLS, frames, chunks -> journal
 *              ── applier (one per protection)             journal -> replica, points
 *              ── job (sign, export, reset, delete)
 */
#ifndef TMK_SUPERVISOR_H
#define TMK_SUPERVISOR_H

#include "error.h"
#include "settings.h"

/* Runs until SIGTERM or SIGINT, then stops everything cleanly: 0. */
int tmk_supervisor_run(const struct tmk_settings *settings, struct tmk_error *err);

#endif
