/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See error.h. Every text is made aside first, so that err->text may be among the arguments. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void store(struct tmk_error *err, int code, const char *text, const char *tail)
{
	char whole[2 * sizeof(err->text) + 2];

	if (!err)
		return;
	if (tail)
		snprintf(whole, sizeof(whole), "%s: %s", text, tail);
	else
		snprintf(whole, sizeof(whole), "%s", text);
	whole[sizeof(err->text) - 1] = 0;
	memcpy(err->text, whole, sizeof(err->text));
	err->code = code;
}

int tmk_error_set(struct tmk_error *err, int code, const char *format, ...)
{
	char text[sizeof(err->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	store(err, code, text, NULL);
	return code;
}

int tmk_error_sys(struct tmk_error *err, int code, const char *format, ...)
{
	char text[sizeof(err->text)], buffer[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	store(err, code, text, strerror_r(-code, buffer, sizeof(buffer)));
	return code;
}

int tmk_error_prefix(struct tmk_error *err, const char *format, ...)
{
	char text[sizeof(err->text)], old[sizeof(err->text)];
	va_list args;

	if (!err)
		return 0;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	memcpy(old, err->text, sizeof(old));
	store(err, err->code, text, old);
	return err->code;
}
