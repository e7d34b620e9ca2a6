/* SPDX-License-Identifier: MIT */
#include "plugin/cli/log-view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int log_view_init(LogView *view, Output *output, const char *label)
{
    static const OutputStyle styles[2] = {STYLE_ACTION, STYLE_WARN};

    *view = (LogView){.output = output, .is_raw = output->is_raw};
    for (int i = 0; i < 2; i++) {
        int n = asprintf(&view->prefixes[i], "%s%s |%s ", output_style(output, false, styles[i]),
                         label, output_plain(output, false));

        if (n < 0) {
            view->prefixes[i] = NULL;
            log_view_done(view);
            return -1;
        }
        view->prefix_lens[i] = (size_t)n;
    }
    return 0;
}

void log_view_done(LogView *view)
{
    free(view->prefixes[0]);
    free(view->prefixes[1]);
    *view = (LogView){0};
}

void log_view_end_line(LogView *view)
{
    if (view->is_mid_line) {
        output_write(view->output, "\n", 1);
        view->is_mid_line = false;
    }
}

void log_view_write(LogView *view, bool is_error, const char *data, size_t n)
{
    int stream = is_error;
    const char *end = data + n;

    if (view->is_raw) {
        output_write(view->output, data, n);
        return;
    }
    if (view->is_mid_line && view->stream != stream) {
        log_view_end_line(view);
    }
    view->stream = stream;
    while (data < end) {
        const char *feed = memchr(data, '\n', (size_t)(end - data));
        const char *next = feed ? feed + 1 : end;

        if (!view->is_mid_line) {
            output_write(view->output, view->prefixes[stream], view->prefix_lens[stream]);
        }
        output_write(view->output, data, (size_t)(next - data));
        view->is_mid_line = !feed;
        data = next;
    }
}
