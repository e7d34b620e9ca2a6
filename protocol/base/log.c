/* SPDX-License-Identifier: MIT */
#include "protocol/base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOG_LINE_MAX 2048

static const char *log_program = "slipway";
static LogLevel log_max_level = LOG_LEVEL_INFO;
static bool log_is_journal;

void log_open(const char *program)
{
    const char *debug = getenv("SLIPWAY_DEBUG");

    log_program = program;
    log_is_journal = getenv("JOURNAL_STREAM") != NULL;
    if (debug && strcmp(debug, "1") == 0) {
        log_max_level = LOG_LEVEL_DEBUG;
    }
}

static void log_write_line(LogLevel level, const char *format, va_list ap, const char *tail)
    _printf_(2, 0);
static void log_write_line(LogLevel level, const char *format, va_list ap, const char *tail)
{
    char line[LOG_LINE_MAX];
    int n;

    if (level > log_max_level) {
        return;
    }
    if (log_is_journal) {
        n = snprintf(line, sizeof(line), "<%d>", (int)level);
    } else {
        n = snprintf(line, sizeof(line), "%s: ", log_program);
    }
    n += vsnprintf(line + n, sizeof(line) - (size_t)n, format, ap);
    n = MIN(n, LOG_LINE_MAX - 1);
    n += snprintf(line + n, sizeof(line) - (size_t)n, "%s%s", tail ? ": " : "", tail ? tail : "");
    n = MIN(n, LOG_LINE_MAX - 2);
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0) {
        return; /* nowhere left to say it */
    }
}

void log_write(LogLevel level, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    log_write_line(level, format, ap, NULL);
    va_end(ap);
}

int log_write_errno(int code, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    log_write_line(LOG_LEVEL_ERROR, format, ap, strerror(-code));
    va_end(ap);
    return code;
}
