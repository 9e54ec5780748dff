/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process around an applier: one per protection, told what is durable, tells what is applied. */
#ifndef TMK_APPLYING_H
#define TMK_APPLYING_H

#include <stdint.h>

#include "wire.h"

struct tmk_applying {
	char name[TMK_NAME_MAX + 1];
	int dir;	/* protections/NAME */
	uint64_t spare; /* bytes of applied chunks to keep */
};
/* A child's whole life. context: struct tmk_applying. */
int tmk_applying_run(int channel, void *context);

#endif
