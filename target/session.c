/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verdicts: see session.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io.h"
#include "layout.h"
#include "message.h"
#include "replica.h"
#include "session.h"
#include "util.h"

static const uint8_t nothing[TMK_HASH_SIZE];

__attribute__((format(printf, 3, 4))) static bool refuse(struct tmk_verdict *v, enum tmk_refuse code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	v->refuse = code;
	vsnprintf(v->text, sizeof(v->text), format, args);
	va_end(args);
	return false;
}

static bool failed(struct tmk_verdict *v, const struct tmk_error *err)
{
	return refuse(v, err->code == -EUCLEAN ? TMK_REFUSE_BROKEN : TMK_REFUSE_TARGET, "%.500s", err->text);
}

static bool judge_format(const struct tmk_hello *h, struct tmk_verdict *v)
{
	if (h->version != TMK_WIRE_VERSION || h->features)
		return refuse(v, TMK_REFUSE_VERSION,
			      "the source speaks version %u with features %#llx, this target version %u: upgrade the older",
			      h->version, (unsigned long long)h->features, TMK_WIRE_VERSION);
	if (!tmk_name_valid(h->name))
		return refuse(v, TMK_REFUSE_NAME,
			      "the protection's name is not valid: letters, digits, '.', '_' and '-', at most %d", TMK_NAME_MAX);
	if (!memcmp(h->protection, nothing, sizeof(h->protection)))
		return refuse(v, TMK_REFUSE_PROTOCOL, "HELLO without the protection's UUID");
	if (h->disk_count < 1 || h->disk_count > TMK_DISKS_MAX)
		return refuse(v, TMK_REFUSE_PROTOCOL, "HELLO with %u disks", h->disk_count);
	for (unsigned i = 0; i < h->disk_count; i++)
		if (!h->disks[i].size || h->disks[i].size % TMK_SECTOR || h->disks[i].size > INT64_MAX)
			return refuse(v, TMK_REFUSE_PROTOCOL, "HELLO with a disk of %llu bytes",
				      (unsigned long long)h->disks[i].size);
	return true;
}

static bool judge_certificate(struct tmk_catalogue *c, const uint8_t *certificate, struct tmk_verdict *v)
{
	char host[128];
	struct tmk_error err = {0};
	if (!certificate)
		return refuse(v, TMK_REFUSE_CERTIFICATE, "no certificate: join first (`tidemark join`)");
	switch (tmk_catalogue_certificate_known(c, certificate, host, &err)) {
	case 0:
		return true;
	case -ENOENT:
		return refuse(v, TMK_REFUSE_CERTIFICATE,
			      "this target does not know the certificate: join again with a new token");
	case -EACCES:
		return refuse(v, TMK_REFUSE_CERTIFICATE, "the certificate was revoked on the target");
	}
	return failed(v, &err);
}

static bool judge_disks(const struct tmk_hello *h, const struct tmk_catalogued *row, struct tmk_verdict *v)
{
	if (h->disk_count != row->disk_count)
		return refuse(v, TMK_REFUSE_IDENTITY, "%s has %u disks now and had %u: protect them under a new name", h->name,
			      h->disk_count, row->disk_count);
	for (unsigned i = 0; i < row->disk_count; i++) {
		const struct tmk_hello_disk *now = &h->disks[i], *then = &row->disks[i];
		if (now->size != then->size)
			return refuse(v, TMK_REFUSE_IDENTITY,
				      "disk %u of %s (%.100s) has %llu bytes now and had %llu: protect it under a new name", i,
				      h->name, now->name, (unsigned long long)now->size, (unsigned long long)then->size);
		if (strcmp(now->identity, then->identity))
			return refuse(v, TMK_REFUSE_IDENTITY, "disk %u of %s is another disk: '%.100s' now, '%.100s' then", i,
				      h->name, now->identity, then->identity);
	}
	return true;
}

/* A generation of 0 means that the source knows of none yet. After a failover that may be the old server, come back without
 * its memory: it must not write under the recovered one (I8). */
static bool judge_generation(const struct tmk_hello *h, uint64_t generation, struct tmk_verdict *v)
{
	if (h->generation == generation || (!h->generation && generation == 1))
		return true;
	return refuse(v, TMK_REFUSE_GENERATION, "%s is at generation %llu on the target and at %llu on this source: %s", h->name,
		      (unsigned long long)generation, (unsigned long long)h->generation,
		      h->generation < generation ? "it was failed over since, and this server stays fenced"
						 : "the target was put back to an older state; an operator decides there");
}

