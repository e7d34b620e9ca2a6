/* SPDX-License-Identifier: MIT */
/* A call's log with the action's name before each line. */
#pragma once

#include "plugin/cli/output.h"

typedef struct LogView {
    Output *output;
    char *prefixes[2]; /* of stdout and stderr */
    size_t prefix_lens[2];
    bool is_mid_line; /* the last byte was no line feed */
    int stream;       /* of the line that is not ended */
    bool is_raw;      /* byte for byte: nothing is put before or between */
} LogView;

/* `label` is what stands before the bar. -1 when memory is out. */
int log_view_init(LogView *view, Output *output, const char *label);
void log_view_done(LogView *view);

/* A part of a line waits for its rest; one of the other stream begins a new line. */
void log_view_write(LogView *view, bool is_error, const char *data, size_t n);

/* Ends a line that the program left open. */
void log_view_end_line(LogView *view);
