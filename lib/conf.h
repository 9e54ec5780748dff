/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Configuration files: INI (libinih), every key declared. An unknown key, section or bad value is an error with its line. */
#ifndef TMK_CONF_H
#define TMK_CONF_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum tmk_conf_type {
	TMK_CONF_STRING,  /* char[size] */
	TMK_CONF_NUMBER,  /* uint64_t, plain */
	TMK_CONF_BYTES,	  /* uint64_t; "64M", "1GiB", "unlimited" = 0 */
	TMK_CONF_SECONDS, /* uint64_t, in milliseconds; "2s", "250ms", "24h", "7d" */
	TMK_CONF_SWITCH,  /* bool; yes/no */
};
struct tmk_conf_key {
	const char *name;
	enum tmk_conf_type type;
	void *out;
	size_t size;	      /* of a string's array */
	uint64_t least, most; /* of numbers */
};
/* keys ends with a NULL name; at most 64. A key in a section is declared as "section.key". most 0: no limit. A missing file is
 * -ENOENT. What is not named keeps its value. */
int tmk_conf_read(const char *path, const struct tmk_conf_key *keys, struct tmk_error *err);
int tmk_conf_bytes(const char *text, uint64_t *out);
int tmk_conf_duration(const char *text, uint64_t *milliseconds);

#endif
