/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chunks in: checks every chunk wholly (I5), appends it, makes groups of them durable, acknowledges. In the receiver's process.
 */
#ifndef TMK_INGEST_H
#define TMK_INGEST_H

#include "link.h"
#include "opening.h"

/* From WELCOME to the end of the session; what is appended is durable and acknowledged when it returns, unless storage or
 * connection fail. 0: the source or the supervisor ended it. The peer has been told already. */
int tmk_ingest_run(int channel, struct tmk_link *link, const struct tmk_hello *hello, struct tmk_opening *opening,
		   struct tmk_error *err);

/* Where source and target stand to each other (wire.h). found: the journal holds what the source names as acked. */
enum tmk_relation tmk_ingest_relation(const struct tmk_place *acked, const struct tmk_place *end, bool found);

#endif
