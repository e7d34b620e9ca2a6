/* SPDX-License-Identifier: MIT */
#include "plugin/cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#define PROGRESS_BAR_WIDTH 24
#define PROGRESS_INTERVAL_MS 100

static bool wants_color(const char *when, int fd)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    if (strcmp(when, "auto") != 0) {
        return strcmp(when, "always") == 0;
    }
    return isatty(fd) && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
}

int output_init(Output *o, const char *color, bool is_json, bool is_quiet)
{
    const char *term = getenv("TERM");

    *o = (Output){
        .is_json = is_json,
        .is_quiet = is_quiet,
        .has_color = !is_json && wants_color(color, STDOUT_FILENO),
        .has_error_color = wants_color(color, STDERR_FILENO),
        .is_terminal = isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0) && !is_quiet,
        .out_fd = STDOUT_FILENO,
        .error_fd = STDERR_FILENO,
        .buffer = malloc(OUTPUT_BUFFER_SIZE),
    };
    return o->buffer ? 0 : -1;
}

void output_done(Output *o)
{
    output_clear_progress(o);
    output_flush(o);
    free(o->buffer);
    o->buffer = NULL;
}

static bool write_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, data, n);

        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return false;
        }
        data += written;
        n -= (size_t)written;
    }
    return true;
}

void output_flush(Output *o)
{
    if (o->len > 0 && !o->is_broken) {
        output_clear_progress(o);
        o->is_broken = !write_all(o->out_fd, o->buffer, o->len);
    }
    o->len = 0;
}

void output_write(Output *o, const void *data, size_t n)
{
    const char *from = data;

    while (n > 0) {
        size_t room = OUTPUT_BUFFER_SIZE - o->len, piece = n < room ? n : room;

        memcpy(o->buffer + o->len, from, piece);
        o->len += piece;
        from += piece;
        n -= piece;
        if (o->len == OUTPUT_BUFFER_SIZE) {
            output_flush(o);
        }
    }
}

void output_print(Output *o, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (n >= 0) {
        output_write(o, text, (size_t)n);
        free(text);
    }
}

void output_say(Output *o, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    int n;

    output_flush(o);
    output_clear_progress(o);
    va_start(arguments, format);
    n = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (n >= 0) {
        text[n] = '\n'; /* in the place of the NUL: one write, one line */
        (void)!write_all(o->error_fd, text, (size_t)n + 1);
        free(text);
    }
}

const char *output_style(const Output *o, bool is_error, OutputStyle style)
{
    static const char *const styles[_STYLE_MAX] = {
        [STYLE_NONE] = "",           [STYLE_GOOD] = "\033[32m", [STYLE_BAD] = "\033[31m",
        [STYLE_WARN] = "\033[33m",   [STYLE_DIM] = "\033[2m",   [STYLE_BOLD] = "\033[1m",
        [STYLE_ACTION] = "\033[36m",
    };

    return (is_error ? o->has_error_color : o->has_color) ? styles[style] : "";
}

const char *output_plain(const Output *o, bool is_error)
{
    return (is_error ? o->has_error_color : o->has_color) ? "\033[0m" : "";
}

/* ---- progress ---------------------------------------------------------------------------------
 */

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void progress_amount(uint64_t done, uint64_t total, const char *unit, char text[96])
{
    char a[OUTPUT_TEXT_SIZE], b[OUTPUT_TEXT_SIZE];

    if (strcmp(unit, "bytes") == 0) {
        (void)snprintf(text, 96, "%s%s%s", output_size(done, a), total ? " of " : "",
                       total ? output_size(total, b) : "");
    } else if (total) {
        (void)snprintf(text, 96, "%llu of %llu %.24s", (unsigned long long)done,
                       (unsigned long long)total, unit);
    } else {
        (void)snprintf(text, 96, "%llu %.24s", (unsigned long long)done, unit);
    }
}

