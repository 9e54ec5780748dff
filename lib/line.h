/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of JSON over a Unix stream socket, at most 1 MiB each: what both sides of the control socket (control.h) are made of. */
#ifndef TMK_LINE_H
#define TMK_LINE_H

#include <jansson.h>
#include <sys/un.h>

#include "error.h"

struct tmk_line;

int tmk_line_address(struct sockaddr_un *out, const char *path, struct tmk_error *err);
/* Takes the connected, non-blocking socket over; not if it fails. -ENOMEM. */
int tmk_line_new(struct tmk_line **out, int fd);
void tmk_line_free(struct tmk_line *line);
int tmk_line_fd(const struct tmk_line *line);
/* timeout_ms -1: for ever. A new reference to an object. -ETIMEDOUT, -EPIPE (closed), -EMSGSIZE, -EBADMSG (not a JSON object). */
int tmk_line_read(struct tmk_line *line, int timeout_ms, json_t **out, struct tmk_error *err);
/* -ETIMEDOUT, -EPIPE; -EMSGSIZE, -ENOMEM: nothing was written. */
int tmk_line_write(struct tmk_line *line, int timeout_ms, const json_t *value);

#endif
