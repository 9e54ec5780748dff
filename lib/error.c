/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See error.h. Every text is made aside first, so that err->text may be among the arguments. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_SIZE sizeof(((struct tmk_error *)0)->text)

static void store(struct tmk_error *err, int code, const char *text, const char *tail)
{
	char whole[2 * TEXT_SIZE + 2];

	if (!err)
		return;
	if (tail)
		snprintf(whole, sizeof(whole), "%s: %s", text, tail);
	else
		snprintf(whole, sizeof(whole), "%s", text);
	whole[TEXT_SIZE - 1] = 0;
	memcpy(err->text, whole, TEXT_SIZE);
	err->code = code;
}

int tmk_error_set(struct tmk_error *err, int code, const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	store(err, code, text, NULL);
	return code;
}

int tmk_error_sys(struct tmk_error *err, int code, const char *format, ...)
{
	char text[TEXT_SIZE], buffer[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	store(err, code, text, strerror_r(-code, buffer, sizeof(buffer)));
	return code;
}

int tmk_error_prefix(struct tmk_error *err, const char *format, ...)
{
	char text[TEXT_SIZE], old[TEXT_SIZE];
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
