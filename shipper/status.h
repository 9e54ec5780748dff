/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a protection's thread tells of itself, as a plain value, and its JSON (docs/json.md). */
#ifndef TMK_STATUS_H
#define TMK_STATUS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "store.h"
#include "tracker.h"
#include "verify.h"

enum tmk_protection_state {
	TMK_STATE_STARTING,
	TMK_STATE_CATCHING_UP,
	TMK_STATE_STREAMING,
	TMK_STATE_PAUSED,
	TMK_STATE_DISCONNECTED,
	TMK_STATE_FENCED
};

struct tmk_status_point {
	bool known;
	uint8_t id[16];
	bool app;
	char label[TMK_LABEL_MAX + 1];
	uint64_t cut_time; /* ns since 1970 */
	uint64_t at_ms;	   /* monotonic, when it became durable */
	unsigned frozen_ms;
};
struct tmk_protection_status {
	enum tmk_protection_state state;
	char reason[512]; /* of the state, or why the last automatic point failed */
	char note[512];	  /* of the target */
	bool first_copy;
	uint64_t started_ms; /* monotonic */
	uint64_t round_bytes, round_done;
	uint64_t dirty_bytes; /* marked and not read */
	uint64_t lag_bytes;   /* and what is read and not acked */
	uint64_t rate;	      /* disk bytes a second, acked, over the last seconds */
	uint64_t sent_disk_bytes, sent_wire_bytes;
	uint64_t coalesced_bytes; /* not sent, because they were overwritten before */
	uint64_t acked_chunk, generation, bad_bytes;
	struct tmk_tracker_status trackers[TMK_DISKS_MAX];
	struct tmk_status_point point;
	uint64_t latest_ms; /* monotonic: how the disks were then the target has, if they are streamed; 0: they are not */
	struct tmk_verify_state verify;
};

/* A new reference. */
json_t *tmk_status_json(const struct tmk_protection_status *s, const struct tmk_spec *spec);

#endif
