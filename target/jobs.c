/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs in their own processes: see jobs.h. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "export.h"
#include "jobs.h"
#include "journal.h"
#include "layout.h"
#include "pki.h"
#include "replica.h"
#include "util.h"

#define PROGRESS_MS 200
#define BETWEEN_MS 600000 /* an interval is finished by then, or something is wrong */

static int done(int channel, int code, const struct tmk_error *err)
{
	tmk_channel_send_code(channel, TMK_MESSAGE_DONE, code, code ? err->text : "");
	return code ? 1 : 0;
}

/* ---- export ---- */

struct progress {
	int channel;
	uint64_t last;
	bool stop; /* the one who asked has left */
};

static void tell_progress(uint64_t bytes, uint64_t total, void *context)
{
	struct progress *p = context;
	uint8_t body[16];
	struct tmk_writer_buf w = tmk_writer_buf(body, sizeof(body));
	if (bytes < total && tmk_now_ms() - p->last < PROGRESS_MS)
		return;
	p->last = tmk_now_ms();
	tmk_put_u64(&w, bytes);
	tmk_put_u64(&w, total);
	if (tmk_channel_send(p->channel, TMK_MESSAGE_PROGRESS, body, w.at, -1))
		p->stop = true;
}

/* The point that `latest` is at this moment. */
static int newest(const struct tmk_job_export *job, uint64_t *point, struct tmk_error *err)
{
	struct tmk_sidecar s;
	int bad = tmk_sidecar_read(&tmk_io_real, job->dir, &s, err);
	if (bad)
		return bad;
	*point = s.point;
	return s.point ? 0 : tmk_error_set(err, -ENOENT, "there is no recovery point yet: the first copy is not complete");
}

int tmk_job_export_run(int channel, void *context)
{
	const struct tmk_job_export *job = context;
	struct tmk_error err = {0};
	struct progress progress = {.channel = channel};
	struct tmk_export e = {
		.dir = job->dir,
		.point = job->point,
		.disk = job->disk,
		.to = job->to,
		.progress = tell_progress,
		.context = &progress,
		.stop = &progress.stop,
	};
	uint64_t end = tmk_now_ms() + BETWEEN_MS;
	for (;;) {
		int bad = job->latest ? newest(job, &e.point, &err) : 0;
		if (!bad)
			bad = tmk_export_run(&e, &err);
		/* An interval is being applied, or was applied between the two looks at the sidecar. */
		bool moved = bad == -EAGAIN || bad == -EBUSY || (bad == -ENOENT && job->latest && e.point);
		if (!bad)
			tmk_channel_send_number(channel, TMK_MESSAGE_EXPORTED, e.point);
		if (!moved || tmk_now_ms() >= end)
			return done(channel, bad, &err);
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	}
}

/* ---- reset, remove, sign ---- */

int tmk_job_reset_run(int channel, void *context)
{
	const struct tmk_job_reset *job = context;
	struct tmk_error err = {0};
	int journal = tmk_layout_journal(job->dir, &err);
	if (journal < 0)
		return done(channel, journal, &err);
	/* The replica first: an empty journal under a sidecar that names an applied chunk would still go on behind that. */
	int bad = tmk_replica_restart(&tmk_io_real, job->dir, job->protection, &job->sizes, job->generation, &err);
	if (!bad)
		bad = tmk_journal_wipe(&tmk_io_real, journal, &err);
	close(journal);
	return done(channel, bad, &err);
}

int tmk_job_remove_run(int channel, void *context)
{
	const struct tmk_job_remove *job = context;
	struct tmk_error err = {0};
	return done(channel, tmk_layout_remove(job->root, job->path, &err), &err);
}

int tmk_job_sign_run(int channel, void *context)
{
	const struct tmk_job_sign *job = context;
	struct tmk_error err = {0};
	static uint8_t body[TMK_MESSAGE_MAX];
	char certificate[8192];
	uint8_t fingerprint[32];
	struct tmk_writer_buf w = tmk_writer_buf(body, sizeof(body));
	int bad = tmk_pki_sign(job->pki, job->request, job->host, certificate, fingerprint, &err);
	if (!bad) {
		tmk_put_bytes(&w, fingerprint, sizeof(fingerprint));
		tmk_put_string(&w, certificate);
		bad = w.failed ? -EMSGSIZE : tmk_channel_send(channel, TMK_MESSAGE_SIGNED, body, w.at, -1);
	}
	return done(channel, bad, &err);
}
