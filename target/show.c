/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON of the target: see show.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout.h"
#include "pick.h"
#include "show.h"
#include "util.h"

json_t *tmk_show_point(const struct tmk_point *p, const char *protection)
{
	char id[33], hash[65], time[32], arrived[32];
	uint64_t now = tmk_clock_ns();
	double age = now > p->target_time ? (double)(now - p->target_time) / 1e9 : 0;
	tmk_hex(p->mark.id, sizeof(p->mark.id), id);
	tmk_hex(p->hash, sizeof(p->hash), hash);
	tmk_pick_format(p->mark.source_time, time);
	tmk_pick_format(p->target_time, arrived);
	return json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:f, s:I, s:I, s:I, s:s}", "protection", protection, "number",
			 (json_int_t)p->number, "kind", p->mark.kind == TMK_APP ? "app" : "crash", "label", p->mark.label, "id",
			 id, "time", time, "arrived", arrived, "age_seconds", age, "time_ns", (json_int_t)p->mark.source_time,
			 "arrived_ns", (json_int_t)p->target_time, "generation", (json_int_t)p->generation, "hash", hash);
}

static uint64_t journal_bytes(int dir)
{
	uint64_t total = 0;
	int fd = dir < 0 ? -1 : tmk_layout_journal(dir, NULL);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		struct stat st;
		if (!fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode))
			total += (uint64_t)st.st_size;
	}
	closedir(d);
	return total;
}

static const char *state(const struct tmk_holding *h, const char **reason)
{
	bool connected = h->session && h->session_receives;
	*reason = "";
	if (h->quiet)
		return "busy";
	*reason = tmk_holding_broken(h);
	if (*reason)
		return "broken";
	*reason = h->trouble;
	if (h->trouble[0])
		return "stalled";
	*reason = h->full[0] ? h->full : h->ailing;
	if (h->full[0] || h->ailing_code == -ENOSPC)
		return "full";
	if (h->ailing[0])
		return "stalled";
	if (h->at.state == TMK_REPLICA_BETWEEN || (h->at.state == TMK_REPLICA_EMPTY && h->at.applied < h->durable))
		return "applying";
	return connected ? "connected" : "disconnected";
}

static json_t *show_disks(const struct tmk_catalogued *row)
{
	json_t *disks = json_array();
	for (unsigned i = 0; i < row->disk_count; i++)
		json_array_append_new(disks,
				      json_pack("{s:i, s:s, s:I, s:s}", "number", (int)i, "name", row->disks[i].name, "size",
						(json_int_t)row->disks[i].size, "identity", row->disks[i].identity));
	return disks;
}

json_t *tmk_show_protection(const struct tmk_holding *h, const struct tmk_point *newest)
{
	const char *reason, *word = state(h, &reason);
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:b, s:I, s:I, s:I, s:o, s:o}", "name", h->row.name, "host", h->host, "state",
			 word, "reason", reason, "generation", (json_int_t)h->row.generation, "connected",
			 (int)(h->session && h->session_receives), "durable_chunk", (json_int_t)h->durable, "applied_chunk",
			 (json_int_t)h->at.applied, "journal_bytes", (json_int_t)journal_bytes(h->dir), "disks",
			 show_disks(&h->row), "point", newest ? tmk_show_point(newest, h->row.name) : json_null());
}
