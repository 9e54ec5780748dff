/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See log.h. The only state of lib/ that is not a caller's: the program's name and level, set once before threads start.
 * Control characters (texts of a peer may be among the arguments) become '?', so that a line stays one line.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static struct {
	const char *program;
	enum tmk_log_level level;
	bool terminal;
} log_state = {.program = "tidemark", .level = TMK_LOG_INFO};

void tmk_log_open(const char *program, enum tmk_log_level level)
{
	log_state.program = program;
	log_state.level = level;
	log_state.terminal = isatty(STDERR_FILENO);
}

void tmk_log(enum tmk_log_level level, const char *format, ...)
{
	int saved = errno, head, size;
	char line[2048];
	va_list args;

	if (level > log_state.level)
		return;
	if (log_state.terminal)
		head = snprintf(line, sizeof(line), "%.64s: ", log_state.program);
	else
		head = snprintf(line, sizeof(line), "<%d>%.64s: ", level, log_state.program);
	errno = saved; /* a format may hold %m */
	va_start(args, format);
	size = vsnprintf(line + head, sizeof(line) - head - 1, format, args);
	va_end(args);
	if (size < 0)
		size = 0;
	size += head;
	if (size > (int)sizeof(line) - 2)
		size = sizeof(line) - 2;
	for (int i = head; i < size; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[size++] = '\n';
	while (write(STDERR_FILENO, line, size) < 0 && errno == EINTR)
		;
	errno = saved;
}
