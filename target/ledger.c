/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See ledger.h. In the supervisor's loop; waits for the disk. */
#include "ledger.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "trouble.h"
#include "util.h"

struct check {
	const struct tmk_sidecar *at;
	bool wrong;
};

static int check_point(const struct tmk_point *p, void *context)
{
	struct check *c = context;

	if (c->at->state == TMK_REPLICA_EMPTY || p->number != c->at->point)
		c->wrong = true;
	else if (c->at->state == TMK_REPLICA_POINT && memcmp(p->hash, c->at->applied_hash, sizeof(p->hash)))
		c->wrong = true;
	return 0;
}

void tmk_ledger_forget(struct tmk_holding *h)
{
	h->newest.number = 0;
	h->unsaved = false;
}

const struct tmk_point *tmk_ledger_newest(const struct tmk_holding *h)
{
	return h->newest.number && h->newest.number == h->at.point ? &h->newest : NULL;
}

void tmk_ledger_moved(struct tmk_catalogue *c, struct tmk_holding *h)
{
	struct check check = {.at = &h->at}, newest = check;
	struct tmk_error err = {0};
	int bad = tmk_catalogue_points(c, h->row.name, check_point, &check, &err);

	if (!bad && check.wrong)
		bad = tmk_catalogue_points_drop(c, h->row.name, &err);
	if (bad)
		tmk_log_error("%s: %s", h->row.name, err.text);
	check_point(&h->newest, &newest);
	if (newest.wrong)
		tmk_ledger_forget(h);
}

static int save(struct tmk_catalogue *c, struct tmk_holding *h, struct tmk_error *err)
{
	int bad = tmk_catalogue_point_put(c, h->row.name, &h->newest, err);

	h->unsaved = bad && bad != -ENOENT && bad != -EINVAL; /* the protection is gone; no catalogue takes that point */
	h->save_at = tmk_now_ms() + TMK_TROUBLE_MS;
	return bad;
}

void tmk_ledger_point(struct tmk_catalogue *c, struct tmk_holding *h, const struct tmk_point *p)
{
	struct tmk_error err = {0};

	h->newest = *p;
	if (save(c, h, &err))
		tmk_log_error("%s: %s", h->row.name, err.text);
}

void tmk_ledger_tick(struct tmk_catalogue *c, struct tmk_holding *h)
{
	if (h->unsaved && tmk_now_ms() >= h->save_at)
		save(c, h, NULL);
}

void tmk_ledger_mend(struct tmk_catalogue *c, uint64_t *not_before)
{
	if (!tmk_catalogue_trouble(c) || tmk_now_ms() < *not_before)
		return;
	*not_before = tmk_now_ms() + TMK_TROUBLE_MS;
	tmk_catalogue_try(c, NULL);
}
