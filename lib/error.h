/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An error on its way up: the code for the caller, the sentence for the operator (what is wrong, what to do). */
#ifndef TMK_ERROR_H
#define TMK_ERROR_H

struct tmk_error {
	int code; /* negative errno */
	char text[512];
};

/* Sets both, returns code (negative errno). err may be NULL. */
int tmk_error_set(struct tmk_error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same, with ": strerror(-code)" behind the text. */
int tmk_error_sys(struct tmk_error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Puts "text: " in front of what is there; returns err->code. */
int tmk_error_prefix(struct tmk_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
