/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a session begins: see session.h. */
#include "session.h"

#include <errno.h>
#include <stdlib.h>

#include "message.h"

#define DIAL_MS 10000
#define HANDSHAKE_MS 15000
#define WELCOME_SLICES 120 /* of a second: a target recovers its journal before it answers */

static int next_frame(struct tmk_link *link, const atomic_bool *stop, struct tmk_frame *frame, const uint8_t **body,
		      struct tmk_error *err)
{
	int rc = -ETIMEDOUT;

	for (int i = 0; i < WELCOME_SLICES && rc == -ETIMEDOUT; i++) {
		if (*stop)
			return tmk_error_set(err, -EINTR, "stopped");
		rc = tmk_link_wait(link, 1000, frame, body, err);
	}
	if (rc == -ETIMEDOUT)
		return tmk_error_set(err, rc, "the target did not answer; see its log");
	return rc;
}

uint16_t tmk_session_refusal(const uint8_t *body, size_t size, struct tmk_error *err)
{
	char text[1024];
	uint16_t code;

	if (tmk_refuse_decode(body, size, &code, text, err))
		return TMK_REFUSE_PROTOCOL;
	tmk_error_set(err, -ECONNREFUSED, "the target refuses: %.480s", text);
	return code;
}

static int send_hello(struct tmk_link *link, const struct tmk_hello *hello, struct tmk_error *err)
{
	uint8_t *body = malloc(TMK_CONTROL_MAX);
	size_t size;
	int rc;

	if (!body)
		return tmk_error_set(err, -ENOMEM, "out of memory");
	size = tmk_hello_encode(hello, body, TMK_CONTROL_MAX);
	rc = size ? tmk_link_send(link, TMK_FRAME_HELLO, body, size, NULL, 0) : -EMSGSIZE;
	free(body);
	return rc ? tmk_error_sys(err, rc, "cannot send HELLO") : 0;
}

static int greet(struct tmk_link *link, const struct tmk_session_start *start, struct tmk_welcome *welcome, uint16_t *refused,
		 struct tmk_error *err)
{
	struct tmk_frame frame;
	const uint8_t *body;
	int rc = send_hello(link, start->hello, err);

	if (rc)
		return rc;
	do {
		rc = next_frame(link, start->stop, &frame, &body, err);
		if (rc)
			return rc;
	} while (frame.type == TMK_FRAME_NOTE || frame.type == TMK_FRAME_PONG);
	if (frame.type == TMK_FRAME_REFUSE) {
		*refused = tmk_session_refusal(body, frame.length, err);
		return err->code;
	}
	if (frame.type != TMK_FRAME_WELCOME)
		return tmk_error_set(err, -EBADMSG, "the target answered HELLO with a frame of type %u", frame.type);
	return tmk_welcome_decode(body, frame.length, welcome, err);
}

int tmk_session_open(const struct tmk_session_start *start, struct tmk_link **link, struct tmk_welcome *welcome,
		     uint16_t *refused, struct tmk_error *err)
{
	int fd, rc;

	*refused = 0;
	fd = tmk_dial(start->target->host, start->target->port, DIAL_MS, err);
	if (fd < 0)
		return fd;
	rc = tmk_link_connect(link, fd, start->tls, HANDSHAKE_MS, err);
	if (rc)
		return rc;
	rc = greet(*link, start, welcome, refused, err);
	if (rc) {
		tmk_link_free(*link);
		*link = NULL;
	}
	return rc;
}

static int each_extent(const struct tmk_rewind *rewind, int (*extent)(const struct tmk_rewind_extent *extent, void *context),
		       void *context)
{
	int rc = 0;

	for (uint32_t i = 0; i < rewind->count && !rc; i++)
		rc = extent(&rewind->extents[i], context);
	return rc;
}

int tmk_session_rewind(struct tmk_link *link, const atomic_bool *stop,
		       int (*extent)(const struct tmk_rewind_extent *extent, void *context), void *context, struct tmk_error *err)
{
	struct tmk_rewind *rewind = malloc(sizeof(*rewind));
	struct tmk_frame frame;
	const uint8_t *body;
	int rc;

	if (!rewind)
		return tmk_error_set(err, -ENOMEM, "out of memory");
	do {
		rc = next_frame(link, stop, &frame, &body, err);
		if (!rc && frame.type == TMK_FRAME_REFUSE) {
			tmk_session_refusal(body, frame.length, err);
			rc = err->code;
		}
		if (!rc && frame.type != TMK_FRAME_REWIND)
			rc = tmk_error_set(err, -EBADMSG, "the target sent a frame of type %u where REWIND was due", frame.type);
		if (!rc)
			rc = tmk_rewind_decode(body, frame.length, rewind, err);
		if (!rc)
			rc = each_extent(rewind, extent, context);
	} while (!rc && rewind->more);
	free(rewind);
	return rc;
}
