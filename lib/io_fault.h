/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faulty storage for tests: counts the calls of the chosen kinds on their way to another tmk_io, and fails the Nth. A test
 * counts N up from 1 until its operation passes (`failed` stays 0).
 *
 *	struct tmk_io_fault fault;
 *	const struct tmk_io *io = tmk_io_fault(&fault, &tmk_io_real, TMK_IO_FLUSH | TMK_IO_FLUSH_DIR, n, EIO);
 */
#ifndef TMK_IO_FAULT_H
#define TMK_IO_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "io.h"

enum tmk_io_call {
	TMK_IO_OPEN = 1 << 0,
	TMK_IO_READ = 1 << 1,
	TMK_IO_WRITE = 1 << 2,
	TMK_IO_ZERO = 1 << 3,
	TMK_IO_FLUSH = 1 << 4,
	TMK_IO_FLUSH_DIR = 1 << 5,
	TMK_IO_TRUNCATE = 1 << 6,
	TMK_IO_UNLINK = 1 << 7,
	TMK_IO_SIZE = 1 << 8,
	TMK_IO_CLOSE = 1 << 9, /* closes the descriptor all the same */
	TMK_IO_CHANGES = TMK_IO_WRITE | TMK_IO_ZERO | TMK_IO_FLUSH | TMK_IO_FLUSH_DIR | TMK_IO_TRUNCATE | TMK_IO_UNLINK,
	TMK_IO_ALL = (1 << 10) - 1,
};
struct tmk_io_fault {
	struct tmk_io io;
	const struct tmk_io *under;
	unsigned int calls;  /* enum tmk_io_call: which are counted and failed */
	unsigned int at;     /* fail the at-th of them, from 1; 0: none */
	int error;	     /* positive errno */
	bool torn;	     /* set it: the first half of a failing write still gets through */
	bool dead;	     /* set it: from the failed call on all calls fail but close, as if the machine had stopped */
	atomic_uint counted; /* calls of these kinds until now */
	atomic_uint failed;  /* calls failed until now */
};

/* Returns &fault->io, which lives as long as fault and under. Threads may share it. */
const struct tmk_io *tmk_io_fault(struct tmk_io_fault *fault, const struct tmk_io *under, unsigned int calls, unsigned int at,
				  int error);

#endif
