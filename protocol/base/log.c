/* SPDX-License-Identifier: MIT */
#include "protocol/base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A longer text is cut. The tail is room for the dots and the text of an errno. */
#define LOG_LINE_MAX 2048
#define LOG_TAIL_MAX 128
#define LOG_PROGRAM_MAX 64

static const char *log_program = "slipway";
static LogLevel log_max_level = LOG_LEVEL_INFO;
static bool log_is_journal;

/* systemd names the device and inode of the stream that it made (systemd.exec(5)). A service hands
 * the variable on to all that it starts, so only a stderr that still is that stream counts. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == (dev_t)device &&
           st.st_ino == (ino_t)inode;
}

void log_open(const char *program)
{
    const char *debug = getenv("SLIPWAY_DEBUG");

    log_program = program;
    log_is_journal = is_journal();
    log_max_level = debug && strcmp(debug, "1") == 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
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
    n = MIN(n, LOG_PROGRAM_MAX);
    n += MAX(vsnprintf(line + n, sizeof(line) - (size_t)n, format, ap), 0);
    if (n > LOG_LINE_MAX - LOG_TAIL_MAX) { /* the reason at the end is worth more than the middle */
        n = LOG_LINE_MAX - LOG_TAIL_MAX;
        n += snprintf(line + n, sizeof(line) - (size_t)n, "...");
    }
    n += snprintf(line + n, sizeof(line) - (size_t)n, "%s%s", tail ? ": " : "", tail ? tail : "");
    n = MIN(n, LOG_LINE_MAX - 1);
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
