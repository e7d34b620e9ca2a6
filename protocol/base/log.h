/* SPDX-License-Identifier: MIT */
/* What a program says on stderr: `program: text`, or with an RFC 5424 priority in angle brackets
 * when the journal reads it (sd-daemon(3)). Libraries of ours log at debug only. */
#pragma once

#include "protocol/base/macro.h"

typedef enum LogLevel {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7,
} LogLevel;

/* Once, first thing in main(). `program` is borrowed for good. Reads SLIPWAY_DEBUG=1. */
void log_open(const char *program);

void log_write(LogLevel level, const char *format, ...) _printf_(2, 3);

/* Says "text: errno" as an error and returns `code` (a negative errno). */
int log_write_errno(int code, const char *format, ...) _printf_(2, 3);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_error_errno(code, ...) log_write_errno(code, __VA_ARGS__)
