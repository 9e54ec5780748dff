/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Status of a protection as JSON: docs/json.md. */
#include "status.h"

#include <time.h>

#include "util.h"

static const char *state_name(enum tmk_protection_state state)
{
	switch (state) {
	case TMK_STATE_STARTING:
		return "starting";
	case TMK_STATE_CATCHING_UP:
		return "catching up";
	case TMK_STATE_STREAMING:
		return "streaming";
	case TMK_STATE_PAUSED:
		return "paused";
	case TMK_STATE_DISCONNECTED:
		return "disconnected";
	case TMK_STATE_FENCED:
		return "fenced";
	}
	return "unknown";
}

static json_t *integer(uint64_t v)
{
	return json_integer((json_int_t)v);
}

/* ns since 1970 */
static const char *tell_time(uint64_t ns, char out[32])
{
	time_t seconds = (time_t)(ns / 1000000000u);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		out[0] = '\0';
	return out;
}

static json_t *point_json(const struct tmk_status_point *p, uint64_t now)
{
	char id[33], stamp[32];

	if (!p->known)
		return json_null();
	tmk_hex(p->id, sizeof(p->id), id);
	tell_time(p->cut_time, stamp);
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "id", id, "kind", p->app ? "app" : "crash", "label", p->label, "time",
			 stamp, "age_seconds", integer((now - p->at_ms) / 1000), "frozen_ms", integer(p->frozen_ms));
}

static json_t *verify_json(const struct tmk_verify_state *v)
{
	const struct tmk_progress *p = &v->pass;
	json_t *last = json_null();
	char stamp[32];

	if (p->last.known)
		last = json_pack("{s:s, s:b, s:o, s:o}", "time", tell_time(p->last.time, stamp), "asked", p->last.asked,
				 "different_bytes", integer(p->last.different), "skipped_bytes", integer(p->last.skipped));
	return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "running", p->asked, "done_bytes", integer(p->done), "total_bytes",
			 integer(v->total), "different_bytes", integer(p->different), "skipped_bytes", integer(p->skipped),
			 "last", last);
}

static json_t *disks_json(const struct tmk_protection_status *s, const struct tmk_spec *spec)
{
	json_t *list = json_array();

	for (uint16_t i = 0; i < spec->disk_count; i++) {
		const struct tmk_tracker_status *t = &s->trackers[i];

		json_array_append_new(list,
				      json_pack("{s:i, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:s}", "number", (int)i, "path",
						spec->disks[i].path, "size", integer(spec->disks[i].size), "tracker", t->backend,
						"block_size", integer(t->block_size), "map_bytes", integer(t->map_bytes),
						"writes", integer(t->writes), "gap", integer(t->gap), "doubt", t->reason));
	}
	return list;
}

/* Bytes to go over the rate; null where it cannot be told. */
static json_t *eta(const struct tmk_protection_status *s)
{
	if (!s->first_copy || !s->rate || s->round_bytes < s->round_done)
		return json_null();
	return integer((s->round_bytes - s->round_done) / s->rate);
}

json_t *tmk_status_json(const struct tmk_protection_status *s, const struct tmk_spec *spec)
{
	uint64_t now = tmk_now_ms(), since = s->point.known ? s->point.at_ms : s->started_ms;
	bool connected = s->state == TMK_STATE_CATCHING_UP || s->state == TMK_STATE_STREAMING;
	json_t *o = json_object();

	json_object_set_new(o, "name", json_string(spec->name));
	json_object_set_new(o, "state", json_string(state_name(s->state)));
	json_object_set_new(o, "reason", json_string(s->reason));
	json_object_set_new(o, "connected", json_boolean(connected));
	json_object_set_new(o, "generation", integer(s->generation));
	json_object_set_new(o, "first_copy", json_boolean(s->first_copy));
	json_object_set_new(o, "copied_bytes", integer(s->round_done));
	json_object_set_new(o, "total_bytes", integer(s->round_bytes));
	json_object_set_new(o, "rate_bytes_per_second", integer(s->rate));
	json_object_set_new(o, "eta_seconds", eta(s));
	json_object_set_new(o, "dirty_bytes", integer(s->dirty_bytes));
	json_object_set_new(o, "lag_bytes", integer(s->lag_bytes));
	json_object_set_new(o, "lag_seconds", json_real((double)(now - since) / 1000));
	json_object_set_new(o, "latest_seconds", s->latest_ms ? json_real((double)(now - s->latest_ms) / 1000) : json_null());
	json_object_set_new(o, "sent_disk_bytes", integer(s->sent_disk_bytes));
	json_object_set_new(o, "sent_wire_bytes", integer(s->sent_wire_bytes));
	json_object_set_new(o, "coalesced_bytes", integer(s->coalesced_bytes));
	json_object_set_new(o, "acked_chunk", integer(s->acked_chunk));
	json_object_set_new(o, "unreadable_bytes", integer(s->bad_bytes));
	json_object_set_new(o, "verify", verify_json(&s->verify));
	json_object_set_new(o, "disks", disks_json(s, spec));
	json_object_set_new(o, "point", point_json(&s->point, now));
	json_object_set_new(o, "note", json_string(s->note));
	return o;
}
