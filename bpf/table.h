/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of disks that probes look at for every request (tmk_bpf_disk), as its only writer sees it. A probe may look at any
 * moment, and a writer may be killed between any two stores: each leaves a table in which every disk that is in it is found.
 * Pure code.
 */
#ifndef TMK_TABLE_H
#define TMK_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "tidemark_bpf.h"

/* Puts the slot on the disk's list, if it is not on it; `kind` is that of the disk from now on. -ENOSPC: its list is full, or
 * there is no place for it. */
int tmk_table_add(struct tmk_bpf_disk *table, uint32_t dev, enum tmk_bpf_kind kind, int slot, struct tmk_error *err);
/* Takes the slot off all lists, and disks without slots out of the table: also what a kill left of either. */
void tmk_table_remove(struct tmk_bpf_disk *table, int slot);
bool tmk_table_has(struct tmk_bpf_disk *table, uint32_t dev, int slot);

#endif