static bool judge_epoch(struct tmk_catalogue *c, const struct tmk_hello *h, const struct tmk_catalogued *row,
			struct tmk_verdict *v)
{
	struct tmk_error err = {0};
	bool seen;
	if (!memcmp(h->epoch, row->epoch, sizeof(row->epoch)) || !memcmp(h->epoch, nothing, sizeof(h->epoch)))
		return true;
	if (tmk_catalogue_epoch_seen(c, row->protection, h->epoch, &seen, &err))
		return failed(v, &err);
	if (!seen)
		return true;
	return refuse(
		v, TMK_REFUSE_EPOCH,
		"another machine continued %s since. If this is the one to go on with, stop the other one, `tidemark delete %s "
		"--now` on the target, `tidemark unprotect %s` here, and protect it again",
		h->name, h->name, h->name);
}

int tmk_session_agree(const struct tmk_catalogued *row, const struct tmk_sidecar *s, struct tmk_error *err)
{
	bool sizes = s->disk_count == row->disk_count;
	for (unsigned i = 0; sizes && i < row->disk_count; i++)
		sizes = s->sizes[i] == row->disks[i].size;
	if (memcmp(s->protection, row->protection, TMK_UUID_SIZE) || !sizes)
		return tmk_error_set(err, -EUCLEAN,
				     "the replica of %s belongs to another protection: put the right one back, or copy anew with "
				     "`tidemark drop %s --now`",
				     row->name, row->name);
	if (s->generation != row->generation)
		return tmk_error_set(err, -EUCLEAN,
				     "the replica of %s is of generation %llu, the catalogue says %llu: one was put back; put "
				     "back both, or copy anew with `tidemark drop %s --now`",
				     row->name, (unsigned long long)s->generation, (unsigned long long)row->generation,
				     row->name);
	return 0;
}

/* Disks are shown as the source names them now. */
static bool refresh(struct tmk_catalogue *c, const struct tmk_hello *h, struct tmk_verdict *v)
{
	struct tmk_error err = {0};
	if (!memcmp(v->row.disks, h->disks, h->disk_count * sizeof(*h->disks)))
		return true;
	memcpy(v->row.disks, h->disks, h->disk_count * sizeof(*h->disks));
	return tmk_catalogue_protection_put(c, &v->row, &err) ? failed(v, &err) : true;
}

static bool judge_known(const struct tmk_session_court *court, const uint8_t *certificate, const struct tmk_hello *h,
			struct tmk_verdict *v)
{
	struct tmk_error err = {0};
	const struct tmk_catalogued *row = &v->row;
	if (memcmp(row->owner, certificate, sizeof(row->owner)))
		return refuse(v, TMK_REFUSE_OWNER, "%s belongs to another server: choose another name", h->name);
	if (memcmp(row->protection, h->protection, sizeof(row->protection)))
		return refuse(
			v, TMK_REFUSE_IDENTITY,
			"%s was protected before and is kept here: choose another name, or delete the old one on the target",
			h->name);
	if (!judge_disks(h, row, v) || !judge_generation(h, row->generation, v) || !judge_epoch(court->catalogue, h, row, v))
		return false;
	int dir = tmk_layout_open(court->root, h->name, &err);
	if (dir < 0)
		return refuse(v, dir == -EIO ? TMK_REFUSE_TARGET : TMK_REFUSE_BROKEN,
			      "protections/%s cannot be opened on the target: %.300s", h->name, err.text);
	int bad = tmk_sidecar_read(&tmk_io_real, dir, &v->sidecar, &err);
	close(dir);
	if (bad == -ENOENT)
		return refuse(v, TMK_REFUSE_BROKEN,
			      "the replica of %s is gone on the target: put it back, or copy anew with `tidemark drop %s --now`",
			      h->name, h->name);
	if (!bad)
		bad = tmk_session_agree(row, &v->sidecar, &err);
	return bad ? failed(v, &err) : refresh(court->catalogue, h, v);
}

struct same {
	const uint8_t *protection;
	char name[TMK_NAME_MAX + 1];
};

static int find_same(const struct tmk_catalogued *p, void *context)
{
	struct same *s = context;
	if (!memcmp(p->protection, s->protection, TMK_UUID_SIZE))
		memcpy(s->name, p->name, sizeof(s->name));
	return 0;
}

/* One UUID is one protection: its epochs are kept by it. */
static bool judge_unique(struct tmk_catalogue *c, const struct tmk_hello *h, struct tmk_verdict *v)
{
	struct same same = {.protection = h->protection};
	struct tmk_error err = {0};
	if (tmk_catalogue_protections(c, find_same, &same, &err))
		return failed(v, &err);
	return same.name[0] ? refuse(v, TMK_REFUSE_NAME, "this protection has another name here: protect it again") : true;
}