void output_progress(Output *o, const char *what, uint64_t done, uint64_t total, const char *unit)
{
    char bar[PROGRESS_BAR_WIDTH * 3 + 1] = "", amount[96] = "", line[512];
    int64_t now = now_ms();
    int n;

    if (!o->is_terminal || o->is_json ||
        (o->has_progress && now - o->progress_ms < PROGRESS_INTERVAL_MS)) {
        return;
    }
    if (total > 0) {
        size_t full = done >= total ? PROGRESS_BAR_WIDTH
                                    : (size_t)((double)done / (double)total * PROGRESS_BAR_WIDTH);

        for (size_t i = 0; i < PROGRESS_BAR_WIDTH; i++) {
            bar[i] = i < full ? '=' : ' ';
        }
    }
    if (done > 0 || total > 0) {
        progress_amount(done, total, unit, amount);
    }
    n = snprintf(line, sizeof(line), "\r\033[K%.160s%s%s%s %s", what, *bar ? " [" : "", bar,
                 *bar ? "]" : "", amount);
    output_flush(o);
    if (n > 0) {
        (void)!write_all(o->error_fd, line,
                         (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
    }
    o->has_progress = true;
    o->progress_ms = now;
}

void output_clear_progress(Output *o)
{
    if (o->has_progress) {
        o->has_progress = false;
        (void)!write_all(o->error_fd, "\r\033[K", 4);
    }
}

/* ---- tables and numbers -----------------------------------------------------------------------
 */

/* Columns on the screen: bytes that do not continue a UTF-8 character. */
static size_t width_of(const char *text)
{
    size_t n = 0;

    for (; *text; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

#define TABLE_COLUMNS_MAX 16

void output_table(Output *o, const char *const *cells, size_t n_rows, size_t n_columns)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};

    for (size_t i = 0; i < n_rows * n_columns; i++) {
        size_t *width = &widths[i % n_columns], n = width_of(cells[i]);

        *width = n > *width ? n : *width;
    }
    for (size_t row = 0; row < n_rows; row++) {
        const char *const *line = cells + row * n_columns;
        size_t padding = 0; /* written only before something: no line ends in blanks */

        for (size_t column = 0; column < n_columns; column++) {
            if (*line[column]) {
                output_print(o, "%*s%s%s%s", (int)padding, "",
                             row == 0 ? output_style(o, false, STYLE_BOLD) : "", line[column],
                             row == 0 ? output_plain(o, false) : "");
                padding = 0;
            }
            padding += widths[column] - width_of(line[column]) + 2;
        }
        output_write(o, "\n", 1);
    }
}

const char *output_size(uint64_t bytes, char *text)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    int unit = -1;

    /* The limits are those of rounding: 999,999 bytes are "1.0 MB", not "1000 kB". */
    while (value >= (unit < 0 ? 1000 : 999.5) && unit < 3) {
        value /= 1000;
        unit++;
    }
    if (unit < 0) {
        (void)snprintf(text, OUTPUT_TEXT_SIZE, "%llu B", (unsigned long long)bytes);
    } else {
        (void)snprintf(text, OUTPUT_TEXT_SIZE, value < 9.95 ? "%.1f %s" : "%.0f %s", value,
                       units[unit]);
    }
    return text;
}

const char *output_duration(double seconds, char *text)
{
    long long whole = (long long)(seconds + 0.5);

    if (seconds < 0.9995) {
        (void)snprintf(text, OUTPUT_TEXT_SIZE, "%.0f ms", seconds * 1000);
    } else if (seconds < 59.95) {
        (void)snprintf(text, OUTPUT_TEXT_SIZE, "%.1f s", seconds);
    } else if (whole < 3600) {
        (void)snprintf(text, OUTPUT_TEXT_SIZE, "%lld min %lld s", whole / 60, whole % 60);
    } else {
        (void)snprintf(text, OUTPUT_TEXT_SIZE, "%lld h %lld min", whole / 3600, whole % 3600 / 60);
    }
    return text;
}
