/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log lines to stderr, one write(2) each, with the journal's <N> priority prefix if stderr is not a terminal. */
#ifndef TMK_LOG_H
#define TMK_LOG_H

enum tmk_log_level { TMK_LOG_ERROR = 3, TMK_LOG_WARNING = 4, TMK_LOG_INFO = 6, TMK_LOG_DEBUG = 7 };

/* program: shown in front, not copied. level: the least urgent that is written. */
void tmk_log_open(const char *program, enum tmk_log_level level);
void tmk_log(enum tmk_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define tmk_log_error(...) tmk_log(TMK_LOG_ERROR, __VA_ARGS__)
#define tmk_log_warning(...) tmk_log(TMK_LOG_WARNING, __VA_ARGS__)
#define tmk_log_info(...) tmk_log(TMK_LOG_INFO, __VA_ARGS__)
#define tmk_log_debug(...) tmk_log(TMK_LOG_DEBUG, __VA_ARGS__)

#endif