/* A replica that the catalogue does not know: of a creation that was cut short, or the catalogue was put back. It is taken up
 * again by the one who knows its UUID, with the disks it has. */
static bool adopt(const struct tmk_hello *h, const struct tmk_sidecar *s, struct tmk_verdict *v)
{
	struct tmk_error err = {0};
	if (memcmp(s->protection, h->protection, sizeof(s->protection)))
		return refuse(v, TMK_REFUSE_BROKEN,
			      "protections/%s on the target holds the replica of another protection that its catalogue does not "
			      "know: move it away or choose another name",
			      h->name);
	if (!judge_generation(h, s->generation, v))
		return false;
	v->row.generation = s->generation;
	if (tmk_session_agree(&v->row, s, &err))
		return refuse(v, TMK_REFUSE_IDENTITY, "the replica of %s on the target has disks of other sizes", h->name);
	return true;
}

static bool make_replica(const struct tmk_hello *h, const struct tmk_disk_sizes *sizes, int dir, struct tmk_verdict *v)
{
	struct tmk_error err = {0};
	int bad = tmk_sidecar_read(&tmk_io_real, dir, &v->sidecar, &err);
	if (!bad)
		return adopt(h, &v->sidecar, v);
	if (bad == -ENOENT) {
		v->created = true;
		bad = tmk_replica_create(&tmk_io_real, dir, h->protection, sizes, v->row.generation, &err);
	}
	if (!bad)
		bad = tmk_sidecar_read(&tmk_io_real, dir, &v->sidecar, &err);
	if (bad == -ENOSPC)
		return refuse(v, TMK_REFUSE_SPACE, "%.500s", err.text);
	return bad ? failed(v, &err) : true;
}

/* Epochs outlive the protection: a source that goes on with what an operator deleted here does not bring it back by itself. */
static bool judge_deleted(struct tmk_catalogue *c, const struct tmk_hello *h, struct tmk_verdict *v)
{
	struct tmk_error err = {0};
	bool seen = false;
	if (memcmp(h->epoch, nothing, sizeof(h->epoch)) && tmk_catalogue_epoch_seen(c, h->protection, h->epoch, &seen, &err))
		return failed(v, &err);
	if (!seen)
		return true;
	return refuse(v, TMK_REFUSE_EPOCH,
		      "%s was deleted on the target: `tidemark unprotect` it, and protect it anew if it is wanted", h->name);
}

static bool judge_unknown(const struct tmk_session_court *court, const uint8_t *certificate, const struct tmk_hello *h,
			  struct tmk_verdict *v)
{
	struct tmk_error err = {0};
	struct tmk_disk_sizes sizes = {.count = h->disk_count};
	if (!judge_unique(court->catalogue, h, v) || !judge_deleted(court->catalogue, h, v))
		return false;
	v->row = (struct tmk_catalogued){.generation = h->generation ? h->generation : 1, .disk_count = h->disk_count};
	memcpy(v->row.name, h->name, sizeof(v->row.name));
	memcpy(v->row.protection, h->protection, sizeof(v->row.protection));
	memcpy(v->row.owner, certificate, sizeof(v->row.owner));
	memcpy(v->row.disks, h->disks, h->disk_count * sizeof(*h->disks));
	for (unsigned i = 0; i < h->disk_count; i++)
		sizes.sizes[i] = h->disks[i].size;
	int dir = tmk_layout_create(court->root, h->name, &sizes, court->user, &err);
	if (dir == -ERANGE)
		return refuse(v, TMK_REFUSE_IDENTITY, "%.500s", err.text);
	if (dir < 0)
		return failed(v, &err);
	bool good = make_replica(h, &sizes, dir, v);
	close(dir);
	if (!good)
		return false;
	return tmk_catalogue_protection_put(court->catalogue, &v->row, &err) ? failed(v, &err) : true;
}

void tmk_session_judge(const struct tmk_session_court *court, const uint8_t *certificate, const struct tmk_hello *hello,
		       struct tmk_verdict *out)
{
	struct tmk_error err = {0};
	memset(out, 0, sizeof(*out));
	if (!judge_format(hello, out) || !judge_certificate(court->catalogue, certificate, out))
		return;
	int known = tmk_catalogue_protection(court->catalogue, hello->name, &out->row, &err);
	if (!known)
		judge_known(court, certificate, hello, out);
	else if (known == -ENOENT)
		judge_unknown(court, certificate, hello, out);
	else
		failed(out, &err);
}
