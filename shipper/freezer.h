/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What freeze.c and tidemark-freezer say to each other, and the record in /run.
 *
 * A SOCK_SEQPACKET pair, the helper's end at descriptor 3. Each message is one struct, whole; both come from one build, a helper
 * of another version refuses the setup. Order: SETUP (with descriptors: the record, then the filesystems) -> HELLO; then any
 * number of FREEZE -> FROZEN and, if that was a success, THAW -> THAWED. End of file at the socket: the helper thaws and exits.
 *
 * The record is text: the line "tidemark-freezer 1 BOOT-ID"; a line of one letter (enum tmk_freezer_state) for each filesystem,
 * which the helper changes in place; then for each filesystem "MAJOR:MINOR PID MOUNTPOINT" (as mountinfo escapes it). Both
 * processes hold a flock on it: while it is locked nobody else thaws by it.
 */
#ifndef TMK_FREEZER_H
#define TMK_FREEZER_H

#include <stdint.h>

#define TMK_FREEZER_FD 3
#define TMK_FREEZER_MAX 64 /* filesystems; with the record they fit into one SCM_RIGHTS message (253) */
#define TMK_FREEZER_VERSION 1
#define TMK_FREEZER_MAGIC "tidemark-freezer 1 "
#define TMK_FREEZER_BOOT_ID 36
#define TMK_FREEZER_STATES (sizeof(TMK_FREEZER_MAGIC) - 1 + TMK_FREEZER_BOOT_ID + 1) /* offset of the first letter */

enum tmk_freezer_state {
	TMK_FREEZER_IDLE = 'N',	   /* not frozen by us */
	TMK_FREEZER_PENDING = 'P', /* FIFREEZE is under way: may be frozen by us */
	TMK_FREEZER_FROZEN = 'F',  /* by us */
	TMK_FREEZER_OTHER = 'O',   /* somebody else had frozen it */
	TMK_FREEZER_SYNCED = 'S',  /* cannot be frozen, or is read-only */
};

enum tmk_freezer_kind {
	TMK_FREEZER_SETUP = 1,
	TMK_FREEZER_FREEZE,
	TMK_FREEZER_THAW,
	TMK_FREEZER_HELLO,
	TMK_FREEZER_FROZE,
	TMK_FREEZER_THAWED,
};

struct tmk_freezer_request {
	uint32_t kind;
	uint32_t version;
	uint32_t count;	   /* SETUP */
	uint32_t limit_ms; /* SETUP */
	uint8_t read_only[TMK_FREEZER_MAX];
};

#define TMK_FREEZER_NONE UINT32_MAX
struct tmk_freezer_answer {
	uint32_t kind;
	int32_t result;	     /* 0 or -errno, as freeze.h says */
	uint32_t which;	     /* the filesystem that it is about, or NONE */
	uint32_t ms;	     /* FROZE, THAWED: since the first freeze began */
	int32_t lock_error;  /* HELLO: mlockall */
	int32_t guard_error; /* HELLO: oom_score_adj */
	uint8_t state[TMK_FREEZER_MAX];
};

#endif
