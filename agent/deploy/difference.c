/* SPDX-License-Identifier: MIT */
#include "agent/deploy/difference.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#define VALUE_MAX ((size_t)100)

typedef struct Difference {
    Buffer pointer;
    Buffer *out;
    size_t lines;
    size_t max_lines;
} Difference;

static int append_value(const Json *value, bool is_there, Buffer *out)
{
    _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
    int r;

    if (!is_there) {
        return buffer_append_text(out, "(none)");
    }
    r = json_format(value, &text);
    if (r < 0 || text.len <= VALUE_MAX) {
        return r < 0 ? r : buffer_append(out, text.data, text.len);
    }
    r = buffer_append(out, text.data, text_utf8_prefix(text.data, VALUE_MAX));
    return r < 0 ? r : buffer_append_text(out, "…");
}

static int add_line(Difference *d, const Json *before, bool was, const Json *after, bool is)
{
    const char *pointer = buffer_text(&d->pointer);
    int r;

    if (d->lines++ >= d->max_lines) {
        return 0;
    }
    r = buffer_append_format(d->out, "  %s: ", *pointer ? pointer : "(top)");
    r = r < 0 ? r : append_value(before, was, d->out);
    r = r < 0 ? r : buffer_append_text(d->out, " → ");
    r = r < 0 ? r : append_value(after, is, d->out);
    return r < 0 ? r : buffer_append_text(d->out, "\n");
}

static int compare(Difference *d, const Json *before, bool was, const Json *after, bool is);

static int compare_child(Difference *d, const char *token, const Json *before, bool was,
                         const Json *after, bool is)
{
    size_t len = d->pointer.len;
    int r;

    if (text_has_prefix(token, DIFFERENCE_OWN_PREFIX)) {
        return 0;
    }
    r = json_pointer_append(&d->pointer, token);
    r = r < 0 ? r : compare(d, before, was, after, is);
    buffer_truncate(&d->pointer, len);
    return r;
}

static int compare_objects(Difference *d, const Json *before, const Json *after)
{
    int r = 0;

    for (JsonMember m = {0}; r == 0 && json_next_member(before, &m);) {
        r = compare_child(d, m.name, m.value, true, json_get(after, m.name),
                          json_has(after, m.name));
    }
    for (JsonMember m = {0}; r == 0 && json_next_member(after, &m);) {
        if (!json_has(before, m.name)) {
            r = compare_child(d, m.name, NULL, false, m.value, true);
        }
    }
    return r;
}

static int compare_arrays(Difference *d, const Json *before, const Json *after)
{
    size_t n_before = json_length(before), n_after = json_length(after);
    int r = 0;

    for (size_t i = 0; r == 0 && i < MAX(n_before, n_after); i++) {
        char index[24];

        (void)snprintf(index, sizeof(index), "%zu", i);
        r = compare_child(d, index, json_at(before, i), i < n_before, json_at(after, i),
                          i < n_after);
    }
    return r;
}

static int compare(Difference *d, const Json *before, bool was, const Json *after, bool is)
{
    JsonType type = json_type_of(before);

    if (was == is && json_equal(before, after)) {
        return 0;
    }
    if (was && is && type == json_type_of(after) && type == JSON_OBJECT) {
        return compare_objects(d, before, after);
    }
    if (was && is && type == json_type_of(after) && type == JSON_ARRAY) {
        return compare_arrays(d, before, after);
    }
    return add_line(d, before, was, after, is);
}

int difference_append(const Json *before, const Json *after, size_t max_lines, Buffer *out)
{
    Difference d = {.out = out, .max_lines = max_lines};
    int r = compare(&d, before, true, after, true);

    if (r == 0 && d.lines > max_lines) {
        r = buffer_append_format(out, "  … and %zu more\n", d.lines - max_lines);
    }
    buffer_done(&d.pointer);
    return r;
}
