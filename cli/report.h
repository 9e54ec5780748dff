/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `tidemark report`: what a bug report needs, as text, whether a daemon runs or not. */
#ifndef TMK_REPORT_H
#define TMK_REPORT_H

#include <stdio.h>

/* root: before the paths of what is read, for tests; "" otherwise. socket: NULL, or the only one to ask. Returns an exit code. */
int tmk_report(FILE *out, const char *root, const char *socket);

#endif
