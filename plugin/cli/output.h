/* SPDX-License-Identifier: MIT */
/* What a person or a program sees. Logs, tables and JSON go to stdout in big writes; what slipway
 * itself has to say goes to stderr, in the right order between them, and a progress line is only
 * ever drawn on a terminal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTPUT_BUFFER_SIZE ((size_t)256 << 10)

typedef struct Output {
    bool is_json;
    bool is_raw; /* a call's log is written byte for byte */
    bool is_quiet;
    bool has_color;       /* on stdout */
    bool has_error_color; /* on stderr */
    bool is_terminal;     /* stderr: progress is drawn */
    bool is_broken;       /* nobody reads stdout any more */
    bool has_progress;    /* a progress line stands on the terminal */
    int64_t progress_ms;  /* when it was drawn */
    int out_fd;
    int error_fd;
    char *buffer;
    size_t len;
} Output;

typedef enum OutputStyle {
    STYLE_NONE,
    STYLE_GOOD,
    STYLE_BAD,
    STYLE_WARN,
    STYLE_DIM,
    STYLE_BOLD,
    STYLE_ACTION,
    _STYLE_MAX,
} OutputStyle;

/* `color` is auto, always or never. -1 when memory is out. */
int output_init(Output *o, const char *color, bool is_json, bool is_quiet);
void output_done(Output *o);

void output_write(Output *o, const void *data, size_t n);
void output_print(Output *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
void output_flush(Output *o);

/* One line for people on stderr; the line feed is added. */
void output_say(Output *o, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The escape sequence that begins a style, "" without colours; `is_error` for stderr. */
const char *output_style(const Output *o, bool is_error, OutputStyle style);
const char *output_plain(const Output *o, bool is_error);

/* Draws (over the last one) or takes away the progress line. `total` 0: not known. */
void output_progress(Output *o, const char *what, uint64_t done, uint64_t total, const char *unit);
void output_clear_progress(Output *o);

/* A table: rows of `n_columns` cells. The last column is not padded. */
void output_table(Output *o, const char *const *cells, size_t n_rows, size_t n_columns);

/* "3.4 MB"; "1 min 5 s". `text` has OUTPUT_TEXT_SIZE bytes and is returned. */
#define OUTPUT_TEXT_SIZE 32
const char *output_size(uint64_t bytes, char *text);
const char *output_duration(double seconds, char *text);
